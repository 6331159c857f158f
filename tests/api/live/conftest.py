"""A feed over a storage in memory, and a server for it."""

from __future__ import annotations

import pytest

from tests.api.live.kit import MemoryStorage, feeding, serving


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
async def feed(storage):
    async with feeding(storage) as feed:
        await feed.ready()
        yield feed


@pytest.fixture
async def port(feed):
    async with serving(feed) as port:
        yield port
