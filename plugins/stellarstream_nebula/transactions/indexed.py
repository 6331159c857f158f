"""What the index knows of a transaction: its ledger, the streams whose journals hold its events, and that it has none.

Only events of the served contracts count: those of a fee are there for a transaction that failed, too (CAP-67).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stellarstream_core.projection.reading import keys_of_events
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import EVERYTHING
from stellarstream_core.storage import EventQuery
from stellarstream_nebula.stored import NAME

if TYPE_CHECKING:
    from stellarstream_core.storage import Storage

_MOST_EVENTS = 200
"""Events of one transaction that are looked at: ten streams at once publish some forty."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """A transaction with stored events. ``streams`` are keys, in the order of its events."""

    ledger: int
    streams: tuple[str, ...]


def indexed(storage: Storage, tx_hash: str, contracts: Collection[str]) -> Indexed | None:
    """Return what is indexed of a transaction, None where nothing is. ``contracts`` are the served ones.

    A stream is named as soon as it can be read: its journal is written together with it, whatever its family.
    """
    if not contracts:
        return None
    query = EventQuery(contracts=tuple(contracts), tx_hash=tx_hash)
    events = [event for event in storage.find_events(query, _MOST_EVENTS).events if event.type == "contract"]
    if not events:
        return None
    ids = [event.id for event in events]
    journaled = storage.read(partial(keys_of_events, projection=NAME, event_ids=ids))
    # what belongs to every stream of a token names none of them
    keys = (key for one in ids for key in journaled.get(one, ()) if "/" not in key)
    return Indexed(events[0].ledger, tuple(dict.fromkeys(keys)))


def is_absent(storage: Storage, tx_hash: str, contract: str, after: int, until: int) -> bool:
    """Tell whether the index has all ledgers that could hold a transaction, and no event of its contract in them.

    Those are the ledgers after ``after`` that closed up to ``until`` (Unix seconds): one that closed later, of
    which that is known, has to be covered.
    """
    states = storage.sync_states([contract, EVERYTHING])
    watermark = max((state.last_ledger_sequence for state in states.values()), default=0)
    closed = storage.close_time(watermark) if watermark > after else None
    if closed is None or closed.ledger <= after or closed.closed_at <= until:
        return False
    wanted = LedgerRange(after + 1, closed.ledger)
    if not storage.coverage(contract, wanted).covers(wanted):
        return False
    # read after the coverage: what it covers is stored
    page = storage.find_events(EventQuery(contracts=(contract,), tx_hash=tx_hash), 1)
    return not page.events and page.resume is None
