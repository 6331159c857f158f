"""Fixtures for more than one area: a PostgreSQL server, and throw-away databases and schemas on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import quote
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.paths import missing
from tests.postgres import NoPostgresError, server_url, throw_away_database

# a property holds or it does not: how long an example takes says something of the machine alone; and of examples
# there are enough to find what is new, not so many that nobody runs the tests
EXAMPLES = 40
settings.register_profile(
    "here", settings.get_profile(settings.get_current_profile_name()), deadline=None, max_examples=EXAMPLES
)
settings.load_profile("here")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server where databases may be made."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(server_url())
        except NoPostgresError as error:
            missing(str(error))
        yield url


@pytest.fixture(scope="session")
def _shared_database(postgres_server: str) -> Iterator[str]:
    with throw_away_database(postgres_server) as url:
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
def postgres_url(_shared_database: str) -> Iterator[str]:
    """The URL of an empty schema in a shared database: quicker than a database of its own."""
    import psycopg

    name = f"test_{uuid4().hex[:16]}"
    with psycopg.connect(_shared_database, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
        yield f"{_shared_database}?options={quote(f'-csearch_path={name}')}"
        connection.execute(f'DROP SCHEMA "{name}" CASCADE')
