"""One worker's life: open everything, take requests, and leave without losing one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from aiohttp import web

from stellarstream_core.api.app import all_routes, build_app
from stellarstream_core.api.server import BACKLOG, DRAIN_SECONDS, ApiRunner
from stellarstream_core.api.service import open_service
from stellarstream_core.runtime import Runtime


async def serve(
    runtime: Runtime, sock: socket.socket, stop: asyncio.Event, *, shared: bool, started: Callable[[], None]
) -> None:
    """Answer on a listening socket until ``stop`` is set; ``started`` is called once requests are taken.

    ``shared``: other workers take requests from the same socket. Raises ``StorageError``,
    ``SettingsError`` and ``PluginError`` before anything is answered. In the end no new connection is
    accepted, live streams are told and closed, kept connections get 'Connection: close' for half a
    second, and requests that go on have about four seconds more.
    """
    async with open_service(runtime, all_routes, shared=shared) as api:
        runner = ApiRunner(build_app(api), api.public_url)
        await runner.setup()
        try:
            site = web.SockSite(runner, sock, backlog=BACKLOG)
            await site.start()
            started()
            await stop.wait()
            api.draining = True
            await site.stop()
            # live streams are told first; whoever keeps a connection is told with its next answer
            await asyncio.gather(api.feed.close(DRAIN_SECONDS), _drain(runner))
        finally:
            await runner.cleanup()


async def _drain(runner: web.AppRunner) -> None:
    if runner.server is not None and runner.server.connections:
        await asyncio.sleep(DRAIN_SECONDS)
