"""Fixtures for more than one area: a PostgreSQL server, and throw-away databases and schemas on it."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.paths import ROOT, memory, missing
from tests.postgres import NoPostgresError, server_url, throw_away_database

if TYPE_CHECKING:
    import psycopg

# for tmp_path, for the processes that tests start, and for the workers of pytest-xdist
if "TMPDIR" not in os.environ and (quick := memory()):
    os.environ["TMPDIR"] = tempfile.tempdir = quick

# where the tree is to stay free of compiled modules, tests and the processes they start keep them elsewhere: compiling
# everything takes a process a third of its start
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(ROOT / ".pytest_cache" / "compiled")

# a property holds or it does not: how long an example takes says something of the machine alone; and of examples
# there are enough to find what is new, not so many that nobody runs the tests
EXAMPLES = 30
settings.register_profile(
    "here", settings.get_profile(settings.get_current_profile_name()), deadline=None, max_examples=EXAMPLES
)
settings.load_profile("here")


WAITING = ("ops", "sdk", "acceptance", "api/pages", "api/live", "invoice_links/test_page")
"""Where most tests wait for other processes: circusd, a browser, Node.js, an indexer that is killed."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several at a time: spread what waits among what computes, and leave what is short for the end.

    What computes uses the processors while the others wait, and no worker has a long file left when all are done.
    """
    if not hasattr(config, "workerinput"):
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [path for path in files if path.relative_to(ROOT / "tests").as_posix().startswith(WAITING)]
    # ranks from 0 to 1: those that wait are through after four fifths
    ranks = {path: 0.8 * place / len(waiting) for place, path in enumerate(waiting)}
    others = [path for path in files if path not in ranks]
    ranks |= {path: place / len(others) for place, path in enumerate(others)}
    items[:] = [item for path in sorted(files, key=ranks.__getitem__) for item in files[path]]


def pytest_collection_finish() -> None:
    """Spare the garbage collector the half million objects that every module of tests is made of: they stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server where databases may be made."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(server_url(memory() or "/tmp"))
        except NoPostgresError as error:
            missing(str(error))
        yield url


@pytest.fixture(scope="session")
def _shared_database(postgres_server: str) -> Iterator[tuple[str, psycopg.Connection]]:
    """A database, and a connection that makes schemas in it."""
    import psycopg

    with throw_away_database(postgres_server) as url, psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


@pytest.fixture(scope="session")
def prepared_database(postgres_server: str) -> Iterator[str]:
    """The name of a database to copy: it has the tables of all built-in plugins, and nothing in them."""
    with throw_away_database(postgres_server) as url:
        _prepare(url)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture(scope="session")
def prepared_file(tmp_path_factory) -> Path:
    """The same on SQLite."""
    path = tmp_path_factory.mktemp("prepared") / "prepared.db"
    _prepare(f"sqlite:///{path}")
    return path


def _prepare(url: str) -> None:
    from stellarstream_core.plugins import CORE_MODELS, Plugins
    from stellarstream_core.settings import load_settings

    plugins = Plugins.load(built_in_only=True)
    models = [CORE_MODELS, *plugins.models()]
    storage = plugins.storages()[urlsplit(url).scheme].open(url, load_settings(environ={}), models)
    storage.migrate()
    storage.close()


@pytest.fixture
def prepared_postgres_url(postgres_server: str, prepared_database: str) -> Iterator[str]:
    """The URL of a database that has its tables, as ``open_storage(create=True)`` makes them, and nothing in them."""
    with throw_away_database(postgres_server, prepared_database) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_server: str) -> Iterator[Callable[[str], str]]:
    """Return a function that makes an empty database and returns its URL; the name tells them apart in a test."""
    made: dict[str, str] = {}
    with ExitStack() as stack:

        def make(name: str) -> str:
            if name not in made:
                made[name] = stack.enter_context(throw_away_database(postgres_server))
            return made[name]

        yield make


@pytest.fixture
def postgres_url(_shared_database: tuple[str, psycopg.Connection]) -> Iterator[str]:
    """The URL of an empty schema in a shared database: quicker than a database of its own."""
    url, connection = _shared_database
    name = f"test_{uuid4().hex[:16]}"
    connection.execute(f'CREATE SCHEMA "{name}"')
    yield f"{url}?options={quote(f'-csearch_path={name}')}"
    connection.execute(f'DROP SCHEMA "{name}" CASCADE')
