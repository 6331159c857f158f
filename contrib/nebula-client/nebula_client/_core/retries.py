"""When a request is sent again, and after how long: only where that is safe, and never for longer than is bearable."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from nebula_client._core.config import Clock
from nebula_client._core.wire import NotJsonError
from nebula_client.errors import ApiError, NebulaError, NetworkError, RequestTimeoutError

BASE_SECONDS = 0.25
MOST_SECONDS = 8.0
LONGEST_RETRY_AFTER = 30.0
"""Who is to wait for longer is told so instead."""
PASSING_STATUSES = frozenset({502, 503, 504})
PASSING_CODES = frozenset({"idempotency-running", "idempotency-claim-lost"})
"""409: the first request with the same key still runs, or was undone."""


def pause_after(error: NebulaError, attempt: int, clock: Clock, *, safe: bool) -> float | None:
    """Return after how many seconds to send a request again; None where it must not be, or would not help.

    ``attempt`` counts from 0. ``safe`` says that sending it twice does what sending it once does; where it does not,
    only what was surely not carried out is sent again.
    """
    if isinstance(error, ApiError):
        passing = error.status == 429 or (safe and (error.status in PASSING_STATUSES or error.code in PASSING_CODES))
        if not passing or (error.retry_after or 0.0) > LONGEST_RETRY_AFTER:
            return None
        return back_off(attempt, clock) if error.retry_after is None else error.retry_after
    if isinstance(error, NetworkError | RequestTimeoutError):
        passing = safe or not error.maybe_sent
    else:
        passing = safe and isinstance(error, NotJsonError)
    return back_off(attempt, clock) if passing else None


def back_off(attempt: int, clock: Clock) -> float:
    """Return a random time of up to 0.25 s, doubled with each attempt, up to 8 s."""
    most: float = min(BASE_SECONDS * 2 ** min(attempt, 16), MOST_SECONDS)
    return clock.chance() * most


def retry_after(text: str | None, clock: Clock) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, as a number or a date; None where it says nothing."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - clock.wall())
    except (ValueError, OverflowError):
        return None
