"""``/healthz/live`` and ``/healthz/ready``: whether this worker lives, and whether it can answer."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from pydantic import Field

from stellarstream_core.api.cluster import ClusterReader
from stellarstream_core.api.models import Nothing, Represented
from stellarstream_core.api.routes import NO_STORE, Answer, Call, Route
from stellarstream_core.api.service import ApiService
from stellarstream_core.api.sources import SourceState
from stellarstream_core.errors import StellarStreamError
from stellarstream_core.hookspecs import Health, HealthCheck
from stellarstream_core.plugins import FAULTS

CHECK_SECONDS = 2.0
"""How long a check of readiness may take; a supervisor asks every few seconds."""

Word = Literal["ready", "degraded", "unavailable"]


class Alive(Represented):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Check(Represented):
    """One check: fine or not, and a sentence that says what to do if not."""

    name: str
    ok: bool
    detail: str
    required: Annotated[bool, Field(description="whether this worker cannot answer without it")]


class Readiness(Represented):
    """Whether this worker can answer, and what is not as it should be."""

    status: Word
    checks: list[Check]


async def live(_call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /healthz/live``."""
    return Answer(Alive(), cache=NO_STORE)


async def ready(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /healthz/ready``."""
    readiness = await read_readiness(call.api)
    return Answer(readiness, status=503 if readiness.status == "unavailable" else 200, cache=NO_STORE)


async def read_readiness(api: ApiService) -> Readiness:
    """Run every check at the same time."""
    checks = api.runtime.plugins.health_checks()
    found = await asyncio.gather(
        _worker(api),
        _database(api),
        _live(api),
        _sources(api),
        _plugins(api),
        *([] if api.cluster is None else [_processes(api.cluster)]),
        *(_of_plugin(api, name, check) for name, check in checks.items()),
    )
    if any(check.required and not check.ok for check in found):
        word: Word = "unavailable"
    else:
        word = "ready" if all(check.ok for check in found) else "degraded"
    return Readiness(status=word, checks=list(found))


async def _worker(api: ApiService) -> Check:
    detail = "this worker is about to end" if api.draining else "takes requests"
    return Check(name="worker", ok=not api.draining, detail=detail, required=True)


async def _database(api: ApiService) -> Check:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            # past the pool: that it is busy is no reason to send requests elsewhere
            totals = await api.database.probe()
    except StellarStreamError as error:
        return Check(name="database", ok=False, detail=error.title, required=True)  # its message names hosts
    except TimeoutError:
        return Check(name="database", ok=False, detail=f"no answer within {CHECK_SECONDS:g} s", required=True)
    detail = f"events: {totals.events:,}"
    if totals.conflicts:
        detail += f", conflicts: {totals.conflicts:,}; run 'stellarstream status'"
    return Check(name="database", ok=not totals.conflicts, detail=detail, required=False)


async def _live(api: ApiService) -> Check:
    healthy = api.feed.healthy
    detail = f"at position {api.feed.position}" if healthy else "does not hear of commits; it connects again by itself"
    return Check(name="live-stream", ok=healthy, detail=detail, required=False)


async def _sources(api: ApiService) -> Check:
    states = await api.sources.look_closely(CHECK_SECONDS)
    if not states:
        return Check(name="sources", ok=False, detail=api.sources.tip.trouble or "none", required=False)
    faults = [f"{state.name}: {fault}" for state in states if (fault := _source_fault(state))]
    detail = "; ".join(faults) or ", ".join(state.name for state in states)
    return Check(name="sources", ok=not faults, detail=detail, required=False)


def _source_fault(state: SourceState) -> str | None:
    """Return what is wrong with a source; None where it answered lately."""
    if state.word == "unknown":
        return "not heard yet"
    if state.trouble is not None or state.is_recent:
        return state.trouble
    return f"not heard for {state.age:.0f} s"


async def _plugins(api: ApiService) -> Check:
    broken = [plugin.name for plugin in api.runtime.plugins.broken]
    detail = f"broken and left out: {', '.join(broken)}" if broken else "none is broken"
    return Check(name="plugins", ok=not broken, detail=detail, required=False)


async def _processes(cluster: ClusterReader) -> Check:
    view = await asyncio.to_thread(cluster.read)
    well = ", ".join(f"{one.name}: {one.word}" for one in view.watchers if one.processes)
    return Check(name="processes", ok=not view.troubles, detail="; ".join(view.troubles) or well, required=False)


async def _of_plugin(api: ApiService, name: str, check: HealthCheck) -> Check:
    owner = api.runtime.plugins.owner("health_checks", name)
    label = f"plugin {owner.name if owner else '?'}: {name}"
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            health = await check.run(api.settings)
        if not isinstance(health, Health):
            raise TypeError(f"it returned {type(health).__name__}, not Health")
        return Check(name=label, ok=bool(health.ok), detail=str(health.detail), required=False)
    except TimeoutError:
        return Check(name=label, ok=False, detail=f"no answer within {CHECK_SECONDS:g} s", required=False)
    except FAULTS as error:  # a plugin's check may raise anything
        return Check(name=label, ok=False, detail=f"the check itself failed: {type(error).__name__}", required=False)


ROUTES = (
    Route(
        method="GET",
        path="/healthz/live",
        base="",
        handler=live,
        answer=Alive,
        limited=False,
        summary="Is this process alive?",
    ),
    Route(
        method="GET",
        path="/healthz/ready",
        base="",
        handler=ready,
        answer=Readiness,
        limited=False,
        summary="Can this worker answer?",
        description=(
            "503 only when this worker cannot answer. A broken plugin, a source that is down or a conflict is 200 "
            "with status 'degraded'."
        ),
        also={503: Readiness},
    ),
)
