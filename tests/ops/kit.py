"""A real circusd with the repository's circus.ini in a folder of the test's own, and what tests ask of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from stellarstream_core.ops.control import Control, NotRunningError
from stellarstream_core.ops.health_state import Alert, HealthState, read_health
from stellarstream_core.ops.process import PresenceState, read_presences
from tests.api.kit import SECRET, SIGNING
from tests.paths import ROOT

DEEP = bool(os.environ.get("STELLARSTREAM_DEEP"))
PATIENCE_SECONDS = 40.0


def until(holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS, *, pause: float = 0.05) -> Any:
    """Return what is true at last; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(pause)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that have not ended; one whose parent has not asked how it ended has ended."""

    def lives(process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
        return False

    return [process for process in processes if lives(process)]


def clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STELLARSTREAM_", "CIRCUS"))}
    kept.pop("API_WORKERS", None)
    return kept | {"PYTHONPATH": str(ROOT)}


class Cluster:
    """One installation. ``stand_in``: its processes are quick stand-ins; ``settings`` as in the environment."""

    def __init__(self, *, stand_in: bool = False, workers: int = 2, **settings: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="ss-"))  # a socket's path must be short
        self.run_dir, self.log_dir = self.home / "run", self.home / "logs"
        for folder in (self.run_dir, self.log_dir):
            folder.mkdir(mode=0o700)
        self.port = free_port()
        self.control = Control(self.run_dir, timeout=30)
        self.process: subprocess.Popen[bytes] | None = None
        self._pids: set[psutil.Process] = set()
        self.settings = {
            "RUN_DIR": str(self.run_dir),
            "LOG_DIR": str(self.log_dir),
            "HOME": str(self.home),
            "PYTHON": str(self._stand_in()) if stand_in else sys.executable,
            "API_HOST": "127.0.0.1",
            "API_PORT": str(self.port),
            "API_FAMILY": "AF_INET",
            "SECRET_KEY": SECRET,
            "SIGNING_KEY": SIGNING,
            "RATE_LIMIT": "off",
            "HEALTH_SECONDS": "30",
            **settings,
        }
        self.environment = clean_environment() | {"API_WORKERS": str(workers)}
        self.environment |= {f"STELLARSTREAM_{name}": value for name, value in self.settings.items()}

    def _stand_in(self) -> Path:
        path = self.home / "python"
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests" / "ops" / "stand_in.py"}" "$@"\n')
        path.chmod(0o755)
        return path

    # --- circusd --------------------------------------------------------------------------------

    def start(self, *, ready: bool = True, ini: Path = ROOT / "circus.ini") -> None:
        with (self.home / "circusd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "circus.circusd", str(ini)],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if ready:
            self.ready()

    def ready(self, workers: int | None = None) -> None:
        """Wait until every worker takes requests and the indexer works."""
        wanted = workers or int(self.environment["API_WORKERS"])

        def all_ready() -> bool:
            assert self.process.poll() is None, self.said
            return len(self.ready_pids("api")) == wanted and len(self.ready_pids("indexer")) == 1

        until(all_ready)
        self._note()

    @property
    def said(self) -> str:
        """What circusd, and what could not be logged elsewhere, said."""
        return (self.home / "circusd.log").read_text(errors="replace")

    def logged(self, role: str) -> str:
        path = self.log_dir / f"{role}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _note(self) -> None:
        """Remember the processes there are, to end them whatever happens."""
        if self.process is not None:
            with suppress(psutil.Error):
                parent = psutil.Process(self.process.pid)
                self._pids |= {parent, *parent.children(recursive=True)}

    def stop(self) -> None:
        """End everything that was started, however it is."""
        self._note()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(12)
            self._note()
        for process in self._pids:
            with suppress(psutil.Error):
                process.kill()  # psutil looks whether it still is the same
        if self.process is not None:
            self.process.wait(10)
        for path in (self.home / "circusd.log", *sorted(self.log_dir.glob("*.log"))):
            if path.exists():
                print(f"--- {path.name}\n{path.read_text(errors='replace')[-5000:]}")
        shutil.rmtree(self.home, ignore_errors=True)

    # --- steering -------------------------------------------------------------------------------

    def ctl(self, *command: str, timeout: int = 40) -> str:
        """Run circusctl as an operator does; fail where it refuses."""
        done = subprocess.run(
            [sys.executable, "-m", "circus.circusctl", "--timeout", str(timeout), *command],
            env=clean_environment() | {"CIRCUSCTL_ENDPOINT": self.control.endpoint},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout + 20,
        )
        self._note()
        assert done.returncode == 0, done.stdout + done.stderr
        assert "error" not in done.stdout, done.stdout
        return done.stdout.strip()

    def settle(self) -> None:
        """Wait until no command runs any more."""
        self.control.call("start", name="plugin:health", waiting=True)
        self._note()

    def stellarstream(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ``stellarstream`` for this installation."""
        env = {name: value for name, value in self.environment.items() if name != "API_WORKERS"}
        env |= {f"STELLARSTREAM_{name}": value for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-m", "stellarstream_core.cli", *command],
            env=env,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    # --- looking --------------------------------------------------------------------------------

    def presences(self, role: str) -> list[PresenceState]:
        return [presence for presence in read_presences(self.run_dir) if presence.role == role]

    def ready_pids(self, role: str) -> set[int]:
        return {presence.pid for presence in self.presences(role) if presence.ready}

    def pids(self, watcher: str) -> set[int]:
        self._note()
        return set(self.control.pids(watcher))

    @property
    def health(self) -> HealthState | None:
        return read_health(self.run_dir)

    def alerts(self, kind: str) -> list[Alert]:
        found = self.health
        return [alert for alert in found.alerts if alert.kind == kind] if found else []

    def running(self) -> bool:
        try:
            self.control.require_running()
        except NotRunningError:
            return False
        return True

    def ask(self, path: str = "/") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read().decode()

    def ask_worker(self, pid: int, path: str) -> None:
        """Ask one of the stand-ins; the socket gives the connection to whichever is quickest."""
        for _ in range(500):
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as sock, sock.makefile("rb") as file:
                sock.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
                if _body(file) == str(pid):
                    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    assert _body(file) == str(pid)
                    return
        raise AssertionError(f"worker {pid} takes no connection")


def _body(file: Any) -> str:
    length = 0
    while line := file.readline().strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return file.read(length).decode()


@contextmanager
def cluster(**options: Any) -> Iterator[Cluster]:
    made = Cluster(**options)
    try:
        made.start()
        yield made
    finally:
        made.stop()


class LoadGenerator:
    """Steady requests from another process; see ``tests/ops/load.py``."""

    def __init__(self, port: int, *paths: str, clients: int = 12, pause: float = 0.1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ops.load", str(port), str(clients), str(pause), *paths],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline().strip() == "begun"

    def since_asked(self) -> dict[str, Any]:
        """Return what happened since this was last asked."""
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def load(port: int, *paths: str, **options: Any) -> Iterator[LoadGenerator]:
    made = LoadGenerator(port, *paths, **options)
    try:
        yield made
    finally:
        made.stop()
