"""Live streams: each event once over any number of connections, no connection left behind, and never silence."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from contextlib import aclosing, closing

import pytest

from nebula_client import (
    AsyncNebulaClient,
    BadRequestError,
    BadResponseError,
    LiveResetError,
    NebulaClient,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    StreamStatus,
)
from nebula_client._core import live as core_live
from nebula_client._core import retries, watching
from tests.sdk.faults import cut, forward, hang, live, problem, says
from tests.sdk.kit import AMOUNT, Blocking, ripe

pytestmark = pytest.mark.timeout(110)

QUICK = b"retry: 1\n\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retries, "BASE_SECONDS", 0.001)
    monkeypatch.setattr(core_live, "LONGEST_PAUSE", 0.05)


@pytest.fixture
def terms(deployed, payee):
    return {"receiver": payee.public_key, "amount": AMOUNT, "token_address": deployed.usdc, "duration": 400}


def event(number: int) -> dict[str, object]:
    return {
        "id": f"{number:019}-{0:010}",
        "type": "contract",
        "ledger": number,
        "ledgerClosedAt": "2030-01-01T00:00:00Z",
        "contractId": None,
        "txHash": "ab" * 32,
        "transactionIndex": 1,
        "operationIndex": 0,
        "eventIndex": 0,
        "topic": [],
        "value": "AAAA",
        "decoded": None,
    }


def frame(number: int) -> bytes:
    return f"id: p{number}\ndata: {json.dumps(event(number))}\n\n".encode()


def taken(items, count):
    """Return the first items of a generator, and close it."""
    with closing(items):
        return [next(items) for _ in range(count)]


def numbers(items):
    return [(item.event.ledger, item.position) for item in items]


# --- events -------------------------------------------------------------------------------------------------


def test_real_events_come_as_they_are_committed(deployed, client_of, terms, payer):
    client = client_of(deployed.url)
    since = client.get_sync().live_position
    with NebulaClient(deployed.url, signer=payer) as other:
        streams = [other.create_stream(**terms) for _ in range(2)]
    with closing(client.watch_events(contract=deployed.v2, since=since)) as events:
        first = next(event for event in events if event.event.tx_hash == streams[0].tx_hash)
    assert first.event.contract_id == deployed.v2
    again = client.watch_events(contract=[deployed.v2, deployed.v1], since=first.position)
    with closing(again) as events:
        later = next(events)
    assert later.event.id > first.event.id
    assert later.position != first.position


def test_real_events_over_a_connection_that_breaks_come_once(deployed, proxy, client_of, terms, payer):
    client = client_of(proxy.url)
    since = client.get_sync().live_position
    with NebulaClient(deployed.url, signer=payer) as other:
        hashes = {other.create_stream(**terms).tx_hash for _ in range(3)}
    whole = _until_all(client.watch_events(contract=deployed.v2, since=since), hashes)
    for at in (1, 150, 700, 1300, 2100):
        proxy.lay("GET /events/live", _cut_after(at))
    broken = _until_all(client.watch_events(contract=deployed.v2, since=since), hashes)
    assert broken == whole
    assert len({item.event.id for item in whole}) == len(whole)
    assert proxy.count("GET /events/live") >= 5


def _until_all(events, hashes):
    """Return the events up to the last one of these transactions."""
    found, missing = [], set(hashes)
    with closing(events):
        for item in events:
            found.append(item)
            missing.discard(item.event.tx_hash)
            if not missing:
                return found
    raise AssertionError(missing)


def _cut_after(count):
    """Have the real service answer, and break off after so many bytes of the stream."""

    def step(handler):
        left, write = count, handler.wfile.write
        begun = False

        def counted(data):
            nonlocal left, begun
            if not begun:  # the head of the answer
                begun = b"\r\n\r\n" in data
                return write(data)
            piece = bytes(data)[:left]
            left -= len(piece)
            written = write(piece)
            if left <= 0:
                handler.wfile.flush()
                handler.cut()
                raise ConnectionResetError
            return written

        handler.wfile.write = counted
        forward(handler)

    return step


def test_a_connection_is_made_again_at_the_last_whole_frame(faults, client_of):
    faults.lay(
        "GET /events/live",
        live(QUICK + b"id: p0\n\n", then="cut"),
        live(frame(1), frame(2)[:-1], then="cut"),
        live(frame(2), b"id: p9\n\n", b"event: bye\ndata: {}\n\n"),
        problem(503, "too-many-readers", Retry_After="0"),
        problem(429, "too-many-readers-of-client", Retry_After="0"),
        cut,
        says(502, b"<html>"),
        live(b"event: dropped\ndata: {}\n\n", frame(99)),
        live(frame(3), then="open"),
    )
    found = taken(client_of(faults.url).watch_events(), 3)
    assert numbers(found) == [(1, "p1"), (2, "p2"), (3, "p3")]
    asked = [request.query.get("since", [None])[0] for request in faults.asked]
    assert asked == [None, "p0", "p1", "p9", "p9", "p9", "p9", "p9", "p9"]


def test_filters_and_the_position_are_sent(faults, client_of):
    faults.lay("GET /events/live", live(frame(1), then="open"))
    taken(client_of(faults.url, token="a.b.c").watch_events(contract=["A", "B"], topic="*", since="p0"), 1)
    (asked,) = faults.asked
    assert asked.query == {"contract": ["A", "B"], "topic": ["*"], "since": ["p0"]}
    assert (asked.headers["accept"], asked.headers["authorization"]) == ("text/event-stream", "Bearer a.b.c")


def test_a_silent_connection_is_given_up(faults, client_of):
    faults.lay("GET /events/live", live(QUICK + frame(1), then="open"), hang, live(frame(2), then="open"))
    found = taken(client_of(faults.url).watch_events(silence=0.2), 2)
    assert numbers(found) == [(1, "p1"), (2, "p2")]


def test_positions_are_told_once_everything_before_was_dealt_with(faults, client_of):
    faults.lay("GET /events/live", live(QUICK + b"id: p0\n\n" + frame(1) + b"id: p2\n\n" + frame(3), then="open"))
    told = []
    client = client_of(faults.url)
    with closing(client.watch_events(on_position=told.append)) as events:
        assert next(events).position == "p1"
        assert told == ["p0"]
        assert next(events).position == "p3"
        assert told == ["p0", "p1", "p2"]


def test_another_history_is_told(faults, client_of):
    reset = b'id: q\nevent: reset\ndata: {"code": "other-epoch", "detail": "Another history."}\n\n'
    faults.lay("GET /events/live", live(frame(1) + reset + frame(2), then="open"))
    events = client_of(faults.url).watch_events(since="p0")
    with pytest.raises(LiveResetError) as reset_:
        taken(events, 2)
    assert (reset_.value.code, reset_.value.reason) == ("live-reset", "other-epoch")


def test_a_real_position_of_another_history_is_told(deployed, client_of):
    other = "A" * len(client_of(deployed.url).get_sync().live_position)
    with pytest.raises((LiveResetError, BadRequestError)):
        taken(client_of(deployed.url).watch_events(since=other), 1)
    with pytest.raises(BadRequestError) as malformed:
        taken(client_of(deployed.url).watch_events(since="nonsense"), 1)
    assert malformed.value.code == "malformed-position"


def test_what_does_not_pass_ends_it(faults, client_of):
    faults.lay("GET /events/live", problem(406, "not-acceptable"))
    with pytest.raises(Exception, match="not-acceptable"):
        taken(client_of(faults.url).watch_events(), 1)
    faults.lay("GET /events/live", live(b"id: p1\ndata: {not json\n\n", then="open"))
    with pytest.raises(BadResponseError):
        taken(client_of(faults.url).watch_events(), 1)
    faults.lay("GET /events/live", live(b"data: {}\n\n", then="open"))
    with pytest.raises(BadResponseError):
        taken(client_of(faults.url).watch_events(), 1)


def test_a_service_that_never_stood_is_told_after_some_tries(faults, client_of):
    faults.lay("GET /events/live", *[cut] * 10)
    with pytest.raises(NetworkError):
        taken(client_of(faults.url).watch_events(), 1)
    assert faults.count("GET /events/live") == 1 + core_live.FIRST_RETRIES
    faults.forget()
    faults.lay("GET /events/live", *[says(200, {"not": "a stream"})] * 10)
    with pytest.raises(BadResponseError, match="no live stream"):
        taken(client_of(faults.url).watch_events(), 1)
    faults.forget()
    faults.lay("GET /events/live", *[problem(429, "too-many-readers-of-client", Retry_After="0")] * 10)
    with pytest.raises(RateLimitedError):
        taken(client_of(faults.url).watch_events(), 1)


def test_one_that_has_stood_is_made_again_for_as_long_as_it_takes(faults, client_of):
    faults.lay("GET /events/live", live(QUICK + frame(1), then="cut"), *[cut] * 8, live(frame(2), then="open"))
    assert numbers(taken(client_of(faults.url).watch_events(), 2)) == [(1, "p1"), (2, "p2")]


# --- nothing is left open -----------------------------------------------------------------------------------


def test_closing_hangs_up(faults, client_of):
    faults.lay("GET /events/live", live(frame(1), then="open"))
    taken(client_of(faults.url).watch_events(), 1)
    assert faults.gone.wait(10)


def test_closing_the_client_hangs_up(faults, client_of):
    faults.lay("GET /events/live", live(frame(1), then="open"))
    client = client_of(faults.url)
    events = client.watch_events()
    next(events)
    client.client.close() if isinstance(client, Blocking) else client.loop.run_until_complete(client.client.close())
    assert faults.gone.wait(10)
    events.close()


LEAVING = """
import asyncio
from nebula_client import AsyncNebulaClient, NebulaClient

async def main():
    async with AsyncNebulaClient({url!r}) as client:
        async for event in client.watch_events():
            break

asyncio.run(main())
with NebulaClient({url!r}) as client:
    for event in client.watch_events():
        break
NebulaClient({url!r}).close()
"""


def test_who_leaves_at_the_very_end_hears_nothing_of_it(faults):
    faults.lay("GET /events/live", *[live(frame(1), then="open")] * 2)
    command = [sys.executable, "-W", "error", "-c", LEAVING.format(url=faults.url)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_leaving_a_loop_hangs_up(faults):
    faults.lay("GET /events/live", live(frame(1), then="open"))
    with NebulaClient(faults.url) as client:
        for _ in client.watch_events():
            break
        assert faults.gone.wait(10)


async def test_leaving_an_asynchronous_loop_hangs_up(faults):
    faults.lay("GET /events/live", live(frame(1), then="open"))
    async with AsyncNebulaClient(faults.url) as client:
        async for _ in client.watch_events():
            break
        assert await asyncio.to_thread(faults.gone.wait, 10)


async def test_cancelling_hangs_up(faults):
    faults.lay("GET /events/live", live(frame(1), then="open"))
    async with AsyncNebulaClient(faults.url) as client:
        begun = asyncio.Event()

        async def watch():
            async with aclosing(client.watch_events()) as events:
                async for _ in events:
                    begun.set()

        task = asyncio.create_task(watch())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(faults.gone.wait, 10)
        assert client._driver._http._transport._pool.connections == []


def test_an_error_of_the_reader_hangs_up(faults, client_of):
    faults.lay("GET /events/live", live(frame(1), then="open"))
    events = client_of(faults.url).watch_events()

    def read():
        with closing(events):
            return [1 // 0 for _ in events]

    with pytest.raises(ZeroDivisionError):
        read()
    assert faults.gone.wait(10)


# --- one stream ---------------------------------------------------------------------------------------------


def test_a_stream_is_shown_as_it_is_and_with_each_change(deployed, client_of, terms, payer, payee):
    with NebulaClient(deployed.url, signer=payer) as other:
        stream = other.create_stream(**terms)
        ripe(other, stream.id)
        shown = client_of(deployed.url).watch_stream(stream.id)
        with closing(shown):
            assert next(shown).id == stream.id

            def act():
                other.withdraw_from_stream(stream.id, signer=payee)
                ripe(other, stream.id)
                other.cancel_stream(stream.id)

            acting = threading.Thread(target=act)
            acting.start()
            withdrawn = next(one for one in shown if int(one.withdrawn or 0) > 0)
            if withdrawn.status == StreamStatus.ACTIVE:
                assert next(one for one in shown if one.status != StreamStatus.ACTIVE).status == StreamStatus.CANCELED
            acting.join(30)


def test_a_stream_is_shown_when_the_clock_completes_it(deployed, client_of, terms, payer):
    with NebulaClient(deployed.url, signer=payer) as other:
        stream = other.create_stream(**{**terms, "duration": 3})
    with closing(client_of(deployed.url).watch_stream(stream.id)) as shown:
        seen = [next(shown)]
        while seen[-1].status != StreamStatus.COMPLETED:
            seen.append(next(shown))
    assert seen[-1].unlocked == stream.amount


def test_what_nobody_announces_is_found_by_looking(deployed, client_of, terms, payer, monkeypatch):
    """V1 is cancelled without an event."""
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.5)
    with NebulaClient(deployed.url, signer=payer) as other:
        stream = other.create_stream(**terms, contract_id=deployed.v1)
        ripe(other, stream.id)
        # a connection that is made again brings a sign of life at once
        with closing(client_of(deployed.url).watch_stream(stream.id, silence=0.5)) as shown:
            next(shown)
            acting = threading.Thread(target=lambda: other.cancel_stream(stream.id))
            acting.start()
            assert next(one for one in shown if one.status != StreamStatus.ACTIVE).status == StreamStatus.CANCELED
            acting.join(30)


def test_a_stream_is_watched_over_failures_and_another_history(deployed, proxy, client_of, terms, payer):
    with NebulaClient(deployed.url, signer=payer) as other:
        stream = other.create_stream(**terms)
        ripe(other, stream.id)
        reset = b'id: q\nevent: reset\ndata: {"code": "other-epoch", "detail": "Another history."}\n\n'
        proxy.lay("GET /events/live", live(QUICK + b"id: p\n\n", reset), cut)
        client = client_of(proxy.url, max_retries=0)
        with closing(client.watch_stream(stream.id)) as shown:
            next(shown)
            proxy.lay("GET /streams", problem(503, "database-busy"), cut, problem(429, "rate-limited", Retry_After="0"))
            acting = threading.Thread(target=lambda: other.cancel_stream(stream.id))
            acting.start()
            assert next(one for one in shown if one.status != StreamStatus.ACTIVE).status == StreamStatus.CANCELED
            acting.join(30)
    assert proxy.count("GET /events/live") >= 3


def test_only_what_may_be_the_streams_has_it_read_again():
    from nebula_client import Stream
    from nebula_client._core.sse import Frame

    stream = Stream.model_construct(stream_id="17", token_address="CTOKEN")

    def ledgers(decoded):
        return watching._ledgers([Frame(data=json.dumps({**event(5), "decoded": decoded}), id="p")], stream)

    assert ledgers({"topics": ["17", "claim"], "value": {}}) == [5]
    assert ledgers({"topics": ["claim"], "value": {"data": [{"id": 17}]}}) == [5]
    assert ledgers({"topics": ["rebalance"], "value": ["CTOKEN"]}) == [5]
    assert ledgers(None) == [5]
    assert ledgers({"topics": ["18", "claim"], "value": {"amount": "170"}}) == []


# --- one invoice link -----------------------------------------------------------------------------------------


def test_a_link_is_watched_until_it_is_paid(deployed, client_of, terms, payer, payee):
    with NebulaClient(deployed.url, signer=payee) as owner:
        link = owner.create_invoice_link(**terms)
        with closing(client_of(deployed.url).watch_invoice_link(link.slug)) as states:
            assert next(states).status == "DRAFT"
            paying = threading.Thread(target=lambda: owner.pay_invoice_link(link.slug, signer=payer))
            paying.start()
            paid = next(state for state in states if state.status == "COMPLETED")
            paying.join(30)
        assert paid.stream_id == owner.get_invoice_link(link.slug).stream_id


def test_a_link_that_is_deleted_ends_its_watching(deployed, client_of, terms, payee):
    client = client_of(deployed.url, signer=payee)
    link = client.create_invoice_link(**terms)
    states = client.watch_invoice_link(link.slug)
    assert next(states).status == "DRAFT"
    client.delete_invoice_link(link.id)
    assert list(states) == []
    with pytest.raises(NotFoundError):
        next(client.watch_invoice_link(link.slug))


def test_a_link_is_shown_once_over_many_connections(faults, client_of):
    def state(status: str, at: int) -> bytes:
        body = {"status": status, "updatedAt": f"2030-01-01T00:00:0{at}Z"}
        return f"event: status\ndata: {json.dumps(body)}\n\n".encode()

    faults.lay(
        "GET /invoice-links/slug/live",
        live(QUICK + state("DRAFT", 1), b": heartbeat\n\n", then="cut"),
        live(state("DRAFT", 1), b"event: bye\ndata: {}\n\n"),
        live(state("DRAFT", 1) + state("SIGNED", 2), then="cut"),
        live(state("COMPLETED", 3) + b"event: gone\ndata: {}\n\n", then="open"),
    )
    found = list(client_of(faults.url).watch_invoice_link("slug"))
    assert [one.status for one in found] == ["DRAFT", "SIGNED", "COMPLETED"]


async def test_many_watch_at_the_same_time(faults):
    count = 120
    faults.lay("GET /events/live", *[live(frame(1), then="open")] * count)
    async with AsyncNebulaClient(faults.url) as client:
        watches = [client.watch_events() for _ in range(count)]
        found = await asyncio.gather(*(anext(watch) for watch in watches))
        assert len(found) == count
        await asyncio.gather(*(watch.aclose() for watch in watches))


def test_a_callback_may_wait_too(faults):
    async def run():
        told = []

        async def tell(position):
            await asyncio.sleep(0)
            told.append(position)

        async with AsyncNebulaClient(faults.url) as client, aclosing(client.watch_events(on_position=tell)) as events:
            await anext(events)
            await anext(events)
        return told

    faults.lay("GET /events/live", live(frame(1) + frame(2), then="open"))
    assert asyncio.run(run()) == ["p1"]
