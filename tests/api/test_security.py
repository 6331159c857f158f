"""What strangers send: in parameters, headers, cursors and bodies. Nothing of it is carried out, reflected or a 5xx."""

from __future__ import annotations

import json
import re
import string
from base64 import b64encode
from urllib.parse import quote

import orjson
import pytest
from jsonschema import Draft202012Validator
from loguru import logger

from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.testing.scripted import made_contract, made_event
from stellarstream_core.xdr.scval_types import Arm, ScValue
from stellarstream_core.xdr.scval_write import encode_scval
from tests.api.conftest import store
from tests.api.kit import A, B, Running, operations

ENDLESS = "/api/v1/events/live"
SQL = [
    "'; DROP TABLE events; --",
    '" OR 1=1 --',
    "' OR '1'='1",
    "1; DELETE FROM events",
    "1) UNION SELECT secret_hash FROM api_keys --",
    "\\'; SELECT pg_sleep(9); --",
    "$$; SELECT 1; $$",
    "%27%20OR%201=1",
    "’ OR ‘1’=‘1",  # typographical quotes
    "＇ OR 1=1",
    "%",
    "_" * 19,
    "*/ /*",
    "x'41'",
    "NULL",
    "{0} {} %s %(a)s ?",
]
ODD = [
    b"\x00",
    b"a\x00b",
    b"\xff\xfe",  # no UTF-8
    b"\xc0\xaf",  # an overlong slash
    b"\xed\xa0\x80",  # a lone surrogate
    b"\xf4\x90\x80\x80",  # beyond Unicode
    b"\r\nSet-Cookie: injected=1",
    b"\r\n\r\n<html>injected</html>",
    b"\nX-Injected: 1",
    b"\rX-Injected: 1",
    "\u2028X-Injected: 1\u0085".encode(),
    "\u202e\u05d0\u200b\ufeff".encode(),  # right to left, no width
    b"\x1b[31m",
    b"x" * 2000,
    "é".encode() * 500,
    b"../../../../etc/passwd",
    b"<script>alert(1)</script>",
    b"${jndi:ldap://x}{{7*7}}",
    b"-1",
    b"9" * 400,
    b"1e999",
    b"NaN",
    b"",
    b" ",
]
VALUES = [*(text.encode() for text in SQL), *ODD]


def encoded(value: bytes) -> str:
    return quote(value, safe="")


def held(api: Running) -> tuple[object, ...]:
    """Return what the database holds, by its tables."""
    storage = api.storage
    window = LedgerRange(FIRST_LEDGER, LAST_LEDGER)
    events = [event.id for event in storage.events(window, Scope.of(["*"]), limit=10_000)]
    tables = storage.read(lambda database: sorted(database.get_tables()))
    return tuple(events), tuple(tables), storage.totals()


def targets(api: Running):
    """Yield every address with every value in one of its parameters, and the parameter's name."""
    description = api.get("/openapi.json").json
    for _, path, operation in operations(description, "GET"):
        for parameter in operation["parameters"]:
            for value in VALUES:
                filled = re.sub(r"\{[^}]+\}", "1", path)
                if parameter["in"] == "path":
                    yield path, parameter["name"], path.replace(f"{{{parameter['name']}}}", encoded(value) or "%20")
                elif parameter["in"] == "query" and path != ENDLESS:
                    yield path, parameter["name"], f"{filled}?{parameter['name']}={encoded(value)}"
                elif parameter["in"] == "query":  # refused, or it would not end
                    yield path, parameter["name"], f"{filled}?limit=1&{parameter['name']}={encoded(value)}"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_what_is_written_into_a_parameter_is_not_carried_out(running, dialect):
    api = running(dialect)
    key = f"X-API-Key: {api.key()}"  # or lists of one's own would be refused before they are looked at
    before, asked = held(api), 0
    for path, name, target in targets(api):
        said = api.get(target, key)
        asked += 1
        assert said.status in {200, 304, 400, 404}, (target, said)
        assert not {"set-cookie", "x-injected"} & {header for header, _ in said.headers}, target
        if path == "/api/v1/events":
            # no filter lets any of these through, but one that is left empty
            assert said.status == 400 or said.json["items"] == [], (name, target)
        if said.code == "invalid-parameter" and said.json.get("errors"):
            assert said.json["errors"][0]["field"].split(".")[0] in {"query", "path"}
    assert asked > 300
    assert held(api) == before


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_topic_full_of_sql_is_found_as_it_is_and_nothing_else_is(running, dialect):
    api = running(dialect)
    contract = made_contract(77)
    topics = [encode_scval(ScValue(Arm.STRING, text)) for text in SQL]
    events = [
        made_event(500 + number, contract=contract)._replace(topics=(topic,)) for number, topic in enumerate(topics)
    ]
    if not api.storage.event(events[0].id):
        store(api.storage, (500, 600), [contract], events)
    for event, topic in zip(events, topics, strict=True):
        said = api.get(f"/api/v1/events?contract={contract}&topic={encoded(b64encode(topic))}")
        assert [item["id"] for item in said.json["items"]] == [event.id]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_credentials_and_idempotency_keys_are_values_too(running, dialect):
    api = running(dialect)
    before, key = held(api), api.key()
    for text in SQL:
        header = text.encode("utf-8").decode("latin-1")
        for name in ("X-API-Key", "Authorization"):
            for form in (header, f"ss_{header}_{'a' * 43}", f"Bearer {header}"):
                said = api.get("/api/v1/events?limit=1", f"{name}: {form}")
                assert said.status == 401, (name, form)
        said = api.get(
            "/api/v1/orders",
            f"X-API-Key: {key}",
            f"Idempotency-Key: {header.replace(' ', '/')}",
            "Content-Type: application/json",
            method="POST",
            body=b'{"amount":"1"}',
        )
        assert (said.status, said.code) in {(201, None), (400, "invalid-idempotency-key")}, text
    assert held(api) == before


# --- headers --------------------------------------------------------------------------------------


def everywhere(api: Running) -> list[str]:
    """Return an address of every route that is read, also of those that are not described."""
    found = []
    for route in api.service.routes:
        if route.method == "GET" and route.full_path != ENDLESS:
            path = route.full_path.replace("{code}", "not-found").replace("{id}", "0000000429496729600-0000000000")
            path = path.replace("{digest}", "0").replace("{name}", "style.css")
            found.append(f"{path}?account={A}" if path.endswith("/auth") else path)
    return [*found, "/api/v1/orders?q=x", "/api/v1/nothing", "/api/v1/events?limit=1"]


def test_nothing_in_a_request_becomes_a_header_of_the_answer(running):
    api = running()
    crlf = "%0d%0aX-Injected:%201"
    for target in (*everywhere(api), "/api/v1/orders?q=" + crlf, "/api/v1/orders?label=" + crlf, "/" + crlf):
        for header in (
            f"X-Request-ID: {crlf}",
            "X-Request-ID: a\tb",
            f"Origin: http://localhost:5173{crlf}",
            f"If-None-Match: {crlf}",
            f"Last-Event-ID: {crlf}",
            f"Accept: {crlf}",
            f"X-Forwarded-For: {crlf}",
        ):
            said = api.get(target, header)
            assert said.status < 500
            assert "x-injected" not in dict(said.headers), (target, header)
            assert re.fullmatch(r"[0-9a-f]{16,20}", said.header("X-Request-ID") or ""), header
            link = said.header("Link")
            assert link is None or re.fullmatch(r"<http://localhost:3000/[!-;=?-~]*>; rel=\"next\"", link), link


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0", b"\x0b", b"\x7f", b"\r\n ", b"\r\n\t"])
@pytest.mark.parametrize("name", ["X-Request-ID", "Origin", "If-None-Match", "X-API-Key", "Host"])
def test_raw_control_characters_in_a_header_are_refused(running, name, byte):
    api = running()
    with api.wire() as wire:
        host = b"" if name == "Host" else b"Host: x\r\n"
        wire.send(b"GET /api/v1/orders HTTP/1.1\r\n%b%b: a%bX-Injected: 1\r\n\r\n" % (host, name.encode(), byte))
        said = wire.answer()
        assert "x-injected" not in dict(said.headers)
        if byte == b"\n":  # some take a lone LF for the end of a line, which is what a next header is anyway
            assert said.status in {200, 400, 401}
        else:
            assert said.status in {400, 401}, said
        assert b"X-Injected" not in said.body


def test_no_link_leads_where_the_request_says_it_came_from(running):
    api = running()
    evil = ("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: gopher", "Forwarded: host=evil.example;proto=gopher")
    for target in everywhere(api):
        for start in (target, f"http://evil.example{target}"):
            with api.wire() as wire:
                wire.send(f"GET {start} HTTP/1.1\r\nHost: evil.example\r\n".encode())
                wire.send("\r\n".join([*evil, "X-Original-URL: /evil.example", "", ""]).encode())
                said = wire.answer()
            assert said.status < 500
            text = said.body.decode() + repr(said.headers)
            assert "evil.example" not in text, target
            assert "gopher" not in text, target


HOSTILE = [
    "https://evil.example",
    "http://localhost:5173.evil.example",
    "http://localhost:51733",
    "http://localhost",
    "https://localhost:5173",
    "http://evil.example/http://localhost:5173",
    "http://localhost:5173/",
    "http://LOCALHOST:5173",
    "http://localhost:5173, https://evil.example",
    "null",
    "*",
    "",
    "file://",
    "http://user@localhost:5173",
]


def test_no_foreign_origin_is_let_in_and_credentials_never(running):
    api = running()
    for target in everywhere(api):
        for origin in HOSTILE:
            for asked, method in (((), "GET"), (("Access-Control-Request-Method: POST",), "OPTIONS")):
                said = api.get(target, f"Origin: {origin}", *asked, method=method)
                headers = dict(said.headers)
                assert "access-control-allow-credentials" not in headers
                assert headers.get("access-control-allow-origin") in {None, "*"}, (target, origin)
    said = api.get("/api/v1/events?limit=1", "Origin: http://localhost:5173")
    assert said.header("Access-Control-Allow-Origin") == "http://localhost:5173"
    assert said.header("Vary") == "Origin"


def test_everybody_who_is_let_in_comes_without_credentials(running):
    api = running(cors_origins=["*"])
    for method, asked in (("GET", ()), ("OPTIONS", ("Access-Control-Request-Method: POST",))):
        said = api.get("/api/v1/events?limit=1", "Origin: https://evil.example", "Cookie: a=b", *asked, method=method)
        assert said.header("Access-Control-Allow-Origin") == "*"
        assert said.header("Access-Control-Allow-Credentials") is None


def test_what_is_sent_stands_in_one_line_of_the_log_in_printable_characters(running):
    api, records = running(), []
    sink = logger.add(lambda message: records.append(message.record), level="TRACE")
    try:
        for path in ("/%0d%0aERROR%20forged", "/{0}{name}<red>", "/%1b[31m", "/é".encode().decode("latin-1"), "/%00"):
            api.get(path, "X-Request-ID: a\tforged")
        api.get("/api/v1/events?cursor=%0d%0aforged&contract={0}<red>")
    finally:
        logger.remove(sink)
    assert len(records) >= 5
    for record in records:
        assert record["message"].isprintable(), record["message"]
        assert all(str(value).isprintable() for value in record["extra"].values()), record["extra"]


# --- cursors --------------------------------------------------------------------------------------


def test_a_cursor_that_was_touched_in_any_place_is_refused(running):
    api = running()
    cursors = {
        "/api/v1/events?limit=2": api.get("/api/v1/events?limit=2").json["nextCursor"],
        "/api/v1/orders?q=a": api.get("/api/v1/orders?q=a").json["nextCursor"],
    }
    for path, cursor in cursors.items():
        assert api.get(f"{path}&cursor={cursor}").status == 200
        touched = {cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :] for n in range(len(cursor))}
        touched |= {cursor[:n] for n in range(1, len(cursor))} | {cursor + extra for extra in ("A", "=", "==", "AAAA")}
        touched |= {
            cursor.swapcase(),
            cursor[::-1],
            cursor * 2,
            cursor * 40,
            f"%00{cursor}",
            f"{cursor}%0a",
            "A" * 1024,
        }
        touched |= {other for other in cursors.values() if other != cursor}
        for text in touched:
            said = api.get(f"{path}&cursor={text}")
            assert said.status == 400, text
            assert said.code in {"invalid-cursor", "invalid-parameter"}
    for query in ("order=desc", f"contract={A}", f"contract={A}&contract={B}", "fromLedger=1", "topic=*"):
        said = api.get(f"/api/v1/events?{query}&cursor={cursors['/api/v1/events?limit=2']}")
        assert (said.status, said.code) == (400, "invalid-cursor"), query
    assert api.get(f"/api/v1/orders?q=b&cursor={cursors['/api/v1/orders?q=a']}").code == "invalid-cursor"


def test_another_deployments_cursor_is_refused(running):
    ours, theirs = running(), running(secret_key="another deployment's secret, also long enough")
    cursor = theirs.get("/api/v1/events?limit=2").json["nextCursor"]
    assert theirs.get(f"/api/v1/events?limit=2&cursor={cursor}").status == 200
    assert ours.get(f"/api/v1/events?limit=2&cursor={cursor}").code == "invalid-cursor"


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["/docs/problems/", "/static/", "/static/0/", "/api/v1/events/", "/"])
@pytest.mark.parametrize(
    "climb",
    [
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "%252e%252e%252fetc%252fpasswd",
        "..%5c..%5cetc%5cpasswd",
        "..\\..\\etc\\passwd",
        "....//....//etc/passwd",
        "%c0%ae%c0%ae%c0%afetc%c0%afpasswd",
        "..;/..;/etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "file:///etc/passwd",
        "style.css%00.html",
        "style.css/../../../pages/render.py",
        "templates%2fbase.html",
        "../templates/base.html",
        "__init__.py",
        "not-found/../../../../etc/passwd",
        "x" * 3000,
    ],
)
def test_no_path_leads_out_of_what_is_served(running, base, climb):
    said = running().get(base + climb)
    assert said.status in {400, 404}
    assert said.code in {"unknown-route", "not-found", "invalid-parameter", "malformed-request"}
    for trace in (b"root:", b"<!doctype", b"import ", b"{%"):
        assert trace not in said.body


def test_files_are_those_of_the_pages_and_no_others(running):
    api = running()
    assert api.get("/static/0/style.css").header("Content-Type") == "text/css; charset=utf-8"
    for name in ("base.html", "static.py", "style.css.bak", "STYLE.CSS", ".htaccess", "style.css.", "style"):
        assert api.get(f"/static/0/{name}").status in {400, 404}, name


# --- bodies ---------------------------------------------------------------------------------------


def post(api: Running, path: str, body: bytes, *headers: str, method: str = "POST"):
    return api.get(path, "Content-Type: application/json", *headers, method=method, body=body)


WRONG = [None, True, 0, -1, 10, 1.5, 1e308, 2**63, 10**30, "", "x", "1", "x" * 200, [], {}, [[]], {"a": {}}, [None]]


def test_every_field_takes_what_its_schema_says_and_nothing_else(running):
    api = running()
    description, key, asked = api.get("/openapi.json").json, f"X-API-Key: {api.key()}", 0
    for method, path, operation in operations(description):
        if "requestBody" not in operation:
            continue
        reference = operation["requestBody"]["content"]["application/json"]["schema"]
        schema = {**reference, "components": description["components"]}
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        fields = description["components"]["schemas"][reference["$ref"].rpartition("/")[2]]["properties"]
        good = {"amount": "1"} if "amount" in fields else {"transaction": "x"}
        bodies = [{**good, field: wrong} for field in fields for wrong in WRONG]
        bodies += [*WRONG, {**good, "__class__": "x"}, {**good, "extra": 1}, [good], {}]
        if "parts" in fields:
            bodies += [{**good, "parts": [{"toWhom": wrong, "share": wrong}]} for wrong in WRONG]
        for body in bodies:
            said = post(api, re.sub(r"\{\w+\}", "1", path), json.dumps(body).encode(), key, method=method)
            asked += 1
            assert said.status < 500, body
            fits = validator.is_valid(body)
            # what fits may be refused by what is served, by a problem of its own
            assert (said.code == "invalid-body") == (not fits), (path, body, said)
            if not fits:
                assert said.status == 422
                assert said.json["errors"][0]["field"].startswith("body")
    assert asked > 300


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"amount":"1","memo":"' + b"x" * 10_000_000 + b'"}', 413, "body-too-large"),
        (b" " * 70_000 + b'{"amount":"1"}', 413, "body-too-large"),
        (b"[" * 60_000, 400, "malformed-body"),
        (b"[" * 30_000 + b"]" * 30_000, 400, "malformed-body"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "malformed-body"),
        (b'{"labels":' + b"[" * 500 + b"]" * 500 + b',"amount":"1"}', 400, "malformed-body"),
        (b'{"amount":"1","priority":1e999}', 400, "malformed-body"),
        (b'{"amount":"1","priority":' + b"9" * 5_000 + b"}", 400, "malformed-body"),
        (b'{"amount":"1","priority":1' + b"0" * 300 + b"}", 422, "invalid-body"),
        (b'{"amount":1e5}', 422, "invalid-body"),
        (b'{"amount":"1","priority":NaN}', 400, "malformed-body"),
        (b'{"amount":"1","priority":Infinity}', 400, "malformed-body"),
        (b'{"amount":"1","priority":01}', 400, "malformed-body"),
        (b'{"amount":"1","priority":0x1}', 400, "malformed-body"),
        (b'{"amount":"1",}', 400, "malformed-body"),
        (b'{"amount":"1"}{"amount":"2"}', 400, "malformed-body"),
        (b'{"amount":"1"/*c*/}', 400, "malformed-body"),
        (b"{'amount':'1'}", 400, "malformed-body"),
        (b'\xef\xbb\xbf{"amount":"1"}', 400, "malformed-body"),
        ('{"amount":"1"}'.encode("utf-16"), 400, "malformed-body"),
        (b'{"amount":"1","memo":"\xed\xa0\x80"}', 400, "malformed-body"),
        (b'{"amount":"1","memo":"\\ud800"}', 400, "malformed-body"),
        (b'{"amount":"1","memo":"\\u0000"}', 400, "malformed-body"),
        (b'{"amount":"1","memo":"\x00"}', 400, "malformed-body"),
        (b'{"amount":"1","memo":"\n"}', 400, "malformed-body"),
        (b'{"amount":"1","__proto__":{"a":1}}', 422, "invalid-body"),
        (b'{"amount":"1","labels":{"a":"1","b":"2","c":"3","d":"4"}}', 422, "invalid-body"),
        (b'{"amount":"1","begins":1e400}', 400, "malformed-body"),
        (b'{"amount":"1","begins":"9999-99-99T00:00:00Z"}', 422, "invalid-body"),
        (b'{"amount":"1","begins":"2026-01-01T00:00:00"}', 422, "invalid-body"),
        (b'"\\u202e"', 422, "invalid-body"),
    ],
)
def test_bodies_of_every_bad_kind_are_refused(running, body, status, code):
    said = post(running(), "/api/v1/quotes", body)
    assert (said.status, said.code) == (status, code)
    assert len(said.body) < 2_000, "what was sent is not sent back"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.25+01:00", "2026-01-01T00:00:00.250000+01:00"),
        ("1", None),
        ("1767225600", None),
        ("2026-01-01", None),
        ("2026-01-01 00:00:00Z", None),
        ("2026-01-01T00:00:00", None),
        ("2026-13-01T00:00:00Z", None),
    ],
)
def test_times_are_those_of_rfc_3339_in_bodies_and_parameters(running, text, taken):
    api = running()
    said = post(api, "/api/v1/quotes", orjson.dumps({"amount": "1", "begins": text}))
    assert (said.json["begins"] if said.status == 200 else None) == taken
    assert api.get(f"/api/v1/orders?due={quote(text)}").status == (200 if taken else 400)


def test_of_a_key_that_comes_twice_the_last_counts_for_every_reader(running):
    said = post(running(), "/api/v1/quotes", b'{"amount":"x","amount":"2","memo":"a","memo":"b"}')
    assert (said.status, said.json["amount"], said.json["memo"]) == (200, "2", "b")


def test_a_problem_repeats_only_a_bounded_and_printable_part_of_what_was_sent(running):
    api = running()
    name = "\u202e" + "é" * 500
    said = post(api, "/api/v1/quotes", orjson.dumps({"amount": "1", **{f"{name}{n}": 1 for n in range(60)}}))
    assert (said.status, said.code) == (422, "invalid-body")
    assert len(said.json["errors"]) == 20
    assert all(len(error["field"]) < 100 for error in said.json["errors"])
    said = api.get("/api/v1/events?" + "&".join(f"{letter * 100}=1" for letter in string.ascii_lowercase))
    assert (said.status, said.code) == (400, "invalid-parameter")
    assert len(said.body) < 8_000


@pytest.mark.parametrize("count", [101, 1_000, 2_000])
def test_thousands_of_parameters_are_refused_before_they_are_looked_at(running, count):
    said = running().get("/api/v1/events?" + "&".join(f"a{n}" for n in range(count)))
    assert (said.status, said.code) == ((400, "invalid-parameter") if count <= 1_000 else (431, "header-too-large"))
