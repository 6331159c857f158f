"""The ``soroban-rpc-ledgers`` source: whole ledgers by getLedgers, which can be proven."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.ledger_windows import LedgerWindows
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import SourceIdentity, Unserved, Window
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.ledgers_endpoint import LedgersEndpoint
from stellarstream_soroban_rpc.ledgers_windows import RangeReader
from stellarstream_soroban_rpc.rpc_source import RpcSource

NAME = "soroban-rpc-ledgers"


class SorobanRpcLedgersSource(RpcSource[LedgersEndpoint]):
    """Reads whole ledgers from the endpoints of ``rpc_url``. Implements the ``Source`` protocol."""

    name = NAME
    help_if_unusable = "Name an endpoint that offers getLedgers in 'rpc_url', or use another source."

    def __init__(self, settings: Settings, timing: Timing | None = None) -> None:
        super().__init__(settings, _endpoint, timing)
        self._settings = settings
        self._links: dict[int, bytes] = {}

    async def identity(self) -> SourceIdentity:
        """Check every endpoint and say what the first usable one is; raises as the other source does."""
        return replace(await super().identity(), proves=self._settings.prove)

    async def windows(self, wanted: LedgerRange, scope: Scope) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted`` for each contract of ``scope``."""
        gaps, here = await self._held(wanted, scope)
        for gap in gaps:
            yield gap
        if here is None:
            return
        ledgers = LedgerWindows.by_settings(self.name, scope, self._settings)
        async with aclosing(RangeReader(self._pool, ledgers, self._links).run(here)) as items:
            async for item in items:
                yield item


def _endpoint(client: RpcClient, settings: Settings) -> LedgersEndpoint:
    return LedgersEndpoint(client, settings.passphrase)
