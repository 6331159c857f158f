"""Processes that write a log together, and a check that every line is there: once, whole, in its writer's order.

``python -m tests.ops.log_kit FOLDER NAME LINES MAX_BYTES PAD`` is one such process. After each line that the logger
took it writes how many there were into ``FOLDER/NAME.told``: whatever kills it, those lines must be in the log.
"""

from __future__ import annotations

import gzip
import mmap
import os
import random
import re
import signal
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stellarstream_core.ops.log_names import LogNames
from tests.paths import ROOT

LINE = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z INFO    api\[\d+\] (\w+) (\d+) ([0-9a-f]{8}) ([a-z]*)", re.ASCII
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def file_of(folder: Path, max_bytes: int, **more):
    from stellarstream_core.ops.log_files import SharedRotatingFile

    return SharedRotatingFile(folder / "logs" / "api.log", max_bytes, **more)


def message(name: str, number: int, pad: int, chance: random.Random) -> str:
    """Return a text that shows whether it is whole."""
    padding = LETTERS[number % 26] * chance.randrange(pad)
    return f"{name} {number} {zlib.crc32(padding.encode()):08x} {padding}"


def write_lines(folder: Path, name: str, lines: int, max_bytes: int, pad: int) -> None:
    """Write through the logger as the service does."""
    from loguru import logger

    from stellarstream_core.cli.logs import LogFile, configure_logging

    configure_logging("info", role="api", log_file=LogFile(file_of(folder, max_bytes), errors_only=True))
    chance = random.Random(name)
    with (folder / f"{name}.told").open("w+b") as told:
        told.truncate(8)
        with mmap.mmap(told.fileno(), 8) as count:
            for number in range(lines):
                logger.info(message(name, number, pad, chance))
                count[:] = (number + 1).to_bytes(8, "little")
    logger.remove()


class Writers:
    """Several processes that write one log; those that are killed are replaced by others."""

    def __init__(self, folder: Path, max_bytes: int, pad: int = 120) -> None:
        self.folder, self._max_bytes, self._pad = folder, max_bytes, pad
        self._started = 0
        self.running: dict[str, subprocess.Popen] = {}
        self.lines: dict[str, int] = {}
        self.killed: set[str] = set()

    def start(self, lines: int) -> None:
        name = f"w{self._started}"
        self._started += 1
        self.lines[name] = lines
        arguments = [str(self.folder), name, str(lines), str(self._max_bytes), str(self._pad)]
        self.running[name] = subprocess.Popen([sys.executable, "-m", "tests.ops.log_kit", *arguments], cwd=ROOT)

    def told(self, name: str) -> int:
        """Return how many lines the logger took from a writer."""
        path = self.folder / f"{name}.told"
        return int.from_bytes(path.read_bytes(), "little") if path.exists() else 0

    def kill(self, name: str) -> None:
        """Kill a writer; another one writes what it left."""
        process = self.running.pop(name)
        process.kill()
        process.wait()
        self.killed.add(name)
        left = self.lines[name] - self.told(name)
        self.lines[name] -= left
        if left > 0:
            self.start(left)

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for process in self.running.values():
            assert process.wait(max(deadline - time.monotonic(), 0.1)) == 0

    def end(self) -> None:
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def writers(folder: Path, max_bytes: int, pad: int = 120) -> Iterator[Writers]:
    started = Writers(folder, max_bytes, pad)
    try:
        yield started
    finally:
        started.end()


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the role ``api``, the oldest first, and what is in it."""
    names = LogNames(folder / "logs", "api")
    for file in names.rotated():
        plain = names.folder / file.plain
        yield (
            file.stem,
            plain.read_bytes() if plain.exists() else gzip.decompress((names.folder / file.packed).read_bytes()),
        )
    if names.current.exists():
        yield "api", names.current.read_bytes()


def check_all(started: Writers, max_bytes: int) -> dict[str, int]:
    """Check that every line is there once, whole and in order, in files that are not too large; return figures."""
    seen: dict[str, int] = defaultdict(int)
    files = 0
    for name, content in written(started.folder):
        files += 1
        assert len(content) <= max_bytes, name
        assert content.endswith(b"\n"), name
        for line in content.splitlines():
            found = LINE.fullmatch(line)
            assert found, line
            writer, number, checksum, padding = found.groups()
            assert int(checksum, 16) == zlib.crc32(padding), line
            assert int(number) == seen[writer.decode()], f"{name}: {line!r}"
            seen[writer.decode()] += 1
    for name, lines in started.lines.items():
        # of one that was killed, the line that it was about to write may be there too
        assert seen[name] - lines in ({0, 1} if name in started.killed else {0}), name
    return {"lines": sum(seen.values()), "files": files, "kills": len(started.killed)}


def until(test: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, name, lines, max_bytes, pad = sys.argv[1:]
    os.umask(0o022)
    write_lines(Path(folder), name, int(lines), int(max_bytes), int(pad))


if __name__ == "__main__":
    main()
