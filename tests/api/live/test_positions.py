"""Positions: one text for each, and nothing else is one."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stellarstream_core.api.live.positions import (
    LENGTH,
    MAX_COMMIT,
    MAX_TAKEN,
    MalformedPositionError,
    Place,
    Position,
    parse_position,
)

places = st.builds(Place, st.integers(1, MAX_COMMIT), st.integers(0, MAX_TAKEN))
positions = st.builds(Position, st.uuids().map(str), places)


@given(positions)
def test_a_position_is_read_back_as_it_was_written(position):
    text = str(position)
    assert parse_position(text) == position
    assert len(text) == LENGTH
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")


@given(
    st.one_of(
        st.text(max_size=60), st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=40, max_size=40)
    )
)
@example("")
@example("é" * 40)
@example("=" * 40)
@example("\n" * 40)
def test_what_is_accepted_is_written_the_same_way(text):
    try:
        position = parse_position(text)
    except MalformedPositionError:
        return
    assert str(position) == text


@given(positions, st.data())
def test_a_position_with_one_character_more_less_or_foreign_is_malformed(position, data):
    text = str(position)
    at = data.draw(st.integers(0, len(text) - 1))
    for other in (
        text[:at] + text[at + 1 :],
        text[:at] + "A" + text[at:],
        text[:at] + "+" + text[at + 1 :],
        text + "=",
    ):
        with pytest.raises(MalformedPositionError):
            parse_position(other)


@given(positions, positions)
def test_places_are_ordered_by_commit_and_then_by_events_taken(one, other):
    assert (one.place < other.place) == ((one.place.commit, one.place.taken) < (other.place.commit, other.place.taken))


def test_a_position_that_names_no_commit_is_malformed():
    with pytest.raises(MalformedPositionError):
        parse_position(str(Position("00000000-0000-0000-0000-000000000000", Place(0))))


def test_a_malformed_position_is_a_value_error_and_a_problem_of_status_400():
    with pytest.raises(ValueError, match="not a position") as raised:
        parse_position("0000000004294967296-0000000000")
    assert raised.value.status == 400
    assert raised.value.code == "malformed-position"
