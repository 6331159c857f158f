"""What the index knows of a transaction: its ledger, and the streams whose journals hold its events already.

Only events of the served contracts count: those of a fee are there for a transaction that failed, too (CAP-67).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellarstream_core.storage import EventQuery
from stellarstream_nebula.catalogue import FAMILIES
from stellarstream_nebula.decoders import decoder
from stellarstream_nebula.meaning import keys_of
from stellarstream_nebula.tables import NebulaLink as Link

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.events import ContractEvent
    from stellarstream_core.storage import Storage

_DECODERS = {family.name: decoder(family) for family in FAMILIES}
_MOST_EVENTS = 200
"""Events of one transaction that are looked at: ten streams at once publish some forty."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """A transaction with stored events. ``streams`` are keys, in the order of its events."""

    ledger: int
    streams: tuple[str, ...]


def indexed(
    storage: Storage, tx_hash: str, families: Mapping[str, str], migrated_from: Mapping[str, str]
) -> Indexed | None:
    """Return what is indexed of a transaction, None where nothing is. ``families`` are of the served contracts."""
    if not families:
        return None
    query = EventQuery(contracts=tuple(families), tx_hash=tx_hash)
    events = [event for event in storage.find_events(query, _MOST_EVENTS).events if event.type == "contract"]
    if not events:
        return None
    entries = _entries(events, families, migrated_from)
    journaled = storage.read(lambda database: [key for key, event in entries if _is_journaled(database, key, event)])
    return Indexed(events[0].ledger, tuple(dict.fromkeys(journaled)))


def _entries(
    events: list[ContractEvent], families: Mapping[str, str], migrated_from: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return stream keys and event ids; what belongs to every stream of a token names none of them."""
    found = []
    for event in events:
        decode = _DECODERS.get(families[event.contract_id or ""])
        (meaning,) = decode([event]) if decode is not None else (None,)
        if meaning is not None:
            found += [(key, event.id) for key in keys_of(meaning, event, migrated_from) if "/" not in key]
    return found


def _is_journaled(database: Database, key: str, event_id: str) -> bool:
    query = Link.select(Link.key).where((Link.key == key) & (Link.event_id == event_id)).tuples()
    return bool(list(query.execute(database)))
