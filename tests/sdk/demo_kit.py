"""``stellarstream demo``, as who tries the examples starts it: a simulated network, its index and the API."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stellar_sdk import Keypair

from tests import commands

READY = "4. following"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Demo:
    """A demo that runs. ``url`` is where its API is, ``network`` where its network is."""

    url: str
    network: str
    usdc: str = "CBXYHFR6QWVFATJ7P3XFJKBNFDIHAJTN6AAOEVK6C7FOF6OIZ6V63ZNJ"

    def secret(self) -> str:
        """Return the secret key of a new account that has money."""
        keys = Keypair.random()
        with urllib.request.urlopen(f"{self.network}/friendbot?addr={keys.public_key}", timeout=30) as answer:
            answer.read()
        return keys.secret


@contextmanager
def demo(folder: Path, close_seconds: float = 0.5, **settings: str) -> Iterator[Demo]:
    """Run a demo in a folder; ``settings`` are of the service."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    # all requests of the tests come from one address
    own = {"rate_limit": "off", "rate_limit_key": "off", **settings}
    environment |= {f"STELLARSTREAM_{name.upper()}": value for name, value in own.items()}
    environment |= {"PYTHONUNBUFFERED": "1"}
    arguments = ("demo", "--directory", ".", "--port", "0", "--api-port", "0", "--close-time", str(close_seconds))
    with (folder / "demo.err").open("w") as errors:
        running = commands.start(
            *arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    said: list[str] = []
    ready = threading.Event()

    def read() -> None:
        for line in running.stdout:
            said.append(line)
            if line.startswith(READY):
                ready.set()
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert ready.wait(PATIENCE_SECONDS), said
        text = "".join(said)
        network = re.search(r"sandbox network +(http://[0-9.:]+)", text)
        url = re.search(r"API and dashboard +(http://[0-9.:]+)", text)
        if network is None or url is None:
            raise AssertionError(f"{text}{(folder / 'demo.err').read_text()}")
        yield Demo(url[1], network[1])
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(30)
        reader.join(10)
        running.stdout.close()
