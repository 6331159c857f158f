"""Cursors: what was given is read back, whatever else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.cursors import LONGEST, Cursors
from stellarstream_core.api.problems import InvalidCursorError

CURSORS = Cursors(b"a secret that all workers share")
keys = st.text(st.characters(codec="utf-8"), max_size=60)
words = st.text(max_size=20)


@given(words, words, keys)
def test_a_cursor_gives_its_key_back_to_its_own_list_and_filters(what, filters, key):
    assert CURSORS.read(what, filters, CURSORS.make(what, filters, key)) == key


@given(words, words, words, words, keys)
def test_a_cursor_is_refused_for_another_list_or_other_filters(what, filters, other_what, other_filters, key):
    if (what, filters) == (other_what, other_filters):
        return
    with pytest.raises(InvalidCursorError):
        CURSORS.read(other_what, other_filters, CURSORS.make(what, filters, key))


@given(keys, st.data())
def test_a_cursor_with_any_character_changed_is_refused(key, data):
    cursor = CURSORS.make("events", "", key)
    at = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.characters(codec="utf-8").filter(lambda c: c != cursor[at]))
    with pytest.raises(InvalidCursorError):
        CURSORS.read("events", "", cursor[:at] + letter + cursor[at + 1 :])


@given(st.text(max_size=200))
def test_whatever_else_is_no_cursor(text):
    with pytest.raises(InvalidCursorError):
        CURSORS.read("events", "", text)


def test_a_cursor_of_another_secret_is_refused():
    with pytest.raises(InvalidCursorError):
        CURSORS.read("events", "", Cursors(b"another").make("events", "", "k"))


def test_a_huge_cursor_is_not_looked_at():
    with pytest.raises(InvalidCursorError):
        CURSORS.read("events", "", "A" * (LONGEST + 1))
