"""``stellarstream logs``, and which process writes what into which file."""

# ruff: noqa: F811 - fixtures of another folder are imported
from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from stellarstream_core.ops.log_lines import text_of, utc
from stellarstream_core.settings import Settings
from tests.cli.conftest import invoke, node  # noqa: F401 - fixtures
from tests.ops.log_kit import until, writers
from tests.paths import ROOT

COMMAND = [sys.executable, "-m", "stellarstream_core.cli"]
BEGIN = 1_780_000_000.0


def line(seconds: float, message: str, role: str = "api", level: str = "INFO") -> str:
    return text_of(utc(BEGIN + seconds), level, role, "7", message).decode()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


@pytest.fixture
def env(folder):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    settings = {
        "LOG_DIR": str(folder),
        "NETWORK": "sandbox",
        "RPC_URL": "http://127.0.0.1:9",
        "RATE_LIMIT": "off",
        "SECRET_KEY": "not-in-the-log-" * 4,
    }
    return {**clean, "PYTHONPATH": str(ROOT), **{f"STELLARSTREAM_{name}": value for name, value in settings.items()}}


def heed_interrupts() -> None:
    """Let Ctrl-C end what is started, as from a terminal: a shell lets its background commands ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(env, tmp_path):
    """Return a function that starts a command, with its output in files of its name; it ends with the test."""
    running = []

    def begin(*args: str, **more: str) -> subprocess.Popen:
        settings = {name if name == "PYTHONPATH" else f"STELLARSTREAM_{name}": value for name, value in more.items()}
        out, err = (tmp_path / f"{args[0]}.{kind}" for kind in ("out", "err"))
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(
                [*COMMAND, *args],
                env={**env, **settings},
                cwd=tmp_path,
                stdout=stdout,
                stderr=stderr,
                preexec_fn=heed_interrupts,  # noqa: PLW1509 - it takes no lock
            )
        process.out, process.err = out, err
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def served(start, *args: str, **settings: str) -> tuple[subprocess.Popen, str]:
    serving = start("serve", "--port", "0", *args, **settings)
    until(lambda: "Serving" in serving.out.read_text() or serving.poll() is not None, 40)
    return serving, re.search(r"Serving (http://\S+)", serving.out.read_text())[1]


def ask(address: str, request_id: str) -> None:
    request = urllib.request.Request(f"{address}/healthz/live", headers={"X-Request-ID": request_id})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


# --- reading --------------------------------------------------------------------------------------


def test_without_a_folder_it_says_what_to_set(invoke):
    outcome = invoke("logs")
    assert outcome.code == 2
    assert "'log_dir' is not set" in outcome.err
    assert "STELLARSTREAM_LOG_DIR" in outcome.err


def test_a_folder_that_is_not_there_or_empty_is_told(invoke, tmp_path):
    outcome = invoke("logs", LOG_DIR=str(tmp_path / "nowhere"))
    assert (outcome.code, "is not there" in outcome.err) == (2, True)
    (tmp_path / "empty").mkdir()
    outcome = invoke("logs", LOG_DIR=str(tmp_path / "empty"))
    assert (outcome.code, "There are no log files" in outcome.err) == (2, True)
    (tmp_path / "file").write_text("")
    outcome = invoke("logs", LOG_DIR=str(tmp_path / "file"))
    assert (outcome.code, "Not a directory" in outcome.err) == (2, True)


def test_it_shows_the_last_lines_of_one_role_or_of_all(invoke, folder):
    (folder / "api.log").write_text("".join(line(number, f"api {number}") for number in range(0, 200, 2)))
    (folder / "indexer.log").write_text("".join(line(n, f"indexer {n}", "indexer") for n in range(1, 200, 2)))
    settings = {"LOG_DIR": str(folder)}
    assert len(invoke("logs", **settings).out.splitlines()) == 50
    outcome = invoke("logs", "--lines", "4", **settings)
    assert [text.rpartition("] ")[2] for text in outcome.out.splitlines()] == [
        "api 196",
        "indexer 197",
        "api 198",
        "indexer 199",
    ]
    assert (outcome.code, outcome.err) == (0, "")
    assert invoke("logs", "indexer", "-n", "1", **settings).out == line(199, "indexer 199", "indexer")
    assert invoke("logs", "indexer", "api", "-n", "1", **settings).out == line(199, "indexer 199", "indexer")
    assert invoke("logs", "-n", "0", **settings).out == ""
    outcome = invoke("logs", "worker", **settings)
    assert (outcome.code, "There are logs of: api, indexer." in outcome.err) == (2, True)


CIRCUSD = """\
Serving before anything has a date
2026-05-29 00:26:40 circus[7] [INFO] Starting master on pid 7
Serving http://127.0.0.1:3000
Traceback (most recent call last):
  raise
2026-05-29 00:28:20 circus[7] [INFO] api reloaded
17:52:03 ERROR   out of a process
"""


@pytest.fixture
def in_another_zone(monkeypatch):
    """The clock on the wall is four hours behind UTC."""
    monkeypatch.setenv("TZ", "XXX4")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_log_of_circusd_is_merged_by_its_own_times(invoke, folder, in_another_zone):
    assert utc(BEGIN) == "2026-05-28T20:26:40.000000Z"
    (folder / "circusd.log").write_text(CIRCUSD.replace("2026-05-29 00:", "2026-05-28 16:"))
    (folder / "api.log").write_text(line(-1, "before") + line(50, "between") + line(200, "after"))
    settings = {"LOG_DIR": str(folder)}
    words = ["anything", "before", "master", "Serving", "Traceback", "  raise", "between", "reloaded", "out", "after"]
    shown = invoke("logs", **settings).out.splitlines()
    assert [word in text for word, text in zip(words, shown, strict=True)] == [True] * 10
    shown = invoke("logs", "--lines", "4", **settings).out.splitlines()
    assert [word in text for word, text in zip(words[-4:], shown, strict=True)] == [True] * 4
    shown = invoke("logs", "--since", utc(BEGIN + 60), **settings).out.splitlines()
    assert [word in text for word, text in zip(words[-3:], shown, strict=True)] == [True] * 3
    told = json.loads(invoke("logs", "circusd", "-n", "1", "--json", **settings).out)
    assert told == {"time": utc(BEGIN + 100), "role": "circusd", "message": "17:52:03 ERROR   out of a process"}


def test_of_a_long_log_of_circusd_the_last_lines_are_read_with_their_times(invoke, folder):
    dated = "2026-05-28 20:26:40 circus[7] [INFO] here\n"
    (folder / "circusd.log").write_text(dated * 3000 + "no date\n" * 20_000)
    shown = invoke("logs", "-n", "20002", LOG_DIR=str(folder)).out.splitlines()
    assert (len(shown), shown[:3]) == (20_002, [dated.strip(), dated.strip(), "no date"])
    told = json.loads(invoke("logs", "-n", "1", "--json", LOG_DIR=str(folder)).out)
    assert told["time"] is not None


def test_since_shows_all_from_a_time_on(invoke, folder):
    (folder / "api.log").write_text("".join(line(number, f"line {number}") for number in range(200)))
    settings = {"LOG_DIR": str(folder)}
    at = utc(BEGIN + 100)
    assert len(invoke("logs", "--since", at, **settings).out.splitlines()) == 100
    assert len(invoke("logs", "--since", at.removesuffix("Z"), **settings).out.splitlines()) == 100
    assert len(invoke("logs", "--since", at, "--lines", "3", **settings).out.splitlines()) == 3
    assert len(invoke("logs", "--since", "99999d", **settings).out.splitlines()) == 200
    assert invoke("logs", "--since", "10s", **settings).out in ("", *[line(199, "line 199")])
    outcome = invoke("logs", "--since", "yesterday", **settings)
    assert (outcome.code, "neither like 30s" in outcome.err) == (2, True)


def test_either_form_is_shown_as_text_or_as_json(invoke, folder):
    fields = {"time": utc(BEGIN + 1), "level": "ERROR", "role": "api", "worker": 9, "message": "two\nlines", "x": 1}
    (folder / "api.log").write_text(line(0, "text") + json.dumps(fields, separators=(",", ":")) + "\n")
    text = invoke("logs", LOG_DIR=str(folder)).out
    assert text == line(0, "text") + f"{utc(BEGIN + 1)} ERROR   api[9] two\n    lines\n"
    first, second = map(json.loads, invoke("logs", "--json", LOG_DIR=str(folder)).out.splitlines())
    assert first == {"time": utc(BEGIN), "level": "INFO", "role": "api", "worker": 7, "message": "text"}
    assert second == fields


def test_it_needs_no_database_no_network_and_no_plugins(invoke, folder):
    (folder / "api.log").write_text(line(0, "a line"))
    outcome = invoke("logs", LOG_DIR=str(folder), DATABASE_URL="postgresql://nowhere/x", PLUGINS__NOBODY__KEY="1")
    assert (outcome.code, outcome.out) == (0, line(0, "a line"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_who_may_not_read_them_is_told_whom_they_belong_to(invoke, folder):
    (folder / "api.log").write_text(line(0, "a line"))
    (folder / "api.log").chmod(0)
    outcome = invoke("logs", LOG_DIR=str(folder))
    assert (outcome.code, "private to the service's user" in outcome.err) == (2, True)


def test_a_reader_that_leaves_is_no_error(env, folder, tmp_path):
    (folder / "api.log").write_text("".join(line(number, "x" * 500) for number in range(5_000)))
    script = f"{' '.join(COMMAND)} logs -n 5000 | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_following_shows_every_line_once_across_rotations_until_ctrl_c(start, folder, tmp_path):
    lines = 1_500
    with writers(tmp_path, 30_000) as started:
        started.start(lines)
        started.start(lines)
        until(lambda: [*folder.glob("api__*")])
        following = start("logs", "api", "--follow", "--lines", "1000000")
        until(lambda: following.out.read_text().count("\n") >= 2 * lines, 60)
        started.wait(20)
    following.send_signal(signal.SIGINT)
    assert following.wait(30) == 0
    assert following.err.read_text() == ""
    shown = [re.search(r"\] (w\d) (\d+) ", text).groups() for text in following.out.read_text().splitlines()]
    for name in ("w0", "w1"):
        assert [int(number) for who, number in shown if who == name] == list(range(lines))
    assert len([*folder.glob("api__*")]) >= 5


def test_the_page_names_each_setting_with_its_default_and_tests_that_are_there():
    page = (ROOT / "docs" / "logs.md").read_text()
    for name, field in Settings.model_fields.items():
        if name.startswith("log_"):
            shown = re.search(rf"\| `{name}` \|[^|]*\| (.*?) \|", page)[1].strip("`")
            default = "none: stderr" if field.default is None else str(field.default)
            assert shown.lower() == default.lower()
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "ops").glob("test_log*.py"))
    for name in re.findall(r"`(test_\w+)`", page):
        assert f"def {name}(" in tests


# --- writing --------------------------------------------------------------------------------------


def test_the_api_writes_its_requests_into_its_file_and_only_errors_on_stderr(start, folder):
    serving, address = served(start, LOG_FORMAT="json")
    ask(address, "abc.1")
    serving.terminate()
    assert serving.wait(15) == 0
    records = [json.loads(text) for text in (folder / "api.log").read_text().splitlines()]
    (asked,) = [record for record in records if record.get("request_id") == "abc.1"]
    assert (asked["role"], asked["worker"], asked["level"]) == ("api", serving.pid, "INFO")
    assert (asked["route"], asked["status"]) == ("/healthz/live", 200)
    assert [record["message"] for record in records][-1] == "ended"
    assert serving.err.read_text() == ""
    assert stat.S_IMODE((folder / "api.log").stat().st_mode) == 0o600
    assert "not-in-the-log" not in (folder / "api.log").read_text()


def test_a_supervisor_names_the_role_and_the_level_is_the_one_asked_for(start, folder):
    serving, address = served(start, ROLE="api-2", LOG_LEVEL="warning")
    ask(address, "abc.1")
    serving.terminate()
    assert serving.wait(15) == 0
    assert [path.name for path in folder.iterdir()] == ["api-2.log"]
    text = (folder / "api-2.log").read_text()
    assert "abc.1" not in text
    assert f" WARNING api-2[{serving.pid}] " in text


def test_the_indexer_writes_how_far_it_is_and_with_which_ledger(start, folder, node):
    syncing = start("sync", "--contract", "*", "--from", "2", LOG_FORMAT="json", RPC_URL=node.url)
    assert syncing.wait(60) == 0
    records = [json.loads(text) for text in (folder / "indexer.log").read_text().splitlines()]
    assert {(record["role"], record["worker"]) for record in records} == {("indexer", syncing.pid)}
    assert any("fetching" in record["message"] for record in records)
    debug = start("sync", "--contract", "*", "--from", "2", "--verify", LOG_LEVEL="debug", RPC_URL=node.url)
    assert debug.wait(60) == 0
    node.close_ledgers(3)
    more = start("sync", "--contract", "*", LOG_LEVEL="debug", RPC_URL=node.url)
    assert more.wait(60) == 0
    text = (folder / "indexer.log").read_text()
    assert re.search(rf"DEBUG   indexer\[{more.pid} ledger={node.latest}\] ledgers \d+", text)


def test_a_command_that_somebody_runs_says_on_stderr_what_it_always_said(start, folder, tmp_path):
    site = tmp_path / "site"
    (site / "leaky-1.dist-info").mkdir(parents=True)
    (site / "leaky-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1\n")
    (site / "leaky-1.dist-info" / "entry_points.txt").write_text("[stellarstream]\nleaky = leaky\n")
    (site / "leaky.py").write_text("raise RuntimeError('it does not work')")
    shown = start("plugins", PYTHONPATH=f"{ROOT}:{site}")
    assert shown.wait(30) == 0
    assert "plugin leaky is broken" in shown.err.read_text()
    assert [path.name for path in folder.iterdir()] == ["plugins.log"]
    assert f" WARNING plugins[{shown.pid}] plugin leaky is broken" in (folder / "plugins.log").read_text()


def test_a_service_that_cannot_write_its_log_does_not_start(start, tmp_path):
    (tmp_path / "file").write_text("")
    serving = start("serve", "--port", "0", LOG_DIR=str(tmp_path / "file" / "logs"))
    assert serving.wait(30) == 2
    assert "log_dir: " in serving.err.read_text()
    assert "Not a directory" in serving.err.read_text()


def test_a_bad_role_or_date_is_a_bad_setting(start):
    for name, value in {"ROLE": "../../etc/x", "LOG_DATE_FORMAT": "YYYY/MM/DD", "LOG_ROTATE_MB": "0"}.items():
        wrong = start("config", "check", **{name: value})
        assert wrong.wait(30) == 2
        assert wrong.err.read_text().startswith("Bad setting: ")


def test_a_tracebacks_values_are_not_in_the_file(tmp_path):
    script = """
import sys
from pathlib import Path
from loguru import logger
from stellarstream_core.cli.logs import LogFile, configure_logging
from stellarstream_core.ops.log_files import SharedRotatingFile
configure_logging("info", sys.argv[2], role="api", log_file=LogFile(SharedRotatingFile(Path(sys.argv[1])), True))
key = "SUPER-" + "SECRET"
try:
    {}[key[:0] + "missing"] if key else None
except KeyError as error:
    logger.opt(exception=error).error("it failed")
"""
    for form in ("text", "json"):
        path = tmp_path / form / "api.log"
        done = subprocess.run(
            [sys.executable, "-c", script, path, form], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for text in (path.read_text(), done.stderr):
            assert "it failed" in text
            assert "KeyError" in text
            assert "SUPER-SECRET" not in text
        lines = path.read_text().splitlines()
        assert len(lines) == 1 if form == "json" else all(text.startswith("    ") for text in lines[1:])
