"""What readers of projected state use, inside ``Storage.read``, so that all of an answer is of one moment.

``projection`` is the projection's name, ids are event ids, and orders are those of ids and keys as text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from peewee import Database

from stellarstream_core.projection.journal import batched, read_reach
from stellarstream_core.projection.tables import EntryRow, MemberRow, ProjectionRow, StateRow
from stellarstream_core.projections import Reached


class Journaled(NamedTuple):
    """An entry of the journal. An event that is in several journals is there several times."""

    event_id: str
    key: str


def reached_in(database: Database, projection: str, contracts: Iterable[str]) -> dict[str, Reached]:
    """Return how far each of the contracts is folded; those of which nothing is known are left out.

    It was written together with the states that are read in the same snapshot.
    """
    return read_reach(database, projection, contracts)


def states_in(database: Database, projection: str, keys: Iterable[str]) -> dict[str, bytes]:
    """Return the states of those of the keys that have one."""
    found: dict[str, bytes] = {}
    for part in batched(keys):
        rows = StateRow.select(StateRow.key, StateRow.state).where(
            StateRow.projection == projection, StateRow.key.in_(part)
        )
        found |= {key: bytes(state) for key, state in rows.tuples().execute(database)}
    return found


def entries_of_key(
    database: Database, projection: str, key: str, *, after: str = "", descending: bool = False, limit: int
) -> list[str]:
    """Return the ids of events in a key's own journal, in id order or its reverse, beyond ``after`` in that order."""
    rows: Any = EntryRow.select(EntryRow.event_id).where(EntryRow.projection == projection, EntryRow.key == key)
    if after:
        rows = rows.where(EntryRow.event_id < after if descending else EntryRow.event_id > after)
    order = EntryRow.event_id.desc() if descending else EntryRow.event_id
    return [event_id for (event_id,) in rows.order_by(order).limit(limit).tuples().execute(database)]


def entries_of_all(
    database: Database,
    projection: str,
    *,
    after: tuple[str, str] | None = None,
    descending: bool = False,
    limit: int,
) -> list[Journaled]:
    """Return entries of every journal by event, then key, or in the reverse order, beyond ``after`` in that order."""
    rows: Any = EntryRow.select(EntryRow.event_id, EntryRow.key).where(EntryRow.projection == projection)
    if after is not None:
        event_id, key = after
        here = EntryRow.event_id == event_id
        # the first condition alone bounds the walk along the index
        if descending:
            rows = rows.where(
                EntryRow.event_id <= event_id, (EntryRow.event_id < event_id) | (here & (EntryRow.key < key))
            )
        else:
            rows = rows.where(
                EntryRow.event_id >= event_id, (EntryRow.event_id > event_id) | (here & (EntryRow.key > key))
            )
    columns = (EntryRow.event_id, EntryRow.key)
    order = [column.desc() for column in columns] if descending else columns
    return [Journaled(*row) for row in rows.order_by(*order).limit(limit).tuples().execute(database)]


def keys_of_events(database: Database, projection: str, event_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys in whose journals each event is, in order; events that are in none are left out.

    The entries of a transaction are found by its events: ``Storage.find_events(EventQuery(tx_hash=…))``.
    """
    found: dict[str, list[str]] = {}
    for part in batched(sorted(set(event_ids))):
        rows = (
            EntryRow.select(EntryRow.event_id, EntryRow.key)
            .where(EntryRow.projection == projection, EntryRow.event_id.in_(part))
            .order_by(EntryRow.event_id, EntryRow.key)
        )
        for event_id, key in rows.tuples().execute(database):
            found.setdefault(event_id, []).append(key)
    return found


def groups_of(database: Database, projection: str, key: str) -> list[str]:
    """Return the groups whose events a key folds beside its own, in order."""
    rows = (
        MemberRow.select(MemberRow.group_key)
        .where(MemberRow.projection == projection, MemberRow.key == key)
        .order_by(MemberRow.group_key)
    )
    return [group for (group,) in rows.tuples().execute(database)]


def members_of(database: Database, projection: str, group: str, *, after: str = "", limit: int) -> list[str]:
    """Return the keys that fold a group's events, in order, from the first above ``after``."""
    rows = (
        MemberRow.select(MemberRow.key)
        .where(MemberRow.projection == projection, MemberRow.group_key == group, MemberRow.key > after)
        .order_by(MemberRow.key)
        .limit(limit)
    )
    return [key for (key,) in rows.tuples().execute(database)]


def step_of(database: Database, projection: str) -> int:
    """Return a number that grows with everything written of the projection; 0 where it was never begun.

    Together with the store's epoch it names a state of the projection: for entity tags.
    """
    rows = ProjectionRow.select(ProjectionRow.step).where(ProjectionRow.name == projection)
    return next((int(step) for (step,) in rows.tuples().execute(database)), 0)
