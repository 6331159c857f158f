"""The API on a free port of this machine, for tests of routes, plugins' and one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stellarstream_core.api.app import API, all_routes, build_app
from stellarstream_core.api.server import BACKLOG, ApiRunner, address_of, listen
from stellarstream_core.api.service import ApiService, open_service
from stellarstream_core.runtime import Runtime

__all__ = ["API", "Served", "serving"]


@dataclass(frozen=True, slots=True)
class Served:
    """A running API: its address (``http://127.0.0.1:PORT``) and the service behind it."""

    url: str
    service: ApiService


@asynccontextmanager
async def serving(runtime: Runtime) -> AsyncIterator[Served]:
    """Serve a runtime's database as ``stellarstream serve`` does, in this process, for the time of the block.

    The address it listens on is not the one in links: that is ``public_url``, as always.
    """
    from aiohttp import web  # noqa: PLC0415 - the kit is imported by tests that serve nothing, too

    with listen("127.0.0.1", 0) as sock:
        async with open_service(runtime, all_routes) as service:
            runner = ApiRunner(build_app(service), service.public_url)
            await runner.setup()
            try:
                await web.SockSite(runner, sock, backlog=BACKLOG).start()
                yield Served(address_of(sock), service)
            finally:
                await service.feed.close(0.5)
                await runner.cleanup()
