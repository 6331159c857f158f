"""What can go wrong with one attempt, and what that means for the next.

Every class is a ``SourceError``; none leaves the plugin before the retries are spent. A failure is
never read as "no events".
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from stellarstream_core.errors import SourceError, SourceMisbehavedError, SourceUnavailableError
from stellarstream_core.sources import Reason

PROCESSING_LIMIT = -32001
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

_RANGE = re.compile(r"within the ledger range: (\d{1,10}) - (\d{1,10})")
_LIMIT = re.compile(r"limit must not exceed (\d{1,6})")


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
    """No usable HTTP answer: refused, reset, cut short, or a status that is not 200."""

    help = "Check the addresses in 'rpc_url', then run the same command again: what was fetched is kept."


class NobodyListensError(UnreachableError):
    """No connection could be made: the address may be wrong."""


class TimedOutError(UnreachableError):
    """No answer in time; a smaller question may be answered."""


class WrongAnswerError(AttemptError, SourceMisbehavedError):
    """The answer is not JSON-RPC, or contradicts itself, the question, or what was said before."""

    reason = Reason.MISBEHAVED
    endpoint_fault = False


class OverlongError(WrongAnswerError):
    """The answer is larger than ``max_response_bytes``; a smaller page may fit."""


class LaggingError(AttemptError):
    """The endpoint does not have a ledger yet that another answer promised."""

    reason = Reason.BEYOND_TIP
    endpoint_fault = False


class RpcError(AttemptError):
    """A JSON-RPC error object; the node may well answer the next time."""

    def __init__(self, shown: str, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{shown} answered error {code}: {message}")
        self.shown = shown
        self.rpc_code = code
        self.text = message
        self.data = data


class TooMuchError(RpcError):
    """The node gave up on the question's size (-32001): ask for less."""

    endpoint_fault = False


class LimitTooHighError(RpcError):
    """The node's operator allows smaller pages only."""

    endpoint_fault = False

    def __init__(self, shown: str, code: int, message: str, limit: int) -> None:
        super().__init__(shown, code, message)
        self.limit = limit


class RetentionError(RpcError):
    """The ledger asked for is older than what the node keeps: ``oldest`` to ``latest``."""

    reason = Reason.OUT_OF_RETENTION
    endpoint_fault = False

    def __init__(self, shown: str, code: int, message: str, oldest: int, latest: int) -> None:
        super().__init__(shown, code, message)
        self.oldest = oldest
        self.latest = latest


class CursorRefusedError(RpcError):
    """The node does not take its own cursor any more: go on by ledger."""

    endpoint_fault = False


class UnsupportedError(RpcError):
    """The node refuses the request as such; asking again will not help."""

    reason = Reason.UNSUPPORTED
    endpoint_fault = False


def refined(error: RpcError, asked: int) -> AttemptError:
    """Say what an error answer means for a page that begins at ledger ``asked``.

    -32600 stands both for a ledger outside the node's range and for a failed database read, so
    the message decides (methods/get_events.go of stellar-rpc). ``queryEvents`` says it in
    ``error.data.reason`` instead.
    """
    shown, code, text = error.shown, error.rpc_code, error.text
    if code == PROCESSING_LIMIT or "processing limit threshold" in text:
        return TooMuchError(shown, code, text)
    if "queue" in text:
        return error
    if found := ledger_range_in(text):
        return _out_of_range(error, asked, *found)
    if code == INVALID_PARAMS:
        data: dict[str, Any] = error.data if isinstance(error.data, dict) else {}
        oldest, latest = data.get("oldestLedger"), data.get("latestLedger")
        if data.get("reason") == "ledger_out_of_range" and type(oldest) is int and type(latest) is int:
            return _out_of_range(error, asked, oldest, latest)
        if data.get("reason") == "cursor_malformed":
            return CursorRefusedError(shown, code, text)
        if limit := _LIMIT.search(text):
            return LimitTooHighError(shown, code, text, int(limit[1]))
    if code in {INVALID_PARAMS, METHOD_NOT_FOUND}:
        return UnsupportedError(shown, code, text)
    return error


def ledger_range_in(text: str) -> tuple[int, int] | None:
    """Return (oldest, latest) where an error message of getEvents names them."""
    found = _RANGE.search(text)
    return (int(found[1]), int(found[2])) if found else None


def _out_of_range(error: RpcError, asked: int, oldest: int, latest: int) -> AttemptError:
    if asked < oldest:
        return RetentionError(error.shown, error.rpc_code, error.text, oldest, latest)
    if asked > latest:
        return LaggingError(f"{error.shown} is behind: ledger {asked} was asked for and its latest is {latest}.")
    return WrongAnswerError(f"{error.shown} refuses ledger {asked} and says that it has {oldest} to {latest}.")
