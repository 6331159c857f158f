"""Progress of projections: lines for logs, bars for people, nothing for what is quick."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from stellarstream_core.cli.progress import Bar, PlainLines
from stellarstream_core.cli.projecting import PLAIN_SECONDS, ProjectionBar, ProjectionLines
from stellarstream_core.ranges import LedgerRange


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_written_every_few_seconds_and_none_for_what_is_quick():
    lines, clock = [], Clock()
    progress = ProjectionLines(lines.append, clock)
    with progress:
        progress.projecting("toy", 10, 1_000)
        clock.now = PLAIN_SECONDS
        progress.projecting("toy", 400, 1_000)
        progress.projecting("toy", 500, 1_000)
        clock.now *= 2
        progress.projecting("toy", 1_000, 1_000)
    assert lines == ["projection toy: 400 of 1,000 commits"]


def test_the_lines_of_a_sync_go_on_with_its_projections():
    lines, clock = [], Clock()
    progress = PlainLines(lines.append, clock)
    progress.planned(LedgerRange(1, 9), 9)
    clock.now = PLAIN_SECONDS
    progress.projecting("toy", 400, 1_000)
    assert lines == ["fetching 9 ledgers of 1..9", "projection toy: 400 of 1,000 commits"]


def test_a_bar_shows_each_projection_with_its_commits():
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with ProjectionBar(console) as bar:
        bar.projecting("toy", 400, 1_000)
        bar.projecting("other", 1, 2)
        bar._bar.refresh()
    shown = screen.getvalue()
    assert "project toy" in shown
    assert "400/1000" in shown
    assert "project other" in shown


def test_the_bar_of_a_sync_gives_way_to_its_projections(monkeypatch):
    screen = StringIO()
    with Bar() as bar:
        bar._console.file = screen
        bar.planned(LedgerRange(1, 9), 9)
        bar.projecting("toy", 400, 1_000)
        assert bar._bar.live.is_started is False
        bar._projections._bar.refresh()
        bar.projecting("toy", 1_000, 1_000)
        assert bar._projections._bar.tasks[0].completed == 1_000
