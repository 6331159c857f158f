"""Replacing one process of a watcher: another one is ready before it ends, and no third one is touched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from loguru import logger

from stellarstream_core.ops.control import ClusterError, Control
from stellarstream_core.ops.hooks import RETIRE_SIGNAL
from stellarstream_core.ops.process import read_presences

REPLACING_FILE = "replacing.json"
READY_SECONDS = 60.0
"""How long another process may take to be ready; after that the old one stays."""
PLAIN_SECONDS = 2.0
"""How long one must have lived that tells nothing of itself."""
GIVE_UP_SECONDS = 180.0
"""How long circusd may refuse everything that is to be done about one."""
LEAVE_SECONDS = 15.0
"""How long the old one may take to end; circus kills it after its graceful_timeout."""


@dataclass(slots=True)
class Replacement:
    """One that goes on: ``pid`` is to go, ``before`` were there, ``wanted`` is how many there should be.

    ``leaving``: it was told to end. ``since`` is when it began, and from then on when it was told so.
    """

    watcher: str
    pid: int
    wanted: int
    before: list[int]
    since: float
    leaving: bool = False


class Replacing:
    """All replacements of a cluster, a step at a time. ``failed`` is told where one does not work."""

    def __init__(self, control: Control, run_dir: Path, failed: Callable[[str, int], object]) -> None:
        self._control, self._run_dir, self._failed = control, run_dir, failed
        self._going: dict[str, Replacement] = {}

    @property
    def watchers(self) -> frozenset[str]:
        """The watchers that have a process too many for the time being, or one that is about to end."""
        return frozenset(self._going)

    def resume(self) -> None:
        """Go on with what was begun by a monitor that ended before it was done."""
        with suppress(OSError, ValueError, TypeError):
            for told in orjson.loads((self._run_dir / REPLACING_FILE).read_bytes()):
                going = Replacement(**told)
                if not going.leaving and self._control.wanted(going.watcher) == going.wanted + 1:
                    going.since = time.monotonic()
                    self._going[going.watcher] = going
        self._note()

    def begin(self, watcher: str, pid: int) -> None:
        """Start another process beside the ones of ``watcher``. Raises ``ClusterError``."""
        if watcher in self._going:
            return
        before, wanted = self._control.pids(watcher), self._control.wanted(watcher)
        self._going[watcher] = Replacement(watcher, pid, wanted, before, time.monotonic())
        self._note()  # first, so that whoever comes after knows of the one too many
        try:
            self._control.call("incr", name=watcher, nb=1)
        except ClusterError:
            self._end(watcher)
            raise

    def step(self) -> None:
        """Go on with each: end the old process once a new one is ready."""
        for going in list(self._going.values()):
            seconds = time.monotonic() - going.since
            try:
                self._go_on(going, seconds)
            except ClusterError as error:  # circusd is busy, or the watcher was removed
                if seconds > GIVE_UP_SECONDS:
                    logger.warning("{} process {} was not replaced: {}", going.watcher, going.pid, error)
                    self._end(going.watcher)

    def _go_on(self, going: Replacement, seconds: float) -> None:
        pids = self._control.pids(going.watcher)
        new = [pid for pid in pids if pid not in going.before]
        if going.leaving:
            if going.pid not in pids or seconds > LEAVE_SECONDS:
                self._end(going.watcher)
        elif self._is_one_ready(going.watcher, new, seconds):
            # where the old one has ended by itself, a new one took its place already
            self._reduce(going, going.pid if going.pid in pids else new[-1])
            logger.info("{} process {} is replaced, after {:.1f} s", going.watcher, going.pid, seconds)
        elif seconds > READY_SECONDS:
            self._reduce(going, new[-1] if new else None)
            self._failed(going.watcher, going.pid)

    def _is_one_ready(self, watcher: str, new: Iterable[int], seconds: float) -> bool:
        told = {presence.pid: presence for presence in read_presences(self._run_dir) if presence.role == watcher}
        if not told:
            return bool(list(new)) and seconds > PLAIN_SECONDS
        return any(pid in told and told[pid].ready for pid in new)

    def _reduce(self, going: Replacement, pid: int | None) -> None:
        """Have one process less, and let it be this one."""
        if pid is not None:
            self._control.call("signal", name=going.watcher, pid=pid, signum=int(RETIRE_SIGNAL))
        self._control.call("decr", name=going.watcher, nb=1)
        going.since, going.leaving = time.monotonic(), True
        self._note()

    def _end(self, watcher: str) -> None:
        self._going.pop(watcher, None)
        self._note()

    def _note(self) -> None:
        path = self._run_dir / REPLACING_FILE
        try:
            if self._going:
                beside = path.with_name(f".{path.name}")
                beside.write_bytes(orjson.dumps([asdict(going) for going in self._going.values()]))
                beside.replace(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("{} cannot be written: {}", path, error.strerror)
