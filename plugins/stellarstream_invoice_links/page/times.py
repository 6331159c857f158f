"""Moments on the page: for people to the minute, for programs to the second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from stellarstream_core.events import format_close_time
from stellarstream_invoice_links.human import moment_text

LAST = 253_402_300_799
"""The end of the year 9999: later times have no name."""


@dataclass(frozen=True, slots=True)
class Time:
    """A moment: ``31 January 2026, 12:00 UTC``, shorter, as RFC 3339, and in Unix seconds."""

    text: str
    brief: str
    iso: str
    seconds: int


def time_of(seconds: int) -> Time:
    """Return a moment of Unix seconds, up to :data:`LAST`. Seconds of a minute are cut off for reading."""
    minute = seconds - seconds % 60
    moment = datetime.fromtimestamp(minute, UTC)
    brief = f"{moment.day} {moment:%b} {moment.year}, {moment:%H:%M}"
    return Time(moment_text(minute), brief, format_close_time(seconds), seconds)
