"""Several endpoints as one: which to ask next, which to leave alone for a while, and how long to try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from loguru import logger

from stellarstream_core.endpoints.failures import AttemptError, NobodyListensError, UnreachableError
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.sources import Reason

T = TypeVar("T")

_TOLD_AFTER = 2
"""Failures in a row of an endpoint after which the log says so, once: nobody should wait without a word."""

_CHECK_AGAIN_AFTER = 3
"""Failures in a row after which an endpoint is checked anew: another node may be behind it."""


class Retries(Protocol):
    """The settings that say how long one thing is tried; all in seconds but ``max_retries``."""

    @property
    def max_retries(self) -> int:
        """Failed attempts in a row after which something is given up."""
        ...

    @property
    def retry_seconds(self) -> float:
        """Time without progress after which something is given up."""
        ...

    @property
    def backoff_seconds(self) -> float:
        """Upper bound of the first pause; it doubles each time."""
        ...

    @property
    def max_backoff_seconds(self) -> float:
        """Upper bound of any pause."""
        ...


class Endpoint(Protocol):
    """What a pool knows of one endpoint. ``oldest`` and ``latest`` are 0 until it told them.

    ``unusable`` is set where it can never serve; ``failures`` are those in a row, ``told`` whether
    the log says that it does not answer, ``cooling_until`` the end of its pause on the timing's clock.
    """

    shown: str
    unusable: tuple[Reason, str] | None
    oldest: int
    latest: int
    failures: int
    told: bool
    cooling_until: float
    checked: bool

    async def check(self) -> None:
        """Make sure, once, that it can serve, and learn its range; raise :class:`AttemptError` where it is silent."""
        ...

    def check_again(self) -> None:
        """Have it checked before its next use: after an outage another server may answer."""
        ...

    async def read_range(self) -> object:
        """Ask what it has now."""
        ...


E = TypeVar("E", bound=Endpoint)


class NoneUsableError(Exception):
    """No endpoint can ever serve: ``reason`` and ``detail`` say why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class NotHeldError(Exception):
    """Every endpoint says that its oldest ledger, at least ``oldest``, comes after the one asked for."""

    def __init__(self, oldest: int, detail: str) -> None:
        super().__init__(detail)
        self.oldest = oldest
        self.detail = detail


class Patience:
    """How long one thing is tried without progress: attempts and seconds, whichever ends first."""

    def __init__(self, settings: Retries, timing: Timing) -> None:
        self._settings = settings
        self._timing = timing
        self.failures = 0
        self.failing_since: float | None = None
        self.last: AttemptError | None = None

    def progressed(self) -> None:
        """Begin anew: something was achieved."""
        self.failures, self.failing_since, self.last = 0, None, None

    def failed(self, error: AttemptError) -> None:
        """Count a failed attempt."""
        self.failures += 1
        self.last = error
        if self.failing_since is None:
            self.failing_since = self._timing.now()

    def spent(self, *, hurried: bool = False) -> bool:
        """Tell whether to give up; ``hurried`` allows one repetition only."""
        if self.failures > (min(1, self._settings.max_retries) if hurried else self._settings.max_retries):
            return True
        return self.failing_since is not None and self._timing.now() >= self.ends_at

    @property
    def ends_at(self) -> float:
        """The moment, on the timing's clock, after which nothing is tried any more."""
        since = self._timing.now() if self.failing_since is None else self.failing_since
        return since + self._settings.retry_seconds


class Pool(Generic[E]):
    """The configured endpoints in order of preference; subclasses say in ``kind`` what they are endpoints of."""

    kind: ClassVar[str] = ""

    def __init__(self, endpoints: Sequence[E], settings: Retries, timing: Timing) -> None:
        self.endpoints = tuple(endpoints)
        self.settings = settings
        self.timing = timing
        self.strikes = 0
        """Windows given up since a window last got further."""
        self.ranges_read_at: float | None = None
        self._latest = 0

    # --- what is known ---------------------------------------------------------------------

    @property
    def usable(self) -> list[E]:
        """The endpoints that were not refused for good."""
        return [endpoint for endpoint in self.endpoints if endpoint.unusable is None]

    @property
    def oldest(self) -> int:
        """The oldest ledger any usable endpoint has; 0 while none told."""
        return min((endpoint.oldest for endpoint in self.usable if endpoint.oldest), default=0)

    @property
    def latest(self) -> int:
        """The latest ledger any usable endpoint ever told; 0 while none did. It never goes back."""
        self._latest = max([self._latest, *(endpoint.latest for endpoint in self.usable)])
        return self._latest

    @property
    def newest(self) -> E | None:
        """The usable endpoint with the latest ledger."""
        return max((e for e in self.usable if e.latest), key=lambda e: e.latest, default=None)

    def served(self, endpoint: E) -> None:
        """Note that an endpoint answered well."""
        endpoint.failures = 0
        if endpoint.told:
            endpoint.told = False
            logger.warning("{} answers again.", endpoint.shown)

    # --- choosing --------------------------------------------------------------------------

    async def pick(self, ledger: int, avoid: Collection[E], until: float) -> E | None:
        """Return a checked endpoint that has ``ledger``, waiting while all need a pause.

        Preferred are those not in ``avoid``, among them those known to have reached the ledger,
        then the order of the settings. None where ``until`` (a moment of the timing's clock)
        passes first. Raises :class:`NotHeldError`, :class:`NoneUsableError`, or the
        :class:`AttemptError` of an endpoint's check, for which the endpoint already got its pause.
        """
        while True:
            holding = self._holding(ledger)
            now = self.timing.now()
            awake = [endpoint for endpoint in holding if endpoint.cooling_until <= now]
            if awake:
                candidates = [endpoint for endpoint in awake if endpoint not in avoid] or awake
                endpoint = next((e for e in candidates if e.latest >= ledger), candidates[0])
                await self._checked(endpoint)
                if endpoint.unusable is None and endpoint.oldest <= ledger:
                    return endpoint
                continue
            wake = min(endpoint.cooling_until for endpoint in holding)
            if now >= until:
                return None
            await self.timing.sleep(max(0.0, min(wake, until) - now))

    def _holding(self, ledger: int) -> list[E]:
        usable = self.usable
        if not usable:
            raise self._none_usable()
        holding = [endpoint for endpoint in usable if endpoint.oldest <= ledger]
        if not holding:
            oldest = self.oldest
            said = " and ".join(f"{endpoint.shown} keeps ledgers from {endpoint.oldest}" for endpoint in usable)
            raise NotHeldError(oldest, f"{said}.")
        return holding

    def _none_usable(self) -> NoneUsableError:
        details = [endpoint.unusable for endpoint in self.endpoints if endpoint.unusable is not None]
        if not details:
            return NoneUsableError(Reason.UNSUPPORTED, f"No {self.kind} endpoint is configured.")
        return NoneUsableError(details[0][0], " ".join(detail for _, detail in details))

    async def _checked(self, endpoint: E) -> None:
        began = self.timing.now()
        try:
            await endpoint.check()
        except AttemptError as error:
            self.blame(endpoint, error, began)
            raise

    # --- failing ---------------------------------------------------------------------------

    def blame(self, endpoint: E, error: AttemptError, began: float, failures: int = 1) -> None:
        """Give an endpoint the pause that a failure calls for.

        ``began`` is when the attempt began: requests that were under way together fail together
        and count once. ``failures`` are those in a row of what was tried. The endpoint's own
        ``Retry-After`` wins, up to half of what is tried at all.
        """
        if began < endpoint.cooling_until:
            return
        endpoint.failures += 1
        if endpoint.failures >= _CHECK_AGAIN_AFTER:
            endpoint.check_again()
        if not endpoint.told and endpoint.failures >= (_TOLD_AFTER if endpoint.checked else 1):
            endpoint.told = True
            logger.warning("{} Trying again.", error)
        pause = self.pause(max(endpoint.failures, failures))
        if error.retry_after is not None:
            pause = max(pause, min(error.retry_after, self.settings.retry_seconds / 2))
        endpoint.cooling_until = self.timing.now() + pause

    def pause(self, failures: int) -> float:
        """Return the next pause in seconds, exponential with full jitter."""
        return self.timing.backoff(failures, self.settings.backoff_seconds, self.settings.max_backoff_seconds)

    # --- asking any of them ----------------------------------------------------------------

    async def ask(self, question: Callable[[E], Awaitable[T]], ledger: int) -> T:
        """Put a question to one endpoint after the other until one answers or the retries are spent.

        Raises the last :class:`AttemptError`, :class:`NoneUsableError` or :class:`NotHeldError`.
        """
        patience = Patience(self.settings, self.timing)
        avoid: set[E] = set()
        while True:
            endpoint: E | None = None
            began = 0.0
            try:
                endpoint = await self.pick(ledger, avoid, patience.ends_at)
                if endpoint is None:
                    raise patience.last or UnreachableError("Every endpoint asks for a longer pause than is allowed.")
                began = self.timing.now()
                answer = await question(endpoint)
            except AttemptError as error:
                patience.failed(error)
                if patience.spent():
                    raise
                if endpoint is None:
                    continue  # its check failed, and it has its pause for that
                avoid.add(endpoint)
                self.blame(endpoint, error, began, patience.failures)
                if avoid.issuperset(self.usable):
                    avoid.clear()
            else:
                self.served(endpoint)
                return answer

    async def read_ranges(self, max_age: float = 0.0, most_unreachable: int | None = None) -> None:
        """Ask every endpoint that needs no pause what it has; those that fail keep what they told before.

        Nothing is asked where that was done less than ``max_age`` seconds ago. Tries until one
        answers, but only ``most_unreachable`` times where nothing listens at all; raises the last
        :class:`AttemptError` once the retries are spent, or :class:`NoneUsableError`.
        """
        if self.ranges_read_at is not None and self.timing.now() - self.ranges_read_at < max_age:
            return
        unreachable = 0
        patience = Patience(self.settings, self.timing)
        while True:
            usable, now = self.usable, self.timing.now()
            if not usable:
                raise self._none_usable()
            awake = [endpoint for endpoint in usable if endpoint.cooling_until <= now]
            if not awake:
                await self.timing.sleep(min(endpoint.cooling_until for endpoint in usable) - now)
                continue
            failures = [error for error in await asyncio.gather(*map(self._read_range, awake)) if error is not None]
            if not self.usable:
                raise self._none_usable()
            if len(failures) < len(awake):
                self.ranges_read_at = self.timing.now()
                return
            patience.failed(failures[-1])
            unreachable = unreachable + 1 if all(isinstance(error, NobodyListensError) for error in failures) else 0
            if patience.spent() or unreachable == most_unreachable:
                raise failures[-1]

    async def _read_range(self, endpoint: E) -> AttemptError | None:
        began = self.timing.now()
        try:
            await endpoint.check()
            if endpoint.unusable is None:
                await endpoint.read_range()
        except AttemptError as error:
            self.blame(endpoint, error, began)
            return error
        self.served(endpoint)
        return None
