"""``stellarstream logs``: the log files, rotated ones too, in the order of time."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.logs import ROLES
from stellarstream_core.errors import UsageError
from stellarstream_core.ops.environment import home_folder, log_folder
from stellarstream_core.ops.lenient import read_leniently
from stellarstream_core.ops.log_lines import Entry, utc
from stellarstream_core.ops.log_names import roles_in
from stellarstream_core.ops.logs_reading import LogReading
from stellarstream_core.settings import Settings

LINES = 50
LOOK_SECONDS = 0.2
"""How often ``--follow`` looks for new lines."""

_AGO = re.compile(r"(\d+)([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    """Return a time as lines have it: given as ``30s``, ``10m``, ``2h``, ``3d`` ago, or in RFC 3339."""
    if value is None:
        return None
    try:
        if found := _AGO.fullmatch(value):
            seconds = time.time() - int(found[1]) * _SECONDS[found[2]]
        else:
            moment = datetime.fromisoformat(value)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return utc(max(seconds, 0.0)).encode()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is neither like 30s, 10m, 2h, 3d nor like 2026-01-31T13:05:09Z.", ctx, param
        ) from None


@click.command()
@click.argument("roles", nargs=-1, metavar="[api|indexer|health|circusd]...")
@click.option("--follow", "-f", is_flag=True, help="Go on with each new line until Ctrl-C.")
@click.option(
    "--lines", "-n", type=click.IntRange(0), metavar="N", help=f"How many of the last. Default: {LINES}; all --since."
)
@click.option(
    "--since", callback=_moment, metavar="T", help="Only from here on: 30s, 10m, 2h, 3d ago, or a time (UTC)."
)
@click.option("--json", "as_json", is_flag=True, help="Print each as one JSON object a line, however it was written.")
@click.pass_context
def logs(
    ctx: click.Context, roles: tuple[str, ...], follow: bool, lines: int | None, since: bytes | None, as_json: bool
) -> None:
    """Show the log files of API, indexer, health monitor and circusd, merged in the order of time.

    \b
    stellarstream logs --lines 200
    stellarstream logs api --follow
    stellarstream logs --since 2h --json

    Rotated and packed files are read too, as far back as they are needed. A traceback counts as one
    line with the line it belongs to. Files are written where 'log_dir' is set, and by what 'up' starts, where
    it is not set in the folder 'logs': docs/logs.md.
    """
    read = read_leniently(runtime_of(ctx).config)
    if read.warning:
        click.echo(read.warning, err=True)
    settings = read.settings
    folder = _folder(settings)
    with _readable(folder):
        there = roles_in(folder, settings.log_date_format)
        _check(roles, there, folder, follow)
        reading = LogReading(folder, roles or there, settings.log_date_format, lambda text: click.echo(text, err=True))
        show = _printer(as_json)
        try:
            with suppress(KeyboardInterrupt) if follow else nullcontext():  # it is the way to end it
                if lines is None and since is not None:
                    show(reading.all(since))
                else:
                    show(reading.last(LINES if lines is None else lines, since or b""))
                while follow:
                    show(reading.new(roles or roles_in(folder, settings.log_date_format)))
                    time.sleep(LOOK_SECONDS)
        finally:
            reading.close()


def _folder(settings: Settings) -> Path:
    """Return the folder of the log files; without a setting the one that ``up`` has made, if it has."""
    folder = log_folder(settings, home_folder(os.environ))
    if settings.log_dir is None and not any((folder / f"{role}.log").exists() for role in ROLES.values()):
        raise UsageError(
            "There are no log files: 'log_dir' is not set, and 'up' was not called here.",
            help="Set it (STELLARSTREAM_LOG_DIR) for the service and for this command; till then the log is on stderr.",
        )
    return folder


def _check(roles: tuple[str, ...], there: list[str], folder: Path, follow: bool) -> None:
    wanted = [role for role in roles if role not in there and not (follow and role in ROLES.values())]
    if wanted:
        known = f"There are logs of: {', '.join(there)}." if there else "No process has written one yet."
        raise UsageError(f"There is no log of {wanted[0]!r} in {folder}.", help=known)
    if not there and not follow:
        raise UsageError(f"There are no log files in {folder}.", help="No process has written one yet.")


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"log_dir: {folder} is not there.", help="No process has written a log yet.") from None
    except (PermissionError, NotADirectoryError) as error:
        raise UsageError(
            f"log_dir: {error.filename or folder}: {error.strerror}.",
            help="Logs are private to the service's user: run this as that user, or as root.",
        ) from None


def _printer(as_json: bool) -> Callable[[Iterable[Entry]], None]:
    """Return what prints entries."""
    out = sys.stdout.buffer  # lines are UTF-8 whatever the terminal's locale is

    def show(entries: Iterable[Entry]) -> None:
        for entry in entries:
            out.write((entry.json() if as_json else entry.text().encode()) + b"\n")
        out.flush()

    return show
