"""The dashboard's processes: those of a supervised service, how each is, and what the health monitor told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_core.api.cluster import MEGABYTE, SERVICE, ClusterView, ProcessView, WatcherView
from stellarstream_core.api.pages.text import duration, moment
from stellarstream_core.ops.health_state import Alert
from stellarstream_core.ops.process import State

SHOWN_ALERTS = 5
LATE_BEAT_SECONDS = 5.0
"""A sign of life that is older than this is not as usual: there is one every second."""

_WORDS = {
    State.STARTING: "starting",
    State.WAITING: "waiting for another one to end",
    State.STANDBY: "standing by for one on another machine",
    State.NO_DATABASE: "waiting for its database",
    State.READY: "ready",
    State.RENEWING: "taking new code",
    State.DRAINING: "finishing its work",
}


@dataclass(frozen=True, slots=True)
class Meter:
    """Memory against its limit: ``share`` is percent of the meter's width, ``over`` whether it is too much."""

    share: float
    over: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A process; a text that is empty is not known."""

    pid: int
    level: str
    state: str
    age: str
    memory: str
    meter: Meter | None
    cpu: str
    beat: str
    late: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of one watcher, and the word on them."""

    name: str
    level: str
    word: str
    note: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert: when, of which kind, and its sentence. ``at`` as a moment, ``rfc3339`` the same for programs."""

    at: str
    rfc3339: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Processes:
    """The section: groups of processes, the newest alerts, and what there was in all."""

    groups: Sequence[Group]
    alerts: Sequence[AlertRow]
    earlier: Sequence[AlertRow]
    counts: str
    monitor: str | None


def processes_of(view: ClusterView) -> Processes:
    """Return the section for a cluster. Kinds of process that nobody runs are left out."""
    groups = [_group(one) for one in view.watchers if one.name in SERVICE or one.processes or one.trouble]
    alerts = [_alert(one) for one in view.alerts]
    counts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(view.counts.items()) if count)
    return Processes(groups, alerts[:SHOWN_ALERTS], alerts[SHOWN_ALERTS:], counts, view.monitor)


def _group(watcher: WatcherView) -> Group:
    if watcher.trouble:
        level, word = "bad" if watcher.backoff or not watcher.ready else "warn", watcher.trouble
    else:
        level, word = "none" if watcher.off else "ok", watcher.word
    restarts = f"ended by themselves: {watcher.restarts:,}" if watcher.restarts else ""
    return Group(watcher.name, level, word, restarts, [_row(one, watcher.memory_limit) for one in watcher.processes])


def _row(process: ProcessView, limit: int | None) -> Row:
    late = process.beat_age is not None and process.beat_age > LATE_BEAT_SECONDS
    state = State(process.state) if process.state else None
    level = "bad" if late else {None: "none", State.READY: "ok"}.get(state, "busy")
    meter = None
    if process.memory is not None and limit:
        meter = Meter(round(min(100 * process.memory / limit, 100), 1), process.memory > limit)
    return Row(
        process.pid,
        level,
        _WORDS[state] if state else "running",
        "" if process.age is None else duration(process.age),
        "" if process.memory is None else f"{process.memory / MEGABYTE:,.0f} MB",
        meter,
        "" if process.cpu is None else f"{process.cpu:.0f} %",
        "" if process.beat_age is None else f"{process.beat_age:.0f} s ago",
        late,
    )


def _alert(alert: Alert) -> AlertRow:
    at = moment(alert.at)
    return AlertRow(at, f"{at.replace(' ', 'T')}Z", alert.kind, alert.text)
