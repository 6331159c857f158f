"""Secrets stay where they are: not one is in a line of the log, an answer, a page or a metric, whatever goes wrong."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from loguru import logger
from stellar_sdk import Keypair

from tests.api.conftest import store
from tests.api.kit import ACCOUNT, HISTORY, A, B, C, Running, operations, runtime_of
from tests.postgres import throw_away_database

MARK = "m4rk3d"
SECRET = f"{MARK}-secret-key-of-more-than-thirty-two-characters"
SIGNING = Keypair.random().secret
PASSWORD = f"{MARK}p@ss/w:rd"
JSON = "Content-Type: application/json"
ENDLESS = "/api/v1/events/live"


def sources() -> dict[str, list[str]]:
    """Return sources that are down, with a secret in every place where addresses have them."""
    return {
        "rpc_url": [f"http://127.0.0.1:9/{MARK}-path-key?apikey={MARK}-query-key"],
        "horizon_url": [f"http://{MARK}-user:{MARK}-password@127.0.0.1:9/horizon"],
        "lake_url": [f"http://127.0.0.1:9/lake?sig={MARK}-signature"],
    }


@pytest.fixture
def written(caplog) -> Iterator[io.StringIO]:
    """Collect the whole log as ``serve`` writes it, as JSON and as text, and whatever libraries log at any level."""
    stream = io.StringIO()
    sinks = [
        logger.add(
            stream,
            level="TRACE",
            serialize=serialized,
            diagnose=False,
            backtrace=False,
            format="{message}\n{exception}",
        )
        for serialized in (True, False)
    ]
    with caplog.at_level(logging.DEBUG):
        yield stream
    for sink in sinks:
        logger.remove(sink)
    for record in caplog.records:
        stream.write(f"{record.name} {record.getMessage()} {record.exc_text or ''}\n")


class Secrets:
    """What must be nowhere, and everything that was looked through."""

    def __init__(self, api: Running) -> None:
        self.key = api.key()
        self.token = api.service.tokens.issue(ACCOUNT)
        self.bad_key = f"ss_{'Z' * 12}_{MARK}{'z' * 37}"
        self.bad_token = self.token[:-20] + f"{MARK}{'x' * 14}"
        self._patterns = [MARK, SIGNING, self.key, self.key.rpartition("_")[2], self.token, self.token.split(".")[2]]
        self._patterns += [PASSWORD, quote(PASSWORD, safe=""), self.bad_token.split(".")[2]]
        self.looked_at = 0

    def look(self, what: str, text: str) -> None:
        self.looked_at += 1
        for pattern in self._patterns:
            assert pattern not in text, f"{what} holds {pattern[:20]}…: {_around(text, pattern)}"

    def credentials(self) -> list[tuple[str, ...]]:
        return [
            (),
            (f"X-API-Key: {self.key}",),
            (f"Authorization: Bearer {self.token}",),
            (f"X-API-Key: {self.bad_key}",),
            (f"Authorization: Bearer {self.bad_token}",),
            (f"Authorization: Basic {self.key}",),
            (f"X-API-Key: {self.key}", f"Authorization: Bearer {self.token}"),
            (f"Cookie: session={self.token}", f"X-Request-ID: {self.key} {MARK}", f"Origin: http://{MARK}.example"),
        ]


def _around(text: str, pattern: str) -> str:
    at = text.index(pattern)
    return text[max(at - 300, 0) : at + 100]


def ask_everything(api: Running, secrets: Secrets) -> set[int]:
    """Ask every route with every kind of credential, good and bad, and look through every answer."""
    statuses: set[int] = set()
    routes = [route for route in api.service.routes if route.method == "GET"]
    targets = [
        re.sub(r"\{[^}]+\}", filled, route.full_path) + query
        for route in routes
        for filled, query in (("1", ""), ("2", f"?a={MARK}&token={secrets.token}&cursor={secrets.key}&limit={MARK}"))
        if route.full_path != ENDLESS or query
    ]
    targets += [f"/api/v1/auth?account={ACCOUNT}", f"/api/v1/auth?account={ACCOUNT}&client_domain=localhost"]
    targets += ["/docs/problems/internal", "/nothing", "/api/v1/events/0000000429496733696-0000000000"]
    for target in targets:
        for headers in secrets.credentials():
            said = api.get(target, *headers)
            statuses.add(said.status)
            said_again = repr([(name, value) for name, value in said.headers if name != "link"])
            secrets.look(f"GET {target} {headers}", said.body.decode() + said_again)
    body = b'{"amount":"1","memo":"x"}'
    for method, path, operation in operations(api.get("/openapi.json").json, "POST", "PATCH", "DELETE"):
        for headers in secrets.credentials():
            for sent in (body, b'{"transaction":"%b"}' % MARK.encode(), b'{"%b":"%b"}' % (b"a", MARK.encode()), b"{"):
                with api.wire() as wire:
                    more = (JSON, *headers, "Idempotency-Key: k-" + str(len(sent)))
                    kept = sent if "requestBody" in operation else b""
                    said = wire.ask(path.replace("{orderId}", "1"), *more, method=method, body=kept, close=True)
                statuses.add(said.status)
                secrets.look(f"{method} {path} {headers}", said.body.decode() + repr(said.headers))
    return statuses


@pytest.fixture
def of_server(postgres_server) -> Iterator[tuple[Running, object]]:
    """Serve a PostgreSQL database whose address holds a password; the function takes it away and gives it back."""
    import psycopg

    with throw_away_database(postgres_server) as url, psycopg.connect(postgres_server, autocommit=True) as admin:
        parts = urlsplit(url)
        address = f"{parts.username}:{quote(PASSWORD, safe='')}@{parts.hostname}:{parts.port}"
        settings = {"secret_key": SECRET, "signing_key": SIGNING, **sources()}
        api = Running(runtime_of(urlunsplit(parts._replace(netloc=address)), **settings))
        store(api.storage, (100, 180), [A, B, C], HISTORY)

        def let_in(yes: bool) -> None:
            admin.execute(f'ALTER DATABASE "{parts.path[1:]}" WITH ALLOW_CONNECTIONS {yes}'.encode())
            if not yes:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (parts.path[1:],)
                )

        yield api, let_in
        let_in(True)
        api.stop()


def test_no_secret_is_told_while_all_is_well_nor_while_database_and_sources_are_away(written, of_server):
    api, let_in = of_server
    secrets = Secrets(api)
    statuses = ask_everything(api, secrets)
    assert statuses >= {200, 201, 400, 401, 404, 422}
    let_in(False)
    statuses = ask_everything(api, secrets)
    assert 503 in statuses
    let_in(True)
    for path in ("/", "/dashboard/state", "/api/v1/sync", "/healthz/ready", "/metrics", "/openapi.json", "/docs"):
        text = api.get(path).body.decode()
        secrets.look(path, text)
        if path in {"/api/v1/sync", "/healthz/ready"}:
            assert "127.0.0.1:9" in text, "the sources that are down are told, by scheme and host"
    log = written.getvalue()
    assert log.count("\n") > 500
    assert "was lost" in log or "Cannot connect" in log, "what is wrong with the database is told in the log"
    secrets.look("the log", log)
    assert secrets.looked_at > 500


def test_no_secret_is_in_what_stands_for_the_service(of_server):
    api, _ = of_server
    secrets = Secrets(api)
    service = api.service
    for part in (service, service.settings, service.tokens, service.challenges, service.authenticator, service.cursors):
        secrets.look(type(part).__name__, repr(part) + str(part))
    secrets.look("the storage", api.storage.url + repr(api.storage) + repr(api.service.database))


def test_an_api_key_is_stored_as_its_hash_only(of_server):
    api, _ = of_server
    secrets = Secrets(api)
    rows = api.storage.read(lambda database: database.execute_sql("SELECT * FROM api_keys").fetchall())
    assert rows
    secrets.look("api_keys", repr(rows))


def test_a_fault_that_no_code_expected_tells_no_value_of_its_variables(written, of_server, monkeypatch):
    api, _ = of_server
    secrets = Secrets(api)

    def broken(*_arguments: object, **_named: object) -> None:
        inner = (secrets.key, secrets.token, SECRET)
        raise RuntimeError(f"something broke after {len(inner)} steps")

    monkeypatch.setattr(api.service.cursors, "read", broken)
    said = api.get(f"/api/v1/events?cursor={secrets.key}", f"X-API-Key: {secrets.key}")
    assert (said.status, said.code) == (500, "internal")
    secrets.look("the answer", said.body.decode())
    log = written.getvalue()
    assert "something broke after 3 steps" in log
    secrets.look("the log", log)
