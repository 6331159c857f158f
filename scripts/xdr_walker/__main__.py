"""Writes the generated walker, and the kept schema from the installed stellar-sdk."""

from __future__ import annotations

import click

from scripts.xdr_walker.module import MODULE, ROOTS, SCHEMA, generate, kept_schema
from scripts.xdr_walker.schema import write


@click.command()
@click.option("--from-sdk", is_flag=True, help="First take the schema from the installed stellar-sdk.")
@click.option("--check", is_flag=True, help="Write nothing; fail where the kept module is not the generated one.")
def main(from_sdk: bool, check: bool) -> None:
    """Write stellarstream_core/xdr/ledger_walk.py from scripts/xdr_walker/ledger.x."""
    if from_sdk:
        from scripts.xdr_walker.sdk import sdk_schema  # noqa: PLC0415 - slow, and only needed here

        SCHEMA.write_text(write(sdk_schema().reachable(*ROOTS)), encoding="utf-8")
    text = generate(kept_schema())
    if check:
        if text != MODULE.read_text(encoding="utf-8"):
            raise click.ClickException(f"{MODULE.name} is not what the schema gives: run python -m scripts.xdr_walker")
        return
    MODULE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
