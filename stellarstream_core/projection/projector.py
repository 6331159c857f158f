"""The projector of one projection: follows the store's positions, step by step, each step one short write.

A step reads and folds outside of any transaction, then writes journal, states, reach and cursor in one,
if nobody has moved the projection on since it looked: two processes may run the same projection, one of
them finds its work done. A process that is killed between two steps has lost nothing.

What comes first: what is left of an earlier build is removed; then members of groups that got events are
folded; then the next commits are taken in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import TypeVar

from loguru import logger
from peewee import Database

from stellarstream_core.events import ContractEvent, parse_event_id
from stellarstream_core.projection import journal
from stellarstream_core.projection.faults import OvertakenError, ProjectionFaultError, SupersededError, guarded
from stellarstream_core.projection.folding import Fold, Folder
from stellarstream_core.projection.journal import Cursor, Pending
from stellarstream_core.projection.pace import WANTED_SECONDS, Pace
from stellarstream_core.projection.reach import find_reach
from stellarstream_core.projections import Change, Entry, Projection, Reached, Routed, Unknown
from stellarstream_core.storage import Moment, Storage

T = TypeVar("T")

COMMITS_AT_ONCE = 1_000
"""Commits looked at in one step; most of those while following are empty."""
FEW_MEMBERS = 100
"""Members of groups that are folded in the step their group's events come in; more are done bit by bit."""
CLOSE_BEHIND = 200
"""Commits behind up to which reach is found out in each step; further behind that would slow the catching up."""
REACH_SECONDS = 2.0
"""How often reach is found out while far behind."""
READING_SHARE = 8
"""Reading and folding may take so many times what the write takes, before steps become smaller for it."""
STEP_SECONDS = 1.0
"""A step takes in no more commits after so long, so that it can be stopped."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did. ``behind`` is how many commits are left, ``events`` how many of its contracts were taken in.

    ``idle``: there was nothing to do. ``commits`` is how many were taken in wholly.
    """

    position: int
    behind: int
    commits: int = 0
    events: int = 0
    entries: int = 0
    idle: bool = False
    rebuilding: bool = False


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events to take in, in id order, and where the cursor stands after them."""

    events: Sequence[ContractEvent]
    position: int
    after_event: str


@dataclass(slots=True)
class _Writing:
    """All that one step writes."""

    cursor: Mapping[str, object]
    entries: Sequence[Entry] = ()
    folds: Sequence[Fold] = ()
    unknown: Sequence[Unknown] = ()
    pending: Sequence[Pending] = ()
    moved: tuple[str, str | None] | None = None
    reached: Mapping[str, Reached] | None = None
    seconds: float = field(default=0.0, init=False)


class Projector:
    """Folds what is committed into one projection. Its methods are called from one thread at a time."""

    def __init__(
        self, projection: Projection, storage: Storage, *, clock: Callable[[], float] = time.time, events: int = 500
    ) -> None:
        self.projection = projection
        self.name = projection.name
        self.storage = storage
        self._clock = clock
        self._settled: str | None = None
        self._pace = Pace(events, 20, 5_000)
        self._clearing_pace = Pace(2_000, 100, 50_000)
        self._reach_at = 0.0
        self._sealing = True
        """Whether :meth:`Projection.reached` may have more to do than it has done."""

    @property
    def fingerprint(self) -> str:
        """What the stored projection depends on: the projection's own word, and which contracts it takes."""
        contracts = ",".join(sorted(self._contracts()))
        own = guarded("fingerprint", lambda: str(self.projection.fingerprint))
        return sha256(f"{own}\n{contracts}".encode()).hexdigest()

    def step(self) -> Step:
        """Do the next bit of work and return what was done.

        Raises :class:`ProjectionFaultError` where the projection breaks, ``StorageError`` where the database does.
        """
        try:
            return self._step()
        except OvertakenError:
            logger.debug("projection {}: another process was faster", self.name)
            cursor = self._read(journal.read_cursor)
            moment = self.storage.moment()
            position = cursor.position if cursor is not None else 0
            return Step(position, max(moment.position - position, 0))

    def rebuild(self) -> None:
        """Begin the projection anew, from the first commit; the following steps build it."""
        for _ in range(10):
            cursor, moment = self._cursor(), self.storage.moment()
            try:
                self._begin(cursor, moment, self.fingerprint)
            except OvertakenError:
                continue
            return
        raise ProjectionFaultError("another process moves the projection on all the time")

    def stop(self, trouble: str) -> None:
        """Write down why the projection stopped, for those who look at it from elsewhere."""
        now = int(self._clock())
        self.storage.write(lambda database: journal.note_trouble(database, self.name, trouble, now))

    # --- one step -------------------------------------------------------------------------------

    def _step(self) -> Step:
        began = monotonic()
        cursor = self._cursor()
        moment = self.storage.moment()
        fingerprint = self.fingerprint
        if (
            cursor.fingerprint != fingerprint
            or cursor.epoch != moment.epoch
            or cursor.position > moment.position
            or (cursor.position == moment.position and cursor.after_event)
        ):
            if cursor.fingerprint != fingerprint and self._settled == fingerprint:
                raise SupersededError("another process builds this projection under other rules or settings")
            self._begin(cursor, moment, fingerprint)
            return Step(0, moment.position, rebuilding=True)
        self._settled = fingerprint
        if cursor.clearing:
            self._clear_some(cursor)
            return Step(0, moment.position, rebuilding=True)
        pending = self._read(journal.read_pending)
        if pending:
            return self._expand(cursor, moment, pending, began)
        if cursor.position < moment.position:
            return self._take_in(cursor, moment, began)
        return self._settle(cursor, moment)

    def _cursor(self) -> Cursor:
        cursor = self._read(journal.read_cursor)
        if cursor is None:
            now = int(self._clock())
            self.storage.write(lambda database: journal.add_projection(database, self.name, now))
            cursor = self._read(journal.read_cursor)
        if cursor is None:
            raise OvertakenError(self.name)
        return cursor

    def _begin(self, cursor: Cursor, moment: Moment, fingerprint: str) -> None:
        """Throw away what was built: the little at once, the journal in the steps that follow."""

        def write(database: Database) -> None:
            journal.take_step(
                database,
                self.name,
                cursor.step,
                int(self._clock()),
                fingerprint=fingerprint,
                epoch=moment.epoch,
                position=0,
                after_event="",
                clearing=1,
                target=moment.position,
                trouble=None,
            )
            journal.clear_small(database, self.name)
            guarded("clear", lambda: self.projection.clear(database))

        if cursor.fingerprint:
            logger.info("projection {} is built again from the first commit", self.name)
        self.storage.write(write)
        self._settled = fingerprint
        self._reach_at, self._sealing = 0.0, True

    def _clear_some(self, cursor: Cursor) -> None:
        rows = self._clearing_pace.size
        seconds = 0.0

        def write(database: Database) -> None:
            nonlocal seconds
            began = monotonic()
            journal.take_step(database, self.name, cursor.step, int(self._clock()))
            if not journal.clear_some(database, self.name, rows):
                journal.take_step(database, self.name, cursor.step + 1, int(self._clock()), clearing=0)
            seconds = monotonic() - began

        self.storage.write(write)
        self._clearing_pace.took(rows, seconds)

    # --- taking in commits ----------------------------------------------------------------------

    def _take_in(self, cursor: Cursor, moment: Moment, began: float) -> Step:
        batch = self._next_batch(cursor, began)
        routed = self._route(batch.events)
        folder, entries = self._folder(routed)
        keys = {entry.key for entry in entries}
        groups = self._read(lambda database, name: journal.read_groups_among(database, name, keys))
        members, pending = self._members_of(groups, entries)
        folds = folder.fold({*keys, *members})
        writing = _Writing(
            {"position": batch.position, "after_event": batch.after_event},
            entries,
            folds,
            routed.unknown,
            pending,
        )
        behind = max(moment.position - batch.position, 0)
        writing.reached = self._reach(batch.position, behind, pending)
        self._write(cursor, writing)
        self._pace.took(len(batch.events), max(writing.seconds, (monotonic() - began) / READING_SHARE))
        return Step(
            batch.position,
            behind,
            batch.position - cursor.position,
            len(batch.events),
            len(entries),
            rebuilding=batch.position < cursor.target,
        )

    def _next_batch(self, cursor: Cursor, began: float) -> _Batch:
        """Read on from the cursor, commit by commit, until there is enough for one write."""
        contracts = sorted(self._contracts())
        events: list[ContractEvent] = []
        position, after = cursor.position, cursor.after_event
        for commit in self.storage.commits(position, COMMITS_AT_ONCE):
            room = self._pace.size - len(events)
            if room <= 0 or monotonic() - began > STEP_SECONDS:
                break
            page: Sequence[ContractEvent] = ()
            if contracts and commit.events != 0:
                page = self.storage.commit_page(commit, after=after, limit=room, contracts=contracts)
                events += page
            if len(page) >= room and (after or len(page) != commit.events):  # there may be more of it
                after = page[-1].id
                break
            position, after = commit.position, ""
        events.sort(key=lambda event: event.id)
        return _Batch(events, position, after)

    def _route(self, events: Sequence[ContractEvent]) -> Routed:
        if not events:
            return Routed(())
        routed = guarded("route", lambda: self.projection.route(events))
        if not isinstance(routed, Routed):
            raise ProjectionFaultError(f"route() returned {type(routed).__name__} where Routed is due")
        known = {event.id for event in events}
        for entry in routed.entries:
            if not isinstance(entry.key, str) or not entry.key or entry.event.id not in known:
                raise ProjectionFaultError("route() returned an entry without a key, or of an event it was not given")
        return routed

    def _folder(self, routed: Routed) -> tuple[Folder, list[Entry]]:
        """Return what folds these entries, and the entries in id order, each once."""
        entries = sorted({(entry.event.id, entry.key): entry for entry in routed.entries}.items())
        arrived: dict[str, list[Entry]] = {}
        for _, entry in entries:
            arrived.setdefault(entry.key, []).append(entry)
        return Folder(self.projection, self.storage, self.name, arrived), [entry for _, entry in entries]

    def _members_of(self, groups: Iterable[str], entries: Sequence[Entry]) -> tuple[list[str], list[Pending]]:
        """Return the members of groups to fold at once; groups that have too many are pending."""
        members: set[str] = set()
        pending: list[Pending] = []
        for group in groups:
            few = FEW_MEMBERS - len(members)

            def some(database: Database, name: str, group: str = group, few: int = few) -> list[str]:
                return journal.read_members(database, name, group, few + 1)

            found = self._read(some)
            if len(found) <= few:
                members.update(found)
            else:
                first = min(entry.event.id for entry in entries if entry.key == group)
                pending.append(Pending(group, first, ""))
        return sorted(members), pending

    # --- members of groups, bit by bit ----------------------------------------------------------

    def _expand(self, cursor: Cursor, moment: Moment, pending: Sequence[Pending], began: float) -> Step:
        """Fold the next members of the first pending group."""
        group, first, after = pending[0]
        size = self._pace.size

        def look(database: Database, name: str) -> tuple[list[str], list[str]]:
            ids = journal.read_entries(database, name, [group], first).get(group, [])
            return journal.read_members(database, name, group, size, after), sorted(ids)

        members, ids = self._read(look)
        folder = Folder(self.projection, self.storage, self.name)
        events = folder.remember_events(ids)
        news = {group: [Entry(group, events[event_id]) for event_id in ids]}
        folds = folder.fold(members, news) if members else []
        done = len(members) < size
        left = pending[1:] if done else pending
        writing = _Writing({}, folds=folds, moved=(group, None if done else members[-1]))
        behind = moment.position - cursor.position
        writing.reached = self._reach(cursor.position, behind, left)
        self._write(cursor, writing)
        self._pace.took(len(members), max(writing.seconds, (monotonic() - began) / READING_SHARE))
        return Step(cursor.position, behind, rebuilding=cursor.position < cursor.target)

    # --- nothing to take in ---------------------------------------------------------------------

    def _settle(self, cursor: Cursor, moment: Moment) -> Step:
        """All is folded: bring reach up to date, and let the projection seal what it may."""
        done = Step(cursor.position, 0, idle=True)
        if not self._sealing:
            return done
        reached = find_reach(self.storage, self._contracts(), cursor.position, None)
        writing = _Writing({}, reached=reached)
        self._write(cursor, writing)
        return Step(cursor.position, moment.position - cursor.position) if self._sealing else done

    def _reach(self, position: int, behind: int, pending: Sequence[Pending]) -> Mapping[str, Reached] | None:
        """Return how far the contracts are; None where what was found out before still holds and will do."""
        now = monotonic()
        if behind > CLOSE_BEHIND and not pending and now - self._reach_at < REACH_SECONDS:
            return None
        self._reach_at = now
        lowest = min((parse_event_id(one.from_event_id).ledger for one in pending), default=None)
        return find_reach(self.storage, self._contracts(), position, lowest)

    # --- writing --------------------------------------------------------------------------------

    def _write(self, cursor: Cursor, writing: _Writing) -> None:
        """Write a step; raises :class:`OvertakenError`, having written nothing, where another process was faster."""
        more = False

        def write(database: Database) -> None:
            nonlocal more
            began = monotonic()
            name, now = self.name, int(self._clock())
            journal.take_step(database, name, cursor.step, now, trouble=None, **writing.cursor)
            journal.add_entries(database, name, ((entry.key, entry.event.id) for entry in writing.entries))
            _write_folds(database, name, writing.folds)
            journal.add_pending(database, name, writing.pending)
            if writing.moved is not None:
                journal.move_pending(database, name, *writing.moved)
            journal.count_unknown(database, name, writing.unknown)
            changes = [
                Change(fold.key, fold.before.state, fold.state)
                for fold in writing.folds
                if fold.before.state is not None or fold.state is not None
            ]
            if writing.entries or changes:
                guarded("save", lambda: self.projection.save(database, writing.entries, changes))
            if writing.reached is not None:
                reached = dict(writing.reached)
                journal.write_reach(database, name, reached)
                more = bool(guarded("reached", lambda: self.projection.reached(database, reached)))
            writing.seconds = monotonic() - began

        self.storage.write(write)
        if writing.reached is not None:
            self._sealing = more
        if writing.seconds > 4 * WANTED_SECONDS:
            logger.debug("projection {}: a write took {:.2f} s", self.name, writing.seconds)

    def _contracts(self) -> Sequence[str]:
        return guarded("contracts", lambda: list(self.projection.contracts))

    def _read(self, query: Callable[[Database, str], T]) -> T:
        return self.storage.read(lambda database: query(database, self.name))


def _write_folds(database: Database, name: str, folds: Sequence[Fold]) -> None:
    journal.write_states(
        database,
        name,
        [(fold.key, fold.last, fold.state) for fold in folds if fold.state is not None],
        [fold.key for fold in folds if fold.state is None and fold.before.state is not None],
    )
    journal.write_groups(
        database,
        name,
        [(group, fold.key) for fold in folds for group in sorted(fold.groups - fold.before.groups)],
        [(group, fold.key) for fold in folds for group in sorted(fold.before.groups - fold.groups)],
    )
