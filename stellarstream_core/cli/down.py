"""``stellarstream down``: end what 'up' started."""

from __future__ import annotations

import click

from stellarstream_core.cli.clustering import cluster_runtime
from stellarstream_core.cli.output import say
from stellarstream_core.ops.control import Control, require_circus
from stellarstream_core.ops.environment import run_folder


@click.command()
@click.pass_context
def down(ctx: click.Context) -> None:
    """End the service that 'up' started, and wait until all of it has ended.

    Requests that are being answered are finished, live streams are told, the indexer finishes or drops its
    window. What does not end within five seconds is killed. Where nothing runs nothing is done.
    """
    require_circus()
    found, _, _ = cluster_runtime(ctx)
    from stellarstream_core.ops.starting import end  # noqa: PLC0415 - not needed to show help

    run_dir = run_folder(found.settings)
    if end(Control(run_dir)):
        say("Ended.")
    else:
        say(f"It does not run (run folder {run_dir}).")
