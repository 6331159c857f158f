"""Writes loops for recursive types: what is nested is counted, not recursed into.

XDR has no lengths of whole values, and nothing follows a nested value but more of the same. So it is
enough to count how many values are still to come (``left``), with a stack of such counts (``above``) for
the values that hold them. Python's own stack stays as it is, however deep a value nests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from scripts.xdr_walker.body import Body
from scripts.xdr_walker.layout import Layout
from scripts.xdr_walker.schema import Array, Named, Optional, SchemaError, Struct, Type, Union

if TYPE_CHECKING:
    from scripts.xdr_walker.emit import Skipper

Groups: TypeAlias = "dict[Type | None, list[int]]"
"""The cases of a union by what they hold; None: nothing."""


def head_of(layout: Layout, name: str) -> str:
    """Return the type through which all recursion goes of the circle that a recursive type belongs to."""
    circle = sorted(other for other in layout.holds[name] if name in layout.holds[other])
    for head in circle:
        if not any(_reaches_itself(layout, other, set(circle) - {head}) for other in circle if other != head):
            return head
    raise SchemaError(f"{name} recurs in more than one way")


def _reaches_itself(layout: Layout, name: str, within: set[str]) -> bool:
    seen: set[str] = set()
    left = [name]
    while left:
        for below in layout.direct(layout.types[left.pop()]) & within:
            if below == name:
                return True
            if below not in seen:
                seen.add(below)
                left.append(below)
    return False


class Loop:
    """Emits the function for one head: the type whose values lie inside each other."""

    def __init__(self, skipper: Skipper, head: str) -> None:
        self._skipper = skipper
        self._layout = skipper.layout
        self._head = head

    def function(self, name: str) -> list[str]:
        """Return the lines of the function."""
        body = Body()
        found = self._layout.types[self._head]
        if isinstance(found, Union):
            self._leaves(body, found)
        body.line("left = 1")
        body.line("above: list[int] = []")
        with body.block("while True:"):
            with body.block("while left:"):
                body.line("left -= 1")
                self._named(body, self._head)
            body.line("if not above:")
            body.line("    return p")
            body.line("left = above.pop()")
        return [f"def {name}(w: Words, p: int) -> int:", *body.lines]

    def _leaves(self, body: Body, union: Union) -> None:
        """Return at once for values that hold no others, which most are."""
        sizes, others = self._skipper.arms(union)
        if not sizes:
            return
        body.line("t = w[p]")
        self._skipper.size(body, self._head, sizes, "t")
        body.line("if n:")
        body.line("    return p + n")
        for name in self._skipper.first.get(self._head, ()):
            case = self._layout.number(name)
            type_ = next(type_ for type_, cases in others.items() if case in cases)
            if type_ is not None and not self._holds(type_):
                with body.block(f"if t == {case}:"):
                    body.offset = 1
                    self._skipper.skip(body, type_)
                    body.settle()
                    body.line("return p")

    def _push(self, body: Body, count: str) -> None:
        """Write that ``count`` values of the head follow, inside the present one."""
        body.settle()
        body.line("above.append(left)")
        body.refuse("len(above) > MAX_DEPTH", f'_too_deep("{self._head}", p)')
        body.line(f"left = {count}")

    def _pure(self, type_: Type) -> int | None:
        """Return how many heads a type consists of where it consists of nothing else."""
        type_ = self._layout.target(type_)
        if not isinstance(type_, Named):
            return None
        if type_.name == self._head:
            return 1
        found = self._layout.types[type_.name]
        if isinstance(found, Struct):
            below = [self._pure(field) for _, field in found.fields]
            known = [count for count in below if count is not None]
            if len(known) == len(below):
                return sum(known)
        return None

    def _holds(self, type_: Type) -> bool:
        type_ = self._layout.target(type_)
        if isinstance(type_, Array | Optional):
            return self._holds(type_.item)
        return isinstance(type_, Named) and (type_.name == self._head or self._head in self._layout.holds[type_.name])

    def _value(self, body: Body, type_: Type) -> None:
        """Write how to step over a value up to the heads that it ends with."""
        type_ = self._layout.target(type_)
        pure = self._pure(type_)
        if not self._holds(type_):
            self._skipper.skip(body, type_)
        elif pure is not None:
            self._push(body, str(pure))
        elif isinstance(type_, Named):
            self._named(body, type_.name)
        elif isinstance(type_, Optional):
            body.line(f"t = {body.word()}")
            body.refuse("t > 1", f"_bad_flag(w, {body.here()})")
            body.offset += 1
            body.settle()
            with body.block("if t:"):
                self._value(body, type_.item)
        elif isinstance(type_, Array) and not type_.fixed:
            each = self._pure(type_.item)
            if each is None:
                raise SchemaError(f"{self._head} recurs inside an array of more than itself")
            self._skipper.count(body, type_.size)
            body.settle()
            with body.block("if n:"):
                self._push(body, "n" if each == 1 else f"{each} * n")
        else:
            raise SchemaError(f"{self._head} recurs in a way that is not understood")

    def _named(self, body: Body, name: str) -> None:
        found = self._layout.types[name]
        if isinstance(found, Union):
            self._union(body, name, found)
        elif isinstance(found, Struct):
            self._struct(body, name, found)
        else:
            raise SchemaError(f"{name} cannot hold {self._head}")

    def _struct(self, body: Body, name: str, struct: Struct) -> None:
        for index, (_, below) in enumerate(struct.fields):
            if not self._holds(below):
                self._skipper.skip(body, below)
                continue
            rest = [self._pure(later) for _, later in struct.fields[index:]]
            known = [count for count in rest if count is not None]
            if len(known) == len(rest):
                self._push(body, str(sum(known)))
            elif len(rest) == 1:
                self._value(body, below)
            else:
                raise SchemaError(f"{name} goes on after {self._head}")
            return

    def _union(self, body: Body, name: str, union: Union) -> None:
        sizes, others = self._skipper.arms(union)
        body.line(f"t = {body.word()}")
        if not sizes:
            self._skipper.chain(body, name, others, self._value)
            return
        self._skipper.size(body, name, sizes, "t")
        body.settle()
        body.line("if n:")
        body.line("    p += n")
        with body.block("else:"):
            self._skipper.chain(body, name, others, self._value)
