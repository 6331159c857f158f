"""A thousand readers in one process: all get everything, the loop stays free, memory and database stay bounded."""

from __future__ import annotations

import asyncio
from contextlib import closing
from hashlib import blake2b
from time import sleep

from stellarstream_core.api.live import EVERY_EVENT, EventFilter, LiveLimits, Place, Position
from stellarstream_core.testing.scripted import made_contract
from stellarstream_sql.storage import open_sqlite
from tests.api.live.kit import (
    A,
    B,
    MemoryStorage,
    crowd,
    events_of_ledger,
    feeding,
    measured_lag,
    resident_megabytes,
    serving,
    window,
)

READERS = 1_000
QUIET = LiveLimits(heartbeat_seconds=30)


def digest_of(events) -> str:
    return blake2b("".join(event.id for event in events).encode(), digest_size=8).hexdigest()


async def test_a_thousand_readers_get_all_events_while_they_commit_and_the_loop_stays_free(tmp_path):
    groups = [events_of_ledger(ledger, 10, A if ledger % 2 else B) for ledger in range(1, 21)]
    events = [event for group in groups for event in group]
    only_b = [event for event in events if event.contract_id == B]
    filters = {"every": EVERY_EVENT, "b": EventFilter.of([B]), "none": EventFilter.of([made_contract(9)])}
    paths = {"/live": events, "/live?filter=b": only_b, "/live?filter=none": []}
    chosen = [*["/live"] * 600, *["/live?filter=b"] * 300, *["/live?filter=none"] * 100]
    url = f"sqlite:///{tmp_path / 'live.db'}"
    with closing(open_sqlite(url)) as writing, closing(open_sqlite(url)) as storage:
        writing.migrate()
        async with feeding(storage, QUIET) as feed, serving(feed, filters) as port:
            await feed.ready()
            before = resident_megabytes()
            async with crowd(port, chosen, {path: len(wanted) for path, wanted in paths.items()}) as result:
                assert feed.readers == READERS
                async with measured_lag() as lags:
                    for group in groups:
                        ledger = group[0].ledger
                        await asyncio.to_thread(writing.commit, window(ledger, ledger, group))
                        await asyncio.sleep(0.05)
                    got = await result()
            assert resident_megabytes() - before < 120
    assert got["broken"] == 0
    assert got["complete"] == 900
    assert got["digests"] == {path: [digest_of(wanted)] for path, wanted in paths.items()}
    lags.sort()
    assert lags[len(lags) // 2] < 0.02
    assert lags[len(lags) * 99 // 100] < 0.2


async def test_a_giant_commit_neither_stalls_the_loop_nor_fills_memory(storage):
    events = [event for ledger in range(1, 51) for event in events_of_ledger(ledger, 2_000)]
    async with feeding(storage, QUIET) as feed, serving(feed) as port:
        heard = []
        feed.on_commit(lambda position, events: heard.append((position, len(events))))
        async with crowd(port, ["/live"] * 3, {"/live": len(events)}) as result:
            before = resident_megabytes()
            async with measured_lag() as lags:
                storage.commit(*events)
                got = await result()
            assert resident_megabytes() - before < 100
        assert feed.ring.bytes <= LiveLimits().ring_bytes
        assert all(batch.pieces == () for batch in feed.ring._batches)  # the events are gone, their frames are kept
        assert {position for position, _ in heard} == {1}
        assert sum(count for _, count in heard) == len(events)
        assert max(count for _, count in heard) <= 256
    assert got["digests"] == {"/live": [digest_of(events)]}
    lags.sort()
    assert lags[len(lags) // 2] < 0.02
    assert lags[len(lags) * 99 // 100] < 0.2


async def test_a_thousand_readers_who_come_back_at_once_share_few_connections_and_pages(storage, monkeypatch):
    groups = [events_of_ledger(ledger, 20, A if ledger % 2 else B) for ledger in range(1, 61)]
    for group in groups:
        storage.commit(*group)
    reading = []
    most = []
    real = MemoryStorage.commit_page

    def slowly(self, commit, **how):
        reading.append(commit)
        most.append(len(reading))
        sleep(0.002)
        try:
            return real(self, commit, **how)
        finally:
            reading.pop()

    monkeypatch.setattr(MemoryStorage, "commit_page", slowly)
    filters = {"every": EVERY_EVENT, "b": EventFilter.of([B])}
    behind = {}
    for number in range(40):  # readers stand at forty places, inside commits and between them
        place = Place(20 + number // 4, number % 4 * 5)
        for name, wanted in filters.items():
            path = f"/live?filter={name}&since={Position(storage.name, place)}"
            behind[path] = [
                event
                for number, group in enumerate(groups, 1)
                for at, event in enumerate(group, 1)
                if Place(number, at) > place and wanted.fits(event)
            ]
    paths = list(behind)
    limits = LiveLimits(heartbeat_seconds=30, replay_threads=3)
    async with feeding(storage, limits) as feed, serving(feed, filters) as port:
        await feed.ready()
        storage.pages.clear()
        async with crowd(
            port, [paths[number % len(paths)] for number in range(READERS)], {p: len(e) for p, e in behind.items()}
        ) as result:
            got = await result()
    assert got["digests"] == {path: [digest_of(events)] for path, events in behind.items()}
    assert max(most) <= 3
    assert len(storage.pages) < READERS
