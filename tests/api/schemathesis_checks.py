"""What schemathesis also checks of every answer here; loaded by it through the setting ``hooks``."""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

PROBLEM = "application/problem+json"
_CODES = re.compile(r"\[([a-z0-9-]+)\]\(/docs/problems/\1\)")
_RETRY = {429, 503}
BEYOND_SCHEMAS = (
    "Input should be a valid integer",  # JSON Schema takes 7.0 for one
    "The body holds a character that is no text (U+0000)",
    "holds characters that are no text",
)
"""Details of refusals of what a schema cannot forbid, or nobody would write into one."""


def _header(response: Response, name: str) -> str | None:
    values = response.headers.get(name.lower())
    return values[0] if values else None


def _operation(case: Case) -> dict[str, Any] | None:
    """Return the description of what was called, None where it was called with another method."""
    return case.operation.definition.raw if case.method.upper() == case.operation.method.upper() else None


def _is_problem(response: Response) -> bool:
    return (_header(response, "Content-Type") or "") == PROBLEM


@schemathesis.check
def problems_are_documented(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every refusal is a problem whose code the operation names under its status."""
    operation = _operation(case)
    if response.status_code < 400 or (case.path == "/healthz/ready" and response.status_code == 503):
        return
    assert _is_problem(response), f"{response.status_code} is no problem"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"].endswith(f"/docs/problems/{problem['code']}")
    if operation is not None:
        described = operation["responses"].get(str(response.status_code), {}).get("description", "")
        assert problem["code"] in _CODES.findall(described), f"{problem['code']} is not documented"
    if problem["code"] in {"invalid-parameter", "invalid-body"}:
        assert problem.get("errors"), "no field is named"


@schemathesis.check
def answers_have_their_headers(ctx: CheckContext, response: Response, case: Case) -> None:
    """What every answer says, and what its status demands."""
    if _is_problem(response) and "instance" not in response.json():
        return  # the bytes never became a request
    assert re.fullmatch(r"[A-Za-z0-9._\-]{1,64}", _header(response, "X-Request-ID") or "")
    assert _header(response, "X-Content-Type-Options") == "nosniff"
    assert _header(response, "Cache-Control")
    assert _header(response, "Access-Control-Allow-Credentials") is None
    status = response.status_code
    assert status != 401 or _header(response, "WWW-Authenticate")
    assert status != 405 or _header(response, "Allow")
    assert status != 304 or _header(response, "ETag")
    assert status < 400 or _header(response, "Cache-Control") == "no-store"
    if status in _RETRY and _is_problem(response):
        assert int(_header(response, "Retry-After") or "") >= 1


@schemathesis.check
def orders_that_fit_are_taken(ctx: CheckContext, response: Response, case: Case) -> None:
    """What the description of a plugin's route allows is not refused for its form."""
    operation = _operation(case)
    if operation is None or "orders" not in operation["tags"] or case.meta is None:
        return
    if case.meta.generation.mode.is_positive and response.status_code in {400, 415, 422}:
        problem = response.json()
        if problem["code"] in {"idempotency-conflict", "invalid-cursor", "two-credentials"}:
            return  # a key that comes again; a cursor that is made up; a credential too many
        details = {error["detail"] for error in problem.get("errors", ())} or {problem["detail"]}
        assert all(detail.startswith(BEYOND_SCHEMAS) for detail in details), f"refused as {problem['code']}: {details}"
