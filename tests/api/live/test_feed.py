"""The feed and its readers over HTTP: order, resuming, filters, resets, failures of the storage."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from stellarstream_core.api.live import (
    EventFilter,
    LiveLimits,
    Place,
    Position,
    TooManyReadersOfClientError,
    parse_position,
)
from stellarstream_core.api.problems import ShuttingDownError, TooManyReadersError
from tests.api.live.kit import (
    QUICK,
    A,
    B,
    Connection,
    EventSource,
    MemoryStorage,
    events_of_ledger,
    feeding,
    serving,
    until,
)

ONLY_B = EventFilter.of([B])


def ids(*groups) -> list[str]:
    return [event.id for group in groups for event in group]


async def connected(port: int, source: EventSource | None = None, **query: str) -> Connection:
    """Connect and read what comes at once."""
    source = source if source is not None else EventSource()
    connection = await Connection.open(port, source, **query)
    assert connection.status == 200
    before = source.blocks
    await connection.read_until(lambda: source.blocks > before)
    return connection


# --- order and resuming ---------------------------------------------------------------------------


async def test_a_reader_is_told_at_once_how_and_from_where_to_connect_again(storage, feed, port):
    storage.commit(*events_of_ledger(5, 3))
    await until(lambda: feed.position == 1)
    connection = await connected(port)
    source = connection.source
    assert parse_position(source.last_event_id) == Position(storage.name, Place(2)) == feed.now
    assert 2_250 <= source.retry <= 3_750
    assert source.messages == []
    assert connection.headers["content-type"] == "text/event-stream"
    assert connection.headers["cache-control"] == "no-store"
    assert connection.headers["x-test"] == "yes"


async def test_events_come_in_the_order_of_commits_and_inside_one_in_that_of_ids(storage, feed, port):
    connection = await connected(port)
    late, early = events_of_ledger(9, 4), events_of_ledger(3, 4)
    storage.commit(*late)
    storage.commit()
    storage.commit(*early)
    await connection.read_until(lambda: len(connection.source.ids) == 8)
    assert connection.source.ids == ids(late, early)


async def test_a_reader_cut_off_before_its_first_event_resumes_exactly(storage, feed, port):
    connection = await connected(port)
    connection.cut()
    storage.commit(*events_of_ledger(5, 3))
    await until(lambda: feed.position == 1)
    connection = await connected(port, connection.source)
    await connection.read_until(lambda: len(connection.source.ids) == 3)
    assert connection.source.ids == ids(events_of_ledger(5, 3))


@pytest.mark.parametrize("how", ["header", "query"])
async def test_what_was_missed_is_replayed_from_inside_a_commit_whatever_the_filter(storage, feed, how):
    mixed = [*events_of_ledger(5, 6, A)[::2], *events_of_ledger(5, 6, B)[1::2]]
    storage.commit(*mixed)
    storage.commit(*events_of_ledger(4, 2, B))
    await until(lambda: feed.position == 2)
    behind = str(Position(storage.name, Place(1, 3)))
    expected = [event.id for event in sorted(mixed)[3:] if event.contract_id == B] + ids(events_of_ledger(4, 2, B))
    async with serving(feed, {"b": ONLY_B}) as port:
        source = EventSource(last_event_id=behind if how == "header" else "")
        since = {} if how == "header" else {"since": behind}
        connection = await Connection.open(port, source, filter="b", **since)
        await connection.read_until(lambda: len(source.ids) == 4)
    assert source.ids == expected


async def test_a_position_between_two_events_means_the_same_for_every_filter(storage, feed):
    storage.commit(*events_of_ledger(5, 4, A), *events_of_ledger(6, 4, B))
    await until(lambda: feed.position == 1)
    position = Position(storage.name, Place(1, 6))
    async with serving(feed, {"a": EventFilter.of([A]), "b": ONLY_B}) as port:
        got = {}
        for name in ("a", "b"):
            source = EventSource(last_event_id=str(position))
            connection = await Connection.open(port, source, filter=name)
            await connection.read_until(lambda source=source: source.comments > 0)
            got[name] = source.ids
    assert got == {"a": [], "b": ids(events_of_ledger(6, 4, B)[2:])}


async def test_each_commit_is_read_once_however_many_readers_there_are(storage, feed, port):
    connections = [await connected(port) for _ in range(20)]
    for ledger in range(1, 6):
        storage.commit(*events_of_ledger(ledger, 10))
    for connection in connections:
        await connection.read_until(lambda source=connection.source: len(source.ids) == 50)
    assert storage.pages == [1, 2, 3, 4, 5]


# --- heartbeat ------------------------------------------------------------------------------------


async def test_a_silent_reader_gets_a_comment_within_the_heartbeat(storage, feed, port):
    connection = await connected(port)
    began = asyncio.get_running_loop().time()
    await connection.read_until(lambda: connection.source.comments == 5)
    assert 0.5 < asyncio.get_running_loop().time() - began < 3


async def test_a_reader_whose_filter_fits_nothing_is_moved_on_and_resumes_near_the_tip(storage, feed):
    async with serving(feed, {"b": ONLY_B}) as port:
        connection = await connected(port, filter="b")
        for ledger in range(1, 40):
            storage.commit(*events_of_ledger(ledger, 3, A))
        await until(lambda: feed.position == 39)
        source = connection.source
        await connection.read_until(lambda: parse_position(source.last_event_id).place == Place(40))
        assert source.messages == []
        connection.cut()
        storage.pages.clear()
        connection = await connected(port, source, filter="b")
        storage.commit(*events_of_ledger(50, 1, B))
        await connection.read_until(lambda: source.ids)
        assert storage.pages == [40]


# --- resets ---------------------------------------------------------------------------------------


async def reset_of(port: int, source: EventSource) -> dict:
    connection = await connected(port, source)
    await connection.read_until(lambda: bool(source.messages))
    assert [message.event for message in source.messages] == ["reset"]
    return source.messages[0].json


async def test_a_position_of_another_epoch_is_reset_and_the_stream_goes_on_live(storage, feed, port):
    storage.commit(*events_of_ledger(1, 2))
    await until(lambda: feed.position == 1)
    source = EventSource(last_event_id=str(Position(str(uuid4()), Place(1))))
    connection = await connected(port, source)
    await connection.read_until(lambda: bool(source.messages))
    assert source.messages[0].event == "reset"
    assert source.messages[0].json["code"] == "other-epoch"
    assert parse_position(source.messages[0].last_event_id) == feed.now
    storage.commit(*events_of_ledger(2, 2))
    await connection.read_until(lambda: len(source.ids) == 2)
    assert source.ids == ids(events_of_ledger(2, 2))


@pytest.mark.parametrize("place", [Place(2, 1), Place(3), Place(1000)])
async def test_a_position_of_the_future_is_reset(storage, feed, port, place):
    storage.commit(*events_of_ledger(1, 2))
    await until(lambda: feed.position == 1)
    word = await reset_of(port, EventSource(last_event_id=str(Position(storage.name, place))))
    assert word["code"] == "future-position"


@pytest.mark.parametrize("taken", [3, 256, 257, 100_000])
async def test_a_position_behind_events_that_a_commit_does_not_have_is_reset(storage, feed, port, taken):
    storage.commit(*events_of_ledger(1, 2))
    storage.commit(*events_of_ledger(2, 2))
    await until(lambda: feed.position == 2)
    word = await reset_of(port, EventSource(last_event_id=str(Position(storage.name, Place(1, taken)))))
    assert word["code"] == "unknown-position"


@pytest.mark.parametrize("size", [255, 256, 257, 512])
async def test_a_position_behind_a_commits_last_event_is_no_unknown_one(storage, feed, port, size):
    storage.commit(*events_of_ledger(1, size))
    storage.commit(*events_of_ledger(2, 2))
    await until(lambda: feed.position == 2)
    source = EventSource(last_event_id=str(Position(storage.name, Place(1, size))))
    connection = await connected(port, source)
    await connection.read_until(lambda: bool(source.messages))
    await connection.read_until(lambda: source.comments > 0)
    assert source.ids == ids(events_of_ledger(2, 2))


async def test_a_malformed_position_is_a_bad_request(feed, port):
    for query, header in (("nonsense", ""), ("", "nonsense"), ("", "")):
        source = EventSource(last_event_id=header)
        connection = await Connection.open(port, source, since=query)
        assert connection.status == 400


@pytest.mark.parametrize("place", [Place(3, 1), Place(3, 2), Place(4)])
async def test_a_position_of_a_commit_that_only_other_workers_have_heard_of_is_no_reset(storage, feed, port, place):
    storage.commit(*events_of_ledger(1, 2))
    await until(lambda: feed.position == 1)
    feed.came = lambda batch: None  # this worker is late
    storage.commit(*events_of_ledger(2, 2))
    storage.commit(*events_of_ledger(3, 2))
    source = EventSource(last_event_id=str(Position(storage.name, place)))
    connection = await connected(port, source)
    await connection.read_until(lambda: source.comments > 1)
    assert source.messages == []
    assert parse_position(source.last_event_id).place == place


async def test_no_reader_gets_an_event_before_the_callbacks_have_heard_of_its_commit(storage, feed, port, monkeypatch):
    """Also not from the database, which is ahead of the feed."""
    storage.commit(*events_of_ledger(1, 2))
    await until(lambda: feed.position == 1)
    heard, let_go = [], asyncio.Event()
    feed.on_commit(lambda position, events: heard.append(position))
    came = feed.came
    loop = asyncio.get_running_loop()

    def late(batch):
        asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result(5)
        came(batch)

    monkeypatch.setattr(feed, "came", late)
    storage.commit(*events_of_ledger(2, 2))
    source = EventSource(last_event_id=str(Position(storage.name, Place(1))))
    connection = await connected(port, source)
    await connection.read_until(lambda: source.comments > 1)
    assert source.ids == []
    assert heard == []
    let_go.set()
    await connection.read_until(lambda: len(source.ids) == 4)
    assert heard == [2]


async def test_a_new_epoch_resets_every_reader_and_the_stream_goes_on_live(storage, feed, port):
    for ledger in range(1, 4):
        storage.commit(*events_of_ledger(ledger, 2))
    connections = [await connected(port) for _ in range(3)]
    epoch = str(uuid4())
    storage.restore(1, epoch)
    for connection in connections:
        source = connection.source
        await connection.read_until(lambda source=source: bool(source.words("reset")))
        assert source.words("reset")[0]["code"] == "other-epoch"
        assert parse_position(source.last_event_id) == Position(epoch, Place(2))
    assert (feed.epoch, feed.position) == (epoch, 1)
    storage.commit(*events_of_ledger(8, 2))
    for connection in connections:
        source = connection.source
        await connection.read_until(lambda source=source: source.ids[-2:] == ids(events_of_ledger(8, 2)))


async def test_a_store_that_went_back_without_a_new_epoch_resets_every_reader(storage, feed, port):
    for ledger in range(1, 4):
        storage.commit(*events_of_ledger(ledger, 2))
    await until(lambda: feed.position == 3)
    connection = await connected(port)
    storage.restore(1)
    await connection.read_until(lambda: bool(connection.source.words("reset")))
    assert connection.source.words("reset")[0]["code"] == "history-changed"
    assert feed.position == 1


async def test_a_store_that_went_back_and_grew_again_resets_every_reader(storage, feed, port):
    for ledger in range(1, 4):
        storage.commit(*events_of_ledger(ledger, 2))
    await until(lambda: feed.position == 3)
    connection = await connected(port)
    with storage.changed:  # so that nobody looks in between
        storage.restore(1)
        for ledger in range(1, 5):
            storage.commit(*events_of_ledger(ledger, 2))
    await connection.read_until(lambda: bool(connection.source.words("reset")))
    assert connection.source.words("reset")[0]["code"] == "history-changed"
    assert connection.source.ids == []
    assert feed.position == 5


async def test_a_position_of_the_new_epoch_waits_for_a_worker_that_has_not_noticed_it(storage, port, feed):
    storage.commit(*events_of_ledger(1, 2))
    await until(lambda: feed.position == 1)
    epoch = str(uuid4())
    storage.name = epoch
    source = EventSource(last_event_id=str(Position(epoch, Place(1, 1))))
    connection = await connected(port, source)
    await connection.read_until(lambda: len(source.ids) == 1)
    assert source.words("reset") == []
    assert source.ids == ids(events_of_ledger(1, 2)[1:])


# --- the storage fails ----------------------------------------------------------------------------


async def test_readers_outlive_a_storage_that_fails_and_miss_nothing(storage, feed, port):
    connection = await connected(port)
    source = connection.source
    storage.commit(*events_of_ledger(1, 2))
    await connection.read_until(lambda: len(source.ids) == 2)
    storage.break_down()
    await until(lambda: not feed.healthy)
    comments = source.comments
    await connection.read_until(lambda: source.comments > comments + 1)
    storage.commit(*events_of_ledger(2, 300))
    storage.down = False
    await connection.read_until(lambda: len(source.ids) == 302)
    assert source.ids == ids(events_of_ledger(1, 2), events_of_ledger(2, 300))
    await until(lambda: feed.healthy)


async def test_a_watch_that_dies_alone_is_replaced(storage, feed, port):
    connection = await connected(port)
    for ledger in range(1, 5):
        with storage.changed:
            storage.watches[-1].broken = True
            storage.changed.notify_all()
        storage.commit(*events_of_ledger(ledger, 2))
        await connection.read_until(lambda ledger=ledger: len(connection.source.ids) == 2 * ledger)
    assert connection.source.ids == ids(*(events_of_ledger(ledger, 2) for ledger in range(1, 5)))


async def test_a_feed_that_begins_before_its_storage_is_there_takes_readers(storage):
    storage.down = True
    async with feeding(storage) as feed, serving(feed) as port:
        assert (feed.epoch, feed.position, feed.now, feed.healthy) == ("", 0, None, False)
        source = EventSource()
        connection = await Connection.open(port, source)
        await connection.read_until(lambda: source.comments > 0)
        assert source.last_event_id == ""
        storage.down = False
        await connection.read_until(lambda: source.last_event_id != "")
        storage.commit(*events_of_ledger(1, 2))
        await connection.read_until(lambda: len(source.ids) == 2)


async def test_a_replay_waits_for_a_storage_that_fails(storage, feed, port):
    for ledger in range(1, 4):
        storage.commit(*events_of_ledger(ledger, 2))
    await until(lambda: feed.position == 3)
    storage.break_down()
    source = EventSource(last_event_id=str(Position(storage.name, Place(1))))
    connection = await connected(port, source)
    await connection.read_until(lambda: source.comments > 1)
    assert source.messages == []
    storage.down = False
    await connection.read_until(lambda: len(source.ids) == 6)


async def test_a_fault_that_is_no_storage_error_does_not_end_the_feed(storage, feed, port, monkeypatch):
    connection = await connected(port)
    real = MemoryStorage.commit_page
    failed = []

    def once(self, commit, **how):
        if not failed:
            failed.append(commit)
            raise ZeroDivisionError
        return real(self, commit, **how)

    monkeypatch.setattr(MemoryStorage, "commit_page", once)
    storage.commit(*events_of_ledger(1, 2))
    await connection.read_until(lambda: len(connection.source.ids) == 2)


# --- callbacks and counts -------------------------------------------------------------------------


async def test_callbacks_hear_of_each_commit_before_readers_do(storage, feed, port):
    heard = []
    connection = await connected(port)

    def note(position, events):
        heard.append((position, [event.id for event in events], len(connection.source.ids)))
        if position == 2:
            raise ZeroDivisionError

    feed.on_commit(note)
    groups = [events_of_ledger(1, 2), [], events_of_ledger(2, 1)]
    for group in groups:
        storage.commit(*group)
    await connection.read_until(lambda: len(connection.source.ids) == 3)
    assert [(position, got) for position, got, _ in heard] == [
        (number, ids(group)) for number, group in enumerate(groups, 1)
    ]
    assert heard[0][2] == 0


async def test_callbacks_hear_of_another_history(storage, feed):
    heard = []
    storage.commit(*events_of_ledger(1, 2))
    await until(lambda: feed.position == 1)
    feed.on_commit(lambda position, events: heard.append((position, list(events))))
    storage.restore(0, str(uuid4()))
    await until(lambda: bool(heard))
    assert heard == [(0, [])]


async def test_readers_who_leave_are_forgotten(storage, feed, port):
    connections = [await connected(port) for _ in range(5)]
    assert feed.readers == 5
    for connection in connections[:3]:
        connection.cut()
    await until(lambda: feed.readers == 2)
    for connection in connections[3:]:
        connection.cut()
    await until(lambda: feed.readers == 0)
    assert feed.filters() == ()


async def test_no_more_readers_are_taken_than_allowed(storage):
    async with feeding(storage, LiveLimits(most_readers=2)) as feed:
        first, second = feed.subscribe(), feed.subscribe()
        with pytest.raises(TooManyReadersError):
            feed.subscribe()
        first.close()
        first.close()
        third = feed.subscribe()
        assert feed.readers == 2
        second.close()
        third.close()
    with pytest.raises(ShuttingDownError):
        feed.subscribe()


async def test_no_more_readers_are_taken_of_one_client_or_account_than_allowed(storage):
    async with feeding(storage, LiveLimits(readers_per_client=2)) as feed:
        two = [feed.subscribe(owners=["client a"]) for _ in range(2)]
        with pytest.raises(TooManyReadersOfClientError) as refused:
            feed.subscribe(owners=["client a", "account G"])
        assert refused.value.status == 429
        others = [feed.subscribe(owners=[f"client {number}", "account G"]) for number in range(2)]
        with pytest.raises(TooManyReadersOfClientError):
            feed.subscribe(owners=["client b", "account G"])
        assert feed.readers == 4, "who was refused counts for nobody"
        two[0].close()
        two[0].close()
        again = feed.subscribe(owners=["client a"])
        with pytest.raises(TooManyReadersOfClientError):
            feed.subscribe(owners=["client a"])
        for reader in (*two, *others, again):
            reader.close()
        assert len(feed._owners) == 0
        many = [feed.subscribe() for _ in range(5)]  # of nobody in particular
        for reader in many:
            reader.close()


async def test_events_that_are_sent_are_counted_once_a_reader(storage):
    async with feeding(storage, QUICK) as feed, serving(feed, {"b": ONLY_B}) as port:
        await feed.ready()
        told = []
        feed.on_pushed = told.append
        connections = [await connected(port, filter=name) for name in ("", "", "b")]
        storage.commit(*events_of_ledger(1, 4))
        storage.commit(*events_of_ledger(2, 3, B))
        await connections[0].read_until(lambda: len(connections[0].source.ids) == 7)
        await connections[2].read_until(lambda: len(connections[2].source.ids) == 3)
        old = EventSource(last_event_id=str(Position(storage.name, Place(1, 2))))
        again = await connected(port, old)
        await again.read_until(lambda: len(old.ids) == 5)
        await until(lambda: sum(told) == 7 + 7 + 3 + 5)
        assert 0 not in told


# --- the end --------------------------------------------------------------------------------------


async def test_the_end_is_told_with_a_word_and_an_exact_position(storage):
    async with feeding(storage, QUICK) as feed, serving(feed, {"b": ONLY_B}) as port:
        await feed.ready()
        storage.commit(*events_of_ledger(1, 2))
        connections = [await connected(port, filter=name) for name in ("", "b") for _ in range(3)]
        storage.commit(*events_of_ledger(2, 2))
        await until(lambda: feed.position == 2)
        closing = asyncio.create_task(feed.close(2.0))
        for connection in connections:
            await connection.read_to_end()
            source = connection.source
            assert source.messages[-1].event == "bye"
            assert source.messages[-1].json["code"] == "shutting-down"
            assert parse_position(source.last_event_id).place == Place(3)
            assert connection.whole
        async with asyncio.timeout(1.0):
            await closing
        assert feed.readers == 0
