"""The live stream as it is served: whose readers there may be, and what /metrics tells of them."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace

from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.api.resources import live as resource
from stellarstream_core.testing.api import serving
from stellarstream_core.testing.scripted import made_event
from tests.api.conftest import store
from tests.api.kit import ACCOUNT, A
from tests.api.live.kit import Connection, EventSource, until
from tests.api.test_metrics import samples

LIVE = "/api/v1/events/live"


class Live(Connection):
    """A connection to a served stream, from any address of this machine."""

    @classmethod
    async def at(cls, api, address: str = "127.0.0.1", *headers: str) -> Live:
        port = int(api.url.rpartition(":")[2])
        streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        connection = cls(EventSource(), *streams)
        head = [f"GET {LIVE} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream", *headers]
        connection.writer.write("\r\n".join([*head, "", ""]).encode())
        status = await connection.reader.readuntil(b"\r\n\r\n")
        connection.status = int(status.split()[1])
        return connection


def impatient(api) -> None:
    """Let the service notice soon who is gone: it does with the next heartbeat."""
    api.service.feed.limits = replace(api.service.feed.limits, heartbeat_seconds=0.2)


async def test_one_client_and_one_account_hold_so_many_streams_and_others_are_served(runtime_of, sqlite_url):
    async with serving(runtime_of(sqlite_url, live_readers_per_client=2)) as api:
        impatient(api)
        key = create_key(api.service.database.storage, account=ACCOUNT, scopes=["read"]).key.get_secret_value()
        streams = [await Live.at(api) for _ in range(2)]
        assert [one.status for one in streams] == [200, 200]
        refused = await Live.at(api)
        assert refused.status == 429
        assert b'"code":"too-many-readers-of-client"' in await refused.reader.read(4096)

        with_key = f"X-API-Key: {key}"
        streams += [await Live.at(api, f"127.0.0.{number}", with_key) for number in (2, 3)]
        assert [one.status for one in streams[2:]] == [200, 200]
        assert (await Live.at(api, "127.0.0.4", with_key)).status == 429, "the account has two, wherever it is"
        streams.append(await Live.at(api, "127.0.0.4"))
        assert streams[-1].status == 200

        for one in streams:
            one.cut()
        await until(lambda: api.service.feed.readers == 0)
        assert (await Live.at(api)).status == 200


async def test_metrics_tell_of_readers_of_events_sent_and_of_who_was_dropped(client, runtime_of, sqlite_url):
    async def told(name: str, *labels: tuple[str, str]) -> float:
        async with client.get(f"{api.url}/metrics") as answer:
            return samples(await answer.read()).get((f"stellarstream_{name}", *labels), 0.0)

    async with serving(runtime_of(sqlite_url)) as api:
        impatient(api)
        connections = [await Live.at(api) for _ in range(3)]
        assert await told("live_readers") == 3
        with closing(runtime_of(sqlite_url).open_storage()) as storage:
            await asyncio.to_thread(store, storage, (10, 11), [A], [made_event(10, 1, k, A) for k in range(4)])
        for one in connections:
            await one.read_until(lambda one=one: len(one.source.ids) == 4)
        assert await told("live_events_pushed_total") == 12
        assert await told("live_readers_dropped_total", ("reason", "too-slow")) == 0
        api.service.feed.drop("too-slow")
        assert await told("live_readers_dropped_total", ("reason", "too-slow")) == 1
        for one in connections:
            one.cut()
        await until(lambda: api.service.feed.readers == 0)
        assert await told("live_readers") == 0


async def test_a_stream_that_fails_before_it_begins_leaves_no_reader(runtime_of, sqlite_url, monkeypatch):
    async with serving(runtime_of(sqlite_url)) as api:
        with monkeypatch.context() as patched:
            patched.setattr(resource, "add_common_headers", _fail)
            assert (await Live.at(api)).status == 500
        assert api.service.feed.readers == 0
        assert (await Live.at(api)).status == 200


def _fail(*_):
    raise ZeroDivisionError
