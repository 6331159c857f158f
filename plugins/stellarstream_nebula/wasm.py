"""The custom sections of a wasm, read strictly and within bounds; nothing else of it is looked at.

A contract's code is written by strangers. Every length is checked against what is there before it is believed
(WebAssembly core specification, binary format: modules are a header and sections of an id, a size and content).
"""

from __future__ import annotations

from collections.abc import Iterator

from stellarstream_core.errors import StellarStreamError

LARGEST_WASM = 1024 * 1024
"""Bytes of a wasm that are read; the network's limit is an eighth of it."""

_HEADER = b"\0asm\1\0\0\0"
_CUSTOM, _LAST_KNOWN = 0, 13
_MOST_SECTIONS = 1_000


class WasmError(StellarStreamError):
    """A contract's code is not a wasm that can be read."""

    code = "contract-wasm"
    title = "Unreadable contract code"
    help = "Name the contract's generation in [plugins.nebula] contracts: its code is then not needed."


def custom_sections(wasm: bytes, name: str) -> Iterator[bytes]:
    """Yield the content of every custom section of this name, in order; raise :class:`WasmError`."""
    if len(wasm) > LARGEST_WASM:
        raise WasmError(f"The wasm has {len(wasm)} bytes; {LARGEST_WASM} are read at the most.")
    if wasm[: len(_HEADER)] != _HEADER:
        raise WasmError("The code is not a wasm module of version 1.")
    wanted, place, sections = name.encode(), len(_HEADER), 0
    while place < len(wasm):
        sections += 1
        if sections > _MOST_SECTIONS:
            raise WasmError(f"The wasm has more than {_MOST_SECTIONS} sections.")
        kind = wasm[place]
        if kind > _LAST_KNOWN:
            raise WasmError(f"The wasm has a section of the kind {kind}, which does not exist.")
        size, begin = _leb128(wasm, place + 1, len(wasm))
        place = begin + size
        if place > len(wasm):
            raise WasmError(f"A section of the wasm is cut off at byte {len(wasm)}.")
        if kind == _CUSTOM:
            length, start = _leb128(wasm, begin, place)
            if start + length > place:
                raise WasmError("The name of a custom section goes beyond the section.")
            if wasm[start : start + length] == wanted:
                yield wasm[start + length : place]


def _leb128(raw: bytes, place: int, end: int) -> tuple[int, int]:
    """Return an unsigned number of 32 bits in LEB128, and the place after it."""
    number = 0
    for shift in range(0, 35, 7):
        if place >= end:
            raise WasmError("A number of the wasm is cut off.")
        byte = raw[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if number >= 2**32:
                break
            return number, place
    raise WasmError("A number of the wasm does not fit 32 bits.")
