"""Reads the XDR language (RFC 4506 §6) and writes it back in one fixed layout.

Only what Stellar's schema uses is understood: constants, enums, structs, unions and typedefs;
opaque, string, arrays and optionals; structs and unions nested in others. Anything else raises
:class:`SchemaError`, so that a newer schema is never half understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

PRIMITIVES = {"int": 1, "unsigned int": 1, "hyper": 2, "unsigned hyper": 2, "bool": 1}
"""Words (of four bytes) of the types that the language itself has."""

UNBOUNDED = 0xFFFFFFFF


class SchemaError(Exception):
    """The schema holds something that this reader does not understand."""


# --- what a schema is made of ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Primitive:
    """One of :data:`PRIMITIVES`."""

    name: str


@dataclass(frozen=True, slots=True)
class Named:
    """A type that is defined elsewhere under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """``opaque x[n]`` (``fixed``) or ``opaque x<n>``; ``text`` for ``string x<n>``. ``size`` in bytes."""

    size: str
    fixed: bool = False
    text: bool = False


@dataclass(frozen=True, slots=True)
class Array:
    """``T x[n]`` (``fixed``) or ``T x<n>``."""

    item: Type
    size: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Optional:
    """``T *x``."""

    item: Type


@dataclass(frozen=True, slots=True)
class Enum:
    """Names and numbers, in the order of the schema."""

    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Struct:
    """Named fields, one after the other."""

    fields: tuple[tuple[str, Type], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """The cases of a union that share a content; ``name`` and ``type`` are None for ``void``."""

    cases: tuple[str, ...]
    name: str | None
    type: Type | None


@dataclass(frozen=True, slots=True)
class Union:
    """``switch (discriminant tag)``: the discriminant's type, its name, and the arms."""

    discriminant: Type
    tag: str
    arms: tuple[Arm, ...]


Type: TypeAlias = Primitive | Named | Opaque | Array | Optional | Enum | Struct | Union


@dataclass(slots=True)
class Schema:
    """Constants and types by name; ``members`` tells for each enum's member which enum it is of, and its value."""

    constants: dict[str, int] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)
    members: dict[str, tuple[str, str]] = field(default_factory=dict)

    def define(self, name: str, type_: Type) -> None:
        """Add a type."""
        if name in self.types:
            raise SchemaError(f"{name} is defined twice")
        self.types[name] = type_
        if isinstance(type_, Enum):
            self.members.update((member, (name, value)) for member, value in type_.members)

    def number(self, text: str) -> int:
        """Return what a size, a case or an enum's value means: a number, a constant or an enum's member."""
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text):
            return int(text, 0)
        if text in self.constants:
            return self.constants[text]
        if text in self.members:
            return self.number(self.members[text][1])
        raise SchemaError(f"{text} is defined nowhere")

    def reachable(self, *roots: str) -> Schema:
        """Return the part that is needed to read the types ``roots``, each type before those that use it."""
        part = Schema()
        open_types: set[str] = set()

        def number(text: str) -> None:
            if text in self.constants:
                part.constants[text] = self.constants[text]
            elif text in self.members:
                visit(self.members[text][0])

        def visit(name: str) -> None:
            if name in part.types or name in open_types:
                return
            if name not in self.types:
                raise SchemaError(f"the type {name} is defined nowhere")
            open_types.add(name)
            for below in parts_of(self.types[name]):
                if isinstance(below, Named):
                    visit(below.name)
                elif isinstance(below, Opaque | Array):
                    number(below.size)
                elif isinstance(below, Enum):
                    for _, value in below.members:
                        number(value)
            part.define(name, self.types[name])

        for root in roots:
            visit(root)
        part.constants = dict(sorted(part.constants.items()))
        return part


def parts_of(type_: Type) -> Iterator[Type]:
    """Yield a type and all that it is made of, names not followed."""
    yield type_
    if isinstance(type_, Array | Optional):
        yield from parts_of(type_.item)
    elif isinstance(type_, Struct):
        for _, below in type_.fields:
            yield from parts_of(below)
    elif isinstance(type_, Union):
        yield from parts_of(type_.discriminant)
        for arm in type_.arms:
            if arm.type is not None:
                yield from parts_of(arm.type)


# --- reading --------------------------------------------------------------------------------

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|^%[^\n]*", re.DOTALL | re.MULTILINE)
_TOKEN = re.compile(r"-?0x[0-9a-fA-F]+|-?\d+|[A-Za-z_]\w*|[{}()<>\[\];:,=*]")


def parse(text: str, constants: Mapping[str, int] | None = None) -> Schema:
    """Return the schema that a text in the XDR language defines."""
    schema = Schema(dict(constants or {}))
    reader = _Reader(_COMMENT.sub(" ", text))
    while reader.more():
        reader.definition(schema)
    return schema


class _Reader:
    """A recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        left = _TOKEN.sub(" ", text).split()
        if left:
            raise SchemaError(f"{left[0]} is not of the XDR language")
        self._tokens: list[str] = _TOKEN.findall(text)
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._tokens)

    def _next(self) -> str:
        if not self.more():
            raise SchemaError("the schema ends inside a definition")
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, token: str) -> bool:
        if self.more() and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _expect(self, *tokens: str) -> None:
        for token in tokens:
            found = self._next()
            if found != token:
                raise SchemaError(f"{token} is needed where {found} stands")

    def definition(self, schema: Schema) -> None:
        kind = self._next()
        if kind == "typedef":
            name, type_ = self._declaration()
            self._expect(";")
        elif kind == "const":
            name = self._next()
            self._expect("=")
            schema.constants[name] = schema.number(self._next())
            self._expect(";")
            return
        elif kind in ("enum", "struct", "union"):
            name = self._next()
            type_ = self._body(kind)
            self._expect(";")
        else:
            raise SchemaError(f"a definition does not begin with {kind}")
        schema.define(name, type_)

    def _body(self, kind: str) -> Type:
        if kind == "enum":
            return self._enum()
        if kind == "struct":
            return self._struct()
        return self._union()

    def _enum(self) -> Enum:
        members = []
        self._expect("{")
        while True:
            name = self._next()
            self._expect("=")
            members.append((name, self._next()))
            if not self._accept(","):
                break
        self._expect("}")
        return Enum(tuple(members))

    def _struct(self) -> Struct:
        fields = []
        self._expect("{")
        while not self._accept("}"):
            fields.append(self._declaration())
            self._expect(";")
        return Struct(tuple(fields))

    def _union(self) -> Union:
        self._expect("switch", "(")
        discriminant = self._type()
        tag = self._next()
        self._expect(")", "{")
        arms = []
        while not self._accept("}"):
            cases = []
            while self._accept("case"):
                cases.append(self._next())
                self._expect(":")
            if not cases:
                raise SchemaError("a union's arm needs a case; 'default' would hide what is unknown")
            if self._accept("void"):
                arms.append(Arm(tuple(cases), None, None))
            else:
                name, type_ = self._declaration()
                arms.append(Arm(tuple(cases), name, type_))
            self._expect(";")
        return Union(discriminant, tag, tuple(arms))

    def _declaration(self) -> tuple[str, Type]:
        for word in ("opaque", "string"):
            if self._accept(word):
                name = self._next()
                size, fixed = self._size()
                if size is None:
                    raise SchemaError(f"{name} needs a size")
                return name, Opaque(size, fixed, text=word == "string")
        type_ = self._type()
        if self._accept("*"):
            return self._next(), Optional(type_)
        name = self._next()
        size, fixed = self._size()
        return name, type_ if size is None else Array(type_, size, fixed)

    def _size(self) -> tuple[str | None, bool]:
        if self._accept("["):
            size = self._next()
            self._expect("]")
            return size, True
        if self._accept("<"):
            if self._accept(">"):
                return str(UNBOUNDED), False
            size = self._next()
            self._expect(">")
            return size, False
        return None, False

    def _type(self) -> Type:
        word = self._next()
        if word in ("struct", "union", "enum"):
            return self._body(word)
        if word == "unsigned":
            if self._accept("hyper"):
                return Primitive("unsigned hyper")
            self._accept("int")
            return Primitive("unsigned int")
        if word in PRIMITIVES:
            return Primitive(word)
        if word in ("float", "double", "quadruple", "void"):
            raise SchemaError(f"{word} is not understood")
        return Named(word)


# --- writing --------------------------------------------------------------------------------


def write(schema: Schema) -> str:
    """Return a schema as text: without comments, types in the schema's order, one layout."""
    parts = [f"const {name} = {value};" for name, value in schema.constants.items()]
    blocks = ["\n".join(parts)] if parts else []
    for name, type_ in schema.types.items():
        if isinstance(type_, Enum | Struct | Union):
            head = {Enum: "enum", Struct: "struct", Union: "union"}[type(type_)]
            blocks.append(f"{head} {name}{_body(type_, '')};")
        else:
            blocks.append(f"typedef {_declare(type_, name, '')};")
    return "\n\n".join(blocks) + "\n"


def _body(type_: Enum | Struct | Union, indent: str) -> str:
    inner = indent + "    "
    if isinstance(type_, Enum):
        members = [f"{inner}{name} = {value}" for name, value in type_.members]
        return " {\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(type_, Struct):
        lines = [f"{inner}{_declare(below, name, inner)};" for name, below in type_.fields]
        return " {\n" + "\n".join(lines) + f"\n{indent}}}"
    lines = []
    for arm in type_.arms:
        lines += [f"{indent}case {case}:" for case in arm.cases]
        content = "void" if arm.type is None else _declare(arm.type, arm.name or "", inner)
        lines.append(f"{inner}{content};")
    switch = f" switch ({_declare(type_.discriminant, type_.tag, inner)})"
    return switch + " {\n" + "\n".join(lines) + f"\n{indent}}}"


def _declare(type_: Type, name: str, indent: str) -> str:
    if isinstance(type_, Primitive | Named):
        return f"{type_.name} {name}"
    if isinstance(type_, Opaque):
        word = "string" if type_.text else "opaque"
        return f"{word} {name}{_bounds(type_.size, type_.fixed)}"
    if isinstance(type_, Array):
        return _declare(type_.item, name, indent) + _bounds(type_.size, type_.fixed)
    if isinstance(type_, Optional):
        return _declare(type_.item, f"*{name}", indent)
    head = {Enum: "enum", Struct: "struct", Union: "union"}[type(type_)]
    return f"{head}{_body(type_, indent)} {name}"


def _bounds(size: str, fixed: bool) -> str:
    if fixed:
        return f"[{size}]"
    return "<>" if size == str(UNBOUNDED) else f"<{size}>"
