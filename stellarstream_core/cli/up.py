"""``stellarstream up``: the whole service, under circus."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from stellarstream_core.cli.clustering import cluster_runtime
from stellarstream_core.cli.doctor import examine
from stellarstream_core.cli.output import plural, say
from stellarstream_core.ops.checks import check_configuration, make_folders
from stellarstream_core.ops.control import Control, require_circus
from stellarstream_core.ops.environment import (
    CTL_ENDPOINT,
    LOG_DIR,
    RUN_DIR,
    Wishes,
    address_of,
    as_lines,
    cluster_environment,
    starts_indexer,
)
from stellarstream_core.ops.workers import MOST_WORKERS
from stellarstream_core.runtime import Runtime

if TYPE_CHECKING:
    from stellarstream_core.ops.starting import Ready

LOCK_NAME = "up.lock"
LOCK_SECONDS = 120.0


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    help="API workers. Default: API_WORKERS, else one for each core that may be used.",
)
@click.option(
    "--indexer/--no-indexer",
    default=None,
    help="Whether an indexer runs on this machine. Default: one does, unless INDEXERS is 0.",
)
@click.option("--foreground", is_flag=True, help="Stay, as circusd itself: for systemd and containers.")
@click.option("--print-env", is_flag=True, help="Print the variables that circusd needs for circus.ini, and end.")
@click.pass_context
def up(ctx: click.Context, workers: int | None, indexer: bool | None, foreground: bool, print_env: bool) -> None:
    """Start the whole service under circus: API workers behind one socket, one indexer, a health monitor.

    \b
    stellarstream up                  start it in the background and wait until it is ready
    stellarstream cluster status      how every process is
    stellarstream down                end it

    The configuration is checked first. 'secret_key' and 'signing_key' must be set, 'contracts' too, and the
    database must fit this version: after an upgrade run 'stellarstream migrate'. An empty one is prepared.
    Where it runs already nothing is changed. A process that ends is started again, one that leaks or hangs
    is replaced; 'alert_webhook' hears of it. --config, --no-plugins and --log-level hold for all of them.

    Everything can be done with circusctl as well: 'up' prints where it finds circusd.
    """
    require_circus()
    found, home, config = cluster_runtime(ctx)
    wishes = Wishes(config, workers, indexer, found.built_in_only, _log_level(ctx))
    environment = cluster_environment(found.settings, home, wishes)
    # the control is imported with what it needs; circus itself only once something is to be started
    from stellarstream_core.api.run_dir import alone  # noqa: PLC0415

    run_dir = Path(environment[RUN_DIR])
    make_folders(run_dir, Path(environment[LOG_DIR]))
    if print_env:  # for a circusd that writes into these folders at once, and looks at neither
        say(as_lines(environment))
        return
    if foreground:
        _foreground(found, environment)
        return
    with alone(run_dir, LOCK_NAME, LOCK_SECONDS):
        if Control(run_dir).running():
            say(f"It runs already (run folder {run_dir}). Nothing was changed.")
            return
        _background(found, environment)


def _foreground(found: Runtime, environment: Mapping[str, str]) -> None:
    from stellarstream_core.ops.starting import become_circusd, clear_the_way  # noqa: PLC0415 - not needed to show help

    if Control(Path(environment[RUN_DIR])).running():
        say(f"It runs already (run folder {environment[RUN_DIR]}). Nothing was changed.")
        return
    check_configuration(found, indexer=starts_indexer(environment))
    clear_the_way(environment)
    say(f"Serving {address_of(environment)}; steer it: {_circusctl(environment)} status")
    become_circusd(environment)


def _background(found: Runtime, environment: Mapping[str, str]) -> None:
    from stellarstream_core.ops.starting import clear_the_way, start, wait_until_ready  # noqa: PLC0415 - as above

    check_configuration(found, indexer=starts_indexer(environment))
    for name, health in asyncio.run(examine(found)).items():
        if not health.ok:
            say(f"doctor: {name}: {health.detail}", err=True)
    clear_the_way(environment)
    process = start(environment)
    say(_what_next(environment, wait_until_ready(process, environment), process.pid))


def _log_level(ctx: click.Context) -> str | None:
    """Return the level that was asked for on the command line; the processes read the variable themselves."""
    root = ctx.find_root()
    asked = root.get_parameter_source("log_level") is ParameterSource.COMMANDLINE
    return str(root.params["log_level"]) if asked else None


def _circusctl(environment: Mapping[str, str]) -> str:
    return f"circusctl --endpoint {environment[CTL_ENDPOINT]}"


def _what_next(environment: Mapping[str, str], ready: Ready, pid: int) -> str:
    indexer = "an indexer"
    if ready.indexer is None:
        indexer = "no indexer"
    elif ready.indexer.value == "standby":
        indexer = "an indexer that stands by"
    workers = f"{plural(ready.workers, 'API worker')} on {address_of(environment)}"
    return f"""\
Running: {workers}, {indexer} and a health monitor; circusd is process {pid}.

  stellarstream cluster status     how every process is
  stellarstream logs --follow      what they log; the files are in {environment[LOG_DIR]}
  stellarstream cluster ctl reload new code for every process, no request lost (after an upgrade: 'migrate' first)
  stellarstream down               end it

The same with circusctl (status, reload api, incr api, decr api, restart, stats):

  export {CTL_ENDPOINT}={environment[CTL_ENDPOINT]}
  circusctl status"""
