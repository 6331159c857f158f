# ruff: noqa: S101, D102 - a suite of tests is made of assertions, and its names are its documentation
"""What every storage backend must do: a pytest suite to subclass.

Give the class a fixture ``open_storage`` that returns a function opening one and the same empty
database, each time as a new ``Storage``, and closing all of them at the end::

    class TestMine(StorageConformance):
        @pytest.fixture
        def open_storage(self, tmp_path):
            with ExitStack() as stack:
                yield lambda: stack.enter_context(closing(open_mine(f"mine:///{tmp_path}")))

The first storage that is opened has its migrations applied by the suite.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from threading import Barrier, Thread

import pytest

from stellarstream_core.digest import digest_events
from stellarstream_core.errors import (
    InvalidEventError,
    LeadershipError,
    NetworkMismatchError,
    NetworkResetError,
)
from stellarstream_core.events import AFTER_ALL_TXS, BEFORE_ALL_TXS, ContractEvent
from stellarstream_core.ranges import LAST_LEDGER, LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Evidence
from stellarstream_core.storage import Anchor, Commit, Storage, SyncState
from stellarstream_core.testing.conformance_queries import QueryConformance
from stellarstream_core.testing.conformance_tables import TableConformance
from stellarstream_core.testing.conformance_windows import ALL, ANY, A, B, C, OpenStorage, stored, window
from stellarstream_core.testing.scripted import made_contract, made_event, made_history

__all__ = ["ALL", "ANY", "A", "B", "C", "OpenStorage", "StorageConformance", "stored", "window"]


class StorageConformance(QueryConformance, TableConformance):
    """The suite. Every test begins with an empty, migrated database."""

    @pytest.fixture
    def open_storage(self) -> Iterator[OpenStorage]:
        """Return a function that opens the database under test; subclasses must override it."""
        pytest.fail("a conformance suite needs its own 'open_storage' fixture")

    @pytest.fixture
    def storage(self, open_storage: OpenStorage) -> Storage:
        """Open the database, with its migrations applied."""
        storage = open_storage()
        storage.migrate()
        return storage

    # --- events and coverage --------------------------------------------------------------------

    def test_a_window_is_stored_with_its_events_coverage_and_position(self, storage: Storage) -> None:
        events = [made_event(10, 1, 0, A), made_event(10, 1, 1, A), made_event(12, 3, 0, A)]
        result = storage.commit(window(10, 14, events))
        assert result.commit is not None
        assert (result.commit.position, result.commit.range) == (1, LedgerRange(10, 14))
        assert list(result.new) == events
        assert (result.known, result.conflicts, result.conflicting) == (0, RangeSet(), 0)
        assert stored(storage) == events
        assert storage.coverage(A, ALL) == RangeSet([(10, 14)])
        totals = storage.totals()
        assert (totals.events, totals.conflicts, totals.position) == (3, 0, 1)
        assert (totals.first_ledger, totals.last_ledger) == (10, 14)

    def test_a_window_without_events_covers_all_the_same(self, storage: Storage) -> None:
        result = storage.commit(window(10, 14))
        assert result.commit is not None
        assert list(result.new) == []
        assert storage.coverage(A, ALL) == RangeSet([(10, 14)])
        assert list(storage.events_of_commit(result.commit)) == []

    def test_the_same_window_again_changes_nothing(self, storage: Storage) -> None:
        events = [made_event(10, 1, 0, A), made_event(12, 1, 0, A)]
        storage.commit(window(10, 14, events))
        again = storage.commit(window(10, 14, events, source="another"))
        assert again.commit is None
        assert (list(again.new), again.known, again.conflicts) == ([], 2, RangeSet())
        assert storage.totals().position == 1

    def test_a_part_of_what_is_covered_changes_nothing(self, storage: Storage) -> None:
        storage.commit(window(10, 19, [made_event(12, 1, 0, A)]))
        storage.commit(window(20, 29))
        again = storage.commit(window(12, 25, [made_event(12, 1, 0, A)]))
        assert (again.commit, again.known) == (None, 1)

    def test_an_overlapping_window_adds_what_was_missing(self, storage: Storage) -> None:
        events = [made_event(ledger, 1, 0, A) for ledger in range(10, 20)]
        storage.commit(window(10, 14, events[:5]))
        result = storage.commit(window(12, 19, events[2:]))
        assert (list(result.new), result.known) == (events[5:], 3)
        assert result.commit is not None
        assert list(storage.events_of_commit(result.commit)) == events[5:]
        assert stored(storage) == events
        assert storage.coverage(A, ALL) == RangeSet([(10, 19)])

    def test_events_missed_before_are_stored_with_a_new_position(self, storage: Storage) -> None:
        first, late = made_event(10, 1, 0, A), made_event(11, 1, 0, A)
        storage.commit(window(10, 14, [first]))
        storage.commit(window(15, 19))
        result = storage.commit(window(10, 14, [first, late], source="another"))
        assert result.commit is not None
        assert (result.commit.position, list(result.new), result.known) == (3, [late], 1)
        assert list(storage.events_of_commit(result.commit)) == [late]
        assert stored(storage) == [first, late]

    def test_every_shape_of_event_comes_back_as_it_was(self, storage: Storage) -> None:
        plain = made_event(10, 2, 0, A)
        events = [
            made_event(10, BEFORE_ALL_TXS, 0)._replace(tx_hash=plain.tx_hash),
            plain,
            made_event(10, 3, 0, B, op=0xFFF)._replace(type="system"),
            made_event(10, 4, 0, A)._replace(topics=()),
            made_event(10, 4, 1, A)._replace(topics=(b"\x00\x00\x00\x01",), value=bytes(70_000)),
            made_event(10, 4, 2, A)._replace(topics=tuple(bytes([n]) * 4 * (n + 1) for n in range(4))),
            made_event(10, 4, 3, A)._replace(topics=tuple(bytes([n]) * 4 * (n + 1) for n in range(7))),
            made_event(10, AFTER_ALL_TXS, 0xFFFFFFFF)._replace(tx_hash=plain.tx_hash),
            made_event(LAST_LEDGER, AFTER_ALL_TXS - 1, 0xFFFFFFFF, C, op=0xFFE),
        ]
        storage.commit(window(10, 10, events[:-1], ANY.members))
        storage.commit(window(LAST_LEDGER, LAST_LEDGER, events[-1:], ANY.members))
        found = stored(storage)
        assert found == events
        assert all(type(event) is ContractEvent for event in found)
        assert all(type(part) is bytes for event in found for part in (*event.topics, event.value))

    def test_a_window_that_contradicts_itself_is_refused_before_anything_is_written(self, storage: Storage) -> None:
        good, later = made_event(10, 1, 0, A), made_event(11, 1, 0, A)
        bad: list[list[ContractEvent]] = [
            [later, good],
            [good, good],
            [good._replace(ledger=11)],
            [good._replace(event_index=1)],
            [good._replace(id="10")],
            [good._replace(id=good.id[:-1] + "x")],
            [made_event(9, 1, 0, A)],
            [made_event(15, 1, 0, A)],
            [made_event(10, 1, 0, B)],
            [made_event(10, 1, 0, None)],
            [good._replace(tx_hash="AB" * 32)],
            [good._replace(tx_hash="ab")],
            [good._replace(type="diagnostic")],
        ]
        for events in bad:
            with pytest.raises(InvalidEventError):
                storage.commit(window(10, 14, events))
        assert (stored(storage), storage.coverage(A, ALL), storage.totals().position) == ([], RangeSet(), 0)

    # --- contracts ------------------------------------------------------------------------------

    def test_coverage_is_kept_for_each_contract(self, storage: Storage) -> None:
        storage.commit(window(10, 19, scope=(A, B)))
        storage.commit(window(20, 29, scope=(B,)))
        storage.commit(window(40, 49, scope=(A, B, C)))
        assert storage.coverage(A, ALL) == RangeSet([(10, 19), (40, 49)])
        assert storage.coverage(B, ALL) == RangeSet([(10, 29), (40, 49)])
        assert storage.coverage(C, ALL) == RangeSet([(40, 49)])
        assert storage.coverage(EVERYTHING, ALL) == RangeSet()
        assert storage.coverage(B, LedgerRange(15, 44)) == RangeSet([(15, 29), (40, 44)])

    def test_coverage_of_everything_counts_for_each_contract(self, storage: Storage) -> None:
        storage.commit(window(10, 19, scope=ANY.members))
        storage.commit(window(20, 24))
        assert storage.coverage(A, ALL) == RangeSet([(10, 24)])
        assert storage.coverage(made_contract(99), ALL) == RangeSet([(10, 19)])
        assert storage.coverage(EVERYTHING, ALL) == RangeSet([(10, 19)])

    def test_a_contract_added_later_touches_no_other(self, storage: Storage) -> None:
        ours = [made_event(10, 1, 0, A), made_event(10, 2, 1, A)]
        theirs = [made_event(10, 1, 1, B), made_event(10, 2, 0, B)]
        storage.commit(window(10, 19, ours))
        result = storage.commit(window(10, 19, theirs, (B,)))
        assert (list(result.new), result.known, result.conflicts) == (theirs, 0, RangeSet())
        assert stored(storage, Scope.of([A])) == ours
        assert stored(storage) == sorted([*ours, *theirs])

    def test_everything_after_one_contract_adds_the_rest(self, storage: Storage) -> None:
        history = made_history(LedgerRange(10, 30), [A, B, C])
        storage.commit(window(10, 30, [event for event in history if event.contract_id == A]))
        result = storage.commit(window(10, 30, history, ANY.members))
        assert list(result.new) == [event for event in history if event.contract_id != A]
        assert result.known == len(history) - len(result.new)
        assert stored(storage) == history

    def test_covered_by_parts_for_each_contract_is_covered(self, storage: Storage) -> None:
        storage.commit(window(10, 19, scope=(A,)))
        storage.commit(window(5, 30, scope=(B,)))
        assert storage.commit(window(10, 19, scope=(A, B))).commit is None
        assert storage.commit(window(10, 20, scope=(A, B))).commit is not None

    # --- watermarks -----------------------------------------------------------------------------

    def test_the_watermark_waits_for_the_first_wanted_ledger(self, storage: Storage) -> None:
        storage.want(Scope.of([A]), 10)
        assert storage.sync_states() == {A: SyncState(A, 10, 9)}
        storage.commit(window(11, 20))
        assert storage.sync_states()[A].last_ledger_sequence == 9
        storage.commit(window(8, 10))
        assert storage.sync_states()[A].last_ledger_sequence == 20

    def test_the_watermark_never_passes_a_gap_and_never_goes_back(self, storage: Storage) -> None:
        storage.want(Scope.of([A]), 10)
        marks = []
        for first, last in [(30, 39), (10, 14), (50, 59), (20, 29), (10, 14), (15, 19), (12, 22), (40, 49)]:
            storage.commit(window(first, last))
            marks.append(storage.sync_states()[A].last_ledger_sequence)
        assert marks == [9, 14, 14, 14, 14, 39, 39, 59]

    def test_a_contract_wanted_after_it_was_covered_starts_with_that(self, storage: Storage) -> None:
        storage.commit(window(10, 19))
        storage.commit(window(20, 29, scope=ANY.members))
        storage.commit(window(31, 39))
        storage.want(Scope.of([A, B]), 15)
        storage.want(Scope.of([C]), 20)
        marks = {name: state.last_ledger_sequence for name, state in storage.sync_states().items()}
        assert marks == {A: 29, B: 14, C: 29}

    def test_the_first_wanted_ledger_is_kept(self, storage: Storage) -> None:
        storage.want(Scope.of([A]), 10)
        storage.want(Scope.of([A, B]), 5)
        assert {name: state.start_ledger for name, state in storage.sync_states().items()} == {A: 10, B: 5}
        assert set(storage.sync_states([A, C])) == {A}

    def test_coverage_of_everything_moves_each_watermark(self, storage: Storage) -> None:
        storage.want(Scope.of([A]), 10)
        storage.want(ANY, 10)
        storage.commit(window(10, 12))
        storage.commit(window(13, 15, scope=ANY.members))
        storage.commit(window(16, 18, scope=(A, B)))
        marks = {name: state.last_ledger_sequence for name, state in storage.sync_states().items()}
        assert marks == {A: 18, EVERYTHING: 9}
        storage.commit(window(9, 12, scope=ANY.members))
        assert storage.sync_states()[EVERYTHING].last_ledger_sequence == 15

    def test_coverage_below_the_first_wanted_ledger_is_kept_too(self, storage: Storage) -> None:
        storage.want(Scope.of([A]), 100)
        storage.commit(window(100, 120))
        storage.commit(window(50, 60))
        assert storage.coverage(A, ALL) == RangeSet([(50, 60), (100, 120)])
        assert storage.sync_states()[A].last_ledger_sequence == 120

    def test_windows_wider_than_any_block_are_covered_whole(self, storage: Storage) -> None:
        storage.want(Scope.of([A]), 100)
        events = [made_event(ledger, 1, 0, A) for ledger in (100, 20_000, 500_000, 1_000_000)]
        result = storage.commit(window(100, 1_000_000, events))
        assert result.commit is not None
        assert result.commit.range == LedgerRange(100, 1_000_000)
        assert list(storage.events_of_commit(result.commit)) == events
        assert storage.coverage(A, LedgerRange(777, 999_999)) == RangeSet([(777, 999_999)])
        assert storage.sync_states()[A].last_ledger_sequence == 1_000_000
        assert storage.commit(window(100, 1_000_000, events)).commit is None
        assert [found.range for found in storage.covered_ranges(A, ALL)] == [LedgerRange(100, 1_000_000)]

    # --- evidence -------------------------------------------------------------------------------

    def test_the_strongest_evidence_counts_and_neighbours_merge(self, storage: Storage) -> None:
        storage.commit(window(10, 14))
        storage.commit(window(15, 19))
        storage.commit(window(20, 29, source="lake", evidence=Evidence.PROVEN, flavour="v4"))
        upgraded = storage.commit(window(12, 22, source="lake", evidence=Evidence.PROVEN, flavour="v4"))
        assert upgraded.commit is not None
        assert storage.commit(window(10, 29)).commit is None
        found = [(f.range, f.evidence, f.source, f.flavour) for f in storage.covered_ranges(A, ALL)]
        assert found == [
            (LedgerRange(10, 11), Evidence.SCANNED, "one", ""),
            (LedgerRange(12, 29), Evidence.PROVEN, "lake", "v4"),
        ]
        inside = storage.covered_ranges(A, LedgerRange(11, 13))
        assert [f.range for f in inside] == [LedgerRange(11, 11), LedgerRange(12, 13)]
        assert list(storage.covered_ranges(B, ALL)) == []

    # --- conflicts ------------------------------------------------------------------------------

    def test_other_bytes_under_an_id_leave_that_ledger_out_and_the_rest_in(self, storage: Storage) -> None:
        kept = made_event(12, 1, 0, A)
        storage.commit(window(12, 12, [kept], (A, B)))
        storage.want(Scope.of([EVERYTHING]), 10)
        other = kept._replace(value=b"\x00\x00\x00\x01")
        fresh = [made_event(11, 1, 0, A), other, made_event(12, 2, 0, B), made_event(13, 1, 0, C)]
        result = storage.commit(window(10, 14, fresh, ANY.members, source="liar"))
        assert (result.conflicts, result.conflicting) == (RangeSet([(12, 12)]), 1)
        assert list(result.new) == [fresh[0], fresh[3]]
        assert stored(storage) == [fresh[0], kept, fresh[3]]
        assert storage.coverage(EVERYTHING, ALL) == RangeSet([(10, 11), (13, 14)])
        assert storage.coverage(A, ALL) == RangeSet([(10, 14)])
        assert storage.sync_states()[EVERYTHING].last_ledger_sequence == 11
        assert result.commit is not None
        assert list(storage.events_of_commit(result.commit)) == list(result.new)
        (conflict,) = storage.conflicts()
        assert (conflict.event_id, conflict.ledger, conflict.contract_id) == (kept.id, 12, A)
        assert (conflict.source, conflict.times_seen) == ("liar", 1)
        assert storage.totals().conflicts == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"closed_at": 1},
            {"contract_id": B},
            {"type": "system"},
            {"topics": ()},
            {"topics": (b"\x00\x00\x00\x01",) * 5},
            {"value": b""},
            {"tx_hash": "ee" * 32},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_difference_in_any_part_is_a_conflict(self, storage: Storage, change: dict[str, object]) -> None:
        kept = made_event(12, 1, 0, A)
        storage.commit(window(12, 12, [kept], (A, B)))
        result = storage.commit(window(12, 12, [kept._replace(**change)], (A, B)))  # type: ignore[arg-type]  # by name
        assert (result.commit, result.conflicts, list(result.new)) == (None, RangeSet([(12, 12)]), [])
        assert stored(storage) == [kept]
        assert len(storage.conflicts()) == 1

    def test_an_identity_under_another_id_is_a_conflict(self, storage: Storage) -> None:
        kept = made_event(12, 1, 0, A)
        moved = made_event(12, 2, 0, A)._replace(tx_hash=kept.tx_hash)
        storage.commit(window(12, 12, [kept]))
        result = storage.commit(window(12, 13, [moved, made_event(13, 1, 0, A)]))
        assert result.conflicts == RangeSet([(12, 12)])
        assert stored(storage) == [kept, made_event(13, 1, 0, A)]

    @pytest.mark.parametrize("scope", [(B,), (A, B), ANY.members], ids=["other", "overlapping", "everything"])
    def test_a_transaction_in_two_ledgers_is_a_conflict(self, storage: Storage, scope: tuple[str, ...]) -> None:
        kept = made_event(12, 1, 0, A)
        elsewhere = made_event(14, 1, 0, B)._replace(tx_hash=kept.tx_hash)
        storage.commit(window(12, 12, [kept]))
        fresh = [made_event(13, 1, 0, B), elsewhere, made_event(14, 2, 0, B)]
        result = storage.commit(window(13, 15, fresh, scope))
        assert (result.conflicts, result.conflicting) == (RangeSet([(14, 14)]), 1)
        assert stored(storage) == [kept, fresh[0]]
        assert storage.coverage(B, ALL) == RangeSet([(13, 13), (15, 15)])
        fixed = storage.commit(window(14, 14, [made_event(14, 1, 0, B), fresh[2]], scope))
        assert (len(fixed.new), fixed.conflicts) == (2, RangeSet())

    def test_a_transaction_in_two_ledgers_of_one_window_is_a_conflict_of_the_later(self, storage: Storage) -> None:
        first = made_event(12, 1, 0, A)
        fresh = [first, made_event(14, 1, 0, A)._replace(tx_hash=first.tx_hash), made_event(15, 1, 0, A)]
        result = storage.commit(window(12, 15, fresh))
        assert result.conflicts == RangeSet([(14, 14)])
        assert stored(storage) == [first, fresh[2]]

    def test_a_transaction_at_two_places_of_a_ledger_is_a_conflict(self, storage: Storage) -> None:
        kept = made_event(12, 1, 0, A)
        storage.commit(window(12, 12, [kept]))
        result = storage.commit(window(12, 12, [made_event(12, 5, 1, B)._replace(tx_hash=kept.tx_hash)], (B,)))
        assert result.conflicts == RangeSet([(12, 12)])
        assert stored(storage) == [kept]

    def test_fee_events_do_not_tell_a_transactions_place_and_fit_any(self, storage: Storage) -> None:
        call = made_event(12, 7, 0, A)
        charged = made_event(12, BEFORE_ALL_TXS, 3, B)._replace(tx_hash=call.tx_hash)
        refunded = made_event(12, AFTER_ALL_TXS, 5, C)._replace(tx_hash=call.tx_hash)
        for event in (charged, call, refunded):
            contract = event.contract_id or EVERYTHING
            assert storage.commit(window(12, 12, [event], (contract,))).conflicts == RangeSet()
        wrong = made_event(12, 8, 1, A)._replace(tx_hash=call.tx_hash)
        assert storage.commit(window(12, 12, [wrong], (A,))).conflicts == RangeSet([(12, 12)])

    def test_a_conflict_is_recorded_once_for_each_content(self, storage: Storage) -> None:
        kept = made_event(12, 1, 0, A)
        storage.commit(window(12, 12, [kept]))
        for value in (b"\x01", b"\x02", b"\x01", b"\x01"):
            assert storage.commit(window(12, 12, [kept._replace(value=value)])).commit is None
        assert sorted(conflict.times_seen for conflict in storage.conflicts()) == [1, 3]
        assert storage.totals().conflicts == 2
        assert len({conflict.digest for conflict in storage.conflicts()}) == 2
        assert len(storage.conflicts(limit=1)) == 1

    def test_a_conflicting_ledger_can_be_tried_again(self, storage: Storage) -> None:
        kept, late = made_event(12, 1, 0, A), made_event(12, 2, 0, B)
        storage.commit(window(12, 12, [kept]))
        lie = kept._replace(value=b"\x01")
        assert storage.commit(window(10, 14, [lie, late], (A, B))).conflicts == RangeSet([(12, 12)])
        assert storage.coverage(B, ALL) == RangeSet([(10, 11), (13, 14)])
        result = storage.commit(window(10, 14, [kept, late], (A, B)))
        assert (list(result.new), result.known, result.conflicts) == ([late], 1, RangeSet())
        assert storage.coverage(B, ALL) == RangeSet([(10, 14)])

    # --- commits --------------------------------------------------------------------------------

    def test_positions_grow_by_one_whatever_ledgers_they_hold(self, storage: Storage) -> None:
        ranges = [(50, 59), (10, 19), (30, 39), (20, 29)]
        for first, last in ranges:
            storage.commit(window(first, last, [made_event(first, 1, 0, A)]))
            storage.commit(window(first, last, [made_event(first, 1, 0, A)]))
        commits = list(storage.commits(0))
        assert [commit.position for commit in commits] == [1, 2, 3, 4]
        assert [tuple(commit.range) for commit in commits] == ranges
        assert list(storage.commits(2, limit=1)) == commits[2:3]
        assert list(storage.commits(4)) == []
        assert [storage.events_of_commit(commit)[0].ledger for commit in commits] == [50, 10, 30, 20]
        assert list(storage.events_of_commit(Commit(9, 10**9, LedgerRange(1, 100)))) == []

    def test_a_commit_is_read_page_by_page_or_from_any_of_its_events_on(self, storage: Storage) -> None:
        """The events lie in several pieces, and among those of another commit."""
        events = [made_event(ledger, tx, k, A) for ledger in range(1, 5) for tx in range(1, 4) for k in range(3)]
        known = [event for event in events if event.ledger == 2 or (event.ledger == 3 and event.event_index == 1)]
        assert storage.commit(window(2, 3, known)).commit is not None
        commit = storage.commit(window(1, 4, events)).commit
        assert commit is not None
        own = list(storage.events_of_commit(commit))
        assert own == [event for event in events if event not in known]
        for limit in (1, 2, 7, 100):
            found: list[ContractEvent] = []
            while page := storage.commit_page(commit, after=found[-1].id if found else "", limit=limit):
                assert len(page) <= limit
                found += page
            assert found == own
        for skip in range(len(own) + 2):
            assert list(storage.commit_page(commit, skip=skip, limit=3)) == own[skip : skip + 3]
            assert list(storage.commit_page(commit, after=own[4].id, skip=skip, limit=3)) == own[5:][skip : skip + 3]

    def test_commits_from_several_threads_settle_one_after_another(self, open_storage: OpenStorage) -> None:
        storages = [open_storage() for _ in range(3)]
        storages[0].migrate()
        storages[0].want(Scope.of([A]), 1)
        history = made_history(LedgerRange(1, 300), [A], seed=3)
        windows = [
            window(first, first + 9, [event for event in history if first <= event.ledger <= first + 9])
            for first in range(1, 300, 10)
        ]
        barrier = Barrier(3)
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                barrier.wait()
                for one in (*windows[number * 10 :], *windows[: number * 10]):
                    storages[number].commit(one)
            except BaseException as error:
                failures.append(error)

        threads = [Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert stored(storages[0]) == history
        assert storages[1].sync_states()[A].last_ledger_sequence == 300
        commits = list(storages[2].commits(0))
        assert [commit.position for commit in commits] == list(range(1, 31))
        told = [event for commit in commits for event in storages[0].events_of_commit(commit)]
        assert sorted(told) == history

    # --- reading --------------------------------------------------------------------------------

    @pytest.mark.parametrize("page", [1, 7, 1000])
    @pytest.mark.parametrize("scope", [(A,), (A, C), (B, C, made_contract(9)), ANY.members], ids=len)
    def test_pages_hold_the_events_of_the_scope_in_order(
        self, storage: Storage, scope: tuple[str, ...], page: int
    ) -> None:
        history = made_history(LedgerRange(10, 40), [A, A, B, C]) + made_history(LedgerRange(90_000, 90_009), [A, C])
        storage.commit(window(10, 90_009, history, ANY.members))
        wanted = Scope.of(scope)
        assert stored(storage, wanted, page=page) == [event for event in history if wanted.holds(event.contract_id)]
        inside = LedgerRange(15, 90_003)
        assert stored(storage, wanted, inside, page) == [
            event for event in history if wanted.holds(event.contract_id) and inside.holds(event.ledger)
        ]

    def test_reading_an_empty_range_or_contract_gives_nothing(self, storage: Storage) -> None:
        assert stored(storage) == []
        assert stored(storage, Scope.of([A, B])) == []
        storage.commit(window(10, 12, [made_event(11, 1, 0, A)]))
        assert stored(storage, Scope.of([A, B]), LedgerRange(12, 90)) == []
        assert list(storage.events(ALL, ANY, after=made_event(11, 1, 0, A).id)) == []
        assert list(storage.events(ALL, ANY, limit=0)) == []

    def test_readers_in_many_threads_see_whole_commits_while_one_writes(self, storage: Storage) -> None:
        storage.want(ANY, 1)
        failures: list[BaseException] = []
        done = Barrier(5)

        def read() -> None:
            try:
                for _ in range(15):
                    covered = storage.coverage(EVERYTHING, ALL).unbroken_from(1)
                    events = len(stored(storage, page=17))
                    assert events >= covered * 2
                    assert storage.totals().events >= events
            except BaseException as error:
                failures.append(error)
            done.wait()

        threads = [Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for ledger in range(1, 41):
            events = [made_event(ledger, 1, 0, A), made_event(ledger, 1, 1, B)]
            storage.commit(window(ledger, ledger, events, ANY.members))
        done.wait()
        for thread in threads:
            thread.join()
        assert failures == []

    # --- order does not matter --------------------------------------------------------------------

    @pytest.mark.parametrize("seed", range(3))
    def test_windows_in_any_order_give_the_same_events_coverage_and_watermark(
        self, open_storage: OpenStorage, storage: Storage, seed: int
    ) -> None:
        dice = Random(seed)  # noqa: S311 - a test's order, not a secret
        history = made_history(LedgerRange(1, 120), [A, B], seed=seed)
        storage.want(Scope.of([A]), 5)
        asked: set[int] = set()
        for _ in range(40):
            first = dice.randint(1, 120)
            last = min(120, first + dice.randint(0, 12))
            part = [e for e in history if first <= e.ledger <= last and e.contract_id == A]
            storage.commit(window(first, last, part))
            asked.update(range(first, last + 1))
        covered = RangeSet([(ledger, ledger) for ledger in asked])
        again = open_storage()
        assert again.coverage(A, ALL) == covered
        assert again.sync_states()[A].last_ledger_sequence == covered.unbroken_from(5)
        expected = [event for event in history if event.contract_id == A and event.ledger in asked]
        assert digest_events(stored(again)) == digest_events(expected)
        assert again.totals().events == len(expected)

    # --- network, anchors, leadership ---------------------------------------------------------------

    def test_the_network_is_written_once(self, storage: Storage, open_storage: OpenStorage) -> None:
        assert storage.network_passphrase() is None
        storage.bind_network("one")
        storage.bind_network("one")
        with pytest.raises(NetworkMismatchError, match="one"):
            open_storage().bind_network("two")
        assert storage.network_passphrase() == "one"

    def test_anchors_are_kept_newest_first_and_tell_a_reset(self, storage: Storage) -> None:
        for ledger in (10, 30, 20):
            storage.add_anchor(Anchor(ledger, f"{ledger:064x}"))
        storage.add_anchor(Anchor(20, f"{20:064x}"))
        assert [anchor.ledger for anchor in storage.anchors()] == [30, 20, 10]
        assert storage.anchors(limit=1) == [Anchor(30, f"{30:064x}")]
        with pytest.raises(NetworkResetError, match="20"):
            storage.add_anchor(Anchor(20, "f" * 64))

    def test_anchors_stay_bounded_and_reach_back_to_the_first(self, storage: Storage) -> None:
        for ledger in range(1, 1200):
            storage.add_anchor(Anchor(ledger, f"{ledger:064x}"))
        kept = [anchor.ledger for anchor in storage.anchors(limit=10_000)]
        assert len(kept) <= 1000
        assert kept[0] == 1199
        assert kept[-1] == 1
        assert kept[:50] == list(range(1199, 1149, -1))

    def test_only_one_follows_at_a_time(self, open_storage: OpenStorage, storage: Storage) -> None:
        other = open_storage()
        with storage.follow_lock() as still_following:
            with pytest.raises(LeadershipError), other.follow_lock():
                pytest.fail("two processes follow")
            other.commit(window(10, 12))
            still_following()
        with other.follow_lock():
            pass

    # --- schema and closing -----------------------------------------------------------------------

    def test_opening_changes_nothing_and_migrating_twice_does_nothing(self, open_storage: OpenStorage) -> None:
        storage = open_storage()
        before = storage.schema()
        assert before.pending
        assert not before.applied
        assert open_storage().schema() == before
        assert list(storage.migrate()) == list(before.pending)
        after = open_storage().schema()
        assert (after.applied, after.pending, after.unknown) == (before.pending, (), ())
        assert list(open_storage().migrate()) == []

    def test_closing_twice_is_fine(self, storage: Storage) -> None:
        storage.commit(window(10, 12))
        storage.close()
        storage.close()
