"""What can go wrong with one attempt at one endpoint, and what that means for the next.

Every class is a ``SourceError``; none leaves a source before its retries are spent. A failure is
never read as "no events".
"""

from __future__ import annotations

from typing import ClassVar

from stellarstream_core.errors import SourceError, SourceMisbehavedError, SourceUnavailableError
from stellarstream_core.sources import Reason


class AttemptError(SourceError):
    """One attempt at one endpoint failed.

    ``reason`` is what a gap is called if nothing better comes; ``retry_after`` the pause in
    seconds that the endpoint asked for. ``endpoint_fault`` tells whether the endpoint as a whole
    needs a pause, or only this request should be tried elsewhere.
    """

    reason: ClassVar[Reason] = Reason.UNAVAILABLE
    endpoint_fault: ClassVar[bool] = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreachableError(AttemptError, SourceUnavailableError):
    """No usable HTTP answer: refused, reset, cut short, or a status that is none of an answer."""

    help = "Check the source's addresses in the settings, then run the same command again: what was fetched is kept."


class NobodyListensError(UnreachableError):
    """No connection could be made: the address may be wrong."""


class TimedOutError(UnreachableError):
    """No answer in time; a smaller question may be answered."""


class WrongAnswerError(AttemptError, SourceMisbehavedError):
    """The answer cannot be read, or contradicts itself, the question, or what was said before."""

    reason = Reason.MISBEHAVED
    endpoint_fault = False


class OverlongError(WrongAnswerError):
    """The answer is larger than what is read of one; a smaller page may fit."""


class LaggingError(AttemptError):
    """The endpoint does not have a ledger yet that another answer promised."""

    reason = Reason.BEYOND_TIP
    endpoint_fault = False
