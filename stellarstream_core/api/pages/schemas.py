"""JSON Schemas for reading: what a value is in words, and below it the fields it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEEPEST = 6
"""How far fields are followed into one another."""
REFERENCE = "#/components/schemas/"

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One value. ``name`` is the field's, empty for the value itself; ``below`` are the fields inside of it."""

    name: str
    kind: str
    required: bool = True
    description: str = ""
    notes: Sequence[str] = ()
    below: Sequence[Node] = field(default_factory=tuple)


class SchemaReader:
    """Reads schemas that refer to one another."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def node(self, schema: Schema, name: str = "", *, required: bool = True) -> Node:
        """Return a schema for reading."""
        return self._node(schema, name, required=required, seen=())

    def example(self, schema: Schema, name: str = "") -> Any:
        """Return a value that has the shape of a schema: what is required, with the least that says something."""
        return self._example(schema, name, ())

    def resolved(self, schema: Schema) -> Schema:
        """Return what a reference stands for; what stands beside the reference counts more."""
        found, name = dict(schema), _referred(schema)
        while name:
            del found["$ref"]
            found = {**self._definitions.get(name, {}), **found}
            name = _referred(found)
        return found

    def _node(self, schema: Schema, name: str, *, required: bool, seen: tuple[str, ...]) -> Node:
        target = _referred(schema)
        whole = self.resolved(schema)
        description = str(whole.get("description", ""))
        if target in seen or len(seen) >= DEEPEST:
            return Node(name, self.kind(schema), required, description, ["as above"])
        seen = (*seen, target)
        return Node(
            name,
            self.kind(schema),
            required,
            " ".join(description.split()),
            _notes(whole),
            tuple(self._below(whole, seen)),
        )

    def _below(self, schema: Schema, seen: tuple[str, ...]) -> Sequence[Node]:
        wanted = set(schema.get("required", ()))
        found = [
            self._node(below, name, required=name in wanted, seen=seen)
            for name, below in schema.get("properties", {}).items()
        ]
        for inside in (schema.get("items"), schema.get("additionalProperties"), *_choices(schema)):
            if isinstance(inside, Mapping):
                target = _referred(inside)
                whole = self.resolved(inside)
                if target and target in seen:
                    continue
                found.extend(self._below(whole, (*seen, target)))
        return found

    def kind(self, schema: Schema) -> str:
        """Return what a value is, in words."""
        whole = self.resolved(schema)
        if "const" in whole:
            return _literal(whole["const"])
        if "enum" in whole:
            return " or ".join(map(_literal, whole["enum"]))
        if choices := _choices(whole):
            return " or ".join(dict.fromkeys(map(self.kind, choices)))
        kind = whole.get("type")
        if isinstance(kind, list):
            return " or ".join(kind)
        if kind == "array":
            inside = whole.get("items")
            return f"list of {self.kind(inside)}" if isinstance(inside, Mapping) and inside else "list"
        if kind is None:
            return "any JSON"
        if kind == "string" and "format" in whole:
            return f"string ({whole['format']})"
        return str(kind)

    def _example(self, schema: Schema, name: str, seen: tuple[str, ...]) -> Any:
        target = _referred(schema)
        whole = self.resolved(schema)
        for key in ("examples", "enum"):
            if whole.get(key):
                return whole[key][0]
        for key in ("const", "default"):
            if whole.get(key) is not None:
                return whole[key]
        if target and target in seen:
            return None
        seen = (*seen, target) if target else seen
        if choices := _choices(whole):
            return self._example(choices[0], name, seen)
        kind = whole.get("type")
        if kind == "object":
            wanted = whole.get("required", ())
            fields = whole.get("properties", {})
            return {one: self._example(fields[one], one, seen) for one in fields if one in wanted}
        if kind == "array":
            return [self._example(whole["items"], name, seen)] if whole.get("items") else []
        plain = {"integer": whole.get("minimum", 1), "number": 1.0, "boolean": True, "null": None}
        return plain.get(str(kind), "…")


def _referred(schema: Schema) -> str:
    return str(schema.get("$ref", "")).removeprefix(REFERENCE)


def _choices(schema: Schema) -> Sequence[Schema]:
    return schema.get("anyOf") or schema.get("oneOf") or ()


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _notes(schema: Schema) -> Sequence[str]:
    """Return the bounds of a value in words."""
    notes = []
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        notes.append(f"{low:,} to {high:,}")
    elif low is not None:
        notes.append(f"at least {low:,}")
    elif high is not None:
        notes.append(f"at most {high:,}")
    for least, most, what in (("minLength", "maxLength", "character"), ("minItems", "maxItems", "item")):
        if (top := schema.get(most)) is not None:
            bottom = f"{schema[least]:,} to " if schema.get(least) else "at most "
            notes.append(f"{bottom}{top:,} {what}{'' if top == 1 else 's'}")
        elif schema.get(least):
            notes.append(f"at least {schema[least]:,} {what}{'' if schema[least] == 1 else 's'}")
    for choice in (schema, *_choices(schema)):
        if "pattern" in choice:
            notes.append(f"matches {choice['pattern']}")
    if schema.get("default") not in (None, [], ""):
        notes.append(f"default {_literal(schema['default'])}")
    return notes
