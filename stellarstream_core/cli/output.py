"""Printing results: JSON as one line on stdout, tables and counts for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import orjson

from stellarstream_core.sync.report import Gap


def print_json(value: Any) -> None:
    """Print one JSON object on one line."""
    click.echo(orjson.dumps(value).decode())


def print_gaps(gaps: Iterable[Gap], *, err: bool = False) -> None:
    """Print one line a gap."""
    for gap in gaps:
        click.echo(f"  missing {gap}", err=err)


def plural(count: int, noun: str) -> str:
    """Return ``1 event``, ``2 events``, ``1,234 events``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
