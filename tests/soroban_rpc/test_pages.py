"""What is believed of a page, and what is not."""

from __future__ import annotations

import copy
import gc
import gzip

import orjson
import pytest

from stellarstream_core.events import EventId, format_close_time
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.testing.rpc_history import MadeHistory, contract_event, fee_events, varied_history
from stellarstream_sandbox.get_events import get_events
from stellarstream_soroban_rpc.event_list import BadPageError, OldNodeError, read_events
from stellarstream_soroban_rpc.pages import (
    Ask,
    get_events_params,
    query_events_params,
    read_get_events,
    read_query_events,
)
from tests.paths import fixture
from tests.soroban_rpc.full_history import query_events
from tests.soroban_rpc.kit import NATIVE, A, B, C

EVERY = Scope.of("*")
HISTORY = MadeHistory(varied_history(LedgerRange(10, 200), [A, B, C, NATIVE], seed=5), 5, 300)


def ask(group=EVERY, first=10, last=200, limit=10_000, cursor=None) -> Ask:
    return Ask(group, first, last, limit, cursor)


def answer(asked: Ask, history=HISTORY):
    return get_events(get_events_params(asked), history)


def max_cursor(ledger: int) -> str:
    return str(EventId(ledger, 0xFFFFF, 0xFFF, 4294967295))


# --- requests -------------------------------------------------------------------------------


def test_every_filter_of_a_request_has_contract_ids_and_nothing_else():
    group = Scope(tuple(f"C{number}" for number in range(25)))
    filters = get_events_params(ask(group))["filters"]
    assert [set(one) for one in filters] == [{"contractIds"}] * 5
    assert [contract for one in filters for contract in one["contractIds"]] == list(group.members)


def test_everything_is_asked_for_without_filters():
    assert get_events_params(ask())["filters"] == []


def test_an_end_is_exclusive_and_never_at_or_before_the_start():
    params = get_events_params(ask(first=7, last=7))
    assert (params["startLedger"], params["endLedger"]) == (7, 8)


def test_a_cursor_stands_alone():
    params = get_events_params(ask(cursor="x"))
    assert "startLedger" not in params
    assert "endLedger" not in params
    assert query_events_params(ask(cursor="x")) == {"cursor": "x", "limit": 1_000, "xdrFormat": "base64"}


# --- good pages -----------------------------------------------------------------------------


def test_a_close_time_of_thousands_of_digits_is_none():
    times = {"latestLedgerCloseTime": "9" * 5_000, "oldestLedgerCloseTime": "1" * 5_000}
    page = read_get_events({**answer(ask()), **times}, ask(), 7)
    assert (page.latest_closed_at, page.oldest_closed_at) == (None, None)


def test_a_page_is_read_back_as_the_history_holds_it():
    page = read_get_events(answer(ask()), ask(), 7)
    assert page.events == HISTORY.expected(LedgerRange(10, 200), None)
    assert (page.covered, page.cursor, page.oldest, page.latest, page.size) == (200, None, 5, 300, 7)
    assert {event.contract_id for event in page.events} == {A, B, C, NATIVE, None}
    assert {len(event.topics) for event in page.events} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("ledger", [51000294, 63092988, 63092996])
def test_pubnet_ledgers_are_read_with_their_ids_and_indexes(ledger):
    lines = gzip.decompress(fixture(f"pubnet-ledgers/getEvents-expected-{ledger}.jsonl.gz").read_bytes()).splitlines()
    recorded = [orjson.loads(line) for line in lines]
    events, last = read_events(recorded, EVERY, ledger, "")
    assert [event.id for event in events] == [one["id"] for one in recorded]
    assert last == recorded[-1]["id"]
    assert len({(event.tx_hash, event.event_index) for event in events}) == len(events)
    for event, one in zip(events, recorded, strict=True):
        assert format_close_time(event.closed_at) == one["ledgerClosedAt"]
        assert event.ledger == ledger


def test_the_recorded_answer_of_version_23_is_read():
    recorded = orjson.loads(fixture("rpc/events_response_p23.json").read_bytes())["result"]
    page = read_get_events(recorded, ask(first=2081, last=2091), 0)
    assert [event.id[20:] for event in page.events] == ["0000000000", "0000000000", "0000000001", "0000000000"]
    assert [event.event_index for event in page.events] == [0x2000 << 32, 0, 1, 0x4000 << 32]
    assert (page.covered, page.cursor) == (2091, None)
    assert (page.latest_closed_at, page.oldest_closed_at) == (1751748316, 1751737888)


def test_the_recorded_answer_of_version_22_is_refused_for_its_numbering():
    recorded = orjson.loads(fixture("rpc/events_response_p22.json").read_bytes())["result"]
    with pytest.raises(OldNodeError):
        read_get_events(recorded, ask(first=356, last=400), 0)


def test_the_recorded_answer_of_an_sdk_is_refused_for_its_numbering():
    recorded = orjson.loads(fixture("rpc/responses-sorobanrpc-get_events.json").read_bytes())["result"]
    with pytest.raises(OldNodeError):
        read_get_events(recorded, ask(first=100, last=200), 0)


def test_coverage_comes_from_the_cursor_alone():
    small = ask(limit=3)
    page = read_get_events(answer(small), small, 0)
    last = EventId(*map(int, (page.events[-1].ledger, 0, 0, 0))).ledger
    assert page.covered == last - 1
    assert page.cursor == page.events[-1].id
    empty = ask(Scope.of([C]), first=201, last=250)
    assert read_get_events(answer(empty), empty, 0)[:3] == ([], 250, None)


def test_events_past_the_last_ledger_asked_for_are_cut_off():
    on = ask(last=60, cursor=HISTORY.truth[4].id)
    page = read_get_events(answer(on), on, 0)
    assert page.covered == 60
    assert page.cursor is None
    assert page.events == [event for event in HISTORY.truth[5:] if event.ledger <= 60]


def test_an_end_that_was_clamped_at_the_tip_is_not_taken_for_the_end_asked_for():
    far = ask(first=150, last=999)
    page = read_get_events(answer(far), far, 0)
    assert (page.covered, page.latest) == (300, 300)


def test_neighbours_share_what_they_have_in_common():
    history = MadeHistory([contract_event(20, 1, k, A) for k in range(3)], 5, 300)
    first, second, third = read_get_events(answer(ask(), history), ask(), 0).events
    assert first.tx_hash is second.tx_hash is third.tx_hash
    assert first.contract_id is third.contract_id
    assert first.topics[0] is third.topics[0]


def test_the_collector_is_put_off_only_while_a_page_is_parsed():
    read_get_events(answer(ask()), ask(), 0)
    assert gc.isenabled()
    with pytest.raises(BadPageError):
        read_get_events({**answer(ask()), "events": [7]}, ask(), 0)
    assert gc.isenabled()
    gc.disable()
    try:
        read_get_events(answer(ask()), ask(), 0)
        assert not gc.isenabled()
    finally:
        gc.enable()


# --- bad pages ------------------------------------------------------------------------------


def spoiled(change, group=EVERY, **options):
    asked = ask(group, **options)
    result = copy.deepcopy(answer(asked))
    replaced = change(result)
    return (result if replaced is None else replaced), asked


def bad(change, group=EVERY, **options) -> str:
    result, asked = spoiled(change, group, **options)
    with pytest.raises(BadPageError) as caught:
        read_get_events(result, asked, 0)
    return str(caught.value)


def set_in(key, value, at=0):
    def change(result):
        result["events"][at][key] = value

    return change


def drop(key, at=0):
    def change(result):
        del result["events"][at][key]

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda result: [],
        lambda result: {},
        lambda result: result.update(events={}),
        lambda result: result.update(events=[7]),
        lambda result: result.update(cursor=None),
        lambda result: result.update(cursor="7"),
        lambda result: result.update(latestLedger="300"),
        lambda result: result.update(oldestLedger=0),
        lambda result: result.update(oldestLedger=301),
        lambda result: result.update(cursor=max_cursor(8)),
        lambda result: result.update(cursor=result["events"][0]["id"]),
        lambda result: result.update(latestLedger=199, oldestLedger=5),
        set_in("id", 7),
        set_in("id", "7"),
        set_in("id", "0000000042949677056_0000000000"),
        set_in("id", "٠000000042949677056-0000000000"),
        set_in("id", "0000000042949677056-٠000000000"),
        set_in("id", "0000000042949677056-00000000 0"),
        set_in("id", "0000000042949677056-9999999999"),
        set_in("id", "9999999999999999999-0000000000"),
        set_in("id", str(EventId(9, 1, 0, 0))),
        set_in("ledger", 11, at=-1),
        set_in("ledger", "200", at=-1),
        set_in("transactionIndex", 999),
        set_in("operationIndex", 1),
        set_in("ledgerClosedAt", "yesterday"),
        set_in("ledgerClosedAt", "2023-11-14T22:13:20"),
        set_in("ledgerClosedAt", 7),
        set_in("txHash", "00"),
        set_in("txHash", "A" * 64),
        set_in("txHash", "g" * 64),
        set_in("txHash", " 0" * 32),
        set_in("type", "else"),
        set_in("contractId", "C123"),
        set_in("contractId", 7),
        set_in("topic", ["!!!!"]),
        set_in("topic", ["AAAA"]),
        set_in("topic", [""]),
        set_in("topic", [7]),
        set_in("topic", 7),
        set_in("value", "AAAAAQ"),
        set_in("value", "AAAAAQ==AAAAAQ=="),
        set_in("value", "AAAA"),
        set_in("value", ""),
        set_in("value", None),
        *(drop(key) for key in ("id", "ledger", "ledgerClosedAt", "txHash", "type", "contractId", "value")),
    ],
)
def test_a_page_that_contradicts_itself_is_refused(change):
    assert bad(change)


def test_events_twice_or_out_of_order_are_refused():
    assert "does not come after" in bad(lambda result: result["events"].insert(1, result["events"][0]))
    assert "does not come after" in bad(lambda result: result["events"].reverse())


def test_events_of_a_contract_that_was_not_asked_for_are_refused():
    assert "not asked for" in bad(set_in("contractId", B), Scope.of([A]))
    assert "not asked for" in bad(set_in("contractId", ""), Scope.of([A]))


def test_an_event_after_the_cursor_is_refused():
    assert "after its cursor" in bad(lambda result: result.update(cursor=result["events"][-2]["id"]))


def test_events_at_or_before_the_cursor_that_was_sent_are_refused():
    on = ask(cursor=HISTORY.truth[4].id)
    result = answer(on)
    result["events"].insert(0, answer(ask())["events"][4])
    with pytest.raises(BadPageError, match="does not come after"):
        read_get_events(result, on, 0)


def test_a_cursor_that_does_not_move_is_refused():
    on = ask(cursor=HISTORY.truth[4].id)
    with pytest.raises(BadPageError, match="before the place"):
        read_get_events({**answer(on), "events": [], "cursor": on.cursor}, on, 0)


def test_two_close_times_in_a_ledger_are_refused():
    history = MadeHistory([contract_event(20, 1, k, A) for k in range(2)], 5, 300)
    result = answer(ask(), history)
    result["events"][1]["ledgerClosedAt"] = "2023-11-14T22:15:01Z"
    with pytest.raises(BadPageError, match="two close times"):
        read_get_events(result, ask(), 0)


def test_two_hashes_at_one_place_are_refused_but_not_among_fees():
    fees = MadeHistory(fee_events(20, 3, NATIVE), 5, 300)
    assert len({event.tx_hash for event in read_get_events(answer(ask(), fees), ask(), 0).events}) == 4
    history = MadeHistory([contract_event(20, 1, k, A) for k in range(2)], 5, 300)
    result = answer(ask(), history)
    result["events"][1]["txHash"] = "0" * 64
    with pytest.raises(BadPageError, match="two transactions"):
        read_get_events(result, ask(), 0)


def test_an_operation_among_fees_is_no_id():
    with pytest.raises(BadPageError, match="is not an event id"):
        read_events([{"id": str(EventId(20, 0, 3, 0))}], EVERY, 1, "")


# --- queryEvents ----------------------------------------------------------------------------


def test_both_methods_give_the_same_events():
    asked = ask(Scope.of([A, C]))
    page = read_query_events(query_events(query_events_params(asked), HISTORY), asked, 0)
    assert page.events == read_get_events(answer(asked), asked, 0).events
    assert (page.covered, page.cursor, page.bounded) == (200, None, True)


def test_a_full_page_of_query_events_covers_what_it_says_it_scanned():
    small = ask(limit=3)
    result = query_events(query_events_params(small), HISTORY)
    page = read_query_events(result, small, 0)
    assert page.covered == result["scannedLedger"]
    assert page.cursor == result["cursor"]


@pytest.mark.parametrize(
    "change",
    [
        {"scanStatus": "DONE"},
        {"scannedLedger": None},
        {"scannedLedger": 8},
        {"scannedLedger": 301},
        {"scannedLedger": 150},
        {"scanStatus": "HAS_MORE", "scannedLedger": 150},
        {"events": None},
        {"latestLedger": None},
    ],
)
def test_a_query_page_that_contradicts_itself_is_refused(change):
    result = query_events(query_events_params(ask()), HISTORY)
    with pytest.raises(BadPageError):
        read_query_events({**result, **change}, ask(), 0)
