"""Processes that are killed, and processes that commit side by side, leave what one calm process leaves."""

from __future__ import annotations

import fcntl
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from stellarstream_core.digest import digest_events
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Anchor
from stellarstream_core.testing.storage_conformance import ALL, A, stored
from stellarstream_sql.storage import open_sqlite
from tests import commands
from tests.paths import ROOT
from tests.sql.committer import FIRST, HISTORY, LAST, PAGE

KILLS = 8


def start(url: str, *arguments: object) -> subprocess.Popen:
    pipe = subprocess.PIPE
    return commands.module("tests.sql.committer", url, *map(str, arguments), stdout=pipe, text=True, cwd=ROOT)


def assert_whole(storage) -> RangeSet:
    """Check that events and coverage say the same, and that positions have no hole; return the coverage."""
    position = -1
    while position != storage.totals().position:  # a server may still end the last commit of a killed client
        position = storage.totals().position
        covered, events = storage.coverage(A, ALL), stored(storage)
    assert events == [event for event in HISTORY if event.ledger in covered]
    totals = storage.totals()
    commits = list(storage.commits(0))
    assert [commit.position for commit in commits] == list(range(1, totals.position + 1))
    assert totals.events == len(events)
    told = [event for commit in commits for event in storage.events_of_commit(commit)]
    assert sorted(told) == events
    assert storage.sync_states()[A].last_ledger_sequence == covered.unbroken_from(FIRST)
    return covered


def test_killed_at_any_instant_leaves_neither_hole_nor_duplicate(storage, database_url):
    storage.want(Scope.of([A]), FIRST)
    dice = random.Random()  # the instants differ from run to run; what must hold does not
    seen: set[RangeSet] = set()
    for attempt in range(KILLS):
        process = start(database_url, attempt, FIRST, LAST, "in step")
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PAGE)
        for _ in range(dice.randint(1, 12)):
            assert process.stdout.readline()
        time.sleep(dice.random() * 0.005)
        process.kill()
        process.communicate()
        seen.add(assert_whole(storage))
    assert len(seen) > 1, "some kills came after some commits"
    last = start(database_url, 99, FIRST, LAST)
    last.communicate(timeout=60)
    assert last.returncode == 0
    assert assert_whole(storage) == RangeSet([(FIRST, LAST)])
    assert digest_events(stored(storage)) == digest_events(HISTORY)


def test_processes_that_commit_the_same_ledgers_at_once_are_all_right(storage, database_url):
    storage.want(Scope.of([A]), FIRST)
    processes = [start(database_url, seed, FIRST, LAST) for seed in range(3)]
    for process in processes:
        process.communicate(timeout=100)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert assert_whole(storage) == RangeSet([(FIRST, LAST)])
    assert storage.totals().conflicts == 0


def test_a_lying_process_beside_a_true_one_overwrites_nothing(storage, database_url):
    storage.want(Scope.of([A]), FIRST)
    processes = [start(database_url, 1, 1, 200), start(database_url, 1, 1, 200, "lies")]
    for process in processes:
        process.communicate(timeout=100)
    assert [process.returncode for process in processes] == [0, 0]
    events = stored(storage)
    true = {event.id: event for event in HISTORY}
    assert len({event.id for event in events}) == len(events)
    covered = storage.coverage(A, LedgerRange(1, 200))
    assert {event.ledger for event in events} <= {ledger for r in covered for ledger in range(r.first, r.last + 1)}
    for event in events:
        assert event == true[event.id] or event.value == b"lie."
    lies = [event for event in HISTORY if event.ledger <= 200 and int(event.tx_hash, 16) % 7 == 0]
    assert lies
    assert storage.totals().conflicts > 0
    assert all(conflict.source in ("one", "liar") for conflict in storage.conflicts())


@pytest.mark.parametrize("seed", [1, 2])
def test_the_committer_itself_offers_the_whole_history(seed):
    from tests.sql.committer import windows

    offered = {event for one in windows(seed, FIRST, LAST) for event in one.events}
    assert offered == set(HISTORY)


def test_a_process_that_leaves_takes_no_log_from_under_another_with_two_storages(tmp_path):
    path = tmp_path / "shared.db"
    first = open_sqlite(f"sqlite:///{path}")
    first.migrate()
    first.bind_network("one")
    second = open_sqlite(f"sqlite:///{path}")
    second.schema()  # looks at the file, as every command does when it begins
    leave = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('SELECT count(*) FROM store'); c.close()"
    for ledger in range(1, 6):
        subprocess.run([sys.executable, "-c", leave], check=True, timeout=30)
        assert path.with_name("shared.db-wal").exists(), "whoever leaves is not the last one"
        first.add_anchor(Anchor(ledger, f"{ledger:064x}"))
    second.close()
    first.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM anchors").fetchone() == (5,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
