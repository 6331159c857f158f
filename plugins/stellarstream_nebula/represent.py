"""Streams and entries of the audit log as the API shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from stellarstream_core.api.models import OrAbsent, Represented
from stellarstream_core.events import ContractEvent, format_close_time
from stellarstream_core.projections import Reached
from stellarstream_nebula.meaning import AuditFields
from stellarstream_nebula.model import Curve, Status, StreamState, StreamView, parse_stream_key
from stellarstream_nebula.served import version_of
from stellarstream_nebula.stored import StreamRow
from stellarstream_nebula.view import view

LAST_TIME = 253_402_300_799
"""The last second that RFC 3339 can write; contracts may hold later ones."""

Amount = Annotated[str, Field(pattern=r"^-?[0-9]+$", description="in the token's smallest unit")]
Time = Annotated[str, Field(description="RFC 3339, UTC")]


class StreamModel(Represented):
    """A payment stream, as of the close time of ``asOfLedger`` unless another moment was asked for."""

    id: Annotated[str, Field(description="{contractId}-{streamId}")]
    stream_id: Annotated[str, Field(description="the contract's own number")]
    contract_id: str
    version: Annotated[str, Field(description="v1, v2, or the name of another contract family")]
    sender: str | None
    receiver: str | None
    beneficiary: Annotated[str | None, Field(description="who is paid; the receiver, unless that was changed")]
    token_address: str | None
    amount: Annotated[Amount | None, Field(description="what the contract stores: net of its fee")]
    duration: Annotated[int | None, Field(description="seconds from start to end")]
    start_time: Time | None
    cliff_time: Time | None
    end_time: Annotated[Time | None, Field(description="null where it is unknown, or later than the year 9999")]
    status: Status
    withdrawn: Annotated[Amount | None, Field(description="null where neither events nor a fresh read tell")]
    unlocked: Annotated[Amount | None, Field(description="null where neither events nor a fresh read tell")]
    withdrawable: Annotated[Amount | None, Field(description="null where neither events nor a fresh read tell")]
    curve: Annotated[Curve | None, Field(description="how it unlocks; null until the chain was read")]
    completes_at: Annotated[Time | None, Field(description="when the clock completes it; null while nothing says")]
    yield_enabled: Annotated[bool | None, Field(description="null until the chain was read")]
    accrued_interest: Annotated[Amount | None, Field(description="null where there is no yield, or none is known")]
    gross_amount: Annotated[Amount | None, Field(description="what was paid in before fees; null where no event tells")]
    penalty_bps: Annotated[
        int | None, Field(description="the share of the rest that a sender who cancels pays; null until it was read")
    ]
    split_address: Annotated[str | None, Field(description="who gets a part of each withdrawal")]
    split_bps: Annotated[int | None, Field(description="that part; 0 where there is none, null until it is known")]
    soulbound: Annotated[bool, Field(description="whether the receiver can never change")]
    frozen: Annotated[bool, Field(description="whether an arbiter blocks withdrawals; the clock goes on")]
    memo: str | None
    migrated_from: Annotated[str | None, Field(description="id of the V1 stream it goes on")]
    migrated_to: Annotated[str | None, Field(description="id of the V2 stream that goes on")]
    created_at: Time
    tx_hash: Annotated[str, Field(description="the transaction that created it")]
    created_ledger: int
    updated_ledger: Annotated[int, Field(description="ledger of its last event")]
    as_of_ledger: Annotated[int, Field(ge=0, description="the ledger it is shown as of")]
    complete: Annotated[
        bool, Field(description="whether all events up to asOfLedger are in it; false while ledgers are being folded")
    ]
    state_ledger: Annotated[int | None, Field(description="ledger of the read of the chain that is in it")]


class AuditEntryModel(Represented):
    """An event of a stream, and its place in the stream's chain."""

    id: Annotated[str, Field(description="the event's id")]
    event_type: Annotated[str, Field(description="what the contract calls the event")]
    stream_id: Annotated[str | None, Field(description="null where it concerns all streams of a token")]
    contract_id: Annotated[str | None, Field(description="the contract that published it")]
    tx_hash: str
    event_index: int
    ledger: int
    ledger_closed_at: Time
    sender: Annotated[OrAbsent[str], Field(description="who paid or acted")] = None
    receiver: Annotated[OrAbsent[str], Field(description="who gets something by it")] = None
    amount: Annotated[OrAbsent[Amount], Field(description="what moves or is promised")] = None
    metadata: Annotated[dict[str, Any], Field(description="every decoded field; integers as decimal strings")]
    created_at: Annotated[Time, Field(description="the same as ledgerClosedAt: the ledger is when it happened")]
    chain: Annotated[str, Field(description="the chain it is linked in: the stream's id, or contract/token")]
    sealed: Annotated[bool, Field(description="whether it is linked: its ledger is at or below the watermark")]
    hash: Annotated[str | None, Field(description="its link's hash, null until it is sealed")]
    revision: Annotated[int | None, Field(description="the chain's revision in which it was first linked, or null")]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a stream is shown as of: ``ledger``, and Unix seconds; None where no ledger's close time is known.

    ``complete``: every event up to the ledger is folded.
    """

    ledger: int
    at: int | None
    complete: bool = False

    @classmethod
    def of(cls, reached: Reached | None, asked: int | None, state: StreamState | None = None) -> Moment:
        """Return the moment of a contract that is folded so far, at another time where one is asked for.

        A stream may be ahead of its contract, while older ledgers or other streams are still being folded: it is then
        as of its own last event, and not complete, for what else happened up to there may be missing.
        """
        if state is not None and (reached is None or state.updated_ledger > reached.ledger):
            return cls(state.updated_ledger, state.updated_at if asked is None else asked)
        if reached is None:
            return cls(0, asked)
        return cls(reached.ledger, reached.closed_at if asked is None else asked, reached.complete)


def view_of(row: StreamRow, moment: Moment, fresh_ledgers: int) -> StreamView:
    """Return a stream as of a moment, one of :meth:`Moment.of` with its state."""
    at = row.state.updated_at if moment.at is None else moment.at
    reads = row.reads.at(moment.ledger)
    return view(row.key, row.state, reads, as_of_ledger=moment.ledger, at=at, fresh_ledgers=fresh_ledgers)


def stream_model(shown: StreamView, moment: Moment, interest: int | None = None) -> StreamModel:
    """Return a stream as the API shows it; ``interest`` is what its vault has earned for it."""
    state = shown.state
    lasts = shown.start is not None and shown.end is not None
    return StreamModel(
        id=shown.key,
        stream_id=str(state.stream_id),
        contract_id=state.contract_id,
        version=version_of(state.family),
        sender=shown.sender,
        receiver=shown.receiver,
        beneficiary=shown.beneficiary,
        token_address=shown.token,
        amount=amount(shown.total),
        duration=(shown.end or 0) - (shown.start or 0) if lasts else None,
        start_time=time(shown.start),
        cliff_time=time(shown.cliff),
        end_time=time(shown.end),
        status=shown.status,
        withdrawn=amount(shown.withdrawn),
        unlocked=amount(shown.unlocked),
        withdrawable=amount(shown.withdrawable),
        curve=shown.curve,
        completes_at=time(shown.completes_at),
        yield_enabled=shown.yield_enabled,
        accrued_interest=amount(interest),
        gross_amount=amount(state.gross),
        penalty_bps=shown.penalty_bps,
        split_address=shown.split_address,
        split_bps=shown.split_bps,
        soulbound=state.soulbound,
        frozen=shown.frozen,
        memo=state.memo,
        migrated_from=state.migrated_from,
        migrated_to=state.migrated_to,
        created_at=format_close_time(state.created_at),
        tx_hash=state.tx_hash,
        created_ledger=state.created_ledger,
        updated_ledger=state.updated_ledger,
        as_of_ledger=moment.ledger,
        complete=moment.complete,
        state_ledger=shown.state_ledger,
    )


def entry_model(
    key: str, event: ContractEvent, said: AuditFields, link: bytes | None, since: int | None
) -> AuditEntryModel:
    """Return an entry of a key's audit log; ``link`` is its hash, None until it is sealed, ``since`` its revision."""
    closed = format_close_time(event.closed_at)
    return AuditEntryModel(
        id=event.id,
        event_type=said.event_type,
        stream_id=None if "/" in key else str(parse_stream_key(key)[1]),
        contract_id=event.contract_id,
        tx_hash=event.tx_hash,
        event_index=event.event_index,
        ledger=event.ledger,
        ledger_closed_at=closed,
        sender=said.sender,
        receiver=said.receiver,
        amount=amount(said.amount),
        metadata=said.metadata,
        created_at=closed,
        chain=key,
        sealed=link is not None,
        hash=None if link is None else link.hex(),
        revision=None if link is None else since,
    )


def amount(value: int | None) -> str | None:
    """Return an amount as text."""
    return None if value is None else str(value)


def time(seconds: int | None) -> str | None:
    """Return Unix seconds as RFC 3339; None where they are later than it can write."""
    return None if seconds is None or not 0 <= seconds <= LAST_TIME else format_close_time(seconds)
