"""A setting that is wrong hides no service: what runs is seen, ended and read about, what does not start says why."""

# ruff: noqa: F811 - fixtures of another folder are imported
from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from stellarstream_core.ops.lenient import read_leniently
from tests.cli.conftest import invoke  # noqa: F401 - a fixture
from tests.ops.kit import Cluster, clean_environment, living, until
from tests.ops.test_up_down import processes_of

WRONG = "no_such_setting = 1\n"
SAID = "Bad setting, passed over: no_such_setting: there is no such setting. "


@pytest.fixture
def service() -> Iterator[Cluster]:
    made = Cluster(stand_in=True, workers=1, NETWORK="sandbox")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_service_with_a_setting_that_is_wrong_is_seen_steered_and_ended(service):
    (service.home / "stellarstream.toml").write_text(WRONG + "[plugins.nobody]\nx = 1\n")
    status = service.stellarstream("cluster", "status")
    assert (status.returncode, "api (active, 1 of 1 ready)" in status.stdout) == (0, True), status.stderr
    assert status.stderr.startswith(SAID)
    assert status.stderr.count("\n") == 1
    ctl = service.stellarstream("cluster", "ctl", "numprocesses", "api")
    assert (ctl.returncode, ctl.stdout.strip(), ctl.stderr.startswith(SAID)) == (0, "1", True)
    up = service.stellarstream("up")
    assert (up.returncode, "no_such_setting: there is no such setting" in up.stderr) == (2, True)
    (service.log_dir / "api.log").write_text("2026-01-31T13:05:09.123456Z INFO    api[7] a line\n")
    logs = service.stellarstream("logs", "api")
    assert (logs.returncode, "a line" in logs.stdout, logs.stderr.startswith(SAID)) == (0, True, True)
    processes = processes_of(service.process.pid)
    down = service.stellarstream("down")
    assert (down.returncode, down.stdout) == (0, "Ended.\n"), down.stderr
    service.process.wait(5)
    until(lambda: not living(processes), 1)


@pytest.mark.parametrize("command", [["down"], ["cluster", "status"]])
@pytest.mark.parametrize("text", ["run_dir = 5", "this is not TOML"])
def test_where_the_run_folder_itself_is_unknown_that_is_said(invoke, tmp_path, text, command):
    (tmp_path / "stellarstream.toml").write_text(text)
    outcome = invoke(*command)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Bad setting: ")
    outcome = invoke(*command, RUN_DIR=str(tmp_path / "run"))  # the environment's is the one that counts
    assert "un folder" in outcome.out or "No circusd runs" in outcome.err
    assert ("Bad setting, passed over: " in outcome.err) == (text != "run_dir = 5")


def test_settings_that_are_right_hold_though_others_are_wrong(tmp_path, monkeypatch):
    for name in [name for name in clean_environment() if name.startswith("STELLARSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stellarstream.toml").write_text(
        'network = "mine"\nnetwork_passphrase = "Mine"\nlog_dir = "there"\nlog_rotate_mb = "much"\nrate_limit = "x"\n'
    )
    monkeypatch.setenv("STELLARSTREAM_HEALTH_SECONDS", "7")
    monkeypatch.setenv("STELLARSTREAM_NO_SUCH", "1")
    read = read_leniently()
    assert (read.settings.passphrase, str(read.settings.log_dir), read.settings.health_seconds) == ("Mine", "there", 7)
    assert (read.settings.log_rotate_mb, read.settings.rate_limit) == (100, "600/minute")
    assert read.passed_over == {"log_rotate_mb", "rate_limit"}
    assert "log_rotate_mb" in read.warning
    assert "no_such" in read.warning
    assert "\n" not in read.warning
    (tmp_path / "stellarstream.toml").write_text("")
    monkeypatch.delenv("STELLARSTREAM_NO_SUCH")
    assert (read_leniently().fault, read_leniently().warning) == (None, None)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["sync", "--no-such-option"]])
def test_a_process_of_the_service_logs_that_it_ends_for_a_wrong_setting(tmp_path, command, form):
    (tmp_path / "stellarstream.toml").write_text(f'{WRONG}log_dir = "mine"\nlog_format = "{form}"\n')
    variables = {"STELLARSTREAM_SUPERVISED": "1", "STELLARSTREAM_ROLE": "api"}
    done = subprocess.run(
        [sys.executable, "-m", "stellarstream_core.cli", *command],
        env=clean_environment() | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    why = "no_such_setting: there is no such setting" if command[0] == "serve" else "No such option"
    logged = (tmp_path / "mine" / "api.log").read_text()
    assert (done.returncode, why in logged, why in done.stderr) == (2, True, True), logged + done.stderr
    assert logged.startswith('{"time"') == (form == "json")
    assert logged.count("\n") == 1


def test_the_health_monitor_keeps_the_settings_that_are_right_and_logs_which_is_wrong(tmp_path):
    (tmp_path / "stellarstream.toml").write_text(f'{WRONG}log_dir = "mine"\napi_memory_mb = 700\n')
    script = "from stellarstream_core.ops.health import _settings; print(_settings().api_memory_mb)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment() | {"STELLARSTREAM_ROLE": "health"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "700\n"
    assert "no_such_setting: there is no such setting" in (tmp_path / "mine" / "health.log").read_text()
