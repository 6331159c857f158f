"""Reading neighbouring ledgers by ``getLedgers``: each from an endpoint whose word holds, or named as lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loguru import logger

from stellarstream_core.endpoints.pool import NoneUsableError, NotHeldError, Patience
from stellarstream_core.errors import ProtocolUpgradeNeededError
from stellarstream_core.ledger_windows import LedgerWindows, Reading
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Reason
from stellarstream_soroban_rpc.collecting import collector_paused
from stellarstream_soroban_rpc.failures import (
    INVALID_REQUEST,
    AttemptError,
    LaggingError,
    LimitTooHighError,
    OverlongError,
    RetentionError,
    TimedOutError,
    TooMuchError,
    UnreachableError,
    WrongAnswerError,
)
from stellarstream_soroban_rpc.ledgers_endpoint import LedgersEndpoint
from stellarstream_soroban_rpc.ledgers_pages import MOST_A_PAGE, BadLedgerError, LedgerEntry, NoMetaError, meta_of
from stellarstream_soroban_rpc.pool import LedgersPool

TRIES_EACH = 2
"""Times that every endpoint is asked for a ledger that it sent something wrong of, before that is believed."""

ROOMY = 4 * 1024 * 1024
"""Pages are made longer as long as their answers stay below so many bytes."""

BISECT_AFTER = 2
"""Failures of one page after which it is halved, so that one bad ledger does not take others along."""

MOST_AT_ONCE = 2
"""Pages taken apart at the same time: it is Python at work, and more threads would not make it faster."""


_NOT_BISECTED = (UnreachableError, LaggingError, RetentionError)


@dataclass(frozen=True, slots=True)
class Lost:
    """A ledger that could not be had, and why."""

    reason: Reason
    detail: str


Outcome = Reading | Lost | ProtocolUpgradeNeededError


@dataclass(slots=True)
class Piece:
    """A range, what became of each of its ledgers, and which endpoint that is from."""

    range: LedgerRange
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    sources: dict[int, LedgersEndpoint] = field(default_factory=dict)
    wrong: dict[int, Outcome] = field(default_factory=dict)
    """What was first sent of ledgers that nothing better came of yet."""
    tries: Counter[tuple[int, LedgersEndpoint]] = field(default_factory=Counter)
    most: int = MOST_A_PAGE
    """Ledgers in a page of this piece: fewer after failures, so that one bad ledger does not take others along."""
    asked: int = 0
    """How many ledgers were asked for last."""

    @property
    def todo(self) -> list[int]:
        """The ledgers that nothing became of yet, in order."""
        return [ledger for ledger in _ledgers(self.range) if ledger not in self.outcomes]

    @property
    def nothing(self) -> bool:
        """Whether not one of its ledgers was had."""
        return all(isinstance(outcome, Lost) for outcome in self.outcomes.values())


class PieceReader:
    """Reads pieces from a pool's endpoints; ``windows`` reads each ledger for its scope.

    ``length`` is how many ledgers a page is asked for now: more where they are small, fewer where an
    endpoint could not do as much.
    """

    def __init__(self, pool: LedgersPool, windows: LedgerWindows) -> None:
        self._pool = pool
        self._windows = windows
        self._timing = pool.timing
        self._apart = asyncio.Semaphore(MOST_AT_ONCE)
        self.length = pool.settings.page_ledgers
        self._most = MOST_A_PAGE
        self._doubted: set[LedgersEndpoint] = set()
        """Endpoints that sent wrong what another one then sent right; asked only where the others fail."""

    async def read(self, piece: Piece) -> Piece:
        """Have something become of every ledger of a piece, however often that takes to try."""
        patience = Patience(self._pool.settings, self._timing)
        avoid: set[LedgersEndpoint] = set()
        while todo := piece.todo:
            first, began = todo[0], self._timing.now()
            try:
                endpoint = await self._pool.pick(first, self._shunned(piece, first, avoid), patience.ends_at)
            except NotHeldError as none:
                await self._past_retention(piece, none, patience)
                continue
            except NoneUsableError as none:
                self._lose(piece, todo, none.reason, none.detail)
                return piece
            except AttemptError as error:
                self._failed(piece, patience, error)
                continue
            if endpoint is None:
                last = patience.last or UnreachableError("Every endpoint asks for too long a pause.")
                self._abandon(piece, patience, last)
                return piece
            try:
                if not await self._page(piece, endpoint, _run(todo)):
                    raise WrongAnswerError(f"{endpoint.shown} sent nothing of ledger {first} that holds.")
                patience.progressed()
            except AttemptError as error:
                logger.debug("Ledgers {}: {}", piece.range, error)
                await self._after(piece, endpoint, error, patience, avoid, began)
        return piece

    async def again(self, ledger: int, endpoint: LedgersEndpoint) -> Reading | None:
        """Read one ledger from one endpoint, once; None where it has no such ledger, or none that holds."""
        piece = Piece(LedgerRange(ledger, ledger))
        try:
            await endpoint.check()
            if endpoint.unusable is None:
                await self._page(piece, endpoint, [ledger])
        except AttemptError as error:
            logger.debug("Ledger {} again: {}", ledger, error)
        outcome = piece.outcomes.get(ledger)
        return outcome if isinstance(outcome, Reading) else None

    def _shunned(self, piece: Piece, ledger: int, avoid: set[LedgersEndpoint]) -> set[LedgersEndpoint]:
        """Return whom not to ask for a ledger while there are others: each is asked as often as the others."""
        tries = {endpoint: piece.tries[ledger, endpoint] for endpoint in self._pool.usable}
        least = min(tries.values(), default=0)
        shunned = avoid | {endpoint for endpoint, count in tries.items() if count > least}
        return shunned if shunned | self._doubted >= set(tries) else shunned | self._doubted

    # --- one page -------------------------------------------------------------------------------

    async def _page(self, piece: Piece, endpoint: LedgersEndpoint, wanted: Sequence[int]) -> bool:
        """Read a page of neighbouring ledgers from one endpoint; return whether any of them is settled now."""
        count = piece.asked = min(len(wanted), piece.most, self.length, endpoint.most_ledgers)
        page = await endpoint.ledgers(wanted[0], count)
        self._pool.served(endpoint)
        asked = [n for n in wanted[:count] if n in page.entries or page.oldest <= n <= page.latest]
        if not asked:
            text = f"its oldest ledger has become {page.oldest}"
            raise RetentionError(endpoint.shown, INVALID_REQUEST, text, page.oldest, page.latest)
        async with self._apart:
            found = await asyncio.to_thread(self._taken_apart, [page.entries[n] for n in asked if n in page.entries])
        if page.entries:
            fitting = ROOMY * len(page.entries) // page.size
            self.length = max(self.length, min(2 * self.length, fitting, self._most))
        settled = False
        for ledger in asked:
            outcome = found.get(ledger) or Lost(Reason.MISSING, f"{endpoint.shown} leaves ledger {ledger} out.")
            settled |= self._settle(piece, ledger, outcome, endpoint)
        return settled

    def _taken_apart(self, entries: Iterable[LedgerEntry]) -> dict[int, Outcome]:
        """Decode and read ledgers; runs in a thread."""
        found: dict[int, Outcome] = {}
        for entry in entries:
            ledger = entry.sequence
            try:
                meta = meta_of(entry)
                with collector_paused():
                    found[ledger] = self._windows.read(ledger, meta)
            except NoMetaError as error:
                found[ledger] = Lost(Reason.MISSING, f"{error}.")
            except BadLedgerError as error:
                found[ledger] = Lost(Reason.MISBEHAVED, f"{error}.")
            except ProtocolUpgradeNeededError as error:
                found[ledger] = error
        return found

    def _settle(self, piece: Piece, ledger: int, outcome: Outcome, endpoint: LedgersEndpoint) -> bool:
        """Take a ledger that holds; one that does not is believed only when every endpoint was asked for it."""
        if isinstance(outcome, Reading) and outcome.failure is None:
            piece.outcomes[ledger], piece.sources[ledger] = outcome, endpoint
            self._doubted |= {one for one in self._pool.usable if one is not endpoint and piece.tries[ledger, one]}
            return True
        if isinstance(outcome, Reading) and outcome.failure is not None:
            failure = outcome.failure
            outcome = Lost(failure.reason, f"{failure.detail} ({endpoint.shown})")
        piece.wrong.setdefault(ledger, outcome)
        piece.tries[ledger, endpoint] += 1
        holding = [one for one in self._pool.usable if one.oldest <= ledger]
        if holding and all(piece.tries[ledger, one] >= TRIES_EACH for one in holding):
            piece.outcomes[ledger] = piece.wrong[ledger]
            return True
        return False

    # --- when something goes wrong ----------------------------------------------------------------

    async def _after(
        self,
        piece: Piece,
        endpoint: LedgersEndpoint,
        error: AttemptError,
        patience: Patience,
        avoid: set[LedgersEndpoint],
        began: float,
    ) -> None:
        """Decide how a piece goes on after a failed attempt."""
        if endpoint.unusable is not None or self._ask_for_less(endpoint, error):
            return
        self._failed(piece, patience, error)
        if not piece.todo:
            return
        if error.endpoint_fault:
            self._pool.blame(endpoint, error, began, patience.failures)
        if patience.failures >= BISECT_AFTER and not isinstance(error, _NOT_BISECTED) and piece.asked > 1:
            piece.most = piece.asked // 2
            patience.failures = 0
        avoid.add(endpoint)
        if avoid.issuperset(self._pool.usable):
            avoid.clear()
            await self._timing.sleep(self._pool.pause(max(patience.failures, 1)))

    def _ask_for_less(self, endpoint: LedgersEndpoint, error: AttemptError) -> bool:
        """Make pages shorter where the failure is about their size; True where that is all there is to do."""
        length = min(self.length, endpoint.most_ledgers)
        if isinstance(error, LimitTooHighError) and 0 < error.limit < length:
            endpoint.most_ledgers = error.limit
            return True
        if length > 1 and isinstance(error, OverlongError | TooMuchError | TimedOutError):
            self.length = self._most = max(1, length // (4 if isinstance(error, TimedOutError) else 2))
            return not isinstance(error, TimedOutError)
        return False

    def _failed(self, piece: Piece, patience: Patience, error: AttemptError) -> None:
        patience.failed(error)
        if patience.spent(hurried=self._pool.strikes > 0):
            self._abandon(piece, patience, error)

    def _abandon(self, piece: Piece, patience: Patience, error: AttemptError) -> None:
        """Give up what nothing became of, or only as much as the failure is about.

        What one endpoint sent wrong, while the others never answered, is called by that.
        """
        todo = piece.todo
        if isinstance(error, RetentionError) and todo[0] < error.oldest:
            todo = [ledger for ledger in todo if ledger < error.oldest]
        elif piece.asked == 1 and not isinstance(error, _NOT_BISECTED):
            todo = todo[:1]
            patience.progressed()
        logger.warning("Ledgers {}..{} are given up: {}", todo[0], todo[-1], error)
        self._lose(piece, todo, error.reason, error.message)
        for ledger in todo:
            if (wrong := piece.wrong.get(ledger)) is not None:
                piece.outcomes[ledger] = wrong

    async def _past_retention(self, piece: Piece, none: NotHeldError, patience: Patience) -> None:
        """Name the ledgers that no endpoint has any more, after asking all of them once again."""
        try:
            await self._pool.read_ranges()
        except NoneUsableError as unusable:
            self._lose(piece, piece.todo, unusable.reason, unusable.detail)
            return
        except AttemptError as error:
            self._failed(piece, patience, error)
            return
        oldest = self._pool.oldest
        self._lose(piece, [n for n in piece.todo if n < oldest], Reason.OUT_OF_RETENTION, none.detail)

    def _lose(self, piece: Piece, ledgers: Iterable[int], reason: Reason, detail: str) -> None:
        piece.outcomes |= dict.fromkeys(ledgers, Lost(reason, detail))


def _ledgers(span: LedgerRange) -> range:
    return range(span.first, span.last + 1)


def _run(ledgers: Sequence[int]) -> list[int]:
    """Return the neighbouring ledgers that a list begins with."""
    return [ledger for at, ledger in enumerate(ledgers) if ledger == ledgers[0] + at]
