"""The ``soroban-rpc`` chain client: getLedgerEntries of the endpoints of ``rpc_url``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stellarstream_core.chain import LedgerEntries, LedgerEntry
from stellarstream_core.endpoints.http import Transport
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import SourceUnavailableError
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.settings import Settings
from stellarstream_soroban_rpc.chain_endpoint import ChainEndpoint
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.entries import MOST_KEYS
from stellarstream_soroban_rpc.failures import LaggingError
from stellarstream_soroban_rpc.pool import NoneUsableError, RpcPool
from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings

_ATTEMPTS_IN_TIME = 3
"""One silent endpoint may take that part of the time: two others still get their turn."""
_GIVE_UP = 0.8
"""The part of the time after which no new attempt begins, so that the last failure can be told."""
_BACKOFF, _MAX_BACKOFF = 0.25, 2.0


class SorobanRpcChainClient:
    """Reads ledger entries as they are now. Implements the ``ChainClient`` protocol.

    Somebody waits for the answer, so that retries are as many as fit into ``chain_seconds`` and no more.
    """

    name = SECTION

    def __init__(self, settings: Settings, timing: Timing | None = None) -> None:
        own = settings.section(SorobanRpcSettings)
        self._seconds = own.chain_seconds
        self._closed = False
        timing = timing or Timing()
        self._transport = Transport(
            max_in_flight=own.chain_in_flight,
            timeout_seconds=min(own.timeout_seconds, own.chain_seconds / _ATTEMPTS_IN_TIME),
            max_response_bytes=own.max_response_bytes,
            timing=timing,
        )
        hurried = own.model_copy(
            update={
                "retry_seconds": min(own.retry_seconds, own.chain_seconds * _GIVE_UP),
                "backoff_seconds": min(own.backoff_seconds, _BACKOFF),
                "max_backoff_seconds": min(own.max_backoff_seconds, _MAX_BACKOFF),
            }
        )
        endpoints = [ChainEndpoint(RpcClient(url, self._transport), settings.passphrase) for url in settings.rpc_urls]
        self._pool: RpcPool[ChainEndpoint] = RpcPool(endpoints, hurried, timing)

    async def ledger_entries(self, keys: Sequence[bytes]) -> LedgerEntries:
        """Return the entries of these keys (XDR of ``LedgerKey``), keys that do not exist left out.

        More than 200 keys take several requests, each answered no earlier in the chain than the one before:
        a node that is behind what was answered already is passed over. Raises ``SourceError``.
        """
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            raise ValueError("no key was given to ask for")
        ledger = newest = 0
        found: dict[bytes, LedgerEntry] = {}
        try:
            async with asyncio.timeout(self._seconds):
                for begin in range(0, len(wanted), MOST_KEYS):
                    answer = await self._ask(wanted[begin : begin + MOST_KEYS], newest)
                    newest = answer.ledger
                    ledger = ledger or answer.ledger
                    found |= answer.entries
        except TimeoutError:
            raise SourceUnavailableError(
                f"No Soroban RPC endpoint answered getLedgerEntries within {self._seconds:g} seconds."
            ) from None
        except NoneUsableError as none:
            raise SourceUnavailableError(none.detail, help="Check 'rpc_url' and 'network' in the settings.") from None
        return LedgerEntries(ledger, found)

    async def _ask(self, keys: Sequence[bytes], newest: int) -> LedgerEntries:
        async def question(endpoint: ChainEndpoint) -> LedgerEntries:
            if self._closed:
                raise SourceUnavailableError("The chain client is closed.")
            answer = await endpoint.ledger_entries(keys)
            if answer.ledger < newest:
                raise LaggingError(f"{endpoint.shown} is at ledger {answer.ledger}, and {newest} was answered already.")
            return answer

        return await self._pool.ask(question, LAST_LEDGER)

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        self._closed = True
        await self._transport.close()
