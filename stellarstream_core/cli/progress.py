"""Progress of a sync on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

from stellarstream_core.cli.logs import log_through, log_what_is_said
from stellarstream_core.cli.output import plural, say
from stellarstream_core.cli.projecting import ProjectionBar, ProjectionLines
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Unserved
from stellarstream_core.sync.progress import Progress as Watched

PLAIN_SECONDS = 5.0
LIVE_SECONDS = 30.0


class _Tally:
    """What both views count: ledgers done since the plan was made, and new events."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.ledgers = 0
        self.done = 0.0
        self.events = 0
        self.live = False
        self._began = clock()

    def planned(self, ledgers: int) -> None:
        self.ledgers, self.done, self._began = ledgers, 0.0, self.clock()

    def committed(self, share: float, new_events: int) -> None:
        self.done += share
        self.events += new_events

    @property
    def rate(self) -> float:
        """Ledgers a second."""
        return self.done / max(self.clock() - self._began, 0.001)

    @property
    def seconds_left(self) -> float:
        return max(self.ledgers - self.done, 0) / self.rate if self.done else 0.0


def _complaint(item: Unserved, next_source: str | None) -> str:
    then = f"; {next_source} is asked" if next_source else ""
    return f"{item.reason.value}: ledgers {item.range} ({item.detail}){then}"


def _tip(ledger: int, events: int) -> str:
    return f"following: at ledger {ledger:,}, {plural(events, 'new event')} so far"


def _say(text: str) -> None:
    say(text, err=True)
    log_what_is_said(text)


class PlainLines:
    """A line every few seconds, for logs and pipes."""

    def __init__(
        self,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = monotonic,
        work: str = "sync",
    ) -> None:
        self._doing = "reading again" if work == "verify" else "fetching"
        self._write = write or _say
        self._projections = ProjectionLines(self._write, clock)
        self._tally = _Tally(clock)
        self._last = clock()

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Say what will be fetched, once: while following each ledger is planned anew."""
        if not self._tally.live:
            self._tally.planned(ledgers)
            if ledgers:
                self._write(f"{self._doing} {plural(ledgers, 'ledger')} of {wanted}")

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Count, and say how far it is when the last word is some seconds old."""
        tally = self._tally
        tally.committed(share, new_events)
        if not tally.live and self._due(PLAIN_SECONDS):
            self._write(
                f"{int(tally.done):,}/{tally.ledgers:,} ledgers, {plural(tally.events, 'new event')}, "
                f"{tally.rate:,.0f} ledgers/s, {tally.seconds_left:,.0f} s left"
            )

    def unserved(self, item: Unserved, next_source: str | None = None) -> None:
        """Name what a source gave up."""
        self._write(_complaint(item, next_source))

    def following(self, ledger: int, delay: float) -> None:
        """Say that the tip is reached, and how it goes on every half minute."""
        if not self._tally.live or self._due(LIVE_SECONDS):
            self._tally.live = True
            self._last = self._tally.clock()
            self._write(_tip(ledger, self._tally.events))

    def projecting(self, name: str, done: int, total: int) -> None:
        """Say how far a projection is when the last word is some seconds old."""
        self._projections.projecting(name, done, total)

    def _due(self, seconds: float) -> bool:
        now = self._tally.clock()
        if now - self._last < seconds:
            return False
        self._last = now
        return True


class Bar:
    """On a terminal: a bar with ledgers, events, rate and time left, then one line that tells the tip."""

    def __init__(self, work: str = "sync") -> None:
        self._work = work
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
        self._projections: ProjectionBar | None = None
        self._tally = _Tally()
        self._open = ExitStack()

    def __enter__(self) -> Bar:
        self._open.enter_context(log_through(self._print))
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        (self._line or self._bar).stop()
        self._open.close()

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Show the bar for what will be fetched."""
        if self._line is not None:
            return
        self._tally.planned(ledgers)
        if self._task is None:
            self._task = self._bar.add_task(self._work, total=ledgers, events=0, rate=0.0)
        self._bar.update(self._task, total=ledgers, completed=0, description=f"{self._work} {wanted}")

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Move the bar on."""
        tally = self._tally
        tally.committed(share, new_events)
        if self._task is not None and self._line is None:
            self._bar.update(self._task, completed=int(tally.done), events=tally.events, rate=tally.rate)

    def unserved(self, item: Unserved, next_source: str | None = None) -> None:
        """Name what a source gave up, above the bar."""
        self._print(_complaint(item, next_source))

    def following(self, ledger: int, delay: float) -> None:
        """Show in one line how far it is; the bar has done its work."""
        if self._line is None:
            self._bar.stop()
            self._line = self._console.status("")
            self._line.start()
        self._line.update(Text(_tip(ledger, self._tally.events)))

    def projecting(self, name: str, done: int, total: int) -> None:
        """Show how far a projection is in place of the bar, which has done its work."""
        if self._projections is None:
            (self._line or self._bar).stop()
            self._projections = self._open.enter_context(ProjectionBar(self._console))
        self._projections.projecting(name, done, total)

    def _print(self, line: str) -> None:
        # as it is: a node's words may look like markup, the log's colours are there already
        self._console.print(Text.from_ansi(line.rstrip("\n")))


def sync_progress(work: str = "sync") -> AbstractContextManager[Watched]:
    """Return a bar where stderr is a terminal, plain lines otherwise; ``work`` is the command's name."""
    return Bar(work) if sys.stderr.isatty() else PlainLines(work=work)
