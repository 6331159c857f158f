"""``Idempotency-Key`` around a handler: claim the key, answer, and keep the answer for who asks again.

Keys that have expired are removed meanwhile, beside the requests: a worker looks for them once a minute,
and goes on until none is left, so that the table is as large as a day's requests however many they are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

from aiohttp import hdrs, web
from loguru import logger

from stellarstream_core.api.database import Database
from stellarstream_core.api.limits.idempotency import (
    IDEMPOTENCY_PROBLEMS,
    SWEEP_ROWS,
    Begun,
    Idempotency,
    Replay,
    check_key,
    hash_request,
)
from stellarstream_core.api.pipeline import CLIENT
from stellarstream_core.api.problems import TimedOutError
from stellarstream_core.api.routes import NO_STORE, Call
from stellarstream_core.errors import StellarStreamError

__all__ = ["IDEMPOTENCY_PROBLEMS", "REPLAYED", "Once"]

REPLAYED = "Idempotency-Replayed"
"""The header of an answer that was given before."""

SWEEP_SECONDS = 60.0
"""How often a worker that gets keys looks for expired ones."""
SWEEP_WAITS_SECONDS = 0.5
"""How long a removal waits for its turn to write; the next one removes what it did not."""

Respond = Callable[[Call[Any, Any, Any]], Awaitable[web.StreamResponse]]


class Once:
    """Carries out a request with a key once. What failed, whoever was at fault, may be sent again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = Idempotency(database.storage)
        self._sweep_at = time.monotonic() + SWEEP_SECONDS
        self._sweeping: asyncio.Task[None] | None = None

    async def once(self, call: Call[Any, Any, Any], key: str, raw: bytes, respond: Respond) -> web.StreamResponse:
        """Answer a request: by ``respond``, with the claim as ``call.claim``, or with what it was answered before.

        Raises ``IDEMPOTENCY_PROBLEMS``, and what ``respond`` raises.
        """
        body_hash = hash_request(raw, call.request.path_qs)
        caller = call.identity.account if call.identity is not None else f"client {call.request[CLIENT].group}"
        found = await self._database.write(
            self._keys.begin, caller, call.route.name, check_key(key), body_hash, int(time.time())
        )
        self._begin_sweep()
        if isinstance(found, Replay):
            headers = [*found.headers, (REPLAYED, "true"), (hdrs.CACHE_CONTROL, NO_STORE)]
            return web.Response(status=found.status, headers=headers, body=found.body)
        call.claim = found
        try:
            response = await respond(call)
        except TimedOutError:  # as with a cancelled request, a thread may still be at it: let the lease run out
            raise
        except Exception:
            await self._give_back(found)
            raise
        if response.status >= 500 or not isinstance(response, web.Response):
            await self._give_back(found)
        elif not call.claim_finished:
            await self._keep(found, response)
        return response

    async def _keep(self, begun: Begun, response: web.Response) -> None:
        body = response.body if isinstance(response.body, bytes) else b""
        try:
            await self._database.write(
                self._keys.finish, begun, response.status, response.headers.items(), body, int(time.time())
            )
        except StellarStreamError as error:  # what was asked for is done, and the client has to hear so
            logger.warning("the answer to {} was not kept for its Idempotency-Key: {}", begun.route, error)

    def _begin_sweep(self) -> None:
        """Remove expired keys beside the requests, where it is time for that and it is not being done."""
        if time.monotonic() < self._sweep_at or (self._sweeping is not None and not self._sweeping.done()):
            return
        self._sweep_at = time.monotonic() + SWEEP_SECONDS
        # in a context of its own: the log must not take it for a part of the request
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep(), context=Context())

    async def _sweep(self) -> None:
        try:
            removed = SWEEP_ROWS
            while removed >= SWEEP_ROWS:
                removed = await self._database.write(
                    self._keys.sweep, int(time.time()), SWEEP_ROWS, wait_seconds=SWEEP_WAITS_SECONDS
                )
        except Exception as error:  # whatever it is, no request is to hear of it
            logger.info("expired idempotency keys were not removed: {}", error)

    async def _give_back(self, begun: Begun) -> None:
        with suppress(StellarStreamError):  # its lease runs out by itself
            await self._database.write(self._keys.abandon, begun)
