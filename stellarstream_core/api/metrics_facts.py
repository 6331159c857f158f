"""Metrics that are facts of the database: the same whichever worker tells them, read when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from stellarstream_core.sync.retention import Margin


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionFacts:
    """How far a projection is; ``behind`` is in commits, ``up`` is False for one that stopped."""

    position: int
    behind: int
    as_of_ledger: int | None
    up: bool
    rebuilding: bool
    unknown_events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the deployment; None is left out of the answer.

    ``watermark`` and ``tip`` are ledgers, ``lag_seconds`` about how long the ledgers between them took to close,
    ``gaps`` the number of ranges that are missing, ``retention`` how close what is yet to be fetched is to being
    lost. ``sources`` says of each source whether it answers, ``projections`` how far each is, by its name.
    """

    watermark: int | None = None
    tip: int | None = None
    lag_seconds: float | None = None
    events: int | None = None
    conflicts: int | None = None
    position: int | None = None
    gaps: int | None = None
    retention: Margin | None = None
    sources: Mapping[str, bool] = field(default_factory=dict)
    projections: Mapping[str, ProjectionFacts] = field(default_factory=dict)

    @property
    def lag_ledgers(self) -> int | None:
        """How many ledgers the watermark is behind the tip."""
        if self.watermark is None or self.tip is None:
            return None
        return max(0, self.tip - self.watermark)


EVERY_FACT = Facts(
    watermark=0,
    tip=0,
    lag_seconds=0,
    events=0,
    conflicts=0,
    position=0,
    gaps=0,
    retention=Margin(0, "", 0, 1, 0.0),
    sources={"": True},
)
"""With nothing left out: for the names of all metrics."""

_GAUGES = (
    ("watermark", "watermark_ledger", "Last ledger of the unbroken coverage."),
    ("tip", "tip_ledger", "Newest ledger of the network that is known of."),
    ("lag_ledgers", "lag_ledgers", "Ledgers from the watermark to the tip."),
    ("lag_seconds", "lag_seconds", "Seconds from the watermark's ledger to the tip, by the pace of ledgers."),
    ("conflicts", "event_conflicts", "Events that a source told differently from what is stored."),
    ("position", "commit_position", "Position of the last commit."),
    ("gaps", "gaps", "Ranges of wanted ledgers that are missing."),
)


_RETENTION_GAUGES = (
    ("left", "ledgers", "Ledgers to close until one that is yet to be fetched leaves the last source that has it."),
    ("seconds", "seconds", "About how long those ledgers take to close."),
    ("ratio", "ratio", "Those ledgers as a share of all that the source keeps."),
)


_PROJECTION_GAUGES = (
    ("position", "position", "Position of the last commit that the projection has folded."),
    ("behind", "lag_commits", "Commits that the projection has yet to fold."),
    ("as_of_ledger", "ledger", "Ledger up to which all of the projection's contracts are folded."),
    ("up", "up", "Whether the projection goes on; 0 is one that stopped."),
    ("rebuilding", "rebuilding", "Whether the projection is being built anew."),
    ("unknown_events", "unknown_events", "Events of the projection's contracts whose shape it does not know."),
)


def facts_metrics(prefix: str, facts: Facts | None) -> Iterator[Metric]:
    """Yield the metrics of the facts; None is a database that did not answer."""
    yield GaugeMetricFamily(f"{prefix}database_up", "Whether the database answered.", float(facts is not None))
    if facts is None:
        return
    for attribute, name, text in _GAUGES:
        if (value := getattr(facts, attribute)) is not None:
            yield GaugeMetricFamily(f"{prefix}{name}", text, float(value))
    if facts.events is not None:
        yield CounterMetricFamily(f"{prefix}events_stored", "Events stored.", float(facts.events))
    for attribute, name, text in _RETENTION_GAUGES:
        gauge = GaugeMetricFamily(f"{prefix}retention_margin_{name}", text, labels=["source"])
        if facts.retention is not None:
            gauge.add_metric([facts.retention.source], float(getattr(facts.retention, attribute)))
        yield gauge
    if facts.sources:
        up = GaugeMetricFamily(f"{prefix}source_up", "Whether a source answers.", labels=["source"])
        for source, answers in sorted(facts.sources.items()):
            up.add_metric([source], float(answers))
        yield up
    for attribute, name, text in _PROJECTION_GAUGES:
        gauge = GaugeMetricFamily(f"{prefix}projection_{name}", text, labels=["projection"])
        for projection, told in sorted(facts.projections.items()):
            if (value := getattr(told, attribute)) is not None:
                gauge.add_metric([projection], float(value))
        yield gauge  # without a projection, too: who watches for it finds its name
