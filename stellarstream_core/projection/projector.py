"""The projector of one projection: follows the store's positions, step by step, each step one short write.

A step reads and folds outside of any transaction, then writes journal, states, reach and cursor in one,
if nobody has moved the projection on since it looked: two processes may run the same projection, one of
them finds its work done. A process that is killed between two steps has lost nothing.

What comes first: what is left of an earlier build is removed; then members of groups that got events are
folded; then the next commits are taken in, and in turns with them the stored events of contracts that came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from time import monotonic
from typing import TypeVar

from loguru import logger
from peewee import Database

from stellarstream_core.events import ContractEvent
from stellarstream_core.projection import contracts, journal
from stellarstream_core.projection.contracts import Contracts, Phase, Taken
from stellarstream_core.projection.faults import OvertakenError, ProjectionFaultError, SupersededError, guarded
from stellarstream_core.projection.folding import Fold, Folder
from stellarstream_core.projection.journal import Cursor, Pending
from stellarstream_core.projection.pace import WANTED_SECONDS, Pace
from stellarstream_core.projection.reach import ReachPace, find_reach, never_back
from stellarstream_core.projection.steps import Batch, Rules, Sight, Step, Writing, in_order, must_begin
from stellarstream_core.projections import Change, Entry, Projection, Reached, Routed
from stellarstream_core.storage import Storage

T = TypeVar("T")

COMMITS_AT_ONCE = 1_000
"""Commits looked at in one step; most of those while following are empty."""
FEW_MEMBERS = 100
"""Members of groups that are folded in the step their group's events come in; more are done bit by bit."""
CLOSE_BEHIND = 200
"""Further behind contracts that came have to wait, and reach is found out seldom."""
READING_SHARE = 8
"""Reading and folding may take so many times what the write takes, before steps become smaller for it."""
STEP_SECONDS = 1.0
"""A step takes in no more commits after so long, so that it can be stopped."""


class Projector:
    """Folds what is committed into one projection. Its methods are called from one thread at a time."""

    def __init__(
        self, projection: Projection, storage: Storage, *, clock: Callable[[], float] = time.time, events: int = 500
    ) -> None:
        self.projection = projection
        self.name = projection.name
        self.storage = storage
        self._clock = clock
        self._settled: Rules | None = None
        self._pace = Pace(events, 20, 5_000)
        self._page_pace = Pace(events, 20, 5_000)
        self._clearing_pace = Pace(2_000, 100, 50_000)
        self._commits_next = False
        """Whether it is the commits' turn, and not that of a contract that is being taken in."""
        self._reach_pace = ReachPace()
        self._sealing = True
        """Whether reach may not be up to date, or :meth:`Projection.reached` have more to do than it has done."""

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
            try:
                self._begin(self._look(), self._rules())
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
        sight, rules = self._look(), self._rules()
        cursor, moment = sight.cursor, sight.moment
        stored = Rules(cursor.fingerprint, contracts.followed(sight.contracts))
        if stored != rules and self._settled == rules:
            raise SupersededError("another process builds this projection under other rules or settings")
        if must_begin(sight, rules):
            self._begin(sight, rules)
            return Step(0, moment.position, rebuilding=True)
        if stored != rules:
            self._admit(sight, rules)
            return Step(cursor.position, sight.behind, rebuilding=cursor.position < cursor.target)
        self._settled = rules
        if cursor.clearing:
            self._clear_some(cursor)
            return Step(0, moment.position, rebuilding=True)
        pending = self._read(journal.read_pending)
        if pending:
            return self._expand(sight, pending, began)
        if sight.coming and sight.behind <= CLOSE_BEHIND and not (sight.behind and self._commits_next):
            self._commits_next = True
            return self._take_page(sight, began)
        self._commits_next = False
        return self._take_in(sight, began) if sight.behind else self._settle(sight)

    def _look(self) -> Sight:
        def look(database: Database) -> tuple[Cursor | None, Contracts]:
            return journal.read_cursor(database, self.name), contracts.read_contracts(database, self.name)

        cursor, known = self.storage.read(look)
        if cursor is None:
            now = int(self._clock())
            self.storage.write(lambda database: journal.add_projection(database, self.name, now))
            cursor, known = self.storage.read(look)
        if cursor is None:
            raise OvertakenError(self.name)
        return Sight(cursor, known, self.storage.moment())

    def _rules(self) -> Rules:
        """Return what the projection depends on now."""
        own = guarded("fingerprint", lambda: str(self.projection.fingerprint))
        given = guarded("contracts", lambda: self.projection.contracts)
        if not isinstance(given, Mapping):
            raise ProjectionFaultError(f"contracts is {type(given).__name__} where a mapping is due")
        return Rules(sha256(own.encode()).hexdigest(), {contract: str(of) for contract, of in given.items()})

    # --- beginning, other contracts -------------------------------------------------------------

    def _begin(self, sight: Sight, rules: Rules) -> None:
        """Throw away what was built: the little at once, the rest in the steps that follow."""
        cursor, moment = sight.cursor, sight.moment

        def write(database: Database) -> None:
            journal.take_step(
                database,
                self.name,
                cursor.step,
                int(self._clock()),
                fingerprint=rules.fingerprint,
                epoch=moment.epoch,
                position=0,
                after_event="",
                clearing=journal.CLEARING_OWN,
                target=moment.position,
                trouble=None,
            )
            journal.clear_small(database, self.name)
            contracts.replace_contracts(database, self.name, rules.contracts)

        if cursor.fingerprint:
            logger.info("projection {} is built again from the first commit", self.name)
        self.storage.write(write)
        self._settled = rules
        self._reach_pace, self._sealing = ReachPace(), True

    def _clear_some(self, cursor: Cursor) -> None:
        rows = self._clearing_pace.size
        seconds = 0.0

        def write(database: Database) -> None:
            nonlocal seconds
            began = monotonic()
            journal.take_step(database, self.name, cursor.step, int(self._clock()))
            if cursor.clearing == journal.CLEARING_OWN:
                more, then = bool(guarded("clear", lambda: self.projection.clear(database))), journal.CLEARING_JOURNAL
            else:
                more, then = journal.clear_some(database, self.name, rows), journal.CLEARED
            if not more:
                journal.take_step(database, self.name, cursor.step + 1, int(self._clock()), clearing=then)
            seconds = monotonic() - began

        self.storage.write(write)
        if cursor.clearing == journal.CLEARING_JOURNAL:
            self._clearing_pace.took(rows, seconds)

    def _admit(self, sight: Sight, rules: Rules) -> None:
        """Note which contracts came and which went; what came is taken in by the steps that follow."""
        cursor = sight.cursor
        stored = contracts.followed(sight.contracts)
        came, went = sorted(rules.contracts.keys() - stored), sorted(stored.keys() - rules.contracts)
        untouched = not cursor.position and not cursor.after_event  # every commit is yet to come
        phase = Phase.KNOWN if untouched else Phase.COMING
        changed = {contract: Taken(rules.contracts[contract], phase) for contract in came}
        changed |= {contract: Taken(stored[contract], Phase.AWAY) for contract in went}

        def write(database: Database) -> None:
            journal.take_step(database, self.name, cursor.step, int(self._clock()), trouble=None)
            contracts.put_contracts(database, self.name, changed)
            contracts.forget_reach(database, self.name, changed)

        self.storage.write(write)
        self._settled = rules
        self._sealing = True
        for what, which in (("takes in", came), ("does not follow any more", went)):
            if which:
                logger.info("projection {} {} {}", self.name, what, ", ".join(which))

    # --- taking in commits ----------------------------------------------------------------------

    def _take_in(self, sight: Sight, began: float) -> Step:
        cursor = sight.cursor
        batch = self._next_batch(sight, began)
        routed = self._route(batch.events)
        entries = in_order(routed)
        folds, pending = self._fold(sight, routed, entries)
        writing = Writing(
            {"position": batch.position, "after_event": batch.after_event},
            # one whose row was lost and brought back by 'verify --repair' is there already; its key is folded anew
            self._not_journaled(entries),
            folds,
            routed.unknown,
            pending,
        )
        behind = max(sight.moment.position - batch.position, 0)
        writing.reached = self._reach(sight, batch.position, behind, pending, batch.events if batch.after_event else ())
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

    def _take_page(self, sight: Sight, began: float) -> Step:
        """Take in the next stored events of the first contract that is being taken in."""
        cursor, contract = sight.cursor, sight.coming[0]
        taken = sight.contracts[contract]
        page = contracts.next_page(self.storage, cursor, contract, taken.after_event, self._page_pace.size)
        routed = self._route(page.events)
        entries = self._not_journaled(in_order(routed))
        folds, pending = self._fold(sight, routed, entries)
        through = page.after_event is None
        after = (
            Taken(taken.fingerprint, Phase.KNOWN)
            if page.after_event is None
            else taken._replace(after_event=page.after_event)
        )
        writing = Writing({}, entries, folds, routed.unknown, pending, taken={contract: after})
        self._write(cursor, writing)
        if through:
            self._reach_pace, self._sealing = ReachPace(), True
            logger.info("projection {} has taken in {}", self.name, contract)
        self._page_pace.took(len(page.events), max(writing.seconds, (monotonic() - began) / READING_SHARE))
        return Step(
            cursor.position,
            sight.behind,
            events=len(page.events),
            entries=len(entries),
            rebuilding=cursor.position < cursor.target,
        )

    def _not_journaled(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that the journal lacks: it has those of a contract that comes back, or of a lost event."""
        ids = sorted({entry.event.id for entry in entries})
        known = self._read(lambda database, name: journal.read_known_entries(database, name, ids))
        return [entry for entry in entries if (entry.event.id, entry.key) not in known]

    def _fold(self, sight: Sight, routed: Routed, entries: Sequence[Entry]) -> tuple[Sequence[Fold], Sequence[Pending]]:
        """Fold what new entries concern; return the groups as well whose members are to be folded bit by bit."""
        arrived: dict[str, list[Entry]] = {}
        for entry in entries:
            arrived.setdefault(entry.key, []).append(entry)
        folder = Folder(self.projection, self.storage, self.name, arrived)
        groups = self._read(lambda database, name: journal.read_groups_among(database, name, arrived))
        members, pending = self._members_of(groups, arrived, frozenset(sight.known))
        return folder.fold({*(arrived.keys() - set(routed.groups)), *members}), pending

    def _next_batch(self, sight: Sight, began: float) -> Batch:
        """Read on from the cursor, commit by commit, until there is enough for one write."""
        cursor, followed = sight.cursor, sorted(contracts.followed(sight.contracts))
        events: list[ContractEvent] = []
        position, after = cursor.position, cursor.after_event
        for commit in self.storage.commits(position, COMMITS_AT_ONCE):
            room = self._pace.size - len(events)
            if room <= 0 or monotonic() - began > STEP_SECONDS:
                break
            page: Sequence[ContractEvent] = ()
            if followed and commit.events != 0:
                page = self.storage.commit_page(commit, after=after, limit=room, contracts=followed)
                events += page
            if len(page) >= room and (after or len(page) != commit.events):  # there may be more of it
                after = page[-1].id
                break
            position, after = commit.position, ""
        mine = [event for event in events if not contracts.left_to_paging(sight.contracts, event)]
        return Batch(sorted(mine, key=lambda event: event.id), position, after)

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

    def _members_of(
        self, groups: Iterable[str], arrived: Mapping[str, Sequence[Entry]], known: Collection[str]
    ) -> tuple[list[str], list[Pending]]:
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
                events = [entry.event for entry in arrived[group]]
                waited_for = [event.ledger for event in events if event.contract_id in known]
                pending.append(Pending(group, events[0].id, "", min(waited_for, default=None)))
        return sorted(members), pending

    # --- members of groups, bit by bit ----------------------------------------------------------

    def _expand(self, sight: Sight, pending: Sequence[Pending], began: float) -> Step:
        """Fold the next members of the first pending group."""
        cursor = sight.cursor
        group, first, after, _ = pending[0]
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
        writing = Writing({}, folds=folds, moved=(group, None if done else members[-1]))
        writing.reached = self._reach(sight, cursor.position, sight.behind, left)
        self._write(cursor, writing)
        self._pace.took(len(members), max(writing.seconds, (monotonic() - began) / READING_SHARE))
        return Step(cursor.position, sight.behind, rebuilding=cursor.position < cursor.target)

    # --- nothing to take in ---------------------------------------------------------------------

    def _settle(self, sight: Sight) -> Step:
        """All is folded: bring reach up to date, and let the projection seal what it may."""
        position = sight.cursor.position
        done = Step(position, 0, idle=True)
        if not self._sealing:
            return done
        writing = Writing({}, reached=self._reach(sight, position, 0, ()))
        self._write(sight.cursor, writing)
        return Step(position, 0) if self._sealing else done

    def _reach(
        self,
        sight: Sight,
        position: int,
        behind: int,
        pending: Sequence[Pending],
        partly: Sequence[ContractEvent] = (),
    ) -> Mapping[str, Reached] | None:
        """Return how far the contracts are where all up to ``position`` is folded but what ``pending`` says.

        None where it is found out another time. What is told never lies above a ledger of which only a part is
        folded: ``partly`` are events of a commit that is not taken in wholly.
        """
        known = sight.known
        floors = [one.floor for one in pending if one.floor is not None]
        if (behind or pending) and not self._reach_pace.is_due(far=behind > CLOSE_BEHIND):
            lowest = min([*floors, *(event.ledger for event in partly if event.contract_id in known)], default=None)
            if lowest is None or not self._is_told(lowest):
                self._sealing = True
                return None
        with self._reach_pace:
            found = find_reach(self.storage, known, position, min(floors, default=None))
        return never_back(found, self._read(journal.read_reach))

    def _is_told(self, ledger: int) -> bool:
        """Tell whether some contract is told to be folded up to a ledger or further."""
        told = self._read(journal.read_reach).values()
        return any(max(at.ledger, at.watermark) >= ledger for at in told)

    # --- writing --------------------------------------------------------------------------------

    def _write(self, cursor: Cursor, writing: Writing) -> None:
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
            contracts.put_contracts(database, name, writing.taken)
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
