"""Server-Sent Events out of bytes: the same frames however they are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nebula_client._core import sse
from nebula_client._core.sse import EndlessFrameError, Frame, FrameReader

LINES = st.sampled_from(["\n", "\r\n", "\r"])
TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["data", "id", "event", "retry", "", "unknown", "data "]),
        st.sampled_from([":", ": ", ""]),
        TEXT,
    ),
    max_size=4,
)


@st.composite
def streams(draw) -> bytes:
    end = draw(LINES)
    frames = draw(st.lists(FIELDS, max_size=4))
    text = "".join("".join(f"{name}{colon}{value}{end}" for name, colon, value in fields) + end for fields in frames)
    return ("\ufeff" if draw(st.booleans()) else "").encode() + text.encode()


def read(*pieces: bytes) -> list[Frame]:
    reader = FrameReader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


@given(stream=streams(), data=st.data())
def test_any_cut_gives_the_same_frames(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == read(stream) == read(*(bytes([byte]) for byte in stream))


@given(
    frames=st.lists(
        st.tuples(
            st.lists(TEXT, min_size=1, max_size=3),
            st.none() | TEXT,
            st.none() | TEXT.filter(bool),
            st.none() | st.integers(0, 10**6),
        ),
        max_size=5,
    ),
    end=LINES,
)
def test_what_is_written_is_read(frames, end):
    text = ""
    for data, position, event, retry in frames:
        text += f": a comment{end}"
        text += f"id: {position}{end}" if position is not None else ""
        text += f"event: {event}{end}" if event is not None else ""
        text += f"retry: {retry}{end}" if retry is not None else ""
        text += "".join(f"data: {line}{end}" for line in data) + end
    assert read(text.encode()) == [
        Frame(event or "message", "\n".join(data), position, retry) for data, position, event, retry in frames
    ]


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (b"retry: 3192\n\nid: a\n\n", [Frame(retry=3192), Frame(id="a")]),
        (b": heartbeat\n\n", []),
        (b"id: a\ndata: 1\n", []),
        (b"id: a\ndata: 1", []),
        (b"data\ndata\n\n", [Frame(data="\n")]),
        (b"data:x\ndata:  y\n\n", [Frame(data="x\n y")]),
        (b"id: a\0b\ndata: 1\n\n", [Frame(data="1")]),
        (b"retry: 1x\nretry: \xd9\xa3\ndata: 1\n\n", [Frame(data="1")]),
        (b"id\n\n", [Frame(id="")]),
        (b"event: bye\ndata: {}\n\n", [Frame("bye", "{}")]),
        (b"event: nothing\n\ndata: 1\n\n", [Frame(data="1")]),
        (b"data: \xff\n\n", [Frame(data="\ufffd")]),
        (b"\r\n\r\ndata: 1\r\n\r\n", [Frame(data="1")]),
    ],
)
def test_frames_are_those_of_the_standard(stream, frames):
    assert read(stream) == frames


def test_a_frame_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MOST_BYTES", 1000)
    reader = FrameReader()
    assert len(reader.feed(b"data: 1\n\n" * 1000)) == 1000
    for _ in range(1000):
        reader.feed(b"x")
    with pytest.raises(EndlessFrameError):
        reader.feed(b"x")
    with pytest.raises(EndlessFrameError):
        read(b"data: 1\n" * 1001)


def test_the_service_s_own_frames_are_read():
    from stellarstream_core.api.live import frames

    assert read(frames.retry(3000) + frames.HEARTBEAT) == [Frame(retry=3000)]
    (bye,) = read(frames.bye())
    assert (bye.event, json.loads(bye.data)["code"], bye.id) == ("bye", "shutting-down", None)
