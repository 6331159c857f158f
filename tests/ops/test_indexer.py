"""One indexer at a time, renewed by SIGHUP, killed at any moment: nothing missing, nothing twice."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import random
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stellarstream_core.errors import SettingsError, SyncInterruptedError
from stellarstream_core.ops import indexer as indexers
from stellarstream_core.ops.indexer import IndexerBusyError, IndexerLock, Renewal
from stellarstream_core.ops.indexer_beat import Pace
from stellarstream_core.ops.process import State, read_presences
from stellarstream_core.sources import Reach
from tests.ops.indexer_kit import DEEP, SMALL, Deployment, Indexer, sqlite_held, until

ROUNDS = 100 if DEEP else 4
LONG = pytest.mark.timeout(3_600 if DEEP else 110)
RESUME_SECONDS = 2.0
"""How long it may take to go on: of the processor's time always, and of ours where nobody else needs the machine."""


@pytest.fixture
def home(tmp_path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path)
    yield deployment
    deployment.stop()


def environment_of(pid: int) -> list[bytes]:
    """Return a process's variables, without those that the log's library is told by."""
    read = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return sorted(entry for entry in read if entry and not entry.startswith(b"LOGURU_"))


def cpu_seconds(pid: int) -> float:
    """Return how much of the processor's time a process has had, over all the code it has executed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- killed and renewed -------------------------------------------------------------------------


@LONG
@pytest.mark.parametrize("end", [signal.SIGHUP, signal.SIGKILL], ids=["renewed", "killed"])
def test_again_and_again_at_any_moment_nothing_is_missing_and_nothing_twice(home, end):
    dice = random.Random(2026)
    resumed: list[float] = []
    with home.opened() as storage:
        running = home.start()
        before = running.ready()
        for number in range(ROUNDS):
            home.close_ledgers(dice.randint(1, 3))
            if number % 4 == 2:  # so early that it is about to start
                time.sleep(dice.uniform(0.0, 0.8))
            else:
                until(lambda: home.watermark(storage) >= home.node.latest)
                time.sleep(dice.uniform(0.0, 0.2))
            began = time.time()
            if end is signal.SIGHUP:
                running.send(signal.SIGHUP)
            else:
                running.kill()
                running = home.start()
            latest = home.close_ledgers(1)
            until(lambda latest=latest: home.watermark(storage) >= latest)
            if number % 4 != 2:
                resumed.append(time.time() - began)
        now = running.ready()
        assert cpu_seconds(running.pid) < RESUME_SECONDS * (ROUNDS if end is signal.SIGHUP else 1)
        until(lambda: home.watermark(storage) >= home.node.latest)
        if end is signal.SIGHUP:
            assert (now.pid, now.started) == (before.pid, pytest.approx(before.started, abs=0.5))
            assert now.since > before.since
        home.whole(storage)
    median, load = sorted(resumed)[len(resumed) // 2], os.getloadavg()[0]
    print(f"{end.name} {len(resumed)} times: on after {median:.2f} s, at most {max(resumed):.2f} s; load {load:.1f}")
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert read_presences(home.run_dir) == []


@LONG
def test_the_same_on_postgresql(tmp_path, postgres_url):
    home = Deployment(tmp_path, database_url=postgres_url)
    dice = random.Random(7)
    try:
        with home.opened() as storage:
            running = home.start()
            running.ready()
            for number in range(ROUNDS // 2):
                latest = home.close_ledgers(2)
                time.sleep(dice.uniform(0.0, 0.5))
                if number % 2:
                    running.send(signal.SIGHUP)
                else:
                    running.kill()
                    running = home.start()
                until(lambda latest=latest: home.watermark(storage) >= latest)
            home.whole(storage)
    finally:
        home.stop()


@pytest.fixture
def long_way(tmp_path) -> Iterator[Deployment]:
    """A deployment that has far to go, in small windows."""
    deployment = Deployment(tmp_path, replace(SMALL, ledgers=150))
    deployment.settings |= {"PLUGINS__SOROBAN_RPC__WINDOW": "3", "PLUGINS__SOROBAN_RPC__MAX_WINDOW": "3"}
    yield deployment
    deployment.stop()


def test_renewed_while_catching_up_it_finishes_the_window_in_flight_and_goes_on_behind_it(long_way):
    with long_way.opened() as storage:
        running = long_way.start()
        running.tap.delay = 0.15
        until(lambda: storage.moment().position >= 2)
        for _ in range(2):
            before, since = storage.moment().position, running.presence.since
            asked = len(running.tap.asked)
            until(lambda asked=asked: len(running.tap.asked) > asked)  # a window is on its way
            running.send(signal.SIGHUP)
            until(lambda since=since: running.presence.state is State.RENEWING or running.presence.since > since)
            assert storage.moment().position > before
            running.ready(since)
            until(lambda before=before: storage.moment().position > before + 2)
        running.tap.delay = 0.0
        until(lambda: long_way.watermark(storage) >= long_way.node.latest)
        long_way.whole(storage)


def test_it_stays_the_same_process_with_the_same_arguments_environment_and_lock(home):
    running = home.start()
    before = running.ready()
    command, environment = Path(f"/proc/{running.pid}/cmdline").read_bytes(), environment_of(running.pid)
    for _ in range(3):
        running.send(signal.SIGHUP)  # one that comes while it is being renewed is heeded or included
        time.sleep(0.15)
    after = running.ready(before.since)
    assert after.pid == before.pid
    assert Path(f"/proc/{running.pid}/cmdline").read_bytes() == command
    assert environment_of(running.pid) == environment
    assert (home.run_dir / "indexer.lock").read_text() == f"{running.pid}\n"
    time.sleep(1.0)
    running.ready()
    assert "Traceback" not in running.log.read_text()


@LONG
def test_sigterm_at_any_moment_of_a_renewal_ends_it(home):
    dice = random.Random(11)
    running = home.start()
    running.ready()
    for _ in range(40 if DEEP else 2):
        running.send(signal.SIGHUP)
        time.sleep(dice.choice([0.0, dice.uniform(0, 0.1), dice.uniform(0, 1.0)]))
        running.send(signal.SIGTERM)
        assert running.ended(15) in {0, 3, -signal.SIGTERM}, running.log.read_text()
        assert "Traceback" not in running.log.read_text()
        running = home.start()
        running.ready()
    with home.opened() as storage:
        until(lambda: home.watermark(storage) >= home.node.latest)
        home.whole(storage)


HASTY = "import stellarstream_core.ops.indexer as i; i.WINDOW_SECONDS = i.ENDING_SECONDS = 0.4; i.LOCK_SECONDS = 1.0"


def test_what_does_not_end_is_executed_again_all_the_same(home):
    running = home.start(HASTY)
    before = running.ready()
    with home.opened() as storage:
        until(lambda: home.watermark(storage) >= home.node.latest)
        with sqlite_held(home.folder / "indexed.db"):
            asked = len(running.tap.asked)
            home.close_ledgers(1)
            until(lambda: len(running.tap.asked) > asked + 2)  # it tries to commit, and cannot
            running.send(signal.SIGHUP)
            until(lambda: running.presence.since > before.since)
        assert running.ready(before.since).pid == before.pid
        until(lambda: home.watermark(storage) >= home.node.latest)
        home.whole(storage)


# --- one at a time ------------------------------------------------------------------------------


def test_two_never_work_at_once_however_the_first_one_ends(home):
    order: list[Indexer] = [home.start()]
    order[0].ready()
    for end in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        ending, waiting = order[-1], home.start()
        until(lambda waiting=waiting: (now := waiting.presence) and now.state is State.WAITING)
        home.close_ledgers(1)
        time.sleep(0.3)
        assert waiting.tap.asked == []
        ending.send(end)
        order.append(waiting)
        waiting.ready()
    home.close_ledgers(1)
    for before, after in zip(order, order[1:], strict=False):
        assert before.ended() in {0, -signal.SIGKILL}
        assert max(before.tap.asked) < min(after.tap.asked)


def test_the_lock_is_never_free_while_it_is_renewed_and_who_waits_too_long_says_so(home):
    running = home.start()
    since = running.ready().since
    waiting = home.start("import stellarstream_core.ops.indexer as i; i.LOCK_SECONDS = 3.0")
    until(lambda: (now := waiting.presence) and now.state is State.WAITING)
    while waiting.process.poll() is None:
        running.send(signal.SIGHUP)
        since = running.ready(since).since
    assert waiting.process.returncode == 2
    assert waiting.tap.asked == []
    said = waiting.log.read_text()
    assert f"Indexer already running: Another indexer (process {running.pid}) has held" in said
    assert "Traceback" not in said
    running.ready()


TAKE = """
import asyncio, sys
from pathlib import Path
from stellarstream_core.ops.indexer import IndexerLock
lock = asyncio.run(IndexerLock.take(Path(sys.argv[1]), asyncio.Event(), 5))
print("taken", flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "taken\n"
    return process


async def test_the_lock_goes_with_its_process_and_waiting_for_it_has_a_bound_and_an_end(tmp_path):
    other, stop = holder(tmp_path), asyncio.Event()
    try:
        with pytest.raises(IndexerBusyError, match=rf"\(process {other.pid}\) has held .* for 0\.2 seconds"):
            await IndexerLock.take(tmp_path, stop, 0.2)
        asyncio.get_running_loop().call_later(0.2, stop.set)
        with pytest.raises(SyncInterruptedError):
            await IndexerLock.take(tmp_path, stop, 30)
        taking = asyncio.create_task(IndexerLock.take(tmp_path, asyncio.Event(), 30))
        await asyncio.sleep(0.1)
        assert not taking.done()
    finally:
        other.kill()
        other.communicate()
    lock = await taking
    lock.close()
    lock.close()


async def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path):
    other = holder(tmp_path)
    try:
        (tmp_path / "indexer.lock").unlink()
        lock = await IndexerLock.take(tmp_path, asyncio.Event(), 0.2)
        assert (tmp_path / "indexer.lock").read_text() == f"{os.getpid()}\n"
        lock.close()
    finally:
        other.kill()
        other.communicate()


async def test_a_run_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"run_dir: .*/gone/indexer\.lock cannot be locked: No such file"):
        await IndexerLock.take(tmp_path / "gone", asyncio.Event(), 0.2)


# --- when it is renewed -------------------------------------------------------------------------


async def settled() -> None:
    await asyncio.sleep(0.02)


async def test_at_rest_it_ends_at_once_and_in_a_window_after_it():
    for busy in (False, True):
        renewal, stop = Renewal(), asyncio.Event()
        renewal.arm(stop)
        renewal.working()
        renewal.window_done()
        if not busy:
            renewal.resting()
        assert not renewal.due
        renewal.hang_up()
        renewal.hang_up()
        await settled()
        assert (renewal.due, stop.is_set()) == (True, not busy)
        renewal.window_done()
        assert stop.is_set()
        renewal.call_off()


async def test_a_window_that_takes_too_long_is_dropped(monkeypatch):
    monkeypatch.setattr(indexers, "WINDOW_SECONDS", 0.1)
    renewal, stop = Renewal(), asyncio.Event()
    renewal.arm(stop)
    renewal.working()
    renewal.hang_up()
    async with asyncio.timeout(5):
        await stop.wait()
    renewal.call_off()


async def test_what_came_before_there_was_a_loop_counts_and_the_end_for_good_wins():
    renewal, stop = Renewal(), asyncio.Event()
    renewal.hang_up()
    renewal.arm(stop)
    assert stop.is_set()
    renewal.call_off()
    assert not renewal.due
    over = Renewal()
    over.call_off()
    over.hang_up()
    assert not over.due
    assert [
        thread for thread in threading.enumerate() if isinstance(thread, threading.Timer) and thread.is_alive()
    ] in (
        [],
        [renewal._timer],  # cancelled, and about to end
    )


async def test_without_an_interpreter_to_execute_it_goes_on_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    renewal, stop = Renewal(), asyncio.Event()
    renewal.arm(stop)
    renewal.hang_up()
    await settled()
    assert not renewal.due
    assert not stop.is_set()


def test_the_lag_is_how_long_the_network_took_for_what_is_missing_and_grows_while_nobody_tells():
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.lag(7) is None
    pace.heard(Reach(1, 110, ledger_seconds=2.0))
    assert (pace.tip, pace.lag(None), pace.lag(110), pace.lag(100), pace.lag(200)) == (110, None, 0.0, 20.0, 0.0)
    now = 130.5
    assert pace.lag(110) == 30.5
    pace.heard(Reach(1, 125))
    assert pace.lag(110) == 30.0


def test_sighup_before_it_can_be_heeded_waits_and_renews_it(home):
    """So circusd starts it: 'reload' in its first half a second would be its end otherwise."""
    running = home.start(preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP}))
    running.send(signal.SIGHUP)
    running.ready()
    assert "SIGHUP: this command is executed again." in running.log.read_text()


# --- without a supervisor -----------------------------------------------------------------------


def test_it_tells_how_far_it_is_and_leaves_nothing_behind(home):
    running = home.start()
    latest = home.close_ledgers(2)
    seen = until(lambda: (now := running.ready()).watermark == latest and now)
    assert (seen.ledger, seen.tip, seen.role) == (latest, latest, "indexer")
    assert 0 <= seen.lag < 10
    assert seen.beat_age < 5
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert [path.name for path in home.run_dir.iterdir()] == ["indexer.lock"]


def test_without_a_terminal_sighup_renews_it_too_and_nothing_is_written_to_the_run_folder(home):
    home.settings["SUPERVISED"] = ""
    running = home.start()
    until(lambda: "following: at ledger" in running.log.read_text())
    running.send(signal.SIGHUP)
    until(lambda: running.log.read_text().count("following: at ledger") == 2)
    assert "SIGHUP: this command is executed again." in running.log.read_text()
    assert running.process.poll() is None
    assert list(home.run_dir.iterdir()) == []
    running.send(signal.SIGTERM)
    assert running.ended() == 0


def test_in_a_terminal_sighup_ends_it_as_ever(home):
    home.settings["SUPERVISED"] = ""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever these tests were started with
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    running = home.start(preexec_fn=own_terminal, pass_fds=(theirs,))
    try:
        until(lambda: "following: at ledger" in running.log.read_text())
        running.send(signal.SIGHUP)
        assert running.ended() == -signal.SIGHUP
    finally:
        os.close(ours)
        os.close(theirs)
