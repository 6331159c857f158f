"""Turns: who waits longest is next, and a process that writes without a pause leaves turns to others."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from threading import Event, Thread
from time import monotonic, sleep

import pytest

from stellarstream_core.errors import StorageBusyError
from stellarstream_core.testing.conformance_tables import Background, Note, add, make_table, notes
from stellarstream_core.testing.storage_conformance import window
from stellarstream_sql.storage import open_sqlite
from stellarstream_sql.turns import FairLock, Turnstile


def test_a_lock_is_handed_on_in_the_order_of_asking():
    lock, order, threads = FairLock(), [], []

    def work(number: int) -> None:
        with lock:
            order.append(number)

    lock.acquire()
    for number in range(8):
        thread = Thread(target=work, args=(number,))
        thread.start()
        threads.append(thread)
        while len(lock._waiting) <= number:
            sleep(0.001)
    lock.release()
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))
    assert lock.acquire(0)


def test_whoever_releases_a_lock_cannot_overtake_who_waits():
    lock, got = FairLock(), Event()
    lock.acquire()
    thread = Thread(target=lambda: (lock.acquire(), got.set()))
    thread.start()
    while not lock._waiting:
        sleep(0.001)
    lock.release()
    assert not lock.acquire(0.05)
    assert got.wait(10)
    lock.release()
    assert lock.acquire(0)
    thread.join()


def test_waiting_for_a_lock_has_a_bound_and_leaves_the_line():
    lock = FairLock()
    assert lock.acquire(0)
    began = monotonic()
    assert not lock.acquire(0.1)
    assert monotonic() - began >= 0.1
    assert not lock._waiting
    lock.release()
    assert lock.acquire(0)


def test_a_lock_that_comes_in_the_last_moment_is_held(monkeypatch):
    lock = FairLock()
    lock.acquire()

    class Late(Event().__class__):
        def wait(self, timeout=None):
            lock.release()  # while the waiting thread already gives up
            return False

    monkeypatch.setattr("stellarstream_sql.turns.Event", Late)
    assert lock.acquire(0.1)
    assert not lock._waiting


def test_a_turn_is_kept_until_the_transaction_has_begun_and_no_longer(tmp_path):
    database = tmp_path / "x.db"
    mine, other = Turnstile(database), Turnstile(database)
    attempts = []

    def begin() -> bool:
        attempts.append(other.pass_through(lambda: True, 0))
        return len(attempts) == 3

    assert mine.pass_through(begin, 5)
    assert attempts == [False, False, False]
    assert other.pass_through(lambda: True, 0)
    assert not mine.pass_through(lambda: False, 0.01)
    assert other.pass_through(lambda: True, 0)
    mine.close()
    other.close()


def test_a_turn_is_given_back_when_beginning_fails(tmp_path):
    turnstile = Turnstile(tmp_path / "x.db")
    with pytest.raises(KeyError):
        turnstile.pass_through(lambda: {}["none"], 1)
    assert Turnstile(tmp_path / "x.db").pass_through(lambda: True, 0)


def test_writing_goes_on_where_no_turn_can_be_taken(tmp_path):
    (tmp_path / "x.db.turn").mkdir()
    with closing(open_sqlite(f"sqlite:///{tmp_path / 'x.db'}")) as storage:
        storage.migrate()
        make_table(storage)
        storage.write(add("one"))
        assert storage.commit(window(1, 2)).commit is not None


WITHOUT_A_PAUSE = """
import sys
from stellarstream_core.testing.scripted import made_event
from stellarstream_core.testing.storage_conformance import A, window
from tests.sql.conftest import open_url
storage = open_url(sys.argv[1])
first, ledger = int(sys.argv[2]), int(sys.argv[2])
size = int(sys.argv[3])
windows = {}
print("ready", flush=True)
while ledger < first + 5_000:
    events = [made_event(ledger, tx, k, A) for tx in range(1, size + 1) for k in range(10)]
    storage.commit(window(ledger, ledger, events))
    ledger += 1
"""


@pytest.mark.parametrize("size", [1, 60], ids=["short commits", "long commits"])
def test_a_change_gets_its_turn_beside_processes_that_commit_without_a_pause(tmp_path, size):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with closing(open_sqlite(url)) as storage:
        storage.migrate()
        make_table(storage)
        storage.write(add("one"))
        count = Note.update(number=Note.number + 1)
        busy = [
            subprocess.Popen(
                [sys.executable, "-c", WITHOUT_A_PAUSE, url, str(first), str(size)], stdout=subprocess.PIPE, text=True
            )
            for first in (1, 100_000)
        ]
        try:
            for process in busy:
                assert process.stdout.readline() == "ready\n"
            while storage.totals().position < 4:
                sleep(0.01)
            longest, changes, committed = 0.0, 0, 0
            before, until = storage.totals().position, monotonic() + 60
            # at least 25 changes; more where the machine has not given the processes a turn meanwhile
            while changes < 25 or (committed < 5 and monotonic() < until):
                began = monotonic()
                storage.write(count.execute, wait_seconds=5)
                longest = max(longest, monotonic() - began)
                changes += 1
                committed = storage.totals().position - before
            assert [process.poll() for process in busy] == [None, None]
        finally:
            for process in busy:
                process.kill()
                process.communicate()
        assert notes(storage) == [("one", changes)]
        assert longest < 3
        assert committed >= 5, "and commits get theirs"


def test_a_change_waits_within_its_bound_for_another_process(tmp_path):
    import sqlite3

    path = tmp_path / "x.db"
    with closing(open_sqlite(f"sqlite:///{path}")) as storage:
        storage.migrate()
        make_table(storage)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = monotonic()
            with pytest.raises(StorageBusyError, match=r"busy.*0\.2 seconds"):
                storage.write(add("one"), wait_seconds=0.2)
            assert monotonic() - began < 2
            waiting = Background(lambda: storage.write(add("one"), wait_seconds=60))
            sleep(0.05)
            other.execute("ROLLBACK")
            waiting.join(10)
        assert notes(storage) == [("one", 0)]
