"""The projector's tables, read and written: cursor, journal, states, members, pending groups, unknown shapes.

Every function takes a peewee database inside ``Storage.read`` or ``Storage.write``. What several reads find
fits together as long as ``step`` is the same before and after: :func:`take_step` compares it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from peewee import Database

from stellarstream_core.projection import statements
from stellarstream_core.projection.faults import OvertakenError
from stellarstream_core.projection.tables import (
    EntryRow,
    MemberRow,
    PendingRow,
    ProjectionRow,
    ReachRow,
    StateRow,
    UnknownRow,
)
from stellarstream_core.projections import Reached, Unknown

T = TypeVar("T")

AT_ONCE = 400
"""Keys named in one query, and rows in one insert: below what every SQLite takes as variables."""
LONGEST_SHAPE = 300
"""Characters kept of the description of an unknown shape."""
MOST_SHAPES = 200
"""Unknown shapes told apart for one contract: whoever can call it can invent them without end."""
OTHER_SHAPES = "(other shapes)"
CLEARED, CLEARING_OWN, CLEARING_JOURNAL = 0, 1, 2
"""What is left of an earlier build (``clearing``): nothing; what the projection wrote, and all else; all else."""


class Cursor(NamedTuple):
    """How far a projection is; see :class:`~stellarstream_core.projection.tables.ProjectionRow`."""

    fingerprint: str
    epoch: str
    position: int
    after_event: str
    step: int
    clearing: int
    target: int
    trouble: str | None


class Record(NamedTuple):
    """What is stored of a key; ``last`` is the greatest event in its state, empty where there is no state."""

    state: bytes | None
    last: str
    groups: frozenset[str]


class Pending(NamedTuple):
    """A group whose members above ``after_key`` have yet to fold its events from ``from_event_id`` on.

    ``floor`` is the lowest ledger of those events that reach waits for.
    """

    group: str
    from_event_id: str
    after_key: str
    floor: int | None = None


def batched(items: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``size``."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


# --- the cursor -----------------------------------------------------------------------------------


def read_cursor(database: Database, name: str) -> Cursor | None:
    """Return how far a projection is, None where it was never begun."""
    found = (
        ProjectionRow.select(
            ProjectionRow.fingerprint,
            ProjectionRow.epoch,
            ProjectionRow.position,
            ProjectionRow.after_event,
            ProjectionRow.step,
            ProjectionRow.clearing,
            ProjectionRow.target,
            ProjectionRow.trouble,
        )
        .where(ProjectionRow.name == name)
        .tuples()
    )
    for fingerprint, epoch, position, after, step, clearing, target, trouble in found.execute(database):
        return Cursor(fingerprint, epoch, position, after, step, clearing, target, trouble)
    return None


def add_projection(database: Database, name: str, now: int) -> None:
    """Add the row of a projection that has none, under no fingerprint: the first step builds it."""
    row = {
        "name": name,
        "fingerprint": "",
        "epoch": "",
        "position": 0,
        "after_event": "",
        "step": 0,
        "clearing": 0,
        "target": 0,
        "updated_at": now,
    }
    ProjectionRow.insert(row).on_conflict_ignore().execute(database)


def take_step(database: Database, name: str, step: int, now: int, **changes: object) -> None:
    """Change the cursor if nobody has since ``step`` was read; the row stays locked until the transaction ends.

    Raises :class:`OvertakenError` where somebody has.
    """
    changed = (
        ProjectionRow.update(step=step + 1, updated_at=now, **changes)
        .where(ProjectionRow.name == name, ProjectionRow.step == step)
        .execute(database)
    )
    if not changed:
        raise OvertakenError(name)


def note_trouble(database: Database, name: str, trouble: str, now: int) -> None:
    """Write down why a projection stopped; nothing else of it changes."""
    ProjectionRow.update(trouble=trouble, updated_at=now).where(ProjectionRow.name == name).execute(database)


# --- journal, states, members ---------------------------------------------------------------------


def add_entries(database: Database, name: str, entries: Iterable[tuple[str, str]]) -> None:
    """Write (key, event id) pairs into the journal. Raises ``peewee.IntegrityError`` where one is there."""
    for part in batched(entries):
        values = [value for key, event_id in part for value in (name, key, event_id)]
        statements.run(database, statements.add_entries(len(part)), values)


def read_entries(database: Database, name: str, keys: Iterable[str], first: str = "") -> dict[str, list[str]]:
    """Return the ids of the events in the journals of some keys, from the id ``first`` on, in no order."""
    found: dict[str, list[str]] = {}
    for part in batched(keys):
        for key, event_id in statements.run(database, statements.entries_of(len(part)), (name, first, *part)):
            found.setdefault(key, []).append(event_id)
    return found


def read_known_entries(database: Database, name: str, event_ids: Iterable[str]) -> set[tuple[str, str]]:
    """Return the (event id, key) pairs that the journal has of some events."""
    return {
        (event_id, key)
        for part in batched(event_ids)
        for event_id, key in statements.run(database, statements.entries_at(len(part)), (name, *part))
    }


def read_records(database: Database, name: str, keys: Iterable[str]) -> dict[str, Record]:
    """Return what is stored of each of some keys, an empty record where nothing is."""
    wanted = list(keys)
    states: dict[str, tuple[bytes, str]] = {}
    groups: dict[str, set[str]] = {}
    for part in batched(wanted):
        for key, last, state in statements.run(database, statements.states_of(len(part)), (name, *part)):
            states[key] = (bytes(state), last)
        for key, group in statements.run(database, statements.groups_of(len(part)), (name, *part)):
            groups.setdefault(key, set()).add(group)
    nothing: tuple[bytes | None, str] = (None, "")
    return {key: Record(*states.get(key, nothing), frozenset(groups.get(key, ()))) for key in wanted}


def write_states(
    database: Database, name: str, states: Iterable[tuple[str, str, bytes]], stateless: Iterable[str]
) -> None:
    """Write (key, last event id, state) rows over what is there; remove the states of ``stateless`` keys."""
    for part in batched(states):
        values = [value for row in part for value in (name, *row)]
        statements.run(database, statements.put_states(len(part)), values)
    for gone in batched(stateless):
        StateRow.delete().where(StateRow.projection == name, StateRow.key.in_(gone)).execute(database)


def write_groups(
    database: Database, name: str, joined: Iterable[tuple[str, str]], left: Iterable[tuple[str, str]]
) -> None:
    """Make keys members of groups, and no longer members: (group, key) pairs."""
    for part in batched(joined):
        values = [value for group, key in part for value in (name, group, key)]
        statements.run(database, statements.add_members(len(part)), values)
    for group, key in left:
        MemberRow.delete().where(
            MemberRow.projection == name, MemberRow.group_key == group, MemberRow.key == key
        ).execute(database)


def read_members(database: Database, name: str, group: str, limit: int, after: str = "") -> list[str]:
    """Return the members of a group above ``after``, in order."""
    rows = (
        MemberRow.select(MemberRow.key)
        .where(MemberRow.projection == name, MemberRow.group_key == group, MemberRow.key > after)
        .order_by(MemberRow.key)
        .limit(limit)
    )
    return [key for (key,) in rows.tuples().execute(database)]


def read_groups_among(database: Database, name: str, keys: Iterable[str]) -> list[str]:
    """Return those of the keys that are groups: that have members."""
    found: list[str] = []
    for part in batched(keys):
        found += [group for (group,) in statements.run(database, statements.groups_among(len(part)), (name, *part))]
    return sorted(found)


# --- pending groups -------------------------------------------------------------------------------


def read_pending(database: Database, name: str) -> list[Pending]:
    """Return the groups whose members are being folded anew, in order."""
    rows = (
        PendingRow.select(PendingRow.group_key, PendingRow.from_event_id, PendingRow.after_key, PendingRow.floor)
        .where(PendingRow.projection == name)
        .order_by(PendingRow.group_key)
    )
    return [Pending(*row) for row in rows.tuples().execute(database)]


def add_pending(database: Database, name: str, pending: Iterable[Pending]) -> None:
    """Write groups down whose members are to be folded anew."""
    fields = [
        PendingRow.projection,
        PendingRow.group_key,
        PendingRow.from_event_id,
        PendingRow.after_key,
        PendingRow.floor,
    ]
    for part in batched(pending, AT_ONCE // 2):
        PendingRow.insert_many([(name, *one) for one in part], fields=fields).execute(database)


def move_pending(database: Database, name: str, group: str, after: str | None) -> None:
    """Note up to which key a group's members are folded; None where all are."""
    if after is None:
        PendingRow.delete().where(PendingRow.projection == name, PendingRow.group_key == group).execute(database)
        return
    PendingRow.update(after_key=after).where(PendingRow.projection == name, PendingRow.group_key == group).execute(
        database
    )


# --- unknown shapes and reach ---------------------------------------------------------------------


def count_unknown(database: Database, name: str, unknown: Sequence[Unknown]) -> None:
    """Add to the counts of events whose shape is not known."""
    tallies: dict[tuple[str, str], list[str]] = {}
    for event, shape in unknown:
        tallies.setdefault((event.contract_id or "", shape[:LONGEST_SHAPE]), []).append(event.id)
    if not tallies:
        return
    for contract in sorted({contract for contract, _ in tallies}):
        rows = UnknownRow.select(UnknownRow.shape).where(
            UnknownRow.projection == name, UnknownRow.contract_id == contract
        )
        known = {shape for (shape,) in rows.tuples().execute(database)}
        for shape in sorted(shape for of, shape in tallies if of == contract):
            ids = tallies[contract, shape]
            stored = shape if shape in known or len(known) < MOST_SHAPES else OTHER_SHAPES
            known.add(stored)
            _count(database, (name, contract, stored), ids)


def _count(database: Database, key: tuple[str, str, str], ids: Sequence[str]) -> None:
    first, last = min(ids), max(ids)
    fields = ("projection", "contract_id", "shape", "count", "first_event_id", "last_event_id")
    row = dict(zip(fields, (*key, len(ids), first, last), strict=True))
    here = (UnknownRow.projection == key[0]) & (UnknownRow.contract_id == key[1]) & (UnknownRow.shape == key[2])
    stored = UnknownRow.select(UnknownRow.first_event_id, UnknownRow.last_event_id).where(here).tuples()
    for known_first, known_last in stored.execute(database):
        UnknownRow.update(
            count=UnknownRow.count + len(ids),
            first_event_id=min(first, known_first),
            last_event_id=max(last, known_last),
        ).where(here).execute(database)
        return
    UnknownRow.insert(row).execute(database)


def read_reach(database: Database, name: str, contracts: Iterable[str] | None = None) -> dict[str, Reached]:
    """Return how far each of some contracts is (None: of all); those of which nothing is known are left out."""
    rows: Any = ReachRow.select(
        ReachRow.contract_id, ReachRow.ledger, ReachRow.closed_at, ReachRow.complete, ReachRow.watermark, ReachRow.first
    ).where(ReachRow.projection == name)
    parts: Iterable[Any] = (
        [rows] if contracts is None else [rows.where(ReachRow.contract_id.in_(part)) for part in batched(contracts)]
    )
    return {
        contract: Reached(ledger, closed_at, bool(complete), watermark, first)
        for part in parts
        for contract, ledger, closed_at, complete, watermark, first in part.tuples().execute(database)
    }


def write_reach(database: Database, name: str, reached: Mapping[str, Reached]) -> None:
    """Write how far each contract is, over all that was written before."""
    ReachRow.delete().where(ReachRow.projection == name).execute(database)
    fields = [
        ReachRow.projection,
        ReachRow.contract_id,
        ReachRow.ledger,
        ReachRow.closed_at,
        ReachRow.complete,
        ReachRow.watermark,
        ReachRow.first,
    ]
    for part in batched(reached.items(), AT_ONCE // 2):
        rows = [
            (name, contract, at.ledger, at.closed_at, int(at.complete), at.watermark, at.first) for contract, at in part
        ]
        ReachRow.insert_many(rows, fields=fields).execute(database)


# --- clearing -------------------------------------------------------------------------------------


def clear_small(database: Database, name: str) -> None:
    """Remove what a projection has few rows of: pending groups, unknown shapes and reach."""
    for model in (PendingRow, UnknownRow, ReachRow):
        model.delete().where(model.projection == name).execute(database)


def clear_some(database: Database, name: str, rows: int) -> bool:
    """Remove so many rows of journal, states and members; tell whether some may be left."""
    for model, columns in (
        (EntryRow, (EntryRow.key, EntryRow.event_id)),
        (StateRow, (StateRow.key,)),
        (MemberRow, (MemberRow.group_key, MemberRow.key)),
    ):
        found = model.select(*columns).where(model.projection == name).order_by(*columns).offset(rows).limit(1).tuples()
        bound = next(iter(found.execute(database)), None)
        if bound is None:
            model.delete().where(model.projection == name).execute(database)
            continue
        beyond = columns[0] < bound[0]
        if len(columns) > 1:
            beyond |= (columns[0] == bound[0]) & (columns[1] < bound[1])
        model.delete().where(model.projection == name, beyond).execute(database)
        return True
    return False
