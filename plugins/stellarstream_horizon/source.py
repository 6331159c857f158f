"""The ``horizon`` source: ledgers put together from the headers and transactions that Horizon servers hand out."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from loguru import logger

from stellarstream_core.endpoints.failures import AttemptError
from stellarstream_core.endpoints.http import Transport
from stellarstream_core.endpoints.pool import NoneUsableError, NotHeldError
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import SourceUnavailableError, SourceUnusableError
from stellarstream_core.ledger_windows import LedgerWindows
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Reach, Reason, SourceIdentity, Unserved, Window
from stellarstream_horizon.client import HorizonClient
from stellarstream_horizon.endpoints import Endpoint
from stellarstream_horizon.failures import WITHOUT_META, GoneError, NotFoundError
from stellarstream_horizon.pool import Pool
from stellarstream_horizon.settings import SECTION, HorizonSettings
from stellarstream_horizon.tip import TipStream
from stellarstream_horizon.windows import RangeReader

ALL_RANGES_EVERY = 30.0
"""Seconds after which every server is asked for its range, however well the tip is known: it may be stale."""

ATTEMPTS_AT_START = 6
"""Where nothing listens and never did, so many attempts are made, some ten seconds: the address may be wrong."""

FOLLOWING = 3
"""So many questions for the reach within ``FOLLOWING_SECONDS`` are somebody following the tip."""

FOLLOWING_SECONDS = 90.0


class HorizonSource:
    """Reads whole ledgers from the servers of ``horizon_url``. Implements the ``Source`` protocol."""

    name = SECTION

    def __init__(self, settings: Settings, timing: Timing | None = None) -> None:
        self._settings = settings
        self._own = own = settings.section(HorizonSettings)
        self._timing = timing or Timing()
        self._transport = Transport(
            max_in_flight=own.max_in_flight,
            timeout_seconds=own.timeout_seconds,
            max_response_bytes=own.max_response_bytes,
            timing=self._timing,
        )
        endpoints = [
            Endpoint(HorizonClient(url, self._transport), settings.passphrase, own.page_limit)
            for url in settings.horizon_urls
        ]
        self._pool = Pool(endpoints, own, self._timing)
        self._streams = [TipStream(endpoint, self._timing) for endpoint in endpoints]
        self._asked: deque[float] = deque(maxlen=FOLLOWING)
        self._links: dict[int, bytes] = {}

    # --- who and what -----------------------------------------------------------------------

    async def identity(self) -> SourceIdentity:
        """Check every server and say what the first usable one is.

        Raises ``SourceUnusableError`` where none can serve (no address, or none hands out
        ``result_meta_xdr``), ``SourceUnavailableError`` where none answers. Where all that answer
        are of another network its passphrase is returned, for the caller to compare.
        """
        try:
            await self._ranges()
        except NoneUsableError as none:
            endpoints = self._pool.endpoints
            foreign = next((endpoint for endpoint in endpoints if endpoint.foreign), None)
            if foreign is None or any(endpoint.without_meta for endpoint in endpoints):
                help = WITHOUT_META if endpoints else "Set horizon_url to the address of a Horizon server."
                raise SourceUnusableError(none.detail, help=help) from None
            return self._identity_of(foreign)
        return self._identity_of(next(e for e in self._pool.usable if e.checked))

    def _identity_of(self, endpoint: Endpoint) -> SourceIdentity:
        warnings = []
        for other in self._pool.endpoints:
            if other.unusable is not None and other is not endpoint:
                warnings.append(f"{other.unusable[1]} It is not used.")
            elif not other.checked:
                warnings.append(f"{other.shown} does not answer yet; it is checked before it is used.")
        return SourceIdentity(
            endpoint.passphrase,
            endpoint.version,
            endpoint.protocol,
            tuple(e.shown for e in self._pool.endpoints),
            tuple(warnings),
            self._settings.prove,
        )

    async def reach(self) -> Reach:
        """Return the oldest and latest ledger that any server has; ``latest`` never goes back.

        Asked again and again it is answered without a request, from a server's stream of ledgers.
        """
        now = self._timing.now()
        self._asked.append(now)
        known = self._pool.ranges_read_at is not None and now - self._pool.ranges_read_at < ALL_RANGES_EVERY
        if not known or not any(stream.fresh() for stream in self._streams):
            try:
                await self._ranges()
            except NoneUsableError as none:
                raise SourceUnusableError(none.detail, help=WITHOUT_META) from None
            if len(self._asked) == FOLLOWING and now - self._asked[0] < FOLLOWING_SECONDS:
                self._listen()
        newest = self._pool.newest
        if newest is None:
            raise SourceUnavailableError("No Horizon server told which ledgers it has.")
        latest = self._pool.latest
        closed_at = newest.latest_closed_at if newest.latest == latest else None
        return Reach(self._pool.oldest, latest, closed_at, newest.ledger_seconds)

    def _listen(self) -> None:
        """Have one server tell of its ledgers: the first that can be used and does stream."""
        if self._own.stream == "never" or any(stream.running for stream in self._streams):
            return
        now = self._timing.now()
        for stream in self._streams:
            endpoint = stream.endpoint
            if not stream.refused and endpoint.checked and endpoint.unusable is None and endpoint.cooling_until <= now:
                stream.start()
                return

    async def _ranges(self) -> None:
        """Learn what the servers have: from the preferred one, and now and then from all."""
        pool = self._pool
        recent = pool.ranges_read_at is not None and self._timing.now() - pool.ranges_read_at < ALL_RANGES_EVERY
        if recent:
            try:
                await pool.ask(Endpoint.read_range, pool.latest)
            except NotHeldError as error:
                logger.debug("Asking every server: {}", error)
            else:
                return
        await pool.read_ranges(most_unreachable=None if pool.latest else ATTEMPTS_AT_START)

    async def ledger_hash(self, sequence: int) -> str | None:
        """Return the ledger's header hash (64 hex digits), or None where no server has it.

        The header has this hash: the server's word alone is not taken.
        """

        async def ask(endpoint: Endpoint) -> str | None:
            try:
                return (await endpoint.ledger(sequence)).header.hash.hex()
            except (NotFoundError, GoneError):
                return None

        try:
            return await self._pool.ask(ask, sequence)
        except NotHeldError:
            return None
        except NoneUsableError as none:
            raise SourceUnusableError(none.detail, help=WITHOUT_META) from None

    # --- events -----------------------------------------------------------------------------

    async def windows(self, wanted: LedgerRange, scope: Scope) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted`` for each contract of ``scope``."""
        try:
            if wanted.last > self._pool.latest or wanted.first < self._pool.oldest:
                await self._ranges()
        except NoneUsableError as none:
            yield Unserved(wanted, scope, none.reason, none.detail)
            return
        except AttemptError as error:
            if not self._pool.latest:
                yield Unserved(wanted, scope, error.reason, error.message)
                return
        oldest, latest = self._pool.oldest, self._pool.latest
        if wanted.first < oldest:
            gone = LedgerRange(wanted.first, min(wanted.last, oldest - 1))
            yield Unserved(gone, scope, Reason.OUT_OF_RETENTION, f"The oldest ledger that is kept is {oldest}.")
        if wanted.last > latest:
            future = LedgerRange(max(wanted.first, latest + 1), wanted.last)
            yield Unserved(future, scope, Reason.BEYOND_TIP, f"The latest ledger is {latest}.")
        here = wanted.overlap(LedgerRange(oldest, latest))
        if here is None:
            return
        ledgers = LedgerWindows.by_settings(self.name, scope, self._settings)
        async with aclosing(RangeReader(self._pool, ledgers, self._links).run(here)) as items:
            async for item in items:
                yield item

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        for stream in self._streams:
            await stream.stop()
        await self._transport.close()
