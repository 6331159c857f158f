"""The chart of a schedule: it is what the contracts pay out, and its sentence says the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_invoice_links.page.chart import percent_text, schedule, unlocked_percent
from stellarstream_invoice_links.page.times import Time, time_of
from stellarstream_nebula.amounts import unlocked_v1

START = 1_767_225_600  # 1 January 2026
DAY = 86_400
WHOLE = 10**12


def corners(points: str) -> list[tuple[float, float]]:
    """Return time and share, both in percent, of an SVG's points."""
    pairs = (point.split(",") for point in points.split())
    return [(float(x), 100 - float(y)) for x, y in pairs]


def share_on(points: str, x: float) -> float:
    """Return the share that a line shows at a time, the upper one where it goes straight up."""
    line = corners(points)
    found = 0.0
    for (left, low), (right, high) in zip(line, line[1:], strict=False):
        if left <= x <= right:
            found = high if left == right else low + (high - low) * (x - left) / (right - left)
    return found


def test_a_stream_without_a_start_begins_when_it_is_paid():
    plan = schedule(30 * DAY)
    assert corners(plan.line) == [(0, 0), (100, 100)]
    assert (plan.first, plan.last) == ("When it is paid", "30 days later")
    assert plan.summary == "Unlocks evenly, second by second, for 30 days from when it is paid."
    assert (plan.cliff, plan.now) == (None, None)


def test_a_stream_with_a_start_names_its_moments():
    plan = schedule(30 * DAY, START)
    assert (plan.first, plan.last) == (time_of(START), time_of(START + 30 * DAY))
    assert plan.summary == (
        "Unlocks evenly, second by second, from 1 January 2026, 00:00 UTC until 31 January 2026, 00:00 UTC."
    )


def test_at_the_cliff_what_has_run_up_is_unlocked_at_once():
    plan = schedule(40 * DAY, START, START + 10 * DAY)
    assert corners(plan.line) == [(0, 0), (25, 0), (25, 25), (100, 100)]
    assert (plan.cliff.x, plan.cliff.y, plan.cliff.anchor) == (25, 75, "start")
    assert plan.summary == (
        "Nothing unlocks before 11 January 2026, 00:00 UTC (the cliff); then 25% at once, and the rest evenly, second "
        "by second, until 10 February 2026, 00:00 UTC."
    )


def test_a_cliff_at_the_end_unlocks_all_of_it():
    plan = schedule(DAY, START, START + DAY)
    assert corners(plan.line) == [(0, 0), (100, 0), (100, 100), (100, 100)]
    assert plan.summary.endswith("(the cliff); then all of it at once.")
    assert plan.cliff.anchor == "end"


def test_a_cliff_at_the_start_is_none():
    assert schedule(DAY, START, START) == schedule(DAY, START)


def test_the_area_is_the_line_closed_below():
    plan = schedule(40 * DAY, START, START + 10 * DAY)
    assert plan.area == f"{plan.line} 100,100 0,100"


@pytest.mark.parametrize(
    ("now", "marked"),
    [(START - 1, None), (START, None), (START + DAY, (25, 100)), (START + 3 * DAY, (75, 25)), (START + 4 * DAY, None)],
)
def test_now_is_marked_where_it_lies_inside_on_the_line(now, marked):
    plan = schedule(4 * DAY, START, START + 2 * DAY, now)
    assert (plan.now and (plan.now.x, plan.now.y)) == marked


def test_the_sentence_holds_its_moments_for_programs_too():
    plan = schedule(40 * DAY, START, START + 10 * DAY)
    moments = [part for part in plan.sentence if isinstance(part, Time)]
    assert [moment.seconds for moment in moments] == [START + 10 * DAY, START + 40 * DAY]
    assert moments[0].iso == "2026-01-11T00:00:00Z"


@given(
    duration=st.integers(1, 10**9),
    cliff=st.none() | st.floats(0, 1),
    at=st.floats(0, 1.2),
)
def test_the_line_is_what_the_contract_unlocks(duration, cliff, at):
    ends = None if cliff is None else START + int(duration * cliff)
    now = START + int(duration * at)
    told = unlocked_v1(total=WHOLE, start=START, cliff=START if ends is None else ends, end=START + duration, now=now)
    expected = 100 * told / WHOLE
    if now > START:
        assert unlocked_percent(duration, START, ends, now) == pytest.approx(expected, abs=0.01)
    x = min(100 * (now - START) / duration, 100.0)
    # beside the cliff itself, where the line goes straight up: it is drawn to a thousandth of a percent
    if ends is None or abs(x - 100 * (ends - START) / duration) > 0.01:
        assert share_on(schedule(duration, START, ends).line, x) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("percent", "text"),
    [(0, "0%"), (0.2, "less than 1%"), (1, "1%"), (33.3, "33%"), (99.2, "more than 99%"), (100, "100%")],
)
def test_a_share_is_never_written_as_none_or_all_where_it_is_neither(percent, text):
    assert percent_text(percent) == text


def test_a_time_is_cut_to_the_minute_for_reading_and_kept_for_programs():
    moment = time_of(START + 59)
    assert (moment.text, moment.brief) == ("1 January 2026, 00:00 UTC", "1 Jan 2026, 00:00")
    assert (moment.iso, moment.seconds) == ("2026-01-01T00:00:59Z", START + 59)
