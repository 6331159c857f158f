"""What an answer of the API costs, as a ratio to a bare aiohttp handler that returns the same bytes.

``stellarstream serve`` runs as an operator runs it, one process, its rate limits and metrics counting,
with its request log written to a file (``log: true``) and without one (``--log-level warning``); the
bare server has one handler that returns the very bytes, and no log. A third process asks both in turn
over connections that are kept alive. For each kind of answer two ratios are printed:

- ``rate``: answers a second, the median over the rounds. Three processes on two cores disturb each
  other, so this one varies;
- ``cpu``: processor time of the server for an answer. This one hardly varies.

1 would be as fast as bare. Run it alone: ``python -m tests.benchmarks.bench_api [SECONDS] [ROUNDS]``.
PostgreSQL is measured where STELLARSTREAM_TEST_POSTGRES_URL names a server, or one can be started.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import orjson

from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.testing.scripted import made_contract
from tests.benchmarks.bench_storage import FIRST_LEDGER, transfers, windows_of
from tests.benchmarks.bench_sync import fresh_sqlite
from tests.postgres import NoPostgresError, server_url, throw_away_database

EVENTS = 50_000
CONNECTIONS = 8
DIFFERENT = 5_000
"""Addresses of one kind: more than are answered in a round, so that none is answered from memory."""
TICKS = os.sysconf("SC_CLK_TCK")
CONTRACT = made_contract(1)


def say(**what: object) -> None:
    print(orjson.dumps(what).decode(), flush=True)


# --- the servers ------------------------------------------------------------------------------------


def bare(files: Sequence[str]) -> None:
    """Serve each file's bytes at ``/0``, ``/1`` and so on, with what follows ignored; print the port."""
    from aiohttp import web

    def handler(body: bytes):
        async def handle(_request: web.Request) -> web.Response:
            return web.Response(body=body, headers={"Content-Type": "application/json"})

        return handle

    async def unchanged(_request: web.Request) -> web.Response:
        return web.Response(status=304)

    app = web.Application()
    app.router.add_get("/304", unchanged)
    for number, file in enumerate(files):
        app.router.add_get(f"/{number}", handler(Path(file).read_bytes()))
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as sock:
        print(sock.getsockname()[1], flush=True)
        web.run_app(app, sock=sock, access_log=None, print=None)


@contextmanager
def server(*command: str, log: Path, **environment: str) -> Iterator[subprocess.Popen]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**clean, **environment},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def cpu_seconds(process: subprocess.Popen) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# --- asking -----------------------------------------------------------------------------------------


class Asker(asyncio.Protocol):
    """Asks on one connection, the next as soon as an answer is whole."""

    def __init__(self, requests: Iterator[bytes], end: float) -> None:
        self._requests = requests
        self._end = end
        self._buffer = b""
        self.answered = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 304")), head
        length = 0
        if b" 304 " not in head[:14]:
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self.answered += 1
        if time.perf_counter() >= self._end:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(next(self._requests))


async def ask(port: int, requests: Iterator[bytes], seconds: float) -> float:
    """Ask for some seconds and return the answers a second."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    askers = []
    for _ in range(CONNECTIONS):
        _, asker = await loop.create_connection(lambda: Asker(requests, began + seconds), "127.0.0.1", port)
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    return sum(asker.answered for asker in askers) / (time.perf_counter() - began)


def request(path: str, etag: str | None = None) -> bytes:
    more = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode()


# --- the kinds of answers ---------------------------------------------------------------------------


def fill(url: str) -> list[str]:
    """Store the events, proven, and return their ids."""
    events = transfers(EVENTS)
    storage = Runtime(flags={"database_url": url, "network": "sandbox"}).open_storage(create=True)
    scope = Scope.of([CONTRACT])
    storage.want(scope, FIRST_LEDGER)
    for window in windows_of(events, 1_000):
        storage.commit(Window(LedgerRange(*window.range), scope, window.events, "bench", Evidence.PROVEN))
    storage.close()
    return [event.id for event in events]


def kinds(base: str, ids: Sequence[str]) -> Iterator[tuple[str, list[str], str | None]]:
    """Yield each kind of answer: its name, the paths to ask for in turn, and an entity tag to send along."""
    last = FIRST_LEDGER + 1_000
    pages = [f"fromLedger={FIRST_LEDGER + n % 1900}&toLedger={last + DIFFERENT + n}" for n in range(DIFFERENT)]
    yield "page of 100", [f"/api/v1/events?limit=100&{page}" for page in pages], None
    yield "one event", [f"/api/v1/events/{event_id}" for event_id in ids[:: len(ids) // DIFFERENT]], None
    yield "one event again", [f"/api/v1/events/{ids[7]}"], None
    page = f"/api/v1/events?contract={CONTRACT}&fromLedger={FIRST_LEDGER}&toLedger={last}&limit=100"
    yield "historical page again", [page], None
    with urllib.request.urlopen(base + page) as answer:
        yield "304", [page], answer.headers["ETag"]


def measure(database: str, url: str, folder: Path, seconds: float, rounds: int) -> None:
    ids = fill(url)
    for level in ("warning", "info"):
        measure_at(level, database, url, ids, folder, seconds, rounds)


def measure_at(
    level: str, database: str, url: str, ids: Sequence[str], folder: Path, seconds: float, rounds: int
) -> None:
    log = folder / "serve.log"
    environment = {
        "STELLARSTREAM_NETWORK": "sandbox",
        "STELLARSTREAM_RPC_URL": "http://127.0.0.1:9",
        "STELLARSTREAM_DATABASE_URL": url,
        "STELLARSTREAM_RATE_LIMIT": "1000000/second",
        "STELLARSTREAM_SECRET_KEY": "a secret of the benchmark, 32 characters or more",
    }
    command = ("stellarstream_core.cli", "--log-level", level, "serve", "--port", "0")
    with server(*command, log=log, **environment) as served:
        base = served.stdout.readline().split()[1]
        port = int(base.rpartition(":")[2])
        found = list(kinds(base, ids))
        files = []
        for number, (_, paths, _) in enumerate(found):
            with urllib.request.urlopen(base + paths[len(paths) // 2]) as answer:
                file = folder / f"{number}.json"
                file.write_bytes(answer.read())
                files.append(str(file))
        with server("tests.benchmarks.bench_api", "bare", *files, log=folder / "bare.log") as reference:
            bare_port = int(reference.stdout.readline())
            for number, (name, paths, etag) in enumerate(found):
                ours = cycle([request(path, etag) for path in paths])
                theirs = cycle([request("/304" if etag else f"/{number}")])
                sides = {"served": (port, ours, served), "bare": (bare_port, theirs, reference)}
                rates: dict[str, list[float]] = {side: [] for side in sides}
                costs: dict[str, list[float]] = {side: [] for side in sides}
                for _ in range(rounds):
                    for side, (at, requests, process) in sides.items():
                        before = cpu_seconds(process)
                        rate = asyncio.run(ask(at, requests, seconds))
                        rates[side].append(rate)
                        costs[side].append((cpu_seconds(process) - before) / (rate * seconds))
                say(
                    benchmark="api",
                    database=database,
                    answer=name,
                    log=level == "info",
                    bytes=Path(files[number]).stat().st_size,
                    per_second=round(median(rates["served"])),
                    rate=round(median(a / b for a, b in zip(rates["served"], rates["bare"], strict=True)), 2),
                    cpu=round(median(costs["bare"]) / median(costs["served"]), 2),
                    microseconds=round(median(costs["served"]) * 1e6),
                )


def main(seconds: float = 2.0, rounds: int = 3) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        measure("sqlite", stack.enter_context(fresh_sqlite()), folder, seconds, rounds)
        try:
            url = stack.enter_context(throw_away_database(stack.enter_context(server_url())))
        except NoPostgresError as error:
            print(f"PostgreSQL is not measured: {error}", file=sys.stderr)
            return
        measure("postgresql", url, folder, seconds, rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(sys.argv[2:])
    else:
        main(*(kind(text) for kind, text in zip((float, int), islice(sys.argv, 1, None), strict=False)))
