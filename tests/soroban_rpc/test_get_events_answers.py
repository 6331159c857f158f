"""The answers of getEvents, as stellar-rpc v28 gives them."""

from __future__ import annotations

import gzip

import orjson
import pytest
from stellar_sdk import scval

from stellarstream_core.events import EventId, parse_close_time
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.testing.rpc_history import (
    MadeHistory,
    contract_event,
    large_transaction,
    made_close_time,
    varied_history,
)
from stellarstream_sandbox.get_events import EventRecord, get_events
from stellarstream_sandbox.jsonrpc import JsonRpcError
from tests.paths import fixture
from tests.soroban_rpc.kit import NATIVE, A, B, C

MAX = 4294967295


def max_cursor(ledger: int) -> str:
    return str(EventId(ledger, 0xFFFFF, 0xFFF, MAX))


@pytest.fixture(scope="module")
def history() -> MadeHistory:
    return MadeHistory(varied_history(LedgerRange(10, 400), [A, B, C, NATIVE], seed=5), 5, 12_500)


def refused(params, history) -> tuple[int, str]:
    with pytest.raises(JsonRpcError) as caught:
        get_events(params, history)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("ledger", [51000294, 63092988, 63092996])
def test_a_pubnet_ledger_is_answered_as_recorded(ledger):
    lines = gzip.decompress(fixture(f"pubnet-ledgers/getEvents-expected-{ledger}.jsonl.gz").read_bytes()).splitlines()
    recorded = [orjson.loads(line) for line in lines]
    history = MadeHistory([], ledger - 10, ledger + 10)
    records = [
        EventRecord(
            one["id"],
            one["type"],
            one["contractId"],
            one["txHash"],
            parse_close_time(one["ledgerClosedAt"]),
            tuple(one.get("topic", ())),
            one["value"],
        )
        for one in recorded
    ]
    history.events = lambda first, last: iter(records if first <= ledger <= last else ())
    answered, cursor = [], None
    while cursor is None or len(answered) % 97 == 0:
        pagination = {"limit": 97} if cursor is None else {"limit": 97, "cursor": cursor}
        start = {"startLedger": ledger} if cursor is None else {}
        result = get_events({**start, "filters": [], "pagination": pagination}, history)
        answered += result["events"]
        cursor = result["cursor"]
    assert all(event.pop("inSuccessfulContractCall") for event in answered)
    assert answered == recorded
    assert cursor == max_cursor(ledger + 10)


def test_an_answer_has_numbers_and_strings_where_the_node_has_them(history):
    result = get_events({"startLedger": 10}, history)
    assert result["latestLedger"] == 12_500
    assert result["oldestLedger"] == 5
    assert result["latestLedgerCloseTime"] == str(made_close_time(12_500))
    assert result["oldestLedgerCloseTime"] == str(made_close_time(5))
    assert len(result["events"]) == 100, "the default limit"
    event = result["events"][0]
    assert type(event["ledger"]) is int
    assert event["ledgerClosedAt"].endswith("Z")
    assert "pagingToken" not in event


def test_an_event_without_topics_has_no_topic_key(history):
    events = get_events({"startLedger": 10, "pagination": {"limit": 10_000}}, history)["events"]
    assert {len(event.get("topic", ())) for event in events} == {0, 1, 2, 3, 4}
    assert all("topic" not in event or event["topic"] for event in events)


def test_an_event_without_contract_has_an_empty_contract_id(history):
    events = get_events({"startLedger": 10, "pagination": {"limit": 10_000}}, history)["events"]
    assert "" in {event["contractId"] for event in events}


def test_a_full_page_ends_with_its_last_event_and_a_short_one_with_the_window(history):
    full = get_events({"startLedger": 10, "pagination": {"limit": 3}}, history)
    assert full["cursor"] == full["events"][-1]["id"]
    short = get_events({"startLedger": 10, "endLedger": 12, "pagination": {"limit": 1_000}}, history)
    assert short["cursor"] == max_cursor(11)
    assert {event["ledger"] for event in short["events"]} <= {10, 11}


def test_a_page_scans_ten_thousand_ledgers_and_no_ledger_past_the_tip(history):
    assert get_events({"startLedger": 500}, history)["cursor"] == max_cursor(10_499)
    assert get_events({"startLedger": 12_000, "endLedger": 99_999}, history)["cursor"] == max_cursor(12_500)


def test_an_end_before_the_start_is_no_error_and_points_backwards(history):
    result = get_events({"startLedger": 200, "endLedger": 150}, history)
    assert result["events"] == []
    assert result["cursor"] == max_cursor(149)


def test_a_cursor_goes_on_right_after_its_event_and_forgets_the_end(history):
    whole = get_events({"startLedger": 10, "endLedger": 60, "pagination": {"limit": 10_000}}, history)["events"]
    first = get_events({"startLedger": 10, "endLedger": 60, "pagination": {"limit": 4}}, history)
    rest = get_events({"pagination": {"limit": 10_000, "cursor": first["cursor"]}}, history)
    assert first["events"] + rest["events"][: len(whole) - 4] == whole
    assert rest["events"][-1]["ledger"] > 60
    assert rest["cursor"] == max_cursor(first["events"][-1]["ledger"] + 9_999)


def test_the_greatest_cursor_wraps_and_loses_nothing():
    history = MadeHistory([contract_event(7, 1, 0, A), contract_event(8, 1, 0, A)], 1, 9)
    result = get_events({"pagination": {"cursor": max_cursor(7)}}, history)
    assert [event["ledger"] for event in result["events"]] == [8]
    at_the_tip = get_events({"pagination": {"cursor": max_cursor(9)}}, history)
    assert (at_the_tip["events"], at_the_tip["cursor"]) == ([], max_cursor(9))


def test_pages_go_through_a_transaction_of_four_thousand_events():
    history = MadeHistory(large_transaction(50, 2, 4_000, A), 1, 60)
    result = get_events({"startLedger": 50, "pagination": {"limit": 1_500}}, history)
    ids = [event["id"] for event in result["events"]]
    while len(result["events"]) == 1_500:
        result = get_events({"pagination": {"limit": 1_500, "cursor": result["cursor"]}}, history)
        ids += [event["id"] for event in result["events"]]
    assert ids == [event.id for event in history.truth]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({}, -32602, "startLedger must be positive"),
        ({"startLedger": 4}, -32600, "startLedger must be within the ledger range: 5 - 12500"),
        ({"startLedger": 12_501}, -32600, "startLedger must be within the ledger range: 5 - 12500"),
        (
            {"pagination": {"cursor": max_cursor(12_501)}},
            -32600,
            "startLedger must be within the ledger range: 5 - 12500",
        ),
        (
            {"startLedger": 9, "pagination": {"cursor": max_cursor(9)}},
            -32602,
            "ledger ranges and cursor cannot both be set",
        ),
        (
            {"endLedger": 9, "pagination": {"cursor": max_cursor(9)}},
            -32602,
            "ledger ranges and cursor cannot both be set",
        ),
        ({"startLedger": 9, "pagination": {"limit": 10_001}}, -32602, "limit must not exceed 10000"),
        ({"startLedger": 9, "pagination": {"cursor": "x"}}, -32602, "invalid event id x"),
        ({"startLedger": 9, "filters": [{}] * 6}, -32602, "maximum 5 filters per request"),
        (
            {"startLedger": 9, "filters": [{}, {"contractIds": [A] * 6}]},
            -32602,
            "filter 2 invalid: maximum 5 contract IDs per filter",
        ),
        ({"startLedger": 9, "filters": [{"contractIds": ["C"]}]}, -32602, "filter 1 invalid: contract ID 1 invalid"),
        (
            {"startLedger": 9, "filters": [{"type": "diagnostic"}]},
            -32602,
            "filter 1 invalid: filter type invalid: if set, type must be either 'system' or 'contract'",
        ),
        (
            {"startLedger": 9, "filters": [{"topics": [["*"]] * 6}]},
            -32602,
            "filter 1 invalid: maximum 5 topics per filter",
        ),
        (
            {"startLedger": 9, "filters": [{"topics": [[]]}]},
            -32602,
            "filter 1 invalid: topic 1 invalid: topic must have at least 1 segment",
        ),
        (
            {"startLedger": 9, "filters": [{"topics": [["*"] * 5]}]},
            -32602,
            "filter 1 invalid: topic 1 invalid: topic cannot have more than 4 segments",
        ),
        (
            {"startLedger": 9, "filters": [{"topics": [["*"], ["*", "**", "*"]]}]},
            -32602,
            "filter 1 invalid: topic 2 invalid: segment 2 invalid: wildcard '**' is only allowed as the last segment",
        ),
        (
            {"startLedger": 9, "xdrFormat": "xml"},
            -32602,
            "got 'xml': expected base64, json for optional 'xdrFormat'",
        ),
    ],
)
def test_a_bad_request_is_refused_in_the_nodes_words(history, params, code, message):
    assert refused(params, history) == (code, message)


@pytest.mark.parametrize(
    "params",
    [
        {"startLedger": "9"},
        {"startLedger": 9.5},
        {"startLedger": -1},
        {"startLedger": True},
        {"startLedger": 2**32},
        {"startLedger": 9, "pagination": []},
        {"startLedger": 9, "filters": {}},
        {"startLedger": 9, "filters": ["x"]},
        {"startLedger": 9, "filters": [{"contractIds": [7]}]},
        {"startLedger": 9, "filters": [{"topics": [["not base64"]]}]},
        {"startLedger": 9, "filters": [{"topics": [["AAAA"]]}]},
        {"startLedger": 9, "xdrFormat": "json"},
    ],
)
def test_what_is_of_the_wrong_type_is_invalid(history, params):
    assert refused(params, history)[0] == -32602


def test_a_node_without_ledgers_says_so():
    assert refused({"startLedger": 1}, MadeHistory([], 0, 0)) == (-32603, "DB is empty")


@pytest.mark.parametrize(
    ("filters", "admits"),
    [
        ([], lambda event: True),
        (None, lambda event: True),
        ([{}], lambda event: True),
        ([{"type": "system"}], lambda event: event["type"] == "system"),
        ([{"type": "system,contract"}], lambda event: True),
        ([{"contractIds": [A, B]}], lambda event: event["contractId"] in {A, B}),
        (
            [{"contractIds": [A], "type": "system"}, {"contractIds": [C]}],
            lambda event: (event["contractId"] == A and event["type"] == "system") or event["contractId"] == C,
        ),
        ([{"topics": [["*"]]}], lambda event: len(event.get("topic", ())) == 1),
        ([{"topics": [["*", "**"]]}], lambda event: len(event.get("topic", ())) >= 1),
        ([{"topics": [["**"]]}], lambda event: True),
        ([{"topics": [["*"], ["*", "*", "*"]]}], lambda event: len(event.get("topic", ())) in {1, 3}),
    ],
)
def test_filters_and_inside_and_or_across(history, filters, admits):
    every = get_events({"startLedger": 10, "pagination": {"limit": 10_000}}, history)["events"]
    found = get_events({"startLedger": 10, "filters": filters, "pagination": {"limit": 10_000}}, history)["events"]
    assert found == [event for event in every if admits(event)]


def test_a_topic_is_matched_by_its_bytes_at_its_place(history):
    every = get_events({"startLedger": 10, "pagination": {"limit": 10_000}}, history)["events"]
    second = next(event["topic"][1] for event in every if len(event.get("topic", ())) > 1)
    found = get_events(
        {"startLedger": 10, "filters": [{"topics": [["*", second, "**"]]}], "pagination": {"limit": 10_000}}, history
    )
    assert found["events"] == [event for event in every if second in event.get("topic", [])[1:2]]
    other = scval.to_symbol("nothing_is_so").to_xdr()
    assert get_events({"startLedger": 10, "filters": [{"topics": [[other, "**"]]}]}, history)["events"] == []
