"""A real SQLite database for everything that sits on a storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stellarstream_core.plugins import Plugins
from stellarstream_core.settings import load_settings
from stellarstream_core.storage import Storage


@pytest.fixture(scope="session")
def built_in() -> Plugins:
    return Plugins.load(built_in_only=True)


@pytest.fixture
def open_sqlite(built_in, tmp_path) -> Iterator[Callable[..., Storage]]:
    opened: list[Storage] = []

    def make(name: str = "test.db") -> Storage:
        url = f"sqlite:///{tmp_path / name}"
        storage = built_in.storages()["sqlite"].open(url, load_settings(environ={}), built_in.models())
        storage.migrate()
        opened.append(storage)
        return storage

    yield make
    for storage in opened:
        storage.close()


@pytest.fixture
def storage(open_sqlite) -> Storage:
    return open_sqlite()
