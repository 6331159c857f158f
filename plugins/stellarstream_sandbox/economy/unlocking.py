"""How much of a stream is unlocked at a moment: the published contracts' formulas, with their integers.

The contracts are built without overflow checks: where an ``i128`` or a ``u64`` runs over, it wraps, and a
division rounds towards zero. Both are repeated here, because what a stream pays depends on it.
"""

from __future__ import annotations

NANOS = 10**9
"""Nanoseconds in a second: V2 counts in them."""

_SCALE = 10**7
"""V2's fixed point: seven decimals."""
_STEP_SCALE = 10**9
"""The fixed point of V2's powers."""
_MAX = 2**127 - 1
_BPS = 10_000


def i128(number: int) -> int:
    """Return what is left of a number in 128 bits with a sign."""
    return (number + 2**127) % 2**128 - 2**127


def u64(number: int) -> int:
    """Return what is left of a number in 64 bits without a sign."""
    return number % 2**64


def quotient(number: int, divisor: int) -> int:
    """Return the quotient rounded towards zero, as Rust divides; raise ``ZeroDivisionError`` like it panics."""
    result = abs(number) // abs(divisor)
    return result if (number < 0) == (divisor < 0) else -result


def _fits(number: int) -> bool:
    return -_MAX - 1 <= number <= _MAX


def linear(total: int, elapsed: int, duration: int) -> int:
    """Return the linear share of ``total``, rounded down."""
    return quotient(i128(total * elapsed), duration)


def exponential(total: int, elapsed: int, duration: int) -> int:
    """Return the share that grows with the square of the time, rounded down; the linear one where it runs over."""
    squared = elapsed * elapsed
    if not (_fits(squared) and _fits(duration * duration) and _fits(total * squared)):
        return linear(total, elapsed, duration)
    return quotient(total * squared, duration * duration)


def unlocked_v1(
    *,
    total: int,
    start: int,
    cliff: int,
    end: int,
    now: int,
    paused_at: int | None = None,
    paused_before: int = 0,
    is_exponential: bool = False,
) -> int:
    """Return what a V1 stream has unlocked at ``now`` (Unix seconds), withdrawn or not.

    A pause stops the clock at ``paused_at``; ``paused_before`` is how long earlier pauses lasted,
    and moves cliff and end. A cliff unlocks what has run up since the start.
    """
    if now <= start:
        return 0
    effective = now if paused_at is None else paused_at
    if effective < u64(cliff + paused_before):
        return 0
    if effective >= u64(end + paused_before):
        return total
    elapsed = effective - start - paused_before
    if elapsed <= 0:
        return 0
    return (exponential if is_exponential else linear)(total, elapsed, end - start)


def unlocked_v2(
    *,
    total: int,
    start: int,
    cliff: int,
    end: int,
    now: int,
    step_duration: int = 0,
    multiplier_bps: int = 0,
    curve_type: int = 0,
    is_cancelled: bool = False,
) -> int:
    """Return what a V2 stream has unlocked at ``now`` (Unix seconds), withdrawn or not.

    The contract counts in nanoseconds. That is why the linear share of large amounts over long times runs
    over and comes out far too small, see :func:`flow`. With steps of ``step_duration`` seconds each step pays
    ``multiplier_bps`` more than the one before; such a stream can unlock more than its total where its
    duration is no multiple of the step. Raises ``ZeroDivisionError`` where the contract panics.
    """
    now_ns, start_ns, cliff_ns, end_ns = (u64(seconds * NANOS) for seconds in (now, start, cliff, end))
    if now_ns < cliff_ns or now_ns <= start_ns:
        return 0
    if now_ns >= end_ns or is_cancelled:
        return total
    elapsed, duration = now_ns - start_ns, end_ns - start_ns
    if step_duration > 0:
        return _stepped(total, duration, elapsed, i128(step_duration * NANOS), multiplier_bps)
    if curve_type == 1:
        return _squared(total, duration, elapsed)
    return flow(total, duration, elapsed)


def flow(total: int, duration: int, elapsed: int) -> int:
    """Return V2's linear share; times in nanoseconds.

    It multiplies by a scale of 10**7 before it divides. Where that runs over 128 bits it takes the amount a
    nanosecond first, rounded down: nothing at all for most tokens, or whole steps of one stroop a nanosecond.
    """
    if duration <= 0 or elapsed <= 0:
        return 0
    if elapsed >= duration:
        return total
    if not (_fits(total * elapsed) and _fits(total * elapsed * _SCALE)):
        return i128(quotient(total, duration) * elapsed)
    return quotient(quotient(total * elapsed * _SCALE, duration), _SCALE)


def _squared(total: int, duration: int, elapsed: int) -> int:
    """Return the share that grows with the square of the time, by a ratio cut off after seven decimals."""
    if duration <= 0 or elapsed <= 0 or total <= 0:
        return 0
    ratio = elapsed * _SCALE // duration  # below 2**64 * 10**7, so it cannot run over
    return quotient(i128(total * (ratio * ratio // _SCALE)), _SCALE)


def _stepped(total: int, duration: int, elapsed: int, step: int, multiplier_bps: int) -> int:
    """Return the share of geometric steps; times in nanoseconds."""
    steps, within = quotient(elapsed, step), elapsed - quotient(elapsed, step) * step
    growth = i128(_BPS + multiplier_bps)
    at_end = _power(growth, quotient(duration, step) % 2**32)
    at_step = _power(growth, steps % 2**32)
    denominator = i128(i128(at_end - _STEP_SCALE) * step)
    if denominator <= 0:
        return flow(total, duration, elapsed)
    whole = i128(i128(at_step - _STEP_SCALE) * step)
    part = quotient(i128(i128(at_step * within) * multiplier_bps), _BPS)
    return quotient(i128(total * i128(whole + part)), denominator)


def _power(growth_bps: int, exponent: int) -> int:
    """Return ``(growth_bps / 10,000) ** exponent`` as V2 rounds it on the way, scaled by 10**9."""
    result, base = _STEP_SCALE, growth_bps
    while exponent > 0:
        if exponent % 2 == 1:
            result = quotient(i128(result * base), _BPS)
        base = quotient(i128(base * base), _BPS)
        exponent //= 2
    return result
