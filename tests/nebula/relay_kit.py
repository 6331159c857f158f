"""What the tests of transactions share: wallets, a chain that says what it is told to, calls made with stellar_sdk."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from stellar_sdk import (
    Account,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    Operation,
    SorobanDataBuilder,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.operation import InvokeHostFunction

from stellarstream_core.chain import (
    ChainTransaction,
    DiagnosticEvent,
    SendStatus,
    Sent,
    Simulation,
    TransactionStatus,
)
from stellarstream_core.errors import SourceUnavailableError
from stellarstream_core.settings import NETWORKS
from stellarstream_core.testing.chain import ScriptedChain
from stellarstream_core.testing.scripted import made_contract
from stellarstream_core.xdr.account import account_ledger_key
from stellarstream_core.xdr.scval import Arm, ErrorCode, ErrorType, ScError, ScValue, encode_scval
from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.transactions.service import Transactions
from tests.api.kit import Running

PASSPHRASE = NETWORKS["sandbox"].passphrase
PUBNET = NETWORKS["pubnet"].passphrase
FIRST, SECOND, TOKEN, VAULT, FOREIGN = (made_contract(number) for number in range(5))
FAMILIES = {FIRST: V1, SECOND: V2}
NOW = 1_780_000_000


def wallet(number: int) -> Keypair:
    return Keypair.from_raw_ed25519_seed(sha256(f"wallet {number}".encode()).digest())


ALICE, BOB, CAROL, STRANGER = (wallet(number) for number in range(4))


def account_data(
    account: str,
    sequence: int = 7,
    signers: Mapping[str, int] | None = None,
    master: int = 1,
    thresholds: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    """Return the XDR of an account's ``LedgerEntryData``."""
    entry = xdr.AccountEntry(
        account_id=Keypair.from_public_key(account).xdr_account_id(),
        balance=xdr.Int64(10**10),
        seq_num=xdr.SequenceNumber(xdr.Int64(sequence)),
        num_sub_entries=xdr.Uint32(0),
        inflation_dest=None,
        flags=xdr.Uint32(0),
        home_domain=xdr.String32(b""),
        thresholds=xdr.Thresholds(bytes([master, *thresholds])),
        signers=[
            xdr.Signer(
                xdr.SignerKey(
                    xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519,
                    ed25519=xdr.Uint256(Keypair.from_public_key(key).raw_public_key()),
                ),
                xdr.Uint32(weight),
            )
            for key, weight in (signers or {}).items()
        ],
        ext=xdr.AccountEntryExt(0),
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=entry).to_xdr_bytes()


def give_chain(api: Running, chain: Chain) -> None:
    """Let a running service read a chain from now on, with what it keeps for its own made anew."""

    async def renew() -> None:
        await api.service.close_parts()
        api.service.chain = chain
        api.service._parts[Transactions] = Transactions(api.service, clock=lambda: time.monotonic() + chain.skipped)

    api.run(renew())


class Chain(ScriptedChain):
    """A scripted chain with accounts. ``answers`` are what is said to each envelope handed in: a status, an error
    to raise, or a whole answer; when they are used up every one is taken. ``skipped`` seconds put
    the service's clock on."""

    skipped = 0.0

    def __init__(self, *accounts: Keypair, ledger: int = 100) -> None:
        super().__init__(ledger)
        self.answers: list[SendStatus | Sent | Exception] = []
        self.closed_at = NOW
        self.oldest = 1
        for account in accounts:
            self.account(account.public_key)

    def account(self, account: str, **more: object) -> None:
        self.entries[account_ledger_key(account)] = account_data(account, **more)

    async def send(self, envelope: bytes) -> Sent:
        self.asked["send"] = self.asked.get("send", 0) + 1
        if self.down:
            raise SourceUnavailableError("Nobody answers.")
        self.handed.append(envelope)
        answer = self.answers.pop(0) if self.answers else SendStatus.PENDING
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Sent) else Sent("0" * 64, answer, self.ledger)

    async def transaction(self, tx_hash: str) -> ChainTransaction:
        self._count("transaction")
        unknown = ChainTransaction(TransactionStatus.NOT_FOUND, self.ledger, self.closed_at, self.oldest)
        return self.fate.get(tx_hash, unknown)

    def applied(self, tx_hash: str, ledger: int, result: bytes | None = None, events: Sequence = ()) -> None:
        """Let the chain have a transaction: applied well without ``result``, else failed with it."""
        status = TransactionStatus.SUCCESS if result is None else TransactionStatus.FAILED
        self.fate[tx_hash] = ChainTransaction(
            status, max(self.ledger, ledger), self.closed_at, self.oldest, ledger, result, tuple(events)
        )


class Names:
    """Names contracts' errors from a table."""

    def __init__(self, names: Mapping[tuple[str, int], str] | None = None) -> None:
        self.names = names or {}

    async def error_name(self, contract: str, code: int) -> str | None:
        return self.names.get((contract, code))


# --- simulations --------------------------------------------------------------------------------


def soroban_data(resource_fee: int = 12_345) -> bytes:
    return SorobanDataBuilder().set_resource_fee(resource_fee).set_resources(1_000, 200, 100).build().to_xdr_bytes()


def own_auth(envelope: bytes, credentials: xdr.SorobanCredentials | None = None) -> bytes:
    """Return the authorization of an envelope's own call, by its source account if nothing else is said."""
    call = operation_of(envelope).host_function.invoke_contract
    return authorization(call, credentials)


def authorization(call: xdr.InvokeContractArgs, credentials: xdr.SorobanCredentials | None = None) -> bytes:
    function = xdr.SorobanAuthorizedFunction(
        xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN, contract_fn=call
    )
    by_source = xdr.SorobanCredentials(xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT)
    entry = xdr.SorobanAuthorizationEntry(credentials or by_source, xdr.SorobanAuthorizedInvocation(function, []))
    return entry.to_xdr_bytes()


def by_address(account: Keypair, *, signed: bool) -> xdr.SorobanCredentials:
    signature = xdr.SCVal(xdr.SCValType.SCV_VEC, vec=xdr.SCVec([])) if signed else xdr.SCVal(xdr.SCValType.SCV_VOID)
    return xdr.SorobanCredentials(
        xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS,
        address=xdr.SorobanAddressCredentials(
            address=xdr.SCAddress(xdr.SCAddressType.SC_ADDRESS_TYPE_ACCOUNT, account_id=account.xdr_account_id()),
            nonce=xdr.Int64(5),
            signature_expiration_ledger=xdr.Uint32(500),
            signature=signature,
        ),
    )


def by_delegates(account: Keypair, delegate: Keypair, *, signed: bool) -> xdr.SorobanCredentials:
    """Return credentials of an account that signs nothing itself, and leaves that to a delegate."""
    address = by_address(account, signed=False).address
    given = by_address(delegate, signed=signed).address
    return xdr.SorobanCredentials(
        xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS_WITH_DELEGATES,
        address_with_delegates=xdr.SorobanAddressCredentialsWithDelegates(
            address, [xdr.SorobanDelegateSignature(given.address, given.signature, [])]
        ),
    )


def operation_of(envelope: bytes) -> InvokeHostFunction:
    found = TransactionEnvelope.from_xdr_object(xdr.TransactionEnvelope.from_xdr_bytes(envelope), PASSPHRASE)
    (operation,) = found.transaction.operations
    assert isinstance(operation, InvokeHostFunction)
    return operation


def works(events: Iterable[DiagnosticEvent] = (), result: bytes | None = None, **more: object):
    """Return a simulation that succeeds, for :attr:`Chain.simulation`."""

    def simulate(envelope: bytes) -> Simulation:
        values = {"data": soroban_data(), "min_resource_fee": 12_345, "auth": (own_auth(envelope),), **more}
        return Simulation(100, result=result or encode_scval(ScValue(Arm.VOID, None)), events=tuple(events), **values)

    return simulate


def symbol(text: str) -> ScValue:
    return ScValue(Arm.SYMBOL, text)


def diagnostic(contract: str | None, *topics: ScValue, value: ScValue | None = None) -> DiagnosticEvent:
    data = encode_scval(value or ScValue(Arm.VOID, None))
    return DiagnosticEvent(contract, "diagnostic", tuple(map(encode_scval, topics)), data, False)


def fails(contract: str | None, kind: ErrorType, code: int) -> DiagnosticEvent:
    """Return the diagnostic event of an error that passed a contract."""
    number = code if kind is ErrorType.CONTRACT else ErrorCode(code)
    return diagnostic(contract, symbol("error"), ScValue(Arm.ERROR, ScError(kind, number)), value=symbol("why"))


# --- what wallets do ----------------------------------------------------------------------------


def withdrawal(stream_id: int = 3, account: Keypair = ALICE) -> list[xdr.SCVal]:
    values = (ScValue(Arm.U64, stream_id), ScValue(Arm.ADDRESS, account.public_key))
    return [xdr.SCVal.from_xdr_bytes(encode_scval(value)) for value in values]


def drafted(
    contract: str = SECOND,
    function: str = "withdraw",
    *,
    source: Keypair = ALICE,
    arguments: list[xdr.SCVal] | None = None,
    operations: Sequence[Operation] | None = None,
    auth: Sequence[bytes] = (),
    prepared: bool = True,
    bounds: tuple[int, int] | None = (0, NOW + 300),
    passphrase: str = PASSPHRASE,
    sequence: int = 7,
) -> TransactionEnvelope:
    """Return an envelope as a wallet has it before it signs."""
    builder = TransactionBuilder(Account(source.public_key, sequence), passphrase, base_fee=1_000)
    if bounds is not None:
        builder.add_time_bounds(*bounds)
    if operations is None:
        builder.append_invoke_contract_function_op(
            contract,
            function,
            withdrawal(account=source) if arguments is None else arguments,
            auth=[xdr.SorobanAuthorizationEntry.from_xdr_bytes(entry) for entry in auth],
        )
    else:
        for operation in operations:
            builder.append_operation(operation)
    if prepared:
        builder.set_soroban_data(soroban_data_object())
    with warnings.catch_warnings():  # it warns of an envelope without an end, which is what some tests are about
        warnings.simplefilter("ignore", UserWarning)
        return builder.build()


def soroban_data_object() -> xdr.SorobanTransactionData:
    return xdr.SorobanTransactionData.from_xdr_bytes(soroban_data())


def signed(envelope: TransactionEnvelope | FeeBumpTransactionEnvelope, *signers: Keypair) -> str:
    for signer in signers:
        envelope.sign(signer)
    return envelope.to_xdr()


def bumped(inner: TransactionEnvelope, source: Keypair) -> FeeBumpTransactionEnvelope:
    bump = FeeBumpTransaction(source.public_key, 50_000, inner)
    return FeeBumpTransactionEnvelope(bump, inner.network_passphrase)


def result_xdr(code: xdr.TransactionResultCode, operation: xdr.InvokeHostFunctionResultCode | None = None) -> bytes:
    """Return a ``TransactionResult`` of a code; of an operation that failed with txFAILED."""
    results = None
    if operation is not None:
        body = xdr.InvokeHostFunctionResult(operation)
        results = [
            xdr.OperationResult(
                xdr.OperationResultCode.opINNER,
                tr=xdr.OperationResultTr(xdr.OperationType.INVOKE_HOST_FUNCTION, invoke_host_function_result=body),
            )
        ]
    inner = xdr.TransactionResultResult(code, results=results)
    return xdr.TransactionResult(xdr.Int64(100), inner, xdr.TransactionResultExt(0)).to_xdr_bytes()
