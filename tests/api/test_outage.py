"""The database busy, away, broken or silent: 503 with a reason while it lasts, and as before when it is over."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from loguru import logger

from stellarstream_core.api import metrics_gauges, moments
from stellarstream_core.api.database import THREADS
from stellarstream_core.api.resources import health
from stellarstream_core.storage import Totals
from stellarstream_core.testing.scripted import made_contract, made_event
from tests.api.conftest import store
from tests.api.kit import HISTORY, A, B, C, Running, Said, runtime_of
from tests.postgres import throw_away_database

READS = (
    "/api/v1/events?limit=1",
    "/api/v1/events/0000000429496733696-0000000000",
    "/api/v1/sync",
    "/api/v1/events/rate",
)
JSON = "Content-Type: application/json"
OTHERS = [made_contract(number) for number in range(10, 190)]
"""Each a question of its own: what is asked alike at the same time is read once."""


@pytest.fixture
def no_failures() -> Iterator[None]:
    """What is logged meanwhile is that the database is away, and no fault of the service."""
    found: list[str] = []
    sink = logger.add(lambda message: found.append(str(message)), level="ERROR")
    yield
    logger.remove(sink)
    assert found == []


def started(url: str, **flags: object) -> Running:
    api = Running(runtime_of(url, **flags))
    store(api.storage, (100, 180), [A, B, C], HISTORY)
    return api


@pytest.fixture
def of_file(tmp_path) -> Iterator[tuple[Running, Path]]:
    path = tmp_path / "api.db"
    api = started(f"sqlite:///{path}")
    yield api, path
    api.stop()


def until(test: Callable[[], bool], seconds: float = 12.0) -> float:
    """Wait until something holds; return how long it took."""
    began = time.monotonic()
    while not test():
        assert time.monotonic() - began < seconds, "it did not come about"
        time.sleep(0.05)
    return time.monotonic() - began


def ask(api: Running, target: str, *headers: str, **more) -> Said:
    with api.wire(20) as wire:
        return wire.ask(target, *headers, close=True, **more)


def is_well(api: Running) -> bool:
    """Tell whether everything is as it should be, apart from the source that is not there."""
    checks = {check["name"]: check["ok"] for check in ask(api, "/healthz/ready").json["checks"]}
    reads = [ask(api, f"{path}{'&' if '?' in path else '?'}".rstrip("?")) for path in READS]
    return checks["database"] and checks["live-stream"] and all(said.status == 200 for said in reads)


def is_away(api: Running, *codes: str) -> bool:
    """Tell whether nothing of the database is answered, each request with a problem that says when to come back."""
    said = [ask(api, path) for path in READS if "events/0" not in path]  # one that never changes is kept
    if any(one.status != 503 for one in said):
        return False
    for one in said:
        assert one.code in codes, one
        assert int(one.header("Retry-After")) >= 1
        assert one.header("Cache-Control") == "no-store"
        assert "/" not in one.json["detail"].replace("Retry-After", ""), "no path, no address"
    return True


def check_what_is_left(api: Running) -> None:
    """What needs no database goes on, and readiness says what is missing."""
    for path in ("/healthz/live", "/openapi.json", "/docs", "/docs/problems", "/.well-known/stellar.toml"):
        assert ask(api, path).status == 200, path
    ready = ask(api, "/healthz/ready")
    assert (ready.status, ready.json["status"]) == (503, "unavailable")
    (database,) = [check for check in ready.json["checks"] if check["name"] == "database"]
    assert (database["ok"], database["required"]) == (False, True)
    assert ask(api, "/metrics").status == 200
    dashboard = ask(api, "/")
    assert (dashboard.status, dashboard.header("Content-Type")) == (503, "text/html; charset=utf-8")


# --- busy -----------------------------------------------------------------------------------------


@contextmanager
def exhausted(api: Running) -> Iterator[None]:
    """Keep every thread of the pool busy."""
    go = threading.Event()
    held = threading.Semaphore(0)

    def hold() -> None:
        held.release()
        go.wait(30)

    async def take() -> None:
        import asyncio

        tasks.extend(asyncio.create_task(api.service.database.run(hold)) for _ in range(THREADS))

    tasks: list[object] = []
    api.run(take())
    for _ in range(THREADS):
        assert held.acquire(timeout=10)
    try:
        yield
    finally:
        go.set()


def test_an_exhausted_pool_says_so_and_is_whole_again_afterwards(of_file, no_failures):
    api, _ = of_file
    api.service.database._patience = 0.3
    with exhausted(api):
        for path in (*READS[:1], *READS[2:3]):
            said = ask(api, path)
            assert (said.status, said.code) == (503, "database-busy"), said
            assert said.header("Retry-After") == "1"
        assert ask(api, "/healthz/ready").status == 200, "that it is busy is no reason to send requests elsewhere"
        rejected = "stellarstream_database_rejections_total"
        lines = [line for line in ask(api, "/metrics").body.decode().splitlines() if line.startswith(rejected)]
        assert float(lines[0].split()[-1]) >= 2
        # kept answers and what needs no database do not wait
        began = time.monotonic()
        assert ask(api, "/healthz/live").status == 200
        assert time.monotonic() - began < 0.2
    until(lambda: is_well(api))


def in_flight(api: Running) -> float:
    name = "stellarstream_http_requests_in_flight "
    (line,) = [one for one in api.service.metrics.render()[0].decode().splitlines() if one.startswith(name)]
    return float(line.removeprefix(name))


def test_of_a_crowd_before_an_exhausted_pool_each_is_served_or_told(of_file, no_failures):
    api, _ = of_file
    with ThreadPoolExecutor(180) as crowd, exhausted(api):
        waiting = [crowd.submit(ask, api, f"/api/v1/sync?contract={one}") for one in OTHERS]
        until(lambda: in_flight(api) >= 175)
    said = [one.result(30) for one in waiting]
    assert {one.status for one in said} == {200, 503}
    assert {one.code for one in said if one.status == 503} == {"database-busy"}
    assert sum(one.status == 200 for one in said) >= 100, "those who waited"
    assert is_well(api)


# --- SQLite ---------------------------------------------------------------------------------------


# Closing a file lets go of all locks that a process has on it, so that another process touches it here.


def elsewhere(code: str, *arguments: str, data: bytes = b"") -> bytes:
    """Run some Python in a process of its own; return what it writes."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], input=data, stdout=subprocess.PIPE, check=True
    ).stdout


def checkpointed(path: Path) -> bytes:
    """Move the log into the file and return its bytes."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA wal_checkpoint(TRUNCATE)'); c.close()"
    )
    elsewhere(code, str(path))
    return elsewhere("import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())", str(path))


def overwrite(path: Path, data: bytes) -> None:
    """Write other bytes into the very file that is there."""
    elsewhere("import sys; open(sys.argv[1], 'r+b').write(sys.stdin.buffer.read())", str(path), data=data)


def test_a_file_that_another_holds_is_read_and_not_written(of_file, no_failures, monkeypatch):
    from stellarstream_sql.storage import SqlStorage

    monkeypatch.setitem(SqlStorage.write.__kwdefaults__, "wait_seconds", 0.4)
    api, path = of_file
    key = api.key()
    placing = (JSON, f"X-API-Key: {key}", "Idempotency-Key: k")
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert ask(api, "/api/v1/events?limit=1").status == 200
        said = ask(api, "/api/v1/orders", *placing, method="POST", body=b'{"amount":"1"}')
        assert (said.status, said.code) == (503, "database-busy")
        assert said.header("Retry-After") == "1"
        assert ask(api, "/healthz/ready").status == 200
        other.rollback()
    said = ask(api, "/api/v1/orders", *placing, method="POST", body=b'{"amount":"1"}')
    assert said.status == 201


def test_a_file_that_is_overwritten_with_something_else_is_away_until_it_is_restored(of_file, no_failures):
    api, path = of_file
    good = checkpointed(path)
    overwrite(path, b"garbage " * (len(good) // 8))
    until(lambda: is_away(api, "database-unavailable"))
    check_what_is_left(api)
    overwrite(path, good)
    until(lambda: is_well(api))
    assert ask(api, "/api/v1/events?limit=200").json["asOfLedger"] == 180


def test_a_file_that_is_taken_away_is_missed_and_found_again(of_file, no_failures):
    api, path = of_file
    away = path.with_name("away")
    away.mkdir()
    names = [path.name, f"{path.name}-wal", f"{path.name}-shm"]
    for name in names:
        with suppress(FileNotFoundError):
            path.with_name(name).rename(away / name)
    until(lambda: is_away(api, "database-unavailable"))
    check_what_is_left(api)
    for name in names:
        with suppress(FileNotFoundError):
            (away / name).rename(path.with_name(name))
    until(lambda: is_well(api))


def test_another_database_in_the_files_place_is_what_is_served(of_file, tmp_path, no_failures):
    api, path = of_file
    other = started(f"sqlite:///{tmp_path / 'other.db'}")
    store(other.storage, (181, 190), [A, B, C], [])
    other.stop()
    checkpointed(tmp_path / "other.db")
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).unlink()
    (tmp_path / "other.db").rename(path)
    until(lambda: ask(api, "/api/v1/sync").json.get("watermark") == 190)
    until(lambda: is_well(api))


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.fixture
def of_server(postgres_server) -> Iterator[tuple[Running, Callable[[bool], None]]]:
    """Serve a database of its own; the function ends all its connections and refuses new ones, or takes them again."""
    import psycopg

    with throw_away_database(postgres_server) as url, psycopg.connect(postgres_server, autocommit=True) as admin:
        api = started(url)
        name = urlsplit(url).path[1:]

        def let_in(yes: bool) -> None:
            admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {yes}'.encode())
            if not yes:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

        yield api, let_in
        let_in(True)
        api.stop()


def test_a_server_that_ends_every_connection_is_connected_to_again_at_once(of_server, no_failures):
    api, let_in = of_server
    assert is_well(api)
    let_in(False)
    let_in(True)
    seconds = until(lambda: is_well(api))
    assert seconds < 6
    with ThreadPoolExecutor(20) as crowd:
        said = list(crowd.map(lambda _: ask(api, f"/api/v1/sync?contract={A}"), range(60)))
    assert {one.status for one in said} == {200}


def test_a_server_that_refuses_is_away_until_it_does_not(of_server, no_failures):
    api, let_in = of_server
    key, body = api.key(), b'{"amount":"1"}'
    placing = (JSON, f"X-API-Key: {key}", "Idempotency-Key: k")
    assert ask(api, "/api/v1/orders", *placing, method="POST", body=body).status == 201
    with api.wire() as reader:
        reader.send(b"GET /api/v1/events/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in reader._until(b"\r\n\r\n")
        let_in(False)
        until(lambda: is_away(api, "database-unavailable"))
        check_what_is_left(api)
        said = ask(api, "/api/v1/orders", *placing, method="POST", body=body)
        assert (said.status, said.code) == (503, "database-unavailable")
        said = ask(api, "/api/v1/events?limit=1", f"X-API-Key: ss_{'a' * 12}_{'b' * 43}")
        assert said.status in {401, 503}, "a key that cannot be looked up is not taken for nobody"
        let_in(True)
        until(lambda: is_well(api))
        said = ask(api, "/api/v1/orders", *placing, method="POST", body=body)
        assert (said.status, said.header("Idempotency-Replayed")) == (201, "true")
        event = made_event(181, contract=A)
        store(api.storage, (181, 181), [A], [event])
        found = b""
        while event.id.encode() not in found:  # the reader that stayed hears of what is committed now
            found += reader.sock.recv(65_536)


class Gate:
    """A port before a server, that can stop passing anything on without closing anything."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._to = address
        self.open = threading.Event()
        self.open.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                there = socket.create_connection(self._to)
                for source, to in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=(source, to), daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.open.wait()
                to.sendall(data)
        with suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        self.open.set()


def test_a_server_that_says_nothing_makes_the_pool_busy_and_no_more(postgres_url, no_failures, monkeypatch):
    for module, name in ((health, "CHECK_SECONDS"), (moments, "PATIENCE_SECONDS"), (metrics_gauges, "READING_SECONDS")):
        monkeypatch.setattr(module, name, getattr(module, name) / 5)
    parts = urlsplit(postgres_url)
    gate = Gate((parts.hostname, parts.port))
    url = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{gate.port}"))
    api = started(url)
    try:
        assert is_well(api)
        api.service.database._patience = 0.3
        gate.open.clear()

        async def read() -> Totals:
            return await api.service.database.run(api.storage.totals)

        with ThreadPoolExecutor(THREADS) as crowd:
            stuck = [crowd.submit(api.run, read()) for _ in range(THREADS)]
            until(lambda: is_away(api, "database-busy"))
            began = time.monotonic()
            check_what_is_left(api)
            assert time.monotonic() - began < 4
            with ThreadPoolExecutor(60) as probes:  # a supervisor goes on asking
                said = list(probes.map(lambda _: ask(api, "/healthz/ready"), range(60)))
            assert {one.status for one in said} == {503}
            assert ask(api, "/metrics").status == 200
            gate.open.set()
            assert {one.result(20).position for one in stuck} == {1}
        until(lambda: is_well(api))
    finally:
        gate.open.set()
        api.stop()
        gate.close()
