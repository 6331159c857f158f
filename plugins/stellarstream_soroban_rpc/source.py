"""The ``soroban-rpc`` source: getEvents, or queryEvents where a node offers it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from loguru import logger

from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Unserved, Window
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.failures import AttemptError
from stellarstream_soroban_rpc.pages import IDS_PER_REQUEST, QUERY_IDS_PER_REQUEST
from stellarstream_soroban_rpc.rpc_source import RpcSource
from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings
from stellarstream_soroban_rpc.windows import Reader


class SorobanRpcSource(RpcSource[Endpoint]):
    """Reads contract events from the endpoints of ``rpc_url``. Implements the ``Source`` protocol."""

    name = SECTION
    help_if_unusable = "Name an endpoint with stellar-rpc v23 or later in 'rpc_url'."

    def __init__(self, settings: Settings, timing: Timing | None = None) -> None:
        super().__init__(settings, _endpoint, timing)

    async def windows(self, wanted: LedgerRange, scope: Scope) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted`` for each contract of ``scope``."""
        gaps, here = await self._held(wanted, scope)
        for gap in gaps:
            yield gap
        if here is None:
            return
        size = QUERY_IDS_PER_REQUEST if await self._offers_query_events() else IDS_PER_REQUEST
        async with aclosing(Reader(self._pool, self.name).run(here, scope, size)) as items:
            async for item in items:
                yield item

    async def _offers_query_events(self) -> bool:
        """Tell whether the preferred endpoint has queryEvents; asks each once that was checked."""
        offers = []
        for endpoint in self._pool.usable:
            if not endpoint.checked:
                continue
            try:
                offers.append(await endpoint.offers_query_events())
            except AttemptError as error:
                logger.debug("Not known yet whether queryEvents is offered: {}", error)
        return bool(offers and offers[0])


def _endpoint(client: RpcClient, settings: Settings) -> Endpoint:
    query_events = settings.section(SorobanRpcSettings).query_events == "auto"
    return Endpoint(client, settings.passphrase, query_events=query_events)
