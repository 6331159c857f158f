"""The relay: takes signed envelopes, hands them in, and finds out what became of them.

An envelope is stored before it is sent, so a crash in between loses nothing: every worker goes through those that
wait, and whoever asks for one has it handed in again while its time lasts. Handing in twice is harmless, the chain
applies it once. What a node says when it is handed in is no last word, only what
:mod:`~stellarstream_nebula.transactions.fate` proves.
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
from stellarstream_core.api.flights import Flights
from stellarstream_core.chain import ChainClient, SendStatus, Sent
from stellarstream_core.errors import SourceError, SourceUnavailableError, StellarStreamError, XdrError
from stellarstream_core.storage import Storage
from stellarstream_core.xdr.scval import decode_native
from stellarstream_nebula.model import stream_key
from stellarstream_nebula.transactions import store
from stellarstream_nebula.transactions.calls import is_silent, is_telling
from stellarstream_nebula.transactions.chain import account_entries, require_chain
from stellarstream_nebula.transactions.envelope import Envelope, check, check_signatures, parsed
from stellarstream_nebula.transactions.errors import AlreadyAppliedError
from stellarstream_nebula.transactions.fate import Proof, proven
from stellarstream_nebula.transactions.indexed import Indexed, indexed, is_absent
from stellarstream_nebula.transactions.refusals import ErrorNames
from stellarstream_nebula.transactions.results import UNHEARD, Failure, failure, failure_of
from stellarstream_nebula.transactions.store import Noted, State, Stored
from stellarstream_nebula.transactions.threads import in_thread

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

LEDGERS_BEFORE = 14_400
"""How far back one may have been applied whose sequence number was used up when it came: a day, and no
transaction that is relayed ends later than a day from now."""

_LOOKS = 4_096

Run = Callable[..., Awaitable[Any]]
"""Calls a function that blocks, with its arguments, somewhere else, and returns what it returns."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What is known of a transaction: ``streams`` are the keys of the streams that its indexed events belong to.

    ``failure`` says why it failed, or, of one that is pending, why a node refused it when it was handed in last.
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
        self._run = run
        self._write = write
        self._now = now
        self._pause = pause
        self._submitting: Flights[tuple[bytes, object], Fate] = Flights()
        self._looks: ExpiringCache[str, Stored] = ExpiringCache(_LOOKS, lambda _: LOOK_SECONDS, clock=clock)

    async def submit(
        self, text: str, families: Mapping[str, str], noted: Noted | None = None, *, fresh: bool = False
    ) -> Fate:
        """Take a signed envelope (base64), hand it in, and return what is known of it then.

        ``families`` are those of the served contracts. What was taken before is not checked again, and what comes
        several times at once is taken once: who comes meanwhile gets the first one's answer.

        ``noted`` writes what the caller has to say of it, in the transaction that stores the envelope and before it
        is sent; for one that is stored already, whatever became of it, in a transaction of its own. Where it raises,
        nothing is stored and nothing sent by this call. Whoever has something to note shares no answer: each one's
        ``noted`` runs, once. ``fresh``: what the chain has applied already, or can apply no more, is refused, for an
        envelope is public from its ledger on, and whoever hands it in then proves nothing by it.

        Raises the ``EnvelopeError`` that says why it is not relayed, ``AccountNotFoundError``,
        ``ChainUnavailableError``, what the storage raises and what ``noted`` raises; nothing was sent then.
        """
        envelope = await in_thread(parsed, text, self._passphrase)
        # not by its hash: another one of the same hash may have other signatures, and another answer
        key = (envelope.raw, object() if noted is not None or fresh else None)
        return await self._submitting.join(key, partial(self._submitted, envelope, families, noted, fresh))

    async def _submitted(
        self, envelope: Envelope, families: Mapping[str, str], noted: Noted | None, fresh: bool
    ) -> Fate:
        stored: Stored | None = await self._run(self._storage.read, partial(store.find, tx_hash=envelope.hash))
        if stored is not None:
            if fresh:
                await self._refuse_applied(envelope, stored)
            if noted is not None:
                await self._write(self._storage.write, noted)
            return await self._known(await self._continued(stored), families)
        check(envelope, families, self._now())
        ledger = await self._checked_by_chain(envelope, fresh=fresh)
        stored = await self._write(
            self._storage.write,
            partial(store.accept, envelope=envelope, ledger=ledger, now=int(self._now()), noted=noted),
        )
        if stored.state is State.PENDING:
            with suppress(TimeoutError):  # it is stored: whoever asks for it has it handed in again
                async with asyncio.timeout(HAND_IN_SECONDS):
                    stored = await self._hand_in(stored, TRIES)
        return await self._known(stored, families)

    async def _refuse_applied(self, envelope: Envelope, stored: Stored) -> None:
        if stored.state is State.PENDING:
            _, entries = await account_entries(require_chain(self._chain), [envelope.account])
            if entries[envelope.account].sequence < envelope.sequence:
                return
        raise _applied(envelope)

    async def _checked_by_chain(self, envelope: Envelope, *, fresh: bool) -> int:
        """Check who signed, as the chain has the accounts now; return a ledger in or before which it cannot be."""
        ledger, entries = await account_entries(require_chain(self._chain), envelope.accounts)
        await in_thread(check_signatures, envelope, {account: entry.signers for account, entry in entries.items()})
        if entries[envelope.account].sequence < envelope.sequence:  # a ledger that had it would have used the number up
            return ledger
        if fresh:
            raise _applied(envelope)
        return max(1, ledger - LEDGERS_BEFORE)

    async def look(self, tx_hash: str, families: Mapping[str, str]) -> Fate | None:
        """Return what is known of a transaction by its hash (64 hex digits), None where nothing is.

        ``families`` are those of the served contracts. The chain is asked for one that is pending, by a worker once
        a second at the most; that it cannot be asked leaves it pending. Raises what the storage raises.
        """
        stored: Stored | None = await self._run(self._storage.read, partial(store.find, tx_hash=tx_hash))
        found = await self._indexed(tx_hash, families)
        if stored is None:  # not relayed here; only what succeeded has published events
            return Fate(tx_hash, State.SUCCESS, found.ledger, found.streams) if found is not None else None
        if found is not None and stored.ledger is None:
            stored = await self._finished(stored, State.SUCCESS, ledger=found.ledger)
        elif stored.state is State.PENDING:
            telling = is_telling(families.get(stored.contract, ""), stored.function)
            stored = await self._looks.get(tx_hash, partial(self._followed, stored, telling=telling))
        return await self._fate(stored, found, families)

    async def waiting(self, over: int, most: int, after: store.Place | None) -> list[store.Place]:
        """Return up to ``most`` that wait for a ledger and that nobody has handed in of late, those that end first.

        They are those behind the place ``after``, also those whose time has been over for ``over`` seconds at the
        most: what became of them is to be found out. Raises what the storage raises.
        """
        now = int(self._now())
        before = now - int(RESEND_SECONDS)
        find = partial(store.waiting, ends=now - over, untouched_since=before, after=after, most=most)
        found: list[store.Place] = await self._run(self._storage.read, find)
        return found

    # --- handing in -----------------------------------------------------------------------------

    async def _continued(self, stored: Stored) -> Stored:
        """Hand an envelope that comes again in again, where that may help: at once where a node refused it."""
        return await self._hand_in(stored) if self._may_be_sent(stored, refused=True) else stored

    def _may_be_sent(self, stored: Stored, *, refused: bool = False) -> bool:
        now = self._now()
        if stored.state is not State.PENDING or now > stored.valid_until or self._chain is None:
            return False
        return stored.sent_at is None or now - stored.sent_at >= RESEND_SECONDS or (refused and stored.refused)

    async def _hand_in(self, stored: Stored, tries: int = 1) -> Stored:
        """Hand an envelope in; return it as it is stored then. That nobody answers leaves it as it is."""
        for attempt in range(tries):
            if attempt:
                await self._pause(TRY_AGAIN_SECONDS)
            sent = await self._sent(stored)
            if sent is None:
                return stored
            if sent.status is SendStatus.ERROR:
                return await self._refused(stored, sent)
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

    async def _noted(self, stored: Stored, refused: Failure | None = None) -> Stored:
        """Note that a node has it, or why it refused it."""
        note: Callable[..., Stored | None] = store.note_sent
        if refused is not None:
            note = partial(store.note_refused, why=refused)
        noted: Stored | None = await self._write(
            self._storage.write, partial(note, tx_hash=stored.hash, now=int(self._now()))
        )
        return noted or stored

    async def _refused(self, stored: Stored, sent: Sent) -> Stored:
        """Note that a node refused it, and ask for its fate.

        Another node may have taken it, another worker may have handed it in, and one that was applied is refused
        when it comes again: so it stays pending until something else proves that it can be in no ledger.
        """
        return await self._asked(await self._noted(stored, await in_thread(failure_of, sent.result)))

    # --- following ------------------------------------------------------------------------------

    async def _followed(self, stored: Stored, _tx_hash: str, *, telling: bool) -> Stored:
        """Ask for the fate of a pending transaction, and hand it in again where that may help."""
        stored = await self._asked(stored, telling=telling)
        return await self._hand_in(stored) if self._may_be_sent(stored) else stored

    async def _asked(self, stored: Stored, *, telling: bool = False) -> Stored:
        """Ask the chain for the fate of a pending transaction, and where nodes cannot tell it any more, the index.

        ``telling``: its call cannot succeed without an event of its contract.
        """
        proof: Proof | None = None
        if self._chain is not None:
            try:
                proof = await proven(stored, self._chain, self._names)
            except (SourceError, XdrError) as error:
                logger.warning("transaction {}: its fate cannot be asked for: {}", stored.hash, error)
        if proof is not None and proof.state is not State.PENDING:
            return await self._finished(stored, proof.state, ledger=proof.ledger, result=proof.result, failed=proof.why)
        if (
            telling
            and self._now() > stored.valid_until
            and await self._run(
                is_absent, self._storage, stored.hash, stored.contract, stored.accepted_ledger, stored.valid_until
            )
        ):
            return await self._finished(stored, State.FAILED, failed=failure(UNHEARD))
        return replace(stored, failure=proof.why) if proof is not None and proof.why is not None else stored

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
        return await self._fate(stored, found, families)

    async def _fate(self, stored: Stored, found: Indexed | None, families: Mapping[str, str]) -> Fate:
        streams: tuple[str, ...] = ()
        if stored.state is State.SUCCESS:
            streams = found.streams if found is not None else ()
            if not streams and is_silent(families.get(stored.contract, ""), stored.function):
                streams = await in_thread(self._named, stored)
        return Fate(stored.hash, stored.state, stored.ledger, streams, stored.failure, stored.valid_until)

    def _named(self, stored: Stored) -> tuple[str, ...]:
        """Return the stream that a call names, which publishes nothing of it."""
        envelope = parsed(b2a_base64(stored.envelope, newline=False).decode(), self._passphrase)
        stream_id = decode_native(envelope.arguments[0]) if envelope.arguments else None
        return (stream_key(stored.contract, stream_id),) if isinstance(stream_id, int) else ()

    async def _indexed(self, tx_hash: str, families: Mapping[str, str]) -> Indexed | None:
        found: Indexed | None = await self._run(indexed, self._storage, tx_hash, tuple(families))
        return found


def _applied(envelope: Envelope) -> AlreadyAppliedError:
    return AlreadyAppliedError(f"{envelope.account} has used up the sequence number of this transaction.")
