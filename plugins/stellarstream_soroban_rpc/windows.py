"""The loop that misses nothing: a range and a scope in, windows and give-ups out.

Several windows are read at a time. What a page completes is taken from its cursor alone, what
cannot be had is named, and windows and give-ups together are exactly the range for each contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from loguru import logger

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Unserved, Window
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.failures import (
    INVALID_REQUEST,
    AttemptError,
    CursorRefusedError,
    EndlessLedgerError,
    LaggingError,
    LimitTooHighError,
    OverlongError,
    RetentionError,
    TimedOutError,
    TooMuchError,
    UnreachableError,
    WrongAnswerError,
)
from stellarstream_soroban_rpc.pages import Ask, Page
from stellarstream_soroban_rpc.plan import Lane, Part, Plan, Reading, Work
from stellarstream_soroban_rpc.pool import NoneUsableError, NotHeldError, Pool

SMALLEST_SHARE = 64
"""A range is not split into windows smaller than this only to keep all readers busy."""

SMALLEST_PAGE = 100
"""A node that gives up on a single ledger is asked for smaller pages, down to this."""

HOPELESS = 3
"""So many windows given up in a row, with no progress between, are an outage: the rest is not tried."""

BISECT_AFTER = 2
"""Failures of one window after which it is halved, so that one bad ledger does not take others along."""

CUTS_PER_WINDOW = 4
"""Windows are sized so that they are cut about so often: long enough for cursors, short enough to share."""

MOST_BYTES = 8 * 1024 * 1024
"""A window is also cut after so many bytes of answers, for events may be large."""

PAGES_TO_SPARE = 1_000
"""Pages beyond those that a ledger's most events fill; a cursor that crawls on is cut off then."""

_NOT_BISECTED = (UnreachableError, LaggingError, RetentionError)


class Reader:
    """Reads one range for one scope, by :meth:`run`, once."""

    def __init__(self, pool: Pool, source: str) -> None:
        self._pool = pool
        self._settings = pool.settings
        self._timing = pool.timing
        self._source = source
        self._out: asyncio.Queue[Window | Unserved | Exception | None] = asyncio.Queue(maxsize=2)

    async def run(self, wanted: LedgerRange, scope: Scope, group_size: int) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted`` for each contract of ``scope``."""
        readers = self._settings.windows_in_flight
        share = max(SMALLEST_SHARE, -(-wanted.size // readers))
        size = min(self._settings.window, share)
        lanes = [Lane(group, [wanted], size, self._settings.page_limit) for group in scope.groups(group_size)]
        plan = Plan(lanes, self._pool)
        self._pool.strikes = 0
        left = min(readers, -(-wanted.size // size) * len(lanes))
        tasks = [asyncio.create_task(self._work(plan)) for _ in range(left)]
        try:
            while left:
                item = await self._out.get()
                if item is None:
                    left -= 1
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, plan: Plan) -> None:
        try:
            while (work := await plan.take()) is not None:
                try:
                    await self._finish(plan, work)
                finally:
                    plan.done()
        except Exception as error:
            await self._out.put(error)
        await self._out.put(None)

    # --- one window ------------------------------------------------------------------------

    async def _finish(self, plan: Plan, work: Work) -> None:
        """Hand over all of a window: read, left to others in smaller pieces, or given up."""
        while work.first <= work.last:
            try:
                endpoint = await self._pool.pick(work.covered + 1, work.avoid, work.patience.ends_at)
            except NotHeldError as none:
                await self._past_retention(plan, work, none)
                continue
            except NoneUsableError as none:
                await self._give_up(plan, work, none.reason, none.detail, everything=True)
                return
            except AttemptError as error:
                work.patience.failed(error)
                if work.patience.spent(hurried=self._pool.strikes > 0):
                    await self._abandon(plan, work, error)
                continue
            if endpoint is None:
                last = work.patience.last
                await self._abandon(plan, work, last or UnreachableError("Every endpoint asks for too long a pause."))
                return
            began = self._timing.now()
            try:
                await self._read(plan, work, endpoint)
            except AttemptError as error:
                logger.debug("Ledgers {}..{} of {}: {}", work.first, work.last, work.lane.group, error)
                await self._after(plan, work, endpoint, error, began)

    async def _read(self, plan: Plan, work: Work, endpoint: Endpoint) -> None:
        """Read as much of a window as one endpoint gives, handing over what is complete.

        Raises the :class:`AttemptError` that ended it; ``work`` then knows where to go on.
        """
        if work.reading is None or work.reading.endpoint is not endpoint:
            await self._keep_what_is_safe(work)
            ask = Ask(work.lane.group, work.first, work.last, work.limit)
            work.reading = Reading(endpoint, Part(work.first), ask)
        part, first, events, slow = work.reading.part, work.first, 0, False
        while part.covered < work.last:
            limit = min(work.limit, endpoint.most_events)
            ask = work.reading.ask = replace(work.reading.ask, last=work.last, limit=limit)
            asked_at = self._timing.now()
            page = await endpoint.page(ask)
            slow = slow or self._timing.now() - asked_at > self._settings.timeout_seconds / 4
            self._pool.served(endpoint)
            if ask.cursor is not None and not page.events and not page.bounded:
                ask, page = await self._confirmed(endpoint, part, ask)
            self._take_in(work, part, ask, page, endpoint)
            self._bound(part, limit, endpoint)
            events += len(page.events)
            crowded = len(part.events) >= self._settings.window_events or part.size >= MOST_BYTES
            if page.oldest > part.first or (crowded and part.covered >= part.first):
                await self._hand_over(plan, work, part, endpoint)
                if plan.idle and part.covered < work.last:
                    plan.shrink(work, part.covered + -(-(work.last - part.covered) // 2))
            if part.covered < work.last:
                work.reading.ask = self._next_ask(work, part, ask, page)
                if page.covered >= page.latest:
                    raise LaggingError(f"{endpoint.shown} ends at ledger {page.latest}; {work.last} was asked for.")
        if part.first <= part.covered:
            await self._hand_over(plan, work, part, endpoint)
        work.reading = None
        self._learn(work, work.last - first + 1, events, slow=slow)

    async def _confirmed(self, endpoint: Endpoint, part: Part, ask: Ask) -> tuple[Ask, Page]:
        """Ask again for what a cursor found nothing of, in another way, and return what is to be believed.

        Nodes were seen that answer a cursor with nothing while the ledger has more
        (stellar-rpc #313). Where a page can hold the ledger it is asked for by ledger. Otherwise a
        cursor one event further back must find the last event again, and nothing more.
        """
        known = part.events[part.complete :]
        if len(known) < max(ask.limit, 2):
            again = replace(ask, cursor=None, limit=min(len(known) + 1, endpoint.most_events))
            by_ledger = await endpoint.page(again)
            part.forget_incomplete()
            return again, by_ledger
        back = await endpoint.page(replace(ask, cursor=known[-2].id, limit=2))
        if back.events != known[-1:]:
            raise WrongAnswerError(f"{endpoint.shown} finds nothing after a cursor where it has events.")
        return ask, back._replace(events=[])

    def _take_in(self, work: Work, part: Part, ask: Ask, page: Page, endpoint: Endpoint) -> None:
        if not part.add(page):
            raise WrongAnswerError(f"{endpoint.shown} sent an event again, or before one that it sent earlier.")
        if page.covered < ask.first and not page.events:
            if page.latest < ask.first:
                raise LaggingError(f"{endpoint.shown} ends at ledger {page.latest}; {ask.first} was asked for.")
            raise WrongAnswerError(f"{endpoint.shown} does not go on after ledger {page.covered}.")
        reached = part.covered, part.events[-1].id if part.events else work.reached[1]
        if reached > work.reached:
            # Only what no endpoint reached before is progress; else two that fail could take turns for ever.
            work.reached = reached
            work.patience.progressed()
            self._pool.strikes = 0

    def _bound(self, part: Part, limit: int, endpoint: Endpoint) -> None:
        """Raise :class:`EndlessLedgerError` where one ledger goes on for longer than a ledger can."""
        most = self._settings.max_ledger_events
        if len(part.events) - part.complete > most:
            raise EndlessLedgerError(f"{endpoint.shown} has more than {most} events in ledger {part.covered + 1}.")
        if part.pages_inside > PAGES_TO_SPARE + most // limit:
            raise EndlessLedgerError(f"{endpoint.shown} comes to no end of ledger {part.covered + 1}.")

    def _next_ask(self, work: Work, part: Part, ask: Ask, page: Page) -> Ask:
        """Go on at the next ledger where that is possible, else inside the ledger by cursor.

        A cursor of getEvents forgets the last ledger, so its page may hold up to a page of events
        that another window reads too. Where the rest fits into one page it is asked for by ledger,
        at the price of the incomplete ledger's events.
        """
        following = replace(ask, first=part.covered + 1, cursor=page.cursor)
        completed = page.covered - ask.first + 1
        if page.cursor is None or page.bounded or completed <= 0:
            return following
        if (work.last - part.covered) * len(page.events) <= completed * ask.limit:
            part.forget_incomplete()
            return replace(following, cursor=None)
        return following

    async def _hand_over(self, plan: Plan, work: Work, part: Part, endpoint: Endpoint) -> None:
        """Hand over the complete ledgers, once it is sure that none was trimmed while they were read.

        Raises :class:`RetentionError` where some were: those at the window's beginning are left to
        it, those after them are handed over or given back.
        """
        oldest = part.oldest
        if part.first < oldest + self._settings.margin:
            oldest = await self._read_again(work, part, endpoint, max(oldest, await endpoint.read_range()))
        first, covered = max(part.first, oldest), part.covered
        lost = oldest > part.first
        events = part.cut(first)
        if first <= covered:
            await self._out.put(self._window(work, endpoint, first, covered, events))
        if not lost:
            work.first = covered + 1
            return
        last_lost = min(oldest - 1, work.last)
        work.reading = None
        plan.shrink(work, last_lost, resume=max(covered, last_lost) + 1)
        raise RetentionError(
            endpoint.shown, INVALID_REQUEST, f"its oldest ledger has become {oldest}", oldest, endpoint.latest
        )

    async def _read_again(self, work: Work, part: Part, endpoint: Endpoint, oldest: int) -> int:
        """Read the part's ledgers near the oldest once more; return the oldest from which on all is as it was read.

        Behind a load balancer another node may have told the range, ``oldest``, and every page of the
        part may be of another node. These answers tell their own, and have to hold the same events.
        """
        last = min(part.covered, part.oldest + self._settings.margin)
        while True:
            first = max(part.first, oldest, part.compared + 1)
            if first > last:
                return oldest
            oldest = max(oldest, await self._compared(work, part, endpoint, first, last))

    async def _compared(self, work: Work, part: Part, endpoint: Endpoint, first: int, last: int) -> int:
        """Compare the part's events of these ledgers with what the endpoint has now.

        Notes in the part how far they are the same. Returns the oldest ledger that the endpoint tells
        where that is above ``first``, 0 where all was compared. Raises :class:`WrongAnswerError` for
        other events.
        """
        ask = Ask(work.lane.group, first, last, min(work.limit, endpoint.most_events))
        found = part.index(first)
        while True:
            page = await endpoint.page(ask)
            if page.oldest > ask.first:
                return page.oldest
            if page.events != part.events[found : found + len(page.events)]:
                break
            found += len(page.events)
            covered = min(page.covered, last)
            if found < part.index(covered + 1) or (page.covered < ask.first and not page.events):
                break
            if covered > part.compared:
                part.compared = covered
                work.patience.progressed()
            if covered == last:
                if found == part.index(last + 1):
                    return 0
                break
            ask = replace(ask, first=page.covered + 1, cursor=page.cursor)
        raise WrongAnswerError(f"{endpoint.shown} has other events in ledgers {first} to {last} than it had.")

    async def _keep_what_is_safe(self, work: Work) -> None:
        """Hand over what needs no further word of its endpoint, and forget the rest."""
        reading, work.reading = work.reading, None
        if reading is None or reading.endpoint.unusable is not None:
            return
        part = reading.part
        if part.first <= part.covered and part.first >= part.oldest + self._settings.margin:
            first, covered = part.first, part.covered
            await self._out.put(self._window(work, reading.endpoint, first, covered, part.cut(first)))
            work.first = covered + 1

    def _window(self, work: Work, endpoint: Endpoint, first: int, last: int, events: list[ContractEvent]) -> Window:
        closed_at = endpoint.close_times.get(last)
        return Window(LedgerRange(first, last), work.lane.group, events, self._source, closed_at=closed_at)

    def _learn(self, work: Work, ledgers: int, events: int, *, slow: bool) -> None:
        """Fit the lane's windows to how many events its ledgers hold."""
        lane, settings = work.lane, self._settings
        fitting = ledgers * CUTS_PER_WINDOW * settings.window_events // max(events, 1)
        if fitting < lane.size:
            lane.size = max(1, fitting)
        elif not slow and not work.troubled and ledgers >= lane.size // 2:
            lane.size = min(fitting, 2 * lane.size, settings.max_window)

    # --- when something goes wrong ---------------------------------------------------------

    async def _after(self, plan: Plan, work: Work, endpoint: Endpoint, error: AttemptError, began: float) -> None:
        """Decide how a window goes on after a failed attempt."""
        work.troubled = True
        if endpoint.unusable is not None:
            work.reading = None
            return
        if isinstance(error, RetentionError):
            await self._keep_what_is_safe(work)
        if isinstance(error, EndlessLedgerError) and work.avoid.issuperset({*self._pool.usable} - {endpoint}):
            await self._leave_out(plan, work, error)
            return
        if self._ask_for_less(plan, work, endpoint, error):
            return
        if isinstance(error, CursorRefusedError) and work.reading is not None:
            self._go_on_by_ledger(work.reading)
        patience = work.patience
        patience.failed(error)
        if patience.spent(hurried=self._pool.strikes > 0):
            await self._abandon(plan, work, error)
            return
        elsewhere = True
        if error.endpoint_fault:
            self._pool.blame(endpoint, error, began, patience.failures)
        else:
            elsewhere = endpoint not in work.avoid
            work.avoid.add(endpoint)
        if patience.failures >= BISECT_AFTER and not isinstance(error, _NOT_BISECTED) and work.last - work.covered > 1:
            self._leave(plan, work, (work.last - work.covered) // 2)
            patience.failures = 0
        if not elsewhere or work.avoid.issuperset(self._pool.usable):
            work.avoid.clear()
            await self._timing.sleep(self._pool.pause(max(patience.failures, 1)))

    def _ask_for_less(self, plan: Plan, work: Work, endpoint: Endpoint, error: AttemptError) -> bool:
        """Shrink what is asked for where the failure is about its size; True where that is all there is to do."""
        lane, left = work.lane, work.last - work.covered
        limit = min(work.limit, endpoint.most_events)
        if isinstance(error, LimitTooHighError) and 0 < error.limit < limit:
            endpoint.most_events = error.limit
            return True
        if isinstance(error, OverlongError) and limit > 1:
            work.limit = lane.limit = limit // 4 or 1
            return True
        if isinstance(error, TooMuchError | TimedOutError) and left > 1:
            # Being timed out costs much more than being told so, hence the larger step.
            kept = max(1, left // (2 if isinstance(error, TooMuchError) else 4))
            self._leave(plan, work, kept)
            lane.size = min(lane.size, kept)
            return isinstance(error, TooMuchError)
        if isinstance(error, TooMuchError) and limit > SMALLEST_PAGE:
            work.limit = max(SMALLEST_PAGE, limit // 2)
            return True
        return False

    async def _leave_out(self, plan: Plan, work: Work, error: AttemptError) -> None:
        """Give up the ledger after what is complete, and read on after it."""
        ledger = work.covered + 1
        await self._keep_what_is_safe(work)
        plan.shrink(work, ledger - 1, resume=ledger + 1)
        await self._unserved(work.lane.group, LedgerRange(ledger, ledger), error.reason, error.message)

    def _leave(self, plan: Plan, work: Work, count: int) -> None:
        """Leave a window ``count`` ledgers beyond what is complete.

        A cursor does not know of that: getEvents scans on from it, queryEvents keeps its bounds. So
        the rest is asked for by ledger, unless the ledger is larger than a page.
        """
        plan.shrink(work, work.covered + count)
        reading = work.reading
        if reading is not None and len(reading.part.events) - reading.part.complete < reading.ask.limit:
            self._go_on_by_ledger(reading)

    def _go_on_by_ledger(self, reading: Reading) -> None:
        reading.part.forget_incomplete()
        reading.ask = replace(reading.ask, first=reading.part.covered + 1, cursor=None)

    async def _past_retention(self, plan: Plan, work: Work, none: NotHeldError) -> None:
        """Name the ledgers that no endpoint has any more, after asking all of them once again.

        One answer is not enough: another node may be behind the address, which has more.
        """
        await self._keep_what_is_safe(work)
        try:
            await self._pool.read_ranges()
        except NoneUsableError as unusable:
            await self._give_up(plan, work, unusable.reason, unusable.detail, everything=True)
            return
        except AttemptError as error:
            work.patience.failed(error)
            if work.patience.spent(hurried=self._pool.strikes > 0):
                await self._abandon(plan, work, error)
            return
        oldest = self._pool.oldest
        if oldest > work.first:
            last = min(work.last, oldest - 1)
            gone = RangeSet([(work.first, last)]) | plan.take_below(work.lane, oldest)
            work.first = last + 1
            for piece in gone:
                await self._unserved(work.lane.group, piece, Reason.OUT_OF_RETENTION, none.detail)

    async def _abandon(self, plan: Plan, work: Work, error: AttemptError) -> None:
        """Give a window up; and all that is left, where nothing is served any more."""
        await self._keep_what_is_safe(work)
        if isinstance(error, RetentionError):
            if work.first < error.oldest:
                plan.shrink(work, min(work.last, error.oldest - 1))  # the rest it has, as it says
        else:
            self._pool.strikes += 1
        logger.warning("Ledgers {}..{} of {} are given up: {}", work.first, work.last, work.lane.group, error)
        await self._give_up(plan, work, error.reason, error.message, everything=self._pool.strikes >= HOPELESS)

    async def _give_up(self, plan: Plan, work: Work, reason: Reason, detail: str, *, everything: bool) -> None:
        if work.first <= work.last:
            await self._unserved(work.lane.group, LedgerRange(work.first, work.last), reason, detail)
            work.first = work.last + 1
        if everything:
            for group, piece in plan.drain():
                await self._unserved(group, piece, reason, detail)

    async def _unserved(self, group: Scope, piece: LedgerRange, reason: Reason, detail: str) -> None:
        await self._out.put(Unserved(piece, group, reason, detail))
