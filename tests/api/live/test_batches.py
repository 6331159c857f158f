"""Batches, the ring and what a reader gets of them, as an algebra: the same at every cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.live import batches
from stellarstream_core.api.live.batches import NOTHING, Batch, Part, Piece, UnknownPlaceError, cut
from stellarstream_core.api.live.filters import EVERY_EVENT, EventFilter
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.api.live.positions import Place
from stellarstream_core.api.live.ring import Ring
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.storage import Commit
from stellarstream_core.testing.scripted import made_contract, made_event
from tests.api.live.kit import A, B, EventSource

FRAMES = Frames("7d444840-9dc0-11d1-b245-5ffdce74fad2")
ONLY_B = EventFilter.of([B])

counts = st.lists(st.integers(0, 9), min_size=1, max_size=12)


def pieces_of(counts: list[int], first: int = 1) -> list[Piece]:
    return [
        Piece(
            Commit(number, number, LedgerRange(number, number)),
            0,
            [made_event(number, 1, k, A if k % 2 else B) for k in range(count)],
            complete=True,
        )
        for number, count in enumerate(counts, first)
    ]


def small_batches(pieces: list[Piece], events: int, monkeypatch) -> list[Batch]:
    with monkeypatch.context() as patch:
        patch.setattr(batches, "BATCH_EVENTS", events)
        return list(cut(pieces))


def ids(data: bytes) -> list[str]:
    source = EventSource()
    source.feed(data)
    return source.ids


def all_places(counts: list[int]) -> list[Place]:
    return [Place(number, taken) for number, count in enumerate(counts, 1) for taken in range(count + 1)]


@given(counts, st.integers(1, 7))
def test_cut_batches_hold_all_events_once_and_follow_on_one_another(counts, size):
    with pytest.MonkeyPatch.context() as patch:
        made = small_batches(pieces_of(counts), size, patch)
    assert made[0].start == Place(1)
    assert made[-1].end == Place(len(counts) + 1)
    assert all(one.end == other.start for one, other in pairwise(made))
    events = [event for batch in made for piece in batch.pieces for event in piece.events]
    assert events == [event for piece in pieces_of(counts) for event in piece.events]
    assert all(sum(len(piece.events) for piece in batch.pieces) <= size for batch in made)
    for batch in made:
        assert bool(batch.resume) == bool(batch.end.taken)


@given(counts, st.integers(1, 7), st.sampled_from([EVERY_EVENT, ONLY_B]), st.booleans())
def test_from_every_place_a_reader_gets_what_lies_behind_it_however_the_batches_are_cut(counts, size, wanted, sealed):
    pieces = pieces_of(counts)
    with pytest.MonkeyPatch.context() as patch:
        made = small_batches(pieces, size, patch)
    ring = Ring(FRAMES, Place(1), 1 << 30)
    for batch in made:
        if sealed:
            batch.seal([wanted], FRAMES)
            batch.release()
        else:
            batch.select(wanted, FRAMES)
        ring.append(batch)
    for place in all_places(counts):
        behind = [
            event.id
            for piece in pieces
            for number, event in enumerate(piece.events, 1)
            if Place(piece.commit.position, number) > place and wanted.fits(event)
        ]
        got = []
        at = place
        while at < ring.end:
            batch = ring.holding(at)
            part = batch.behind(at, batch.selection(wanted))
            assert len(ids(part.data)) == part.events
            got += ids(part.data)
            at = batch.end
        assert got == behind


@given(counts, st.integers(1, 7))
def test_a_frames_id_is_the_place_behind_its_event(counts, size):
    pieces = pieces_of(counts)
    with pytest.MonkeyPatch.context() as patch:
        made = small_batches(pieces, size, patch)
    source = EventSource()
    for batch in made:
        source.feed(batch.behind(batch.start, batch.select(EVERY_EVENT, FRAMES)).data)
    expected = [
        FRAMES.progress(Place(piece.commit.position, number)).decode().removeprefix("id: ").strip()
        for piece in pieces
        for number in range(1, len(piece.events) + 1)
    ]
    assert [message.last_event_id for message in source.messages] == expected


@given(counts, st.integers(1, 5))
def test_a_place_behind_more_events_than_a_commit_has_is_unknown(counts, more):
    (batch,) = cut(pieces_of(counts))
    selection = batch.select(EVERY_EVENT, FRAMES)
    for number, count in enumerate(counts, 1):
        with pytest.raises(UnknownPlaceError):
            batch.behind(Place(number, count + more), selection)


def test_batches_are_bounded_in_bytes_also_where_events_are_large():
    large = [made_event(1, 1, k, A)._replace(value=b"\0\0\0\x0d" + bytes(10_000)) for k in range(20)]
    made = list(cut([Piece(Commit(1, 1, LedgerRange(1, 1)), 0, large, complete=True)]))
    assert len(made) == 20
    assert [batch.start for batch in made] == [Place(1, taken) for taken in range(20)]


def test_the_ring_keeps_the_newest_batches_that_fit_and_at_least_one():
    ring = Ring(FRAMES, Place(1), most_bytes=5_000)
    for number in range(1, 200):
        (batch,) = cut(pieces_of([3], first=number))
        batch.seal([EVERY_EVENT], FRAMES)
        ring.append(batch)
        assert ring.bytes <= 5_000 or len(ring) == 1
        assert ring.end == Place(number + 1)
    assert ring.holding(Place(1)) is None
    assert ring.holding(ring.end) is None
    assert ring.holding(ring.start).start == ring.start


def test_the_ring_is_bounded_where_commits_have_no_events():
    ring = Ring(FRAMES, Place(1), most_bytes=1 << 30, most_batches=10)
    for number in range(1, 100):
        (batch,) = cut(pieces_of([0], first=number))
        ring.append(batch)
    assert len(ring) == 10
    assert ring.start == Place(90)


def test_the_ring_refuses_a_batch_that_does_not_follow():
    ring = Ring(FRAMES, Place(1), most_bytes=1 << 20)
    (batch,) = cut(pieces_of([1], first=2))
    with pytest.raises(ValueError, match="does not follow"):
        ring.append(batch)


def test_events_are_encoded_once_and_only_where_a_filter_takes_them(monkeypatch):
    encoded = []
    original = Frames.event
    monkeypatch.setattr(
        Frames, "event", lambda self, event, place: encoded.append(event.id) or original(self, event, place)
    )
    (batch,) = cut(pieces_of([6]))
    batch.select(ONLY_B, FRAMES)
    assert len(encoded) == 3
    batch.select(EventFilter.of([A, B]), FRAMES)
    batch.select(EVERY_EVENT, FRAMES)
    assert len(encoded) == 6


def test_readers_of_one_filter_share_the_bytes():
    (batch,) = cut(pieces_of([6]))
    selection = batch.select(EVERY_EVENT, FRAMES)
    assert batch.behind(batch.start, selection) is batch.behind(batch.start, selection)


def test_filters_that_nothing_fits_share_one_selection_and_cost_next_to_nothing():
    (batch,) = cut(
        [Piece(Commit(1, 1, LedgerRange(1, 1)), 0, [made_event(1, 1, k, A) for k in range(50)], complete=True)]
    )
    strangers = [EventFilter.of([made_contract(number)]) for number in range(100, 2_100)]
    no_topic = EventFilter.of([A], [b"no such topic"])
    looked = 0
    real = EventFilter.select

    def select(self, events):
        nonlocal looked
        looked += 1
        return real(self, events)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventFilter, "select", select)
        batch.seal([*strangers, no_topic, EVERY_EVENT], FRAMES)
    assert looked == 2
    assert {id(batch.selection(wanted)) for wanted in (*strangers, no_topic)} == {id(NOTHING)}
    assert len(batch.selection(EVERY_EVENT).frames) == 50
    batch.release()
    assert batch.behind(batch.start, batch.selection(strangers[0])) == Part(b"", 0)
