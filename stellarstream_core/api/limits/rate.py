"""Rate limiting that holds across the worker processes of one machine.

All workers share one file of slots (``slots.py``, ``file.py``). A request that is refused costs a look
at it; one that is allowed locks its row for a few microseconds. A row that cannot be had within
``PATIENCE_SECONDS``, because its holder was stopped in that very moment, is not waited for: this process
then counts for itself and adds it to the client's account as soon as it can. Meanwhile a client gets at
most as many quotas as there are workers, and nobody hangs. Where the file cannot be made, that is for good.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Protocol

from loguru import logger

from stellarstream_core.api.limits import slots
from stellarstream_core.api.limits.file import FILE, LimitsFile
from stellarstream_core.api.limits.locks import THREADS, try_lock, unlock
from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.slots import Names, Verdict

__all__ = ["Limiter", "MemoryRateLimiter", "Quota", "RateLimiter", "Verdict"]

PATIENCE_SECONDS = 0.005
"""How long a row's holder is waited for. It holds it for microseconds, unless it loses its core in that moment."""

MOST_OWED = 4096
"""Clients whose requests wait to be added; of more they are forgotten."""

Clock = Callable[[], int]
"""Nanoseconds of a clock that all processes of the machine share; ``time.monotonic_ns`` is one."""


class Limiter(Protocol):
    """Counts requests against quotas."""

    def take(self, key: str, quota: Quota, cost: int = 1) -> Verdict:
        """Count a request of a client and say whether it is allowed; a refused one is not counted.

        ``key`` names the client and what is counted: the same key with two quotas is the same meter. A
        ``cost`` above the quota's burst counts as the whole burst, one of 0 only asks. Safe from
        several threads. Raises ``ValueError`` for a negative cost.
        """
        ...

    def close(self) -> None:
        """Let go of what is shared. Safe to call twice."""
        ...


class MemoryRateLimiter:
    """Counts in the memory of this process, for as many clients as the shared one."""

    def __init__(self, clock: Clock = time.monotonic_ns) -> None:
        self._clock = clock
        self._names = Names(os.urandom(slots.SECRET_BYTES))
        self._words = memoryview(bytearray(slots.TABLE_BYTES)).cast("Q")
        self._lock = Lock()

    def take(self, key: str, quota: Quota, cost: int = 1) -> Verdict:
        """Count a request; see :class:`Limiter`."""
        cost = _checked(cost, quota)
        row, name = self._names.find(key)
        with self._lock:
            return slots.take(self._words, row, name, self._clock(), quota, cost)

    def close(self) -> None:
        """Do nothing: nothing is shared."""


class RateLimiter:
    """Counts in a file that all workers share; see the module. ``unshared`` is how often it could not."""

    def __init__(self, file: LimitsFile | None, clock: Clock = time.monotonic_ns) -> None:
        self.unshared = 0
        self._clock = clock
        self._file = file
        self._alone: MemoryRateLimiter | None = None
        self._owed: dict[tuple[int, int], int] = {}
        if file is not None:
            self._names = Names(file.secret)
            self._words, self._fd = file.words, file.fd

    @classmethod
    def open(cls, folder: Path, clock: Clock = time.monotonic_ns) -> RateLimiter:
        """Open the limits of a folder; where that is impossible this process counts alone, with a warning."""
        try:
            return cls(LimitsFile.open(folder), clock)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            logger.warning(
                "rate limits cannot be shared ({}: {}): each worker counts for itself", folder / FILE, reason
            )
            return cls(None, clock)

    @property
    def shared(self) -> bool:
        """Whether other processes count with this one."""
        return self._file is not None

    def take(self, key: str, quota: Quota, cost: int = 1) -> Verdict:
        """Count a request; see :class:`Limiter`."""
        if self._file is None:
            return self._take_alone(key, quota, cost)
        cost = _checked(cost, quota)
        row, name = self._names.find(key)
        used = slots.glance(self._words, row, name) - self._clock()
        if quota.whole - cost * quota.interval < used <= quota.whole:
            return slots.refused(used, quota, cost)
        with THREADS:
            if not (try_lock(self._fd, row) or self._wait_for(row)):
                verdict = self._take_alone(key, quota, cost)
                if verdict.allowed and len(self._owed) < MOST_OWED:
                    now = self._clock()
                    self._owed[row, name] = max(self._owed.get((row, name), 0), now) + cost * quota.interval
                return verdict
            try:
                # the time is read inside: a process that waited must not write what is older than it found
                now = self._clock()
                owed = max(self._owed.pop((row, name), 0) - now, 0) if self._owed else 0
                return slots.take(self._words, row, name, now, quota, cost, owed)
            finally:
                unlock(self._fd)

    def _wait_for(self, row: int) -> bool:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up:
            os.sched_yield()  # the holder may be waiting for this very core
            if try_lock(self._fd, row):
                return True
        return False

    def _take_alone(self, key: str, quota: Quota, cost: int) -> Verdict:
        self.unshared += 1
        if self._alone is None:
            self._alone = MemoryRateLimiter(self._clock)
        return self._alone.take(key, quota, cost)

    def close(self) -> None:
        """Let go of the file; what is counted stays in it. A request counted after that is counted alone."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _checked(cost: int, quota: Quota) -> int:
    if cost < 0:
        raise ValueError("a request cannot cost less than nothing")
    return min(cost, quota.burst)
