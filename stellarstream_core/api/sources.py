"""The ledger sources as this worker sees them: their tips, and which of them answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from loguru import logger

from stellarstream_core.errors import StellarStreamError
from stellarstream_core.runtime import Runtime
from stellarstream_core.sources import Reach, Source, SourceSpec
from stellarstream_core.sync.state import DEFAULT_TIP_SECONDS, SHORTEST_TIP_SECONDS, TIP_TIMEOUT_SECONDS, Tip

RECENT_SECONDS = 15.0
"""How long what a source said tells how it is now, where somebody's alarm hangs on it."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """What a source last said, and when. ``trouble`` is a sentence where it did not answer; both None: nothing yet."""

    name: str
    summary: str
    reach: Reach | None = None
    trouble: str | None = None
    since: float = field(default_factory=monotonic, compare=False)

    @property
    def word(self) -> Literal["up", "down", "unknown"]:
        """``up``, ``down`` or ``unknown``."""
        if self.trouble is not None:
            return "down"
        return "unknown" if self.reach is None else "up"

    @property
    def age(self) -> float:
        """How many seconds ago it was said."""
        return monotonic() - self.since

    @property
    def is_recent(self) -> bool:
        """Whether something was said, and lately."""
        return self.word != "unknown" and self.age < RECENT_SECONDS


class SourceWatch:
    """Asks every configured source for its tip when somebody wants to know, and not more often than ledgers close.

    Nobody waits for what was asked more than ``patience`` seconds ago, and for a source that did not
    answer the last time not at all: until the answer is there, the one before counts.
    """

    def __init__(self, runtime: Runtime, *, patience: float = 1.0) -> None:
        self._runtime = runtime
        self._patience = patience
        self._open: dict[str, Source] = {}
        self._trouble: str | None = None
        self._states = {spec.name: SourceState(spec.name, spec.summary) for spec in self._specs()}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._next = 0.0
        self._waited_until = 0.0

    async def look(self) -> tuple[SourceState, ...]:
        """Return the state of every configured source; raise nothing."""
        if not self._asking and monotonic() >= self._next:
            self._begin()
        patience = self._waited_until - monotonic()
        waited_for = [task for name, task in self._asking.items() if self._states[name].trouble is None]
        if waited_for and patience > 0:
            await asyncio.wait(waited_for, timeout=patience)
        return tuple(self._states.values())

    async def look_closely(self, patience: float) -> tuple[SourceState, ...]:
        """Return the states as ``look`` does, but ask anew, and wait so long, where what is known is not recent."""
        if not all(state.is_recent for state in self._states.values()):
            if not self._asking:
                self._begin()
            late = [task for name, task in self._asking.items() if not self._states[name].is_recent]
            if late:
                await asyncio.wait(late, timeout=patience)
        return await self.look()

    @property
    def tip(self) -> Tip:
        """The highest tip that was told, or why none was."""
        told = [state for state in self._states.values() if state.reach is not None]
        if told:
            best = max(told, key=lambda state: state.reach.latest if state.reach else 0)
            return Tip(best.reach, best.name)
        troubles = [f"{state.name}: {state.trouble}" for state in self._states.values() if state.trouble]
        return Tip(trouble=troubles[0] if troubles else self._trouble or "no source has answered yet")

    async def close(self) -> None:
        """Stop asking and close every source."""
        if asking := list(self._asking.values()):
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
        while self._open:
            with suppress(Exception):
                await self._open.popitem()[1].close()

    def _begin(self) -> None:
        specs = self._specs()
        self._states = {spec.name: self._states.get(spec.name, SourceState(spec.name, spec.summary)) for spec in specs}
        # in contexts of their own: what they log is not about the request that happens to come first
        self._asking = {spec.name: asyncio.create_task(self._ask(spec), context=Context()) for spec in specs}
        self._waited_until = monotonic() + self._patience
        self._rest()

    async def _ask(self, spec: SourceSpec) -> None:
        try:
            self._states[spec.name] = await self._state(spec)
        finally:
            del self._asking[spec.name]
            self._rest()

    def _rest(self) -> None:
        """Ask no more until about the next ledger."""
        paces = [state.reach.ledger_seconds for state in self._states.values() if state.reach]
        pace = min((pace for pace in paces if pace), default=DEFAULT_TIP_SECONDS)
        self._next = monotonic() + max(pace, SHORTEST_TIP_SECONDS)

    def _specs(self) -> list[SourceSpec]:
        try:
            return self._runtime.source_specs()
        except StellarStreamError as error:  # none is configured, or none is left
            self._trouble = error.message
            return []

    async def _state(self, spec: SourceSpec) -> SourceState:
        trouble: str
        try:
            async with asyncio.timeout(TIP_TIMEOUT_SECONDS):
                if spec.name not in self._open:
                    self._open[spec.name] = await self._runtime.open_source(spec)
                return SourceState(spec.name, spec.summary, await self._open[spec.name].reach())
        except StellarStreamError as error:
            trouble = error.message
        except TimeoutError:
            trouble = f"no answer within {TIP_TIMEOUT_SECONDS:.0f} s"
        except Exception as error:  # a plugin's source may raise anything
            logger.opt(exception=error).warning("source {} failed to tell its tip", spec.name)
            trouble = f"it failed: {type(error).__name__}"
        return SourceState(spec.name, spec.summary, None, trouble)
