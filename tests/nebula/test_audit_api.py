"""``/audit-log``: entries by every filter, one stream's history, and the check of the chains, over HTTP."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.storage import Storage
from stellarstream_nebula import bulk, history
from stellarstream_nebula.audit import end_of
from stellarstream_nebula.history import HIGHEST, LOWEST, Logged, WantedEntries, find_entries
from stellarstream_nebula.tables import NebulaLink, NebulaStream
from tests.api.kit import Running
from tests.nebula.ledgers import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    GEM,
    ONE,
    PEOPLE,
    START,
    THREE,
    TWO,
    Ledgers,
    Life,
    project,
    store,
)
from tests.paths import ROOT

BASE = "/api/v1"
PROMISED = {
    "id", "eventType", "streamId", "contractId", "txHash", "eventIndex", "ledger", "ledgerClosedAt", "metadata",
    "createdAt",
}  # fmt: skip
OPTIONAL = {"sender", "receiver", "amount"}

LEDGERS = Ledgers()
LEDGERS.create(TWO, 0, ALICE, BOB, COIN, 1_000)
LEDGERS.create(TWO, 1, ALICE, CAROL, GEM, 2_000)
LEDGERS.claim(TWO, 0, 5, 5)
LEDGERS.create_v1(ONE, 0, BOB, ALICE)
LEDGERS.same().rebalance(TWO, COIN, 9_000)
LEDGERS.same().migrate(TWO, 2, 0, ALICE, 1_000)
LEDGERS.claim(TWO, 0, 5, 10)
LEDGERS.cancel(TWO, 1, 100, 1_900, CAROL)
LEDGERS.rebalance(TWO, GEM, 9_000)
EVENTS = LEDGERS.events
LAST = LEDGERS.ledger + 2
MIGRATED = EVENTS[5]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request, store_of, standing) -> Running:
    storage = store_of(request.param)
    store(storage, EVENTS, START, LAST)
    project(storage)
    return standing(storage)


def entries(api: Running, target: str) -> list[str]:
    said = api.get(BASE + target)
    assert said.status == 200, said.body
    return [item["id"] for item in said.json["items"]]


def ids(*places: int) -> list[str]:
    return [EVENTS[place].id for place in places]


# --- lists ------------------------------------------------------------------------------------------


def test_the_log_is_newest_first_and_has_a_migration_once_for_each_stream(api):
    said = api.get(f"{BASE}/audit-log").json
    assert [item["id"] for item in said["items"]] == ids(8, 7, 6, 5, 5, 4, 3, 2, 1, 0)
    assert {item["chain"] for item in said["items"] if item["id"] == MIGRATED.id} == {f"{ONE}-0", f"{TWO}-2"}
    assert (said["asOfLedger"], said["complete"], said["nextCursor"]) == (LAST, True, None)


def test_an_entry_has_every_promised_field(api):
    (entry,) = [item for item in api.get(f"{BASE}/audit-log").json["items"] if item["id"] == EVENTS[2].id]
    assert set(entry) >= PROMISED
    assert set(entry) & OPTIONAL == {"receiver", "amount"}  # nobody sends in a claim, and nothing stands in for it
    event = EVENTS[2]
    assert entry["metadata"].pop("now") == str(event.closed_at)
    assert entry["metadata"]["total_withdrawn"] == "5"
    expected = {
        "eventType": "claim", "streamId": "0", "contractId": TWO, "txHash": event.tx_hash, "eventIndex": 0,
        "ledger": event.ledger, "ledgerClosedAt": "2023-11-14T22:21:55Z", "receiver": BOB,
        "amount": "5", "createdAt": "2023-11-14T22:21:55Z", "chain": f"{TWO}-0", "sealed": True, "revision": 0,
    }  # fmt: skip
    assert event.ledger == 103
    assert {name: entry[name] for name in expected} == expected
    assert len(entry["hash"]) == 64


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("order=asc", (0, 1, 2, 3, 4, 5, 5, 6, 7, 8)),
        (f"contract={ONE}", (5, 3)),
        (f"contract={THREE}", ()),
        (f"contract={ONE}&contract={TWO}", (8, 7, 6, 5, 5, 4, 3, 2, 1, 0)),
        ("type=claim", (6, 2)),
        ("type=claim&type=cancel&order=asc", (2, 6, 7)),
        ("type=nothing", ()),
        (f"address={CAROL}", (7, 1)),
        (f"address={BOB}", (6, 5, 5, 3, 2, 0)),  # he sends both streams of the migration
        (f"address={ALICE}&type=create_v2&order=asc", (0, 1)),
        (f"address={ALICE}&contract={ONE}", (5, 3)),
        (f"fromLedger={EVENTS[6].ledger}", (8, 7, 6)),
        (f"toLedger={EVENTS[1].ledger}", (1, 0)),
        (f"fromLedger={EVENTS[1].ledger}&toLedger={EVENTS[2].ledger}&order=asc", (1, 2)),
        (f"fromLedger={EVENTS[3].ledger}&toLedger={EVENTS[3].ledger}&type=migrated", (5, 5)),
    ],
)
def test_every_filter_is_heeded(api, query, places):
    assert entries(api, f"/audit-log?{query}") == ids(*places)


@pytest.mark.parametrize("query", ["", f"&address={BOB}", "&order=asc", f"&order=asc&address={BOB}", "&type=claim"])
def test_pages_go_on_with_their_cursor_and_meet_everything_once(api, query):
    whole = api.get(f"{BASE}/audit-log?limit=200{query}").json["items"]
    seen, cursor = [], ""
    for _ in range(20):
        page = api.get(f"{BASE}/audit-log?limit=1{query}{cursor}").json
        seen += page["items"]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == whole


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("fromLedger=9&toLedger=8", "query.fromLedger"),
        ("fromLedger=0", "query.fromLedger"),
        ("type=a-b", "query.type"),
        ("order=up", "query.order"),
        ("address=G", "query.address"),
        ("contract=x", "query.contract"),
        ("cursor=a", "query.cursor"),
        ("limit=201", "query.limit"),
        ("stream=1", "query.stream"),
    ],
)
def test_wrong_input_is_named(api, query, field):
    said = api.get(f"{BASE}/audit-log?{query}")
    assert said.status == 400
    assert said.json["errors"][0]["field"].startswith(field)


# --- one stream -------------------------------------------------------------------------------------


def test_a_history_has_the_stream_its_events_and_the_end_of_its_chain(api):
    body = api.get(f"{BASE}/audit-log/{TWO}-0").json
    assert set(body) == {"stream", "events", "chain", "nextCursor", "asOfLedger", "complete"}, "no vault, no yield"
    assert body["stream"] == api.get(f"{BASE}/streams/{TWO}-0").json
    assert [event["id"] for event in body["events"]] == ids(0, 2, 4, 6)  # the rebalance of its token is in it
    assert [event["streamId"] for event in body["events"]] == ["0", "0", None, "0"]
    assert (body["chain"]["links"], body["chain"]["lastEvent"], body["chain"]["revision"]) == (3, EVENTS[6].id, 0)
    assert body["chain"]["head"] == body["events"][-1]["hash"]
    assert body["chain"]["replaced"] == []
    assert (body["asOfLedger"], body["complete"], body["nextCursor"]) == (LAST, True, None)


def test_what_happened_to_a_token_after_a_stream_ended_is_not_in_its_history(api):
    body = api.get(f"{BASE}/audit-log/{TWO}-1").json
    assert [event["id"] for event in body["events"]] == ids(1, 7)


def test_a_history_is_read_in_pages_and_backwards(api):
    whole = [event["id"] for event in api.get(f"{BASE}/audit-log/{TWO}-0").json["events"]]
    back = [event["id"] for event in api.get(f"{BASE}/audit-log/{TWO}-0?order=desc").json["events"]]
    assert back == whole[::-1]
    for order, expected in (("asc", whole), ("desc", back)):
        seen, cursor = [], ""
        for _ in range(9):
            body = api.get(f"{BASE}/audit-log/{TWO}-0?limit=1&order={order}{cursor}").json
            seen += [event["id"] for event in body["events"]]
            if body["nextCursor"] is None:
                break
            cursor = f"&cursor={body['nextCursor']}"
        assert seen == expected


def test_both_streams_of_a_migration_have_it_in_their_history(api):
    old, new = (api.get(f"{BASE}/audit-log/{key}").json for key in (f"{ONE}-0", f"{TWO}-2"))
    assert [event["id"] for event in old["events"]] == ids(3, 5)
    assert [event["id"] for event in new["events"]] == ids(5)
    assert (old["stream"]["status"], old["stream"]["migratedTo"]) == ("ARCHIVED", f"{TWO}-2")
    assert new["stream"]["migratedFrom"] == f"{ONE}-0"


def test_unknown_streams_have_no_history(api):
    said = api.get(f"{BASE}/audit-log/{TWO}-9")
    assert (said.status, said.code) == (404, "stream-not-found")
    assert api.get(f"{BASE}/audit-log/chain").status == 400
    assert api.get(f"{BASE}/audit-log/0").status == 400  # three contracts are served


def test_a_history_begins_before_its_stream_is_known(store_of, standing):
    storage = store_of("sqlite")
    store(storage, EVENTS, START + 2, LAST, wanted_from=START)
    project(storage)
    api = standing(storage)
    body = api.get(f"{BASE}/audit-log/{TWO}-0").json
    assert body["stream"] is None
    assert [event["id"] for event in body["events"]] == ids(2, 6)
    assert [event["sealed"] for event in body["events"]] == [False, False]
    assert [(event["hash"], event["revision"]) for event in body["events"]] == [(None, None), (None, None)]
    assert (body["chain"]["links"], body["complete"]) == (0, False)


def test_the_documented_code_computes_the_head_from_what_the_api_gives(api):
    text = (ROOT / "docs" / "audit-log.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    for key in (f"{TWO}-0", f"{TWO}-2", f"{ONE}-0"):
        body = api.get(f"{BASE}/audit-log/{key}").json
        own = [event["id"] for event in body["events"] if event["chain"] == key]
        assert names["head"](key, [api.get(f"{BASE}/events/{one}").json for one in own]) == body["chain"]["head"]


# --- the check --------------------------------------------------------------------------------------


def test_the_check_finds_everything_intact_and_says_how_far_it_came(api):
    body = api.get(f"{BASE}/audit-log/chain/verify").json
    assert body == {"verdict": "intact", "chains": 6, "links": 10, "faults": [], "nextCursor": None}
    one = api.get(f"{BASE}/audit-log/chain/verify?stream={TWO}-0").json
    assert (one["verdict"], one["chains"], one["links"]) == ("intact", 1, 3)


def test_checking_an_unknown_stream_is_no_proof(api):
    assert api.get(f"{BASE}/audit-log/chain/verify?stream={TWO}-9").code == "stream-not-found"
    assert api.get(f"{BASE}/audit-log/chain/verify?stream=zzz").status == 400


def test_a_check_that_has_no_time_goes_on_with_its_cursor(api, monkeypatch):
    from stellarstream_nebula.resources import verification as resource

    monkeypatch.setattr(resource, "SECONDS", 0.0)
    monkeypatch.setattr(resource.check_piece, "__defaults__", (None, 3))
    links, chains, cursor, pages = 0, 0, "", 0
    while True:
        body = api.get(f"{BASE}/audit-log/chain/verify{cursor}").json
        assert body["verdict"] == "intact"
        links, chains, pages = links + body["links"], chains + body["chains"], pages + 1
        if body["nextCursor"] is None:
            break
        cursor = f"?cursor={body['nextCursor']}"
    assert (links, chains) == (10, 6)
    assert pages > 3
    first = api.get(f"{BASE}/audit-log/chain/verify").json["nextCursor"]
    assert api.get(f"{BASE}/audit-log/chain/verify?stream={TWO}-0&cursor={first}").code == "invalid-cursor"


def test_tampering_is_told_by_name(store_of, standing):
    storage = store_of("sqlite")
    store(storage, EVENTS, START, LAST)
    project(storage)
    sql, values = "UPDATE events SET value = ? WHERE id = ?", (b"\0" * 4, EVENTS[2].id)
    storage.write(lambda database: bulk.execute(database, sql, values))
    body = standing(storage).get(f"{BASE}/audit-log/chain/verify").json
    assert body["verdict"] == "broken"
    assert body["faults"] == [
        {"chain": f"{TWO}-0", "eventId": EVENTS[2].id, "reason": reason} for reason in ("event-differs", "link-differs")
    ]


# --- against a plain look at everything -------------------------------------------------------------


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request, store_of) -> Storage:
    storage = store_of(request.param)
    life = Life(12)
    life.play(300)
    store(storage, life.ledgers.events, START, life.ledgers.ledger + 3)
    project(storage)
    return storage


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(history, "FIRST_STEP", 7)
    monkeypatch.setattr(history, "LONGEST_STEP", 13)
    monkeypatch.setattr(history, "BUDGET", 40)
    monkeypatch.setattr(history, "PROBED_AT_ONCE", 4)
    monkeypatch.setattr(history, "MERGED_AT_ONCE", 3)


def expected(storage: Storage, wanted: WantedEntries) -> list[tuple[str, str]]:
    def read(database):
        links = list(NebulaLink.select().dicts().execute(database))
        streams = {row["key"]: row for row in NebulaStream.select().dicts().execute(database)}
        return links, streams

    links, streams = storage.read(read)
    found = []
    for row in links:
        stream = streams.get(row["key"], {})
        parties = {stream.get(role) for role in ("sender", "receiver", "beneficiary")}
        if (
            (not wanted.contracts or row["contract_id"] in wanted.contracts)
            and (wanted.address is None or wanted.address in parties)
            and (not wanted.types or row["type"] in wanted.types)
            and wanted.first <= row["event_id"] < wanted.end
        ):
            found.append((row["event_id"], row["key"]))
    return sorted(found, reverse=wanted.descending)


def pages(storage: Storage, wanted: WantedEntries, limits: Iterator[int]) -> list[tuple[str, str]]:
    after, seen = None, []
    for limit in limits:
        page = storage.read(lambda database, after=after, limit=limit: find_entries(database, wanted, limit, after))
        assert len(page.entries) <= limit
        assert all(isinstance(entry, Logged) for entry in page.entries)
        seen += [(entry.event_id, entry.key) for entry in page.entries]
        if page.resume is None:
            return seen
        after = page.resume
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("few", [history.FEW_STREAMS, 1])
@settings(max_examples=40, deadline=None)
@given(
    address=st.sampled_from([None, *PEOPLE]),
    contracts=st.sampled_from([(), (), (ONE,), (TWO, THREE)]),
    types=st.sampled_from([(), (), ("claim",), ("create_v2", "create"), ("rebalance", "migrated")]),
    ledgers=st.tuples(st.integers(START, START + 900), st.integers(START, START + 900)).map(sorted),
    bounded=st.booleans(),
    descending=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_pages_of_any_filters_are_all_entries_that_pass_each_of_them_once_and_in_order(
    full, few, address, contracts, types, ledgers, bounded, descending, seed
):
    first, end = (end_of(ledgers[0] - 1), end_of(ledgers[1])) if bounded else (LOWEST, HIGHEST)
    wanted = WantedEntries(contracts, address, types, first, end, descending)
    dice = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "FEW_STREAMS", few)  # of an address with more, all entries are walked
        assert pages(full, wanted, (dice.choice([1, 2, 5, 40]) for _ in range(2_000))) == expected(full, wanted)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 7])
def test_an_event_of_many_streams_is_met_once_for_each_wherever_pages_end(storage, descending, limit):
    ledgers = Ledgers()
    for stream in range(12):
        ledgers.create(TWO, stream)
    ledgers.batch(TWO, range(12))
    for stream in range(0, 12, 5):
        ledgers.claim(TWO, stream, 1, 1)
    store(storage, ledgers.events, START, ledgers.ledger + 1)
    project(storage)
    for address in (None, ALICE):
        wanted = WantedEntries(address=address, descending=descending)
        found = pages(storage, wanted, iter([limit] * 200))
        assert found == expected(storage, wanted)
        assert len(found) == 12 + 12 + 3
