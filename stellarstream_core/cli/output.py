"""Printing results: JSON as one line on stdout, tables and counts for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import click
import orjson

from stellarstream_core.sync.report import Gap


def say(text: str, *, err: bool = False) -> None:
    """Print a line; where nobody reads it any more (a closed pipe), the work and the exit code stay what they are."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        silence(sys.stderr if err else sys.stdout)


def silence(stream: TextIO) -> None:
    """Send what is still buffered for a closed stream nowhere, so that Python's end does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_json(value: Any) -> None:
    """Print one JSON object on one line."""
    say(orjson.dumps(value).decode())


def print_gaps(gaps: Iterable[Gap], *, err: bool = False) -> None:
    """Print one line a gap."""
    for gap in gaps:
        say(f"  missing {gap}", err=err)


def plural(count: int, noun: str) -> str:
    """Return ``1 event``, ``2 events``, ``1,234 events``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
