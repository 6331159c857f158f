"""What a supervised worker tells of the processes beside it: metrics, readiness, dashboard."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.cluster import ClusterReader, cluster_view
from stellarstream_core.api.metrics import Metrics
from stellarstream_core.api.sources import SourceState
from stellarstream_core.ops.health_rules import Kind
from stellarstream_core.ops.health_state import Alert, HealthState, ProcessHealth, WatcherHealth, write_health
from stellarstream_core.ops.process import ROLE, SUPERVISED, Presence, PresenceState, State
from stellarstream_core.settings import load_settings
from stellarstream_core.sources import Reach
from tests.api.conftest import store
from tests.api.kit import A
from tests.api.test_metrics import samples

NOW = 1_800_000_000.0
LIMITS = {"api": 500_000_000, "indexer": 300_000_000}
PREFIX = "stellarstream_"
MARGIN = f"{PREFIX}retention_margin_"


def presence(pid: int, role: str = "api", state: State = State.READY, **more) -> PresenceState:
    facts = more.pop("facts", {})
    told = {"started": NOW - 100, "since": NOW - 100, "beat_age": 0.4, **more}
    return PresenceState(pid, role, state, facts=facts, **told)


def seen(pid: int, **more) -> ProcessHealth:
    return ProcessHealth(pid, **{"memory": 80_000_000, "cpu": 12.5, "age": 90.0, "state": "ready", **more})


def health(at: float = NOW - 10, **changes) -> HealthState:
    watchers = {
        "api": WatcherHealth("active", 2, (seen(11), seen(12)), restarts=3),
        "indexer": WatcherHealth("active", 1, (seen(21, memory=120_000_000),)),
        "worker": WatcherHealth("stopped", 1),
    }
    alerts = tuple(Alert(NOW - 50 + number, "memory", "api", f"alert {number}", 11) for number in range(3))
    found = {"watchers": watchers, "alerts": alerts, "counts": {"memory": 3}, **changes}
    return HealthState(at, 30.0, **found)


INDEXER = presence(21, "indexer", facts={"lag": 7.5, "ledger": 990, "watermark": 980, "tip": 991})
TWO = WatcherHealth("active", 2)
WELL = (presence(11), presence(12), INDEXER)


def view(health_state, presences=WELL, alive=lambda _: False, now: float = NOW):
    return cluster_view(health_state, presences, now, interval=30.0, limits=LIMITS, alive=alive)


def told(found) -> dict[tuple, float]:
    text = Metrics.open(None).render(cluster=found)[0]
    return {(name.removeprefix(PREFIX), *labels): value for (name, *labels), value in samples(text).items()}


# --- putting together -------------------------------------------------------------------------------


def test_what_the_monitor_and_the_processes_say_is_put_together():
    found = view(health())
    api, indexer, worker = found.watchers
    assert (api.name, api.ready, api.wanted, api.restarts, api.trouble) == ("api", 2, 2, 3, None)
    assert [(one.pid, one.memory, one.cpu, one.age, one.beat_age) for one in api.processes] == [
        (11, 80_000_000, 12.5, 100.0, 0.4),
        (12, 80_000_000, 12.5, 100.0, 0.4),
    ]
    assert (indexer.memory_limit, indexer.processes[0].lag) == (300_000_000, 7.5)
    assert (worker.up, worker.processes, worker.trouble) == (False, (), None)
    assert found.troubles == []
    assert [alert.text for alert in found.alerts] == ["alert 2", "alert 1", "alert 0"]


def test_a_process_that_ended_since_the_last_look_is_not_told_any_more():
    assert [one.pid for one in view(health(), [presence(12), INDEXER]).watchers[0].processes] == [12]


def test_a_process_that_began_since_the_last_look_is_told_without_what_only_the_monitor_knows():
    new = view(health(), [*WELL, presence(13, state=State.STARTING)]).watchers[0].processes[-1]
    assert (new.pid, new.state, new.memory, new.cpu, new.age) == (13, "starting", None, None, 100.0)


def test_a_process_that_tells_nothing_of_itself_is_told_while_it_lives_and_the_monitor_looks():
    silent = health(watchers={"worker": WatcherHealth("active", 1, (seen(31, state=None),))})
    for alive, now, expected in ((True, NOW, [31]), (False, NOW, []), (True, NOW + 900, [])):
        found = view(silent, (), alive=lambda _, alive=alive: alive, now=now)
        worker = found.watchers[-1]
        assert [one.pid for one in worker.processes] == expected
        assert worker.trouble is None
    assert view(silent, (), alive=lambda _: True).watchers[-1].processes[0].age == 100


@pytest.mark.parametrize(
    ("health_state", "presences", "troubles"),
    [
        (health(), [presence(11), presence(12, state=State.STARTING), INDEXER], ["api: 1 of 2 ready"]),
        (health(), [presence(11), presence(12)], ["indexer: 0 of 1 ready"]),
        (health(), [presence(11), presence(12), presence(21, "indexer", State.WAITING)], ["indexer: 0 of 1 ready"]),
        (health(watchers={"api": WatcherHealth("stopped", 2), "indexer": WatcherHealth("active", 1)}), [INDEXER],
         ["api: stopped"]),
        (health(watchers={"api": TWO, "indexer": WatcherHealth("active", 0, backoff_until=NOW + 8)}),
         WELL[:2], ["indexer: crashes again and again, next start in 8 s"]),
        (health(watchers={"api": TWO, "indexer": WatcherHealth("active", 0, (), 9, NOW + 8, "its sources")}),
         WELL[:2], ["indexer: waits for its sources, next start in 8 s"]),
        (health(watchers={"api": TWO, "indexer": WatcherHealth("active", 1, backoff_until=NOW - 8)}),
         WELL, []),
        (health(NOW - 200), WELL, ["the health monitor last looked 200 s ago"]),
        (None, WELL, ["the health monitor has not looked yet"]),
        (None, [presence(11, started=NOW - 20), presence(21, "indexer", started=NOW - 20)], []),
        (None, [], ["api: 0 of 1 ready", "indexer: 0 of 1 ready"]),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be_is_named(health_state, presences, troubles):
    assert view(health_state, presences).troubles == troubles


@given(
    st.lists(st.sampled_from(State), max_size=4),
    st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=5, unique_by=lambda one: one[0]),
    st.booleans(),
)
def test_no_process_is_told_twice_and_none_that_does_not_live(states, monitored, alive):
    presences = [presence(pid, state=state) for pid, state in enumerate(states, 1)]
    looked = tuple(seen(pid, state="ready" if tells else None) for pid, tells in monitored)
    found = view(health(watchers={"api": WatcherHealth("active", 2, looked)}), presences, alive=lambda _: alive)
    pids = [one.pid for one in found.watchers[0].processes]
    assert pids == sorted(set(pids))
    assert set(pids) >= {one.pid for one in presences}
    silent = {pid for pid, tells in monitored if not tells}
    assert set(pids) - {one.pid for one in presences} <= (silent if alive else set())


# --- metrics ----------------------------------------------------------------------------------------


def test_metrics_tell_every_process_and_watcher():
    found = told(view(health()))
    api, indexer, pid = ("watcher", "api"), ("watcher", "indexer"), ("pid", "11")
    assert found["process_memory_bytes", pid, api] == 80_000_000
    assert found["process_cpu_ratio", pid, api] == 0.125
    assert found["process_age_seconds", pid, api] == 100
    assert found["process_heartbeat_age_seconds", pid, api] == 0.4
    assert found["watcher_processes_wanted", api] == found["watcher_processes_ready", api] == 2
    assert found["watcher_processes", indexer] == 1
    assert found["watcher_restarts_total", api] == 3
    assert found["watcher_backoff_seconds", api] == 0
    assert found["watcher_memory_limit_bytes", indexer] == 300_000_000
    assert (found["watcher_up", api], found["watcher_up", ("watcher", "worker")]) == (1, 0)
    assert found["indexer_lag_seconds",] == 7.5
    ledgers = [found[f"indexer_{name}ledger",] for name in ("", "watermark_", "tip_")]
    assert ledgers == [990, 980, 991]
    assert found["health_monitor_up",] == 1


def test_every_kind_of_alert_is_told_before_there_was_one_so_that_the_first_is_a_rise():
    found = told(view(health(counts={"memory": 3, "of-a-later-release": 1})))
    counts = {labels[0][1]: value for (name, *labels), value in found.items() if name == "alerts_total"}
    assert counts == {**dict.fromkeys(map(str, Kind), 0), "memory": 3, "of-a-later-release": 1}


def test_a_crash_loop_and_a_missing_indexer_are_told():
    watchers = {"indexer": WatcherHealth("active", 1, restarts=5, backoff_until=NOW + 16)}
    found = told(view(health(watchers=watchers), [presence(11)]))
    indexer = ("watcher", "indexer")
    assert found["watcher_backoff_seconds", indexer] == 16
    assert found["watcher_restarts_total", indexer] == 5
    assert found["watcher_processes_ready", indexer] == 0
    assert not any(name.startswith("indexer_") for name, *_ in found)


def test_of_several_indexers_the_one_that_works_is_told():
    waiting = presence(20, "indexer", State.WAITING, started=NOW - 900, facts={"lag": 99.0})
    assert told(view(health(), [waiting, *WELL]))["indexer_lag_seconds",] == 7.5


def test_nothing_of_processes_is_told_without_a_supervisor():
    names = {name for name, *_ in told(None)}
    assert not any(name.startswith(("watcher_", "process_", "indexer_", "alerts", "health_")) for name in names)
    assert ClusterReader.of(load_settings(environ={})) is None


def test_names_and_help_follow_the_conventions_and_nobody_else_may_take_them():
    from prometheus_client.parser import text_string_to_metric_families as parse_text

    metrics = Metrics.open(None)
    families = list(parse_text(metrics.render(cluster=view(health()))[0].decode()))
    for family in families:
        assert family.documentation.endswith((".", "1."))
        assert {sample.name for sample in family.samples} <= metrics.own_names
    assert len(families) > 20


# --- the service ------------------------------------------------------------------------------------


@pytest.fixture
def supervised(tmp_path, monkeypatch, runtime_of, served, sqlite_url):
    """Return a function that serves as a supervised worker; the run folder, with what is told in it."""
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)

    async def start(**flags):
        monkeypatch.setenv(SUPERVISED, "1")
        monkeypatch.setenv(ROLE, "api")
        return run_dir, await served(sqlite_url, run_dir=str(run_dir), **flags)

    return start


async def test_metrics_readiness_and_dashboard_tell_of_the_processes(supervised, client):
    run_dir, api = await supervised()
    ours = [Presence(run_dir, role) for role in ("api", "indexer")]
    try:
        for one in ours:
            one.start()
            one.ready()
        ours[1].tell(lag=3.5, ledger=77)
        ours[1].be(State.DRAINING)
        ours[1].be(State.READY)  # writes at once
        me = seen(os.getpid(), memory=81_000_000)
        watchers = {name: WatcherHealth("active", 1, (me,)) for name in ("api", "indexer")}
        alert = Alert(time.time(), "stuck", "api", "<b>it</b> hung", 7)
        write_health(run_dir, HealthState(time.time(), 30, watchers, (alert,), {"stuck": 1}))

        text = await (await client.get(f"{api.url}/metrics")).text()
        found = samples(text)
        labels = (("pid", str(os.getpid())), ("watcher", "api"))
        assert found["stellarstream_process_memory_bytes", *labels] == 81_000_000
        assert found["stellarstream_alerts_total", ("kind", "stuck")] == 1
        assert found["stellarstream_indexer_lag_seconds",] == 3.5

        readiness = await (await client.get(f"{api.url}/healthz/ready")).json()
        (check,) = [one for one in readiness["checks"] if one["name"] == "processes"]
        assert check == {"name": "processes", "ok": True, "detail": "api: 1 ready, indexer: 1 ready", "required": False}

        for path in ("/", "/dashboard/state"):
            page = await (await client.get(f"{api.url}{path}")).text()
            assert "81 MB" in page
            assert "&lt;b&gt;it&lt;/b&gt; hung" in page
            assert "stuck 1" in page

        ours[1].close()
        answer = await client.get(f"{api.url}/healthz/ready")
        readiness = await answer.json()
        (check,) = [one for one in readiness["checks"] if one["name"] == "processes"]
        assert (answer.status, check["ok"], check["detail"]) == (200, False, "indexer: 0 of 1 ready")
    finally:
        for one in ours:
            one.close()


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"at": 1}', b"\xff"])
async def test_a_broken_state_of_health_is_as_good_as_none(supervised, client, broken):
    run_dir, api = await supervised()
    (run_dir / "health.json").write_bytes(broken)
    (run_dir / "api.1.beat").write_bytes(broken)
    for path in ("/metrics", "/healthz/ready", "/"):
        assert (await client.get(f"{api.url}{path}")).status == 200
    text = await (await client.get(f"{api.url}/metrics")).text()
    assert samples(text)["stellarstream_watcher_processes", ("watcher", "indexer")] == 0


async def test_without_a_supervisor_pages_and_readiness_say_nothing_of_processes(served, sqlite_url, client):
    api = await served(sqlite_url)
    readiness = await (await client.get(f"{api.url}/healthz/ready")).json()
    assert "processes" not in {check["name"] for check in readiness["checks"]}
    assert 'id="processes"' not in await (await client.get(api.url)).text()
    assert "stellarstream_watcher" not in await (await client.get(f"{api.url}/metrics")).text()


# --- how long what is missing can still be had --------------------------------------------------------


async def test_the_retention_margin_counts_from_the_oldest_missing_ledger(served, sqlite_url, filled, client):
    storage = filled(sqlite_url, (100, 120), [A], [])
    store(storage, (131, 180), [A], [])
    api = await served(sqlite_url, contracts=[A])

    async def margin(**reaches: Reach) -> dict[str, float]:
        states = tuple(SourceState(name, name, reach) for name, reach in reaches.items())

        async def look() -> tuple[SourceState, ...]:
            return states

        api.service.sources.look = look
        text = await (await client.get(f"{api.url}/metrics")).text()
        found = {}
        for (name, *labels), value in samples(text).items():
            if name.startswith(MARGIN):
                assert labels == [("source", "rpc")]
                found[name.removeprefix(MARGIN)] = value
        return found

    week, day = Reach(111, 210, ledger_seconds=6.0), Reach(141, 240)
    assert await margin(rpc=week) == {"ledgers": 10, "seconds": 60, "ratio": 0.1}  # ledger 121
    assert await margin(rpc=week, lake=Reach(2, 205, archive=True)) == {"ledgers": 95, "seconds": 570, "ratio": 0.95}
    assert await margin(rpc=day) == {"ledgers": 40, "seconds": 200, "ratio": 0.4}, "121 is lost: a gap, no margin"
    store(storage, (121, 130), [A], [])
    assert await margin(rpc=day) == {"ledgers": 40, "seconds": 200, "ratio": 0.4}  # 181
    store(storage, (181, 240), [A], [])
    assert await margin(rpc=day) == {"ledgers": 100, "seconds": 500, "ratio": 1}, "the next one to close"
    assert await margin(rpc=Reach(2, 240)) == {}, "it forgets nothing"
    assert await margin() == {}
