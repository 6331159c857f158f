"""What ``--from`` and ``--to`` mean, turned into ledgers."""

from __future__ import annotations

from stellarstream_core.errors import InvalidRangeError, UsageError
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange
from stellarstream_core.sources import Reach


def parse_bound(text: str, word: str, *, relative: bool = False) -> int | None:
    """Return the ledger a flag names, None for its ``word`` (``last``, ``latest``), negative if ``relative``.

    Raises :class:`InvalidRangeError` for anything else.
    """
    if text == word:
        return None
    try:
        number = int(text) if text.isascii() and "_" not in text else None
    except ValueError:
        number = None
    lowest = -LAST_LEDGER if relative else FIRST_LEDGER
    if number is None or number == 0 or not lowest <= number <= LAST_LEDGER:
        also = f", '{word}'" + (", or -N for the last N ledgers" if relative else "")
        raise InvalidRangeError(
            f"{text!r:.40} is not a ledger: give a sequence from {FIRST_LEDGER} to {LAST_LEDGER}{also}."
        )
    return number


def resolve(
    first: int | None,
    last: int | None,
    *,
    resume: int | None,
    reach: Reach,
    follow: bool,
) -> LedgerRange | None:
    """Return the wanted range, or None where nothing of it has closed yet or all of it is there.

    ``first`` and ``last`` are as :func:`parse_bound` returns them; ``resume`` is the ledger after
    the watermark, or the configured start, or None where nothing tells. Raises
    :class:`InvalidRangeError` for a reversed range or one beyond the tip without ``follow``.
    """
    if last is not None and last > reach.latest and not follow:
        raise InvalidRangeError(
            f"Ledger {last} is beyond the tip: the network is at ledger {reach.latest}.",
            help="Give an earlier --to, or add --follow to wait for it.",
        )
    upto = reach.latest if last is None else last
    if first is None:
        if resume is None:
            raise UsageError(
                "Nothing is stored yet, so there is no last ledger to go on from.",
                help=f"Say where to begin: --from {reach.oldest} (the oldest this source has), --from -1000, "
                "or set start_ledger.",
            )
        return LedgerRange.of(resume, upto) if resume <= upto else None
    if first < 0:
        first = max(FIRST_LEDGER, min(upto, reach.latest) + 1 + first)
    if first > upto and last is None:
        if follow:
            return None
        raise InvalidRangeError(
            f"Ledger {first} is beyond the tip: the network is at ledger {reach.latest}.",
            help="Give an earlier --from, or add --follow to wait for it.",
        )
    return LedgerRange.of(first, upto)
