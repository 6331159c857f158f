"""What a response's headers and numbers say, whatever is in them; and how long to wait."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.endpoints.http import read_retry_after, whole_number
from stellarstream_core.endpoints.timing import Timing


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 007 ", 7),
        ("0", 0),
        (formatdate(1_700_000_030, usegmt=True), 30),
        (formatdate(1_600_000_000, usegmt=True), 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
    ],
)
def test_a_pause_is_read_in_seconds_or_as_a_date(text, seconds):
    assert read_retry_after(text, 1_700_000_000) == seconds


@pytest.mark.parametrize("text", ["9" * 9_000, "0" * 9_000 + "3", f"Mon, {'1' * 9_000} Jan 2024 00:00:00 GMT"])
def test_a_pause_of_thousands_of_digits_raises_nothing(text):
    found = read_retry_after(text, 0.0)
    assert found is None or found >= 0


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ (GMT|[+-]\d+)"))
def test_whatever_stands_in_retry_after_raises_nothing(text):
    found = read_retry_after(text, 1.0)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        ("4611686018427387904", 2**62),
        ("9" * 20, None),
        ("1" * 9_000, None),
        (True, None),
        ("²", None),
    ],
)
def test_a_number_is_read_from_a_number_or_from_text_of_a_sane_length(value, number):
    assert whole_number(value) == number


def test_pauses_double_up_to_a_bound_with_full_jitter():
    longest = Timing(random=lambda: 1.0)
    assert [longest.backoff(n, 0.5, 20) for n in (1, 2, 3, 6, 7, 500)] == [0.5, 1, 2, 16, 20, 20]
    assert Timing(random=lambda: 0.0).backoff(5, 0.5, 20) == 0
