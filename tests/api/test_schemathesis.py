"""Nothing that the description allows or forbids leads to a 5xx, nor to an answer that it does not name.

``STELLARSTREAM_TEST_FUZZ_SECONDS`` is how long each run looks for more than the suite has time for,
with another seed each time; a failure prints the seed and a request that shows it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest

from tests.api.kit import A, Running
from tests.paths import ROOT

SECONDS = int(os.environ.get("STELLARSTREAM_TEST_FUZZ_SECONDS", "0"))
ENDLESS = "/api/v1/events/live"
PLUGINS = "orders"

CONFIG = """
hooks = "tests.api.schemathesis_checks"

[output.truncation]
max-payload-size = 400

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "413", "415", "417", "422", "431"]

# checksums, cursors and logins are more than a schema can say
[checks.positive_data_acceptance]
enabled = false
"""

pytestmark = pytest.mark.timeout(60 + 2 * SECONDS)


def attack(api: Running, folder, *options: str, examples: int) -> dict:
    """Run schemathesis over the API; return its report. Fails with what it found."""
    config, report = folder / "schemathesis.toml", folder / "report.json"
    config.write_text(CONFIG)
    seed = random.randrange(2**32) if SECONDS else 4
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{api.url}/openapi.json"]
    command += ["--url", api.url, "--exclude-path", ENDLESS, "--seed", str(seed)]
    command += ["--report", "json", "--report-json-path", str(report), "--max-examples", str(examples)]
    command += (
        ["--max-time", str(SECONDS), "--generation-database", "none"] if SECONDS else ["--generation-deterministic"]
    )
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=ROOT)
    shown = "\n".join(line[:800] for line in done.stdout.splitlines())
    assert done.returncode == 0, f"{shown}\n{done.stderr}"
    return json.loads(report.read_text())


@pytest.mark.parametrize(
    ("dialect", "phases"), [("sqlite", "examples,coverage,fuzzing,stateful"), ("postgresql", "fuzzing")]
)
def test_whoever_asks_gets_what_is_described(running, tmp_path, dialect, phases):
    report = attack(running(dialect), tmp_path, "--exclude-tag", PLUGINS, "--phases", phases, examples=12)
    assert report["operations"]["tested"] >= 10
    assert report["test_cases"]["generated"] > 50


def test_who_may_write_gets_what_is_described(running, tmp_path):
    api = running()
    header = f"X-API-Key: {api.key()}"
    options = ("--header", header, "--generation-with-security-parameters", "false", "--include-tag", PLUGINS)
    report = attack(api, tmp_path, *options, "--phases", "coverage,fuzzing", examples=25)
    assert report["operations"]["tested"] == 5
    assert report["test_cases"]["generated"] > 300


def test_who_may_not_write_gets_what_is_described(running, tmp_path):
    api = running()
    options = ("--header", f"X-API-Key: {api.key('read')}", "--include-tag", PLUGINS, "--exclude-method", "GET")
    attack(api, tmp_path, *options, "--phases", "fuzzing", examples=5)


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("since=x", (), 400, "malformed-position"),
        ("", ("Last-Event-ID: x",), 400, "malformed-position"),
        ("contract=C", (), 400, "invalid-parameter"),
        ("topic=!", (), 400, "invalid-parameter"),
        ("limit=5", (), 400, "invalid-parameter"),
        ("since=" + "x" * 5000, (), 400, "invalid-parameter"),
        ("", ("Accept: application/json",), 406, "not-acceptable"),
        ("", ("X-API-Key: x",), 401, "api-key-malformed"),
        (f"contract={A}&since=%00", (), 400, "invalid-parameter"),
    ],
)
def test_a_live_stream_that_is_refused_says_why_as_it_is_described(running, query, headers, status, code):
    api = running()
    description = api.get("/openapi.json").json["paths"][ENDLESS]["get"]
    said = api.get(f"{ENDLESS}?{query}", *headers)
    assert (said.status, said.code) == (status, code)
    assert f"[{code}]" in description["responses"][str(status)]["description"]
