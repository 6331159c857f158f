"""What plugins keep at a worker, what else a problem says, and which of two paths a request means."""

from __future__ import annotations

import re

import pytest

from stellarstream_core.api.app import _pattern
from stellarstream_core.api.problems import ApiProblem, NotFoundError, problem_of
from stellarstream_core.api.routes import Route
from tests.api.conftest import runtime_of, served, sqlite_url  # noqa: F401 - fixtures


class Part:
    """Something that a plugin's handlers share."""

    def __init__(self, api) -> None:
        self.api = api
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1
        assert self.api.database.storage.epoch(), "the database still answers"


class Spoiled(Part):
    async def close(self) -> None:
        raise RuntimeError("a plugin's fault")


def plain(api) -> list:
    return [api]


async def test_a_part_is_made_once_and_closed_once_with_the_worker(served, sqlite_url):  # noqa: F811
    api = (await served(sqlite_url)).service
    part = api.part(Part)
    assert api.part(Part) is part
    assert api.part(plain) is api.part(plain)
    assert api.part(Spoiled) is not part
    await api.close_parts()
    await api.close_parts()
    assert part.closed == 1, "though another one failed"
    assert api.part(Part) is not part


async def test_what_routes_want_at_the_start_is_made_then_and_a_failure_stops_nothing(served, sqlite_url):  # noqa: F811
    def broken(api) -> None:
        raise RuntimeError("a plugin's fault")

    api = (await served(sqlite_url)).service
    common = {"method": "GET", "path": "/x", "handler": broken, "summary": "X"}
    api.routes = (Route(**common, at_start=(broken, Part)), Route(**common, at_start=(Part, plain)), Route(**common))
    api.start_parts()
    assert {Part, plain} <= set(api._parts)
    assert broken not in api._parts


@pytest.mark.parametrize("name", ["code", "status", "type", "title", "detail"])
def test_a_problems_own_members_stand_beside_those_of_every_problem_and_replace_none(name):
    said = problem_of(NotFoundError("There is none.", members={"nearest": "x", name: "mine"})).to_json("http://x")
    plain_one = problem_of(NotFoundError("There is none.")).to_json("http://x")
    assert said == {**plain_one, "nearest": "x"}
    assert problem_of(ApiProblem("What happened.")).members == {}


def test_a_path_without_placeholders_is_preferred_for_every_method():
    paths = {"/streams", "/streams/{id}", "/streams/cancel", "/streams/with.draw", "/streams/{id}/x", "/{name}/cancel"}
    pattern = re.compile(f"^{_pattern('/streams/{id}', paths)}$".replace("{id:", "(?:").replace("+}", "+)"))
    for taken in ("cancel", "with.draw"):
        assert not pattern.fullmatch(f"/streams/{taken}")
    for free in ("cancel1", "a-cancel", "withXdraw", "7", "cance"):
        assert pattern.fullmatch(f"/streams/{free}")
    for alone in ("/streams", "/streams/cancel", "/streams/{id}/x"):
        assert _pattern(alone, paths) == alone
    assert _pattern("/{name}/x", {"/{name}/x", "/{other}/x", "/{name}/y"}) == "/{name}/x"
    middle = _pattern("/{name}/y", {"/a/y", "/{name}/y"})
    assert middle == "/{name:(?!(?:a)(?:/|$))[^{}/]+}/y"
