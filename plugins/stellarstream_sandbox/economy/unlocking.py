"""How much of a stream is unlocked at a moment: the published contracts' formulas, in exact integers."""

from __future__ import annotations


def linear(total: int, elapsed: int, duration: int) -> int:
    """Return the linear share of ``total``, rounded down."""
    return total * elapsed // duration


def exponential(total: int, elapsed: int, duration: int) -> int:
    """Return the share that grows with the square of the time, rounded down."""
    return total * elapsed * elapsed // (duration * duration)


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
    if effective < cliff + paused_before:
        return 0
    if effective >= end + paused_before:
        return total
    elapsed = effective - start - paused_before
    if elapsed <= 0:
        return 0
    return (exponential if is_exponential else linear)(total, elapsed, end - start)


def unlocked_v2(*, total: int, start: int, cliff: int, end: int, now: int) -> int:
    """Return what a V2 stream without steps has unlocked at ``now`` (Unix seconds), withdrawn or not.

    The contract counts in nanoseconds, which changes nothing here: the quotient is the same.
    """
    if now < cliff or now <= start:
        return 0
    if now >= end:
        return total
    return linear(total, now - start, end - start)
