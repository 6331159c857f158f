"""What a plugin's stream family says, held against what a stream can hold: nothing else comes out of here.

Folding goes on whatever a plugin does: an event about which its functions raise, or say what cannot be, has no
effect, and why is logged once. Otherwise one event of one stream would stop the projection of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from loguru import logger

from stellarstream_core.decoding import DecodedEvent
from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.plugins import FAULTS
from stellarstream_core.xdr.strkey import decode_address
from stellarstream_nebula.model import parse_stream_key

if TYPE_CHECKING:
    from stellarstream_core.decoding import DecoderSpec
    from stellarstream_core.events import ContractEvent
    from stellarstream_nebula.families import StreamFamily
    from stellarstream_nebula.meaning import Action
    from stellarstream_nebula.model import StreamState

MOST_STREAMS = 1_000
"""Streams of one event."""
LONGEST_TEXT = 256
"""Characters of a memo, and of names."""
MOST_TOLD = 1_000
"""Faults that are told apart: after so many of one process no other one is logged."""

_U32, _U64 = 2**32, 2**64
_I128 = 2**127
_I256, _U256 = 2**255, 2**256
"""What the widest numbers of contracts hold."""

_TIMES = frozenset({"start", "cliff", "end", "time", "duration", "v1_stream_id"})
"""The numbers of actions that are u64; all others are amounts, i128."""
_TEXTS = frozenset({"memo", "text"})
"""The texts of actions that are no address."""

_told: set[tuple[str, str, str]] = set()


def decoded_by(spec: DecoderSpec, events: Sequence[ContractEvent]) -> list[DecodedEvent | None]:
    """Return what events say by a decoder; None also where it raises, or says what cannot be, of an event."""
    try:
        return _decoded(spec, events)
    except FAULTS as error:
        if len(events) == 1:
            _tell(spec.family, "decode", "", error)
            return [None]
    return [one for event in events for one in decoded_by(spec, [event])]


def _decoded(spec: DecoderSpec, events: Sequence[ContractEvent]) -> list[DecodedEvent | None]:
    found = list(islice(iter(spec.decode(events)), len(events) + 1))
    if len(found) != len(events):
        raise ValueError(f"it is not of as many events as were given: {len(events)}")
    for one in found:
        if one is None:
            continue
        if type(one) is not DecodedEvent:
            raise TypeError(f"{type(one).__name__} is no decoded event")
        if one.family != spec.family:
            raise ValueError("an event is of another family than its decoder")
        _text("name", one.name)
        for name, value in one.fields.items():
            _text("a field's name", name)
            _field(name, value)
    return found


def streams_by(family: StreamFamily, decoded: DecodedEvent) -> Sequence[int]:
    """Return which streams an event belongs to by a plugin's family, each once; none where it says what cannot be."""
    try:
        found = list(islice(iter(family.stream_ids(decoded)), MOST_STREAMS + 1))
        if len(found) > MOST_STREAMS:
            raise ValueError(f"it is of more than {MOST_STREAMS} streams")
        for one in found:
            _time("a stream's number", one)
    except FAULTS as error:
        _tell(family.family, "stream_ids", decoded.name, error)
        return ()
    return tuple(dict.fromkeys(found))


def action_by(
    family: StreamFamily, decoded: DecodedEvent, event: ContractEvent, allowed: Sequence[type]
) -> Action | None:
    """Return what an event does by a plugin's family; None where it does nothing, or something that cannot be."""
    try:
        action = family.action(decoded, event)
        if action is not None:
            kind: type[Any] = type(action)
            if kind not in allowed:
                raise TypeError(f"{kind.__name__} is no action")
            for name, check in _checks(kind):
                check(name, getattr(action, name))
    except FAULTS as error:
        _tell(family.family, "action", decoded.name, error)
        return None
    return action


def unlocked_by(family: StreamFamily, state: StreamState, at: int) -> int | None:
    """Return what is unlocked by a plugin's family; None where it does not tell, or tells what cannot be."""
    try:
        unlocked = family.unlocked(state, at)
        if unlocked is not None:
            _amount("unlocked", unlocked)
    except FAULTS as error:
        _tell(family.family, "unlocked", "", error)
        return None
    return unlocked


def tell_once(family: str, name: str, error: BaseException) -> None:
    """Log that an event of this name has no effect, and why; the same only once."""
    _tell(family, "an event", name, error)


def _tell(family: str, function: str, name: str, error: BaseException) -> None:
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    fault = (family, f"{function} {name}", said)
    if fault not in _told and len(_told) < MOST_TOLD:
        _told.add(fault)
        logger.warning("stream family {}: {}({}) has no effect: {}", family, function, name, said)


# --- what may be ----------------------------------------------------------------------------


_known_checks: dict[type[Any], Sequence[tuple[str, Callable[[str, object], object]]]] = {}


def _checks(action: type[Any]) -> Sequence[tuple[str, Callable[[str, object], object]]]:
    """Return how the fields of an action are checked, by their names and the types they are annotated with."""
    if action not in _known_checks:
        _known_checks[action] = [(field.name, _check(field.name, str(field.type))) for field in fields(action)]
    return _known_checks[action]


def _check(name: str, annotated: str) -> Callable[[str, object], object]:
    check: Callable[[str, object], object]
    if name in _TIMES:
        check = _time
    elif name == "bps":
        check = _share
    elif name == "key":
        check = _key
    elif name in _TEXTS:
        check = _text
    else:
        check = _address if annotated.startswith("str") else _amount
    if "None" not in annotated:
        return check
    return lambda name, value: None if value is None else check(name, value)


def _field(name: str, value: object) -> None:
    if type(value) is int:
        _whole(name, value, -_I256, _U256)
    elif type(value) is tuple:
        for item in value:
            _field(name, item)
    elif type(value) is str:
        value.encode()
    elif value is not None and type(value) not in {bool, bytes}:
        raise TypeError(f"{name} is no field: {_short(value)}")


def _amount(name: str, value: object) -> None:
    _whole(name, value, -_I128, _I128)


def _time(name: str, value: object) -> None:
    _whole(name, value, 0, _U64)


def _share(name: str, value: object) -> None:
    _whole(name, value, 0, _U32)


def _whole(name: str, value: object, least: int, beyond: int) -> None:
    if type(value) is not int:
        raise TypeError(f"{name} is no whole number: {_short(value)}")
    if not least <= value < beyond:
        raise ValueError(f"{name} is out of bounds: {_short(value)}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or type(value) is not str:
        raise TypeError(f"{name} is no text: {_short(value)}")
    value.encode()  # raises for half a surrogate pair, which no database takes
    if len(value) > LONGEST_TEXT or "\0" in value:
        raise ValueError(f"{name} is longer than {LONGEST_TEXT} characters, or has a NUL")
    return value


def _key(name: str, value: object) -> None:
    contract_id, _ = parse_stream_key(_text(name, value))
    _address(name, contract_id)


def _address(name: str, value: object) -> None:
    try:
        decode_address(_text(name, value))
    except InvalidStrkeyError as error:
        raise ValueError(f"{name} is no address: {error.message}") from None


def _short(value: object) -> str:
    return f"{type(value).__name__} of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
