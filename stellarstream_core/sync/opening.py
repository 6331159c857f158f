"""Opening sources: the right network, the same history as the one stored, and within reach.

A database holds one history. Its passphrase and some ledger hashes (anchors) are stored; a source
with another passphrase, another hash at an anchor, or a tip far below what is stored is refused
before anything is fetched. Testnet resets keep the passphrase, so the passphrase alone says little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger

from stellarstream_core.errors import NetworkMismatchError, NetworkResetError, SourceError
from stellarstream_core.sources import Reach, Source, SourceIdentity
from stellarstream_core.storage import Anchor, Storage

RESET_DISTANCE = 20_000
"""A tip this many ledgers below the watermark is a reset network, not a lagging node."""

_ANCHORS_TRIED = 3


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that passed its checks, with its reach at that time."""

    source: Source
    identity: SourceIdentity
    reach: Reach


async def open_sources(sources: Sequence[Source], passphrase: str, storage: Storage) -> list[OpenSource]:
    """Check every source and return those that answered; the last failure is raised where none did.

    Raises :class:`NetworkMismatchError` or :class:`NetworkResetError` where a source belongs to
    another network or history, ``SourceUnusableError`` where it can never serve.
    """
    opened: list[OpenSource] = []
    failure: SourceError | None = None
    for source in sources:
        try:
            opened.append(await _open(source, passphrase, storage))
        except SourceError as error:
            logger.warning("source {} is left out: {}", source.name, error)
            failure = error
    if not opened and failure is not None:
        raise failure
    return opened


async def _open(source: Source, passphrase: str, storage: Storage) -> OpenSource:
    identity = await source.identity()
    where = f"{source.name} ({', '.join(identity.endpoints)})"
    if identity.passphrase != passphrase:
        raise NetworkMismatchError(
            f"The source {where} is on the network {identity.passphrase!r}, the settings say {passphrase!r}.",
            help="Correct 'network' (or 'network_passphrase'), or the source's address.",
        )
    for warning in identity.warnings:
        logger.warning("{}: {}", source.name, warning)
    reach = await source.reach()
    await check_history(source, where, reach, storage)
    return OpenSource(source, identity, reach)


async def check_history(source: Source, where: str, reach: Reach, storage: Storage) -> None:
    """Compare a source with the stored anchors, then add its tip as one."""
    watermark = max((state.last_ledger_sequence for state in storage.sync_states().values()), default=0)
    if reach.latest + RESET_DISTANCE < watermark:
        raise NetworkResetError(
            f"The source {where} is at ledger {reach.latest}, this database is complete up to {watermark}: "
            "the network began again."
        )
    tried = 0
    for anchor in storage.anchors():
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
    tip = await source.ledger_hash(reach.latest)
    if tip is not None:
        storage.add_anchor(Anchor(reach.latest, tip))
