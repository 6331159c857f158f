"""The documentation shows every operation that there is, and everything that may come of it."""

from __future__ import annotations

import shlex

import orjson
import pytest

from stellarstream_core.api.app import CORE_ROUTES
from stellarstream_core.api.auth.errors import CREDENTIAL_PROBLEMS
from stellarstream_core.api.openapi import describe
from stellarstream_core.api.pages.problems import entries, problem_page, problems_page
from stellarstream_core.api.pages.reference import operations_by_problem, read_reference, reference_page
from stellarstream_core.api.pages.schemas import Node, SchemaReader

from .kit import SCRIPT
from .test_dashboard import check_page

URL = "https://stream.example"
DESCRIBED = orjson.dumps(describe(CORE_ROUTES, public_url=URL, credential_problems=CREDENTIAL_PROBLEMS))
OPERATIONS = [operation for group in read_reference(DESCRIBED).groups.values() for operation in group]


def test_every_operation_is_there_with_its_parameters_answers_and_problems():
    html = reference_page(DESCRIBED).decode()
    outline = check_page(html)
    ids = {attrs.get("id") for _, attrs in outline.tags}
    links = {attrs.get("href") for _, attrs in outline.tags}
    whole = orjson.loads(DESCRIBED)
    for path, item in whole["paths"].items():
        for method, operation in item.items():
            assert operation["operationId"] in ids
            assert f"#{operation['operationId']}" in links
            assert f"{method.upper()} {path}" in outline.words
            assert operation["summary"] in outline.words
            for parameter in operation["parameters"]:
                assert parameter["name"] in outline.words
    for code in operations_by_problem(DESCRIBED):
        assert f"./docs/problems/{code}" in links


def test_hidden_routes_are_not_told():
    words = check_page(reference_page(DESCRIBED).decode()).words
    assert "/dashboard/state" not in words
    assert "/static/" not in words


def test_every_problem_that_is_linked_has_a_page():
    assert operations_by_problem(DESCRIBED)
    for code in operations_by_problem(DESCRIBED):
        assert problem_page(code, CORE_ROUTES, URL, DESCRIBED) is not None, code


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_operation_has_a_command_that_a_shell_understands(operation):
    words = shlex.split(operation.curl.replace("\\\n", " "))
    assert words[0] == "curl"
    assert words[-1].startswith(URL)
    assert "{" not in words[-1]
    assert all(f"{one.node.name}=" in words[-1] for one in operation.parameters
               if one.place == "query" and one.node.required)  # fmt: skip
    if "--json" in words:
        orjson.loads(words[words.index("--json") + 1])


def test_only_reading_can_be_tried_and_streams_cannot():
    assert {operation.path for operation in OPERATIONS if operation.tryable} >= {"/api/v1/events", "/api/v1/sync"}
    assert all(operation.method == "GET" for operation in OPERATIONS if operation.tryable)
    assert not any(operation.tryable for operation in OPERATIONS if operation.path == "/api/v1/events/live")


def test_the_answer_s_fields_are_expanded_with_their_meaning():
    (operation,) = [operation for operation in OPERATIONS if operation.path == "/api/v1/sync"]
    (answer,) = [answer for answer in operation.answers if answer.status == "200"]
    fields = {node.name: node for node in answer.node.below}
    assert fields["watermark"].kind == "integer or null"
    assert fields["watermark"].description.startswith("up to here nothing is missing")
    assert fields["gaps"].kind == "list of object"
    assert {node.name for node in fields["gaps"].below} == {"from", "to", "reason", "contracts"}
    coverage = {node.name: node for node in fields["coverage"].below}
    assert coverage["evidence"].kind == '"proven" or "scanned"'


def test_bounds_and_defaults_are_told():
    (operation,) = [operation for operation in OPERATIONS if operation.path == "/api/v1/events"]
    parameters = {one.node.name: one for one in operation.parameters}
    assert parameters["limit"].node.notes == ["1 to 200", "default 50"]
    assert parameters["contract"].many
    assert not parameters["order"].many
    assert parameters["order"].node.kind == '"asc" or "desc"'


def test_what_a_plugin_says_of_its_routes_stays_text():
    described = orjson.loads(DESCRIBED)
    operation = described["paths"]["/api/v1/sync"]["get"]
    operation["summary"] = operation["description"] = operation["tags"][0] = SCRIPT
    operation["parameters"][0]["description"] = SCRIPT
    html = reference_page(orjson.dumps(described)).decode()
    assert "<script>" not in html
    assert SCRIPT in check_page(html).words


# --- schemas --------------------------------------------------------------------------------------


def names(node: Node) -> list[str]:
    return [node.name, *(name for below in node.below for name in names(below))]


def test_a_schema_that_holds_itself_ends():
    tree = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
        },
    }
    reader = SchemaReader({"Tree": tree})
    assert names(reader.node({"$ref": "#/components/schemas/Tree"})) == ["", "name", "children"]
    assert reader.example({"$ref": "#/components/schemas/Tree"}) == {"name": "…"}


def test_references_to_references_and_choices_are_followed():
    reader = SchemaReader(
        {
            "Alias": {"$ref": "#/components/schemas/Real", "description": "said nearer"},
            "Real": {"type": "object", "description": "said further", "properties": {"a": {"type": "integer"}}},
        }
    )
    node = reader.node({"anyOf": [{"$ref": "#/components/schemas/Alias"}, {"type": "null"}]}, "field")
    assert node.kind == "object or null"
    assert [below.name for below in node.below] == ["a"]
    assert reader.node({"$ref": "#/components/schemas/Alias"}).description == "said nearer"
    assert reader.node({}).kind == "any JSON"


# --- problems -------------------------------------------------------------------------------------


def test_the_list_of_problems_has_every_code_and_no_base_class():
    outline = check_page(problems_page(CORE_ROUTES).decode())
    links = {attrs.get("href") for _, attrs in outline.tags}
    assert "../docs/problems/invalid-parameter" in links
    assert "../docs/problems/token-expired" in links
    assert "Base of" not in outline.words
    for code, entry in entries(CORE_ROUTES).items():
        if not entry.first.startswith("Base of"):
            assert f"../docs/problems/{code}" in links


@pytest.mark.parametrize("code", sorted(entries(CORE_ROUTES)))
def test_every_problem_has_a_page_with_its_meaning_and_an_example(code):
    entry = entries(CORE_ROUTES)[code]
    words = check_page(problem_page(code, CORE_ROUTES, URL, DESCRIBED).decode()).words
    assert entry.title in words
    assert f"{entry.status} {entry.reason}" in words
    assert entry.first in words
    assert entry.help in words
    assert f'"type": "{URL}/docs/problems/{code}"' in words
    assert "``" not in words


def test_a_problem_tells_which_operations_may_answer_with_it():
    words = check_page(problem_page("invalid-cursor", CORE_ROUTES, URL, DESCRIBED).decode()).words
    assert "GET /api/v1/events" in words
    assert "GET /api/v1/sync" not in words


def test_an_unknown_code_has_no_page():
    assert problem_page("no-such-code", CORE_ROUTES, URL, DESCRIBED) is None
