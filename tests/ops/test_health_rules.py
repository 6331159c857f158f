"""The rules of the health monitor: what they find, and what they never do, whatever is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.ops.health_rules import (
    FIRST_HOLD,
    LONGEST_HOLD,
    LOOP_CRASHES,
    LOOP_SECONDS,
    Backoff,
    Do,
    Finding,
    Kind,
    Limits,
    Look,
    ProcessLook,
    Quiet,
    WatcherLook,
    judge,
)

MB = 1_000_000
LIMITS = Limits({"": 500 * MB, "indexer": 300 * MB})
STEP = LIMITS.interval


def process(pid: int, **more) -> ProcessLook:
    return ProcessLook(**{"pid": pid, "started": 1.0, "age": 1000.0, "memory": MB, "cpu_seconds": 5.0, **more})


def api(*processes: ProcessLook, **more) -> WatcherLook:
    return WatcherLook(**{"name": "api", "status": "active", "wanted": 2, "processes": processes, **more})


def found(before: WatcherLook | None, now: WatcherLook, seconds: float = STEP) -> list[Finding]:
    earlier = Look(0.0, (before,)) if before else None
    return judge(earlier, Look(seconds, (now,)), LIMITS)


def kinds(findings: list[Finding]) -> list[tuple[Kind, int | None, Do | None]]:
    return [(finding.kind, finding.pid, finding.do) for finding in findings]


PAIR = process(1), process(2)
numbers = st.floats(0, 2000, allow_nan=False)
processes = st.builds(
    ProcessLook,
    pid=st.integers(1, 6),
    started=st.sampled_from([1.0, 2.0]),
    age=numbers,
    memory=st.integers(0, 1000).map(lambda megabytes: megabytes * MB),
    cpu_seconds=numbers,
    beat_age=st.none() | st.floats(0, 120),
)
watchers = st.builds(
    WatcherLook,
    name=st.sampled_from(["api", "indexer", "worker", "mine"]),
    status=st.sampled_from(["active", "stopped", "starting", "stopping"]),
    wanted=st.integers(0, 6),
    processes=st.lists(processes, max_size=6, unique_by=lambda one: one.pid).map(tuple),
    held=st.integers(0, 3),
    singleton=st.booleans(),
    optional=st.booleans(),
    replacing=st.booleans(),
)
sets_of_watchers = st.lists(watchers, max_size=4, unique_by=lambda one: one.name).map(tuple)


# --- whatever is seen -----------------------------------------------------------------------------


@given(sets_of_watchers, sets_of_watchers, st.floats(0.1, 600), st.booleans())
def test_only_offenders_are_acted_on_and_of_a_watcher_one_at_the_most_is_replaced(before, now, seconds, first):
    findings = judge(None if first else Look(0.0, before), Look(seconds, now), LIMITS)
    by_name = {watcher.name: watcher for watcher in now}
    for finding in findings:
        watcher = by_name[finding.watcher]
        if finding.pid is not None:
            (one,) = [one for one in watcher.processes if one.pid == finding.pid]
        if finding.do is Do.KILL:
            assert one.beat_age > LIMITS.stuck_seconds
            assert not first
        if finding.do in {Do.REPLACE, Do.RESTART}:
            assert one.memory > LIMITS.memory_of(watcher.name)
            assert (finding.do is Do.RESTART) == watcher.singleton
            assert not watcher.replacing
        assert watcher.status == "active" or finding.do is None
        assert finding.watcher in finding.text
    memory = [finding.watcher for finding in findings if finding.kind is Kind.MEMORY]
    assert len(memory) == len(set(memory))


@given(sets_of_watchers)
def test_what_is_within_its_limits_is_left_alone(now):
    well = tuple(
        replace(
            watcher,
            status="active",
            wanted=len(watcher.processes),
            processes=tuple(replace(one, memory=MB, beat_age=1.0) for one in watcher.processes),
        )
        for watcher in now
    )
    assert judge(Look(0.0, well), Look(STEP, well), LIMITS) == []


# --- each rule ------------------------------------------------------------------------------------


def test_of_those_over_the_limit_the_largest_is_replaced():
    now = api(process(1, memory=501 * MB), process(2, memory=700 * MB), process(3))
    (finding,) = found(None, now)
    assert (finding.kind, finding.pid, finding.do) == (Kind.MEMORY, 2, Do.REPLACE)
    assert finding.text == "api process 2 has 700 MB of memory, more than 500 MB: it is replaced"


def test_a_singleton_is_restarted():
    now = api(process(1, memory=301 * MB), name="indexer", wanted=1, singleton=True)
    assert kinds(found(None, now)) == [(Kind.MEMORY, 1, Do.RESTART)]


@pytest.mark.parametrize("change", [{"memory": 500 * MB}, {"memory": 900 * MB, "age": 2 * STEP - 1}])
def test_at_the_limit_or_just_begun_it_is_not_replaced(change):
    assert found(None, api(process(1, **change), process(2))) == []


def test_while_one_is_replaced_no_other_is():
    assert found(None, api(process(1, memory=900 * MB), process(2), replacing=True)) == []


@pytest.mark.parametrize(("percent", "told"), [(89, False), (90, False), (91, True), (250, True)])
def test_cpu_counts_over_the_whole_interval(percent, told):
    busy = process(2, cpu_seconds=5.0 + STEP * percent / 100)
    expected = [(Kind.CPU, 2, None)] if told else []
    assert kinds(found(api(*PAIR), api(process(1), busy))) == expected


def test_cpu_of_another_process_of_the_same_number_is_not_counted():
    assert found(api(*PAIR), api(process(1), process(2, started=9.0, cpu_seconds=5000.0))) == []


def test_a_stuck_one_is_killed_and_its_cpu_not_told_besides():
    stuck = process(1, beat_age=30.1, cpu_seconds=5.0 + STEP)
    assert kinds(found(api(*PAIR), api(stuck, process(2)))) == [(Kind.STUCK, 1, Do.KILL)]


def test_who_has_shown_no_sign_of_life_yet_is_not_stuck():
    assert found(api(*PAIR), api(process(1, beat_age=None), process(2))) == []


@pytest.mark.parametrize("seconds", [0.0, STEP + LIMITS.stuck_seconds / 2 + 1, 3600.0])
def test_after_the_machine_stood_still_nobody_is_killed(seconds):
    stuck = process(1, beat_age=3600.0)
    assert found(api(*PAIR), api(stuck, process(2)), seconds) == []


def test_at_the_first_look_nobody_is_killed():
    assert found(None, api(process(1, beat_age=3600.0), process(2))) == []


def test_a_process_is_missing_when_it_is_twice():
    assert found(api(*PAIR), api(process(1))) == []
    assert kinds(found(api(process(1)), api(process(1)))) == [(Kind.MISSING, None, None)]
    assert found(api(process(1)), api(process(1)))[0].text == "api has 1 of 2 processes"


def test_what_is_held_back_is_not_missing():
    assert found(api(process(1), held=1), api(process(1), held=1)) == []


def test_a_stopped_watcher_is_told_of_unless_it_need_not_run():
    assert kinds(found(None, api(status="stopped"))) == [(Kind.STOPPED, None, None)]
    assert found(None, api(status="stopped", optional=True)) == []


@pytest.mark.parametrize("status", ["starting", "stopping"])
def test_what_is_on_its_way_is_left_alone(status):
    now = api(process(1, memory=900 * MB, beat_age=99.0), status=status)
    assert found(now, now) == []


# --- telling it once ------------------------------------------------------------------------------


def test_the_same_is_not_told_again_for_a_while():
    quiet = Quiet(300.0)
    missing, other = Finding(Kind.MISSING, "api", ""), Finding(Kind.MISSING, "indexer", "")
    told = [quiet.lets_through(missing, at) for at in (0.0, 30.0, 299.0, 301.0, 330.0)]
    assert told == [True, False, False, True, False]
    assert quiet.lets_through(other, 30.0)


def test_what_is_acted_on_is_always_told():
    quiet = Quiet(300.0)
    killed = Finding(Kind.STUCK, "api", "", 1, Do.KILL)
    assert quiet.lets_through(killed, 0.0)
    assert quiet.lets_through(killed, 1.0)


# --- crash loops ----------------------------------------------------------------------------------


def test_a_loop_is_held_back_two_four_eight_sixteen_seconds_and_at_last_three_hundred():
    backoff, now, holds = Backoff(), 0.0, []
    for _ in range(LOOP_CRASHES - 1):
        assert backoff.crashed(now) is None
        now += 1
    for _ in range(12):
        holds.append(backoff.crashed(now))
        now += holds[-1]
        backoff.released(now)
        now += 1
    assert holds[:5] == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert holds[-3:] == [LONGEST_HOLD] * 3


def test_a_crash_now_and_then_is_no_loop():
    backoff = Backoff()
    for number in range(100):
        assert backoff.crashed(number * (LOOP_SECONDS / (LOOP_CRASHES - 1) + 0.1)) is None


def test_a_loop_is_over_after_a_minute_without_a_crash():
    backoff = Backoff()
    for at in range(LOOP_CRASHES):
        hold = backoff.crashed(at)
    assert hold == FIRST_HOLD
    backoff.released(10.0)
    assert backoff.crashed(10.0 + LOOP_SECONDS + 1) is None
    assert backoff.level == 0


@given(st.lists(st.floats(0.01, 100), max_size=60))
def test_each_hold_in_a_row_is_twice_as_long_up_to_the_bound(gaps):
    backoff, now = Backoff(), 0.0
    for gap in gaps:
        now += gap
        hold = backoff.crashed(now)
        if hold is None:
            assert backoff.level == 0
        else:
            assert hold == min(FIRST_HOLD * 2 ** (backoff.level - 1), LONGEST_HOLD)
            now += hold
            backoff.released(now)
