"""What answers tell of transactions: unsigned ones, the stream that one would create, and what became of one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stellarstream_core.api.models import OrAbsent, Represented
from stellarstream_core.events import format_close_time
from stellarstream_nebula.model import StreamState
from stellarstream_nebula.served import version_of
from stellarstream_nebula.transactions.build import Built
from stellarstream_nebula.transactions.calls import Call, Terms
from stellarstream_nebula.transactions.envelope import MOST_BYTES
from stellarstream_nebula.transactions.relay import Fate
from stellarstream_nebula.transactions.store import State

SECONDS = 45.0
"""How long a route may take that asks the chain: two questions, each with its retries."""
LONGEST_XDR = (MOST_BYTES + 2) // 3 * 4
"""Characters of an envelope in base64."""

Xdr = Annotated[str, Field(min_length=1, max_length=LONGEST_XDR, description="base64 of the TransactionEnvelope")]


class UnsignedTransaction(Represented):
    """A transaction for the caller's wallet to sign."""

    xdr: Annotated[str, Field(description="base64 of the TransactionEnvelope, without a signature")]
    hash: Annotated[str, Field(description="what is signed, and what the network will call it: 64 hex digits")]
    network_passphrase: str
    fee: Annotated[str, Field(description="the most it costs, in stroops")]
    valid_until: Annotated[str, Field(description="it can be applied by ledgers that close no later")]


class StreamPreview(Represented):
    """The stream as the contract would create it now. It has no id yet."""

    contract_id: str
    version: str
    sender: str
    receiver: str
    token_address: str
    amount: Annotated[str | None, Field(description="what is streamed, net of the contract's fee; null: not told")]
    gross_amount: Annotated[str, Field(description="what the sender pays")]
    fee: Annotated[str | None, Field(description="what the contract keeps of it; null: not told")]
    duration: int
    start_time: str
    cliff_time: str
    end_time: str
    yield_enabled: bool
    memo: str | None


class FailureModel(Represented):
    """Why a transaction failed."""

    code: Annotated[
        str, Field(description="the network's own (txBAD_SEQ, INVOKE_HOST_FUNCTION_TRAPPED), or ours (expired)")
    ]
    detail: str


class TransactionModel(Represented):
    """What became of a transaction."""

    tx_hash: str
    status: State
    ledger: Annotated[OrAbsent[int], Field(description="the ledger that holds it")] = None
    stream_ids: Annotated[
        OrAbsent[list[str]], Field(description="'id' of each stream that it touched; absent until that is indexed")
    ] = None
    error: Annotated[
        OrAbsent[FailureModel],
        Field(description="why it failed; of one that is PENDING: why a node refused it, though it may be applied yet"),
    ] = None


def unsigned_transaction(built: Built, passphrase: str) -> UnsignedTransaction:
    """Return what is told of a transaction that was built for the network of a passphrase."""
    return UnsignedTransaction(
        xdr=built.xdr,
        hash=built.hash,
        network_passphrase=passphrase,
        fee=str(built.fee),
        valid_until=format_close_time(built.valid_until),
    )


def stream_preview(wanted: Call, terms: Terms, state: StreamState | None) -> StreamPreview:
    """Return what is told of the stream that a call with these terms creates.

    ``state`` is what its simulation made of it, None where that told nothing.
    """
    net = state.total if state is not None else None
    return StreamPreview(
        contract_id=wanted.contract,
        version=version_of(wanted.family),
        sender=terms.sender,
        receiver=terms.receiver,
        token_address=terms.token,
        amount=str(net) if net is not None else None,
        gross_amount=str(terms.amount),
        fee=str(terms.amount - net) if net is not None else None,
        duration=terms.end - terms.start,
        start_time=format_close_time(terms.start),
        cliff_time=format_close_time(terms.cliff),
        end_time=format_close_time(terms.end),
        yield_enabled=terms.vault is not None,
        memo=terms.memo,
    )


def transaction_model(fate: Fate) -> TransactionModel:
    """Return what is told of a transaction's fate."""
    return TransactionModel(
        tx_hash=fate.hash,
        status=fate.state,
        ledger=fate.ledger,
        stream_ids=list(fate.streams) or None,
        error=FailureModel(code=fate.failure.code, detail=fate.failure.text) if fate.failure is not None else None,
    )
