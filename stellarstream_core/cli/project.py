"""``stellarstream project``: fold what is committed into the projections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from difflib import get_close_matches
from time import monotonic
from typing import Any

import click

from stellarstream_core.cli.options import database_option, json_option, runtime
from stellarstream_core.cli.output import plural, print_json, say
from stellarstream_core.cli.projecting import projection_progress
from stellarstream_core.cli.stopping import StopOnSignals
from stellarstream_core.errors import ExitCode, UsageError
from stellarstream_core.projection.opening import open_projectors
from stellarstream_core.projection.running import Projectors, Running
from stellarstream_core.projection.status import ProjectionState, read_projections
from stellarstream_core.runtime import Runtime
from stellarstream_core.sync.run import until_stopped


@click.command()
@click.option(
    "--rebuild",
    metavar="NAME",
    multiple=True,
    help="Throw away what this projection has folded and build it anew; may be given several times.",
)
@database_option
@json_option
@click.pass_context
def project(ctx: click.Context, rebuild: tuple[str, ...], database: str | None, as_json: bool) -> None:
    """Fold the stored events into what plugins project from them: streams, for one.

    'sync' does this beside the fetching, so it is needed only after a plugin was installed, a setting of
    one was changed, or a projection stopped over a fault. Nothing is fetched; each projection goes on
    where it is, and one that was built under other rules is built again by itself, from the first
    commit. It may run beside a 'sync', and may be killed: run it again to go on.

    \b
    stellarstream project
    stellarstream project --rebuild nebula

    Exit code 3 means that a projection stopped over a fault (it is named) or that the command was
    stopped before the end.
    """
    found = runtime(ctx, database_url=database)
    with StopOnSignals() as stopping:
        facts = asyncio.run(_run(found, rebuild, stopping))
        if as_json:
            print_json(facts)
        else:
            _tell(facts)
    if not all(one["done"] for one in facts["projections"]):
        ctx.exit(ExitCode.INCOMPLETE)


async def _run(found: Runtime, rebuild: Iterable[str], stopping: StopOnSignals) -> dict[str, Any]:
    stop = stopping.event()
    began = monotonic()
    _refuse_unknown(rebuild, found.plugins.projections())
    async with AsyncExitStack() as opened:
        storage = await asyncio.to_thread(found.open_storage)
        opened.callback(storage.close)
        projectors = await opened.enter_async_context(open_projectors(found, storage, strict=True))
        running = {one.name: one for one in projectors.running}
        _refuse_unconfigured(rebuild, running)
        progress = opened.enter_context(projection_progress())

        async def work() -> None:
            for name in rebuild:
                await projectors.in_thread(running[name].projector.rebuild)
            await projectors.finish(progress.projecting)

        await until_stopped(work(), stop)
        states = await asyncio.to_thread(read_projections, storage, list(running))
    return {"projections": _facts(projectors, states), "seconds": round(monotonic() - began, 3)}


def _facts(projectors: Projectors, states: Iterable[ProjectionState]) -> list[dict[str, Any]]:
    known = {state.name: state for state in states}
    return [_fact(one, known.get(one.name)) for one in projectors.running]


def _fact(one: Running, state: ProjectionState | None) -> dict[str, Any]:
    done = one.stopped is None and state is not None and not (state.behind or state.folding or state.coming)
    facts = state.to_json() if state is not None else {"name": one.name}
    return facts | {"trouble": one.stopped, "done": done, "events": one.events, "entries": one.entries}


def _refuse_unknown(asked: Iterable[str], offered: Iterable[str]) -> None:
    names = sorted(offered)
    for name in asked:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise UsageError(f"There is no projection {name!r} (there are: {', '.join(names) or 'none'}).{hint}")


def _refuse_unconfigured(asked: Iterable[str], running: Iterable[str]) -> None:
    for name in asked:
        if name not in set(running):
            raise UsageError(
                f"Nothing is configured for the projection {name!r}.",
                help="Run 'stellarstream config show' to see its plugin's settings.",
            )


def _tell(facts: dict[str, Any]) -> None:
    if not facts["projections"]:
        say("no projection is configured: nothing to do")
    for one in facts["projections"]:
        if one["trouble"]:
            say(f"{one['name']} stopped: {one['trouble']}", err=True)
        elif not one["done"]:
            say(f"{one['name']}: stopped before the end; run the same command again to go on", err=True)
        else:
            upto = f"as of ledger {one['asOfLedger']:,}" if one["asOfLedger"] else "no ledger is covered yet"
            new = f"{plural(one['events'], 'event')} taken in"
            say(f"{one['name']}: up to the last commit ({one['position']:,}), {upto}; {new}")
        unknown = one.get("unknown", {"events": 0})
        if unknown["events"]:
            say(f"  {plural(unknown['events'], 'event')} of a shape that is not known:", err=True)
            for shape in unknown["shapes"]:
                say(f"    {shape['contract']} {shape['shape']}: {shape['count']:,}", err=True)
