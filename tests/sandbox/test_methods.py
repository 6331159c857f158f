"""Every method answers as stellar-rpc v28 does, its traps included."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

import pytest
from stellar_sdk import xdr

from stellarstream_core.settings import NETWORKS
from stellarstream_sandbox import methods
from stellarstream_sandbox.get_events import get_events
from stellarstream_sandbox.history import HistorySnapshot
from stellarstream_sandbox.jsonrpc import JsonRpcError
from tests.sandbox.conftest import CONFIG

FIRST, TIP = 2, 161
EMPTY = HistorySnapshot([])


def toid(ledger: int, order: int, operation: int = 1) -> str:
    return str(ledger << 32 | order << 12 | operation)


def refused(method, params, history, **more) -> tuple[int, str]:
    with pytest.raises(JsonRpcError) as caught:
        method(params, history, **more)
    return caught.value.code, caught.value.message


# --- getHealth ----------------------------------------------------------------------------------


def health(history, silence=0.0):
    return methods.get_health({}, history, retention=CONFIG.retention, silence=silence, max_silence=30)


def test_health_tells_the_range_with_close_times_as_strings(history):
    assert health(history) == {
        "status": "healthy",
        "latestLedger": TIP,
        "latestLedgerCloseTime": str(CONFIG.close_time_of(TIP)),
        "oldestLedger": FIRST,
        "oldestLedgerCloseTime": str(CONFIG.close_time_of(FIRST)),
        "ledgerRetentionWindow": 17_280,
    }


@pytest.mark.parametrize(("silence", "text"), [(31, "31s"), (75, "1m15s"), (7205, "2h0m5s")])
def test_health_is_an_error_when_ledgers_stop(history, silence, text):
    with pytest.raises(JsonRpcError) as caught:
        health(history, silence)
    assert caught.value.code == -32603
    assert caught.value.message == f"latency ({text}) since last known ledger closed is too high (>30s)"


def test_health_is_an_error_before_the_first_ledger():
    with pytest.raises(JsonRpcError) as caught:
        health(EMPTY)
    assert (caught.value.code, caught.value.message) == (-32603, "data stores are not initialized: DB is empty")


# --- getNetwork, getVersionInfo, getLatestLedger -------------------------------------------------


def test_network_tells_the_passphrase_and_no_friendbot():
    answer = methods.get_network({}, passphrase=CONFIG.passphrase)
    assert answer == {"passphrase": NETWORKS["sandbox"].passphrase, "protocolVersion": 28}


def test_version_tells_what_is_simulated_and_that_it_is():
    answer = methods.get_version_info({})
    assert set(answer) == {"version", "commitHash", "buildTimestamp", "captiveCoreVersion", "protocolVersion"}
    assert answer["version"] == "28.0.0"
    assert "simulation" in answer["captiveCoreVersion"]


def test_latest_ledger_has_a_bare_header(history, ledgers):
    answer = methods.get_latest_ledger({}, history)
    assert answer["sequence"] == TIP
    assert answer["closeTime"] == str(ledgers[-1].close_time)
    header = b64decode(answer["headerXdr"])
    assert sha256(header).hexdigest() == answer["id"] == ledgers[-1].hash.hex()
    assert xdr.LedgerHeader.from_xdr_bytes(header).ledger_seq.uint32 == TIP
    assert b64decode(answer["metadataXdr"]) == ledgers[-1].meta


# --- getLedgers -----------------------------------------------------------------------------------


def test_ledgers_have_their_header_with_its_hash(history, ledgers):
    answer = methods.get_ledgers({"startLedger": 7, "pagination": {"limit": 1}}, history)
    (ledger,) = answer["ledgers"]
    entry = xdr.LedgerHeaderHistoryEntry.from_xdr(ledger["headerXdr"])
    assert entry.hash.hash.hex() == ledger["hash"] == ledgers[5].hash.hex()
    assert entry.header.ledger_seq.uint32 == ledger["sequence"] == 7
    assert b64decode(ledger["metadataXdr"]) == ledgers[5].meta


def test_ledgers_mix_times_as_strings_and_numbers(history):
    answer = methods.get_ledgers({"startLedger": FIRST, "pagination": {"limit": 1}}, history)
    assert answer["ledgers"][0]["ledgerCloseTime"] == str(CONFIG.close_time_of(FIRST))
    assert answer["latestLedgerCloseTime"] == CONFIG.close_time_of(TIP)
    assert answer["oldestLedgerCloseTime"] == CONFIG.close_time_of(FIRST)
    assert (answer["oldestLedger"], answer["latestLedger"]) == (FIRST, TIP)


@pytest.mark.parametrize(("pagination", "count"), [(None, 50), ({}, 50), ({"limit": 0}, 50), ({"limit": 200}, 160)])
def test_ledgers_come_by_fifty_and_at_most_two_hundred(history, pagination, count):
    answer = methods.get_ledgers({"startLedger": FIRST, "pagination": pagination}, history)
    assert [ledger["sequence"] for ledger in answer["ledgers"]] == list(range(FIRST, FIRST + count))
    assert answer["cursor"] == str(FIRST + count - 1)


def test_ledgers_go_on_after_the_cursor(history):
    answer = methods.get_ledgers({"pagination": {"cursor": "10", "limit": 2}}, history)
    assert [ledger["sequence"] for ledger in answer["ledgers"]] == [11, 12]
    assert answer["cursor"] == "12"


def test_the_cursor_that_ledgers_give_at_the_tip_is_refused(history):
    cursor = methods.get_ledgers({"startLedger": TIP}, history)["cursor"]
    assert cursor == str(TIP)
    assert refused(methods.get_ledgers, {"pagination": {"cursor": cursor}}, history) == (
        -32602,
        f"cursor ('{TIP}') must be between the oldest ledger: {FIRST} and the latest ledger: {TIP}"
        " for this rpc instance",
    )


@pytest.mark.parametrize("start", [0, 1, TIP + 1])
def test_ledgers_outside_the_range_are_refused(history, start):
    assert refused(methods.get_ledgers, {"startLedger": start}, history) == (
        -32600,
        f"start ledger ({start}) must be between the oldest ledger: {FIRST} and the latest ledger: {TIP}"
        " for this rpc instance",
    )


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (
            {"startLedger": 5, "pagination": {"cursor": "5"}},
            -32600,
            "startLedger (5) and cursor (5) cannot both be set",
        ),
        ({"startLedger": 5, "pagination": {"limit": 201}}, -32600, "limit must not exceed 200"),
        ({"startLedger": 5, "xdrFormat": "yaml"}, -32600, "got 'yaml': expected base64, json for optional 'xdrFormat'"),
        ({"pagination": {"cursor": "x"}}, -32602, 'strconv.ParseUint: parsing "x": invalid syntax'),
        ({"pagination": {"cursor": "-1"}}, -32602, 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ({"pagination": {"cursor": str(2**32)}}, -32602, f'strconv.ParseUint: parsing "{2**32}": value out of range'),
        ({"startLedger": "5"}, -32602, "invalid parameters: startLedger must be an unsigned 32-bit number"),
        ({"startLedger": -5}, -32602, "invalid parameters: startLedger must be an unsigned 32-bit number"),
        ({"startLedger": True}, -32602, "invalid parameters: startLedger must be an unsigned 32-bit number"),
        ({"startLedger": 5, "pagination": []}, -32602, "invalid parameters: pagination must be an object"),
        ({"pagination": {"cursor": 5}}, -32602, "invalid parameters: cursor must be a string"),
    ],
)
def test_bad_requests_for_ledgers_are_refused(history, params, code, message):
    assert refused(methods.get_ledgers, params, history) == (code, message)


def test_two_faults_of_one_request_are_told_together(history):
    code, message = refused(methods.get_ledgers, {"startLedger": 0, "xdrFormat": "yaml"}, history)
    assert code == -32600
    assert [line.split()[0] for line in message.splitlines()] == ["start", "got"]


def test_json_is_refused_in_words_and_never_silently(history):
    for method, params in (
        (methods.get_ledgers, {"startLedger": 5}),
        (methods.get_transactions, {"startLedger": 5}),
        (get_events, {"startLedger": 5}),
    ):
        code, message = refused(method, {**params, "xdrFormat": "json"}, history)
        assert code == -32602
        assert "json" in message


# --- getTransactions --------------------------------------------------------------------------------


def test_transactions_come_with_everything_in_apply_order(history, ledgers):
    answer = methods.get_transactions({"startLedger": 9, "pagination": {"limit": 200}}, history)
    mine = [one for one in answer["transactions"] if one["ledger"] == 9]
    assert [one["applicationOrder"] for one in mine] == list(range(1, len(mine) + 1))
    results = xdr.TransactionResultSet(
        [
            xdr.TransactionResultPair(
                xdr.Hash(bytes.fromhex(one["txHash"])), xdr.TransactionResult.from_xdr(one["resultXdr"])
            )
            for one in mine
        ]
    )
    header = xdr.LedgerHeader.from_xdr_bytes(ledgers[7].header)
    assert sha256(results.to_xdr_bytes()).digest() == header.tx_set_result_hash.hash


def test_transactions_have_their_events_apart(history):
    seen = set()
    answer = methods.get_transactions({"startLedger": FIRST, "pagination": {"limit": 200}}, history)
    for one in answer["transactions"]:
        meta = xdr.TransactionMeta.from_xdr(one["resultMetaXdr"]).v4
        assert [xdr.TransactionEvent.from_xdr(raw) for raw in one["events"]["transactionEventsXdr"]] == meta.events
        seen.add((one["status"], "contractEventsXdr" in one["events"], "diagnosticEventsXdr" in one))
        if one["status"] == "SUCCESS":
            operations = [[event.to_xdr() for event in operation.events] for operation in meta.operations]
            assert one["events"]["contractEventsXdr"] == operations
    # failed ones have no operations, and those that failed in a contract have diagnostics
    assert seen == {("SUCCESS", True, False), ("FAILED", False, False), ("FAILED", False, True)}


def test_transactions_have_times_as_numbers_under_other_names(history):
    answer = methods.get_transactions({"startLedger": 3, "pagination": {"limit": 1}}, history)
    assert answer["latestLedgerCloseTimestamp"] == CONFIG.close_time_of(TIP)
    assert answer["oldestLedgerCloseTimestamp"] == CONFIG.close_time_of(FIRST)
    assert answer["transactions"][0]["createdAt"] == CONFIG.close_time_of(3)


def test_the_cursor_is_the_toid_of_the_last_transaction(history):
    answer = methods.get_transactions({"startLedger": 3, "pagination": {"limit": 1}}, history)
    assert answer["cursor"] == toid(3, 1)
    assert len(methods.get_transactions({"startLedger": FIRST}, history)["transactions"]) == 50


def test_paging_by_cursor_gives_each_transaction_once(history, ledgers):
    wanted = [(ledger.sequence, one.hash.hex()) for ledger in ledgers for one in ledger.transactions]
    found = []
    params = {"startLedger": FIRST, "pagination": {"limit": 7}}
    while len(found) < len(wanted):
        answer = methods.get_transactions(params, history)
        found += [(one["ledger"], one["txHash"]) for one in answer["transactions"]]
        params = {"pagination": {"limit": 7, "cursor": answer["cursor"]}}
    assert found == wanted


def test_a_caught_up_cursor_asks_for_the_whole_tip_again(history, ledgers):
    count = len(ledgers[-1].transactions)
    caught_up = methods.get_transactions({"pagination": {"cursor": toid(TIP, count)}}, history)
    assert caught_up["transactions"] == []
    assert caught_up["cursor"] == toid(TIP, 0)
    again = methods.get_transactions({"pagination": {"cursor": caught_up["cursor"]}}, history)
    assert len(again["transactions"]) == count


def test_a_cursor_past_the_tip_ends_in_one_that_leads_nowhere(history):
    past = methods.get_transactions({"pagination": {"cursor": toid(TIP + 1, 0)}}, history)
    assert past["transactions"] == []
    assert past["cursor"] == "0"
    assert refused(methods.get_transactions, {"pagination": {"cursor": "0"}}, history) == (
        -32602,
        "database does not contain metadata for ledger: 0",
    )


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (
            {"startLedger": TIP + 1},
            -32600,
            f"start ledger must be between the oldest ledger: {FIRST} and the latest ledger: {TIP}"
            " for this rpc instance",
        ),
        ({"startLedger": 5, "pagination": {"cursor": "5"}}, -32600, "startLedger and cursor cannot both be set"),
        ({"startLedger": 5, "pagination": {"limit": 201}}, -32600, "limit must not exceed 200"),
        ({"startLedger": 5, "xdrFormat": "yaml"}, -32600, "got 'yaml': expected base64, json for optional 'xdrFormat'"),
        ({"pagination": {"cursor": "x"}}, -32602, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"pagination": {"cursor": str(2**63)}}, -32602, f'strconv.ParseInt: parsing "{2**63}": value out of range'),
        ({"pagination": {"cursor": "-4294967296"}}, -32602, "cursor ledger sequence cannot be negative"),
        ({"pagination": {"cursor": toid(1, 1)}}, -32602, "database does not contain metadata for ledger: 1"),
    ],
)
def test_bad_requests_for_transactions_are_refused(history, params, code, message):
    assert refused(methods.get_transactions, params, history) == (code, message)


# --- getTransaction ----------------------------------------------------------------------------------


def test_a_transaction_is_found_by_its_hash_with_its_time_as_a_string(simulation, history):
    listed = methods.get_transactions({"startLedger": 9, "pagination": {"limit": 1}}, history)["transactions"][0]
    ledger = simulation.history.transaction_ledger(listed["txHash"])
    assert ledger == 9
    answer = methods.get_transaction({"hash": listed["txHash"]}, history, ledger)
    assert answer["createdAt"] == str(listed.pop("createdAt"))
    assert listed.items() <= answer.items()
    assert answer["latestLedgerCloseTime"] == str(CONFIG.close_time_of(TIP))
    assert answer["oldestLedgerCloseTime"] == str(CONFIG.close_time_of(FIRST))


def test_an_unknown_transaction_is_no_error(simulation, history):
    tx_hash = "AB" * 32
    assert simulation.history.transaction_ledger(tx_hash.lower()) is None
    answer = methods.get_transaction({"hash": tx_hash}, history, None)
    assert (answer["status"], answer["txHash"]) == ("NOT_FOUND", tx_hash)
    assert (answer["ledger"], answer["createdAt"], answer["applicationOrder"]) == (0, "0", 0)
    assert not {"envelopeXdr", "resultXdr", "resultMetaXdr"} & set(answer)


def test_a_fee_bump_is_found_by_its_outer_hash_only(simulation, history, ledgers):
    bumped = next(one for ledger in ledgers for one in ledger.transactions if one.is_fee_bump)
    inner = xdr.TransactionResult.from_xdr_bytes(bumped.result).result.inner_result_pair.transaction_hash.hash
    assert simulation.history.transaction_ledger(inner.hex()) is None
    ledger = simulation.history.transaction_ledger(bumped.hash.hex())
    assert methods.get_transaction({"hash": bumped.hash.hex()}, history, ledger)["feeBump"] is True


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "unexpected hash length (0)"),
        ({"hash": "ab"}, "unexpected hash length (2)"),
        ({"hash": "x" * 64}, "incorrect hash: encoding/hex: invalid byte: U+0078 'x'"),
        ({"hash": "a" * 65}, "incorrect hash: encoding/hex: odd length hex string"),
        ({"hash": "a" * 64, "xdrFormat": "yaml"}, "got 'yaml': expected base64, json for optional 'xdrFormat'"),
        ({"hash": 5}, "invalid parameters: hash must be a string"),
    ],
)
def test_bad_hashes_are_refused(history, params, message):
    assert refused(methods.get_transaction, params, history, ledger=None) == (-32602, message)


# --- getEvents over this history (its own rules have tests of their own) -------------------------------


def test_events_of_pages_are_those_of_the_ledgers(history, ledgers):
    wanted = [event.id for ledger in ledgers for event in ledger.events]
    found = []
    params = {"startLedger": FIRST, "pagination": {"limit": 100}}
    while True:
        answer = get_events(params, history)
        found += [event["id"] for event in answer["events"]]
        if len(answer["events"]) < 100:
            break
        params = {"pagination": {"cursor": answer["cursor"], "limit": 100}}
    assert found == wanted
    assert answer["cursor"] == f"{(TIP + 1 << 32) - 1:019d}-4294967295"


def test_a_large_transaction_is_split_by_pages_inside_it(simulation, history):
    filters = [{"type": "contract", "contractIds": [simulation.contracts["airdrop"]]}]
    first = get_events({"startLedger": 50, "endLedger": 51, "filters": filters, "pagination": {"limit": 25}}, history)
    assert len(first["events"]) == 25
    rest = get_events({"filters": filters, "pagination": {"cursor": first["cursor"], "limit": 15}}, history)
    hashes = {event["txHash"] for event in first["events"] + rest["events"]}
    assert len(hashes) == 1
    assert len(rest["events"]) == 15


def test_a_topicless_event_has_no_topic_key(simulation, history):
    filters = [{"contractIds": [simulation.contracts["silent"]]}]
    events = get_events({"startLedger": FIRST, "filters": filters}, history)["events"]
    assert events
    assert not any("topic" in event for event in events)


def test_a_type_filter_drops_system_events(simulation, history):
    contracts = [simulation.contracts["counter"], simulation.contracts["streams-v1"]]

    def types(**more):
        params = {
            "startLedger": FIRST,
            "filters": [{"contractIds": contracts, **more}],
            "pagination": {"limit": 10_000},
        }
        return {event["type"] for event in get_events(params, history)["events"]}

    assert types() == {"contract", "system"}
    assert types(type="contract") == {"contract"}
    assert types(type="system") == {"system"}


@pytest.mark.parametrize("method", [methods.get_ledgers, methods.get_transactions, get_events])
def test_without_a_ledger_every_reading_is_an_error(method):
    assert refused(method, {"startLedger": 2}, EMPTY) == (-32603, "DB is empty")
