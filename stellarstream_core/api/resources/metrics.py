"""``/metrics``: this deployment's numbers for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import hdrs
from prometheus_client.metrics_core import Metric

from stellarstream_core.api.metrics import Facts
from stellarstream_core.api.metrics_facts import ProjectionFacts
from stellarstream_core.api.models import Nothing
from stellarstream_core.api.routes import NO_STORE, Answer, Call, Route
from stellarstream_core.api.service import ApiService
from stellarstream_core.api.sync_reader import SyncReading
from stellarstream_core.errors import StellarStreamError

MEDIA_TYPE = "text/plain"


async def metrics(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /metrics``; where the database does not answer, or a plugin fails, the rest is told."""
    api = call.api
    found: SyncReading | StellarStreamError
    try:
        found = await api.sync.read()
    except StellarStreamError as error:
        found = error
    gauges = await api.gauges.read() if isinstance(found, SyncReading) else []
    api.metrics.set_broken_plugins(len(api.runtime.plugins.broken))
    accept = call.request.headers.get(hdrs.ACCEPT, "")
    body, media_type = await asyncio.to_thread(_render, api, accept, found, gauges)
    return Answer(body, cache=NO_STORE, headers={hdrs.CONTENT_TYPE: media_type})


def _render(
    api: ApiService, accept: str, found: SyncReading | StellarStreamError, gauges: Sequence[Metric]
) -> tuple[bytes, str]:
    cluster = api.cluster.read() if api.cluster is not None else None
    return api.metrics.render(accept, lambda: _facts(found), gauges, cluster)


def _facts(found: SyncReading | StellarStreamError) -> Facts:
    if isinstance(found, StellarStreamError):
        raise found
    sync = found.model
    return Facts(
        watermark=sync.watermark,
        tip=sync.tip,
        lag_seconds=sync.lag_seconds,
        events=sync.events,
        conflicts=sync.conflicts,
        position=sync.position,
        gaps=found.gaps,
        retention=found.margin,
        sources={source.name: source.state == "up" for source in sync.sources if source.state != "unknown"},
        projections={
            one.name: ProjectionFacts(
                position=one.position,
                behind=one.behind,
                as_of_ledger=one.as_of_ledger,
                up=one.trouble is None,
                rebuilding=one.rebuilding,
                unknown_events=one.unknown.events,
            )
            for one in sync.projections
        },
    )


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        base="",
        handler=metrics,
        media_type=MEDIA_TYPE,
        limited=False,
        summary="Metrics for Prometheus",
        description="Requests, live readers and the like of all workers of this machine, how far the database is, the "
        "gauges of plugins, and, of a supervised service, all its processes.",
    ),
)
