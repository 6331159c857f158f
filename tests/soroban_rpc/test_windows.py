"""Every trap of getEvents, shown by a node, and what must hold in spite of it."""

from __future__ import annotations

import asyncio

import pytest

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Window
from stellarstream_core.testing.rpc_history import (
    MadeHistory,
    contract_event,
    fee_events,
    large_transaction,
    varied_history,
)
from stellarstream_core.testing.rpc_node import TRANSIENT, Fault, Faults, NodeError
from stellarstream_core.testing.scripted import made_contract
from stellarstream_sandbox.get_events import get_events
from tests.soroban_rpc.kit import NATIVE, A, B, C, Clock, assert_exact, node, read, source

EVERY = Scope.of("*")
ONE = Scope.of([A])
DEAD = "http://127.0.0.1:9"


def varied(oldest: int = 1, latest: int = 2_000) -> MadeHistory:
    return MadeHistory(varied_history(LedgerRange(200, 900), [A, B, C, NATIVE], seed=7), oldest, latest)


async def whole(opened, wanted: LedgerRange, scope: Scope, history: MadeHistory):
    """Read a range of which nothing may be missing."""
    result = await read(opened, wanted, scope)
    assert_exact(result, wanted, scope, history)
    assert not result.gaps
    return result


# --- pages, cursors, ends -------------------------------------------------------------------


async def test_an_empty_page_is_not_the_end():
    history = MadeHistory([contract_event(3, 1, 0, A), contract_event(34_990, 1, 0, A)], 1, 40_000)
    async with node(history) as made, source(made, window=30_000, max_window=30_000, windows_in_flight=1) as opened:
        result = await whole(opened, LedgerRange(2, 35_000), ONE, history)
        assert len(result.events()) == 2
        assert any(w.range.size > 10_000 for w in result.windows), "one window went over the node's scan limit"


async def test_a_short_page_is_not_the_end():
    history = varied()
    async with node(history) as made, source(made) as opened:
        made.scan_limit = 13
        await whole(opened, LedgerRange(100, 1_000), ONE, history)


async def test_pages_of_one_event_go_through_everything():
    history = MadeHistory(varied_history(LedgerRange(200, 260), [A, B, C, NATIVE], seed=7), 1, 2_000)
    async with node(history) as made, source(made, page_limit=1, window_events=5) as opened:
        await whole(opened, LedgerRange(190, 270), EVERY, history)


async def test_what_a_cursor_page_holds_beyond_the_window_is_left_to_the_next():
    history = MadeHistory([e for ledger in range(100, 160) for e in large_transaction(ledger, 1, 9, A)], 1, 500)
    async with node(history) as made, source(made, page_limit=4, window=7, windows_in_flight=1) as opened:
        result = await whole(opened, LedgerRange(100, 120), ONE, history)
        assert any("cursor" in params["pagination"] for name, params in made.calls if name == "getEvents")
        assert result.events()[-1].ledger == 120


async def test_a_transaction_of_four_thousand_events_is_read_once_whole():
    events = [contract_event(700, 1, 0, A), *large_transaction(700, 3, 4_000, A), contract_event(700, 4, 0, A)]
    history = MadeHistory(events, 1, 1_000)
    async with node(history) as made, source(made, page_limit=150, window_events=500) as opened:
        result = await whole(opened, LedgerRange(600, 800), ONE, history)
        assert len(result.events()) == 4_002


async def test_a_large_transaction_is_read_whole_though_every_third_request_fails():
    history = MadeHistory(large_transaction(700, 3, 4_000, A), 1, 1_000)
    faults = Faults(rates={Fault.RESET: 0.2, Fault.TRUNCATED: 0.1, Fault.LAGGING: 0.05}, seed=1)
    async with node(history, faults=faults) as made, source(made, page_limit=100) as opened:
        await whole(opened, LedgerRange(600, 800), ONE, history)
        assert faults.met.total() > 10


async def test_a_cursor_that_points_backwards_is_not_believed():
    history = varied()
    async with node(history, faults=Faults([Fault.CURSOR_BACK])) as made, source(made) as opened:
        await whole(opened, LedgerRange(100, 1_000), ONE, history)


async def test_a_cursor_that_never_moves_ends_in_a_named_gap_not_in_a_loop():
    faults = Faults(rates={Fault.CURSOR_STUCK: 1.0}, in_a_row=10**6)
    async with node(varied(), faults=faults) as made, source(made, max_retries=5) as opened:
        result = await read(opened, LedgerRange(100, 1_000), ONE)
        assert_exact(result, LedgerRange(100, 1_000), ONE, made.history)
        assert result.reasons == {Reason.MISBEHAVED}
        assert "does not go on" in result.gaps[0].detail


async def test_nothing_after_a_cursor_is_asked_for_again_by_ledger():
    history = MadeHistory([e for ledger in range(100, 140) for e in large_transaction(ledger, 1, 9, A)], 1, 500)
    faults = Faults(rates={Fault.CURSOR_EMPTY: 1.0}, in_a_row=10**6)
    async with node(history, faults=faults) as made, source(made, page_limit=13) as opened:
        await whole(opened, LedgerRange(100, 140), ONE, history)
        assert faults.met[Fault.CURSOR_EMPTY] > 5


async def test_nothing_after_a_cursor_inside_a_ledger_larger_than_a_page_is_not_believed():
    history = MadeHistory(large_transaction(500, 1, 40, A), 1, 1_000)
    always = Faults([None], rates={Fault.CURSOR_EMPTY: 1.0}, in_a_row=10**6)
    async with node(history, faults=always) as made, node(history) as honest:
        async with source(made, page_limit=10, max_retries=3, windows_in_flight=1) as opened:
            result = await read(opened, LedgerRange(480, 520), ONE)
            assert_exact(result, LedgerRange(480, 520), ONE, history)
            assert (500 in result.missing, result.reasons) == (True, {Reason.MISBEHAVED})
        async with source(made, honest, page_limit=10) as opened:
            await whole(opened, LedgerRange(480, 520), ONE, history)


@pytest.mark.parametrize("events", [9, 10, 11, 20, 21])
async def test_a_ledger_that_fills_whole_pages_is_read_to_its_end(events):
    history = MadeHistory(large_transaction(500, 1, events, A), 1, 1_000)
    async with node(history) as made, source(made, page_limit=10) as opened:
        await whole(opened, LedgerRange(480, 520), ONE, history)


async def test_a_page_that_covers_more_than_its_tip_is_not_believed():
    history = varied()
    async with node(history, faults=Faults([Fault.OVERCLAIMED, Fault.OVERCLAIMED])) as made, source(made) as opened:
        await whole(opened, LedgerRange(100, 1_000), ONE, history)


@pytest.mark.parametrize(
    "fault", [Fault.DOUBLED, Fault.DISORDERED, Fault.FOREIGN, Fault.MISPLACED, Fault.ALTERED, Fault.WRONG_SHAPE]
)
async def test_a_node_that_lies_is_left_for_another_and_named_where_there_is_none(fault):
    history = varied()
    wanted = LedgerRange(300, 600)
    always = {"rates": {fault: 1.0}, "in_a_row": 10**6}
    async with node(history, faults=Faults(**always)) as liar, node(history) as honest:
        async with source(liar, honest) as opened:
            await whole(opened, wanted, ONE, history)
        async with source(liar, max_retries=3) as opened:
            result = await read(opened, wanted, ONE)
            assert_exact(result, wanted, ONE, history)
            assert Reason.MISBEHAVED in result.reasons
            assert liar.url in result.gaps[0].detail


# --- the tip --------------------------------------------------------------------------------


async def test_the_last_ledger_is_read_and_nothing_beyond_it_is_asked_for():
    history = MadeHistory(varied_history(LedgerRange(1_900, 2_000), [A, B, NATIVE], seed=3), 1, 2_000)
    async with node(history) as made, source(made) as opened:
        await whole(opened, LedgerRange(1_900, 2_000), EVERY, history)
        await whole(opened, LedgerRange(2_000, 2_000), EVERY, history)
        asked = [params for name, params in made.calls if name == "getEvents"]
        assert max(params.get("endLedger", 0) for params in asked) == 2_001


async def test_ledgers_beyond_the_tip_are_named():
    history = varied()
    async with node(history) as made, source(made) as opened:
        result = await read(opened, LedgerRange(1_990, 2_010), ONE)
        assert_exact(result, LedgerRange(1_990, 2_010), ONE, history)
        assert [(gap.range, gap.reason) for gap in result.gaps] == [(LedgerRange(2_001, 2_010), Reason.BEYOND_TIP)]
        result = await read(opened, LedgerRange(3_000, 3_001), ONE)
        assert (result.windows, result.missing) == ([], RangeSet([(3_000, 3_001)]))


async def test_an_end_clamped_by_a_lagging_node_is_read_up_to_there_and_the_rest_again():
    history = MadeHistory(varied_history(LedgerRange(1_800, 2_000), [A, B, NATIVE], seed=3), 1, 2_000)
    async with node(history, faults=Faults([Fault.LAGGING, Fault.LAGGING])) as made, source(made) as opened:
        await whole(opened, LedgerRange(1_970, 2_000), EVERY, history)


async def test_a_node_whose_tip_went_back_for_good_leaves_a_gap_beyond_its_tip():
    history = varied()
    async with node(history) as made, source(made, max_retries=4) as opened:
        await opened.reach()
        made.lag = 50
        result = await read(opened, LedgerRange(1_900, 2_000), ONE)
        assert_exact(result, LedgerRange(1_900, 2_000), ONE, history)
        assert (result.missing, result.reasons) == (RangeSet([(1_951, 2_000)]), {Reason.BEYOND_TIP})


async def test_a_lagging_node_is_left_for_one_that_is_not():
    history = varied()
    async with node(history) as slow, node(history) as fast, source(slow, fast) as opened:
        await opened.reach()
        slow.lag = 50
        await whole(opened, LedgerRange(1_900, 2_000), ONE, history)


# --- retention ------------------------------------------------------------------------------


async def test_what_is_older_than_retention_is_named_and_the_rest_read():
    history = varied(oldest=500)
    async with node(history) as made, source(made) as opened:
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, history)
        assert [(g.range, g.reason) for g in result.gaps] == [(LedgerRange(300, 499), Reason.OUT_OF_RETENTION)]
        assert "500" in result.gaps[0].detail


async def test_ledgers_near_the_oldest_are_taken_only_after_reading_the_oldest_again():
    history = varied(oldest=500)
    async with node(history) as made, source(made, windows_in_flight=1) as opened:
        await opened.reach()
        before = made.count("getHealth")
        await whole(opened, LedgerRange(564, 700), EVERY, history)
        assert made.count("getHealth") == before
        await whole(opened, LedgerRange(563, 700), EVERY, history)
        assert made.count("getHealth") == before + 1


async def test_ledgers_trimmed_while_they_were_read_are_not_taken_for_empty():
    history = varied(oldest=300)
    async with node(history, faults=Faults([Fault.TRIMMED])) as made, source(made, windows_in_flight=1) as opened:
        made.trim_by = 40
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, history)
        assert (result.missing, result.reasons) == (RangeSet([(300, 339)]), {Reason.OUT_OF_RETENTION})


async def test_retention_that_passes_the_reader_between_pages_loses_no_ledger_silently():
    history = varied(oldest=300)
    faults = Faults([None, None, Fault.TRIMMED, None, Fault.TRIMMED])
    async with node(history, faults=faults) as made:
        made.trim_by = 60
        async with source(made, page_limit=20, windows_in_flight=1) as opened:
            result = await read(opened, LedgerRange(300, 800), EVERY)
            assert_exact(result, LedgerRange(300, 800), EVERY, history)
            assert result.reasons == {Reason.OUT_OF_RETENTION}
            assert result.missing.bounds.last < 420
            assert result.covered.covers(LedgerRange(420, 800))


async def test_what_one_endpoint_has_trimmed_another_serves():
    short, long = varied(oldest=600), varied()
    async with node(short) as first, node(long) as archive, source(first, archive) as opened:
        await whole(opened, LedgerRange(200, 900), EVERY, long)
        assert first.count("getEvents")
        assert archive.count("getEvents")


async def test_ledgers_trimmed_at_one_endpoint_while_read_are_read_at_another():
    short, long = varied(oldest=300), varied()
    async with node(short, faults=Faults([Fault.TRIMMED])) as first, node(long) as archive:
        first.trim_by = 40
        async with source(first, archive, windows_in_flight=1) as opened:
            await whole(opened, LedgerRange(300, 800), EVERY, long)


# --- faults ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("times", [1, 3])
async def test_a_passing_fault_costs_nothing_but_time(fault, times):
    history = varied()
    async with node(history, faults=Faults([fault] * times)) as made, source(made) as opened:
        await whole(opened, LedgerRange(150, 950), Scope.of([A, B]), history)
        assert made.faults.met[fault] == times


async def test_a_pause_that_the_node_asks_for_is_kept():
    clock = Clock()
    async with node(varied(), faults=Faults([Fault.THROTTLED])) as made, source(made, clock=clock) as opened:
        await whole(opened, LedgerRange(150, 250), ONE, made.history)
        assert max(clock.slept) == 7


async def test_no_answer_in_time_makes_the_next_question_smaller():
    history = varied()
    async with (
        node(history, faults=Faults([Fault.SLOW])) as made,
        source(made, timeout_seconds=0.2, windows_in_flight=1) as opened,
    ):
        await whole(opened, LedgerRange(101, 900), ONE, history)
        asked = [params for name, params in made.calls if name == "getEvents"]
        assert [p["endLedger"] - p["startLedger"] for p in asked[:2]] == [800, 200]


async def test_error_32001_halves_the_window_until_the_node_can():
    history = varied()
    async with node(history) as made, source(made, windows_in_flight=1) as opened:
        made.most_events_scanned = 60
        await whole(opened, LedgerRange(101, 900), ONE, history)
        asked = [params for name, params in made.calls if name == "getEvents"]
        assert [p["endLedger"] - p["startLedger"] for p in asked[:3]] == [800, 400, 200]


async def test_a_single_ledger_that_is_too_much_is_asked_for_in_smaller_pages():
    history = MadeHistory(large_transaction(500, 1, 900, A), 1, 1_000)

    def only_small(params, view, **limits):
        if params["pagination"]["limit"] > 120 and params.get("startLedger", 0) <= 500:
            raise NodeError(-32001, "request exceeded processing limit threshold")
        return get_events(params, view, **limits)

    async with node(history) as made, source(made) as opened:
        made._get_events = only_small
        await whole(opened, LedgerRange(450, 550), ONE, history)


async def test_a_node_with_a_smaller_page_limit_is_asked_for_no_more():
    history = varied()
    async with node(history) as made, source(made) as opened:
        made.max_limit = 37
        await whole(opened, LedgerRange(101, 900), ONE, history)
        limits = [params["pagination"]["limit"] for name, params in made.calls if name == "getEvents"]
        assert limits[-1] == 37
        assert limits.count(4_000) <= 4


async def test_an_answer_that_is_too_large_is_asked_for_in_smaller_pages():
    history = varied()
    async with node(history) as made, source(made, max_response_bytes=65_536) as opened:
        await whole(opened, LedgerRange(101, 900), EVERY, history)


async def test_one_ledger_that_stalls_every_node_is_a_gap_of_its_own():
    history = varied()
    async with node(history) as first, node(history) as second:
        first.poison = second.poison = frozenset({457})
        async with source(first, second, max_retries=6) as opened:
            result = await read(opened, LedgerRange(101, 900), EVERY)
            assert_exact(result, LedgerRange(101, 900), EVERY, history)
            assert (result.missing, result.reasons) == (RangeSet([(457, 457)]), {Reason.UNAVAILABLE})
            first.poison = frozenset()
            await whole(opened, LedgerRange(457, 457), EVERY, history)


async def test_the_filter_bug_of_older_nodes_loses_nothing():
    contracts = [made_contract(number) for number in range(30)]
    history = MadeHistory(varied_history(LedgerRange(200, 400), contracts, seed=9, most_per_ledger=20), 1, 500)
    async with node(history, version="27.1.0") as made, source(made) as opened:
        made.loses_filters = True
        await whole(opened, LedgerRange(150, 450), Scope.of(contracts), history)
        filters = [one for name, params in made.calls if name == "getEvents" for one in params["filters"]]
        assert {tuple(one) for one in filters} == {("contractIds",)}


async def test_a_node_found_out_to_be_old_by_its_pages_is_never_used_again():
    history = varied()

    def old(params, view, **limits):
        result = get_events(params, view, **limits)
        for event in result["events"]:
            event["pagingToken"] = event["id"]
        return result

    async with node(history, version=None) as made, node(history) as current:
        made._get_events = old
        async with source(made) as opened:
            result = await read(opened, LedgerRange(200, 900), ONE)
            assert_exact(result, LedgerRange(200, 900), ONE, history)
            assert Reason.UNSUPPORTED in result.reasons
            assert "before v23" in result.gaps[0].detail
        async with source(made, current) as opened:
            result = await whole(opened, LedgerRange(200, 900), ONE, history)


async def test_a_refused_request_is_a_gap_that_says_why():
    def refuse(params, view, **limits):
        raise NodeError(-32602, "contract ids are not allowed on the free plan")

    async with node(varied()) as made, source(made, max_retries=2) as opened:
        made._get_events = refuse
        result = await read(opened, LedgerRange(200, 900), ONE)
        assert_exact(result, LedgerRange(200, 900), ONE, made.history)
        assert result.reasons == {Reason.UNSUPPORTED}
        assert "free plan" in result.gaps[0].detail


# --- several endpoints ----------------------------------------------------------------------


async def test_a_dead_endpoint_is_left_for_the_next():
    history = varied()
    async with node(history) as made, source(DEAD, made) as opened:
        await whole(opened, LedgerRange(200, 900), ONE, history)


async def test_an_endpoint_that_dies_on_the_way_is_left_for_the_next():
    history = varied()
    dying = Faults([None, None], rates={Fault.RESET: 1.0}, in_a_row=10**6, methods=["getEvents", "getHealth"])
    async with (
        node(history, faults=dying) as first,
        node(history) as second,
        source(first, second, page_limit=50) as opened,
    ):
        await whole(opened, LedgerRange(200, 900), EVERY, history)
        assert second.count("getEvents")


async def test_with_every_endpoint_down_the_range_is_given_up_in_bounded_time():
    clock = Clock()
    faults = Faults(rates={Fault.BUSY: 1.0}, in_a_row=10**6)
    async with node(varied(latest=900_000), faults=faults) as made, source(made, DEAD, clock=clock) as opened:
        await opened.reach()
        began = clock.time
        result = await read(opened, LedgerRange(1_000, 890_000), ONE)
        assert_exact(result, LedgerRange(1_000, 890_000), ONE, made.history)
        assert result.reasons == {Reason.UNAVAILABLE}
        assert clock.time - began < 2 * 180
        assert len(result.gaps) < 20


async def test_a_source_that_never_answered_names_the_whole_range():
    async with source(DEAD, max_retries=2) as opened:
        result = await read(opened, LedgerRange(5, 10), ONE)
        assert [(gap.range, gap.reason) for gap in result.gaps] == [(LedgerRange(5, 10), Reason.UNAVAILABLE)]
        assert "http://127.0.0.1:9 cannot be reached" in result.gaps[0].detail


async def test_what_was_given_up_is_read_once_the_node_recovers():
    history = varied()
    faults = Faults(rates={Fault.INTERNAL: 1.0}, in_a_row=10**6)
    async with node(history, faults=faults) as made, source(made, max_retries=2) as opened:
        assert (await read(opened, LedgerRange(200, 900), ONE)).missing == RangeSet([(200, 900)])
        faults.rates.clear()
        await whole(opened, LedgerRange(200, 900), ONE, history)


async def test_pages_of_two_endpoints_never_meet_inside_a_ledger():
    """The second node knows one event less of the ledger: a mixture would be noticed, a whole is either."""
    full = MadeHistory(large_transaction(500, 1, 90, A), 1, 1_000)
    other = MadeHistory(large_transaction(500, 1, 89, A), 1, 1_000)
    dying = Faults([None, None, None], rates={Fault.BUSY: 1.0}, in_a_row=10**6)
    async with (
        node(full, faults=dying) as first,
        node(other) as second,
        source(first, second, page_limit=20, windows_in_flight=1) as opened,
    ):
        result = await read(opened, LedgerRange(480, 520), ONE)
        assert result.events() == other.truth


# --- many contracts, memory, closing --------------------------------------------------------


async def test_scopes_of_more_than_25_contracts_are_read_in_groups():
    contracts = [made_contract(number) for number in range(60)]
    history = MadeHistory(varied_history(LedgerRange(200, 400), contracts, seed=9, most_per_ledger=20), 1, 500)
    async with node(history) as made, source(made) as opened:
        result = await whole(opened, LedgerRange(150, 450), Scope.of(contracts), history)
        assert {len(window.scope) for window in result.windows} == {25, 10}


async def test_fees_and_events_without_a_contract_belong_to_everything():
    history = MadeHistory([*fee_events(300, 3, NATIVE), contract_event(300, 1, 0, None)], 1, 500)
    async with node(history) as made, source(made) as opened:
        result = await whole(opened, LedgerRange(250, 350), EVERY, history)
        assert {event.contract_id for event in result.events()} == {NATIVE, None}
        result = await whole(opened, LedgerRange(250, 350), Scope.of([NATIVE]), history)
        assert len(result.events()) == 4


async def test_a_window_is_cut_at_a_whole_ledger_before_it_grows_large():
    history = MadeHistory([e for n in range(100, 400) for e in large_transaction(n, 1, 7, A)], 1, 500)
    async with node(history) as made, source(made, page_limit=20, window_events=40) as opened:
        result = await whole(opened, LedgerRange(100, 400), ONE, history)
        assert max(len(window.events) for window in result.windows) <= 40 + 20 + 7


async def test_windows_grow_where_events_are_rare():
    history = MadeHistory([contract_event(30_000, 1, 0, A)], 1, 60_000)
    async with node(history) as made, source(made, windows_in_flight=1, window=100) as opened:
        await whole(opened, LedgerRange(2, 59_000), ONE, history)
        assert made.count("getEvents") < 20


async def test_closing_the_windows_stops_all_requests():
    async with node(varied(latest=900_000)) as made, source(made, max_window=10, window=10) as opened:
        windows = opened.windows(LedgerRange(100, 800_000), ONE)
        assert isinstance(await anext(windows), Window)
        await windows.aclose()
        await asyncio.sleep(0.02)  # what was sent already arrives
        before = len(made.calls)
        await asyncio.sleep(0.05)
        assert len(made.calls) == before


async def test_a_slow_consumer_holds_the_reading_back():
    async with node(varied(latest=900_000)) as made, source(made, max_window=10, window=10) as opened:
        windows = opened.windows(LedgerRange(100, 800_000), ONE)
        await anext(windows)
        await asyncio.sleep(0.1)
        assert made.count("getEvents") < 20
        await windows.aclose()
