"""The way of a request: named, limited, authorized, parsed, answered, logged. The one place for all of it.

``Endpoint`` stands between aiohttp and a route's handler; ``Pipeline`` around everything, so that
also what no route has is answered as a problem and logged.
"""

from __future__ import annotations

from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as AiohttpHandler
from loguru import logger
from multidict import CIMultiDict
from pydantic import BaseModel

from stellarstream_core.api import request_ids
from stellarstream_core.api.auth.errors import CREDENTIAL_PROBLEMS
from stellarstream_core.api.auth.identity import Access, Identity
from stellarstream_core.api.auth.policy import authorize
from stellarstream_core.api.client_address import Client
from stellarstream_core.api.models import Nothing
from stellarstream_core.api.parsing import ParameterReader, read_body
from stellarstream_core.api.problems import (
    MEDIA_TYPE,
    BodyTooLargeError,
    InternalError,
    MethodNotAllowedError,
    Problem,
    RateLimitedError,
    RequestTimeoutError,
    TimedOutError,
    UnknownRouteError,
    problem_of,
)
from stellarstream_core.api.routes import (
    FOR_EVER,
    NO_CACHE,
    NO_STORE,
    PRIVATE,
    Answer,
    Call,
    Route,
    Unchanged,
    encode,
    matches,
    quoted,
)
from stellarstream_core.api.time_limit import TimeLimitError, within

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService

SERVER = "stellarstream"
CLIENT_CLOSED = 499
"""What the log calls a request whose client has gone."""
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
LIMITS: web.RequestKey[dict[str, str]] = web.RequestKey("limits", dict)
CLIENT: web.RequestKey[Client] = web.RequestKey("client", Client)
_NOTHING = Nothing()
_UNREAD = frozenset({RequestTimeoutError.code, BodyTooLargeError.code})
"""Problems after which the rest of the body would have to be read before the connection is of use again."""


class Endpoint:
    """One route as aiohttp sees it."""

    __slots__ = ("_access", "_api", "_path", "_query", "_read_path", "_reads_as", "_scope", "route")

    def __init__(self, api: ApiService, route: Route) -> None:
        self.route = route
        self._api = api
        self._path = ParameterReader("path", route.path_model)
        self._query = ParameterReader("query", route.query)
        self._read_path = route.path_model is not Nothing
        self._access = route.required_access
        self._scope = route.required_scope
        self._reads_as = NO_CACHE if self._access is Access.PUBLIC else PRIVATE

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request; raises what :func:`problem_of` understands."""
        api, route = self._api, self.route
        identity = await self._admit(request)
        path = self._path.read(request.match_info) if self._read_path else _NOTHING
        query = self._query.read(request.query)
        body: BaseModel = _NOTHING
        raw = b""
        if route.body is not None and (request.body_exists or not route.body_optional):
            body, raw = await read_body(request, route.body, limit=route.body_limit, form=route.form)
        call: Call[Any, Any, Any] = Call(api, route, request, request[REQUEST_ID], path, query, body, identity)
        if route.creates and (key := request.headers.get("Idempotency-Key")) is not None:
            return await api.idempotency.once(call, key, raw, self._respond)
        return await self._respond(call)

    async def _admit(self, request: web.Request) -> Identity | None:
        """Find out who asks and whether they may, and count it."""
        api, route = self._api, self.route
        client = request[CLIENT].group
        try:
            identity = await api.authenticator.identify(request, before_look_up=lambda: api.limits.check_guess(client))
        except CREDENTIAL_PROBLEMS:
            api.limits.refused(client)
            raise
        if route.limited:
            count(api, request, identity)
        if self._access is not Access.PUBLIC:
            authorize(identity, self._access, self._scope)
        return identity

    async def _respond(self, call: Call[Any, Any, Any]) -> web.StreamResponse:
        route = self.route
        try:
            answer = await within(route.time_limit, _handled(route, call))
        except Unchanged as unchanged:
            return _unchanged(unchanged.etag, unchanged.cache)
        except TimeLimitError:
            raise TimedOutError(f"The answer took more than {route.time_limit:g} seconds.") from None
        if isinstance(answer, web.StreamResponse):
            return answer
        return self._encoded(call, answer if isinstance(answer, Answer) else Answer(answer))

    def _encoded(self, call: Call[Any, Any, Any], answer: Answer) -> web.Response:
        route = self.route
        status = answer.status or route.status
        headers = CIMultiDict(answer.headers)
        body = encode(answer.body)
        if body is None:
            status = 204 if status == 200 else status
        else:
            headers.setdefault(hdrs.CONTENT_TYPE, route.media_type)
        if answer.next_cursor is not None:
            headers[hdrs.LINK] = f'<{_next_link(call, answer.next_cursor)}>; rel="next"'
        reading = route.method == "GET" and status == 200
        etag = answer.etag
        if reading and etag is None and body is not None and answer.cache != NO_STORE:
            etag = blake2b(body, digest_size=12).hexdigest()
        headers[hdrs.CACHE_CONTROL] = answer.cache or (self._reads_as if reading else NO_STORE)
        if etag is not None:
            held = call.request.headers.get(hdrs.IF_NONE_MATCH)
            if reading and held is not None and matches(held, etag):
                return _unchanged(etag, headers[hdrs.CACHE_CONTROL])
            headers[hdrs.ETAG] = quoted(etag)
        return web.Response(body=body, status=status, headers=headers)


async def _handled(route: Route, call: Call[Any, Any, Any]) -> Any:
    """Call a route's handler; a plugin that would end the process fails instead."""
    try:
        return await route.handler(call)
    except SystemExit as error:
        raise RuntimeError(f"the handler of {route.name} tried to end the process") from error


def _unchanged(etag: str, cache: str | None) -> web.Response:
    return web.Response(status=304, headers={hdrs.ETAG: quoted(etag), hdrs.CACHE_CONTROL: cache or NO_CACHE})


def _next_link(call: Call[Any, Any, Any], cursor: str) -> str:
    return f"{call.api.public_url}{call.request.rel_url.update_query(cursor=cursor).with_fragment(None)}"


def count(api: ApiService, request: web.Request, identity: Identity | None) -> None:
    """Count a request for who asks; raise ``RateLimitedError`` where that was one too many."""
    verdict = api.limits.take(identity, request[CLIENT].group)
    request[LIMITS] = verdict.headers
    if not verdict.allowed:
        raise RateLimitedError("This client has used up its quota.")


class Pipeline:
    """What stands around every request."""

    def __init__(self, api: ApiService) -> None:
        self._api = api

    def middleware(self) -> Any:
        """Return it as aiohttp's middleware."""

        @web.middleware
        async def around(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
            return await self._around(request, handler)

        return around

    async def _around(self, request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
        started = perf_counter()
        request_id = request_ids.request_id_of(request.headers.get(request_ids.HEADER))
        request[REQUEST_ID] = request_id
        request[CLIENT] = self._api.addresses.find(request)
        # each request runs in a task of its own, so there is nothing to set back
        request_ids.current.set(request_id)
        route = _route_of(handler)
        self._api.metrics.request_started()
        status = CLIENT_CLOSED
        try:
            response = await self._answered(request, handler, route)
            status = response.status
        finally:
            seconds = perf_counter() - started
            name = route.full_path if route is not None else "(none)"
            self._api.metrics.request_ended(request.method, name, status, seconds)
            self._log(request, name, status, seconds)
        return response

    async def _answered(self, request: web.Request, handler: AiohttpHandler, route: Route | None) -> web.StreamResponse:
        api = self._api
        response: web.StreamResponse
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            asked = await _route_asked_for(request)
            preflight = api.cors.preflight(request, any_origin=asked is not None and asked.any_origin)
            preflight.headers.update({request_ids.HEADER: request[REQUEST_ID], hdrs.SERVER: SERVER})
            return preflight
        try:
            if route is None:  # who looks for holes is stopped like any other client
                count(api, request, None)
            response = await handler(request)
        except Exception as error:  # whatever it is, the client is told as a problem
            if request.transport is None and isinstance(error, ConnectionError):
                raise  # unless it has gone
            if request.writer.output_size > 0:
                self._break_off(request, error)
            response = self._problem(request, error)
        if not response.prepared:
            self._finish(request, response, route)
        return response

    def _problem(self, request: web.Request, error: Exception) -> web.Response:
        if isinstance(error, web.HTTPException):
            if error.status < 400:
                return error
            error = _from_aiohttp(error)
        problem = problem_of(error)
        if problem.code == RateLimitedError.code:
            self._api.metrics.rate_limited()
        if problem.status >= 500:
            if problem.code == InternalError.code:
                logger.opt(exception=error).error("{} {} failed", request.method, _path(request))
                self._blame(request)
            else:
                logger.warning("{} {}: {}", request.method, _path(request), error)
        response = problem_response(problem, self._api.public_url, request[REQUEST_ID])
        if problem.code in _UNREAD:
            response.force_close()
        return response

    def _break_off(self, request: web.Request, error: Exception) -> NoReturn:
        """End a connection whose answer failed when part of it was sent: what is there must not look whole."""
        logger.opt(exception=error).error("{} {} failed in the middle of its answer", request.method, _path(request))
        self._blame(request)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the answer was broken off") from error

    def _blame(self, request: web.Request) -> None:
        """Count a fault for the plugin whose route it happened in."""
        route = _route_of(request.match_info.handler)
        owner = self._api.runtime.plugins.owner("register_routes", route.name) if route is not None else None
        if owner is not None:
            self._api.metrics.plugin_failed(owner.name)

    def _finish(self, request: web.Request, response: web.StreamResponse, route: Route | None) -> None:
        add_common_headers(self._api, request, route, response.headers)
        if self._api.draining:
            response.force_close()

    def _log(self, request: web.Request, route: str, status: int, seconds: float) -> None:
        path = _path(request)
        logger.bind(
            method=request.method,
            route=route,
            path=path,
            status=status,
            milliseconds=round(seconds * 1000, 2),
            client=request[CLIENT].address,
        ).info("{} {} {} {:.1f} ms", request.method, path, status, seconds * 1000)


def _route_of(handler: object) -> Route | None:
    endpoint = getattr(handler, "__self__", None)
    return endpoint.route if isinstance(endpoint, Endpoint) else None


async def _route_asked_for(request: web.Request) -> Route | None:
    """Return the route that a browser's preflight asks about."""
    method = request.headers[hdrs.ACCESS_CONTROL_REQUEST_METHOD]
    if not method.isalpha():
        return None
    match = await request.app.router.resolve(request.clone(method=method))
    return _route_of(match.handler)


def add_common_headers(api: ApiService, request: web.Request, route: Route | None, headers: CIMultiDict[str]) -> None:
    """Add what every answer says. A handler that sends its own answer (a live stream) calls it itself."""
    headers[request_ids.HEADER] = request[REQUEST_ID]
    headers[hdrs.SERVER] = SERVER
    headers[hdrs.X_CONTENT_TYPE_OPTIONS] = "nosniff"
    if headers.get(hdrs.CACHE_CONTROL) != FOR_EVER:  # a cache would tell others this client's quota
        headers.update(request.get(LIMITS, {}))
    any_origin = route is not None and route.any_origin
    api.cors.allow(request.headers.get(hdrs.ORIGIN), headers, any_origin=any_origin)


def problem_response(problem: Problem, public_url: str, request_id: str | None) -> web.Response:
    """Return a problem as it is sent."""
    return web.Response(
        body=orjson.dumps(problem.to_json(public_url, request_id)),
        status=problem.status,
        headers={
            **problem.headers,
            hdrs.CONTENT_TYPE: MEDIA_TYPE,
            hdrs.CACHE_CONTROL: NO_STORE,
            hdrs.SERVER: SERVER,
        },
    )


def _from_aiohttp(error: web.HTTPException) -> Exception:
    """Return our problem for one that aiohttp raised: routes and methods that are not there, bodies too large."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowedError(f"{error.method[:20]} is not allowed here.", headers={hdrs.ALLOW: allowed})
    if isinstance(error, web.HTTPNotFound):
        return UnknownRouteError("No route has this path.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLargeError("The body is too large.")
    return error


def _path(request: web.Request) -> str:
    """Return the path as it was sent, without its query (which may hold what is private), fit for a log."""
    try:
        path = urlsplit(request.raw_path).path
    except ValueError:
        path = "?"
    return path.encode("ascii", "backslashreplace").decode()[:512]
