"""``stellarstream status``: how far the database is, who holds it back, how far behind the tip."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from stellarstream_core.cli.options import contract_option, database_option, json_option, runtime
from stellarstream_core.cli.output import plural, print_json
from stellarstream_core.errors import StellarStreamError
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reach
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import read_gaps, stored_bounds

WATCH_SECONDS = 2.0
TIP_TIMEOUT_SECONDS = 5.0
SHOWN_GAPS = 10


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
        if watch and not as_json:
            _watch(found, storage, scope)
            return
        while True:
            facts = read_status(found, storage, scope)
            if as_json:
                print_json(facts)
            else:
                click.echo(render(facts))
            if not watch:
                return
            time.sleep(WATCH_SECONDS)
    finally:
        storage.close()


def read_status(found: Runtime, storage: Storage, scope: Scope) -> dict[str, Any]:
    """Return what ``status --json`` prints."""
    states = storage.sync_states(scope)
    bounds = stored_bounds(storage, scope)
    totals = storage.totals()
    marks = {contract: state.last_ledger_sequence for contract, state in states.items()}
    for contract in scope:
        marks.setdefault(contract, bounds.first - 1)
    watermark = min(marks.values())
    ahead = max(marks.values())
    tip, source, trouble = asyncio.run(_tip(found))
    return {
        "network": found.settings.network,
        "database": storage.url,
        "contracts": len(scope) if not scope.everything else None,
        "startLedger": bounds.first,
        "watermark": watermark,
        "heldBackBy": sorted(c for c, mark in marks.items() if mark == watermark) if ahead > watermark else [],
        "lastCoveredLedger": bounds.last,
        "tip": tip.latest if tip else None,
        "tipClosedAt": tip.latest_closed_at if tip else None,
        "lag": max(tip.latest - watermark, 0) if tip else None,
        "source": source,
        "sourceTrouble": trouble,
        "gaps": [gap.to_json() for gap in read_gaps(storage, bounds, scope)],
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
            for c in (storage.conflicts(limit=SHOWN_GAPS) if totals.conflicts else ())
        ],
        "position": totals.position,
        "brokenPlugins": [plugin.name for plugin in found.plugins.broken],
    }


async def _tip(found: Runtime) -> tuple[Reach | None, str | None, str | None]:
    trouble = None
    try:
        specs = found.source_specs()
    except StellarStreamError as error:
        return None, None, error.message
    for spec in specs:
        source = await spec.open(found.settings)
        try:
            async with asyncio.timeout(TIP_TIMEOUT_SECONDS):
                return await source.reach(), spec.name, None
        except StellarStreamError as error:
            trouble = f"{spec.name}: {error.message}"
        except TimeoutError:
            trouble = f"{spec.name} did not answer within {TIP_TIMEOUT_SECONDS:.0f} s"
        finally:
            await source.close()
    return None, None, trouble


def render(facts: dict[str, Any]) -> str:
    """Return the status as lines for a person."""
    whom = "every contract" if facts["contracts"] is None else plural(facts["contracts"], "contract")
    lines = [
        f"network    {facts['network']}   {whom}",
        f"database   {facts['database']}",
        f"complete   ledgers {facts['startLedger']:,} to {facts['watermark']:,}"
        if facts["watermark"] >= facts["startLedger"]
        else f"complete   nothing yet from ledger {facts['startLedger']:,} on",
    ]
    if facts["heldBackBy"]:
        names = ", ".join(facts["heldBackBy"][:3]) + (" …" if len(facts["heldBackBy"]) > 3 else "")
        lines.append(f"held back  by {names}")
    if facts["tip"] is not None:
        behind = "at the tip" if facts["lag"] == 0 else f"{plural(facts['lag'], 'ledger')} behind"
        lines.append(f"tip        {facts['tip']:,} ({facts['source']}): {behind}")
    else:
        lines.append(f"tip        not known: {facts['sourceTrouble']}")
    lines.append(f"events     {facts['events']:,}")
    shown = facts["gaps"][:SHOWN_GAPS]
    ranges = ", ".join(f"{gap['from']}..{gap['to']}" for gap in shown)
    more = f" and {len(facts['gaps']) - len(shown)} more" if len(facts["gaps"]) > len(shown) else ""
    lines.append(f"gaps       {ranges}{more}" if shown else "gaps       none")
    if facts["conflicts"]:
        lines.append(f"conflicts  {facts['conflicts']:,}: a source offered other bytes for a stored event")
        lines += [
            f"           {c['id']} from {c['source']}, seen {c['timesSeen']} times" for c in facts["conflictList"]
        ]
    if facts["brokenPlugins"]:
        lines.append(f"broken     {', '.join(facts['brokenPlugins'])} (see 'stellarstream plugins')")
    return "\n".join(lines)


def _watch(found: Runtime, storage: Storage, scope: Scope) -> None:
    from rich.live import Live  # noqa: PLC0415 - only --watch draws
    from rich.text import Text  # noqa: PLC0415 - only --watch draws

    with Live(auto_refresh=False) as live:
        while True:
            live.update(Text(render(read_status(found, storage, scope))), refresh=True)
            time.sleep(WATCH_SECONDS)
