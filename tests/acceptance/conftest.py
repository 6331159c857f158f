"""Whole processes: the command line against servers in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stellarstream_core.digest import digest_events
from stellarstream_core.plugins import CORE_MODELS, Plugins
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import load_settings
from stellarstream_core.storage import Storage

EVENTS, LEDGERS = 30_000, 6_000


@pytest.fixture(scope="session")
def pages_url() -> Iterator[str]:
    """A process that serves 30,000 events in 6,000 ledgers; see ``tests.benchmarks.pages``."""
    command = [sys.executable, "-m", "tests.benchmarks.pages", str(EVENTS), str(LEDGERS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> Iterator[Callable[[str], str]]:
    """Return a function that names an empty database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield lambda name: f"sqlite:///{tmp_path / name}.db"
        return
    new_database = request.getfixturevalue("postgres_database")
    yield new_database


@pytest.fixture
def opened() -> Iterator[Callable[[str], Storage]]:
    plugins = Plugins.load(built_in_only=True)
    storages: list[Storage] = []

    def open_storage(url: str) -> Storage:
        backend = plugins.storages()[url.partition(":")[0]]
        storages.append(backend.open(url, load_settings(environ={}), [CORE_MODELS, *plugins.models()]))
        return storages[-1]

    yield open_storage
    for storage in storages:
        storage.close()


def digest_of(storage: Storage) -> str:
    """Digest every stored event, read page by page."""

    def events():
        after = ""
        while page := storage.events(LedgerRange(FIRST_LEDGER, LAST_LEDGER), Scope.of(["*"]), after=after, limit=5_000):
            yield from page
            after = page[-1].id

    return digest_events(events())


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment with only these settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    return env | {f"STELLARSTREAM_{name}": value for name, value in settings.items()} | {"HOME": str(folder)}
