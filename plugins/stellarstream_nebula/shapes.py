"""The shapes of contract events: written down as a table says them, compiled to the bytes they must be.

A shape is nearly all fixed bytes. The keys of a struct, the types of its values, the number of items: each has
one spelling in XDR, so a shape becomes a row of expected bytes with places for values between them. To compare
an event with it is to walk its bytes once; what does not fit at the first difference is not this event, and
nothing is decoded twice. How Rust values look as ScVals is soroban-sdk's: a struct is a map with its field names
as symbols in ascending order, a tuple a vec, a ``None`` void, an enum a vec that begins with its case's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import combinations
from typing import NamedTuple

from stellarstream_core.decoding import Field
from stellarstream_core.xdr.scval import Arm, ScValue, encode_scval
from stellarstream_nebula.readers import DIFFERENT, Differs, Reader, read_enum, read_items, read_symbol, reader_of, tag

# --- types ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Type:
    """What a field may be. ``head`` is how the bytes of each such value begin; ``read`` takes what follows.

    ``optional`` marks a key that some releases of a contract leave out.
    """

    label: str
    head: bytes
    read: Reader
    optional: bool = False


def _plain(label: str, arm: Arm) -> Type:
    return Type(label, tag(arm), reader_of(arm))


BOOL = _plain("bool", Arm.BOOL)
VOID = _plain("void", Arm.VOID)
U32 = _plain("u32", Arm.U32)
U64 = _plain("u64", Arm.U64)
I128 = _plain("i128", Arm.I128)
SYMBOL = _plain("symbol", Arm.SYMBOL)
ADDRESS = _plain("address", Arm.ADDRESS)

_VEC = tag(Arm.VEC) + tag(1)
_MAP = tag(Arm.MAP) + tag(1)


def _read_32(data: bytes, pos: int) -> tuple[Field, int]:
    return data[pos : pos + 32], pos + 32


BYTES32 = Type("bytes32", tag(Arm.BYTES) + tag(32), _read_32)
"""A hash or a public key (``BytesN<32>``), as ``bytes``."""

CASE = Type("enum case", _VEC + tag(1) + SYMBOL.head, read_symbol)
"""A case without content of an enum: a vec with its name, decoded to the name."""

ENUM = Type("enum case with content", _VEC, read_enum)
"""Any case of an enum: a vec that begins with its name, decoded to a tuple."""


def either(*types: Type) -> Type:
    """Return the type of a value that has one of these types; they begin with different tags."""

    def read(data: bytes, pos: int) -> tuple[Field, int]:
        for one in types:
            if data.startswith(one.head, pos):
                return one.read(data, pos + len(one.head))
        raise Differs

    return Type(" or ".join(one.label for one in types), b"", read)


def one_of(*names: str) -> Type:
    """Return the type of a symbol that is one of these."""

    def read(data: bytes, pos: int) -> tuple[Field, int]:
        name, end = read_symbol(data, pos)
        if name not in names:
            raise Differs
        return name, end

    return Type(f"symbol {'/'.join(names)}", SYMBOL.head, read)


def many(item: Type) -> Type:
    """Return the type of a list of any length, decoded to a tuple."""

    def read(data: bytes, pos: int) -> tuple[Field, int]:
        def one(data: bytes, pos: int) -> tuple[Field, int]:
            if not data.startswith(item.head, pos):
                raise Differs
            return item.read(data, pos + len(item.head))

        return read_items(data, pos, one)

    return Type(f"vec[{item.label}]", _VEC, read)


def maybe(type_: Type) -> Type:
    """Return the type of a struct's key that may be left out altogether; then there is no such field."""
    return replace(type_, optional=True)


# --- topics ---------------------------------------------------------------------------------


class Place(NamedTuple):
    """A named value in topics or data."""

    name: str
    type: Type


class NameTopic(Enum):
    """Stands for the topic that holds the event's own name."""

    NAME = "name"


Topic = NameTopic | str | Place
"""The name, another symbol that is always the same, or a value."""


def named(*symbols: str, **values: Type) -> tuple[Topic, ...]:
    """Return topics that begin with the event's name: then these symbols, then these values."""
    return (NameTopic.NAME, *symbols, *_places(values))


def numbered(**value: Type) -> tuple[Topic, ...]:
    """Return topics of an id and the event's name."""
    return (*_places(value), NameTopic.NAME)


# --- data -----------------------------------------------------------------------------------


class Kind(Enum):
    """How an event's data holds its fields."""

    MAP = "map"
    VEC = "vec"
    NEBULA = "NebulaEvent"
    SCALAR = "scalar"


@dataclass(frozen=True, slots=True)
class Data:
    """An event's data: its kind and its fields, in the order of the bytes."""

    kind: Kind
    fields: tuple[Place, ...]


def record(**fields: Type) -> Data:
    """Return a struct: exactly these keys. A trailing underscore keeps Python's own words apart (``from_``)."""
    return Data(Kind.MAP, tuple(sorted(_places(fields), key=lambda place: place.name)))


def positions(**items: Type) -> Data:
    """Return a tuple: exactly these items in this order."""
    return Data(Kind.VEC, _places(items))


def nebula(**items: Type) -> Data:
    """Return a ``NebulaEvent``: action (the event's name), version 2, timestamp, and exactly these items.

    The map's own ``timestamp`` becomes a field of that name.
    """
    return Data(Kind.NEBULA, _places(items))


def scalar(**value: Type) -> Data:
    """Return data that is one value and nothing around it."""
    return Data(Kind.SCALAR, _places(value))


NOTHING = Data(Kind.SCALAR, ())
"""Void: the event has no data."""


def _places(values: Mapping[str, Type]) -> tuple[Place, ...]:
    return tuple(Place(name.rstrip("_"), type_) for name, type_ in values.items())


# --- events ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """An event as one release of a contract publishes it, under ``name`` or one of the names in ``also``."""

    name: str
    topics: tuple[Topic, ...]
    data: Data
    variant: str = ""
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it is published under."""
        return (self.name, *self.also)


@dataclass(frozen=True, slots=True)
class Family:
    """Everything that the contracts of one family publish: today, and in releases that may still be deployed."""

    name: str
    summary: str
    head: tuple[Shape, ...]
    historical: tuple[Shape, ...] = ()

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All of them."""
        return self.head + self.historical


# --- compiling ------------------------------------------------------------------------------


class Step(NamedTuple):
    """Expected bytes, and the value after them."""

    expected: bytes
    size: int
    name: str
    read: Reader


class Row(NamedTuple):
    """Bytes with values between them; ``rest`` is what follows the last value."""

    steps: tuple[Step, ...]
    rest: bytes


class Layout(NamedTuple):
    """One spelling of a shape: how many topics it has, a row for each but the name's, and one for the data.

    ``head`` is how the data begins: it rules most other layouts of the same name out at a glance.
    """

    name: str
    variant: str
    size: int
    topics: tuple[tuple[int, Row], ...]
    data: Row
    head: bytes

    def fields(self, topics: Sequence[bytes], value: bytes) -> dict[str, Field] | None:
        """Return the fields of an event of this name that has this layout, None for any other.

        A name that stands in topics and data is one thing said twice: where the two differ it is
        another event.
        """
        if len(topics) != self.size or not value.startswith(self.head):
            return None
        found: dict[str, Field] = {}
        try:
            for at, row in self.topics:
                if not _take(row, topics[at], found):
                    return None
            return found if _take(self.data, value, found) else None
        except DIFFERENT:
            return None


def _take(row: Row, data: bytes, found: dict[str, Field]) -> bool:
    """Compare bytes with a row, and put its values into ``found``."""
    pos = 0
    for expected, size, name, read in row.steps:
        if not data.startswith(expected, pos):
            return False
        value, pos = read(data, pos + size)
        if found.setdefault(name, value) != value:
            return False
    # A value that is cut off ends behind the last byte, so it is the length that tells.
    return len(data) == pos + len(row.rest) and data.endswith(row.rest)


def layouts(shape: Shape) -> Iterator[tuple[Layout, int]]:
    """Yield each spelling of a shape, and which of its topics holds the name."""
    at = shape.topics.index(NameTopic.NAME)
    for name in shape.names:
        others = tuple((n, _row(_topic(topic))) for n, topic in enumerate(shape.topics) if topic is not NameTopic.NAME)
        for spelling in _spellings(shape.data):
            data = _row(_pieces(spelling, name))
            head = data.steps[0].expected if data.steps else data.rest
            yield Layout(name, shape.variant, len(shape.topics), others, data, head), at


def symbol_bytes(name: str) -> bytes:
    """Return the XDR of a symbol."""
    return encode_scval(ScValue(Arm.SYMBOL, name))


def _topic(topic: str | Place) -> list[bytes | Place]:
    return [symbol_bytes(topic)] if isinstance(topic, str) else [topic]


def _spellings(data: Data) -> Iterator[Data]:
    """Yield the data with and without each key that may be left out."""
    left_out = [place.name for place in data.fields if place.type.optional]
    for count in range(len(left_out) + 1):
        for without in combinations(left_out, count):
            yield replace(data, fields=tuple(place for place in data.fields if place.name not in without))


def _pieces(data: Data, name: str) -> Iterable[bytes | Place]:
    match data.kind:
        case Kind.MAP:
            yield _MAP + tag(len(data.fields))
            for place in data.fields:
                yield symbol_bytes(place.name)
                yield place
        case Kind.VEC:
            yield _VEC + tag(len(data.fields))
            yield from data.fields
        case Kind.NEBULA:
            yield _MAP + tag(4) + symbol_bytes("action") + symbol_bytes(name)
            yield symbol_bytes("data") + _VEC + tag(len(data.fields))
            yield from data.fields
            yield symbol_bytes("timestamp")
            yield Place("timestamp", U64)
            yield symbol_bytes("version") + U32.head + tag(2)
        case Kind.SCALAR:
            yield from data.fields or (VOID.head,)


def _row(pieces: Iterable[bytes | Place]) -> Row:
    steps, expected = [], b""
    for piece in pieces:
        if isinstance(piece, bytes):
            expected += piece
        else:
            expected += piece.type.head
            steps.append(Step(expected, len(expected), piece.name, piece.type.read))
            expected = b""
    return Row(tuple(steps), expected)
