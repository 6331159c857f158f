"""Amounts without loss: between whole tokens and the smallest unit, and what a stream has unlocked at a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from nebula_client._core.wire import moment
from nebula_client.errors import ConfigurationError, InvalidAmountError
from nebula_client.models.streams import Curve, Stream, StreamStatus
from nebula_client.params import Amount, Moment

MOST_DECIMALS = 255

_TOKENS = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_UNITS = re.compile(r"-?[0-9]+", re.ASCII)
_NANOSECONDS = 1_000_000_000
_SCALE = 10_000_000
_ENDED = {StreamStatus.CANCELED, StreamStatus.ARCHIVED}


def to_units(tokens: str | int, decimals: int) -> int:
    """Return how many of the smallest unit an amount of whole tokens is: ``to_units("12.5", 7)`` is ``125000000``.

    Raises :class:`InvalidAmountError` for more digits than the token has: nothing is rounded.
    """
    places = _places(decimals)
    text = str(tokens) if isinstance(tokens, int) and not isinstance(tokens, bool) else tokens
    found = _TOKENS.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise InvalidAmountError(f"Not a decimal number: {_shown(tokens)}. Give text, such as '12.5', or an int.")
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if len(fraction) > places:
        raise InvalidAmountError(f"{_shown(tokens)} has more than {places} decimal places.")
    return int(f"{sign}{whole}{fraction.ljust(places, '0')}")


def from_units(units: Amount, decimals: int) -> str:
    """Return an amount of the smallest unit in whole tokens: ``from_units("125000000", 7)`` is ``"12.5"``."""
    places = _places(decimals)
    text = str(units) if isinstance(units, int) and not isinstance(units, bool) else units
    if not isinstance(text, str) or not _UNITS.fullmatch(text):
        raise InvalidAmountError(f"Not an amount of the smallest unit: {_shown(units)}.")
    value = int(text)
    digits = str(abs(value)).zfill(places + 1)
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def unlocked_at(stream: Stream, when: Moment | None = None) -> int | None:
    """Return what a stream has unlocked at a moment (now), withdrawn or not: what ``get_stream(id, at=…)`` tells.

    It is what the contract itself would compute, digit by digit, without asking anybody: let an amount run by it while
    nothing happens to the stream. ``stream`` was read without ``at``; moments count in whole seconds. None where the
    stream does not tell enough: it is paused, it unlocks in steps, or what is needed is None itself.
    """
    now = _seconds(datetime.now(UTC) if when is None else _read(when))
    unlocked = None if stream.unlocked is None else int(stream.unlocked)
    if stream.status in _ENDED:
        return unlocked  # it keeps its amounts
    if stream.status == StreamStatus.PAUSED or stream.amount is None:
        return None
    if stream.start_time is None or stream.end_time is None:
        return None
    total, start, end = int(stream.amount), _seconds(stream.start_time), _seconds(stream.end_time)
    cliff = None if stream.cliff_time is None else _seconds(stream.cliff_time)
    completes = None if stream.completes_at is None else _seconds(stream.completes_at)
    if stream.version == "v1":
        # without a fresh read nobody knows whether it was cancelled, without completes_at not for how long it paused
        if unlocked is None or completes is None:
            return None
        return _unlocked_v1(total, start, cliff, end, completes - end, now, stream.curve)
    if stream.version != "v2" or cliff is None:
        return None
    # all paid before its end: its entry may have been deleted, and before the end no formula holds then
    if completes is None and (now < end or stream.withdrawn != stream.amount):
        return None
    return _unlocked_v2(total, start, cliff, end, now, stream.curve)


def _unlocked_v1(
    total: int, start: int, cliff: int | None, end: int, paused: int, now: int, curve: Curve | None
) -> int | None:
    """Count in seconds; ``paused`` is how long all pauses lasted, which moves cliff and end."""
    if now <= start:
        return 0
    is_known = cliff is not None and curve is not None
    if is_known and cliff is not None and now < _u64(cliff + paused):
        return 0
    if now >= _u64(end + paused):
        return total
    duration, elapsed = end - start, now - start - paused
    if not is_known or curve not in {Curve.LINEAR, Curve.EXPONENTIAL} or duration == 0:
        return None
    if elapsed <= 0:
        return 0
    squared, whole = elapsed**2, duration**2
    # checked step by step: where one does not fit, the contract takes the linear curve, which wraps around
    if curve == Curve.EXPONENTIAL and all(map(_fits, (squared, whole, total * squared))):
        return _quotient(total * squared, whole)
    return _quotient(_i128(total * elapsed), duration)


def _unlocked_v2(total: int, start: int, cliff: int, end: int, now: int, curve: Curve | None) -> int | None:
    """Count in nanoseconds of 64 bits, which wrap around after the year 2554."""
    first, opens, last, at = (_u64(time * _NANOSECONDS) for time in (start, cliff, end, now))
    if at < opens or at <= first:
        return 0
    if at >= last:
        return total
    elapsed, duration = at - first, last - first
    if curve == Curve.EXPONENTIAL:  # cut to seven digits, and so is the square
        ratio = _quotient(elapsed * _SCALE, duration)
        return 0 if total <= 0 else _quotient(_i128(total * (ratio**2 // _SCALE)), _SCALE)
    if curve != Curve.LINEAR:
        return None
    scaled = total * elapsed * _SCALE
    if _fits(scaled):
        return _quotient(_quotient(scaled, duration), _SCALE)
    # where that does not fit, the contract divides first, which loses what is below one unit a nanosecond
    return _i128(_quotient(total, duration) * elapsed)


def _quotient(dividend: int, divisor: int) -> int:
    """Divide as the contracts do: truncated towards zero."""
    result = abs(dividend) // abs(divisor)
    return result if (dividend < 0) == (divisor < 0) else -result


def _i128(number: int) -> int:
    return (number + 2**127) % 2**128 - 2**127


def _u64(number: int) -> int:
    return number % 2**64


def _fits(number: int) -> bool:
    return _i128(number) == number


def _seconds(when: datetime) -> int:
    return int(when.timestamp() // 1)


def _read(when: Moment) -> datetime:
    try:
        found = datetime.fromisoformat(moment(when))
    except ValueError:
        raise ConfigurationError(f"Not a moment: {_shown(when)}.") from None
    moment(found)  # refused without a time zone
    return found


def _places(decimals: int) -> int:
    if isinstance(decimals, int) and not isinstance(decimals, bool) and 0 <= decimals <= MOST_DECIMALS:
        return decimals
    raise InvalidAmountError(f"A token has 0 to {MOST_DECIMALS} decimal places, not {_shown(decimals)}.")


def _shown(value: object) -> str:
    return f"{str(value)[:60]!r} ({type(value).__name__})"
