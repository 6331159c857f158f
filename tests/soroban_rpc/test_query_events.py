"""``queryEvents``, where a node offers it: the same windows by another method."""

from __future__ import annotations

import pytest

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason
from stellarstream_core.testing.rpc_history import (
    MadeHistory,
    contract_event,
    large_transaction,
    varied_history,
)
from stellarstream_core.testing.rpc_node import Fault, Faults, NodeError
from stellarstream_core.testing.scripted import made_contract
from tests.soroban_rpc.full_history import query_events
from tests.soroban_rpc.kit import NATIVE, A, B, C, assert_exact, node, read, source

EVERY = Scope.of("*")
ONE = Scope.of([A])


def archive(history, **options):
    made = node(history, **options)
    made.query_events = query_events
    return made


def varied() -> MadeHistory:
    return MadeHistory(varied_history(LedgerRange(200, 900), [A, B, C, NATIVE], seed=7), 1, 2_000)


async def whole(opened, wanted, scope, history):
    result = await read(opened, wanted, scope)
    assert_exact(result, wanted, scope, history)
    assert not result.gaps
    return result


@pytest.mark.parametrize("scope", [ONE, Scope.of([A, B, C]), EVERY])
@pytest.mark.parametrize("page_limit", [7, 4_000])
async def test_a_node_that_offers_it_is_read_by_it_alone(scope, page_limit):
    history = varied()
    async with archive(history) as made, source(made, page_limit=page_limit) as opened:
        await whole(opened, LedgerRange(101, 900), scope, history)
        assert made.count("getEvents") == 0


async def test_it_is_asked_for_once_and_never_where_the_settings_say_so():
    history = varied()
    async with node(history) as plain, archive(history) as full:
        async with source(plain) as opened:
            for _ in range(3):
                await whole(opened, LedgerRange(300, 400), ONE, history)
            assert plain.count("queryEvents") == 1
        async with source(full, query_events="never") as opened:
            await whole(opened, LedgerRange(300, 400), ONE, history)
            assert full.count("queryEvents") == 0


async def test_contracts_are_grouped_to_its_budget_of_terms():
    contracts = [made_contract(number) for number in range(40)]
    history = MadeHistory(varied_history(LedgerRange(200, 300), contracts, seed=9, most_per_ledger=20), 1, 500)
    async with archive(history) as made, source(made) as opened:
        result = await whole(opened, LedgerRange(150, 350), Scope.of(contracts), history)
        assert {len(window.scope) for window in result.windows} == {15, 10}


async def test_an_empty_page_is_not_its_end():
    history = MadeHistory([contract_event(3, 1, 0, A), contract_event(34_990, 1, 0, A)], 1, 40_000)
    options = {"window": 30_000, "max_window": 30_000, "windows_in_flight": 1}
    async with archive(history) as made, source(made, **options) as opened:
        result = await whole(opened, LedgerRange(2, 35_000), ONE, history)
        assert len(result.events()) == 2


async def test_a_large_transaction_is_read_once_whole():
    history = MadeHistory(large_transaction(700, 3, 4_000, A), 1, 1_000)
    async with archive(history) as made, source(made) as opened:
        await whole(opened, LedgerRange(600, 800), ONE, history)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.BUSY,
        Fault.RESET,
        Fault.TRUNCATED,
        Fault.GARBAGE,
        Fault.WRONG_ID,
        Fault.WRONG_SHAPE,
        Fault.INTERNAL,
        Fault.TOO_MUCH,
        Fault.QUEUE_FULL,
        Fault.LAGGING,
    ],
)
async def test_a_passing_fault_costs_nothing_but_time(fault):
    history = varied()
    faults = Faults([None, fault, None, fault], methods=["queryEvents"])
    async with archive(history, faults=faults) as made, source(made, page_limit=50) as opened:
        await whole(opened, LedgerRange(101, 1_990), EVERY, history)
        assert made.faults.met[fault] == 2


async def test_a_node_that_stops_taking_its_cursors_is_asked_by_ledger():
    history = varied()
    malformed = NodeError(-32602, "cursor is malformed", {"reason": "cursor_malformed"})

    def forgetful(params, view):
        if "cursor" in params:
            raise malformed
        return query_events(params, view)

    async with archive(history) as made, source(made, page_limit=60) as opened:
        made.query_events = forgetful
        await whole(opened, LedgerRange(101, 900), EVERY, history)


async def test_a_node_whose_beta_changed_is_read_by_get_events():
    history = varied()
    calls = []

    def changing(params, view):
        calls.append(params)
        if len(calls) > 3:
            raise NodeError(-32602, "unknown field minLedger", {"reason": "invalid_params"})
        return query_events(params, view)

    async with archive(history) as made, source(made, page_limit=60) as opened:
        made.query_events = changing
        await whole(opened, LedgerRange(101, 900), EVERY, history)
        assert made.count("getEvents")


async def test_what_is_older_than_its_history_and_beyond_its_tip_is_named():
    history = varied()
    history.oldest = 500
    async with archive(history) as made, source(made) as opened:
        result = await read(opened, LedgerRange(300, 2_100), EVERY)
        assert_exact(result, LedgerRange(300, 2_100), EVERY, history)
        assert result.missing == RangeSet([(300, 499), (2_001, 2_100)])
        assert result.reasons == {Reason.OUT_OF_RETENTION, Reason.BEYOND_TIP}


async def test_ledgers_trimmed_while_they_were_read_are_not_taken_for_empty():
    history = varied()
    history.oldest = 300
    faults = Faults([None, Fault.TRIMMED], methods=["queryEvents"])
    async with archive(history, faults=faults) as made, source(made, windows_in_flight=1) as opened:
        made.trim_by = 40
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, history)
        assert result.missing == RangeSet([(300, 339)])


async def test_a_plain_node_takes_over_from_one_with_full_history():
    history = varied()
    dying = Faults([None, None], rates={Fault.RESET: 1.0}, in_a_row=10**6, methods=["queryEvents"])
    async with (
        archive(history, faults=dying) as first,
        node(history) as second,
        source(first, second, page_limit=50) as opened,
    ):
        await whole(opened, LedgerRange(101, 900), Scope.of([A, B]), history)
        assert second.count("getEvents")
