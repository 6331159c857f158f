"""The live stream of a link: its present state at once, each change, bounds, and an end with a word."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import orjson
import pytest

from stellarstream_core.errors import StorageError
from stellarstream_core.events import format_close_time
from stellarstream_core.testing.api import serving
from stellarstream_invoice_links import seen as seen_module
from stellarstream_invoice_links import watching as watching_module
from stellarstream_invoice_links.seen import Seen, seen_in
from stellarstream_invoice_links.watching import Watching
from tests.api.conftest import store
from tests.api.live.kit import Connection, EventSource, until
from tests.api.test_metrics import samples
from tests.invoice_links.kit import PAYER, put_link, put_payment, put_submission
from tests.invoice_links.page_kit import HASH, change

QUICK = 0.05
"""Seconds between two looks, where a test waits for one."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(watching_module, "LOOK_SECONDS", QUICK)


class Live(Connection):
    """A connection to the stream of a link, from any address of this machine."""

    @classmethod
    async def at(cls, api, slug: str, address: str = "127.0.0.1", limit: int = 65536) -> Live:
        port = int(api.url.rpartition(":")[2])
        streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0), limit=limit)
        connection = cls(EventSource(), *streams)
        target = f"/api/v1/invoice-links/{slug}/live"
        connection.writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode()
        connection.status = int(head.split()[1])
        lines = (line.partition(": ") for line in head.split("\r\n")[1:] if line)
        connection.headers = {name.lower(): value for name, _, value in lines}
        return connection

    @property
    def told(self) -> list[dict]:
        return self.source.words("status")

    async def next_state(self) -> dict:
        """Return the next state that is told."""
        count = len(self.told)
        await self.read_until(lambda: len(self.told) > count)
        return self.told[count]

    async def problem(self) -> str:
        """Return the code of what it was refused with."""
        body = await self.reader.readexactly(int(self.headers["content-length"]))
        return orjson.loads(body)["code"]


def impatient(api) -> None:
    """Let the service notice soon who is gone: it does with the next heartbeat."""
    api.service.feed.limits = replace(api.service.feed.limits, heartbeat_seconds=0.2)


def watchers(api) -> int:
    return len(api.service.part(Watching))


# --- what is told -----------------------------------------------------------------------------------


async def test_the_present_state_comes_at_once_then_each_change_of_it(api_of, database_url):
    api = await api_of(database_url)
    storage = api.service.database.storage
    link = put_link(storage)
    live = await Live.at(api, link.slug)
    assert (live.status, live.headers["content-type"]) == (200, "text/event-stream")
    made = format_close_time(link.created_at)
    assert await live.next_state() == {"status": "DRAFT", "updatedAt": made}
    assert 2_000 < live.source.retry < 4_000
    put_submission(storage, link, HASH)
    assert await live.next_state() == {"status": "SIGNED", "txHash": HASH, "updatedAt": made}
    paid = put_payment(storage, link, 7).completed
    assert await live.next_state() == {
        "status": "COMPLETED",
        "txHash": paid.tx_hash,
        "streamId": paid.stream,
        "updatedAt": made,
    }
    live.cut()


async def test_nothing_is_told_twice(api_of, sqlite_url):
    api = await api_of(sqlite_url)
    impatient(api)
    link = put_link(api.service.database.storage)
    live = await Live.at(api, link.slug)
    await live.read_until(lambda: live.source.comments >= 2)
    assert len(live.told) == 1
    live.cut()


async def test_time_alone_changes_a_state(api_of, sqlite_url, monkeypatch):
    clock = 1_800_000_000.0
    monkeypatch.setattr(watching_module, "time", lambda: clock)
    api = await api_of(sqlite_url)
    link = put_link(api.service.database.storage, now=int(clock), expires_at=int(clock) + 60)
    live = await Live.at(api, link.slug)
    assert (await live.next_state())["status"] == "DRAFT"
    clock += 60
    assert (await live.next_state())["status"] == "EXPIRED"
    live.cut()


@pytest.mark.parametrize("over", [{"expires_at": 1}, {"canceled_at": 2}])
async def test_a_link_that_is_over_is_followed_too_for_a_payment_may_be_indexed_later(api_of, sqlite_url, over):
    api = await api_of(sqlite_url)
    storage = api.service.database.storage
    link = put_link(storage, now=0, **over)
    live = await Live.at(api, link.slug)
    assert (await live.next_state())["status"] in {"EXPIRED", "CANCELED"}
    put_payment(storage, link)
    assert (await live.next_state())["status"] == "COMPLETED"
    live.cut()


async def test_an_unknown_link_has_no_stream(api_of, database_url):
    api = await api_of(database_url)
    put_link(api.service.database.storage, slug="SomebodyKnow")
    for slug in ("nobodyKnows1", "somebodyknow", "a" * 64, "..%2Fx", "%F0%9F%92%B8", "SomebodyKnow%20"):
        live = await Live.at(api, slug)
        assert (live.status, await live.problem()) == (404, "link-not-found"), slug
    assert watchers(api) == 0


async def test_a_deleted_link_has_no_stream_and_one_that_is_open_ends_with_a_word(api_of, sqlite_url):
    api = await api_of(sqlite_url)
    storage = api.service.database.storage
    link, paid = put_link(storage), put_payment(storage, put_link(storage, deleted_at=5))
    live = await Live.at(api, link.slug)
    await live.next_state()
    change(storage, link, deleted_at=int(time.time()))
    await live.read_to_end()
    assert live.source.words("gone") == [{"code": "link-not-found", "detail": "The link was deleted."}]
    assert live.whole
    assert (await Live.at(api, link.slug)).status == 404
    other = await Live.at(api, paid.slug)
    assert (await other.next_state())["status"] == "COMPLETED", "what was paid stays"
    other.cut()


async def test_a_commit_is_followed_by_a_look_sooner_than_the_next_one(api_of, sqlite_url, monkeypatch):
    monkeypatch.setattr(watching_module, "LOOK_SECONDS", 3600)
    monkeypatch.setattr(watching_module, "SHORTEST_SECONDS", 0)
    monkeypatch.setattr(watching_module, "AFTER_COMMIT_SECONDS", 0)
    api = await api_of(sqlite_url)
    storage = api.service.database.storage
    link = put_link(storage)
    live = await Live.at(api, link.slug)
    await live.next_state()
    change(storage, link, canceled_at=int(time.time()))
    await asyncio.to_thread(store, storage, (10, 10), [link.terms.contract], [])
    assert (await live.next_state())["status"] == "CANCELED"
    live.cut()


# --- one query for all ------------------------------------------------------------------------------


async def test_many_watchers_of_many_links_are_one_read_and_hold_nothing_between_two(api_of, sqlite_url, monkeypatch):
    api = await api_of(sqlite_url, live_readers_per_client=100)
    storage = api.service.database.storage
    links = [put_link(storage) for _ in range(12)]
    monkeypatch.setattr(watching_module, "LOOK_SECONDS", 3600)
    open_streams = [await Live.at(api, link.slug) for link in links for _ in range(3)]
    for live in open_streams:
        await live.next_state()
    reads: list[int] = []

    def counted(slugs, now, database):
        reads.append(len(slugs))
        return seen_in(slugs, now, database)

    monkeypatch.setattr(watching_module, "seen_in", counted)
    for link in links[:2]:
        change(storage, link, canceled_at=int(time.time()))
    await api.service.part(Watching)._look()
    assert reads == [12]
    for live in open_streams[:6]:
        assert (await live.next_state())["status"] == "CANCELED"
    # every thread of the database is free, with 36 streams open
    await asyncio.gather(*(api.service.database.run(storage.totals) for _ in range(8)))
    for live in open_streams:
        live.cut()


async def test_nothing_is_read_while_nobody_watches(api_of, sqlite_url, monkeypatch):
    api = await api_of(sqlite_url)
    impatient(api)
    link = put_link(api.service.database.storage)
    live = await Live.at(api, link.slug)
    await live.next_state()
    live.cut()
    await until(lambda: watchers(api) == 0)
    await until(api.service.part(Watching)._looking.done)


def test_a_look_at_more_links_than_one_statement_takes_finds_them_all(kept_storage, monkeypatch):
    monkeypatch.setattr(seen_module, "MOST_IN_ONE", 4)
    slugs = [put_link(kept_storage).slug for _ in range(9)]
    found = kept_storage.read(lambda database: seen_in([*slugs, "nobodyKnows1"], time.time(), database))
    assert set(found) == set(slugs)
    assert {seen.status for seen in found.values()} == {"DRAFT"}


# --- bounds -----------------------------------------------------------------------------------------


async def test_a_worker_keeps_so_many_pages_up_to_date(api_of, sqlite_url):
    api = await api_of(sqlite_url, sections={"invoice-links": {"most_watchers": 2}})
    impatient(api)
    link = put_link(api.service.database.storage)
    streams = [await Live.at(api, link.slug) for _ in range(2)]
    refused = await Live.at(api, link.slug)
    assert (refused.status, await refused.problem()) == (503, "too-many-readers")
    for live in streams:
        live.cut()
    await until(lambda: watchers(api) == 0)
    assert (await Live.at(api, link.slug)).status == 200


async def test_one_client_holds_so_many_streams_and_others_are_served(api_of, sqlite_url):
    api = await api_of(sqlite_url, live_readers_per_client=2)
    link = put_link(api.service.database.storage)
    assert [(await Live.at(api, link.slug)).status for _ in range(2)] == [200, 200]
    refused = await Live.at(api, link.slug)
    assert (refused.status, await refused.problem()) == (429, "too-many-readers-of-client")
    assert (await Live.at(api, link.slug, "127.0.0.2")).status == 200


async def test_a_stream_that_is_refused_or_fails_leaves_no_watcher(api_of, sqlite_url, monkeypatch):
    api = await api_of(sqlite_url)
    link = put_link(api.service.database.storage)

    def down(*_args):
        raise StorageError("The database is gone.")

    with monkeypatch.context() as patched:
        patched.setattr(watching_module, "seen_in", down)
        assert (await Live.at(api, link.slug)).status == 503
    assert (await Live.at(api, "nobodyKnows1")).status == 404
    assert watchers(api) == 0
    assert (await Live.at(api, link.slug)).status == 200


async def test_a_database_that_is_away_for_a_while_ends_no_stream(api_of, sqlite_url, monkeypatch):
    api = await api_of(sqlite_url)
    storage = api.service.database.storage
    link = put_link(storage)
    live = await Live.at(api, link.slug)
    await live.next_state()
    failed = 0

    def down(*_args):
        nonlocal failed
        failed += 1
        raise StorageError("The database is gone.")

    with monkeypatch.context() as patched:
        patched.setattr(watching_module, "seen_in", down)
        change(storage, link, canceled_at=int(time.time()))
        await until(lambda: failed >= 2)
    assert (await live.next_state())["status"] == "CANCELED"
    live.cut()


async def test_a_watcher_that_takes_nothing_is_dropped(api_of, sqlite_url, monkeypatch):
    api = await api_of(sqlite_url)
    feed = api.service.feed
    feed.limits = replace(feed.limits, heartbeat_seconds=0.01, stall_seconds=0.2, linger_seconds=0.2)
    # a state of megabytes fills the buffers, as years of small ones would
    big = b"event: status\ndata: %b\n\n" % (b'"' + b"x" * 8_000_000 + b'"')
    monkeypatch.setattr(Seen, "frame", lambda self: big)
    link = put_link(api.service.database.storage)
    live = await Live.at(api, link.slug, limit=1024)
    await until(lambda: watchers(api) == 0)
    assert feed.dropped == 1
    live.cut()


# --- the end ----------------------------------------------------------------------------------------


async def test_a_service_that_ends_says_so_and_keeps_nobody(runtime_of, sqlite_url):
    async with serving(runtime_of(sqlite_url)) as api:
        link = put_link(api.service.database.storage)
        live = await Live.at(api, link.slug)
        await live.next_state()
        part = api.service.part(Watching)
        ending = asyncio.create_task(api.service.feed.close(2))
        await live.read_to_end()
        assert live.source.messages[-1].event == "bye"
        assert live.whole
        await ending
        assert (await Live.at(api, link.slug)).status == 503
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1.5, "nobody was waited for"
    assert len(part) == 0


async def test_metrics_count_open_pages_as_live_streams(api_of, sqlite_url, client):
    api = await api_of(sqlite_url)
    impatient(api)
    link = put_link(api.service.database.storage)

    async def readers() -> float:
        async with client.get(f"{api.url}/metrics") as answer:
            return samples(await answer.read()).get(("stellarstream_live_readers",), 0.0)

    live = await Live.at(api, link.slug)
    assert await readers() == 1
    live.cut()
    await until(lambda: watchers(api) == 0)
    assert await readers() == 0


async def test_who_watches_learns_nothing_private(api_of, sqlite_url):
    api = await api_of(sqlite_url)
    storage = api.service.database.storage
    link = put_payment(storage, put_link(storage), payer=PAYER)
    live = await Live.at(api, link.slug)
    assert set(await live.next_state()) == {"status", "txHash", "streamId", "updatedAt"}
    live.cut()
