"""The root command: global options, lazily imported subcommands, errors turned into sentences."""

from __future__ import annotations

import importlib
import os
import sys
from difflib import get_close_matches
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from pathlib import Path
from typing import Any, NoReturn

import click

from stellarstream_core import __version__
from stellarstream_core.cli.logs import DEFAULT_LEVEL, LEVEL_VARIABLE, LEVELS, configure_logging, prepare_logging
from stellarstream_core.errors import ExitCode, PluginError, StellarStreamError, UsageError
from stellarstream_core.runtime import Runtime

COMMANDS: dict[str, tuple[str, str]] = {
    "sync": ("stellarstream_core.cli.sync:sync", "Fetch events of contracts into the database."),
    "gaps": ("stellarstream_core.cli.gaps:gaps", "Show which ledgers are missing, and why."),
    "verify": ("stellarstream_core.cli.verify:verify", "Read ledgers again, check their hashes, and compare."),
    "status": ("stellarstream_core.cli.status:status", "Show how far the database is, and how far behind."),
    "project": ("stellarstream_core.cli.project:project", "Fold stored events into what plugins project from them."),
    "export": ("stellarstream_core.cli.export:export", "Write stored records as JSON lines or CSV."),
    "serve": ("stellarstream_core.cli.serve:serve", "Serve the API, its documentation and the dashboard."),
    "up": ("stellarstream_core.cli.up:up", "Start the whole service: API workers, indexer, health monitor."),
    "down": ("stellarstream_core.cli.down:down", "End the service that 'up' started, losing no request."),
    "cluster": ("stellarstream_core.cli.cluster:cluster", "Show and steer the service that 'up' started."),
    "startup": ("stellarstream_core.cli.startup:startup", "Print or install the systemd unit of this installation."),
    "logs": ("stellarstream_core.cli.log_reading:logs", "Show the log files, rotated ones too, in the order of time."),
    "keys": ("stellarstream_core.cli.keys:keys", "Make, list and revoke API keys."),
    "migrate": ("stellarstream_core.cli.migrate:migrate", "Bring the database's schema up to date."),
    "plugins": ("stellarstream_core.cli.plugins:plugins", "Show installed plugins, their hooks and faults."),
    "doctor": ("stellarstream_core.cli.doctor:doctor", "Check settings, database and sources; say what to do."),
    "config": ("stellarstream_core.cli.config:config", "Show or check the settings."),
}
"""The framework's own commands: where each is, and its line in the help."""


NO_PLUGINS_VARIABLE = "STELLARSTREAM_NO_PLUGINS"
_FULL = frozenset({ENOSPC, EDQUOT, EFBIG, EROFS})


class OutputClosedError(Exception):
    """Whoever read our output has gone: nothing more can be said, and nothing went wrong."""


class UnforeseenError(Exception):
    """An error that no code expected; the argument is it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")


class LazyGroup(click.Group):
    """A group whose commands are imported only when they are called, plugins' commands included."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name; without plugins' where they cannot be read now."""
        return [*COMMANDS, *sorted(set(self._plugin_targets(ctx)) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None where there is none of that name."""
        if cmd_name in COMMANDS:
            return _imported(COMMANDS[cmd_name][0])
        target = self._plugin_targets(ctx, strict=True).get(cmd_name)
        if target is None:
            return None
        try:
            return _imported(target)
        except Exception as error:  # a plugin's module may raise anything
            runtime_of(ctx).plugins.blame("register_commands", cmd_name, error)
            raise PluginError(f"The command {cmd_name!r} cannot be loaded: {type(error).__name__}: {error}.") from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; name the nearest one where there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", error.ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries, importing none of them."""
        summaries = {name: summary for name, (_, summary) in COMMANDS.items()}
        rows = [(name, summaries.get(name) or self._plugin_summaries(ctx)[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; take what click would turn into a silent exit code 1 out of its hands."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise OutputClosedError from error
        except OSError as error:
            if error.errno in _FULL:
                raise UsageError(
                    f"The output cannot be written: {error.strerror}.", help="Make room for it."
                ) from error
            raise UnforeseenError(error) from error

    def _plugin_targets(self, ctx: click.Context, *, strict: bool = False) -> dict[str, str]:
        return {spec.name: spec.target for spec in self._specs(ctx, strict)}

    def _plugin_summaries(self, ctx: click.Context) -> dict[str, str]:
        return {spec.name: spec.summary for spec in self._specs(ctx, strict=False)}

    def _specs(self, ctx: click.Context, strict: bool) -> list[Any]:
        try:
            return list(runtime_of(ctx).plugins.commands().values())
        except StellarStreamError:
            if strict:
                raise
            return []  # the help of the framework's own commands needs no readable settings


def _imported(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{target} is not a click command")
    return command


def runtime_of(ctx: click.Context) -> Runtime:
    """Return the runtime of this invocation, made from the global options on first use."""
    root = ctx.find_root()
    if not isinstance(root.obj, Runtime):
        root.obj = Runtime(root.params.get("config"), built_in_only=bool(root.params.get("no_plugins")))
    return root.obj


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="stellarstream")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    is_eager=True,
    help="Settings file. Default: $STELLARSTREAM_CONFIG, else stellarstream.toml in this folder.",
)
@click.option(
    "--no-plugins",
    is_flag=True,
    is_eager=True,
    envvar=NO_PLUGINS_VARIABLE,
    help="Load only the plugins that are built in. Also by $STELLARSTREAM_NO_PLUGINS=1.",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    envvar=LEVEL_VARIABLE,
    default=DEFAULT_LEVEL,
    show_default=True,
    help="What the log shows.",
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None, no_plugins: bool, log_level: str) -> None:
    """Index Soroban contract events: each exactly once, with proof of which ledgers are covered.

    \b
    Try it without a network:    stellarstream demo
    Index a contract's events:   stellarstream sync --contract C… --from -1000
    Keep following the network:  stellarstream sync --contract C… --follow

    Settings come from stellarstream.toml, then STELLARSTREAM_* variables, then flags.
    Exit codes: 0 covered, 1 unexpected, 2 usage or settings, 3 not wholly covered, 4 conflict.
    """
    configure_logging(log_level)
    if os.environ.get("STELLARSTREAM_SUPERVISED") == "1":
        from stellarstream_core.ops.process import die_with_parent  # noqa: PLC0415 - only for a supervisor's processes

        die_with_parent()
    runtime_of(ctx)


def run() -> NoReturn:
    """Run the command line; known errors become sentences on stderr and their exit code."""
    prepare_logging()
    try:
        answer = cli.main(prog_name="stellarstream", standalone_mode=False)
        code = answer if isinstance(answer, int) else int(ExitCode.OK)
    except click.ClickException as error:
        if not _logged(error.format_message()):
            error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        code = 130
    except StellarStreamError as error:
        if not _logged(f"{error.title}: {error.message} {error.help}", error):
            show_error(error)
        code = error.exit_code
    except OutputClosedError:
        from stellarstream_core.cli.output import silence  # noqa: PLC0415 - not needed to show help

        silence(sys.stdout)
        code = ExitCode.OK
    except Exception as error:
        from loguru import logger  # noqa: PLC0415 - only needed here when something unforeseen happens

        known = error if isinstance(error, UnforeseenError) else UnforeseenError(error)
        logger.opt(exception=error).debug("unexpected error")
        if not _logged(f"Unexpected error: {known}"):
            click.echo(
                f"Unexpected error: {known}\n"
                "  This is a fault in stellarstream or a plugin. Run again with --log-level debug for the traceback.",
                err=True,
            )
        code = ExitCode.UNEXPECTED
    sys.exit(int(code))


def _logged(text: str, error: StellarStreamError | None = None) -> bool:
    """Put into its log file why a process of the service ends; tell whether that was done."""
    if os.environ.get("STELLARSTREAM_SUPERVISED") != "1":
        return False
    from stellarstream_core.ops.supervised import log_end  # noqa: PLC0415 - only for a supervisor's processes

    return log_end(text, error)


def show_error(error: StellarStreamError) -> None:
    """Print what happened and what to do, without a traceback."""
    click.echo(f"{error.title}: {error.message}", err=True)
    if error.help:
        click.echo(f"  {error.help}", err=True)
