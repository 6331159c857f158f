"""What supervised processes tell of themselves, when they take work, and that none outlives its supervisor."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from stellarstream_core.ops import process as processes
from stellarstream_core.ops.health_state import read_health
from stellarstream_core.ops.identity import began_at, birth_of, lives
from stellarstream_core.ops.process import Presence, State, is_ready, read_presences, supervised_role
from tests.api.conftest import store
from tests.api.kit import HISTORY, A, B, C, Wire, runtime_of
from tests.api.workers import Worker, settings_of
from tests.ops.indexer_kit import SMALL, Deployment, until
from tests.paths import ROOT

# --- what is told -------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(processes, "BEAT_SECONDS", 0.05)


async def test_a_process_tells_how_it_is_from_its_start_to_its_end(tmp_path, hasty):
    presence = Presence(tmp_path, "api")
    assert read_presences(tmp_path) == []
    presence.start()
    (seen,) = read_presences(tmp_path)
    assert (seen.pid, seen.role, seen.state, seen.ready) == (os.getpid(), "api", State.STARTING, False)
    assert (seen.lag, seen.ledger, seen.watermark, seen.tip) == (None, None, None, None)
    assert seen.started == pytest.approx(began_at(birth_of(os.getpid())), abs=0.1)
    assert seen.started < seen.since <= time.time()
    assert not is_ready(tmp_path, "api", os.getpid())
    presence.ready()
    assert is_ready(tmp_path, "api", os.getpid())
    presence.tell(ledger=7, watermark=5, tip=9, lag=2.5)
    until_told = asyncio.get_running_loop().time() + 5
    while (seen := read_presences(tmp_path)[0]).ledger is None:
        assert asyncio.get_running_loop().time() < until_told
        await asyncio.sleep(0.01)
    assert (seen.ready, seen.lag, seen.ledger, seen.watermark, seen.tip) == (True, 2.5, 7, 5, 9)
    presence.draining()
    assert not is_ready(tmp_path, "api", os.getpid())
    assert read_presences(tmp_path)[0].state is State.DRAINING
    presence.close()
    presence.close()
    assert list(tmp_path.iterdir()) == []


async def test_while_the_loop_is_stuck_the_beat_grows_old(tmp_path, hasty):
    presence = Presence(tmp_path, "api")
    presence.start()
    time.sleep(0.4)  # noqa: ASYNC251 - it is stuck
    assert read_presences(tmp_path)[0].beat_age >= 0.4
    await asyncio.sleep(0.1)
    assert read_presences(tmp_path)[0].beat_age < 0.3
    presence.close()


async def test_the_ready_file_comes_again_where_somebody_removed_it(tmp_path, hasty):
    presence = Presence(tmp_path, "api")
    presence.start()
    presence.ready()
    for path in tmp_path.iterdir():
        path.unlink()
    await asyncio.sleep(0.15)
    assert is_ready(tmp_path, "api", os.getpid())
    assert len(read_presences(tmp_path)) == 1
    presence.close()


async def test_a_full_disk_makes_nobody_look_stuck(tmp_path, hasty, monkeypatch):
    presence = Presence(tmp_path, "api")
    presence.start()
    presence.ready()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(processes, "_replace", full)
        await asyncio.sleep(0.9)
    (seen,) = read_presences(tmp_path)
    assert seen.ready
    assert seen.beat_age < 0.5
    presence.close()


BEATING = """
import asyncio, sys
from pathlib import Path
from stellarstream_core.ops.process import Presence
async def main():
    presence = Presence(Path(sys.argv[1]), "worker")
    presence.start()
    presence.ready()
    print("told", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_what_the_dead_leave_is_removed_even_before_anybody_asked_how_they_ended(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", BEATING, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout.readline() == b"told\n"
        assert [(one.pid, one.ready) for one in read_presences(tmp_path)] == [(process.pid, True)]
        assert lives(process.pid, birth_of(process.pid))
        assert lives(process.pid, None)
        assert birth_of(process.pid) != birth_of(os.getpid())
        (tmp_path / f".worker.{process.pid}.beat.new").write_text("half of one")
        process.kill()
        until(lambda: read_presences(tmp_path) == [], 10)
    finally:
        process.kill()
        process.communicate()
    assert list(tmp_path.iterdir()) == []
    assert not lives(process.pid, None)


async def test_what_an_earlier_process_of_the_same_number_left_counts_for_nothing(tmp_path):
    pid = os.getpid()
    told = {"pid": pid, "role": "api", "birth": "another boot:17", "state": "ready", "started": 1.0, "since": 1.0}
    for kind in ("beat", "ready"):
        (tmp_path / f"api.{pid}.{kind}").write_text(json.dumps({**told, "beat": time.monotonic(), "at": time.time()}))
    assert not is_ready(tmp_path, "api", pid)
    presence = Presence(tmp_path, "api")
    presence.start()
    assert not (tmp_path / f"api.{pid}.ready").exists()
    assert read_presences(tmp_path)[0].state is State.STARTING
    presence.close()
    (tmp_path / f"api.{pid}.beat").write_text(json.dumps(told))
    assert read_presences(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"birth":BIRTH}', '{"birth":BIRTH,"state":"new"}'])
def test_a_broken_file_is_passed_over(tmp_path, content):
    birth = json.dumps(birth_of(os.getpid()))
    (tmp_path / f"api.{os.getpid()}.beat").write_text(content.replace("BIRTH", birth))
    (tmp_path / "api.x.beat").write_text("{}")
    assert read_presences(tmp_path) == []
    assert not is_ready(tmp_path, "api", os.getpid())


@pytest.mark.parametrize("name", ["api.1.beat", "api.1.ready", "health.json"])
def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path, name):
    """Opening it would wait for somebody who writes."""
    os.mkfifo(tmp_path / name)
    assert read_presences(tmp_path) == []
    assert not is_ready(tmp_path, "api", 1)
    assert read_health(tmp_path) is None


def test_a_process_is_supervised_where_its_supervisor_says_so(monkeypatch):
    monkeypatch.delenv(processes.SUPERVISED, raising=False)
    monkeypatch.setenv(processes.ROLE, "second")
    assert supervised_role("api") is None
    monkeypatch.setenv(processes.SUPERVISED, "1")
    assert supervised_role("api") == "second"
    monkeypatch.setenv(processes.ROLE, "")
    assert supervised_role("api") == "api"


# --- workers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database_url(tmp_path_factory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('workers') / 'api.db'}"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("STELLARSTREAM_")]:
            patch.delenv(name)
        with closing(runtime_of(url).open_storage(create=True)) as storage:
            store(storage, (100, 180), [A, B, C], HISTORY)
    return url


def test_a_worker_takes_requests_once_it_is_ready_and_leaves_in_time_without_losing_one(tmp_path, database_url):
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock, Wire(sock.getsockname(), 20.0) as early:
        settings = settings_of(database_url, RUN_DIR=str(run_dir), SUPERVISED="1")
        early.send(b"GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        worker = Worker(tmp_path / "w", "--fd", str(sock.fileno()), sock=sock, **settings)
        pid = worker.process.pid
        try:
            states: list[State] = []
            early.sock.setblocking(False)
            while not is_ready(run_dir, "api", pid):
                assert worker.process.poll() is None, worker.log
                states += [one.state for one in read_presences(run_dir)]
                if not is_ready(run_dir, "api", pid):
                    with pytest.raises(BlockingIOError):
                        early.sock.recv(1, socket.MSG_PEEK)
                time.sleep(0.005)
            assert set(states) <= {State.STARTING, State.READY}
            early.sock.settimeout(20)
            assert early.answer().status == 200
            with Wire(sock.getsockname(), 20.0) as slow:
                slow.send(b"GET /api/v1/wait?seconds=1.2 HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(0.3)
                began = time.monotonic()
                worker.terminate()
                until(lambda: not is_ready(run_dir, "api", pid), 5)
                assert [one.state for one in read_presences(run_dir)] == [State.DRAINING]
                assert slow.answer().status == 200
                assert worker.ended() == 0
                assert time.monotonic() - began < 5
        finally:
            worker.kill()
    assert list(run_dir.glob("api.*")) == []
    assert "Traceback" not in worker.log


IMPATIENT = """
import stellarstream_core.ops.readiness as readiness
readiness.READY_SECONDS = 0.7
from stellarstream_core.cli import main
main()
"""


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("sync", "--follow")], ids=["serve", "sync"])
def test_who_is_not_ready_in_time_says_why_and_ends(tmp_path, command):
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and never says a word
        url = f"postgresql://user:password-of-it@127.0.0.1:{silent.getsockname()[1]}/x"
        settings = settings_of(url, RUN_DIR=str(run_dir), SUPERVISED="1", CONTRACTS=A)
        env = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
        env |= {f"STELLARSTREAM_{name}": value for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", IMPATIENT, *command],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert "Not ready within 0.7 seconds: still waiting for the database" in done.stderr
    assert "stellarstream doctor" in done.stderr
    assert "password-of-it" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


# --- the supervisor -----------------------------------------------------------------------------

SUPERVISOR = """
import os, socket, subprocess, sys, time
sock = socket.create_server(("127.0.0.1", 0), backlog=64)
command = [sys.executable, "-m", "stellarstream_core.cli"]
fd = sock.fileno()
api = {**os.environ, "STELLARSTREAM_ROLE": "api", "STELLARSTREAM_SUPERVISOR_PID": str(os.getpid())}
started = [subprocess.Popen([*command, "serve", "--fd", str(fd)], pass_fds=[fd], env=api) for _ in range(2)]
started += [subprocess.Popen([*command, "sync", "--follow"])]
print(sock.getsockname()[1], *(process.pid for process in started), flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, SMALL)
    yield deployment
    deployment.stop()


def test_a_supervisor_that_is_killed_takes_its_processes_along_and_its_port_is_free(home):
    settings = settings_of(home.database_url) | home.settings
    with (home.folder / "log").open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR],
            env=home.environment(settings),
            cwd=home.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    try:
        port, *pids = map(int, supervisor.stdout.readline().split())
        births = {pid: birth_of(pid) for pid in pids}
        until(lambda: {one.pid for one in read_presences(home.run_dir) if one.ready} == set(pids))
        with Wire(("127.0.0.1", port), 20.0) as wire:
            assert wire.ask("/healthz/live").status == 200
        supervisor.kill()
        supervisor.wait()
        began = time.monotonic()
        until(lambda: not any(lives(pid, birth) for pid, birth in births.items()), 8)
        print(f"gone after {time.monotonic() - began:.2f} s")
        socket.create_server(("127.0.0.1", port)).close()
        until(lambda: read_presences(home.run_dir) == [], 5)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(supervisor.pid, signal.SIGKILL)
        supervisor.communicate()
        text = (home.folder / "log").read_text()
        print(text[-2000:])
    assert "Traceback" not in text


def test_a_process_whose_supervisor_ended_before_it_looked_ends(tmp_path, database_url):
    worker = Worker(
        tmp_path, "--port", "0", **settings_of(database_url), SUPERVISED="1", SUPERVISOR_PID=str(os.getppid())
    )
    try:
        assert worker.ended(30) == 1
    finally:
        worker.kill()
    assert f"Supervisor gone: The supervisor (process {os.getppid()}) has ended" in worker.log
