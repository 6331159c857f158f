"""Looking at the processes of a cluster: which there are, what they use, and their signs of life."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from stellarstream_core.ops.control import ClusterError, Control, NotRunningError
from stellarstream_core.ops.health_rules import Look, ProcessLook, WatcherLook
from stellarstream_core.ops.health_state import ProcessHealth
from stellarstream_core.ops.notes import Held
from stellarstream_core.ops.process import PresenceState, State, read_presences

PLUGIN = "plugin:"
"""What the names of circus's plugins begin with: they are watchers, too."""


def take_look(
    control: Control, run_dir: Path, *, held_now: Callable[[], Mapping[str, Held]], replacing: frozenset[str]
) -> tuple[Look, dict[int, PresenceState]]:
    """Return everything as it is now, and what the processes tell of themselves by number.

    ``held_now`` returns the watchers in a crash loop: what of them is held back is not among the processes that circusd
    keeps running. ``replacing``: the watchers one of whose processes is being replaced. Raises ``ClusterError`` where
    circusd does not answer.
    """
    statuses = control.statuses()  # first: circusd may take a while to answer, and signs of life grow old meanwhile
    presences = {presence.pid: presence for presence in read_presences(run_dir)}
    watchers = []
    for name, status in sorted(statuses.items()):
        if name.startswith(PLUGIN):
            continue
        try:
            options, held = _options(control, name, held_now)
            pids = control.pids(name)
        except NotRunningError:
            raise
        except ClusterError:
            continue  # it was removed a moment ago
        processes = [found for pid in pids if (found := look_at(pid, presences.get(pid)))]
        back = held.count if held else 0
        watchers.append(
            WatcherLook(
                name,
                status,
                int(options["numprocesses"]) + back,
                tuple(processes),
                held=back,
                singleton=bool(options["singleton"]),
                optional=not options["respawn"],
                replacing=name in replacing,
            )
        )
    return Look(time.monotonic(), tuple(watchers)), presences


def _options(
    control: Control, name: str, held_now: Callable[[], Mapping[str, Held]]
) -> tuple[Mapping[str, Any], Held | None]:
    """Return a watcher's options and what of it is held back, both of the same moment."""
    held = held_now().get(name)
    while True:
        options, before = control.options(name, "numprocesses", "singleton", "respawn"), held
        if (held := held_now().get(name)) == before:
            return options, held


def look_at(pid: int, presence: PresenceState | None) -> ProcessLook | None:
    """Return how a process is; None where it has ended."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
                return None
            times, started = process.cpu_times(), process.create_time()
            memory = process.memory_info().rss
    except psutil.Error:
        return None
    beat_age = None
    # one that executes itself anew cannot tell anything meanwhile
    if presence is not None and presence.state is not State.RENEWING:
        beat_age = presence.beat_age
    return ProcessLook(pid, started, max(time.time() - started, 0.0), memory, times.user + times.system, beat_age)


def health_of(
    process: ProcessLook, before: ProcessLook | None, seconds: float, presence: PresenceState | None
) -> ProcessHealth:
    """Return what is told of a process; ``before`` is how it was ``seconds`` ago."""
    cpu = None
    if before is not None and before.started == process.started and seconds > 0:
        cpu = round(100 * (process.cpu_seconds - before.cpu_seconds) / seconds, 1)
    lag = presence.lag if presence else None
    state = presence.state.value if presence else None
    return ProcessHealth(process.pid, process.memory, cpu, round(process.age, 1), process.beat_age, lag, state)
