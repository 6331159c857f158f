"""Clock, sleep and chance, passed in so that tests do not wait."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """``now`` is a monotonic clock, ``wall`` Unix time, both in seconds; ``random`` is uniform in [0, 1)."""

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def backoff(self, failures: int, first: float, longest: float) -> float:
        """Return a pause in seconds after that many failures in a row: exponential, with full jitter.

        Full jitter (any time between nothing and the bound) keeps many readers from coming back
        at the same instant.
        """
        return self.random() * min(longest, first * 2.0 ** min(failures - 1, 30))
