"""The description of the API is valid, says everything there is, and every problem it names has a page."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import Field

import stellarstream_core
from stellarstream_core.api.app import build_app
from stellarstream_core.api.models import Nothing, OrAbsent, Parameters, Represented
from stellarstream_core.api.openapi import PROBLEM_SCHEMA, describe
from stellarstream_core.api.problems import catalogue, page_of, problem_of
from stellarstream_core.api.routes import Access, Route, encode
from stellarstream_core.errors import StellarStreamError
from tests.api.kit import SIGNING, operations

ANSWERED_ON_THE_COMMAND_LINE = {"api-key-request", "no-such-api-key"}
"""Problems with a status that only ``stellarstream keys`` raises."""
_CODES = re.compile(r"\[([a-z0-9-]+)\]\(/docs/problems/\1\)")


@pytest.fixture(scope="module")
def api(running):
    return running()


@pytest.fixture(scope="module")
def description(api) -> dict[str, Any]:
    said = api.get("/openapi.json")
    assert said.header("Content-Type") == "application/json"
    return said.json


def nodes(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything in a description with the place where it stands."""
    yield where, value
    if isinstance(value, dict):
        for key, below in value.items():
            yield from nodes(below, f"{where}/{key}")
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from nodes(below, f"{where}/{number}")


def kinds_of_problems() -> set[type[StellarStreamError]]:
    """Return every class of the framework and its plugins that is answered with a status of its own."""
    for package in (stellarstream_core, importlib.import_module("stellarstream_sql")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations." not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: set[type[StellarStreamError]] = set()
    waiting: list[type[StellarStreamError]] = [StellarStreamError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if hasattr(kind, "status") and kind.__module__.startswith("stellarstream"):
            found.add(kind)
    return found


def test_it_is_valid(description):
    OpenAPIV31SpecValidator(description).validate()


def test_every_route_is_described_and_nothing_else(api, description):
    routes = {(route.method, route.full_path) for route in api.service.routes if not route.hidden}
    assert {(method, path) for method, path, _ in operations(description)} == routes
    assert ("POST", "/api/v1/orders") in routes, "the plugin's too"
    hidden = {route.full_path for route in api.service.routes if route.hidden}
    assert hidden >= {"/", "/docs", "/docs/problems", "/docs/problems/{code}", "/openapi.json"}


def test_every_route_that_is_served_is_one_of_these(api):
    served = {
        (route.method, route.resource.canonical)
        for route in build_app(api.service).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == {(route.method, route.full_path) for route in api.service.routes}


def test_operations_have_names_of_their_own(description):
    names = Counter(operation["operationId"] for _, _, operation in operations(description))
    assert [name for name, count in names.items() if count > 1] == []
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) for name in names)


class OnePath(Parameters):
    a: str


async def nothing(_call) -> None: ...


def made(path: str, path_model: type[Parameters] = Nothing, **more: Any) -> Route:
    return Route(method="GET", path=path, handler=nothing, path_model=path_model, summary="made", **more)


def test_operations_whose_paths_look_alike_have_names_of_their_own():
    found = describe([made("/x/{a}", OnePath), made("/x/a"), made("/x_a")], public_url="http://x")
    assert len({operation["operationId"] for _, _, operation in operations(found)}) == 3


def test_placeholders_and_path_parameters_are_the_same(description):
    for method, path, operation in operations(description):
        declared = {p["name"] for p in operation["parameters"] if p["in"] == "path" and p["required"]}
        assert declared == set(re.findall(r"\{([^}]+)\}", path)), (method, path)
        names = Counter((p["in"], p["name"]) for p in operation["parameters"])
        assert max(names.values(), default=1) == 1, (method, path)


def test_every_operation_says_what_it_is(description):
    for method, path, operation in operations(description):
        assert operation["summary"], (method, path)
        assert operation["tags"], (method, path)
        good = [status for status in operation["responses"] if status.startswith("2")]
        assert len(good) == 1, (method, path)
        content = operation["responses"][good[0]].get("content", {})
        assert bool(content) == (good[0] != "204"), (method, path)
        for kind, body in content.items():
            assert body["schema"], (method, path, kind)


def test_bodies_and_parameters_take_nothing_that_is_not_described(description):
    schemas = description["components"]["schemas"]
    for method, path, operation in operations(description):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"]["$ref"].rpartition("/")[2]
            assert schemas[name]["additionalProperties"] is False, (method, path)


def test_who_may_call_it_is_said(api, description):
    for route in api.service.routes:
        if not route.hidden:
            security = description["paths"][route.full_path][route.method.lower()]["security"]
            assert ({} in security) == (route.required_access is Access.PUBLIC), route.name
            assert {"session": []} in security
            assert {"apiKey": []} in security
    assert set(description["components"]["securitySchemes"]) == {"session", "apiKey"}


def test_examples_and_defaults_are_what_their_schemas_allow(description):
    checked = 0
    components = {"components": description["components"]}
    for where, node in nodes(description):
        if not isinstance(node, dict) or where.endswith("/properties"):
            continue
        schema = node.get("schema", node)
        given = [node[key] for key in ("default", "example") if key in node]
        given += node["examples"] if isinstance(node.get("examples"), list) else []
        given += [e["value"] for e in node["examples"].values()] if isinstance(node.get("examples"), dict) else []
        for value in given:
            Draft202012Validator({**schema, **components}).validate(value)
            checked += 1
    assert checked > 5


def test_schemas_that_answers_are_checked_against_are_schemas(description):
    for name, schema in description["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema, name


def test_it_leads_nowhere_else_and_tells_no_secret(api, description):
    text = orjson.dumps(description).decode()
    assert set(re.findall(r"https?://[^\"\s)]+", text)) == {"http://localhost:3000"}
    assert SIGNING not in text
    assert description == orjson.loads(api.service.openapi)


# --- problems -------------------------------------------------------------------------------------


def test_codes_and_statuses_are_those_of_one_class_each():
    codes = Counter(kind.code for kind in kinds_of_problems() if "code" in vars(kind))
    assert [code for code, count in codes.items() if count > 1] == []


def test_every_problem_is_in_the_catalogue_and_has_a_page(api, description):
    known = catalogue()
    for kind in kinds_of_problems():
        if "code" in vars(kind) and kind.code not in ANSWERED_ON_THE_COMMAND_LINE:
            assert known.get(kind.code) is kind, kind
    documented = {
        code
        for _, _, operation in operations(description)
        for response in operation["responses"].values()
        for code in _CODES.findall(response["description"])
    }
    assert documented <= set(known)
    for code, kind in known.items():
        said = api.get(page_of(code))
        assert (said.status, said.header("Content-Type")) == (200, "text/html; charset=utf-8"), code
        text = said.body.decode()
        assert code in text
        assert str(kind.status) in text
        assert 400 <= kind.status <= 599
        assert kind.title[0].isupper(), code


def test_every_class_of_problems_is_answered_as_the_catalogue_says():
    for kind in kinds_of_problems():
        try:
            error = kind("What happened.")
        except TypeError:  # it says more of itself than a sentence
            continue
        problem = problem_of(error)
        assert (problem.status, problem.code) == (kind.status, kind.code)
        body = problem.to_json("http://x", "id")
        Draft202012Validator(PROBLEM_SCHEMA).validate(body)
        assert body["type"] == f"http://x/docs/problems/{kind.code}"
        # nobody knows when a reader goes; and a rate's problem is raised with what the limiter says
        if kind.status in {429, 503} and kind.code != "rate-limited" and "readers" not in kind.code:
            assert int(problem.headers["Retry-After"]) >= 1, kind


@pytest.mark.parametrize("code", ["nothing-like-it", "not_found", "NOT-FOUND", "", "..", "%2e%2e", "not-found%00"])
def test_no_other_code_has_a_page(api, code):
    assert api.get(f"/docs/problems/{code}").status in {400, 404}


def test_the_models_of_answers_say_what_may_be_null_and_what_is_always_there(description):
    """A field with a default is still always sent, so clients need not ask for it; what may be absent is never null."""
    taken = _bodies(description) | {"Problem"}
    for name, schema in description["components"]["schemas"].items():
        if name in taken or "properties" not in schema:
            continue
        for left_out in set(schema["properties"]) - set(schema.get("required", ())):
            shown = schema["properties"][left_out]
            assert "default" not in shown, (name, left_out)
            assert {"type": "null"} not in shown.get("anyOf", ()), (name, left_out)


def test_a_key_that_may_be_absent_is_left_out_instead_of_null_and_described_so():
    class Inner(Represented):
        told: Annotated[OrAbsent[int], Field(ge=1, description="how many")] = None
        always: int | None = None

    class Shown(Represented):
        my_inner: Annotated[OrAbsent[Inner], Field(description="more")] = None
        yield_: Annotated[OrAbsent[str], Field(alias="yield")] = None
        listed: list[Inner]

    assert Shown(listed=[Inner()]).model_dump(mode="json") == {"listed": [{"always": None}]}
    whole = Shown(my_inner=Inner(told=3), yield_="a", listed=[])
    assert orjson.loads(encode(whole)) == {"myInner": {"told": 3, "always": None}, "yield": "a", "listed": []}
    schema = Shown.model_json_schema(mode="serialization")
    assert schema["required"] == ["listed"]
    assert schema["properties"]["myInner"] == {"$ref": "#/$defs/Inner", "description": "more"}
    assert schema["properties"]["yield"]["type"] == "string"
    inner = schema["$defs"]["Inner"]
    assert inner["required"] == ["always"]
    assert inner["properties"]["told"] == {"type": "integer", "minimum": 1, "description": "how many", "title": "Told"}


def _bodies(description) -> set[str]:
    """Return the names of schemas that are taken, and of what they are made of."""
    schemas = description["components"]["schemas"]
    waiting = [
        content["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in operations(description)
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    found: set[str] = set()
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            below = [node.get("$ref") for _, node in nodes(schemas[name]) if isinstance(node, dict)]
            waiting += [ref.rpartition("/")[2] for ref in below if isinstance(ref, str)]
    return found


def test_every_answer_model_of_the_framework_refuses_unknown_fields():
    """What a handler answers by mistake is not sent: extra fields are an error, not a leak."""

    class Shown(Represented):
        shown: str

    with pytest.raises(ValueError, match="hidden"):
        Shown(shown="a", hidden="b")
