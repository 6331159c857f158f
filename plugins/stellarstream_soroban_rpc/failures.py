"""What can go wrong with one attempt at a Soroban RPC node, and what that means for the next."""

from __future__ import annotations

import re
from typing import Any

from stellarstream_core.endpoints.failures import (
    AttemptError,
    LaggingError,
    NobodyListensError,
    OverlongError,
    TimedOutError,
    UnreachableError,
    WrongAnswerError,
)
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.sources import Reason

__all__ = [
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PROCESSING_LIMIT",
    "AttemptError",
    "CursorRefusedError",
    "EndlessLedgerError",
    "LaggingError",
    "LimitTooHighError",
    "NobodyListensError",
    "OverlongError",
    "RetentionError",
    "RpcError",
    "TimedOutError",
    "TooMuchError",
    "UnreachableError",
    "UnsupportedError",
    "WrongAnswerError",
    "ledger_range_in",
    "refined",
]

PROCESSING_LIMIT = -32001
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

_RANGES = (
    re.compile(r"within the ledger range: (\d{1,10}) - (\d{1,10})"),
    re.compile(r"between the oldest ledger: (\d{1,10}) and the latest ledger: (\d{1,10})"),
)
"""How a refusal names the node's range: that of getEvents, and that of getLedgers."""
_LIMIT = re.compile(r"limit must not exceed (\d{1,6})")


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


class EndlessLedgerError(WrongAnswerError):
    """One ledger has more events, or more pages, than any ledger can have."""


class CursorRefusedError(RpcError):
    """The node does not take its own cursor any more: go on by ledger."""

    endpoint_fault = False


class UnsupportedError(RpcError):
    """The node refuses the request as such; asking again will not help."""

    reason = Reason.UNSUPPORTED
    endpoint_fault = False


def refined(error: RpcError, asked: int) -> AttemptError:
    """Say what an error answer means for a page that begins at ledger ``asked``.

    It may be one of getEvents, queryEvents or getLedgers. -32600 stands both for a ledger outside
    the node's range and for a failed database read, so the message decides (methods/get_events.go of
    stellar-rpc). ``queryEvents`` says it in ``error.data.reason`` instead.
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
    """Return (oldest, latest) where an error message of getEvents or getLedgers names them."""
    for pattern in _RANGES:
        if found := pattern.search(text):
            return int(found[1]), int(found[2])
    return None


def _out_of_range(error: RpcError, asked: int, oldest: int, latest: int) -> AttemptError:
    if not 0 < oldest <= latest <= LAST_LEDGER:
        return WrongAnswerError(f"{error.shown} says that it has ledgers {oldest} to {latest}, which is no range.")
    if asked < oldest:
        return RetentionError(error.shown, error.rpc_code, error.text, oldest, latest)
    if asked > latest:
        return LaggingError(f"{error.shown} is behind: ledger {asked} was asked for and its latest is {latest}.")
    return WrongAnswerError(f"{error.shown} refuses ledger {asked} and says that it has {oldest} to {latest}.")
