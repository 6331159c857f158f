"""What holds across all routes: ids, problems, limits, origins, entity tags, idempotency. On a plugin's routes."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Annotated

import orjson
import pytest
from aiohttp import ClientConnectionError, ClientPayloadError, web
from loguru import logger
from pydantic import Field

from stellarstream_core import hookimpl
from stellarstream_core.api.auth.identity import Access
from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.api.models import Nothing, Parameters, Represented
from stellarstream_core.api.problems import NotFoundError
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.plugins import Plugins
from stellarstream_core.testing.api import serving
from tests.core.test_plugins import Point

ACCOUNT = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7"


class Name(Parameters):
    first_name: Annotated[str, Field(min_length=1, max_length=20)]


class Greeting(Represented):
    hello_to: str


class Order(Parameters):
    amount: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,38}$")]
    memo: str = ""


made: list[str] = []
gate = asyncio.Event()


async def greet(call: Call[Name, Nothing, Nothing]) -> Greeting:
    if call.path.first_name == "nobody":
        raise NotFoundError("There is nobody of this name.")
    if call.path.first_name == "fault":
        raise RuntimeError("postgresql://user:hunter2@host is not for clients")
    if call.path.first_name == "slow":
        await asyncio.sleep(5)
    return Greeting(hello_to=call.path.first_name)


async def order(call: Call[Nothing, Nothing, Order]) -> Answer:
    if call.body.memo == "wait":
        await asyncio.wait_for(gate.wait(), 5)
    if call.body.memo == "fail":
        raise NotFoundError("nothing to order")
    made.append(call.body.amount)
    return Answer(Greeting(hello_to=f"{call.account} {len(made)}"), status=201, headers={"Location": "/x"})


async def open_order(call: Call[Nothing, Nothing, Order]) -> Greeting:
    return Greeting(hello_to=call.body.amount)


ROUTES = [
    Route(
        method="GET",
        path="/greetings/{firstName}",
        handler=greet,
        path_model=Name,
        answer=Greeting,
        summary="Greet",
        time_limit=0.3,
        problems=(NotFoundError,),
    ),
    Route(
        method="POST",
        path="/orders",
        handler=order,
        body=Order,
        answer=Greeting,
        status=201,
        creates=True,
        summary="Order",
    ),
    Route(
        method="POST",
        path="/open",
        handler=open_order,
        body=Order,
        answer=Greeting,
        access=Access.PUBLIC,
        form=True,
        body_limit=1000,
        summary="Order, for everybody",
    ),
]


@pytest.fixture
def plugin(monkeypatch):
    module = ModuleType("made_orders")
    module.register_routes = hookimpl(lambda: ROUTES)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    made.clear()
    gate.clear()
    return Point("orders", module.__name__)


@pytest.fixture
async def api(runtime_of, plugin, sqlite_url):
    from importlib.metadata import entry_points

    runtime = runtime_of(sqlite_url, cors_origins=["https://app.example"])
    runtime.plugins = Plugins.load(found=[*entry_points(group="stellarstream"), plugin])
    async with serving(runtime) as served:
        yield served


@pytest.fixture
def key(api):
    storage = api.service.database.storage
    return {
        scope: create_key(storage, account=ACCOUNT, scopes=[scope]).key.get_secret_value()
        for scope in ("read", "write")
    }


async def ask(client, api, method, path, **options):
    async with client.request(method, f"{api.url}{path}", **options) as response:
        raw = await response.read()
        return response, orjson.loads(raw) if raw and "json" in response.content_type else raw


async def post(client, api, key, amount="1", memo="", path="/api/v1/orders", **headers):
    return await ask(
        client, api, "POST", path, json={"amount": amount, "memo": memo}, headers={"X-API-Key": key, **headers}
    )


async def test_a_plugins_route_is_served_described_and_parsed(client, api):
    response, body = await ask(client, api, "GET", "/api/v1/greetings/Ada")
    assert (response.status, body) == (200, {"helloTo": "Ada"})
    _, description = await ask(client, api, "GET", "/openapi.json")
    operation = description["paths"]["/api/v1/greetings/{firstName}"]["get"]
    assert operation["parameters"][0]["name"] == "firstName"
    assert "404" in operation["responses"]


async def test_problems_have_all_their_members(client, api):
    response, body = await ask(client, api, "GET", "/api/v1/greetings/nobody", headers={"X-Request-ID": "mine-1"})
    assert response.content_type == "application/problem+json"
    assert body == {
        "type": "http://localhost:3000/docs/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nobody of this name.",
        "code": "not-found",
        "instance": "urn:request:mine-1",
    }


async def test_a_fault_says_nothing_of_itself_to_the_client_and_all_to_the_log(client, api):
    lines = []
    sink = logger.add(lambda line: lines.append(str(line)), level="ERROR")
    response, body = await ask(client, api, "GET", "/api/v1/greetings/fault")
    logger.remove(sink)
    assert (response.status, body["code"]) == (500, "internal")
    assert "hunter2" not in orjson.dumps(body).decode()
    assert any("RuntimeError" in line for line in lines)


async def test_a_handler_that_takes_too_long_is_given_up(client, api):
    response, body = await ask(client, api, "GET", "/api/v1/greetings/slow")
    assert (response.status, body["code"]) == (503, "timed-out")
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "unknown-route"),
        ("GET", "/api/v1", 404, "unknown-route"),
        ("GET", "/api/v1/greetings/", 404, "unknown-route"),
        ("DELETE", "/api/v1/events", 405, "method-not-allowed"),
        ("PROPFIND", "/api/v1/events", 405, "method-not-allowed"),
        ("BREW", "/api/v1/events", 400, "malformed-request"),
        ("OPTIONS", "/api/v1/events", 405, "method-not-allowed"),
        ("GET", "/api/v1/greetings/" + "x" * 21, 400, "invalid-parameter"),
        ("GET", "/api/v1/events?limit=1&limit=2", 400, "invalid-parameter"),
        ("GET", "/api/v1/greetings/a%00b", 400, "invalid-parameter"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(client, api, method, path, status, code):
    response, body = await ask(client, api, method, path)
    assert (response.status, body["code"]) == (status, code)
    assert ("Allow" in response.headers) == (status == 405)


async def test_head_answers_as_get_without_a_body(client, api):
    response, body = await ask(client, api, "HEAD", "/api/v1/greetings/Ada")
    assert (response.status, body, response.headers["Content-Length"]) == (200, b"", "17")


# --- who may write ------------------------------------------------------------------------------


async def test_writes_are_denied_unless_a_route_says_otherwise(client, api, key):
    response, body = await ask(client, api, "POST", "/api/v1/orders", json={"amount": "1"})
    assert (response.status, body["code"]) == (401, "not-authenticated")
    response, body = await post(client, api, key["read"])
    assert (response.status, body["code"]) == (403, "forbidden")
    response, body = await post(client, api, key["write"])
    assert (response.status, body) == (201, {"helloTo": f"{ACCOUNT} 1"})
    assert response.headers["Cache-Control"] == "no-store"
    response, _ = await ask(client, api, "POST", "/api/v1/open", json={"amount": "1"})
    assert response.status == 200


async def test_who_may_not_is_told_before_the_body_is_read(client, api):
    _, body = await ask(client, api, "POST", "/api/v1/orders", data=b"no json", headers={})
    assert body["code"] == "not-authenticated"


async def test_a_bad_credential_is_refused_on_public_routes_too(client, api):
    for headers in ({"Authorization": "Bearer x"}, {"X-API-Key": "ss_x"}, {"Authorization": "Basic eDp5"}):
        response, body = await ask(client, api, "GET", "/api/v1/greetings/Ada", headers=headers)
        assert response.status == 401, body


# --- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [
        (b'{"amount":"1"', "application/json", 400, "malformed-body"),
        (b"\xff", "application/json", 400, "malformed-body"),
        (b"", "application/json", 400, "malformed-body"),
        (b"[" * 900, "application/json", 400, "malformed-body"),
        (b'{"amount":"1\\u0000"}', "application/json", 400, "malformed-body"),
        (b'{"amount":"\\ud800"}', "application/json", 400, "malformed-body"),
        (b'{"amount":"1","a":"' + b"x" * 1000 + b'"}', "application/json", 413, "body-too-large"),
        (b'{"amount":"1"}', "text/plain", 415, "unsupported-media-type"),
        (b'{"amount":"1"}', "application/xml", 415, "unsupported-media-type"),
        (b"[]", "application/json", 422, "invalid-body"),
        (b"null", "application/json", 422, "invalid-body"),
        (b'{"amount":1}', "application/json", 422, "invalid-body"),
        (b'{"amount":"-1"}', "application/json", 422, "invalid-body"),
        (b'{"amount":"1","amonut":"2"}', "application/json", 422, "invalid-body"),
        (b"{}", "application/json", 422, "invalid-body"),
        (b"amount=1&amount=2", "application/x-www-form-urlencoded", 400, "malformed-body"),
        (b"amount=%ff", "application/x-www-form-urlencoded", 400, "malformed-body"),
        (b"amount=0", "application/x-www-form-urlencoded", 422, "invalid-body"),
    ],
)
async def test_bodies_that_do_not_fit_are_refused(client, api, data, kind, status, code):
    response, body = await ask(client, api, "POST", "/api/v1/open", data=data, headers={"Content-Type": kind})
    assert (response.status, body["code"]) == (status, code)


async def test_a_body_may_be_a_form_where_the_route_says_so(client, api):
    response, body = await ask(client, api, "POST", "/api/v1/open", data={"amount": "5"})
    assert (response.status, body) == (200, {"helloTo": "5"})
    response, body = await ask(client, api, "POST", "/api/v1/orders", data={"amount": "5"})
    assert response.status == 401


async def test_a_chunked_body_is_cut_off_at_the_limit(client, api):
    sent = 0

    async def endless():
        nonlocal sent
        while sent < 10_000_000:
            sent += 1000
            yield b" " * 1000

    try:
        response, body = await ask(
            client, api, "POST", "/api/v1/open", data=endless(), headers={"Content-Type": "application/json"}
        )
        assert (response.status, body["code"]) == (413, "body-too-large")
    except (TimeoutError, OSError):  # the connection may be gone before the answer is read
        pass
    assert sent < 10_000_000


async def test_a_compressed_bomb_is_cut_off_at_the_limit(client, api):
    import gzip

    bomb = gzip.compress(b" " * 50_000_000)
    response, body = await ask(
        client,
        api,
        "POST",
        "/api/v1/open",
        data=bomb,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    assert (response.status, body["code"]) == (413, "body-too-large")


# --- request ids --------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["abc", "A-1_b.c", "x" * 64])
async def test_a_request_id_is_taken_sent_back_and_logged(client, api, sent):
    lines = []
    sink = logger.add(lambda line: lines.append(line.record), level="INFO")
    response, _ = await ask(client, api, "GET", "/api/v1/greetings/Ada", headers={"X-Request-ID": sent})
    logger.remove(sink)
    assert response.headers["X-Request-ID"] == sent
    (record,) = [line for line in lines if line["extra"].get("route") == "/api/v1/greetings/{firstName}"]
    assert (record["extra"]["status"], record["extra"]["path"]) == (200, "/api/v1/greetings/Ada")


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a;b", "é"])
async def test_an_id_that_is_not_fit_for_a_header_is_replaced(client, api, sent):
    response, _ = await ask(client, api, "GET", "/api/v1/greetings/Ada", headers={"X-Request-ID": sent})
    assert response.headers["X-Request-ID"] != sent
    assert response.headers["X-Request-ID"].isalnum()


# --- origins ------------------------------------------------------------------------------------


async def test_configured_origins_may_read_and_others_not(client, api):
    for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
        response, _ = await ask(client, api, "GET", "/api/v1/greetings/Ada", headers={"Origin": origin})
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert response.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_a_preflight_allows_what_the_api_takes(client, api):
    asked = {"Access-Control-Request-Method": "PATCH", "Origin": "https://app.example"}
    response, _ = await ask(client, api, "OPTIONS", "/api/v1/orders", headers=asked)
    assert response.status == 204
    assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
    for header in ("Authorization", "Idempotency-Key", "X-API-Key"):
        assert header in response.headers["Access-Control-Allow-Headers"]
    response, _ = await ask(
        client, api, "OPTIONS", "/api/v1/orders", headers={**asked, "Origin": "https://evil.example"}
    )
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_logging_in_is_open_to_every_origin(client, api):
    asked = {"Access-Control-Request-Method": "POST", "Origin": "https://any.example"}
    response, _ = await ask(client, api, "OPTIONS", "/api/v1/auth", headers=asked)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    for path in ("/.well-known/stellar.toml", "/api/v1/auth"):
        response, _ = await ask(client, api, "GET", path, headers={"Origin": "https://any.example"})
        assert response.headers["Access-Control-Allow-Origin"] == "*"


# --- entity tags --------------------------------------------------------------------------------


async def test_reads_have_an_entity_tag_and_are_not_sent_again(client, api):
    response, _ = await ask(client, api, "GET", "/api/v1/greetings/Ada")
    tag = response.headers["ETag"]
    for held in (tag, f'"other", {tag}', "*", f"W/{tag}"):
        response, body = await ask(client, api, "GET", "/api/v1/greetings/Ada", headers={"If-None-Match": held})
        assert (response.status, body) == (304, b"")
    response, _ = await ask(client, api, "GET", "/api/v1/greetings/Bob", headers={"If-None-Match": tag})
    assert response.status == 200


# --- Idempotency-Key ----------------------------------------------------------------------------


async def test_the_same_key_is_carried_out_once(client, api, key):
    first, answer = await post(client, api, key["write"], **{"Idempotency-Key": "k1"})
    again, same = await post(client, api, key["write"], **{"Idempotency-Key": "k1"})
    assert (first.status, again.status, made) == (201, 201, ["1"])
    assert answer == same
    assert again.headers["Location"] == "/x"
    assert again.headers["Idempotency-Replayed"] == "true"
    await post(client, api, key["write"], **{"Idempotency-Key": "k2"})
    await post(client, api, key["write"])
    assert len(made) == 3


async def test_the_same_key_with_another_body_is_refused(client, api, key):
    await post(client, api, key["write"], **{"Idempotency-Key": "k"})
    response, body = await post(client, api, key["write"], amount="2", **{"Idempotency-Key": "k"})
    assert (response.status, body["code"]) == (422, "idempotency-conflict")
    assert made == ["1"]


async def test_a_key_that_is_at_work_is_not_carried_out_beside_itself(client, api, key):
    running = asyncio.create_task(post(client, api, key["write"], memo="wait", **{"Idempotency-Key": "k"}))
    for _ in range(100):
        await asyncio.sleep(0.02)
        response, body = await post(client, api, key["write"], memo="wait", **{"Idempotency-Key": "k"})
        if response.status == 409:
            break
    assert body["code"] == "idempotency-running"
    assert "Retry-After" in response.headers
    gate.set()
    await running
    assert made == ["1"]


async def test_what_failed_may_be_tried_again_with_the_same_key(client, api, key):
    response, _ = await post(client, api, key["write"], memo="fail", **{"Idempotency-Key": "k"})
    assert response.status == 404
    response, _ = await post(client, api, key["write"], memo="", **{"Idempotency-Key": "k"})
    assert response.status == 201


async def test_a_key_is_the_callers_own(client, api, key):
    other = create_key(
        api.service.database.storage,
        account="GDHMW6QZOL73SHKG2JA3YHXFDHM46SS5ZRWEYF5BCYHX2C5TVO6KZBYL",
        scopes=["write"],
    ).key.get_secret_value()
    await post(client, api, key["write"], **{"Idempotency-Key": "k"})
    response, _ = await post(client, api, other, amount="2", **{"Idempotency-Key": "k"})
    assert response.status == 201


# --- rates --------------------------------------------------------------------------------------


async def test_a_client_that_asks_too_often_is_told_when_to_come_back(client, runtime_of, sqlite_url):
    async with serving(runtime_of(sqlite_url, rate_limit="3/minute", rate_limit_key="5/minute")) as api:
        for left in (2, 1, 0):
            response, _ = await ask(client, api, "GET", "/api/v1/events")
            assert (response.status, f"r={left}" in response.headers["RateLimit"]) == (200, True)
        response, body = await ask(client, api, "GET", "/api/v1/events")
        assert (response.status, body["code"]) == (429, "rate-limited")
        assert 1 <= int(response.headers["Retry-After"]) <= 21
        response, _ = await ask(client, api, "GET", "/healthz/live")
        assert response.status == 200  # supervisors are not counted
        key = create_key(api.service.database.storage, account=ACCOUNT, scopes=["read"]).key.get_secret_value()
        response, body = await ask(client, api, "GET", "/api/v1/events", headers={"X-API-Key": key})
        assert response.status == 200, "a good key works however much is asked from its address"
        assert response.headers["RateLimit"].startswith('"account";r=4')


async def test_guessing_keys_uses_up_what_an_address_may_guess(client, runtime_of, sqlite_url):
    async with serving(runtime_of(sqlite_url, rate_limit="3/minute")) as api:
        codes = []
        for n in range(5):
            guess = f"ss_{n:012d}_{'a' * 43}"
            _, body = await ask(client, api, "GET", "/api/v1/events", headers={"X-API-Key": guess})
            codes.append(body["code"])
        assert codes == ["api-key-unknown"] * 3 + ["rate-limited"] * 2
        response, _ = await ask(client, api, "GET", "/api/v1/events")
        assert response.status == 200, "who brings nothing is not kept out by that"


# --- what every answer says ---------------------------------------------------------------------


async def test_every_answer_says_what_is_left_of_the_quota_and_nothing_of_its_software(client, runtime_of, sqlite_url):
    async with serving(runtime_of(sqlite_url, rate_limit="50/minute")) as api:
        for method, path, counts in (
            ("GET", "/api/v1/events", True),
            ("GET", "/api/v1/events?limit=0", True),
            ("GET", "/api/v1/events/x", True),
            ("GET", "/healthz/live", False),
            ("GET", "/nothing", True),
        ):
            response, _ = await ask(client, api, method, path)
            assert ("RateLimit" in response.headers) == counts, path
            assert response.headers["Server"] == "stellarstream"
            assert "X-Request-ID" in response.headers
        asked = {"Access-Control-Request-Method": "GET", "Origin": "https://app.example"}
        response, _ = await ask(client, api, "OPTIONS", "/api/v1/events", headers=asked)
        assert response.headers["Server"] == "stellarstream"
        assert "X-Request-ID" in response.headers


async def test_a_live_stream_has_no_head(client, api):
    response, _ = await ask(client, api, "HEAD", "/api/v1/events/live")
    assert (response.status, response.headers["Allow"]) == (405, "GET")


async def test_a_fault_in_a_plugins_route_is_counted_for_the_plugin(client, api):
    await ask(client, api, "GET", "/api/v1/greetings/fault")
    _, text = await ask(client, api, "GET", "/metrics")
    assert b'stellarstream_plugin_errors_total{plugin="orders"} 1.0' in text


# --- plugins that do not behave -----------------------------------------------------------------


async def broken_off(call: Call[Nothing, Nothing, Nothing]) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(call.request)
    await response.write(b"the first half")
    raise RuntimeError("and no second one")


async def leave(_call: Call[Nothing, Nothing, Nothing]) -> Greeting:
    raise SystemExit(3)


@pytest.fixture
async def serving_routes(runtime_of, monkeypatch, sqlite_url):
    """Return a function that serves some routes of a plugin until the test ends."""
    from contextlib import AsyncExitStack
    from importlib.metadata import entry_points

    async with AsyncExitStack() as stack:

        async def serve(*routes: Route):
            module = ModuleType("made_routes")
            module.register_routes = hookimpl(lambda: list(routes))
            monkeypatch.setitem(sys.modules, module.__name__, module)
            runtime = runtime_of(sqlite_url)
            point = Point("made", module.__name__)
            runtime.plugins = Plugins.load(found=[*entry_points(group="stellarstream"), point])
            return await stack.enter_async_context(serving(runtime))

        yield serve


async def test_an_answer_that_fails_half_way_is_broken_off_and_never_looks_whole(client, serving_routes):
    route = Route(method="GET", path="/half", handler=broken_off, media_type="text/plain", summary="Half")
    api = await serving_routes(route)
    with pytest.raises((ClientPayloadError, ClientConnectionError)):
        await ask(client, api, "GET", "/api/v1/half")
    response, _ = await ask(client, api, "GET", "/healthz/live")
    assert response.status == 200


async def test_a_handler_that_wants_to_end_the_process_fails_alone(client, serving_routes):
    api = await serving_routes(Route(method="GET", path="/leave", handler=leave, answer=Greeting, summary="Leave"))
    response, body = await ask(client, api, "GET", "/api/v1/leave")
    assert (response.status, body["code"]) == (500, "internal")
    response, _ = await ask(client, api, "GET", "/healthz/live")
    assert response.status == 200


class Undescribable(Represented):
    model_config = {"arbitrary_types_allowed": True}
    what: object.__class__ = object


@pytest.mark.parametrize(
    "wrong", [{"path": "/shoes/{"}, {"answer": "Nope"}, {"answer": Undescribable}], ids=["path", "no type", "no schema"]
)
async def test_a_route_that_cannot_be_described_or_added_takes_its_plugin_out_and_nothing_else(
    client, serving_routes, wrong
):
    good = Route(method="GET", path="/good", handler=greet, answer=Greeting, summary="Good")
    api = await serving_routes(good, Route(**{"method": "GET", "path": "/x", "handler": greet, "summary": "X"} | wrong))
    assert [plugin.name for plugin in api.service.runtime.plugins.broken] == ["made"]
    response, _ = await ask(client, api, "GET", "/api/v1/good")
    assert response.status == 404
    response, _ = await ask(client, api, "GET", "/api/v1/events")
    assert response.status == 200
