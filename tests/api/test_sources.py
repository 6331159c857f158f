"""The sources as a worker sees them: asked seldom, and one that is silent holds up nobody for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from stellarstream_core.api import sources
from stellarstream_core.api.resources import health
from stellarstream_core.api.sources import SourceWatch
from stellarstream_core.errors import SourceUnavailableError, UsageError
from stellarstream_core.sources import Capabilities, Reach, SourceSpec


class Answering:
    """A source that tells its tip after some seconds, or that it is away."""

    def __init__(self, latest: int, seconds: float = 0.0) -> None:
        self.latest = latest
        self.seconds = seconds
        self.asked = 0
        self.fails: Exception | None = None

    async def reach(self) -> Reach:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        return Reach(1, self.latest)

    async def close(self) -> None: ...


class Configured:
    """A runtime whose sources are these."""

    def __init__(self, **found: Answering) -> None:
        self.found = found

    def source_specs(self) -> list[SourceSpec]:
        if not self.found:
            raise UsageError("No source is configured.")
        return [SourceSpec(name, name, Capabilities(), lambda _: True, self.open_source) for name in self.found]

    async def open_source(self, spec: SourceSpec) -> Answering:
        return self.found[spec.name]


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(sources, "SHORTEST_TIP_SECONDS", 0.0)
    monkeypatch.setattr(sources, "DEFAULT_TIP_SECONDS", 0.05)
    monkeypatch.setattr(sources, "TIP_TIMEOUT_SECONDS", 0.4)


async def timed(watch: SourceWatch) -> tuple[float, dict[str, str]]:
    began = time.monotonic()
    states = await watch.look()
    return time.monotonic() - began, {state.name: state.word for state in states}


async def test_the_first_look_waits_for_an_answer_and_the_tip_is_the_highest():
    watch = SourceWatch(Configured(a=Answering(7, 0.05), b=Answering(9, 0.05)), patience=1)
    assert "yet" in watch.tip.trouble
    seconds, words = await timed(watch)
    assert words == {"a": "up", "b": "up"}
    assert 0.04 < seconds < 0.8
    assert (watch.tip.reach.latest, watch.tip.source) == (9, "b")
    await watch.close()


async def test_nobody_waits_longer_than_the_patience():
    watch = SourceWatch(Configured(a=Answering(7, 9)), patience=0.1)
    seconds, words = await timed(watch)
    assert words == {"a": "unknown"}
    assert seconds < 0.35
    await watch.close()


async def test_what_was_asked_a_while_ago_is_not_waited_for_again():
    watch = SourceWatch(Configured(a=Answering(7, 9)), patience=0.1)
    await watch.look()
    seconds = [(await timed(watch))[0] for _ in range(10)]
    assert sum(seconds) < 0.1
    await watch.close()


async def test_one_that_did_not_answer_is_not_waited_for_and_holds_up_no_other():
    silent, well = Answering(1, 9), Answering(5)
    watch = SourceWatch(Configured(silent=silent, well=well), patience=1)
    _, words = await timed(watch)
    assert words == {"silent": "down", "well": "up"}
    for _ in range(10):
        await asyncio.sleep(0.06)
        well.latest += 1
        seconds, words = await timed(watch)
        assert words == {"silent": "down", "well": "up"}
        assert seconds < 0.2
    assert silent.asked > 1, "it is asked again all the same"
    silent.seconds = 0
    async with asyncio.timeout(3):
        while (await timed(watch))[1]["silent"] != "up":
            await asyncio.sleep(0.06)
    assert watch.tip.reach.latest == well.latest
    await watch.close()


async def test_questions_that_come_together_are_asked_once():
    source = Answering(7, 0.05)
    watch = SourceWatch(Configured(a=source), patience=1)
    await asyncio.gather(*(watch.look() for _ in range(20)))
    assert source.asked == 1
    await watch.close()


@pytest.mark.parametrize("error", [SourceUnavailableError("It is away."), RuntimeError("a fault")])
async def test_what_a_source_raises_is_told_and_it_comes_back(error):
    source = Answering(7)
    watch = SourceWatch(Configured(a=source), patience=1)
    source.fails = error
    (state,) = await watch.look()
    assert state.trouble == ("It is away." if isinstance(error, SourceUnavailableError) else "it failed: RuntimeError")
    assert watch.tip.trouble == f"a: {state.trouble}"
    source.fails = None
    async with asyncio.timeout(3):
        while (await watch.look())[0].word != "up":
            await asyncio.sleep(0.02)
    await watch.close()


async def test_without_a_source_nothing_is_asked():
    watch = SourceWatch(Configured(), patience=1)
    assert await watch.look() == ()
    assert watch.tip.trouble == "No source is configured."
    await watch.close()


async def test_closing_stops_what_is_being_asked():
    source = Answering(7, 9)
    watch = SourceWatch(Configured(a=source), patience=0.05)
    await watch.look()
    await asyncio.wait_for(watch.close(), 1)


# --- readiness --------------------------------------------------------------------------------


@pytest.fixture
def check(monkeypatch):
    """Return a coroutine that makes readiness's check of a watch: its verdict and its sentence."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.2)

    async def make(watch: SourceWatch) -> tuple[bool, str]:
        found = await health._sources(SimpleNamespace(sources=watch))
        assert not found.required, "a worker answers without its sources"
        return found.ok, found.detail

    return make


@pytest.fixture
async def answered(check, monkeypatch) -> AsyncIterator[tuple[Answering, SourceWatch]]:
    """A source that answered a check, which tells how it is for 0.3 seconds, and the watch of it."""
    monkeypatch.setattr(sources, "RECENT_SECONDS", 0.3)
    source = Answering(7)
    watch = SourceWatch(Configured(a=source), patience=0.01)
    assert await check(watch) == (True, "a")
    yield source, watch
    await watch.close()


async def test_a_source_that_was_never_heard_is_not_well(check):
    watch = SourceWatch(Configured(silent=Answering(7, 9), well=Answering(7)), patience=0.05)
    assert await check(watch) == (False, "silent: not heard yet")
    await watch.close()


async def test_a_source_that_answers_within_the_time_of_a_check_is_well_at_the_first_check(check):
    watch = SourceWatch(Configured(slow=Answering(7, 0.1)), patience=0.01)
    assert await check(watch) == (True, "slow")
    await watch.close()


async def test_a_worker_that_nobody_asked_for_a_while_hears_of_a_loss_and_of_its_end_at_once(check, answered):
    source, watch = answered
    source.fails, source.seconds = SourceUnavailableError("It is away."), 0.05
    await asyncio.sleep(0.35)
    assert await check(watch) == (False, "a: It is away.")
    source.fails = None
    await asyncio.sleep(0.35)
    assert await check(watch) == (True, "a")


async def test_an_old_answer_does_not_stand_for_a_source_that_is_silent_now(check, answered):
    source, watch = answered
    source.seconds = 9
    await asyncio.sleep(0.35)
    assert await check(watch) == (False, "a: not heard for 1 s")
    assert (await watch.look())[0].word == "up", "who only wants to know the tip is told the last one"
    async with asyncio.timeout(3):
        while (await check(watch))[1] != "a: no answer within 0 s":
            await asyncio.sleep(0.02)


async def test_a_recent_answer_is_not_asked_for_again_by_every_check(check, monkeypatch):
    monkeypatch.setattr(sources, "DEFAULT_TIP_SECONDS", 5.0)
    source = Answering(7)
    watch = SourceWatch(Configured(a=source), patience=0.05)
    assert {await check(watch) for _ in range(20)} == {(True, "a")}
    assert source.asked == 1
    await watch.close()
