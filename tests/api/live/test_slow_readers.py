"""Readers who do not take what is sent: dropped with a word, without harm to others or to themselves."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

from stellarstream_core.api.live import LiveLimits, Place, Position
from tests.api.live.kit import Connection, EventSource, events_of_ledger, feeding, serving, until

EVENTS = events_of_ledger(7, 8_000)
IDS = [event.id for event in EVENTS]
LIMITS = LiveLimits(heartbeat_seconds=0.5, stall_seconds=0.4, linger_seconds=5.0)


async def one_that_stopped_reading(feed, port) -> Connection:
    connection = await Connection.open(port, EventSource(), limit=2_000, receive_buffer=4_096)
    await connection.read_until(lambda: connection.source.blocks > 0)
    return connection


async def test_a_slow_reader_is_dropped_with_a_word_and_others_are_not_held_up(storage):
    async with feeding(storage, LIMITS) as feed, serving(feed) as port:
        reasons = []
        feed.on_dropped = reasons.append
        slow = await one_that_stopped_reading(feed, port)
        quick = await Connection.open(port, EventSource())
        began = monotonic()
        for at in range(0, len(EVENTS), 1_000):
            storage.commit(*EVENTS[at : at + 1_000])
        await quick.read_until(lambda: len(quick.source.ids) == len(EVENTS))
        assert quick.source.ids == IDS
        assert monotonic() - began < 5
        await until(lambda: feed.dropped == 1)
        assert reasons == ["too-slow"]

        source = slow.source
        await slow.read_to_end()
        assert slow.whole
        assert [message.event for message in source.messages[-2:]] == ["message", "dropped"]
        assert source.messages[-1].json["code"] == "too-slow"
        assert source.ids == IDS[: len(source.ids)]
        assert len(source.ids) < len(IDS)
        assert source.last_event_id == source.messages[-2].last_event_id

        again = await Connection.open(port, source)
        await again.read_until(lambda: len(source.ids) == len(EVENTS))
        assert source.ids == IDS


async def test_a_slow_reader_who_does_not_even_take_the_word_is_cut_off(storage):
    limits = LiveLimits(heartbeat_seconds=0.5, stall_seconds=0.2, linger_seconds=0.2)
    async with feeding(storage, limits) as feed, serving(feed) as port:
        slow = await one_that_stopped_reading(feed, port)
        storage.commit(*EVENTS)
        await until(lambda: feed.dropped == 1)
        await until(lambda: feed.readers == 0)
        await asyncio.sleep(0.3)
        source = slow.source
        with suppress(ConnectionResetError):
            await slow.read_to_end()
        assert not slow.whole
        again = await Connection.open(port, source)
        await again.read_until(lambda: len(source.ids) == len(EVENTS))
        assert source.ids == IDS


async def test_what_waits_for_a_slow_reader_is_bounded(storage):
    """The transport's buffer is full, and nothing but the batch at hand is added to it."""
    async with feeding(storage, LiveLimits(stall_seconds=30)) as feed, serving(feed) as port:
        slow = await one_that_stopped_reading(feed, port)
        (reader,) = feed._all()
        storage.commit(*EVENTS)
        await until(lambda: feed.position == 1)
        await asyncio.sleep(0.2)
        transport = reader.on_cut_off.__self__
        assert 65_536 < transport.get_write_buffer_size() < 300_000
        slow.cut()


async def test_the_service_ends_in_time_although_a_reader_takes_nothing(storage):
    limits = LiveLimits(stall_seconds=30, linger_seconds=30)
    async with feeding(storage, limits) as feed, serving(feed) as port:
        slow = await one_that_stopped_reading(feed, port)
        quick = await Connection.open(port, EventSource())
        storage.commit(*EVENTS)
        await quick.read_until(lambda: len(quick.source.ids) == len(EVENTS))
        began = monotonic()
        closing = asyncio.create_task(feed.close(2.0))
        await quick.read_to_end()
        assert quick.source.messages[-1].event == "bye"
        await closing
        assert monotonic() - began < 2
        assert feed.readers == 0
        slow.cut()


async def test_a_blocked_reader_who_reads_on_in_time_gets_the_last_word(storage):
    limits = LiveLimits(stall_seconds=30, linger_seconds=30)
    async with feeding(storage, limits) as feed, serving(feed) as port:
        slow = await one_that_stopped_reading(feed, port)
        storage.commit(*EVENTS)
        await until(lambda: feed.position == 1)
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(feed.close(2.0))
        await slow.read_to_end()
        await closing
        source = slow.source
        assert source.words("bye")
        assert source.ids == IDS[: len(source.ids)]
        assert source.last_event_id == str(Position(storage.name, Place(1, len(source.ids))))
