"""Rate limits: the meter is exact, its slots forget nobody too early, and no clock locks anybody out."""

from __future__ import annotations

from math import ceil
from threading import Barrier, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.api.limits import slots
from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.rate import MemoryRateLimiter, RateLimiter
from stellarstream_core.api.limits.slots import ROW_WORDS, WAYS, Names

SECOND = 10**9
NOW = 1_000 * SECOND


class Clock:
    """Nanoseconds that a test moves on."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Bucket:
    """The exact model: units that leak away one each interval, in a bucket that holds ``burst``."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.used = 0  # nanoseconds
        self.at = NOW

    def take(self, now: int, cost: int) -> tuple[bool, int]:
        self.used = max(0, self.used - (now - self.at))
        self.at = now
        wanted = min(cost, self.quota.burst) * self.quota.interval
        allowed = self.used + wanted <= self.quota.burst * self.quota.interval
        self.used += wanted if allowed else 0
        return allowed, (self.quota.burst * self.quota.interval - self.used) // self.quota.interval


quotas = st.builds(
    Quota, st.integers(1, 50), st.sampled_from([1, 60, 3600]), st.integers(1, 12)
)  # at most twelve hours until it is whole
requests = st.lists(
    st.tuples(st.integers(0, 90 * SECOND) | st.integers(0, 3), st.sampled_from("abc"), st.integers(0, 15)), max_size=60
)


@settings(deadline=None)
@given(quotas, requests)
def test_each_client_gets_exactly_what_the_model_gives(quota, requests):
    clock = Clock()
    limiter = MemoryRateLimiter(clock)
    models = {key: Bucket(quota) for key in "abc"}
    for wait, key, cost in requests:
        clock.now += wait
        verdict = limiter.take(key, quota, cost)
        assert (verdict.allowed, verdict.remaining) == models[key].take(clock.now, cost)
        assert verdict.limit == quota.burst


@settings(deadline=None)
@given(quotas, requests)
def test_in_any_stretch_of_time_the_burst_and_what_came_back_is_the_most(quota, requests):
    clock = Clock()
    limiter = MemoryRateLimiter(clock)
    given_out: list[tuple[int, int]] = []
    for wait, _, cost in requests:
        clock.now += wait
        if limiter.take("one", quota, cost).allowed:
            given_out.append((clock.now, min(cost, quota.burst)))
    for begin in range(len(given_out)):
        units = 0
        for at, cost in given_out[begin:]:
            units += cost
            assert units <= quota.burst + (at - given_out[begin][0]) // quota.interval


@settings(deadline=None)
@given(quotas, st.integers(1, 15), st.integers(0, 20))
def test_retry_after_is_the_first_moment_at_which_the_request_is_allowed(quota, cost, before):
    clock = Clock()
    limiter = MemoryRateLimiter(clock)
    for _ in range(before):
        limiter.take("one", quota)
    verdict = limiter.take("one", quota, cost)
    if verdict.allowed:
        assert verdict.retry_after == 0
        return
    began = clock.now
    clock.now = began + round(verdict.retry_after * SECOND) - quota.interval // 2
    assert not limiter.take("one", quota, cost).allowed
    clock.now = began + ceil(verdict.retry_after * SECOND) + 1
    assert limiter.take("one", quota, cost).allowed


@settings(deadline=None)
@given(quotas, st.integers(0, 20))
def test_after_reset_seconds_the_quota_is_whole(quota, before):
    clock = Clock()
    limiter = MemoryRateLimiter(clock)
    verdict = limiter.take("one", quota, 0)
    for _ in range(before):
        verdict = limiter.take("one", quota)
    clock.now += ceil(verdict.reset_seconds * SECOND) + 1
    assert limiter.take("one", quota, 0) == (True, quota.burst, quota.burst, 0.0, 0.0)


def test_a_request_that_costs_more_than_the_burst_takes_all_of_it():
    limiter = MemoryRateLimiter(Clock())
    quota = Quota.parse("1/second burst 3")
    assert limiter.take("one", quota, 100).allowed
    assert limiter.take("one", quota).remaining == 0


def test_asking_costs_nothing_and_a_negative_cost_is_an_error():
    limiter = MemoryRateLimiter(Clock())
    quota = Quota.parse("1/second")
    for _ in range(5):
        assert limiter.take("one", quota, 0).remaining == 1
    with pytest.raises(ValueError, match="less than nothing"):
        limiter.take("one", quota, -1)


@settings(deadline=None)
@given(st.text(), st.text())
def test_clients_do_not_share_a_quota_whatever_they_are_called(one, other):
    limiter = MemoryRateLimiter(Clock())
    quota = Quota.parse("1/hour")
    assert limiter.take(one, quota).allowed
    assert limiter.take(other, quota).allowed == (one != other)


# --- clocks -----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(quotas, st.lists(st.integers(-(10**18), 10**18), min_size=1, max_size=6), st.integers(1, 12))
def test_whatever_the_clock_does_a_client_waits_no_longer_than_its_quota_takes_to_be_whole(quota, jumps, before):
    clock = Clock(10**19 // 2)
    limiter = MemoryRateLimiter(clock)
    for jump in jumps:
        clock.now = max(0, clock.now + jump)
        for _ in range(before):
            verdict = limiter.take("one", quota)
            assert verdict.retry_after * SECOND <= quota.whole + 1
            assert verdict.reset_seconds * SECOND <= quota.whole + 1
        clock.now += quota.interval
        assert limiter.take("one", quota).allowed, "one unit is back"
    clock.now += quota.whole
    assert limiter.take("one", quota, 0).remaining == quota.burst


def test_a_clock_that_went_back_gives_nothing_away():
    clock = Clock()
    limiter = MemoryRateLimiter(clock)
    quota = Quota.parse("1/minute burst 5")
    for _ in range(5):
        assert limiter.take("one", quota).allowed
    clock.now -= 500 * SECOND
    assert not limiter.take("one", quota).allowed


# --- slots ------------------------------------------------------------------------------------------

WIDE = Quota.parse("10/hour")


def row_of(*times: int) -> memoryview:
    """A table whose first row has names 1, 2, 3 … with these times."""
    words = memoryview(bytearray(8 * ROW_WORDS)).cast("Q")
    for way, time in enumerate(times):
        words[way], words[WAYS + way] = way + 1, time
    return words


def names_of(words: memoryview) -> list[int]:
    return words[:WAYS].tolist()


def test_a_slot_whose_time_is_past_is_free():
    words = row_of(*[NOW + 1] * 3, NOW, *[NOW + 1] * 4)
    slots.take(words, 0, 99, NOW, WIDE, 1)
    assert names_of(words) == [1, 2, 3, 99, 5, 6, 7, 8]


def test_where_all_are_taken_the_one_that_is_free_first_is_replaced():
    words = row_of(*[NOW + 50 + way for way in range(5)], NOW + 7, NOW + 60, NOW + 61)
    assert slots.take(words, 0, 99, NOW, WIDE, 1).allowed
    assert names_of(words) == [1, 2, 3, 4, 5, 99, 7, 8]


def test_a_time_beyond_all_quotas_counts_as_free():
    words = row_of(*[NOW + 10] * 7, 2**64 - 1)
    slots.take(words, 0, 99, NOW, WIDE, 1)
    assert names_of(words) == [1, 2, 3, 4, 5, 6, 7, 99]


def test_asking_for_a_stranger_takes_no_slot():
    words = row_of()
    slots.take(words, 0, 99, NOW, WIDE, 0)
    assert names_of(words) == [0] * WAYS


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=ROW_WORDS, max_size=ROW_WORDS), st.integers(0, 2**62), quotas)
def test_whatever_is_in_a_row_a_request_is_judged_and_the_next_one_finds_it(content, now, quota):
    words = memoryview(bytearray(8 * ROW_WORDS)).cast("Q")
    for at, word in enumerate(content):
        words[at] = word
    name = content[0] or 1
    verdict = slots.take(words, 0, name, now, quota, 1)
    assert 0 <= verdict.remaining <= quota.burst
    assert verdict.retry_after * SECOND <= quota.whole + 1
    if verdict.allowed:
        assert slots.take(words, 0, name, now, quota, 0).remaining == verdict.remaining


def test_ten_thousand_clients_are_told_apart():
    limiter = MemoryRateLimiter(Clock())
    limiter._names = Names(bytes(16))  # with some secrets a row gets more than its share of so many
    quota = Quota.parse("1/hour")
    for number in range(10_000):
        assert limiter.take(f"client {number}", quota).allowed
    assert sum(limiter.take(f"client {number}", quota).allowed for number in range(10_000)) == 0


def test_where_a_key_lies_depends_on_the_secret():
    places = {Names(bytes([number] * 16)).find("client") for number in range(50)}
    assert len(places) == 50


# --- threads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_threads_together_get_the_quota_and_no_more(tmp_path, shared):
    clock = Clock()
    limiter = RateLimiter.open(tmp_path, clock) if shared else MemoryRateLimiter(clock)
    quota = Quota.parse("500/hour")
    allowed: list[int] = []
    ready = Barrier(8)

    def hammer() -> None:
        ready.wait()
        allowed.append(sum(limiter.take("one", quota).allowed for _ in range(200)))

    threads = [Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 500
    limiter.close()
