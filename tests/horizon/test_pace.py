"""The rate limit: requests are spread before it is reached, and a pause that is asked for is kept."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.testing.rpc_node import Faults
from stellarstream_horizon.pace import LONGEST_INTERVAL, Allowance, Pace, read_allowance
from tests.horizon.history import sandbox_history
from tests.horizon.kit import EVERYTHING, assert_exact, read, source
from tests.horizon.node import Fault, HorizonNode
from tests.soroban_rpc.kit import Clock

WALL = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "allowance"),
    [
        ({"X-RateLimit-Limit": "101", "X-RateLimit-Remaining": "99", "X-RateLimit-Reset": "2"}, Allowance(101, 99, 2)),
        ({"RateLimit-Remaining": "5", "RateLimit-Reset": "30"}, Allowance(None, 5, 30)),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1800000060"}, Allowance(None, 5, 60)),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1700000000"}, Allowance(None, 5, 0)),
        ({"X-RateLimit-Limit": "101"}, None),
        ({"X-RateLimit-Remaining": "9" * 5_000, "X-RateLimit-Reset": "1"}, None),
        ({"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "soon"}, None),
        ({}, None),
    ],
)
def test_an_allowance_is_read_from_the_headers_in_use(headers, allowance):
    assert read_allowance(headers, WALL) == allowance


def spread(limit, remaining, reset) -> float:
    pace = Pace(Timing(now=lambda: 0.0, wall=lambda: WALL))
    pace.learn(
        {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(reset)}
    )
    return pace.interval


def test_nothing_waits_while_more_than_half_is_left():
    assert spread(101, 51, 50) == 0


def test_with_less_than_half_left_requests_are_as_far_apart_as_the_rest_lasts():
    assert spread(101, 25, 76) == pytest.approx(3.04)
    assert spread(3600, 100, 900) == 9
    assert spread(101, 0, 101) == LONGEST_INTERVAL


@given(limit=st.integers(1, 10**6), remaining=st.integers(0, 10**6), reset=st.integers(0, 10**7))
def test_a_pace_is_never_slower_than_the_longest_interval(limit, remaining, reset):
    assert 0 <= spread(limit, remaining, reset) <= LONGEST_INTERVAL


@pytest.mark.parametrize(("allowance", "rate"), [(101, 1.0), (20, 0.5), (10, 5.0)])
async def test_a_long_read_never_runs_into_the_limit_and_hardly_wastes_any_of_it(allowance, rate):
    history = sandbox_history()
    clock = Clock()
    wanted = LedgerRange(2, 201)
    async with HorizonNode(history) as node, source(node, clock=clock, page_limit=6) as opened:
        node.allowance, node.rate, node.clock = allowance, rate, lambda: clock.time
        began = clock.time
        assert_exact(await read(opened, wanted), wanted, EVERYTHING, history)
        assert node.count() > 2 * allowance
        assert node.refused == 0
        assert clock.time - began <= 1.5 * node.count() / rate


async def test_a_limit_that_others_use_up_is_waited_for_as_long_as_the_server_says():
    history = sandbox_history()
    clock = Clock()
    wanted = LedgerRange(2, 60)
    async with HorizonNode(history) as node, source(node, clock=clock) as opened:
        await opened.reach()
        node.faults = Faults([Fault.THROTTLED, Fault.THROTTLED], methods=["ledgers"])
        began = clock.time
        assert_exact(await read(opened, wanted), wanted, EVERYTHING, history)
        assert clock.time - began >= 6


async def test_who_waits_for_a_turn_takes_it_in_order():
    times: list[float] = []
    clock = Clock()
    pace = Pace(clock.timing)
    pace.interval = 2.0

    async def take() -> None:
        await pace.turn()
        times.append(clock.time)

    await asyncio.gather(*(take() for _ in range(4)))
    assert times == [1_000, 1_002, 1_004, 1_006]
