"""Server-Sent Events as Horizon writes them: one event a record, and a goodbye after so many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

STREAM_SECONDS = 55.0
"""After how long Horizon ends a stream; the client is meant to connect again at once."""

HELLO = b'retry: 1000\nevent: open\ndata: "hello"\n\n'
GOODBYE = b'retry: 10\nevent: close\ndata: "byebye"\n\n'
RATE_LIMITED = b"event: error\ndata: Rate limit exceeded\n\n"

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "Access-Control-Allow-Origin": "*",
}


async def serve_stream(
    request: web.Request,
    records: Callable[[str], Awaitable[list[dict[str, Any]]]],
    cursor: str,
    limit: int,
    *,
    may_ask: Callable[[], bool],
    next_ledger: Callable[[], asyncio.Event],
    closing: asyncio.Event,
    seconds: float = STREAM_SECONDS,
) -> web.StreamResponse:
    """Stream records until ``limit`` of them were sent, ``seconds`` are over, or the server closes.

    ``records`` returns what there is behind a cursor, ``next_ledger`` an event that is set when the
    next ledger closes. Each look counts as a request: ``may_ask`` says whether it is allowed. A
    :class:`Problem` of the first look is left to the caller, as nothing was sent by then.
    """
    waiting = next_ledger()
    batch = await records(cursor) if may_ask() else None
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    try:
        await response.write(HELLO)
        while batch is not None:
            for record in batch[:limit]:
                cursor = record["paging_token"]
                await response.write(b"id: " + cursor.encode() + b"\ndata: " + orjson.dumps(record) + b"\n\n")
            limit -= len(batch[:limit])
            if limit <= 0 or not await _wait(waiting, closing, end - loop.time()):
                await response.write(GOODBYE)
                return response
            waiting = next_ledger()
            batch = await records(cursor) if may_ask() else None
        await response.write(RATE_LIMITED)
    except ConnectionError:
        pass  # who asked has gone
    return response


async def _wait(ledger: asyncio.Event, closing: asyncio.Event, seconds: float) -> bool:
    """Wait for the next ledger; return False where the stream has to end first."""
    waits = [asyncio.create_task(ledger.wait()), asyncio.create_task(closing.wait())]
    try:
        await asyncio.wait(waits, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        return ledger.is_set() and not closing.is_set()
    finally:
        for one in waits:
            one.cancel()
