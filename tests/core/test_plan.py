"""Planning: what is missing is asked for exactly, and by as few tasks as need be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sync.plan import Task, clip, plan, spread

LEDGERS = st.integers(1, 40)
PAIRS = st.lists(st.tuples(LEDGERS, LEDGERS).map(sorted).map(tuple), max_size=5).map(RangeSet)
MISSING = st.dictionaries(st.sampled_from(["A", "B", "C", "D"]), PAIRS)


def asked(tasks: list[Task]) -> list[tuple[str, int]]:
    return [(c, x) for t in tasks for c in t.scope for x in range(t.range.first, t.range.last + 1)]


@given(MISSING)
def test_tasks_ask_for_each_missing_ledger_of_each_contract_exactly_once(missing):
    wanted = [(c, x) for c, ranges in missing.items() for r in ranges for x in range(r.first, r.last + 1)]
    assert sorted(asked(plan(missing))) == sorted(wanted)


@given(MISSING)
def test_contracts_that_lack_the_same_ledgers_share_their_tasks(missing):
    tasks = plan(missing)
    assert all(a.range.last < b.range.first for a, b in zip(tasks, tasks[1:], strict=False))


def test_the_same_need_of_many_contracts_is_one_task():
    need = RangeSet([(5, 9)])
    assert plan({"B": need, "A": need}) == [Task(LedgerRange(5, 9), Scope(("A", "B")))]


@given(MISSING, st.tuples(LEDGERS, LEDGERS).map(sorted))
def test_clipping_splits_without_losing_or_doubling(missing, bounds):
    reach = LedgerRange(*bounds)
    tasks = plan(missing)
    inside, outside = clip(tasks, reach)
    assert sorted(asked(inside) + asked(outside)) == sorted(asked(tasks))
    assert all(reach.first <= t.range.first and t.range.last <= reach.last for t in inside)
    assert all(t.range.overlap(reach) is None for t in outside)


def test_a_source_that_reaches_nothing_leaves_all_outside():
    tasks = [Task(LedgerRange(1, 5), Scope(("A",)))]
    assert clip(tasks, None) == ([], tasks)


@given(MISSING, st.integers(1, 5))
def test_spreading_work_changes_only_its_pieces(missing, pieces):
    tasks = plan(missing)
    assert sorted(asked(spread(tasks, pieces))) == sorted(asked(tasks))
