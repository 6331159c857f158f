"""What the command does at its edges: closed pipes, terminals, logs, signals."""

from __future__ import annotations

import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stellarstream_core.cli.logs import log_through
from stellarstream_core.cli.progress import Bar, PlainLines
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Unserved

COMMAND = [sys.executable, "-m", "stellarstream_core.cli"]


@pytest.fixture
def env(node, tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    return {**clean, "STELLARSTREAM_NETWORK": "sandbox", "STELLARSTREAM_RPC_URL": node.url}


def shell(script: str, env, tmp_path) -> subprocess.CompletedProcess:
    program = " ".join(COMMAND)
    return subprocess.run(
        ["bash", "-c", f"S='{program}'; {script}"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_a_reader_that_leaves_changes_no_exit_code_and_says_nothing(env, tmp_path):
    sync = "$S sync --contract '*' --from 2 --json 2>/dev/null | true; echo ${PIPESTATUS[0]}"
    assert shell(sync, env, tmp_path).stdout == "0\n"
    done = shell("$S export events | head -1 >/dev/null; echo ${PIPESTATUS[0]}", env, tmp_path)
    assert (done.stdout, done.stderr) == ("0\n", "")
    gaps = shell("$S gaps --from 1 --to 9 --json | true; echo ${PIPESTATUS[0]}", env, tmp_path)
    assert (gaps.stdout, gaps.stderr) == ("3\n", "")


def test_a_sync_goes_on_when_nobody_watches_its_progress_any_more(env, tmp_path):
    done = shell(
        "{ $S sync --contract '*' --from 2 --json >out.json; echo $? >code; } 2>&1 | true; cat code", env, tmp_path
    )
    assert done.stdout == "0\n"


def test_words_of_a_node_that_look_like_markup_are_printed_as_they_are(capfd):
    item = Unserved(LedgerRange(1, 2), Scope(("*",)), Reason.MISBEHAVED, "bad [startLedger] in [/params/0]")
    with Bar() as bar:
        bar.unserved(item)
    PlainLines().unserved(item)
    assert capfd.readouterr().err.replace("\n", "").count("bad [startLedger] in [/params/0]") == 2


def test_the_log_is_what_it_was_after_the_bar(capsys):
    from loguru import logger

    from stellarstream_core.cli.logs import configure_logging

    configure_logging("debug")
    lines: list[str] = []
    with log_through(lines.append):
        logger.debug("inside")
    logger.debug("after")
    assert "inside" in lines[0]
    assert "after" in capsys.readouterr().err


def test_no_help_shows_a_backslash(invoke):
    for command in (
        "",
        "sync",
        "gaps",
        "status",
        "export",
        "migrate",
        "plugins",
        "doctor",
        "config",
        "sandbox",
        "demo",
    ):
        assert "\\" not in invoke(*filter(None, [command]), "--help").out


def test_on_a_terminal_a_bar_is_drawn_and_stdout_holds_only_the_result(env, tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "sync", "--contract", "*", "--from", "2", "--json"],
        env={**env, "TERM": "xterm", "COLUMNS": "120"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    out = process.communicate()[0]
    os.close(ours)
    assert process.returncode == 0
    assert out.startswith(b"{")
    assert out.count(b"\n") == 1
    assert re.search(rb"sync 2\.\.", shown)


def heeds_signals(process: subprocess.Popen) -> bool:
    """Tell whether a process has a handler of its own for SIGTERM."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> signal.SIGTERM - 1 & 1)


def test_a_signal_is_obeyed_while_another_process_holds_the_database(env, tmp_path):
    """One process for each signal; both hang as long as they may."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    assert (
        subprocess.run([*COMMAND, "migrate"], env=env, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    )
    connection = sqlite3.connect(tmp_path / "stellarstream.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    command = [*COMMAND, "sync", "--contract", "*", "--from", "2"]
    processes = [subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in numbers]
    if sys.platform == "linux":
        deadline = time.monotonic() + 30
        while not all(map(heeds_signals, processes)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    time.sleep(1)
    began = time.monotonic()
    for process, number in zip(processes, numbers, strict=True):
        process.send_signal(number)
    for process in processes:
        process.communicate(timeout=10)
        assert time.monotonic() - began < 5.5
        assert process.returncode in (2, 3)
    connection.close()


def installed(tmp_path, name: str, code: str) -> str:
    """Install a third party's plugin of one module into a folder of its own; return the folder."""
    site = tmp_path / "site"
    (site / f"{name}-1.dist-info").mkdir(parents=True)
    (site / f"{name}-1.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (site / f"{name}-1.dist-info" / "entry_points.txt").write_text(f"[stellarstream]\n{name} = {name}\n")
    (site / f"{name}.py").write_text(code)
    return str(site)


def called(env, tmp_path, site: str, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *args], env={**env, "PYTHONPATH": site}, cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_secrets_in_variables_are_not_in_the_traceback_of_a_broken_plugin(tmp_path, env):
    site = installed(tmp_path, "leaky", "key = 'SUPER-' + 'SECRET'\nraise RuntimeError('no') if key else None\n")
    done = called(env, tmp_path, site, "--help")
    assert done.returncode == 0
    assert "leaky" in done.stderr
    assert "SUPER-SECRET" not in done.stderr


def test_a_plugin_command_that_cannot_be_imported_is_refused_with_a_sentence(tmp_path, env):
    code = (
        "from stellarstream_core.hookspecs import CommandSpec, hookimpl\n"
        "@hookimpl\n"
        "def register_commands():\n"
        "    return [CommandSpec('limp', 'no_such_module:limp', 'Limp.')]\n"
    )
    done = called(env, tmp_path, installed(tmp_path, "lame", code), "limp")
    assert done.returncode == 2
    assert "'limp' cannot be loaded" in done.stderr


def test_output_that_cannot_be_written_is_told_with_a_sentence(env, tmp_path):
    done = shell("$S plugins >/dev/full; echo $?", env, tmp_path)
    assert "No space left" in done.stderr
    assert done.stdout == "2\n"
    assert "Unexpected" not in done.stderr
