"""Streams and what happened to them: docs/streams.md and docs/audit-log.md say what the fields mean."""

from __future__ import annotations

from pydantic import Field

from nebula_client.models.base import Amount, JsonObject, Model, Named, Time


class StreamStatus(Named):
    """The states of a stream."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ARCHIVED = "ARCHIVED"


class Curve(Named):
    """How a stream unlocks between start and end."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    STEPS = "steps"


class Stream(Model, frozen=True):
    """A payment stream, as of the close time of ``as_of_ledger``. What is not known is None: never a guess."""

    id: str
    stream_id: str
    contract_id: str
    version: str
    sender: str | None
    receiver: str | None
    beneficiary: str | None
    token_address: str | None
    amount: Amount | None
    duration: int | None
    start_time: Time | None
    cliff_time: Time | None
    end_time: Time | None
    status: StreamStatus
    withdrawn: Amount | None
    unlocked: Amount | None
    withdrawable: Amount | None
    curve: Curve | None
    completes_at: Time | None
    yield_enabled: bool | None
    accrued_interest: Amount | None
    gross_amount: Amount | None
    penalty_bps: int | None
    split_address: str | None
    split_bps: int | None
    soulbound: bool
    frozen: bool
    memo: str | None
    migrated_from: str | None
    migrated_to: str | None
    created_at: Time
    tx_hash: str
    created_ledger: int
    updated_ledger: int
    as_of_ledger: int
    complete: bool
    state_ledger: int | None


class StreamEvent(Model, frozen=True):
    """An entry of the audit log: an event of a stream, and its place in the stream's chain."""

    id: str
    event_type: str
    stream_id: str | None
    contract_id: str | None
    tx_hash: str
    event_index: int
    ledger: int
    ledger_closed_at: Time
    sender: str | None = None
    receiver: str | None = None
    amount: Amount | None = None
    metadata: JsonObject
    created_at: Time
    chain: str
    sealed: bool
    hash: str | None
    revision: int | None


class Revision(Model, frozen=True):
    """An end that a chain had, until an event came to belong before it."""

    revision: int
    links: int
    head: str
    last_event: str
    replaced_by_event: str
    replaced_at: Time


class ChainEnd(Model, frozen=True):
    """The end of a stream's chain: keep ``links`` and ``head`` to tell later whether the history is still the same."""

    links: int
    head: str
    last_event: str | None
    revision: int
    replaced: list[Revision]


class YieldSample(Model, frozen=True):
    """What a vault said at a ledger."""

    ledger: int
    closed_at: Time
    principal: Amount
    interest: Amount | None
    value: Amount | None


class YieldData(Model, frozen=True):
    """What a stream's vault has earned for it. ``yield_rate`` is a decimal: ``0.08`` is 8 % a year."""

    id: str
    stream_id: str
    accrued_interest: Amount | None
    yield_rate: str | None
    last_accrual_at: Time | None
    as_of_ledger: int
    principal: Amount | None
    vault: str
    vault_ledger: int | None
    samples: list[YieldSample] | None = None


class YieldProjection(Model, frozen=True):
    """What a stream's vault would earn in ``days``, if its rate stays."""

    projected: Amount | None
    rate: str | None
    days: int


class StreamHistory(Model, frozen=True):
    """A stream and all that happened to it, oldest first."""

    stream: Stream | None
    events: list[StreamEvent]
    yield_: YieldData | None = Field(default=None, alias="yield")
    chain: ChainEnd
    as_of_ledger: int
    complete: bool


class FaultReason(Named):
    """What is wrong with an entry of the audit log, or with a chain's end."""

    EVENT_MISSING = "event-missing"
    EVENT_DIFFERS = "event-differs"
    LINK_DIFFERS = "link-differs"
    LINK_MISSING = "link-missing"
    HEAD_DIFFERS = "head-differs"


class Fault(Model, frozen=True):
    """Where a chain is broken."""

    chain: str
    event_id: str | None
    reason: FaultReason


class Verdict(Named):
    """Whether what was checked holds."""

    INTACT = "intact"
    BROKEN = "broken"


class Verification(Model, frozen=True):
    """What a check of the audit log found."""

    verdict: Verdict
    chains: int
    links: int
    faults: list[Fault]


class SearchResult(Model, frozen=True):
    """Something that was found: ``kind`` says what, ``path`` where the API has it."""

    kind: str
    id: str
    matched: str
    title: str
    path: str
    stream: Stream | None
