"""One run for all who want the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flights(Generic[K, V]):
    """What is being made now, by key."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def join(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """Return what ``make`` returns, run for the first who asks and shared by who comes meanwhile; raises likewise.

        An asker that gives up does not take the answer from the others.
        """
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.ensure_future(_made(make))
            running.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(running)

    def _ended(self, key: K, done: asyncio.Task[V]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # seen: every asker may be gone


async def _made(make: Callable[[], Awaitable[V]]) -> V:
    return await make()
