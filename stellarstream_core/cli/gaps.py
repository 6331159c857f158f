"""``stellarstream gaps``: which ledgers are missing."""

from __future__ import annotations

import click

from stellarstream_core.cli.options import bounds_options, contract_option, database_option, json_option, runtime
from stellarstream_core.cli.output import print_gaps, print_json, say
from stellarstream_core.errors import ExitCode
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import read_coverage, stored_bounds

SHOWN_PARTS = 20
"""Covered ranges shown to a person; ``--json`` has all."""


@click.command()
@bounds_options(
    "First ledger. Default: the first ever wanted or stored.", "Last ledger. Default: the last covered one."
)
@contract_option("Contract to look at. Default: the configured ones, else all that were ever synced.")
@database_option
@json_option
@click.pass_context
def gaps(
    ctx: click.Context,
    first: int | None,
    last: int | None,
    contracts: tuple[str, ...],
    database: str | None,
    as_json: bool,
) -> None:
    """Print the ledgers that are not covered, and how the others are.

    Each covered range is shown with its evidence (proven or scanned), its source, and how the node
    that made its ledgers was run. Exit code 0 where nothing is missing, 3 where something is.
    """
    found = runtime(ctx, database_url=database)
    storage = found.open_storage()
    try:
        scope = found.scope(contracts, storage)
        wanted = asked_range(storage, scope, first, last)
        coverage = read_coverage(storage, wanted, scope)
    finally:
        storage.close()
    if as_json:
        print_json(
            {
                "from": wanted.first,
                "to": wanted.last,
                "covered": coverage.covered.to_json(),
                "gaps": [gap.to_json() for gap in coverage.gaps],
                "evidence": {"proven": coverage.proven.to_json(), "scanned": coverage.scanned.to_json()},
                "coverage": [part.to_json() for part in coverage.parts],
            }
        )
    else:
        if coverage.gaps:
            print_gaps(coverage.gaps)
        else:
            say(f"no gaps: ledgers {wanted} are covered for {scope}")
        for part in coverage.parts[:SHOWN_PARTS]:
            say(f"  {part}")
        if len(coverage.parts) > SHOWN_PARTS:
            say(f"  and {len(coverage.parts) - SHOWN_PARTS:,} more (see --json)")
    if coverage.gaps:
        ctx.exit(ExitCode.INCOMPLETE)


def asked_range(storage: Storage, scope: Scope, first: int | None, last: int | None) -> LedgerRange:
    """Return ``first`` to ``last``; a bound that was not given is that of what is stored.

    Raises ``UsageError`` where a bound is not given and nothing was ever synced for the scope,
    ``InvalidRangeError`` where the range is reversed.
    """
    if first is None or last is None:
        stored = stored_bounds(storage, scope)
        first = stored.first if first is None else first
        last = max(stored.last, first) if last is None else last
    return LedgerRange.of(first, last)
