"""Projectors in a process: beside a sync, to its end, and out of its way when they break."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import pytest

from stellarstream_core.errors import SchemaError, SourceUnavailableError, StorageBusyError, StorageError
from stellarstream_core.plugins import CORE_MODELS
from stellarstream_core.projection import running as module
from stellarstream_core.projection.pace import Pace
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projection.running import Projectors
from stellarstream_core.projection.status import read_projections
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import load_settings
from stellarstream_core.sync.progress import Silence
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.testing.scripted import PASSPHRASE, ScriptedSource
from stellarstream_sql.storage import open_sqlite
from tests.projection.conftest import commit, states_of
from tests.projection.toy import CONTRACT, Toy, fold_all, toy_event

SCOPE = Scope.of([CONTRACT])
HISTORY = [toy_event(ledger, 1, 0, f"k{ledger % 4}", begin=True) for ledger in range(1, 61)]


@pytest.fixture
def storage(tmp_path):
    with closing(open_sqlite(f"sqlite:///{tmp_path / 'test.db'}", [CORE_MODELS])) as storage:
        storage.migrate()
        yield storage


@pytest.fixture
def running(storage):
    opened = []

    def make(*toys, **options) -> Projectors:
        projectors = [Projector(toy, storage) for toy in toys]
        opened.append(Projectors(projectors, storage, load_settings(environ={}), **options))
        return opened[-1]

    yield make
    for projectors in opened:
        projectors.close()


@pytest.fixture
def quick(monkeypatch):
    for name in ("BUSY_SECONDS", "LONGEST_PAUSE", "REOPEN_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)


class Other(Toy):
    name = "other"


def sync(storage, projectors, *, follow=False, first=1, last=60, progress=None, **script):
    source = ScriptedSource(HISTORY, 60, **script)
    request = SyncRequest(first, last, SCOPE, follow=follow)
    return SyncRun(request, storage, [source], PASSPHRASE, progress or Silence(), projectors=projectors)


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_ranged_sync_ends_with_everything_folded(storage, running):
    toy = Toy()
    await sync(storage, running(toy)).execute(asyncio.Event())
    assert states_of(storage) == fold_all(HISTORY)
    (state,) = read_projections(storage, ["toy"])
    assert (state.behind, state.as_of_ledger, state.complete, state.rebuilding) == (0, 60, True, False)
    assert toy.followed == 0, "only who follows needs the chain"


async def test_while_following_events_are_folded_as_they_come_and_followed_up(storage, running):
    toy, stop = Toy(), asyncio.Event()
    source = ScriptedSource(HISTORY, 30)
    request = SyncRequest(1, None, SCOPE, follow=True)
    run = SyncRun(request, storage, [source], PASSPHRASE, Silence(), projectors=running(toy))
    task = asyncio.create_task(run.execute(stop))
    await until(lambda: states_of(storage) == fold_all(HISTORY[:30]))
    await until(lambda: toy.followed > 0)
    before = toy.followed
    source.latest = 31
    await until(lambda: states_of(storage) == fold_all(HISTORY[:31]))
    await until(lambda: toy.followed > before)
    stop.set()
    async with asyncio.timeout(5):
        await task


async def test_commits_of_another_process_are_folded_too(storage, running, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    projectors = running(Toy())
    task = asyncio.create_task(projectors.follow(follow_up=False))
    await until(lambda: read_projections(storage, ["toy"]))
    commit(storage, *HISTORY[:5])
    await until(lambda: states_of(storage) == fold_all(HISTORY[:5]))
    task.cancel()
    await asyncio.wait([task])


async def test_a_projection_that_raises_stops_and_is_named_once_while_the_sync_and_the_others_go_on(
    storage, running, logged
):
    bad, good = Toy(), Other()
    bad.breaks["advance"] = ZeroDivisionError("boom")
    report = await sync(storage, running(bad, good)).execute(asyncio.Event())
    assert report.counts.new == 60
    assert states_of(storage, "other") == fold_all(HISTORY)
    told = [message for message in logged if "projection toy stopped" in message]
    assert len(told) == 1
    assert "ZeroDivisionError" in told[0]
    assert told[0].record["exception"] is not None
    states = {state.name: state for state in read_projections(storage, ["toy", "other"])}
    assert states["toy"].trouble == "advance() raised ZeroDivisionError: boom"
    assert states["toy"].summary == "stopped: advance() raised ZeroDivisionError: boom"
    assert (states["other"].trouble, states["other"].summary) == (None, "up to the last commit")


async def test_a_stopped_projection_goes_on_when_it_is_started_again(storage, running):
    bad = Toy()
    bad.breaks["save"] = RuntimeError("boom")
    await sync(storage, running(bad)).execute(asyncio.Event())
    good = Toy()
    await running(good).finish()
    assert states_of(storage) == fold_all(HISTORY)
    assert read_projections(storage, ["toy"])[0].trouble is None


@pytest.mark.parametrize("error", [StorageBusyError("busy"), StorageError("away")])
async def test_a_database_that_fails_for_a_moment_is_tried_again(storage, running, quick, error):
    commit(storage, *HISTORY[:5])
    toy = Toy()
    projectors = running(toy)
    projector = projectors.running[0].projector
    step, left = projector.step, 3

    def failing():
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return step()

    projector.step = failing
    await projectors.finish()
    assert states_of(storage) == fold_all(HISTORY[:5])


@pytest.mark.parametrize("error", [StorageError("away"), SchemaError("no table")])
async def test_a_database_that_goes_on_failing_stops_the_projection_and_nothing_else(storage, running, quick, error):
    def failing():
        raise error

    projectors = running(Toy(), Other())
    projectors.running[0].projector.step = failing
    commit(storage, *HISTORY[:5])
    await projectors.finish()
    assert projectors.running[0].stopped
    assert states_of(storage, "other") == fold_all(HISTORY[:5])


async def test_a_follow_up_that_raises_is_logged_once_and_tried_with_the_next_commits(storage, running, logged):
    toy = Toy()
    toy.breaks["follow_up"] = SourceUnavailableError("the chain is silent")
    tried, ended = 0, []
    follow_up = toy.follow_up

    async def counted(context):
        nonlocal tried
        tried += 1
        assert context.storage is storage
        assert await context.run(sum, [1, 2]) == 3
        try:
            await follow_up(context)
        finally:
            ended.append(tried)

    toy.follow_up = counted
    projectors = running(toy)
    task = asyncio.create_task(projectors.follow(follow_up=True))
    await until(lambda: ended == [1])  # what an earlier process may have left
    for number in range(3):
        commit(storage, HISTORY[number])
        projectors.committed()
        await until(lambda number=number: len(ended) == number + 2)
    toy.breaks.clear()
    commit(storage, HISTORY[3])
    projectors.committed()
    await until(lambda: toy.followed == 1)
    task.cancel()
    await asyncio.wait([task])
    assert len([message for message in logged if "the chain is silent" in message]) == 1
    assert states_of(storage) == fold_all(HISTORY[:4])


async def test_a_follow_up_runs_never_twice_at_a_time_and_holds_up_no_folding(storage, running):
    toy, going, let = Toy(), 0, asyncio.Event()

    async def slow(context):
        nonlocal going
        going += 1
        assert going == 1
        await let.wait()
        going -= 1
        toy.followed += 1

    toy.follow_up = slow
    projectors = running(toy)
    task = asyncio.create_task(projectors.follow(follow_up=True))
    for number in range(4):
        commit(storage, HISTORY[number])
        projectors.committed()
        await until(lambda number=number: states_of(storage) == fold_all(HISTORY[: number + 1]))
    let.set()
    await until(lambda: toy.followed >= 1)
    task.cancel()
    await asyncio.wait([task])


async def test_a_projection_that_could_not_begin_is_tried_again_while_following(storage, running, quick):
    toy, attempts = Toy(), 0

    async def opening():
        nonlocal attempts
        attempts += 1
        return [Projector(toy, storage)] if attempts == 3 else []

    projectors = running(reopen=lambda: opening() if attempts < 3 else None)
    commit(storage, *HISTORY[:5])
    task = asyncio.create_task(projectors.follow(follow_up=True))
    await until(lambda: states_of(storage) == fold_all(HISTORY[:5]))
    task.cancel()
    await asyncio.wait([task])
    assert attempts == 3


async def test_progress_is_told_commit_by_commit_until_the_end(storage, running):
    for event in HISTORY:
        commit(storage, event)
    projectors = running(Toy())
    projectors.running[0].projector._pace = Pace(10, 1, 10)
    told = []
    await projectors.finish(lambda name, done, total: told.append((name, done, total)))
    assert told[-1] == ("toy", 60, 60)
    assert sorted(told, key=lambda one: one[1]) == told
    assert len({done for _, done, _ in told}) >= 6


async def test_stopping_waits_for_the_step_in_flight_and_for_no_more(storage, running):
    for event in HISTORY:
        commit(storage, event)
    projectors = running(Toy())
    projector = projectors.running[0].projector
    projector._pace = Pace(1, 1, 1)
    in_flight, let, step, steps = threading.Event(), threading.Event(), projector.step, 0

    def slow():
        nonlocal steps
        steps += 1
        if steps == 10:
            in_flight.set()
            assert let.wait(20)
        return step()

    projector.step = slow
    task = asyncio.create_task(projectors.finish())
    await until(in_flight.is_set)
    before = read_projections(storage, ["toy"])[0].position
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done, "the step in flight is waited for"
    let.set()
    await asyncio.wait([task])
    assert task.cancelled()
    await projectors.in_thread(int)  # what is queued in the thread has run when this has
    assert steps == 10
    assert read_projections(storage, ["toy"])[0].position == before + 1 < 60


async def test_a_sync_that_is_stopped_leaves_the_projection_to_the_next_one(storage, running):
    stop = asyncio.Event()
    stop.set()
    projectors = running(Toy())
    from stellarstream_core.errors import SyncInterruptedError

    with pytest.raises(SyncInterruptedError):
        await sync(storage, projectors).execute(stop)
    await sync(storage, projectors).execute(asyncio.Event())
    assert states_of(storage) == fold_all(HISTORY)
    assert LedgerRange(1, 60) in storage.coverage(CONTRACT, LedgerRange(1, 60)).ranges
