"""``/events`` and ``/events/{id}``: every stored event once, in order, and no more promised than is known."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from urllib.parse import quote

import pytest

from stellarstream_core.api.live.positions import parse_position
from stellarstream_core.event_json import event_to_json
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.testing.scripted import made_contract, made_event, made_history
from tests.api.conftest import heard, store

A, B, C = (made_contract(number) for number in range(3))
HISTORY = made_history(LedgerRange(100, 180), [A, B, C], seed=3)
MADE = b64encode(b"\x00\x00\x00\x0f\x00\x00\x00\x04made").decode()


@pytest.fixture
async def api(filled, served, database_url):
    filled(database_url, (100, 180), [A, B, C], HISTORY)
    return await served(database_url)


async def get(client, api, path, **headers):
    async with client.get(f"{api.url}{path}", headers=headers) as response:
        body = await response.json(content_type=None) if response.status != 304 else None
        return response, body


async def pages(client, api, path):
    found, cursor = [], ""
    for _ in range(1000):
        _, body = await get(client, api, f"/api/v1{path}{cursor}")
        found += body["items"]
        if body["nextCursor"] is None:
            return found
        cursor = f"&cursor={body['nextCursor']}"
    raise AssertionError("the list has no end")


async def test_every_event_is_listed_once_in_both_orders(client, api):
    expected = [event_to_json(event) for event in HISTORY]
    assert await pages(client, api, "/events?limit=7") == expected
    assert await pages(client, api, "/events?limit=7&order=desc") == expected[::-1]


async def test_filters_narrow_the_list(client, api):
    async def ids(query):
        return [item["id"] for item in await pages(client, api, f"/events?limit=50{query}")]

    def wanted(test):
        return [event.id for event in HISTORY if test(event)]

    one = HISTORY[20]
    assert await ids(f"&contract={A}") == wanted(lambda e: e.contract_id == A)
    assert await ids(f"&contract={A}&contract={B}") == wanted(lambda e: e.contract_id in {A, B})
    assert await ids("&fromLedger=120&toLedger=130") == wanted(lambda e: 120 <= e.ledger <= 130)
    assert await ids(f"&txHash={one.tx_hash}") == wanted(lambda e: e.tx_hash == one.tx_hash)
    assert await ids(f"&topic={quote(MADE)}") == wanted(lambda _: True)
    assert await ids("&topic=*&topic=*") == []  # these events have one topic


async def test_a_page_speaks_of_the_watermark_and_is_complete_below_it(client, api):
    _, body = await get(client, api, f"/api/v1/events?contract={A}&fromLedger=100&toLedger=150&limit=200")
    assert (body["asOfLedger"], body["complete"]) == (150, True)
    _, body = await get(client, api, f"/api/v1/events?contract={A}")
    assert (body["asOfLedger"], body["complete"]) == (180, True)
    _, body = await get(client, api, f"/api/v1/events?contract={A}&toLedger=181&limit=200")
    assert (body["asOfLedger"], body["complete"]) == (180, False)
    _, body = await get(client, api, f"/api/v1/events?contract={A}&fromLedger=99&toLedger=150")
    assert body["complete"] is False  # nothing was fetched before 100


async def test_a_contract_that_was_never_indexed_is_never_complete(client, api):
    _, body = await get(client, api, f"/api/v1/events?contract={made_contract(9)}")
    assert body == {"items": [], "nextCursor": None, "asOfLedger": 0, "complete": False}


async def test_an_empty_database_answers_an_empty_list(client, served, database_url):
    api = await served(database_url)
    _, body = await get(client, api, "/api/v1/events")
    assert body == {"items": [], "nextCursor": None, "asOfLedger": 0, "complete": False}


async def test_a_gap_makes_what_lies_over_it_incomplete(client, filled, served, database_url):
    storage = filled(database_url, (100, 120), [A], HISTORY)
    store(storage, (140, 180), [A], HISTORY)
    api = await served(database_url)
    _, body = await get(client, api, f"/api/v1/events?contract={A}&limit=200")
    assert (body["asOfLedger"], body["complete"]) == (120, False)
    assert max(item["ledger"] for item in body["items"]) > 140  # what is there is shown
    _, body = await get(client, api, f"/api/v1/events?contract={A}&toLedger=120&limit=200")
    assert (body["asOfLedger"], body["complete"]) == (120, True)
    store(storage, (121, 139), [A], HISTORY)
    await heard(api, storage)
    _, body = await get(client, api, f"/api/v1/events?contract={A}&limit=200")
    assert (body["asOfLedger"], body["complete"]) == (180, True)


async def test_a_reader_below_the_watermark_misses_nothing_that_arrives_meanwhile(client, filled, served, database_url):
    storage = filled(database_url, (100, 120), [A], HISTORY)
    api = await served(database_url)
    path = f"/api/v1/events?contract={A}&toLedger=120&limit=3"
    _, body = await get(client, api, path)
    found = body["items"]
    first = 121
    while body["nextCursor"] is not None:
        store(storage, (first, first), [A], HISTORY)
        first += 1
        _, body = await get(client, api, f"{path}&cursor={body['nextCursor']}")
        found += body["items"]
    assert [item["id"] for item in found] == [e.id for e in HISTORY if e.contract_id == A and e.ledger <= 120]


async def test_the_next_page_is_linked(client, api):
    response, body = await get(client, api, "/api/v1/events?limit=2")
    link = response.headers["Link"]
    assert link == f'<http://localhost:3000/api/v1/events?limit=2&cursor={body["nextCursor"]}>; rel="next"'


async def test_a_cursor_is_bound_to_its_filters_and_refused_when_changed(client, api):
    _, body = await get(client, api, "/api/v1/events?limit=2")
    cursor = body["nextCursor"]
    for query in (f"order=desc&cursor={cursor}", f"contract={A}&cursor={cursor}", f"cursor={cursor[:-1]}A"):
        response, body = await get(client, api, f"/api/v1/events?{query}")
        assert (response.status, body["code"]) == (400, "invalid-cursor")
    response, _ = await get(client, api, f"/api/v1/events?limit=9&cursor={cursor}")
    assert response.status == 200  # the limit may change


async def test_pages_that_can_never_change_are_cacheable_for_ever(client, api):
    path = f"/api/v1/events?contract={A}&fromLedger=100&toLedger=150"
    response, body = await get(client, api, path)
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    again, body_again = await get(client, api, path)
    assert (again.headers["ETag"], body_again) == (response.headers["ETag"], body)
    unchanged, _ = await get(client, api, path, **{"If-None-Match": response.headers["ETag"]})
    assert unchanged.status == 304
    assert unchanged.headers["Cache-Control"] == response.headers["Cache-Control"]


async def test_a_page_whose_cursor_is_no_longer_good_is_sent_again(client, filled, served, sqlite_url):
    filled(sqlite_url, (100, 180), [A], HISTORY)
    path = f"/api/v1/events?contract={A}&fromLedger=100&toLedger=150&limit=2"
    before, _ = await get(client, await served(sqlite_url), path)
    other = await served(sqlite_url, secret_key="another secret key, as long as it has to be")
    after, body = await get(client, other, path, **{"If-None-Match": before.headers["ETag"]})
    assert after.status == 200
    _, more = await get(client, other, f"{path}&cursor={body['nextCursor']}")
    assert len(more["items"]) == 2


async def test_without_a_secret_key_no_page_is_kept_longer_than_its_cursor(client, filled, served, sqlite_url):
    filled(sqlite_url, (100, 180), [A], HISTORY)
    api = await served(sqlite_url, secret_key=None)
    response, _ = await get(client, api, f"/api/v1/events?contract={A}&fromLedger=100&toLedger=150&limit=2")
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "query",
    [
        "?fromLedger=100&toLedger=150",  # of no contract by name: another one may be indexed later
        f"?contract={A}&toLedger=150",  # from no ledger by name: earlier ones may be fetched later
        f"?contract={A}&fromLedger=100",
        f"?contract={A}&fromLedger=100&toLedger=181",
        f"?contract={A}&fromLedger=99&toLedger=150",
    ],
)
async def test_every_other_page_is_asked_for_again(client, api, query):
    response, _ = await get(client, api, f"/api/v1/events{query}")
    assert response.headers["Cache-Control"] == "no-cache"
    unchanged, _ = await get(client, api, f"/api/v1/events{query}", **{"If-None-Match": response.headers["ETag"]})
    assert unchanged.status == 304


async def test_ledgers_that_were_only_scanned_are_not_cached_for_ever(client, filled, served, sqlite_url):
    from stellarstream_core.sources import Evidence

    filled(sqlite_url, (100, 180), [A], HISTORY, Evidence.SCANNED)
    api = await served(sqlite_url)
    response, body = await get(client, api, f"/api/v1/events?contract={A}&fromLedger=100&toLedger=150")
    assert (response.headers["Cache-Control"], body["complete"]) == ("no-cache", True)


async def test_a_commit_changes_the_entity_tag_of_what_it_may_touch(client, filled, served, database_url):
    storage = filled(database_url, (100, 120), [A], HISTORY)
    api = await served(database_url)
    response, before = await get(client, api, f"/api/v1/events?contract={A}&order=desc&limit=3")
    store(storage, (121, 140), [A], HISTORY)
    await heard(api, storage)
    tag = {"If-None-Match": response.headers["ETag"]}
    response, after = await get(client, api, f"/api/v1/events?contract={A}&order=desc&limit=3", **tag)
    assert response.status == 200
    assert after["asOfLedger"] == 140
    assert after["items"] != before["items"]


async def test_one_event_is_read_by_its_id_and_tagged(client, api):
    event = HISTORY[5]
    response, body = await get(client, api, f"/api/v1/events/{event.id}")
    assert body == event_to_json(event)
    unchanged, _ = await get(client, api, f"/api/v1/events/{event.id}", **{"If-None-Match": response.headers["ETag"]})
    assert unchanged.status == 304


async def test_an_unknown_event_is_not_found_and_a_malformed_id_is_refused(client, api):
    response, body = await get(client, api, f"/api/v1/events/{made_event(7000).id}")
    assert (response.status, body["code"]) == (404, "not-found")
    response, body = await get(client, api, f"/api/v1/events/{made_event(7000).id}", **{"If-None-Match": "*"})
    assert response.status == 404
    for text in ("x", "1-2", "9" * 19 + "-" + "9" * 10, "%00"):
        response, body = await get(client, api, f"/api/v1/events/{text}")
        assert (response.status, body["code"]) == (400, "invalid-parameter")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("contract=GABC", "query.contract.0"),
        (f"contract={A[:-1]}A", "query.contract.0"),
        ("topic=!!", "query.topic.0"),
        ("topic=AAAA", "query.topic.0"),
        ("txHash=" + "g" * 64, "query.txHash"),
        ("txHash=" + "A" * 64, "query.txHash"),
        ("fromLedger=0", "query.fromLedger"),
        ("fromLedger=2147483648", "query.fromLedger"),
        ("fromLedger=9&toLedger=8", "query.fromLedger"),
        ("order=up", "query.order"),
        ("limit=201", "query.limit"),
        ("&".join(f"contract={made_contract(n)}" for n in range(26)), "query.contract"),
        ("&".join(["topic=*"] * 5), "query.topic"),
    ],
)
async def test_bad_parameters_are_named(client, api, query, field):
    response, body = await get(client, api, f"/api/v1/events?{query}")
    assert response.status == 400
    assert response.content_type == "application/problem+json"
    assert field in [error["field"] for error in body["errors"]]


async def test_a_value_that_cannot_be_decoded_is_null_and_the_record_stays(client, filled, served, sqlite_url):
    broken = made_event(100, contract=A)._replace(value=b"\x00\x00\x00\x63")
    filled(sqlite_url, (100, 100), [A], [broken])
    api = await served(sqlite_url)
    _, body = await get(client, api, "/api/v1/events")
    (item,) = body["items"]
    assert item["decoded"] is None
    assert item["value"] == b64encode(broken.value).decode()


@pytest.mark.parametrize(
    "query",
    [
        f"?contract={A}&toLedger=50",
        f"?contract={A}&toLedger=99",
        f"?contract={A}&toLedger=50&order=desc",
        "?toLedger=50",
        f"?contract={B}",
        f"?contract={B}&fromLedger=150",
        f"?contract={A}&fromLedger=300",
        f"?contract={A}&fromLedger=181",
        f"?contract={A}&contract={made_contract(9)}&txHash={'0' * 64}",
        f"?contract={A}&fromLedger=150&toLedger=300",
    ],
)
async def test_ledgers_that_were_never_fetched_are_never_complete(client, filled, served, sqlite_url, query):
    storage = filled(sqlite_url, (100, 180), [A], HISTORY)
    storage.want(Scope.of([B]), 100)
    api = await served(sqlite_url)
    for _ in range(2):
        _, body = await get(client, api, f"/api/v1/events{query}")
        assert body["complete"] is False


async def test_no_worker_answers_from_before_a_position_that_another_has_told(client, filled, served, database_url):
    storage = filled(database_url, (100, 100), [A], HISTORY)
    one, two = await served(database_url), await served(database_url)
    path = f"/api/v1/events?contract={A}&order=desc&limit=5"
    for ledger in range(101, 121):
        held, _ = await get(client, two, path)
        store(storage, (ledger, ledger), [A], [made_event(ledger, contract=A)])
        await heard(one, storage)  # the other may not have heard yet
        response, body = await get(client, two, path, **{"If-None-Match": held.headers["ETag"]})
        assert response.status == 200
        assert body["items"][0]["ledger"] == ledger


async def test_a_page_with_a_value_that_this_version_cannot_decode_is_not_kept_for_ever(
    client, filled, served, sqlite_url
):
    broken = made_event(150, contract=A)._replace(value=b"\x00\x00\x00\x63")
    filled(sqlite_url, (100, 180), [A], [broken])
    api = await served(sqlite_url)
    response, body = await get(client, api, f"/api/v1/events?contract={A}&fromLedger=100&toLedger=160")
    assert body["complete"] is True
    assert response.headers["Cache-Control"] == "no-cache"


async def test_many_who_ask_the_same_at_once_are_answered_by_few_readings(client, filled, served, sqlite_url):
    filled(sqlite_url, (100, 180), [A], HISTORY)
    api = await served(sqlite_url)
    readings = 0
    run = api.service.database.run

    async def counted(*args):
        nonlocal readings
        readings += 1
        return await run(*args)

    api.service.database.run = counted
    answers = await asyncio.gather(*(get(client, api, f"/api/v1/events?contract={A}&limit=9") for _ in range(90)))
    assert {response.status for response, _ in answers} == {200}
    assert len({body["nextCursor"] for _, body in answers}) == 1
    assert readings < 45  # of the moment, of what is known, and of the page


async def test_position_list_and_stream_leave_nothing_out_while_a_gap_is_filled(client, filled, served, database_url):
    """A large commit is handed to readers in pieces; a list that is read meanwhile must not be older than a piece."""
    storage = filled(database_url, (100, 110), [A], HISTORY)
    store(storage, (900, 910), [A], [made_event(905, contract=A)])  # the watermark stays below the gap
    api = await served(database_url)
    gap = [made_event(300 + n // 50, 1 + n % 50, contract=A) for n in range(6_000)]
    expected = {event.id for event in storage.events(LedgerRange(1, 2_000), Scope.of([A]), limit=10_000)}
    expected |= {event.id for event in gap}
    observed = []

    async def observe():
        _, body = await get(client, api, "/api/v1/sync")
        place = parse_position(body["livePosition"]).place
        listed = {item["id"] for item in await pages(client, api, f"/events?contract={A}&limit=200")}
        observed.append((place, listed))

    async with client.get(f"{api.url}/api/v1/events/live?contract={A}") as stream:
        reading = asyncio.create_task(stream.content.read())
        committing = asyncio.create_task(asyncio.to_thread(store, storage, (300, 420), [A], gap))
        observing: set[asyncio.Task] = set()
        while not committing.done() or api.service.feed.position < storage.moment().position:
            if len(observing) < 8:  # more would only be read later
                observing.add(asyncio.create_task(observe()))
            await asyncio.sleep(0.02)
            observing = {one for one in observing if not one.done() or one.exception()}
        await asyncio.gather(*observing)
        reading.cancel()
    told = [
        (commit.position, [event.id for event in storage.events_of_commit(commit)]) for commit in storage.commits(0)
    ]
    assert len(observed) > 3
    for place, listed in observed:
        behind = [
            event
            for position, events in told
            if position >= place.commit
            for number, event in enumerate(events)
            if position > place.commit or number >= place.taken
        ]
        assert listed | set(behind) == expected


async def test_another_history_under_the_same_position_is_another_answer(client, filled, served, sqlite_url):
    filled(sqlite_url, (100, 180), [A], HISTORY)
    api = await served(sqlite_url)
    stored = next(event.id for event in HISTORY if event.contract_id == A)
    for path in (f"/api/v1/events?contract={A}", f"/api/v1/events/{stored}"):
        before, _ = await get(client, api, path)
        api.service.feed.histories += 1  # as the feed does when what it followed is not there any more
        after, _ = await get(client, api, path, **{"If-None-Match": before.headers["ETag"]})
        assert after.status == 200


@pytest.mark.parametrize("limit", ["1_0", "5.0", "%2B5", "%205", "٥"])
async def test_a_number_has_one_spelling(client, api, limit):
    response, body = await get(client, api, f"/api/v1/events?limit={limit}")
    assert (response.status, body["code"]) == (400, "invalid-parameter")
