"""The API documentation: the OpenAPI description turned into a page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from stellarstream_core.api.pages.render import render
from stellarstream_core.api.pages.schemas import Node, SchemaReader

METHODS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"
STREAM = "text/event-stream"
_LINK = re.compile(r"\[([a-z0-9-]+)\]\(([^)]+)\)")
_PLACEHOLDER = re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; ``place`` is path, query or header. ``many``: it may be repeated."""

    place: str
    node: Node
    many: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer: ``node`` is what it holds where that can be told, ``codes`` are the problems it may be."""

    status: str
    text: str
    media_types: Sequence[str]
    node: Node | None
    codes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. ``access`` is empty where everybody may call it; ``tryable`` where the page can."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    access: str
    parameters: Sequence[Parameter]
    body: Node | None
    body_types: Sequence[str]
    body_required: bool
    answers: Sequence[Outcome]
    problems: Sequence[Outcome]
    curl: str
    tryable: bool
    deprecated: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole description."""

    title: str
    version: str
    summary: str
    server: str
    groups: Mapping[str, Sequence[Operation]]
    security: Mapping[str, Mapping[str, Any]]


@lru_cache(maxsize=4)
def read_reference(described: bytes) -> Reference:
    """Return a description for reading."""
    whole = orjson.loads(described)
    components = whole.get("components", {})
    reader = SchemaReader(components.get("schemas", {}))
    server = next((server["url"] for server in whole.get("servers", ())), "")
    groups: dict[str, list[Operation]] = {}
    for path, item in whole["paths"].items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                tag = next(iter(operation.get("tags", ())), "other")
                groups.setdefault(tag, []).append(_operation(method, path, operation, reader, server))
    info = whole["info"]
    return Reference(
        info["title"],
        info["version"],
        info.get("summary", ""),
        server,
        groups,
        components.get("securitySchemes", {}),
    )


@lru_cache(maxsize=4)
def reference_page(described: bytes) -> bytes:
    """Return the page for a description."""
    return render("docs.html", here="docs", reference=read_reference(described))


@lru_cache(maxsize=4)
def operations_by_problem(described: bytes) -> Mapping[str, Sequence[Operation]]:
    """Return for each code the operations that may answer with it."""
    found: dict[str, list[Operation]] = {}
    for operations in read_reference(described).groups.values():
        for operation in operations:
            for code in dict.fromkeys(code for outcome in operation.problems for code in outcome.codes):
                found.setdefault(code, []).append(operation)
    return found


def _operation(method: str, path: str, operation: Mapping[str, Any], reader: SchemaReader, server: str) -> Operation:
    parameters = [_parameter(one, reader) for one in operation.get("parameters", ())]
    content = operation.get("requestBody", {}).get("content", {})
    body_schema = next((one["schema"] for one in content.values() if "schema" in one), None)
    outcomes = [_outcome(status, one, reader) for status, one in operation.get("responses", {}).items()]
    streams = any(STREAM in outcome.media_types for outcome in outcomes)
    access = _access(operation)
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=" ".join(operation.get("description", "").split()),
        access=access,
        parameters=parameters,
        body=reader.node(body_schema) if body_schema is not None else None,
        body_types=list(content),
        body_required=operation.get("requestBody", {}).get("required", False),
        answers=[outcome for outcome in outcomes if outcome.node is not None or not outcome.codes],
        problems=[outcome for outcome in outcomes if outcome.codes],
        curl=_curl(method, f"{server}{path}", operation, reader, streams=streams, private=bool(access)),
        tryable=method == "get" and not streams,
        deprecated=bool(operation.get("deprecated")),
    )


def _parameter(parameter: Mapping[str, Any], reader: SchemaReader) -> Parameter:
    schema = dict(parameter.get("schema", {}))
    if "description" in parameter:
        schema["description"] = parameter["description"]
    node = reader.node(schema, parameter["name"], required=parameter.get("required", False))
    return Parameter(parameter["in"], node, reader.resolved(schema).get("type") == "array")


def _outcome(status: str, response: Mapping[str, Any], reader: SchemaReader) -> Outcome:
    content = response.get("content", {})
    text = response.get("description", "")
    codes = [code for code, _ in _LINK.findall(text)]
    good = next((one["schema"] for kind, one in content.items() if "schema" in one and "problem" not in kind), None)
    return Outcome(
        status,
        "the answer" if codes else text,
        list(content),
        reader.node(good) if good is not None and not _is_text(good) else None,
        codes,
    )


def _is_text(schema: Mapping[str, Any]) -> bool:
    return dict(schema) == {"type": "string"}


def _access(operation: Mapping[str, Any]) -> str:
    """Return who may call it, in words; empty for everybody."""
    security = operation.get("security")
    if security is None or {} in security:
        return ""
    scope = operation.get("x-scope", "")
    return f"needs an account: a token, or an API key with the scope '{scope}'" if scope else "needs an account"


def _curl(
    method: str,
    address: str,
    operation: Mapping[str, Any],
    reader: SchemaReader,
    *,
    streams: bool,
    private: bool,
) -> str:
    """Return a command for a shell; what the reader has to fill in stands there as a variable."""
    content = operation.get("requestBody", {}).get("content", {})
    words = ["curl --no-buffer" if streams else "curl"]
    if method not in ("get", "post" if JSON in content else "get"):
        words[0] += f" --request {method.upper()}"
    if private:
        words.append('--header "Authorization: Bearer $TOKEN"')
    if JSON in content:
        body = orjson.dumps(reader.example(content[JSON]["schema"])).decode()
        words.append(f"--json {shlex.quote(body)}")
    filled = _PLACEHOLDER.sub(lambda found: f"${_variable(found[1])}", address)
    wanted = [
        f"{quote(one['name'])}=${_variable(one['name'])}"
        for one in operation.get("parameters", ())
        if one["in"] == "query" and one.get("required")
    ]
    words.append(f'"{filled}{"?" if wanted else ""}{"&".join(wanted)}"')
    return " \\\n  ".join(words) if len(words) > 2 else " ".join(words)


def _variable(name: str) -> str:
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"[^A-Za-z0-9]", "_", name)).upper()
