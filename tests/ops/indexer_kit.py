"""Real indexers on a sandbox network: started, killed, renewed; what each of them asks the network for is seen."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stellarstream_core.digest import digest_events
from stellarstream_core.ops.process import PresenceState, read_presences
from stellarstream_core.plugins import CORE_MODELS, Plugins
from stellarstream_core.ranges import LAST_LEDGER, LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import load_settings
from stellarstream_core.storage import Storage
from stellarstream_core.sync.progress import Silence
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_sandbox.config import FIRST_LEDGER, SandboxConfig
from stellarstream_soroban_rpc.source import SorobanRpcSource
from tests.cli.conftest import Node
from tests.paths import ROOT

DEEP = bool(os.environ.get("STELLARSTREAM_DEEP"))
PATIENCE_SECONDS = 40.0
LOOK_SECONDS = 0.025
SMALL = SandboxConfig(
    seed=7, ledgers=40, transactions=2, burst_every=0, port=0, live=False, close_time=1.0, history_spacing=1.0
)
CLI = ("-m", "stellarstream_core.cli")


def until(holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what is true at last; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(LOOK_SECONDS)
    return found


class Tap:
    """A way to the network for one process: when that process asked for something is written down.

    ``delay`` holds every answer back by so many seconds.
    """

    def __init__(self, url: str) -> None:
        self.asked: list[float] = []
        self.delay = 0.0
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            onward, back = await asyncio.open_connection(*self._address)
            asking = asyncio.create_task(self._pass_on(reader, back, asks=True))
            await self._pass_on(onward, writer, asks=False)
            asking.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool) -> None:
        with suppress(OSError):
            while some := await reader.read(65_536):
                if asks:
                    self.asked.append(time.monotonic())
                elif self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(some)
                await writer.drain()
        with suppress(OSError):
            writer.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)


class Indexer:
    """One ``sync --follow``, from its start to its end."""

    def __init__(self, home: Deployment, number: int, code: str | None = None, **popen: Any) -> None:
        self.home, self.log = home, home.folder / f"log.{number}.txt"
        self.tap = home.tap()
        command = ("-c", f"{code}; from stellarstream_core.cli import main; main()") if code else CLI
        settings = {**home.settings, "RPC_URL": self.tap.url}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, "sync", "--follow"],
                env=home.environment(settings),
                cwd=home.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **{"start_new_session": True, **popen},
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def presence(self) -> PresenceState | None:
        """What it tells now."""
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return next((one for one in read_presences(self.home.run_dir) if one.pid == self.pid), None)

    def ready(self, after: float = 0.0, seconds: float = PATIENCE_SECONDS) -> PresenceState:
        """Wait until it works with code that began after this moment."""
        return until(lambda: (now := self.presence) and now.ready and now.since > after and now, seconds)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = 10.0) -> int:
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Deployment:
    """A network whose ledgers close when told, a database, and a run folder."""

    def __init__(self, folder: Path, config: SandboxConfig = SMALL, database_url: str | None = None) -> None:
        self.folder = folder
        self.node = Node(config)
        self.run_dir = folder / "run"
        self.run_dir.mkdir(mode=0o700, parents=True)
        self.database_url = database_url or f"sqlite:///{folder / 'indexed.db'}"
        self._taps: list[Tap] = []
        self._started: list[Indexer] = []
        self.contracts = [self.node.contracts["streams-v1"], self.node.contracts["streams-v2"]]
        self.contracts.append(self.node.contracts["token-usdc"])
        self.settings = {
            "NETWORK": "sandbox",
            "RPC_URL": self.node.url,
            "DATABASE_URL": self.database_url,
            "CONTRACTS": ",".join(self.contracts),
            "START_LEDGER": str(FIRST_LEDGER),
            "RUN_DIR": str(self.run_dir),
            "SUPERVISED": "1",
            "ROLE": "indexer",
            # the others make the start a third longer, and change nothing in what is tested here
            "ALLOWED_PLUGINS": "" if DEEP else "sql,soroban-rpc",
        }

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
        return (
            env
            | {f"STELLARSTREAM_{name}": value for name, value in settings.items() if value}
            | {"PYTHONPATH": str(ROOT)}
        )

    def tap(self) -> Tap:
        self._taps.append(Tap(self.node.url))
        return self._taps[-1]

    def start(self, code: str | None = None, **popen: Any) -> Indexer:
        """Start an indexer; ``code`` runs before it."""
        self._started.append(Indexer(self, len(self._started), code, **popen))
        return self._started[-1]

    def close_ledgers(self, count: int) -> int:
        """Let ledgers close; return the last one."""
        self.node.close_ledgers(count)
        return self.node.latest

    @contextmanager
    def opened(self) -> Iterator[Storage]:
        """Open the database for reading it here."""
        with closing(open_storage(self.database_url)) as storage:
            yield storage

    def watermark(self, storage: Storage) -> int:
        return min((one.last_ledger_sequence for one in storage.sync_states().values()), default=0)

    def whole(self, storage: Storage) -> None:
        """Fail unless the database is that of one unbroken sync: no gap, no double."""
        wanted = LedgerRange(FIRST_LEDGER, self.node.latest)
        for contract in self.contracts:
            assert storage.coverage(contract, wanted).ranges == (wanted,)
        with closing(open_storage(f"sqlite:///{self.folder / 'unbroken.db'}")) as unbroken:
            asyncio.run(self._sync(unbroken, wanted))
            assert storage.totals().events == unbroken.totals().events > 100
            assert digest_of(storage) == digest_of(unbroken)
        commits = list(storage.commits(0, limit=100_000))
        assert [commit.position for commit in commits] == list(range(1, len(commits) + 1))
        assert sum(len(storage.events_of_commit(commit)) for commit in commits) == storage.totals().events
        assert storage.totals().conflicts == 0

    async def _sync(self, storage: Storage, wanted: LedgerRange) -> None:
        flags = {"network": "sandbox", "rpc_url": [self.node.url]}
        settings = load_settings(environ={}, flags=flags)
        settings = settings.with_sections(Plugins.load(built_in_only=True).settings_sections())
        source = SorobanRpcSource(settings)
        request = SyncRequest(wanted.first, wanted.last, Scope.of(self.contracts))
        try:
            report = await SyncRun(request, storage, [source], settings.passphrase, Silence()).execute(asyncio.Event())
        finally:
            await source.close()
        assert report.exit_code == 0

    def stop(self) -> None:
        for indexer in self._started:
            indexer.kill()
            text = indexer.log.read_text(errors="replace")
            print(f"--- {indexer.log.name}\n{text[-1500:]}")
        for tap in self._taps:
            tap.stop()
        self.node.stop()


def open_storage(url: str) -> Storage:
    plugins = Plugins.load(built_in_only=True)
    backend = plugins.storages()[url.partition(":")[0]]
    storage = backend.open(url, load_settings(environ={}), [CORE_MODELS, *plugins.models()])
    storage.migrate()
    return storage


def digest_of(storage: Storage) -> str:
    def events() -> Iterator[Any]:
        after = ""
        within = LedgerRange(FIRST_LEDGER, LAST_LEDGER)
        while page := storage.events(within, Scope.of(["*"]), after=after, limit=5_000):
            yield from page
            after = page[-1].id

    return digest_events(events())


@contextmanager
def sqlite_held(path: Path) -> Iterator[None]:
    """Hold the right to write to a SQLite database, so that nobody else can commit."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
