"""The health monitor: looks at the cluster every while, does what the rules say, tells people.

Nothing that goes wrong here touches the service: circusd keeps processes running without it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from loguru import logger

from stellarstream_core.ops.alerts import Alerts, Webhook
from stellarstream_core.ops.control import ClusterError, Control
from stellarstream_core.ops.health_look import health_of, take_look
from stellarstream_core.ops.health_replacing import Replacing
from stellarstream_core.ops.health_rules import QUIET_LOOKS, Do, Finding, Kind, Limits, Look, Quiet, judge
from stellarstream_core.ops.health_state import (
    ALERTS_KEPT,
    Alert,
    HealthState,
    WatcherHealth,
    read_health,
    write_health,
)
from stellarstream_core.ops.hooks import HELD, RELEASED
from stellarstream_core.ops.notes import (
    Crash,
    Held,
    held_watchers,
    told_of_crashes,
    told_of_failed_reload,
    untold_crashes,
    untold_failed_reload,
    why_held,
)
from stellarstream_core.ops.process import PresenceState, read_presences
from stellarstream_core.ops.service_manager import ALIVE, READY, tell_service_manager, watchdog_seconds

_API = "api"
UNANSWERED_SECONDS = 60.0
"""How long circusd may leave everything unanswered before that is an alert: a reload takes its time."""


class Monitor:
    """What is known of a cluster, from the first look to the last. Not for several threads."""

    def __init__(self, control: Control, run_dir: Path, limits: Limits, webhook: Webhook | None = None) -> None:
        self._control, self._run_dir, self._limits = control, run_dir, limits
        before = read_health(run_dir)  # of a monitor that ended: what it counted goes on
        self._alerts_kept = list(before.alerts) if before else []
        self._counts = dict(before.counts) if before else {}
        self._watchers: dict[str, WatcherHealth] = dict(before.watchers) if before else {}
        self._alerts = Alerts(self._remember, webhook)
        self._quiet = Quiet(QUIET_LOOKS * limits.interval)
        self._replacing = Replacing(control, run_dir, self._not_replaced)
        self._held = {
            name: Held(0, one.backoff_until, one.why)
            for name, one in self._watchers.items()
            if one.backoff_until is not None
        }
        self._crashes: dict[str, int] = {}
        self._look: Look | None = None
        self._next_look = self._next_alive = 0.0
        self._alive_seconds = watchdog_seconds(os.environ)
        self._answered = time.monotonic()
        self._resumed = self._told_ready = False

    def turn(self) -> None:
        """Do what is due now. Called every second or so."""
        self._tell_of_notes()
        try:
            if not self._resumed:
                self._replacing.resume()
                self._resumed = True
            self._replacing.step()
            self._tell_ready()
            now = time.monotonic()
            if now >= self._next_look:
                self._next_look = now + self._limits.interval
                self._take_look()
                self._answered = now
            elif self._alive_seconds and now >= self._next_alive:
                self._control.statuses()
                self._answered = now
        except ClusterError as error:
            self._unanswered(error)
        else:
            self._tell_alive()

    def heard(self, watcher: str, topic: str, told: Mapping[str, Any]) -> None:
        """Take notice of what circusd published."""
        others = {name: held for name, held in self._held.items() if name != watcher}
        if topic == HELD:
            self._know_held({**others, watcher: Held(int(told["count"]), float(told["until"]), told.get("why"))})
        elif topic in {RELEASED, "start"}:
            self._know_held(others)
        else:
            return
        self._write()

    def _know_held(self, held: dict[str, Held]) -> None:
        """Know what is held back from now on, and tell of what was not before."""
        before, self._held = self._held, held
        for watcher in held.keys() - before.keys():
            seconds = max(held[watcher].until - time.time(), 0.0)
            text = f"{watcher} {why_held(held[watcher].why)}: the next start is in {seconds:.0f} s"
            self._tell(Finding(Kind.CRASH_LOOP, watcher, text))

    def _tell_of_notes(self) -> None:
        """Tell what circusd has noted: what it publishes is missed while this is away, as in a reload of everything."""
        if crashes := untold_crashes(self._run_dir):
            for crash in crashes:
                self._has_crashed(crash)
            self._write()
            told_of_crashes(self._run_dir)
        if (failed := untold_failed_reload(self._run_dir)) is not None:
            self._tell(Finding(Kind.RELOAD, failed.watcher, failed.text))
            self._write()
            told_of_failed_reload(self._run_dir)  # last: rather told twice than never

    def _take_look(self) -> None:
        before, replacing = self._look, self._replacing.watchers
        look, presences = take_look(self._control, self._run_dir, held_now=self._held_now, replacing=replacing)
        self._look = look
        self._note(before, look, presences)
        for finding in judge(before, look, self._limits):
            if self._quiet.lets_through(finding, look.at):
                self._tell(finding)
            try:
                self._act(finding, look)
            except ClusterError as error:
                logger.warning("what was to be done about {} was not done: {}", finding.watcher, error)
        self._write()

    def _held_now(self) -> Mapping[str, Held]:
        """Read what circusd has noted: what it publishes may come later, and is missed while this is away."""
        self._know_held(held_watchers(self._run_dir))
        return self._held

    def _act(self, finding: Finding, look: Look) -> None:
        if finding.do is None or finding.pid is None:
            return
        if finding.do is Do.KILL:
            _kill(finding.pid, look)
        elif finding.do is Do.REPLACE:
            self._replacing.begin(finding.watcher, finding.pid)
        else:
            self._control.call("restart", name=finding.watcher)

    def _note(self, before: Look | None, look: Look, presences: Mapping[int, PresenceState]) -> None:
        earlier = {one.pid: one for watcher in before.watchers for one in watcher.processes} if before else {}
        seconds = look.at - before.at if before else 0.0
        known, self._watchers = self._watchers, {}
        for one in look.watchers:
            processes = tuple(
                health_of(process, earlier.get(process.pid), seconds, presences.get(process.pid))
                for process in one.processes
            )
            restarts = known[one.name].restarts if one.name in known else self._crashes.pop(one.name, 0)
            self._watchers[one.name] = WatcherHealth(one.status, one.wanted, processes, restarts)

    def _has_crashed(self, crash: Crash) -> None:
        watcher = crash.watcher
        if (known := self._watchers.get(watcher)) is not None:
            self._watchers[watcher] = replace(known, restarts=known.restarts + 1)
        else:  # before the first look
            self._crashes[watcher] = self._crashes.get(watcher, 0) + 1
        finding = Finding(Kind.CRASH, watcher, crash.text)
        if self._quiet.lets_through(finding, time.monotonic()):
            self._tell(finding)

    def _not_replaced(self, watcher: str, pid: int) -> None:
        text = f"{watcher} process {pid} was not replaced: no other one became ready"
        self._tell(Finding(Kind.NOT_REPLACED, watcher, text, pid))

    def _unanswered(self, error: ClusterError) -> None:
        seconds = time.monotonic() - self._answered
        if seconds > UNANSWERED_SECONDS:
            finding = Finding(Kind.SUPERVISOR, "circusd", f"circusd has not answered for {seconds:.0f} s: {error}")
            if self._quiet.lets_through(finding, time.monotonic()):
                self._tell(finding)
                self._write()

    def _tell_ready(self) -> None:
        """Tell systemd once that requests are taken: by every API worker. The indexer may wait for its network."""
        if self._told_ready:
            return
        ready = sum(1 for presence in read_presences(self._run_dir) if presence.role == _API and presence.ready)
        if ready and ready >= self._control.wanted(_API):
            tell_service_manager(READY)
            self._told_ready = True

    def _tell_alive(self) -> None:
        now = time.monotonic()
        if self._alive_seconds and now >= self._next_alive and now - self._answered < self._alive_seconds:
            self._next_alive = now + self._alive_seconds / 3
            tell_service_manager(ALIVE)

    def _tell(self, finding: Finding) -> None:
        self._alerts.tell(Alert(time.time(), finding.kind.value, finding.watcher, finding.text, finding.pid))

    def _remember(self, alert: Alert) -> None:
        self._counts[alert.kind] = self._counts.get(alert.kind, 0) + 1
        self._alerts_kept = [*self._alerts_kept, alert][-ALERTS_KEPT:]

    def _write(self) -> None:
        watchers = {name: _held_back(one, self._held.get(name)) for name, one in self._watchers.items()}
        state = HealthState(time.time(), self._limits.interval, watchers, tuple(self._alerts_kept), self._counts)
        try:
            write_health(self._run_dir, state)
        except OSError as error:
            logger.warning("the state of health cannot be written: {}", error.strerror)


def _held_back(watcher: WatcherHealth, held: Held | None) -> WatcherHealth:
    if held is None:
        return replace(watcher, backoff_until=None, why=None)
    return replace(watcher, backoff_until=held.until, why=held.why)


def _kill(pid: int, look: Look) -> None:
    """Kill the very process that was seen, and not one that has its number by now."""
    started = [one.started for watcher in look.watchers for one in watcher.processes if one.pid == pid]
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.create_time() in started:
            process.send_signal(signal.SIGKILL)
