"""How unknown events are described: enough to recognise a shape, nothing of what a single event says."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import StrKey, scval, xdr

from stellarstream_core.testing.scripted import made_event
from stellarstream_nebula.decoders import LONGEST_SHAPE, describe_shape

ADDRESS = StrKey.encode_contract(bytes(range(32)))


def described(topics: Sequence[xdr.SCVal], value: xdr.SCVal) -> str:
    return described_bytes([topic.to_xdr_bytes() for topic in topics], value.to_xdr_bytes())


def described_bytes(topics: Sequence[bytes], value: bytes) -> str:
    return describe_shape(made_event(5)._replace(topics=tuple(topics), value=value))


def test_the_name_is_the_first_topic():
    topics = [scval.to_symbol("transfer"), scval.to_address(ADDRESS), scval.to_symbol("locked")]
    assert described(topics, scval.to_int128(5)) == "(symbol transfer, address, symbol) i128"


def test_the_name_is_the_second_topic_after_a_number():
    data = scval.to_struct(
        {
            "action": scval.to_symbol("claim"),
            "version": scval.to_uint32(3),
            "timestamp": scval.to_uint64(4),
            "data": scval.to_vec([scval.to_uint64(7), scval.to_address(ADDRESS), scval.to_int128(9)]),
        }
    )
    topics = [scval.to_uint64(7), scval.to_symbol("claim")]
    assert described(topics, data) == "(u64, symbol claim) map{symbol, vec[u64, address, i128], u64, u32}"


def test_an_event_without_a_name_has_only_types():
    assert described([scval.to_address(ADDRESS), scval.to_symbol("x")], scval.to_void()) == "(address, symbol) void"
    assert described([], scval.to_vec([])) == "() vec[]"


def test_a_map_by_anything_but_symbols_says_so():
    data = scval.to_map({scval.to_uint32(1): scval.to_bool(True)})
    assert described([scval.to_symbol("x")], data) == "(symbol x) map{key bool}"


def test_what_is_long_or_deep_is_cut_short():
    items = [scval.to_uint64(n) for n in range(20)]
    assert described([], scval.to_vec(items)) == f"() vec[{', '.join(['u64'] * 12)}, …]"
    deep = scval.to_uint64(1)
    for _ in range(10):
        deep = scval.to_vec([deep])
    assert described([], deep) == "() vec[vec[vec[vec]]]"
    wide = scval.to_vec([scval.to_vec(items)] * 12)
    text = described([scval.to_symbol("x" * 32)] * 4, wide)
    assert len(text) == LONGEST_SHAPE
    assert text.endswith("…")


@pytest.mark.parametrize("raw", [b"", b"\0\0\0\x05", b"\xff\xff\xff\xff", b"\0\0\0\x01\0\0\0\0"])
def test_bytes_that_are_no_scval_are_unreadable(raw):
    assert described_bytes([raw], raw) == "(unreadable) unreadable"


def test_a_name_that_is_no_symbol_of_the_network_is_not_repeated():
    raw = b"\0\0\0\x0f\0\0\0\x03a\nb\0"
    assert described_bytes([raw], scval.to_void().to_xdr_bytes()) == "(symbol) void"


def test_values_make_no_difference():
    def event(number: int) -> str:
        topics = [scval.to_symbol("made"), scval.to_uint64(number), scval.to_string(f"text {number}")]
        record = {f"key{number}": scval.to_symbol(f"sym{number}"), f"number{number}": scval.to_int128(number)}
        return described(topics, scval.to_struct(record))

    assert {event(number) for number in range(50)} == {"(symbol made, u64, string) map{symbol, i128}"}


@given(st.lists(st.binary(max_size=60), max_size=6), st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_a_description_of_one_short_line(topics, value):
    text = described_bytes(topics, value)
    assert len(text) <= LONGEST_SHAPE
    assert re.fullmatch(r"[A-Za-z0-9_(), {}\[\]…]+", text)
