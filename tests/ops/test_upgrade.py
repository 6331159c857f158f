"""An upgrade with a schema change, as docs/operations-setup.md has it: old code serves on, no request is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Node
from tests.ops import upgraded
from tests.ops.indexer_kit import SMALL
from tests.ops.kit import DEEP, Cluster, LoadGenerator, load, until
from tests.paths import ROOT

PATHS = ("/api/v1/places", "/healthz/live", "/api/v1/events?limit=2")
WORKERS = 3 if DEEP else 1
PACE = {"clients": 16, "pause": 0.02} if DEEP else {"clients": 8, "pause": 0.1}
DATABASES = ["sqlite", "postgresql"] if DEEP else ["sqlite"]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    running = Node(SMALL)
    yield running
    running.stop()


@pytest.fixture(params=DATABASES)
def service(request, node) -> Iterator[Cluster]:
    made = Cluster(
        workers=WORKERS, NETWORK="sandbox", RPC_URL=node.url, CONTRACTS="*", START_LEDGER="2", HEALTH_SECONDS="1"
    )
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_database")("upgrade")
        made.environment["STELLARSTREAM_DATABASE_URL"] = made.settings["DATABASE_URL"] = url
    site = made.home / "site"
    upgraded.install(site, upgraded.FIRST)
    made.environment["PYTHONPATH"] = f"{site}{os.pathsep}{ROOT}"
    try:
        migrated = made.stellarstream("migrate")
        assert "upgraded/0001" in migrated.stdout, migrated.stderr
        made.start()
        yield made
    finally:
        made.stop()


def told(steady: LoadGenerator, what: str) -> None:
    """Look at what became of the requests since this was last asked: not one may have failed."""
    report = steady.since_asked()
    requests, failed = report["requests"], len(report["failed"])
    print(f"FIGURES {what}: {requests} requests, {failed} failed, longest {report['max_ms']} ms")
    assert report["failed"] == []
    assert set(report["statuses"]) == {"200"}
    assert requests >= 20


def versions(service: Cluster) -> set[int]:
    """Which versions answer, asked often enough to meet every worker."""
    answers = [json.loads(service.ask("/api/v1/places")) for _ in range(8 * WORKERS)]
    for answer in answers:
        title = "The place 7" if answer["version"] == upgraded.SECOND else "place 7"
        assert answer["places"][6] == title
    return {answer["version"] for answer in answers}


def test_an_upgrade_with_a_new_schema_loses_no_request(service, node):
    (indexer,) = service.presences("indexer")
    workers = service.pids("api")
    with load(service.port, *PATHS, **PACE) as steady:
        assert versions(service) == {upgraded.FIRST}

        upgraded.install(service.home / "site", upgraded.SECOND)
        # who reloads before the schema is there gets no new workers, and keeps the old ones
        service.ctl("reload", "api")
        until(lambda: service.alerts("reload"))
        until(lambda: service.pids("api") == workers == service.ready_pids("api"))
        assert versions(service) == {upgraded.FIRST}
        told(steady, "reload that comes too early")

        node.close_ledgers(3)
        migrated = service.stellarstream("migrate")
        assert migrated.stdout == "applied upgraded/0002_version_2\n", migrated.stderr
        node.close_ledgers(3)
        until(lambda: service.presences("indexer")[0].ledger == node.latest)  # old code writes to the new schema
        assert versions(service) == {upgraded.FIRST}
        assert service.pids("api") == workers
        told(steady, "migrate")

        service.ctl("reload", "--waiting")
        until(lambda: not service.pids("api") & workers and service.pids("api") == service.ready_pids("api"))
        assert versions(service) == {upgraded.SECOND}
        until(lambda: [one for one in service.presences("indexer") if one.ready and one.since > indexer.since])
        assert service.pids("indexer") == {indexer.pid}
        node.close_ledgers(3)
        until(lambda: service.presences("indexer")[0].ledger == node.latest)
        told(steady, "reload")
    assert service.stellarstream("migrate", "--check").returncode == 0
