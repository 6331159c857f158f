"""The ``stellarstream`` command. One module a subcommand; each is imported when it is used."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from stellarstream_core.cli.app import run  # noqa: PLC0415 - keeps 'import stellarstream_core.cli' free of click

    run()
