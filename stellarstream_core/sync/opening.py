"""Opening sources: the right network, the same history as the one stored, and within reach.

A database holds one history. Its passphrase and some ledger hashes (anchors) are stored; a source
with another passphrase, another hash at an anchor, or a tip far below what is stored is refused
before anything is fetched. Testnet resets keep the passphrase, so the passphrase alone says little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from loguru import logger

from stellarstream_core.errors import (
    NetworkMismatchError,
    NetworkResetError,
    SourceError,
    SourceUnavailableError,
    SourceUnusableError,
    StellarStreamError,
)
from stellarstream_core.sources import Reach, Source, SourceIdentity
from stellarstream_core.storage import Anchor, Storage
from stellarstream_core.sync.asking import identity_of, reach_of

T = TypeVar("T")

RESET_DISTANCE = 20_000
"""A tip this many ledgers below the watermark is a reset network, not a lagging node."""

GRACE_SECONDS = 10.0
"""How long the others are waited for once one source can serve; a follower takes late ones in later."""

_ANCHORS_TRIED = 3


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that passed its checks, with its reach at that time."""

    source: Source
    identity: SourceIdentity
    reach: Reach


class InThread(Protocol):
    """Runs a storage call off the event loop."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Return what the call returns."""
        ...


async def open_sources(
    sources: Sequence[Source], passphrase: str, storage: Storage, in_thread: InThread, *, keep_tips: bool = True
) -> list[OpenSource]:
    """Check every source and return those that can serve; the first failure is raised where none can.

    The tip of a source that does not prove becomes an anchor, unless ``keep_tips`` is off: then nothing
    is written.
    Raises :class:`NetworkMismatchError` or :class:`NetworkResetError` where a source belongs to
    another network or history, and ``SourceError`` or ``SourceUnusableError`` where no source is left.
    """
    asking = [asyncio.create_task(_open(source, passphrase, storage, in_thread, keep_tips)) for source in sources]
    try:
        await _answers(asking)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    opened: list[OpenSource] = []
    failure: StellarStreamError | None = None
    for source, task in zip(sources, asking, strict=True):
        error = SourceUnavailableError("It does not answer yet.") if task.cancelled() else task.exception()
        if error is None:
            opened.append(task.result())
        elif isinstance(error, SourceError | SourceUnusableError):
            if len(sources) > 1:
                logger.warning("source {} is left out: {}", source.name, error)
            failure = failure or error
        else:
            raise error
    if not opened and failure is not None:
        raise failure
    return opened


async def _answers(asking: Sequence[asyncio.Task[OpenSource]]) -> None:
    """Wait for all answers; no longer than the grace once one source can serve."""
    late = set(asking)
    while late:
        usable = any(task.done() and task.exception() is None for task in asking)
        news, late = await asyncio.wait(
            late, timeout=GRACE_SECONDS if usable else None, return_when=asyncio.FIRST_COMPLETED
        )
        if usable and not news:
            return


async def _open(source: Source, passphrase: str, storage: Storage, in_thread: InThread, keep_tip: bool) -> OpenSource:
    identity = await identity_of(source)
    where = f"{source.name} ({', '.join(identity.endpoints)})"
    if identity.passphrase not in {passphrase, None}:
        raise NetworkMismatchError(
            f"The source {where} is on the network {identity.passphrase!r}, the settings say {passphrase!r}.",
            help="Correct 'network' (or 'network_passphrase'), or the source's address.",
        )
    for warning in identity.warnings:
        logger.warning("{}: {}", source.name, warning)
    reach = await reach_of(source)
    await check_history(source, where, reach, storage, in_thread, keep_tip=keep_tip and not identity.proves)
    return OpenSource(source, identity, reach)


async def check_history(
    source: Source, where: str, reach: Reach, storage: Storage, in_thread: InThread, *, keep_tip: bool
) -> None:
    """Compare a source with the stored anchors, then add its tip as one unless told otherwise."""
    states = (await in_thread(storage.sync_states)).values()
    complete = [s.last_ledger_sequence for s in states if s.last_ledger_sequence >= s.start_ledger]
    watermark = max(complete, default=0)
    if reach.latest + RESET_DISTANCE < watermark:
        raise NetworkResetError(
            f"The source {where} is at ledger {reach.latest}, this database is complete up to {watermark}: "
            "the network began again."
        )
    tried = 0
    for anchor in await in_thread(storage.anchors):
        if tried == _ANCHORS_TRIED:
            break
        if not reach.oldest <= anchor.ledger <= reach.latest:
            continue
        tried += 1
        found = await source.ledger_hash(anchor.ledger)
        if found is None:
            continue
        if found != anchor.hash:
            raise NetworkResetError(
                f"The source {where} has ledger {anchor.ledger} with the hash {found[:16]}…, "
                f"this database knows it as {anchor.hash[:16]}…: they are different histories."
            )
        break
    if not keep_tip:
        return
    tip = await source.ledger_hash(reach.latest)
    if tip is not None:
        anchor = Anchor(reach.latest, tip)
        await in_thread(lambda: storage.add_anchor(anchor))
