"""Metrics of the processes of a cluster, read from its run folder: the same whichever worker tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from stellarstream_core.api.cluster import ClusterView, ProcessView, WatcherView
from stellarstream_core.ops.health_rules import Kind

_WATCHER_GAUGES: tuple[tuple[str, str, Callable[[WatcherView], float | None]], ...] = (
    ("watcher_up", "Whether a kind of process is meant to run; 0 is one that was stopped.", lambda one: one.up),
    ("watcher_processes", "Processes of a kind that live.", lambda one: len(one.processes)),
    ("watcher_processes_ready", "Processes of a kind that take work.", lambda one: one.ready),
    ("watcher_processes_standby", "Processes that stand by for one on another machine.", lambda one: one.standby),
    ("watcher_processes_wanted", "Processes of a kind that there should be.", lambda one: one.wanted),
    ("watcher_backoff_seconds", "Until one that crashes again and again is started again.", lambda one: one.backoff),
    ("watcher_memory_limit_bytes", "Memory above which a process is replaced.", lambda one: one.memory_limit),
)
_PROCESS_GAUGES: tuple[tuple[str, str, Callable[[ProcessView], float | None]], ...] = (
    ("process_memory_bytes", "Resident memory at the health monitor's last look.", lambda one: one.memory),
    ("process_cpu_ratio", "Share of a core used between its last two looks.", lambda one: one.cpu_share),
    ("process_age_seconds", "Time since the process was started.", lambda one: one.age),
    ("process_heartbeat_age_seconds", "Time since its event loop last went round.", lambda one: one.beat_age),
)
_INDEXER_GAUGES: tuple[tuple[str, str, Callable[[ProcessView], float | None]], ...] = (
    ("indexer_ledger", "Last ledger that the indexer has looked at.", lambda one: one.ledger),
    ("indexer_watermark_ledger", "Ledger up to which the indexer's database lacks nothing.", lambda one: one.watermark),
    ("indexer_tip_ledger", "Newest ledger of the network, as the indexer was told it.", lambda one: one.tip),
    ("indexer_lag_seconds", "Seconds that the indexer is behind its network.", lambda one: one.lag),
)
EVERY_CLUSTER = ClusterView((WatcherView("", "", 0, (ProcessView(0, "", 0, 0, 0, 0, 0, 0, 0, 0),), 0, 0, 0),))
"""With nothing left out: for the names of all metrics."""


def cluster_metrics(prefix: str, view: ClusterView) -> Iterator[Metric]:
    """Yield the metrics of a cluster; what is not known is left out."""
    yield GaugeMetricFamily(
        f"{prefix}health_monitor_up", "Whether the health monitor looks at processes.", float(view.monitor is None)
    )
    alerts = CounterMetricFamily(f"{prefix}alerts", "Alerts of the health monitor.", labels=["kind"])
    for kind in sorted({*Kind, *view.counts}):  # none of a kind is told, too: then the first one is a rise
        alerts.add_metric([str(kind)], float(view.counts.get(kind, 0)))
    yield alerts
    restarts = CounterMetricFamily(
        f"{prefix}watcher_restarts", "Processes that ended by themselves and were started again.", labels=["watcher"]
    )
    for watcher in view.watchers:
        if watcher.restarts is not None:
            restarts.add_metric([watcher.name], float(watcher.restarts))
    yield restarts
    for name, text, of_watcher in _WATCHER_GAUGES:
        gauge = GaugeMetricFamily(f"{prefix}{name}", text, labels=["watcher"])
        for watcher in view.watchers:
            if (value := of_watcher(watcher)) is not None:
                gauge.add_metric([watcher.name], float(value))
        yield gauge
    for name, text, of_process in _PROCESS_GAUGES:
        gauge = GaugeMetricFamily(f"{prefix}{name}", text, labels=["watcher", "pid"])
        for watcher in view.watchers:
            for process in watcher.processes:
                if (value := of_process(process)) is not None:
                    gauge.add_metric([watcher.name, str(process.pid)], float(value))
        yield gauge
    yield from _of_indexer(prefix, view.indexer)


def _of_indexer(prefix: str, indexer: ProcessView | None) -> Iterator[Metric]:
    for name, text, of_indexer in _INDEXER_GAUGES:
        gauge = GaugeMetricFamily(f"{prefix}{name}", text, labels=[])
        if indexer is not None and (value := of_indexer(indexer)) is not None:
            gauge.add_metric([], float(value))
        yield gauge
