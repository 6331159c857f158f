"""What circusd asks at the turns of a process's life: who was told to end has not crashed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest
from circus.watcher import Watcher

from stellarstream_core.ops import hooks
from stellarstream_core.ops.notes import Held, held_watchers, note_end, untold_crashes
from tests.ops.kit import DEEP, Cluster, cluster, load, until

WORKERS = 6


@pytest.fixture
def service() -> Iterator[Cluster]:
    with cluster(stand_in=True, workers=WORKERS, HEALTH_SECONDS="0.5") as made:
        yield made


def all_new(service: Cluster, before: set[int]) -> set[int]:
    return until(lambda: len(found := service.ready_pids("api")) == WORKERS and not found & before and found)


def test_workers_that_are_ended_one_after_the_other_have_not_crashed(service):
    """Six that end within a minute would be a crash loop otherwise, and be held back."""
    before = service.ready_pids("api")
    service.ctl("reload", "api", "--sequential", "--waiting")
    now = all_new(service, before)
    for pid in sorted(now):
        service.ctl("kill", "api", str(pid))
    now = all_new(service, now)
    service.ctl("signal", "api", str(min(now)), "SIGTERM")
    until(lambda: min(now) not in service.ready_pids("api") and len(service.ready_pids("api")) == WORKERS)
    psutil.Process(max(now)).kill()
    (alert,) = until(lambda: service.alerts("crash"))  # events come in their order
    assert f"process {max(now)} ended by itself: signal 9" in alert.text
    assert service.health.watchers["api"].restarts == 1
    assert not service.alerts("crash-loop")


def test_one_that_was_told_to_go_on_and_then_ends_has_crashed(service):
    pid = min(service.ready_pids("api"))
    service.ctl("signal", "api", str(pid), "SIGCONT")
    psutil.Process(pid).terminate()
    (alert,) = until(lambda: service.alerts("crash"))
    assert f"process {pid} ended by itself" in alert.text


def test_a_reload_of_everything_that_fails_is_always_told_and_ctl_says_so(service):
    """The health monitor is reloaded itself a moment later, and would miss what circusd publishes meanwhile."""
    before = service.ready_pids("api")
    (service.home / "api.broken").touch()
    for number in (1, 2, 3):
        reload = service.stellarstream("cluster", "ctl", "reload")
        assert reload.returncode == 1, reload.stdout + reload.stderr
        assert f"Reload failed: A reload of api failed: {WORKERS} new processes did not become ready" in reload.stderr
        until(lambda number=number: service.health and service.health.counts.get("reload") == number)
    assert service.ready_pids("api") == before
    (service.home / "api.broken").unlink()
    until(lambda: service.stellarstream("cluster", "ctl", "reload", "api").returncode == 0)
    all_new(service, before)
    assert service.health.counts["reload"] == 3
    assert not service.alerts("crash"), "who was started for a reload that failed has not crashed"


@pytest.mark.skipif(not DEEP, reason="waits for half a minute: STELLARSTREAM_DEEP=1 runs it")
def test_a_reload_onto_workers_that_hang_keeps_the_old_ones_and_loses_no_request(service):
    before = service.ready_pids("api")
    (service.home / "api.hangs").touch()
    with load(service.port, clients=6, pause=0.05) as steady:
        began = time.monotonic()
        reload = service.stellarstream("cluster", "ctl", "reload", "api")
        assert hooks.READY_SECONDS - 1 < time.monotonic() - began < hooks.READY_SECONDS + 15
        assert reload.returncode == 1, reload.stdout + reload.stderr
        assert f"{WORKERS} new processes did not become ready" in reload.stderr
        report = steady.since_asked()
    assert report["requests"] > 1000
    assert report["failed"] == []
    until(lambda: service.pids("api") == before)
    (service.home / "api.hangs").unlink()
    assert service.stellarstream("cluster", "ctl", "reload", "api").returncode == 0
    all_new(service, before)
    assert not service.alerts("crash")


def test_sighup_in_the_first_moment_of_an_indexer_is_heeded_and_not_its_end(service):
    supervisor = psutil.Process(service.process.pid)
    (old,) = service.ready_pids("indexer")
    others = {child.pid for child in supervisor.children()} - {old}
    for _ in range(3):
        psutil.Process(old).kill()
        new = until(lambda old=old: {one.pid for one in supervisor.children()} - others - {old}, pause=0.001).pop()
        os.kill(new, signal.SIGHUP)
        began = time.time()
        until(lambda new=new, began=began: [p for p in service.presences("indexer") if p.since > began - 1 and p.ready])
        assert service.ready_pids("indexer") == {new}
        old = new
    until(lambda: service.health and service.health.watchers["indexer"].restarts == 3)


class Heard:
    """A watcher of circus's own with one process, and what it publishes."""

    def __init__(self, folder, monkeypatch) -> None:
        monkeypatch.setenv("STELLARSTREAM_RUN_DIR", str(folder))
        named = {"before_reap": hooks.hold_crashes, "after_reap": hooks.note_crashes}
        self.watcher = Watcher("api", "sleep 60", hooks={name: (hook, True) for name, hook in named.items()})
        self.told: list[tuple[str, dict]] = []
        monkeypatch.setattr(self.watcher, "notify_event", lambda topic, told: self.told.append((topic, told)))
        hooks.begin(self.watcher)
        self.watcher._status = "active"
        self.watcher.spawn_process()
        (self.process,) = self.watcher.processes.values()


@pytest.fixture
def heard(tmp_path, monkeypatch) -> Iterator[Heard]:
    made = Heard(tmp_path, monkeypatch)
    yield made
    made.watcher.numprocesses = 0
    for process in made.watcher.processes.values():
        process.stop()


def test_one_that_circus_finds_dead_before_it_hears_of_its_end_counts_as_crashed(heard, tmp_path):
    """So it is where a process ends between circus's two looks: it would be forgotten without a word."""
    os.kill(heard.process.pid, signal.SIGKILL)
    until(lambda: heard.process.status == hooks.DEAD_OR_ZOMBIE)
    heard.watcher.numprocesses = 0
    heard.watcher.manage_processes()
    (crash,) = untold_crashes(tmp_path)
    assert (crash.watcher, crash.pid, crash.code) == ("api", heard.process.pid, -signal.SIGKILL)
    assert heard.watcher.processes == {}


def test_who_ends_for_want_of_the_database_is_held_back_as_such_and_not_for_long(heard, tmp_path):
    memory = hooks._memory(heard.watcher)
    memory.backoff.level, memory.backoff._released = 12, time.monotonic()
    note_end(tmp_path, "api", heard.process.pid, "its database")
    hooks.hold_crashes(heard.watcher, heard.process.pid)
    (told,) = [told for topic, told in heard.told if topic == hooks.HELD]
    assert told["why"] == "its database"
    assert 29 < told["until"] - time.time() <= 30
    assert [path.name for path in tmp_path.iterdir()] == ["held-api.json"]
    assert held_watchers(tmp_path) == {"api": Held(1, told["until"], "its database")}
    heard.watcher.loop.remove_timeout(memory.release)
    hooks._release(heard.watcher)
    assert held_watchers(tmp_path) == {}
