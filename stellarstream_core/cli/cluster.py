"""``stellarstream cluster``: how the service that 'up' started is, and steering it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from stellarstream_core.cli.clustering import cluster_control
from stellarstream_core.cli.options import json_option
from stellarstream_core.cli.output import plural, print_json, say
from stellarstream_core.errors import ExitCode
from stellarstream_core.ops.control import NotRunningError, require_circus

SHOWN_ALERTS = 5


@click.group()
def cluster() -> None:
    """Show and steer the service that 'up' started.

    \b
    stellarstream cluster status
    stellarstream cluster ctl reload api     the same as circusctl, which is told where circusd is
    """


@cluster.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show every process: its state, memory, CPU and age, and the newest alerts.

    Exit code 0 where everything runs that should, 2 otherwise.
    """
    require_circus()
    control = cluster_control(ctx)
    from stellarstream_core.ops.overview import read_overview  # noqa: PLC0415 - not needed to show help

    try:
        overview = read_overview(control)
    except NotRunningError as error:
        if not as_json:
            raise
        print_json({"running": False, "well": False, "detail": error.message})
        ctx.exit(ExitCode.USAGE)
    if as_json:
        print_json(overview)
    else:
        for line in _lines(overview):
            say(line)
    if not overview["well"]:
        ctx.exit(ExitCode.USAGE)


@cluster.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def ctl(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run circusctl for this deployment, with time enough for a reload.

    \b
    stellarstream cluster ctl status
    stellarstream cluster ctl reload api
    stellarstream cluster ctl incr api

    circusd carries out one command after the other, and refuses one while another runs: here it waits for its
    turn, for a minute at the most. The exit code is circusctl's: 0 where the command was carried out. Where new
    workers did not become ready in a reload it is 1, and that is said.
    """
    require_circus()
    control, began = cluster_control(ctx), time.time()
    from stellarstream_core.ops.circusctl import require_command, require_reloaded, run_circusctl  # noqa: PLC0415 - likewise

    require_command(control, arguments)
    answer = run_circusctl(control, arguments)
    if not answer.code:
        require_reloaded(control, arguments, began)
    click.echo(answer.output, nl=False)
    click.echo(answer.error, nl=False, err=True)
    ctx.exit(answer.code)


def _lines(overview: dict[str, Any]) -> Iterator[str]:
    rows = [("", "PID", "STATE", "AGE", "MEMORY", "CPU", "BEAT")]
    for name, watcher in overview["watchers"].items():
        rows.append((f"{name} ({watcher['text']})", "", "", "", "", "", ""))
        for one in watcher["processes"]:
            cpu = "" if one["cpu"] is None else f"{one['cpu']:.0f} %"
            beat = "" if one["beatAge"] is None else f"{one['beatAge']:.1f} s ago"
            memory = "" if one["memory"] is None else f"{one['memory'] // 1_000_000} MB"
            rows.append(("", str(one["pid"]), one["state"] or "", _age(one["age"]), memory, cpu, beat))
    widths = [max(len(row[column]) for row in rows[:1] + [row for row in rows if row[1]]) for column in range(1, 7)]
    for name, *cells in rows:
        yield (
            name
            if name
            else "  ".join(["", *(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))]).rstrip()
        )
    alerts = overview["alerts"]
    if alerts:
        yield ""
        yield f"newest of {plural(overview['alertCount'], 'alert')}:"
        for alert in alerts[-SHOWN_ALERTS:]:
            at = datetime.fromtimestamp(alert["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
            yield f"  {at} UTC  {alert['kind']}: {alert['text']}"
    if overview["monitor"] is not None:
        yield ""
        yield f"The health monitor {overview['monitor']}."


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"
