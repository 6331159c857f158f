"""The storage itself: the framework's ``Storage`` on a SQL database, one function one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from uuid import uuid4

from peewee import Database

from stellarstream_core.errors import InvalidEventError, NetworkMismatchError, NetworkResetError, StorageError
from stellarstream_core.events import ContractEvent, parse_event_id
from stellarstream_core.hookspecs import ModelSet
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Window
from stellarstream_core.storage import (
    Anchor,
    CloseTime,
    Commit,
    CommitResult,
    CommitWatch,
    Conflict,
    CoveredRange,
    EventPage,
    EventQuery,
    Moment,
    SchemaState,
    SyncState,
    Totals,
)
from stellarstream_sql import MODELS, anchors, finding, reading, schema, statements, watermarks
from stellarstream_sql.backend import Backend
from stellarstream_sql.commit import commit_window
from stellarstream_sql.coverage import merge
from stellarstream_sql.models import (
    AnchorRow,
    CommitRow,
    ConflictRow,
    ContractSetMember,
    CoverageRun,
    LinkRow,
    Store,
    SyncStateRow,
)
from stellarstream_sql.sets import ContractSets
from stellarstream_sql.urls import parse_postgresql, parse_sqlite

T = TypeVar("T")


def open_sqlite(url: str, models: Sequence[ModelSet] = (), clock: Callable[[], float] = time.time) -> SqlStorage:
    """Open ``sqlite:///PATH``; nothing is written until ``migrate``. Raises ``StorageError``."""
    from stellarstream_sql.sqlite import SqliteBackend  # noqa: PLC0415 - each driver is loaded where it is used

    return SqlStorage(SqliteBackend(parse_sqlite(url)), models, clock)


def open_postgresql(url: str, models: Sequence[ModelSet] = (), clock: Callable[[], float] = time.time) -> SqlStorage:
    """Connect to ``postgresql://…``; nothing is written until ``migrate``. Raises ``StorageError``."""
    try:
        from stellarstream_sql.postgresql import PostgresqlBackend  # noqa: PLC0415 - psycopg is optional
    except ImportError as error:
        raise StorageError(
            f"PostgreSQL needs the driver psycopg, which is not installed ({error}).",
            help="Run: pip install 'stellarstream[postgres]'",
        ) from None
    return SqlStorage(PostgresqlBackend(parse_postgresql(url)), models, clock)


class SqlStorage:
    """An open SQL database; safe to use from several threads."""

    def __init__(self, backend: Backend, models: Sequence[ModelSet], clock: Callable[[], float]) -> None:
        self.url = backend.url
        self._backend = backend
        self._models = (MODELS, *(one for one in models if one.name != MODELS.name))
        self._contract_sets = ContractSets()
        self._clock = clock

    def __repr__(self) -> str:
        return f"SqlStorage({self.url!r})"

    @property
    def durable(self) -> bool:
        """Whether a commit survives a power cut before it is told to sinks."""
        return self._backend.durable

    @durable.setter
    def durable(self, value: bool) -> None:
        self._backend.durable = value

    # --- schema ---------------------------------------------------------------------------------

    def schema(self) -> SchemaState:
        """Compare the applied migrations with those this code knows."""
        return schema.read_state(self._backend, self._models)

    def migrate(self) -> Sequence[str]:
        """Apply pending migrations and return their names; raise ``SchemaError`` for a newer schema."""
        return schema.migrate(self._backend, self._models)

    # --- network --------------------------------------------------------------------------------

    def network_passphrase(self) -> str | None:
        """Return the network this database belongs to, or None while it has none."""

        def query(database: Database) -> str | None:
            found = Store.select(Store.network_passphrase).tuples().execute(database)
            return next((row[0] for row in found), None)

        return self._backend.read(query)

    def bind_network(self, passphrase: str) -> None:
        """Write the network once; raise ``NetworkMismatchError`` where another one is stored."""
        with self._backend.write() as transaction:
            transaction.run(statements.BIND_NETWORK, (passphrase,))
            bound = transaction.all(statements.BOUND_NETWORK)[0][0]
        if bound != passphrase:
            raise NetworkMismatchError(
                f"{self.url} holds the network '{bound}', not '{passphrase}'.",
                help="Correct 'network', or point 'database_url' at a database of its own for each network.",
            )

    def anchors(self, limit: int = 100) -> Sequence[Anchor]:
        """Return stored anchors, newest ledger first."""
        found = AnchorRow.select(AnchorRow.ledger, AnchorRow.hash).order_by(AnchorRow.ledger.desc()).limit(limit)
        return self._backend.read(lambda database: [Anchor(*row) for row in found.tuples().execute(database)])

    def add_anchor(self, anchor: Anchor) -> None:
        """Keep an anchor; raise ``NetworkResetError`` where the ledger has another hash already."""
        with self._backend.write() as transaction:
            transaction.lock_store()
            stored = transaction.all(statements.ANCHOR_AT, (anchor.ledger,))
            if not stored:
                transaction.run(statements.INSERT_ANCHOR, (anchor.ledger, anchor.hash))
                ledgers = [row[0] for row in transaction.all(statements.ANCHORED_LEDGERS)]
                if dropped := anchors.to_drop(ledgers):
                    transaction.many(statements.DELETE_ANCHOR, [(ledger,) for ledger in dropped])
        if stored and stored[0][0] != anchor.hash:
            raise NetworkResetError(
                f"Ledger {anchor.ledger} has the hash {anchor.hash[:16]}… now, "
                f"but {stored[0][0][:16]}… when {self.url} was filled: this is another history."
            )

    def open_ends(self) -> Sequence[Anchor]:
        """Return the ledgers at the ends of what was checked; see ``stellarstream_sql.links``."""
        found = LinkRow.select(LinkRow.ledger, LinkRow.hash).order_by(LinkRow.ledger).tuples()
        return self._backend.read(lambda database: [Anchor(*row) for row in found.execute(database)])

    # --- coverage -------------------------------------------------------------------------------

    def want(self, scope: Scope, start_ledger: int) -> None:
        """Note the first wanted ledger of each contract that has none yet; the others keep theirs."""
        with self._backend.write() as transaction:
            transaction.lock_store()
            sets = self._contract_sets.members(transaction)
            for contract in scope:
                watermarks.begin(transaction, sets, contract, start_ledger)

    def sync_states(self, contracts: Iterable[str] | None = None) -> dict[str, SyncState]:
        """Return the state of each known contract among ``contracts`` (None: of all)."""
        found = SyncStateRow.select(
            SyncStateRow.contract_id, SyncStateRow.start_ledger, SyncStateRow.last_ledger_sequence
        ).order_by(SyncStateRow.contract_id)
        wanted = None if contracts is None else set(contracts)
        rows = self._backend.read(lambda database: list(found.tuples().execute(database)))
        return {row[0]: SyncState(*row) for row in rows if wanted is None or row[0] in wanted}

    def coverage(self, contract: str, within: LedgerRange) -> RangeSet:
        """Return the ledgers of ``within`` covered for one contract (coverage of ``*`` counts for each)."""
        found = _runs(contract, within).select(CoverageRun.first_ledger, CoverageRun.last_ledger).tuples()
        rows = self._backend.read(lambda database: list(found.execute(database)))
        return RangeSet(rows) & RangeSet([within])

    def covered_ranges(self, contract: str, within: LedgerRange) -> Sequence[CoveredRange]:
        """Return coverage with the strongest evidence, its source and flavour."""
        found = (
            _runs(contract, within)
            .select(
                CoverageRun.first_ledger,
                CoverageRun.last_ledger,
                CoverageRun.window_id,
                CoverageRun.evidence,
                CoverageRun.source,
                CoverageRun.flavour,
            )
            .tuples()
        )
        return merge(self._backend.read(lambda database: list(found.execute(database))), within)

    # --- commits --------------------------------------------------------------------------------

    def commit(self, window: Window) -> CommitResult:
        """Store a window in one transaction; see ``stellarstream_sql.commit``."""
        return commit_window(self._backend, self._contract_sets, window, self._clock)

    def commits(self, after: int, limit: int = 1000) -> Sequence[Commit]:
        """Return commits with a position above ``after``, in order."""
        found = (
            CommitRow.select(
                CommitRow.position, CommitRow.window_id, CommitRow.first_ledger, CommitRow.last_ledger, CommitRow.events
            )
            .where(CommitRow.position > after)
            .order_by(CommitRow.position)
            .limit(limit)
            .tuples()
        )
        rows = self._backend.read(lambda database: list(found.execute(database)))
        return [
            Commit(position, window_id, LedgerRange(first, last), events)
            for position, window_id, first, last, events in rows
        ]

    def events_of_commit(self, commit: Commit) -> Sequence[ContractEvent]:
        """Return the events first stored by that commit, in id order."""
        limit = reading.most_of_commit(commit)
        if limit < 1:
            return []
        return self._backend.read(lambda database: reading.read_events_of_commit(database, commit, limit))

    def commit_page(
        self, commit: Commit, *, after: str = "", skip: int = 0, limit: int, contracts: Sequence[str] = ()
    ) -> Sequence[ContractEvent]:
        """Return a part of :meth:`events_of_commit`, of all contracts or of some."""
        limit = reading.most_of_commit(commit, skip, limit)
        if limit < 1:
            return []
        if contracts:
            return self._backend.read(
                lambda database: reading.read_page_of_commit_of(database, commit, contracts, after, skip, limit)
            )
        walking = self._backend.walking
        return self._backend.read(
            lambda database: reading.read_page_of_commit(database, walking, commit, after, skip, limit)
        )

    def earliest_after(self, position: int, contracts: Sequence[str]) -> dict[str, int]:
        """Return the lowest ledger of the commits above a position that can hold each contract's events."""
        return self._backend.read(lambda database: reading.read_earliest_after(database, position, contracts))

    def events(
        self, within: LedgerRange, scope: Scope, *, after: str = "", limit: int = 1000
    ) -> Sequence[ContractEvent]:
        """Return events of the scope in id order, from the first id above ``after``."""
        return self._backend.read(lambda database: reading.read_events(database, within, scope, after, limit))

    def find_events(self, query: EventQuery, limit: int) -> EventPage:
        """Return the next page of the query; see ``stellarstream_sql.finding``."""
        finding.check(query, limit)
        walking = self._backend.walking
        return self._backend.read(lambda database: finding.find_events(database, walking, query, limit))

    def event(self, event_id: str) -> ContractEvent | None:
        """Return the event of that id, None where there is none or the text is no event id."""
        try:
            ledger = parse_event_id(event_id).ledger
        except InvalidEventError:
            return None
        return self._backend.read(lambda database: reading.read_event(database, ledger, event_id))

    def events_by_id(self, ids: Sequence[str]) -> Sequence[ContractEvent]:
        """Return the events of these ids that are stored, in id order."""
        return self._backend.read(lambda database: finding.events_by_id(database, ids))

    def close_time(self, upto: int) -> CloseTime | None:
        """Return the newest ledger up to ``upto`` whose close time is known."""
        return self._backend.read(lambda database: reading.read_close_time(database, upto))

    # --- epoch and watching ---------------------------------------------------------------------

    def epoch(self) -> str:
        """Return the name of this history of commits."""
        rows = self._backend.read(lambda database: reading.query(database, statements.EPOCH, ()))
        return str(rows[0][0])

    def moment(self) -> Moment:
        """Return epoch, position and count of events in one snapshot."""
        found = Store.select(Store.epoch, Store.position, Store.events).tuples()
        return self._backend.read(lambda database: Moment(*next(iter(found.execute(database)))))

    def begin_epoch(self) -> str:
        """Give the store a new epoch and return it."""
        epoch = str(uuid4())
        with self._backend.write() as transaction:
            transaction.run(statements.BEGIN_EPOCH, (epoch,))
        return epoch

    def watch(self) -> CommitWatch:
        """Open a watch for commits on a connection of its own."""
        return self._backend.watch()

    # --- other tables ---------------------------------------------------------------------------

    def read(self, query: Callable[[Database], T]) -> T:
        """Call ``query`` inside one read-only snapshot."""
        return self._backend.read(query)

    def write(self, change: Callable[[Database], T], *, wait_seconds: float = 5.0) -> T:
        """Call ``change`` inside one write transaction; see ``stellarstream_sql.changes``."""
        return self._backend.change(change, wait_seconds)

    # --- what status shows ----------------------------------------------------------------------

    def conflicts(self, limit: int = 100) -> Sequence[Conflict]:
        """Return recorded conflicts, the last seen first."""
        found = (
            ConflictRow.select(
                ConflictRow.event_id,
                ConflictRow.ledger,
                ConflictRow.contract_id,
                ConflictRow.source,
                ConflictRow.digest,
                ConflictRow.times_seen,
                ConflictRow.first_seen,
                ConflictRow.last_seen,
            )
            .order_by(ConflictRow.last_seen.desc(), ConflictRow.event_id, ConflictRow.digest)
            .limit(limit)
            .tuples()
        )
        return self._backend.read(lambda database: [Conflict(*row) for row in found.execute(database)])

    def totals(self) -> Totals:
        """Return counts that commits keep: no table is counted."""
        found = Store.select(
            Store.events, Store.conflicts, Store.position, Store.first_ledger, Store.last_ledger
        ).tuples()
        return self._backend.read(lambda database: Totals(*next(iter(found.execute(database)))))

    def follow_lock(self) -> AbstractContextManager[Callable[[], None]]:
        """Hold the one right to follow the tip; raise ``LeadershipError`` where another process has it.

        Gives a function that raises it once another process has it, for instance after a lost connection.
        """
        return self._backend.follow_lock()

    def close(self) -> None:
        """Close every connection."""
        self._backend.close()


def _runs(contract: str, within: LedgerRange) -> Any:
    """Return the query for runs that cover a contract and overlap a range."""
    holding = ContractSetMember.select(ContractSetMember.contract_set_id).where(
        ContractSetMember.contract_id.in_([contract, EVERYTHING])
    )
    return CoverageRun.select().where(
        CoverageRun.contract_set_id.in_(holding),
        CoverageRun.last_ledger >= within.first,
        CoverageRun.first_ledger <= within.last,
    )
