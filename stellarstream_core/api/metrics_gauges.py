"""Gauges of plugins: read from the database when ``/metrics`` is asked for, all in one snapshot.

A plugin whose gauge raises, or yields what was not promised, is taken out, and the others are told. What is the
database's own trouble is nobody's fault: what could not be read is left out of that answer alone.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import peewee
from loguru import logger
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from stellarstream_core.api.database import Database
from stellarstream_core.api.flights import Flights
from stellarstream_core.api.metrics import PREFIX, Metrics
from stellarstream_core.errors import StellarStreamError
from stellarstream_core.hookspecs import GaugeSpec
from stellarstream_core.plugins import FAULTS
from stellarstream_core.runtime import Runtime

HOOK = "register_gauges"
READING_SECONDS = 5.0
"""How long a scrape waits for the gauges; whoever asks meanwhile waits for the same reading."""
MOST_SAMPLES = 1_000
"""Samples of one gauge: Prometheus keeps a series for each."""

_WRONG_STATEMENT = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY})


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of one gauge: its samples, or what its plugin did wrong; neither where the database has trouble."""

    gauge: GaugeSpec
    samples: Mapping[tuple[str, ...], float] | None = None
    fault: BaseException | None = None


class PluginGauges:
    """The gauges of one worker's plugins. ``now`` gives Unix seconds."""

    def __init__(
        self, runtime: Runtime, database: Database, metrics: Metrics, *, now: Callable[[], float] = time.time
    ) -> None:
        self._runtime = runtime
        self._database = database
        self._metrics = metrics
        self._taken = metrics.own_names
        self._now = now
        self._reading: Flights[None, list[Metric]] = Flights()

    def offered(self) -> list[GaugeSpec]:
        """Return what plugins offer; who offers a metric of the framework's own is taken out."""
        plugins = self._runtime.plugins
        taken = [name for name in plugins.gauges() if f"{PREFIX}{name}" in self._taken]
        for name in taken:
            plugins.blame(HOOK, name, ValueError(f"the metric {PREFIX}{name} is the framework's own"))
        return list(plugins.gauges().values())

    async def read(self) -> list[Metric]:
        """Return the gauges as they are now. What cannot be read is logged and left out; nothing is raised for it."""
        gauges = self.offered()
        if not gauges:
            return []
        try:
            async with asyncio.timeout(READING_SECONDS):
                return await self._reading.join(None, partial(self._read, gauges))
        except Exception as error:  # whatever it is: the rest is needed most when something is wrong
            reason = error.message if isinstance(error, StellarStreamError) else type(error).__name__
            logger.warning("metrics tell nothing of plugins: {}", reason)
            return []

    async def _read(self, gauges: Sequence[GaugeSpec]) -> list[Metric]:
        storage, now = self._database.storage, self._now()
        found = await self._database.run(storage.read, partial(_read_all, gauges, now))
        for one in found:
            if one.fault is not None:
                self._blame(one.gauge.name, one.fault)
        return [
            _metric(one.gauge, one.samples)
            for one in found
            if one.samples is not None and self._is_active(one.gauge.name)
        ]

    def _blame(self, name: str, fault: BaseException) -> None:
        owner = self._runtime.plugins.blame(HOOK, name, fault)
        if owner is not None:
            self._metrics.plugin_failed(owner.name)

    def _is_active(self, name: str) -> bool:
        owner = self._runtime.plugins.owner(HOOK, name)
        return owner is not None and owner.state == "active"


def _read_all(gauges: Sequence[GaugeSpec], now: float, database: peewee.Database) -> list[_Read]:
    return [_read_one(gauge, now, database) for gauge in gauges]


def _read_one(gauge: GaugeSpec, now: float, database: peewee.Database) -> _Read:
    """Read one gauge behind a savepoint: after a statement that failed, PostgreSQL answers no other without one."""
    try:
        with database.atomic():
            return _Read(gauge, _samples(gauge, now, database))
    except peewee.PeeweeException as error:
        execute: Any = database.execute_sql  # peewee's stubs leave it untyped
        execute("SELECT 1")  # where the connection is lost this raises, and nothing can be told
        if _is_trouble(error):
            logger.warning("the gauge {} cannot be read now: {}", gauge.name, type(error).__name__)
            return _Read(gauge)
        return _Read(gauge, fault=error)
    except FAULTS as error:  # a plugin may raise anything
        return _Read(gauge, fault=error)


def _samples(gauge: GaugeSpec, now: float, database: peewee.Database) -> dict[tuple[str, ...], float]:
    """Return what a gauge yields. Raises ``TypeError`` and ``ValueError`` where that is not what was promised."""
    samples: dict[tuple[str, ...], float] = {}
    for labels, number in gauge.read(database, now):
        if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
            raise TypeError(f"the gauge {gauge.name!r} has a number whose labels are no texts: {labels!r:.100}")
        if len(labels) != len(gauge.labels):
            raise ValueError(f"the gauge {gauge.name!r} has {len(labels)} labels where {len(gauge.labels)} are due")
        if isinstance(number, bool) or not isinstance(number, int | float | Decimal):  # PostgreSQL adds up to Decimal
            raise TypeError(f"the gauge {gauge.name!r} has {type(number).__name__} where a number is due")
        if labels in samples:
            raise ValueError(f"the gauge {gauge.name!r} has two numbers for {labels!r:.100}")
        if len(samples) == MOST_SAMPLES:
            raise ValueError(f"the gauge {gauge.name!r} has more than {MOST_SAMPLES} numbers")
        "".join(labels).encode()  # half of a surrogate pair would spoil the whole answer
        samples[labels] = float(number)
    return samples


def _is_trouble(error: BaseException | None) -> bool:
    """Tell whether the database failed, by itself or in what was undone after it, and not the statement.

    SQLite calls a wrong statement operational, too, but by codes of its own.
    """
    while error is not None:
        if isinstance(error, peewee.OperationalError | peewee.InterfaceError):
            code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
            if code is None or code & 0xFF not in _WRONG_STATEMENT:
                return True
        error = error.__context__
    return False


def _metric(gauge: GaugeSpec, samples: Mapping[tuple[str, ...], float]) -> Metric:
    metric = GaugeMetricFamily(f"{PREFIX}{gauge.name}", gauge.help, labels=gauge.labels)
    for labels, number in samples.items():
        metric.add_metric(labels, number)
    return metric
