"""An event as a row of the dashboard: a name, one line of what it says, and everything for who opens it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stellarstream_core.api.pages.text import clip, compact, moment_of, pretty, short, visible
from stellarstream_core.errors import XdrError
from stellarstream_core.event_json import decode_event, event_record
from stellarstream_core.events import ContractEvent

LONGEST_NAME = 32
LONGEST_PART = 40


@dataclass(frozen=True, slots=True)
class EventRow:
    """What a row shows; every text is made visible, none is escaped."""

    id: str
    name: str
    preview: str
    ledger: int
    closed_at: str
    closed: str
    contract: str
    tx_hash: str
    type: str
    place: str
    topics: str
    value: str


BLANK = EventRow("", "", "", 0, "", "", "", "", "", "", "", "")
"""The row that scripts fill: it renders into the page's template element."""


def event_rows(events: Sequence[ContractEvent]) -> list[EventRow]:
    """Return a row for each event, in their order."""
    return [_row(event) for event in events]


def _row(event: ContractEvent) -> EventRow:
    record = event_record(event)
    decoded: dict[str, Any] | None = None
    with suppress(XdrError):
        decoded = decode_event(event)
    name, preview = describe(decoded, event.type)
    return EventRow(
        id=event.id,
        name=name,
        preview=preview,
        ledger=event.ledger,
        closed_at=record["ledgerClosedAt"],
        closed=moment_of(record["ledgerClosedAt"]),
        contract=event.contract_id or "",
        tx_hash=event.tx_hash,
        type=event.type,
        place=f"transaction {record['transactionIndex']}, operation {record['operationIndex']}, "
        f"event {event.event_index}",
        topics=pretty(decoded["topics"] if decoded else record["topic"]),
        value=pretty(decoded["value"] if decoded else record["value"]),
    )


def describe(decoded: dict[str, Any] | None, kind: str) -> tuple[str, str]:
    """Return an event's name and one line of its other topics and its value.

    The name is the first topic that is a word: some contracts put an id first.
    """
    if decoded is None:
        return kind, "cannot be decoded by this version"
    topics = list(decoded["topics"])
    named = next((at for at, topic in enumerate(topics) if _is_word(topic)), None)
    name = kind if named is None else clip(visible(topics.pop(named)), LONGEST_NAME)
    parts = [clip(compact(part), LONGEST_PART) for part in (*topics, *_pieces(decoded["value"]))]
    return name, clip(" · ".join(part for part in parts if part))


def _pieces(value: Any) -> Sequence[Any]:
    """Return a value's parts: those of a map by name, nothing for a value that holds nothing."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        return (value,)
    return [f"{visible(name)}: {compact(part)}" for name, part in value.items()]


def _is_word(topic: Any) -> bool:
    return isinstance(topic, str) and bool(topic) and not topic.lstrip("-").isdigit() and short(topic) == visible(topic)
