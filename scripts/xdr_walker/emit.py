"""Writes the functions that skip over values: ``_skip_x(w, p)`` returns the position after an ``x``.

Types of fixed size only move the position; short ones are written out where they are needed; recursive
ones become loops (:mod:`scripts.xdr_walker.recursion`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from scripts.xdr_walker.body import Body
from scripts.xdr_walker.layout import Fixed, Layout
from scripts.xdr_walker.recursion import Groups, Loop, head_of
from scripts.xdr_walker.schema import UNBOUNDED, Arm, Array, Named, Opaque, Optional, SchemaError, Struct, Type, Union

INLINE_LINES = 12
"""A function of fewer lines is written out where it is needed instead of being called."""

CHAIN = 5
"""A union with more kinds of arms than this looks its arm up instead of comparing."""


def snake(name: str) -> str:
    """Return a type's name as a part of a Python name."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.replace(".", "_"))
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


class Skipper:
    """Emits skipping code; functions and tables that the code needs are kept in ``functions`` and ``tables``."""

    def __init__(
        self, layout: Layout, first: Mapping[str, Sequence[str]] | None = None, inline: Collection[str] = ()
    ) -> None:
        self.layout = layout
        self.first = first or {}
        self.inline = inline
        self.functions: dict[str, list[str]] = {}
        self.tables: dict[str, str] = {}
        self.readers: dict[tuple[str, object], str] = {}
        self.aliases: dict[str, str] = {}
        self._inline: dict[str, bool] = {}
        self._arms: dict[tuple[str, Type], str] = {}

    # --- functions ------------------------------------------------------------------------

    def function(self, name: str) -> str:
        """Return the name of the function that skips a type, after making it."""
        function = f"_skip_{snake(name)}"
        if function not in self.functions:
            self.functions[function] = []  # what refers to itself finds the name taken
            if self.layout.recursive(name) and head_of(self.layout, name) == name:
                self.functions[function] = Loop(self, name).function(function)
            else:
                body = Body()
                self._type_body(body, name)
                self.functions[function] = _function(function, body)
        return function

    def _inlined(self, name: str) -> bool:
        if name not in self._inline:
            self._inline[name] = name in self.inline
            if not self._inline[name] and not self.layout.recursive(name):
                trial = Body()
                self._type_body(trial, name)
                self._inline[name] = len(trial.lines) < INLINE_LINES
        return self._inline[name]

    # --- any type -------------------------------------------------------------------------

    def skip(self, body: Body, type_: Type) -> None:
        """Write how to step over one value."""
        fixed = self.layout.fixed(type_)
        if fixed is not None:
            body.fixed(fixed)
            return
        type_ = self.layout.target(type_)
        if isinstance(type_, Named):
            if self._inlined(type_.name):
                self._type_body(body, type_.name)
            else:
                body.goto(f"{self.function(type_.name)}(w, {body.here()})")
        elif isinstance(type_, Opaque):
            self._opaque(body, type_)
        elif isinstance(type_, Array):
            self._array(body, type_)
        elif isinstance(type_, Optional):
            self._optional(body, type_)
        else:
            raise SchemaError(f"{type_} cannot be skipped")

    def _type_body(self, body: Body, name: str) -> None:
        found = self.layout.types[name]
        if isinstance(found, Struct):
            for _, below in found.fields:
                self.skip(body, below)
        elif isinstance(found, Union):
            self._union(body, name, found)
        else:
            raise SchemaError(f"{name} cannot be skipped")

    def count(self, body: Body, size: str) -> None:
        """Read a length or a count into ``n`` and check it against its bound."""
        body.take("n")
        most = self.layout.number(size)
        if most != UNBOUNDED:
            body.refuse(f"n > {most}", f"_too_many(n, {most}, {body.here(-1)})")

    def _opaque(self, body: Body, type_: Opaque) -> None:
        self.count(body, type_.size)
        body.jump("(n + 3 >> 2)")
        body.refuse("n & 3 and w[p - 1] & _PADDING[n & 3]", "_bad_padding(p)")

    def _array(self, body: Body, type_: Array) -> None:
        item = self.layout.fixed(type_.item)
        if type_.fixed:
            for _ in range(self.layout.number(type_.size)):
                self.skip(body, type_.item)
            return
        self.count(body, type_.size)
        if item is not None and not item.checks:
            body.jump("n" if item.words == 1 else f"{item.words} * n")
            return
        body.settle()
        with body.block("for _ in range(n):"):
            self.skip(body, type_.item)

    def _optional(self, body: Body, type_: Optional) -> None:
        item = self.layout.fixed(type_.item)
        body.line(f"t = {body.word()}")
        body.refuse("t > 1", f"_bad_flag(w, {body.here()})")
        body.offset += 1
        if item is not None and not item.checks:
            body.jump("t" if item.words == 1 else f"{item.words} * t")
            return
        body.settle()
        with body.block("if t:"):
            self.skip(body, type_.item)

    # --- unions ---------------------------------------------------------------------------

    def arms(self, union: Union) -> tuple[dict[int, int], Groups]:
        """Return the words of the whole union for cases of fixed size without checks, and all other cases."""
        sizes: dict[int, int] = {}
        others: Groups = {}
        for arm in union.arms:
            fixed = Fixed(0) if arm.type is None else self.layout.fixed(arm.type)
            if fixed is not None and not fixed.checks:
                sizes.update(dict.fromkeys(self.cases(arm), 1 + fixed.words))
            elif arm.type is not None:
                others.setdefault(self.layout.target(arm.type), []).extend(self.cases(arm))
        return sizes, others

    def cases(self, arm: Arm) -> tuple[int, ...]:
        """Return the words by which a union says that it holds this arm."""
        return tuple(sorted(self.layout.number(case) for case in arm.cases))

    def _union(self, body: Body, name: str, union: Union) -> None:
        sizes, others = self.arms(union)
        groups: Groups = {}
        for arm in union.arms:
            key = None if arm.type is None else self.layout.target(arm.type)
            groups.setdefault(key, []).extend(self.cases(arm))
        if not others:
            self.size(body, name, sizes)
            body.jump("n")
        elif len(groups) > CHAIN and name not in self.first:
            self._lookup(body, name, sizes, others)
        else:
            body.line(f"t = {body.word()}")
            self.chain(body, name, groups, self.skip)

    def size(self, body: Body, name: str, sizes: dict[int, int], word: str | None = None) -> None:
        """Write how to get the words of the whole union into ``n``: 0 for an arm of no fixed size."""
        table = f"_WORDS_{snake(name).upper()}"
        self.tables[table] = _dict({case: str(sizes.get(case, 0)) for case in self._all_cases(name)})
        body.line("try:")
        body.line(f"    n = {table}[{word or body.word()}]")
        body.line("except KeyError:")
        body.line(f'    raise _unknown("{name}", w, {body.here()}) from None')

    def _all_cases(self, name: str) -> list[int]:
        union = self.layout.types[name]
        assert isinstance(union, Union)  # noqa: S101 - only called for one
        return sorted(case for arm in union.arms for case in self.cases(arm))

    def _lookup(self, body: Body, name: str, sizes: dict[int, int], others: Groups) -> None:
        body.checked()
        offset = body.offset
        arms = {case: self._arm_function(name, type_) for type_, cases in others.items() for case in cases}
        table = f"_ARMS_{snake(name).upper()}"
        self.tables[table] = _dict(arms)
        if sizes:
            body.line(f"t = {body.word()}")
            self.size(body, name, sizes, "t")
            with body.block("if n:"):
                body.jump("n")
            body.offset = offset
            with body.block("else:"):
                body.goto(f"{table}[t](w, {body.here(1)})")
            return
        body.line("try:")
        body.line(f"    skip = {table}[{body.word()}]")
        body.line("except KeyError:")
        body.line(f'    raise _unknown("{name}", w, {body.here()}) from None')
        body.goto(f"skip(w, {body.here(1)})")

    def _arm_function(self, name: str, type_: Type | None) -> str:
        assert type_ is not None  # noqa: S101 - nothing is of fixed size
        if isinstance(type_, Named):
            return self.function(type_.name)
        key = (name, type_)
        function = self._arms.setdefault(key, f"_skip_{snake(name)}_arm_{len(self._arms)}")
        if function in self.functions:
            return function
        body = Body()
        self.functions[function] = []
        self.skip(body, type_)
        self.functions[function] = _function(function, body)
        return function

    def chain(self, body: Body, name: str, groups: Groups, emit: Callable[[Body, Type], None]) -> None:
        """Write a comparison of ``t``, the union's word at the next position, with each arm's cases."""
        body.checked()
        start = body.offset
        first = [self.layout.number(case) for case in self.first.get(name, ())]
        ranked = sorted(groups.items(), key=lambda group: (_rank(group[1], first), len(group[1])))
        passed: set[int] = set()
        word = "if"
        for type_, cases in ranked:
            with body.block(f"{word} {inside('t', sorted(cases), passed)}:"):
                body.offset = start + 1
                if type_ is not None:
                    emit(body, type_)
            passed |= set(cases)
            word = "elif"
        body.offset = start
        body.line("else:")
        body.line(f'    raise _unknown("{name}", w, {body.here()})')
        body.offset = 0


def _rank(cases: list[int], first: list[int]) -> int:
    return min((first.index(case) for case in cases if case in first), default=len(first))


def _dict(entries: Mapping[int, str]) -> str:
    return "{" + ", ".join(f"{key}: {entries[key]}" for key in sorted(entries)) + "}"


def inside(word: str, cases: list[int], passed: set[int]) -> str:
    """Return the condition under which a word is one of ``cases``, the ``passed`` ones being excluded already."""
    if len(cases) == 1:
        return f"{word} == {cases[0]}"
    if cases[-1] == sum(case < cases[-1] for case in {*cases, *passed}):
        return f"{word} <= {cases[-1]}"
    return f"{word} in {tuple(cases)}"


def _function(name: str, body: Body) -> list[str]:
    body.settle()
    return [f"def {name}(w: Words, p: int) -> int:", *body.lines, "    return p"]
