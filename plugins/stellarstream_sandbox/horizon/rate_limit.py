"""How many requests an address may make: the generic cell rate algorithm, as Horizon's limiter has it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

_MAX_ADDRESSES = 10_000
_HOUR = 3600.0


class Verdict(NamedTuple):
    """Whether a request is let through, and what its headers say."""

    allowed: bool
    headers: dict[str, str]


class RateLimiter:
    """Lets ``per_hour`` requests an hour through for each address, and ``burst`` more at once (0: no limit).

    ``X-RateLimit-Limit`` is therefore ``burst + 1`` and not the hourly number, and
    ``X-RateLimit-Reset`` the seconds until all of it is there again.
    """

    def __init__(self, per_hour: int, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval = _HOUR / per_hour if per_hour else 0.0
        self._limit = burst + 1
        self._monotonic = monotonic
        self._free_at: dict[str, float] = {}

    def take(self, address: str) -> Verdict:
        """Count a request of this address and tell whether it may be served."""
        if not self._interval:
            return Verdict(True, {})
        now = self._monotonic()
        free_at = max(self._free_at.get(address, now), now)
        tolerance = self._interval * self._limit
        allowed = free_at + self._interval - now <= tolerance + 1e-9
        if allowed:
            free_at += self._interval
            self._free_at[address] = free_at
            if len(self._free_at) > _MAX_ADDRESSES:
                self._free_at = {one: at for one, at in self._free_at.items() if at > now}
        used = free_at - now
        headers = {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(max(int((tolerance - used) / self._interval + 1e-9), 0)),
            "X-RateLimit-Reset": str(math.ceil(used)),
        }
        if not allowed:
            headers["Retry-After"] = str(max(math.ceil(free_at + self._interval - tolerance - now), 1))
        return Verdict(allowed, headers)
