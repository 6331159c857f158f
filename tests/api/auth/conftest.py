"""A database of each dialect with the API's tables, and key pairs with a chain that knows their accounts."""

from __future__ import annotations

from contextlib import closing

import pytest
from pydantic import SecretStr
from stellar_sdk import Keypair

from stellarstream_core.api.auth.site import site_of
from stellarstream_core.plugins import CORE_MODELS
from tests.api.auth.kit import PASSPHRASE, Chain
from tests.sql.conftest import DIALECTS, open_url


@pytest.fixture(params=DIALECTS)
def database_url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return request.getfixturevalue("postgres_url")


def opened(url: str):
    storage = open_url(url, (CORE_MODELS,))
    storage.migrate()
    return closing(storage)


@pytest.fixture
def storage(database_url):
    with opened(database_url) as storage:
        yield storage


@pytest.fixture
def sqlite(tmp_path):
    """A storage for tests that are about something else."""
    with opened(f"sqlite:///{tmp_path / 'test.db'}") as storage:
        yield storage


@pytest.fixture(scope="session")
def server() -> Keypair:
    return Keypair.random()


@pytest.fixture
def client() -> Keypair:
    return Keypair.random()


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def site():
    return site_of("https://pay.example.org/")


@pytest.fixture
def challenges(server, site, sqlite, chain):
    from stellarstream_core.api.auth.sep10 import Challenges

    return Challenges(SecretStr(server.secret), site, PASSPHRASE, storage=sqlite, chain=chain, domains=NoDomains())


class NoDomains:
    async def signing_key(self, domain):
        raise AssertionError("no client domain is asked for here")
