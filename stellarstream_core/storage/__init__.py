"""What a storage backend must offer to the framework.

Everything here is synchronous: one function, one transaction, plain values out. The sync engine
calls ``commit`` in a thread of its own; readers use a bounded pool. A backend is registered by URL
scheme through ``register_storages`` and is held to this page by ``stellarstream_core.testing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window

if TYPE_CHECKING:
    from stellarstream_core.hookspecs import ModelSet
    from stellarstream_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Commit:
    """One committed window: ``position`` grows by one with each commit, without holes."""

    position: int
    window_id: int
    range: LedgerRange


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


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts for ``status``, kept by commits; the ledgers are the lowest and highest covered for any contract."""

    events: int
    conflicts: int
    position: int
    first_ledger: int | None
    last_ledger: int | None


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Migrations by name: ``pending`` are not applied yet, ``unknown`` come from newer code."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]


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

    def conflicts(self, limit: int = 100) -> Sequence[Conflict]:
        """Return recorded conflicts, the last seen first."""
        ...

    def totals(self) -> Totals:
        """Return the counts that ``status`` shows."""
        ...

    def follow_lock(self) -> AbstractContextManager[None]:
        """Hold the one right to follow the tip. Raises ``LeadershipError`` where another process has it."""
        ...

    def close(self) -> None:
        """Close every connection. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """A storage backend that a plugin offers, by URL scheme (``sqlite``, ``postgresql``).

    ``open`` connects and raises ``StorageError`` where that is impossible; it changes nothing in
    the database. ``models`` are those of all plugins, whose migrations belong to the schema.
    """

    scheme: str
    summary: str
    open: Callable[[str, Settings, Sequence[ModelSet]], Storage]
