"""What the emitter needs to know of a schema: nested types by name, fixed sizes, and recursion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from scripts.xdr_walker.schema import (
    PRIMITIVES,
    Arm,
    Array,
    Enum,
    Named,
    Opaque,
    Optional,
    Primitive,
    Schema,
    SchemaError,
    Struct,
    Type,
    Union,
    parts_of,
)


@dataclass(frozen=True, slots=True)
class Check:
    """A word at ``at`` (counted from the value's begin) that must be one of ``allowed``."""

    at: int
    type: str
    allowed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that always has the same number of words, and what has to be checked in them."""

    words: int
    checks: tuple[Check, ...] = ()


class Layout:
    """A schema in which every enum, struct and union has a name: ``Parent.field`` where it is nested."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.types: dict[str, Type] = {}
        for name, type_ in schema.types.items():
            self.types[name] = self._hoist(name, type_)
        self._fixed: dict[str, Fixed | None] = {}

    def _hoist(self, name: str, type_: Type) -> Type:
        if isinstance(type_, Struct):
            return Struct(tuple((field, self._name(f"{name}.{field}", below)) for field, below in type_.fields))
        if isinstance(type_, Union):
            return replace(type_, arms=tuple(self._hoist_arm(name, arm) for arm in type_.arms))
        if isinstance(type_, Array | Optional):
            return replace(type_, item=self._name(name, type_.item))
        return type_

    def _hoist_arm(self, name: str, arm: Arm) -> Arm:
        return arm if arm.type is None else replace(arm, type=self._name(f"{name}.{arm.name}", arm.type))

    def _name(self, name: str, type_: Type) -> Type:
        if isinstance(type_, Struct | Union | Enum):
            self.types[name] = self._hoist(name, type_)
            return Named(name)
        return self._hoist(name, type_)

    def number(self, text: str) -> int:
        """Return a size as it is, a case or an enum's number as the unsigned word that it is in XDR."""
        return self.schema.number(text) & 0xFFFFFFFF

    def target(self, type_: Type) -> Type:
        """Follow typedefs: return a name of an enum, struct or union, or what is no name."""
        while isinstance(type_, Named):
            found = self.types[type_.name]
            if isinstance(found, Enum | Struct | Union):
                return type_
            type_ = found
        return type_

    def struct(self, name: str) -> Struct:
        """Return the struct of this name."""
        found = self.types[name]
        if not isinstance(found, Struct):
            raise SchemaError(f"{name} is no struct")
        return found

    def fixed(self, type_: Type) -> Fixed | None:
        """Return size and checks of a type whose size never changes, else None."""
        type_ = self.target(type_)
        if isinstance(type_, Named):
            if type_.name not in self._fixed:
                self._fixed[type_.name] = None  # what refers to itself has no fixed size
                self._fixed[type_.name] = self._fixed_body(type_.name)
            return self._fixed[type_.name]
        if isinstance(type_, Primitive):
            checks = (Check(0, "bool", (0, 1)),) if type_.name == "bool" else ()
            return Fixed(PRIMITIVES[type_.name], checks)
        if isinstance(type_, Opaque) and type_.fixed:
            size = self.number(type_.size)
            if size % 4:
                raise SchemaError("an opaque of a fixed size that is padded is not understood")
            return Fixed(size // 4)
        if isinstance(type_, Array) and type_.fixed:
            item = self.fixed(type_.item)
            if item is not None:
                return _joined([item] * self.number(type_.size))
        return None

    def _fixed_body(self, name: str) -> Fixed | None:
        body = self.types[name]
        if isinstance(body, Enum):
            return Fixed(1, (Check(0, name, tuple(sorted(self.number(value) for _, value in body.members))),))
        if isinstance(body, Struct):
            fields = [self.fixed(below) for _, below in body.fields]
            known = [field for field in fields if field is not None]
            return _joined(known) if len(known) == len(fields) else None
        if isinstance(body, Union):
            arms = [Fixed(0) if arm.type is None else self.fixed(arm.type) for arm in body.arms]
            first = arms[0]
            alike = all(arm is not None and arm == first for arm in arms)
            if first is not None and alike and (len(arms) == 1 or not first.checks):
                cases = tuple(sorted(self.number(case) for arm in body.arms for case in arm.cases))
                return _joined([Fixed(1, (Check(0, name, cases),)), first])
        return None

    @cached_property
    def holds(self) -> dict[str, frozenset[str]]:
        """For each enum, struct or union the names of all that can stand somewhere inside it."""
        direct = {name: self.direct(type_) for name, type_ in self.types.items()}
        found = {name: set(names) for name, names in direct.items()}
        grown = True
        while grown:
            grown = False
            for names in found.values():
                before = len(names)
                names.update(*[found[name] for name in names])
                grown = grown or len(names) > before
        return {name: frozenset(names) for name, names in found.items()}

    def direct(self, type_: Type) -> set[str]:
        """Return the names of the enums, structs and unions that a type is directly made of."""
        targets = (self.target(part) for part in parts_of(type_) if isinstance(part, Named))
        below: set[str] = set()
        for target in targets:
            for part in parts_of(target):
                if isinstance(part, Named):
                    end = self.target(part)
                    below |= {end.name} if isinstance(end, Named) else self.direct(end)
        return below

    def recursive(self, name: str) -> bool:
        """Tell whether a value of this type can hold another one of it."""
        return name in self.holds[name]


def _joined(parts: list[Fixed]) -> Fixed:
    words = 0
    checks: list[Check] = []
    for part in parts:
        checks += [replace(check, at=check.at + words) for check in part.checks]
        words += part.words
    return Fixed(words, tuple(checks))
