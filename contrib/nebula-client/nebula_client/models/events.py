"""Contract events, totals, and how far the service's database is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from nebula_client.models.base import Amount, Model, Named, Time


class Decoded(Model, frozen=True):
    """An event's values for reading; integers of 64 bits and more are decimal text."""

    topics: list[Any]
    value: Any


class ContractEvent(Model, frozen=True):
    """A stored contract event: the keys of ``getEvents``, and the service's own."""

    id: str
    type: str
    ledger: int
    ledger_closed_at: Time
    contract_id: str | None
    tx_hash: str
    transaction_index: int
    operation_index: int
    event_index: int
    topic: list[str]
    value: str
    decoded: Decoded | None


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event as it was committed, and the position behind it: keep that to go on from here with ``since=``."""

    event: ContractEvent
    position: str


class StatusCounts(Model, frozen=True):
    """How many streams have each status."""

    total: int
    active: int = Field(alias="ACTIVE")
    paused: int = Field(alias="PAUSED")
    completed: int = Field(alias="COMPLETED")
    canceled: int = Field(alias="CANCELED")
    archived: int = Field(alias="ARCHIVED")


class Volume(Model, frozen=True):
    """What moved since a moment, about a day ago."""

    since: Time | None
    created: Amount
    topped_up: Amount
    withdrawn: Amount


class Worth(Model, frozen=True):
    """The same in US dollars, by the price of one whole token."""

    price: str
    decimals: int
    as_of: Time
    source: str
    locked: str
    created: str
    topped_up: str
    withdrawn: str


class TokenStats(Model, frozen=True):
    """The totals of one token."""

    token_address: str | None
    streams: StatusCounts
    amount: Amount
    withdrawn: Amount
    locked: Amount
    locked_unknown: int
    volume24h: Volume = Field(alias="volume24h")
    usd: Worth | None


class IndexedLedgers(Model, frozen=True):
    """Which ledgers are indexed."""

    first: int
    last: int
    covered: int


class Stats(Model, frozen=True):
    """Totals of all streams."""

    streams: StatusCounts
    tokens: list[TokenStats]
    tokens_total: int
    senders: int
    receivers: int
    events: int
    ledgers: IndexedLedgers
    as_of: Time | None
    as_of_ledger: int
    complete: bool


class Evidence(Named):
    """How well it is known that nothing is missing."""

    PROVEN = "proven"
    SCANNED = "scanned"


class Coverage(Model, frozen=True):
    """Ledgers that are covered alike."""

    from_: int = Field(alias="from")
    to: int
    evidence: Evidence
    source: str
    flavour: str | None
    contracts: list[str] | None


class Gap(Model, frozen=True):
    """Ledgers that are missing."""

    from_: int = Field(alias="from")
    to: int
    reason: str
    contracts: list[str] | None


class EvidenceCounts(Model, frozen=True):
    """How many ledgers are covered, by how well that is known."""

    proven_ledgers: int
    scanned_ledgers: int


class SourceState(Named):
    """Whether a source answers."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Source(Model, frozen=True):
    """A source of ledgers, as the service sees it."""

    name: str
    summary: str
    state: SourceState
    oldest: int | None
    latest: int | None
    covered_ledgers: int
    trouble: str | None


class UnknownShape(Model, frozen=True):
    """Events of one contract whose shape is not known."""

    contract: str
    shape: str
    count: int
    last_event_id: str


class UnknownEvents(Model, frozen=True):
    """What a projection had to leave out."""

    events: int
    shapes: list[UnknownShape]


class Projection(Model, frozen=True):
    """How far what is folded from events is."""

    name: str
    position: int
    behind: int
    as_of_ledger: int | None
    complete: bool
    rebuilding: bool
    trouble: str | None
    updated_at: Time
    unknown: UnknownEvents


class SyncState(Model, frozen=True):
    """How far the database is. ``live_position`` is where a live stream that begins now begins."""

    network: str
    contracts: list[str] | None
    start_ledger: int | None
    watermark: int | None
    held_back_by: list[str]
    last_covered_ledger: int | None
    tip: int | None
    tip_closed_at: Time | None
    lag: int | None
    lag_seconds: float | None
    as_of_ledger: int
    complete: bool
    coverage: list[Coverage]
    gaps: list[Gap]
    more_ranges: int
    evidence: EvidenceCounts
    sources: list[Source]
    projections: list[Projection]
    events: int
    conflicts: int
    position: int
    live_position: str | None
