"""A reader that is cut off again and again ends with exactly the events of the range, in commit order."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import closing, suppress

import pytest

from stellarstream_core.api.live import (
    EVERY_EVENT,
    EventFilter,
    Feed,
    LiveLimits,
    Place,
    Position,
    parse_position,
    reading,
    replays,
)
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Window
from stellarstream_core.testing.scripted import made_event
from stellarstream_sql.storage import SqlStorage, open_postgresql, open_sqlite
from tests.api.live.kit import A, B, Connection, EventSource, MemoryStorage, events_of_ledger, feeding, serving, window

CUTS = 100
WINDOWS = 150
ONLY_B = EventFilter.of([B])


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'live.db'}"
    return request.getfixturevalue("postgres_url")


def open_url(url: str) -> SqlStorage:
    return (open_sqlite if url.startswith("sqlite:") else open_postgresql)(url)


def shuffled_windows(dice: random.Random) -> list[Window]:
    """Windows of some ledgers each, in shuffled order; most have a few events, some none, one very many."""
    made, ledger = [], 1
    for number in range(WINDOWS):
        span = LedgerRange(ledger, ledger + dice.randint(0, 4))
        ledger = span.last + 1
        count = 1_500 if number == WINDOWS // 2 else dice.choice([0, 1, 2, 5, 30])
        places = sorted({(dice.randint(*span), dice.randint(1, 40), dice.randint(0, 60)) for _ in range(count)})
        events = [made_event(*place, dice.choice([A, A, A, B])) for place in places]
        made.append(Window(span, Scope.of([EVERYTHING]), events, "test"))
    dice.shuffle(made)
    return made


def in_commit_order(storage, wanted: EventFilter) -> list[str]:
    return [
        event.id
        for commit in storage.commits(0, 10_000)
        for event in storage.events_of_commit(commit)
        if wanted.fits(event)
    ]


async def read_with_cuts(port: int, source: EventSource, name: str, dice: random.Random) -> None:
    """Read some bytes at a time and cut the connection, anywhere, until enough cuts were inside a frame."""
    inside = 0
    for done in range(5 * CUTS):
        if done >= CUTS and inside > CUTS // 10:
            return
        connection = await Connection.open(port, source, filter=name)
        left = dice.randint(0, dice.choice([0, 40, 2_000, 20_000, 60_000]))
        with suppress(TimeoutError):
            async with asyncio.timeout(dice.uniform(0.02, 0.08)):
                while left > 0 and await connection.read(min(left, 700)):
                    left -= 700
        connection.cut()
        inside += source.inside_a_frame
        await asyncio.sleep(dice.choice([0, 0, 0.002, 0.02]))
    raise AssertionError(f"of {5 * CUTS} cuts {inside} were inside a frame")


@pytest.mark.parametrize("ring_bytes", [16_000_000, 20_000], ids=["ring", "little ring"])
async def test_a_reader_cut_off_a_hundred_times_while_windows_commit_ends_with_exactly_the_events(url, ring_bytes):
    dice = random.Random(7)
    limits = LiveLimits(heartbeat_seconds=0.3, ring_bytes=ring_bytes, replay_bytes=200_000, look_seconds=0.2)
    with closing(open_url(url)) as writing, closing(open_url(url)) as storage:
        writing.migrate()
        windows = shuffled_windows(dice)

        def commit_all() -> None:
            for window in windows:
                writing.commit(window)
                time.sleep(0.02)

        begin = str(Position(storage.epoch(), Place(1)))
        filters = {"every": EVERY_EVENT, "b": ONLY_B}
        async with feeding(storage, limits) as feed, serving(feed, filters) as port:
            sources = {name: EventSource(last_event_id=begin) for name in filters}
            committing = threading.Thread(target=commit_all)
            committing.start()
            try:
                await asyncio.gather(*(read_with_cuts(port, source, name, dice) for name, source in sources.items()))
            finally:
                await asyncio.to_thread(committing.join)
            for name, source in sources.items():
                connection = await Connection.open(port, source, filter=name)
                expected = in_commit_order(storage, filters[name])
                await connection.read_until(lambda e=expected, s=source: len(s.ids) >= len(e))
                assert source.ids == expected
                assert {message.event for message in source.messages} == {"message"}
    assert sorted(sources["every"].ids) == sorted(event.id for window in windows for event in window.events)


@pytest.mark.parametrize("seed", range(8))
async def test_readers_of_any_pace_get_every_event_once_from_ring_and_database(seed, monkeypatch):
    """Directly at the subscription, with small pages and a small ring, so that every switch happens often."""
    dice = random.Random(seed)
    monkeypatch.setattr(reading, "READ_EVENTS", dice.choice([1, 3, 10]))
    monkeypatch.setattr(replays, "BATCH_EVENTS", dice.choice([1, 3, 10]))
    storage = MemoryStorage()
    limits = LiveLimits(
        heartbeat_seconds=0.05, ring_bytes=dice.choice([0, 8_000, 10_000_000]), replay_bytes=10_000, look_seconds=0.05
    )
    filters = [EVERY_EVENT, ONLY_B, EventFilter.of([A])]
    done = asyncio.Event()

    async def read(feed: Feed, wanted: EventFilter, source: EventSource, begin: str) -> None:
        source.last_event_id = begin
        while not done.is_set() or source.ids != expected(wanted):
            source.connected()
            steps = dice.randint(1, 12)
            with feed.subscribe(wanted, parse_position(source.last_event_id)) as reader:
                async for data in reader.frames():
                    source.feed(data[: dice.randint(0, len(data))] if not steps else data)
                    if not steps:
                        break
                    steps -= 1
                    if dice.random() < 0.3:
                        await asyncio.sleep(dice.random() * 0.01)

    def expected(wanted: EventFilter) -> list[str]:
        return [event.id for _, events in storage.stored for event in events if wanted.fits(event)]

    async with feeding(storage, limits) as feed:
        await feed.ready()
        sources = [EventSource() for _ in range(9)]
        begin = str(Position(storage.name, Place(1)))
        async with asyncio.TaskGroup() as group:
            for number, source in enumerate(sources):
                group.create_task(read(feed, filters[number % 3], source, begin))
            for number in range(60):
                ledger = dice.randint(1, 1_000) * 100 + number
                count = dice.choice([0, 1, 2, 7, 25])
                storage.commit(
                    *(made_event(ledger, k // 5 + 1, k % 5, dice.choice([A, A, B])) for k in range(count)),
                    first=ledger,
                    last=ledger,
                )
                await asyncio.sleep(dice.choice([0, 0, 0.001, 0.02]))
            done.set()
        for number, source in enumerate(sources):
            assert source.ids == expected(filters[number % 3])


async def test_readers_outlive_a_server_that_ends_every_connection(postgres_database):
    import psycopg

    url = postgres_database("live")
    with closing(open_url(url)) as writing, closing(open_url(url)) as storage:
        writing.migrate()
        limits = LiveLimits(heartbeat_seconds=0.2, look_seconds=0.2)
        async with feeding(storage, limits) as feed, serving(feed) as port:
            await feed.ready()
            source = EventSource()
            connection = await Connection.open(port, source)
            await connection.read_until(lambda: source.last_event_id != "")
            sent: list[str] = []
            for ledger in range(1, 7):
                group = events_of_ledger(ledger, 5)
                await asyncio.to_thread(writing.commit, window(ledger, ledger, group))
                sent += [event.id for event in group]
                with psycopg.connect(url, autocommit=True) as admin:
                    admin.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                await connection.read_until(lambda ledger=ledger: len(source.ids) >= 5 * ledger)
            assert source.ids == sent
            assert {message.event for message in source.messages} == {"message"}


async def test_a_restored_database_resets_every_reader(url):
    with closing(open_url(url)) as writing, closing(open_url(url)) as storage:
        writing.migrate()
        async with feeding(storage, LiveLimits(look_seconds=0.1)) as feed, serving(feed) as port:
            await feed.ready()
            connection = await Connection.open(port, EventSource())
            source = connection.source
            await connection.read_until(lambda: source.last_event_id != "")
            epoch = writing.begin_epoch()
            await connection.read_until(lambda: bool(source.words("reset")))
            assert parse_position(source.last_event_id) == Position(epoch, Place(1))
            writing.commit(window(1, 1, events_of_ledger(1, 2)))
            await connection.read_until(lambda: len(source.ids) == 2)
