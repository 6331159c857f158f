"""Amounts, durations and times as people read them. Nothing is rounded, and no locale has a say."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

YEAR = 365 * 86_400
"""Seconds of what is called a year."""

_UNITS = (("year", YEAR), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def amount_text(amount: int, decimals: int | None) -> str:
    """Return an amount of the token's smallest unit in whole tokens: ``1,234.5``, without zeros at its end.

    Where ``decimals`` is not known it is the amount itself, in the smallest unit: whoever shows it has to say so.
    """
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount))
    places = decimals or 0
    digits = digits.rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return f"{sign}{int(whole):,}{'.' if fraction else ''}{fraction}"


def duration_text(seconds: int) -> str:
    """Return a duration, exactly: ``30 days``, ``1 year 2 days``, ``90 minutes``. A year has 365 days.

    One day, hour or minute and something is told in the next smaller unit, where that is one whole number.
    """
    for (_, size), (below, length) in pairwise(_UNITS[1:]):
        if size < seconds < 2 * size and seconds % length == 0:
            return _counted(seconds // length, below)
    parts, rest = [], seconds
    for name, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(_counted(count, name))
    return " ".join(parts) or "0 seconds"


def moment_text(seconds: int) -> str:
    """Return a time (Unix seconds) as ``31 January 2026, 12:00 UTC``, with seconds where they are not zero."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # contracts may hold times after the year 9999
        return f"{seconds:,} seconds after 1 January 1970, 00:00 UTC"
    clock = f"{moment.hour:02}:{moment.minute:02}" + (f":{moment.second:02}" if moment.second else "")
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {clock} UTC"


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
