"""Server-sent events, however the network cuts them up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_horizon.sse import MOST_BYTES, OverlongEventError, SseEvent, SseReader

RECORDED = (
    b'retry: 1000\nevent: open\ndata: "hello"\n\n'
    b'id: 17179869184\ndata: {"sequence": 4}\n\n'
    b": a comment\r\nid: 21474836480\r\ndata: {\r\ndata: }\r\n\r\n"
    b'retry: 10\nevent: close\ndata: "byebye"\n\n'
)
EVENTS = [
    SseEvent("open", '"hello"'),
    SseEvent("message", '{"sequence": 4}'),
    SseEvent("message", "{\n}"),
    SseEvent("close", '"byebye"'),
]


@given(st.lists(st.integers(0, len(RECORDED)), max_size=12))
def test_a_stream_in_any_pieces_gives_the_same_events(cuts):
    reader = SseReader()
    places = [0, *sorted(cuts), len(RECORDED)]
    found = [event for a, b in zip(places, places[1:], strict=False) for event in reader.feed(RECORDED[a:b])]
    assert found == EVENTS
    assert (reader.last_id, reader.retry) == ("21474836480", 0.01)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_any_of_the_three_ways(end):
    reader = SseReader()
    found = reader.feed(b"\xef\xbb\xbfid: 5" + end + b"data:x" + end + end + b"data: y" + end + end + b"z")
    assert found == [SseEvent("message", "x"), SseEvent("message", "y")]


def test_an_event_that_is_cut_off_is_none_and_its_id_is_not_taken_up():
    reader = SseReader("7")
    assert reader.feed(b"id: 8\ndata: x\n") == []
    assert reader.last_id == "7"


def test_an_event_without_data_only_moves_the_id():
    reader = SseReader()
    assert reader.feed(b"id: 9\n\n") == []
    assert reader.last_id == "9"


@pytest.mark.parametrize(
    "line", [b"retry: soon", b"retry: -1", b"id: a\0b", b"nonsense", b":", b"retry: " + b"9" * 5_000]
)
def test_fields_that_mean_nothing_are_passed_over(line):
    reader = SseReader("7")
    assert reader.feed(line + b"\ndata: x\n\n") == [SseEvent("message", "x")]
    assert reader.last_id == "7"
    assert reader.retry is None or reader.retry < 10**6


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 1_000, b"data: x\n" * 200])
def test_an_event_without_end_is_a_failure(piece):
    reader = SseReader()

    def feed() -> None:
        for _ in range(MOST_BYTES // 500):
            reader.feed(piece)

    with pytest.raises(OverlongEventError):
        feed()


@given(st.binary(max_size=300))
def test_any_bytes_give_events_or_nothing(raw):
    for event in SseReader().feed(raw):
        assert isinstance(event.data, str)
