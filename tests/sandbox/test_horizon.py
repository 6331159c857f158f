"""The sandbox's Horizon: the official SDK reads it, records have the recorded shape, the traps are there."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from dataclasses import replace
from hashlib import sha256
from itertools import islice
from typing import Any

import aiohttp
import pytest
from stellar_sdk import FeeBumpTransactionEnvelope, Server, TransactionEnvelope, xdr
from stellar_sdk.exceptions import BadRequestError, NotFoundError

from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.horizon import records
from stellarstream_sandbox.horizon.rate_limit import RateLimiter
from stellarstream_sandbox.network import SandboxNetwork
from tests.paths import fixture
from tests.sandbox.conftest import GENESIS_TIME, call
from tests.sandbox.ready import ready

CONFIG = SandboxConfig(ledgers=60, genesis_time=GENESIS_TIME, port=0, live=False)
LAST = 61


@pytest.fixture
async def network():
    async with ready(CONFIG) as running:
        yield running


class Got:
    """One answer: status, headers, and the body as JSON."""

    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def records(self) -> list[dict[str, Any]]:
        return self.body["_embedded"]["records"]


async def get(url: str, **headers: str) -> Got:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return Got(response.status, response.headers, json.loads(await response.text()))


# --- the SDK reads it ----------------------------------------------------------------------------


def everything(builder: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = builder.call()
    while page["_embedded"]["records"]:
        found += page["_embedded"]["records"]
        page = builder.next()
    return found


def read_with_the_sdk(network: SandboxNetwork) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    server = Server(network.horizon_url)
    root = server.root().call()
    assert (root["history_elder_ledger"], root["history_latest_ledger"]) == (2, LAST)
    assert root["network_passphrase"] == network.passphrase
    ledgers = everything(server.ledgers().limit(7))
    transactions = everything(server.transactions().include_failed(True).limit(200))
    successful = everything(server.transactions().include_failed(False).limit(11))
    assert successful == [one for one in transactions if one["successful"]]
    assert 0 < len(successful) < len(transactions)
    backwards = everything(server.transactions().include_failed(True).order(desc=True).limit(50))
    assert backwards == transactions[::-1]
    for ledger in ledgers:
        assert server.ledgers().ledger(ledger["sequence"]).call() == ledger
        of_ledger = everything(server.transactions().for_ledger(ledger["sequence"]).include_failed(True).limit(3))
        assert of_ledger == [one for one in transactions if one["ledger"] == ledger["sequence"]]
        counts = ledger["successful_transaction_count"], ledger["failed_transaction_count"]
        assert counts == (
            sum(one["successful"] for one in of_ledger),
            sum(not one["successful"] for one in of_ledger),
        )
        assert ledger["tx_set_operation_count"] == sum(one["operation_count"] for one in of_ledger)
        assert ledger["operation_count"] == sum(one["operation_count"] for one in of_ledger if one["successful"])
    for one in transactions[:20]:
        assert server.transactions().transaction(one["hash"]).call() == one
    with pytest.raises(NotFoundError):
        server.transactions().transaction("0" * 64).call()
    with pytest.raises(NotFoundError):
        server.ledgers().ledger(LAST + 1).call()
    with pytest.raises(BadRequestError):
        server.ledgers().limit(201).call()
    return ledgers, transactions


async def test_the_official_sdk_reads_ledgers_and_transactions_and_they_are_those_of_the_rpc(network):
    ledgers, transactions = await asyncio.to_thread(read_with_the_sdk, network)
    listed = (await call(network.url, "getLedgers", {"startLedger": 2, "pagination": {"limit": 200}}))["result"]
    assert [ledger["sequence"] for ledger in ledgers] == list(range(2, LAST + 1))
    for ours, theirs in zip(ledgers, listed["ledgers"], strict=True):
        entry = xdr.LedgerHeaderHistoryEntry.from_xdr(theirs["headerXdr"])
        assert b64decode(ours["header_xdr"]) == entry.header.to_xdr_bytes()
        assert sha256(b64decode(ours["header_xdr"])).hexdigest() == ours["hash"] == ours["id"] == theirs["hash"]
        header = entry.header
        assert ours["prev_hash"] == header.previous_ledger_hash.hash.hex()
        stroops = [int(ours[key].replace(".", "")) for key in ("total_coins", "fee_pool")]
        assert stroops == [header.total_coins.int64, header.fee_pool.int64]
        assert ours["base_fee_in_stroops"] == header.base_fee.uint32
        assert ours["base_reserve_in_stroops"] == header.base_reserve.uint32
        assert ours["max_tx_set_size"] == header.max_tx_set_size.uint32
        assert ours["protocol_version"] == header.ledger_version.uint32
    by_hash = {one["hash"]: one for one in transactions}
    count = 0
    for meta in (xdr.LedgerCloseMeta.from_xdr(one["metadataXdr"]).v2 for one in listed["ledgers"]):
        sequence = meta.ledger_header.header.ledger_seq.uint32
        for order, one in enumerate(meta.tx_processing, 1):
            record = by_hash[one.result.transaction_hash.hash.hex()]
            assert int(record["paging_token"]) == sequence << 32 | order << 12
            assert record["result_xdr"] == one.result.result.to_xdr()
            assert record["result_meta_xdr"] == one.tx_apply_processing.to_xdr()
            assert record["fee_meta_xdr"] == one.fee_processing.to_xdr()
            assert record["fee_charged"] == str(one.result.result.fee_charged.int64)
            count += 1
    assert count == len(transactions)


async def test_what_is_shown_of_an_envelope_is_what_the_sdk_reads_in_it(network):
    found = (await get(f"{network.horizon_url}/transactions?limit=200&include_failed=true")).records
    bumps = memos = 0
    for record in found:
        bump = "fee_bump_transaction" in record
        kind = FeeBumpTransactionEnvelope if bump else TransactionEnvelope
        envelope = kind.from_xdr(record["envelope_xdr"], network.passphrase)
        assert envelope.hash_hex() == record["hash"] == record["id"]
        inner = envelope.transaction.inner_transaction_envelope if bump else envelope
        assert record["source_account"] == inner.transaction.source.account_id
        assert record["source_account_sequence"] == str(inner.transaction.sequence)
        assert record["operation_count"] == len(inner.transaction.operations)
        bounds = inner.transaction.preconditions.time_bounds
        assert record["preconditions"]["timebounds"] == {
            "min_time": str(bounds.min_time),
            "max_time": str(bounds.max_time),
        }
        memo = getattr(inner.transaction.memo, "memo_text", None)
        assert record["memo_type"] == ("none" if memo is None else "text")
        assert b64decode(record.get("memo_bytes", "")) == (memo or b"") == record.get("memo", "").encode()
        memos += memo is not None
        assert [b64decode(one) for one in record["signatures"]] == [one.signature for one in envelope.signatures]
        if not bump:
            assert record["fee_account"] == record["source_account"]
            assert record["max_fee"] == str(inner.transaction.fee)
            continue
        bumps += 1
        assert record["fee_account"] == envelope.transaction.fee_source.account_id
        assert record["max_fee"] == str(envelope.transaction.to_xdr_object().fee.int64)
        assert record["fee_bump_transaction"] == {"hash": record["hash"], "signatures": record["signatures"]}
        assert record["inner_transaction"]["hash"] == inner.hash_hex()
        assert record["inner_transaction"]["max_fee"] == str(inner.transaction.fee)
        signatures = [b64decode(one) for one in record["inner_transaction"]["signatures"]]
        assert signatures == [one.signature for one in inner.signatures]
        by_inner = (await get(f"{network.horizon_url}/transactions/{inner.hash_hex()}")).body
        assert by_inner["hash"] == by_inner["id"] == inner.hash_hex()
        assert by_inner["signatures"] == record["inner_transaction"]["signatures"]
        assert by_inner["paging_token"] == record["paging_token"]
    assert bumps > 5
    assert memos > 2


# --- the recorded shape ------------------------------------------------------------------------------

NO_LONGER_SENT = {"valid_after", "valid_before"}
"""Recorded in 2024; since then only ``preconditions`` has the time bounds."""


def assert_has_shape(ours: Any, theirs: Any) -> None:
    if not isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        return
    for key, value in theirs.items():
        if key not in NO_LONGER_SENT:
            assert key in ours, key
            assert_has_shape(ours[key], value)


async def test_records_have_every_key_of_the_recorded_ones_with_the_same_type(network):
    recorded = json.loads(fixture("horizon/pages-transactions-with-meta.json").read_text())
    page = (await get(f"{network.horizon_url}/transactions?limit=200&include_failed=true")).body
    assert_has_shape(page["_links"], recorded["_links"])
    ours = page["_embedded"]["records"]
    with_memo = next(one for one in ours if "memo" in one)
    bumped = next(one for one in ours if "fee_bump_transaction" in one)
    for theirs in recorded["_embedded"]["records"]:
        assert_has_shape(bumped if "fee_bump_transaction" in theirs else with_memo, theirs)
    corpus = json.loads(fixture("horizon/horizon-corpus-transactions.json").read_text())["records"]
    for theirs in corpus:
        assert_has_shape(ours[0], theirs)
    ledgers = (await get(f"{network.horizon_url}/ledgers")).records
    for theirs in json.loads(fixture("horizon/horizon-corpus-ledgers.json").read_text())["records"]:
        assert_has_shape(ledgers[0], theirs)
        header = xdr.LedgerHeader.from_xdr(theirs["header_xdr"])
        assert type(header) is type(xdr.LedgerHeader.from_xdr(ledgers[0]["header_xdr"]))


async def test_keys_that_do_not_apply_are_left_out(network):
    found = (await get(f"{network.horizon_url}/transactions?limit=200")).records
    plain = next(one for one in found if one["memo_type"] == "none" and "inner_transaction" not in one)
    assert not {"memo", "memo_bytes", "fee_bump_transaction", "inner_transaction"} & set(plain)


# --- pages and their traps -----------------------------------------------------------------------------


async def test_links_lead_through_all_pages_in_both_directions(network):
    url = f"{network.horizon_url}/transactions?limit=30&include_failed=true"
    seen: list[str] = []
    first = page = await get(url)
    while page.records:
        seen += [one["id"] for one in page.records]
        page = await get(page.body["_links"]["next"]["href"])
    assert len(seen) == len(set(seen)) > 200
    second = await get(first.body["_links"]["next"]["href"])
    back = await get(second.body["_links"]["prev"]["href"])
    assert [one["id"] for one in back.records] == [one["id"] for one in first.records][::-1]
    empty = (await get(f"{network.horizon_url}/ledgers?cursor=now")).body
    assert empty["_embedded"]["records"] == []
    assert empty["_links"]["next"] == empty["_links"]["self"]


async def test_ten_records_are_a_page_and_failed_transactions_are_left_out_unless_asked_for(network):
    page = await get(f"{network.horizon_url}/transactions")
    assert len(page.records) == 10
    assert all(one["successful"] for one in page.records)
    assert page.headers["Content-Type"] == "application/hal+json; charset=utf-8"


async def test_an_ascending_cursor_before_history_begins_at_the_oldest_ledger_without_a_word():
    async with SandboxNetwork(replace(CONFIG, horizon_retention=19)) as network:
        root = (await get(network.horizon_url)).body
        elder = root["history_elder_ledger"]
        assert elder == LAST - 18
        for cursor in ("", str(5 << 32), str(elder << 32)):
            for path in ("ledgers", "transactions"):
                page = await get(f"{network.horizon_url}/{path}?cursor={cursor}&limit=1&include_failed=true")
                assert page.status == 200
                assert int(page.records[0]["paging_token"]) >> 32 == elder
        gone = await get(f"{network.horizon_url}/ledgers?cursor={5 << 32}&order=desc")
        assert (gone.status, gone.body["type"].rpartition("/")[2]) == (410, "before_history")
        assert (await get(f"{network.horizon_url}/ledgers/{elder - 1}")).status == 410
        assert (await get(f"{network.horizon_url}/ledgers/{elder - 1}/transactions")).status == 404
        tx_hash = network.simulation.history.archive().ledger(elder - 1).transactions()[0].hash.hex()
        assert (await get(f"{network.horizon_url}/transactions/{tx_hash}")).status == 404
        everything = (await get(f"{network.horizon_url}/ledgers?order=desc&limit=200")).records
        assert [one["sequence"] for one in everything] == list(range(LAST, elder - 1, -1))


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("ledgers?limit=201", 400, "limit"),
        ("ledgers?limit=0", 400, "limit"),
        ("ledgers?limit=x", 400, "limit"),
        ("ledgers?cursor=x", 400, "cursor"),
        ("ledgers?cursor=-5", 400, "cursor"),
        (f"transactions?cursor={2**63}", 400, "cursor"),
        (f"transactions?cursor={'9' * 5000}", 400, "cursor"),
        ("transactions?order=up", 400, "order"),
        ("transactions?include_failed=maybe", 400, "include_failed"),
        ("ledgers/x", 400, "ledger_id"),
        (f"ledgers/{2**32}/transactions", 400, "ledger_id"),
        ("transactions/XYZ", 400, "tx_id"),
        (f"transactions/{'A' * 64}", 400, "tx_id"),
        ("ledgers/62", 404, None),
        ("ledgers/62/transactions", 404, None),
        ("ledgers/1", 410, None),
        ("accounts", 404, None),
        ("ledgers/5/operations", 404, None),
    ],
)
async def test_errors_are_problems(network, path, status, field):
    got = await get(f"{network.horizon_url}/{path}")
    assert got.status == got.body["status"] == status
    assert got.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert got.body["type"].startswith("https://stellar.org/horizon-errors/")
    assert got.body["title"]
    assert got.body.get("extras", {}).get("invalid_field") == field


async def test_a_last_event_id_wins_over_the_cursor(network):
    got = await get(f"{network.horizon_url}/ledgers?cursor={9 << 32}", **{"Last-Event-ID": str(30 << 32)})
    assert got.records[0]["sequence"] == 31


async def test_other_media_types_are_not_acceptable(network):
    assert (await get(network.horizon_url, Accept="image/png")).status == 406
    assert (await get(network.horizon_url, Accept="text/event-stream")).status == 406
    assert (await get(network.horizon_url, Accept="text/html, */*;q=0.1")).status == 200


# --- limits -------------------------------------------------------------------------------------------


async def test_requests_above_the_rate_are_refused_and_told_when_to_come_back():
    config = replace(CONFIG, ledgers=3, horizon_rate=3600, horizon_burst=2)
    async with SandboxNetwork(config) as network:
        answers = [await get(network.horizon_url) for _ in range(4)]
        assert [one.status for one in answers] == [200, 200, 200, 429]
        assert [one.headers["X-RateLimit-Limit"] for one in answers] == ["3"] * 4
        assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["2", "1", "0", "0"]
        assert all(1 <= int(one.headers["X-RateLimit-Reset"]) <= 3 for one in answers)
        assert answers[-1].headers["Retry-After"] == "1"
        assert answers[-1].body["type"].endswith("/rate_limit_exceeded")
        # JSON-RPC has no such limit
        assert "result" in await call(network.url, "getHealth")


def test_the_rate_comes_back_one_request_after_the_other():
    now = [100.0]
    limiter = RateLimiter(3600, 1, lambda: now[0])
    assert [limiter.take("a").allowed for _ in range(3)] == [True, True, False]
    assert limiter.take("b").allowed
    now[0] += 1.0
    assert [limiter.take("a").allowed for _ in range(2)] == [True, False]
    now[0] += 10.0
    verdict = limiter.take("a")
    assert verdict.allowed
    assert verdict.headers == {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1"}
    assert RateLimiter(0, 0).take("a") == (True, {})


# --- streams ------------------------------------------------------------------------------------------


async def test_the_sdk_streams_what_there_is_and_then_each_ledger_as_it_closes(network):
    def stream(count: int) -> list[int]:
        server = Server(network.horizon_url)
        return [one["sequence"] for one in islice(server.ledgers().cursor(str(58 << 32)).limit(3).stream(), count)]

    reading = asyncio.create_task(asyncio.to_thread(stream, 8))
    while not reading.done():  # limit 3: the stream ends in between and the SDK goes on where it was
        await asyncio.sleep(0.05)
        network.close_ledger()
    assert await reading == list(range(59, 67))


async def raw_stream(url: str) -> bytes:
    accept = {"Accept": "text/event-stream"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=accept) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        return await response.read()


async def test_a_stream_says_hello_numbers_its_records_and_says_goodbye(network):
    raw = await raw_stream(f"{network.horizon_url}/transactions?limit=2&include_failed=true")
    hello, first, second, goodbye, rest = raw.split(b"\n\n")
    assert hello == b'retry: 1000\nevent: open\ndata: "hello"'
    assert (goodbye, rest) == (b'retry: 10\nevent: close\ndata: "byebye"', b"")
    for block in (first, second):
        name, data = block.split(b"\n")
        record = json.loads(data.removeprefix(b"data: "))
        assert name == b"id: " + record["paging_token"].encode()
        assert record == (await get(f"{network.horizon_url}/transactions/{record['hash']}")).body


async def test_streams_end_when_the_network_does_or_when_their_time_is_over(network):
    network._horizon._stream_seconds = 0.05
    raw = await raw_stream(f"{network.horizon_url}/ledgers?cursor=now")
    assert raw.count(b"data: ") == 2
    network._horizon._stream_seconds = 55.0
    reading = asyncio.create_task(raw_stream(f"{network.horizon_url}/ledgers?cursor=now"))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(0.9):
        await network.__aexit__(None, None, None)
        assert (await reading).endswith(b'data: "byebye"\n\n')


async def test_a_bad_request_for_a_stream_is_a_problem(network):
    got = await get(f"{network.horizon_url}/ledgers?limit=900", Accept="text/event-stream")
    assert (got.status, got.body["extras"]["invalid_field"]) == (400, "limit")


async def test_each_look_of_a_stream_counts_as_a_request():
    async with SandboxNetwork(replace(CONFIG, ledgers=3, horizon_rate=3600, horizon_burst=1)) as network:
        reading = asyncio.create_task(raw_stream(f"{network.horizon_url}/ledgers?cursor=now&limit=50"))
        for _ in range(3):
            await asyncio.sleep(0.05)
            network.close_ledger()
        assert (await reading).endswith(b"event: error\ndata: Rate limit exceeded\n\n")


# --- retention ----------------------------------------------------------------------------------------


async def test_horizon_has_ledgers_that_json_rpc_has_no_more():
    async with SandboxNetwork(replace(CONFIG, retention=10)) as network:
        assert (network.oldest, network.horizon_oldest) == (LAST - 9, 2)
        health = (await call(network.url, "getHealth"))["result"]
        assert (health["oldestLedger"], health["ledgerRetentionWindow"]) == (LAST - 9, 10)
        gone = await call(network.url, "getLedgers", {"startLedger": LAST - 10})
        assert gone["error"]["code"] == -32600
        old = await get(f"{network.horizon_url}/ledgers/{LAST - 10}/transactions?include_failed=true&limit=200")
        assert old.records
        unknown = await call(network.url, "getTransaction", {"hash": old.records[0]["hash"]})
        assert unknown["result"]["status"] == "NOT_FOUND"
        events = await call(network.url, "getEvents", {"startLedger": LAST - 9, "pagination": {"limit": 10_000}})
        assert {event["ledger"] for event in events["result"]["events"]} <= set(range(LAST - 9, LAST + 1))


def test_amounts_have_seven_decimals():
    assert [records._amount(stroops) for stroops in (0, 1, 10**7, 10**18 + 5)] == [
        "0.0000000",
        "0.0000001",
        "1.0000000",
        "100000000000.0000005",
    ]
