"""What alerts are sent as, and what becomes of those that cannot be sent; what hooks of circusd do by themselves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from loguru import logger

from stellarstream_core.ops import hooks
from stellarstream_core.ops.alerts import QUEUED, Alerts, Webhook
from stellarstream_core.ops.health import limits_of
from stellarstream_core.ops.health_state import Alert, HealthState, WatcherHealth, read_health, write_health
from stellarstream_core.settings import load_settings
from tests.ops.kit import until

ALERT = Alert(1_780_000_000.5, "memory", "api", "api process 7 has too much", 7)
PATH = "/services/of-secret-name?token=of-secret-value"


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    number = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(number)


class Hook:
    """A server that answers as it is told, and what it was sent."""

    def __init__(self, *answers: int, location: str = "") -> None:
        self.bodies: list[bytes] = []
        outer, left = self, list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                outer.headers = self.headers
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                if location:
                    self.send_header("Location", location)
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the server's name for it

            def log_message(self, *_) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}{PATH}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def made() -> Iterator[list]:
    found: list = []
    yield found
    for one in found:
        one.stop() if isinstance(one, Hook) else one.close()


def test_an_alert_goes_to_the_log_the_memory_and_the_webhook(made, log):
    hook = Hook(200)
    webhook = Webhook(hook.url, waits=())
    made += [hook, webhook]
    kept: list[Alert] = []
    Alerts(kept.append, webhook).tell(ALERT)
    until(lambda: hook.bodies)
    told = json.loads(hook.bodies[0])
    host = socket.gethostname()
    assert told == {
        "text": f"StellarStream on {host}: memory: api process 7 has too much",
        "service": "stellarstream",
        "host": host,
        "at": "2026-05-28T20:26:40Z",
        "kind": "memory",
        "watcher": "api",
        "pid": 7,
        "detail": "api process 7 has too much",
    }
    assert hook.headers["Content-Type"] == "application/json"
    assert kept == [ALERT]
    assert "memory: api process 7 has too much\n" in "".join(log)


def test_what_fails_is_tried_again_and_then_given_up_without_the_address(made, log):
    hook, dead = Hook(500, 503, 204), Hook(404)
    first, second = Webhook(hook.url, waits=(0.01, 0.01)), Webhook(dead.url, waits=(0.01,))
    made += [hook, dead, first, second]
    first.send(ALERT)
    second.send(ALERT)
    until(lambda: len(hook.bodies) == 3 and len(dead.bodies) == 2 and log)
    assert "could not be sent to the webhook: it answered 404" in "".join(log)
    assert "secret" not in "".join(log)


@pytest.mark.parametrize(
    "url", [f"http://127.0.0.1:9{PATH}", f"https://127.0.0.1:9{PATH}", f"http://a b.invalid{PATH}"]
)
def test_an_address_that_leads_nowhere_is_not_shown(made, log, url):
    made.append(webhook := Webhook(url, waits=(), timeout=2))
    webhook.send(ALERT)
    until(lambda: log)
    assert "secret" not in "".join(log)


@pytest.mark.parametrize("url", ["file:///etc/secret", "http://[secret", "secret", "ftp://secret/"])
def test_nothing_but_http_is_taken(url):
    with pytest.raises(ValueError, match="alert_webhook: it is no http or https address") as refused:
        Webhook(url)
    assert "secret" not in str(refused.value)


def test_a_redirect_is_not_followed(made, log):
    aim = Hook(200)
    hook = Hook(307, location=aim.url)
    webhook = Webhook(hook.url, waits=())
    made += [aim, hook, webhook]
    webhook.send(ALERT)
    until(lambda: log)
    assert "it answered 307" in "".join(log)
    assert aim.bodies == []


def test_what_piles_up_is_dropped_and_nobody_waits(made, log):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        webhook = Webhook(f"http://127.0.0.1:{deaf.getsockname()[1]}{PATH}", timeout=30)
        made.append(webhook)
        for _ in range(QUEUED + 5):
            webhook.send(ALERT)
        assert "one is not sent" in "".join(log)
        assert "secret" not in "".join(log)


# --- the file -------------------------------------------------------------------------------------


def test_the_state_of_health_is_read_as_it_was_written(tmp_path):
    held = WatcherHealth("active", 2, (), 3, 9.5, "its database")
    state = HealthState(5.0, 30.0, {"api": held}, (ALERT,), {"memory": 1})
    write_health(tmp_path, state)
    assert read_health(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == ["health.json"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"at": 1}', '{"at":1,"interval":1,"watchers":[],"alerts":{}}'])
def test_a_file_that_is_none_is_no_state(tmp_path, text):
    if text is not None:
        (tmp_path / "health.json").write_text(text)
    assert read_health(tmp_path) is None


def test_limits_come_from_the_settings():
    environ = {"STELLARSTREAM_API_MEMORY_MB": "700", "STELLARSTREAM_CPU_PERCENT": "50"}
    limits = limits_of(load_settings(environ=environ))
    assert [limits.memory_of(name) for name in ("api", "indexer", "mine")] == [700_000_000, 300_000_000, 700_000_000]
    assert (limits.cpu_percent, limits.stuck_seconds, limits.interval) == (50.0, 30.0, 30.0)


# --- hooks ----------------------------------------------------------------------------------------


def test_new_workers_that_hang_are_killed_when_their_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setenv("STELLARSTREAM_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(hooks, "READY_SECONDS", 0.3)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert set(hooks._wait_for("api", [sleeper.pid, ended.pid])) == {sleeper.pid, ended.pid}
        assert sleeper.wait(1) == -signal.SIGKILL  # how they ended is left for circus to hear
        assert ended.wait(1) == 0
    finally:
        sleeper.kill()


def test_the_one_to_go_is_made_the_oldest_and_gets_no_signal():
    processes = {pid: SimpleNamespace(started=started) for pid, started in ((1, 10.0), (2, 20.0), (3, 30.0))}
    watcher = FewOfAWatcher()
    watcher.processes = processes
    assert hooks.retire(watcher=watcher, pid=3, signum=hooks.RETIRE_SIGNAL) is False
    assert processes[3].started < processes[1].started < processes[2].started
    assert hooks.retire(watcher=watcher, pid=1, signum=signal.SIGTERM) is True


def test_a_wrong_number_of_workers_is_logged_and_cores_are_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("STELLARSTREAM_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("API_WORKERS", "several")
    watcher = FewOfAWatcher()
    assert hooks.set_workers(watcher=watcher) is True
    assert watcher.numprocesses == len(os.sched_getaffinity(0))
    monkeypatch.setenv("API_WORKERS", "7")
    hooks.set_workers(watcher=watcher)
    assert watcher.numprocesses == 7


class FewOfAWatcher:
    """As much of a watcher as the hooks need."""

    name, numprocesses = "api", 1

    def manage_processes(self) -> None:
        """Do nothing."""
