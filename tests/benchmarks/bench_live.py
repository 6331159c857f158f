"""The live stream: how long an event is on its way, and what a thousand readers cost.

- latency: a sandbox network whose ledgers close at a steady pace, ``sync --follow`` and the reader's
  server each in a process of its own; from the moment a ledger is there at the RPC to the moment its
  events are at the reader, and the part of it that lies behind the commit;
- fan-out: processor time of the server for one commit to one reader, as a ratio to two references in
  the same run: ``bare``, the very same bytes written to each connection by a bare asyncio server; and
  ``queues``, the usual aiohttp handler with a queue for each reader, which encodes what it takes out.

Run it alone: ``python -m tests.benchmarks.bench_live [LEDGERS]``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import aclosing, asynccontextmanager, closing, contextmanager

import orjson
from aiohttp import web

from stellarstream_core.api.live import Feed, LiveLimits, Place, stream
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.event_json import event_bytes
from tests.api.live.kit import (
    Connection,
    EventSource,
    crowd,
    events_of_ledger,
    measured_lag,
    resident_megabytes,
    window,
)
from tests.benchmarks.bench_sync import fresh_postgresql, fresh_sqlite, open_storage
from tests.postgres import ENVIRONMENT, NoPostgresError, server_url

CLOSE_SECONDS = 0.5
LEDGERS = 60
READERS = 1_000
COMMITS = 40
EVENTS = 10
COMMIT_SECONDS = 0.25
LIMITS = LiveLimits(heartbeat_seconds=60)


def say(**what: object) -> None:
    print(orjson.dumps(what).decode(), flush=True)


@contextmanager
def child(*arguments: str):
    """Run a part of the benchmark in a process of its own; it ends when its stdin is closed."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_live", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def told(process: subprocess.Popen) -> dict:
    return orjson.loads(process.stdout.readline())


def ended(process: subprocess.Popen) -> dict:
    process.stdin.close()
    return told(process)


async def until_stdin_ends() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


# --- the network, and the indexer -------------------------------------------------------------------


def network() -> None:
    """Close ledgers; tell the URL and a contract, and in the end when each ledger was there."""
    from stellarstream_sandbox.config import SandboxConfig
    from stellarstream_sandbox.network import SandboxNetwork

    closed: dict[str, float] = {}

    async def run() -> None:
        config = SandboxConfig(
            ledgers=20, close_time=CLOSE_SECONDS, history_spacing=CLOSE_SECONDS, burst_every=0, port=0
        )
        async with SandboxNetwork(config, lambda one: closed.setdefault(str(one.sequence), time.monotonic())) as there:
            say(url=there.url, passphrase=there.passphrase)
            await until_stdin_ends()
        say(closed=closed)

    asyncio.run(run())


def follow(url: str, passphrase: str, database: str) -> None:
    """Sync and follow every contract; tell in the end when each position was committed."""
    from loguru import logger

    from stellarstream_core.plugins import Plugins
    from stellarstream_core.scope import EVERYTHING, Scope
    from stellarstream_core.settings import load_settings
    from stellarstream_core.sync.progress import Silence
    from stellarstream_core.sync.run import SyncRequest, SyncRun

    logger.remove()
    committed: dict[str, float] = {}

    class Clock:
        name = "clock"

        def publish(self, batch) -> None:
            committed[str(batch.commit.position)] = time.monotonic()

    async def run() -> None:
        flags = {
            "network": "bench", "network_passphrase": passphrase, "rpc_url": [url], "database_url": database
        }  # fmt: skip
        settings = load_settings(environ={}, flags=flags)
        source = await Plugins.load(built_in_only=True).sources()["soroban-rpc"].open(settings)
        stop = asyncio.Event()
        asyncio.ensure_future(until_stdin_ends()).add_done_callback(lambda _: stop.set())
        request = SyncRequest(first=2, last=None, scope=Scope.of([EVERYTHING]), follow=True)
        try:
            await SyncRun(request, storage, [source], passphrase, Silence(), [Clock()]).execute(stop)
        finally:
            await source.close()

    with closing(open_storage(database)) as storage:
        asyncio.run(run())
    say(committed=committed)


# --- latency ----------------------------------------------------------------------------------------


@asynccontextmanager
async def served(handler):
    app = web.Application()
    app.router.add_get("/live", handler)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def our_feed(storage):
    feed = Feed(storage, LIMITS)
    feed.start()
    await feed.ready()
    try:
        async with served(lambda request: stream(request, feed, feed.subscribe())) as port:
            yield port
            await feed.close()
    finally:
        await feed.close()


async def arrivals(database: str, indexer: subprocess.Popen, ledgers: int) -> list[tuple[int, int, float]]:
    """Return ledger, position and moment of arrival of each event, for about as many ledgers."""
    from stellarstream_core.api.live import parse_position

    found = []
    with closing(open_storage(database)) as storage:
        async with our_feed(storage) as port:
            source = EventSource()
            connection = await Connection.open(port, source)
            end = time.monotonic() + ledgers * CLOSE_SECONDS
            while time.monotonic() < end:
                at = len(source.messages)
                await connection.read()
                now = time.monotonic()
                for message in source.messages[at:]:
                    place = parse_position(message.last_event_id).place
                    found.append((message.json["ledger"], place.commit, now))
            assert indexer.poll() is None
    return found


def latency(kind: str, fresh, ledgers: int) -> dict[str, float]:
    with fresh() as database, child("network") as there:
        open_storage(database).close()
        about = told(there)
        with child("follow", about["url"], about["passphrase"], database) as indexer:
            time.sleep(6 * CLOSE_SECONDS)  # the history is fetched, the pace is known
            found = asyncio.run(arrivals(database, indexer, ledgers))
            committed = ended(indexer)["committed"]
            closed = ended(there)["closed"]
    whole = sorted(now - closed[str(ledger)] for ledger, _, now in found if str(ledger) in closed)
    behind = sorted(now - committed[str(position)] for _, position, now in found if str(position) in committed)
    result = {
        "median": middle(whole), "p99": late(whole),
        "median_behind": middle(behind), "p99_behind": late(behind),
    }  # fmt: skip
    print(
        f"{kind:<11} a ledger every {CLOSE_SECONDS:g} s, {len(whole)} events: from the RPC to the reader "
        f"median {result['median'] * 1e3:.0f} ms ({result['median'] / CLOSE_SECONDS:.2f} of a ledger's time), "
        f"p99 {result['p99'] * 1e3:.0f} ms ({result['p99'] / CLOSE_SECONDS:.2f}); "
        f"of it behind the commit: median {result['median_behind'] * 1e3:.1f} ms, p99 {result['p99_behind'] * 1e3:.1f} ms",
        flush=True,
    )
    return result


def middle(values: list[float]) -> float:
    return values[len(values) // 2]


def late(values: list[float]) -> float:
    return values[len(values) * 99 // 100]


# --- fan-out ----------------------------------------------------------------------------------------

GROUPS = [events_of_ledger(ledger, EVENTS) for ledger in range(1, COMMITS + 1)]


def commit(database: str) -> None:
    """Commit the groups at a steady pace, once told to."""
    with closing(open_storage(database)) as storage:
        sys.stdin.readline()
        for group in GROUPS:
            storage.commit(window(group[0].ledger, group[0].ledger, group))
            time.sleep(COMMIT_SECONDS)


async def measured(port: int, produce) -> dict[str, float]:
    """Connect the readers, let ``produce`` send all, and return processor seconds a push, latency and loop lag."""
    async with crowd(port, ["/live"] * READERS, {"/live": COMMITS * EVENTS}) as result:
        async with measured_lag() as lags:
            began = time.process_time()
            await produce()
            got = await result()
            spent = time.process_time() - began
        assert (got["complete"], len(got["digests"]["/live"])) == (READERS, 1), got["digests"]
    lags.sort()
    return {"push": spent / COMMITS / READERS, "lag": late(lags)}


async def ours(database: str) -> dict[str, float]:
    with closing(open_storage(database)) as storage:
        async with our_feed(storage) as port:
            with child("commit", database) as committing:
                before = resident_megabytes()

                async def produce() -> None:
                    committing.stdin.write("go\n")
                    committing.stdin.flush()

                return {**await measured(port, produce), "memory": resident_megabytes() - before}


async def bare() -> dict[str, float]:
    """Write the same bytes to each connection, one after another: nothing else, not even a thought for slow ones."""
    frames = Frames("7d444840-9dc0-11d1-b245-5ffdce74fad2")
    transports = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + frames.progress(Place(1))
            )
            transports.append(self.transport)

    async def produce() -> None:
        for number, group in enumerate(GROUPS, 1):
            data = b"".join(frames.event(event, Place(number, at)) for at, event in enumerate(group, 1))
            for transport in transports:
                transport.write(data)
            await asyncio.sleep(COMMIT_SECONDS)

    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=2048)
    async with server:
        return await measured(server.sockets[0].getsockname()[1], produce)


async def queues() -> dict[str, float]:
    """The handler as one would write it: a queue for each reader, filled with events that the reader encodes."""
    waiting: list[asyncio.Queue] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue = asyncio.Queue()
        waiting.append(queue)
        await response.write(b"retry: 3000\nid: 0\n\n")
        async with aclosing(taken_from(queue)) as events:
            async for number, event in events:
                await response.write(b"id: %d\ndata: %b\n\n" % (number, event_bytes(event)))
        return response

    async def taken_from(queue: asyncio.Queue):
        while (item := await queue.get()) is not None:
            yield item

    async def produce() -> None:
        for number, group in enumerate(GROUPS):
            for queue in waiting:
                for at, event in enumerate(group):
                    queue.put_nowait((number * EVENTS + at, event))
            await asyncio.sleep(COMMIT_SECONDS)

    async with served(handler) as port:
        found = await measured(port, produce)
        for queue in waiting:
            queue.put_nowait(None)
        return found


def fan_out() -> dict[str, float]:
    with fresh_sqlite() as database:
        open_storage(database).close()
        own = asyncio.run(ours(database))
    reference, usual = asyncio.run(bare()), asyncio.run(queues())
    result = {"bare": own["push"] / reference["push"], "queues": usual["push"] / own["push"], "lag": own["lag"]}
    print(
        f"{READERS:,} readers, {COMMITS} commits of {EVENTS} events: {own['push'] * 1e6:.0f} us of the server a commit and "
        f"reader, {result['bare']:.1f} times bare writing ({reference['push'] * 1e6:.0f} us); a queue for each reader needs "
        f"{result['queues']:.1f} times as much ({usual['push'] * 1e6:.0f} us)   loop's lag p99 {own['lag'] * 1e3:.0f} ms "
        f"(queues {usual['lag'] * 1e3:.0f} ms)   memory {own['memory'] * 1e3 / READERS:.0f} KB a reader",
        flush=True,
    )
    return result


def main(ledgers: int = LEDGERS) -> dict[str, dict[str, float]]:
    print("live stream:", flush=True)
    results = {"fan-out": fan_out(), "sqlite": latency("SQLite", fresh_sqlite, ledgers)}
    try:
        with server_url() as url:
            os.environ[ENVIRONMENT] = url
            results["postgresql"] = latency("PostgreSQL", fresh_postgresql, ledgers)
    except NoPostgresError as error:
        print(f"PostgreSQL left out: {error}")
    return results


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["network"]:
            network()
        case ["follow", *arguments]:
            follow(*arguments)
        case ["commit", database]:
            commit(database)
        case arguments:
            main(*map(int, arguments))
