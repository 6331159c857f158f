"""Leaks, busy loops, stuck loops and crash loops are provoked for real, and end as the documentation says."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest

from tests.ops.kit import Cluster, cluster, load, until

INTERVAL = 1.0
STUCK = 3.0
LIMIT_MB = 150


class Receiver:
    """A webhook that takes alerts."""

    def __init__(self) -> None:
        self.received: queue.Queue[dict] = queue.Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.put(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/of-secret-name"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def wait_for(self, kind: str, seconds: float = 15) -> dict:
        deadline = time.monotonic() + seconds
        while (told := self.received.get(timeout=max(deadline - time.monotonic(), 0.01)))["kind"] != kind:
            pass
        return told

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def webhook() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def service(webhook) -> Iterator[Cluster]:
    options = {
        "HEALTH_SECONDS": str(INTERVAL),
        "STUCK_SECONDS": str(STUCK),
        "API_MEMORY_MB": str(LIMIT_MB),
        "INDEXER_MEMORY_MB": str(LIMIT_MB),
        "ALERT_WEBHOOK": webhook.url,
        "CPU_PERCENT": "40",
        "FRONTEND_URL": "http://with.$DOLLARS.example ",
    }
    with cluster(stand_in=True, **options) as made:
        until(lambda: made.health)
        yield made


def looks(service: Cluster, count: int) -> None:
    """Wait until the monitor has looked so many times more."""
    for _ in range(count):
        at = service.health.at
        until(lambda at=at: service.health.at > at)


def test_what_is_seen_is_told_in_a_file_that_is_always_whole(service):
    looks(service, 2)
    health = service.health
    assert set(health.watchers) == {"api", "indexer", "worker"}
    api = health.watchers["api"]
    assert (api.status, api.wanted, len(api.processes), api.backoff_until) == ("active", 2, 2, None)
    for process in api.processes:
        assert process.pid in service.ready_pids("api")
        assert 1_000_000 < process.memory < 100_000_000
        assert process.cpu is not None
        assert process.cpu < 40
        assert process.beat_age < STUCK
        assert process.state == "ready"
    assert health.interval == INTERVAL
    assert not health.stale()
    assert health.stale(health.at + 60)
    assert (service.run_dir / "health.json").stat().st_mode & 0o077 == 0


def test_what_leaks_is_replaced_alone_once_another_one_is_ready_and_no_request_fails(service, webhook):
    leaking, other = sorted(service.pids("api"))
    seen = [{leaking, other}]
    with load(service.port, clients=12, pause=0.05) as steady:
        service.ask_worker(leaking, f"/leak/{LIMIT_MB + 100}")
        while leaking in (now := service.pids("api")):
            seen.append(now)
            time.sleep(0.02)
        until(lambda: len(service.pids("api")) == 2)
        looks(service, 3)
        report = steady.since_asked()
    assert report["failed"] == []
    assert report["requests"] > 100
    after = service.pids("api")
    assert other in after
    assert leaking not in after
    assert after == service.ready_pids("api")
    assert service.control.wanted("api") == 2
    assert all(other in now for now in seen)
    assert {len(now) for now in seen} == {2, 3}
    assert webhook.wait_for("memory")["pid"] == leaking
    (alert,) = service.alerts("memory")
    assert f"process {leaking} has" in alert.text
    assert "replaced" in alert.text
    assert not (service.run_dir / "replacing.json").exists()


def test_an_indexer_that_leaks_is_restarted_and_there_are_never_two(service):
    (before,) = service.pids("indexer")
    most = 0
    service.ctl("signal", "indexer", str(before), "USR1")  # it then keeps 250 MB
    while before in (now := service.pids("indexer")):
        most = max(most, len(now))
    assert most == 1
    until(lambda: len(service.ready_pids("indexer")) == 1)
    assert before not in service.pids("indexer")
    assert service.alerts("memory")[-1].watcher == "indexer"
    assert "restarted" in service.alerts("memory")[-1].text


def test_a_busy_process_is_told_of_and_left_alone(service, webhook):
    before = service.pids("api")
    busy = min(before)
    service.ask_worker(busy, f"/busy/{5 * INTERVAL}")
    while (told := webhook.wait_for("cpu"))["pid"] != busy:
        pass  # one that begins is busy for a moment, too
    assert told["watcher"] == "api"
    assert told["service"] == "stellarstream"
    looks(service, 5)
    assert [alert.pid for alert in service.alerts("cpu")].count(busy) == 1  # the same again is not told at each look
    assert service.pids("api") == before


def test_a_stuck_process_is_killed_and_no_other(service, webhook):
    before = service.pids("api")
    stuck = max(before)
    service.ask_worker(stuck, "/stuck")
    began = time.monotonic()
    until(lambda: stuck not in service.pids("api"))
    assert STUCK - 1 < time.monotonic() - began < STUCK + 2 * INTERVAL + 3
    until(lambda: len(service.ready_pids("api")) == 2)
    assert before - {stuck} < service.pids("api")
    assert webhook.wait_for("stuck")["pid"] == stuck
    assert until(lambda: service.alerts("crash"))[-1].text.endswith("signal 9")


def test_a_crash_loop_is_held_back_longer_and_longer_and_others_go_on(service, webhook):
    api = service.pids("api")
    broken = service.home / "indexer.broken"
    broken.touch()
    for pid in service.pids("indexer"):
        psutil.Process(pid).kill()
    told = webhook.wait_for("crash-loop", 20)
    assert told["watcher"] == "indexer"
    first = until(lambda: service.health.watchers["indexer"].backoff_until)
    assert 0 < first - time.time() <= 2.1
    second = until(lambda: (now := service.health.watchers["indexer"].backoff_until) and now > first + 1 and now, 15)
    assert 3 < second - first < 8
    assert service.said.count("crashes again and again: the next start is in 2 s") == 1
    assert "crashes again and again: the next start is in 4 s" in service.said
    starts = service.said.count("indexer is broken")
    assert 5 <= starts <= 8
    assert service.health.watchers["indexer"].wanted == 1
    overview = json.loads(service.stellarstream("cluster", "status", "--json").stdout)
    assert not overview["well"]
    assert overview["watchers"]["indexer"]["text"].startswith("active, 0 of 1 ready, crash loop: next start in ")
    # a monitor that begins meanwhile knows what is held back as well: for eight seconds now
    third = until(lambda: (now := service.health.watchers["indexer"].backoff_until) and now > second + 1 and now)
    (monitor,) = service.pids("plugin:health")
    psutil.Process(monitor).kill()
    killed = time.time()
    told = len(service.alerts("crash-loop"))
    known = until(lambda: (now := service.health).at > killed + INTERVAL and now.watchers["indexer"])
    assert (known.wanted, known.backoff_until) == (1, third)
    assert len(service.alerts("crash-loop")) == told
    broken.unlink()
    until(lambda: len(service.ready_pids("indexer")) == 1)
    assert service.control.wanted("indexer") == 1
    until(lambda: service.health.watchers["indexer"].backoff_until is None)
    assert service.pids("api") == api
    assert not service.alerts("missing")


def test_of_workers_that_crash_again_and_again_only_those_are_held_back(service):
    kept = min(service.pids("api"))
    for _ in range(20):
        if [alert for alert in service.alerts("crash-loop") if alert.watcher == "api"]:
            break
        killed = service.pids("api") - {kept}
        for pid in killed:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
        until(
            lambda killed=killed: (
                not service.pids("api") & killed
                and (service.pids("api") != {kept} or service.control.wanted("api") < 2)
            )
        )
    assert [alert for alert in service.alerts("crash-loop") if alert.watcher == "api"]
    assert service.control.wanted("api") == 1  # the other one is not started for two seconds
    assert service.pids("api") == {kept}
    until(lambda: len(service.ready_pids("api")) == 2, 10)
    assert kept in service.pids("api")


def test_restarting_a_watcher_that_is_held_back_starts_it_at_once(service):
    until(lambda: service.control.wanted("api") == 2)
    service.ctl("restart", "api")
    until(lambda: len(service.ready_pids("api")) == 2)
    assert service.control.wanted("api") == 2


def test_a_watcher_that_is_stopped_is_told_of_once(service, webhook):
    service.ctl("stop", "indexer")
    told = webhook.wait_for("stopped")
    assert told["watcher"] == "indexer"
    assert "circusctl start indexer" in told["detail"]
    looks(service, 3)
    assert len(service.alerts("stopped")) == 1
    service.ctl("start", "indexer")
    until(lambda: len(service.ready_pids("indexer")) == 1)


def test_a_monitor_that_is_killed_comes_back_and_goes_on_with_what_it_knew(service):
    (monitor,) = service.pids("plugin:health")
    psutil.Process(min(service.pids("api"))).kill()
    counts = until(lambda: (now := dict(service.health.counts)).get("crash") and now)
    until(lambda: len(service.ready_pids("api")) == 2)
    psutil.Process(monitor).kill()
    until(lambda: service.pids("plugin:health") - {monitor})
    looks(service, 2)
    after = service.health.counts
    assert all(after[kind] >= count for kind, count in counts.items())


def test_the_address_of_the_webhook_is_nowhere(service, webhook):
    for path in (*service.log_dir.iterdir(), *service.run_dir.iterdir(), service.home / "circusd.log"):
        if path.is_file() and not path.is_socket():
            assert b"of-secret-name" not in path.read_bytes(), path
    for process in psutil.Process(service.process.pid).children(recursive=True):
        assert "of-secret-name" not in " ".join(process.cmdline())


def test_a_secret_with_a_dollar_in_it_arrives_whole(service):
    assert service.ask("/environment/STELLARSTREAM_FRONTEND_URL") == "http://with.$DOLLARS.example "


def test_a_webhook_that_hangs_disturbs_nothing():
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        cluster(
            stand_in=True,
            workers=1,
            HEALTH_SECONDS="0.5",
            ALERT_WEBHOOK=f"http://127.0.0.1:{deaf.getsockname()[1]}/secret-path",
        ) as service,
    ):
        until(lambda: service.health)
        service.ctl("stop", "indexer")
        connection, _ = deaf.accept()  # it is asked, and never answers
        with connection:
            looks(service, 4)
            (pid,) = service.pids("api")
            psutil.Process(pid).kill()
            until(lambda: service.alerts("crash"))
            until(lambda: service.ready_pids("api") - {pid})
        assert "secret-path" not in service.logged("health")
