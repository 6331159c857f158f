"""``stellarstream export``: stored records as JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
import orjson

from stellarstream_core.cli.options import bounds_options, contract_option, database_option, runtime
from stellarstream_core.cli.output import plural, print_gaps
from stellarstream_core.errors import ExitCode, UsageError
from stellarstream_core.event_json import EVENT_KEYS, event_to_json
from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import read_gaps, stored_bounds

PAGE = 2_000


@click.group()
def export() -> None:
    """Write stored records to a file or to stdout."""


@export.command()
@click.option(
    "--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True, help="Output format."
)
@bounds_options("First ledger. Default: the first wanted one.", "Last ledger. Default: the last covered one.")
@contract_option("Contract to export; may be given several times. Default: the configured ones, else all stored.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; it appears only when it is complete. Default: stdout.",
)
@database_option
@click.pass_context
def events(
    ctx: click.Context,
    kind: str,
    first: int | None,
    last: int | None,
    contracts: tuple[str, ...],
    output: Path | None,
    database: str | None,
) -> None:
    """Write stored events in id order, decoded values beside the XDR.

    The keys are those of getEvents, plus eventIndex and decoded. Where ledgers of the range are
    missing, they are named on stderr and the exit code is 3: the file holds what there is.
    """
    found = runtime(ctx, database_url=database)
    storage = found.open_storage()
    try:
        scope = found.scope(contracts, storage)
        stored = stored_bounds(storage, scope)
        wanted = LedgerRange.of(first or stored.first, last or max(stored.last, first or 0))
        write = _write_jsonl if kind == "jsonl" else _write_csv
        with _opened(output) as file:
            count = write(file, _pages(storage, wanted, scope))
        gaps = read_gaps(storage, wanted, scope)
    finally:
        storage.close()
    if output is not None:
        click.echo(f"{plural(count, 'event')} of ledgers {wanted} written to {output}", err=True)
    if gaps:
        click.echo("these ledgers are missing in the export:", err=True)
        print_gaps(gaps, err=True)
        ctx.exit(ExitCode.INCOMPLETE)


def _pages(storage: Storage, wanted: LedgerRange, scope: Scope) -> Iterator[list[ContractEvent]]:
    after = ""
    while page := list(storage.events(wanted, scope, after=after, limit=PAGE)):
        yield page
        after = page[-1].id


def _write_jsonl(file: BinaryIO, pages: Iterator[list[ContractEvent]]) -> int:
    count = 0
    for page in pages:
        file.write(b"".join(orjson.dumps(event_to_json(event)) + b"\n" for event in page))
        count += len(page)
    return count


def _write_csv(file: BinaryIO, pages: Iterator[list[ContractEvent]]) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    writer = csv.writer(text)
    writer.writerow(EVENT_KEYS)
    count = 0
    for page in pages:
        for event in page:
            row = event_to_json(event)
            row["topic"] = orjson.dumps(row["topic"]).decode()
            row["decoded"] = orjson.dumps(row["decoded"]).decode()
            writer.writerow(row[key] for key in EVENT_KEYS)
        count += len(page)
    text.flush()
    text.detach()
    return count


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """Open stdout, or a file that takes its name only once it is complete and on disk."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
