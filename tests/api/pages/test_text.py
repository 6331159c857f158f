"""Strangers' text is shown so that nothing of it is hidden or turned around."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.pages.text import clip, duration, ledgers, plural, short, visible

from .kit import OVERRIDE


@given(st.text())
def test_visible_text_holds_no_control_and_no_format_character(text):
    kinds = {unicodedata.category(character) for character in visible(text)}
    # format characters of scripts that need them (Arabic number signs) do have a look
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(visible(text)) & set(
        "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
    )


@given(
    st.text(
        alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\u115f\u1160\u3164\uffa0")
    )
)
def test_text_that_can_be_seen_is_left_as_it_is(text):
    assert visible(text) == text


def test_an_override_of_direction_is_named():
    assert visible(OVERRIDE) == "safe⟨U+202E⟩drawkcab"


def test_addresses_and_hashes_are_shortened_and_nothing_else():
    assert short("CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA") == "CAS3J…OWMA"
    assert short("0123456789abcdef" * 4) == "01234…cdef"
    assert short("CAS3J7GYLGXM") == "CAS3J7GYLGXM"
    assert short("C" * 55 + "\n") == "C" * 55 + "⟨U+000A⟩"


@given(st.text(), st.integers(1, 50))
def test_a_clipped_text_is_never_longer(text, longest):
    assert len(clip(text, longest)) <= longest
    assert clip(text, len(text) + 1) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (14.6, "15 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3_600, "60 min"),
        (6_000, "1 h 40 min"),
        (7_200, "2 h"),
        (47 * 3_600, "47 h"),
        (200_000, "2 days"),
        (10**9, "11,574 days"),
    ],
)
def test_durations_read_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_one_is_singular():
    assert plural(1, "ledger") == "1 ledger"
    assert plural(1_234, "ledger") == "1,234 ledgers"
    assert ledgers(7, 7) == "7"
    assert ledgers(7, 1_008) == "7 to 1,008"
