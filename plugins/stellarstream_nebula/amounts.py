"""How much of a stream is unlocked at a moment, as the contracts compute it: i128, truncation and overflow included.

Both contracts are built without overflow checks, so what they do not check wraps around at 64 bits (times)
or 128 bits (amounts). That is mirrored, because it is what a withdrawal pays.
"""

from __future__ import annotations

from stellarstream_nebula.model import Curve

NANOSECONDS = 1_000_000_000
"""V2 counts time in nanoseconds; its stored times are seconds."""

SCALE = 10_000_000
"""V2's fixed point: seven digits."""

STEP_SCALE = 1_000_000_000
"""The fixed point of V2's powers of the step factor."""

BPS = 10_000
"""Basis points in a whole."""

_U32 = 2**32 - 1
_U64 = 2**64 - 1
_I128_SIGN = 2**127
_I128_ALL = 2**128 - 1


class ContractTrapError(ArithmeticError):
    """The contract would trap here (a division by zero), so there is no amount to tell."""


def unlocked_v1(
    *,
    total: int,
    start: int,
    cliff: int,
    end: int,
    now: int,
    paused_at: int | None = None,
    paused_before: int = 0,
    curve: Curve = Curve.LINEAR,
) -> int:
    """Return what a V1 stream has unlocked at ``now`` (Unix seconds), withdrawn or not.

    A pause holds the clock at ``paused_at``; ``paused_before``, how long earlier pauses lasted, moves cliff and end.
    A cliff unlocks what has run up since the start. The exponential curve is the square of the elapsed share, in
    checked steps: where one of them does not fit an i128 the contract takes the linear curve, whose product wraps
    around. Amounts are in the token's smallest unit.
    """
    if now <= start:
        return 0
    effective = now if paused_at is None else paused_at
    if effective < wrap_u64(cliff + paused_before):
        return 0
    if effective >= wrap_u64(end + paused_before):
        return total
    elapsed = effective - start - paused_before
    if elapsed <= 0:
        return 0
    duration = end - start
    if curve is Curve.EXPONENTIAL:
        squared, whole = elapsed * elapsed, duration * duration
        if _fits(squared) and _fits(whole) and _fits(total * squared):
            return quotient(total * squared, whole)
    return quotient(wrap_i128(total * elapsed), duration)


def unlocked_v2(
    *,
    total: int,
    start: int,
    cliff: int,
    end: int,
    now: int,
    curve: Curve | None,
    step_duration: int = 0,
    multiplier_bps: int = 0,
) -> int | None:
    """Return what a V2 stream that is not cancelled has unlocked at ``now`` (Unix seconds), withdrawn or not.

    ``curve`` None stands for an unknown one: the answer is None where it would matter, between cliff and end.
    ``step_duration`` (seconds) and ``multiplier_bps`` count for :attr:`Curve.STEPS` alone. Raises
    :class:`ContractTrapError` where the contract would.
    """
    start_nanos, cliff_nanos, end_nanos, now_nanos = (wrap_u64(time * NANOSECONDS) for time in (start, cliff, end, now))
    if now_nanos < cliff_nanos or now_nanos <= start_nanos:
        return 0
    if now_nanos >= end_nanos:
        return total
    if curve is None:
        return None
    elapsed, duration = now_nanos - start_nanos, end_nanos - start_nanos
    if curve is Curve.STEPS:
        return _steps(total, duration, elapsed, step_duration, multiplier_bps)
    if curve is Curve.EXPONENTIAL:
        return _squared(total, duration, elapsed)
    return _linear(total, duration, elapsed)


def _linear(total: int, duration: int, elapsed: int) -> int:
    """Return the linear share; once the scaled product overflows, a coarse one that can be 0.

    Times are in nanoseconds. The contract checks ``total * elapsed * 10^7``; where that does not fit an i128 it divides
    first, which loses everything below one unit a nanosecond.
    """
    scaled = total * elapsed * SCALE
    if _fits(scaled) and _fits(total * elapsed):
        return quotient(quotient(scaled, duration), SCALE)
    return wrap_i128(quotient(total, duration) * elapsed)


def _squared(total: int, duration: int, elapsed: int) -> int:
    """Return the squared share, cut to seven digits twice."""
    if total <= 0:
        return 0
    ratio = quotient(elapsed * SCALE, duration)  # 64 bits times 10^7 always fits
    return quotient(wrap_i128(total * (ratio * ratio // SCALE)), SCALE)


def _steps(total: int, duration: int, elapsed: int, step_duration: int, multiplier_bps: int) -> int:
    """Return the share of geometric steps: each runs at the rate of the one before times ``1 + multiplier``."""
    step = wrap_i128(step_duration * NANOSECONDS)
    if step == 0:
        raise ContractTrapError("a step that lasts no time")
    done, into = quotient(elapsed, step) & _U32, elapsed - quotient(elapsed, step) * step
    factor = wrap_i128(BPS + multiplier_bps)
    reached = _power(factor, done)
    whole = wrap_i128((_power(factor, quotient(duration, step) & _U32) - STEP_SCALE) * step)
    if whole <= 0:
        return _linear(total, duration, elapsed)
    share = wrap_i128((reached - STEP_SCALE) * step) + quotient(
        wrap_i128(wrap_i128(reached * into) * multiplier_bps), BPS
    )
    return quotient(wrap_i128(total * wrap_i128(share)), whole)


def _power(factor: int, exponent: int) -> int:
    """Return ``(factor / 10^4) ^ exponent`` with nine digits, truncated after every product."""
    result, base = STEP_SCALE, factor
    while exponent:
        if exponent & 1:
            result = quotient(wrap_i128(result * base), BPS)
        base = quotient(wrap_i128(base * base), BPS)
        exponent >>= 1
    return result


def rebalanced(total: int, withdrawn: int, factor_bps: int) -> int:
    """Return a V2 stream's total after ``rebalance``: what is not withdrawn yet shrinks to ``factor_bps``."""
    return wrap_i128(withdrawn + quotient(wrap_i128((total - withdrawn) * factor_bps), BPS))


def quotient(dividend: int, divisor: int) -> int:
    """Return the quotient truncated towards zero, as Rust divides; raise :class:`ContractTrapError` as it panics."""
    if divisor == 0:
        raise ContractTrapError("a division by zero")
    result = abs(dividend) // abs(divisor)
    return result if (dividend < 0) == (divisor < 0) else -result


def _fits(number: int) -> bool:
    return -_I128_SIGN <= number < _I128_SIGN


def wrap_i128(number: int) -> int:
    """Return what is left of an amount in 128 bits with a sign."""
    return (number + _I128_SIGN & _I128_ALL) - _I128_SIGN


def wrap_u64(number: int) -> int:
    """Return what is left of a time in 64 bits."""
    return number & _U64
