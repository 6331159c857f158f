"""Requests with a key, carried out once: what is removed of them beside the requests, and that no request suffers."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiohttp import web

from stellarstream_core.api.database import Database
from stellarstream_core.api.limits import once as module
from stellarstream_core.api.limits.idempotency import KEPT_SECONDS, Idempotency
from stellarstream_core.api.limits.once import Once
from stellarstream_core.storage.tables import ApiIdempotency


def keys_of(storage) -> set[str]:
    found = ApiIdempotency.select(ApiIdempotency.caller).tuples()
    return storage.read(lambda database: {row[0] for row in found.execute(database)})


def forgotten(storage, count: int) -> None:
    """Leave keys that expired long ago."""
    rows = [
        {
            "caller": f"old-{number}",
            "route": "r",
            "key_hash": "k",
            "body_hash": "b",
            "state": "running",
            "started_at": 1,
            "expires_at": 1 + KEPT_SECONDS,
        }
        for number in range(count)
    ]
    storage.write(lambda database: ApiIdempotency.insert_many(rows).execute(database))


async def post(once: Once, caller: str) -> web.StreamResponse:
    call = SimpleNamespace(
        request=SimpleNamespace(path_qs="/x"),
        identity=SimpleNamespace(account=caller),
        route=SimpleNamespace(name="r"),
        claim=None,
        claim_finished=False,
    )

    async def respond(_):
        return web.Response(status=201, body=b"made")

    return await once.once(call, "a-key", b"body", respond)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(module, "SWEEP_ROWS", 10)


@asynccontextmanager
async def opened(storage):
    database = Database(storage)
    try:
        yield Once(database)
    finally:
        await database.close()


async def test_everything_that_has_expired_is_removed_however_much_it_is(storage, at_once):
    forgotten(storage, 95)
    async with opened(storage) as once:
        assert (await post(once, "new")).status == 201
        async with asyncio.timeout(5):
            await once._sweeping
    assert keys_of(storage) == {"new"}


async def test_it_is_looked_for_now_and_then_and_not_with_each_request(storage):
    forgotten(storage, 1)
    async with opened(storage) as once:
        await post(once, "new")
        assert once._sweeping is None
        once._sweep_at = time.monotonic() - 1
        await post(once, "newer")
        await once._sweeping
        before = once._sweeping
        await post(once, "newest")
        assert once._sweeping is before
    assert keys_of(storage) == {"new", "newer", "newest"}


async def test_a_removal_that_waits_or_fails_holds_no_request_up_and_fails_none(storage, at_once, monkeypatch):
    go_on, asked = threading.Event(), []

    def stuck(self, now, limit, *, wait_seconds):
        asked.append((limit, wait_seconds))
        go_on.wait(5)
        raise ZeroDivisionError

    monkeypatch.setattr(Idempotency, "sweep", stuck)
    async with opened(storage) as once:
        async with asyncio.timeout(3):
            for number in range(3):
                assert (await post(once, f"new-{number}")).status == 201
        assert asked == [(10, 0.5)], "one at a time"
        go_on.set()
        await once._sweeping
