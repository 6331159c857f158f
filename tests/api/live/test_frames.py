"""Frames: what is sent is what a browser understands."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.live.frames import HEARTBEAT, Frames, ResetReason, bye, dropped, retry
from stellarstream_core.api.live.positions import Place, Position, parse_position
from stellarstream_core.event_json import EVENT_KEYS, event_to_json
from stellarstream_core.testing.scripted import made_event
from tests.api.live.kit import A, EventSource

EPOCH = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
FRAMES = Frames(EPOCH)


def read(data: bytes) -> EventSource:
    source = EventSource()
    source.feed(data)
    return source


def test_an_event_is_sent_as_an_export_prints_it_with_its_position_as_id():
    event = made_event(7, 2, 1, A)
    (message,) = read(FRAMES.event(event, Place(9, 4))).messages
    assert message.event == "message"
    assert message.json == orjson.loads(orjson.dumps(event_to_json(event)))
    assert tuple(message.json) == EVENT_KEYS
    assert parse_position(message.last_event_id) == Position(EPOCH, Place(9, 4))


def test_an_event_that_cannot_be_decoded_is_sent_with_decoded_null():
    event = made_event(7)._replace(value=b"no xdr")
    (message,) = read(FRAMES.event(event, Place(1, 1))).messages
    assert message.json["decoded"] is None
    assert message.json["id"] == event.id


@given(st.binary(max_size=64), st.lists(st.binary(max_size=64), max_size=5))
def test_no_bytes_break_a_frame(value, topics):
    frame = FRAMES.event(made_event(7)._replace(value=value, topics=tuple(topics)), Place(1, 1))
    source = read(frame)
    assert source.blocks == 1
    assert len(source.messages) == 1


def test_progress_moves_the_last_id_and_dispatches_nothing():
    source = read(FRAMES.progress(Place(5)))
    assert source.messages == []
    assert parse_position(source.last_event_id).place == Place(5)


def test_a_heartbeat_is_a_comment():
    source = read(HEARTBEAT)
    assert (source.comments, source.messages, source.last_event_id) == (1, [], "")


def test_retry_is_understood():
    assert read(retry(2345)).retry == 2345


def test_words_say_their_code_and_only_a_reset_moves_the_position():
    source = read(FRAMES.progress(Place(5)) + dropped() + bye() + FRAMES.reset(Place(8), ResetReason.FUTURE))
    assert [(message.event, message.json["code"]) for message in source.messages] == [
        ("dropped", "too-slow"),
        ("bye", "shutting-down"),
        ("reset", "future-position"),
    ]
    assert [parse_position(message.last_event_id).place for message in source.messages] == [
        Place(5),
        Place(5),
        Place(8),
    ]
    assert all(message.json["detail"] for message in source.messages)
