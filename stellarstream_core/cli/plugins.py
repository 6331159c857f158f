"""``stellarstream plugins``: what is installed and what is broken."""

from __future__ import annotations

import click

from stellarstream_core.cli.options import json_option, runtime
from stellarstream_core.cli.output import print_json


@click.command()
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """Show every installed plugin with its version, its hooks, and why it is not active if it is not."""
    found = runtime(ctx).plugins
    found.ask_all()
    rows = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "state": plugin.state,
            "hooks": list(plugin.hooks),
            "error": plugin.error,
        }
        for plugin in found.all
    ]
    if as_json:
        print_json({"plugins": rows})
        return
    for row in rows:
        click.echo(f"{row['name']}  {row['version']}  ({row['distribution']})  {row['state']}")
        if row["hooks"]:
            click.echo(f"    {', '.join(map(str, row['hooks']))}")
        if row["error"]:
            click.echo(f"    {row['error']}")
