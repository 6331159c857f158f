"""The commit of a window: the one place where events, coverage and positions are written.

Two ways lead through it. The hopeful one, for ledgers that no window has touched for these
contracts, writes straight away and is undone where something turns out to be there. The careful
one reads first what is stored under the same ids, identities and transactions, decides, and then
writes only what is new; with PostgreSQL another process may still come between, then it starts
again. Either way the events go in before the store's row is locked, and coverage, watermarks and
position after it, so that commits from several processes settle one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stellarstream_core.digest import event_digest
from stellarstream_core.errors import StorageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.sources import Window
from stellarstream_core.storage import Commit, CommitResult
from stellarstream_sql import statements
from stellarstream_sql.backend import Backend, ClashError, Transaction
from stellarstream_sql.batch import Batch, Comparison, Disputed, TransactionPlace, compare, fits, prepare
from stellarstream_sql.coverage import Sets, covered_for_all, join
from stellarstream_sql.links import join_chain
from stellarstream_sql.rows import Row, to_row
from stellarstream_sql.sets import ContractSets
from stellarstream_sql.watermarks import advance

ATTEMPTS = 8
"""How often a commit starts again when other processes commit the same ledgers at the same moment."""


class _NothingChanged(Exception):  # noqa: N818 - not an error: it undoes a transaction that has nothing to keep
    """Between looking and locking, another process committed all of this."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """What a window adds, given what is stored: ``write`` are its ledgers that get a window row."""

    new: Sequence[ContractEvent]
    known: int
    disputed: Sequence[Disputed]
    excluded: frozenset[int]
    write: RangeSet


def commit_window(
    backend: Backend, contract_sets: ContractSets, window: Window, clock: Callable[[], float]
) -> CommitResult:
    """Store a window in one transaction and say what it changed; see ``Storage.commit``.

    Raises ``InvalidEventError`` before anything is written, ``ProofFailedError`` where checked ledgers do
    not join those known around them (nothing is written then), ``StorageError`` where the database fails.
    """
    batch = prepare(window)
    set_id = contract_sets.id_of(window.scope, backend)
    careful = bool(batch.disputed)
    for _ in range(ATTEMPTS):
        commit = _WindowCommit(backend, contract_sets, batch, set_id, int(clock()))
        try:
            return commit.run(careful=careful)
        except ClashError:
            careful = True
    raise StorageError(
        f"{backend.url} is busy: other processes keep committing the ledgers {window.range}.",
        help="Run the same command again; or give the processes different ranges.",
    )


class _WindowCommit:
    """One attempt."""

    def __init__(self, backend: Backend, contract_sets: ContractSets, batch: Batch, set_id: int, now: int) -> None:
        self._backend = backend
        self._contract_sets = contract_sets
        self._batch = batch
        self._window = batch.window
        self._set_id = set_id
        self._now = now

    def run(self, *, careful: bool) -> CommitResult:
        disputed: Sequence[Disputed] = ()
        known = 0
        try:
            with self._backend.write() as transaction:
                decision = self._decide(transaction, careful=careful)
                disputed, known = decision.disputed, decision.known
                if not decision.write:
                    raise _NothingChanged
                commit = self._write(transaction, decision)
        except _NothingChanged:
            if disputed:
                with self._backend.write() as transaction:
                    transaction.lock_store()
                    self._record(transaction, disputed)
            return CommitResult(None, (), known, _ledgers(d.event.ledger for d in disputed), len(disputed))
        return CommitResult(commit, decision.new, known, _ledgers(d.event.ledger for d in disputed), len(disputed))

    def _decide(self, transaction: Transaction, *, careful: bool) -> _Decision:
        batch, window = self._batch, self._window
        sets = self._contract_sets.members(transaction)
        covered = self._covered(transaction, sets)
        if not careful and covered is None:
            return _Decision(window.events, 0, (), frozenset(), RangeSet([window.range]))
        comparison = self._compare(transaction)
        if comparison.outrun:
            raise ClashError("another process is committing the same events")
        inside = (dispute for dispute in batch.disputed if dispute.event.id not in comparison.known)
        by_id = {dispute.event.id: dispute for dispute in (*inside, *comparison.disputed)}
        disputed = [by_id[event_id] for event_id in sorted(by_id)]
        excluded = frozenset(dispute.event.ledger for dispute in disputed)
        new = [event for event in window.events if event.id not in comparison.known and event.ledger not in excluded]
        lacking = RangeSet([window.range]) - _ledgers(excluded) - (covered or RangeSet())
        write = lacking | _ledgers(event.ledger for event in new)
        return _Decision(new, len(comparison.known), disputed, excluded, write)

    def _covered(self, transaction: Transaction, sets: Sets) -> RangeSet | None:
        """Return what is covered for the whole scope already, or None where no window touches it."""
        related = self._contract_sets.related(self._window.scope, sets)
        if not related:
            return None
        rows = transaction.all(statements.runs_overlapping(len(related)), (*related, *self._window.range))
        if not rows:
            return None
        return covered_for_all(self._window.scope.members, sets, rows, self._window.evidence)

    def _compare(self, transaction: Transaction) -> Comparison:
        batch = self._batch
        if not batch.window.events:
            return Comparison(frozenset(), ())
        return compare(batch, transaction.stored_by_id, transaction.stored_by_identity, transaction.stored_transactions)

    def _write(self, transaction: Transaction, decision: _Decision) -> Commit:
        if decision.new:
            self._add_transactions(transaction, self._batch.places(decision.excluded))
        windows = list(self._add_windows(transaction, decision.write))
        if decision.new:
            transaction.add_events(_rows(decision.new, windows))
        transaction.lock_store()
        join_chain(transaction, self._window.certificates)
        sets = self._contract_sets.members(transaction)
        if not transaction.exclusive and not decision.new:
            covered = self._covered(transaction, sets)
            if covered is not None and not decision.write - covered:
                raise _NothingChanged
        window = self._window
        key = (self._set_id, window.evidence.value, window.source, window.flavour)
        members = None if window.scope.everything else frozenset(window.scope.members)
        for piece, window_id in windows:
            join(transaction, key, piece, window_id)
        for piece, _ in windows:
            advance(transaction, sets, piece, members)
        self._record(transaction, decision.disputed)
        if window.closed_at is not None:
            transaction.run(statements.ADD_LEDGER_TIME, (window.range.last, window.closed_at))
        return self._take_position(transaction, windows, len(decision.new))

    def _add_transactions(self, transaction: Transaction, places: Mapping[str, TransactionPlace]) -> None:
        """Insert or compare the transactions; a difference is a clash, decided by the careful way."""
        if transaction.add_transactions(list(places.values())) == len(places):
            return
        orders: list[tuple[int | None, str]] = []
        for known in transaction.stored_transactions(list(places)):
            offered = places[known.tx_hash]
            if not fits(known, offered.ledger, offered.tx_order):
                raise ClashError(f"transaction {known.tx_hash} is known in ledger {known.ledger}")
            if known.tx_order is None and offered.tx_order is not None:
                orders.append((offered.tx_order, known.tx_hash))
        if orders:
            transaction.many(statements.NOTE_ORDER, sorted(orders, key=lambda order: order[1]))

    def _add_windows(self, transaction: Transaction, ledgers: RangeSet) -> Iterator[tuple[LedgerRange, int]]:
        window = self._window
        part_of: int | None = None
        for piece in ledgers:
            values = (
                *(piece.first, piece.last, self._set_id, window.evidence.value),
                *(window.source, window.flavour, part_of, self._now),
            )
            window_id = int(transaction.all(statements.INSERT_WINDOW, values)[0][0])
            part_of = part_of or window_id
            yield piece, window_id

    def _record(self, transaction: Transaction, disputed: Sequence[Disputed]) -> None:
        """Write down each disputed event, once for each content it was offered with."""
        source, now = self._window.source, self._now
        for event, kind in disputed:
            digest = event_digest(event)
            if not transaction.run(statements.SEE_CONFLICT_AGAIN, (source, now, event.id, digest)):
                transaction.run(statements.INSERT_CONFLICT, (digest, kind.value, source, now, now, 1, *to_row(event)))
                transaction.run(statements.COUNT_CONFLICT)

    def _take_position(
        self, transaction: Transaction, windows: Sequence[tuple[LedgerRange, int]], events: int
    ) -> Commit:
        """Write the commit's row: the last statement of the transaction."""
        span = LedgerRange(windows[0][0].first, windows[-1][0].last)
        values = (events, span.first, span.first, span.last, span.last)
        position = transaction.next_position(values)
        transaction.run(statements.INSERT_COMMIT, (position, windows[0][1], span.first, span.last, events))
        return Commit(position, windows[0][1], span, events)


def _rows(events: Sequence[ContractEvent], windows: Sequence[tuple[LedgerRange, int]]) -> Iterator[Row]:
    """Yield rows to store, with the id of the window each event lies in; both come in ledger order.

    They are made while the database already takes the first of them.
    """
    at = 0
    for event in events:
        while windows[at][0].last < event.ledger:
            at += 1
        yield to_row(event, (windows[at][1],))


def _ledgers(ledgers: Iterable[int]) -> RangeSet:
    return RangeSet([(ledger, ledger) for ledger in set(ledgers)])
