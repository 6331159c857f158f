"""The decoders of the StellarStream contracts, made from the catalogue; and how an unknown event is described."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING

from stellarstream_core.decoding import DecodedEvent, DecoderSpec
from stellarstream_core.errors import StellarStreamError
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval
from stellarstream_nebula.catalogue import FAMILIES
from stellarstream_nebula.shapes import Family, Layout, Place, Shape, layouts, symbol_bytes

if TYPE_CHECKING:
    from stellarstream_core.events import ContractEvent


CODE = 1
"""Raised whenever the same shapes decode the same bytes to something else: part of :func:`version_of`."""


def decoder_specs() -> tuple[DecoderSpec, ...]:
    """Return the decoder of each family of the catalogue."""
    return tuple(decoder_spec(family) for family in FAMILIES)


def decoder_spec(family: Family) -> DecoderSpec:
    """Return the decoder of a family, under the version that its shapes make."""
    return DecoderSpec(family.name, family.summary, decoder(family), version_of(family))


def version_of(family: Family) -> str:
    """Return a digest of a family's shapes: another one wherever another event, or other fields of it, are known."""
    return sha256("\n".join([str(CODE), *map(_told, family.shapes)]).encode()).hexdigest()[:16]


def _told(shape: Shape) -> str:
    def place(one: Place) -> list[str | bool]:
        return [one.name, one.type.label, one.type.optional]

    topics = [place(topic) if isinstance(topic, Place) else str(topic) for topic in shape.topics]
    data = [shape.data.kind.value, *(place(one) for one in shape.data.fields)]
    return repr([*shape.names, shape.variant, topics, data])


def decoder(family: Family) -> Callable[[Sequence[ContractEvent]], list[DecodedEvent | None]]:
    """Return the function that decodes events of this family; see :class:`DecoderSpec` for what it promises.

    An event is looked up by the bytes of its name topic, and then compared with the few layouts known under
    that name. No two layouts fit the same bytes.
    """
    first, second = _by_name(family)

    def decode(events: Sequence[ContractEvent]) -> list[DecodedEvent | None]:
        return [one(event.topics, event.value) for event in events]

    def one(topics: Sequence[bytes], value: bytes) -> DecodedEvent | None:
        if not topics:
            return None
        known: Sequence[Layout] = first.get(topics[0], ())
        if not known and len(topics) > 1:
            known = second.get(topics[1], ())
        for layout in known:
            fields = layout.fields(topics, value)
            if fields is not None:
                return DecodedEvent(family.name, layout.name, layout.variant, fields)
        return None

    return decode


def _by_name(family: Family) -> tuple[dict[bytes, list[Layout]], dict[bytes, list[Layout]]]:
    """Return the layouts by the bytes of the name topic: those where it is the first, those where it is the second."""
    places: tuple[dict[bytes, list[Layout]], dict[bytes, list[Layout]]] = defaultdict(list), defaultdict(list)
    for shape in family.shapes:
        for layout, at in layouts(shape):
            places[at][symbol_bytes(layout.name)].append(layout)
    return dict(places[0]), dict(places[1])


# --- unknown events -------------------------------------------------------------------------

LONGEST_SHAPE = 240
"""Characters a description has at the most."""

_MOST_ITEMS = 12
_DEEPEST = 3
_NAME = re.compile(r"[A-Za-z0-9_]{1,32}")


def describe_shape(event: ContractEvent) -> str:
    """Return what is known of an event whatever it says: ``(symbol create_v2, address) map{u64, vec[i128]}``.

    One line: the topics' types, then the types of the data, in their order. It holds no values, so that equal
    shapes are counted together: no ids, addresses, numbers or keys; of symbols only the one that names the
    event (the first topic, or the second after a number). What is nested or long is cut short.
    """
    topics = [_decoded(raw) for raw in event.topics]
    name = _name_topic(topics)
    described = (_named(topic) if at == name else _type(topic, _DEEPEST) for at, topic in enumerate(topics))
    text = f"({_listed(described)}) {_type(_decoded(event.value), 0)}"
    return text if len(text) <= LONGEST_SHAPE else f"{text[: LONGEST_SHAPE - 1]}…"


def _decoded(raw: bytes) -> ScValue | None:
    try:
        return decode_scval(raw)
    except StellarStreamError:
        return None


def _name_topic(topics: Sequence[ScValue | None]) -> int | None:
    """Return which topic names the event."""
    arms = [None if topic is None else topic.arm for topic in topics[:2]]
    if arms[:1] == [Arm.SYMBOL]:
        return 0
    return 1 if arms == [Arm.U64, Arm.SYMBOL] else None


def _named(topic: ScValue | None) -> str:
    text = "" if topic is None else topic.value
    known = isinstance(text, str) and _NAME.fullmatch(text)
    return f"symbol {text}" if known else "symbol"


def _type(value: ScValue | None, depth: int) -> str:
    if value is None:
        return "unreadable"
    arm, content = value
    label = arm.name.lower()
    if content is None or arm not in {Arm.VEC, Arm.MAP} or depth >= _DEEPEST:
        return label
    if arm is Arm.VEC:
        return f"vec[{_listed(_type(item, depth + 1) for item in content)}]"
    by_symbol = all(key.arm is Arm.SYMBOL for key, _ in content)
    prefix = "" if by_symbol else "key "
    return f"map{{{_listed(f'{prefix}{_type(item, depth + 1)}' for _, item in content)}}}"


def _listed(labels: Iterable[str]) -> str:
    found = list(islice(labels, _MOST_ITEMS + 1))
    return ", ".join(found if len(found) <= _MOST_ITEMS else [*found[:_MOST_ITEMS], "…"])
