"""Building what plugins offer: the projections of a deployment, with what they read the chain through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from loguru import logger

from stellarstream_core.chain import ChainClient
from stellarstream_core.errors import StellarStreamError
from stellarstream_core.plugins import FAULTS
from stellarstream_core.projection.journal import note_trouble
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projection.running import Projectors
from stellarstream_core.projection.status import NOT_CONFIGURED
from stellarstream_core.projections import Opening, Projection, ProjectionSpec
from stellarstream_core.runtime import Runtime
from stellarstream_core.storage import Storage

HOOK = "register_projections"
_METHODS = ("route", "advance", "save", "reached", "clear", "follow_up")


@dataclass(slots=True)
class _Opening:
    """Builds projections; ``waiting`` are those that are not built yet."""

    found: Runtime
    storage: Storage
    chain: ChainClient | None
    waiting: list[ProjectionSpec]
    told: set[str] = field(default_factory=set)

    def again(self) -> Awaitable[Sequence[Projector]] | None:
        """Build those that wait, as far as they can be built now; None where none waits."""
        return self._open(strict=False) if self.waiting else None

    async def all(self) -> Sequence[Projector]:
        """Build those that wait; raise what one says on purpose that cannot be built now."""
        return await self._open(strict=True)

    async def _open(self, *, strict: bool) -> list[Projector]:
        opened: list[Projector] = []
        given = Opening(self.found.settings, self.storage, self.chain, self.found.plugins)
        for spec in list(self.waiting):
            try:
                projection = await spec.open(given)
                if projection is None:
                    await asyncio.to_thread(switch_off, self.storage, spec.name)
                else:
                    _check(projection, spec)
                    opened.append(Projector(projection, self.storage))
            except StellarStreamError as error:
                if strict:
                    raise
                if spec.name not in self.told:
                    logger.warning("projection {} cannot begin yet: {}", spec.name, error.message)
                    self.told.add(spec.name)
                continue
            except FAULTS as error:
                self.found.plugins.blame(HOOK, spec.name, error)
            self.waiting.remove(spec)
        return opened


@asynccontextmanager
async def open_projectors(found: Runtime, storage: Storage, *, strict: bool = False) -> AsyncIterator[Projectors]:
    """Give what runs every projection that something is configured for, with the chain client that they share.

    They are built when they begin to run, so that a node that does not answer holds up nothing else; those that
    cannot be built yet are tried again. With ``strict`` they are built now, and what one says is raised.
    """
    specs = list(found.plugins.projections().values())
    chain = await _chain(found, strict=strict) if specs else None
    try:
        opening = _Opening(found, storage, chain, specs)
        opened = await opening.all() if strict else ()
        projectors = Projectors(opened, storage, found.settings, chain, opening.again)
        try:
            yield projectors
        finally:
            projectors.close()
    finally:
        if chain is not None:
            await chain.close()


async def _chain(found: Runtime, *, strict: bool) -> ChainClient | None:
    try:
        return await found.open_chain_client()
    except StellarStreamError as error:
        if strict:
            raise
        logger.warning("projections go without access to the chain: {}", error.message)
        return None


def switch_off(storage: Storage, name: str) -> None:
    """Note that nothing is configured for a projection any more, so that nobody waits for it to catch up."""
    storage.write(lambda database: note_trouble(database, name, NOT_CONFIGURED, int(time.time())))


def _check(projection: Projection, spec: ProjectionSpec) -> None:
    if getattr(projection, "name", None) != spec.name:
        raise TypeError(f"the projection {spec.name!r} calls itself {getattr(projection, 'name', None)!r}")
    for method in _METHODS:
        if not callable(getattr(projection, method, None)):
            raise TypeError(f"{type(projection).__name__} has no method '{method}'")
