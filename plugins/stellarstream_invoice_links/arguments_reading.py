"""The calls of transactions that may pay a link, read from the chain while following: no event tells all they say.

Nodes keep transactions for some days. What one does not keep any more is asked for again once a day, in case another
node does; what it does not have yet soon, and then at growing distances. One that does not answer ends the round.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from loguru import logger
from peewee import Database

from stellarstream_core.chain import ChainClient, TransactionStatus
from stellarstream_core.errors import SourceError, SourceUnavailableError, StellarStreamError
from stellarstream_core.projections import FollowUp
from stellarstream_core.xdr.ledger import envelope_hash
from stellarstream_invoice_links.creations import learn_call
from stellarstream_invoice_links.judging import Known
from stellarstream_invoice_links.links import take_turn
from stellarstream_invoice_links.settlement import settle_creations
from stellarstream_nebula import bulk
from stellarstream_nebula.transactions.threads import in_thread

MOST_READ = 40
"""Transactions that are asked for in one round: half of them the newest, half those that wait longest."""
ASKED_AT_ONCE = 4
FIRST_DISTANCE, LAST_DISTANCE = 5, 3600
"""Seconds until a transaction is asked for again: after the first try, and at the most."""
UNREADABLE_DISTANCE = 86_400
"""Seconds until one is asked for again that is not kept any more."""
_MOST_TRIES = 1_000

Call = tuple[str, str, tuple[bytes, ...]]
"""Contract, function, arguments (XDR of ScVals)."""


class Wanted(NamedTuple):
    """A transaction whose call is wanted, with the ledger that it is in."""

    tx_hash: str
    ledger: int
    tries: int


class Learned(NamedTuple):
    """What came of asking. ``known`` None: nothing yet; the rest is what :func:`learn_call` takes."""

    tx_hash: str
    known: Known | None
    call: Call | None = None
    again_in: int = 0


@dataclass(slots=True)
class ArgumentsReader:
    """What is remembered between rounds. ``now`` gives Unix seconds."""

    now: Callable[[], float] = time.time
    _trouble: str | None = field(default=None)

    async def round(self, context: FollowUp) -> None:
        """Ask for some of the calls that are wanted, and settle what they make known."""
        chain = context.chain
        if chain is None:
            return
        find = partial(wanted_now, now=int(self.now()), most=MOST_READ)
        wanted: list[Wanted] = await context.run(context.storage.read, find)
        room, passphrase = asyncio.Semaphore(ASKED_AT_ONCE), context.settings.passphrase
        silent: list[SourceError] = []

        async def ask(one: Wanted) -> Learned | None:
            async with room:
                if silent:
                    return None
                try:
                    return await asked(chain, one, passphrase)
                except SourceUnavailableError as error:
                    silent.append(error)
                    return None

        answers = await asyncio.gather(*map(ask, wanted))
        learned = [one for one in answers if one is not None]
        if learned:
            await context.run(context.storage.write, partial(write_learned, learned=learned, now=self.now()))
        self._tell(silent[0] if silent else None)

    def _tell(self, error: SourceError | None) -> None:
        """Log that nobody answers, once until somebody does."""
        told = None if error is None else error.message
        if error is not None and told != self._trouble:
            logger.warning("the calls of payments cannot be read now: {}", error)
        self._trouble = told


async def asked(chain: ChainClient, wanted: Wanted, passphrase: str) -> Learned:
    """Ask for a transaction, and say what is known of its call then. Raises ``SourceUnavailableError``."""
    later = Learned(wanted.tx_hash, None, None, distance(wanted.tries))
    try:
        found = await chain.transaction(wanted.tx_hash)
    except SourceUnavailableError:
        raise
    except StellarStreamError as error:  # what it said cannot be right
        logger.warning("the call of {} cannot be read: {}", wanted.tx_hash, error)
        return later
    if found.status is TransactionStatus.NOT_FOUND and wanted.ledger < found.oldest:
        return Learned(wanted.tx_hash, Known.UNREADABLE, None, UNREADABLE_DISTANCE)
    if found.status is not TransactionStatus.SUCCESS or found.envelope is None:
        return later
    try:
        call = await in_thread(call_of, found.envelope, wanted.tx_hash, passphrase)
    except ValueError as error:
        logger.warning("the call of {} cannot be read: {}", wanted.tx_hash, error)
        return Learned(wanted.tx_hash, Known.UNREADABLE, None, UNREADABLE_DISTANCE)
    return Learned(wanted.tx_hash, Known.OTHER, call)


def distance(tries: int) -> int:
    """Return after how many seconds to ask again, when so many tries have come to nothing."""
    return min(FIRST_DISTANCE << min(tries, 20), LAST_DISTANCE)


def call_of(envelope: bytes, tx_hash: str, passphrase: str) -> Call | None:
    """Return the call of a transaction that the network applied, given the XDR of its envelope; None where it has none.

    It may be a fee bump: the call is that of the transaction inside. Who signed and what was authorized is not looked
    at, for the network has. Raises ``ValueError`` where it is another transaction's, or cannot be read.
    """
    from stellar_sdk import Address, xdr  # noqa: PLC0415 - 600 ms to import

    try:
        hashes = {envelope_hash(envelope, passphrase).hex()}
        outer = xdr.TransactionEnvelope.from_xdr_bytes(envelope)
        inner = outer
        if outer.fee_bump is not None:
            inner = xdr.TransactionEnvelope(xdr.EnvelopeType.ENVELOPE_TYPE_TX, v1=outer.fee_bump.tx.inner_tx.v1)
            hashes.add(envelope_hash(inner.to_xdr_bytes(), passphrase).hex())
        if tx_hash not in hashes:
            raise ValueError("the envelope is of another transaction")
        operations = inner.v1.tx.operations if inner.v1 is not None else []
        invoked = operations[0].body.invoke_host_function_op if len(operations) == 1 else None
        call = invoked.host_function.invoke_contract if invoked is not None else None
        if call is None:
            return None
        contract = Address.from_xdr_sc_address(call.contract_address).address
        function = call.function_name.sc_symbol.decode("ascii")
        return contract, function, tuple(argument.to_xdr_bytes() for argument in call.args)
    except ValueError:
        raise
    except Exception as error:  # the SDK raises whatever its parts raise at bytes that it does not know
        raise ValueError(f"the envelope cannot be read ({type(error).__name__})") from None


# --- the database -----------------------------------------------------------------------------------


def wanted_now(database: Database, now: int, most: int) -> list[Wanted]:
    """Return transactions to ask for at a moment (Unix seconds), each once."""
    sql = """
        SELECT tx_hash, ledger, tries FROM invoice_creations
        WHERE wanted = 1 AND next_try <= ? ORDER BY {} LIMIT ?
    """
    found: dict[str, Wanted] = {}
    for order in ("event_id DESC", "next_try, event_id"):
        for row in bulk.query(database, sql.format(order), (now, most // 2)):
            found.setdefault(row[0], Wanted(*row))
    return list(found.values())


def write_learned(database: Database, learned: Sequence[Learned], now: float) -> None:
    """Write what was learned of transactions' calls, and settle their creations."""
    take_turn(database)
    changed: list[str] = []
    for tx_hash, known, call, again_in in learned:
        if known is not None:
            changed += learn_call(database, tx_hash, call, known)
        if again_in:
            bulk.execute(
                database,
                """
                UPDATE invoice_creations SET next_try = ?, tries = CASE WHEN tries < ? THEN tries + 1 ELSE tries END
                WHERE tx_hash = ? AND known IN ('unknown', 'unreadable')
                """,
                (int(now) + again_in, _MOST_TRIES, tx_hash),
            )
    settle_creations(database, changed, now=now)
