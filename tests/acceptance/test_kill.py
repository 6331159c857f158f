"""Killed at random instants and run again: the same rows as an unbroken run, and signals end cleanly."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stellarstream_core.ranges import LedgerRange
from tests import commands
from tests.acceptance.conftest import EVENTS, LEDGERS, digest_of, environment
from tests.benchmarks.pages import CONTRACT, FIRST, PASSPHRASE

WHOLE = LedgerRange(FIRST, FIRST + LEDGERS - 1)
SYNC = ("sync", "--contract", CONTRACT, "--from", str(WHOLE.first), "--to", str(WHOLE.last), "--json")
KILLS = 12


@pytest.fixture
def env(tmp_path, pages_url):
    return environment(
        tmp_path,
        NETWORK="bench",
        NETWORK_PASSPHRASE=PASSPHRASE,
        RPC_URL=pages_url,
        # small windows: many commits, so that a kill meets every stage of one
        PLUGINS__SOROBAN_RPC__WINDOW="40",
        PLUGINS__SOROBAN_RPC__MAX_WINDOW="40",
    )


def sync(env, tmp_path, url: str) -> subprocess.CompletedProcess:
    return commands.run(*SYNC, "--database", url, env=env, cwd=tmp_path)


def test_killed_again_and_again_the_rows_are_those_of_an_unbroken_run(database, env, tmp_path, opened):
    unbroken, killed = database("unbroken"), database("killed")
    began = time.monotonic()
    done = sync(env, tmp_path, unbroken)
    whole = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    dice = random.Random(2026)
    deaths = 0
    for _ in range(KILLS):
        process = commands.start(
            *SYNC, "--database", killed, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=dice.uniform(0.3, 0.3 + whole / 3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            deaths += 1
    assert deaths, "no run was killed: the test would show nothing"
    done = sync(env, tmp_path, killed)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["covered"] == [[WHOLE.first, WHOLE.last]]
    assert report["gaps"] == []
    first, second = opened(unbroken), opened(killed)
    assert first.totals().events == second.totals().events == EVENTS
    assert digest_of(first) == digest_of(second)
    assert second.coverage(CONTRACT, WHOLE).ranges == (WHOLE,)
    positions = [commit.position for commit in second.commits(0, limit=100_000)]
    assert positions == list(range(1, len(positions) + 1)), "positions have no holes"
    assert sum(len(second.events_of_commit(c)) for c in second.commits(0, limit=100_000)) == EVENTS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sync_within_five_seconds_and_it_says_what_is_missing(number, env, tmp_path, opened):
    url = f"sqlite:///{tmp_path / 'signal.db'}"
    slow = {
        **env,
        "STELLARSTREAM_PLUGINS__SOROBAN_RPC__WINDOW": "2",
        "STELLARSTREAM_PLUGINS__SOROBAN_RPC__MAX_WINDOW": "2",
    }
    process = commands.start(*SYNC, "--database", url, env=slow, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not _windows(tmp_path / "signal.db"):
        time.sleep(0.05)
    process.send_signal(number)
    began = time.monotonic()
    out, _ = process.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert process.returncode == 3, out
    report = json.loads(out.splitlines()[-1])
    assert {gap["reason"] for gap in report["gaps"]} == {"interrupted"}
    done = sync(env, tmp_path, url)
    assert done.returncode == 0
    assert opened(url).totals().events == EVENTS


def test_two_syncs_of_one_range_at_the_same_time_store_each_event_once(database, env, tmp_path, opened):
    url = database("shared")
    opened(url).migrate()
    processes = [
        commands.start(*SYNC, "--database", url, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    reports = []
    for process in processes:
        out, _ = process.communicate(timeout=90)
        assert process.returncode == 0, out
        reports.append(json.loads(out.splitlines()[-1]))
    assert sum(report["events"]["new"] for report in reports) == EVENTS
    assert opened(url).totals().events == EVENTS


PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Prints a command's peak memory; asked for from here it would be that of this process, from which it was forked."""


def test_memory_stays_under_200_mb(env, tmp_path):
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    command = [sys.executable, "-c", PEAK, sys.executable, "-m", "stellarstream_core.cli", *SYNC, "--database", url]
    done = subprocess.run(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert int(done.stdout) / 1024 < 200


def _windows(path: Path) -> int:
    """Return how many windows a database holds; 0 while it is not there."""
    import sqlite3

    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT count(*) FROM windows").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
