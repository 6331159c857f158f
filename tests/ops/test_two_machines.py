"""Several machines on one database: one indexes, others stand by for it or have no indexer, and all is well on each."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stellarstream_core.api.cluster import cluster_view
from stellarstream_core.api.metrics import Metrics
from stellarstream_core.api.pages.processes import processes_of
from stellarstream_core.errors import StorageError, UsageError
from stellarstream_core.ops import checks
from stellarstream_core.ops.environment import Wishes, cluster_environment, starts_indexer
from stellarstream_core.ops.health_rules import Kind, Limits, Look, WatcherLook, judge
from stellarstream_core.ops.health_state import HealthState, WatcherHealth
from stellarstream_core.ops.process import PresenceState, State
from stellarstream_core.ops.workers import indexer_asked_for
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import load_settings
from tests.api.kit import SECRET, SIGNING
from tests.api.test_metrics import samples
from tests.ops.indexer_kit import Deployment, until
from tests.ops.kit import Cluster
from tests.ops.kit import until as until_circusd

NOW = 1_800_000_000.0

# --- standing by ------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request, tmp_path) -> Iterator[Deployment]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    deployment = Deployment(tmp_path, database_url=url)
    yield deployment
    deployment.stop()


def another_machine(home: Deployment) -> Deployment:
    """The same network and database, with a run folder of its own."""
    other = copy.copy(home)
    other.run_dir = home.folder / "another"
    other.run_dir.mkdir(mode=0o700)
    other.settings = home.settings | {"RUN_DIR": str(other.run_dir), "LOG_LEVEL": "info"}
    return other


def stands_by(indexer, after: float = 0.0) -> PresenceState:
    return until(lambda: (now := indexer.presence) and now.state is State.STANDBY and now.since > after and now)


def test_a_second_indexer_stands_by_and_takes_the_place_of_the_first_one_when_that_is_killed(home):
    first = home.start()
    first.ready()
    second = another_machine(home).start()
    before = stands_by(second)
    home.close_ledgers(2)
    with home.opened() as storage:
        until(lambda: home.watermark(storage) >= home.node.latest)
        assert second.tap.asked == [], "it fetches nothing"

        second.send(signal.SIGHUP)  # new code while it stands by
        now = stands_by(second, before.since)
        assert (now.pid, first.presence.state) == (before.pid, State.READY)

        first.kill()
        began = time.monotonic()
        second.ready()
        print(f"FIGURES takes over within {time.monotonic() - began:.2f} s")
        latest = home.close_ledgers(1)
        until(lambda: home.watermark(storage) >= latest)
        third = home.start()  # the first machine is back
        stands_by(third)
        assert second.presence.state is State.READY
        third.send(signal.SIGTERM)
        assert third.ended() in {0, 3}
        home.whole(storage)
    said = second.log.read_text()
    assert said.count("standing by: Another process follows the tip into") == 2
    assert "the process that followed has ended: this one follows now" in said
    assert "Traceback" not in said


def test_by_hand_one_is_told_at_once_that_another_one_follows(home):
    home.start().ready()
    other = another_machine(home)
    other.settings["SUPERVISED"] = ""
    second = other.start()
    assert second.ended(40) == 2
    assert "Already following: Another process follows the tip into" in second.log.read_text()


# --- no indexer on this machine ---------------------------------------------------------------------


@pytest.mark.parametrize(("text", "asked"), [(None, True), ("", True), (" 1 ", True), ("0", False), (" 0", False)])
def test_there_is_an_indexer_unless_the_variable_is_0(text, asked):
    assert indexer_asked_for({} if text is None else {"INDEXERS": text}) is asked


@pytest.mark.parametrize("text", ["2", "-1", "no", "off"])
def test_a_number_of_indexers_that_is_none_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setenv("INDEXERS", text)
    with pytest.raises(UsageError, match=r"INDEXERS: .* is neither 0 nor 1") as refused:
        cluster_environment(load_settings(environ={}), tmp_path)
    assert "0: none is started on this machine" in refused.value.help


def test_what_the_command_line_says_of_the_indexer_wins(tmp_path, monkeypatch):
    settings = load_settings(environ={})
    for variable, wish, asked in (("0", None, False), ("0", True, True), ("1", False, False), ("", False, False)):
        monkeypatch.setenv("INDEXERS", variable)
        assert starts_indexer(cluster_environment(settings, tmp_path, Wishes(indexer=wish))) is asked


def test_a_machine_that_only_serves_needs_not_know_what_is_indexed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = {"secret_key": SECRET, "signing_key": SIGNING, "network": "sandbox"}
    found = Runtime(built_in_only=True, flags=flags)
    checks.check_configuration(found, indexer=False)
    with pytest.raises(UsageError, match="'contracts' is not set"):
        checks.check_configuration(found)
    away = found.with_flags({"database_url": f"sqlite:///{tmp_path}/gone/x.db"})
    with pytest.raises(StorageError):
        checks.check_configuration(away, indexer=False)


@pytest.fixture
def installed() -> Iterator[Cluster]:
    """A service whose processes are stand-ins, on a machine that only serves; nobody has started it."""
    made = Cluster(stand_in=True, workers=1, HEALTH_SECONDS="0.5")
    made.environment["INDEXERS"] = "0"
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def serving(installed) -> Cluster:
    installed.start(ready=False)
    until_circusd(lambda: len(installed.ready_pids("api")) == 1)
    return installed


def looked(service: Cluster) -> HealthState:
    """Return what the health monitor has seen, from beginning to end, since this was called."""
    began = time.time()
    until_circusd(lambda: service.health and service.health.at > began)
    seen = service.health.at
    return until_circusd(lambda: service.health.at > seen and service.health)


def test_none_is_started_nor_missed_and_all_is_well(serving):
    status = serving.stellarstream("cluster", "status")
    assert status.returncode == 0, status.stdout
    assert "indexer (none on this machine)\n" in status.stdout
    serving.ctl("reload", "--waiting")
    serving.ctl("restart", "--waiting")
    until_circusd(lambda: len(serving.ready_pids("api")) == 1)
    assert serving.pids("indexer") == set()
    seen = looked(serving)
    assert (seen.watchers["indexer"].status, seen.watchers["indexer"].wanted) == ("stopped", 0)
    assert seen.counts == {}


def test_who_starts_it_by_its_name_has_one_until_everything_is_restarted(serving):
    serving.ctl("start", "indexer")
    (pid,) = until_circusd(lambda: serving.ready_pids("indexer"))
    serving.ctl("reload", "--waiting")  # it executes itself again
    until_circusd(lambda: serving.ready_pids("indexer") == {pid})
    serving.ctl("restart", "indexer", "--waiting")
    (again,) = until_circusd(lambda: serving.ready_pids("indexer") - {pid})
    psutil.Process(again).kill()
    until_circusd(lambda: serving.ready_pids("indexer") - {pid, again})
    assert not serving.alerts("stopped")
    serving.ctl("stop", "indexer")
    until_circusd(lambda: serving.alerts("stopped"))  # it was wanted by then
    serving.ctl("restart", "--waiting")
    status = serving.stellarstream("cluster", "status")
    assert "indexer (none on this machine)\n" in status.stdout


def test_up_needs_no_contract_there_and_says_that_there_is_no_indexer(installed):
    settings = {"NETWORK": "sandbox", "RPC_URL": "http://127.0.0.1:9", "PLUGINS__SOROBAN_RPC__MAX_RETRIES": "0"}
    up = installed.stellarstream("up", "--workers", "1", **settings)
    down = installed.stellarstream("down")
    assert up.returncode == 0, up.stdout + up.stderr
    assert ", no indexer and a health monitor" in up.stdout
    assert (down.returncode, down.stdout) == (0, "Ended.\n"), down.stderr


def test_one_that_stands_by_is_well_and_one_that_waits_here_is_not(serving):
    serving.ctl("start", "indexer")
    (pid,) = until_circusd(lambda: serving.ready_pids("indexer"))
    beat = serving.run_dir / f"indexer.{pid}.beat"
    for state, well in ((State.STANDBY, True), (State.WAITING, False)):
        process = psutil.Process(pid)
        process.suspend()  # so that it does not tell otherwise
        try:
            told = beat.read_text()
            assert '"state":"ready"' in told
            _overwrite(beat, told.replace('"state":"ready"', f'"state":"{state}"'))
            status = serving.stellarstream("cluster", "status")
        finally:
            process.resume()
        assert (status.returncode == 0) is well, status.stdout
        assert ("standing by: another one follows into the same database" in status.stdout) is well
        until_circusd(lambda: serving.ready_pids("indexer") == {pid})


def _overwrite(path: Path, text: str) -> None:
    beside = path.with_suffix(".test")
    beside.write_text(text)
    beside.replace(path)


# --- what is made of it -----------------------------------------------------------------------------


def test_who_is_not_wanted_is_not_missed_and_who_was_stopped_is():
    def kinds(wanted: int) -> list[Kind]:
        look = Look(30.0, (WatcherLook("indexer", "stopped", wanted, singleton=True),))
        return [finding.kind for finding in judge(Look(0.0, look.watchers), look, Limits({"": 1}))]

    assert (kinds(0), kinds(1)) == ([], [Kind.STOPPED])


@pytest.mark.parametrize(
    ("known", "state", "trouble", "word", "level", "gauges"),
    [
        (WatcherHealth("active", 1), State.READY, None, "1 ready", "ok", (1, 0, 1, 1)),
        (WatcherHealth("active", 1), State.STANDBY, None, "standing by", "ok", (0, 1, 1, 1)),
        (WatcherHealth("active", 1), State.WAITING, "0 of 1 ready", "0 of 1 ready", "bad", (0, 0, 1, 1)),
        (WatcherHealth("active", 1), None, "0 of 1 ready", "0 of 1 ready", "bad", (0, 0, 1, 1)),
        (WatcherHealth("stopped", 0), None, None, "none on this machine", "none", (0, 0, 0, 0)),
        (WatcherHealth("stopped", 1), None, "stopped", "stopped", "bad", (0, 0, 1, 0)),
    ],
    ids=["works", "stands-by", "waits", "gone", "none-wanted", "stopped"],
)
def test_readiness_dashboard_and_metrics_tell_them_apart(known, state, trouble, word, level, gauges):
    presences = [PresenceState(7, "indexer", state, NOW - 9, NOW - 9, 0.2)] if state else []
    health = HealthState(NOW - 1, 30.0, {"indexer": known}, (), {})
    view = cluster_view(health, presences, NOW, interval=30.0, limits={})
    (indexer,) = [one for one in view.watchers if one.name == "indexer"]
    assert indexer.trouble == trouble
    (group,) = [one for one in processes_of(view).groups if one.name == "indexer"]
    assert (group.word, group.level) == (word, level)
    found = samples(Metrics.open(None).render(cluster=view)[0])
    names = ("processes_ready", "processes_standby", "processes_wanted", "up")
    label = ("watcher", "indexer")
    assert tuple(found[f"stellarstream_watcher_{name}", label] for name in names) == gauges
