"""A limit on how long a coroutine takes, that costs nothing where it does not wait at all.

Many answers are ready at once: they come from memory, or nothing has changed. A timer for each of them
would cost more than they do, so it is set only when the coroutine waits for the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class TimeLimitError(Exception):
    """The coroutine took too long and was cancelled."""


async def within(seconds: float | None, work: Awaitable[T]) -> T:
    """Return what ``work`` returns; raise :class:`TimeLimitError` where it takes longer. None is no limit.

    What ``work`` does before it waits for the first time is not interrupted, as nothing ever is.
    """
    if seconds is None or not isinstance(work, Coroutine):
        return await work
    try:
        first = work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _rest(work, first)
    except TimeoutError:
        if limit.expired():
            raise TimeLimitError from None
        raise


@coroutine
def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has begun: hand up what it waits for, and hand down what comes of it."""
    thrown: BaseException | None
    while True:
        try:
            came = yield waits_for
            thrown = None
        except BaseException as error:
            thrown = error
        try:
            waits_for = work.send(came) if thrown is None else work.throw(thrown)
        except StopIteration as done:
            result: T = done.value
            return result
