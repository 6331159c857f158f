"""A SQL database of each dialect, empty, with a function that opens it as often as a test likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from stellarstream_sql.storage import SqlStorage, open_postgresql, open_sqlite

DIALECTS = ["sqlite", "postgresql"]


def open_url(url: str, models=()) -> SqlStorage:
    return (open_sqlite if url.startswith("sqlite:") else open_postgresql)(url, models)


@pytest.fixture(params=DIALECTS)
def database_url(request, tmp_path) -> str:
    """The URL of an empty database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def open_storage(database_url) -> Iterator[Callable[..., SqlStorage]]:
    with ExitStack() as stack:
        yield lambda models=(): stack.enter_context(closing(open_url(database_url, models)))


@pytest.fixture
def storage(open_storage) -> SqlStorage:
    storage = open_storage()
    storage.migrate()
    return storage
