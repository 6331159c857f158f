"""The chart of minutes stays inside its axes and says in words what it shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.minutes import Minute
from stellarstream_core.api.pages.chart import HEIGHT, MOST_LABELS, minutes_chart, round_up

FIRST = 1_700_000_040
counts = st.lists(st.integers(0, 10**7), min_size=1, max_size=120)


def chart_of(events: list[int], later: float = 0):
    minutes = [Minute(FIRST + 60 * at, count) for at, count in enumerate(events)]
    return minutes_chart(minutes, minutes[-1].start + later)


@given(st.integers(0, 10**12))
def test_the_highest_line_is_a_round_number_above_whose_half_is_whole(count):
    top = round_up(count)
    assert top >= count
    assert top % 2 == 0
    assert top <= max(2, 2 * count)
    assert len(str(top).rstrip("0")) == 1


@given(counts)
def test_bars_lie_inside_the_plot_and_are_as_high_as_their_minutes(events):
    chart = chart_of(events)
    assert len(chart.bars) == sum(count > 0 for count in events)
    for bar in chart.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= 100.01
        assert bar.y >= 0
        assert bar.y + bar.height <= HEIGHT + 0.01
        assert bar.height >= 1.5
    assert chart.total == sum(events)
    assert [count for _, count in chart.rows] == events


@given(counts)
def test_labels_are_few_and_round(events):
    times = chart_of(events).times
    assert len(times) <= MOST_LABELS + 1
    assert all(0 <= tick.at < 100 for tick in times)


def test_the_summary_says_when_how_many_and_when_most():
    chart = chart_of([0, 3, 1_200, 5])
    assert chart.summary == "1,208 events from 22:14 to 22:17 UTC, 302 a minute on average; most at 22:16: 1,200."
    assert chart_of([0, 0]).summary == "No events from 22:14 to 22:15 UTC."


def test_an_old_hour_tells_its_date():
    assert chart_of([1, 1], later=86_400).summary.startswith("2 events from 2023-11-14, 22:14 to 22:15 UTC")


def test_no_minutes_no_chart():
    assert minutes_chart([], 0) is None
