"""XDR (RFC 4506) by hand: numbers, opaque bytes, lists and options as bytes.

A general XDR library spends hundreds of microseconds on one event; a network that has to come up
with thousands of ledgers in seconds puts its few shapes together from these pieces instead. The
tests read every result back with stellar-sdk.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

u32 = struct.Struct(">I").pack
i32 = struct.Struct(">i").pack
u64 = struct.Struct(">Q").pack
i64 = struct.Struct(">q").pack

ZERO = u32(0)
"""Void extension points, empty lists, absent options and false are all four zero bytes."""
ONE = u32(1)
"""Present options and true."""

_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


def opaque(raw: bytes) -> bytes:
    """Return bytes of variable length, padded to a multiple of four."""
    return u32(len(raw)) + raw + _PADDING[len(raw) & 3]


def array(items: Sequence[bytes]) -> bytes:
    """Return a list of items that are XDR already."""
    return u32(len(items)) + b"".join(items)


def option(item: bytes | None) -> bytes:
    """Return an optional item."""
    return ZERO if item is None else ONE + item
