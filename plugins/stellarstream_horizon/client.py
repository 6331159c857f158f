"""A thin Horizon client: one GET, one JSON object or one named failure; and streams of server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from loguru import logger

from stellarstream_core.endpoints.address import Address
from stellarstream_core.endpoints.failures import AttemptError, TimedOutError, UnreachableError, WrongAnswerError
from stellarstream_core.endpoints.http import PAUSE_STATUSES, TIMEOUT_STATUSES, Transport
from stellarstream_horizon.failures import GoneError, NotFoundError, RequestRefusedError, UnreadableError
from stellarstream_horizon.pace import Pace
from stellarstream_horizon.sse import OverlongEventError, SseEvent, SseReader

JsonObject = dict[str, Any]
Params = Mapping[str, str | int]

EVENT_STREAM = "text/event-stream"
_JSON = {"Accept": "application/hal+json, application/json"}


class HorizonClient:
    """Asks one server, at the pace that it allows."""

    def __init__(self, url: str, transport: Transport) -> None:
        self._address = Address(url, "horizon_url")
        self.shown = self._address.shown
        self._transport = transport
        self._pace = Pace(transport.timing)
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._query = parts.query

    def _url(self, path: str, params: Params) -> str:
        """Return a resource's address: the server may live below a path, and take a key in the query."""
        query = "&".join(part for part in (self._query, urlencode(params)) if part)
        return f"{self._base}{path}?{query}" if query else f"{self._base}{path}"

    async def get(self, path: str, params: Params | None = None) -> JsonObject:
        """Return a resource; raise an :class:`AttemptError` where there is none to be had."""
        async with self._transport.gate:
            await self._pace.turn()  # inside the gate, so that nothing is on its way that knows no pace yet
            url = self._url(path, params or {})
            async with self._transport.request("GET", url, self.shown, headers=_JSON) as response:
                self._pace.learn(response.headers)
                if response.status != 200:
                    raise await self._refusal(response)
                body = await self._transport.read(response, self.shown)
        logger.debug("{} answered {} with {} bytes", self.shown, path, len(body))
        return self._object(body)

    async def records(self, path: str, params: Params) -> list[JsonObject]:
        """Return the records of a page."""
        embedded = (await self.get(path, params)).get("_embedded")
        records = embedded.get("records") if isinstance(embedded, dict) else None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise UnreadableError(f"{self.shown} answered {_kind(path)} with something that is not a page.")
        return records

    async def stream(self, path: str, params: Params, reader: SseReader, idle: float) -> AsyncGenerator[SseEvent, None]:
        """Yield a stream's events until the server ends it; raise an :class:`AttemptError` where it fails.

        ``reader`` keeps the last event's id, from which a new connection goes on. ``idle`` is how
        many seconds may pass without a byte. A stream is none of the requests that are limited in number.
        """
        headers = {"Accept": EVENT_STREAM, "Cache-Control": "no-cache"}
        if reader.last_id:
            headers["Last-Event-ID"] = reader.last_id
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._transport.timeout_seconds, sock_read=idle)
        url = self._url(path, params)
        async with self._transport.request("GET", url, self.shown, headers=headers, limits=limits) as response:
            if response.status != 200:
                raise await self._refusal(response)
            if response.content_type != EVENT_STREAM:
                raise RequestRefusedError(f"{self.shown} does not stream.", "Accept")
            async for piece in response.content.iter_any():
                try:
                    events = reader.feed(piece)
                except OverlongEventError:
                    raise WrongAnswerError(f"{self.shown} streams an event without end.") from None
                for event in events:
                    yield event

    def words(self, text: str) -> str:
        """Return a server's words fit to be shown."""
        return self._address.scrub(text)

    # --- what is not an answer ---------------------------------------------------------------

    async def _refusal(self, response: aiohttp.ClientResponse) -> AttemptError:
        """Return what a status means. Horizon explains itself in a problem (RFC 7807)."""
        status = response.status
        problem = await self._problem(response)
        title = problem.get("detail") if status == 400 else problem.get("title")
        said = f": {self.words(title).rstrip('.')}" if isinstance(title, str) and title else ""
        message = f"{self.shown} answered HTTP {status}{said}."
        if status in PAUSE_STATUSES:
            return UnreachableError(message, retry_after=self._transport.retry_after(response))
        if status in TIMEOUT_STATUSES:
            return TimedOutError(message)
        if status == 404:
            return NotFoundError(message)
        if status == 410:
            return GoneError(message)
        if status in {400, 406}:
            extras = problem.get("extras")
            field = extras.get("invalid_field") if isinstance(extras, dict) else None
            return RequestRefusedError(message, field if isinstance(field, str) else "")
        return UnreachableError(message)

    async def _problem(self, response: aiohttp.ClientResponse) -> JsonObject:
        if not response.content_type.endswith("json"):
            return {}
        try:
            problem = orjson.loads(await self._transport.read(response, self.shown))
        except (orjson.JSONDecodeError, AttemptError, aiohttp.ClientError):
            return {}
        return problem if isinstance(problem, dict) else {}

    def _object(self, body: bytes) -> JsonObject:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise UnreadableError(f"{self.shown} sent something that is not JSON.") from None
        if not isinstance(answer, dict):
            raise UnreadableError(f"{self.shown} sent JSON that is not an object.")
        return answer


def _kind(path: str) -> str:
    """Return the resource's name; its path may have a ledger's number in it, which is no secret."""
    return path.strip("/") or "its root"
