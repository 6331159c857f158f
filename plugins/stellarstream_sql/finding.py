"""Finding events by contracts, topics, transaction and ledgers: pages in id order whose cost is bounded.

Nothing is sorted and no table is read through: each contract's events are walked along their index, all
events along the primary key, a transaction's along its identities, some steps at a time, and the walks
are merged by id. Whatever a walk passes is looked at, for topics have no index; a page that has looked at
its share of rows ends where the walk that came least far stands, full or not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from peewee import Database

from stellarstream_core.errors import InvalidEventError, UsageError
from stellarstream_core.events import (
    AFTER_ALL_TXS,
    BEFORE_ALL_TXS,
    MAX_COUNTER,
    MAX_OP,
    ContractEvent,
    EventId,
    event_index,
    parse_event_id,
)
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER
from stellarstream_core.storage import EventPage, EventQuery
from stellarstream_sql import statements
from stellarstream_sql.reading import query
from stellarstream_sql.rows import TOPIC_COLUMNS, to_event
from stellarstream_sql.statements import Walking

BUDGET = 20_000
"""Rows that a page looks at before it ends with what it has; its last step may go beyond."""
FIRST_STEP = 256
"""Rows of a walk that are looked at first where not each of them fits; each further step is twice as long."""
LONGEST_STEP = 4096
ROWS_AT_ONCE = 500
"""Events that one statement reads by their keys: databases bound how many values it takes."""

EVERY_ROW = "TRUE"
"""The condition that leaves nothing out."""

Key = tuple[Any, ...]


@dataclass(slots=True)
class _Walk:
    """A way along an index from ``low`` to ``high`` (whole keys, neither included), or back.

    ``fixed`` columns of the index have the same value at both ends.
    ``key`` makes an event's key of its id. ``found`` are the ids that fit so far, in ascending order;
    ``reached`` is the last id looked at, empty before the first.
    """

    index: tuple[str, ...]
    fixed: int
    low: Key
    high: Key
    key: Callable[[str], Key]
    descending: bool
    step: int
    found: list[str] = field(default_factory=list)
    reached: str = ""
    done: bool = False

    def look(self, database: Database, walking: Walking, fits: str, values: Key) -> int:
        """Go on by a step and return how many rows were looked at."""
        sql = statements.look_along(self.index, self.fixed, fits, self.step, walking, descending=self.descending)
        found: list[str] = []
        looked = 0
        for event_id, count in query(database, sql, (*values, *self.low, *self.high)):
            if count is None:
                found.append(event_id)
            elif count:
                looked, self.reached = count, event_id
        self.done = looked < self.step
        self.step = max(self.step, min(2 * self.step, LONGEST_STEP))
        found.sort()
        if self.descending:
            self.found = found + self.found
            self.high = self.key(self.reached) if looked else self.high
        else:
            self.found += found
            self.low = self.key(self.reached) if looked else self.low
        return looked

    def found_until(self, frontier: str) -> Sequence[str]:
        """Return what was found up to an id, itself included, in the direction of the walk."""
        if self.descending:
            return self.found[bisect_left(self.found, frontier) :]
        return self.found[: bisect_right(self.found, frontier)]


def find_events(database: Database, walking: Walking, wanted: EventQuery, limit: int) -> EventPage:
    """Return the next page of a checked query; see ``Storage.find_events``. The transaction must be one snapshot."""
    fits, values = _condition(wanted)
    step = limit + 1 if fits == EVERY_ROW else FIRST_STEP
    walks = [walk for walk in _walks(database, wanted, step) if walk.low < walk.high]
    if walking.prepare:
        query(database, walking.prepare, ())
    if fits == EVERY_ROW and len(walks) == 1:
        return _straight(database, walking, walks[0], limit)
    budget = BUDGET
    frontier = _least_far(walks, descending=wanted.descending)
    while frontier is not None:
        ready = sum(len(walk.found_until(frontier.reached)) for walk in walks) if frontier.reached else 0
        if ready >= limit or (budget <= 0 and frontier.reached):
            break
        budget -= frontier.look(database, walking, fits, values)
        frontier = _least_far(walks, descending=wanted.descending)
    ids = sorted(
        (one for walk in walks for one in (walk.found if frontier is None else walk.found_until(frontier.reached))),
        reverse=wanted.descending,
    )
    resume = None if frontier is None else frontier.reached
    if len(ids) > limit:
        del ids[limit:]
        resume = ids[-1]
    return EventPage(_events(database, ids), resume)


def _straight(database: Database, walking: Walking, walk: _Walk, limit: int) -> EventPage:
    """Return a page of one walk on which every row fits: no row has to be looked at before it is read."""
    sql = statements.rows_along(walk.index, walk.fixed, limit + 1, walking, descending=walk.descending)
    rows = query(database, sql, (*walk.low, *walk.high))
    return EventPage([to_event(row) for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None)


def check(wanted: EventQuery, limit: int) -> None:
    """Raise ``UsageError`` for a query that makes no sense."""
    if limit < 1:
        raise UsageError(f"A page of {limit} events cannot be read: one is the least.")
    if len(wanted.topics) > TOPIC_COLUMNS:
        raise UsageError(f"Events can be found by their first {TOPIC_COLUMNS} topics, not by {len(wanted.topics)}.")
    if wanted.after:
        try:
            parse_event_id(wanted.after)
        except InvalidEventError as error:
            raise UsageError(f"A page cannot begin after {wanted.after!r:.60}: {error}.") from None


def _least_far(walks: Sequence[_Walk], *, descending: bool) -> _Walk | None:
    """Return the walk that bounds what is known of all of them; None where each came to its end."""
    going_on = [walk for walk in walks if not walk.done]
    if not going_on:
        return None
    fresh = next((walk for walk in going_on if not walk.reached), None)
    return fresh or (max if descending else min)(going_on, key=lambda walk: walk.reached)


def _condition(wanted: EventQuery) -> tuple[str, Key]:
    """Return the SQL condition on a row, beside the walk it lies on, and its values."""
    parts: list[str] = []
    values: list[Any] = []
    for number, topic in enumerate(wanted.topics):
        if topic is not None:
            parts.append(f"topic{number} = ?")
            values.append(topic)
    if wanted.topics and wanted.topics[-1] is None:  # topics are stored without holes
        parts.append(f"topic{len(wanted.topics) - 1} IS NOT NULL")
    if wanted.tx_hash is not None and wanted.contracts:
        parts.append(f"contract_id IN ({statements.marks(len(wanted.contracts))})")
        values += wanted.contracts
    return (f"({' AND '.join(parts)})" if parts else EVERY_ROW), tuple(values)


def _walks(database: Database, wanted: EventQuery, step: int) -> Iterator[_Walk]:
    """Yield the walks that together pass every event the query can find."""
    low: Key = (max(wanted.first, FIRST_LEDGER), "")
    high: Key = (min(wanted.last, LAST_LEDGER) + 1, "")
    if wanted.tx_hash is not None:
        yield from _transaction_walks(database, wanted, step, low, high)
        return
    if wanted.after and wanted.descending:
        high = min(high, _place(wanted.after))
    elif wanted.after:
        low = max(low, _place(wanted.after))
    if not wanted.contracts:
        yield _Walk(statements.BY_PLACE, 0, low, high, _place, wanted.descending, step)
    for contract in dict.fromkeys(wanted.contracts):
        yield _Walk(
            statements.BY_CONTRACT,
            1,
            (contract, *low),
            (contract, *high),
            partial(_contract_key, contract),
            wanted.descending,
            step,
        )


def _transaction_walks(database: Database, wanted: EventQuery, step: int, low: Key, high: Key) -> Iterator[_Walk]:
    """Yield a transaction's three stretches: fees before all transactions, its own events, refunds after all.

    Inside each the order of event indexes is the order of ids.
    """
    found = query(database, statements.PLACE_OF_TRANSACTION, (wanted.tx_hash,))
    if not found:
        return
    ledger, order = found[0]
    if not low[0] <= ledger < high[0]:
        return
    after = parse_event_id(wanted.after) if wanted.after else None
    key = (ledger, wanted.tx_hash)
    for tx in (BEFORE_ALL_TXS, order, AFTER_ALL_TXS):
        if tx is None:
            continue  # only fee events told of this transaction
        first, last = event_index(tx, 0, 0) - 1, event_index(tx, MAX_OP, MAX_COUNTER) + 1
        if after is not None:
            first, last = _rest((ledger, tx), after, first, last, descending=wanted.descending)
        yield _Walk(
            statements.BY_IDENTITY,
            2,
            (*key, first),
            (*key, last),
            partial(_identity_key, key),
            wanted.descending,
            step,
        )


def _rest(here: tuple[int, int], after: EventId, first: int, last: int, *, descending: bool) -> tuple[int, int]:
    """Return what is left of a stretch of event indexes, ends not included, after an id in the order asked.

    ``here`` are the stretch's ledger and the place of its transaction in it.
    """
    there = after.ledger, after.tx
    if here == there:
        return (first, after.event_index) if descending else (after.event_index, last)
    ahead = here < there if descending else here > there
    return (first, last) if ahead else (last, last)


def _place(event_id: str) -> Key:
    """Return an event's key; the id is stored, or was checked."""
    return int(event_id[:19]) >> 32, event_id


def _contract_key(contract: str, event_id: str) -> Key:
    return (contract, *_place(event_id))


def _identity_key(transaction: Key, event_id: str) -> Key:
    return (*transaction, parse_event_id(event_id).event_index)


def events_by_id(database: Database, ids: Iterable[str]) -> list[ContractEvent]:
    """Return the events of these ids that are stored, in id order; raise ``InvalidEventError`` for what is no id."""
    wanted = sorted(set(ids))
    for event_id in wanted:
        parse_event_id(event_id)
    return sorted(_stored(database, wanted).values())


def _events(database: Database, ids: Sequence[str]) -> list[ContractEvent]:
    """Read events by their ids, in the order of these."""
    found = _stored(database, ids)
    return [found[event_id] for event_id in ids]


def _stored(database: Database, ids: Sequence[str]) -> dict[str, ContractEvent]:
    found: dict[str, ContractEvent] = {}
    for at in range(0, len(ids), ROWS_AT_ONCE):
        part = ids[at : at + ROWS_AT_ONCE]
        keys = tuple(value for event_id in part for value in _place(event_id))
        found |= {row[0]: to_event(row) for row in query(database, statements.events_at(len(part)), keys)}
    return found
