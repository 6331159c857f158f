"""The strict walk over the bytes of one ScVal; what it builds on the way is decided by a view.

There is one reader for each arm and one loop for the arms that hold others, so that every view
refuses the same bytes. The loop keeps its own stack: depth is a number, not Python's recursion.

Slices past the end are short, not an error, so the readers need no check of their own where a
short slice does no harm: the position runs past the end and the walk refuses it there. Nothing is
ever allocated by a length that the bytes claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar

from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.xdr import strkey
from stellarstream_core.xdr.scval_types import (
    MAX_NESTING,
    MAX_SYMBOL,
    Arm,
    ErrorCode,
    ErrorType,
    Executable,
    ExecutableType,
    ScError,
)

T = TypeVar("T")

Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""Takes the bytes and the position after the arm's tag; returns the plain value and the position after it."""

Close: TypeAlias = Callable[[list[T], list[bytes]], T]
"""Makes a container of its items and the tags they had in the bytes."""

_integer = int.from_bytes


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """What a walk makes of each arm.

    ``build`` maps arms without ScVals inside to a function of the plain value (as
    :class:`~stellarstream_core.xdr.scval_types.ScValue` holds it); an arm left out stays plain.
    ``vec`` and ``map`` get the items and their tags (4 bytes, the arm's number); a map's items
    alternate between keys and values. ``instance`` gets what ``map`` made of the storage, or None.
    ``absent`` is called for a vec or a map whose optional is not set.
    """

    build: Mapping[Arm, Callable[[Any], T]]
    vec: Close[T]
    map: Close[T]
    instance: Callable[[Executable, T | None], T]
    absent: Callable[[Arm], T]


# --- refusals -------------------------------------------------------------------------------


def _truncated(data: bytes) -> XdrError:
    return XdrError(f"The ScVal is truncated: it needs more than its {len(data)} bytes.")


def _unknown(data: bytes, pos: int, name: str) -> XdrError:
    """Return the error for a union or enum number that is in no table: unknown, or cut off."""
    number = data[pos : pos + 4]
    if len(number) < 4:
        return _truncated(data)
    return ProtocolUpgradeNeededError(
        f"{name} {_integer(number, 'big', signed=True)} at byte {pos} is not known to this release."
    )


def _bad_flag(data: bytes, pos: int, what: str) -> XdrError:
    flag = data[pos : pos + 4]
    if len(flag) < 4:
        return _truncated(data)
    return XdrError(f"{what} at byte {pos} must be 0 or 1, not {_integer(flag, 'big')}.")


def _refuse_end(data: bytes, pos: int) -> NoReturn:
    if pos > len(data):
        raise _truncated(data)
    raise XdrError(f"The ScVal ends at byte {pos}, but {len(data) - pos} more follow.")


# --- readers --------------------------------------------------------------------------------


def tag_of(number: int) -> bytes:
    """Return the four bytes that an enum number or a flag has in XDR."""
    return number.to_bytes(4, "big", signed=True)


_FLAGS = {tag_of(0): False, tag_of(1): True}
_ZEROS = (b"", b"\0", b"\0\0", b"\0\0\0")


def _read_bool(data: bytes, pos: int) -> tuple[bool, int]:
    flag = _FLAGS.get(data[pos : pos + 4])
    if flag is None:
        raise _bad_flag(data, pos, "A bool")
    return flag, pos + 4


def _read_nothing(data: bytes, pos: int) -> tuple[None, int]:
    return None, pos


def _unsigned(size: int) -> Reader:
    def read(data: bytes, pos: int) -> tuple[int, int]:
        end = pos + size
        return _integer(data[pos:end], "big"), end

    return read


def _signed(size: int) -> Reader:
    def read(data: bytes, pos: int) -> tuple[int, int]:
        end = pos + size
        return _integer(data[pos:end], "big", signed=True), end

    return read


def _padded(data: bytes, end: int) -> int:
    """Check the padding after content that ends at ``end``; return the position after it.

    Every field of an ScVal begins at a multiple of four, so the padding reaches to the next one.
    """
    stop = end + 3 & -4
    if stop > len(data):
        raise _truncated(data)
    if data[end:stop] != _ZEROS[stop - end]:
        raise XdrError(f"The padding at byte {end} is not zero.")
    return stop


def _read_bytes(data: bytes, pos: int) -> tuple[bytes, int]:
    start = pos + 4
    end = start + _integer(data[pos:start], "big")
    return data[start:end], _padded(data, end)


def _text(most: int) -> Reader:
    """Return the reader of an XDR string of ``most`` bytes: str, or bytes where it is not UTF-8."""

    def read(data: bytes, pos: int) -> tuple[str | bytes, int]:
        start = pos + 4
        size = _integer(data[pos:start], "big")
        if size > most:
            raise XdrError(f"The text at byte {pos} claims {size} bytes; {most} is the most.")
        end = start + size
        stop = _padded(data, end) if size & 3 else end
        raw = data[start:end]
        try:
            return raw.decode("utf-8"), stop
        except UnicodeDecodeError:
            return raw, stop

    return read


_read_string = _text(0xFFFFFFFF)

_ACCOUNT, _CONTRACT, _MUXED, _CLAIMABLE, _POOL = (tag_of(kind) for kind in range(5))
_FIRST = tag_of(0)
"""The only number known of ``PublicKeyType`` and of ``ClaimableBalanceIDType``."""


def _read_address(data: bytes, pos: int) -> tuple[str, int]:
    """Read an ``SCAddress`` as its strkey (SEP-23, CAP-67)."""
    kind = data[pos : pos + 4]
    start = pos + 4
    if kind == _CONTRACT:
        end = start + 32
        version, payload = strkey.VERSION_CONTRACT, data[start:end]
    elif kind == _ACCOUNT:
        end = start + 36
        if data[start : start + 4] != _FIRST:
            raise _unknown(data, start, "PublicKeyType")
        version, payload = strkey.VERSION_ACCOUNT, data[start + 4 : end]
    elif kind == _MUXED:
        end = start + 40
        version, payload = strkey.VERSION_MUXED_ACCOUNT, data[start + 8 : end] + data[start : start + 8]
    elif kind == _CLAIMABLE:
        end = start + 36
        if data[start : start + 4] != _FIRST:
            raise _unknown(data, start, "ClaimableBalanceIDType")
        version, payload = strkey.VERSION_CLAIMABLE_BALANCE, data[start + 3 : end]
    elif kind == _POOL:
        end = start + 32
        version, payload = strkey.VERSION_LIQUIDITY_POOL, data[start:end]
    else:
        raise _unknown(data, pos, "SCAddressType")
    if end > len(data):
        raise _truncated(data)
    return strkey.encode(version, payload), end


_ERROR_TYPES = {tag_of(kind): kind for kind in ErrorType}
_ERROR_CODES = {tag_of(code): code for code in ErrorCode}
_EXECUTABLE_TYPES = {tag_of(kind): kind for kind in ExecutableType}


def _read_error(data: bytes, pos: int) -> tuple[ScError, int]:
    kind = _ERROR_TYPES.get(data[pos : pos + 4])
    if kind is None:
        raise _unknown(data, pos, "SCErrorType")
    number = data[pos + 4 : pos + 8]
    if kind is ErrorType.CONTRACT:
        return ScError(kind, _integer(number, "big")), pos + 8
    code = _ERROR_CODES.get(number)
    if code is None:
        raise _unknown(data, pos + 4, "SCErrorCode")
    return ScError(kind, code), pos + 8


def _read_executable(data: bytes, pos: int) -> tuple[Executable, int]:
    kind = _EXECUTABLE_TYPES.get(data[pos : pos + 4])
    pos += 4
    if kind is ExecutableType.WASM:
        return Executable(kind, wasm_hash=data[pos : pos + 32]), pos + 32
    if kind is ExecutableType.STELLAR_ASSET:
        return Executable(kind), pos
    if kind is ExecutableType.EXTERNAL_REF:
        owner, pos = _read_address(data, pos)
        tag, pos = _read_string(data, pos)
        return Executable(kind, owner=owner, tag=tag), pos
    raise _unknown(data, pos - 4, "ContractExecutableType")


_READERS: dict[Arm, Reader] = {
    Arm.BOOL: _read_bool,
    Arm.VOID: _read_nothing,
    Arm.ERROR: _read_error,
    Arm.U32: _unsigned(4),
    Arm.I32: _signed(4),
    Arm.U64: _unsigned(8),
    Arm.I64: _signed(8),
    Arm.TIMEPOINT: _unsigned(8),
    Arm.DURATION: _unsigned(8),
    # The Parts structs are big-endian words, the highest first: together one big-endian integer.
    Arm.U128: _unsigned(16),
    Arm.I128: _signed(16),
    Arm.U256: _unsigned(32),
    Arm.I256: _signed(32),
    Arm.BYTES: _read_bytes,
    Arm.STRING: _read_string,
    Arm.SYMBOL: _text(MAX_SYMBOL),
    Arm.ADDRESS: _read_address,
    Arm.LEDGER_KEY_CONTRACT_INSTANCE: _read_nothing,
    Arm.LEDGER_KEY_NONCE: _signed(8),
    Arm.EXECUTABLE_TAG: _read_string,
}
"""The arms that hold no other ScVal."""

_VEC, _MAP, _INSTANCE = tag_of(Arm.VEC), tag_of(Arm.MAP), tag_of(Arm.CONTRACT_INSTANCE)


# --- the walk -------------------------------------------------------------------------------


def decoder(view: View[T]) -> Callable[[bytes], T]:
    """Return the function that decodes the XDR of one ScVal through ``view``.

    It raises :class:`XdrError` for bytes that are not exactly one ScVal, and
    :class:`ProtocolUpgradeNeededError` for a union arm or enum number of a newer protocol.
    """
    leaves = {tag_of(arm): (read, view.build.get(arm)) for arm, read in _READERS.items()}

    def decode(data: bytes) -> T:
        leaf = leaves.get(data[:4])
        if leaf is None:
            value, pos = _walk(data, view, leaves)
        else:
            read, build = leaf
            value, pos = read(data, 4)
            if build is not None:
                value = build(value)
        if pos != len(data):
            _refuse_end(data, pos)
        return value

    return decode


def _walk(
    data: bytes, view: View[T], leaves: Mapping[bytes, tuple[Reader, Callable[[Any], T] | None]]
) -> tuple[T, int]:
    """Read a value that may hold others; return it and the position after it."""
    pos = nesting = weight = 0
    items: list[T] = []
    tags: list[bytes] = []
    left = 1
    close: Close[T] = view.vec  # never called for the outermost list, which is only the place of the result
    open_containers: list[tuple[list[T], list[bytes], int, Close[T], int]] = []
    while True:
        tag = data[pos : pos + 4]
        tags.append(tag)
        leaf = leaves.get(tag)
        if leaf is not None:
            read, build = leaf
            value, pos = read(data, pos + 4)
            if build is not None:
                value = build(value)
        else:
            count, close_new, weight_new, pos = _open(data, pos, tag, view)
            if nesting + weight_new > MAX_NESTING:
                raise XdrError(f"The ScVal nests deeper than {MAX_NESTING} levels at byte {pos}.")
            if count:
                open_containers.append((items, tags, left, close, weight))
                items, tags, left, close, weight = [], [], count, close_new, weight_new
                nesting += weight
                continue
            value = close_new([], [])
        items.append(value)
        left -= 1
        while not left:
            if not open_containers:
                return items[0], pos
            value = close(items, tags)
            nesting -= weight
            items, tags, left, close, weight = open_containers.pop()
            items.append(value)
            left -= 1


def _open(data: bytes, pos: int, tag: bytes, view: View[T]) -> tuple[int, Close[T], int, int]:
    """Read a container's head; return how many ScVals follow, how to close it, its weight, the position."""
    close: Close[T]
    absent: Callable[[], T]
    if tag == _VEC:
        weight, values_an_item, close, absent = 1, 1, view.vec, partial(view.absent, Arm.VEC)
        pos += 4
    elif tag == _MAP:
        weight, values_an_item, close, absent = 2, 2, view.map, partial(view.absent, Arm.MAP)
        pos += 4
    elif tag == _INSTANCE:
        executable, pos = _read_executable(data, pos + 4)
        weight, values_an_item, absent = 4, 2, partial(view.instance, executable, None)

        def close(items: list[T], tags: list[bytes]) -> T:
            return view.instance(executable, view.map(items, tags))
    else:
        raise _unknown(data, pos, "SCValType")
    present = _FLAGS.get(data[pos : pos + 4])
    if present is None:
        raise _bad_flag(data, pos, "The optional of a container")
    if not present:
        return 0, lambda _items, _tags: absent(), weight, pos + 4
    start = pos + 8
    count = _integer(data[pos + 4 : start], "big") * values_an_item
    if start + 4 * count > len(data):
        raise _truncated(data)
    return count, close, weight, start
