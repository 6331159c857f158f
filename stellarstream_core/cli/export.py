"""``stellarstream export``: stored records as JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
import orjson

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.gaps import asked_range
from stellarstream_core.cli.options import bounds_options, contract_option, database_option, runtime
from stellarstream_core.cli.output import plural, print_gaps
from stellarstream_core.errors import (
    ExitCode,
    PluginError,
    ProtocolUpgradeNeededError,
    StellarStreamError,
    UsageError,
    XdrError,
)
from stellarstream_core.event_json import EVENT_KEYS, decode_event, event_record
from stellarstream_core.events import ContractEvent
from stellarstream_core.hookspecs import ExportQuery, ExportSpec
from stellarstream_core.plugins import FAULTS, Plugins
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.settings import Settings
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import read_gaps

T = TypeVar("T")

PAGE = 2_000

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")

_format_option = click.option(
    "--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True, help="Output format."
)
_output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; it appears only when it is complete. Default: stdout.",
)


class Exports(click.Group):
    """The kinds of records: our own, and those that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every kind; without plugins' where they cannot be read now."""
        own = super().list_commands(ctx)
        try:
            return [*own, *sorted(set(runtime_of(ctx).plugins.exports()) - set(own))]
        except StellarStreamError:  # the help of our own needs no readable settings
            return own

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a kind, None where there is none of that name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        spec = runtime_of(ctx).plugins.exports().get(cmd_name)
        return None if spec is None else _command(spec)


@click.group(cls=Exports)
def export() -> None:
    """Write stored records to a file or to stdout."""


@export.command()
@_format_option
@bounds_options(
    "First ledger. Default: the first ever wanted or stored.", "Last ledger. Default: the last covered one."
)
@contract_option("Contract to export; may be given several times. Default: the configured ones, else all stored.")
@_output_option
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
    decoder = Decoder()
    try:
        scope = found.scope(contracts, storage)
        wanted = asked_range(storage, scope, first, last)
        # before the first page: events and coverage commit together, so what is covered now is
        # whole in every later page; a gap that is filled meanwhile may be in the file in part
        gaps = read_gaps(storage, wanted, scope)
        to_bytes = _jsonl if kind == "jsonl" else _csv
        count = 0
        with _opened(output) as file:
            if kind == "csv":
                file.write(_csv_lines([EVENT_KEYS]))
            for page in _pages(storage, wanted, scope):
                file.write(to_bytes([decoder.to_json(event) for event in page]))
                count += len(page)
    finally:
        storage.close()
    if output is not None:
        click.echo(f"{plural(count, 'event')} of ledgers {wanted} written to {output}", err=True)
    for line in decoder.complaints():
        click.echo(line, err=True)
    if gaps:
        click.echo("these ledgers were missing when the export began:", err=True)
        print_gaps(gaps, err=True)
    if gaps or decoder.undecoded:
        ctx.exit(ExitCode.INCOMPLETE)


@dataclass(slots=True)
class Undecoded:
    """Events of one kind of fault: how many, and the first of them."""

    count: int
    ledger: int
    reason: str


class Decoder:
    """Makes events JSON objects, and keeps account of those whose values it could not decode."""

    def __init__(self) -> None:
        self.undecoded: dict[type[XdrError], Undecoded] = {}

    def to_json(self, event: ContractEvent) -> dict[str, Any]:
        """Return the promised object; ``decoded`` is null where a value cannot be decoded."""
        record = event_record(event)
        try:
            record["decoded"] = decode_event(event)
        except XdrError as error:
            newer = isinstance(error, ProtocolUpgradeNeededError)
            fault = self.undecoded.setdefault(
                ProtocolUpgradeNeededError if newer else XdrError, Undecoded(0, event.ledger, error.message)
            )
            fault.count += 1
        return record

    def complaints(self) -> Iterator[str]:
        """Yield a line for each kind of fault: what could not be decoded, from which ledger on, what to do."""
        for kind, fault in self.undecoded.items():
            yield (
                f"{kind.title.lower()}: {plural(fault.count, 'event')} could not be decoded, "
                f"first in ledger {fault.ledger} ({fault.reason}). "
                "There 'decoded' is null; 'topic' and 'value' are written as stored."
            )
            if kind.help:
                yield f"  {kind.help}"


# --- kinds that plugins add -------------------------------------------------------------------------


def _command(spec: ExportSpec) -> click.Command:
    """Return the command that writes a plugin's records."""

    @click.command(spec.name, help=f"{spec.summary}\n\nWhere records may be missing, stderr says so; exit code 3.")
    @_format_option
    @bounds_options("First ledger. Default: the first there is.", "Last ledger. Default: the last there is.")
    @contract_option("Contract to export; may be given several times. Default: all.")
    @_output_option
    @database_option
    @click.pass_context
    def write(
        ctx: click.Context,
        kind: str,
        first: int | None,
        last: int | None,
        contracts: tuple[str, ...],
        output: Path | None,
        database: str | None,
    ) -> None:
        found = runtime(ctx, database_url=database)
        storage = found.open_storage()
        try:
            scope = Scope.of(contracts or [EVERYTHING])
            query = ExportQuery(() if scope.everything else sorted(scope.members), first, last, found.plugins)
            missing = _guarded(found.plugins, spec, lambda: spec.missing(storage, found.settings, query))
            count = 0
            with _opened(output) as file:
                if kind == "csv":
                    file.write(_csv_lines([spec.columns]))
                for page in _plugin_pages(found.plugins, spec, storage, found.settings, query):
                    rows = [{column: row[column] for column in spec.columns} for row in page]
                    file.write(_jsonl(rows) if kind == "jsonl" else _csv_lines(_cells(row) for row in rows))
                    count += len(rows)
        finally:
            storage.close()
        if output is not None:
            click.echo(f"{plural(count, 'record')} written to {output}", err=True)
        if missing:
            click.echo(missing, err=True)
            ctx.exit(ExitCode.INCOMPLETE)

    return write


def _plugin_pages(
    plugins: Plugins, spec: ExportSpec, storage: Storage, settings: Settings, query: ExportQuery
) -> Iterator[list[Mapping[str, Any]]]:
    pages = iter(_guarded(plugins, spec, lambda: spec.pages(storage, settings, query)))
    while (page := _guarded(plugins, spec, lambda: next(pages, None))) is not None:
        yield list(page)


def _guarded(plugins: Plugins, spec: ExportSpec, call: Callable[[], T]) -> T:
    """Call into a plugin; what it raises that is no sentence of ours is its fault."""
    try:
        return call()
    except StellarStreamError:
        raise
    except FAULTS as error:
        plugins.blame("register_exports", spec.name, error)
        raise PluginError(f"The export {spec.name!r} cannot go on: {type(error).__name__}: {error}.") from error


def _cells(row: Mapping[str, Any]) -> list[object]:
    """Return a record's cells; a text that a spreadsheet would take for a formula is marked, a number is not."""
    return [_cell(value) for value in row.values()]


def _cell(value: object) -> object:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value if isinstance(value, int) and not isinstance(value, bool) else orjson.dumps(value).decode()
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


# --- our own ----------------------------------------------------------------------------------------


def _pages(storage: Storage, wanted: LedgerRange, scope: Scope) -> Iterator[list[ContractEvent]]:
    after = ""
    while page := list(storage.events(wanted, scope, after=after, limit=PAGE)):
        yield page
        after = page[-1].id


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _csv(rows: list[dict[str, Any]]) -> bytes:
    cells = ({**row, **{key: orjson.dumps(row[key]).decode() for key in ("topic", "decoded")}} for row in rows)
    return _csv_lines([row[key] for key in EVENT_KEYS] for row in cells)


def _csv_lines(lines: Iterable[Sequence[object]]) -> bytes:
    # text of its own: a wrapper around the file would write late, or close it when it is thrown away
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode("utf-8")


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """Open what is written to: stdout, a device or pipe as it stands, or a file.

    A file, also one behind a symbolic link, takes its name only once it is complete and on disk, and
    keeps its mode where it was there before. Raises ``UsageError`` where writing fails, and lets
    ``BrokenPipeError`` pass: whoever read has gone, and nothing is left to be written late.
    """
    try:
        if output is None:
            # a buffer of its own, so that nothing of it is left in sys.stdout when the process ends
            with open(sys.stdout.fileno(), "wb", closefd=False) as file:
                yield file
            return
        mode = _mode(output)
        if mode is not None and not stat.S_ISREG(mode):
            with output.open("wb") as file:
                yield file
            return
        with _replacing(Path(os.path.realpath(output)), mode) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"{output or 'stdout'} cannot be written: {error.strerror or error}.") from None


@contextmanager
def _replacing(target: Path, mode: int | None) -> Iterator[BinaryIO]:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    """Return type and mode of what a path leads to, or None where nothing is there."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
