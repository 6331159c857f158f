"""How far contracts are folded: covered, dated, and nothing below left out."""

from __future__ import annotations

import pytest

from stellarstream_core.projection import projector as module
from stellarstream_core.projection import reach as reach_module
from stellarstream_core.projection.pace import Pace
from stellarstream_core.projection.reach import newest_known
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.projections import Reached
from stellarstream_core.ranges import RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.storage import CloseTime
from stellarstream_core.testing.scripted import made_close_time
from tests.projection.conftest import commit, project, run, states_of
from tests.projection.test_projector import cursor_of, small
from tests.projection.toy import CONTRACT, OTHER, Toy, fold_all, toy_event


def reached(ledger, complete=True, watermark=None, first=10) -> Reached:
    return Reached(ledger, made_close_time(ledger), complete, ledger if watermark is None else watermark, first)


@pytest.fixture
def reach_of(storage):
    def read(*contracts):
        found = storage.read(lambda database: reached_in(database, "toy", contracts or (CONTRACT,)))
        return found if contracts else found.get(CONTRACT)

    return read


def event(ledger, k=0, *keys):
    return toy_event(ledger, 1, k, *(keys or ("a",)), begin=True)


def test_it_is_the_last_ledger_of_an_empty_window_that_told_its_time(storage, reach_of):
    storage.want(Scope.of([CONTRACT]), 10)
    commit(storage, event(11), first=10, last=14)
    toy = Toy()
    projector = project(storage, toy)
    assert reach_of() == reached(14) == toy.reaches[-1][CONTRACT]
    commit(storage, first=15, last=15)
    run(projector)
    assert reach_of() == reached(15)


def test_a_window_that_told_no_time_reaches_its_last_event(storage, reach_of):
    storage.want(Scope.of([CONTRACT]), 10)
    commit(storage, event(11), first=10, last=14, told=False)
    project(storage, Toy())
    assert reach_of() == reached(11, watermark=14)


def test_of_nothing_covered_nothing_is_said(storage, reach_of):
    storage.want(Scope.of([CONTRACT]), 10)
    commit(storage, first=10, last=14, scope=(OTHER,))
    toy = Toy()
    project(storage, toy)
    assert reach_of() is None
    assert toy.reaches[-1] == {}


def test_a_gap_below_makes_it_incomplete_until_it_is_filled_late(storage, reach_of):
    storage.want(Scope.of([CONTRACT]), 10)
    commit(storage, event(11), first=10, last=12)
    commit(storage, event(21), first=20, last=22)
    toy = Toy()
    projector = project(storage, toy)
    assert reach_of() == reached(22, complete=False, watermark=12)
    commit(storage, event(15), first=13, last=19)
    run(projector)
    assert reach_of() == reached(22)


def test_nothing_counts_below_the_first_wanted_ledger(storage, reach_of):
    storage.want(Scope.of([CONTRACT]), 20)
    commit(storage, first=10, last=12)
    commit(storage, first=20, last=22)
    project(storage, Toy())
    assert reach_of() == reached(22, first=20)


def test_what_is_below_the_first_wanted_ledger_belongs_to_the_stretch_once_no_gap_is_left_and_all_is_folded(
    storage, reach_of
):
    storage.want(Scope.of([CONTRACT]), 20)
    commit(storage, first=20, last=22)
    toy = Toy()
    projector = project(storage, toy)
    commit(storage, event(5), first=5, last=9)
    commit(storage, event(19), first=15, last=19)
    run(projector)
    assert reach_of() == reached(22, first=20)
    commit(storage, *(event(10, k) for k in range(6)), first=10, last=14)
    small(storage, toy, 4).step()
    assert reach_of() is None or reach_of().first == 20
    run(small(storage, toy, 4))
    assert reach_of() == reached(22, first=5)


def test_a_first_wanted_ledger_that_is_missing_is_told(storage, reach_of):
    storage.want(Scope.of([CONTRACT]), 10)
    commit(storage, first=20, last=22)
    project(storage, Toy())
    assert reach_of() == reached(22, complete=False, watermark=9)


def test_coverage_of_everything_is_coverage_of_each_contract(storage, reach_of):
    storage.want(Scope.of(["*"]), 10)
    commit(storage, first=10, last=14, scope=("*",))
    project(storage, Toy(contracts=[CONTRACT, OTHER]))
    assert reach_of(CONTRACT, OTHER) == {CONTRACT: reached(14), OTHER: reached(14)}


def test_each_contract_reaches_as_far_as_its_own_commits(storage, reach_of):
    storage.want(Scope.of([CONTRACT, OTHER]), 10)
    commit(storage, first=10, last=14, scope=(CONTRACT,))
    commit(storage, first=10, last=12, scope=(OTHER,))
    project(storage, Toy(contracts=[CONTRACT, OTHER]))
    assert reach_of(CONTRACT, OTHER) == {CONTRACT: reached(14), OTHER: reached(12)}


def test_what_is_committed_but_not_folded_is_not_reached_and_holds_up_no_other_contract(storage, reach_of):
    storage.want(Scope.of([CONTRACT, OTHER]), 10)
    toy = Toy(contracts=[CONTRACT, OTHER])
    commit(storage, first=10, last=19, scope=(CONTRACT, OTHER))
    project(storage, toy)
    # a large commit of one contract alone, in the middle of what is covered, as 'verify --repair' makes them
    commit(storage, *(event(15, k) for k in range(6)), first=15, last=15)
    small(storage, toy, 4).step()
    held = reached(19, complete=False, watermark=0)  # no covered ledger below 15 has a time that is known
    assert reach_of(CONTRACT, OTHER) == {CONTRACT: held, OTHER: reached(19)}
    run(small(storage, toy, 4))
    assert reach_of(CONTRACT, OTHER) == {CONTRACT: reached(19), OTHER: reached(19)}


def test_in_the_middle_of_a_commit_it_stays_before_it(storage, reach_of):
    storage.want(Scope.of([CONTRACT]), 10)
    commit(storage, event(10), first=10, last=12)
    toy = Toy()
    project(storage, toy)
    commit(storage, *(event(ledger) for ledger in range(13, 19)), first=13, last=20)
    small(storage, toy, 4).step()
    assert len(toy.saved) == 5
    assert reach_of() == reached(12)
    run(small(storage, toy, 4))
    assert reach_of() == reached(20)


def test_a_groups_event_is_reached_when_every_member_has_folded_it(storage, reach_of, monkeypatch):
    monkeypatch.setattr(module, "FEW_MEMBERS", 0)
    storage.want(Scope.of([CONTRACT]), 10)
    members = [toy_event(10, 1, k, f"k{k}", begin=True, join="g") for k in range(5)]
    commit(storage, *members, first=10, last=12)
    toy = Toy()
    project(storage, toy)
    group = toy_event(14, 1, 0, "g")
    commit(storage, group, first=13, last=15)
    projector = small(storage, toy, 2)
    projector.step()
    for _ in range(2):
        assert reach_of() == reached(12, watermark=13), "five members, two at a time"
        projector.step()
    run(projector)
    assert reach_of() == reached(15)
    assert states_of(storage) == fold_all([*members, group])


class Clock:
    """Time that goes on only where a test says so."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(reach_module, "monotonic", made)
    return made


@pytest.fixture
def slow(storage, clock, monkeypatch):
    """Finding reach out takes ten seconds; the list counts how often it was."""
    asked, earliest_after = [], storage.earliest_after

    def counted(position, contracts):
        clock.now += 10
        asked.append(position)
        return earliest_after(position, contracts)

    monkeypatch.setattr(storage, "earliest_after", counted)
    return asked


def test_far_behind_it_is_found_out_now_and_then_and_at_the_end(storage, reach_of, monkeypatch, clock):
    monkeypatch.setattr(module, "CLOSE_BEHIND", 1)
    storage.want(Scope.of([CONTRACT]), 10)
    for ledger in range(10, 20):
        commit(storage, event(ledger))
    toy = Toy()
    projector = small(storage, toy, 1)
    while cursor_of(storage) is None or cursor_of(storage).position < 5:
        projector.step()
    assert len(toy.reaches) == 1, "at the first commit"
    clock.now += reach_module.REACH_SECONDS
    projector.step()
    assert len(toy.reaches) == 2
    run(projector)
    assert reach_of() == reached(19)
    assert len(toy.reaches) == 4, "one behind, and at the end"


def test_it_takes_no_more_than_a_tenth_of_the_time(storage, reach_of, clock, slow):
    storage.want(Scope.of([CONTRACT]), 10)
    for ledger in range(10, 60):
        commit(storage, event(ledger))
    projector = small(storage, Toy(), 1)
    while not (step := projector.step()).idle:
        clock.now += 10
        assert step.behind == 0 or len(slow) * 10 <= 10 + (clock.now - 100) / 10
    assert 5 <= len(slow) <= 7
    assert reach_of() == reached(59)


def test_what_is_folded_by_half_is_not_told_however_long_it_takes_to_find_out(storage, reach_of, slow):
    storage.want(Scope.of([CONTRACT]), 10)
    commit(storage, event(10), first=10, last=12)
    commit(storage, event(20), first=20, last=22)
    projector = project(storage, Toy())
    assert reach_of() == reached(22, complete=False, watermark=12)
    late = [toy_event(14, 1, k, "a") for k in range(6)]
    commit(storage, *late, first=13, last=19)
    projector._pace = Pace(4, 1, 4)
    projector.step()
    assert reach_of() == reached(22, complete=False, watermark=12), "states hold what is above, so it stays there"
    asked = len(slow)
    run(projector)
    assert reach_of() == reached(22)
    assert len(slow) == asked + 1


def test_the_newest_known_ledger_lies_in_a_covered_range():
    times = {5: 50, 14: 140, 25: 250}

    def close_time(upto):
        ledger = max((ledger for ledger in times if ledger <= upto), default=None)
        return None if ledger is None else CloseTime(ledger, times[ledger])

    covered = RangeSet([(1, 6), (10, 12), (20, 30)])
    upto = {99: 25, 25: 25, 24: 5, 12: 5, 5: 5, 4: None}
    for ceiling, ledger in upto.items():
        found = newest_known(covered, ceiling, close_time)
        assert (found and found.ledger) == ledger
