"""Reads a range of ledgers from one lake: many objects in flight, added in the order of their ledgers.

An object that cannot be had is tried again where that can help, then its ledgers become a gap and
the rest goes on. The ledgers before and after the range are read too where they are there, so that
the chain of hashes is checked from end to end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from loguru import logger

from stellarstream_core.endpoints.failures import AttemptError, OverlongError, WrongAnswerError
from stellarstream_core.endpoints.pool import Patience
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import XdrError
from stellarstream_core.ledger_windows import LedgerWindows, Reading
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Reason, Unserved, Window
from stellarstream_core.xdr.ledger import LedgerHeader
from stellarstream_data_lake.failures import DamagedError, DeniedError, MissingError, RefusedError
from stellarstream_data_lake.lake import Lake
from stellarstream_data_lake.load import Load
from stellarstream_data_lake.settings import DataLakeSettings

OUTAGE = 3
"""So many objects in a row that cannot be fetched are an outage: the rest of the range is not tried."""

HOPELESS = 256
"""So many objects in a row that are refused or damaged: the rest of the range is not tried."""

OUTAGE_SECONDS = 60.0
"""After an outage a lake is asked last for so long, where there are others."""

HOLE = 32
"""So many missing objects in a row are a hole: its end is looked for in a listing."""

_CHECKED_AGAIN = frozenset({Reason.MISBEHAVED, Reason.PROOF_FAILED})
_QUEUED = 2


@dataclass(slots=True)
class _Piece:
    """What one object gave: readings, or the failure; ``before`` and ``after`` are hashes of the range's neighbours.

    ``before`` is the hash of the ledger before the range, ``after`` the one that the ledger after it
    names as its predecessor's.
    """

    readings: list[Reading] = field(default_factory=list)
    before: bytes | None = None
    after: bytes | None = None
    failure: AttemptError | None = None


@dataclass(slots=True)
class _Lost:
    """Neighbouring objects, by number, lost for one reason; those after ``tried`` were not even asked for."""

    first: int
    last: int
    tried: int
    failure: AttemptError


class LakeReader:
    """Reads ``wanted``, all of it within the lake's reach, by :meth:`run`, once."""

    def __init__(
        self,
        lake: Lake,
        windows: LedgerWindows,
        wanted: LedgerRange,
        own: DataLakeSettings,
        timing: Timing,
        threads: Executor,
        load: Load,
    ) -> None:
        self._lake = lake
        self._windows = windows
        self._wanted = wanted
        self._own = own
        self._timing = timing
        self._threads = threads
        self._load = load
        self._lost: _Lost | None = None
        self._in_a_row = 0
        self._after: bytes | None = None
        self._out: asyncio.Queue[Window | Unserved | Exception | None] = asyncio.Queue(maxsize=_QUEUED)

    async def run(self) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly the range.

        Raises ``ProtocolUpgradeNeededError`` after all that comes before the ledger that needs it.
        """
        driver = asyncio.create_task(self._drive())
        try:
            while (item := await self._out.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            driver.cancel()
            await asyncio.gather(driver, return_exceptions=True)

    # --- in order --------------------------------------------------------------------------

    async def _drive(self) -> None:
        try:
            try:
                await self._read_all()
            except XdrError:
                await self._put(self._flush_lost())
                await self._put(self._windows.finish())
                raise
            await self._put(self._flush_lost())
            await self._put(self._windows.finish(self._after))
        except Exception as error:
            await self._out.put(error)
        await self._out.put(None)

    async def _read_all(self) -> None:
        lake, wanted = self._lake, self._wanted
        before, lake.tail = lake.tail, None
        if before is not None and before[0] == wanted.first - 1:
            self._windows.link(*before)
            upcoming = lake.layout.number(wanted.first)
        else:
            upcoming = lake.layout.number(max(wanted.first - 1, lake.oldest))
        last = lake.layout.number(min(wanted.last + 1, lake.latest))
        pending: deque[tuple[int, int, asyncio.Future[_Piece]]] = deque()
        self._load.expect(lake.layout.ledgers_per_batch)
        try:
            while True:
                while upcoming <= last and self._load.room(len(pending)):
                    pending.append((upcoming, upcoming, asyncio.create_task(self._piece(upcoming))))
                    self._load.outstanding += 1
                    upcoming += 1
                if not pending:
                    return
                first, upto, task = pending[0]
                piece = await task
                pending.popleft()
                self._load.outstanding -= 1
                await self._take(first, upto, piece)
                if piece.failure is None or self._in_a_row < (limit := _limit(piece.failure)):
                    continue
                if limit != HOLE:
                    self._give_up_rest(last, piece.failure)
                    return
                if self._in_a_row == HOLE and upcoming <= last:
                    found = await self._end_of_hole(upcoming, last)
                    if found > upcoming:
                        skipped: asyncio.Future[_Piece] = asyncio.get_running_loop().create_future()
                        skipped.set_result(_Piece(failure=piece.failure))
                        pending.append((upcoming, found - 1, skipped))
                        self._load.outstanding += 1
                        upcoming = found
        finally:
            self._load.outstanding -= len(pending)
            for _, _, task in pending:
                task.cancel()
            await asyncio.gather(*(task for _, _, task in pending), return_exceptions=True)

    async def _put(self, items: Iterable[Window | Unserved]) -> None:
        for item in items:
            await self._out.put(item)

    async def _end_of_hole(self, first: int, last: int) -> int:
        """Return the number of the next object that is there, where the lake can tell, else ``first``."""
        try:
            found = await self._lake.next_object(first, last)
        except AttemptError as error:
            logger.debug("The end of a hole is not known: {}", error)
            return first
        return first if found is None else found

    async def _take(self, first: int, last: int, piece: _Piece) -> None:
        if piece.failure is not None:
            await self._lose(first, last, piece.failure)
            return
        self._in_a_row = 0
        await self._put(self._flush_lost())
        if piece.before is not None:
            self._windows.link(self._wanted.first - 1, piece.before)
        self._after = piece.after or self._after
        for reading in piece.readings:
            await self._put(self._windows.add(reading))
            if reading.sequence == self._wanted.last and reading.header is not None:
                self._lake.tail = reading.sequence, reading.header.hash

    async def _lose(self, first: int, last: int, failure: AttemptError) -> None:
        lost = self._lost
        self._in_a_row = self._in_a_row + 1 if lost is not None and _limit(lost.failure) == _limit(failure) else 1
        if lost is not None and type(lost.failure) is type(failure) and not isinstance(failure, WrongAnswerError):
            lost.last = lost.tried = last
            return
        await self._put(self._flush_lost())
        self._lost = _Lost(first, last, last, failure)

    def _give_up_rest(self, last: int, failure: AttemptError) -> None:
        if self._lost is not None:
            self._lost.last = last
        if _limit(failure) == OUTAGE:
            self._lake.outage_until = self._timing.now() + OUTAGE_SECONDS

    def _flush_lost(self) -> list[Window | Unserved]:
        """Hand the ledgers of lost objects over as a gap."""
        lost, self._lost = self._lost, None
        ledgers = None if lost is None else self._lake.layout.span(lost.first, lost.last).overlap(self._wanted)
        if lost is None or ledgers is None:
            return []
        detail = str(lost.failure)
        if lost.tried > lost.first:
            detail += f" It is the same with the {lost.tried - lost.first} after it."
        if lost.last > lost.tried:
            detail += f" The {lost.last - lost.tried} after that were not tried."
        logger.debug("Ledgers {} are given up: {}", ledgers, detail)
        return self._windows.missing(ledgers, lost.failure.reason, detail)

    # --- one object ------------------------------------------------------------------------

    async def _piece(self, number: int) -> _Piece:
        """Read an object, trying again what may pass. Raises ``ProtocolUpgradeNeededError``."""
        neighbour = self._lake.layout.ledgers(number).overlap(self._wanted) is None
        patience = Patience(self._own, self._timing)
        before: bytes | None = None
        while True:
            found: bytes | None = None
            piece: _Piece | None = None
            try:
                found = await self._lake.fetch(number)
                piece = await self._read(number, found)
                doubt = next((r.failure for r in piece.readings if r.failure is not None), None)
                if doubt is None or doubt.reason not in _CHECKED_AGAIN or found == before:
                    return piece
                error: AttemptError = DamagedError(doubt.detail)
            except AttemptError as failure:
                error = failure
            except XdrError:
                if neighbour:
                    return _Piece()
                raise
            patience.failed(error)
            # the same bytes again: what is wrong with them will stay
            same = found is not None and found == before
            if same or _is_final(error, patience) or (isinstance(error, MissingError) and self._in_a_row >= OUTAGE):
                return piece or (_Piece() if neighbour else _Piece(failure=error))
            before = found
            logger.debug("Trying again: {}", error)
            await _pause(error, patience, self._own, self._timing)

    async def _read(self, number: int, data: bytes) -> _Piece:
        async with self._load.reading():
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read_here, number, data)

    def _read_here(self, number: int, data: bytes) -> _Piece:
        """Read an object's ledgers; in a thread."""
        wanted = self._wanted
        size, metas = self._lake.metas(number, data)
        self._load.learn(size)
        piece = _Piece()
        ledgers = self._lake.layout.ledgers(number)
        if (before := self._neighbour(metas, number, wanted.first - 1)) is not None:
            piece.before = before.hash
        if (after := self._neighbour(metas, number, wanted.last + 1)) is not None:
            piece.after = after.previous_hash
        metas.reverse()  # what was read is let go of from the end
        while metas:
            ledger = ledgers.last - len(metas) + 1
            meta = metas.pop()
            if wanted.holds(ledger):
                piece.readings.append(self._windows.read(ledger, meta))
        return piece

    def _neighbour(self, metas: list[bytes], number: int, ledger: int) -> LedgerHeader | None:
        """Return the header of a ledger next to the range, where it is in the object and can be read."""
        if not self._lake.layout.ledgers(number).holds(ledger):
            return None
        try:
            return self._lake.header_in(metas, number, ledger)
        except (AttemptError, XdrError):
            return None


def _limit(failure: AttemptError) -> int:
    """Return how many failures of this kind in a row say something about the rest of the range."""
    if isinstance(failure, MissingError):
        return HOLE
    if isinstance(failure, (RefusedError, WrongAnswerError)) and not isinstance(failure, DeniedError):
        return HOPELESS
    return OUTAGE


def _is_final(error: AttemptError, patience: Patience) -> bool:
    """Tell whether an object is given up: what is refused or not there is asked for once more at most."""
    if isinstance(error, RefusedError):
        return True
    if isinstance(error, (MissingError, OverlongError)):
        return patience.failures > 1
    return patience.spent()


async def _pause(error: AttemptError, patience: Patience, own: DataLakeSettings, timing: Timing) -> None:
    pause = timing.backoff(patience.failures, own.backoff_seconds, own.max_backoff_seconds)
    await timing.sleep(max(pause, min(error.retry_after or 0.0, own.retry_seconds / 2)))


async def header_of(lake: Lake, ledger: int, own: DataLakeSettings, timing: Timing) -> LedgerHeader:
    """Return a ledger's header, trying again what may pass. Raises an :class:`AttemptError`."""
    patience = Patience(own, timing)
    while True:
        try:
            return await lake.header(ledger)
        except AttemptError as error:
            patience.failed(error)
            if _is_final(error, patience) or (isinstance(error, DamagedError) and patience.failures > 1):
                raise
            await _pause(error, patience, own, timing)
