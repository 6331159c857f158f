"""Readers of the values that stand in events: bytes and a position in, a value and the next position out.

They serve the shapes of :mod:`stellarstream_nebula.shapes`: a value that is not of the type is no error but
another event, so they raise one of :data:`DIFFERENT` and leave it to the shapes what that means. A value that is
cut off may be read short; its end then lies behind the last byte, where the walk over the event sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - an exception's name
from typing import TypeAlias

from stellarstream_core.decoding import Field
from stellarstream_core.xdr import strkey
from stellarstream_core.xdr.scval import Arm

Reader: TypeAlias = Callable[[bytes, int], tuple[Field, int]]
"""Takes the bytes and the position after a value's tag; returns the value and the position after it."""


class Differs(Exception):  # noqa: N818 - not an error: the event is another one
    """The bytes are not what the shape says."""


DIFFERENT = (Differs, StructError)
"""What the readers raise: the second where an integer is cut off."""


def tag(number: int) -> bytes:
    """Return the four bytes of an arm's number, a length or a flag."""
    return number.to_bytes(4, "big")


_integer = int.from_bytes
_ONE = tag(1)
_ZEROS = (b"", b"\0", b"\0\0", b"\0\0\0")
_SYMBOL = re.compile(rb"[A-Za-z0-9_]{0,32}")


def _integers(form: str, size: int) -> Reader:
    """Return the reader of integers that :mod:`struct` knows; it is twice as fast as slicing."""
    unpack = Struct(form).unpack_from

    def read(data: bytes, pos: int) -> tuple[Field, int]:
        return unpack(data, pos)[0], pos + size

    return read


def _wide_integers(form: str) -> Reader:
    """Return the reader of 128 bits: two words, the high one first."""
    unpack = Struct(form).unpack_from

    def read(data: bytes, pos: int) -> tuple[Field, int]:
        high, low = unpack(data, pos)
        return high << 64 | low, pos + 16

    return read


def _read_bool(data: bytes, pos: int) -> tuple[Field, int]:
    flag = _integer(data[pos : pos + 4], "big")
    if flag > 1:
        raise Differs
    return flag == 1, pos + 4


def _read_void(_data: bytes, pos: int) -> tuple[Field, int]:
    return None, pos


def _opaque(data: bytes, pos: int) -> tuple[bytes, int]:
    """Return what follows its length, and the position after the padding to a multiple of four."""
    start = pos + 4
    end = start + _integer(data[pos:start], "big")
    stop = end + 3 & -4
    if stop > len(data) or data[end:stop] != _ZEROS[stop - end]:
        raise Differs
    return data[start:end], stop


def read_symbol(data: bytes, pos: int) -> tuple[Field, int]:
    """Read a symbol: at most 32 letters, digits and underscores, as the network has it."""
    raw, end = _opaque(data, pos)
    if _SYMBOL.fullmatch(raw) is None:
        raise Differs
    return raw.decode("ascii"), end


def _read_string(data: bytes, pos: int) -> tuple[Field, int]:
    raw, end = _opaque(data, pos)
    try:
        return raw.decode("utf-8"), end
    except UnicodeDecodeError:
        return raw, end


_ACCOUNT = tag(0) + tag(0)
_CONTRACT = tag(1)


def _read_address(data: bytes, pos: int) -> tuple[Field, int]:
    """Read an account or a contract as its strkey: a contract's ``Address`` is no other kind (CAP-67)."""
    if data.startswith(_CONTRACT, pos):
        start, version = pos + 4, strkey.VERSION_CONTRACT
    elif data.startswith(_ACCOUNT, pos):
        start, version = pos + 8, strkey.VERSION_ACCOUNT
    else:
        raise Differs
    end = start + 32
    if end > len(data):
        raise Differs
    return strkey.encode(version, data[start:end]), end


def read_items(data: bytes, pos: int, one: Reader) -> tuple[tuple[Field, ...], int]:
    """Read a number and so many values, each by ``one`` (which starts at the value's tag)."""
    count = _integer(data[pos : pos + 4], "big")
    pos += 4
    if pos + 4 * count > len(data):  # a length is believed only as far as there are bytes for it
        raise Differs
    items = []
    for _ in range(count):
        value, pos = one(data, pos)
        items.append(value)
    return tuple(items), pos


def read_enum(data: bytes, pos: int) -> tuple[Field, int]:
    """Read a case of any enum after its vec's head: its name, then plain values and lists of them."""
    items, end = read_items(data, pos, _read_content)
    if not items or not data.startswith(tag(Arm.SYMBOL), pos + 4):
        raise Differs
    return items, end


def _read_content(data: bytes, pos: int) -> tuple[Field, int]:
    if data.startswith(_LIST, pos):
        return read_items(data, pos + 8, read_any)
    return read_any(data, pos)


def read_any(data: bytes, pos: int) -> tuple[Field, int]:
    """Read a value of any arm that holds no others, from its tag on."""
    read = _READERS.get(data[pos : pos + 4])
    if read is None:
        raise Differs
    return read(data, pos + 4)


_LIST = tag(Arm.VEC) + _ONE

_READERS: dict[bytes, Reader] = {
    tag(arm): read
    for arm, read in {
        Arm.BOOL: _read_bool,
        Arm.VOID: _read_void,
        Arm.U32: _integers(">I", 4),
        Arm.I32: _integers(">i", 4),
        Arm.U64: _integers(">Q", 8),
        Arm.I64: _integers(">q", 8),
        Arm.U128: _wide_integers(">QQ"),
        Arm.I128: _wide_integers(">qQ"),
        Arm.BYTES: _opaque,
        Arm.STRING: _read_string,
        Arm.SYMBOL: read_symbol,
        Arm.ADDRESS: _read_address,
    }.items()
}


def reader_of(arm: Arm) -> Reader:
    """Return the reader of an arm that holds no others."""
    return _READERS[tag(arm)]
