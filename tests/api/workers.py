"""Workers as a supervisor starts them: ``stellarstream serve`` in processes of their own, on one socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import commands
from tests.api.kit import SECRET, SIGNING, Said, Wire
from tests.paths import ROOT

READY = "Serving "


class Worker:
    """One process that serves, from its start to its end."""

    def __init__(
        self, folder: Path, *arguments: str, sock: socket.socket | None = None, begin=commands.start, **settings: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._said = folder / "out.txt"
        self._log = folder / "log.txt"
        env = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
        env |= {f"STELLARSTREAM_{name}": value for name, value in settings.items()}
        env |= {"PYTHONPATH": f"{_plugin(folder)}{os.pathsep}{ROOT}", "HOME": str(folder)}
        with self._said.open("wb") as said, self._log.open("wb") as log:
            self.process = begin(
                *("--log-level", "trace", "serve", *arguments),
                env=env,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log,
                pass_fds=() if sock is None else (sock.fileno(),),
            )

    @property
    def said(self) -> str:
        """What it wrote to stdout."""
        return self._said.read_text()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_until_ready(self, seconds: float = 30) -> str:
        """Wait until it takes requests; return its address."""
        deadline = time.monotonic() + seconds
        while READY not in self.said + self.log:
            assert self.process.poll() is None, self.said + self.log
            assert time.monotonic() < deadline, self.said + self.log
            time.sleep(0.02)
        return re.search(r"Serving (http://\S+)", self.said + self.log)[1]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self, seconds: float = 10) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _plugin(folder: Path) -> Path:
    """Make a distribution that offers the plugin of ``orders``; return the folder it is installed in."""
    info = folder / "site" / "orders-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stellarstream]\norders = tests.api.orders\n")
    return info.parent


def settings_of(database_url: str, **more: str) -> dict[str, str]:
    """Return settings for the environment; the source is not there unless it is named."""
    defaults = {
        "NETWORK": "sandbox",
        "RPC_URL": "http://127.0.0.1:9",
        "PLUGINS__SOROBAN_RPC__MAX_RETRIES": "0",
        "PLUGINS__SOROBAN_RPC__RETRY_SECONDS": "0",
        "SECRET_KEY": SECRET,
        "SIGNING_KEY": SIGNING,
        "RATE_LIMIT": "off",
        "LOG_FORMAT": "json",
    }
    return {**defaults, "DATABASE_URL": database_url, **more}


class Workers:
    """Several workers on one socket."""

    def __init__(self, address: tuple[str, int], workers: list[Worker]) -> None:
        self.address = address
        self.workers = workers

    def wire(self) -> Wire:
        return Wire(self.address, 20.0)

    def ask(self, target: str, *headers: str, **more) -> Said:
        """Ask whichever worker takes the connection."""
        with self.wire() as wire:
            return wire.ask(target, *headers, close=True, **more)

    @contextmanager
    def one_each(self) -> Iterator[list[Wire]]:
        """Hold a kept connection to every worker; which one answers is told by its request ids."""
        found: dict[str, Wire] = {}
        with ExitStack() as stack:
            for _ in range(1_000):
                wire = stack.enter_context(self.wire())
                found.setdefault(wire.ask("/healthz/live").header("X-Request-ID")[:12], wire)
                if len(found) == len([worker for worker in self.workers if worker.process.poll() is None]):
                    break
            else:
                raise AssertionError("one worker takes every connection")
            yield list(found.values())


@contextmanager
def workers_on_one_socket(folder: Path, count: int, **settings: str) -> Iterator[Workers]:
    """Start workers that share a socket and a folder for what they have in common."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as sock:
        run_dir = folder / "run"
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        started: list[Worker] = []
        try:
            for number in range(count):
                options = {**settings, "RUN_DIR": str(run_dir)}
                started.append(Worker(folder / str(number), "--fd", str(sock.fileno()), sock=sock, **options))
            for worker in started:
                worker.wait_until_ready()
            yield Workers(sock.getsockname(), started)
        finally:
            for worker in started:
                worker.kill()


def until(test: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
