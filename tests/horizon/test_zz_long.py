"""The whole promise, for any plan of faults: every ledger told of once, every event once and as it was."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.errors import SourceError, SourceUnusableError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.testing.rpc_node import Faults
from tests.horizon.history import sandbox_history
from tests.horizon.kit import EVERYTHING, assert_exact, read, source
from tests.horizon.node import LIES, TROUBLES, Fault, HorizonNode
from tests.soroban_rpc.kit import Clock

KINDS = ["root", "ledgers", "ledger", "transactions", "ledger-transactions"]
PAGES = ["ledgers", "ledger", "transactions", "ledger-transactions"]
NAMES = ["streams-v1", "streams-v2", "silent"]

scopes = st.just(None) | st.sets(st.sampled_from(NAMES), min_size=1)
sizes = st.fixed_dictionaries(
    {
        "page_limit": st.sampled_from([1, 3, 10, 50, 200]),
        "piece_transactions": st.sampled_from([1, 20, 150, 8_000]),
        "pieces_in_flight": st.integers(1, 4),
        "max_in_flight": st.integers(1, 4),
    }
)
ranges = st.tuples(st.integers(2, 121), st.integers(0, 119)).map(lambda pair: LedgerRange(pair[0], min(121, sum(pair))))


def scope_of(history, names) -> Scope:
    return EVERYTHING if names is None else Scope.of([history.contracts[name] for name in sorted(names)])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 99),
    wanted=ranges,
    names=scopes,
    own=sizes,
    plan=st.dictionaries(st.sampled_from(TROUBLES), st.floats(0.01, 0.1), max_size=4),
)
def test_with_passing_troubles_nothing_is_missing(seed, wanted, names, own, plan):
    async def run():
        own["page_limit"] = max(own["page_limit"], 10)  # a ledger begins anew with each trouble
        history = sandbox_history(ledgers=120)
        faults = Faults(rates=plan, seed=seed, in_a_row=2, methods=KINDS)
        async with HorizonNode(history, faults=faults) as node:
            patient = {"max_retries": 200, "retry_seconds": 86_400}
            async with source(node, clock=Clock(seed), **patient, **own) as opened:
                scope = scope_of(history, names)
                result = await read(opened, wanted, scope)
        assert_exact(result, wanted, scope, history)
        assert not result.gaps

    asyncio.run(run())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 99),
    wanted=ranges,
    names=scopes,
    own=sizes,
    plan=st.dictionaries(st.sampled_from([*LIES, *TROUBLES]), st.floats(0.01, 0.3), max_size=5),
    retries=st.integers(0, 3),
    oldest=st.integers(2, 60),
    holes=st.frozensets(st.integers(2, 121), max_size=4),
    reap_by=st.sampled_from([0, 0, 1, 20]),
    lag=st.sampled_from([0, 0, 5, 60]),
    bare=st.sets(st.integers(2, 121), max_size=3),
    second=st.booleans(),
)
def test_whatever_a_server_does_the_rest_is_exact_and_what_is_missing_is_named(
    seed, wanted, names, own, plan, retries, oldest, holes, reap_by, lag, bare, second
):
    async def run():
        history, other = sandbox_history(ledgers=120), sandbox_history(ledgers=120)
        history.oldest = oldest
        faults = Faults(rates=plan, seed=seed, in_a_row=9, methods=PAGES)
        async with HorizonNode(history, faults=faults) as first, HorizonNode(other) as backup:
            first.holes, first.reap_by = holes, reap_by
            first.metas = lambda ledger: "emptied" if ledger in bare else "kept"
            backup.lag, other.oldest = 10, 30
            nodes = (first, backup) if second else (first,)
            async with source(*nodes, clock=Clock(seed), max_retries=retries, **own) as opened:
                with suppress(SourceError, SourceUnusableError):
                    await opened.reach()
                first.lag = lag
                scope = scope_of(history, names)
                result = await read(opened, wanted, scope)
        assert_exact(result, wanted, scope, other)

    asyncio.run(run())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 99), wanted=ranges, own=sizes, lies=st.sets(st.sampled_from(LIES), min_size=1, max_size=4))
def test_one_honest_server_beside_a_liar_is_enough(seed, wanted, own, lies):
    async def run():
        history, honest = sandbox_history(ledgers=120), sandbox_history(ledgers=120)
        faults = Faults(rates=dict.fromkeys(lies, 0.9 / len(lies)), seed=seed, in_a_row=10**9, methods=PAGES)
        async with (
            HorizonNode(history) as liar,
            HorizonNode(honest) as node,
            source(liar, node, clock=Clock(seed), **own) as opened,
        ):
            await opened.reach()
            liar.faults = faults
            result = await read(opened, wanted)
        assert_exact(result, wanted, EVERYTHING, honest)
        assert not result.gaps

    asyncio.run(run())


def test_every_fault_is_among_troubles_and_lies_or_has_a_test_of_its_own():
    assert set(Fault) == {*TROUBLES, *LIES, Fault.HUGE, Fault.SLOW, Fault.STALE}
