"""``stellarstream status``: how far the database is, who holds it back, how far behind the tip."""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from stellarstream_core.cli.options import contract_option, database_option, json_option, runtime
from stellarstream_core.cli.output import plural, print_json
from stellarstream_core.projection.status import read_projections
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import never_synced
from stellarstream_core.sync.state import Tip, TipReader, read_state, tip_now

WATCH_SECONDS = 2.0
"""How often ``--watch`` reads the database."""
SHOWN_GAPS = 10
SHOWN_CONFLICTS = 10
NARROWEST = 20
"""Columns that a value takes at least, however narrow the terminal is."""


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds until Ctrl-C.")
@contract_option("Contract to look at. Default: the configured ones, else all that were ever synced.")
@database_option
@json_option
@click.pass_context
def status(ctx: click.Context, watch: bool, contracts: tuple[str, ...], database: str | None, as_json: bool) -> None:
    """Show watermark, tip, lag, gaps, events and conflicts.

    The watermark is the last ledger up to which nothing is missing; of several contracts the one that
    holds it back is named. The tip is asked of the first source that answers within five seconds.
    """
    found = runtime(ctx, database_url=database)
    storage = found.open_storage()
    try:
        scope = found.scope(contracts, storage)
        if watch:
            with _shown(as_json) as show:
                asyncio.run(_watch(found, storage, scope, show))
            return
        facts = read_status(found, storage, scope, asyncio.run(tip_now(found)))
    finally:
        storage.close()
    if as_json:
        print_json(facts)
    else:
        click.echo(render(facts, _columns()))


# --- what is shown --------------------------------------------------------------------------


def read_status(found: Runtime, storage: Storage, scope: Scope, tip: Tip) -> dict[str, Any]:
    """Return what ``--json`` prints. Raises ``UsageError`` where nothing was ever synced."""
    state = read_state(storage, scope)
    if state is None:
        raise never_synced(scope)
    totals = storage.totals()
    coverage, reach = state.coverage, tip.reach
    projections = read_projections(storage, found.plugins.projections())
    return {
        "network": found.settings.network,
        "database": storage.url,
        "contracts": len(scope) if not scope.everything else None,
        "startLedger": state.start,
        "watermark": state.watermark,
        "heldBackBy": state.held_back_by,
        "lastCoveredLedger": state.last,
        "tip": reach.latest if reach else None,
        "tipClosedAt": reach.latest_closed_at if reach else None,
        "lag": state.lag(reach),
        "sourceBehind": state.ahead_of(reach) if reach else None,
        "source": tip.source,
        "sourceTrouble": tip.trouble,
        "gaps": [gap.to_json() for gap in coverage.gaps],
        "evidence": {
            "provenLedgers": coverage.proven.size,
            "scannedLedgers": coverage.scanned.size,
            "sources": {name: ranges.size for name, ranges in sorted(coverage.sources.items())},
        },
        "events": totals.events,
        "conflicts": totals.conflicts,
        "conflictList": [
            {
                "id": c.event_id,
                "ledger": c.ledger,
                "contract": c.contract_id,
                "source": c.source,
                "timesSeen": c.times_seen,
            }
            for c in (storage.conflicts(limit=SHOWN_CONFLICTS) if totals.conflicts else ())
        ],
        "position": totals.position,
        "projections": [one.to_json() | {"summary": one.summary} for one in projections],
        "brokenPlugins": [plugin.name for plugin in found.plugins.broken],
    }


def render(facts: dict[str, Any], columns: int | None = None) -> str:
    """Return the status as lines for a person, folded to a terminal of so many columns if told."""
    return "\n".join(line for label, text in _lines(facts) for line in _folded(label, text, columns))


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    whom = "every contract" if facts["contracts"] is None else plural(facts["contracts"], "contract")
    yield "network", f"{facts['network']}   {whom}"
    yield "database", facts["database"]
    if facts["watermark"] >= facts["startLedger"]:
        yield "complete", f"ledgers {facts['startLedger']:,} to {facts['watermark']:,}"
    else:
        yield "complete", f"nothing yet from ledger {facts['startLedger']:,} on"
    if names := facts["heldBackBy"]:
        yield "held back", "by " + ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    if facts["tip"] is not None:
        yield "tip", f"{facts['tip']:,} ({facts['source']}): {_behind(facts)}"
    else:
        yield "tip", f"not known: {facts['sourceTrouble']}"
    yield "events", f"{facts['events']:,} in this database"
    evidence = facts["evidence"]
    by = ", ".join(f"{name} {count:,}" for name, count in evidence["sources"].items())
    yield "evidence", f"{evidence['provenLedgers']:,} ledgers proven, {evidence['scannedLedgers']:,} scanned ({by})"
    yield "gaps", _gaps(facts["gaps"])
    if facts["conflicts"]:
        yield "conflicts", f"{facts['conflicts']:,}: a source offered other bytes for a stored event"
        for c in facts["conflictList"]:
            yield "", f"{c['id']} from {c['source']}, seen {plural(c['timesSeen'], 'time')}"
    for one in facts["projections"]:
        unknown = one["unknown"]["events"]
        odd = f", {plural(unknown, 'event')} of unknown shape" if unknown else ""
        yield "projection", f"{one['name']}: {one['summary']}{odd}"
    if facts["brokenPlugins"]:
        yield "broken", f"{', '.join(facts['brokenPlugins'])} (see 'stellarstream plugins')"


def _behind(facts: dict[str, Any]) -> str:
    """Return who is behind whom: the database behind the source, or the source behind the database."""
    if late := facts["sourceBehind"]:
        return f"the source is {plural(late, 'ledger')} behind this database ('stellarstream doctor')"
    return "at the tip" if facts["lag"] == 0 else f"{plural(facts['lag'], 'ledger')} behind"


def _gaps(gaps: list[dict[str, Any]]) -> str:
    if not gaps:
        return "none"
    shown = ", ".join(str(LedgerRange(gap["from"], gap["to"])) for gap in gaps[:SHOWN_GAPS])
    more = f" and {len(gaps) - SHOWN_GAPS:,} more (see 'stellarstream gaps')" if len(gaps) > SHOWN_GAPS else ""
    return shown + more


def _folded(label: str, text: str, columns: int | None) -> list[str]:
    """Return a line, or several under one another where the terminal is narrower than it."""
    if columns is None:
        return [f"{label:<11}{text}"]
    width = max(columns - 11, NARROWEST)
    first, *rest = textwrap.wrap(text, width, break_on_hyphens=False, drop_whitespace=True) or [""]
    return [f"{label:<11}{first}", *(f"{'':<11}{line}" for line in rest)]


def _columns() -> int | None:
    """Return the terminal's width, or None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# --- again and again ------------------------------------------------------------------------


async def _watch(found: Runtime, storage: Storage, scope: Scope, show: Callable[[dict[str, Any]], None]) -> None:
    """Show the status every two seconds; the tip is asked for beside that, as often as ledgers close."""
    tip = Tip(trouble="no source has answered yet")
    reader = TipReader(found)
    answered = asyncio.Event()

    async def keep_asking() -> None:
        nonlocal tip
        while True:
            tip = await reader.read()
            answered.set()
            await asyncio.sleep(tip.seconds)

    asking = asyncio.create_task(keep_asking())
    try:
        with suppress(TimeoutError):  # the first answer is mostly there at once
            await asyncio.wait_for(answered.wait(), WATCH_SECONDS)
        while True:
            show(read_status(found, storage, scope, tip))
            await asyncio.wait([asking], timeout=WATCH_SECONDS)
            if asking.done():
                asking.result()
    finally:
        asking.cancel()
        await asyncio.wait([asking])
        await reader.close()


@contextmanager
def _shown(as_json: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give a function that shows the status anew: a line of JSON, a page of a terminal, or plain text."""
    if as_json:
        yield print_json
        return
    if not sys.stdout.isatty():
        yield lambda facts: click.echo(render(facts) + "\n")
        return
    from rich.live import Live  # noqa: PLC0415 - only --watch draws
    from rich.text import Text  # noqa: PLC0415 - only --watch draws

    page = ""

    # a screen of its own is drawn from its top each time, so that a resized window leaves no traces
    with Live(auto_refresh=False, screen=True) as live:

        def draw(facts: dict[str, Any]) -> None:
            nonlocal page
            page = render(facts, _columns())
            hint = f"\nread every {WATCH_SECONDS:.0f} s; Ctrl-C ends it"
            live.update(Text.assemble(page + "\n", (hint, "dim")), refresh=True)

        try:
            yield draw
        finally:
            live.stop()
            click.echo(page)
