"""What a contract says of itself: its functions, structs and errors, as types, as XDR and as a wasm section.

A contract's code carries its interface in the custom section ``contractspecv0``: ``SCSpecEntry`` XDR, one after
the other (SEP-48). Here the same description also reads the arguments of a call, the way the code that the
Soroban SDK generates does: exactly the described types, or a trap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Any

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval
from stellarstream_sandbox.pack import array, opaque, u32

SECTION = "contractspecv0"
META_SECTION = "contractenvmetav0"

_FUNCTION, _STRUCT, _UNION, _ENUM, _ERROR_ENUM = range(5)
_OPTION, _RESULT, _VEC, _TUPLE, _BYTES_N, _UDT = 1000, 1001, 1002, 1005, 1006, 2000
_NO_DOC = u32(0)
_NO_LIB = u32(0)
_ENV_META = u32(0) + u32(22) + u32(0)
"""``SCEnvMetaEntry``: built for protocol 22, as soroban-sdk 22 does."""


class BadValue(Exception):  # noqa: N818 - what a call is answered with, not an error of this program
    """A value is not of the type that the contract takes."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type of a contract: its ``SCSpecTypeDef`` XDR, and how a value of it is read into plain Python.

    Numbers give int, addresses and symbols str, bytes bytes, vectors and tuples tuple, structs a dict by field.
    """

    xdr: bytes
    read: Callable[[ScValue], Any]


def _plain(number: int, arm: Arm) -> Type:
    def read(value: ScValue) -> Any:
        if value.arm is not arm:
            raise BadValue
        return value.value

    return Type(u32(number), read)


def _read_void(value: ScValue) -> None:
    if value.arm is not Arm.VOID:
        raise BadValue


def _read_address(value: ScValue) -> str:
    """Read an account or a contract; an ``Address`` is nothing else, whatever a ledger's addresses may be."""
    if value.arm is not Arm.ADDRESS or value.value[0] not in "GC":
        raise BadValue
    return str(value.value)


def _read_muxed(value: ScValue) -> str:
    if value.arm is not Arm.ADDRESS or value.value[0] not in "GCM":
        raise BadValue
    return str(value.value)


def _read_symbol(value: ScValue) -> str:
    if value.arm is not Arm.SYMBOL or not isinstance(value.value, str):
        raise BadValue
    return value.value


BOOL = _plain(1, Arm.BOOL)
VOID = Type(u32(2), _read_void)
U32 = _plain(4, Arm.U32)
U64 = _plain(6, Arm.U64)
U128 = _plain(10, Arm.U128)
I128 = _plain(11, Arm.I128)
BYTES = _plain(14, Arm.BYTES)
STRING = _plain(16, Arm.STRING)
SYMBOL = Type(u32(17), _read_symbol)
ADDRESS = Type(u32(19), _read_address)
MUXED_ADDRESS = Type(u32(20), _read_muxed)


def option(inner: Type) -> Type:
    """Return the type of a value that may be missing: None where it is void."""
    return Type(u32(_OPTION) + inner.xdr, lambda value: None if value.arm is Arm.VOID else inner.read(value))


def vec(inner: Type) -> Type:
    """Return the type of a list."""

    def read(value: ScValue) -> tuple[Any, ...]:
        if value.arm is not Arm.VEC or value.value is None:
            raise BadValue
        return tuple(inner.read(item) for item in value.value)

    return Type(u32(_VEC) + inner.xdr, read)


def tuple_of(*inner: Type) -> Type:
    """Return the type of a list with a type for each place."""

    def read(value: ScValue) -> tuple[Any, ...]:
        if value.arm is not Arm.VEC or value.value is None or len(value.value) != len(inner):
            raise BadValue
        return tuple(one.read(item) for one, item in zip(inner, value.value, strict=True))

    return Type(u32(_TUPLE) + array([one.xdr for one in inner]), read)


def bytes_n(size: int) -> Type:
    """Return the type of bytes of one length."""

    def read(value: ScValue) -> bytes:
        if value.arm is not Arm.BYTES or len(value.value) != size:
            raise BadValue
        return bytes(value.value)

    return Type(u32(_BYTES_N) + u32(size), read)


def result(value: Type, error: ErrorEnum) -> Type:
    """Return the type of a function that gives a value or one of the contract's errors."""
    return Type(u32(_RESULT) + value.xdr + error.type.xdr, value.read)


def _named(name: str) -> bytes:
    return u32(_UDT) + opaque(name.encode("ascii"))


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct: field names and types; as a value a map with exactly these keys, in ascending order."""

    name: str
    fields: Mapping[str, Type]

    @property
    def type(self) -> Type:
        """Return the struct as a type."""
        return Type(_named(self.name), self._read)

    @property
    def xdr(self) -> bytes:
        """Return its ``SCSpecEntry``."""
        fields = [_NO_DOC + opaque(name.encode()) + self.fields[name].xdr for name in sorted(self.fields)]
        return u32(_STRUCT) + _NO_DOC + _NO_LIB + opaque(self.name.encode()) + array(fields)

    def _read(self, value: ScValue) -> dict[str, Any]:
        if value.arm is not Arm.MAP or value.value is None:
            raise BadValue
        names = [_read_symbol(key) for key, _ in value.value]
        if names != sorted(self.fields):
            raise BadValue
        return {name: self.fields[name].read(item) for name, (_, item) in zip(names, value.value, strict=True)}


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enum with numbers: as a value a U32 that is one of them."""

    name: str
    cases: Mapping[str, int]

    @property
    def type(self) -> Type:
        """Return the enum as a type."""
        return Type(_named(self.name), self._read)

    @property
    def xdr(self) -> bytes:
        """Return its ``SCSpecEntry``."""
        return u32(_ENUM) + _NO_DOC + _NO_LIB + opaque(self.name.encode()) + _numbered(self.cases)

    def _read(self, value: ScValue) -> int:
        if value.arm is not Arm.U32 or value.value not in self.cases.values():
            raise BadValue
        return int(value.value)


@dataclass(frozen=True, slots=True)
class Union:
    """An enum without numbers or data: as a value a list with one symbol."""

    name: str
    cases: tuple[str, ...]

    @property
    def type(self) -> Type:
        """Return the union as a type."""
        return Type(_named(self.name), self._read)

    @property
    def xdr(self) -> bytes:
        """Return its ``SCSpecEntry``."""
        cases = [u32(0) + _NO_DOC + opaque(case.encode()) for case in self.cases]
        return u32(_UNION) + _NO_DOC + _NO_LIB + opaque(self.name.encode()) + array(cases)

    def _read(self, value: ScValue) -> str:
        if value.arm is not Arm.VEC or value.value is None or len(value.value) != 1:
            raise BadValue
        case = _read_symbol(value.value[0])
        if case not in self.cases:
            raise BadValue
        return case


@dataclass(frozen=True, slots=True)
class ErrorEnum:
    """A contract's errors: names and numbers."""

    name: str
    cases: Mapping[str, int]

    @classmethod
    def of(cls, faults: type[IntEnum], name: str = "Error") -> ErrorEnum:
        """Return the errors of a simulated contract, with names as Rust writes them."""
        return cls(name, {_camel(fault.name): fault.value for fault in faults})

    @property
    def type(self) -> Type:
        """Return the enum as a type; nothing that a contract takes is of it."""
        return Type(_named(self.name), _refuse)

    @property
    def xdr(self) -> bytes:
        """Return its ``SCSpecEntry``."""
        return u32(_ERROR_ENUM) + _NO_DOC + _NO_LIB + opaque(self.name.encode()) + _numbered(self.cases)


@dataclass(frozen=True, slots=True)
class Function:
    """A function: its inputs by name, and what it returns (None: nothing)."""

    name: str
    inputs: Mapping[str, Type]
    output: Type | None = None

    @property
    def xdr(self) -> bytes:
        """Return its ``SCSpecEntry``."""
        inputs = [_NO_DOC + opaque(name.encode()) + kind.xdr for name, kind in self.inputs.items()]
        outputs = [] if self.output is None else [self.output.xdr]
        return u32(_FUNCTION) + _NO_DOC + opaque(self.name.encode()) + array(inputs) + array(outputs)

    def read(self, args: list[bytes]) -> tuple[Any, ...]:
        """Return ScVal XDR as plain Python values; raise :class:`BadValue` where one is not of its type.

        There must be as many as the function has inputs.
        """
        try:
            values = [decode_scval(raw) for raw in args]
        except XdrError:
            raise BadValue from None
        return tuple(kind.read(value) for kind, value in zip(self.inputs.values(), values, strict=True))


@dataclass(frozen=True, slots=True)
class ContractSpec:
    """A contract's interface."""

    functions: Mapping[str, Function]
    types: tuple[Struct | Enumeration | Union | ErrorEnum, ...] = ()
    _wasms: dict[bytes, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def xdr(self) -> bytes:
        """Return all its ``SCSpecEntry``, one after the other."""
        return b"".join([one.xdr for one in (*self.functions.values(), *self.types)])

    def wasm(self, release: bytes = b"") -> bytes:
        """Return a wasm module with this interface and nothing that runs; ``release`` makes another one of it."""
        if not release and release in self._wasms:
            return self._wasms[release]
        sections = [(META_SECTION, _ENV_META), (SECTION, self.xdr)]
        if release:
            sections.append(("release", release))
        module = b"\0asm\1\0\0\0" + b"".join(_section(name, raw) for name, raw in sections)
        if not release:
            self._wasms[release] = module
        return module

    def wasm_hash(self, release: bytes = b"") -> bytes:
        """Return the hash by which the network knows that module."""
        return sha256(self.wasm(release)).digest()


def _refuse(_value: ScValue) -> Any:
    raise BadValue


def _numbered(cases: Mapping[str, int]) -> bytes:
    return array([_NO_DOC + opaque(name.encode()) + u32(number) for name, number in cases.items()])


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _section(name: str, raw: bytes) -> bytes:
    content = _leb(len(name)) + name.encode() + raw
    return b"\0" + _leb(len(content)) + content


def _leb(number: int) -> bytes:
    """Return an unsigned number in LEB128, as wasm writes lengths."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        if not number:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)
