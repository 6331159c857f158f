"""Bad input: one clear sentence with what to do, exit code 2, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

GOOD = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"
BAD_CHECKSUM = GOOD[:-1] + "B"
ACCOUNT = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens


def assert_sentence(outcome, *said: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert 1 <= len(outcome.err.strip().splitlines()) <= 4, outcome.err
    for text in said:
        assert text in outcome.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["sync", "--contract", BAD_CHECKSUM, "--from", "1"], "checksum"),
        (["sync", "--contract", ACCOUNT, "--from", "1"], "begin with C"),
        (["sync", "--contract", "hello", "--from", "1"], "not a strkey"),
        (["sync", "--contract", "ünïcode", "--from", "1"], "not a strkey"),
        (["sync", "--contract", "", "--from", "1"], "not a strkey"),
        (["sync", "--from", "1"], "--contract"),
        (["sync", "--contract", GOOD, "--from", "20", "--to", "10"], "comes after"),
        (["sync", "--contract", GOOD, "--from", "0"], "is not a ledger"),
        (["sync", "--contract", GOOD, "--from", "x"], "is not a ledger"),
        (["sync", "--contract", GOOD, "--to", "-3"], "is not a ledger"),
        (["sync", "--contract", GOOD, "--from", "99999999999"], "is not a ledger"),
        (["sync", "--contract", GOOD, "--source", "sorobon-rpc"], "Did you mean 'soroban-rpc'?"),
        (["sync", "--contract", GOOD, "--workers", "0"], "0"),
        (["sync", "--contract", GOOD, "--database", "mysql://x/y"], "mysql"),
        (["sync", "--contract", GOOD, "--database", "nonsense"], "not a URL"),
        (["sync", "--contract", GOOD, "--database", "sqlite:////proc/nothing/x.db"], "/proc/nothing"),
        (["sync", "--contract", GOOD, "--database", "postgresql://127.0.0.1:9/none"], "127.0.0.1"),
        (["sync", "--frmo", "1"], "--from"),
        (["snyc"], "Did you mean 'sync'?"),
        (["gaps"], "empty"),
        (["status"], "empty"),
        (["export", "events"], "empty"),
        (["export", "event"], "events"),
        (["export", "events", "--format", "xml"], "jsonl"),
        (["--config", "absent.toml", "status"], "absent.toml"),
        (["gaps", "--from", "9", "--to", "3"], ""),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_with_a_sentence(invoke, args, said):
    assert_sentence(invoke(*args, RPC_URL=NOWHERE), said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('rcp_url = "x"', "Did you mean 'rpc_url'?"),
        ("[plugins.soroban-rcp]\nx = 1", "Did you mean 'plugins.soroban-rpc'?"),
        ("[plugins.soroban-rpc]\nno_such_key_here = 1", "plugins.soroban-rpc.no_such_key_here"),
        ('allowed_plugins = ["sqll"]', "Did you mean 'sql'?"),
        ('network = "mainet"', "network_passphrase"),
        ("start_ledger = -5", "start_ledger"),
        ('contracts = "C1"', "contracts"),
    ],
)
@pytest.mark.parametrize("command", [["config", "check"], ["sync", "--contract", GOOD], ["status"]])
def test_a_bad_setting_is_refused_by_every_command(invoke, tmp_path, text, said, command):
    (tmp_path / "stellarstream.toml").write_text(text)
    assert_sentence(invoke(*command), said)


def test_help_is_shown_even_where_the_settings_are_bad(invoke, tmp_path):
    (tmp_path / "stellarstream.toml").write_text("nonsense = 1")
    outcome = invoke("--help")
    assert outcome.code == 0
    assert "sync" in outcome.out


def test_a_database_that_cannot_be_written_is_named(invoke, tmp_path):
    (tmp_path / "not-a.db").write_bytes(b"this is no database, but it is long enough to look like something" * 20)
    assert_sentence(
        invoke("sync", "--contract", GOOD, "--from", "1", DATABASE_URL="sqlite:///not-a.db", RPC_URL=NOWHERE),
        "not-a.db",
    )
    assert_sentence(
        invoke(
            "sync",
            "--contract",
            GOOD,
            "--from",
            "1",
            DATABASE_URL=f"sqlite:///{tmp_path}",
            RPC_URL=NOWHERE,
            PLUGINS__SOROBAN_RPC__MAX_RETRIES="1",
        )
    )


def test_a_password_in_the_database_url_is_never_printed(invoke):
    outcome = invoke("sync", "--contract", GOOD, "--from", "1", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:9/none")
    assert_sentence(outcome)
    assert "hunter2" not in outcome.err
    assert "hunter2" not in invoke("config", "show").out


def test_a_key_in_a_source_url_is_never_printed(invoke):
    outcome = invoke(
        "sync",
        "--contract",
        GOOD,
        "--from",
        "1",
        "--to",
        "2",
        RPC_URL="http://127.0.0.1:9/v1/hunter2?key=hunter3",
        PLUGINS__SOROBAN_RPC__MAX_RETRIES="1",
    )
    assert outcome.code == 3
    shown = outcome.out + outcome.err + invoke("config", "show").out + invoke("doctor").out
    assert "hunter" not in shown
    assert "127.0.0.1:9" in shown


def test_a_source_that_is_down_is_a_gap_where_the_range_is_definite_and_an_error_otherwise(invoke):
    outcome = invoke(
        "sync",
        "--contract",
        GOOD,
        "--from",
        "5",
        "--to",
        "9",
        "--json",
        RPC_URL=NOWHERE,
        PLUGINS__SOROBAN_RPC__MAX_RETRIES="1",
    )
    assert outcome.code == 3
    assert [(g["from"], g["to"], g["reason"]) for g in outcome.json["gaps"]] == [(5, 9, "unavailable")]
    outcome = invoke("sync", "--contract", GOOD, "--from", "-10")
    assert outcome.code == 3
    assert "127.0.0.1:9" in outcome.err
    assert "Traceback" not in outcome.err


def test_the_help_answers_in_half_a_second():
    command = [sys.executable, "-X", "importtime", "-m", "stellarstream_core.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"})
    heavy = ("aiohttp", "peewee", "stellar_sdk", "psycopg", "rich", "asyncio")
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert not imported.intersection(heavy)
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "stellarstream_core.cli", "--help"], capture_output=True, check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.5, "processor seconds, so that a busy machine does not fail it"
