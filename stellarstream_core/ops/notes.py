"""Notes in the run folder: what must be known although who is to be told may just be away, being reloaded itself.

circusd notes crashes, what it holds back, and that a reload failed, for the health monitor and for who asked for it; a
process that ends for want of something that comes back, such as its database, notes that for circusd.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from stellarstream_core.ops.files import read_regular

_CRASHES, _TAKEN = "crashes.jsonl", "crashes.taken"
_HELD = "held-"
_FAILED, _TOLD = "reload-failed.json", "reload-told.json"


@dataclass(frozen=True, slots=True)
class Crash:
    """A process ended that nobody had told to; ``at`` in Unix seconds, ``code`` below 0 is a signal."""

    at: float
    watcher: str
    pid: int
    code: int | None

    @property
    def text(self) -> str:
        """What happened, as a sentence."""
        how = f"signal {-self.code}" if self.code is not None and self.code < 0 else f"exit code {self.code}"
        return f"{self.watcher} process {self.pid} ended by itself: {how}"


@dataclass(frozen=True, slots=True)
class Held:
    """So many processes of a watcher in a crash loop are not started until ``until`` (Unix seconds).

    ``why`` is what they wait for, where they said so.
    """

    count: int
    until: float
    why: str | None = None


@dataclass(frozen=True, slots=True)
class FailedReload:
    """So many new processes of a watcher did not become ready; ``at`` in Unix seconds."""

    at: float
    watcher: str
    count: int

    @property
    def text(self) -> str:
        """What happened, as a sentence."""
        return f"a reload of {self.watcher} failed: {self.count} new processes did not become ready, old ones stay"


def note_crash(run_dir: Path, crash: Crash) -> None:
    """Note a crash. A disk that is full keeps nobody from going on."""
    with suppress(OSError):
        fd = os.open(run_dir / _CRASHES, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "ab") as file:
            file.write(orjson.dumps(asdict(crash)) + b"\n")


def untold_crashes(run_dir: Path) -> list[Crash]:
    """Return what was noted since the last :func:`told_of_crashes`; what comes from now on is for the next time."""
    taken = run_dir / _TAKEN
    with suppress(OSError):
        if not taken.exists():  # of a monitor that ended before it had told of them
            (run_dir / _CRASHES).rename(taken)
    crashes: list[Crash] = []
    with suppress(OSError):
        for line in read_regular(taken)[0].splitlines():
            with suppress(ValueError, TypeError):
                crashes.append(Crash(**orjson.loads(line)))
    return crashes


def told_of_crashes(run_dir: Path) -> None:
    """Note that people were told."""
    with suppress(OSError):
        (run_dir / _TAKEN).unlink(missing_ok=True)


def why_held(why: str | None) -> str:
    """Say after a watcher's name why it is held back; ``why`` as in :class:`Held`."""
    return f"waits for {why}" if why else "crashes again and again"


def note_held(run_dir: Path, watcher: str, held: Held | None) -> None:
    """Note what of a watcher is held back; None where nothing is any more."""
    path = run_dir / f"{_HELD}{watcher}.json"
    with suppress(OSError):
        if held is None:
            path.unlink(missing_ok=True)
        else:
            _write(path, asdict(held))


def held_watchers(run_dir: Path) -> dict[str, Held]:
    """Return what is held back, by watcher."""
    found = {}
    for path in run_dir.glob(f"{_HELD}*.json"):
        told = _read(path)
        with suppress(KeyError, TypeError, ValueError):
            why = told.get("why")
            held = Held(int(told["count"]), float(told["until"]), why if isinstance(why, str) else None)
            found[path.stem.removeprefix(_HELD)] = held
    return found


def note_failed_reload(run_dir: Path, watcher: str, count: int) -> None:
    """Note that a reload failed just now. A disk that is full keeps nobody from going on."""
    with suppress(OSError):
        _write(run_dir / _FAILED, asdict(FailedReload(time.time(), watcher, count)))


def untold_failed_reload(run_dir: Path) -> FailedReload | None:
    """Return the last failed reload that nobody was told of."""
    return _failed_reload(run_dir / _FAILED)


def told_of_failed_reload(run_dir: Path) -> None:
    """Note that people were told."""
    with suppress(OSError):
        (run_dir / _FAILED).replace(run_dir / _TOLD)


def reload_failed_since(run_dir: Path, began: float) -> FailedReload | None:
    """Return the reload that failed since this moment (Unix seconds), whether or not anybody was told by now."""
    found = (_failed_reload(run_dir / name) for name in (_FAILED, _TOLD, _FAILED))  # it may be moved meanwhile
    return next((one for one in found if one is not None and one.at >= began), None)


def note_end(run_dir: Path, role: str, pid: int, why: str) -> None:
    """Note that a process ends for want of this: it is to be started again before long."""
    with suppress(OSError):
        _write(_end(run_dir, role, pid), {"why": why})


def take_note_of_end(run_dir: Path, role: str, pid: int) -> str | None:
    """Return what a process that has ended wanted for, if it noted that, and forget it."""
    path = _end(run_dir, role, pid)
    told = _read(path)
    with suppress(OSError):
        path.unlink(missing_ok=True)
    why = told.get("why")
    return why if isinstance(why, str) else None


def forget_ends(run_dir: Path, role: str) -> None:
    """Forget what processes of this role have noted: later ones may be given their numbers."""
    for path in run_dir.glob(f"{role}.*.end"):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _failed_reload(path: Path) -> FailedReload | None:
    told = _read(path)
    with suppress(KeyError, TypeError, ValueError):
        return FailedReload(float(told["at"]), str(told["watcher"]), int(told["count"]))
    return None


def _end(run_dir: Path, role: str, pid: int) -> Path:
    return run_dir / f"{role}.{pid}.end"


def _read(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):
        told = orjson.loads(read_regular(path)[0])
        return told if isinstance(told, dict) else {}
    return {}


def _write(path: Path, told: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(orjson.dumps(told))
    beside.replace(path)
