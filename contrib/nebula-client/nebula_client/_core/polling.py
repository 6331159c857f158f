"""Asking again and again until something has happened, or time is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from nebula_client._core.config import Core
from nebula_client._core.effects import Operation, Sleep
from nebula_client.errors import (
    ApiError,
    BadResponseError,
    NebulaError,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)

T = TypeVar("T")

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 2.0
LAST_LOOK = 1.0
"""What the last look may take, however little time is left."""

PASSING = (NetworkError, RequestTimeoutError, ServerError, RateLimitedError, BadResponseError)
"""After these nobody knows whether what was asked for was done; the same question may be answered later."""


class Deadline:
    """Until when to wait: ``confirm_timeout`` from now on."""

    def __init__(self, core: Core) -> None:
        self._now = core.clock.monotonic
        self._end = self._now() + core.config.confirm_timeout

    @property
    def left(self) -> float:
        """How many seconds are left."""
        return self._end - self._now()


def poll(
    core: Core, deadline: Deadline, look: Callable[[Core], Operation[T | None]]
) -> Operation[tuple[T | None, NebulaError | None]]:
    """Look until there is something; return it, or None and the last look's failure when time is over.

    What passes by itself is waited out: a lost connection, a service that is busy, what is not there yet.
    """
    pause = FIRST_PAUSE
    while True:
        trouble: NebulaError | None = None
        timeout = min(core.config.timeout, max(deadline.left, LAST_LOOK))
        once = replace(core, config=replace(core.config, max_retries=0, timeout=timeout))
        try:
            found = yield from look(once)
            if found is not None:
                return found, None
        except (*PASSING, NotFoundError) as error:
            trouble = error
            asked = error.retry_after if isinstance(error, ApiError) else None
            pause = max(pause, asked or 0.0)
        left = deadline.left
        if left <= 0:
            return None, trouble
        yield Sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)
