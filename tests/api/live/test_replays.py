"""Replays: pages are shared, few are read at a time, and what the storage says is never older than the question."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from uuid import uuid4

import pytest

from stellarstream_core.api.live import EVERY_EVENT, EventFilter, Place, Position
from stellarstream_core.api.live.batches import MOST_SELECTIONS
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.api.live.reading import HistoryChangedError, read_pieces
from stellarstream_core.api.live.replays import Replays
from stellarstream_core.errors import StorageError
from stellarstream_core.testing.scripted import made_contract
from tests.api.live.kit import Connection, EventSource, events_of_ledger, until


@pytest.fixture
def replays(storage):
    made = Replays(storage, threads=2, most_bytes=1 << 20)
    yield made
    made.close()


@pytest.fixture
def frames(storage):
    return Frames(storage.name)


async def test_who_asks_for_the_tip_gets_one_that_was_read_after_the_question(storage, replays, monkeypatch):
    go_on, reading = threading.Event(), threading.Event()
    real = storage.totals

    def slowly():
        found = real()
        reading.set()
        go_on.wait(5)
        return found

    monkeypatch.setattr(storage, "totals", slowly)
    first = asyncio.create_task(replays.tip())
    await until(reading.is_set)
    storage.commit(*events_of_ledger(1, 2))
    others = [asyncio.create_task(replays.tip()) for _ in range(50)]
    await asyncio.sleep(0.01)
    go_on.set()
    assert (await first).place == Place(1)
    before = storage.reads
    assert {tip.place for tip in await asyncio.gather(*others)} == {Place(2)}
    assert storage.reads - before < 10


async def test_readers_at_one_place_share_one_page(storage, replays, frames):
    storage.commit(*events_of_ledger(1, 60))
    places = [Place(1), Place(1, 1), Place(1, 30), Place(1, 60)]
    found = await asyncio.gather(*(replays.batch(place, "", EVERY_EVENT, frames) for place in places * 25))
    assert len({id(batch) for batch, _ in found}) == 1
    assert storage.pages == [1]


async def test_a_pages_selections_are_kept_for_a_bounded_number_of_filters(storage, replays, frames):
    storage.commit(*events_of_ledger(1, 10))
    filters = [EventFilter.of([made_contract(number)]) for number in range(3 * MOST_SELECTIONS)]
    for wanted in filters:
        batch, selection = await replays.batch(Place(1), "", wanted, frames)
        assert list(selection.ordinals) == list(wanted.select(events_of_ledger(1, 10)))
    assert sum(batch.selection(wanted) is not None for wanted in filters) == MOST_SELECTIONS


async def test_the_pages_kept_are_bounded_in_bytes(storage, frames):
    for ledger in range(1, 60):
        storage.commit(*events_of_ledger(ledger, 200))
    replays = Replays(storage, threads=2, most_bytes=1_000_000)
    place, resume = Place(1), ""
    while (found := await replays.batch(place, resume, EVERY_EVENT, frames)) is not None:
        place, resume = found[0].end, found[0].resume
        kept = list(replays._shelf._pages.values())
        assert replays._shelf._bytes == sum(batch.size for batch in kept)
        assert replays._shelf._bytes <= 1_000_000 or len(kept) == 1
    assert place == Place(60)
    replays.close()


async def test_a_client_far_behind_holds_up_nobody_else(storage, replays, frames, monkeypatch):
    """Pages are read in turns: whoever asks for one waits for one of each other client, not for all of theirs."""
    for ledger in range(1, 61):
        storage.commit(*events_of_ledger(ledger, 256))
    real, order, one_by_one = storage.commits, [], threading.Semaphore(0)

    def slowly(after, limit=1000):
        order.append(after + 1)
        assert one_by_one.acquire(timeout=5)
        return real(after, limit)

    monkeypatch.setattr(storage, "commits", slowly)
    busy = [asyncio.create_task(replays.batch(Place(n), "", EVERY_EVENT, frames, "busy")) for n in range(1, 51)]
    await until(lambda: len(order) == 2)
    other = asyncio.create_task(replays.batch(Place(60), "", EVERY_EVENT, frames, "other"))
    shared = asyncio.create_task(replays.batch(Place(50), "", EVERY_EVENT, frames, "third"))
    await asyncio.sleep(0.01)
    for _ in range(6):
        one_by_one.release()
    async with asyncio.timeout(5):
        await other
        await shared
    assert {50, 60} < set(order[:6])
    for _ in range(100):
        one_by_one.release()
    assert [page[0].start for page in await asyncio.gather(*busy)] == [Place(n) for n in range(1, 51)]
    assert sorted(order) == [*range(1, 51), 60], "each page once, whoever asked for it"


async def test_what_nobody_waits_for_any_more_is_not_read(storage, replays, frames, monkeypatch):
    for ledger in range(1, 11):
        storage.commit(*events_of_ledger(ledger, 256))
    real, order, go_on = storage.commits, [], threading.Event()

    def slowly(after, limit=1000):
        order.append(after + 1)
        go_on.wait(5)
        return real(after, limit)

    monkeypatch.setattr(storage, "commits", slowly)
    asked = [asyncio.create_task(replays.batch(Place(n), "", EVERY_EVENT, frames, "gone")) for n in range(1, 9)]
    stays = asyncio.create_task(replays.batch(Place(5), "", EVERY_EVENT, frames, "stays"))
    await until(lambda: len(order) == 2)
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert replays.reading == 3
    again = asyncio.create_task(replays.batch(Place(6), "", EVERY_EVENT, frames, "stays"))
    await asyncio.sleep(0)
    go_on.set()
    assert ((await stays)[0].start, (await again)[0].start) == (Place(5), Place(6))
    assert sorted(order) == [1, 2, 5, 6]


async def test_pages_and_the_tip_that_fail_are_asked_for_again(storage, replays, frames):
    storage.commit(*events_of_ledger(1, 2))
    storage.down = True
    for question in (replays.tip(), replays.batch(Place(1), "", EVERY_EVENT, frames)):
        with pytest.raises(StorageError):
            await question
    storage.down = False
    assert (await replays.tip()).place == Place(2)
    assert (await replays.batch(Place(1), "", EVERY_EVENT, frames))[0].end == Place(2)
    assert replays.reading == 0


async def test_counted_commits_are_read_no_further_than_they_go(storage, frames):
    for ledger, count in ((1, 3), (2, 0), (3, 2)):
        storage.commit(*events_of_ledger(ledger, count), first=ledger, last=ledger)
    with storage.changed:
        storage.stored = [(replace(commit, events=len(events)), events) for commit, events in storage.stored]
    limits = []
    real = storage.commit_page

    def noted(commit, *, after="", skip=0, limit):
        limits.append((commit.position, skip, limit))
        return real(commit, after=after, skip=skip, limit=limit)

    storage.commit_page = noted
    pieces = read_pieces(storage, storage.name, Place(1, 1))
    assert [(piece.first, len(piece.events), piece.complete) for piece in pieces] == [
        (1, 2, True),
        (0, 0, True),
        (0, 2, True),
    ]
    assert limits == [(1, 1, 2), (3, 0, 2)]
    (beyond, *_) = read_pieces(storage, storage.name, Place(1, 9))
    assert (beyond.first, list(beyond.events), beyond.complete) == (9, [], True)


async def test_a_page_of_another_epoch_is_none(storage, replays, frames):
    storage.commit(*events_of_ledger(1, 2))
    storage.name = str(uuid4())
    with pytest.raises(HistoryChangedError):
        await replays.batch(Place(1), "", EVERY_EVENT, frames)


async def test_pages_of_a_former_history_are_forgotten(storage, feed, port):
    storage.commit(*events_of_ledger(1, 2))
    await until(lambda: feed.position == 1)
    old = EventSource(last_event_id=str(Position(storage.name, Place(1))))
    connection = await Connection.open(port, old)
    await connection.read_until(lambda: len(old.ids) == 2)
    epoch = str(uuid4())
    with storage.changed:
        storage.restore(0, epoch)
        storage.commit(*events_of_ledger(7, 3))
    await until(lambda: feed.epoch == epoch)
    new = EventSource(last_event_id=str(Position(epoch, Place(1))))
    connection = await Connection.open(port, new)
    await connection.read_until(lambda: bool(new.messages))
    await connection.read_until(lambda: new.comments > 0)
    assert new.ids == [event.id for event in events_of_ledger(7, 3)]
