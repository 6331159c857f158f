"""Calling a contract the way a transaction does: by its id, a function's name and arguments in XDR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from stellarstream_core.xdr.scval import ErrorCode, ErrorType
from stellarstream_sandbox import contract_interfaces as interfaces
from stellarstream_sandbox.contract_spec import BadValue, ContractSpec
from stellarstream_sandbox.economy.bank import DECIMALS, Fault, Token, unmuxed
from stellarstream_sandbox.economy.bystanders import Airdrop, Counter, Silent
from stellarstream_sandbox.economy.calls import Outcome, Refused, Trapped, UnknownCall, panicked
from stellarstream_sandbox.economy.footprint import Footprint, footprint
from stellarstream_sandbox.economy.stream_v2 import StreamArgs
from stellarstream_sandbox.economy.streams_v1 import Curve, StreamsV1
from stellarstream_sandbox.economy.streams_v2 import FEE_BPS, StreamsV2
from stellarstream_sandbox.economy.vault import Vault
from stellarstream_sandbox.economy.world import Contract, World, spec_of
from stellarstream_sandbox.scval import encode
from stellarstream_sandbox.values import I128, U32, VOID, Address, Bool, Text, Value, option

Run = Callable[[int], Outcome]
Made = tuple[tuple[str, ...], Run]
"""Who has to authorise a call, and what it does at a moment."""
Maker = Callable[..., Made]
"""Makes a call of the world, the contract, and the arguments as plain Python."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call whose arguments are in order.

    ``authorisers`` must have authorised the call itself, as the contract asks for it in the state of now; what
    else has to be authorised below it are the outcome's ``pulls``. ``read_only``: it changes nothing.
    """

    world: World
    contract: str
    function: str
    arguments: tuple[Any, ...]
    authorisers: tuple[str, ...]
    read_only: bool
    _run: Run

    def run(self, now: int) -> Outcome:
        """Do it at a close time (Unix seconds); raise :class:`Refused` where it fails, and nothing happened."""
        if self.read_only:
            return self._checked(now)
        saved = self.world.snapshot()
        try:
            return self._checked(now)
        except Refused:
            self.world.restore(saved)
            raise

    def footprint(self, now: int) -> Footprint:
        """Return the ledger entries that it reads and writes, by trying it on a copy; ask before ``run``.

        What fails is told to read what it names, and to write nothing.
        """
        tried = self.world.snapshot()
        again = _prepare(tried, self.contract, self.function, self.arguments)
        try:
            again._checked(now)
        except Refused:
            tried = self.world
        return footprint(self.world, tried, self.contract, self.function, self.arguments)

    def _checked(self, now: int) -> Outcome:
        try:
            return self._run(now)
        except ZeroDivisionError:
            raise panicked("attempt to divide by zero") from None


def call(world: World, contract: str, function: str, args: Sequence[bytes]) -> Prepared:
    """Return a call of a contract; ``args`` are ScVal XDR.

    Raises :class:`UnknownCall` where there is no such contract or function, :class:`Trapped` where number or
    types of the arguments are not the function's.
    """
    found = world.contract(contract)
    if found is None:
        raise UnknownCall(
            ErrorType.STORAGE,
            ErrorCode.MISSING_VALUE,
            "trying to get non-existing value for contract instance",
            contract=contract,
        )
    spec = spec_of(found)
    description = spec.functions.get(function)
    if description is None or function not in _MAKERS[id(spec)]:
        raise UnknownCall(
            ErrorType.WASM_VM,
            ErrorCode.MISSING_VALUE,
            "trying to invoke non-existent contract function",
            contract=contract,
        )
    if len(args) != len(description.inputs):
        raise Trapped(
            ErrorType.WASM_VM,
            ErrorCode.UNEXPECTED_SIZE,
            f"{function} takes {len(description.inputs)} arguments, not {len(args)}",
            contract=contract,
        )
    try:
        arguments = description.read(list(args))
    except BadValue:
        raise _bad_value(spec, contract) from None
    return _prepare(world, contract, function, arguments)


def _prepare(world: World, contract: str, function: str, arguments: tuple[Any, ...]) -> Prepared:
    found = world.contract(contract)
    if found is None:
        raise ValueError(f"there is no contract {contract}")
    maker, read_only = _MAKERS[id(spec_of(found))][function]
    authorisers, run = maker(world, found, *arguments)
    return Prepared(world, contract, function, arguments, authorisers, read_only, run)


def _bad_value(spec: ContractSpec, contract: str) -> Trapped:
    """Return the host's error for an argument of another type; generated code panics, the host's own tells."""
    if spec is interfaces.ASSET:
        return Trapped(ErrorType.VALUE, ErrorCode.UNEXPECTED_TYPE, "failed to convert an argument", contract=contract)
    return Trapped(ErrorType.WASM_VM, ErrorCode.INVALID_ACTION, "UnreachableCodeReached", contract=contract)


def _told(value: Value) -> Run:
    return lambda _now: Outcome(value)


# --- tokens -------------------------------------------------------------------------------------


def _balance(world: World, token: Token, holder: str) -> Made:
    held = 2**63 - 1 if world.bank.issues(token.contract, holder) else world.bank.balance(token.contract, holder)
    return (), _told(I128(held))


def _name(_world: World, token: Token) -> Made:
    name = token.name if token.asset is None else token.asset.name
    return (), _told(Text(name.encode("ascii")))


def _symbol(_world: World, token: Token) -> Made:
    symbol = "native" if token.asset is not None and token.asset.issuer is None else token.name
    return (), _told(Text(symbol.encode("ascii")))


def _transfer(world: World, token: Token, source: str, target: str, amount: int) -> Made:
    account, muxed_id = unmuxed(target)
    return (source,), lambda _now: Outcome(
        VOID, (world.bank.transfer(token.contract, source, account, amount, muxed_id=muxed_id),)
    )


def _transfer_from(world: World, token: Token, spender: str, source: str, target: str, amount: int) -> Made:
    return (spender,), lambda _now: Outcome(
        VOID, (world.bank.transfer_from(token.contract, spender, source, target, amount),)
    )


def _allowance(world: World, token: Token, source: str, spender: str) -> Made:
    return (), _told(I128(world.bank.allowance(token.contract, source, spender)))


def _approve(world: World, token: Token, source: str, spender: str, amount: int, live_until: int) -> Made:
    return (source,), lambda _now: Outcome(
        VOID, (world.bank.approve(token.contract, source, spender, amount, live_until),)
    )


def _issuer(token: Token) -> str:
    """Return who administers an asset; the native one has nobody."""
    if token.asset is None or token.asset.issuer is None:
        raise Refused(Fault.OPERATION_NOT_SUPPORTED_ERROR, contract=token.contract)
    return token.asset.issuer


def _admin(_world: World, token: Token) -> Made:
    return (), lambda _now: Outcome(Address(_issuer(token)))


def _mint(world: World, token: Token, target: str, amount: int) -> Made:
    issuer = _issuer(token)
    return (issuer,), lambda _now: Outcome(VOID, (world.bank.transfer(token.contract, issuer, target, amount),))


def _clawback(world: World, token: Token, holder: str, amount: int) -> Made:
    return (_issuer(token),), lambda _now: Outcome(VOID, (world.bank.clawback(token.contract, holder, amount),))


# --- the vault ----------------------------------------------------------------------------------


def _contracts_only(_world: World, vault: Vault, _amount: int) -> Made:
    def run(_now: int) -> Outcome:
        raise Trapped(
            ErrorType.AUTH, ErrorCode.INVALID_ACTION, "only a contract can do that here", contract=vault.contract
        )

    return (), run


def _value(_world: World, vault: Vault, shares: int) -> Made:
    return (), lambda now: Outcome(I128(vault.get_value(now, shares)))


def _interest(_world: World, vault: Vault, amount: int) -> Made:
    return (), lambda now: Outcome(I128(vault.get_accrued_interest(now, amount)))


def _set_paused(_world: World, vault: Vault, is_paused: bool) -> Made:
    return (vault.admin,), lambda _now: vault.set_paused(is_paused)


# --- the first stream contract ------------------------------------------------------------------


def _v1_create(
    _world: World,
    v1: StreamsV1,
    sender: str,
    receiver: str,
    token: str,
    total: int,
    start: int,
    cliff: int,
    end: int,
    curve: int,
    is_soulbound: bool,
) -> Made:
    def run(now: int) -> Outcome:
        if token not in v1.bank.tokens:
            raise _no_token(token)
        return v1.create_stream(now, sender, receiver, token, total, start, cliff, end, Curve(curve), is_soulbound)

    return (sender,), run


def _by_caller(function: str) -> Maker:
    """Return the maker of a function of a stream and the address that acts and authorises."""

    def make(_world: World, contract: Contract, stream_id: int, caller: str, *more: Any) -> Made:
        method = getattr(contract, function)
        return (caller,), lambda now: method(now, stream_id, caller, *more)

    return make


def _v1_get(_world: World, v1: StreamsV1, stream_id: int) -> Made:
    return (), lambda _now: Outcome(v1.get_stream(stream_id).shown())


def _v1_propose(_world: World, v1: StreamsV1, sender: str, *terms: Any) -> Made:
    return (sender,), lambda now: v1.create_proposal(now, sender, *terms)


def _v1_approve(_world: World, v1: StreamsV1, proposal_id: int, approver: str) -> Made:
    proposal = v1.proposals.get(proposal_id)
    also = () if proposal is None or not proposal.executes_with(approver) else (proposal.sender,)
    return tuple(dict.fromkeys((approver, *also))), lambda now: v1.approve_proposal(now, proposal_id, approver)


def _v1_upgrade(world: World, v1: StreamsV1, admin: str, wasm: bytes) -> Made:
    def run(_now: int) -> Outcome:
        if admin != world.admin:  # the contract returns without a word
            return Outcome(VOID)
        if world.code(wasm) is None:
            raise Trapped(ErrorType.STORAGE, ErrorCode.MISSING_VALUE, "Wasm does not exist", contract=v1.contract)
        return v1.upgrade(admin, wasm)

    return (admin,), run


# --- the second stream contract -----------------------------------------------------------------


def _v2_create(_world: World, v2: StreamsV2, fields: dict[str, Any]) -> Made:
    args = StreamArgs.of(fields)
    return (args.sender,), lambda now: v2.create_stream(now, args)


def _v2_batch(_world: World, v2: StreamsV2, batch: tuple[dict[str, Any], ...]) -> Made:
    streams = [StreamArgs.of(fields) for fields in batch]
    return tuple(args.sender for args in streams[:1]), lambda now: v2.create_batch_streams(now, streams)


def _v2_migrate(world: World, v2: StreamsV2, v1_contract: str, v1_stream_id: int, caller: str) -> Made:
    found = world.contract(v1_contract)
    v1 = found if isinstance(found, StreamsV1) else None
    return (caller,), lambda now: v2.migrate_stream(now, v1, v1_stream_id, caller)


def _v2_cancel(_world: World, v2: StreamsV2, stream_id: int, caller: str) -> Made:
    stream = v2.streams.get(stream_id)
    is_mutual = stream is not None and stream.cancellation_type == 1
    authorisers = tuple(dict.fromkeys((stream.sender, stream.receiver))) if stream and is_mutual else (caller,)
    return authorisers, lambda now: v2.cancel(now, stream_id, caller)


def _of_party(function: str, party: str | None) -> Maker:
    """Return the maker of a function of a stream that one of its parties authorises, whom it does not name."""

    def make(_world: World, v2: StreamsV2, stream_id: int, *more: Any) -> Made:
        stream = v2.streams.get(stream_id)
        authorisers = () if stream is None or party is None else (getattr(stream, party),)
        method = getattr(v2, function)
        return authorisers, lambda now: method(now, stream_id, *more)

    return make


def _of_admin(function: str) -> Maker:
    def make(_world: World, v2: StreamsV2, *more: Any) -> Made:
        method = getattr(v2, function)
        return (v2.admin,), lambda now: method(now, *more)

    return make


def _of_nobody(function: str) -> Maker:
    def make(_world: World, contract: Contract, *more: Any) -> Made:
        method = getattr(contract, function)
        return (), lambda now: method(now, *more)

    return make


def _about_token(maker: Maker) -> Maker:
    """Return a maker that refuses a token that does not exist, as the call of its ``balance`` would."""

    def make(world: World, v2: StreamsV2, token: str) -> Made:
        authorisers, run = maker(world, v2, token)

        def checked(now: int) -> Outcome:
            if token not in v2.bank.tokens:
                raise _no_token(token)
            return run(now)

        return authorisers, checked

    return make


def _v2_withdraw_meta(
    _world: World,
    v2: StreamsV2,
    stream_id: int,
    amount: int,
    relayer_fee: int,
    relayer: str,
    public_key: bytes,
    nonce: int,
    deadline: int,
    signature: bytes,
) -> Made:
    message = withdraw_meta_message(v2.contract, stream_id, amount, relayer_fee, nonce, deadline)
    return (), lambda now: v2.withdraw_meta(
        now, stream_id, amount, relayer_fee, relayer, public_key, nonce, deadline, (signature, message)
    )


def withdraw_meta_message(
    contract: str, stream_id: int, amount: int, relayer_fee: int, nonce: int, deadline: int
) -> bytes:
    """Return what a beneficiary signs so that a relayer may withdraw for it: a sha256."""
    return sha256(
        b"".join(
            (
                b"STELLARSTREAM_WITHDRAW_META_V2",
                encode(Address(contract)),
                stream_id.to_bytes(8, "big"),
                amount.to_bytes(16, "big", signed=True),
                relayer_fee.to_bytes(16, "big", signed=True),
                nonce.to_bytes(8, "big"),
                deadline.to_bytes(8, "big"),
            )
        )
    ).digest()


def _v2_fees(_world: World, v2: StreamsV2, recipient: str, token: str) -> Made:
    return (), _told(I128(v2.fees.get(token, 0) if recipient == v2.treasury else 0))


def _no_token(token: str) -> UnknownCall:
    return UnknownCall(
        ErrorType.STORAGE,
        ErrorCode.MISSING_VALUE,
        "trying to get non-existing value for contract instance",
        contract=token,
    )


# --- the rest -----------------------------------------------------------------------------------


def _increment(_world: World, counter: Counter) -> Made:
    return (), lambda _now: counter.increment()


def _note(_world: World, silent: Silent, text: bytes | str) -> Made:
    return (), lambda _now: silent.note(text.encode() if isinstance(text, str) else text)


def _distribute(world: World, airdrop: Airdrop, source: str, token: str, amount: int, count: int) -> Made:
    def run(_now: int) -> Outcome:
        if token not in world.bank.tokens:
            raise _no_token(token)
        return airdrop.distribute(source, token, amount, count)

    return (source,), run


# --- who answers what ---------------------------------------------------------------------------

_READ, _WRITE = True, False

_TOKEN: dict[str, tuple[Maker, bool]] = {
    "allowance": (_allowance, _READ),
    "approve": (_approve, _WRITE),
    "balance": (_balance, _READ),
    "decimals": (lambda _world, _token: ((), _told(U32(DECIMALS))), _READ),
    "name": (_name, _READ),
    "symbol": (_symbol, _READ),
    "transfer": (_transfer, _WRITE),
    "transfer_from": (_transfer_from, _WRITE),
}

_MAKERS: dict[int, dict[str, tuple[Maker, bool]]] = {
    id(interfaces.TOKEN): _TOKEN,
    id(interfaces.ASSET): {
        **_TOKEN,
        "admin": (_admin, _READ),
        "clawback": (_clawback, _WRITE),
        "mint": (_mint, _WRITE),
    },
    id(interfaces.VAULT): {
        "deposit": (_contracts_only, _WRITE),
        "withdraw": (_contracts_only, _WRITE),
        "get_value": (_value, _READ),
        "get_accrued_interest": (_interest, _READ),
        "set_paused": (_set_paused, _WRITE),
    },
    id(interfaces.STREAMS_V1): {
        "create_stream": (_v1_create, _WRITE),
        "withdraw": (_by_caller("withdraw"), _WRITE),
        "cancel": (_by_caller("cancel"), _WRITE),
        "pause_stream": (_by_caller("pause_stream"), _WRITE),
        "resume_stream": (_by_caller("resume_stream"), _WRITE),
        "unpause_stream": (_by_caller("resume_stream"), _WRITE),
        "top_up_stream": (_by_caller("top_up_stream"), _WRITE),
        "get_stream": (_v1_get, _READ),
        "create_proposal": (_v1_propose, _WRITE),
        "approve_proposal": (_v1_approve, _WRITE),
        "upgrade": (_v1_upgrade, _WRITE),
    },
    id(interfaces.STREAMS_V2): {
        "create_stream": (_v2_create, _WRITE),
        "create_batch_streams": (_v2_batch, _WRITE),
        "migrate_stream": (_v2_migrate, _WRITE),
        "withdraw": (_by_caller("withdraw"), _WRITE),
        "withdraw_meta": (_v2_withdraw_meta, _WRITE),
        "cancel": (_v2_cancel, _WRITE),
        "top_up": (_by_caller("top_up"), _WRITE),
        "transfer_beneficiary": (_of_party("transfer_beneficiary", "beneficiary"), _WRITE),
        "split_stream": (_of_party("split_stream", "beneficiary"), _WRITE),
        "close_and_archive": (_by_caller("close_and_archive"), _WRITE),
        "propose_rate": (_of_party("propose_rate", "sender"), _WRITE),
        "accept_rate": (_of_party("accept_rate", "receiver"), _WRITE),
        "cancel_rate_proposal": (_of_party("cancel_rate_proposal", None), _WRITE),
        "get_pending_rate_update": (_of_nobody("get_pending_rate_update"), _READ),
        "refill_stream": (_of_party("refill_stream", None), _WRITE),
        "rebalance_after_clawback": (_about_token(_of_admin("rebalance_after_clawback")), _WRITE),
        "check_balance_integrity": (_about_token(_of_nobody("check_balance_integrity")), _READ),
        "get_stream": (_of_nobody("get_stream"), _READ),
        "get_streams_batch": (_of_nobody("get_streams_batch"), _READ),
        "predict_balance_at": (_of_nobody("predict_balance_at"), _READ),
        "get_withdrawal_nonce": (_of_nobody("get_withdrawal_nonce"), _READ),
        "withdraw_treasury": (_of_admin("withdraw_treasury"), _WRITE),
        "get_pending_fees": (_v2_fees, _READ),
        "get_treasury": (lambda _world, v2: ((), _told(option(Address(v2.treasury)))), _READ),
        "get_fee_bps": (lambda _world, _v2: ((), _told(U32(FEE_BPS))), _READ),
        "is_asset_whitelisted": (lambda _world, v2, asset: ((), _told(Bool(asset in v2.bank.tokens))), _READ),
        "pause": (_of_admin("pause"), _WRITE),
        "unpause": (_of_admin("unpause"), _WRITE),
        "is_paused": (lambda _world, v2: ((), _told(Bool(v2.is_paused))), _READ),
    },
    id(interfaces.COUNTER): {"increment": (_increment, _WRITE)},
    id(interfaces.SILENT): {"note": (_note, _WRITE)},
    id(interfaces.AIRDROP): {"distribute": (_distribute, _WRITE)},
    id(interfaces.ODDITIES): {},
}
"""By the identity of an interface: its functions, and whether each only reads."""
