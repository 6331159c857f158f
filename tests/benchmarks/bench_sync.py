"""End to end: pages served by another process, into SQLite and PostgreSQL, as ratios in one run.

- ours: a whole ``sync`` (source, checks, engine, storage), in a process of its own, its memory noted;
- ceiling: download the very same pages, parse them, insert the same rows with the bare driver;
- sdk + orm: the same job with stellar-sdk's ``get_events`` and peewee's ``get_or_create``.

Run it alone: ``python -m tests.benchmarks.bench_sync [EVENTS]``.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import orjson

from tests.benchmarks.pages import CONTRACT, FIRST, PASSPHRASE

LEDGERS = 20_000
SAMPLE = 4_000
ROUNDS = 3
COLUMNS = "id, ledger, closed_at, tx_hash, event_index, contract_id, type, topic0, topic1, topic2, topic3, more_topics, value, window_id"


@contextmanager
def server(events: int):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.pages", str(events), str(LEDGERS)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def requests_of(url: str) -> list[dict]:
    with urlopen(f"{url}/log") as answer:
        return orjson.loads(answer.read())


def prepare(database: str) -> None:
    """Make the schema with a window and a store that rows can refer to."""
    open_storage(database).close()


def open_storage(database: str):
    from stellarstream_core.plugins import Plugins
    from stellarstream_core.settings import load_settings

    plugins = Plugins.load(built_in_only=True)
    backend = plugins.storages()[database.partition(":")[0]]
    storage = backend.open(database, load_settings(environ={}), plugins.models())
    storage.migrate()
    return storage


# --- ours ---------------------------------------------------------------------------------------


def ours(url: str, database: str) -> None:
    """Sync in this process and print seconds, events and the peak of memory in MB."""
    from stellarstream_core.plugins import Plugins
    from stellarstream_core.scope import Scope
    from stellarstream_core.settings import load_settings
    from stellarstream_core.sync.progress import Silence
    from stellarstream_core.sync.run import SyncRequest, SyncRun

    async def run():
        settings = load_settings(
            environ={},
            flags={"network": "bench", "network_passphrase": PASSPHRASE, "rpc_url": [url], "database_url": database},
        )
        source = await Plugins.load(built_in_only=True).sources()["soroban-rpc"].open(settings)
        request = SyncRequest(FIRST, FIRST + LEDGERS - 1, Scope.of([CONTRACT]))
        try:
            return await SyncRun(request, storage, [source], PASSPHRASE, Silence()).execute(asyncio.Event())
        finally:
            await source.close()

    storage = open_storage(database)
    began = time.perf_counter()
    report = asyncio.run(run())
    seconds = time.perf_counter() - began
    storage.close()
    assert not report.coverage.gaps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(orjson.dumps([seconds, report.counts.new, peak]).decode())


# --- the ceiling --------------------------------------------------------------------------------


def rows_of(page: dict) -> list[tuple]:
    decode = b64decode
    return [
        (
            e["id"], e["ledger"], 1_700_000_000 + 5 * e["ledger"], e["txHash"], int(e["id"][20:]), e["contractId"], e["type"],
            decode(e["topic"][0]), decode(e["topic"][1]), decode(e["topic"][2]), None, None, decode(e["value"]), 1,
        )
        for e in page["result"]["events"]
    ]  # fmt: skip


def bare_sqlite(database: str):
    import sqlite3

    connection = sqlite3.connect(database.removeprefix("sqlite:///"), check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    insert = f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join('?' * 14)})"

    def write(rows: list[tuple]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute("COMMIT")

    return write, connection.close


def bare_postgresql(database: str):
    import psycopg

    connection = psycopg.connect(database)
    types = ["text", "int8", "int8", "text", "int8", "text", "text", *["bytea"] * 6, "int8"]

    def write(rows: list[tuple]) -> None:
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY events ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(types)
                for row in rows:
                    copy.write_row(row)
        connection.commit()

    return write, connection.close


def ceiling(url: str, database: str, requests: list[dict]) -> tuple[float, int]:
    import aiohttp

    prepare(database)
    write, close = (bare_sqlite if database.startswith("sqlite") else bare_postgresql)(database)
    events = 0
    seen: set[str] = set()

    async def run() -> None:
        nonlocal events
        todo = iter(requests)
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as session:

            async def work() -> None:
                nonlocal events
                for params in todo:
                    call = {"jsonrpc": "2.0", "id": 1, "method": "getEvents", "params": params}
                    async with session.post(url, data=orjson.dumps(call)) as answer:
                        rows = rows_of(orjson.loads(await answer.read()))
                    # a page that goes on from a cursor may reach past its window (facts of getEvents)
                    rows = [row for row in rows if row[0] not in seen]
                    seen.update(row[0] for row in rows)
                    events += len(rows)
                    await loop.run_in_executor(thread, write, rows)

            await asyncio.gather(*(work() for _ in range(4)))

    with ThreadPoolExecutor(1) as thread:
        began = time.perf_counter()
        asyncio.run(run())
        seconds = time.perf_counter() - began
    close()
    return seconds, events


# --- stellar-sdk and the ORM --------------------------------------------------------------------


def sdk_and_orm(url: str, database: str) -> tuple[float, int]:
    import peewee
    from stellar_sdk import SorobanServer
    from stellar_sdk.soroban_rpc import EventFilter, EventFilterType

    if database.startswith("sqlite"):
        db = peewee.SqliteDatabase(
            database.removeprefix("sqlite:///"), pragmas={"journal_mode": "wal", "synchronous": 1}
        )
    else:
        db = peewee.PostgresqlDatabase(database, prefer_psycopg3=True)

    class Event(peewee.Model):
        id = peewee.TextField(primary_key=True)
        ledger = peewee.BigIntegerField(index=True)
        closed_at = peewee.BigIntegerField()
        tx_hash = peewee.TextField()
        event_index = peewee.BigIntegerField()
        contract_id = peewee.TextField(index=True)
        type = peewee.TextField()
        topics = peewee.TextField()
        value = peewee.TextField()

        class Meta:
            database = db
            table_name = "orm_events"
            indexes = ((("tx_hash", "event_index"), True),)

    db.create_tables([Event])
    server = SorobanServer(url)
    filters = [EventFilter(event_type=EventFilterType.CONTRACT, contract_ids=[CONTRACT])]
    events, cursor = 0, None
    began = time.perf_counter()
    while events < SAMPLE:
        page = (
            server.get_events(filters=filters, cursor=cursor, limit=1000)
            if cursor
            else server.get_events(start_ledger=FIRST, filters=filters, limit=1000)
        )
        with db.atomic():
            for e in page.events:
                Event.get_or_create(
                    id=e.id,
                    defaults={"ledger": e.ledger, "closed_at": 0, "tx_hash": e.transaction_hash, "event_index": int(e.id[20:]),
                              "contract_id": e.contract_id, "type": e.event_type, "topics": ",".join(e.topic), "value": e.value},
                )  # fmt: skip
        events += len(page.events)
        cursor = page.cursor
    seconds = time.perf_counter() - began
    db.drop_tables([Event])
    db.close()
    return seconds, events


# --- the run ------------------------------------------------------------------------------------


def ours_in_a_process(url: str, database: str) -> tuple[float, int, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_sync", "ours", url, database],
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(orjson.loads(done.stdout.splitlines()[-1]))


def measure(url: str, kind: str, fresh) -> dict[str, float]:
    requests_of(url)  # forget what other measurements asked for
    with fresh() as database:
        ours_in_a_process(url, database)  # the server makes its pages, the disk its caches
    requests = requests_of(url)
    rates: dict[str, list[float]] = {"ours": [], "ceiling": [], "sdk": []}
    peak = 0.0
    for _ in range(ROUNDS):
        with fresh() as database:
            seconds, events, memory = ours_in_a_process(url, database)
            rates["ours"].append(events / seconds)
            peak = max(peak, memory)
        with fresh() as database:
            seconds, again = ceiling(url, database, requests)
            assert again >= events, (again, events)
            rates["ceiling"].append(again / seconds)
        with fresh() as database:
            seconds, some = sdk_and_orm(url, database)
            rates["sdk"].append(some / seconds)
    best = {name: max(values) for name, values in rates.items()}
    print(
        f"{kind:<11} ours {best['ours']:>8,.0f} events/s   {best['ours'] / best['ceiling']:.2f} of the ceiling "
        f"({best['ceiling']:,.0f})   {best['ours'] / best['sdk']:.1f} times sdk + orm ({best['sdk']:,.0f})   "
        f"peak memory {peak:.0f} MB",
        flush=True,
    )
    return {"ceiling": best["ours"] / best["ceiling"], "sdk": best["ours"] / best["sdk"], "memory": peak}


@contextmanager
def fresh_sqlite():
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'bench.db'}"


@contextmanager
def fresh_postgresql():
    import psycopg

    server = os.environ["STELLARSTREAM_TEST_POSTGRES_URL"]
    name = f"bench_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield server.rpartition("/")[0] + f"/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def main(events: int = 200_000) -> dict[str, dict[str, float]]:
    print(f"end to end, {events:,} events in {LEDGERS:,} ledgers, best of {ROUNDS}:", flush=True)
    results = {}
    with server(events) as url:
        results["sqlite"] = measure(url, "SQLite", fresh_sqlite)
        if os.environ.get("STELLARSTREAM_TEST_POSTGRES_URL"):
            results["postgresql"] = measure(url, "PostgreSQL", fresh_postgresql)
        else:
            print("PostgreSQL left out: STELLARSTREAM_TEST_POSTGRES_URL is not set")
    return results


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        ours(*sys.argv[2:])
    else:
        main(*map(int, sys.argv[1:]))
