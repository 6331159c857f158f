"""What a real cluster shows of itself, and the dashboard and alerts made of it: nothing in them is made up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stellarstream_core.ops.health_rules import Kind
from stellarstream_invoice_links.model import COMPLETING, Outcome
from tests.api.kit import Wire
from tests.api.test_metrics import samples
from tests.cli.conftest import Node
from tests.ops.indexer_kit import SMALL
from tests.ops.kit import Cluster, until
from tests.ops.promql import OF_PROMETHEUS, Offered, faults, labels_of, parsed
from tests.paths import ROOT, missing

GRAFANA = ROOT / "contrib" / "grafana"
ALERTS = yaml.safe_load((GRAFANA / "alerts.yml").read_text())
DASHBOARD = json.loads((GRAFANA / "dashboard.json").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
RUNBOOK = ROOT / "docs" / "operations.md"
PUBLISHED = "https://docs.example.org/stellarstream"
"""What stands for the folder in which an operator publishes the documentation."""
RETENTION = 60
_TEMPLATE = re.compile(r"\$labels\.(\w+)")


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


QUERIES = [(panel["title"], target) for panel in panels_of(DASHBOARD) for target in panel["targets"]]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    running = Node(replace(SMALL, ledgers=100, retention=RETENTION))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def service(node) -> Iterator[Cluster]:
    made = Cluster(
        NETWORK="sandbox",
        RPC_URL=node.url,
        CONTRACTS=node.contracts["streams-v2"],
        START_LEDGER=str(node.latest - RETENTION // 2),
        HEALTH_SECONDS="1",
    )
    try:
        made.start()
        until(lambda: made.health and all(one.cpu is not None for one in made.health.watchers["api"].processes))
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def workers(service) -> Iterator[list[Wire]]:
    """A connection to each worker; which one answers is told by its request ids."""
    found: dict[str, Wire] = {}
    with ExitStack() as stack:

        def both() -> bool:
            wire = stack.enter_context(Wire(("127.0.0.1", service.port), 20.0))
            found.setdefault(wire.ask("/healthz/live").header("X-Request-ID")[:12], wire)
            return len(found) == 2

        until(both, pause=0.0)
        yield list(found.values())


@pytest.fixture(scope="module")
def offered(service, workers) -> Offered:
    for path in ("/api/v1/events?limit=2", "/api/v1/streams?limit=1", "/", "/api/v1/events/none"):
        workers[0].ask(path)
    return Offered.of(workers[0].ask("/metrics").body.decode())


# --- what a cluster tells -----------------------------------------------------------------------


def test_every_worker_tells_of_all_processes_what_the_system_says_of_them(service, workers):
    expected = {("api", str(pid)) for pid in service.pids("api")} | {
        ("indexer", str(pid)) for pid in service.pids("indexer")
    }
    assert len(expected) == 3
    for worker in workers:
        found = samples(worker.ask("/metrics").body)
        for name in ("memory_bytes", "cpu_ratio", "heartbeat_age_seconds", "age_seconds"):
            told = {(dict(labels)["watcher"], dict(labels)["pid"]): value for (metric, *labels), value in found.items()
                    if metric == f"stellarstream_process_{name}"}  # fmt: skip
            assert set(told) == expected, name
            assert all(value >= 0 for value in told.values())
            if name == "memory_bytes":
                for (_, pid), value in told.items():
                    assert value == pytest.approx(resident(int(pid)), rel=0.5)
        assert found["stellarstream_watcher_processes_ready", ("watcher", "api")] == 2
        assert found["stellarstream_health_monitor_up",] == 1


def test_the_indexer_and_the_retention_margin_are_told_as_the_network_goes_on(service, workers, node):
    node.close_ledgers(3)

    def told(name: str) -> list[float]:
        return [samples(worker.ask("/metrics").body).get((f"stellarstream_{name}",), -1.0) for worker in workers]

    until(lambda: told("indexer_watermark_ledger") == [node.latest] * 2)
    assert told("indexer_tip_ledger") == [node.latest] * 2
    assert all(0 <= lag < 60 for lag in told("indexer_lag_seconds"))
    until(lambda: told("watermark_ledger") == [node.latest] * 2)

    def margins() -> set[float]:
        return {value for worker in workers for (name, *_), value in samples(worker.ask("/metrics").body).items()
                if name == "stellarstream_retention_margin_ratio"}  # fmt: skip

    until(lambda: margins() == {1.0})


def test_readiness_and_dashboard_tell_of_the_processes(service, workers):
    checks = {check["name"]: check for check in json.loads(workers[0].ask("/healthz/ready").body)["checks"]}
    assert checks["processes"]["ok"], checks
    assert checks["processes"]["detail"] == "api: 2 ready, indexer: 1 ready"
    page = workers[1].ask("/").body.decode()
    for pid in service.pids("api") | service.pids("indexer"):
        assert f">{pid}</th>" in page


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- alerts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_every_alert_asks_for_what_exists(offered, rule):
    assert faults(rule["expr"], offered) == []
    known = labels_of(rule["expr"], offered) | OF_PROMETHEUS
    for text in rule["annotations"].values():
        assert set(_TEMPLATE.findall(text)) <= known, text


def test_a_name_that_does_not_exist_would_be_noticed(offered):
    for expression, fault in (
        ("stellarstream_gasp > 0", "there is no metric stellarstream_gasp"),
        ('stellarstream_gaps{watcher="x"}', "stellarstream_gaps has no label watcher"),
        ('stellarstream_alerts_total{kind="stick"}', "stellarstream_alerts_total has no kind='stick'"),
        ('stellarstream_alerts_total{kind=~"stuck|stick"}', "stellarstream_alerts_total has no kind='stick'"),
        ("sum by (pit) (rate(stellarstream_process_cpu_ratio[5m]))", "nothing has the label pit of 'by'"),
        ("vector(1) > 0", "it reads nothing"),
    ):
        assert faults(expression, offered) == [fault]
    with pytest.raises(ValueError, match="unclosed"):
        parsed("sum(")


def test_every_alert_says_how_bad_it_is_and_where_it_is_explained():
    headings = re.findall(r"^### (.*)$", RUNBOOK.read_text(), re.MULTILINE)
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"{PUBLISHED}/{RUNBOOK.name}#{rule['alert'].lower()}"
        assert rule["alert"] in headings
    names = {rule["alert"] for rule in RULES}
    assert {heading for heading in headings if heading.startswith("StellarStream")} == names, "and no page is left over"


def test_every_kind_of_alert_of_the_health_monitor_has_one_here_and_its_page_says_which():
    text = RUNBOOK.read_text()
    for kind in Kind:
        assert f"`{kind}`" in text
    asked = " ".join(rule["expr"] for rule in RULES)
    by_metric = {Kind.CRASH: "watcher_restarts_total", Kind.MISSING: "processes_wanted", Kind.STOPPED: "watcher_up"}
    for kind in Kind:
        assert by_metric.get(kind, f'kind="{kind}"') in asked, kind


def test_every_outcome_of_a_payment_that_completes_nothing_is_watched():
    asked = " ".join(rule["expr"] for rule in RULES)
    for outcome in set(Outcome) - COMPLETING:
        assert re.search(rf'["|]{outcome}["|]', asked), outcome


def test_the_page_names_every_metric_of_processes_and_no_other(offered):
    section = RUNBOOK.read_text().partition("## Watching it\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(stellarstream_\w+)`", section))
    ours = ("watcher_", "process_", "indexer_", "alerts_", "health_")
    assert named == {name for name in offered.labels if name.removeprefix("stellarstream_").startswith(ours)}


# --- the dashboard ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[f"{title}-{one['refId']}" for title, one in QUERIES])
def test_every_panel_asks_for_what_exists(offered, title, target):
    assert faults(target["expr"], offered) == []
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels_of(target["expr"], offered)
    assert 'job=~"$job", instance=~"$instance"' in target["expr"]


def test_every_metric_of_the_service_is_on_the_dashboard_or_in_an_alert(offered):
    asked = " ".join([*(target["expr"] for _, target in QUERIES), *(rule["expr"] for rule in RULES)])
    unseen = {"stellarstream_process_start", "stellarstream_lag_ledgers", "stellarstream_retention_margin_ledgers"}
    seconds = "stellarstream_indexer_tip_ledger", "stellarstream_indexer_watermark_ledger"  # beside the database's own
    for name in offered.labels:
        family = re.sub(r"_(sum|count)$", "_bucket", name)
        assert family in asked or name in unseen or name in seconds, name


def test_the_dashboard_is_one_that_grafana_can_load():
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(DASHBOARD)
    assert re.fullmatch(r"[a-z0-9-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD.get("id") is None, "that is the importing Grafana's to give"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == set(variables)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        fields = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                  for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not fields & taken, panel["title"]
        taken |= fields
    for panel in panels_of(DASHBOARD):
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)


def test_variables_and_annotations_ask_for_what_exists(offered):
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+)(?:{.*})?, (\w+)\)", variable["definition"]).groups()
            assert metric in offered.labels
            assert label in OF_PROMETHEUS
    for annotation in DASHBOARD["annotations"]["list"]:
        if "expr" in annotation:
            assert faults(annotation["expr"], offered) == []


# --- with Prometheus' own tool ------------------------------------------------------------------------

SCENES: dict[str, tuple[dict[str, str], set[str]]] = {
    # series, a value a minute for an hour; and the alerts that fire then
    "well": ({"stellarstream_lag_seconds": "5x60", "stellarstream_gaps": "0x60"}, set()),
    "a lag": ({"stellarstream_lag_seconds": "600x60"}, {"StellarStreamLag"}),
    "a gap": ({"stellarstream_gaps": "1x60"}, {"StellarStreamGaps"}),
    "a gap that is being filled": ({"stellarstream_gaps": "0x40 1x20"}, set()),
    "a conflict": ({"stellarstream_event_conflicts": "0x55 1x5"}, {"StellarStreamConflict"}),
    "little time": (
        {'stellarstream_retention_margin_ratio{source="rpc"}': "0.05x60"},
        {"StellarStreamRetentionMargin"},
    ),
    "one source of two": (
        {'stellarstream_source_up{source="a"}': "0x60", 'stellarstream_source_up{source="b"}': "1x60"},
        {"StellarStreamSourceDown"},
    ),
    "no source": (
        {'stellarstream_source_up{source="a"}': "0x60"},
        {"StellarStreamSourceDown", "StellarStreamNoSource"},
    ),
    "a projection that is built anew": (
        {
            'stellarstream_projection_lag_commits{projection="n"}': "900x60",
            'stellarstream_projection_rebuilding{projection="n"}': "1x60",
            'stellarstream_projection_up{projection="n"}': "1x60",
        },
        set(),
    ),
    "a projection that stopped": (
        {
            'stellarstream_projection_lag_commits{projection="n"}': "900x60",
            'stellarstream_projection_rebuilding{projection="n"}': "0x60",
            'stellarstream_projection_up{projection="n"}': "0x60",
        },
        {"StellarStreamProjectionStopped", "StellarStreamProjectionLag"},
    ),
    "the first of a kind": (
        {f'stellarstream_alerts_total{{kind="{kind}"}}': "0x57 1x3" for kind in Kind},
        {
            "StellarStreamCrashLoop",
            "StellarStreamStuck",
            "StellarStreamMemory",
            "StellarStreamCpu",
            "StellarStreamReloadFailed",
            "StellarStreamNotReplaced",
            "StellarStreamSupervisorSilent",
        },
    ),
    "long ago": ({f'stellarstream_alerts_total{{kind="{kind}"}}': "1x60" for kind in Kind}, set()),
    "no database": ({"stellarstream_database_up": "1x50 0x10"}, {"StellarStreamDatabaseDown"}),
    "a database that is busy": (
        {"stellarstream_database_rejections_total": "0x57 3x3"}, {"StellarStreamDatabaseBusy"},
    ),
    "slow answers": (
        {'stellarstream_http_request_seconds_bucket{route="/x",le="1"}': "0+90x60",
         'stellarstream_http_request_seconds_bucket{route="/x",le="2.5"}': "0+100x60",
         'stellarstream_http_request_seconds_bucket{route="/x",le="+Inf"}': "0+100x60"},
        {"StellarStreamSlow"},
    ),
    "live streams, which last": (
        {'stellarstream_http_request_seconds_bucket{route="/x/live",le="1"}': "0x60",
         'stellarstream_http_request_seconds_bucket{route="/x/live",le="+Inf"}': "0+100x60"},
        set(),
    ),
    "a broken plugin": ({"stellarstream_plugins_broken": "0x50 1x10"}, {"StellarStreamPluginBroken"}),
    "events of another shape": (
        {'stellarstream_projection_unknown_events{projection="n"}': "4x30 5x30"}, {"StellarStreamUnknownEvents"},
    ),
    "a crash": (
        {'stellarstream_watcher_restarts_total{watcher="api"}': "2x55 3x5"}, {"StellarStreamCrash"},
    ),
    "somebody stopped it": (
        {'stellarstream_watcher_up{watcher="api"}': "0x60",
         'stellarstream_watcher_processes_wanted{watcher="api"}': "2x60"},
        {"StellarStreamStopped"},
    ),
    "nobody looks": ({"stellarstream_health_monitor_up": "1x50 0x10"}, {"StellarStreamMonitorSilent"}),
    "an indexer on another machine": (
        {'stellarstream_watcher_processes_ready{watcher="indexer"}': "0x60",
         'stellarstream_watcher_processes_wanted{watcher="indexer"}': "1x60",
         'stellarstream_watcher_processes_standby{watcher="indexer"}': "1x60"},
        set(),
    ),
    "no indexer wanted": (
        {'stellarstream_watcher_processes_ready{watcher="indexer"}': "0x60",
         'stellarstream_watcher_processes_wanted{watcher="indexer"}': "0x60",
         'stellarstream_watcher_up{watcher="indexer"}': "0x60"},
        set(),
    ),
    "no indexer": (
        {'stellarstream_watcher_processes_ready{watcher="indexer"}': "0x60",
         'stellarstream_watcher_processes_wanted{watcher="indexer"}': "1x60"},
        {"StellarStreamNoIndexer"},
    ),
    "a worker short": (
        {'stellarstream_watcher_processes_ready{watcher="api"}': "1x60",
         'stellarstream_watcher_processes_wanted{watcher="api"}': "2x60"},
        {"StellarStreamWorkersMissing"},
    ),
    "a crash loop that goes on": (
        {'stellarstream_watcher_backoff_seconds{watcher="indexer"}': "100x60"},
        {"StellarStreamCrashLoop"},
    ),
    "memory near the limit": (
        {'stellarstream_process_memory_bytes{watcher="api",pid="7"}': "480x60",
         'stellarstream_process_memory_bytes{watcher="api",pid="8"}': "80x60",
         'stellarstream_process_memory_bytes{watcher="indexer",pid="9"}': "80x60",
         'stellarstream_watcher_memory_limit_bytes{watcher="indexer"}': "300x60",
         'stellarstream_watcher_memory_limit_bytes{watcher="api"}': "500x60"},
        {"StellarStreamMemoryHigh"},
    ),
    "faults": (
        {'stellarstream_http_requests_total{status="500",route="/x"}': "0+5x60",
         'stellarstream_http_requests_total{status="200",route="/x"}': "0+100x60"},
        {"StellarStreamErrors"},
    ),
    "payments": (
        {'stellarstream_invoice_payments{outcome="unverified"}': "0x30 1x30",
         'stellarstream_invoice_payments{outcome="underpaid"}': "2x30 3x30",
         'stellarstream_invoice_payments{outcome="completed"}': "0+1x60"},
        {"StellarStreamInvoiceUnverified", "StellarStreamInvoicePayments"},
    ),
    "nobody": ({"stellarstream_build_info": "_x60"}, {"StellarStreamDown"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def promtool() -> Callable[..., str]:
    """Return a function that runs promtool and returns what it said; it fails where promtool finds fault."""
    program = os.environ.get("STELLARSTREAM_TEST_PROMTOOL") or shutil.which("promtool")
    if program is None:
        missing("promtool is not installed, and STELLARSTREAM_TEST_PROMTOOL names none")

    def run(*command: str | Path) -> str:
        done = subprocess.run([program, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_alert_fires_in_a_scene():
    assert {alert for _, firing in SCENES.values() for alert in firing} == {rule["alert"] for rule in RULES}


def test_prometheus_takes_the_rules(promtool):
    assert f"{len(RULES)} rules found" in promtool("check", "rules", GRAFANA / "alerts.yml")


def test_alerts_fire_when_they_should_and_not_before(promtool, tmp_path):
    tests = []
    for name, (series, firing) in SCENES.items():
        told = series if "build_info" in "".join(series) else {**series, "stellarstream_build_info": "1x60"}
        tests.append(
            {
                "name": name,
                "interval": "1m",
                "input_series": [{"series": one, "values": values} for one, values in told.items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0',
                        "eval_time": "59m",
                        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(firing)],
                    }
                ],
            }
        )
    path = tmp_path / "alerts_test.yml"
    rules = str(GRAFANA / "alerts.yml")
    path.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", path)
