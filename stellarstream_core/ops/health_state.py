"""What the health monitor last saw, in a file of the run folder: for ``cluster status``, metrics and dashboard."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from stellarstream_core.ops.files import read_regular

HEALTH_FILE = "health.json"
ALERTS_KEPT = 50
_LATE_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should know. ``at`` in Unix seconds; ``pid`` None where it is no single process."""

    at: float
    kind: str
    watcher: str
    text: str
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """A process: resident memory in bytes, CPU in percent of a core since the look before, times in seconds.

    ``beat_age`` is None where its event loop has shown no sign of life yet; ``lag`` is an indexer's behind its network.
    """

    pid: int
    memory: int
    cpu: float | None
    age: float
    beat_age: float | None = None
    lag: float | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class WatcherHealth:
    """A watcher: how many processes it should have, those it has, how often one ended by itself.

    ``backoff_until``, in Unix seconds, is set while it is in a crash loop and held back; ``why`` then is what its
    processes wait for, where they said so.
    """

    status: str
    wanted: int
    processes: tuple[ProcessHealth, ...] = ()
    restarts: int = 0
    backoff_until: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class HealthState:
    """All of it, as of ``at`` (Unix seconds); the monitor looks every ``interval`` seconds.

    ``alerts`` are the newest ones, the newest last; ``counts`` tells how many there were of each kind.
    """

    at: float
    interval: float
    watchers: Mapping[str, WatcherHealth] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def stale(self, now: float | None = None) -> bool:
        """Tell whether the monitor has not looked for so long that this says nothing of the present."""
        return (time.time() if now is None else now) - self.at > _LATE_LOOKS * self.interval + 5


def read_health(run_dir: Path) -> HealthState | None:
    """Return what the monitor last wrote; None where it never did, or what is there cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return _state(orjson.loads(read_regular(run_dir / HEALTH_FILE)[0]))
    return None


def write_health(run_dir: Path, state: HealthState) -> None:
    """Write it as a whole: whoever reads sees the old state or the new one. Raises ``OSError``."""
    beside = run_dir / f".{HEALTH_FILE}"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(orjson.dumps(asdict(state)))
    beside.replace(run_dir / HEALTH_FILE)


def _state(told: Mapping[str, Any]) -> HealthState:
    watchers = {
        str(name): WatcherHealth(
            str(one["status"]),
            int(one["wanted"]),
            tuple(ProcessHealth(**process) for process in one["processes"]),
            int(one["restarts"]),
            one["backoff_until"],
            one.get("why"),  # a monitor of an earlier release tells none
        )
        for name, one in told["watchers"].items()
    }
    alerts = tuple(Alert(**alert) for alert in told["alerts"])
    counts = {str(kind): int(number) for kind, number in told["counts"].items()}
    return HealthState(float(told["at"]), float(told["interval"]), watchers, alerts, counts)
