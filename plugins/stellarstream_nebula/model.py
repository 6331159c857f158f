"""A payment stream: what its events make of it, what only the chain tells, and what a reader is shown.

Amounts are integers in the token's smallest unit (i128), times Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

V1 = "stellarstream-v1"
V2 = "stellarstream-v2"
SPLITTER = "splitter-v3"
SPLITTER_FACTORY = "splitter-factory"

STREAM_FAMILIES = (V1, V2)
"""The families whose events make streams."""


class Status(StrEnum):
    """What a reader is told. Only the clock turns ACTIVE into COMPLETED without an event."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ARCHIVED = "ARCHIVED"


class Curve(StrEnum):
    """How a stream unlocks between start and end."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    STEPS = "steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """The fold of a stream's events. None where no event tells.

    ``cliff`` None: V1 does not say it. ``total`` is what the contract stores (V2: net of its fee), ``gross`` what was
    paid in, where an event says it. ``withdrawn`` counts what events say was paid out, true as of ``touched_ledger``;
    ``withdrawn_told`` is false where the contract may pay without an event (V1 at head), so that later than that the
    number is only the least it can be. ``paused_at`` is set while paused; ``paused_before`` is how long earlier pauses
    lasted. ``closed`` is CANCELED or ARCHIVED once the stream ended by an event, ``closed_time`` when (Unix seconds).
    ``settled_unlocked`` is what counted as unlocked when it was cancelled, None where the event does not say it; then
    ``cancelled_by`` and ``returned`` (what the sender got back) are what it does say. ``removed``: its entry was
    deleted on chain (V2 ``archived``).

    ``touched_ledger`` is the ledger of the last event that set ``withdrawn`` or ``closed``, ``terms_ledger`` of the
    last that set ``total``, ``start``, ``cliff`` or ``end``, ``parties_ledger`` of the last that set who is paid,
    ``split_ledger`` of the last that set the split (0: none did). ``updated_at`` is when the ledger of the last event
    closed. ``first_event`` is the id of the event that created it, ``opened_with`` what that event put in (None where
    it does not say, and for a stream that migrated, into which nothing new was put). ``migrated_from`` and
    ``migrated_to`` are stream keys.
    """

    contract_id: str
    stream_id: int
    family: str
    first_event: str
    tx_hash: str
    created_at: int
    created_ledger: int
    updated_ledger: int
    updated_at: int
    last_event: str
    opened_with: int | None = None
    sender: str | None = None
    receiver: str | None = None
    beneficiary: str | None = None
    token: str | None = None
    total: int | None = None
    gross: int | None = None
    start: int | None = None
    cliff: int | None = None
    end: int | None = None
    memo: str | None = None
    withdrawn: int = 0
    withdrawn_told: bool = True
    paused_at: int | None = None
    paused_before: int = 0
    closed: Status | None = None
    closed_time: int | None = None
    settled_unlocked: int | None = None
    cancelled_by: str | None = None
    returned: int | None = None
    removed: bool = False
    frozen: bool = False
    soulbound: bool = False
    migrated_from: str | None = None
    migrated_to: str | None = None
    split_address: str | None = None
    split_bps: int = 0
    touched_ledger: int = 0
    terms_ledger: int = 0
    parties_ledger: int = 0
    split_ledger: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What the chain said of a stream at ``ledger``: read from its entry, stored apart from the fold.

    ``missing``: the entry is not there (deleted by ``archived``, or never stored). ``penalty_bps``, ``step_duration``
    (seconds), ``multiplier_bps``, ``yield_enabled``, ``split_address`` and ``split_bps`` are V2's alone. A V1 stream at
    head has no beneficiary beside its receiver, and its pauses are told by events.
    """

    ledger: int
    missing: bool = False
    sender: str | None = None
    receiver: str | None = None
    beneficiary: str | None = None
    token: str | None = None
    total: int | None = None
    start: int | None = None
    cliff: int | None = None
    end: int | None = None
    withdrawn: int | None = None
    closed: bool = False
    frozen: bool = False
    curve: Curve = Curve.LINEAR
    step_duration: int = 0
    multiplier_bps: int = 0
    penalty_bps: int = 0
    vault: str | None = None
    yield_enabled: bool = False
    split_address: str | None = None
    split_bps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """A stream as of a moment: the fields of the HTTP API. None where neither events nor a fresh read tell."""

    key: str
    state: StreamState
    status: Status
    sender: str | None
    receiver: str | None
    beneficiary: str | None
    token: str | None
    total: int | None
    start: int | None
    cliff: int | None
    end: int | None
    withdrawn: int | None
    unlocked: int | None
    withdrawable: int | None
    yield_enabled: bool | None
    curve: Curve | None
    completes_at: int | None
    """When the clock completes it, if nothing else happens; None while paused, closed or unknown."""
    state_ledger: int | None
    """The ledger of the chain read that was used, if one was."""
    frozen: bool
    penalty_bps: int | None
    split_address: str | None
    split_bps: int | None
    """The share of each withdrawal that goes to ``split_address``; 0 where there is none, None while unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamIndex:
    """What lists and totals ask of a stream.

    ``base_status`` is the status without the clock: an ACTIVE stream is shown as COMPLETED from ``completes_at`` (Unix
    seconds) on. ``parties`` are sender, receiver and beneficiary, as far as they are known. ``withdrawn`` is what is
    known of it, for V1 as of the last read; ``held`` is what the contract still owes (total less withdrawn, 0 once it
    ended), None where that is unknown.
    """

    base_status: Status
    completes_at: int | None
    parties: frozenset[str]
    sender: str | None
    receiver: str | None
    beneficiary: str | None
    token: str | None
    total: int | None
    withdrawn: int | None
    held: int | None


def stream_key(contract_id: str, stream_id: int) -> str:
    """Return the key of a stream, which is also its ``id`` in the HTTP API."""
    return f"{contract_id}-{stream_id}"


def parse_stream_key(key: str) -> tuple[str, int]:
    """Return contract and stream id of a key; raise ``ValueError`` where it is none."""
    contract_id, separator, number = key.partition("-")
    if not separator or not number.isascii() or not number.isdigit() or (len(number) > 1 and number[0] == "0"):
        raise ValueError(f"{key!r:.80} is not a stream's id: C…-NUMBER is needed")
    stream_id = int(number[:21])
    if stream_id >= 2**64:
        raise ValueError(f"{key!r:.80} is not a stream's id: its number does not fit 64 bits")
    return contract_id, stream_id
