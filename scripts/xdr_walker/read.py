"""Writes the functions that read: they keep what the plan lists and step over the rest."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.xdr_walker.body import Body
from scripts.xdr_walker.emit import Skipper, snake
from scripts.xdr_walker.layout import Check, Fixed
from scripts.xdr_walker.plan import Arms, Fields, Only, Places, Plan
from scripts.xdr_walker.recursion import Groups
from scripts.xdr_walker.schema import Array, Enum, Named, Optional, Primitive, SchemaError, Struct, Type, Union


class Reader:
    """Emits reading code for one plan. Types that several plans share are read by the same functions."""

    def __init__(self, skipper: Skipper, plan: Plan) -> None:
        self.skipper = skipper
        self.layout = skipper.layout
        self.plan = plan

    def function(self, name: str, function: str | None = None) -> str:
        """Return the name of the function that reads a type, after making it."""
        shape = (name, self._shape(name))
        if function is None:
            alike = [other for other in self.skipper.readers if other[0] == name]
            number = f"_{len(alike) + 1}" if alike else ""
            function = self.skipper.readers.setdefault(shape, f"_read_{snake(name)}{number}")
        if function not in self.skipper.functions:
            self.skipper.functions[function] = []
            body = Body()
            entry = self.plan[name]
            if isinstance(entry, Places):
                value = "places"
                body.line("places: list[int] = []")
                self._places(body, Named(name), entry.type)
            else:
                value = self._named(body, name)
            body.settle()
            head = f"def {function}(w: Words, p: int) -> tuple[{self.annotation(Named(name))}, int]:"
            self.skipper.functions[function] = [head, *body.lines, f"    return {value}, p"]
        return function

    def _shape(self, name: str) -> object:
        """Return what is read of a type: the plan for it and for all inside it."""
        inside = sorted(self.layout.holds[name] & self.plan.keys())
        return self.plan[name], tuple((below, self.plan[below]) for below in inside)

    # --- annotations ----------------------------------------------------------------------

    def annotation(self, type_: Type) -> str:
        """Return the Python type of what is read of a type."""
        type_ = self.layout.target(type_)
        if isinstance(type_, Array):
            return f"list[{self.annotation(type_.item)}]"
        if isinstance(type_, Optional):
            return f"{self.annotation(type_.item)} | None"
        if not isinstance(type_, Named) or isinstance(self.layout.types[type_.name], Enum):
            return "int"
        entry = self.plan[type_.name]
        found = self.layout.types[type_.name]
        if isinstance(entry, Places):
            return "list[int]"
        if isinstance(entry, Only) and isinstance(found, Struct):
            return self._part_annotation(found, entry.part)
        if isinstance(entry, Fields) and isinstance(found, Struct):
            parts = ", ".join(self._part_annotation(found, part) for part in entry.parts)
            return self._alias(type_.name, f"tuple[{parts}]")
        if isinstance(entry, Arms) and isinstance(found, Union):
            kinds: list[str] = []
            for arm in found.arms:
                if arm.type is not None and arm.name in entry.parts:
                    kinds += _alternatives(self.annotation(arm.type))
                else:
                    kinds.append("int" if f"{arm.name}@" in entry.parts else "None")
            joined = " | ".join(sorted(set(kinds), key=lambda kind: (kind == "None", kind)))
            return self._alias(type_.name, f"tuple[int, {joined}]") if entry.tag else joined
        raise SchemaError(f"{type_.name} has no fitting plan")

    def _alias(self, name: str, definition: str) -> str:
        alias = plain = "".join(part[0].upper() + part[1:] for part in name.split("."))
        number = 2
        while self.skipper.aliases.setdefault(alias, definition) != definition:
            alias = f"{plain}_{number}"
            number += 1
        return alias

    def _part_annotation(self, struct: Struct, part: str) -> str:
        if part.endswith("[]@"):
            return "list[int]"
        if part in ("^", "$") or part.endswith("@"):
            return "int"
        if part.endswith("+"):
            _, inner, entry = self._only_arm(dict(struct.fields)[part[:-1]])
            return ", ".join(self._part_annotation(inner, below) for below in entry.parts)
        return self.annotation(dict(struct.fields)[part])

    # --- code -----------------------------------------------------------------------------

    def _value(self, body: Body, type_: Type) -> str:
        """Write how to read one value; return the expression for it."""
        type_ = self.layout.target(type_)
        if isinstance(type_, Named) and type_.name in self.plan:
            return self._call(body, type_.name)
        value = body.name()
        if isinstance(type_, Array) and not type_.fixed:
            self.skipper.count(body, type_.size)
            body.settle()
            body.line(f"{value}: {self.annotation(type_)} = []")
            with body.block("for _ in range(n):"):
                item = self._value(body, type_.item)
                body.line(f"{value}.append({item})")
        elif isinstance(type_, Optional):
            body.line(f"t = {body.word()}")
            body.refuse("t > 1", f"_bad_flag(w, {body.here()})")
            body.offset += 1
            body.settle()
            body.line(f"{value}: {self.annotation(type_)} = None")
            with body.block("if t:"):
                body.line(f"{value} = {self._value(body, type_.item)}")
        else:
            self._number(body, type_, value)
        return value

    def _number(self, body: Body, type_: Type, value: str) -> None:
        fixed = self.layout.fixed(type_)
        if fixed is None or fixed.words > 2:
            raise SchemaError(f"{type_} is no number; give its place")
        high, low = body.word(), body.word(1)
        if isinstance(type_, Primitive) and type_.name == "hyper":
            body.line(f"{value} = (({high} ^ 0x80000000) - 0x80000000) << 32 | {low}")
        elif isinstance(type_, Primitive) and type_.name == "unsigned hyper":
            body.line(f"{value} = {high} << 32 | {low}")
        else:
            body.line(f"{value} = {high}")
        body.fixed(fixed)

    def _call(self, body: Body, name: str) -> str:
        found = self.layout.types[name]
        entry = self.plan[name]
        # Unions and structs with a single part cost a call more than they cost lines.
        if isinstance(entry, Arms | Only) and not (isinstance(entry, Arms) and entry.tag):
            return self._named(body, name)
        if isinstance(found, Struct) and self.layout.fixed(Named(name)) is not None:
            return self._named(body, name)
        value = body.name()
        function = self.function(name)
        body.checked()
        body.line(f"{value}, p = {function}(w, {body.here()})")
        body.offset = 0
        return value

    def _named(self, body: Body, name: str) -> str:
        found = self.layout.types[name]
        entry = self.plan[name]
        if isinstance(entry, Fields) and isinstance(found, Struct):
            return f"({', '.join(self._struct(body, found, entry.parts, entry.until))})"
        if isinstance(entry, Only) and isinstance(found, Struct):
            return self._struct(body, found, (entry.part,))[0]
        if isinstance(entry, Arms) and isinstance(found, Union):
            return self._union(body, name, found, entry)
        raise SchemaError(f"{name} has no fitting plan")

    def _struct(self, body: Body, struct: Struct, parts: Sequence[str], until: str | None = None) -> list[str]:
        """Write how to read a struct; return the expressions for its parts."""
        values: dict[str, list[str]] = {}
        if "^" in parts:
            values["^"] = [self._place(body)]
        for field, type_ in struct.fields:
            wanted = {part for part in parts if part.rstrip("[]@+") == field}
            if f"{field}@" in wanted:
                optional = self.layout.target(type_)
                if isinstance(optional, Optional):
                    values[f"{field}@"] = [self._optional_place(body, optional)]
                    continue
                values[f"{field}@"] = [self._place(body)]
            if until == field:
                break
            if f"{field}[]@" in wanted:
                values[f"{field}[]@"] = [self._item_places(body, type_)]
            elif f"{field}+" in wanted:
                check, inner, entry = self._only_arm(type_)
                body.fixed(check)
                values[f"{field}+"] = self._struct(body, inner, entry.parts)
            elif field in wanted:
                values[field] = [self._value(body, type_)]
            else:
                self.skipper.skip(body, type_)
        if "$" in parts:
            body.checked()
            values["$"] = [self._place(body) if body.offset else "p"]
        return [value for part in parts for value in values[part]]

    def _only_arm(self, type_: Type) -> tuple[Fixed, Struct, Fields]:
        """Take a union of one arm apart: the word that has to be checked, the struct in the arm, its plan."""
        name = self.layout.target(type_)
        union = self.layout.types[name.name] if isinstance(name, Named) else None
        if isinstance(name, Named) and isinstance(union, Union) and len(union.arms) == 1:
            inner = union.arms[0].type
            inner = None if inner is None else self.layout.target(inner)
            entry = self.plan.get(inner.name) if isinstance(inner, Named) else None
            if isinstance(inner, Named) and isinstance(entry, Fields):
                check = Check(0, name.name, self.skipper.cases(union.arms[0]))
                return Fixed(1, (check,)), self.layout.struct(inner.name), entry
        raise SchemaError(f"{type_} is no union of a single struct")

    def _place(self, body: Body) -> str:
        value = body.name()
        body.line(f"{value} = {body.here()}")
        return value

    def _optional_place(self, body: Body, type_: Optional) -> str:
        value = body.name()
        body.line(f"t = {body.word()}")
        body.refuse("t > 1", f"_bad_flag(w, {body.here()})")
        body.offset += 1
        body.settle()
        body.line(f"{value} = 0")
        with body.block("if t:"):
            body.line(f"{value} = p")
            self.skipper.skip(body, type_.item)
        return value

    def _item_places(self, body: Body, type_: Type) -> str:
        value = body.name()
        array = self.layout.target(type_)
        if not isinstance(array, Array):
            raise SchemaError(f"{type_} is no array")
        self.skipper.count(body, array.size)
        body.settle()
        body.line(f"{value}: list[int] = []")
        with body.block("for _ in range(n):"):
            body.line(f"{value}.append(p)")
            self.skipper.skip(body, array.item)
        return value

    def _union(self, body: Body, name: str, union: Union, entry: Arms) -> str:
        value = body.name()
        wanted: list[tuple[Type, bool, list[int]]] = []
        rest = False
        for arm in union.arms:
            place = f"{arm.name}@" in entry.parts
            if arm.type is not None and (place or arm.name in entry.parts):
                wanted.append((arm.type, place, [self.layout.number(case) for case in arm.cases]))
            else:
                rest = True
        tag = "t"
        body.line(f"t = {body.word()}")
        if entry.tag:
            tag = body.name()
            body.line(f"{tag} = t")
        body.settle()
        kind = self.annotation(Named(name))
        if entry.tag:
            kind = self.skipper.aliases[kind].removeprefix("tuple[int, ").removesuffix("]")
        if rest or kind.endswith("None"):
            body.line(f"{value}: {kind} = None")
        else:
            body.line(f"{value}: {kind}")
        word = "if"
        for type_, place, cases in wanted:
            with body.block(f"{word} {_among('t', cases)}:"):
                body.offset = 1
                if place:
                    body.line(f"{value} = {body.here()}")
                    self.skipper.skip(body, type_)
                else:
                    body.line(f"{value} = {self._value(body, type_)}")
            word = "elif"
        if rest:
            with body.block("else:"):
                self.skipper.skip(body, Named(name))
        else:
            body.line("else:")
            body.line(f'    raise _unknown("{name}", w, p)')
        return f"({tag}, {value})" if entry.tag else value

    # --- places of one type, however deep -------------------------------------------------

    def _places(self, body: Body, type_: Type, wanted: str) -> None:
        type_ = self.layout.target(type_)
        if not self._leads_to(type_, wanted):
            self.skipper.skip(body, type_)
        elif isinstance(type_, Named) and type_.name == wanted:
            body.line(f"places.append({body.here()})")
            self.skipper.skip(body, type_)
        elif isinstance(type_, Array):
            self.skipper.count(body, type_.size)
            body.settle()
            with body.block("for _ in range(n):"):
                self._places(body, type_.item, wanted)
        elif isinstance(type_, Named):
            found = self.layout.types[type_.name]
            if isinstance(found, Struct):
                for _, below in found.fields:
                    self._places(body, below, wanted)
            elif isinstance(found, Union):
                groups: Groups = {}
                for arm in found.arms:
                    groups.setdefault(arm.type, []).extend(self.layout.number(case) for case in arm.cases)
                body.line(f"t = {body.word()}")
                self.skipper.chain(body, type_.name, groups, lambda inner, below: self._places(inner, below, wanted))
        else:
            raise SchemaError(f"{wanted} cannot be looked for here")

    def _leads_to(self, type_: Type, wanted: str) -> bool:
        type_ = self.layout.target(type_)
        if isinstance(type_, Array | Optional):
            return self._leads_to(type_.item, wanted)
        return isinstance(type_, Named) and (type_.name == wanted or wanted in self.layout.holds[type_.name])


def _alternatives(kind: str) -> list[str]:
    """Split an annotation at its outermost bars."""
    depth, parts = 0, [""]
    for character in kind:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _among(word: str, cases: list[int]) -> str:
    return f"{word} == {cases[0]}" if len(cases) == 1 else f"{word} in {tuple(cases)}"
