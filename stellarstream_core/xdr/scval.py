"""ScVals decoded three ways: typed without loss, as plain Python, and as JSON for reading.

=====================  ====================================================================
:func:`decode_scval`   :class:`ScValue`, every arm apart; :func:`encode_scval` gives the same bytes back
:func:`decode_native`  plain Python values for code that knows what it reads
:func:`scval_to_json`  the documented mapping (``docs/json-mapping.md``) behind ``decoded``
=====================  ====================================================================

All three read the same bytes with the same readers and refuse the same ones: anything that is not
exactly one ScVal is :class:`~stellarstream_core.errors.XdrError`, an arm or enum number of a newer
protocol :class:`~stellarstream_core.errors.ProtocolUpgradeNeededError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from stellarstream_core.xdr.scval_read import View, decoder, tag_of
from stellarstream_core.xdr.scval_types import (
    MAX_NESTING,
    Arm,
    ContractInstance,
    ErrorCode,
    ErrorType,
    Executable,
    ExecutableType,
    Json,
    ScError,
    ScValue,
)
from stellarstream_core.xdr.scval_write import encode_scval

__all__ = [
    "MAX_NESTING",
    "Arm",
    "ContractInstance",
    "ErrorCode",
    "ErrorType",
    "Executable",
    "ExecutableType",
    "Json",
    "Native",
    "ScError",
    "ScValue",
    "decode_native",
    "decode_scval",
    "decode_topics",
    "encode_scval",
    "scval_to_json",
]

Native: TypeAlias = Any
"""What :func:`decode_native` returns; its docstring says which type each arm gives."""


def decode_scval(raw: bytes) -> ScValue:
    """Return the XDR of one ScVal as a typed value that keeps every arm apart; see :class:`ScValue`."""
    return _typed(raw)


def decode_native(raw: bytes) -> Native:
    """Return the XDR of one ScVal as plain Python.

    bool; None for void; int for all integers, timepoints and durations; str for symbols, strings and
    addresses (strkeys); bytes for bytes and for text that is not UTF-8; list for a vec; for a map a list of
    ``(key, value)`` tuples in the order of the bytes, because keys may repeat or not be hashable;
    :class:`ScError`; :class:`ContractInstance` with storage like a map. What Python has no word for
    comes as the :class:`ScValue` it is: the two ledger keys, an executable tag, an absent vec or map.
    """
    return _native(raw)


def scval_to_json(raw: bytes) -> Json:
    """Return the XDR of one ScVal as a JSON value, by the mapping of ``docs/json-mapping.md``.

    For reading: the bytes stay the record, since a symbol, a string and an address all read as strings.
    """
    return _json(raw)


def decode_topics(topics: Iterable[bytes]) -> tuple[ScValue, ...]:
    """Return an event's topics as typed values; see :func:`decode_scval`."""
    return tuple(map(_typed, topics))


# --- typed ----------------------------------------------------------------------------------

_make: Callable[..., ScValue] = partial(tuple.__new__, ScValue)  # half the time of calling the class


def _pairs(items: list[Any]) -> zip[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _typed_instance(executable: Executable, storage: ScValue | None) -> ScValue:
    pairs = None if storage is None else storage.value
    return ScValue(Arm.CONTRACT_INSTANCE, ContractInstance(executable, pairs))


def _typed_leaf(arm: Arm) -> Callable[[Any], ScValue]:
    return lambda value: _make((arm, value))


_typed = decoder(
    View(
        build={arm: _typed_leaf(arm) for arm in Arm},
        vec=lambda items, _tags: ScValue(Arm.VEC, tuple(items)),
        map=lambda items, _tags: ScValue(Arm.MAP, tuple(_pairs(items))),
        instance=_typed_instance,
        absent=lambda arm: ScValue(arm, None),
    )
)

# --- plain Python ---------------------------------------------------------------------------

_native: Callable[[bytes], Native] = decoder(
    View(
        build={
            arm: _typed_leaf(arm)
            for arm in (Arm.LEDGER_KEY_CONTRACT_INSTANCE, Arm.LEDGER_KEY_NONCE, Arm.EXECUTABLE_TAG)
        },
        vec=lambda items, _tags: items,
        map=lambda items, _tags: list(_pairs(items)),
        instance=ContractInstance,
        absent=lambda arm: ScValue(arm, None),
    )
)

# --- JSON -----------------------------------------------------------------------------------

_TEXT_TAGS = frozenset((tag_of(Arm.SYMBOL), tag_of(Arm.STRING)))


def _json_text(text: str | bytes) -> Json:
    return text if isinstance(text, str) else {"hex": text.hex()}


def _json_error(error: ScError) -> Json:
    code: Json = error.code
    if isinstance(error.code, ErrorCode):
        code = error.code.name.lower()
    return {"error": {error.type.name.lower(): code}}


def _json_map(items: list[Json], tags: list[bytes]) -> Json:
    """Return an object where that loses nothing: every key UTF-8 text, and no two of them alike."""
    keys = items[::2]
    if _TEXT_TAGS.issuperset(tags[::2]) and all(isinstance(key, str) for key in keys):
        found = dict(_pairs(items))
        if len(found) == len(keys):
            return found
    return [[key, value] for key, value in _pairs(items)]


def _json_instance(executable: Executable, storage: Json) -> Json:
    content: Json = None
    if executable.wasm_hash is not None:
        content = executable.wasm_hash.hex()
    elif executable.tag is not None:
        content = {"executable_owner": executable.owner, "tag": _json_text(executable.tag)}
    return {
        "contract_instance": {"executable": {executable.type.name.lower(): content}, "storage": storage},
    }


def _json_other(arm: Arm, convert: Callable[[Any], Json]) -> Callable[[Any], Json]:
    name = arm.name.lower()
    return lambda value: {name: convert(value)}


_json: Callable[[bytes], Json] = decoder(
    View(
        build={
            **dict.fromkeys((Arm.U64, Arm.I64, Arm.TIMEPOINT, Arm.DURATION), str),
            **dict.fromkeys((Arm.U128, Arm.I128, Arm.U256, Arm.I256), str),
            Arm.BYTES: bytes.hex,
            Arm.STRING: _json_text,
            Arm.SYMBOL: _json_text,
            Arm.ERROR: _json_error,
            Arm.LEDGER_KEY_CONTRACT_INSTANCE: _json_other(Arm.LEDGER_KEY_CONTRACT_INSTANCE, lambda _: None),
            Arm.LEDGER_KEY_NONCE: _json_other(Arm.LEDGER_KEY_NONCE, str),
            Arm.EXECUTABLE_TAG: _json_other(Arm.EXECUTABLE_TAG, _json_text),
        },
        vec=lambda items, _tags: items,
        map=_json_map,
        instance=_json_instance,
        absent=lambda arm: {arm.name.lower(): None},
    )
)
