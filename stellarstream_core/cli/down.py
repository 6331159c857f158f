"""``stellarstream down``: end what 'up' started."""

from __future__ import annotations

import click

from stellarstream_core.cli.clustering import cluster_control
from stellarstream_core.cli.output import say
from stellarstream_core.ops.control import require_circus


@click.command()
@click.pass_context
def down(ctx: click.Context) -> None:
    """End the service that 'up' started, and wait until all of it has ended.

    Requests that are being answered are finished, live streams are told, the indexer finishes or drops its
    window. What does not end within five seconds is killed. A circusd that is busy with another command is waited
    for; one that does not answer gets SIGTERM. Where nothing runs nothing is done.
    """
    require_circus()
    control = cluster_control(ctx)
    from stellarstream_core.ops.ending import end_whatever  # noqa: PLC0415 - not needed to show help

    if end_whatever(control):
        say("Ended.")
    else:
        say(f"It does not run (run folder {control.run_dir}).")
