"""Decoders: from a contract's raw events to named, typed ones.

A decoder knows one contract family. It tells an event by the types of its topics and the shape of its
data, never by a name alone: the same name means different things in different contracts. Which
contract is of which family is for whoever uses the decoder to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellarstream_core.events import ContractEvent

Field = int | str | bool | bytes | None | tuple["Field", ...]
"""A decoded field: integers of every width as ``int``, symbols, strings and addresses (strkeys) as ``str``."""


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """A contract event with its meaning.

    ``family`` is the contract family (``stellarstream-v2``), ``name`` what the contract calls the event
    (``create_v2``), ``variant`` which of the shapes known under that name it has (empty where there is
    one). ``fields`` are by name; what stood in topics and data twice is there once.
    """

    family: str
    name: str
    variant: str
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """A decoder that a plugin offers, by contract family.

    ``decode`` takes a batch of events of contracts of this family, in any order, and returns as many
    results in the same order: None for an event whose shape the family does not know. It never raises
    for what a ledger may hold, and it looks at nothing but topics and value. ``version`` changes whenever an
    event may be decoded otherwise than before: what was made of the family's events is then made anew.
    """

    family: str
    summary: str
    decode: Callable[[Sequence[ContractEvent]], Sequence[DecodedEvent | None]]
    version: str = ""
