"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.logs import configure_logging
from stellarstream_core.runtime import Runtime
from stellarstream_core.sync.bounds import parse_bound

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")

database_option = click.option(
    "--database", metavar="URL", help="sqlite:///PATH or postgresql://…; overrides database_url."
)


def contract_option(help: str) -> Callable[[F], F]:
    """Return the repeatable ``--contract`` option."""
    return click.option("--contract", "contracts", metavar="C…", multiple=True, help=help)


def bounds_options(from_help: str, to_help: str) -> Callable[[F], F]:
    """Return ``--from`` and ``--to`` for stored ledgers, both optional."""

    def decorate(command: F) -> F:
        command = click.option("--to", "last", metavar="L", callback=_ledger, help=to_help)(command)
        return click.option("--from", "first", metavar="L", callback=_ledger, help=from_help)(command)

    return decorate


def _ledger(_ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    return parse_bound(value, "last" if param.name == "first" else "latest")


def runtime(ctx: click.Context, **flags: object) -> Runtime:
    """Return the runtime with this command's flags over the settings, and the log as they ask.

    From here on it is the runtime of the whole invocation: ``runtime_of`` returns it too.
    """
    given = {key: value for key, value in flags.items() if value is not None and value != ()}
    ctx.find_root().obj = found = runtime_of(ctx).with_flags(given)
    configure_logging(str(ctx.find_root().params["log_level"]), found.settings.log_format)
    return found
