"""Puts the generated module together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts.xdr_walker.emit import Skipper
from scripts.xdr_walker.layout import Layout
from scripts.xdr_walker.plan import FIRST, INLINE, READERS, SKIPPERS
from scripts.xdr_walker.read import Reader
from scripts.xdr_walker.schema import Schema, parse

PROTOCOL = 28
"""The protocol version that the schema is of."""

MAX_DEPTH = 1500
"""How many values of a recursive type may lie inside each other."""

ROOTS = ("LedgerCloseMetaBatch",)

SCHEMA = Path(__file__).with_name("ledger.x")
MODULE = Path(__file__).resolve().parents[2] / "stellarstream_core" / "xdr" / "ledger_walk.py"
_HEAD = Path(__file__).with_name("head.py.txt")


def kept_schema() -> Schema:
    """Return the schema that the repository keeps."""
    return parse(SCHEMA.read_text(encoding="utf-8"))


def generate(schema: Schema, skippers: Mapping[str, str] = SKIPPERS) -> str:
    """Return the text of the generated module; ``skippers`` maps public names to the types they step over."""
    skipper = Skipper(Layout(schema), FIRST, INLINE)
    for public, (name, plan) in READERS.items():
        Reader(skipper, plan).function(name, public)
    public_names = [f"{public} = {skipper.function(name)}" for public, name in skippers.items()]
    aliases = [f'{name}: TypeAlias = "{definition}"' for name, definition in skipper.aliases.items()]
    head = _HEAD.read_text(encoding="utf-8").format(protocol=PROTOCOL, max_depth=MAX_DEPTH)
    functions = "\n\n\n".join("\n".join(lines) for lines in skipper.functions.values())
    tables = "\n".join(f"{name} = {table}" for name, table in skipper.tables.items())
    return "\n".join((head, *aliases, "\n", functions, "\n", *public_names, "", tables, ""))
