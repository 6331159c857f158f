"""The real service under the real circusd and steady load from another process: what operators do loses nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psutil
import pytest

from stellarstream_core.ops.control import port_is_taken
from stellarstream_core.ops.hooks import READY_SECONDS
from stellarstream_core.ops.process import State, read_presences
from stellarstream_core.ops.starting import END_SECONDS
from tests.cli.conftest import Node
from tests.ops import provoking
from tests.ops.indexer_kit import SMALL
from tests.ops.kit import DEEP, Cluster, LoadGenerator, cluster, living, load, until
from tests.paths import ROOT

LIMIT_MB = 400
INTERVAL = 1.0
OLDEST = 2  # the sandbox's first ledger that holds something
ROUNDS = 10 if DEEP else 1
pytestmark = pytest.mark.timeout(1800 if DEEP else 110)
PACE = {"clients": 16, "pause": 0.015} if DEEP else {"clients": 12, "pause": 0.1}
PATHS = ("/healthz/live", "/api/v1/events?limit=2")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    running = Node(SMALL)
    yield running
    running.stop()


def settings(node: Node) -> dict[str, str]:
    contract = node.contracts["streams-v2"]
    return {"NETWORK": "sandbox", "RPC_URL": node.url, "CONTRACTS": contract, "START_LEDGER": str(OLDEST)}


@pytest.fixture(scope="module")
def service(node) -> Iterator[Cluster]:
    made = Cluster(HEALTH_SECONDS=str(INTERVAL), API_MEMORY_MB=str(LIMIT_MB), **settings(node))
    made.environment["PYTHONPATH"] = f"{provoking.install(made.home)}{os.pathsep}{ROOT}"
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def steady(service) -> Iterator[LoadGenerator]:
    with load(service.port, *PATHS, **PACE) as made:
        yield made


def told(steady: LoadGenerator, what: str, requests: int = 20) -> dict[str, Any]:
    """Return what happened to requests since this was last asked; it is printed, for the documentation."""
    report = steady.since_asked()
    shown = {name: report[name] for name in ("requests", "max_ms", "p99_ms")}
    kept = sum(1 for one in report["failed"] if one["kept"])
    print(f"FIGURES {what}: failed {kept} kept, {len(report['failed']) - kept} one-shot; {json.dumps(shown)}")
    assert report["requests"] >= requests
    assert set(report["statuses"]) <= {"200"}
    return report


def while_new_ones_come(service: Cluster, count: int, do: Callable[[], Any], *, all_new: bool) -> None:
    """Carry something out and wait until there are so many workers, all ready; ``all_new``: none that was there."""
    before = service.pids("api")
    do()

    def came() -> bool:
        now = service.pids("api")
        return len(now) == count and now == service.ready_pids("api") and not (all_new and now & before)

    until(came)


def test_reload_incr_decr_restart_sighup_and_replacement_lose_no_request(service, steady):
    (indexer,) = service.pids("indexer")
    for _ in range(ROUNDS):
        while_new_ones_come(service, 2, lambda: service.ctl("reload", "api"), all_new=True)
        assert told(steady, "reload api")["failed"] == []

        while_new_ones_come(service, 3, lambda: service.ctl("incr", "api"), all_new=False)
        assert told(steady, "incr api")["failed"] == []

        while_new_ones_come(service, 2, lambda: service.ctl("decr", "api"), all_new=False)
        assert told(steady, "decr api", 1)["failed"] == []

        while_new_ones_come(service, 2, lambda: service.ctl("restart", "api"), all_new=True)
        assert told(steady, "restart api", 1)["failed"] == []

        reload_everything(service)
        assert told(steady, "SIGHUP")["failed"] == []

        have_one_replaced(service)
        assert told(steady, "memory replacement")["failed"] == []
    assert service.pids("indexer") == {indexer}
    # what circusd's look meets while a command runs is no error
    assert "Traceback" not in service.said
    assert "ConflictError" not in service.said


def reload_everything(service: Cluster) -> None:
    """Send circusd SIGHUP; the indexer then has new code as the same process."""
    (before,) = service.presences("indexer")
    while_new_ones_come(service, 2, lambda: service.process.send_signal(signal.SIGHUP), all_new=True)
    (after,) = until(lambda: [one for one in service.presences("indexer") if one.since > before.since and one.ready])
    assert after.pid == before.pid


def have_one_replaced(service: Cluster) -> None:
    """Let one of the workers have too much memory, and wait until it has been replaced."""
    before = service.pids("api")
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/api/v1/keep?mb={LIMIT_MB}", timeout=20) as answer:
        leaking = json.load(answer)["pid"]
    until(lambda: leaking not in service.pids("api"))
    until(lambda: len(service.pids("api")) == 2 and service.pids("api") == service.ready_pids("api"))
    assert before - {leaking} < service.pids("api")
    assert [alert.pid for alert in service.alerts("memory")].count(leaking) == 1


def test_a_worker_that_is_killed_takes_its_own_connections_with_it_and_no_other(service, steady):
    for number in range(3 * ROUNDS if DEEP else 2):
        if number and number % 3 == 0:  # so many in a minute would be a crash loop; who restarts begins anew
            while_new_ones_come(service, 2, lambda: service.ctl("restart", "api"), all_new=True)
        until(lambda: len(service.ready_pids("api")) == 2)
        told(steady, "before", 0)
        time.sleep(0.3)  # connections are spread again
        before = service.pids("api")
        killed = min(before)
        began = time.monotonic()
        psutil.Process(killed).kill()
        until(lambda before=before: service.pids("api") - before, pause=0.01)
        respawned = time.monotonic() - began
        until(lambda: len(service.ready_pids("api")) == 2)
        report = told(steady, f"kill -9 of a worker (a new one after {respawned:.2f} s)")
        gone = {one["worker"] for one in report["failed"] if one["worker"]}
        assert len(gone) <= 1
        assert before - {killed} < service.pids("api")
        # one-shot connections that fail are those that it had taken: none was refused
        assert not [one for one in report["failed"] if one["error"] == "ConnectionRefusedError"]
        assert len(report["failed"]) <= PACE["clients"]
        assert respawned < 2


def test_a_reload_of_what_does_not_start_keeps_the_old_workers(service, steady):
    before = service.pids("api")
    file = service.home / "stellarstream.toml"
    file.write_text("no_such_setting = 1\n")
    try:
        service.ctl("reload", "api")
        until(lambda: service.alerts("reload"))
        assert "2 new processes did not become ready" in service.alerts("reload")[-1].text
        until(lambda: service.pids("api") == before)
        assert service.ready_pids("api") == before
        assert told(steady, "reload of what does not start")["failed"] == []
        assert service.logged("api").count("no_such_setting: there is no such setting") == 2  # why they did not
    finally:
        file.unlink()
    assert service.control.wanted("api") == 2


def test_circusctl_alone_tells_and_does_everything(service):
    assert set(service.ctl("status").splitlines()) == {
        "api: active",
        "indexer: active",
        "plugin:health: active",
        "worker: stopped",
    }
    assert set(map(int, service.ctl("list", "api").split(","))) == service.pids("api")
    assert service.ctl("numprocesses", "api") == "2"
    for pid in service.pids("api"):
        assert str(pid) in service.ctl("stats", "api")
    assert service.ctl("dstats")
    # one worker, and no other, is retired: by its number
    before = service.pids("api")
    retired = max(before)
    service.ctl("incr", "api")
    until(lambda: len(service.ready_pids("api")) == 3)
    service.ctl("signal", "api", str(retired), "URG")
    service.ctl("decr", "api")
    until(lambda: len(service.pids("api")) == 2)
    assert retired not in service.pids("api")
    assert before - {retired} < service.pids("api")
    # nothing was asked of the slot for more
    assert "STELLARSTREAM_WORKER was not set" not in service.said


def test_stellarstream_shows_it_and_hands_commands_to_circusctl(service):
    until(lambda: len(service.ready_pids("api")) == 2)
    shown = service.stellarstream("cluster", "status")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "api (active, 2 of 2 ready)" in shown.stdout
    assert "indexer (active, 1 of 1 ready)" in shown.stdout
    for pid in service.pids("api") | service.pids("indexer"):
        assert str(pid) in shown.stdout
    assert service.stellarstream("cluster", "ctl", "status", "api").stdout.strip() == "active"
    again = service.stellarstream("up")
    assert again.returncode == 0, again.stderr
    assert "It runs already" in again.stdout


def test_circusd_that_is_killed_leaves_no_process_no_lock_and_no_damage(service):
    processes = psutil.Process(service.process.pid).children(recursive=True)
    assert len(processes) == 4
    service.process.kill()
    service.process.wait()
    until(lambda: not living(processes), 8)
    # what it left in the run folder does not keep the next one from starting
    began = time.monotonic()
    started = service.stellarstream("up", "--workers", "1")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        print(f"FIGURES up after kill -9 of circusd: {time.monotonic() - began:.1f} s")
        assert "Running: 1 API worker on" in started.stdout
        status = json.loads(service.stellarstream("cluster", "status", "--json").stdout)
        assert status["well"]
        with closing(sqlite3.connect(service.home / "stellarstream.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        ended = service.stellarstream("down")
    assert (ended.returncode, ended.stdout) == (0, "Ended.\n"), ended.stderr
    assert not service.running()


@contextmanager
def unfinished_requests(port: int, count: int) -> Iterator[None]:
    """Hold requests whose bodies never come: a worker that is told to end gives them a while."""
    with ExitStack() as kept:
        for _ in range(count):
            sock = kept.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            sock.sendall(b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        yield


@pytest.mark.parametrize("moment", ["new ones start", "old ones leave"])
def test_sigterm_to_circusd_in_the_middle_of_a_reload_ends_everything_and_leaves_nothing(node, moment):
    with cluster(**settings(node)) as service, unfinished_requests(service.port, 4):  # what old ones wait for
        supervisor = psutil.Process(service.process.pid)
        old = set(supervisor.children())
        supervisor.send_signal(signal.SIGHUP)
        if moment == "new ones start":
            until(lambda: set(supervisor.children()) - old, pause=0.005)
        else:
            until(lambda: {one.pid for one in service.presences("api") if one.state is State.DRAINING}, pause=0.005)
        processes = list(old | set(supervisor.children()))
        assert len(living(processes)) > len(old)
        began = time.monotonic()
        supervisor.send_signal(signal.SIGTERM)
        assert service.process.wait(READY_SECONDS + END_SECONDS) == 0  # at the most, where nothing has the processor
        print(f"FIGURES SIGTERM while {moment}: ended after {time.monotonic() - began:.1f} s")
        assert living(processes) == []
        assert not port_is_taken("127.0.0.1", service.port)
        assert not service.running()
        assert list(service.run_dir.glob("api.*")) == [], "each worker heard of it, and took leave"
        assert read_presences(service.run_dir) == []
        assert "Traceback" not in service.said
