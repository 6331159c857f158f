"""A wallet's envelope taken apart: everything that decides whether and how a transaction is applied.

stellar-sdk reads the XDR, because what wallets sign with it (and with its siblings) must be judged by the same
reading. It takes most of a second to import, so it is imported with the first envelope and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, encode
from stellarstream_sandbox import values as v
from stellarstream_sandbox.pack import ZERO, u32

MAX_ENVELOPE = 128 * 1024
"""Bytes a transaction may have: ``txMaxSizeBytes`` of the network's settings, about."""

_TX_V0 = u32(0)
_TX = u32(2)
_TX_FEE_BUMP = u32(5)

OP_CREATE_ACCOUNT = 0
OP_PAYMENT = 1
OP_CHANGE_TRUST = 6
OP_INVOKE_HOST_FUNCTION = 24
OP_EXTEND_FOOTPRINT_TTL = 25
OP_RESTORE_FOOTPRINT = 26
_OPERATION_NAMES = tuple(
    f"OperationType{name}"
    for name in (
        *("CreateAccount", "Payment", "PathPaymentStrictReceive", "ManageSellOffer", "CreatePassiveSellOffer"),
        *("SetOptions", "ChangeTrust", "AllowTrust", "AccountMerge", "Inflation", "ManageData", "BumpSequence"),
        *("ManageBuyOffer", "PathPaymentStrictSend", "CreateClaimableBalance", "ClaimClaimableBalance"),
        *("BeginSponsoringFutureReserves", "EndSponsoringFutureReserves", "RevokeSponsorship", "Clawback"),
        *("ClawbackClaimableBalance", "SetTrustLineFlags", "LiquidityPoolDeposit", "LiquidityPoolWithdraw"),
        *("InvokeHostFunction", "ExtendFootprintTtl", "RestoreFootprint"),
    )
)
_SOROBAN = frozenset({OP_INVOKE_HOST_FUNCTION, OP_EXTEND_FOOTPRINT_TTL, OP_RESTORE_FOOTPRINT})


class MalformedEnvelopeError(Exception):
    """The bytes are no ``TransactionEnvelope``."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A ``DecoratedSignature``."""

    hint: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call as XDR has it: arguments are ScVal bytes. Two of them are equal where their bytes are."""

    contract: str
    function: str
    args: tuple[bytes, ...]

    @property
    def is_of_contract(self) -> bool:
        """Whether what is called is a contract; XDR allows any address there."""
        return self.contract.startswith("C")


@dataclass(frozen=True, slots=True)
class AuthTree:
    """A ``SorobanAuthorizedInvocation``: the call and those below it. None is a function that creates a contract."""

    call: Invocation | None
    below: tuple[AuthTree, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthEntry:
    """A ``SorobanAuthorizationEntry``.

    ``address`` is None for the credentials of the transaction's source. ``payload`` is the sha256 that the
    signatures are over, None for credentials that the sandbox does not know (those with delegates).
    """

    tree: AuthTree
    address: str | None = None
    nonce: int = 0
    expires: int = 0
    signature: bytes = b""
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: ``source`` is a G… id, ``type`` an ``OperationType``. What is no subclass is not applied."""

    source: str
    type: int

    @property
    def name(self) -> str:
        """The type as Go's XDR library writes it."""
        return _OPERATION_NAMES[self.type] if self.type < len(_OPERATION_NAMES) else str(self.type)


@dataclass(frozen=True, slots=True)
class CreateAccount(Operation):
    """Make an account with a first balance in stroops."""

    target: str
    balance: int


@dataclass(frozen=True, slots=True)
class Pay(Operation):
    """Pay ``amount`` of an asset (XDR); ``target_id`` is the id of a muxed target."""

    target: str
    asset: bytes
    amount: int
    target_id: int | None


@dataclass(frozen=True, slots=True)
class ChangeTrust(Operation):
    """Make, change or (``limit`` 0) end a trust line; ``asset`` is XDR, None for a pool's shares."""

    asset: bytes | None
    issuer: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class Invoke(Operation):
    """Call a contract; ``call`` is None for a host function that is no call."""

    call: Invocation | None
    auth: tuple[AuthEntry, ...]


@dataclass(frozen=True, slots=True)
class Preconditions:
    """When and after what a transaction may be applied; 0 is no bound."""

    min_time: int = 0
    max_time: int = 0
    min_ledger: int = 0
    max_ledger: int = 0
    min_sequence: int | None = None
    min_sequence_age: int = 0
    min_sequence_gap: int = 0
    extra_signers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SorobanData:
    """``SorobanTransactionData``: the declared resource fee in stroops and the keys of the footprint as XDR."""

    resource_fee: int
    read_only: tuple[bytes, ...]
    read_write: tuple[bytes, ...]

    @property
    def footprint(self) -> frozenset[bytes]:
        """All keys."""
        return frozenset(self.read_only + self.read_write)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A transaction as it was handed in.

    ``envelope`` are the bytes that go into the ledger, ``hash`` the outer hash of a fee bump. ``fee`` is the
    transaction's own bid in stroops, ``bump_fee`` that of the fee bump around it, whose ``payer`` pays then.
    ``memo`` is what a payment's event shows of it (CAP-67); ``returns`` tells a return hash from a plain one.
    """

    envelope: bytes
    hash: bytes
    inner_hash: bytes | None
    source: str
    sequence: int
    fee: int
    payer: str
    bump_fee: int | None
    preconditions: Preconditions
    memo: v.Value | None
    operations: tuple[Operation, ...]
    soroban: SorobanData | None
    signatures: tuple[Signature, ...]
    bump_signatures: tuple[Signature, ...] = ()
    returns: bool = False

    @property
    def content_hash(self) -> bytes:
        """The hash that the transaction's own signatures are over."""
        return self.hash if self.inner_hash is None else self.inner_hash

    @property
    def contracts(self) -> frozenset[str]:
        """The contracts that it calls."""
        calls = (operation.call for operation in self.operations if isinstance(operation, Invoke))
        return frozenset(call.contract for call in calls if call is not None)

    @property
    def is_soroban(self) -> bool:
        """Whether it calls a contract, or does something else that only Soroban has."""
        return any(operation.type in _SOROBAN for operation in self.operations)


def load() -> None:
    """Import what reading needs; takes its time, so it is better done aside."""
    from stellar_sdk import xdr  # noqa: F401, PLC0415 - most of a second to import


def read_envelope(raw: bytes, network: bytes) -> Incoming:
    """Take a ``TransactionEnvelope`` apart for the network of this id.

    Raises :class:`MalformedEnvelopeError` where the bytes are none. An envelope of the old form (``TX_V0``) is
    turned into the present one, as the network does.
    """
    from stellar_sdk import xdr  # noqa: PLC0415 - most of a second to import

    if len(raw) > MAX_ENVELOPE:
        raise MalformedEnvelopeError(f"{len(raw)} bytes are more than a transaction may have")
    if raw[:4] == _TX_V0:
        raw = _TX + ZERO + raw[4:]
    try:
        envelope = xdr.TransactionEnvelope.from_xdr_bytes(raw)
        if envelope.to_xdr_bytes() != raw:
            raise MalformedEnvelopeError("not in the one form that XDR allows")
        if raw[:4] == _TX_FEE_BUMP:
            return _fee_bump(raw, envelope.fee_bump, network)
        return _transaction(raw, envelope.v1, network)
    except MalformedEnvelopeError:
        raise
    except Exception as error:  # stellar-sdk raises whatever its reading stumbles over
        raise MalformedEnvelopeError(f"{type(error).__name__}: {error}") from None


def _fee_bump(raw: bytes, bump: Any, network: bytes) -> Incoming:
    inner = bump.tx.inner_tx.v1
    found = _transaction(_TX + inner.to_xdr_bytes(), inner, network)
    return Incoming(
        raw,
        sha256(network + _TX_FEE_BUMP + bump.tx.to_xdr_bytes()).digest(),
        found.hash,
        found.source,
        found.sequence,
        found.fee,
        _muxed(bump.tx.fee_source)[0],
        bump.tx.fee.int64,
        found.preconditions,
        found.memo,
        found.operations,
        found.soroban,
        found.signatures,
        _signatures(bump.signatures),
        found.returns,
    )


def _transaction(raw: bytes, signed: Any, network: bytes) -> Incoming:
    tx = signed.tx
    source = _muxed(tx.source_account)[0]
    data = tx.ext.soroban_data
    soroban = None
    if data is not None:
        footprint = data.resources.footprint
        soroban = SorobanData(
            data.resource_fee.int64,
            tuple(key.to_xdr_bytes() for key in footprint.read_only),
            tuple(key.to_xdr_bytes() for key in footprint.read_write),
        )
    return Incoming(
        raw,
        sha256(network + _TX + tx.to_xdr_bytes()).digest(),
        None,
        source,
        tx.seq_num.sequence_number.int64,
        tx.fee.uint32,
        source,
        None,
        _preconditions(tx.cond),
        _memo(tx.memo),
        tuple(_operation(operation, source, network) for operation in tx.operations),
        soroban,
        _signatures(signed.signatures),
        returns=tx.memo.ret_hash is not None,
    )


def _preconditions(cond: Any) -> Preconditions:
    bounds = cond.time_bounds if cond.v2 is None else cond.v2.time_bounds
    min_time = 0 if bounds is None else bounds.min_time.time_point.uint64
    max_time = 0 if bounds is None else bounds.max_time.time_point.uint64
    if cond.v2 is None:
        return Preconditions(min_time, max_time)
    more = cond.v2
    ledgers = more.ledger_bounds
    return Preconditions(
        min_time,
        max_time,
        0 if ledgers is None else ledgers.min_ledger.uint32,
        0 if ledgers is None else ledgers.max_ledger.uint32,
        None if more.min_seq_num is None else more.min_seq_num.sequence_number.int64,
        more.min_seq_age.duration.uint64,
        more.min_seq_ledger_gap.uint32,
        tuple(signer.to_xdr_bytes() for signer in more.extra_signers),
    )


def _memo(memo: Any) -> v.Value | None:
    if memo.text is not None:
        return v.Text(bytes(memo.text))
    if memo.id is not None:
        return v.U64(memo.id.uint64)
    for digest in (memo.hash, memo.ret_hash):
        if digest is not None:
            return v.Bytes(digest.hash)
    return None


def _operation(operation: Any, tx_source: str, network: bytes) -> Operation:
    source = tx_source if operation.source_account is None else _muxed(operation.source_account)[0]
    body = operation.body
    kind = int(body.type)
    if kind == OP_CREATE_ACCOUNT:
        create = body.create_account_op
        return CreateAccount(source, kind, _account(create.destination), create.starting_balance.int64)
    if kind == OP_PAYMENT:
        pay = body.payment_op
        target, target_id = _muxed(pay.destination)
        return Pay(source, kind, target, pay.asset.to_xdr_bytes(), pay.amount.int64, target_id)
    if kind == OP_CHANGE_TRUST:
        line = body.change_trust_op.line
        alphanum = line.alpha_num4 or line.alpha_num12
        is_pool = line.liquidity_pool is not None
        return ChangeTrust(
            source,
            kind,
            None if is_pool else line.to_xdr_bytes(),
            None if alphanum is None else _account(alphanum.issuer),
            body.change_trust_op.limit.int64,
        )
    if kind == OP_INVOKE_HOST_FUNCTION:
        invoke = body.invoke_host_function_op
        args = invoke.host_function.invoke_contract
        auth = tuple(_auth_entry(entry, network) for entry in invoke.auth)
        return Invoke(source, kind, None if args is None else _invocation(args), auth)
    return Operation(source, kind)


def _invocation(args: Any) -> Invocation:
    return Invocation(
        _address(args.contract_address),
        args.function_name.sc_symbol.decode("ascii"),
        tuple(arg.to_xdr_bytes() for arg in args.args),
    )


def _auth_entry(entry: Any, network: bytes) -> AuthEntry:
    from stellar_sdk import xdr  # noqa: PLC0415 - most of a second to import

    tree = _tree(entry.root_invocation)
    credentials = entry.credentials
    kinds = xdr.SorobanCredentialsType
    if credentials.type == kinds.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT:
        return AuthEntry(tree)
    payload: bytes | None = None
    if credentials.type == kinds.SOROBAN_CREDENTIALS_ADDRESS:
        found = credentials.address
        signed = u32(xdr.EnvelopeType.ENVELOPE_TYPE_SOROBAN_AUTHORIZATION), b""
    elif credentials.type == kinds.SOROBAN_CREDENTIALS_ADDRESS_V2:
        found = credentials.address_v2
        signed = u32(xdr.EnvelopeType.ENVELOPE_TYPE_SOROBAN_AUTHORIZATION_WITH_ADDRESS), found.address.to_xdr_bytes()
    else:
        found = credentials.address_with_delegates.address_credentials
        signed = None
    if signed is not None:
        kind, address = signed
        bounds = found.nonce.to_xdr_bytes() + found.signature_expiration_ledger.to_xdr_bytes()
        payload = sha256(kind + network + bounds + address + entry.root_invocation.to_xdr_bytes()).digest()
    return AuthEntry(
        tree,
        _address(found.address),
        found.nonce.int64,
        found.signature_expiration_ledger.uint32,
        found.signature.to_xdr_bytes(),
        payload,
    )


def _tree(node: Any) -> AuthTree:
    args = node.function.contract_fn
    below = tuple(_tree(one) for one in node.sub_invocations)
    return AuthTree(None if args is None else _invocation(args), below)


def _signatures(signatures: Sequence[Any]) -> tuple[Signature, ...]:
    return tuple(Signature(one.hint.signature_hint, one.signature.signature) for one in signatures)


def _account(account: Any) -> str:
    return encode(VERSION_ACCOUNT, account.account_id.ed25519.uint256)


def _muxed(account: Any) -> tuple[str, int | None]:
    """Return the G… id, and the id of a muxed account."""
    if account.ed25519 is not None:
        return encode(VERSION_ACCOUNT, account.ed25519.uint256), None
    return encode(VERSION_ACCOUNT, account.med25519.ed25519.uint256), account.med25519.id.uint64


def _address(address: Any) -> str:
    from stellar_sdk import Address  # noqa: PLC0415 - most of a second to import

    return Address.from_xdr_sc_address(address).address
