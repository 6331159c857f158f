"""The folder in which several workers keep their metrics, each in files of its own, so that any can tell them all.

prometheus-client writes the files (its multi-process mode). What it leaves open is settled here: a
worker has a random name instead of its process id, which a system gives out again, and holds a lock on
``NAME.alive`` that goes with the process however it ends. Who reads the folder first adds the counts of
ended workers to ``past``, so that they stay counted and their files do not pile up; their gauges vanish.

``past.json`` names the files of ``past`` and the workers that are in them already. Replacing it is the
one step that counts: a kill before or after it loses nothing and counts nothing twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from loguru import logger
from prometheus_client.mmap_dict import MmapedDict

from stellarstream_core.api.run_dir import alone, make_private

LOCK_FILE = "metrics.lock"
PAST_FILE = "past.json"

ROOM = {"counter": 1 << 20, "histogram": 1 << 20, "gauge_livesum": 1 << 16, "gauge_livemax": 1 << 16}
"""The files of a worker and their first size in bytes: written out, for a hole on a full disk kills who touches it."""

_ADDED_UP = ("counter", "histogram")
_WORKER_FILE = re.compile(r"(?P<kind>counter|histogram|gauge_[a-z]+)_(?P<worker>[0-9a-f]{16})\.db")
_ALIVE_FILE = re.compile(r"(?P<worker>[0-9a-f]{16})\.alive")
_PAST_FILE = re.compile(r"(counter|histogram)_past-[0-9]+\.db")
_UNREADABLE = (OSError, RuntimeError, TypeError, ValueError, struct.error)
_Values: Any = MmapedDict  # this part of prometheus-client has no types
_read_values: Any = MmapedDict.read_all_values_from_file


class MetricsFolder:
    """The folder as one worker has it; ``worker`` is its name there."""

    def __init__(self, path: Path, worker: str, alive: int) -> None:
        self.path = path
        self.worker = worker
        self._alive = alive

    @classmethod
    def open(cls, path: Path) -> MetricsFolder:
        """Join the folder, and make it where it is not there. Raises ``OSError`` and ``SettingsError``."""
        make_private(path)
        worker = token_hex(8)
        with alone(path, LOCK_FILE):
            _settle(path)
            alive = os.open(path / f"{worker}.alive", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for kind, size in ROOM.items():
                    _make_file(path / f"{kind}_{worker}.db", size)
            except BaseException:
                os.close(alive)
                raise
        return cls(path, worker, alive)

    @contextmanager
    def files(self) -> Iterator[Sequence[Path]]:
        """Yield the files that hold the metrics of all workers, past ones included; they stay inside the block.

        Raises ``TimeoutError`` where another worker is at it for seconds, and ``OSError``.
        """
        with alone(self.path, LOCK_FILE):
            yield _settle(self.path)

    def close(self) -> None:
        """Leave the folder: what was counted is kept. Safe to call twice."""
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1


def _settle(path: Path) -> list[Path]:
    """Put away what ended workers left, and return the files that count. The folder must be locked."""
    generation, absorbed = _read_past(path)
    found = _workers(path)
    for worker in absorbed & found.keys():  # whoever absorbed them was killed before it could remove them
        _remove(path, worker, found.pop(worker))
    past = [path / f"{kind}_past-{generation}.db" for kind in _ADDED_UP] if generation else []
    for file in list(path.iterdir()):
        if (_PAST_FILE.fullmatch(file.name) and file not in past) or file.name.startswith(f"{PAST_FILE}."):
            file.unlink()
    ended = {worker for worker in found if not _is_alive(path, worker)}
    for worker in ended:
        for file in [file for file in found[worker] if file.name.startswith("gauge_")]:
            file.unlink()
            found[worker].remove(file)
    if ended:
        try:
            past = _absorb(path, generation + 1, past, {worker: found[worker] for worker in ended})
        except OSError as error:  # a full disk: they are read where they are until there is room
            logger.warning("metrics of ended workers cannot be put away: {}", error.strerror or error)
        else:
            for worker in ended:
                _remove(path, worker, found.pop(worker))
    files = past + [file for worker in found.values() for file in worker]
    return [file for file in files if file.exists() and file.stat().st_size]


def _absorb(path: Path, generation: int, past: list[Path], ended: dict[str, list[Path]]) -> list[Path]:
    """Write the past with the ended workers' counts in it, and return its files."""
    new = []
    for kind in _ADDED_UP:
        file = path / f"{kind}_past-{generation}.db"
        own = [old for old in (*past, *(old for files in ended.values() for old in files)) if _kind(old) == kind]
        _write(file, _added_up(own))
        new.append(file)
    pointer = path / f"{PAST_FILE}.{generation}"
    pointer.write_text(json.dumps({"generation": generation, "absorbed": sorted(ended)}), encoding="ascii")
    pointer.replace(path / PAST_FILE)  # from here on it counts
    for old in past:
        old.unlink(missing_ok=True)
    return new


def _added_up(files: Sequence[Path]) -> dict[str, float]:
    """Return the sums of values by their keys over files; one that is damaged is left out with a warning."""
    sums: dict[str, float] = {}
    for file in files:
        if not file.exists() or not file.stat().st_size:  # its worker was killed before it wrote anything
            continue
        try:
            read = [(key, value) for key, value, _, _ in _read_values(str(file)) if _is_key(key)]
        except _UNREADABLE as error:
            logger.warning("metrics in {} are damaged and left out: {}", file, error)
            continue
        for key, value in read:
            sums[key] = sums.get(key, 0.0) + value
    return sums


def _is_key(text: str) -> bool:
    """Check a key before it is kept for good; raise ``ValueError`` where it is none."""
    name, sample, labels, _ = json.loads(text)
    if not (isinstance(name, str) and isinstance(sample, str) and isinstance(labels, dict)):
        raise ValueError("not a key of metrics")
    return True


def _write(file: Path, sums: dict[str, float]) -> None:
    file.unlink(missing_ok=True)  # of somebody who was killed while writing it
    _make_file(file, sum(len(key.encode()) + 64 for key in sums) + 64)
    values: Any = _Values(str(file))
    try:
        for key, value in sums.items():
            values.write_value(key, value, 0.0)
    finally:
        values.close()


def _make_file(file: Path, size: int) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(bytes(size))
        while left:
            left = left[os.write(fd, left) :]
    except BaseException:
        with suppress(OSError):
            file.unlink()
        raise
    finally:
        os.close(fd)


def _read_past(path: Path) -> tuple[int, frozenset[str]]:
    """Return the generation of the past, 0 where there is none, and the workers that are in it."""
    try:
        said = json.loads((path / PAST_FILE).read_bytes())
        return int(said["generation"]), frozenset(map(str, said["absorbed"]))
    except FileNotFoundError:
        return 0, frozenset()
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("{} is damaged: counters of workers that ended begin again ({})", path / PAST_FILE, error)
        return 0, frozenset()


def _workers(path: Path) -> dict[str, list[Path]]:
    """Return the workers that left or keep something in the folder, with their files of metrics."""
    found: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        if match := _ALIVE_FILE.fullmatch(file.name):
            found.setdefault(match["worker"], [])
        elif match := _WORKER_FILE.fullmatch(file.name):
            found.setdefault(match["worker"], []).append(file)
    return found


def _is_alive(path: Path, worker: str) -> bool:
    try:
        fd = os.open(path / f"{worker}.alive", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _remove(path: Path, worker: str, files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
    (path / f"{worker}.alive").unlink(missing_ok=True)


def _kind(file: Path) -> str:
    return file.name.partition("_")[0]
