"""The ``soroban-rpc`` chain client: the endpoints of ``rpc_url`` asked for the chain's present state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TypeVar

from stellarstream_core.chain import (
    ChainTransaction,
    LedgerEntries,
    LedgerEntry,
    Sent,
    Simulation,
    TransactionStatus,
)
from stellarstream_core.endpoints.address import printable
from stellarstream_core.endpoints.http import Transport
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import SourceError, SourceUnavailableError
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.settings import Settings
from stellarstream_core.xdr.ledger import envelope_hash
from stellarstream_soroban_rpc.chain_endpoint import ChainEndpoint
from stellarstream_soroban_rpc.chain_sending import Handing
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.entries import MOST_KEYS
from stellarstream_soroban_rpc.failures import AttemptError, LaggingError, TimedOutError
from stellarstream_soroban_rpc.pool import NoneUsableError, RpcPool
from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings

T = TypeVar("T")

_ATTEMPTS_IN_TIME = 3
"""One silent endpoint may take that part of the time: two others still get their turn."""
_GIVE_UP = 0.8
"""The part of the time after which no new attempt begins, so that the last failure can be told."""
_BACKOFF, _MAX_BACKOFF = 0.25, 2.0
_OTHERS = 0.1
"""The part of the time in which other endpoints may say that they know a transaction which the first does not."""


class Method(StrEnum):
    """What is asked. An endpoint that lacks one of them may have the others, so each has its own pool."""

    ENTRIES = "getLedgerEntries"
    SIMULATE = "simulateTransaction"
    SEND = "sendTransaction"
    TRANSACTION = "getTransaction"


class SorobanRpcChainClient:
    """Asks the chain as it is now. Implements the ``ChainClient`` protocol.

    Somebody waits for the answer, so that retries are as many as fit into ``chain_seconds`` and no more.
    """

    name = SECTION

    def __init__(self, settings: Settings, timing: Timing | None = None) -> None:
        own = settings.section(SorobanRpcSettings)
        self._seconds = own.chain_seconds
        self._passphrase = settings.passphrase
        self._closed = False
        self._timing = timing = timing or Timing()
        self._transport = Transport(
            max_in_flight=own.chain_in_flight,
            timeout_seconds=min(own.timeout_seconds, own.chain_seconds / _ATTEMPTS_IN_TIME),
            max_response_bytes=own.max_response_bytes,
            timing=timing,
        )
        hurried = own.model_copy(
            update={
                "retry_seconds": min(own.retry_seconds, own.chain_seconds * _GIVE_UP),
                "backoff_seconds": min(own.backoff_seconds, _BACKOFF),
                "max_backoff_seconds": min(own.max_backoff_seconds, _MAX_BACKOFF),
            }
        )
        self._pools: dict[Method, RpcPool[ChainEndpoint]] = {
            method: RpcPool(
                [ChainEndpoint(RpcClient(url, self._transport), settings.passphrase) for url in settings.rpc_urls],
                hurried,
                timing,
            )
            for method in Method
        }

    async def ledger_entries(self, keys: Sequence[bytes]) -> LedgerEntries:
        """Return the entries of these keys (XDR of ``LedgerKey``), keys that do not exist left out.

        More than 200 keys take several requests, each answered no earlier in the chain than the one before:
        a node that is behind what was answered already is passed over. Raises ``SourceError``.
        """
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            raise ValueError("no key was given to ask for")
        ledger = newest = 0
        found: dict[bytes, LedgerEntry] = {}
        async with self._in_time(Method.ENTRIES):
            for begin in range(0, len(wanted), MOST_KEYS):
                answer = await self._ask_entries(wanted[begin : begin + MOST_KEYS], newest)
                newest = answer.ledger
                ledger = ledger or answer.ledger
                found |= answer.entries
        return LedgerEntries(ledger, found)

    async def simulate(self, envelope: bytes) -> Simulation:
        """Return what a transaction would do; one that would fail is an answer, too. Raises ``SourceError``.

        A failure that is not the contract's (``HostError``) may be the node's own: it counts once the other
        endpoints had their turn. An ``error`` has at most 16,000 characters.
        """
        doubted: set[ChainEndpoint] = set()

        async def question(endpoint: ChainEndpoint) -> Simulation:
            answer = await endpoint.simulate(envelope)
            if answer.error is None or answer.error.startswith("HostError") or endpoint in doubted:
                return answer
            doubted.add(endpoint)
            if doubted.issuperset(self._pools[Method.SIMULATE].usable):
                return answer
            raise DoubtfulError(f"{endpoint.shown} failed to simulate: {printable(answer.error)}")

        async with self._in_time(Method.SIMULATE):
            return await self._ask(Method.SIMULATE, question)

    async def send(self, envelope: bytes) -> Sent:
        """Hand in a signed transaction; after a failure the same is handed in again, here or elsewhere.

        See ``ChainClient.send`` for what an answer after a failure means. Raises ``SourceError``:
        ``SourceUnavailableError`` with a word of it where the transaction may have been taken, and
        ``XdrError`` where the bytes are no envelope.
        """
        tx_hash = envelope_hash(envelope, self._passphrase).hex()
        handing = Handing()

        async def question(endpoint: ChainEndpoint) -> Sent:
            return await handing.attempt(endpoint.send(envelope, tx_hash))

        try:
            async with self._in_time(Method.SEND):
                return handing.meaning(await self._ask(Method.SEND, question))
        except SourceError as error:
            raise handing.failure(error) from None

    async def transaction(self, tx_hash: str) -> ChainTransaction:
        """Return what became of a transaction, by its hash (64 hex digits). Raises ``SourceError``.

        Where one endpoint does not know it, all the others are asked as well: one may be behind, or keep
        less. That nobody knows it is true for the ledgers that the answer names.
        """
        tx_hash = tx_hash.lower()
        asked: ChainEndpoint | None = None

        async def question(endpoint: ChainEndpoint) -> ChainTransaction:
            nonlocal asked
            asked = endpoint
            return await endpoint.transaction(tx_hash)

        async with self._in_time(Method.TRANSACTION):
            answer = await self._ask(Method.TRANSACTION, question)
            if answer.status is not TransactionStatus.NOT_FOUND:
                return answer
            pool = self._pools[Method.TRANSACTION]
            now = self._timing.now()
            others = [one for one in pool.usable if one is not asked and one.cooling_until <= now]
            answers = [answer, *filter(None, await asyncio.gather(*(self._also(one, tx_hash) for one in others)))]
        known = [one for one in answers if one.status is not TransactionStatus.NOT_FOUND]
        return known[0] if known else unknown_in_all(answers)

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        self._closed = True
        await self._transport.close()

    # --- asking -----------------------------------------------------------------------------

    async def _ask_entries(self, keys: Sequence[bytes], newest: int) -> LedgerEntries:
        async def question(endpoint: ChainEndpoint) -> LedgerEntries:
            answer = await endpoint.ledger_entries(keys)
            if answer.ledger < newest:
                raise LaggingError(f"{endpoint.shown} is at ledger {answer.ledger}, and {newest} was answered already.")
            return answer

        return await self._ask(Method.ENTRIES, question)

    async def _ask(self, method: Method, question: Callable[[ChainEndpoint], Awaitable[T]]) -> T:
        async def unless_closed(endpoint: ChainEndpoint) -> T:
            if self._closed:
                raise SourceUnavailableError("The chain client is closed.")
            return await question(endpoint)

        return await self._pools[method].ask(unless_closed, LAST_LEDGER)

    async def _also(self, endpoint: ChainEndpoint, tx_hash: str) -> ChainTransaction | None:
        """Return what another endpoint says of a transaction, None where it does not answer soon."""
        pool, began = self._pools[Method.TRANSACTION], self._timing.now()
        try:
            async with asyncio.timeout(self._seconds * _OTHERS):
                await endpoint.check()
                if endpoint.unusable is not None:
                    return None
                answer = await endpoint.transaction(tx_hash)
        except TimeoutError:
            pool.blame(endpoint, TimedOutError(f"{endpoint.shown} did not answer getTransaction soon."), began)
        except AttemptError as error:
            pool.blame(endpoint, error, began)
        else:
            pool.served(endpoint)
            return answer
        return None

    @asynccontextmanager
    async def _in_time(self, method: Method) -> AsyncIterator[None]:
        """Bound what is asked inside, and say what kept an answer away."""
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise SourceUnavailableError(
                f"No Soroban RPC endpoint answered {method} within {self._seconds:g} seconds."
            ) from None
        except NoneUsableError as none:
            raise SourceUnavailableError(none.detail, help="Check 'rpc_url' and 'network' in the settings.") from None


class DoubtfulError(AttemptError):
    """A simulation failed in a way that may be the node's fault: another one may do better."""

    endpoint_fault = False


def unknown_in_all(answers: Sequence[ChainTransaction]) -> ChainTransaction:
    """Return the answer of several nodes that do not know a transaction: true for the ledgers of all of them.

    From the newest node's ledgers back, as far as those of the others join them without a gap.
    """
    ordered = sorted(answers, key=lambda one: (one.latest, one.latest_closed_at), reverse=True)
    newest, oldest = ordered[0], ordered[0].oldest
    for answer in ordered[1:]:
        if answer.latest >= oldest - 1:
            oldest = min(oldest, answer.oldest)
    return ChainTransaction(TransactionStatus.NOT_FOUND, newest.latest, newest.latest_closed_at, oldest)
