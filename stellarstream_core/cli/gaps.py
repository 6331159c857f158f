"""``stellarstream gaps``: which ledgers are missing."""

from __future__ import annotations

import click

from stellarstream_core.cli.options import bounds_options, contract_option, database_option, json_option, runtime
from stellarstream_core.cli.output import print_gaps, print_json
from stellarstream_core.errors import ExitCode
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import read_coverage, stored_bounds


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
    """Print the ledgers that are not covered. Exit code 0 where there are none, 3 where there are some."""
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
            }
        )
    elif coverage.gaps:
        print_gaps(coverage.gaps)
    else:
        click.echo(f"no gaps: ledgers {wanted} are covered for {scope}")
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
