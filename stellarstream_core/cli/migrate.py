"""``stellarstream migrate``: bring the schema forward, and begin a new history of commits after a restore."""

from __future__ import annotations

import click

from stellarstream_core.cli.options import database_option, runtime
from stellarstream_core.errors import SchemaError, UsageError
from stellarstream_core.runtime import migrations


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 2 where the schema is not up to date.")
@click.option(
    "--new-epoch", is_flag=True, help="After restoring a backup: tell live readers that they must start again."
)
@database_option
@click.pass_context
def migrate(ctx: click.Context, check: bool, new_epoch: bool, database: str | None) -> None:
    """Apply the migrations that the database lacks, the plugins' included.

    Make a backup first. A database written by a newer stellarstream is refused.

    A restored backup lacks the newest commits, and will give their numbers to others. With
    --new-epoch it gets a new name for its history, so that whoever followed the lost ones notices.
    """
    if check and new_epoch:
        raise UsageError("--check changes nothing, --new-epoch does.", help="Give one of the two.")
    found = runtime(ctx, database_url=database)
    storage = found.connect_storage()
    try:
        schema = storage.schema()
        if schema.unknown:
            raise SchemaError(
                f"The database {storage.url} has migrations this version does not know: {', '.join(schema.unknown)}.",
                help="Upgrade stellarstream, or use another database.",
            )
        if check and schema.pending:
            raise SchemaError(
                f"The database {storage.url} lacks {migrations(schema.pending)}.", help="Run 'stellarstream migrate'."
            )
        applied = [] if check else storage.migrate()
        epoch = storage.begin_epoch() if new_epoch else None
    finally:
        storage.close()
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("the schema is up to date")
    if epoch is not None:
        click.echo(f"new epoch {epoch}: live readers start again")
