"""A service that fails as it is told to, in front of a real one or alone: on real sockets, so that failures are real.

Each request takes the next step that was laid out for it; without one it goes on to the real service.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path.removeprefix("/api/v1")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Step = Callable[["_Handler"], None]


class FaultServer:
    """Listens on a port of this machine; ``upstream`` is the address of the real service."""

    def __init__(self, upstream: str | None = None) -> None:
        self.upstream = urlsplit(upstream).netloc if upstream else None
        self.asked: list[Asked] = []
        self.gone = threading.Event()
        """A client hung up on a live stream."""
        self.over = threading.Event()
        self._steps: list[tuple[str, Step]] = []
        self._lock = threading.Lock()
        self._news = threading.Condition()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.faults = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def lay(self, what: str, *steps: Step) -> None:
        """Lay out steps for the next requests that begin with ``METHOD /path``."""
        with self._lock:
            self._steps += [(what, step) for step in steps]

    def forget(self) -> None:
        """Take away all steps that were laid out."""
        with self._lock:
            self._steps.clear()

    def step_for(self, asked: Asked) -> Step:
        with self._lock:
            for at, (what, step) in enumerate(self._steps):
                if f"{asked.method} {asked.path}".startswith(what):
                    del self._steps[at]
                    return step
        return forward

    def saw(self, asked: Asked) -> None:
        with self._news:
            self.asked.append(asked)
            self._news.notify_all()

    def count(self, what: str) -> int:
        """Return how many requests began with ``METHOD /path``."""
        return len(self.those(what))

    def those(self, what: str) -> list[Asked]:
        return [asked for asked in self.asked if f"{asked.method} {asked.path}".startswith(what)]

    def until(self, what: str, count: int) -> None:
        """Wait until so many requests came."""
        with self._news:
            assert self._news.wait_for(lambda: self.count(what) >= count, PATIENCE_SECONDS), self.asked

    def stop(self) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # many come at once


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def faults(self) -> FaultServer:
        return self.server.faults  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = self.current = Asked(self.command, self.path, headers, body)
        step = self.faults.step_for(asked)
        self.faults.saw(asked)
        with suppress(ConnectionError):
            step(self)

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names are the standard library's

    def say(self, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def cut(self) -> None:
        """Break the connection off, so that the other side sees an error."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


# --- steps ------------------------------------------------------------------------------------------


def says(status: int, body: object = None, **headers: str) -> Step:
    """Answer with JSON, or with bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/problem+json" if status >= 400 else "application/json"
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda handler: handler.say(status, data, [("Content-Type", kind), *named])


def problem(status: int, code: str, **headers: str) -> Step:
    """Answer with a problem."""
    body = {"type": "about:blank", "title": code, "status": status, "detail": f"Said {code}.", "code": code}
    return says(status, body, **headers)


def cut(handler: _Handler) -> None:
    """Break off without an answer."""
    handler.cut()


def hang(handler: _Handler) -> None:
    """Say nothing, until the test is over."""
    handler.faults.over.wait(PATIENCE_SECONDS)
    handler.cut()


def half(handler: _Handler) -> None:
    """Begin to answer, and break off."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"items": [')
    handler.wfile.flush()
    handler.cut()


def forward(handler: _Handler) -> None:
    """Have the real service answer."""
    asked, upstream = handler.current, handler.faults.upstream
    assert upstream is not None, f"nothing was laid out for {asked}"
    connection, answer = _sent_on(asked, upstream)
    try:
        if answer.headers.get_content_type() == "text/event-stream":
            _begin_live(handler)
            while piece := answer.read1(65536):
                handler.wfile.write(piece)
                handler.wfile.flush()
            handler.close_connection = True
        else:
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
            handler.say(answer.status, answer.read(), kept)
    finally:
        connection.close()


_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"}


def lose(handler: _Handler) -> None:
    """Have the real service do what it is asked for, and lose its answer."""
    assert handler.faults.upstream is not None
    connection, answer = _sent_on(handler.current, handler.faults.upstream)
    answer.read()
    connection.close()
    handler.cut()


def _sent_on(asked: Asked, upstream: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(upstream, timeout=60)
    headers = {name: value for name, value in asked.headers.items() if name not in {"host", "connection"}}
    connection.request(asked.method, asked.target, asked.body or None, headers)
    return connection, connection.getresponse()


def live(*pieces: bytes, then: str = "end") -> Step:
    """Begin a live stream with these bytes; then ``end`` it, ``cut`` it, or leave it ``open`` until the client goes."""

    def step(handler: _Handler) -> None:
        _begin_live(handler)
        for piece in pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()
        if then == "open":
            handler.connection.settimeout(PATIENCE_SECONDS)
            with suppress(OSError):
                while handler.connection.recv(1024):
                    pass
            handler.faults.gone.set()
        if then == "cut":
            handler.cut()
        handler.close_connection = True

    return step


def _begin_live(handler: _Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.flush()
