"""What a storage backend must offer to the framework.

Everything here is synchronous: one function, one transaction, plain values out. The sync engine
calls ``commit`` in a thread of its own; readers use a bounded pool. A backend is registered by URL
scheme through ``register_storages`` and is held to this page by ``stellarstream_core.testing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.hookspecs import ModelSet
    from stellarstream_core.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Commit:
    """One committed window: ``position`` grows by one with each commit, without holes.

    ``events`` is how many events it stored first; None where that is not known.
    """

    position: int
    window_id: int
    range: LedgerRange
    events: int | None = None


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What one window changed.

    ``commit`` is None where nothing changed (everything was known and covered). ``new`` are the
    events stored by this commit, in id order; ``known`` counts events that were there already, the
    same; ``conflicts`` are the ledgers left uncovered because an event differs from a stored one,
    ``conflicting`` counts those events.
    """

    commit: Commit | None
    new: Sequence[ContractEvent]
    known: int
    conflicts: RangeSet
    conflicting: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """An event a source offered that differs from what is stored under the same identity."""

    event_id: str
    ledger: int
    contract_id: str | None
    source: str
    digest: str
    times_seen: int
    first_seen: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far one contract (or ``*``) is indexed without a gap.

    ``start_ledger`` is its first wanted ledger; ``last_ledger_sequence`` the watermark, which is
    ``start_ledger - 1`` while that ledger is missing. It never goes back.
    """

    contract_id: str
    start_ledger: int
    last_ledger_sequence: int


@dataclass(frozen=True, slots=True)
class CoveredRange:
    """Covered ledgers with what is known about how."""

    range: LedgerRange
    evidence: Evidence
    source: str
    flavour: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A ledger's header hash, kept to notice a network reset or a source of another chain."""

    ledger: int
    hash: str


class CloseTime(NamedTuple):
    """When a ledger closed, in Unix seconds."""

    ledger: int
    closed_at: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts for ``status``, kept by commits; the ledgers are the lowest and highest covered for any contract."""

    events: int
    conflicts: int
    position: int
    first_ledger: int | None
    last_ledger: int | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a store is in its history: the epoch, the position of its last commit, and how many events it has.

    The count tells apart what a restore without a new epoch would make look the same.
    """

    epoch: str
    position: int
    events: int


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events to find; an event is found where every part of the query fits it.

    ``contracts`` empty is every event, those without a contract too. ``topics`` go by position, four
    at most: the XDR of the ScVal, or None for any; the event must have at least as many topics.
    ``first`` and ``last`` are ledgers, both included. ``after`` is the id after which to go on in the
    order asked: only greater ids are found, or only smaller ones where ``descending`` is set; empty is
    from the beginning of that order.
    """

    contracts: tuple[str, ...] = ()
    topics: tuple[bytes | None, ...] = ()
    tx_hash: str | None = None
    first: int = FIRST_LEDGER
    last: int = LAST_LEDGER
    descending: bool = False
    after: str = ""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of what a query finds, in the order asked.

    ``resume`` is the id to give as ``after`` for the rest, None where nothing is left. It may be set
    with few events, or with none: a page looks at a bounded number of rows.
    """

    events: Sequence[ContractEvent]
    resume: str | None


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Migrations by name: ``pending`` are not applied yet, ``unknown`` come from newer code."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]


class CommitWatch(Protocol):
    """Waits for commits on a connection of its own, whoever makes them: this process or another."""

    def wait(self, after: int, timeout: float) -> int:
        """Wait until the store's position is above ``after``, at most ``timeout`` seconds; return the position.

        It returns at once where the position is above ``after`` already. When the time is over it
        returns the position as it is, when the watch is closed meanwhile as it was last seen. One
        thread at a time may wait. Raises ``StorageError`` where the connection is lost or the watch
        was closed before: open a new one.
        """
        ...

    def close(self) -> None:
        """Close the connection; a waiting :meth:`wait` returns at once. Safe from any thread, and twice."""
        ...


class Storage(Protocol):
    """An open database. Methods raise ``StorageError`` with a sentence that says what to do."""

    url: str
    """The database's address, without user name, password or query."""

    durable: bool
    """Whether a commit must outlive a power cut before ``commit`` returns; True until told otherwise.

    It has to be while sinks listen. Without it the last commits may be lost in a power cut, each
    with its events and coverage together, and are fetched again. A backend may always be durable.
    """

    def schema(self) -> SchemaState:
        """Compare the applied migrations with those this code knows."""
        ...

    def migrate(self) -> Sequence[str]:
        """Apply pending migrations and return their names. Raises ``SchemaError`` for a newer schema."""
        ...

    def network_passphrase(self) -> str | None:
        """Return the network this database belongs to, or None while it is empty."""
        ...

    def bind_network(self, passphrase: str) -> None:
        """Write the network once. Raises ``NetworkMismatchError`` where another one is stored."""
        ...

    def anchors(self, limit: int = 100) -> Sequence[Anchor]:
        """Return stored anchors, newest ledger first."""
        ...

    def add_anchor(self, anchor: Anchor) -> None:
        """Keep an anchor. Raises ``NetworkResetError`` where the ledger has another hash already."""
        ...

    def open_ends(self) -> Sequence[Anchor]:
        """Return the ledgers at the ends of what was checked, known from one side only: what comes must join them."""
        ...

    def want(self, scope: Scope, start_ledger: int) -> None:
        """Note the first wanted ledger of each contract that has none yet; the others keep theirs."""
        ...

    def sync_states(self, contracts: Iterable[str] | None = None) -> dict[str, SyncState]:
        """Return the state of each known contract among ``contracts`` (None: of all)."""
        ...

    def coverage(self, contract: str, within: LedgerRange) -> RangeSet:
        """Return the ledgers of ``within`` covered for one contract (coverage of ``*`` counts for each)."""
        ...

    def covered_ranges(self, contract: str, within: LedgerRange) -> Sequence[CoveredRange]:
        """Return coverage with evidence, source and flavour; neighbours that agree are merged.

        Where a ledger was covered more than once, the strongest evidence counts.
        """
        ...

    def commit(self, window: Window) -> CommitResult:
        """Store a window in one transaction: events, coverage, watermarks, and last its position.

        Insert-or-compare: the same event again is a no-op; other bytes under the same id or the
        same ``(tx_hash, event_index)`` are recorded as a conflict, the ledger stays uncovered, the
        rest of the window commits. Coverage is read again inside the transaction.

        A window with certificates must join the checked ledgers stored before and after it, whatever
        run stored them: else ``ProofFailedError`` is raised and nothing is written.
        """
        ...

    def commits(self, after: int, limit: int = 1000) -> Sequence[Commit]:
        """Return commits with a position above ``after``, in order: how sinks resume."""
        ...

    def events_of_commit(self, commit: Commit) -> Sequence[ContractEvent]:
        """Return the events first stored by that commit, in id order."""
        ...

    def commit_page(
        self, commit: Commit, *, after: str = "", skip: int = 0, limit: int, contracts: Sequence[str] = ()
    ) -> Sequence[ContractEvent]:
        """Return a part of :meth:`events_of_commit`, of which there may be very many: at most ``limit``.

        It begins with the first id above ``after``, less the first ``skip`` events from there. With
        ``contracts`` there are only events of these.
        """
        ...

    def earliest_after(self, position: int, contracts: Sequence[str]) -> dict[str, int]:
        """Return, for each contract, the lowest ledger of the commits above ``position`` that can hold its events.

        Those are the commits of windows that cover the contract, or everything. A contract without such a
        commit is left out.
        """
        ...

    def events(
        self,
        within: LedgerRange,
        scope: Scope,
        *,
        after: str = "",
        limit: int = 1000,
    ) -> Sequence[ContractEvent]:
        """Return events of the scope in id order, from the first id above ``after``."""
        ...

    def find_events(self, query: EventQuery, limit: int) -> EventPage:
        """Return the next page of the query, at most ``limit`` (one or more) events.

        Going on from ``resume`` until it is None yields each event that fits exactly once and in
        order, whatever the limits. An event stored meanwhile is found where its place lies ahead.
        Each call looks at a bounded number of rows, so that a filter that fits nothing costs no more
        than one that fits everything. Raises ``UsageError`` for a query that makes no sense: a limit
        below 1, more than four topics, an ``after`` that is no event id.
        """
        ...

    def event(self, event_id: str) -> ContractEvent | None:
        """Return the event of that id, None where there is none or the text is no event id."""
        ...

    def events_by_id(self, ids: Sequence[str]) -> Sequence[ContractEvent]:
        """Return the events of these ids in id order, each once; ids that are not stored are left out.

        Raises ``InvalidEventError`` for a text that is no event id.
        """
        ...

    def close_time(self, upto: int) -> CloseTime | None:
        """Return the newest ledger up to and including ``upto`` whose close time is known, None where there is none.

        Known is the close time of each ledger with a stored event, and of the last ledger of each window
        that told it. Whether the ledger is covered is another question.
        """
        ...

    def conflicts(self, limit: int = 100) -> Sequence[Conflict]:
        """Return recorded conflicts, the last seen first."""
        ...

    def totals(self) -> Totals:
        """Return the counts that ``status`` shows."""
        ...

    def epoch(self) -> str:
        """Return the name of this history of commits: positions of another epoch mean nothing here."""
        ...

    def moment(self) -> Moment:
        """Return epoch, position and count of events in one snapshot."""
        ...

    def begin_epoch(self) -> str:
        """Give the store a new epoch and return it; needed after a backup was restored."""
        ...

    def watch(self) -> CommitWatch:
        """Open a watch for commits. Raises ``StorageError`` where that is impossible."""
        ...

    def read(self, query: Callable[[Database], T]) -> T:
        """Call ``query`` with a peewee database inside one read-only snapshot and return its result.

        For the core's and plugins' own tables, bound to no database: ``model.select().execute(database)``.
        Results must be taken (``list``) inside. Raises ``StorageBusyError`` where too many read at once.
        """
        ...

    def write(self, change: Callable[[Database], T], *, wait_seconds: float = 5.0) -> T:
        """Call ``change`` with a peewee database inside one write transaction and return its result.

        For the core's and plugins' own tables only; keep it short, since others wait meanwhile, and
        call nothing else of this storage inside it. Any thread may call it. What ``change`` raises
        undoes everything and passes through as it is, ``peewee.IntegrityError`` (a key that is there
        already, and its like) included; other failures of the database raise ``StorageError``. Raises
        ``StorageBusyError`` where its turn, or a row that another transaction holds, does not come
        within ``wait_seconds``.
        """
        ...

    def follow_lock(self) -> AbstractContextManager[Callable[[], None]]:
        """Hold the one right to follow the tip. Raises ``LeadershipError`` where another process has it.

        It gives a function that a follower calls now and then: that takes the right again where it was lost,
        with a connection that held it for instance, and raises ``LeadershipError`` where another process has
        it by now. It is called where commits are made, and raises ``StorageError`` where the database fails.
        """
        ...

    def close(self) -> None:
        """Close every connection. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """A storage backend that a plugin offers, by URL scheme (``sqlite``, ``postgresql``).

    ``open`` connects and raises ``StorageError`` where that is impossible; it changes nothing in
    the database. ``models`` are the framework's own and those of all plugins, whose migrations belong
    to the schema.
    """

    scheme: str
    summary: str
    open: Callable[[str, Settings, Sequence[ModelSet]], Storage]
