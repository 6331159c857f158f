"""The relay: takes signed envelopes, hands them in, and finds out what became of them.

An envelope is stored before it is sent, so a crash in between loses nothing: whoever asks for it next, at any
worker, has it handed in again while its time lasts. Handing in twice is harmless, the chain applies it once. What
a node says when it is handed in is no last word: only a ledger is, or the end of its time.
"""

from __future__ import annotations

import asyncio
import time
from binascii import b2a_base64
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from loguru import logger

from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.chain import ChainClient, ChainTransaction, SendStatus, Sent, TransactionStatus
from stellarstream_core.errors import SourceError, SourceUnavailableError, StellarStreamError, XdrError
from stellarstream_core.storage import Storage
from stellarstream_core.xdr.scval import decode_native
from stellarstream_nebula.model import stream_key
from stellarstream_nebula.transactions import store
from stellarstream_nebula.transactions.calls import is_silent
from stellarstream_nebula.transactions.chain import account_entries, require_chain
from stellarstream_nebula.transactions.envelope import check, check_signatures, parsed
from stellarstream_nebula.transactions.indexed import Indexed, indexed
from stellarstream_nebula.transactions.refusals import ErrorNames, contract_error, described
from stellarstream_nebula.transactions.results import EXPIRED, Failure, failure, failure_of
from stellarstream_nebula.transactions.store import State, Stored

TRIES = 3
"""How often an envelope is handed in while its sender waits, where the node says to try again later."""
TRY_AGAIN_SECONDS = 1.0
"""How long to wait in between."""
HAND_IN_SECONDS = 15.0
"""How long its sender waits for that at the most."""
LOOK_SECONDS = 1.0
"""How often the chain is asked for one transaction, by one worker."""
RESEND_SECONDS = 15.0
"""How long after it was handed in a transaction that is in no ledger is handed in again: nodes forget."""

_LOOKS = 4_096
_SAID_OF_APPLIED = frozenset({"txBAD_SEQ", "txTOO_LATE"})
"""What a node says of a transaction that it has applied already."""

Run = Callable[..., Awaitable[Any]]
"""Calls a function that blocks, with its arguments, somewhere else, and returns what it returns."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What is known of a transaction: ``streams`` are the keys of the streams that its indexed events belong to.

    ``valid_until`` is Unix seconds, 0 where it was not relayed here.
    """

    hash: str
    state: State
    ledger: int | None = None
    streams: tuple[str, ...] = ()
    failure: Failure | None = None
    valid_until: int = 0


class Relay:
    """Relays for one worker. ``run`` and ``write`` call storage functions outside of the event loop."""

    def __init__(
        self,
        storage: Storage,
        chain: ChainClient | None,
        passphrase: str,
        names: ErrorNames,
        migrated_from: Mapping[str, str],
        *,
        run: Run = asyncio.to_thread,
        write: Run = asyncio.to_thread,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._chain = chain
        self._passphrase = passphrase
        self._names = names
        self._migrated_from = migrated_from
        self._run = run
        self._write = write
        self._now = now
        self._pause = pause
        self._looks: ExpiringCache[str, Stored] = ExpiringCache(_LOOKS, lambda _: LOOK_SECONDS, clock=clock)

    async def submit(self, text: str, families: Mapping[str, str]) -> Fate:
        """Take a signed envelope (base64), hand it in, and return what is known of it then.

        ``families`` are those of the served contracts. What was taken before is not checked again. Raises the
        ``EnvelopeError`` that says why it is not relayed, ``AccountNotFoundError``, ``ChainUnavailableError``
        and what the storage raises; nothing was sent then.
        """
        envelope = parsed(text, self._passphrase)
        stored: Stored | None = await self._run(self._storage.read, partial(store.find, tx_hash=envelope.hash))
        if stored is not None and not (stored.refused and self._now() <= stored.valid_until):
            return await self._known(await self._continued(stored), families)
        check(envelope, families, self._now())
        chain = require_chain(self._chain)
        ledger, entries = await account_entries(chain, envelope.accounts)
        check_signatures(envelope, {account: entry.signers for account, entry in entries.items()})
        now = int(self._now())
        if stored is not None:  # refused by a node before: perhaps the account has more by now
            await self._write(self._storage.write, partial(store.reopen, tx_hash=envelope.hash, now=now))
        stored = await self._write(
            self._storage.write, partial(store.accept, envelope=envelope, ledger=ledger, now=now)
        )
        if stored.state is State.PENDING:
            with suppress(TimeoutError):  # it is stored: whoever asks for it has it handed in again
                async with asyncio.timeout(HAND_IN_SECONDS):
                    stored = await self._hand_in(stored, TRIES, first=True)
        return await self._known(stored, families)

    async def look(self, tx_hash: str, families: Mapping[str, str]) -> Fate | None:
        """Return what is known of a transaction by its hash (64 hex digits), None where nothing is.

        ``families`` are those of the served contracts. The chain is asked for one that is pending, by a worker once
        a second at the most; that it cannot be asked leaves it pending. Raises what the storage raises.
        """
        stored: Stored | None = await self._run(self._storage.read, partial(store.find, tx_hash=tx_hash))
        found = await self._indexed(tx_hash, families)
        if stored is None:  # not relayed here; only what succeeded has published events
            return Fate(tx_hash, State.SUCCESS, found.ledger, found.streams) if found is not None else None
        if stored.state is State.PENDING or stored.refused:
            if found is not None:
                stored = await self._finished(stored, State.SUCCESS, ledger=found.ledger)
            elif stored.state is State.PENDING or self._now() <= stored.valid_until:
                stored = await self._looks.get(tx_hash, partial(self._followed, stored))
        return self._fate(stored, found, families)

    # --- handing in -----------------------------------------------------------------------------

    async def _continued(self, stored: Stored) -> Stored:
        """Hand an envelope that comes again in again, where that may help."""
        return await self._hand_in(stored) if self._may_be_sent(stored) else stored

    def _may_be_sent(self, stored: Stored) -> bool:
        now = self._now()
        if stored.state is not State.PENDING or now > stored.valid_until or self._chain is None:
            return False
        return stored.sent_at is None or now - stored.sent_at >= RESEND_SECONDS

    async def _hand_in(self, stored: Stored, tries: int = 1, *, first: bool = False) -> Stored:
        """Hand an envelope in; return it as it is stored then. That nobody answers leaves it pending.

        ``first``: it was never handed in before, as far as anybody knows.
        """
        for attempt in range(tries):
            if attempt:
                await self._pause(TRY_AGAIN_SECONDS)
            sent = await self._sent(stored)
            if sent is None:
                return stored
            if sent.status is SendStatus.ERROR:
                return await self._refused(stored, sent, first=first)
            if sent.status is not SendStatus.TRY_AGAIN_LATER:
                return await self._noted(stored)
        logger.info("transaction {}: the node takes none now; it is handed in again when asked for", stored.hash)
        return stored

    async def _sent(self, stored: Stored) -> Sent | None:
        chain = require_chain(self._chain)
        try:
            return await chain.send(stored.envelope)
        except SourceUnavailableError as error:  # it may have been taken all the same
            logger.warning("transaction {}: nobody answered when it was handed in: {}", stored.hash, error)
        except (SourceError, XdrError) as error:
            logger.warning("transaction {}: it could not be handed in: {}", stored.hash, error)
        return None

    async def _noted(self, stored: Stored) -> Stored:
        note = partial(store.note_sent, tx_hash=stored.hash, now=int(self._now()))
        noted: Stored | None = await self._write(self._storage.write, note)
        return noted or stored

    async def _refused(self, stored: Stored, sent: Sent, *, first: bool) -> Stored:
        """Store that a node refused it, unless a ledger has it.

        One that was applied is refused when it comes again, perhaps by a node that is ahead of the one that is asked
        for its fate. So what may mean that is believed the first time only; later the ledgers decide, or the clock.
        """
        try:
            known = await require_chain(self._chain).transaction(stored.hash)
        except (SourceError, XdrError) as error:
            logger.warning("transaction {}: refused, and its fate cannot be asked for: {}", stored.hash, error)
            return stored  # pending: whoever asks next finds out
        if known.status is not TransactionStatus.NOT_FOUND:
            return await self._in_ledger(stored, known)
        failed = failure_of(sent.result)
        if not first and failed.code in _SAID_OF_APPLIED:
            return await self._noted(stored)
        return await self._finished(stored, State.FAILED, result=sent.result, failed=failed)

    # --- following ------------------------------------------------------------------------------

    async def _followed(self, stored: Stored, tx_hash: str) -> Stored:
        """Ask the chain for a pending transaction, and hand it in again where that may help."""
        if self._chain is None:
            return stored
        try:
            known = await self._chain.transaction(tx_hash)
        except (SourceError, XdrError) as error:
            logger.warning("transaction {}: its fate cannot be asked for: {}", tx_hash, error)
            return stored
        if known.status is not TransactionStatus.NOT_FOUND:
            return await self._in_ledger(stored, known)
        if known.latest_closed_at > stored.valid_until and stored.state is State.PENDING:
            # only a node that has all ledgers since it was accepted can say that it is in none
            if known.oldest > stored.accepted_ledger + 1:
                return stored
            return await self._finished(stored, State.FAILED, failed=failure(EXPIRED))
        if self._may_be_sent(stored):
            return await self._hand_in(stored)
        return stored

    async def _in_ledger(self, stored: Stored, known: ChainTransaction) -> Stored:
        if known.status is TransactionStatus.SUCCESS:
            return await self._finished(stored, State.SUCCESS, ledger=known.ledger, result=known.result)
        failed = await self._why(known)
        return await self._finished(stored, State.FAILED, ledger=known.ledger, result=known.result, failed=failed)

    async def _why(self, known: ChainTransaction) -> Failure:
        """Return why a transaction failed in its ledger: the network's code, and the contract's error in words."""
        said = failure_of(known.result)
        error = contract_error(known.events)
        if error is None:
            return said
        name = await self._names.error_name(error.contract, error.code) if error.contract is not None else None
        return Failure(said.code, described(error, name))

    async def _finished(self, stored: Stored, state: State, **more: Any) -> Stored:
        finish = partial(store.finish, tx_hash=stored.hash, state=state, now=int(self._now()), **more)
        try:
            finished: Stored | None = await self._write(self._storage.write, finish)
        except StellarStreamError as error:  # whoever asks next finds it out again
            logger.warning("transaction {}: what became of it is not stored: {}", stored.hash, error)
            finished = None
        if finished is not None:
            return finished
        return replace(stored, state=state, ledger=more.get("ledger"), failure=more.get("failed"))

    async def _known(self, stored: Stored, families: Mapping[str, str]) -> Fate:
        found = await self._indexed(stored.hash, families) if stored.state is State.SUCCESS else None
        return self._fate(stored, found, families)

    def _fate(self, stored: Stored, found: Indexed | None, families: Mapping[str, str]) -> Fate:
        streams: tuple[str, ...] = ()
        if stored.state is State.SUCCESS:
            streams = found.streams if found is not None else ()
            if not streams and is_silent(families.get(stored.contract, ""), stored.function):
                streams = self._named(stored)
        return Fate(stored.hash, stored.state, stored.ledger, streams, stored.failure, stored.valid_until)

    def _named(self, stored: Stored) -> tuple[str, ...]:
        """Return the stream that a call names, which publishes nothing of it."""
        envelope = parsed(b2a_base64(stored.envelope, newline=False).decode(), self._passphrase)
        stream_id = decode_native(envelope.arguments[0]) if envelope.arguments else None
        return (stream_key(stored.contract, stream_id),) if isinstance(stream_id, int) else ()

    async def _indexed(self, tx_hash: str, families: Mapping[str, str]) -> Indexed | None:
        found: Indexed | None = await self._run(indexed, self._storage, tx_hash, families, self._migrated_from)
        return found
