"""The hooks that Nebula offers to other plugins: stream families, prices of tokens, and more results of a search.

A plugin implements them like any hook, with ``stellarstream_core.hookimpl``; it need not import this module
for anything but the types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from stellarstream_core.hookspecs import hookspec

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.settings import Settings
    from stellarstream_nebula.families import StreamFamily


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What one whole token is worth in US dollars, as of ``as_of`` (Unix seconds).

    ``decimals`` is how many digits of the token's smallest unit make one (7 for Stellar assets). ``source`` names
    whose price it is, for people.
    """

    token: str
    usd: Decimal
    decimals: int
    as_of: int
    source: str


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What was searched for: ``text`` as it was given, without space around it, at most 200 characters.

    ``address`` is the text where it is an account or contract, ``tx_hash`` where it is a transaction's hash (in lower
    case); None else.
    """

    text: str
    address: str | None
    tx_hash: str | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Something that was found.

    ``kind`` says what it is (``invoice-link``), ``id`` which one; ``matched`` is what of it fits (``slug``, ``memo``,
    ``receiver``), ``title`` a line for people, ``path`` where the API has it, below ``/api/v1``. Nothing that is only
    for its owner: everybody may search.
    """

    kind: str
    id: str
    matched: str
    title: str
    path: str


@hookspec
def nebula_families() -> Sequence[StreamFamily]:
    """Return contract families whose events make streams; their decoders come from ``register_decoders``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def nebula_prices(settings: Settings, tokens: Sequence[str]) -> Sequence[TokenPrice]:
    """Return prices of some of these tokens (contract ids). Called for each answer: answer from memory."""
    raise AssertionError("a hook specification is never called")


@hookspec
def nebula_search(database: Database, query: SearchQuery, limit: int) -> Sequence[SearchResult]:
    """Return at most ``limit`` results of a search, best first, read in the snapshot that the answer is made of."""
    raise AssertionError("a hook specification is never called")
