"""``/streams``: what is promised of a stream and of lists, over HTTP, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stellarstream_core.api.models import MOST_ITEMS
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_nebula.model import Curve, StreamFacts
from stellarstream_nebula.stored import write_facts
from tests.api.kit import Running
from tests.nebula.ledgers import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    DAVE,
    FAMILIES,
    GEM,
    ONE,
    START,
    THREE,
    TWO,
    Ledgers,
    project,
    store,
)

BASE = "/api/v1"
PROMISED = {
    "id", "streamId", "contractId", "version", "sender", "receiver", "beneficiary", "tokenAddress", "amount",
    "duration", "startTime", "cliffTime", "endTime", "status", "withdrawn", "unlocked", "withdrawable", "yieldEnabled",
    "accruedInterest", "createdAt", "txHash", "createdLedger", "updatedLedger", "asOfLedger",
}  # fmt: skip


def rfc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


LEDGERS = Ledgers()
LEDGERS.create(TWO, 0, ALICE, BOB, COIN, 1_000, lasts=1_000, memo="rent")
LEDGERS.create(TWO, 1, ALICE, CAROL, GEM, 2_000, lasts=10)
LEDGERS.create(THREE, 0, CAROL, DAVE, COIN, 3_000, lasts=1_000)
LEDGERS.create_v1(ONE, 0, BOB, ALICE, COIN, 4_000)
LEDGERS.claim(TWO, 0, 5, 5)
LEDGERS.beneficiary(THREE, 0, DAVE, ALICE)
"""Streams of three contracts: two of Alice's, one of Carol's, and one of V1."""
EVENTS = LEDGERS.events
LAST = LEDGERS.ledger + 4
FACTS = StreamFacts(ledger=LEDGERS.ledger, curve=Curve.LINEAR, withdrawn=5, beneficiary=BOB)


def fill(storage) -> None:
    store(storage, EVENTS, START, LAST)
    project(storage)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request, store_of, standing) -> Running:
    """An API over these streams, which no test changes."""
    storage = store_of(request.param)
    fill(storage)
    storage.write(lambda database: write_facts(database, f"{TWO}-0", FACTS))
    return standing(storage)


def ids(api: Running, target: str) -> list[str]:
    said = api.get(BASE + target)
    assert said.status == 200, said.body
    return [item["id"] for item in said.json["items"]]


@pytest.fixture
async def ask(api_of, database_url, client, storage):
    """Return a coroutine that asks an API over a store of the test's own, and returns status, headers and JSON."""
    own = await api_of(database_url)

    async def get(path: str, **headers: str):
        async with client.get(f"{own.url}{BASE}{path}", headers=headers) as answer:
            return answer.status, answer.headers, await answer.json() if answer.status != 304 else None

    return get


# --- one --------------------------------------------------------------------------------------------


def test_a_stream_has_every_promised_field_as_of_the_close_time_of_its_ledger(api):
    said = api.get(f"{BASE}/streams/{TWO}-0")
    assert said.status == 200
    body = said.json
    assert set(body) >= PROMISED
    start, now = EVENTS[0].closed_at, made_close_time(LAST)
    expected = {
        "id": f"{TWO}-0", "streamId": "0", "contractId": TWO, "version": "v2", "sender": ALICE, "receiver": BOB,
        "beneficiary": BOB, "tokenAddress": COIN, "amount": "1000", "duration": 1_000, "startTime": rfc(start),
        "cliffTime": rfc(start), "endTime": rfc(start + 1_000), "status": "ACTIVE", "withdrawn": "5", "memo": "rent",
        "createdAt": rfc(start), "txHash": EVENTS[0].tx_hash, "createdLedger": EVENTS[0].ledger,
        "updatedLedger": EVENTS[4].ledger, "stateLedger": FACTS.ledger, "accruedInterest": None, "yieldEnabled": False,
        "unlocked": str(now - start), "withdrawable": str(now - start - 5), "curve": "linear", "asOfLedger": LAST,
        "complete": True, "penaltyBps": 0, "splitAddress": None, "splitBps": 0, "frozen": False, "soulbound": False,
        "grossAmount": None,
    }  # fmt: skip
    assert {name: body[name] for name in expected} == expected


def test_what_neither_events_nor_the_chain_tell_is_null(api):
    body = api.get(f"{BASE}/streams/{ONE}-0").json
    assert (body["version"], body["status"], body["beneficiary"]) == ("v1", "ACTIVE", ALICE)
    for name in ("unlocked", "withdrawable", "cliffTime", "curve", "yieldEnabled", "stateLedger"):
        assert body[name] is None, name


def test_another_moment_shows_other_amounts_and_status_and_no_other_terms(api):
    start = EVENTS[0].closed_at
    for later, unlocked, status in ((0, 0, "ACTIVE"), (400, 400, "ACTIVE"), (1_000, 1_000, "COMPLETED")):
        body = api.get(f"{BASE}/streams/{TWO}-0?at={rfc(start + later)}").json
        assert (body["unlocked"], body["status"], body["withdrawn"]) == (str(unlocked), status, "5")
    for wrong in ("yesterday", "1", "2026-01-01", "2026-01-01T00:00:00"):
        assert api.get(f"{BASE}/streams/{TWO}-0?at={wrong}").status == 400


def test_unknown_streams_are_not_found(api):
    for unknown in (f"{TWO}-77", f"{TWO}-{2**64 - 1}", f"{COIN}-0"):
        said = api.get(f"{BASE}/streams/{unknown}")
        assert (said.status, said.code) == (404, "stream-not-found"), unknown


@pytest.mark.parametrize(
    "wrong",
    [
        f"{TWO}-01",
        f"{TWO}-{2**64}",
        f"{TWO}-",
        f"{TWO}--1",
        f"{TWO}-x",
        "x",
        "-1",
        f"{TWO[:-1]}-0",
        "%20",
        "0%00",
        "%FF",
    ],
)
def test_ids_that_are_none_are_told(api, wrong):
    said = api.get(f"{BASE}/streams/{wrong}")
    assert (said.status, said.code) == (400, "invalid-parameter")


def test_a_bare_number_is_enough_only_where_one_contract_is_served(api, standing, store_of):
    said = api.get(f"{BASE}/streams/0")
    assert said.status == 400
    assert "C…-NUMBER" in said.json["errors"][0]["detail"]
    storage = store_of("sqlite")
    store(storage, EVENTS, START, LAST, [TWO])
    project(storage)
    alone = standing(storage, {"nebula": {"contracts": {TWO: "v2"}}})
    said = alone.get(f"{BASE}/streams/0")
    assert (said.status, said.json["id"]) == (200, f"{TWO}-0")
    assert alone.get(f"{BASE}/streams/9").code == "stream-not-found"


async def test_a_stream_has_an_entity_tag_that_changes_with_it(ask, storage):
    fill(storage)
    _, headers, _ = await ask(f"/streams/{TWO}-0")
    tag = headers["ETag"]
    assert (await ask(f"/streams/{TWO}-0", **{"If-None-Match": tag}))[0] == 304
    later = Ledgers(ledger=LAST + 10)
    later.claim(TWO, 0, 5, 10)
    store(storage, later.events, LAST + 1, later.ledger + 1, wanted_from=START)
    project(storage)
    status, headers, body = await ask(f"/streams/{TWO}-0", **{"If-None-Match": tag})
    assert (status, body["withdrawn"]) == (200, "10")
    assert headers["ETag"] != tag


# --- lists ------------------------------------------------------------------------------------------


FIRST, SECOND, THIRD, FOURTH = f"{TWO}-0", f"{TWO}-1", f"{THREE}-0", f"{ONE}-0"
"""The streams, oldest first."""


def test_a_list_is_newest_first_and_says_how_far_it_speaks(api):
    said = api.get(f"{BASE}/streams")
    assert said.status == 200
    assert [item["id"] for item in said.json["items"]] == [FOURTH, THIRD, SECOND, FIRST]
    assert (said.json["asOfLedger"], said.json["complete"], said.json["nextCursor"]) == (LAST, True, None)
    assert all(set(item) >= PROMISED for item in said.json["items"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"address={ALICE}", [FOURTH, THIRD, SECOND, FIRST]),
        (f"address={DAVE}", [THIRD]),
        (f"sender={ALICE}", [SECOND, FIRST]),
        (f"receiver={ALICE}", [FOURTH]),
        (f"token={GEM}", [SECOND]),
        (f"contract={TWO}", [SECOND, FIRST]),
        (f"contract={TWO}&contract={ONE}", [FOURTH, SECOND, FIRST]),
        (f"contract={COIN}", []),
        ("status=COMPLETED", [SECOND]),
        ("status=COMPLETED&status=ACTIVE", [FOURTH, THIRD, SECOND, FIRST]),
        ("status=PAUSED", []),
        (f"sender={ALICE}&token={COIN}&status=ACTIVE", [FIRST]),
        (f"q={FIRST}", [FIRST]),
        ("q=0", [FOURTH, THIRD, FIRST]),
        (f"q={DAVE}", [THIRD]),
        (f"q={GEM}", [SECOND]),
        (f"q={THREE}", [THIRD]),
        ("q=rent", [FIRST]),
        ("q=%20rent%20", [FIRST]),
        (f"q={EVENTS[0].tx_hash}", [FIRST]),
        (f"q={EVENTS[4].tx_hash.upper()}", [FIRST]),  # it withdrew
        (f"q={'0' * 64}", []),
        ("q=ren", []),
        (f"q=rent&sender={CAROL}", []),
        ("q=%F0%9F%92%B8%27%20or%201%3D1--", []),
        (f"status=COMPLETED&at={rfc(made_close_time(LAST) + 100_000)}", [FOURTH, THIRD, SECOND, FIRST]),
        (f"status=ACTIVE&at={rfc(made_close_time(LAST) + 100_000)}", []),
        ("offset=1&limit=2", [THIRD, SECOND]),
        ("offset=10000", []),
    ],
)
def test_every_filter_is_heeded(api, query, found):
    assert ids(api, f"/streams?{query}") == found


async def test_pages_go_on_with_their_cursor_and_meet_nothing_twice_while_streams_arrive(ask, storage):
    fill(storage)
    before = [FOURTH, THIRD, SECOND, FIRST]
    seen, cursor, number = [], "", 10
    while True:
        _, headers, body = await ask(f"/streams?limit=1{cursor}")
        seen += [item["id"] for item in body["items"]]
        later = Ledgers(ledger=LAST + 5 * number)
        later.create(TWO, number, ALICE, BOB)
        store(storage, later.events, LAST + 1 + 5 * (number - 10), later.ledger + 3, wanted_from=START)
        project(storage)
        number += 1
        if body["nextCursor"] is None:
            break
        assert f"cursor={body['nextCursor']}" in headers["Link"]
        cursor = f"&cursor={body['nextCursor']}"
    assert seen == before
    _, _, body = await ask("/streams")
    assert len(body["items"]) == len(before) + number - 10


def test_a_cursor_goes_on_after_an_offset_and_does_not_go_with_one(api):
    cursor = api.get(f"{BASE}/streams?limit=1&offset=1").json["nextCursor"]
    assert ids(api, f"/streams?limit=1&cursor={cursor}") == [SECOND]
    said = api.get(f"{BASE}/streams?offset=1&cursor={cursor}")
    assert (said.status, said.json["errors"][0]["field"]) == (400, "query.offset")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("address=x", "query.address"),
        ("sender=GAAAA", "query.sender"),
        (f"token={ALICE}", "query.token"),
        (f"contract={ALICE}", "query.contract"),
        ("status=active", "query.status"),
        ("status=", "query.status"),
        ("limit=0", "query.limit"),
        (f"limit={MOST_ITEMS + 1}", "query.limit"),
        ("limit=1e2", "query.limit"),
        ("offset=-1", "query.offset"),
        ("offset=10001", "query.offset"),
        ("q=", "query.q"),
        ("q=" + "x" * 201, "query.q"),
        ("q=a%00b", "query.q"),
        ("cursor=x", "query.cursor"),
        ("at=2026-01-01", "query.at"),
        ("adress=x", "query.adress"),
        ("&".join([f"contract={TWO}"] * 26), "query.contract"),
    ],
)
def test_wrong_input_is_named(api, query, field):
    said = api.get(f"{BASE}/streams?{query}")
    assert said.status == 400, said.body
    assert said.json["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize(
    "other", [f"/streams?limit=1&sender={ALICE}", "/streams?status=ACTIVE", "/audit-log?limit=1", "/events?limit=1"]
)
def test_a_cursor_is_good_only_for_its_own_list(api, other):
    cursor = api.get(f"{BASE}/streams?limit=1").json["nextCursor"]
    said = api.get(f"{BASE}{other}&cursor={cursor}")
    assert (said.status, said.code) == (400, "invalid-cursor")


# --- how far ----------------------------------------------------------------------------------------


async def test_a_gap_makes_answers_incomplete_and_the_ledger_that_of_the_contract_that_is_least_far(ask, storage):
    ledgers = Ledgers()
    ledgers.create(TWO, 0)
    ledgers.create(THREE, 0)
    store(storage, ledgers.events, START, 110, [TWO, ONE])
    store(storage, ledgers.events, START, 105, [THREE])
    project(storage)
    _, _, body = await ask("/streams")
    assert (body["asOfLedger"], body["complete"]) == (105, True)
    assert {item["id"]: item["asOfLedger"] for item in body["items"]} == {f"{TWO}-0": 110, f"{THREE}-0": 105}
    _, _, body = await ask(f"/streams?contract={TWO}")
    assert (body["asOfLedger"], body["complete"]) == (110, True)
    store(storage, [], 120, 130, FAMILIES, wanted_from=START)
    project(storage)
    _, _, body = await ask("/streams")
    assert (body["asOfLedger"], body["complete"]) == (130, False)
    store(storage, [], 106, 119, FAMILIES, wanted_from=START)
    project(storage)
    _, _, body = await ask("/streams")
    assert (body["asOfLedger"], body["complete"]) == (130, True)


async def test_nothing_indexed_is_an_empty_list_that_says_so(ask):
    _, _, body = await ask("/streams")
    assert body == {"items": [], "nextCursor": None, "asOfLedger": 0, "complete": False}
    _, _, body = await ask(f"/streams?contract={COIN}")
    assert (body["items"], body["complete"]) == ([], False)


async def test_times_that_rfc_3339_cannot_write_are_null_and_the_rest_is_there(ask, storage):
    ledgers = Ledgers()
    ledgers.create(TWO, 0, start=2**62, lasts=2**62)
    store(storage, ledgers.events, START, ledgers.ledger + 1)
    project(storage)
    _, _, body = await ask(f"/streams/{TWO}-0")
    assert body["startTime"] is body["endTime"] is body["completesAt"] is None
    assert (body["status"], body["duration"]) == ("ACTIVE", 2**62)
    _, _, body = await ask("/streams?status=ACTIVE")
    assert len(body["items"]) == 1
