"""Progress of a sync on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status

from stellarstream_core.cli.output import plural
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Unserved

PLAIN_SECONDS = 5.0
LIVE_SECONDS = 30.0


class PlainLines:
    """A line every few seconds, for logs and pipes."""

    def __init__(
        self,
        write: Callable[[str], None] = lambda line: click.echo(line, err=True),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._write = write
        self._clock = clock
        self._began = self._last = clock()
        self._ledgers = 0
        self._done = 0.0
        self._events = 0
        self._live = False

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Say what will be fetched, once: while following each ledger is planned anew."""
        if self._live:
            return
        self._ledgers = ledgers
        self._done, self._began = 0.0, self._clock()
        if ledgers:
            self._write(f"fetching {plural(ledgers, 'ledger')} of {wanted}")

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Count, and say how far it is when the last word is some seconds old."""
        self._done += share
        self._events += new_events
        if self._live or self._clock() - self._last < PLAIN_SECONDS:
            return
        self._last = self._clock()
        rate = self._done / max(self._last - self._began, 0.001)
        left = max(self._ledgers - self._done, 0) / rate if rate else 0
        self._write(
            f"{int(self._done):,}/{self._ledgers:,} ledgers, {plural(self._events, 'new event')}, "
            f"{rate:,.0f} ledgers/s, {left:,.0f} s left"
        )

    def unserved(self, item: Unserved) -> None:
        """Name what a source gave up."""
        self._write(f"{item.reason.value}: ledgers {item.range} ({item.detail})")

    def following(self, ledger: int, delay: float) -> None:
        """Say that the tip is reached, and how it goes on every half minute."""
        if self._live and self._clock() - self._last < LIVE_SECONDS:
            return
        self._live = True
        self._last = self._clock()
        self._write(f"following: at ledger {ledger}, {plural(self._events, 'new event')} so far")


class Bar:
    """On a terminal: a bar with ledgers, events, rate and time left, then one line that tells the tip."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("ledgers  {task.fields[events]:,} new events  {task.fields[rate]:,.0f} ledgers/s"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._line: Status | None = None
        self._done = 0.0
        self._events = 0
        self._began = monotonic()

    def __enter__(self) -> Bar:
        from loguru import logger  # noqa: PLC0415 - imported only where a terminal is attached

        self._bar.start()
        logger.remove()
        # lines of the log go above the bar instead of through it
        logger.add(lambda line: self._console.print(line, end="", highlight=False), format="{message}", level="WARNING")
        return self

    def __exit__(self, *_: object) -> None:
        (self._line or self._bar).stop()

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Show the bar for what will be fetched."""
        if self._line is not None:
            return
        self._done, self._began = 0.0, monotonic()
        if self._task is None:
            self._task = self._bar.add_task("sync", total=ledgers, events=0, rate=0.0)
        self._bar.update(self._task, total=ledgers, completed=0, description=f"sync {wanted}")

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Move the bar on."""
        self._done += share
        self._events += new_events
        if self._task is not None and self._line is None:
            rate = self._done / max(monotonic() - self._began, 0.001)
            self._bar.update(self._task, completed=int(self._done), events=self._events, rate=rate)

    def unserved(self, item: Unserved) -> None:
        """Name what a source gave up, above the bar."""
        self._console.print(f"{item.reason.value}: ledgers {item.range} ({item.detail})", highlight=False)

    def following(self, ledger: int, delay: float) -> None:
        """Show in one line how far it is; the bar has done its work."""
        if self._line is None:
            self._bar.stop()
            self._line = self._console.status("")
            self._line.start()
        self._line.update(f"following: at ledger {ledger:,}, {plural(self._events, 'new event')} so far")


def sync_progress() -> Bar | PlainLines:
    """Return a bar where stderr is a terminal, plain lines otherwise."""
    return Bar() if sys.stderr.isatty() else PlainLines()
