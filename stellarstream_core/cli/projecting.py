"""Progress of projections on stderr: a bar for each on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from stellarstream_core.cli.logs import log_through
from stellarstream_core.cli.output import say

PLAIN_SECONDS = 5.0


class Projecting(Protocol):
    """Hears how far projections are."""

    def projecting(self, name: str, done: int, total: int) -> None:
        """Hear that of ``total`` commits ``done`` are taken in."""
        ...


class ProjectionLines:
    """A line every few seconds, for logs and pipes; nothing for what takes no longer than that."""

    def __init__(self, write: Callable[[str], None] | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._write = write or partial(say, err=True)
        self._clock = clock
        self._last = clock()

    def __enter__(self) -> ProjectionLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def projecting(self, name: str, done: int, total: int) -> None:
        """Say how far a projection is when the last word is some seconds old."""
        now = self._clock()
        if done < total and now - self._last >= PLAIN_SECONDS:
            self._last = now
            self._write(f"projection {name}: {done:,} of {total:,} commits")


class ProjectionBar:
    """A bar for each projection, with the time left."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("commits"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._log = log_through(lambda line: self._console.print(Text.from_ansi(line.rstrip("\n"))))

    def __enter__(self) -> ProjectionBar:
        self._log.__enter__()
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._log.__exit__(None, None, None)

    def projecting(self, name: str, done: int, total: int) -> None:
        """Move a projection's bar on."""
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(f"project {name}", total=total)
        self._bar.update(self._tasks[name], completed=done, total=total)


def projection_progress() -> AbstractContextManager[Projecting]:
    """Return bars where stderr is a terminal, plain lines otherwise."""
    return ProjectionBar() if sys.stderr.isatty() else ProjectionLines()
