"""Horizon's addresses under ``/horizon``: media types, headers and which page answers what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web
from loguru import logger

from stellarstream_sandbox.history import History, HistorySnapshot
from stellarstream_sandbox.horizon import pages
from stellarstream_sandbox.horizon.pages import Page, PageQuery
from stellarstream_sandbox.horizon.problems import Problem, not_acceptable, not_found, rate_limited, server_error
from stellarstream_sandbox.horizon.rate_limit import RateLimiter
from stellarstream_sandbox.horizon.records import root_record
from stellarstream_sandbox.horizon.stream import STREAM_SECONDS, serve_stream

PREFIX = "/horizon"

_HEADERS = {"Cache-Control": "no-cache, no-store, max-age=0", "Access-Control-Allow-Origin": "*"}
_HAL = frozenset({"application/hal+json", "application/json", "application/*", "*/*"})
_EVENTS = frozenset({"text/event-stream", "text/*"})

Build = Callable[[HistorySnapshot, PageQuery], Page]
"""Makes the page that a request asks for; runs in a thread."""


class Horizon:
    """Answers as Horizon does for one history, of which it shows the last ``retention`` ledgers (None: all kept).

    ``next_ledger`` returns an event that is set when the next ledger closes; setting ``closing`` ends
    the streams.
    """

    def __init__(
        self,
        history: History,
        passphrase: str,
        *,
        retention: int | None,
        limiter: RateLimiter,
        next_ledger: Callable[[], asyncio.Event],
        closing: asyncio.Event,
        stream_seconds: float = STREAM_SECONDS,
    ) -> None:
        self._history = history
        self._passphrase = passphrase
        self._retention = retention
        self._limiter = limiter
        self._next_ledger = next_ledger
        self._closing = closing
        self._stream_seconds = stream_seconds

    def add_routes(self, app: web.Application) -> None:
        """Answer every GET under ``/horizon``."""
        app.router.add_get(PREFIX, self._handle)
        app.router.add_get(PREFIX + "/{tail:.*}", self._handle)

    def view(self) -> HistorySnapshot:
        """Return the ledgers that are shown now."""
        return self._history.archive(self._retention)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        address = request.remote or ""
        limits: dict[str, str] = {}
        try:
            streams = _wants_events(request.headers.get("Accept", ""))
            if not streams:  # a stream counts its own looks
                allowed, limits = self._limiter.take(address)
                if not allowed:
                    raise rate_limited()
            return await self._answer(request, address, streams, limits)
        except Problem as problem:
            return _json(problem.to_json(), "application/problem+json", limits, problem.status)
        except Exception as error:
            logger.opt(exception=error).error("a request to the sandbox's Horizon failed")
            return _json(server_error().to_json(), "application/problem+json", limits, 500)

    async def _answer(
        self, request: web.Request, address: str, streams: bool, limits: dict[str, str]
    ) -> web.StreamResponse:
        base = f"{request.scheme}://{request.host}{PREFIX}"
        parts = [part for part in request.match_info.get("tail", "").split("/") if part]
        build: Build
        match parts:
            case ["ledgers"]:
                build = lambda view, query: pages.ledgers(base, view, query)  # noqa: E731
            case ["transactions"]:
                build = lambda view, query: pages.transactions(base, view, query)  # noqa: E731
            case ["ledgers", text, "transactions"]:
                sequence = pages.sequence_of(text)
                build = lambda view, query: pages.transactions(base, view, query, sequence)  # noqa: E731
            case _:
                if streams:
                    raise not_acceptable()
                body = await asyncio.to_thread(self._object, base, parts)
                return _json(body, "application/hal+json", limits)
        view = self.view()
        query = PageQuery.of(request.query, request.headers.get("Last-Event-ID", ""), view.latest)
        if streams:
            return await self._stream(request, address, build, query)
        page = await asyncio.to_thread(build, view, query)
        url = f"{base}/{'/'.join(parts)}"
        return _json(page.to_json(url, request.query, query), "application/hal+json", limits)

    def _object(self, base: str, parts: list[str]) -> dict[str, Any]:
        view = self.view()
        match parts:
            case []:
                return root_record(base, view, self._passphrase)
            case ["ledgers", text]:
                return pages.one_ledger(base, view, text)
            case ["transactions", tx_hash]:
                ledger = self._history.transaction_ledger(tx_hash, or_inner=True)
                return pages.one_transaction(base, view, tx_hash, ledger)
        raise not_found()

    async def _stream(self, request: web.Request, address: str, build: Build, query: PageQuery) -> web.StreamResponse:
        async def records(cursor: str) -> list[dict[str, Any]]:
            page = await asyncio.to_thread(build, self.view(), query._replace(cursor=cursor))
            return page.records

        return await serve_stream(
            request,
            records,
            query.cursor,
            query.limit,
            may_ask=lambda: self._limiter.take(address).allowed,
            next_ledger=self._next_ledger,
            closing=self._closing,
            seconds=self._stream_seconds,
        )


def _wants_events(accept: str) -> bool:
    """Tell a request for a stream from one for JSON by the first type that is known.

    Raises :class:`Problem` where none is.
    """
    offered = [part.partition(";")[0].strip().lower() for part in accept.split(",") if part.strip()]
    for media_type in offered:
        if media_type in _HAL:
            return False
        if media_type in _EVENTS:
            return True
    if offered:
        raise not_acceptable()
    return False


def _json(body: dict[str, Any], media_type: str, headers: dict[str, str], status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body, option=orjson.OPT_INDENT_2),
        headers={**_HEADERS, **headers, "Content-Type": f"{media_type}; charset=utf-8"},
    )
