"""What a contract says of itself: functions, structs and error enums, from the spec in its wasm.

The custom section ``contractspecv0`` is a row of XDR ``SCSpecEntry`` (SEP-48). An entry has no length of its own,
so one of an unknown kind ends the reading with an error instead of a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from stellarstream_core.errors import StellarStreamError
from stellarstream_nebula.wasm import custom_sections

T = TypeVar("T")

SECTION = "contractspecv0"

_MOST_ENTRIES = 5_000
_MOST_ITEMS = 5_000
"""Fields, cases or inputs of one entry."""
_DEEPEST_TYPE = 64
_LONGEST_DOC, _LONGEST_LIB, _LONGEST_FIELD, _LONGEST_NAME = 1024, 80, 30, 60

_PLAIN = {
    0: "Val",
    1: "bool",
    2: "()",
    3: "Error",
    4: "u32",
    5: "i32",
    6: "u64",
    7: "i64",
    8: "Timepoint",
    9: "Duration",
    10: "u128",
    11: "i128",
    12: "U256",
    13: "I256",
    14: "Bytes",
    16: "String",
    17: "Symbol",
    19: "Address",
    20: "MuxedAddress",
}
"""``SCSpecType`` without parts, as Rust writes them."""


class ContractSpecError(StellarStreamError):
    """A contract's spec cannot be read."""

    code = "contract-spec"
    title = "Unreadable contract spec"
    help = "Name the contract's generation in [plugins.nebula] contracts: its spec is then not needed."


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a contract: its inputs' names and types (``i128``, ``Option<Address>``), in order."""

    name: str
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...] = ()

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(name for name, _ in self.inputs)

    @property
    def input_types(self) -> tuple[str, ...]:
        """The types of the inputs, in order."""
        return tuple(kind for _, kind in self.inputs)


@dataclass(frozen=True, slots=True)
class ContractSpec:
    """A contract's own description. ``errors`` are error enums by name, each its cases by code.

    ``structs`` are their fields' names by name. ``asset``: the contract is an asset's (CAP-46-6) and has no wasm.
    """

    functions: Mapping[str, Function] = field(default_factory=dict)
    errors: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    structs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asset: bool = False

    def error_name(self, code: int) -> str | None:
        """Return what the contract calls an error; None where it does not say, or says two things."""
        names = {cases[code] for cases in self.errors.values() if code in cases}
        return names.pop() if len(names) == 1 else None


ASSET_SPEC = ContractSpec(
    errors=MappingProxyType(
        {
            "ContractError": MappingProxyType(
                {
                    1: "InternalError",
                    2: "OperationNotSupportedError",
                    3: "AlreadyInitializedError",
                    4: "UnauthorizedError",
                    5: "AuthenticationError",
                    6: "AccountMissingError",
                    7: "AccountIsNotClassic",
                    8: "NegativeAmountError",
                    9: "AllowanceError",
                    10: "BalanceError",
                    11: "BalanceDeauthorizedError",
                    12: "OverflowError",
                    13: "TrustlineMissingError",
                    14: "InsufficientAccountReserve",
                    15: "TooManyAccountSubentries",
                }
            )
        }
    ),
    asset=True,
)
"""The asset contract's errors: CAP-46-6, and the two that the host added later. It is built into the host."""


def read_spec(wasm: bytes) -> ContractSpec:
    """Return the spec in a contract's wasm; one without a spec has an empty one.

    Raises :class:`~stellarstream_nebula.wasm.WasmError` and :class:`ContractSpecError`.
    """
    return parse_spec(b"".join(custom_sections(wasm, SECTION)))


def parse_spec(raw: bytes) -> ContractSpec:
    """Return what a row of XDR ``SCSpecEntry`` says; raise :class:`ContractSpecError`."""
    reader = _Reader(raw)
    functions: dict[str, Function] = {}
    errors: dict[str, Mapping[int, str]] = {}
    structs: dict[str, tuple[str, ...]] = {}
    entries = 0
    while not reader.at_end:
        entries += 1
        if entries > _MOST_ENTRIES:
            raise ContractSpecError(f"The spec has more than {_MOST_ENTRIES} entries.")
        kind = reader.number()
        reader.text(_LONGEST_DOC)
        match kind:
            case 0:
                function = reader.function()
                functions[function.name] = function
            case 1:
                reader.text(_LONGEST_LIB)
                name = reader.text(_LONGEST_NAME)
                structs[name] = tuple(reader.items(reader.struct_field))
            case 2:
                reader.union()
            case 3 | 4:
                reader.text(_LONGEST_LIB)
                name, cases = reader.text(_LONGEST_NAME), dict(reader.items(reader.enum_case))
                if kind == 4:
                    errors[name] = MappingProxyType(cases)
            case 5:
                reader.event()
            case _:
                raise ContractSpecError(f"The spec has an entry of the kind {kind}, not known to this release.")
    return ContractSpec(MappingProxyType(functions), MappingProxyType(errors), MappingProxyType(structs))


class _Reader:
    """A place in the XDR of a spec; every read checks what it takes."""

    __slots__ = ("_place", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place == len(self._raw)

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def text(self, most: int) -> str:
        size = self.number()
        if size > most:
            raise ContractSpecError(f"A text of the spec has {size} bytes; the most is {most}.")
        raw = self._take(size)
        if any(self._take(-size % 4)):
            raise ContractSpecError("The padding of a text in the spec is not zero.")
        return raw.decode("utf-8", "replace")

    def items(self, read: Callable[[], T], most: int = _MOST_ITEMS) -> list[T]:
        count = self.number()
        if count > most:
            raise ContractSpecError(f"A list of the spec has {count} items; the most is {most}.")
        return [read() for _ in range(count)]

    # --- entries ----------------------------------------------------------------------------

    def function(self) -> Function:
        name = self.text(32)
        inputs = tuple(self.items(self._input))
        return Function(name, inputs, tuple(self.items(self.type_name, 1)))

    def _input(self) -> tuple[str, str]:
        self.text(_LONGEST_DOC)
        return self.text(_LONGEST_FIELD), self.type_name()

    def struct_field(self) -> str:
        return self._input()[0]

    def enum_case(self) -> tuple[int, str]:
        self.text(_LONGEST_DOC)
        name = self.text(_LONGEST_NAME)
        return self.number(), name

    def union(self) -> None:
        self.text(_LONGEST_LIB)
        self.text(_LONGEST_NAME)
        self.items(self._union_case)

    def _union_case(self) -> None:
        kind = self.number()
        if kind > 1:
            raise ContractSpecError(f"The spec has a union's case of the kind {kind}, not known to this release.")
        self.text(_LONGEST_DOC)
        self.text(_LONGEST_NAME)
        if kind:
            self.items(self.type_name)

    def event(self) -> None:
        self.text(_LONGEST_LIB)
        self.text(32)
        self.items(lambda: self.text(32), 2)
        self.items(self._event_parameter)
        self.number()

    def _event_parameter(self) -> None:
        self._input()
        self.number()

    # --- types ------------------------------------------------------------------------------

    def type_name(self, depth: int = 0) -> str:
        if depth > _DEEPEST_TYPE:
            raise ContractSpecError(f"A type of the spec is nested more than {_DEEPEST_TYPE} deep.")
        kind = self.number()
        if (plain := _PLAIN.get(kind)) is not None:
            return plain
        below = depth + 1
        match kind:
            case 1000:
                return f"Option<{self.type_name(below)}>"
            case 1001:
                return f"Result<{self.type_name(below)}, {self.type_name(below)}>"
            case 1002:
                return f"Vec<{self.type_name(below)}>"
            case 1004:
                return f"Map<{self.type_name(below)}, {self.type_name(below)}>"
            case 1005:
                return f"({', '.join(self.items(lambda: self.type_name(below), 12))})"
            case 1006:
                return f"BytesN<{self.number()}>"
            case 2000:
                return self.text(_LONGEST_NAME)
        raise ContractSpecError(f"The spec has a type of the kind {kind}, not known to this release.")

    def _take(self, size: int) -> bytes:
        begin, self._place = self._place, self._place + size
        if self._place > len(self._raw):
            raise ContractSpecError(f"The spec is cut off at byte {len(self._raw)}.")
        return self._raw[begin : self._place]
