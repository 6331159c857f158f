"""What the tests from outside share: the API in a thread of its own, and connections that send what they like."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.plugins import Plugins
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.testing.api import serving
from stellarstream_core.testing.scripted import made_contract, made_history
from tests.api import orders
from tests.core.test_plugins import Point

T = TypeVar("T")

SECRET = "a secret key of the tests, long enough to be one"
SIGNING = "SBZXIZLMNRQXE43UOJSWC3JAORSXG5DTEBZWSZ3ONFXGOIDLMV4SCJLP"
ACCOUNT = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7"
A, B, C = (made_contract(number) for number in range(3))
HISTORY = made_history(LedgerRange(100, 180), [A, B, C], seed=3)


def runtime_of(database_url: str, **flags: object) -> Runtime:
    """Return a runtime of the given settings, whose only source is not there, with the plugin of ``orders``."""
    defaults = {
        "network": "sandbox",
        "rpc_url": ["http://127.0.0.1:9"],
        "plugins": {"soroban-rpc": {"max_retries": 0, "retry_seconds": 0, "chain_seconds": 1}},
        "secret_key": SECRET,
        "signing_key": SIGNING,
        "rate_limit": "off",
        "rate_limit_key": "off",
    }
    runtime = Runtime(flags={**defaults, "database_url": database_url, **flags})
    runtime.plugins = Plugins.load(found=[*entry_points(group="stellarstream"), Point("orders", orders.MODULE)])
    return runtime


class Running:
    """An API in a thread of its own, until it is stopped."""

    def __init__(self, runtime: Runtime) -> None:
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._serve(runtime)), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        if self._failure is not None:
            raise self._failure

    async def _serve(self, runtime: Runtime) -> None:
        try:
            async with serving(runtime) as served:
                self.url, self.service = served.url, served.service
                parts = urlsplit(self.url)
                self.address = (parts.hostname, parts.port)
                self._ready.set()
                await self._over.wait()
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._ready.set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the service's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def key(self, *scopes: str) -> str:
        """Make an API key with these scopes."""
        made = create_key(self.storage, account=ACCOUNT, scopes=scopes or ("read", "write"))
        return made.key.get_secret_value()

    @property
    def service_database(self) -> Any:
        return self.service.database

    @property
    def storage(self) -> Any:
        return self.service.database.storage

    def wire(self, seconds: float = 10.0) -> Wire:
        """Open a connection."""
        return Wire(self.address, seconds)

    def get(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Said:
        """Ask once, with a target and headers that are sent as they are written."""
        with self.wire() as wire:
            return wire.ask(target, *headers, method=method, body=body, close=True)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(15)


_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [ -~]*")
_HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t -~]*)")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as it came: every header in order, in small letters."""

    status: int
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) <= 1, f"{name} comes {len(found)} times: {found}"
        return found[0] if found else None

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str | None:
        """The problem's code, None where it is no problem."""
        return self.json["code"] if self.header("Content-Type") == "application/problem+json" else None


class Wire:
    """A connection on which bytes are sent as they are, and answers read strictly: nothing else may come."""

    def __init__(self, address: tuple[str, int], seconds: float) -> None:
        self.sock = socket.create_connection(address, timeout=seconds)
        self._rest = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(
        self, target: str | bytes, *headers: str, method: str = "GET", body: bytes = b"", close: bool = False
    ) -> Said:
        raw = target if isinstance(target, bytes) else target.encode("latin-1")
        lines = [b"%b %b HTTP/1.1" % (method.encode(), raw), b"Host: api.test"]
        lines += [line.encode("latin-1") for line in headers]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        if close:
            lines.append(b"Connection: close")
        with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read everything
            self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        return self.answer(method)

    def answer(self, method: str = "GET") -> Said:
        """Read one answer."""
        head = self._until(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        matched = _STATUS_LINE.fullmatch(status_line)
        assert matched, status_line
        headers: list[tuple[str, str]] = []
        for line in lines:
            parts = _HEADER_LINE.fullmatch(line)
            assert parts, f"a header line that is none: {line!r}"
            headers.append((parts[1].decode().lower(), parts[2].decode()))
        said = Said(int(matched[1]), headers, b"")
        if method == "HEAD" or said.status in {204, 304} or said.status < 200:
            return said
        if said.header("Transfer-Encoding") == "chunked":
            return Said(said.status, headers, self._chunked())
        length = said.header("Content-Length")
        return Said(said.status, headers, self._exactly(int(length)) if length is not None else self.rest())

    def rest(self) -> bytes:
        """Return everything until the connection ends."""
        while piece := self._receive():
            self._rest += piece
        found, self._rest = self._rest, b""
        return found

    def ends(self) -> bool:
        """Tell whether the other side ends the connection without another word."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return True

    def _receive(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            if self._rest:
                return b""
            raise

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            piece = self._receive()
            if not piece:
                raise EOFError(f"the connection ended after {self._rest[:200]!r}")
            self._rest += piece
        found, _, self._rest = self._rest.partition(mark)
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self._rest) < length:
            piece = self._receive()
            if not piece:
                raise EOFError("the connection ended in the middle of a body")
            self._rest += piece
        found, self._rest = self._rest[:length], self._rest[length:]
        return found

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        assert self._until(b"\r\n") == b""
        return body


def operations(description: dict[str, Any], *methods: str) -> Iterable[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of a description, of these methods or of all."""
    for path, found in description["paths"].items():
        for method, operation in found.items():
            if not methods or method.upper() in methods:
                yield method.upper(), path, operation
