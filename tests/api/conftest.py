"""A running API over a database of the test's own, SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from types import MappingProxyType

import aiohttp
import pytest

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.storage import CommitResult, Storage
from stellarstream_core.testing.api import Served, serving
from tests.postgres import throw_away_database

SECRET = "a secret key of the tests, long enough to be one"
HASTY = {"soroban-rpc": {"backoff_seconds": 0.001, "max_backoff_seconds": 0.01}}
SIGNING = "SBZXIZLMNRQXE43UOJSWC3JAORSXG5DTEBZWSZ3ONFXGOIDLMV4SCJLP"


@pytest.fixture
def sqlite_url(tmp_path, prepared_file) -> str:
    return f"sqlite:///{shutil.copyfile(prepared_file, tmp_path / 'api.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request) -> str:
    """The URL of a database that has its tables and nothing in them, on SQLite and on PostgreSQL."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "prepared_postgres_url")


@pytest.fixture
def runtime_of(monkeypatch) -> Callable[..., Runtime]:
    """Return a function that makes a runtime of exactly the given settings."""
    import os

    for name in [name for name in os.environ if name.startswith("STELLARSTREAM_") and "TEST" not in name]:
        monkeypatch.delenv(name)

    def make(database_url: str, plugins: Mapping[str, object] = MappingProxyType({}), **flags: object) -> Runtime:
        # a source that is named but not there: nothing of the network is needed here, and to try again is soon done
        defaults = {
            "plugins": {**HASTY, **plugins},
            "network": "sandbox",
            "rpc_url": ["http://127.0.0.1:9"],
            "secret_key": SECRET,
            "signing_key": SIGNING,
        }
        return Runtime(flags={**defaults, "database_url": database_url, "rate_limit": "off", **flags})

    return make


@pytest.fixture
def filled(runtime_of) -> Iterator[Callable[..., Storage]]:
    """Return a function that opens a database and stores events of some ledgers in it."""
    opened: list[Storage] = []

    def fill(
        database_url: str,
        within: tuple[int, int],
        contracts: Iterable[str],
        events: Iterable[ContractEvent],
        evidence: Evidence = Evidence.PROVEN,
    ) -> Storage:
        storage = runtime_of(database_url).open_storage(create=True)
        opened.append(storage)
        store(storage, within, contracts, events, evidence)
        return storage

    yield fill
    for storage in opened:
        storage.close()


def store(
    storage: Storage,
    within: tuple[int, int],
    contracts: Iterable[str],
    events: Iterable[ContractEvent],
    evidence: Evidence = Evidence.PROVEN,
    wanted_from: int | None = None,
) -> CommitResult:
    """Commit the events of a ledger range for some contracts, as a sync does."""
    scope = Scope.of(contracts)
    span = LedgerRange(*within)
    storage.want(scope, wanted_from or span.first)
    mine = [event for event in events if span.holds(event.ledger) and scope.holds(event.contract_id)]
    return storage.commit(Window(span, scope, mine, "soroban-rpc", evidence))


async def heard(api: Served, storage: Storage) -> None:
    """Wait until the API has heard of everything that is committed."""
    async with asyncio.timeout(5):
        while api.service.feed.position < storage.totals().position:
            await asyncio.sleep(0.005)


@pytest.fixture
async def served(runtime_of) -> AsyncIterator[Callable[..., object]]:
    """Return a coroutine that serves a database with some settings, until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(database_url: str, **flags: object) -> Served:
            return await stack.enter_async_context(serving(runtime_of(database_url, **flags)))

        yield start


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="module")
def running(request, tmp_path_factory) -> Iterator[Callable[..., object]]:
    """Return a function that serves 81 ledgers of three contracts from a database of a dialect.

    The API (``tests.api.kit.Running``) is one for all tests of a module that ask for the same.
    """
    import os

    from tests.api.kit import HISTORY, A, B, C, Running
    from tests.api.kit import runtime_of as plain_runtime_of

    apis: dict[object, Running] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("STELLARSTREAM_") and "TEST" not in name]:
            patch.delenv(name)

        def start(dialect: str = "sqlite", **flags: object) -> Running:
            key = (dialect, repr(flags))
            if key not in apis:
                if dialect == "sqlite":
                    url = f"sqlite:///{tmp_path_factory.mktemp('running') / 'api.db'}"
                else:
                    server, prepared = map(request.getfixturevalue, ("postgres_server", "prepared_database"))
                    url = stack.enter_context(throw_away_database(server, prepared))
                apis[key] = Running(plain_runtime_of(url, **flags))
                stack.callback(apis[key].stop)
                store(apis[key].storage, (100, 180), [A, B, C], HISTORY)
            return apis[key]

        yield start
