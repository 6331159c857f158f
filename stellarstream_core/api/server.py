"""Listening, and leaving without losing a request: aiohttp's server with this service's manners.

It differs from aiohttp's own: whatever is wrong with a request is answered with a problem, a connection
that sends no whole request within ten seconds is closed, and so is one that does not take its answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler
from loguru import logger

from stellarstream_core.api.pipeline import problem_response
from stellarstream_core.api.problems import (
    ExpectationFailedError,
    HeaderTooLargeError,
    InternalError,
    MalformedRequestError,
    problem_of,
)
from stellarstream_core.errors import UsageError

BACKLOG = 2048
"""Connections that wait to be accepted. aiohttp's own default would shrink a socket that was handed over."""
KEEP_ALIVE_SECONDS = 75.0
FIRST_REQUEST_SECONDS = 10.0
"""How long a new connection may take to send its first request's head."""
DRAIN_SECONDS = 0.5
"""How long connections that are kept alive are answered with 'Connection: close' before the end."""
SHUTDOWN_SECONDS = 1.8
"""How long requests may go on after that; aiohttp takes up to twice this."""
UNREAD_SECONDS = 30.0
"""How long a client may leave no room for what it asked for."""
LINE_BYTES = 8190


class _Protocol(RequestHandler):
    """One connection."""

    __slots__ = ("_first", "_public_url", "_unread")

    def __init__(self, manager: Any, *, public_url: str, **options: Any) -> None:
        super().__init__(manager, **options)
        self._public_url = public_url
        self._first: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._first = asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait no more."""
        for timer in (self._first, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait until the client has taken what was sent."""
        super().pause_writing()
        if self.transport is not None:
            self._unread = asyncio.get_running_loop().call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what never became a request, as a problem."""
        if isinstance(exc, LineTooLong):
            error: Exception = HeaderTooLargeError("The request line or a header is too long.")
        elif status == 400:
            error = MalformedRequestError("These bytes are no HTTP request.")
        else:
            error = InternalError("The service failed to answer.")
            if not isinstance(exc, ConnectionError):  # the client has gone
                logger.opt(exception=exc).error("a request failed outside of its handler")
        return self._refusal(error)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send an answer. The one that aiohttp gives before it calls a handler is made a problem."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp = self._refusal(ExpectationFailedError("The header Expect asks for what this service does not do."))
        return super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what aiohttp did not expect; a body that breaks off after its request was answered is nothing."""
        error = kw.get("exc_info")
        if not isinstance(error, web.RequestPayloadError):
            logger.opt(exception=error).error("a connection failed: {}", args[0] if args else error)

    def _refusal(self, error: Exception) -> web.Response:
        response = problem_response(problem_of(error), self._public_url, None)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class ApiRunner(web.AppRunner):
    """Runs an application with :class:`_Protocol`."""

    def __init__(self, app: web.Application, public_url: str) -> None:
        super().__init__(
            app,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
        )
        self._public_url = public_url

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        options = {**made._kwargs, "public_url": self._public_url}
        return _Server(made.request_handler, request_factory=made.request_factory, loop=made._loop, **options)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ``UsageError`` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}.",
            help="Give another address with --host and --port (api_host, api_port); --port 0 takes a free one.",
        ) from None


def inherited(number: int) -> socket.socket:
    """Return the listening socket behind a file descriptor. Raises ``UsageError`` where it is none."""
    try:
        sock = socket.socket(fileno=number)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("it does not listen")
    except OSError as error:
        raise UsageError(
            f"File descriptor {number} is no listening socket: {error.strerror or error}.",
            help="--fd is for supervisors that open the socket, such as circus.",
        ) from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Return the address to open in a browser."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
