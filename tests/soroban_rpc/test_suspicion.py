"""What one answer says is not enough, or not to be believed: twins behind one address, endless ledgers, odd numbers."""

from __future__ import annotations

import itertools
import random

import pytest

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason
from stellarstream_core.testing.rpc_history import MadeHistory, contract_event, large_transaction, varied_history
from stellarstream_core.testing.rpc_node import Fault, Faults, NodeError
from stellarstream_sandbox.get_events import get_events
from stellarstream_soroban_rpc.event_list import BadPageError
from stellarstream_soroban_rpc.failures import RetentionError, RpcError, WrongAnswerError, refined
from stellarstream_soroban_rpc.pages import Ask, get_events_params, read_get_events
from stellarstream_soroban_rpc.settings import SorobanRpcSettings
from tests.soroban_rpc.kit import NATIVE, A, B, C, assert_exact, node, read, source

EVERY = Scope.of("*")
EVENTS = varied_history(LedgerRange(290, 900), [A, B, C, NATIVE], seed=7)


def twin(oldest: int, latest: int = 2_000) -> MadeHistory:
    return MadeHistory(EVENTS, oldest, latest)


# --- two nodes behind one address ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("other", [310, 380, 420, 750])
async def test_pages_of_twins_that_trimmed_differently_never_claim_a_ledger_that_was_not_read(seed, other):
    dice = random.Random(seed)
    histories = [twin(300), twin(other)]
    async with node(histories[0]) as made, source(made, page_limit=20, windows_in_flight=1 + seed % 3) as opened:
        await opened.reach()
        made.behind = lambda: dice.choice(histories)
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, histories[0])
        assert result.reasons <= {Reason.OUT_OF_RETENTION}
        assert result.covered.covers(LedgerRange(other, 800))


@pytest.mark.parametrize("turns", list(itertools.product((0, 1), repeat=4)))
@pytest.mark.parametrize("first", [300, 500])
async def test_the_second_page_of_a_window_may_come_from_a_twin_that_has_more_or_less(first, turns):
    histories = [twin(first), twin(800 - first)]
    schedule = itertools.chain(turns, itertools.cycle([0, 1]))
    async with node(histories[0]) as made, source(made, page_limit=30, windows_in_flight=1) as opened:
        await opened.reach()
        made.behind = lambda: histories[next(schedule)]
        result = await read(opened, LedgerRange(first, 800), EVERY)
        assert_exact(result, LedgerRange(first, 800), EVERY, histories[0])
        assert result.covered.covers(LedgerRange(500, 800))


@pytest.mark.parametrize("seed", range(12))
async def test_a_twin_that_trims_while_it_reads_is_found_out_by_the_other(seed):
    dice = random.Random(seed)
    histories = [twin(300), twin(300)]
    faults = Faults(rates={Fault.TRIMMED: 0.2}, seed=seed)
    async with node(histories[0], faults=faults) as made, source(made, page_limit=25) as opened:
        await opened.reach()
        made.trim_by = 30
        made.behind = lambda: dice.choice(histories)
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, twin(300))


async def test_what_only_one_answer_calls_out_of_retention_is_asked_for_again():
    short, long = twin(600), twin(200)
    async with node(short) as made, source(made) as opened:
        await opened.reach()
        answers = iter([short])
        made.behind = lambda: next(answers, long)
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, long)
        assert not result.gaps


async def test_a_refusal_of_one_node_is_checked_with_another_answer_before_ledgers_are_given_up():
    short, long = twin(600), twin(200)
    async with node(long) as made, source(made, windows_in_flight=1, query_events="never") as opened:
        await opened.reach()
        refused = iter([short])  # the first page is asked of a node that has less
        made.behind = lambda: next(refused, long)
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, long)
        assert not result.gaps
        assert made.count("getEvents") > 1


# --- ledgers without end ------------------------------------------------------------------------


async def test_a_ledger_with_a_hundred_thousand_events_is_read_whole():
    history = MadeHistory(large_transaction(500, 1, 100_000, A), 1, 1_000)
    async with node(history) as made, source(made, page_limit=10_000, windows_in_flight=1) as opened:
        result = await read(opened, LedgerRange(490, 510), Scope.of([A]))
        assert_exact(result, LedgerRange(490, 510), Scope.of([A]), history)
        assert not result.gaps


async def test_a_ledger_with_more_events_than_a_ledger_can_have_is_a_gap_of_its_own():
    events = [contract_event(480, 1, 0, A), *large_transaction(500, 1, 13_000, A), contract_event(520, 1, 0, A)]
    history = MadeHistory(events, 1, 1_000)
    options = {"page_limit": 2_000, "max_ledger_events": 10_000}
    async with node(history) as made, node(history) as other, source(made, other, **options) as opened:
        result = await read(opened, LedgerRange(450, 550), Scope.of([A]))
        assert_exact(result, LedgerRange(450, 550), Scope.of([A]), history)
        assert [(gap.range, gap.reason) for gap in result.gaps] == [(LedgerRange(500, 500), Reason.MISBEHAVED)]
        assert "more than 10000 events in ledger 500" in result.gaps[0].detail
        assert made.count("getEvents") < 60


async def test_a_node_whose_cursor_crawls_for_ever_inside_one_ledger_is_cut_off(monkeypatch):
    monkeypatch.setattr("stellarstream_soroban_rpc.windows.PAGES_TO_SPARE", 30)
    history = MadeHistory([contract_event(480, 1, 0, A), contract_event(520, 1, 0, A)], 1, 1_000)

    def crawl(params, view, **limits):
        cursor = params["pagination"].get("cursor")
        first = int(cursor[:19]) >> 32 if cursor else params["startLedger"]
        if not first <= 500 < params.get("endLedger", 501):
            return get_events(params, view, **limits)
        k = int(cursor[20:]) + 1 if cursor and first == 500 else 0
        one = MadeHistory([contract_event(500, 1, k, A)], 1, 1_000)
        (event,) = get_events({"startLedger": 500, "pagination": {"limit": 1}}, one)["events"]
        before = get_events({**params, "endLedger": 500}, view, **limits)["events"] if first < 500 else []
        return {**get_events({"startLedger": 500}, view), "events": [*before, event], "cursor": event["id"]}

    async with node(history) as made, source(made, max_ledger_events=10_000) as opened:
        made._get_events = crawl
        result = await read(opened, LedgerRange(450, 550), Scope.of([A]))
        assert_exact(result, LedgerRange(450, 550), Scope.of([A]), history)
        assert (result.missing, result.reasons) == (RangeSet([(500, 500)]), {Reason.MISBEHAVED})
        assert "comes to no end of ledger 500" in result.gaps[0].detail
        assert made.count("getEvents") < 200


def test_the_bound_is_a_million_events_unless_it_is_set():
    assert SorobanRpcSettings().max_ledger_events == 1_000_000


# --- topics and ranges that cannot be -------------------------------------------------------------


@pytest.mark.parametrize("topic", ["", {}, None, 0, False, "AAAA", {"0": "AAAA"}])
def test_only_an_absent_key_means_no_topics(topic):
    history = MadeHistory([contract_event(50, 1, 0, A, topics=0)], 1, 100)
    asked = Ask(EVERY, 40, 60, 100)
    result = get_events(get_events_params(asked), history)
    assert "topic" not in result["events"][0]
    assert read_get_events(result, asked, 7).events == history.truth
    result["events"][0]["topic"] = topic
    with pytest.raises(BadPageError, match="topics"):
        read_get_events(result, asked, 7)
    result["events"][0]["topic"] = []
    assert read_get_events(result, asked, 7).events == history.truth


@pytest.mark.parametrize("item", [None, 5, [], {}, ""])
def test_a_topic_that_is_not_base64_text_is_refused(item):
    history = MadeHistory([contract_event(50, 1, 0, A, topics=1)], 1, 100)
    asked = Ask(EVERY, 40, 60, 100)
    result = get_events(get_events_params(asked), history)
    result["events"][0]["topic"] = [item]
    with pytest.raises(BadPageError):
        read_get_events(result, asked, 7)


@pytest.mark.parametrize(("oldest", "latest"), [(5, 2**31), (0, 9), (9, 5), (2**31, 2**32)])
@pytest.mark.parametrize(
    "words",
    [
        "startLedger must be within the ledger range: {} - {}",
        "start ledger (40) must be between the oldest ledger: {} and the latest ledger: {} for this rpc instance",
    ],
)
def test_a_refusal_that_names_an_impossible_range_is_a_wrong_answer(oldest, latest, words):
    error = RpcError("https://host.example", -32600, words.format(oldest, latest))
    assert isinstance(refined(error, 40), WrongAnswerError)
    fine = RpcError("https://host.example", -32600, words.format(50, 60))
    assert isinstance(refined(fine, 40), RetentionError)


@pytest.mark.parametrize("stale", [True, False])
async def test_an_impossible_tip_is_not_believed(stale):
    async with node(twin(300, 2**31)) as mad, node(twin(300)) as sane, source(mad, sane) as opened:
        mad.stale = stale
        assert (await opened.reach()).latest == 2_000
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert_exact(result, LedgerRange(300, 800), EVERY, sane.history)


async def test_a_refused_page_with_an_impossible_range_does_not_move_the_reach():
    def refuse(params, view, **limits):
        raise NodeError(-32600, f"startLedger must be within the ledger range: 1900 - {2**31}")

    async with node(twin(300)) as made, source(made, max_retries=2) as opened:
        made._get_events = refuse
        result = await read(opened, LedgerRange(300, 800), EVERY)
        assert result.reasons == {Reason.MISBEHAVED}
        assert (await opened.reach()).latest == 2_000
