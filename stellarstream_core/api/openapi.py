"""The OpenAPI 3.1 description, made from the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from stellarstream_core import __version__
from stellarstream_core.api import problems
from stellarstream_core.api.auth.identity import Access
from stellarstream_core.api.models import Nothing, without_null
from stellarstream_core.api.problems import MEDIA_TYPE, ApiProblem, page_of
from stellarstream_core.api.routes import JSON, Route

VERSION = "3.1.0"
REFERENCE = "#/components/schemas/{model}"
_CONVERSIONS = re.compile(r"[^A-Za-z0-9]+")

EVERYWHERE: tuple[type[ApiProblem], ...] = (
    problems.MalformedRequestError,
    problems.InvalidParameterError,
    problems.ExpectationFailedError,
    problems.HeaderTooLargeError,
    problems.RateLimitedError,
    problems.InternalError,
    problems.DatabaseBusyError,
    problems.DatabaseUnavailableError,
    problems.TimedOutError,
    problems.ShuttingDownError,
)
"""Problems that every route may answer with."""
WITH_BODY: tuple[type[ApiProblem], ...] = (
    problems.MalformedBodyError,
    problems.RequestTimeoutError,
    problems.BodyTooLargeError,
    problems.UnsupportedMediaTypeError,
    problems.InvalidBodyError,
)

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A problem (RFC 9457). 'code' is stable; 'type' leads to its documentation.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
                "additionalProperties": False,
            },
        },
    },
}

_ETAG: dict[str, Any] = {"ETag": {"description": "for If-None-Match", "schema": {"type": "string"}}}


def describe(
    routes: Iterable[Route],
    *,
    public_url: str,
    credential_problems: Sequence[type[ApiProblem]] = (),
    creation_problems: Sequence[type[ApiProblem]] = (),
) -> dict[str, Any]:
    """Return the description of ``routes``.

    ``credential_problems`` are what bad credentials lead to, wherever they are sent;
    ``creation_problems`` what ``Idempotency-Key`` adds.
    """
    shown = [route for route in routes if not route.hidden]
    schemas = _Schemas(shown)
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for route in shown:
        found = (*route.problems, *credential_problems, *(creation_problems if route.creates else ()))
        operation = _operation(route, schemas, found)
        while operation["operationId"] in names:  # /a/{b} and /a/b
            operation["operationId"] += "_"
        names.add(operation["operationId"])
        paths.setdefault(route.full_path, {})[route.method.lower()] = operation
    return {
        "openapi": VERSION,
        "info": {
            "title": "StellarStream",
            "version": __version__,
            "summary": "Events of Soroban contracts, each exactly once, and what they add up to.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM_SCHEMA, **schemas.definitions},
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "a token of POST /api/v1/auth (SEP-10)",
                },
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "a key of 'stellarstream keys create'",
                },
            },
        },
    }


class _Schemas:
    """The JSON Schemas of all models, each once, by reference."""

    def __init__(self, routes: Sequence[Route]) -> None:
        wanted: dict[tuple[Any, JsonSchemaMode], None] = {}
        for route in routes:
            if route.body is not None:
                wanted[route.body, "validation"] = None
            for answer in (route.answer, *route.also.values()):
                if _is_model(answer):
                    wanted[answer, "serialization"] = None
        self._references, definitions = _models_schemas(tuple(wanted))
        self.definitions: dict[str, Any] = dict(definitions)

    def of(self, model: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        """Return the schema of a model, as a reference; of another type, as it is."""
        if _is_model(model):
            return self._references[model, mode]
        schema = TypeAdapter(model).json_schema(by_alias=True, mode=mode, ref_template=REFERENCE)
        self.definitions |= schema.pop("$defs", {})
        return schema

    def parameters(self, model: type[BaseModel], place: str) -> list[dict[str, Any]]:
        """Return a model's fields as parameters."""
        if model is Nothing:
            return []
        schema = _parameters_schema(model)
        self.definitions |= schema.get("$defs", {})
        required = set(schema.get("required", ()))
        found = []
        for name, field in schema.get("properties", {}).items():
            plain = {key: value for key, value in field.items() if key not in {"title", "description"}}
            entry: dict[str, Any] = {
                "name": name,
                "in": place,
                "required": place == "path" or name in required,
                "schema": without_null(plain),
            }
            if "description" in field:
                entry["description"] = field["description"]
            found.append(entry)
        return found


# Plugins' routes are described once to see whether they can be, and again to be told of: what pydantic says of models,
# most of the work, stays the same. It is shared, so nobody may write into it.


@lru_cache(maxsize=4)
def _models_schemas(
    wanted: tuple[tuple[Any, JsonSchemaMode], ...],
) -> tuple[Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]], Mapping[str, Any]]:
    """Return references to the schemas of models, and the schemas by name."""
    references, top = models_json_schema(list(wanted), by_alias=True, ref_template=REFERENCE)
    return references, top.get("$defs", {})


@lru_cache(maxsize=128)
def _parameters_schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema(by_alias=True, mode="validation", ref_template=REFERENCE)


def _operation(route: Route, schemas: _Schemas, found: Sequence[type[ApiProblem]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*schemas.parameters(route.path_model, "path"), *schemas.parameters(route.query, "query")],
        "responses": _responses(route, schemas, found),
    }
    if route.description:
        operation["description"] = route.description
    if route.method == "GET" and route.media_type == JSON:
        operation["parameters"].append(
            {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}}
        )
    if route.creates:
        operation["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "the same key with the same body gets the same answer, for 24 hours",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
            }
        )
    if route.body is not None:
        content = {JSON: {"schema": schemas.of(route.body, "validation")}}
        if route.form:
            content["application/x-www-form-urlencoded"] = content[JSON]
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    if route.required_access is Access.PUBLIC:
        operation["security"] = [{}, {"session": []}, {"apiKey": []}]
    else:
        operation["security"] = [{"session": []}, {"apiKey": []}]
        operation["x-scope"] = route.required_scope
    return operation


def _responses(route: Route, schemas: _Schemas, found: Sequence[type[ApiProblem]]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "the answer"}
    if route.answer is not None:
        good["content"] = {route.media_type: {"schema": schemas.of(route.answer, "serialization")}}
        if route.method == "GET" and route.media_type == JSON:
            good["headers"] = _ETAG
    elif route.media_type != JSON:
        good["content"] = {route.media_type: {"schema": {"type": "string"}}}
    else:
        good["description"] = "done; there is nothing to say"
    responses: dict[str, Any] = {str(route.status): good}
    if route.method == "GET" and route.answer is not None:
        responses["304"] = {"description": "what the client holds is still right"}
    codes: dict[int, set[str]] = {}
    for kind in (*EVERYWHERE, *(WITH_BODY if route.body is not None else ()), *found):
        codes.setdefault(kind.status, set()).add(kind.code)
    for status, named in sorted(codes.items()):
        responses[str(status)] = {
            "description": "; ".join(f"[{code}]({page_of(code)})" for code in sorted(named)),
            "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model="Problem")}}},
        }
    for other, answer in route.also.items():
        response = responses.setdefault(str(other), {"description": "the answer", "content": {}})
        response["content"][route.media_type] = {"schema": schemas.of(answer, "serialization")}
    return responses


def _operation_id(route: Route) -> str:
    return _CONVERSIONS.sub("_", f"{route.method.lower()}{route.full_path}").strip("_")


def _is_model(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)
