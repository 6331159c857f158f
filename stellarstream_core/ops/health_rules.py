"""What the health monitor makes of what it sees: values in, findings and actions out.

Nothing here looks at a clock, a process or a file. Times are seconds of one clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

FIRST_HOLD = 2.0
"""Seconds that a watcher in a crash loop is held back first; twice as long each time after that."""
LONGEST_HOLD = 300.0
LONGEST_WAIT = 30.0
"""The longest where a process could not begin for want of something that comes back, such as its database."""
LOOP_CRASHES = 5
LOOP_SECONDS = 60.0
"""So many crashes within so many seconds are a crash loop; so long without one is its end."""
QUIET_LOOKS = 10
"""How many looks long the same finding is not told again."""
_MB = 1_000_000


class Kind(StrEnum):
    """What an alert is about."""

    MEMORY = "memory"
    CPU = "cpu"
    STUCK = "stuck"
    CRASH = "crash"
    CRASH_LOOP = "crash-loop"
    MISSING = "missing"
    STOPPED = "stopped"
    RELOAD = "reload"
    NOT_REPLACED = "not-replaced"
    SUPERVISOR = "supervisor"


class Do(StrEnum):
    """What is done about a finding."""

    REPLACE = "replace"
    """Another process first, then end this one."""
    RESTART = "restart"
    """End it and start another one: of a singleton there are never two."""
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class ProcessLook:
    """One process at one moment. ``started`` tells it from a later one of the same number.

    ``memory`` is its resident set in bytes, ``cpu_seconds`` what it used since its start, ``beat_age`` how many
    seconds ago its event loop last showed a sign of life, None where it has shown none.
    """

    pid: int
    started: float
    age: float
    memory: int
    cpu_seconds: float
    beat_age: float | None = None


@dataclass(frozen=True, slots=True)
class WatcherLook:
    """One watcher at one moment. ``wanted``: how many processes it should have, those held back included.

    ``replacing``: one of its processes is being replaced just now.
    """

    name: str
    status: str
    wanted: int
    processes: tuple[ProcessLook, ...] = ()
    held: int = 0
    singleton: bool = False
    optional: bool = False
    replacing: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that was seen at the moment ``at``."""

    at: float
    watchers: tuple[WatcherLook, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much. ``memory`` in bytes by watcher, with the one of ``""`` for all others; times in seconds."""

    memory: Mapping[str, int]
    cpu_percent: float = 90.0
    stuck_seconds: float = 30.0
    interval: float = 30.0

    def memory_of(self, watcher: str) -> int:
        """Return the bytes that a process of this watcher may have."""
        return self.memory.get(watcher, self.memory[""])


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, and what is to be done about it, if anything."""

    kind: Kind
    watcher: str
    text: str
    pid: int | None = None
    do: Do | None = None


def judge(before: Look | None, now: Look, limits: Limits) -> list[Finding]:
    """Return what is wrong ``now``, given the look ``before`` it (None: this is the first).

    Who has not looked for a while, since the whole machine stood still, takes no old sign of life for a fault: such
    a look only begins anew.
    """
    earlier = {watcher.name: watcher for watcher in before.watchers} if before else {}
    seconds = now.at - before.at if before else 0.0
    on_time = 0 < seconds <= limits.interval + limits.stuck_seconds / 2
    found: list[Finding] = []
    for watcher in now.watchers:
        was = earlier.get(watcher.name)
        found += _number(was, watcher)
        if watcher.status == "active":
            if on_time:
                stuck = [*_stuck(watcher, limits)]
                found += stuck
                found += _cpu(was, watcher, seconds, limits, {finding.pid for finding in stuck})
            found += _memory(watcher, limits)
    return found


def _number(was: WatcherLook | None, watcher: WatcherLook) -> Iterable[Finding]:
    if watcher.optional:
        return
    name, there = watcher.name, len(watcher.processes)
    if watcher.status == "stopped":
        if not watcher.wanted:
            return  # so it was set: none is to run on this machine
        yield Finding(Kind.STOPPED, name, f"{name} is stopped: 'circusctl start {name}' starts it")
    elif watcher.status == "active" and _short(watcher) and was is not None and _short(was):
        # at one look a process may just have ended and be about to be started again
        yield Finding(Kind.MISSING, name, f"{name} has {there} of {watcher.wanted} processes")


def _short(watcher: WatcherLook) -> bool:
    """Tell whether processes are missing that nobody holds back: a crash loop is told as such."""
    return len(watcher.processes) < watcher.wanted - watcher.held


def _stuck(watcher: WatcherLook, limits: Limits) -> Iterable[Finding]:
    for process in watcher.processes:
        if process.beat_age is not None and process.beat_age > limits.stuck_seconds:
            text = (
                f"the event loop of {watcher.name} process {process.pid} has shown no sign of life "
                f"for {process.beat_age:.0f} s: it is killed"
            )
            yield Finding(Kind.STUCK, watcher.name, text, process.pid, Do.KILL)


def _cpu(
    was: WatcherLook | None, watcher: WatcherLook, seconds: float, limits: Limits, but: set[int | None]
) -> Iterable[Finding]:
    earlier = {(one.pid, one.started): one.cpu_seconds for one in was.processes} if was else {}
    for process in watcher.processes:
        used = earlier.get((process.pid, process.started))
        if used is None or process.pid in but:
            continue
        percent = 100 * (process.cpu_seconds - used) / seconds
        if percent > limits.cpu_percent:
            text = f"{watcher.name} process {process.pid} used {percent:.0f} % of a core for {seconds:.0f} s"
            yield Finding(Kind.CPU, watcher.name, text, process.pid)


def _memory(watcher: WatcherLook, limits: Limits) -> Iterable[Finding]:
    """Find the one process to replace. One that has just begun is left: another one would need as much."""
    limit = limits.memory_of(watcher.name)
    over = [one for one in watcher.processes if one.memory > limit and one.age >= 2 * limits.interval]
    if not over or watcher.replacing:
        return
    worst = max(over, key=lambda one: (one.memory, one.pid))
    do, done = (Do.RESTART, "restarted") if watcher.singleton else (Do.REPLACE, "replaced")
    text = (
        f"{watcher.name} process {worst.pid} has {worst.memory // _MB} MB of memory, "
        f"more than {limit // _MB} MB: it is {done}"
    )
    yield Finding(Kind.MEMORY, watcher.name, text, worst.pid, do)


@dataclass(slots=True)
class Quiet:
    """Remembers what was told: the same again only after ``seconds``."""

    seconds: float
    _told: dict[tuple[Kind, str, int | None], float] = field(default_factory=dict)

    def lets_through(self, finding: Finding, at: float) -> bool:
        """Tell whether to tell this finding now; if so it counts as told. What is acted on is always told."""
        self._told = {key: then for key, then in self._told.items() if at - then < self.seconds}
        key = finding.kind, finding.watcher, finding.pid
        if finding.do is None and key in self._told:
            return False
        self._told[key] = at
        return True


@dataclass(slots=True)
class Backoff:
    """Tells how long to hold back what crashes in a loop: 2, 4, 8 … seconds, 300 at the most.

    ``level`` is how often it was held back in a row.
    """

    level: int = 0
    _crashes: tuple[float, ...] = ()
    _released: float | None = None

    def crashed(self, at: float, longest: float = LONGEST_HOLD) -> float | None:
        """Note a crash; return for how many seconds to start no process in its place, None for at once."""
        if self._released is not None and at - self._released > LOOP_SECONDS:
            self.level, self._released = 0, None
        self._crashes = (*(then for then in self._crashes if at - then < LOOP_SECONDS), at)[-LOOP_CRASHES:]
        if self._released is None and len(self._crashes) < LOOP_CRASHES:
            return None
        hold = min(FIRST_HOLD * 2.0 ** min(self.level, 32), longest)
        self.level += 1
        return hold

    def released(self, at: float) -> None:
        """Note that what was held back is started again; a crash soon after goes on with the loop."""
        self._released, self._crashes = at, ()
