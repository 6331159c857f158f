"""The pages about problems: all codes, and one by one what it means, what to do, and how it looks."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson

from stellarstream_core.api.pages.reference import operations_by_problem
from stellarstream_core.api.pages.render import render
from stellarstream_core.api.problems import Problem, catalogue
from stellarstream_core.api.routes import Route
from stellarstream_core.errors import StellarStreamError

REQUEST_ID = "0f8b6c1e5a7d4e2f"
"""The request id of examples."""
FIELDS = frozenset({"invalid-parameter", "invalid-body"})
"""Problems that name fields."""


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """One problem, for reading."""

    code: str
    title: str
    status: int
    reason: str
    meaning: Sequence[str]
    help: str

    @property
    def first(self) -> str:
        """The first paragraph of what it means."""
        return self.meaning[0] if self.meaning else self.title


def entries(routes: Iterable[Route] = ()) -> dict[str, ProblemEntry]:
    """Return every problem that the service may answer with, by code; those of plugins' routes too."""
    kinds = {kind.code: kind for route in routes for kind in route.problems} | catalogue()
    return {code: _entry(code, kinds[code]) for code in sorted(kinds)}


def problems_page(routes: Iterable[Route]) -> bytes:
    """Return the list of all problems."""
    groups: dict[int, list[ProblemEntry]] = {}
    for entry in entries(routes).values():
        if not entry.first.startswith("Base of "):  # never raised itself
            groups.setdefault(entry.status, []).append(entry)
    shown = [(status, phrase(status), groups[status]) for status in sorted(groups)]
    return render("problems.html", depth=1, here="problems", groups=shown)


def problem_page(code: str, routes: Iterable[Route], public_url: str, described: bytes) -> bytes | None:
    """Return a problem's page, None for an unknown code. ``described`` is the service's OpenAPI description."""
    entry = entries(routes).get(code)
    if entry is None:
        return None
    used = operations_by_problem(described).get(code, ())
    example = orjson.dumps(_example(entry, public_url), option=orjson.OPT_INDENT_2).decode()
    return render("problem.html", depth=2, here="problems", problem=entry, used=used, example=example)


def phrase(status: int) -> str:
    """Return a status' name."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _entry(code: str, kind: type[StellarStreamError]) -> ProblemEntry:
    status = int(kind.status)  # type: ignore[attr-defined]  # checked by Route.fault and the catalogue
    text = inspect.cleandoc(kind.__doc__ or "").replace("``", "'")
    meaning = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    return ProblemEntry(code, kind.title, status, phrase(status), meaning, kind.help)


def _example(entry: ProblemEntry, public_url: str) -> Mapping[str, object]:
    detail = f"{entry.first} {entry.help}".strip()
    body = Problem(entry.status, entry.code, entry.title, detail).to_json(public_url, REQUEST_ID)
    if entry.code in FIELDS:
        where = "query.limit" if entry.code == "invalid-parameter" else "body.amount"
        body["errors"] = [{"field": where, "detail": "Input should be greater than or equal to 1"}]
    return body
