"""Databases of the tests' own, SQLite and PostgreSQL, with the tables of links, and an API over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from stellarstream_core.storage import Storage
from stellarstream_invoice_links.model import Link
from stellarstream_invoice_links.tables import TABLES, InvoiceTurn
from tests.api.conftest import client, served, sqlite_url  # noqa: F401 - fixtures
from tests.api.kit import Running
from tests.invoice_links.kit import LinkApi, put_link, runtime_of
from tests.nebula.conftest import database_url, open_store, second_storage, storage  # noqa: F401 - fixtures
from tests.postgres import throw_away_database


@pytest.fixture(name="runtime_of")
def _runtime_of(monkeypatch) -> Callable[..., object]:
    """Return a function that makes a runtime of exactly the given settings, with the plugin's."""
    _forget_environment(monkeypatch)
    return runtime_of


@pytest.fixture
def api_of(served) -> Callable[..., object]:  # noqa: F811 - the fixture
    """Return a coroutine that serves a database, with the settings of the tests' contracts and links, in this loop."""

    async def start(url: str, **flags: object) -> object:
        return await served(url, **flags)

    return start


@pytest.fixture(scope="module")
def _kept(request, tmp_path_factory) -> Iterator[Callable[[str], Storage]]:
    stores: dict[str, Storage] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        _forget_environment(patch)

        def start(dialect: str) -> Storage:
            if dialect not in stores:
                url = _new_database(dialect, request, tmp_path_factory, stack)
                stores[dialect] = stack.enter_context(closing(runtime_of(url).open_storage(create=True)))
            return stores[dialect]

        yield start


@pytest.fixture(params=["sqlite", "postgresql"])
def kept_storage(request, _kept) -> Storage:
    """A database of a dialect whose tables of links are empty; it is one for all tests of a module: that is quicker."""
    kept = _kept(request.param)
    kept.write(lambda database: [table.delete().execute(database) for table in TABLES if table is not InvoiceTurn])
    return kept


@pytest.fixture
def make_link(storage) -> Callable[..., Link]:  # noqa: F811 - the fixture
    """Return a function that stores a link in ``storage``; see :func:`tests.invoice_links.kit.put_link`."""

    def make(**changes: object) -> Link:
        return put_link(storage, **changes)

    return make


@pytest.fixture(scope="module")
def link_api_of(request, tmp_path_factory) -> Iterator[Callable[..., LinkApi]]:
    """Return a function that serves an empty database of a dialect in a thread, for all tests of a module.

    What is asked for with the same settings is the same API.
    """
    apis: dict[object, LinkApi] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        _forget_environment(patch)

        def start(dialect: str = "sqlite", **flags: object) -> LinkApi:
            key = (dialect, repr(flags))
            if key not in apis:
                url = _new_database(dialect, request, tmp_path_factory, stack)
                running = Running(runtime_of(url, **flags))
                stack.callback(running.stop)
                apis[key] = LinkApi(running)
            return apis[key]

        yield start


@pytest.fixture(params=["sqlite", "postgresql"])
def links(request, link_api_of) -> LinkApi:
    """An API over links, on SQLite and on PostgreSQL; one for all tests of a module."""
    return link_api_of(request.param)


def _new_database(dialect: str, request, tmp_path_factory, stack: ExitStack) -> str:
    if dialect == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('links') / 'links.db'}"
    return stack.enter_context(throw_away_database(request.getfixturevalue("postgres_server")))


def _forget_environment(patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("STELLARSTREAM_") and "TEST" not in name]:
        patch.delenv(name)
