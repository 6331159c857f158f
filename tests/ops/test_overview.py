"""``cluster status`` says of every process what it is at, and of those held back what they wait for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from stellarstream_core.cli.cluster import _lines
from stellarstream_core.ops.health_monitor import Monitor
from stellarstream_core.ops.health_rules import Limits
from stellarstream_core.ops.health_state import HealthState, WatcherHealth, read_health, write_health
from stellarstream_core.ops.hooks import HELD
from stellarstream_core.ops.identity import birth_of
from stellarstream_core.ops.notes import Held, held_watchers, note_held
from stellarstream_core.ops.overview import read_overview


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """Processes that are there and do nothing."""
    started = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(4)]
    yield [process.pid for process in started]
    for process in started:
        process.kill()
        process.wait()


def circusd(run_dir: Path, **listed: list[int]) -> SimpleNamespace:
    return SimpleNamespace(
        run_dir=run_dir,
        endpoint="ipc://x",
        statuses=lambda: dict.fromkeys(listed, "active"),
        pids=lambda name: listed[name],
        options=lambda name, *_: {"numprocesses": 2 if name == "api" else 1, "respawn": True, "singleton": False},
    )


def tells(run_dir: Path, role: str, pid: int, state: str) -> None:
    told = {"pid": pid, "role": role, "birth": birth_of(pid), "state": state, "started": time.time() - 9}
    told |= {"since": time.time() - 9, "beat": time.monotonic(), "at": time.time()}
    (run_dir / f"{role}.{pid}.beat").write_bytes(orjson.dumps(told))


def test_one_that_only_starts_and_one_that_drains_are_shown_as_such(tmp_path, pids):
    ready, new, old, indexer = pids
    tells(tmp_path, "api", ready, "ready")
    tells(tmp_path, "api", old, "draining")
    overview = read_overview(circusd(tmp_path, api=[ready, new], indexer=[indexer], worker=[]))
    api = overview["watchers"]["api"]
    assert {one["pid"]: one["state"] for one in api["processes"]} == {ready: "ready", new: "starting", old: "draining"}
    assert (api["text"], api["well"]) == ("active, 1 of 2 ready", False)
    assert [one["state"] for one in overview["watchers"]["indexer"]["processes"]] == ["starting"]
    shown = "\n".join(_lines(overview))
    assert f"{old}" in shown
    assert shown.count(" starting ") == 2
    # one that was told to end and has not heard it yet takes no work that counts
    tells(tmp_path, "api", old, "ready")
    api = read_overview(circusd(tmp_path, api=[ready, new], indexer=[indexer]))["watchers"]["api"]
    assert (api["text"], api["processes"][-1]["state"]) == ("active, 1 of 2 ready", "draining")


@pytest.mark.parametrize(("why", "said"), [("its sources", "waits for its sources"), (None, "crash loop")])
def test_who_is_held_back_is_shown_with_what_it_waits_for(tmp_path, why, said):
    until = time.time() + 20
    held = WatcherHealth("active", 1, (), 7, until, why)
    write_health(tmp_path, HealthState(time.time(), 30.0, {"indexer": held}))
    text = read_overview(circusd(tmp_path, indexer=[]))["watchers"]["indexer"]["text"]
    assert text.startswith(f"active, 0 of 1 ready, {said}: next start in ")


def test_the_monitor_writes_what_is_waited_for_and_knows_it_when_it_begins_anew(tmp_path):
    until = time.time() + 20
    write_health(tmp_path, HealthState(time.time(), 30.0, {"indexer": WatcherHealth("active", 1)}))
    limits = Limits({"": 1})
    told = {"count": 1, "until": until, "why": "its sources"}
    Monitor(circusd(tmp_path), tmp_path, limits).heard("indexer", HELD, told)
    assert (read_health(tmp_path).watchers["indexer"].why) == "its sources"
    note_held(tmp_path, "indexer", Held(**told))
    again = Monitor(circusd(tmp_path), tmp_path, limits)
    again.heard("api", HELD, {"count": 1, "until": until})
    assert (read_health(tmp_path).watchers["indexer"].why) == "its sources"
    assert held_watchers(tmp_path)["indexer"].why == "its sources"
    again.heard("indexer", "start", {})
    assert read_health(tmp_path).watchers["indexer"] == WatcherHealth("active", 1)
