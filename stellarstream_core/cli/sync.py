"""``stellarstream sync``: fetch events into the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import click

from stellarstream_core.cli.following import Following
from stellarstream_core.cli.options import contract_option, database_option, json_option, runtime
from stellarstream_core.cli.output import plural, print_gaps, print_json, say
from stellarstream_core.cli.progress import sync_progress
from stellarstream_core.cli.stopping import StopOnSignals
from stellarstream_core.errors import ExitCode, UsageError
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Source, SourceSpec
from stellarstream_core.sync.bounds import parse_bound
from stellarstream_core.sync.report import SyncReport
from stellarstream_core.sync.run import SyncRequest, SyncRun


@click.command()
@click.option(
    "--from",
    "first",
    metavar="L|last|-N",
    default="last",
    show_default=True,
    help="First ledger; 'last' goes on after what is complete; -1000 means the last 1,000 ledgers.",
)
@click.option(
    "--to",
    "last",
    metavar="L|latest",
    default="latest",
    show_default=True,
    help="Last ledger; 'latest' is the source's tip when the command starts.",
)
@contract_option("Contract to index; may be given several times; '*' is everything. Overrides 'contracts'.")
@click.option(
    "--source", "sources", metavar="NAME", multiple=True, help="Source to use; several in order of preference."
)
@click.option("--horizon", is_flag=True, help="Short for --source horizon.")
@click.option("--follow", is_flag=True, help="Go on with each new ledger; with a numeric --to, until that ledger.")
@click.option(
    "--verify",
    is_flag=True,
    help="Read again and prove, behind the tip, what is covered without proof; from any source that can.",
)
@click.option(
    "--no-proof", is_flag=True, help="Do not check the hashes of whole ledgers: faster, 'verify' can make up for it."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Ranges fetched side by side."
)
@database_option
@json_option
@click.pass_context
def sync(
    ctx: click.Context,
    first: str,
    last: str,
    contracts: tuple[str, ...],
    sources: tuple[str, ...],
    horizon: bool,
    follow: bool,
    verify: bool,
    no_proof: bool,
    workers: int,
    database: str | None,
    as_json: bool,
) -> None:
    """Fetch every event of contracts into the database, each exactly once.

    Only what is missing is fetched: running it twice fetches nothing the second time, and a run that
    was killed is completed by running it again.

    \b
    stellarstream sync --contract C… --from 1200000 --to 1250000
    stellarstream sync --contract C… --from -1000 --follow

    What plugins project from events (streams, for one) is folded beside the fetching and is at its end
    when the command ends; 'project' does that by itself.

    Exit code 3 means that some ledgers could not be had; they are named, and a later run fills them.

    SIGHUP makes 'sync --follow' finish the window in flight and execute itself again, the same command in
    the same process, so that it runs the code that is installed now. One that was started from a terminal
    ends on SIGHUP, as ever: there it says that the terminal was closed. SIGTERM and Ctrl-C end it within
    5 seconds.
    """
    following = Following(follow=follow)
    bounds = parse_bound(first, "last", relative=True), parse_bound(last, "latest")
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise UsageError(f"--from {first} comes after --to {last}.", help="Swap them.")
    names = (*sources, *(["horizon"] if horizon else []))
    if verify and no_proof:
        raise UsageError("--verify and --no-proof contradict each other.", help="Leave one out.")
    found = runtime(ctx, database_url=database, prove=False if no_proof else None)
    scope = found.scope(contracts)
    request = SyncRequest(*bounds, scope, follow, workers, found.settings.start_ledger, verify)
    with StopOnSignals(following.renewal) as stopping:
        report = following.run(lambda: _run(found, request, names, stopping, following))
        if as_json:
            print_json(report.to_json())
        else:
            _tell(report)
    if report.exit_code is not ExitCode.OK:
        ctx.exit(report.exit_code)


async def _run(
    found: Runtime, request: SyncRequest, names: Sequence[str], stopping: StopOnSignals, following: Following
) -> SyncReport:
    stop = stopping.event()
    specs = found.source_specs(names)  # a misspelt name is told before a database is made
    async with following.present(found.settings, stop):
        return await following.going_on(lambda: _sync(found, request, names, specs, stop, following), stop)


async def _sync(
    found: Runtime,
    request: SyncRequest,
    names: Sequence[str],
    specs: Sequence[SourceSpec],
    stop: asyncio.Event,
    following: Following,
) -> SyncReport:
    # the database's drivers come with it: signals are heeded before they are there
    from stellarstream_core.projection.opening import open_projectors  # noqa: PLC0415

    async with AsyncExitStack() as opened:
        storage = await following.opened(partial(found.open_storage, create=True))
        opened.callback(storage.close)
        sources = await found.open_sources(names, request.scope)
        for source in sources:
            opened.push_async_callback(source.close)
        provers = await _provers(found, specs, request.scope) if request.verify else []
        for source in provers:
            opened.push_async_callback(source.close)
        sinks = found.plugins.sinks(found.settings)
        projectors = await opened.enter_async_context(open_projectors(found, storage))
        progress = following.watched(opened.enter_context(sync_progress()))
        await opened.enter_async_context(progress.telling(storage, request.scope))
        passphrase = found.settings.passphrase
        run = SyncRun(request, storage, sources, passphrase, progress, sinks, provers, projectors)
        run.stand_by, run.heard = following.stand_by, progress.heard
        return await run.execute(stop)


async def _provers(found: Runtime, named: Sequence[SourceSpec], scope: Scope) -> list[Source]:
    """Build the sources that ``--verify`` reads: those named that can prove, else all configured ones that can."""
    names = [spec.name for spec in named if spec.capabilities.provable]
    if not any(spec.capabilities.provable for spec in (*named, *found.source_specs((), scope))):
        raise UsageError(
            "No configured source can prove what it says, so there is nothing to verify with.",
            help="Configure whole ledgers: lake_url, horizon_url, or a Soroban RPC node with getLedgers.",
        )
    proving = found.with_flags({"prove": True})
    return await proving.open_sources(
        names, scope, lambda specs: [spec for spec in specs if spec.capabilities.provable]
    )


def _tell(report: SyncReport) -> None:
    coverage, counts = report.coverage, report.counts
    known = f", {counts.known:,} known" if counts.known else ""
    state = "covered" if not coverage.gaps else f"{coverage.covered.size:,} of {coverage.wanted.size:,} ledgers covered"
    say(f"ledgers {coverage.wanted}: {state}, {plural(counts.new, 'new event')}{known} in {report.seconds:.1f} s")
    if counts.conflicts:
        differ = "event differs" if counts.conflicts == 1 else "events differ"
        say(
            f"{counts.conflicts:,} {differ} from what is stored; nothing was overwritten (see 'stellarstream status').",
            err=True,
        )
    proven, covered = coverage.proven.size, coverage.covered.size
    if covered:
        say(f"evidence: {plural(proven, 'ledger')} proven, {covered - proven:,} scanned; sources: {_sources(report)}")
    if (found := report.findings) is not None and found.contradicts:
        say(f"verified: {found.summary} (see 'stellarstream verify')", err=True)
    if found is not None and found.added:
        say(f"verified: {plural(found.added.count, 'event')} added that the first source had left out")
    print_gaps(coverage.gaps, err=True)


def _sources(report: SyncReport) -> str:
    return ", ".join(f"{name} {ranges.size:,}" for name, ranges in sorted(report.coverage.sources.items()))
