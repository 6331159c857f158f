"""``stellarstream migrate``: bring the schema forward."""

from __future__ import annotations

import click

from stellarstream_core.cli.options import database_option, runtime
from stellarstream_core.errors import SchemaError
from stellarstream_core.runtime import migrations


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 2 where the schema is not up to date.")
@database_option
@click.pass_context
def migrate(ctx: click.Context, check: bool, database: str | None) -> None:
    """Apply the migrations that the database lacks, the plugins' included.

    Make a backup first. A database written by a newer stellarstream is refused.
    """
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
    finally:
        storage.close()
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("the schema is up to date")
