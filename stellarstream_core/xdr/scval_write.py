"""The bytes of an ScValue: the exact inverse of decoding, for every arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stellarstream_core.errors import InvalidStrkeyError, XdrError
from stellarstream_core.xdr import strkey
from stellarstream_core.xdr.scval_types import (
    MAX_NESTING,
    MAX_SYMBOL,
    Arm,
    ContractInstance,
    ErrorCode,
    ErrorType,
    Executable,
    ExecutableType,
    ScError,
    ScValue,
)


def encode_scval(value: ScValue) -> bytes:
    """Return the XDR of one ScVal: ``encode_scval(decode_scval(raw)) == raw`` for every ``raw``.

    Raises :class:`XdrError` where the Python value does not fit its arm (a number out of range, a
    symbol over 32 bytes, an address that is no strkey) or nests deeper than the decoder accepts.
    """
    parts: list[bytes] = []
    pending: list[tuple[ScValue, int]] = [(value, 0)]
    while pending:
        item, nesting = pending.pop()
        arm, content = _checked(item)
        parts.append(_number(arm))
        inner: list[ScValue] = []
        if arm is Arm.VEC:
            nesting += 1
            inner = _vec(content, parts)
        elif arm is Arm.MAP:
            nesting += 2
            inner = _map(content, parts)
        elif arm is Arm.CONTRACT_INSTANCE:
            nesting += 4
            if not isinstance(content, ContractInstance):
                raise _misfit(arm, content)
            _write_executable(content.executable, parts)
            inner = _map(content.storage, parts)
        else:
            _WRITERS[arm](arm, content, parts)
        if nesting > MAX_NESTING:
            raise XdrError(f"A value that nests deeper than {MAX_NESTING} levels is not encoded.")
        pending.extend((child, nesting) for child in reversed(inner))
    return b"".join(parts)


def _checked(item: object) -> ScValue:
    if not isinstance(item, ScValue) or not isinstance(item.arm, Arm):
        raise XdrError(f"{item!r:.60} is not an ScValue.")
    return item


def _misfit(arm: Arm, content: object) -> XdrError:
    return XdrError(f"{content!r:.60} is no value of the arm {arm.name.lower()}.")


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _opaque(raw: bytes) -> bytes:
    return _number(len(raw)) + raw + bytes(-len(raw) & 3)


def _head(content: object, arm: Arm, parts: list[bytes]) -> bool:
    """Write the optional of a container and its length; return whether it is there."""
    if content is None:
        parts.append(_number(0))
        return False
    if not isinstance(content, tuple | list):
        raise _misfit(arm, content)
    parts.append(_number(1) + _number(len(content)))
    return True


def _vec(content: Any, parts: list[bytes]) -> list[ScValue]:
    return list(content) if _head(content, Arm.VEC, parts) else []


def _map(content: Any, parts: list[bytes]) -> list[ScValue]:
    if not _head(content, Arm.MAP, parts):
        return []
    try:
        return [child for key, value in content for child in (key, value)]
    except (TypeError, ValueError):
        raise _misfit(Arm.MAP, content) from None


def _write_bool(arm: Arm, content: object, parts: list[bytes]) -> None:
    if not isinstance(content, bool):
        raise _misfit(arm, content)
    parts.append(_number(content))


def _write_nothing(arm: Arm, content: object, parts: list[bytes]) -> None:
    if content is not None:
        raise _misfit(arm, content)


def _integer(size: int, signed: bool) -> Callable[[Arm, object, list[bytes]], None]:
    def write(arm: Arm, content: object, parts: list[bytes]) -> None:
        if not isinstance(content, int) or isinstance(content, bool):
            raise _misfit(arm, content)
        try:
            parts.append(content.to_bytes(size, "big", signed=signed))
        except OverflowError:
            raise _misfit(arm, content) from None

    return write


_write_u32 = _integer(4, signed=False)
_ERROR_CODES = frozenset(ErrorCode)


def _write_bytes(arm: Arm, content: object, parts: list[bytes]) -> None:
    if not isinstance(content, bytes):
        raise _misfit(arm, content)
    parts.append(_opaque(content))


def _write_text(arm: Arm, content: object, parts: list[bytes]) -> None:
    if isinstance(content, str):
        try:
            content = content.encode("utf-8")
        except UnicodeEncodeError:
            raise _misfit(arm, content) from None
    if not isinstance(content, bytes) or (arm is Arm.SYMBOL and len(content) > MAX_SYMBOL):
        raise _misfit(arm, content)
    parts.append(_opaque(content))


def _write_address(arm: Arm, content: object, parts: list[bytes]) -> None:
    if not isinstance(content, str):
        raise _misfit(arm, content)
    try:
        version, payload = strkey.decode_address(content)
    except InvalidStrkeyError as error:
        raise XdrError(str(error)) from None
    parts.append(_ADDRESS_HEADS[version])
    if version == strkey.VERSION_MUXED_ACCOUNT:
        payload = payload[32:] + payload[:32]  # the strkey has the key first, the XDR the id
    elif version == strkey.VERSION_CLAIMABLE_BALANCE:
        payload = payload[1:]  # its first byte is the type, which the head has as four
    parts.append(payload)


_ADDRESS_HEADS = {
    strkey.VERSION_ACCOUNT: _number(0) + _number(0),
    strkey.VERSION_CONTRACT: _number(1),
    strkey.VERSION_MUXED_ACCOUNT: _number(2),
    strkey.VERSION_CLAIMABLE_BALANCE: _number(3) + _number(0),
    strkey.VERSION_LIQUIDITY_POOL: _number(4),
}


def _write_error(arm: Arm, content: object, parts: list[bytes]) -> None:
    if not isinstance(content, ScError) or not isinstance(content.type, ErrorType):
        raise _misfit(arm, content)
    parts.append(_number(content.type))
    _write_u32(arm, content.code, parts)
    if content.type is not ErrorType.CONTRACT and content.code not in _ERROR_CODES:
        raise _misfit(arm, content)


def _write_executable(content: object, parts: list[bytes]) -> None:
    arm = Arm.CONTRACT_INSTANCE
    match content:
        case Executable(ExecutableType.WASM, bytes(wasm_hash), None, None) if len(wasm_hash) == 32:
            parts.append(_number(ExecutableType.WASM) + wasm_hash)
        case Executable(ExecutableType.STELLAR_ASSET, None, None, None):
            parts.append(_number(ExecutableType.STELLAR_ASSET))
        case Executable(ExecutableType.EXTERNAL_REF, None, owner, tag):
            parts.append(_number(ExecutableType.EXTERNAL_REF))
            _write_address(arm, owner, parts)
            _write_text(arm, tag, parts)
        case _:
            raise _misfit(arm, content)


_WRITERS: dict[Arm, Callable[[Arm, object, list[bytes]], None]] = {
    Arm.BOOL: _write_bool,
    Arm.VOID: _write_nothing,
    Arm.ERROR: _write_error,
    Arm.U32: _write_u32,
    Arm.I32: _integer(4, signed=True),
    Arm.U64: _integer(8, signed=False),
    Arm.I64: _integer(8, signed=True),
    Arm.TIMEPOINT: _integer(8, signed=False),
    Arm.DURATION: _integer(8, signed=False),
    Arm.U128: _integer(16, signed=False),
    Arm.I128: _integer(16, signed=True),
    Arm.U256: _integer(32, signed=False),
    Arm.I256: _integer(32, signed=True),
    Arm.BYTES: _write_bytes,
    Arm.STRING: _write_text,
    Arm.SYMBOL: _write_text,
    Arm.ADDRESS: _write_address,
    Arm.LEDGER_KEY_CONTRACT_INSTANCE: _write_nothing,
    Arm.LEDGER_KEY_NONCE: _integer(8, signed=True),
    Arm.EXECUTABLE_TAG: _write_text,
}
