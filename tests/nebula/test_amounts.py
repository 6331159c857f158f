"""Unlocked amounts are the contracts' own, to the last unit, overflow included."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_nebula.amounts import ContractTrapError, quotient, rebalanced, unlocked_v1, unlocked_v2
from stellarstream_nebula.model import Curve
from stellarstream_sandbox.economy.unlocking import unlocked_v1 as contracts_v1

COIN = 10**7
DAY = 86_400
YEAR = 365 * DAY
START = 1_700_000_000
I128_MAX = 2**127 - 1


def v2(total, duration, elapsed, curve=Curve.LINEAR, **more):
    return unlocked_v2(
        total=total, start=START, cliff=START, end=START + duration, now=START + elapsed, curve=curve, **more
    )


def v1(total, duration, elapsed, **more):
    return unlocked_v1(total=total, start=START, cliff=START, end=START + duration, now=START + elapsed, **more)


# --- V2: the overflow -----------------------------------------------------------------------


def test_sixty_million_tokens_over_a_year_read_nothing_from_90_percent_until_the_end():
    total = 60_000_000 * COIN
    last_second = I128_MAX // (total * 10**7) // 10**9
    assert YEAR // 2 < last_second < YEAR
    assert v2(total, YEAR, YEAR // 2) == total // 2
    assert v2(total, YEAR, last_second) == total * last_second // YEAR
    for elapsed in (last_second + 1, YEAR * 95 // 100, YEAR - 1):
        assert v2(total, YEAR, elapsed) == 0
    assert v2(total, YEAR, YEAR) == total


def test_a_billion_tokens_over_thirty_days_read_770_million_instead_of_990_at_99_percent():
    duration = 30 * DAY
    elapsed = duration * 99 // 100
    total = 10**9 * COIN
    assert v2(total, duration, elapsed) == 3 * elapsed * 10**9
    assert round(v2(total, duration, elapsed) / COIN / 10**6, 1) == 769.8
    assert v1(total, duration, elapsed) == 990_000_000 * COIN


@given(st.integers(1, 10**15), st.integers(1, 60 * DAY), st.data())
def test_v2_linear_is_the_exact_floor_while_its_product_fits(total, duration, data):
    elapsed = data.draw(st.integers(1, duration))
    unlocked = v2(total, duration, elapsed)
    if total * elapsed * 10**16 <= I128_MAX:
        assert unlocked == total * elapsed // duration
    else:
        assert unlocked <= total * elapsed // duration or elapsed == duration


# --- V2: curves and steps -------------------------------------------------------------------


def test_v2s_curve_is_cut_to_seven_digits_where_v1s_is_exact():
    total, duration, elapsed = 10**15, 3, 1
    assert v2(total, duration, elapsed, Curve.EXPONENTIAL) == total * 1111110 // 10**7
    assert v1(total, duration, elapsed, curve=Curve.EXPONENTIAL) == total // 9


def test_steps_that_double_pay_one_two_and_four_sevenths():
    total, steps = 7_000, {"step_duration": 100, "multiplier_bps": 10_000}
    assert [v2(total, 300, elapsed, Curve.STEPS, **steps) for elapsed in (50, 100, 150, 200, 250, 300)] == [
        500,
        1000,
        2000,
        3000,
        5000,
        7000,
    ]


@pytest.mark.parametrize("multiplier", [0, -1, -10_000, -20_000])
def test_steps_that_do_not_grow_are_linear(multiplier):
    assert v2(1000, 300, 150, Curve.STEPS, step_duration=100, multiplier_bps=multiplier) == 500


def test_steps_of_a_rest_can_unlock_more_than_the_total():
    assert v2(1000, 299, 298, Curve.STEPS, step_duration=100, multiplier_bps=10_000) > 1000


def test_steps_wrap_around_as_the_release_build_does():
    total, scale, step = 10**25, 10**9, 10 * 10**9
    exact = total * (2**15 - 1) * scale * step
    wrapped = (exact + 2**127) % 2**128 - 2**127
    assert wrapped != exact
    unlocked = v2(total, 200, 150, Curve.STEPS, step_duration=10, multiplier_bps=10_000)
    assert unlocked == int(Fraction(wrapped, (2**20 - 1) * scale * step))


def test_a_step_that_wraps_to_no_time_traps():
    with pytest.raises(ContractTrapError):
        v2(1000, 300, 150, Curve.STEPS, step_duration=2**119, multiplier_bps=1)


@given(st.integers(1, 10**12), st.integers(2, 12), st.integers(2, 50), st.integers(1, 10_000))
def test_inside_a_step_nothing_shrinks_and_the_end_is_the_total(total, count, step, multiplier):
    found = [
        v2(total, count * step, elapsed, Curve.STEPS, step_duration=step, multiplier_bps=multiplier)
        for elapsed in range(count * step + 1)
    ]
    for first in range(0, count * step, step):
        within = found[first : first + step]
        assert within == sorted(within)
    assert found[0] == 0
    assert found[-1] == total


def test_from_one_step_to_the_next_truncated_powers_can_take_something_back():
    steps = {"step_duration": 49, "multiplier_bps": 14}
    assert v2(597_482, 686, 391, Curve.STEPS, **steps) == 339_888
    assert v2(597_482, 686, 392, Curve.STEPS, **steps) == 339_513


# --- both -----------------------------------------------------------------------------------

TIMES = st.integers(0, 4 * YEAR)


@given(st.integers(1, 10**13), TIMES, TIMES, TIMES, st.sampled_from([Curve.LINEAR, Curve.EXPONENTIAL]), TIMES, TIMES)
def test_without_overflow_unlocked_grows_from_nothing_to_the_total(total, start, cliff_after, more, curve, one, two):
    start += 1
    cliff, end = start + cliff_after, start + cliff_after + more + 1
    early, late = sorted((one, two))
    for formula in (unlocked_v1, unlocked_v2):
        before, after = (
            formula(total=total, start=start, cliff=cliff, end=end, now=now, curve=curve) for now in (early, late)
        )
        if formula is unlocked_v1 or curve is Curve.EXPONENTIAL or total * (end - start) * 10**16 <= I128_MAX:
            assert 0 <= before <= after <= total
        assert formula(total=total, start=start, cliff=cliff, end=end, now=cliff - 1, curve=curve) == 0
        assert formula(total=total, start=start, cliff=cliff, end=end, now=end, curve=curve) == total


@given(st.integers(1, 10**20), st.integers(1, YEAR), st.data())
def test_the_curves_never_run_ahead_of_linear(total, duration, data):
    elapsed = data.draw(st.integers(0, duration))
    assert v1(total, duration, elapsed, curve=Curve.EXPONENTIAL) <= v1(total, duration, elapsed)


def test_a_cliff_unlocks_at_once_what_has_run_up():
    for formula in (unlocked_v1, unlocked_v2):
        terms = {"total": 1000, "start": 100, "cliff": 150, "end": 200, "curve": Curve.LINEAR}
        assert [formula(now=now, **terms) for now in (149, 150, 151)] == [0, 500, 510]


def test_what_is_exactly_at_start_is_nothing_even_where_the_cliff_is_there():
    assert v1(1000, 100, 0) == v2(1000, 100, 0) == 0


def test_an_unknown_curve_matters_only_between_cliff_and_end():
    found = [v2(1000, 100, elapsed, None) for elapsed in (-1, 0, 1, 99, 100, 101)]
    assert found == [0, 0, None, None, 1000, 1000]


# --- V1 -------------------------------------------------------------------------------------


def test_a_pause_holds_the_clock_and_moves_cliff_and_end():
    terms = {"total": 1000, "start": 0, "cliff": 20, "end": 100}
    assert unlocked_v1(now=90, paused_at=50, **terms) == 500
    assert unlocked_v1(now=90, paused_before=40, **terms) == 500
    assert unlocked_v1(now=59, paused_before=40, **terms) == 0
    assert unlocked_v1(now=139, paused_before=40, **terms) == 990
    assert unlocked_v1(now=140, paused_before=40, **terms) == 1000


@given(st.integers(1, 10**18), st.integers(1, YEAR), st.integers(0, YEAR), st.data())
def test_pausing_and_going_on_unlocks_what_the_time_without_the_pause_would(total, duration, pause, data):
    elapsed = data.draw(st.integers(1, duration))
    assert v1(total, duration, elapsed + pause, paused_before=pause) == v1(total, duration, elapsed)


def test_v1s_square_falls_back_to_linear_where_it_does_not_fit():
    total = I128_MAX // 10**8
    assert v1(total, YEAR, YEAR // 2, curve=Curve.EXPONENTIAL) == total * (YEAR // 2) // YEAR
    assert v1(total, 10_000, 5_000, curve=Curve.EXPONENTIAL) == total // 4


def test_times_beyond_64_bits_wrap_around():
    forever = 2**64 - 1
    assert unlocked_v1(total=1000, start=10, cliff=10, end=forever, now=50, paused_before=20) == 1000
    assert unlocked_v2(total=1000, start=10, cliff=10, end=forever, now=2**62, curve=Curve.LINEAR) is not None


# --- small parts ----------------------------------------------------------------------------


@given(st.integers(-(10**30), 10**30), st.integers(-(10**9), 10**9).filter(bool))
def test_quotients_are_cut_towards_zero(dividend, divisor):
    found = quotient(dividend, divisor)
    rest = dividend - found * divisor
    assert abs(rest) < abs(divisor)
    assert rest == 0 or (rest < 0) == (dividend < 0)


def test_a_division_by_zero_traps():
    with pytest.raises(ContractTrapError):
        quotient(1, 0)


@given(st.integers(1, 10**18), st.data())
def test_rebalancing_touches_only_what_is_not_paid_out(total, data):
    withdrawn, factor = data.draw(st.integers(0, total)), data.draw(st.integers(0, 10_000))
    after = rebalanced(total, withdrawn, factor)
    assert after == withdrawn + (total - withdrawn) * factor // 10_000
    assert withdrawn <= after <= total


def test_amounts_agree_with_the_sandbox_contracts_at_the_edges_too():
    unlocking = pytest.importorskip("stellarstream_sandbox.economy.unlocking")
    numbers = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 10_000), st.integers(START, START + YEAR))
    amounts = st.one_of(st.integers(1, I128_MAX), st.integers(1, 10**17))

    @given(
        amounts,
        numbers,
        numbers,
        numbers,
        numbers,
        st.sampled_from([Curve.LINEAR, Curve.EXPONENTIAL, Curve.STEPS]),
        st.integers(1, 2**70),
        st.integers(-20_000, 2**70),
    )
    def v2_agrees(total, start, cliff, end, now, curve, step, multiplier):
        steps = {"step_duration": step, "multiplier_bps": multiplier} if curve is Curve.STEPS else {}
        terms = dict(total=total, start=start, cliff=cliff, end=end, now=now, **steps)
        theirs = unlocking.unlocked_v2(curve_type=int(curve is Curve.EXPONENTIAL), **terms)
        assert unlocked_v2(curve=curve, **terms) == theirs

    @given(
        amounts,
        st.lists(st.integers(0, 2**40), min_size=3, max_size=3).map(sorted).filter(lambda t: t[0] < t[2]),
        st.integers(0, 2**41),
        st.one_of(st.none(), st.integers(0, 2**41)),
        st.integers(0, 2**40),
        st.sampled_from([Curve.LINEAR, Curve.EXPONENTIAL]),
    )
    def v1_agrees(total, times, now, paused_at, paused_before, curve):
        start, cliff, end = times
        terms = {"total": total, "start": start, "cliff": cliff, "end": end, "now": now}
        pause = {"paused_at": paused_at, "paused_before": paused_before}
        theirs = unlocking.unlocked_v1(is_exponential=curve is Curve.EXPONENTIAL, **terms, **pause)
        assert unlocked_v1(curve=curve, **terms, **pause) == theirs

    v2_agrees()
    v1_agrees()


# --- V1: what the contract checks -----------------------------------------------------------


def test_v1s_curve_is_linear_where_a_square_alone_does_not_fit():
    duration, elapsed, total = 3 * 2**62, 2**40, 2**30
    assert duration * duration > I128_MAX > total * elapsed * elapsed
    assert v1(total, duration, elapsed, curve=Curve.EXPONENTIAL) == total * elapsed // duration > 0
    longest = 2**63
    assert longest * longest == I128_MAX // 2 + 1
    assert v1(total, longest, elapsed, curve=Curve.EXPONENTIAL) == 0


wide = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2 * YEAR), st.sampled_from([2**62, 2**63, 3 * 2**62]))


@given(
    total=st.one_of(st.integers(1, I128_MAX), st.integers(1, 10**12)),
    times=st.tuples(wide, wide, wide, wide),
    paused_at=st.one_of(st.none(), wide),
    paused_before=wide,
    is_exponential=st.booleans(),
)
def test_v1_is_the_contracts_own_for_times_and_amounts_of_every_size(
    total, times, paused_at, paused_before, is_exponential
):
    start, cliff, end = sorted(times[:3])
    if start == end:
        end = min(end + 1, 2**64 - 1)
        start = end - 1
    asked = {
        "total": total, "start": start, "cliff": cliff, "end": end, "now": times[3],
        "paused_at": paused_at, "paused_before": paused_before,
    }  # fmt: skip
    expected = contracts_v1(**asked, is_exponential=is_exponential)
    assert unlocked_v1(**asked, curve=Curve.EXPONENTIAL if is_exponential else Curve.LINEAR) == expected
