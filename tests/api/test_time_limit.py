"""The time limit: it interrupts what waits, and is not felt by what does not."""

from __future__ import annotations

import asyncio

import pytest

from stellarstream_core.api.time_limit import TimeLimitError, within


async def at_once(value):
    return value


async def later(value, seconds=0.01):
    await asyncio.sleep(seconds / 2)
    await asyncio.sleep(seconds / 2)
    return value


async def failing(error, wait):
    if wait:
        await asyncio.sleep(0.001)
    raise error


@pytest.mark.parametrize("seconds", [None, 5])
async def test_what_is_returned_is_returned(seconds):
    assert await within(seconds, at_once(1)) == 1
    assert await within(seconds, later(2)) == 2


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("error", [KeyError("x"), TimeoutError("its own")])
async def test_what_is_raised_is_raised(wait, error):
    with pytest.raises(type(error)) as raised:
        await within(5, failing(error, wait))
    assert raised.value is error


async def test_what_takes_too_long_is_cancelled():
    cancelled = asyncio.Event()

    async def endless():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeLimitError):
        await within(0.01, endless())
    assert cancelled.is_set()


async def test_cancelling_the_waiter_cancels_the_work_and_what_it_catches_it_catches():
    seen = []

    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            raise

    task = asyncio.create_task(within(5, stubborn()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_many_waits_in_a_row_and_side_by_side():
    async def work(n):
        total = 0
        for step in range(n):
            await asyncio.sleep(0)
            total += step
        return total + sum(await asyncio.gather(*(later(1, 0.002) for _ in range(3))))

    assert await asyncio.gather(*(within(5, work(n)) for n in range(20))) == [n * (n - 1) // 2 + 3 for n in range(20)]
