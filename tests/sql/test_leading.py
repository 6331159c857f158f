"""The right to follow: whoever has lost it with a connection or a file takes it again, or stops following."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import monotonic

import psycopg
import pytest

from stellarstream_core.errors import LeadershipError, StorageError, SyncInterruptedError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sync.leading import leading
from stellarstream_core.sync.progress import Silence
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.testing.scripted import PASSPHRASE, ScriptedSource, made_contract, made_history
from stellarstream_core.testing.storage_conformance import window
from stellarstream_sql.storage import SqlStorage
from tests.sql.conftest import open_url

A = made_contract(1)
SCOPE = Scope.of([A])
FIRST_KEY = 0x53_53_46_4C
"""What the follower's advisory lock has as the first half of its key."""

pytestmark = pytest.mark.timeout(60)


def sessions_that_follow(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND granted AND database = ("
        database = "SELECT oid FROM pg_database WHERE datname = current_database())"
        return [pid for (pid,) in connection.execute(f"{held}{database}", (FIRST_KEY,))]


def end_sessions_that_follow(url: str) -> None:
    """End the session that holds the right, as a server does that is restarted or told to."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = sessions_that_follow(url)
        assert len(found) == 1
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", found)
    assert sessions_that_follow(url) == []


@pytest.fixture
def postgres_pair(postgres_url) -> Iterator[tuple[SqlStorage, SqlStorage, str]]:
    with closing(open_url(postgres_url)) as one, closing(open_url(postgres_url)) as other:
        one.migrate()
        yield one, other, postgres_url


def test_who_has_lost_it_takes_it_again_before_the_next_commit(postgres_pair):
    one, other, url = postgres_pair
    with one.follow_lock() as still_following:
        for look in (still_following, lambda: one.commit(window(10, 12))):
            end_sessions_that_follow(url)
            look()
            assert len(sessions_that_follow(url)) == 1
            with pytest.raises(LeadershipError), other.follow_lock():
                pytest.fail("two processes follow")
    assert sessions_that_follow(url) == []
    assert one.commit(window(13, 14)).commit is not None


def test_who_has_lost_it_to_another_one_is_told_and_commits_nothing_more(postgres_pair):
    one, other, url = postgres_pair
    with one.follow_lock() as still_following:
        one.commit(window(10, 12))
        end_sessions_that_follow(url)
        with other.follow_lock():
            position = one.totals().position
            for look in (still_following, lambda: one.commit(window(13, 14)), still_following):
                with pytest.raises(LeadershipError, match="by now: the connection that held the right to was lost"):
                    look()
            assert one.totals().position == position
            other.commit(window(13, 14))
        still_following()  # the other one has let it go
    assert sessions_that_follow(url) == []


def test_what_was_being_committed_is_lost_with_the_right_to(postgres_pair):
    one, other, url = postgres_pair
    with one.follow_lock():

        def interrupted() -> None:
            with one._backend.write() as transaction:
                transaction.lock_store()
                end_sessions_that_follow(url)
                with other.follow_lock():
                    transaction.run("UPDATE store SET events = 99")

        with pytest.raises(StorageError, match=r"connection to .* was lost"):
            interrupted()
        assert one.totals().events == 0
        one.commit(window(10, 12))


def test_the_same_process_cannot_have_it_twice(open_storage):
    storage = open_storage()
    storage.migrate()
    with storage.follow_lock():
        with pytest.raises(LeadershipError), storage.follow_lock():
            pytest.fail("it is held")
        with pytest.raises(LeadershipError), open_storage().follow_lock():
            pytest.fail("it is held still")


def test_a_lock_file_that_was_removed_is_made_anew_unless_another_one_did_so(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    lock = tmp_path / "x.db.lock"
    with closing(open_url(url)) as one, closing(open_url(url)) as other:
        one.migrate()
        with one.follow_lock() as still_following:
            lock.unlink()
            still_following()
            assert lock.exists()
            with pytest.raises(LeadershipError), other.follow_lock():
                pytest.fail("two processes follow")
            lock.unlink()
            with other.follow_lock(), pytest.raises(LeadershipError):
                still_following()
            still_following()


@contextmanager
def moving_source() -> Iterator[ScriptedSource]:
    source = ScriptedSource(made_history(LedgerRange(1, 400), [A], seed=3), latest=60)
    source.ledger_seconds = 30.0  # long enough that nothing is committed meanwhile
    yield source


def following(storage: SqlStorage, source: ScriptedSource, stop: asyncio.Event, stand_by=None):
    run = SyncRun(SyncRequest(1, None, SCOPE, follow=True), storage, [source], PASSPHRASE, Silence())
    run.stand_by = stand_by
    return asyncio.create_task(run.execute(stop))


async def caught_up(storage: SqlStorage) -> None:
    while not (states := storage.sync_states()) or states[A].last_ledger_sequence < 60:
        await asyncio.sleep(0.02)


async def test_a_follower_ends_when_another_process_follows_by_now(postgres_pair):
    one, other, url = postgres_pair
    with moving_source() as source:
        task = following(one, source, asyncio.Event())
        await caught_up(other)
        end_sessions_that_follow(url)
        with other.follow_lock():
            began = monotonic()
            with pytest.raises(LeadershipError, match="by now"):
                await asyncio.wait_for(task, 20)
            assert monotonic() - began < 5


async def test_a_follower_goes_on_when_nobody_took_its_place(postgres_pair):
    one, other, url = postgres_pair
    stop = asyncio.Event()
    with moving_source() as source:
        task = following(one, source, stop)
        await caught_up(other)
        end_sessions_that_follow(url)
        while not sessions_that_follow(url):
            await asyncio.sleep(0.05)
            assert not task.done()
        with pytest.raises(LeadershipError), other.follow_lock():
            pytest.fail("two processes follow")
        stop.set()
        await asyncio.wait_for(task, 10)
        assert sessions_that_follow(url) == []


async def test_one_that_stands_by_takes_its_turn_and_any_other_is_told_at_once(open_storage, monkeypatch):
    first, second, stop = open_storage(), open_storage(), asyncio.Event()
    first.migrate()
    said: list[bool] = []
    tried = asyncio.Semaphore(0)
    follow_lock, loop = second.follow_lock, asyncio.get_running_loop()
    with moving_source() as source:
        with first.follow_lock():
            with pytest.raises(LeadershipError):
                await following(second, source, stop)

            def counted():
                loop.call_soon_threadsafe(tried.release)
                return follow_lock()

            monkeypatch.setattr(second, "follow_lock", counted)
            task = following(second, source, stop, said.append)
            for _ in range(3):
                await asyncio.wait_for(tried.acquire(), 20)
            assert not task.done()
            assert said == [True]
            assert not first.sync_states()
        await caught_up(first)
        assert said == [True, False]
        stop.set()
        await asyncio.wait_for(task, 10)


async def test_a_database_that_is_away_for_a_while_is_waited_for_while_standing_by(open_storage, monkeypatch):
    first, second, stop = open_storage(), open_storage(), asyncio.Event()
    first.migrate()
    follow_lock, answers = second.follow_lock, [StorageError("It is away."), StorageError("It still is away.")]

    def away():
        if answers:
            raise answers.pop()
        return follow_lock()

    said: list[bool] = []

    def stand_by(standing_by: bool) -> None:
        said.append(standing_by)
        monkeypatch.setattr(second, "follow_lock", away)

    with first.follow_lock():
        waiting = asyncio.ensure_future(_held(second, stop, stand_by))
        while not said:
            await asyncio.sleep(0.01)
    await asyncio.wait_for(waiting, 20)
    assert (answers, said) == ([], [True, False])
    answers.append(StorageError("It was away from the start."))
    with pytest.raises(StorageError, match="from the start"):
        await _held(second, stop, stand_by)


async def _held(storage: SqlStorage, stop: asyncio.Event, stand_by) -> None:
    async with leading(storage, stop, stand_by) as still_leading:
        still_leading()


async def test_who_stands_by_can_be_stopped(open_storage):
    first, stop = open_storage(), asyncio.Event()
    first.migrate()
    with first.follow_lock(), pytest.raises(SyncInterruptedError):
        await _held(open_storage(), stop, lambda _: stop.set())


def test_the_server_notices_within_half_a_minute_that_the_one_who_follows_is_gone(postgres_url):
    """By its defaults it would keep the session of a machine that was switched off, and the lock with it, for hours."""
    with closing(open_url(postgres_url)) as storage:
        storage.migrate()
        with storage.follow_lock():
            names = [f"tcp_keepalives_{name}" for name in ("idle", "interval", "count")] + ["tcp_user_timeout"]
            asked = f"SELECT {', '.join(f'current_setting({name!r})::int' for name in names)}"
            idle, interval, count, timeout = storage._backend._writer.execute(asked).fetchone()
    if idle == 0:
        pytest.skip("this server is asked over a Unix socket")
    assert idle + interval * count <= 30
    assert timeout <= 30_000
