"""How far a lake reaches: searches over object numbers that ask as little as they can.

``Has`` asks whether an object is there. ``Below`` asks a listing for the highest number below another
one, or None. Where only ``Has`` can be asked, the objects between two that are there are taken to be
there too; a listing needs no such belief.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Has = Callable[[int], Awaitable[bool]]
Below = Callable[[int], Awaitable[int | None]]

_SIDE_BY_SIDE = 8
"""Objects asked for at the same time."""


async def highest(has: Has, known: int, limit: int, *, past_holes: bool = False) -> int:
    """Return the highest number from ``known``, which is there, up to ``limit``.

    It is looked for in ever longer steps until one leads nowhere; with ``past_holes`` all steps are
    tried, so that some missing objects after ``known`` are no end.
    """
    steps = [known + 2**power for power in range((limit - known).bit_length()) if known + 2**power <= limit]
    best, beyond = known, limit + 1
    for at in range(0, len(steps), _SIDE_BY_SIDE):
        asked = steps[at : at + _SIDE_BY_SIDE]
        there = await asyncio.gather(*map(has, asked))
        best = max([best, *(n for n, found in zip(asked, there, strict=True) if found)])
        if not there[-1] and not past_holes:
            break
    beyond = min((step for step in steps if step > best), default=beyond)
    return await _between(has, best, beyond)


async def lowest(has: Has, known: int, floor: int) -> int:
    """Return the lowest number from which on everything up to ``known``, which is there, is there."""

    async def mirrored(number: int) -> bool:
        return await has(known - number)

    return known - await _between(mirrored, 0, known - floor + 1)


async def _between(has: Has, there: int, missing: int) -> int:
    """Return the last number that is there between one that is and a higher one that is not."""
    while missing - there > 1:
        gap = missing - there
        parts = min(_SIDE_BY_SIDE + 1, gap)
        asked = sorted({there + gap * part // parts for part in range(1, parts)})
        answers = dict(zip(asked, await asyncio.gather(*map(has, asked)), strict=True))
        there = max([there, *(n for n, found in answers.items() if found)])
        missing = min([missing, *(n for n, found in answers.items() if not found and n > there)])
    return there


async def oldest_listed(below: Below, floor: int, newest: int) -> int:
    """Return the lowest number of a listing; ``newest`` is one that is there, nothing is below ``floor``."""
    while floor < newest:
        middle = (floor + newest + 1) // 2
        found = await below(middle)
        if found is None:
            floor = middle
        else:
            newest = found
    return newest


async def next_listed(below: Below, first: int, last: int) -> int | None:
    """Return the lowest number of a listing from ``first`` to ``last``, or None where there is none."""
    found = await below(last + 1)
    if found is None or found < first:
        return None
    while first < found:
        middle = (first + found) // 2
        lower = await below(middle + 1)
        if lower is None or lower < first:
            first = middle + 1
        else:
            found = lower
    return found
