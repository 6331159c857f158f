"""What the tests of the chain client share: envelopes, events and node answers made by stellar_sdk."""

from __future__ import annotations

from base64 import b64encode
from contextlib import asynccontextmanager

from stellar_sdk import (
    Account,
    Keypair,
    SorobanDataBuilder,
    StrKey,
    TransactionBuilder,
    scval,
    xdr,
)

from stellarstream_core.testing.rpc_history import MadeHistory
from stellarstream_core.testing.rpc_node import Faults
from stellarstream_core.testing.rpc_transactions import MadeSubmissions
from stellarstream_soroban_rpc.chain_client import SorobanRpcChainClient
from tests.soroban_rpc.kit import PASSPHRASE, A, Clock, node, settings

DEAD = "http://127.0.0.1:9"
LATEST = 1_000
SECRET = "sEcReTkEy12345"
WHO = Keypair.from_raw_ed25519_seed(b"\7" * 32)


def envelope(sequence: int = 7, *, signed: bool = True, function: str = "withdraw"):
    """Return a TransactionEnvelope of a contract call."""
    builder = TransactionBuilder(Account(WHO.public_key, sequence), PASSPHRASE, base_fee=1_000)
    made = builder.set_timeout(60).append_invoke_contract_function_op(A, function, [scval.to_uint64(3)]).build()
    if signed:
        made.sign(WHO)
    return made


def raw(made) -> bytes:
    return made.to_xdr_object().to_xdr_bytes()


def text(made) -> str:
    """Return an XDR object, or bytes, in base64."""
    return b64encode(made if isinstance(made, bytes) else made.to_xdr_bytes()).decode()


def contract_event(name: str = "claim", number: int = 1, kind=xdr.ContractEventType.CONTRACT, contract: str | None = A):
    contract_id = None
    if contract is not None:
        contract_id = xdr.ContractID(xdr.Hash(StrKey.decode_contract(contract)))
    body = xdr.ContractEventBody(
        0, xdr.ContractEventV0([scval.to_uint64(number), scval.to_symbol(name)], scval.to_vec([scval.to_int128(5)]))
    )
    return xdr.ContractEvent(xdr.ExtensionPoint(0), contract_id, kind, body)


def diagnostic(made=None, *, successful: bool = True):
    return xdr.DiagnosticEvent(successful, made if made is not None else contract_event())


def authorization():
    call = xdr.InvokeContractArgs(
        scval.to_address(A).address, xdr.SCSymbol(b"withdraw"), [scval.to_uint64(3), scval.to_bytes(b"12345")]
    )
    return xdr.SorobanAuthorizationEntry(
        xdr.SorobanCredentials(xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT),
        xdr.SorobanAuthorizedInvocation(
            xdr.SorobanAuthorizedFunction(
                xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN, call
            ),
            [],
        ),
    )


def transaction_data(fee: int = 12_345):
    return SorobanDataBuilder().set_resource_fee(fee).build()


def simulated(**other) -> dict:
    """Return a ``simulateTransaction`` result as a node of stellar-rpc 28 sends it."""
    return {
        "transactionData": text(transaction_data()),
        "minResourceFee": "58181",
        "events": [text(diagnostic())],
        "results": [{"auth": [text(authorization())], "xdr": text(scval.to_int128(900))}],
        "stateChanges": [{"type": "updated", "key": "?", "before": "?", "after": "?"}],
        "latestLedger": LATEST,
        **other,
    }


def chain_node(*, latest: int = LATEST, faults=(), methods=(), oldest: int = 1, **options):
    """Return a node whose faults meet the three methods."""
    watched = methods or ("simulateTransaction", "sendTransaction", "getTransaction")
    return node(MadeHistory([], oldest, latest), faults=Faults(faults, methods=watched), **options)


def relay_node(submissions: MadeSubmissions | None = None, **options):
    """Return a node that takes transactions; several may share their submissions, as nodes of one network do."""
    made = chain_node(**options)
    shared = submissions or MadeSubmissions(PASSPHRASE)
    made.send, made.transaction, made.submissions = shared.send, shared.transaction, shared
    return made


@asynccontextmanager
async def chain(*nodes, clock: Clock | None = None, real_time: bool = False, **own):
    urls = [one if isinstance(one, str) else one.url for one in nodes]
    opened = SorobanRpcChainClient(settings(*urls, **own), None if real_time else (clock or Clock()).timing)
    try:
        yield opened
    finally:
        await opened.close()
