"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.logs import configure_logging, is_service, log_file_of, role_of
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import Settings
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
    set_up_logging(ctx, found.base_settings)  # before plugins are loaded, which may have something to say
    _ = found.settings  # a fault in them is told now, whatever the command needs of them
    return found


def set_up_logging(ctx: click.Context, settings: Settings, usual_level: str | None = None) -> None:
    """Let the log go where the settings say, under the name of this process.

    Without ``--log-level`` it is ``usual_level``, and in the file of a service at least ``info``: who reads it later
    wants to know what it did.
    """
    root = ctx.find_root()
    role = role_of(root.invoked_subcommand)
    log_file = log_file_of(settings, role)
    level = str(root.params["log_level"])
    if root.get_parameter_source("log_level") is ParameterSource.DEFAULT:
        level = usual_level or ("info" if log_file is not None and is_service(role) else level)
    configure_logging(level, settings.log_format, role=role, log_file=log_file)
