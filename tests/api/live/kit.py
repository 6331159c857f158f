"""What the tests of the live stream share: a storage in memory, a server, and a client that reads SSE by itself."""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from time import monotonic
from urllib.parse import urlencode
from uuid import uuid4

import orjson
from aiohttp import web

from stellarstream_core.api.live import EVERY_EVENT, EventFilter, Feed, LiveLimits, parse_position, stream
from stellarstream_core.errors import StorageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Window
from stellarstream_core.storage import Commit, Totals
from stellarstream_core.testing.scripted import made_contract, made_event

A, B, C = (made_contract(number) for number in (1, 2, 3))
QUICK = LiveLimits(heartbeat_seconds=0.2, look_seconds=0.1, stall_seconds=0.5, linger_seconds=0.5)


def events_of_ledger(ledger: int, count: int, contract: str | None = A) -> list[ContractEvent]:
    return [made_event(ledger, k // 50 + 1, k % 50, contract) for k in range(count)]


def window(first: int, last: int, events: Sequence[ContractEvent]) -> Window:
    return Window(LedgerRange(first, last), Scope.of([EVERYTHING]), list(events), "test")


class MemoryStorage:
    """The commits of a store, in memory, with the interface that a feed needs; it can be broken and restored."""

    def __init__(self) -> None:
        self.name = str(uuid4())
        self.stored: list[tuple[Commit, list[ContractEvent]]] = []
        self.windows = 0
        self.down = False
        self.reads = 0
        self.pages: list[int] = []
        self.watches: list[MemoryWatch] = []
        self.changed = Condition()

    def commit(self, *events: ContractEvent, first: int = 1, last: int = 1) -> Commit:
        ledgers = [event.ledger for event in events] or [first, last]
        with self.changed:
            self.windows += 1
            commit = Commit(len(self.stored) + 1, self.windows, LedgerRange(min(ledgers), max(ledgers)))
            self.stored.append((commit, sorted(events)))
            self.changed.notify_all()
        return commit

    def break_down(self) -> None:
        """Fail from now on, and break every watch."""
        with self.changed:
            self.down = True
            for watch in self.watches:
                watch.broken = True
            self.changed.notify_all()

    def restore(self, commits: int, epoch: str | None = None) -> None:
        """Go back to as many commits, as a backup does, with a new epoch or, by mistake, without."""
        with self.changed:
            del self.stored[commits:]
            self.name = epoch or self.name
            self.changed.notify_all()

    def _look(self) -> None:
        self.reads += 1
        if self.down:
            raise StorageError("the database is down.")

    def epoch(self) -> str:
        self._look()
        return self.name

    def totals(self) -> Totals:
        self._look()
        return Totals(sum(len(events) for _, events in self.stored), 0, len(self.stored), None, None)

    def commits(self, after: int, limit: int = 1000) -> list[Commit]:
        self._look()
        return [commit for commit, _ in self.stored[max(0, after) : after + limit]]

    def commit_page(self, commit: Commit, *, after: str = "", skip: int = 0, limit: int) -> list[ContractEvent]:
        self._look()
        self.pages.append(commit.position)
        with self.changed:
            one, events = self.stored[commit.position - 1] if commit.position <= len(self.stored) else (commit, [])
        begin = bisect_right(events, after, key=lambda event: event.id) + skip
        return events[begin : begin + limit] if one == commit else []

    def watch(self) -> MemoryWatch:
        self._look()
        watch = MemoryWatch(self)
        self.watches.append(watch)
        return watch


class MemoryWatch:
    """A watch that behaves like a database's: closed once it is an error, and broken it raises."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.storage = storage
        self.closed = self.broken = False

    def wait(self, after: int, timeout: float) -> int:
        with self.storage.changed:
            if self.closed:
                raise StorageError("the watch was closed.")
            self.storage.changed.wait_for(
                lambda: self.closed or self.broken or len(self.storage.stored) > after, timeout
            )
            if self.broken:
                raise StorageError("the connection was lost.")
            return len(self.storage.stored)

    def close(self) -> None:
        with self.storage.changed:
            self.closed = True
            self.storage.changed.notify_all()


# --- a server -------------------------------------------------------------------------------------


@asynccontextmanager
async def feeding(storage, limits: LiveLimits = QUICK) -> AsyncIterator[Feed]:
    """Run a feed over a storage."""
    feed = Feed(storage, limits)
    feed.start()
    try:
        yield feed
    finally:
        await feed.close(1.0)


@asynccontextmanager
async def serving(feed: Feed, filters: dict[str, EventFilter] | None = None) -> AsyncIterator[int]:
    """Serve a feed on a free port until it is closed; ``?filter=NAME`` names one of ``filters``."""

    async def live(request: web.Request) -> web.StreamResponse:
        text = request.headers.get("Last-Event-ID") or request.query.get("since")
        try:
            since = parse_position(text) if text is not None else None
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        wanted = (filters or {}).get(request.query.get("filter", ""), EVERY_EVENT)
        return await stream(request, feed, feed.subscribe(wanted, since), {"X-Test": "yes"})

    app = web.Application()
    app.router.add_get("/live", live)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await feed.close(1.0)
        await runner.cleanup()


# --- a client -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Message:
    """A dispatched event of a stream."""

    event: str
    data: str
    last_event_id: str

    @property
    def json(self) -> dict:
        return orjson.loads(self.data)


@dataclass(slots=True)
class EventSource:
    """What a browser does with the bytes of a stream, by the HTML standard's steps; it outlives connections."""

    last_event_id: str = ""
    retry: int | None = None
    messages: list[Message] = field(default_factory=list)
    comments: int = 0
    blocks: int = 0
    _rest: bytes = b""
    _id: str = ""
    _event: str = ""
    _data: list[str] = field(default_factory=list)

    def connected(self) -> None:
        """Begin another connection: what was pending of the last one is discarded."""
        self._rest, self._event, self._id = b"", "", self.last_event_id
        self._data.clear()

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode())

    def _line(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def _dispatch(self) -> None:
        self.blocks += 1
        self.last_event_id = self._id
        data, event = "\n".join(self._data), self._event or "message"
        self._data.clear()
        self._event = ""
        if data:
            self.messages.append(Message(event, data, self._id))

    @property
    def inside_a_frame(self) -> bool:
        """Whether it has got a part of a frame."""
        return bool(self._rest or self._data)

    @property
    def ids(self) -> list[str]:
        """The ids of the contract events received, in the order of their arrival."""
        return [message.json["id"] for message in self.messages if message.event == "message"]

    def words(self, event: str) -> list[dict]:
        return [message.json for message in self.messages if message.event == event]


class Connection:
    """One HTTP connection of an :class:`EventSource`, over a bare socket."""

    def __init__(self, source: EventSource, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.source = source
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.whole = False
        self._chunk = 0

    @classmethod
    async def open(
        cls, port: int, source: EventSource, *, limit: int = 65536, receive_buffer: int | None = None, **query: str
    ) -> Connection:
        import socket

        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        connection = cls(source, *await asyncio.open_connection(sock=sock, limit=limit))
        source.connected()
        head = [f"GET /live?{urlencode(query)} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
        if source.last_event_id:
            head.append(f"Last-Event-ID: {source.last_event_id}")
        connection.writer.write("\r\n".join([*head, "", ""]).encode())
        status, *lines = (await connection.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        connection.status = int(status.split()[1])
        connection.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
        }
        return connection

    async def read(self, most: int = 65536) -> bool:
        """Read some bytes of the body into the event source; return False at the end."""
        if not self._chunk:
            try:
                line = await self.reader.readuntil(b"\r\n")
            except asyncio.IncompleteReadError:
                return False
            self._chunk = int(line, 16)
            if not self._chunk:
                self.whole = True
                return False
        data = await self.reader.read(min(most, self._chunk))
        if not data:
            return False
        self.source.feed(data)
        self._chunk -= len(data)
        if not self._chunk:
            await self.reader.readexactly(2)
        return True

    async def read_until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Read until a condition holds; fail where the stream ends before or time runs out."""
        async with asyncio.timeout(seconds):
            while not condition():
                assert await self.read(), "the stream has ended"

    async def read_to_end(self, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while await self.read():
                pass

    def cut(self) -> None:
        """Break the connection without a word."""
        self.writer.transport.abort()


# --- many clients, and what the loop feels ----------------------------------------------------------


@asynccontextmanager
async def crowd(port: int, paths: list[str], events: dict[str, int]):
    """Run readers in a process of their own; yields a coroutine function that returns what they got."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.api.live.crowd",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 26,
    )  # fmt: skip
    try:
        process.stdin.write(orjson.dumps({"port": port, "paths": paths, "events": events}) + b"\n")
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"ready\n"

        async def result() -> dict:
            async with asyncio.timeout(60):
                return orjson.loads(await process.stdout.readline())

        yield result
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def measured_lag():
    """Yield a list that gets the loop's lags: by how much a short sleep takes too long, in seconds."""
    lags: list[float] = []

    async def look() -> None:
        while True:
            began = monotonic()
            await asyncio.sleep(0.002)
            lags.append(monotonic() - began - 0.002)

    looking = asyncio.create_task(look())
    try:
        yield lags
    finally:
        looking.cancel()


def resident_megabytes() -> float:
    """Return how much memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
