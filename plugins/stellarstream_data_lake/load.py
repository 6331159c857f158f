"""How many objects may be in memory at once: a number, and fewer where they are large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

USUAL_LEDGER_BYTES = 1_500_000
"""What a ledger of pubnet has decompressed, before one was seen."""

ALWAYS = 2
"""Each reader may have so many objects in flight whatever others do, so that none waits for another for ever."""

_FADING = 0.995


class Load:
    """Shared by all readers of a source; ``in_flight`` objects or ``max_bytes`` bytes of them, what is less."""

    def __init__(self, in_flight: int, max_bytes: int) -> None:
        self._in_flight = in_flight
        self._max_bytes = max_bytes
        self._size = 0.0
        self._alone = asyncio.Lock()
        self.outstanding = 0

    def expect(self, ledgers_per_batch: int) -> None:
        """Note how many ledgers objects have, before one was read."""
        if not self._size:
            self._size = float(ledgers_per_batch * USUAL_LEDGER_BYTES)

    def learn(self, size: int) -> None:
        """Note the size of an object's content; the largest counts, and is forgotten slowly."""
        self._size = max(float(size), self._size * _FADING)

    def room(self, own: int) -> bool:
        """Tell whether a reader that has ``own`` objects in flight may begin another."""
        most = min(self._in_flight, max(ALWAYS, int(self._max_bytes / max(self._size, 1.0))))
        return own < min(ALWAYS, self._in_flight) or self.outstanding < most

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Wait until an object may be decompressed: those that fill a quarter of the memory go one by one."""
        if self._size * 4 < self._max_bytes:
            yield
            return
        async with self._alone:
            yield
