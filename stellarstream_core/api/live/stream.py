"""A live stream as an HTTP answer: writes what a subscription yields, and does not wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import cast

from aiohttp import hdrs, web
from aiohttp.http import StreamWriter

from stellarstream_core.api.live.feed import Feed
from stellarstream_core.api.live.frames import TOO_SLOW, dropped
from stellarstream_core.api.live.subscription import Subscription

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "Content-Type": MEDIA_TYPE,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until a buffer is full
}

_HURRIED_SECONDS = 0.2
"""How long a service that ends waits for a reader whose buffer is full."""


async def stream(
    request: web.Request, feed: Feed, reader: Subscription, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Answer a request with what ``reader`` is to be sent, until it goes, is dropped, or the service ends.

    ``headers`` are sent besides those of a stream. The reader is closed in any case.
    """
    with reader:
        response = web.StreamResponse(headers=headers)
        response.headers.update(HEADERS)
        response.force_close()
        transport = request.transport
        writer = await response.prepare(request)
        if transport is not None and writer is not None and request.method != hdrs.METH_HEAD:
            with suppress(ConnectionError):  # the client has gone
                await _Sending(response, cast(StreamWriter, writer), transport, feed, reader).run()
        return response


class _Sending:
    """One reader being served."""

    def __init__(
        self,
        response: web.StreamResponse,
        writer: StreamWriter,
        transport: asyncio.Transport,
        feed: Feed,
        reader: Subscription,
    ) -> None:
        self._response = response
        self._writer = writer
        self._transport = transport
        self._feed = feed
        self._reader = reader
        self._patience: asyncio.Timeout | None = None
        reader.on_hurry = self._hurry
        reader.on_cut_off = transport.abort

    async def run(self) -> None:
        async with aclosing(self._reader.frames()) as frames:
            async for data in frames:
                if not await self._send(data) and not self._feed.closing:
                    self._feed.drop(TOO_SLOW)
                    await self._end(dropped(), self._feed.limits.linger_seconds)
                    return
        await self._end(b"", _HURRIED_SECONDS)

    async def _send(self, data: bytes) -> bool:
        """Send whole frames, and return whether the client leaves room for more."""
        # what is written is the connection's at once, whole; what may take long is that there is room again
        await self._writer.write(data, drain=False)
        if not self._transport.get_write_buffer_size():
            return True
        seconds = _HURRIED_SECONDS if self._feed.closing else self._feed.limits.stall_seconds
        try:
            async with asyncio.timeout(seconds) as self._patience:
                await self._writer.drain()
        except TimeoutError:
            return False
        finally:
            self._patience = None
        return True

    async def _end(self, word: bytes, seconds: float) -> None:
        """Send the last word and end the answer; cut the connection where that is not taken within some seconds."""
        if word:
            await self._writer.write(word, drain=False)
        # what is left in the buffer is sent after the answer has ended; an abort does nothing to what is closed by then
        asyncio.get_running_loop().call_later(seconds, self._transport.abort)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._response.write_eof()

    def _hurry(self) -> None:
        if self._patience is not None:
            with suppress(RuntimeError):  # it has run out in this very moment
                self._patience.reschedule(asyncio.get_running_loop().time() + _HURRIED_SECONDS)
