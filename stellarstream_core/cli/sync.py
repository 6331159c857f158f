"""``stellarstream sync``: fetch events into the database."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from stellarstream_core.cli.options import contract_option, database_option, json_option, runtime
from stellarstream_core.cli.output import plural, print_gaps, print_json
from stellarstream_core.cli.progress import sync_progress
from stellarstream_core.errors import ExitCode, UsageError
from stellarstream_core.runtime import Runtime
from stellarstream_core.sync.bounds import parse_bound
from stellarstream_core.sync.report import SyncReport
from stellarstream_core.sync.run import SyncRequest, SyncRun

GRACE_SECONDS = 4.5
"""After a signal the process ends within five seconds, whatever the database or the network does."""


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
    workers: int,
    database: str | None,
    as_json: bool,
) -> None:
    r"""Fetch every event of contracts into the database, each exactly once.

    Only what is missing is fetched: running it twice fetches nothing the second time, and a run that
    was killed is completed by running it again.

    \b
    stellarstream sync --contract C… --from 1200000 --to 1250000
    stellarstream sync --contract C… --from -1000 --follow

    Exit code 3 means that some ledgers could not be had; they are named, and a later run fills them.
    """
    bounds = parse_bound(first, "last", relative=True), parse_bound(last, "latest")
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise UsageError(f"--from {first} comes after --to {last}.", help="Swap them.")
    names = (*sources, *(["horizon"] if horizon else []))
    found = runtime(ctx, database_url=database)
    scope = found.scope(contracts)
    request = SyncRequest(*bounds, scope, follow, workers, found.settings.start_ledger)
    report = asyncio.run(_run(found, request, names))
    if as_json:
        print_json(report.to_json())
    else:
        _tell(report)
    if report.exit_code is not ExitCode.OK:
        ctx.exit(report.exit_code)


async def _run(found: Runtime, request: SyncRequest, names: Sequence[str]) -> SyncReport:
    specs = found.source_specs(names)
    storage = found.open_storage(create=True)
    opened = [await spec.open(found.settings) for spec in specs]
    sinks = found.plugins.sinks(found.settings)
    stop = asyncio.Event()
    try:
        with _signals_set(stop), sync_progress() as progress:
            run = SyncRun(request, storage, opened, found.settings.passphrase, progress, sinks)
            return await run.execute(stop)
    finally:
        for source in opened:
            await source.close()
        storage.close()


@contextmanager
def _signals_set(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set ``stop``; a process that does not end in time is ended."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if not stop.is_set():
            stop.set()
            # an open transaction rolls back by itself, so leaving late work behind loses nothing
            late = threading.Timer(GRACE_SECONDS, os._exit, [int(ExitCode.INCOMPLETE)])
            late.daemon = True
            late.start()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _tell(report: SyncReport) -> None:
    coverage, counts = report.coverage, report.counts
    known = f", {counts.known:,} known" if counts.known else ""
    state = "covered" if not coverage.gaps else f"{coverage.covered.size:,} of {coverage.wanted.size:,} ledgers covered"
    click.echo(
        f"ledgers {coverage.wanted}: {state}, {plural(counts.new, 'new event')}{known} in {report.seconds:.1f} s"
    )
    if counts.conflicts:
        click.echo(
            f"{plural(counts.conflicts, 'event')} differ from what is stored; nothing was overwritten "
            "(see 'stellarstream status').",
            err=True,
        )
    print_gaps(coverage.gaps, err=True)
