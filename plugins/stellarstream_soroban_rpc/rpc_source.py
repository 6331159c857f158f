"""What the sources of this plugin share: their endpoints as one, identity, reach and hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from loguru import logger

from stellarstream_core.endpoints.http import Transport
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import SourceUnavailableError, SourceUnusableError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Reach, Reason, SourceIdentity, Unserved
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.failures import AttemptError
from stellarstream_soroban_rpc.pool import NoneUsableError, NotHeldError, RpcPool
from stellarstream_soroban_rpc.settings import SorobanRpcSettings

ALL_RANGES_EVERY = 30.0
"""Seconds after which every endpoint is asked for its range, not only the preferred one: it may be stale."""

ATTEMPTS_AT_START = 6
"""Where nothing listens and never did, so many attempts are made, some ten seconds: the address may be wrong."""


E = TypeVar("E", bound=Endpoint)


class RpcSource(Generic[E]):
    """The endpoints of ``rpc_url`` as one; subclasses read them. Implements the ``Source`` protocol but ``windows``.

    ``help_if_unusable`` says what to do where no endpoint can serve.
    """

    name: str
    help_if_unusable: ClassVar[str]

    def __init__(
        self,
        settings: Settings,
        endpoint: Callable[[RpcClient, Settings], E],
        timing: Timing | None = None,
    ) -> None:
        own = settings.section(SorobanRpcSettings)
        self._timing = timing or Timing()
        self._transport = Transport(
            max_in_flight=own.max_in_flight,
            timeout_seconds=own.timeout_seconds,
            max_response_bytes=own.max_response_bytes,
            timing=self._timing,
        )
        endpoints = [endpoint(RpcClient(url, self._transport), settings) for url in settings.rpc_urls]
        self._pool = RpcPool(endpoints, own, self._timing)

    async def identity(self) -> SourceIdentity:
        """Check every endpoint and say what the first usable one is.

        Raises ``SourceUnusableError`` where none can serve (no endpoint, or none of the kind needed),
        ``SourceUnavailableError`` where none answers. Where all that answer are of another network
        its passphrase is returned, for the caller to compare.
        """
        try:
            await self._ranges()
        except NoneUsableError as none:
            first = next(iter(self._pool.endpoints), None)
            if first is None or not first.foreign:
                raise SourceUnusableError(none.detail, help=self.help_if_unusable) from None
            return self._identity_of(first)
        return self._identity_of(next(e for e in self._pool.usable if e.checked))

    def _identity_of(self, endpoint: Endpoint) -> SourceIdentity:
        warnings = []
        for other in self._pool.endpoints:
            if other.unusable is not None and other is not endpoint:
                warnings.append(f"{other.unusable[1]} It is not used.")
            elif not other.checked:
                warnings.append(f"{other.shown} does not answer yet; it is checked before it is used.")
            elif other.warning:
                warnings.append(other.warning)
        return SourceIdentity(
            endpoint.passphrase or "",
            endpoint.version or "",
            endpoint.protocol,
            tuple(e.shown for e in self._pool.endpoints),
            tuple(warnings),
        )

    async def reach(self) -> Reach:
        """Return the oldest and latest ledger that any endpoint has; ``latest`` never goes back.

        The ledgers within ``margin`` of the oldest are included: they are handed over only after
        the oldest was read again and did not pass them.
        """
        try:
            await self._ranges()
        except NoneUsableError as none:
            raise SourceUnusableError(none.detail) from None
        newest = self._pool.newest
        if newest is None:
            raise SourceUnavailableError("No Soroban RPC endpoint told which ledgers it has.")
        latest = self._pool.latest
        closed_at = newest.latest_closed_at if newest.latest == latest else None
        return Reach(self._pool.oldest, latest, closed_at, newest.ledger_seconds)

    async def _ranges(self) -> None:
        """Learn what the endpoints have: from the preferred one, and now and then from all."""
        pool = self._pool
        recent = pool.ranges_read_at is not None and self._timing.now() - pool.ranges_read_at < ALL_RANGES_EVERY
        if recent:
            try:
                await pool.ask(Endpoint.read_range, pool.latest)
            except NotHeldError as error:
                logger.debug("Asking every endpoint: {}", error)
            else:
                return
        await pool.read_ranges(most_unreachable=None if pool.latest else ATTEMPTS_AT_START)

    async def ledger_hash(self, sequence: int) -> str | None:
        """Return the ledger's header hash (64 hex digits), or None where no endpoint has it."""

        async def ask(endpoint: Endpoint) -> str | None:
            return await endpoint.ledger_hash(sequence)

        try:
            return await self._pool.ask(ask, sequence)
        except NotHeldError:
            return None
        except NoneUsableError as none:
            raise SourceUnusableError(none.detail) from None

    async def _held(self, wanted: LedgerRange, scope: Scope) -> tuple[list[Unserved], LedgerRange | None]:
        """Return give-ups for what no endpoint has, and the rest of the range, if there is any."""
        try:
            if wanted.last > self._pool.latest or wanted.first < self._pool.oldest:
                await self._ranges()
            if wanted.first < self._pool.oldest:
                # one word is not enough: several nodes may answer at one address
                await self._pool.read_ranges()
        except NoneUsableError as none:
            return [Unserved(wanted, scope, none.reason, none.detail)], None
        except AttemptError as error:
            if not self._pool.latest:
                return [Unserved(wanted, scope, error.reason, error.message)], None
        oldest, latest = self._pool.oldest, self._pool.latest
        gaps = []
        if wanted.first < oldest:
            gone = LedgerRange(wanted.first, min(wanted.last, oldest - 1))
            gaps.append(Unserved(gone, scope, Reason.OUT_OF_RETENTION, f"The oldest ledger that is kept is {oldest}."))
        if wanted.last > latest:
            future = LedgerRange(max(wanted.first, latest + 1), wanted.last)
            gaps.append(Unserved(future, scope, Reason.BEYOND_TIP, f"The latest ledger is {latest}."))
        return gaps, wanted.overlap(LedgerRange(oldest, latest))

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        await self._transport.close()
