"""Databases of the tests' own, SQLite and PostgreSQL, with the tables of streams, and an API over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from stellarstream_core.storage import Storage
from tests.api.conftest import client, database_url, runtime_of, served, sqlite_url  # noqa: F401 - fixtures
from tests.api.kit import Running
from tests.api.kit import runtime_of as plain_runtime_of
from tests.nebula.ledgers import SETTINGS
from tests.postgres import throw_away_database


@pytest.fixture
def open_store(runtime_of) -> Iterator[Callable[..., Storage]]:  # noqa: F811 - the fixture
    """Return a function that opens a database, prepared, by its URL."""
    with ExitStack() as stack:

        def open_it(url: str, **flags: object) -> Storage:
            return stack.enter_context(closing(runtime_of(url, plugins=SETTINGS, **flags).open_storage(create=True)))

        yield open_it


@pytest.fixture
def storage(open_store, database_url) -> Storage:  # noqa: F811 - the fixture
    """An empty database."""
    return open_store(database_url)


@pytest.fixture
def second_storage(open_store, database_url, tmp_path, request) -> Storage:  # noqa: F811 - the fixture
    """Another empty database of the same dialect."""
    if database_url.startswith("sqlite"):
        return open_store(f"sqlite:///{tmp_path / 'second.db'}")
    return open_store(request.getfixturevalue("postgres_database")("second"))


@pytest.fixture
def api_of(served) -> Callable[..., object]:  # noqa: F811 - the fixture
    """Return a coroutine that serves a database with the settings of the tests' contracts."""

    async def start(url: str, **flags: object) -> object:
        return await served(url, plugins=SETTINGS, **flags)

    return start


@pytest.fixture(scope="module")
def standing(store_of) -> Iterator[Callable[..., Running]]:
    """Return a function that serves a store of the module, one API for all tests that ask for the same settings."""
    apis: dict[tuple[int, str], Running] = {}
    with ExitStack() as stack:

        def start(storage: Storage, plugins: dict[str, object] = SETTINGS, **more: object) -> Running:
            key = (id(storage), repr((plugins, more)))
            if key not in apis:
                apis[key] = Running(plain_runtime_of(URLS[id(storage)], plugins=plugins, **more))
                stack.callback(apis[key].stop)
            return apis[key]

        yield start


URLS: dict[int, str] = {}
"""The URLs of the stores of a module, as they are opened with."""


@pytest.fixture(scope="module")
def store_of(request, tmp_path_factory) -> Iterator[Callable[[str], Storage]]:
    """Return a function that opens an empty database of a dialect for all tests of a module."""
    import os

    from stellarstream_core.runtime import Runtime

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("STELLARSTREAM_") and "TEST" not in name]:
            patch.delenv(name)

        def make(dialect: str) -> Storage:
            if dialect == "sqlite":
                url = f"sqlite:///{tmp_path_factory.mktemp('nebula') / 'streams.db'}"
            else:
                server, prepared = map(request.getfixturevalue, ("postgres_server", "prepared_database"))
                url = stack.enter_context(throw_away_database(server, prepared))
            flags = {"network": "sandbox", "rpc_url": ["http://127.0.0.1:9"], "plugins": SETTINGS, "database_url": url}
            storage = stack.enter_context(closing(Runtime(flags=flags).open_storage(create=True)))
            URLS[id(storage)] = url
            return storage

        yield make
