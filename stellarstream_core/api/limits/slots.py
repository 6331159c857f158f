"""The leaky bucket as a meter (GCRA) in a fixed number of slots: what all rate limiters share.

A client is one number: the time at which its quota is whole again, its theoretical arrival time. A
request moves it on by what the request costs; one that would move it further ahead of now than the
quota's burst allows is refused and moves nothing. A time that is past says the same as no entry at all,
so a slot whose time is past is free.

A key's slots are the ``WAYS`` of one row, found by its hash: ``names`` and then ``times``, one 64-bit
word each. A word is read and written as a whole, so a process that is killed between two of them leaves
a row that is valid, at most without its last entry.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from stellarstream_core.api.limits.quota import LONGEST_SECONDS, Quota

WAYS = 8
"""Slots in a row: how many places a key has."""
ROWS = 8192
"""Rows: 65,536 clients fit, and a megabyte holds them."""
ROW_WORDS = 2 * WAYS
ROW_BYTES = 8 * ROW_WORDS
TABLE_BYTES = ROWS * ROW_BYTES
SECRET_BYTES = 16

_HORIZON = 2 * LONGEST_SECONDS * 1_000_000_000
"""No quota reaches further ahead: a time beyond is left over from a clock that went back, and counts for nothing."""
_halves = Struct("QQ").unpack
_SECOND = 1_000_000_000


class Verdict(NamedTuple):
    """What became of a request.

    ``limit`` units may be used at once, ``remaining`` of them now. ``reset_seconds``: until all are
    there again. ``retry_after``: seconds until the same request would be allowed, 0 where it was.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    retry_after: float


class Names:
    """Where a key's slots are and what it is called there, by a secret hash: nobody can aim at a row."""

    __slots__ = ("_hash",)

    def __init__(self, secret: bytes) -> None:
        self._hash = blake2b(digest_size=16, key=secret)

    def find(self, key: str) -> tuple[int, int]:
        """Return the key's row and its name in it, which is never 0."""
        digest = self._hash.copy()
        digest.update(key.encode("utf-8", "surrogatepass"))
        row, name = _halves(digest.digest())
        return row % ROWS, name or 1


def glance(words: memoryview, row: int, name: int) -> int:
    """Return the time under a name, 0 where there is none. Needs no lock: others may write meanwhile."""
    base = row * ROW_WORDS
    names = words[base : base + WAYS].tolist()
    if name not in names:
        return 0
    at = base + names.index(name)
    time: int = words[at + WAYS]
    return time if words[at] == name else 0  # it was replaced in between: the time may be another's


def take(words: memoryview, row: int, name: int, now: int, quota: Quota, cost: int, owed: int = 0) -> Verdict:
    """Count a request; the row must be locked. ``now`` is in nanoseconds and not negative.

    ``owed`` is what this client used without it being counted here, in nanoseconds: it is counted first.
    """
    base = row * ROW_WORDS
    names = words[base : base + WAYS].tolist()
    at = base + names.index(name) if name in names else -1
    time = words[at + WAYS] if at >= 0 else 0
    # a time further ahead than the whole quota was written before the clock went back, or under a larger
    # quota: that client has nothing left, but is served again as its units come back
    used = min(max(time - now, 0) + owed, quota.whole)
    after = used + cost * quota.interval
    allowed = after <= quota.whole
    if not allowed:
        after = used
    # and a request that is refused writes that too, or it would go on until the clock gets there
    if (allowed and cost) or owed or time - now > quota.whole:
        if at >= 0:
            words[at + WAYS] = now + after
        else:
            _insert(words, base, names, name, now, now + after)
    if not allowed:
        return refused(used, quota, cost)
    return Verdict(True, quota.burst, (quota.whole - after) // quota.interval, after / _SECOND, 0.0)


def refused(used: int, quota: Quota, cost: int) -> Verdict:
    """Return the verdict on a request for which too much is used."""
    left = quota.whole - used
    wait = cost * quota.interval - left
    return Verdict(False, quota.burst, left // quota.interval, used / _SECOND, wait / _SECOND)


def _insert(words: memoryview, base: int, names: list[int], name: int, now: int, time: int) -> None:
    """Write a new entry over a free slot, else over the one that is free first."""
    times = words[base + WAYS : base + ROW_WORDS].tolist()
    place, first = 0, -1
    for way in range(WAYS):
        if not names[way] or not now < times[way] < now + _HORIZON:
            place = way
            break
        if first < 0 or times[way] < first:
            place, first = way, times[way]
    words[base + place] = 0  # in this order a kill leaves a free slot, never one's time under another's name
    words[base + WAYS + place] = time
    words[base + place] = name
