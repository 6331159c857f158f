"""What the dashboard says: one sentence for the whole, and the parts that need a word of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stellarstream_core.api.cluster import ClusterView
from stellarstream_core.api.minutes import Minute
from stellarstream_core.api.pages.chart import Chart, minutes_chart
from stellarstream_core.api.pages.coverage import Bar, coverage_bar
from stellarstream_core.api.pages.processes import Processes, processes_of
from stellarstream_core.api.pages.text import duration, number, plural, visible
from stellarstream_core.api.problems import Problem
from stellarstream_core.api.resources.health import Check, Readiness
from stellarstream_core.api.sync_model import CoverageModel, GapModel, SourceModel, SyncModel
from stellarstream_core.plugins import Plugin
from stellarstream_core.ranges import RangeSet
from stellarstream_core.sync.report import NEVER_FETCHED

Level = Literal["ok", "busy", "warn", "bad"]

NEAR_SECONDS = 60.0
NEAR_LEDGERS = 12
"""Behind the tip by no more than this counts as up to date: nobody who reads a page sees the difference."""
SHOWN_GAPS = 20
SHOWN_PARTS = 50
SHOWN_CONTRACTS = 50

REASONS = {
    NEVER_FETCHED: "not stored yet, or given up by the run that tried",
    "out-of-retention": "older than what the sources still have",
    "conflict": "a source offered other bytes than those stored",
    "unavailable": "no source could serve it",
}
"""What a gap's reason means, where its own word does not say it."""

DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "postgres": "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class Headline:
    """The whole in a word and a sentence; ``level`` chooses sign and colour, ``command`` is what to run."""

    level: Level
    word: str
    sentence: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a dashboard is made of. ``sync`` is None where ``problem`` says why; ``sources`` are known all the same.

    ``cluster`` is None where the service has no supervisor.
    """

    network: str
    database: str
    contracts: Sequence[str]
    plugins: Sequence[Plugin]
    now: float
    sync: SyncModel | None = None
    problem: Problem | None = None
    readiness: Readiness | None = None
    minutes: Sequence[Minute] = ()
    sources: Sequence[SourceModel] = ()
    cluster: ClusterView | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The dashboard, ready for its template."""

    facts: Facts
    headline: Headline
    bar: Bar | None
    chart: Chart | None
    gaps: Sequence[GapModel]
    more_gaps: int
    missing: int
    parts: Sequence[CoverageModel]
    more_parts: int
    failing: Sequence[Check]
    processes: Processes | None = None

    @property
    def title(self) -> str:
        """The page's title: the word first, so that a narrow tab still shows it."""
        return f"{self.headline.word} · {visible(self.facts.network)} · StellarStream"


def view_of(facts: Facts) -> View:
    """Return the dashboard for these facts."""
    sync = facts.sync
    gaps = sync.gaps if sync else []
    parts = sync.coverage if sync else []
    return View(
        facts=facts,
        headline=headline(facts),
        bar=coverage_bar(sync) if sync else None,
        chart=minutes_chart(facts.minutes, facts.now),
        gaps=gaps[-SHOWN_GAPS:][::-1],
        more_gaps=max(len(gaps) - SHOWN_GAPS, 0),
        missing=_missing(gaps),
        parts=parts[-SHOWN_PARTS:][::-1],
        more_parts=max(len(parts) - SHOWN_PARTS, 0) + (sync.more_ranges if sync else 0),
        failing=[check for check in facts.readiness.checks if not check.ok] if facts.readiness else [],
        processes=processes_of(facts.cluster) if facts.cluster else None,
    )


def headline(facts: Facts) -> Headline:
    """Return the one sentence: what may be wrong comes before what is missing, and that before what is late."""
    found = _headline(facts)
    if not facts.sync or not facts.sync.conflicts:
        return found
    return Headline(
        "bad",
        plural(facts.sync.conflicts, "conflict"),
        "A source offered other bytes than those stored; nothing was overwritten. This command lists them. "
        f"{found.word}: {found.sentence}",
        "stellarstream status",
    )


def _headline(facts: Facts) -> Headline:
    sync = facts.sync
    if sync is None:
        word, detail = (facts.problem.title, facts.problem.detail) if facts.problem else ("Unavailable", "")
        # what a problem says after its first sentence is for programs
        said = detail.partition(". ")[0].rstrip(".") or "It cannot be read now"
        return Headline("bad", word, f"{said}. This page asks again by itself; the service's log has the reason.")
    if sync.watermark is None or sync.start_ledger is None:
        return Headline(
            "busy",
            "Nothing synced yet",
            "The database is empty. Begin with this command; this page follows by itself.",
            _first_command(facts),
        )
    complete = _complete_up_to(sync)
    down = [source for source in sync.sources if source.state == "down"]
    if sync.tip is None and down and len(down) == len(sync.sources):
        who = "The source does not answer" if len(down) == 1 else f"None of the {len(down)} sources answers"
        return Headline("bad", "No source answers", f"{who}: how far the network is cannot be told. {complete}")
    if sync.gaps:
        where = "1 gap" if len(sync.gaps) == 1 else f"{number(len(sync.gaps))} gaps"
        missing = _missing(sync.gaps)
        verb = "is" if missing == 1 else "are"
        return Headline(
            "warn",
            "Ledgers are missing",
            f"{plural(missing, 'ledger')} {verb} missing in {where}. {complete} "
            "A sync that runs now may be filling them.",
            _fill_command(sync),
        )
    if sync.tip is None or sync.lag is None:
        return Headline("warn", "Tip unknown", f"No source has told the network's tip yet. {complete}")
    behind = _behind(sync)
    if is_near(sync):
        return Headline("ok", "Up to date", f"{complete} {behind}")
    if facts.cluster is not None and facts.cluster.indexer is None:
        sentence = f"{complete} {behind} The supervisor's log says why; this command shows the indexer's."
        return Headline("bad", "No indexer runs", sentence, "stellarstream logs indexer")
    return Headline("busy", "Catching up", f"{complete} {behind}")


def is_near(sync: SyncModel) -> bool:
    """Tell whether the database is as good as at the tip."""
    if sync.lag is None:
        return False
    return sync.lag <= NEAR_LEDGERS or (sync.lag_seconds is not None and sync.lag_seconds <= NEAR_SECONDS)


def database_kind(url: str) -> str:
    """Return what a database is called, from its URL's scheme; nothing else of it is shown."""
    scheme = url.partition(":")[0].partition("+")[0]
    return DATABASES.get(scheme, scheme)


def _complete_up_to(sync: SyncModel) -> str:
    if sync.watermark is None or sync.start_ledger is None or sync.watermark < sync.start_ledger:
        return f"Nothing is complete yet from ledger {number(sync.start_ledger or 0)} on."
    return f"Complete from ledger {number(sync.start_ledger)} to {number(sync.watermark)}."


def _behind(sync: SyncModel) -> str:
    lag = sync.lag or 0
    if not lag:
        return "This is the network's tip."
    about = f", about {duration(sync.lag_seconds)}" if sync.lag_seconds else ""
    return f"{plural(lag, 'ledger')} behind the network's tip{about}."


def _missing(gaps: Sequence[GapModel]) -> int:
    return RangeSet((gap.from_, gap.to) for gap in gaps).size


def _first_command(facts: Facts) -> str:
    if facts.contracts:
        return "stellarstream sync --follow"
    return "stellarstream sync --contract C… --follow"


def _fill_command(sync: SyncModel) -> str:
    return f"stellarstream sync --from {sync.gaps[0].from_} --to {sync.gaps[-1].to}"
