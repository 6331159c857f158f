"""Quotas: how many requests a client may make, from text such as ``600/minute`` or ``20/second burst 100``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
"""The units of time in a quota's text, in seconds."""
MOST_UNITS = 1_000_000
"""The largest count and burst: an interval between two requests stays well above the clock's steps."""
LONGEST_SECONDS = UNITS["day"]
"""How long a quota that was used up may take until it is whole again."""
OFF = "off"
"""The text for no limit at all."""

_FORM = re.compile(
    r"(?P<count>[0-9]{1,7}) ?/ ?(?P<unit>second|minute|hour|day)(?: burst (?P<burst>[0-9]{1,7}))?", re.ASCII
)
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """``count`` units in each ``period`` (seconds), of which ``burst`` may be used at once.

    Units come back evenly, one every ``interval`` nanoseconds, not all together at the period's end;
    in any stretch of time ``burst`` units and those that came back meanwhile can be used.
    """

    count: int
    period: int
    burst: int
    interval: int = field(init=False, compare=False)
    """Nanoseconds until one unit is back, rounded up: the quota is never exceeded by rounding."""
    whole: int = field(init=False, compare=False)
    """Nanoseconds until a quota that was used up is whole again."""

    def __post_init__(self) -> None:
        """Check the numbers and derive the others; raise ``ValueError`` where they make no quota."""
        if not (1 <= self.count <= MOST_UNITS and 1 <= self.burst <= MOST_UNITS and self.period >= 1):
            raise ValueError(f"count and burst are from 1 to {MOST_UNITS:,}")
        interval = -(-self.period * _NANOSECONDS // self.count)
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "whole", interval * self.burst)
        if self.whole > (LONGEST_SECONDS + 1) * _NANOSECONDS:  # a second for what was rounded up
            raise ValueError("it would take more than a day until the burst is whole again")

    @classmethod
    def parse(cls, text: str) -> Quota:
        """Read ``COUNT/UNIT`` or ``COUNT/UNIT burst COUNT``; without ``burst`` the count may be used at once.

        Units are ``second``, ``minute``, ``hour`` and ``day``. Raises ``ValueError`` with a sentence.
        """
        found = _FORM.fullmatch(" ".join(text.lower().split()))
        if found is None:
            raise ValueError(f"{text!r} is no quota: write '600/minute' or '20/second burst 100'")
        count = int(found["count"])
        try:
            return cls(count, UNITS[found["unit"]], int(found["burst"] or count))
        except ValueError as error:
            raise ValueError(f"{text!r} is no quota: {error}") from None

    def __str__(self) -> str:
        unit = next(name for name, seconds in UNITS.items() if seconds == self.period)
        burst = f" burst {self.burst}" if self.burst != self.count else ""
        return f"{self.count}/{unit}{burst}"


def parse_limit(text: str) -> Quota | None:
    """Read a quota, or ``off`` for None. Raises ``ValueError`` with a sentence."""
    return None if text.strip().lower() == OFF else Quota.parse(text)
