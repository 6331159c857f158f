"""``demo``: it touches nothing but its own, goes where it says, reads well, and ends when told to."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import tomllib
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import orjson
import pytest

from stellarstream_core.runtime import Runtime
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.demo import MARK
from stellarstream_sandbox.network import SandboxNetwork
from tests import commands

ENDED = "Ended: network, indexer and API are stopped. The database stays where it is."
QUICK = ("--close-time", "0.2", "--seconds", "100")
"""A demo that does not wait long; tests end it before."""


def start(tmp_path: Path, *args: str, begin=commands.start) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    environment |= {"PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    return begin("demo", *args, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True)


def asked(database: Path, question: str) -> object:
    """Return what a database says, which is not made here."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchone()[0]


def events_in(database: Path) -> int:
    return asked(database, "SELECT count(*) FROM events")


@pytest.fixture
def shown(invoke):
    """Return a function that runs a demo in this process until it follows, then sends SIGINT."""

    def show(folder: Path, *args: str, **env: str):
        over = threading.Event()

        def interrupt() -> None:
            reached: set[int] = set()  # the whole history in one step, then ledger after ledger
            while len(reached) < 3 and not over.wait(0.05):
                with suppress(sqlite3.Error, TypeError):  # the database, its tables or its windows are not there yet
                    reached.add(int(asked(folder / "demo.db", "SELECT max(last_ledger) FROM windows")))
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGINT)

        watching = threading.Thread(target=interrupt)
        watching.start()
        try:
            return invoke("demo", *args, *QUICK, **env)
        finally:
            over.set()
            watching.join()

    return show


# --- whose files ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["demo.db", "demo.db-wal", "demo.db.lock"])
def test_a_database_that_is_not_the_demos_is_left_alone(invoke, tmp_path, name):
    (tmp_path / name).write_text("somebody's work")
    outcome = invoke("demo", "--directory", ".", *QUICK)
    assert outcome.code == 2
    assert name in outcome.err
    assert (tmp_path / name).read_text() == "somebody's work"
    assert not (tmp_path / "stellarstream.toml").exists()


def test_settings_that_are_not_the_demos_are_left_alone(invoke, tmp_path):
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "stellarstream.toml").write_bytes(b'network = "testnet"\n# \xff\n')
    assert invoke("demo", *QUICK).code == 2
    assert (tmp_path / ".demo" / "stellarstream.toml").read_bytes().endswith(b"\xff\n")


def test_a_second_demo_begins_anew_and_removes_only_what_the_first_one_left(shown, tmp_path):
    (tmp_path / "stellarstream.toml").write_text(f"{MARK}\nnetwork = 'sandbox'\n")
    (tmp_path / "demo.db").write_text("not even a database")
    (tmp_path / "demo.db-notes.txt").write_text("somebody's work")
    outcome = shown(tmp_path, "--directory", ".")
    assert outcome.code == 0, outcome.err
    assert events_in(tmp_path / "demo.db") > 0
    assert (tmp_path / "demo.db-notes.txt").read_text() == "somebody's work"


def test_a_demo_that_runs_keeps_its_database(shown, invoke, tmp_path):
    assert shown(tmp_path, "--directory", ".").code == 0
    before = events_in(tmp_path / "demo.db")
    running = Runtime(tmp_path / "stellarstream.toml").open_storage()
    with running.follow_lock():
        outcome = invoke("demo", "--directory", ".", *QUICK)
    running.close()
    assert outcome.code == 2
    assert "Another demo" in outcome.err
    assert events_in(tmp_path / "demo.db") == before


# --- its settings ----------------------------------------------------------------------------


def test_its_settings_name_the_vault_of_each_token(shown, tmp_path):
    assert shown(tmp_path, "--directory", ".").code == 0
    nebula = Runtime(tmp_path / "stellarstream.toml").settings.section(NebulaSettings)
    contracts = SandboxNetwork(SandboxConfig(port=0)).contracts
    assert nebula.vaults == {contracts[f"token-{of}"]: contracts[f"vault-{of}"] for of in ("xlm", "usdc", "nova")}
    assert nebula.migrated_from == {contracts["streams-v2"]: contracts["streams-v1"]}
    assert nebula.yield_seconds == 5


# --- its API ----------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetched(url: str, seconds: float = 20.0) -> bytes:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_api_and_the_dashboard_serve_what_is_indexed(tmp_path):
    url = f"http://127.0.0.1:{(port := free_port())}"
    running = start(tmp_path, "--api-port", str(port), "--close-time", "0.2")
    try:
        end = time.monotonic() + 20
        while not (page := orjson.loads(fetched(f"{url}/api/v1/events?limit=1")))["complete"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert page["items"]
        assert b"<title>" in fetched(f"{url}/")
        assert orjson.loads(fetched(f"{url}/api/v1/sync"))["watermark"] > 100
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert f"{url}/docs" in out
    assert out.rstrip().endswith(ENDED)
    assert (running.returncode, err) == (0, "")


def test_a_port_that_is_asked_for_and_taken_is_an_error(invoke):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = invoke("demo", "--api-port", str(taken.getsockname()[1]), *QUICK)
    assert outcome.code == 2
    assert "Cannot listen" in outcome.err


# --- where it goes --------------------------------------------------------------------------


def test_the_environment_does_not_lead_the_demo_elsewhere(shown, tmp_path):
    outcome = shown(
        tmp_path / ".demo",
        DATABASE_URL="sqlite:///precious.db",
        RPC_URL="http://127.0.0.1:9",
        NETWORK_PASSPHRASE="another network",
        CONTRACTS="*",
    )
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "precious.db").exists()
    assert events_in(tmp_path / ".demo" / "demo.db") > 0
    assert "unset STELLARSTREAM_DATABASE_URL" in outcome.out


def test_any_folder_name_will_do(shown, invoke, tmp_path):
    folder = tmp_path / 'a "b" #c %41 ?d \\e é'
    outcome = shown(folder, "--directory", str(folder))
    assert outcome.code == 0, outcome.err
    assert events_in(folder / "demo.db") > 0
    assert tomllib.loads((folder / "stellarstream.toml").read_text())["network"] == "sandbox"
    exported = invoke("--config", str(folder / "stellarstream.toml"), "export", "events")
    assert len(exported.out.splitlines()) == events_in(folder / "demo.db")


# --- how it reads and how it ends -----------------------------------------------------------


def test_every_line_fits_a_terminal_of_80_columns(tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    running = start(tmp_path, "--close-time", "0.2", begin=commands.from_nothing)
    lines = []
    for line in running.stdout:
        lines.append(line.rstrip("\n"))
        if sum(line.startswith("   ledger ") for line in lines) == 10:
            break
    running.send_signal(signal.SIGINT)
    out, complaint = running.communicate(timeout=20)
    lines += out.splitlines()
    assert (running.returncode, complaint) == (0, "")
    assert max(map(len, lines)) <= 80
    assert lines[-1] == ENDED
    assert "no gaps" in lines[-3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("said", ["no real ledger", "   streams-v2", "3. sync"])
def test_a_signal_ends_it_cleanly_at_any_moment(tmp_path, number, said):
    running = start(tmp_path)
    for line in running.stdout:
        if line.startswith(said):
            break
    running.send_signal(number)
    out, complaint = running.communicate(timeout=20)
    assert (running.returncode, complaint) == (0, "")
    assert out.splitlines()[-1] == ENDED


def test_it_ends_when_nobody_reads_any_more(tmp_path):
    running = start(tmp_path, "--close-time", "0.2")
    for line in running.stdout:
        if line.startswith("4. following"):
            break
    running.stdout.close()
    assert (running.wait(timeout=20), running.stderr.read()) == (0, "")
    running.stderr.close()
