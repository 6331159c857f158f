"""The state of a cluster now: circusd's word, the processes' own, and the health monitor's last look."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from stellarstream_core.ops.control import Control
from stellarstream_core.ops.health_look import PLUGIN, look_at
from stellarstream_core.ops.health_state import HealthState, WatcherHealth, read_health
from stellarstream_core.ops.process import PresenceState, State, read_presences

_TOLD = frozenset({"api", "indexer"})
"""Watchers whose processes tell that they are ready."""


def read_overview(control: Control) -> dict[str, Any]:
    """Return what ``cluster status --json`` prints. Raises ``ClusterError``.

    ``well``: every watcher that should run has all its processes, and they are ready.
    """
    statuses = control.statuses()  # first: circusd may take a while to answer
    health = read_health(control.run_dir)
    presences = {presence.pid: presence for presence in read_presences(control.run_dir)}
    watchers = {
        name: _watcher(control, name, status, presences, health.watchers.get(name) if health else None)
        for name, status in sorted(statuses.items())
        if not name.startswith(PLUGIN)
    }
    return {
        "running": True,
        "well": all(watcher["well"] for watcher in watchers.values()),
        "endpoint": control.endpoint,
        "watchers": watchers,
        "monitor": _monitor(health),
        "alertCount": sum(health.counts.values()) if health else 0,
        "alerts": [asdict(alert) for alert in health.alerts] if health else [],
    }


def _watcher(
    control: Control, name: str, status: str, presences: dict[int, PresenceState], known: WatcherHealth | None
) -> dict[str, Any]:
    options = control.options(name, "numprocesses", "respawn")
    wanted, optional = int(options["numprocesses"]), not options["respawn"]
    cpu = {process.pid: process.cpu for process in known.processes} if known else {}
    processes = []
    listed = control.pids(name)
    # circusd lists no more those that it has told to end
    ending = [pid for pid, presence in presences.items() if presence.role == name and pid not in listed]
    for pid in [*listed, *ending]:
        presence, seen = presences.get(pid), look_at(pid, presences.get(pid))
        state = presence.state if presence else None
        if pid in ending:
            state = State.DRAINING
        elif state is None and seen is not None and name in _TOLD:
            state = State.STARTING  # it has not come so far as to tell anything
        processes.append(
            {
                "pid": pid,
                "state": state.value if state else None,
                "age": seen.age if seen else None,
                "memory": seen.memory if seen else None,
                "cpu": cpu.get(pid),
                "beatAge": presence.beat_age if presence else None,
                "lag": presence.lag if presence else None,
                "ledger": presence.ledger if presence else None,
            }
        )
    ready = sum(1 for one in processes if name not in _TOLD or one["state"] == State.READY)
    standby = sum(1 for one in processes if one["state"] == State.STANDBY)
    held = known.backoff_until if known and known.backoff_until and known.backoff_until > time.time() else None
    if held is not None and known is not None:  # circusd has no process of them for the time being
        wanted = max(wanted, known.wanted)
    off = status == "stopped" and wanted == 0 and held is None  # so it was set: nobody stopped it
    well = off or (optional and status == "stopped")
    well = well or (status == "active" and ready + standby >= wanted > 0 and held is None)
    text = f"{status}, {ready} of {wanted} ready" if status == "active" else status
    if off:
        text = "none on this machine"
    elif standby:
        text = "active, standing by: another one follows into the same database"
    if held is not None and known is not None:
        what = f"waits for {known.why}" if known.why else "crash loop"
        text += f", {what}: next start in {held - time.time():.0f} s"
    return {
        "status": status,
        "wanted": wanted,
        "text": text,
        "well": well,
        "restarts": known.restarts if known else 0,
        "backoffUntil": held,
        "processes": processes,
    }


def _monitor(health: HealthState | None) -> str | None:
    """Return what is wrong with the health monitor; None where nothing is."""
    if health is None:
        return "has not looked yet"
    if health.stale():
        return f"last looked {time.time() - health.at:.0f} s ago: look for what it logged"
    return None
