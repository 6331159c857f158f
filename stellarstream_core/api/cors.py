"""Cross-origin requests: which pages of other origins a browser lets read the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import hdrs, web

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-API-Key, X-Request-ID"
EXPOSED = "ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
PREFLIGHT_SECONDS = "3600"


class Cors:
    """Answers browsers' questions. Tokens are sent in headers, never in cookies, so no credentials are allowed."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.rstrip("/") for origin in origins)
        self._everybody = "*" in self._origins

    def preflight(self, request: web.Request, *, any_origin: bool) -> web.Response:
        """Answer an OPTIONS request that asks what is allowed; ``any_origin`` is the route's own word."""
        response = web.Response(status=204)
        self.allow(request.headers.get(hdrs.ORIGIN), response.headers, any_origin=any_origin)
        if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in response.headers:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = METHODS
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = REQUEST_HEADERS
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = PREFLIGHT_SECONDS
        return response

    def allow(self, origin: str | None, headers: Any, *, any_origin: bool) -> None:
        """Add to an answer's headers what lets the origin's page read it."""
        if any_origin or self._everybody:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED
            return
        headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is not None and origin in self._origins:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED
