"""Reading a piece of history: some neighbouring ledgers, each wholly from one server, or named as missing."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import groupby

from loguru import logger

from stellarstream_core.endpoints.failures import AttemptError, LaggingError, UnreachableError, WrongAnswerError
from stellarstream_core.endpoints.pool import NoneUsableError, NotHeldError, Patience
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.ledger_windows import LedgerWindows, Reading
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Reason
from stellarstream_horizon.assembly import assemble, envelopes_of
from stellarstream_horizon.endpoints import Endpoint, Found
from stellarstream_horizon.failures import (
    UnprovenError,
    UnreadableError,
    UnsuitedError,
    WithoutMetaError,
    WrongPageError,
    failure_of,
)
from stellarstream_horizon.pool import Pool
from stellarstream_horizon.records import BadRecordError, LedgerRecord, MetaAbsentError, Record
from stellarstream_horizon.requests import Span, plan_requests

PAGES_AHEAD = 8
"""Pages of a piece that are asked for, or wait to be read, at a time."""

PASSING = (LaggingError, UnreadableError)
"""Failures that time may mend, as it may those of a server as a whole."""

TRIES_EACH = 3
"""Times that every server is asked for a ledger it sent something wrong of, before the ledger is given up.

One that is sound, but made in a way that does not serve the scope, is asked for once only."""

CONFIRMED_FOR = 5.0
"""Seconds for which the servers' word on their oldest ledgers is not asked for again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A ledger that could not be had, and why."""

    reason: Reason
    detail: str


Outcome = Reading | Lost | ProtocolUpgradeNeededError


@dataclass(slots=True)
class Piece:
    """A range, and what became of each of its ledgers.

    ``before`` is the hash of the ledger before the first, ``after`` the predecessor that the ledger
    after the last one names, where they were read along; ``doubtful`` tells that one of them did not
    fit, so that it is read again with the ledger beside it.
    """

    range: LedgerRange
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    before: bytes | None = None
    after: bytes | None = None
    doubtful: bool = False

    @property
    def todo(self) -> list[LedgerRange]:
        """The ledgers that nothing became of yet."""
        return list(_runs([ledger for ledger in _ledgers(self.range) if ledger not in self.outcomes]))


class PieceReader:
    """Reads pieces from a pool's servers; ``windows`` reads each ledger for its scope."""

    def __init__(self, pool: Pool, windows: LedgerWindows) -> None:
        self._pool = pool
        self._windows = windows
        self._timing = pool.timing

    async def read(self, piece: Piece) -> Piece:
        """Have something become of every ledger of a piece, however often that takes to try."""
        patience = Patience(self._pool.settings, self._timing)
        avoid: set[Endpoint] = set()
        tries: Counter[int] = Counter()
        apart = False
        while todo := piece.todo:
            first = todo[0].first
            try:
                endpoint = await self._pool.pick(first, avoid, patience.ends_at)
            except NotHeldError as none:
                await self._past_retention(piece, none, patience)
                continue
            except NoneUsableError as none:
                self._lose(piece, none.reason, none.detail)
                break
            except AttemptError as error:
                patience.failed(error)
                if patience.spent(hurried=self._pool.strikes > 0):
                    self._abandon(piece, error)
                continue
            if endpoint is None:
                self._abandon(piece, patience.last or UnreachableError("Every server asks for too long a pause."))
                break
            began, read_before = self._timing.now(), len(piece.outcomes)
            failures = await self._attempt(endpoint, piece, todo, apart=apart, again=bool(tries))
            apart = any(isinstance(failure, WrongPageError) for failure in failures.values())
            if len(piece.outcomes) > read_before:
                patience.progressed()
            if not failures:
                self._pool.served(endpoint)
                continue
            await self._after(piece, endpoint, failures, tries, patience, avoid, began)
        return piece

    # --- one attempt --------------------------------------------------------------------------

    async def _attempt(
        self, endpoint: Endpoint, piece: Piece, todo: Sequence[LedgerRange], *, apart: bool, again: bool
    ) -> dict[int, AttemptError]:
        """Read what one server gives of the ledgers to do; return why the others could not be had.

        ``apart`` asks for each ledger's transactions by themselves; ``again`` tells that something was
        wrong with these ledgers before.
        """
        failures: dict[int, AttemptError] = {}
        for wanted in todo:
            try:
                found = await self._headers(endpoint, piece, wanted, again=again)
            except ProtocolUpgradeNeededError as error:
                piece.outcomes |= dict.fromkeys(_ledgers(wanted), error)
                continue
            except AttemptError as error:
                failures |= dict.fromkeys(_ledgers(wanted), error)
                if error.endpoint_fault:
                    break
                continue
            failures |= {ledger: one for ledger, one in found.items() if isinstance(one, AttemptError)}
            records = {ledger: one for ledger, one in found.items() if isinstance(one, LedgerRecord)}
            for run in _runs(list(records)):
                members = [records[ledger] for ledger in _ledgers(run)]
                async with aclosing(self._whole(endpoint, members, apart=apart)) as whole:
                    async for ledger, result in whole:
                        if isinstance(result, AttemptError):
                            failures[ledger] = result
                        else:
                            piece.outcomes[ledger] = result
        broken = next((error for error in failures.values() if error.endpoint_fault), None)
        if broken is not None:
            for run in piece.todo:
                for ledger in _ledgers(run):
                    failures.setdefault(ledger, broken)
        return failures

    async def _headers(self, endpoint: Endpoint, piece: Piece, wanted: LedgerRange, *, again: bool) -> dict[int, Found]:
        """Return the records of a range's ledgers, and note what those of its neighbours say at no cost."""
        at_edge = piece.doubtful and (wanted.first == piece.range.first or wanted.last == piece.range.last)
        if wanted.size == 1 and (piece.range.size == 1 or (again and not at_edge)):
            return {wanted.first: await endpoint.ledger(wanted.first)}
        try:
            if again and not at_edge:
                return await endpoint.ledgers(wanted)
            return await self._with_neighbours(endpoint, piece, wanted, again=again)
        except WrongPageError as error:
            if not again:
                raise
            logger.debug("Asking for each ledger by itself: {}", error)
            return {ledger: await _one(endpoint, ledger) for ledger in _ledgers(wanted)}

    async def _with_neighbours(
        self, endpoint: Endpoint, piece: Piece, wanted: LedgerRange, *, again: bool
    ) -> dict[int, Found]:
        first = wanted.first - (wanted.first == piece.range.first and wanted.first > endpoint.oldest)
        last = wanted.last + (wanted.last == piece.range.last and wanted.last < endpoint.now_latest)
        found = await endpoint.ledgers(LedgerRange(first, last))
        if first < wanted.first:
            before = found[first]
            piece.before = before.header.hash if isinstance(before, LedgerRecord) else None
        if last > wanted.last:
            after = found[last]
            piece.after = after.header.previous_hash if isinstance(after, LedgerRecord) else None
        if not again:
            found |= (marked := _breaks(endpoint, found))
            piece.doubtful = not marked.keys() <= set(_ledgers(wanted))
        return {ledger: found[ledger] for ledger in _ledgers(wanted)}

    async def _whole(
        self, endpoint: Endpoint, ledgers: Sequence[LedgerRecord], *, apart: bool
    ) -> AsyncGenerator[tuple[int, Outcome | AttemptError], None]:
        """Yield each ledger of a run with what reading it came to, in order."""
        spans = plan_requests(ledgers, endpoint.page_limit, apart=apart)
        todo = iter(spans)
        pages: deque[tuple[Span, asyncio.Task[list[Record]]]] = deque()

        def ask() -> None:
            while len(pages) < PAGES_AHEAD and (span := next(todo, None)) is not None:
                pages.append((span, asyncio.create_task(endpoint.transactions(span.tokens, span.ledger))))

        at = 0
        """How many transactions of the first page belong to ledgers before."""
        broken: AttemptError | None = None
        """The server itself failed: it is not asked for more."""
        try:
            ask()
            for one in ledgers:
                records: list[Record] = []
                failure = broken
                lacking = one.transactions
                while lacking and broken is None:
                    span, task = pages[0]
                    taken = min(lacking, len(span.tokens) - at)
                    try:
                        records += (await task)[at : at + taken]
                    except AttemptError as error:
                        failure = error
                        broken = error if error.endpoint_fault else None
                    lacking, at = lacking - taken, at + taken
                    if at == len(span.tokens) and broken is None:
                        pages.popleft()
                        at = 0
                        ask()
                yield one.sequence, failure or await self._read(endpoint, one, records)
        finally:
            for _, task in pages:
                task.cancel()
            await asyncio.gather(*(task for _, task in pages), return_exceptions=True)

    async def _read(
        self, endpoint: Endpoint, ledger: LedgerRecord, records: Sequence[Record]
    ) -> Outcome | AttemptError:
        """Read a whole ledger beside the event loop."""
        try:
            reading = await asyncio.to_thread(self._read_whole, ledger, records)
        except ProtocolUpgradeNeededError as error:
            return error
        except MetaAbsentError as error:
            return WithoutMetaError(f"{endpoint.shown} cannot serve ledger {ledger.sequence}: {error}.")
        except (BadRecordError, XdrError) as error:
            return WrongAnswerError(f"{endpoint.shown}: {str(error).rstrip('.')}.")
        return reading if reading.failure is None else failure_of(endpoint.shown, reading.failure)

    def _read_whole(self, ledger: LedgerRecord, records: Sequence[Record]) -> Reading:
        return self._windows.read_parsed(ledger.sequence, assemble(ledger, records), envelopes_of(records))

    # --- when something goes wrong ------------------------------------------------------------

    async def _after(
        self,
        piece: Piece,
        endpoint: Endpoint,
        failures: dict[int, AttemptError],
        tries: Counter[int],
        patience: Patience,
        avoid: set[Endpoint],
        began: float,
    ) -> None:
        """Decide how a piece goes on after a server failed over some of its ledgers."""
        try:
            if not all(failure.endpoint_fault for failure in failures.values()):
                await endpoint.read_range()
        except AttemptError as silent:
            logger.debug("The range that {} has is not known: {}", endpoint.shown, silent)
        meanings = {ledger: endpoint.explained(ledger, failure) for ledger, failure in failures.items()}
        broken = next((meaning for meaning in meanings.values() if meaning.endpoint_fault), None)
        error = broken or meanings[min(meanings)]
        logger.debug("Ledgers {}..{}: {}", min(meanings), max(meanings), error)
        if broken is not None:
            patience.failed(broken)
            self._pool.blame(endpoint, broken, began, patience.failures)
        elif isinstance(error, PASSING):
            patience.failed(error)
        usable = len(self._pool.usable)
        for ledger, meaning in meanings.items():
            if meaning.endpoint_fault or isinstance(meaning, PASSING) or ledger < endpoint.oldest:
                continue
            tries[ledger] += 1
            if tries[ledger] >= usable * (1 if isinstance(meaning, UnsuitedError) else TRIES_EACH):
                logger.warning("Ledger {} is given up: {}", ledger, meaning)
                piece.outcomes[ledger] = Lost(meaning.reason, meaning.message)
        if patience.spent(hurried=self._pool.strikes > 0):
            self._abandon(piece, error, meanings)
            return
        avoid.add(endpoint)
        if avoid.issuperset(self._pool.usable):
            avoid.clear()
            if piece.todo:
                await self._timing.sleep(self._pool.pause(max(patience.failures, 1)))

    async def _past_retention(self, piece: Piece, none: NotHeldError, patience: Patience) -> None:
        """Name the ledgers that no server has any more, after asking all of them once again."""
        try:
            await self._pool.read_ranges(max_age=CONFIRMED_FOR)
        except NoneUsableError as unusable:
            self._lose(piece, unusable.reason, unusable.detail)
            return
        except AttemptError as error:
            patience.failed(error)
            if patience.spent(hurried=self._pool.strikes > 0):
                self._abandon(piece, error)
            return
        gone = [ledger for run in piece.todo for ledger in _ledgers(run) if ledger < self._pool.oldest]
        piece.outcomes |= dict.fromkeys(gone, Lost(Reason.OUT_OF_RETENTION, none.detail))

    def _abandon(self, piece: Piece, error: AttemptError, meanings: dict[int, AttemptError] | None = None) -> None:
        """Give up all that is left of a piece."""
        logger.warning("Ledgers {} are given up: {}", ", ".join(map(str, piece.todo)), error)
        for run in piece.todo:
            for ledger in _ledgers(run):
                meaning = (meanings or {}).get(ledger, error)
                piece.outcomes[ledger] = Lost(meaning.reason, meaning.message)

    def _lose(self, piece: Piece, reason: Reason, detail: str) -> None:
        for run in piece.todo:
            piece.outcomes |= dict.fromkeys(_ledgers(run), Lost(reason, detail))


async def _one(endpoint: Endpoint, ledger: int) -> Found:
    """Return one ledger's record or what is wrong with it; raise where the server itself fails."""
    try:
        return await endpoint.ledger(ledger)
    except AttemptError as error:
        if error.endpoint_fault:
            raise
        return error


def _breaks(endpoint: Endpoint, found: dict[int, Found]) -> dict[int, AttemptError]:
    """Return neighbours that do not fit as unproven: they are asked for once more, of another server at best.

    Whoever puts the ledgers in order judges a break that stays.
    """
    breaks: dict[int, AttemptError] = {}
    for ledger, one in found.items():
        previous = found.get(ledger - 1)
        if not isinstance(one, LedgerRecord) or not isinstance(previous, LedgerRecord):
            continue
        if one.header.previous_hash != previous.header.hash:
            detail = f"chain-break: ledger {ledger}: it names another predecessor than ledger {ledger - 1}"
            breaks[ledger - 1] = breaks[ledger] = UnprovenError(f"{detail} ({endpoint.shown})")
    return breaks


def _ledgers(ledgers: LedgerRange) -> range:
    return range(ledgers.first, ledgers.last + 1)


def _runs(ledgers: Sequence[int]) -> Iterator[LedgerRange]:
    """Yield ascending ledgers as ranges."""
    for _, run in groupby(enumerate(ledgers), key=lambda pair: pair[1] - pair[0]):
        members = [ledger for _, ledger in run]
        yield LedgerRange(members[0], members[-1])
