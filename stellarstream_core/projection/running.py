"""Running projectors in a process: beside a sync that goes on, or to the end of what is committed.

All of them share one thread of their own, so that commits are not delayed and each projection's methods are
called one at a time. One that breaks stops, and says so where others look; the rest goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from loguru import logger

from stellarstream_core.chain import ChainClient
from stellarstream_core.errors import SchemaError, StellarStreamError, StorageBusyError, StorageError
from stellarstream_core.projection.faults import ProjectionFaultError
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projection.steps import Step
from stellarstream_core.projections import FollowUp
from stellarstream_core.settings import Settings
from stellarstream_core.storage import Storage

T = TypeVar("T")

POLL_SECONDS = 2.0
"""How often the store is looked at for commits that another process makes."""
REOPEN_SECONDS = 30.0
"""How often a projection that could not be opened is tried again."""
MOST_FAILURES = 5
"""The database's failures in a row after which a projection stops."""
BUSY_SECONDS = 0.25
LONGEST_PAUSE = 10.0

Told = Callable[[str, int, int], None]
"""Hears how far a projection is: its name, commits taken in, commits there are."""


@dataclass(slots=True)
class Running:
    """A projector that runs. ``stopped`` says why it does not any more; the counts are of this run."""

    projector: Projector
    stopped: str | None = None
    position: int = 0
    behind: int = 0
    events: int = 0
    entries: int = 0
    failures: int = 0
    news: bool = True
    """Whether anything was taken in since the last follow-up; what an earlier process left over counts as well."""
    following_up: asyncio.Task[None] | None = None
    follow_up_failed: str | None = None

    @property
    def name(self) -> str:
        """The projection's name."""
        return self.projector.name

    def take(self, step: Step) -> None:
        """Count a step."""
        self.position, self.behind, self.failures = step.position, step.behind, 0
        self.events += step.events
        self.entries += step.entries
        self.news = self.news or step.commits > 0 or step.entries > 0


def _nothing_to_open() -> Awaitable[Sequence[Projector]] | None:
    return None


@dataclass(slots=True)
class Projectors:
    """Runs projectors until they are at the end of what is committed, or for ever.

    ``reopen`` builds those that are not built yet, as far as it can; it returns None where there are none,
    else what it has built now.
    """

    projectors: Sequence[Projector]
    storage: Storage
    settings: Settings
    chain: ChainClient | None = None
    reopen: Callable[[], Awaitable[Sequence[Projector]] | None] = _nothing_to_open
    running: list[Running] = field(init=False)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="projector"), init=False
    )
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.running = [Running(projector) for projector in self.projectors]

    def committed(self) -> None:
        """Hear that something was committed. Any thread may say so."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._woken.set)

    async def follow(self, *, follow_up: bool) -> None:
        """Take in what is committed as it is committed, until cancelled; with ``follow_up`` do what needs the chain.

        Raises nothing of what projections or the database do.
        """
        self._loop = asyncio.get_running_loop()
        reopening = asyncio.create_task(self._keep_opening())
        try:
            while True:
                self._woken.clear()
                await self._catch_up(None)
                if follow_up:
                    self._follow_up()
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            tasks = [reopening, *(one.following_up for one in self.running if one.following_up is not None)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._loop = None

    async def finish(self, told: Told | None = None) -> None:
        """Take in everything that is committed; ``told`` hears how far each projection is."""
        await self._open()
        await self._catch_up(told)

    async def in_thread(self, function: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
        """Call a function in the projectors' thread. Once begun it is waited for, even when cancelled."""
        call = partial(function, *arguments, **options)
        running = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            running.exception()  # looked at, so that nobody warns of it
            raise

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # --- stepping -------------------------------------------------------------------------------

    async def _catch_up(self, told: Told | None) -> None:
        """Let each projector step until it has nothing to do, in turns."""
        waiting = [one for one in self.running if one.stopped is None]
        while waiting:
            for one in list(waiting):
                step = await self._step(one)
                if step is None:
                    if one.stopped is not None:
                        waiting.remove(one)
                    continue
                one.take(step)
                if told is not None:
                    told(one.name, step.position, step.position + step.behind)
                if step.idle:
                    waiting.remove(one)

    async def _step(self, one: Running) -> Step | None:
        """Make one step; None where it failed, after the pause that this takes."""
        try:
            return await self.in_thread(one.projector.step)
        except StorageBusyError:
            await asyncio.sleep(BUSY_SECONDS)
        except SchemaError as error:
            await self._stop(one, f"{error.message} {error.help}".strip(), None)
        except StorageError as error:
            one.failures += 1
            if one.failures >= MOST_FAILURES:
                await self._stop(one, error.message, None)
            else:
                logger.warning("projection {}: {} It is tried again.", one.name, error.message)
                await asyncio.sleep(min(2.0 ** (one.failures - 1), LONGEST_PAUSE))
        except ProjectionFaultError as error:
            await self._stop(one, str(error), error.__cause__)
        except Exception as error:  # ours, then: the sync is worth more than the projection
            await self._stop(one, f"{type(error).__name__}: {error}", error)
        return None

    async def _stop(self, one: Running, trouble: str, cause: BaseException | None) -> None:
        one.stopped = " ".join(trouble.split())
        logger.opt(exception=cause).error(
            "projection {} stopped: {}; it goes on when this command is started again", one.name, one.stopped
        )
        try:
            await self.in_thread(one.projector.stop, one.stopped)
        except StellarStreamError as error:
            logger.warning("projection {}: that it stopped could not be written down: {}", one.name, error.message)

    # --- beside the steps -------------------------------------------------------------------------

    def _follow_up(self) -> None:
        for one in self.running:
            busy = one.following_up is not None and not one.following_up.done()
            if one.stopped is None and one.news and not busy:
                one.news = False
                one.following_up = asyncio.create_task(self._follow_up_of(one))

    async def _follow_up_of(self, one: Running) -> None:
        context = FollowUp(self.storage, self.settings, self.chain, self.in_thread)
        try:
            await one.projector.projection.follow_up(context)
        except (Exception, SystemExit) as error:  # a projection is a plugin's
            told = f"{type(error).__name__}: {error}"
            if told != one.follow_up_failed:  # a chain that is silent would fill the log
                ours = isinstance(error, StellarStreamError)
                logger.opt(exception=None if ours else error).warning("projection {}: {}", one.name, told)
            one.follow_up_failed = told
        else:
            one.follow_up_failed = None

    async def _open(self) -> bool:
        """Build what is not built yet; tell whether there may be more."""
        if (opening := self.reopen()) is None:
            return False
        opened = await opening
        self.running += [Running(projector) for projector in opened]
        if opened:
            self._woken.set()
        return True

    async def _keep_opening(self) -> None:
        while True:
            if not await self._open():
                return
            await asyncio.sleep(REOPEN_SECONDS)
