"""The whole promise, for any history, setting and plan of faults: every ledger told of once, every event once."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.errors import SourceError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.testing.rpc_history import MadeHistory, large_transaction, varied_history
from stellarstream_core.testing.rpc_node import TRANSIENT, Fault, Faults
from tests.soroban_rpc.full_history import query_events
from tests.soroban_rpc.kit import NATIVE, A, B, C, Clock, assert_exact, node, read, source

CONTRACTS = [A, B, C, NATIVE]

scopes = st.one_of(st.just(Scope.of("*")), st.sets(st.sampled_from(CONTRACTS), min_size=1).map(Scope.of))
sizes = st.fixed_dictionaries(
    {
        "page_limit": st.sampled_from([1, 2, 7, 40, 4_000]),
        "window": st.integers(1, 300),
        "max_window": st.integers(300, 2_000),
        "window_events": st.sampled_from([1, 20, 8_000]),
        "windows_in_flight": st.integers(1, 5),
    }
)
ranges = st.tuples(st.integers(2, 560), st.integers(0, 500)).map(lambda pair: LedgerRange(pair[0], sum(pair)))
plans = st.dictionaries(st.sampled_from(TRANSIENT), st.floats(0.01, 0.1), max_size=5)


def make_history(seed: int, density: float, *, large: bool, latest: int = 1_200) -> MadeHistory:
    events = varied_history(LedgerRange(100, 520), CONTRACTS, seed=seed, density=density)
    if large:
        events = [event for event in events if event.ledger != 333] + large_transaction(333, 2, 300, A)
    return MadeHistory(events, 1, latest)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 99),
    density=st.sampled_from([0.02, 0.3, 0.9]),
    large=st.booleans(),
    wanted=ranges,
    scope=scopes,
    own=sizes,
    plan=plans,
    scan_limit=st.sampled_from([3, 100, 10_000]),
    full=st.booleans(),
)
def test_with_passing_faults_nothing_is_missing(seed, density, large, wanted, scope, own, plan, scan_limit, full):
    async def run():
        history = make_history(seed, density, large=large and own["page_limit"] > 2)
        methods = ["getEvents", "queryEvents", "getHealth"]
        faults = Faults(rates=plan, seed=seed, in_a_row=2, methods=methods)
        async with node(history, faults=faults) as made:
            made.scan_limit = scan_limit
            made.query_events = query_events if full else None
            patient = {"max_retries": 200, "retry_seconds": 86_400}
            async with source(made, clock=Clock(seed), **patient, **own) as opened:
                result = await read(opened, wanted, scope)
        assert_exact(result, wanted, scope, history)
        assert not result.gaps

    asyncio.run(run())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 99),
    wanted=ranges,
    scope=scopes,
    own=sizes,
    plan=plans,
    retries=st.integers(0, 3),
    oldest=st.integers(1, 400),
    trim_by=st.sampled_from([1, 10, 60]),
    lag=st.sampled_from([0, 15, 500]),
    poison=st.frozensets(st.integers(100, 600), max_size=2),
    second=st.booleans(),
)
def test_whatever_goes_wrong_the_rest_is_exact(
    seed, wanted, scope, own, plan, retries, oldest, trim_by, lag, poison, second
):
    async def run():
        history, other = make_history(seed, 0.4, large=False), make_history(seed, 0.4, large=False)
        history.oldest = oldest
        plan_here = {**plan, Fault.TRIMMED: 0.05, Fault.RESET: 0.2}
        faults = Faults(rates=plan_here, seed=seed, in_a_row=9, methods=["getEvents", "getHealth", "getNetwork"])
        async with node(history, faults=faults) as first, node(other) as backup:
            first.trim_by, first.poison = trim_by, poison
            backup.lag, other.oldest = 600, 150
            nodes = (first, backup) if second else (first,)
            async with source(*nodes, clock=Clock(seed), max_retries=retries, **own) as opened:
                with suppress(SourceError):
                    await opened.reach()
                first.lag = lag
                result = await read(opened, wanted, scope)
        assert_exact(result, wanted, scope, other)

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(8))
def test_what_was_read_twice_near_the_oldest_ledger_is_not_read_twice_again_after_a_failure(seed):
    """One event a page and three ledgers an answer: comparing takes more requests than go well in a row."""

    async def run():
        history, wanted, scope = make_history(seed, 0.9, large=False), LedgerRange(2, 65), Scope.of("*")
        faults = Faults(rates={Fault.BUSY: 0.09, Fault.THROTTLED: 0.09}, seed=seed, in_a_row=2, methods=["getEvents"])
        async with node(history, faults=faults) as made:
            made.scan_limit = 3
            patient = {"max_retries": 60, "retry_seconds": 86_400, "page_limit": 1, "windows_in_flight": 1}
            async with source(made, clock=Clock(seed), **patient) as opened:
                result = await read(opened, wanted, scope)
        assert_exact(result, wanted, scope, history)
        assert not result.gaps

    asyncio.run(run())
