"""``stellarstream verify``: read ledgers again from a source that can prove them, and compare."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import click

from stellarstream_core.cli.gaps import asked_range
from stellarstream_core.cli.options import bounds_options, contract_option, database_option, json_option, runtime
from stellarstream_core.cli.output import plural, print_gaps, print_json, say
from stellarstream_core.cli.progress import sync_progress
from stellarstream_core.cli.stopping import StopOnSignals
from stellarstream_core.errors import ExitCode, SyncInterruptedError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Storage
from stellarstream_core.sync.findings import Unproven, VerifyReport
from stellarstream_core.sync.plan import provable_first
from stellarstream_core.sync.verification import Verification

SHOWN = 10
"""Items of each kind shown to a person; ``--json`` has more."""

MEANING = {
    "proven": "every hash holds and what is stored is equal",
    "matching": "what is stored is equal to what was read again; not all of it can be proven",
    "incomplete": "something is missing, or could not be read again",
    "different": "something is not what the network agreed on",
}


@click.command()
@bounds_options(
    "First ledger. Default: the first ever wanted or stored.", "Last ledger. Default: the last covered one."
)
@contract_option("Contract to verify. Default: the configured ones, else all that were ever synced.")
@click.option(
    "--source", "sources", metavar="NAME", multiple=True, help="Source to read again; several in order of preference."
)
@click.option("--repair", is_flag=True, help="Add events that are missing and upgrade evidence; overwrites nothing.")
@database_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    first: int | None,
    last: int | None,
    contracts: tuple[str, ...],
    sources: tuple[str, ...],
    repair: bool,
    database: str | None,
    as_json: bool,
) -> None:
    """Read ledgers again from a source that can prove them, and compare with what is stored.

    Whole ledgers (data lake, getLedgers, Horizon) are checked hash by hash: the header and the one
    before it, every transaction's result, and the events of every invocation. Nothing is written
    without --repair.

    \b
    stellarstream verify --from 1200000 --to 1250000
    stellarstream verify --source data-lake --repair

    Exit code 0: proven, or equal to a source that cannot prove. 3: something is missing or could not
    be read again. 4: something stored is different, or a source's hashes do not hold.
    """
    found = runtime(ctx, database_url=database, prove=True)
    with StopOnSignals() as stopping:
        report = asyncio.run(_run(found, (first, last), contracts, sources, repair, stopping))
        if as_json:
            print_json(report.to_json())
        else:
            _tell(report, repair)
    if report.verdict.exit_code is not ExitCode.OK:
        ctx.exit(report.verdict.exit_code)


async def _run(
    found: Runtime,
    bounds: tuple[int | None, int | None],
    contracts: Sequence[str],
    names: Sequence[str],
    repair: bool,
    stopping: StopOnSignals,
) -> VerifyReport:
    stop = stopping.event()
    async with AsyncExitStack() as opened:
        found.source_specs(names)  # a misspelt name is told before anything else
        storage = await asyncio.to_thread(found.open_storage)
        opened.callback(storage.close)
        scope, wanted = await asyncio.to_thread(_asked, found, storage, contracts, bounds)
        sources = await found.open_sources(names, scope, list if names else provable_first)
        for source in sources:
            opened.push_async_callback(source.close)
        progress = opened.enter_context(sync_progress("verify"))
        sinks = found.plugins.sinks(found.settings) if repair else ()
        run = Verification(storage, sources, found.settings.passphrase, scope, wanted, progress, repair, sinks)
        report = await run.execute(stop)
    if report is None:
        kept = " What was repaired until then is kept." if repair else ""
        raise SyncInterruptedError(f"Stopped before the verification was done: it says nothing of the range.{kept}")
    return report


def _asked(
    found: Runtime, storage: Storage, contracts: Sequence[str], bounds: tuple[int | None, int | None]
) -> tuple[Scope, LedgerRange]:
    scope = found.scope(contracts, storage)
    return scope, asked_range(storage, scope, *bounds)


def _tell(report: VerifyReport, repair: bool) -> None:
    found, verdict = report.findings, report.verdict
    say(f"ledgers {report.wanted}: {verdict.value}: {MEANING[verdict.value]} ({report.seconds:.1f} s)")
    say(f"  proven    {plural(report.proven.size, 'ledger')} of {report.wanted.size:,}")
    if repair:
        say(f"  added     {plural(found.added.count, 'event')}")
    for name, events in (("missing", found.missing), ("extra", found.extra), ("different", found.different)):
        if events:
            say(f"  {name:<9} {plural(events.count, 'event')}", err=True)
            _list(sorted(events.ids), events.count)
    if found.broken_count:
        say(f"  broken    {plural(found.broken_count, 'ledger')}", err=True)
        _list([f"{ledger}: {why}" for ledger, why in sorted(found.broken.items())], found.broken_count)
    _unproven("unproven", found.unproven)
    _unproven("made as", sorted(found.flavours))
    print_gaps(report.gaps, err=True)
    say(f"  digest    {report.digest}")


def _unproven(label: str, items: Sequence[Unproven]) -> None:
    for item in items[:SHOWN]:
        say(f"  {label:<9} ledgers {item.range}: {item.reason}" + (f" ({item.detail})" if item.detail else ""))
    if len(items) > SHOWN:
        say(f"            and {len(items) - SHOWN:,} more (see --json)")


def _list(lines: Sequence[str], count: int) -> None:
    for line in lines[:SHOWN]:
        say(f"            {line}", err=True)
    if count > SHOWN:
        say(f"            and {count - SHOWN:,} more (see --json)", err=True)
