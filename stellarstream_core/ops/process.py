"""What a supervised process tells of itself, in files of the run folder, and what ties it to its supervisor.

``<role>.<pid>.beat`` is written anew every second from the event loop: while the loop is stuck it grows old.
``<role>.<pid>.ready`` is there while the process takes work. Files of a process that is gone count for nothing,
even where its number was given to another one: both say when their process was born.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from stellarstream_core.errors import StellarStreamError
from stellarstream_core.ops.files import read_regular
from stellarstream_core.ops.identity import began_at, birth_of, lives

BEAT_SECONDS = 1.0
"""How often a process tells that its event loop goes round."""
SUPERVISED = "STELLARSTREAM_SUPERVISED"
"""Set to 1 by the supervisor's configuration: the process then tells of itself, and ends with its supervisor."""
ROLE = "STELLARSTREAM_ROLE"
"""Under which name it tells of itself; without it each command has its own."""
SUPERVISOR_PID = "STELLARSTREAM_SUPERVISOR_PID"
"""The supervisor's process id, where it is told: then one that died before this process looked is noticed, too."""

_PR_SET_PDEATHSIG = 1
_LOOK_FOR_PARENT_SECONDS = 0.5
_UTIME_MARGIN = 0.5
_BEAT, _READY, _WORKED = "beat", "ready", "worked"


class OrphanError(StellarStreamError):
    """The supervisor that started this process is gone."""

    code = "orphan"
    title = "Supervisor gone"
    help = "It starts its processes again when it is started again."


class State(StrEnum):
    """What a process is doing."""

    STARTING = "starting"
    WAITING = "waiting"
    """For another process of this deployment to end that does the same work."""
    STANDBY = "standby"
    """Another process, on another machine mostly, follows into the same database; this one takes its place in time."""
    NO_DATABASE = "no-database"
    """Its database does not answer; it waits for it, and goes on."""
    READY = "ready"
    RENEWING = "renewing"
    """It executes itself again, as the same process, to have new code."""
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class PresenceState:
    """What one living process told last.

    ``started`` is when the process began, ``since`` when the code that it runs did (later, once it has executed
    itself again), both in Unix seconds; ``beat_age`` how many seconds ago it last told. ``facts`` is all that was
    told, among it, from an indexer, what the properties give.
    """

    pid: int
    role: str
    state: State
    started: float
    since: float
    beat_age: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether it takes work."""
        return self.state is State.READY

    @property
    def lag(self) -> float | None:
        """How many seconds an indexer is behind its network."""
        return _number(self.facts.get("lag"))

    @property
    def ledger(self) -> int | None:
        """The last ledger that an indexer has looked at."""
        return _whole(self.facts.get("ledger"))

    @property
    def watermark(self) -> int | None:
        """The ledger up to which an indexer's database lacks nothing."""
        return _whole(self.facts.get("watermark"))

    @property
    def tip(self) -> int | None:
        """The network's last ledger, as an indexer's sources told it."""
        return _whole(self.facts.get("tip"))


def supervised_role(usual: str) -> str | None:
    """Return the role of this process under its supervisor, ``usual`` unless it was given one; None without any."""
    return (os.environ.get(ROLE) or usual) if os.environ.get(SUPERVISED) == "1" else None


class Presence:
    """What this process tells its supervisor, from :meth:`start` to :meth:`close`; used from the event loop.

    A file that cannot be written (the disk is full, say) stops nothing: the old one is touched then.
    """

    def __init__(self, run_dir: Path, role: str) -> None:
        self.state = State.STARTING
        self.run_dir = run_dir
        self._pid, self._role = os.getpid(), role
        self._beat = _path(run_dir, role, self._pid, _BEAT)
        self._ready = _path(run_dir, role, self._pid, _READY)
        self._worked, self._has_worked = run_dir / f"{role}.{_WORKED}", False
        self._birth = birth_of(self._pid)
        self._started, self._since = began_at(self._birth), time.time()
        self._facts: dict[str, Any] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin to tell, once a second while ``loop`` (the running one) goes round."""
        self._ready.unlink(missing_ok=True)  # of one that had this number before, or of this one's earlier code
        self._tell_again(loop or asyncio.get_running_loop())

    def tell(self, **facts: float | str | None) -> None:
        """Tell this too, from the next beat on."""
        self._facts.update(facts)

    def worked(self) -> None:
        """Say that this process, the only one of its role, has got something done: its end is then no crash loop's."""
        if self._has_worked:
            return
        self._has_worked = True
        with suppress(OSError):
            _replace(self._worked, {"pid": self._pid})

    def be(self, state: State) -> None:
        """Say at once what this process is doing now."""
        if state is self.state:
            return
        self.state = state
        self._write_both()

    def ready(self) -> None:
        """Say that this process takes work from now on."""
        self.be(State.READY)

    def draining(self) -> None:
        """Say that it takes no more work and ends."""
        self.be(State.DRAINING)

    def close(self) -> None:
        """Tell no more, and leave nothing behind. Safe to call twice."""
        self.rest()
        _remove(self._ready, self._beat)
        if self._has_worked:
            _remove(self._worked)

    def rest(self) -> None:
        """Tell no more, but leave what was told: the same process goes on telling with other code."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._write_both()
        self._timer = loop.call_later(BEAT_SECONDS, self._tell_again, loop)

    def _write_both(self) -> None:
        told = {
            "pid": self._pid,
            "role": self._role,
            "birth": self._birth,
            "state": self.state.value,
            "started": self._started,
            "since": self._since,
            "beat": time.monotonic(),
            "at": time.time(),
        }
        try:
            _replace(self._beat, {**self._facts, **told})
            if self.state is not State.READY:
                self._ready.unlink(missing_ok=True)
            elif not self._ready.exists():
                _replace(self._ready, told)
        except OSError as error:
            if not self._failed:
                from loguru import logger  # noqa: PLC0415 - 60 ms that others do without

                logger.warning("cannot tell in {} how this process is: {}", self._beat.parent, error)
            self._failed = True
            with suppress(OSError):
                os.utime(self._beat)
        else:
            self._failed = False


def read_presences(run_dir: Path) -> list[PresenceState]:
    """Return what every living process tells in ``run_dir``, by role and number; remove what dead ones left."""
    found: list[PresenceState] = []
    for path in run_dir.glob(f"*.{_BEAT}"):
        role, _, number = path.name.removesuffix(f".{_BEAT}").rpartition(".")
        if not number.isdecimal() or (read := _read(path)) is None:
            continue
        told, written_at = read
        if not lives(int(number), told.get("birth")):
            _remove(path, _path(run_dir, role, int(number), _READY))
            continue
        with suppress(KeyError, TypeError, ValueError):  # nobody but this user writes here, but a file may be broken
            found.append(_state(int(number), role, told, written_at))
    return sorted(found, key=lambda one: (one.role, one.pid))


def is_ready(run_dir: Path, role: str, pid: int) -> bool:
    """Tell whether this very process takes work."""
    read = _read(_path(run_dir, role, pid, _READY))
    return read is not None and lives(pid, read[0].get("birth"))


def has_worked(run_dir: Path, role: str, pid: int) -> bool:
    """Tell whether this process was the last of its role that got something done; it may have ended."""
    read = _read(run_dir / f"{role}.{_WORKED}")
    return read is not None and read[0].get("pid") == pid


def die_with_parent() -> None:
    """Let this process get SIGTERM when the one that started it ends. Raises ``OrphanError`` where that has ended.

    Without it workers outlive a supervisor that is killed, and keep its port. It holds over an exec. On Linux the
    end of the thread counts that started this process; circus starts processes from its main thread.
    """
    told = os.environ.get(SUPERVISOR_PID, "")
    parent = int(told) if told.isdecimal() else os.getppid()
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only a supervised process needs it

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True, name="parent").start()
    if os.getppid() != parent:  # it ended before it could be watched
        raise OrphanError(f"The supervisor (process {parent}) has ended; so does this process.")


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_FOR_PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _state(pid: int, role: str, told: Mapping[str, Any], written_at: float) -> PresenceState:
    age = time.monotonic() - float(told["beat"])
    if written_at > float(told["at"]) + _UTIME_MARGIN:  # it could not be written anew, only touched
        age = min(age, time.time() - written_at)
    started, since = float(told["started"]), float(told["since"])
    return PresenceState(pid, role, State(told["state"]), started, since, max(age, 0.0), told)


def _path(run_dir: Path, role: str, pid: int, kind: str) -> Path:
    return run_dir / f"{role}.{pid}.{kind}"


def _replace(path: Path, told: Mapping[str, Any]) -> None:
    """Write a file as a whole, so that nobody reads half of it."""
    beside = _beside(path)
    beside.write_bytes(orjson.dumps(told))
    beside.replace(path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _remove(*paths: Path) -> None:
    for path in paths:
        for left in (path, _beside(path)):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Mapping[str, Any], float] | None:
    """Return what a file says and when it was written; None where there is none, or it is broken."""
    try:
        text, written_at = read_regular(path)
        told = orjson.loads(text)
    except (OSError, ValueError):
        return None
    return (told, written_at) if isinstance(told, dict) else None


def _number(told: object) -> float | None:
    return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None


def _whole(told: object) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) else None
