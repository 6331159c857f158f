"""One worker's life: open everything, take requests, and leave without losing one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from stellarstream_core.api.app import all_routes, build_app
from stellarstream_core.api.server import BACKLOG, DRAIN_SECONDS, ApiRunner
from stellarstream_core.api.service import open_service
from stellarstream_core.ops.process import Presence
from stellarstream_core.runtime import Runtime


async def serve(
    runtime: Runtime,
    sock: socket.socket,
    stop: asyncio.Event,
    *,
    shared: bool,
    started: Callable[[], None],
    presence: Presence | None = None,
) -> None:
    """Answer on a listening socket until ``stop`` is set; ``started`` is called once requests are taken.

    ``shared``: other workers take requests from the same socket. ``presence``: a supervisor is told when
    requests are taken, and when no more; then none is taken before the database's commits are followed,
    however long that takes. Raises ``StorageError``, ``SettingsError`` and ``PluginError`` before anything
    is answered. In the end no new connection is accepted, live streams are told and closed, kept connections
    get 'Connection: close' for half a second, and requests that go on have about four seconds more.
    """
    async with open_service(runtime, all_routes, shared=shared) as api:
        if presence is not None and await _stopped_before(api.feed.ready(), stop):
            return
        runner = ApiRunner(build_app(api), api.public_url)
        await runner.setup()
        try:
            site = web.SockSite(runner, sock, backlog=BACKLOG)
            await site.start()
            if presence is not None:
                presence.ready()
            started()
            await stop.wait()
            api.draining = True
            if presence is not None:
                presence.draining()
            await _take_no_more(sock)
            await site.stop()
            # live streams are told first; whoever keeps a connection is told with its next answer
            await asyncio.gather(api.feed.close(DRAIN_SECONDS), _drain(runner))
        finally:
            await runner.cleanup()


async def _take_no_more(sock: socket.socket) -> None:
    """Take no new connection from now on, and let those that were just taken become ones that are answered.

    Where the server is closed in between, asyncio drops them without a word: a reset for whoever had connected.
    """
    asyncio.get_running_loop().remove_reader(sock)
    for _ in range(3):
        await asyncio.sleep(0)


async def _stopped_before(ready: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Tell whether ``stop`` was set before something was ready."""
    tasks = [asyncio.ensure_future(ready), asyncio.ensure_future(stop.wait())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    return tasks[0] not in done


async def _drain(runner: web.AppRunner) -> None:
    if runner.server is not None and runner.server.connections:
        await asyncio.sleep(DRAIN_SECONDS)
