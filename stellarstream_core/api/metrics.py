"""What the service tells of itself at ``/metrics``, in Prometheus' text format, right with several workers.

One worker counts in memory. Workers that share a socket count in a folder (``metrics_folder.py``), for a
scrape reaches any one of them and must hear of all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from loguru import logger
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from stellarstream_core import __version__
from stellarstream_core.api.cluster import ClusterView
from stellarstream_core.api.metrics_cluster import EVERY_CLUSTER, cluster_metrics
from stellarstream_core.api.metrics_facts import EVERY_FACT, Facts, facts_metrics
from stellarstream_core.api.metrics_folder import MetricsFolder
from stellarstream_core.errors import StellarStreamError

__all__ = ["PREFIX", "Facts", "Metrics"]

PREFIX = "stellarstream_"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets that answers are counted in."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
"""How the methods that clients invent are counted: each label value is kept for ever."""

_SAMPLES = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_sum", "_count", "_created")}
"""Ends of samples' names, by the type of a metric, beside its own name."""
_ENVIRONMENT = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The counters of one worker. One at a time may have a folder in a process, and no fork may share it."""

    def __init__(self, folder: MetricsFolder | None = None) -> None:
        self._folder = folder
        # where values are kept is chosen when a metric is made, also one that is made for a new label later
        disable_created_metrics()  # type: ignore[no-untyped-call]
        values.ValueClass = values.MutexValue
        if folder is not None:
            os.environ[_ENVIRONMENT] = str(folder.path)
            worker = folder.worker
            values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
        self._made: list[MetricWrapperBase] = []
        self._requests = self._counter("http_requests", "Requests answered.", "method", "route", "status")
        self._seconds = Histogram(
            f"{PREFIX}http_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=None
        )
        self._made.append(self._seconds)
        self._in_flight = self._gauge("http_requests_in_flight", "Requests being answered.", "livesum")
        self._limited = self._counter("http_requests_limited", "Requests refused for their rate.")
        self._readers = self._gauge("live_readers", "Open live streams.", "livesum")
        self._dropped = self._counter("live_readers_dropped", "Live streams ended by the service.", "reason")
        self._pushed = self._counter("live_events_pushed", "Events sent to live streams, once a reader.")
        self._waits = self._counter("database_waits", "Requests that waited for a database thread.")
        self._rejections = self._counter("database_rejections", "Requests refused for want of a database thread.")
        self._plugin_errors = self._counter("plugin_errors", "Failures of plugins.", "plugin")
        self._broken = self._gauge("plugins_broken", "Plugins that are switched off after a failure.", "livemax")
        self._request_children: dict[tuple[str, str, int], Counter] = {}
        self._seconds_children: dict[str, Histogram] = {}
        self._registry = CollectorRegistry()
        for metric in self._made if folder is None else ():
            self._registry.register(metric)

    @classmethod
    def open(cls, folder: Path | None) -> Metrics:
        """Count in a folder shared with other workers, or in memory with None.

        A folder that cannot be used is logged, and this worker counts for itself.
        """
        if folder is None:
            return cls()
        try:
            return cls(MetricsFolder.open(folder))
        except (OSError, StellarStreamError) as error:
            reason = getattr(error, "strerror", None) or error
            logger.warning("metrics cannot be shared ({}: {}): each worker tells its own", folder, reason)
            return cls()

    @property
    def own_names(self) -> frozenset[str]:
        """The names of all metrics and samples that are the framework's own."""
        metrics = [metric for made in self._made for metric in made.describe()]
        metrics += [*facts_metrics(PREFIX, EVERY_FACT), *cluster_metrics(PREFIX, EVERY_CLUSTER), _build()]
        return frozenset(metric.name + end for metric in metrics for end in ("", *_SAMPLES.get(metric.type, ())))

    @property
    def shared(self) -> bool:
        """Whether other workers' counts are told too."""
        return self._folder is not None

    # --- requests -------------------------------------------------------------------------------

    def request_started(self) -> None:
        """Count a request as being answered, until :meth:`request_ended`."""
        self._in_flight.inc()

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer. ``route`` is the route's template, never a path: paths are without number."""
        self._in_flight.dec()
        key = (method, route, status)
        counter = self._request_children.get(key)
        if counter is None:
            name = method if method in METHODS else OTHER_METHOD
            counter = self._requests.labels(name, route, status)
            if name == method:
                self._request_children[key] = counter
        counter.inc()
        histogram = self._seconds_children.get(route)
        if histogram is None:
            histogram = self._seconds_children[route] = self._seconds.labels(route)
        histogram.observe(seconds)

    def rate_limited(self) -> None:
        """Count a request that was refused for its client's rate."""
        self._limited.inc()

    # --- live streams ---------------------------------------------------------------------------

    def reader_opened(self) -> None:
        """Count a live stream as open, until :meth:`reader_closed`."""
        self._readers.inc()

    def reader_closed(self) -> None:
        """Count a live stream as open no more, whoever ended it."""
        self._readers.dec()

    def reader_dropped(self, reason: str) -> None:
        """Count a live stream that the service ended, by a reason from a fixed list such as ``too-slow``."""
        self._dropped.labels(reason).inc()

    def events_pushed(self, count: int) -> None:
        """Count events sent to live streams: one event to ten readers is ten."""
        self._pushed.inc(count)

    # --- database and plugins -------------------------------------------------------------------

    def database_waited(self) -> None:
        """Count a request that found all database threads in use and waited."""
        self._waits.inc()

    def database_rejected(self) -> None:
        """Count a request that was refused because no database thread became free."""
        self._rejections.inc()

    def plugin_failed(self, plugin: str) -> None:
        """Count a failure of a plugin."""
        self._plugin_errors.labels(plugin).inc()

    def set_broken_plugins(self, count: int) -> None:
        """Say how many plugins this worker has switched off."""
        self._broken.set(count)

    # --- telling --------------------------------------------------------------------------------

    def render(
        self,
        accept: str | None = None,
        facts: Facts | Callable[[], Facts] | None = None,
        gauges: Sequence[Metric] = (),
        cluster: ClusterView | None = None,
    ) -> tuple[bytes, str]:
        """Return the metrics of all workers and their content type, OpenMetrics where ``accept`` asks for it.

        ``facts`` are those of the database, or a function that reads them; where it fails the answer
        says so and tells the rest. ``gauges`` are those of plugins, ``cluster`` is that of a supervised worker.
        Takes milliseconds, and may wait for another worker that does the same: call it in a thread. Raises
        ``OSError`` where the folder cannot be read.
        """
        told = list(gauges)
        if facts is not None:
            told += facts_metrics(PREFIX, facts if isinstance(facts, Facts) else _read(facts))
        if cluster is not None:
            told += cluster_metrics(PREFIX, cluster)
        if self._folder is None:
            told += self._registry.collect()
        else:
            with self._folder.files() as files:
                told += _merged(files)
        told.append(_build())
        open_metrics = "application/openmetrics-text" in (accept or "").lower()
        encode, content_type = choose_encoder("application/openmetrics-text" if open_metrics else "")
        told.sort(key=lambda metric: metric.name)
        return encode(_Told(told)), content_type

    def close(self) -> None:
        """Leave the folder; what was counted stays there. Safe to call twice."""
        if self._folder is not None:
            self._folder.close()
            if os.environ.get(_ENVIRONMENT) == str(self._folder.path):
                del os.environ[_ENVIRONMENT]
                values.ValueClass = values.MutexValue

    # --- making ---------------------------------------------------------------------------------

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        counter = Counter(f"{PREFIX}{name}", text, labels, registry=None)
        self._made.append(counter)
        return counter

    def _gauge(self, name: str, text: str, mode: str) -> Gauge:
        gauge = Gauge(f"{PREFIX}{name}", text, registry=None, multiprocess_mode=mode)  # type: ignore[arg-type]
        self._made.append(gauge)
        return gauge


class _Told:
    """Metrics that were collected, as what the encoders take."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _read(facts: Callable[[], Facts]) -> Facts | None:
    try:
        return facts()
    except Exception as error:  # whatever it is: the rest is needed most when something is wrong
        reason = error.message if isinstance(error, StellarStreamError) else type(error).__name__
        logger.warning("metrics tell nothing of the database: {}", reason)
        return None


def _merged(files: Sequence[Path]) -> Iterator[Metric]:
    yield from MultiProcessCollector.merge([str(file) for file in files])  # type: ignore[no-untyped-call]


def _build() -> Metric:
    build = GaugeMetricFamily(f"{PREFIX}build_info", "The version that runs; the value is 1.", labels=["version"])
    build.add_metric([__version__], 1.0)
    return build
