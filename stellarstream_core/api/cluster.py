"""The cluster that this worker belongs to, as its run folder tells it: the same whichever worker is asked.

Processes tell of themselves (``ops/process.py``), the health monitor of all of them (``ops/health_state.py``). What
both say is put together here for ``/metrics``, readiness and the dashboard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stellarstream_core.ops.environment import run_folder
from stellarstream_core.ops.health_state import Alert, HealthState, ProcessHealth, WatcherHealth, read_health
from stellarstream_core.ops.identity import lives
from stellarstream_core.ops.notes import why_held
from stellarstream_core.ops.process import PresenceState, State, read_presences, supervised_role
from stellarstream_core.settings import Settings

API, INDEXER = "api", "indexer"
SERVICE = (API, INDEXER)
"""The watchers without which there is no service; their processes tell when they are ready."""
STOPPED = "stopped"
"""The status of a watcher that somebody stopped."""
MEGABYTE = 1_000_000
_LATE_LOOKS = 3


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process that lives; None is not known. ``memory`` in bytes, ``cpu`` in percent of a core, times in seconds."""

    pid: int
    state: str | None = None
    age: float | None = None
    memory: int | None = None
    cpu: float | None = None
    beat_age: float | None = None
    lag: float | None = None
    ledger: int | None = None
    watermark: int | None = None
    tip: int | None = None

    @property
    def cpu_share(self) -> float | None:
        """The CPU as a share of a core: 1 is all of it."""
        return None if self.cpu is None else self.cpu / 100


@dataclass(frozen=True, slots=True)
class WatcherView:
    """Processes of one kind. ``wanted`` and ``status`` are None where the health monitor has not told them.

    ``restarts`` counts those that ended by themselves, ``backoff`` is for how many seconds more none is started, since
    they crash again and again, or cannot begin without what ``why`` names; ``memory_limit``, in bytes, is what one
    process may have.
    """

    name: str
    status: str | None = None
    wanted: int | None = None
    processes: tuple[ProcessView, ...] = ()
    restarts: int | None = None
    backoff: float = 0.0
    memory_limit: int | None = None
    why: str | None = None

    @property
    def up(self) -> bool | None:
        """Whether it is meant to run now."""
        return None if self.status is None else self.status != STOPPED

    @property
    def ready(self) -> int:
        """How many processes take work; those that do not tell count while they are there."""
        if self.name not in SERVICE:
            return len(self.processes)
        return sum(process.state == State.READY for process in self.processes)

    @property
    def standby(self) -> int:
        """How many stand by for one on another machine."""
        return sum(process.state == State.STANDBY for process in self.processes)

    @property
    def off(self) -> bool:
        """Whether none is to run on this machine."""
        return self.status == STOPPED and self.wanted == 0 and not self.backoff

    @property
    def trouble(self) -> str | None:
        """What is not as it should be, in a few words; None where all is well."""
        if self.backoff:
            return f"{why_held(self.why)}, next start in {self.backoff:.0f} s"
        if self.name not in SERVICE:
            return None  # it runs when somebody wants it to
        if self.off:
            return None
        if self.status == STOPPED:
            return STOPPED
        wanted = 1 if self.wanted is None else self.wanted
        return f"{self.ready} of {wanted} ready" if self.ready + self.standby < wanted else None

    @property
    def word(self) -> str:
        """What there is, in a few words, where nothing is wrong with it."""
        if self.off:
            return "none on this machine"
        if self.standby:
            return "standing by"
        return f"{self.ready} {'ready' if self.name in SERVICE else 'running'}"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """All of it. ``alerts`` are the newest ones, the newest first; ``counts`` says how many there were of each kind.

    ``monitor`` is what is wrong with the health monitor, in a few words; None where nothing is.
    """

    watchers: tuple[WatcherView, ...]
    alerts: tuple[Alert, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    monitor: str | None = None

    @property
    def indexer(self) -> ProcessView | None:
        """The indexer that works; of those that wait for another one to end, or begin, the oldest."""
        found = [process for watcher in self.watchers if watcher.name == INDEXER for process in watcher.processes]
        return min(found, key=lambda one: (one.state != State.READY, -(one.age or 0.0)), default=None)

    @property
    def troubles(self) -> list[str]:
        """Everything that is not as it should be."""
        found = [f"{watcher.name}: {watcher.trouble}" for watcher in self.watchers if watcher.trouble]
        return [*found, f"the health monitor {self.monitor}"] if self.monitor else found


class ClusterReader:
    """Reads the run folder of a cluster."""

    def __init__(self, run_dir: Path, settings: Settings) -> None:
        self._run_dir, self._interval = run_dir, settings.health_seconds
        self._limits = {API: settings.api_memory_mb * MEGABYTE, INDEXER: settings.indexer_memory_mb * MEGABYTE}

    @classmethod
    def of(cls, settings: Settings) -> ClusterReader | None:
        """Return the reader of the cluster that this process belongs to, None where it has no supervisor."""
        return None if supervised_role(API) is None else cls(run_folder(settings), settings)

    def read(self) -> ClusterView:
        """Return the cluster as it is now; what cannot be read is left out. A few small files: call it in a thread."""
        health = read_health(self._run_dir)  # first: a process that it does not know yet may tell of itself
        return cluster_view(
            health, read_presences(self._run_dir), time.time(), interval=self._interval, limits=self._limits
        )


def cluster_view(
    health: HealthState | None,
    presences: Iterable[PresenceState],
    now: float,
    *,
    interval: float,
    limits: Mapping[str, int],
    alive: Callable[[int], bool] = lambda pid: lives(pid, None),
) -> ClusterView:
    """Put together what the health monitor and the processes say, as of ``now`` in Unix seconds.

    ``interval`` is how often the monitor looks, ``limits`` the memory of a process by watcher; ``alive`` says whether
    a process that tells nothing of itself is still there.
    """
    told: dict[str, list[PresenceState]] = {}
    for presence in presences:
        told.setdefault(presence.role, []).append(presence)
    known = health.watchers if health else {}
    watchers = [
        _watcher(name, known.get(name), told.get(name, ()), health, now, limits.get(name), alive)
        for name in sorted({*SERVICE, *known, *told})
    ]
    oldest = max((process.age or 0.0 for watcher in watchers for process in watcher.processes), default=0.0)
    return ClusterView(
        tuple(watchers),
        health.alerts[::-1] if health else (),
        health.counts if health else {},
        _monitor(health, now, oldest, interval),
    )


def _watcher(
    name: str,
    known: WatcherHealth | None,
    told: Iterable[PresenceState],
    health: HealthState | None,
    now: float,
    limit: int | None,
    alive: Callable[[int], bool],
) -> WatcherView:
    seen = {process.pid: process for process in known.processes} if known else {}
    found = [_told(presence, seen.pop(presence.pid, None), now) for presence in told]
    if health is not None and not health.stale(now):
        since = max(now - health.at, 0.0)
        found += [_seen(process, since) for process in seen.values() if process.state is None and alive(process.pid)]
    backoff = max((known.backoff_until or 0.0) - now, 0.0) if known else 0.0
    return WatcherView(
        name,
        known.status if known else None,
        known.wanted if known else None,
        tuple(sorted(found, key=lambda one: one.pid)),
        known.restarts if known else None,
        backoff,
        limit,
        known.why if known else None,
    )


def _told(presence: PresenceState, seen: ProcessHealth | None, now: float) -> ProcessView:
    return ProcessView(
        presence.pid,
        presence.state.value,
        max(now - presence.started, 0.0),
        seen.memory if seen else None,
        seen.cpu if seen else None,
        presence.beat_age,
        presence.lag,
        presence.ledger,
        presence.watermark,
        presence.tip,
    )


def _seen(process: ProcessHealth, since: float) -> ProcessView:
    """Return a process that has never told anything of itself."""
    return ProcessView(process.pid, None, process.age + since, process.memory, process.cpu)


def _monitor(health: HealthState | None, now: float, oldest: float, interval: float) -> str | None:
    if health is None:
        return "has not looked yet" if oldest > _LATE_LOOKS * interval + 5 else None
    return f"last looked {now - health.at:.0f} s ago" if health.stale(now) else None
