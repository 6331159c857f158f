"""Contract values as plain Python types: what a simulated contract works with before anything is XDR.

Each class is one arm of ``SCVal``. They compare by type and content, so ``U32(1) != U64(1)``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Void:
    """The value that says nothing; also how a Soroban ``Option::None`` looks."""


@dataclass(frozen=True, slots=True)
class Bool:
    """A truth value."""

    truth: bool


@dataclass(frozen=True, slots=True)
class U32:
    """An unsigned number of 32 bits."""

    number: int


@dataclass(frozen=True, slots=True)
class I32:
    """A signed number of 32 bits."""

    number: int


@dataclass(frozen=True, slots=True)
class U64:
    """An unsigned number of 64 bits."""

    number: int


@dataclass(frozen=True, slots=True)
class I64:
    """A signed number of 64 bits."""

    number: int


@dataclass(frozen=True, slots=True)
class Timepoint:
    """Unix seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Duration:
    """A span in seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class U128:
    """An unsigned number of 128 bits."""

    number: int


@dataclass(frozen=True, slots=True)
class I128:
    """A signed number of 128 bits: every token amount."""

    number: int


@dataclass(frozen=True, slots=True)
class U256:
    """An unsigned number of 256 bits."""

    number: int


@dataclass(frozen=True, slots=True)
class I256:
    """A signed number of 256 bits."""

    number: int


@dataclass(frozen=True, slots=True)
class Bytes:
    """Raw bytes."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A string, which need not be UTF-8."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name of at most 32 characters out of letters, digits and the underscore."""

    name: str


@dataclass(frozen=True, slots=True)
class Address:
    """An account (G…), a contract (C…), or one of the rarer address kinds, as a strkey (SEP-23)."""

    strkey: str


@dataclass(frozen=True, slots=True)
class ContractError:
    """An error number of a contract's own (``SCE_CONTRACT``)."""

    code: int


@dataclass(frozen=True, slots=True)
class HostError:
    """An error of the host: ``SCErrorType`` (anything but contract) and ``SCErrorCode`` as numbers."""

    type: int
    code: int


@dataclass(frozen=True, slots=True)
class Vec:
    """A list of values."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """A map as its entries, in the order they are written."""

    entries: tuple[tuple[Value, Value], ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """A contract's own entry (``SCContractInstance``): what it runs, and its instance storage.

    ``wasm`` is the hash of its code; None where it is an asset contract, which the host itself runs.
    """

    wasm: bytes | None
    storage: tuple[tuple[Value, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """The key under which a contract's own entry stands (``SCV_LEDGER_KEY_CONTRACT_INSTANCE``)."""


Value = (
    Void
    | Bool
    | U32
    | I32
    | U64
    | I64
    | Timepoint
    | Duration
    | U128
    | I128
    | U256
    | I256
    | Bytes
    | Text
    | Symbol
    | Address
    | ContractError
    | HostError
    | Vec
    | Map
    | Instance
    | InstanceKey
)

VOID = Void()


def vec(*items: Value) -> Vec:
    """Return a list value; a Rust tuple looks the same."""
    return Vec(items)


def record(**fields: Value) -> Map:
    """Return what a Rust struct looks like: a map with its field names as symbols, in ascending order."""
    return Map(tuple((Symbol(name), fields[name]) for name in sorted(fields)))


def option(value: Value | None) -> Value:
    """Return an optional value: itself, or void."""
    return VOID if value is None else value
