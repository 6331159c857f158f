"""Calling the command line as a user does, in this process for speed."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import orjson
import pytest

from stellarstream_core.cli.app import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return orjson.loads(self.out.splitlines()[-1])


@pytest.fixture
def invoke(monkeypatch, capfd, tmp_path):
    """Return a function that runs ``stellarstream ARGS`` in an empty folder with only the given variables."""
    monkeypatch.chdir(tmp_path)
    import os

    for name in [name for name in os.environ if name.startswith("STELLARSTREAM_")]:
        monkeypatch.delenv(name)

    # what names no network must not ask the one of the defaults
    monkeypatch.setenv("STELLARSTREAM_RPC_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STELLARSTREAM_PLUGINS__SOROBAN_RPC__MAX_RETRIES", "0")

    def call(*args: str, **env: str) -> Outcome:
        for name, value in env.items():
            monkeypatch.setenv(f"STELLARSTREAM_{name}", value)
        monkeypatch.setattr(sys, "argv", ["stellarstream", *args])
        capfd.readouterr()
        with pytest.raises(SystemExit) as done:
            run()
        out, err = capfd.readouterr()
        return Outcome(int(done.value.code or 0), out, err)

    return call


class Node:
    """A sandbox network in a thread of its own, whose ledgers close when the test says so."""

    def __init__(self, config) -> None:
        import asyncio
        import threading

        self._config = config
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    async def _serve(self) -> None:
        from tests.sandbox.ready import ready

        async with ready(self._config) as self.network:
            self.url = self.network.url
            self.contracts = self.network.contracts
            self._ready.set()
            await self._over.wait()

    @property
    def latest(self) -> int:
        return self.network.latest

    def close_ledgers(self, count: int) -> None:
        import asyncio

        async def close() -> None:
            self.network.close_ledgers(count)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


@pytest.fixture
def node():
    from stellarstream_sandbox.config import SandboxConfig

    running = Node(SandboxConfig(seed=5, ledgers=120, genesis_time=1_780_000_000, port=0, live=False, retention=400))
    yield running
    running.stop()


@pytest.fixture
def on_node(invoke, node):
    """Return ``invoke`` with the sandbox as the network and a database of the test's own."""

    def call(*args: str, **env: str) -> Outcome:
        return invoke(*args, **{"NETWORK": "sandbox", "RPC_URL": node.url, **env})

    return call
