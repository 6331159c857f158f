"""``/search``: streams, transactions, contracts and what plugins add; whatever is typed is an answer, never a fault."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from types import ModuleType
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core import hookimpl
from stellarstream_core.plugins import Plugins
from stellarstream_nebula.hookspecs import SearchResult
from stellarstream_nebula.terms import read_terms
from tests.api.kit import Running
from tests.core.test_plugins import Point
from tests.nebula.ledgers import ALICE, BOB, CAROL, COIN, GEM, ONE, START, TWO, Ledgers, project, store

BASE = "/api/v1"
LEDGERS = Ledgers()
LEDGERS.create(TWO, 0, ALICE, BOB, COIN, memo="rent")
LEDGERS.create(TWO, 1, ALICE, CAROL, GEM, memo="rent_march")
LEDGERS.create_v1(ONE, 0, CAROL, BOB)
LEDGERS.claim(TWO, 0, 5, 5)
LAST = LEDGERS.ledger + 2


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request, store_of, standing) -> Running:
    storage = store_of(request.param)
    store(storage, LEDGERS.events, START, LAST)
    project(storage)
    return standing(storage)


def found(api: Running, text: str, more: str = "") -> list[tuple[str, str, str]]:
    said = api.get(f"{BASE}/search?q={quote(text)}{more}")
    assert said.status == 200, said.body
    return [(item["kind"], item["id"], item["matched"]) for item in said.json["items"]]


def test_streams_are_found_by_id_number_address_token_memo_and_transaction(api):
    first, second, third = f"{TWO}-0", f"{TWO}-1", f"{ONE}-0"
    assert found(api, first) == [("stream", first, "id")]
    assert found(api, "0") == [("stream", third, "id"), ("stream", first, "id")]
    assert found(api, CAROL) == [("stream", third, "sender"), ("stream", second, "receiver")]
    assert found(api, GEM) == [("stream", second, "token")]
    assert found(api, "rent") == [("stream", first, "memo"), ("stream", second, "memo")]
    assert found(api, "ren") == [("stream", first, "memo"), ("stream", second, "memo")]
    assert found(api, "rent_m") == [("stream", second, "memo")]
    assert found(api, "r") == []
    created, claimed = LEDGERS.events[0].tx_hash, LEDGERS.events[3].tx_hash
    assert found(api, created) == [("transaction", created, "txHash"), ("stream", first, "txHash")]
    assert found(api, claimed.upper()) == [("transaction", claimed, "txHash"), ("stream", first, "txHash")]


def test_a_served_contract_is_found_with_its_newest_streams(api):
    first, second = f"{TWO}-0", f"{TWO}-1"
    assert found(api, TWO) == [("contract", TWO, "id"), ("stream", second, "contract"), ("stream", first, "contract")]
    assert found(api, TWO, "&limit=1") == [("contract", TWO, "id"), ("stream", second, "contract")]


def test_a_result_says_where_the_api_has_it_and_holds_the_stream(api):
    body = api.get(f"{BASE}/search?q=rent&limit=1").json
    assert (body["asOfLedger"], body["complete"], body["nextCursor"]) == (LAST, True, None)
    (item,) = body["items"]
    assert item["stream"] == api.get(BASE + item["path"]).json
    (transaction, _) = api.get(f"{BASE}/search?q={LEDGERS.events[0].tx_hash}").json["items"]
    assert (transaction["path"], transaction["stream"]) == (f"/transactions/{LEDGERS.events[0].tx_hash}", None)


@pytest.mark.parametrize(
    "text", ["nothing here", "0" * 64, f"{TWO}-99", "99", "%", "_", "rent%", "'; DROP TABLE x --", "🌊"]
)
def test_what_is_not_there_is_not_found(api, text):
    assert found(api, text) == []


@pytest.mark.parametrize(
    "query", ["", "q=", "q=%20", "q=a%00", "q=" + "x" * 201, "q=a&q=b", "q=a&limit=0", "q=a&limit=51"]
)
def test_a_search_for_nothing_or_too_much_is_refused(api, query):
    assert api.get(f"{BASE}/search?{query}").code == "invalid-parameter"


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=80).filter(lambda text: text.strip()))
def test_any_text_may_be_searched_for(api, text):
    said = api.get(f"{BASE}/search?q={quote(text, safe='', errors='surrogatepass')}")
    assert said.status in {200, 400}
    if said.status == 400:
        assert said.code == "invalid-parameter"


@given(st.text(max_size=90))
def test_reading_a_text_never_fails(text):
    assert read_terms(text).text == text.strip()


# --- other plugins ----------------------------------------------------------------------------------


@pytest.fixture
def with_plugin(api, monkeypatch):
    before = api.service.runtime.plugins

    def serve(function) -> Running:
        module = ModuleType("made_search")
        module.nebula_search = hookimpl(function)
        monkeypatch.setitem(sys.modules, "made_search", module)
        points = [*entry_points(group="stellarstream"), Point("links", "made_search")]
        api.service.runtime.plugins = Plugins.load(found=points)
        return api

    yield serve
    api.service.runtime.plugins = before


def test_hook_nebula_search_adds_results_read_in_the_same_snapshot(with_plugin):
    asked = []

    def nebula_search(database, query, limit):
        streams = database.execute_sql("SELECT count(*) FROM nebula_streams").fetchone()[0]
        asked.append((query.text, query.address, query.tx_hash, limit, streams))
        return [SearchResult("invoice-link", "abc", "slug", "An invoice", "/invoice-links/abc")] * 3

    api = with_plugin(nebula_search)
    assert found(api, "abc", "&limit=2") == [("invoice-link", "abc", "slug")] * 2
    assert asked == [("abc", None, None, 2, 3)]
    assert found(api, f" {CAROL} ")[-1] == ("invoice-link", "abc", "slug")
    assert asked[-1][:3] == (CAROL, CAROL, None)


@pytest.mark.parametrize("answer", [7, "abc", [1], [SearchResult("link", 5, "slug", "x", "/x")]])
def test_a_plugin_that_breaks_the_promise_is_taken_out_and_the_rest_is_found(with_plugin, answer):
    api = with_plugin(lambda database, query, limit: answer)
    assert found(api, "rent_m") == [("stream", f"{TWO}-1", "memo")]
    assert [plugin.name for plugin in api.service.runtime.plugins.broken] == ["links"]


def test_a_plugin_whose_query_fails_is_taken_out_and_the_rest_is_found(with_plugin):
    def nebula_search(database, query, limit):
        database.execute_sql("SELECT * FROM no_such_table")

    api = with_plugin(nebula_search)
    assert found(api, "rent_m") == [("stream", f"{TWO}-1", "memo")]
    assert [plugin.name for plugin in api.service.runtime.plugins.broken] == ["links"]
