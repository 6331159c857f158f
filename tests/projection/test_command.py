"""``stellarstream project``, and what the other commands say of projections."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time

import orjson
import pytest

from stellarstream_core.projection.projector import Projector
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from tests import commands
from tests.cli.conftest import invoke  # noqa: F401 - a fixture
from tests.paths import ROOT
from tests.projection.conftest import commit, run, states_of
from tests.projection.toy import CONTRACT, Toy, fold_all, toy_event

PLUGIN = """
import time
from stellarstream_core import hookimpl
from stellarstream_core.projection import projector
from stellarstream_core.projections import ProjectionSpec
from tests.projection.toy import Toy

class Told(Toy):
    def advance(self, key, state, entries):
        time.sleep({pause})
        {advance}
        return super().advance(key, state, entries)

async def open(given):
    projector.COMMITS_AT_ONCE = 1  # so that there are many steps
    toy = Told({fingerprint!r})
    toy.save = lambda *_: None
    return toy

@hookimpl
def register_projections():
    return [ProjectionSpec("toy", "a toy", open)]
"""
EVENTS = [toy_event(ledger, 1, 0, f"k{ledger % 7}", begin=True) for ledger in range(1, 41)]


@pytest.fixture
def plugin(tmp_path):
    """Return a function that installs the toy's plugin and returns the variables to run a command with."""

    def install(advance="pass", fingerprint="1", pause=0.0) -> dict[str, str]:
        folder = tmp_path / "plugins"
        info = folder / "toy_plugin-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[stellarstream]\ntoy = toy_plugin\n")
        code = PLUGIN.format(advance=advance, fingerprint=fingerprint, pause=pause)
        (folder / "toy_plugin.py").write_text(code)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
        allowed = "sql,toy,soroban-rpc"
        return {
            **kept,
            "PYTHONPATH": f"{folder}:{ROOT}:{ROOT / 'plugins'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "STELLARSTREAM_DATABASE_URL": f"sqlite:///{tmp_path / 'test.db'}",
            "STELLARSTREAM_ALLOWED_PLUGINS": allowed,
            "STELLARSTREAM_RPC_URL": "http://127.0.0.1:9",
            "STELLARSTREAM_PLUGINS__SOROBAN_RPC__MAX_RETRIES": "0",
            "STELLARSTREAM_CONTRACTS": CONTRACT,
        }

    return install


def call(env, *arguments):
    return commands.run(*arguments, env=env, cwd=ROOT, timeout=60)


@pytest.fixture
def stored(tmp_path):
    """Return a database with events, open."""
    flags = {"database_url": f"sqlite:///{tmp_path / 'test.db'}"}
    storage = Runtime(built_in_only=True, flags=flags).open_storage(create=True)
    storage.want(Scope.of([CONTRACT]), 1)
    for event in EVENTS:
        commit(storage, event)
    yield storage
    storage.close()


def test_it_folds_everything_and_says_how_far_it_is(plugin, stored):
    env = plugin()
    done = call(env, "project", "--json")
    assert done.returncode == 0, done.stderr
    (one,) = orjson.loads(done.stdout.splitlines()[-1])["projections"]
    assert (one["name"], one["position"], one["behind"], one["asOfLedger"]) == ("toy", 40, 0, 40)
    assert (one["complete"], one["rebuilding"], one["trouble"], one["done"]) == (True, False, None, True)
    assert (one["events"], one["entries"], one["unknown"]) == (40, 40, {"events": 0, "shapes": []})
    assert states_of(stored) == fold_all(EVENTS)
    again = call(env, "project", "--json")
    assert orjson.loads(again.stdout)["projections"][0]["events"] == 0
    rebuilt = call(env, "project", "--rebuild", "toy", "--json")
    assert orjson.loads(rebuilt.stdout)["projections"][0]["events"] == 40
    assert states_of(stored) == fold_all(EVENTS)
    told = call(env, "project")
    assert told.stdout == "toy: up to the last commit (40), as of ledger 40; 0 events taken in\n"


def test_another_fingerprint_is_built_again_by_itself(plugin, stored):
    call(plugin(), "project")
    done = call(plugin(fingerprint="2"), "project", "--json")
    assert orjson.loads(done.stdout)["projections"][0]["events"] == 40
    assert states_of(stored) == fold_all(EVENTS)


def test_a_projection_that_breaks_is_exit_code_3_and_named_by_doctor_and_status(plugin, stored):
    env = plugin(advance="raise ValueError('no such curve')")
    done = call(env, "project")
    assert done.returncode == 3
    assert "toy stopped: advance() raised ValueError: no such curve" in done.stderr
    assert done.stderr.count("Traceback") == 1, "once, in the log"
    doctor = call(env, "doctor", "--json")
    check = orjson.loads(doctor.stdout.splitlines()[-1])["checks"]["projections"]
    assert not check["ok"]
    assert "toy stopped (advance() raised ValueError: no such curve)" in check["detail"]
    status = call(env, "status")
    assert "projection toy: stopped: advance() raised ValueError: no such curve" in status.stdout
    assert call(plugin(), "project").returncode == 0
    doctor = call(env, "doctor", "--json")
    assert orjson.loads(doctor.stdout.splitlines()[-1])["checks"]["projections"] == {
        "ok": True,
        "detail": "toy: up to the last commit",
    }


def test_doctor_names_a_projection_that_nobody_moves_on(plugin, stored):
    env = plugin()
    call(env, "project")
    commit(stored, toy_event(41, 1, 0, "a"))
    connection = sqlite3.connect(env["STELLARSTREAM_DATABASE_URL"].removeprefix("sqlite:///"))
    connection.execute("UPDATE projections SET updated_at = updated_at - 3600")
    connection.commit()
    connection.close()
    check = orjson.loads(call(env, "doctor", "--json").stdout.splitlines()[-1])["checks"]["projections"]
    assert check == {
        "ok": False,
        "detail": "toy is 1 commit behind and nothing moves it on: run 'stellarstream project'.",
    }
    facts = orjson.loads(call(env, "status", "--json").stdout.splitlines()[-1])
    assert [(one["name"], one["behind"]) for one in facts["projections"]] == [("toy", 1)]


def test_a_name_that_nobody_offers_is_a_usage_error_that_names_the_nearest(plugin, stored):
    done = call(plugin(), "project", "--rebuild", "tox")
    assert done.returncode == 2
    assert "There is no projection 'tox' (there are: toy). Did you mean 'toy'?" in done.stderr


def test_an_empty_database_is_told_as_such(plugin):
    done = call(plugin(), "project")
    assert done.returncode == 2
    assert "is empty" in done.stderr


def test_without_projections_there_is_nothing_to_do(invoke, stored, tmp_path):  # noqa: F811
    env = {"DATABASE_URL": f"sqlite:///{tmp_path / 'test.db'}", "ALLOWED_PLUGINS": "sql"}
    outcome = invoke("project", **env)
    assert (outcome.code, outcome.out) == (0, "no projection is configured: nothing to do\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_within_five_seconds_and_goes_on_where_it_was(plugin, stored, number):
    env = plugin(pause=0.2)
    pipe = subprocess.PIPE
    process = commands.start("project", env=env, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    deadline = time.monotonic() + 30
    while not stored.read(
        lambda database: database.execute_sql("SELECT 1 FROM projections WHERE position > 0").fetchall()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert time.monotonic() - began < 5.5
    assert process.returncode == (3 if number == signal.SIGTERM else -signal.SIGKILL), said
    toy = Toy()
    toy.save = lambda *_: None  # it knows nothing of what the command had folded
    run(Projector(toy, stored))
    assert states_of(stored) == fold_all(EVENTS)
    assert toy.cleared == 0, "it went on, it did not begin anew"


def test_a_sync_folds_before_it_ends(plugin, stored, tmp_path):
    """The source is out of reach: what is stored already is folded all the same."""
    env = plugin()
    done = call(env, "sync", "--from", "1", "--to", "40")
    assert done.returncode == 0, done.stderr
    assert states_of(stored) == fold_all(EVENTS)
