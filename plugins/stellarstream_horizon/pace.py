"""Spreading requests over the time that a server's rate limit gives them, instead of running into it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from stellarstream_core.endpoints.http import whole_number
from stellarstream_core.endpoints.timing import Timing

LONGEST_INTERVAL = 10.0
"""Seconds between two requests, at most; a server that wants longer pauses says so with 429."""

_SHORTEST_EPOCH = 1_000_000_000
"""A reset above it is a Unix time, not seconds from now."""


class Allowance(NamedTuple):
    """What is left of a rate limit: ``remaining`` of ``limit`` requests until all are back in ``reset`` seconds."""

    limit: int | None
    remaining: int
    reset: float


def read_allowance(headers: Mapping[str, str], wall: float) -> Allowance | None:
    """Return what ``X-RateLimit-*`` headers say at the Unix time ``wall``; None where they say nothing usable.

    Horizon gives seconds in ``Reset``; some gateways give a Unix time, and some drop the ``X-``.
    """
    found: dict[str, int | None] = {}
    for name in ("Limit", "Remaining", "Reset"):
        text = headers.get(f"X-RateLimit-{name}") or headers.get(f"RateLimit-{name}")
        found[name] = whole_number(text.strip()) if text else None
    remaining, reset = found["Remaining"], found["Reset"]
    if remaining is None or reset is None:
        return None
    return Allowance(found["Limit"], remaining, max(0.0, reset - wall) if reset > _SHORTEST_EPOCH else float(reset))


class Pace:
    """One server's pace. While more than half of its limit is left nothing waits.

    Then requests are as far apart as the rest of the limit lasts. Horizon's limit fills up again
    steadily (a generic cell rate), so that they settle at its rate with half of the limit in hand.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._queue = asyncio.Lock()
        self._last = float("-inf")
        self.interval = 0.0

    async def turn(self) -> None:
        """Wait until the next request may be sent; who comes first goes first."""
        async with self._queue:
            wait = self._last + self.interval - self._timing.now()
            if wait > 0:
                await self._timing.sleep(wait)
            self._last = self._timing.now()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer's headers say of the limit."""
        allowance = read_allowance(headers, self._timing.wall())
        if allowance is None or (allowance.limit is not None and 2 * allowance.remaining > allowance.limit):
            self.interval = 0.0
        else:
            self.interval = min(LONGEST_INTERVAL, allowance.reset / max(1, allowance.remaining))
