"""The ``data-lake`` source: whole ledgers from files as Galexie exports them (SEP-54)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import ClassVar

from loguru import logger

from stellarstream_core.endpoints.failures import AttemptError
from stellarstream_core.endpoints.pool import NoneUsableError, Pool
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import (
    NetworkMismatchError,
    SourceUnavailableError,
    SourceUnusableError,
    XdrError,
)
from stellarstream_core.ledger_windows import LedgerWindows
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Reach, Reason, SourceIdentity, Unserved, Window
from stellarstream_data_lake.lake import Lake
from stellarstream_data_lake.load import Load
from stellarstream_data_lake.reading import LakeReader, header_of
from stellarstream_data_lake.settings import SECTION, DataLakeSettings
from stellarstream_data_lake.stores import open_store

ATTEMPTS_AT_START = 6
"""Where nothing listens and never did, so many attempts are made, some ten seconds: the address may be wrong."""

_OUT_OF_REACH = frozenset({Reason.OUT_OF_RETENTION, Reason.BEYOND_TIP})


class Lakes(Pool[Lake]):
    """The lakes of ``lake_url`` in order of preference."""

    kind: ClassVar[str] = "data lake"


class DataLakeSource:
    """Reads whole ledgers from the lakes of ``lake_url``. Implements the ``Source`` protocol."""

    name = SECTION

    def __init__(self, settings: Settings, timing: Timing | None = None) -> None:
        self._settings = settings
        self._own = settings.section(DataLakeSettings)
        self._timing = timing or Timing()
        self._threads = ThreadPoolExecutor(self._own.reader_threads, thread_name_prefix="lake")
        self._load = Load(self._own.in_flight, self._own.max_memory_bytes)
        stores = [open_store(url, self._own, self._timing) for url in settings.lake_urls]
        alike = Counter(store.shown for store in stores)
        lakes = []
        for number, store in enumerate(stores, 1):
            shown = store.shown if alike[store.shown] == 1 else f"{store.shown} (number {number} of lake_url)"
            lakes.append(Lake(store, settings, self._own, self._timing, self._threads, shown))
        self._pool = Lakes(lakes, self._own, self._timing)

    # --- what they are ---------------------------------------------------------------------

    async def identity(self) -> SourceIdentity:
        """Check every lake and say what the first usable one is.

        Raises ``SourceUnusableError`` where none can serve, ``SourceUnavailableError`` where none
        answers, ``NetworkMismatchError`` where the ledgers of all without a manifest are signed for
        another network. Where all that answer say that they are of another one its passphrase is
        returned, for the caller to compare.
        """
        try:
            await self._look()
        except NoneUsableError as none:
            foreign = next((lake for lake in self._pool.endpoints if lake.foreign), None)
            if foreign is None:
                raise SourceUnusableError(none.detail, help="See 'lake_url' in the settings.") from None
            if foreign.passphrase is None:
                raise NetworkMismatchError(
                    none.detail, help="Correct 'network' (or 'network_passphrase'), or 'lake_url'."
                ) from None
            return self._identity_of(foreign)
        return self._identity_of(next(lake for lake in self._pool.usable if lake.checked))

    def _identity_of(self, lake: Lake) -> SourceIdentity:
        warnings: list[str] = []
        for other in self._pool.endpoints:
            warnings += other.warnings
            if other.unusable is not None and other is not lake:
                warnings.append(f"{other.unusable[1]} It is not used.")
            elif not other.checked and other is not lake:
                warnings.append(f"{other.shown} does not answer yet; it is checked before it is used.")
        version = f"SEP-54 {lake.version}" if lake.version else "SEP-54, without a manifest"
        shown = tuple(other.shown for other in self._pool.endpoints)
        return SourceIdentity(lake.passphrase, version, lake.protocol, shown, tuple(warnings), self._settings.prove)

    async def reach(self) -> Reach:
        """Return the oldest and latest ledger that any lake has; ``latest`` never goes back.

        The latest is one that could be read: an object that is still being written does not count.
        """
        try:
            await self._look()
        except NoneUsableError as none:
            raise SourceUnusableError(none.detail) from None
        newest = self._pool.newest
        if newest is None:
            raise SourceUnavailableError("No data lake told which ledgers it has.")
        closed_at = newest.latest_closed_at if newest.latest == self._pool.latest else None
        return Reach(self._pool.oldest, self._pool.latest, closed_at, newest.ledger_seconds, archive=True)

    async def _look(self) -> None:
        await self._pool.read_ranges(most_unreachable=None if self._pool.latest else ATTEMPTS_AT_START)

    async def ledger_hash(self, sequence: int) -> str | None:
        """Return the ledger's header hash (64 hex digits), or None where no lake has it.

        Raises a ``SourceError`` where the only lakes that may have it do not answer.
        """
        failure: AttemptError | None = None
        for lake in self._in_order():
            if not lake.oldest <= sequence <= lake.latest:
                continue
            try:
                return (await header_of(lake, sequence, self._own, self._timing)).hash.hex()
            except AttemptError as error:
                failure = failure or (error if error.reason is Reason.UNAVAILABLE else None)
                logger.debug("No hash of ledger {}: {}", sequence, error)
            except XdrError as error:
                logger.debug("No hash of ledger {}: {}", sequence, error)
        if failure is not None:
            raise failure
        return None

    def _in_order(self) -> list[Lake]:
        """Return the lakes that were checked, those that lately failed last."""
        now = self._timing.now()
        usable = [lake for lake in self._pool.usable if lake.checked]
        return sorted(usable, key=lambda lake: lake.outage_until > now)

    # --- their ledgers ---------------------------------------------------------------------

    async def windows(self, wanted: LedgerRange, scope: Scope) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted`` for each contract of ``scope``.

        Raises ``ProtocolUpgradeNeededError`` after all that comes before the ledger that needs it.
        """
        try:
            if not self._pool.oldest <= wanted.first <= wanted.last <= self._pool.latest:
                await self._look()
        except NoneUsableError as none:
            yield Unserved(wanted, scope, none.reason, none.detail)
            return
        except AttemptError as error:
            if not self._pool.latest:
                yield Unserved(wanted, scope, error.reason, error.message)
                return
        lakes = self._in_order()
        if not lakes:
            yield Unserved(wanted, scope, Reason.UNAVAILABLE, "No data lake told which ledgers it has.")
            return
        async with aclosing(self._from(lakes, wanted, scope)) as items:
            async for item in items:
                yield item

    async def _from(
        self, lakes: Sequence[Lake], wanted: LedgerRange, scope: Scope
    ) -> AsyncGenerator[Window | Unserved, None]:
        """Read from the first lake; what it does not give is read from the others."""
        lake, *others = lakes
        async with aclosing(self._from_one(lake, wanted, scope)) as items:
            async for item in items:
                if not others or isinstance(item, Window):
                    yield item
                    continue
                async with aclosing(self._from(others, item.range, scope)) as elsewhere:
                    async for found in elsewhere:
                        yield found if isinstance(found, Window) else _both(item, found)

    async def _from_one(self, lake: Lake, wanted: LedgerRange, scope: Scope) -> AsyncGenerator[Window | Unserved, None]:
        if wanted.first < lake.oldest:
            early = LedgerRange(wanted.first, min(wanted.last, lake.oldest - 1))
            yield Unserved(early, scope, Reason.OUT_OF_RETENTION, f"{lake.shown} begins with ledger {lake.oldest}.")
        if wanted.last > lake.latest:
            late = LedgerRange(max(wanted.first, lake.latest + 1), wanted.last)
            yield Unserved(late, scope, Reason.BEYOND_TIP, f"{lake.shown} is at ledger {lake.latest}.")
        here = wanted.overlap(LedgerRange(lake.oldest, lake.latest))
        if here is None:
            return
        windows = LedgerWindows.by_settings(self.name, scope, self._settings)
        reader = LakeReader(lake, windows, here, self._own, self._timing, self._threads, self._load)
        async with aclosing(reader.run()) as items:
            async for item in items:
                yield item

    async def close(self) -> None:
        """Close connections and let the threads go. Safe to call twice."""
        for lake in self._pool.endpoints:
            await lake.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _both(first: Unserved, then: Unserved) -> Unserved:
    """Return a give-up that says why none of two lakes served; that one does not reach so far says the least."""
    reason = then.reason if first.reason in _OUT_OF_REACH else first.reason
    if first.reason != then.reason and {first.reason, then.reason} == _OUT_OF_REACH:
        reason = Reason.MISSING  # one ends before it, the other begins after it
    return replace(then, reason=reason, detail=f"{first.detail} {then.detail}")
