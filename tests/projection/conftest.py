"""A database of each dialect with the projector's tables, and projectors on it that are run to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from loguru import logger

from stellarstream_core.plugins import CORE_MODELS
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projection.tables import StateRow
from stellarstream_core.projections import Projection
from stellarstream_core.storage import Storage
from stellarstream_core.testing.conformance_windows import window
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_sql.storage import open_postgresql, open_sqlite
from tests.projection.toy import CONTRACT


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def open_storage(database_url) -> Iterator[Callable[[], Storage]]:
    opening = open_sqlite if database_url.startswith("sqlite:") else open_postgresql
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(opening(database_url, [CORE_MODELS])))


@pytest.fixture
def storage(open_storage) -> Storage:
    storage = open_storage()
    storage.migrate()
    return storage


@pytest.fixture
def logged():
    messages = []
    number = logger.add(messages.append, level="WARNING")
    yield messages
    logger.remove(number)


def commit(storage: Storage, *events, first=None, last=None, scope=(CONTRACT,), told=True):
    """Commit these events in one window, as wide as they lie unless told."""
    events = sorted(events)
    first = events[0].ledger if first is None else first
    last = events[-1].ledger if last is None else last
    closed_at = made_close_time(last) if told else None
    return storage.commit(window(first, last, events, scope, closed_at=closed_at)).commit


def run(projector: Projector, most: int = 1_000) -> Projector:
    """Step until there is nothing to do."""
    for _ in range(most):
        if projector.step().idle:
            return projector
    raise AssertionError("it comes to no end")


def states_of(storage: Storage, name: str = "toy") -> dict[str, bytes]:
    found = StateRow.select(StateRow.key, StateRow.state).where(StateRow.projection == name).tuples()
    return storage.read(lambda database: {key: bytes(state) for key, state in found.execute(database)})


def project(storage: Storage, projection: Projection, **options) -> Projector:
    return run(Projector(projection, storage, **options))
