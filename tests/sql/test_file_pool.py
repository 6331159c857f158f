"""A SQLite file that is taken away, replaced or damaged while it is open: it is noticed, and what is there is read."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from stellarstream_core.errors import StorageError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Window
from stellarstream_core.testing.scripted import made_contract, made_event
from tests.sql.conftest import open_url

A = made_contract(1)
NAMES = ("", "-wal", "-shm")


def filled(path: Path, ledgers: int):
    storage = open_url(f"sqlite:///{path}")
    storage.migrate()
    scope = Scope.of([A])
    storage.want(scope, 1)
    for ledger in range(1, ledgers + 1):
        storage.commit(Window(LedgerRange(ledger, ledger), scope, [made_event(ledger, contract=A)], "test"))
    return storage


def move(path: Path, to: Path) -> None:
    for ending in NAMES:
        source = path.with_name(path.name + ending)
        if source.exists():
            source.rename(to.with_name(to.name + ending))


def overwrite(path: Path, data: bytes) -> None:
    """Write into the file from another process: closing it here would let go of this process's locks on it."""
    code = "import sys; open(sys.argv[1], 'r+b').write(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", code, str(path)], input=data, check=True)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "here.db"


def test_a_file_that_is_gone_is_missed_and_read_again_when_it_is_back(path, tmp_path):
    with closing(filled(path, 3)) as storage:
        assert storage.totals().events == 3
        move(path, tmp_path / "away.db")
        for _ in range(2):
            with pytest.raises(StorageError, match="no database"):
                storage.totals()
        with pytest.raises(StorageError):
            storage.write(lambda database: None)
        assert not path.exists(), "none is made in its place"
        move(tmp_path / "away.db", path)
        assert storage.totals().events == 3
        window = Window(LedgerRange(4, 4), Scope.of([A]), [made_event(4, contract=A)], "test")
        storage.commit(window)
        assert storage.totals().events == 4


def test_another_file_in_its_place_is_what_is_read_and_written(path, tmp_path):
    filled(tmp_path / "other.db", 5).close()
    with closing(filled(path, 2)) as storage:
        epoch = storage.epoch()
        move(path, tmp_path / "old.db")
        move(tmp_path / "other.db", path)
        assert storage.totals().events == 5
        assert storage.epoch() != epoch
        window = Window(LedgerRange(6, 6), Scope.of([A]), [made_event(6, contract=A)], "test")
        storage.commit(window)
        assert storage.totals().events == 6
    with closing(open_url(f"sqlite:///{path}")) as again:
        assert again.totals().events == 6


def test_a_watch_of_a_file_that_is_gone_says_so(path, tmp_path):
    with closing(filled(path, 2)) as storage, closing(storage.watch()) as watch:
        move(path, tmp_path / "away.db")
        with pytest.raises(StorageError, match="taken away or replaced"):
            watch.wait(99, 2.0)


def test_pages_of_a_damaged_file_are_not_kept(path):
    with closing(filled(path, 3)) as storage:
        checkpoint = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA wal_checkpoint(TRUNCATE)')"
        subprocess.run([sys.executable, "-c", checkpoint, str(path)], check=True)
        read = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
        good = subprocess.run([sys.executable, "-c", read, str(path)], check=True, stdout=subprocess.PIPE).stdout
        overwrite(path, b"garbage " * (len(good) // 8))
        with pytest.raises(StorageError, match="damaged"):
            storage.read(lambda database: database.execute_sql("SELECT count(*) FROM events").fetchone())
        overwrite(path, good)
        assert storage.totals().events == 3


def test_who_is_reading_while_the_file_is_replaced_ends_and_the_next_reads_the_new_one(path, tmp_path):
    filled(tmp_path / "other.db", 5).close()
    with closing(filled(path, 2)) as storage:
        inside, go, found = threading.Event(), threading.Event(), []

        def read(database):
            count = "SELECT count(*) FROM events"
            before = database.execute_sql(count).fetchone()[0]
            inside.set()
            go.wait(10)
            return before, database.execute_sql(count).fetchone()[0]

        reader = threading.Thread(target=lambda: found.append(storage.read(read)))
        reader.start()
        assert inside.wait(10)
        move(path, tmp_path / "old.db")
        move(tmp_path / "other.db", path)
        assert storage.totals().events == 5
        go.set()
        reader.join(10)
        assert found == [(2, 2)]
        assert storage.totals().events == 5


def test_looking_costs_next_to_nothing(path):
    with closing(filled(path, 1)) as storage:
        pool = storage._backend._readers
        began = time.perf_counter()
        for _ in range(10_000):
            with pool.use():
                pass
        assert time.perf_counter() - began < 1.0
