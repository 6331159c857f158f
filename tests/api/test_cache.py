"""Answers in memory: bounded in bytes, made once."""

from __future__ import annotations

import asyncio

import pytest

from stellarstream_core.api.cache import AnswerCache
from stellarstream_core.api.routes import Answer


def held(cache: AnswerCache) -> int:
    return sum(len(answer.body) for answer in cache._kept.values())


def test_the_answers_used_last_are_kept_within_the_space():
    cache = AnswerCache(most_bytes=100_000)
    for number in range(200):
        cache.put(str(number), Answer(b"x" * 2_000))
        assert cache.get("0") is not None  # used again and again
    assert cache.get("199") is not None
    assert cache.get("100") is None
    assert held(cache) <= 100_000


def test_small_answers_cost_more_than_their_bytes():
    cache = AnswerCache(most_bytes=100_000)
    for number in range(10_000):
        cache.put(str(number), Answer(b""))
    assert len(cache._kept) < 100


def test_an_answer_that_would_push_out_many_others_is_not_kept():
    cache = AnswerCache(most_bytes=32_000)
    cache.put("large", Answer(b"x" * 2_000))
    assert cache.get("large") is None


async def test_an_answer_is_made_once_for_all_who_ask_and_outlives_who_gives_up():
    cache = AnswerCache()
    made = 0
    go = asyncio.Event()

    async def make():
        nonlocal made
        made += 1
        await go.wait()
        return Answer(b"once")

    asking = [asyncio.create_task(cache.of("tag", make)) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    go.set()
    answers = await asyncio.gather(*asking[1:])
    assert {answer.body for answer in answers} == {b"once"}
    assert (await cache.of("tag", make)).body == b"once"
    assert made == 1


async def test_a_failure_is_told_to_everybody_and_not_kept():
    cache = AnswerCache()

    async def fail():
        await asyncio.sleep(0)
        raise KeyError("x")

    for answer in await asyncio.gather(*(cache.of("tag", fail) for _ in range(3)), return_exceptions=True):
        assert isinstance(answer, KeyError)
    with pytest.raises(KeyError):
        await cache.of("tag", fail)
