"""The database goes away and comes back: the indexer waits for it in its process, and what ends is soon there again."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stellarstream_core.errors import SchemaError, StorageError, SyncInterruptedError
from stellarstream_core.ops import database_wait
from stellarstream_core.ops.database_wait import DatabaseWait
from stellarstream_core.ops.notes import take_note_of_end
from stellarstream_core.ops.process import State
from tests.ops.indexer_kit import CLI, Deployment, until
from tests.postgres import NoPostgresError, _binaries, _cluster, _run, _unprivileged


class Server:
    """A PostgreSQL of this test's own, which can be stopped and started again."""

    def __init__(self, url: str, data: Path) -> None:
        self.url, self._data = url, data
        self._options = shlex.split((data / "postmaster.opts").read_text())[1:]
        control = [*_unprivileged(data.parent, data), str(_binaries() / "pg_ctl"), "-D", str(data), "-w"]
        self._control = control

    def stop(self) -> None:
        _run([*self._control, "-m", "fast", "stop"])

    def start(self) -> None:
        _run([*self._control, "-l", str(self._data / "log"), "-o", shlex.join(self._options), "start"])


@contextmanager
def server_of_our_own(folder: str) -> Iterator[Server]:
    try:
        binaries = _binaries()
    except NoPostgresError as error:
        pytest.skip(str(error))
    with _cluster(binaries, folder) as url:
        (data,) = Path(folder).glob("stellarstream-pg-*/data")
        yield Server(url, data)


@pytest.fixture
def server(tmp_path_factory) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:  # one that another user may enter
        Path(folder).chmod(0o755)
        with server_of_our_own(folder) as made:
            yield made


@pytest.fixture
def home(tmp_path, server) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, database_url=server.url)
    deployment.settings["LOG_LEVEL"] = "info"
    yield deployment
    deployment.stop()


def test_an_indexer_waits_for_a_server_that_is_stopped_and_goes_on_in_the_same_process(home, server):
    running = home.start()
    latest = home.close_ledgers(2)
    until(lambda: (now := running.ready()).watermark == latest and now)
    for number in (1, 2):
        server.stop()
        home.close_ledgers(2)
        until(lambda: running.presence.state is State.NO_DATABASE)
        server.start()
        latest = home.close_ledgers(1)
        until(lambda latest=latest: (now := running.ready()).watermark == latest and now)
        said = running.log.read_text()
        assert said.count("the database answers again") == number
        assert "the database fails: " in said
        assert "Traceback" not in said
    assert running.process.poll() is None
    with home.opened() as storage:
        home.whole(storage)


def test_one_that_waits_ends_and_is_renewed_at_once(home, server):
    running = home.start()
    before = running.ready()
    server.stop()
    home.close_ledgers(1)
    until(lambda: running.presence.state is State.NO_DATABASE)
    running.send(signal.SIGTERM)
    assert running.ended() in {0, 1, 3}
    assert before.pid == running.pid
    server.start()
    again = home.start()
    again.ready()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def sync(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``sync --follow`` with a source that does not answer, and a database that does not, unless one is named."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    settings |= {"NETWORK": "sandbox", "RPC_URL": f"http://127.0.0.1:{closed_port()}"}
    settings |= {"CONTRACTS": "*", "START_LEDGER": "2", "PLUGINS__SOROBAN_RPC__MAX_RETRIES": "0"}
    settings.setdefault("DATABASE_URL", f"postgresql://me:of-secret@127.0.0.1:{closed_port()}/nowhere")
    env |= {f"STELLARSTREAM_{name}": value for name, value in settings.items()}
    command = [sys.executable, *CLI, "sync", "--follow"]
    return subprocess.run(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )


def test_by_hand_a_database_that_does_not_answer_is_told_at_once(tmp_path):
    done = sync(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Database problem: Cannot connect to postgresql://")
    assert "of-secret" not in done.stderr


@pytest.mark.parametrize(
    ("database", "code", "title", "waits_for"),
    [
        ({}, 2, "Database problem", "its database"),
        ({"DATABASE_URL": "sqlite:///here.db"}, 3, "Source unavailable", "its sources"),
    ],
    ids=["database", "sources"],
)
def test_why_a_process_of_the_service_ends_is_in_its_own_log_and_noted_for_its_supervisor(
    tmp_path, database, code, title, waits_for
):
    run_dir, logs = tmp_path / "run", tmp_path / "logs"
    run_dir.mkdir(mode=0o700)
    done = sync(tmp_path, RUN_DIR=str(run_dir), LOG_DIR=str(logs), SUPERVISED="1", ROLE="indexer", **database)
    assert done.returncode == code
    (line,) = [line for line in (logs / "indexer.log").read_text().splitlines() if title in line]
    assert "ERROR" in line
    assert done.stderr.count(title) == 1
    assert "of-secret" not in line + done.stderr
    (note,) = run_dir.glob("indexer.*.end")
    pid = int(note.name.split(".")[1])
    assert take_note_of_end(run_dir, "indexer", pid) == waits_for
    assert take_note_of_end(run_dir, "indexer", pid) is None


# --- the waiting itself -----------------------------------------------------------------------------


class Work:
    """Work that ends each time as told: an error after the database was opened, or before; None is its end."""

    def __init__(self, *ends: Exception | None, opens: bool = True) -> None:
        self.ends, self.opens, self.told = list(ends), opens, []
        self.wait = DatabaseWait(self.told.append)

    async def do(self) -> str:
        if self.opens or not self.wait.ever_opened:
            self.wait.opened()
        if (end := self.ends.pop(0)) is not None:
            raise end
        return "done"

    def run(self, stop: asyncio.Event | None = None):
        return self.wait.run(self.do, stop or asyncio.Event())


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(database_wait, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(database_wait, "LONGEST_WAIT", 0.002)


async def test_work_is_done_again_until_it_is_done():
    work = Work(StorageError("gone"), StorageError("gone"), None)
    assert await work.run() == "done"
    assert work.told == [True, False, True, False]


async def test_a_database_that_stays_away_is_waited_for_however_long_that_takes():
    work = Work(*(StorageError("gone") for _ in range(50)), None, opens=False)
    assert await work.run() == "done"


async def test_work_that_fails_again_and_again_on_a_database_that_answers_is_given_up():
    work = Work(*(StorageError("mine") for _ in range(50)))
    with pytest.raises(StorageError, match="mine"):
        await work.run()
    assert len(work.ends) == 50 - database_wait.MOST_FAILURES - 1


@pytest.mark.parametrize("error", [SchemaError("old"), KeyError("mine")], ids=["schema", "other"])
async def test_what_waiting_does_not_mend_is_not_waited_for(error):
    with pytest.raises(type(error)):
        await Work(error, None).run()


async def test_a_database_that_was_never_open_is_not_waited_for():
    async def work() -> None:
        raise StorageError("Cannot connect")

    with pytest.raises(StorageError):
        await DatabaseWait(lambda _: None).run(work, asyncio.Event())


async def test_who_is_told_to_stop_while_it_waits_stops(monkeypatch):
    monkeypatch.setattr(database_wait, "FIRST_WAIT", 60.0)
    monkeypatch.setattr(database_wait, "LONGEST_WAIT", 60.0)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    with pytest.raises(SyncInterruptedError, match="while the database was waited for"):
        await Work(StorageError("gone"), None).run(stop)
