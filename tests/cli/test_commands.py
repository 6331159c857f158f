"""The commands against a sandbox network: what they print, write and return."""

from __future__ import annotations

import csv
import io
import sqlite3
import threading
import time
from contextlib import suppress

import orjson
import pytest

from stellarstream_core.events import parse_event_id
from stellarstream_core.sync import follow, state


@pytest.fixture
def v2(node):
    return node.contracts["streams-v2"]


@pytest.fixture
def synced(on_node, v2):
    outcome = on_node("sync", "--contract", v2, "--from", "10", "--to", "100", "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


def rows(query: str) -> list[tuple]:
    connection = sqlite3.connect("stellarstream.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_sync_stores_and_says_in_one_object_what_it_did(synced):
    assert (synced["from"], synced["to"]) == (10, 100)
    assert synced["covered"] == [[10, 100]]
    assert synced["gaps"] == []
    assert synced["sources"] == {"soroban-rpc": [[10, 100]]}
    assert synced["evidence"] == {"proven": [], "scanned": [[10, 100]]}
    assert synced["events"]["new"] == rows("SELECT count(*) FROM events")[0][0] > 0


def test_a_second_sync_finds_nothing_to_do(synced, on_node, v2):
    outcome = on_node("sync", "--contract", v2, "--from", "10", "--to", "100")
    assert outcome.code == 0
    assert "ledgers 10..100: covered, 0 new events" in outcome.out


def test_sync_goes_on_after_what_is_complete(synced, on_node, node, v2):
    node.close_ledgers(3)
    outcome = on_node("sync", "--contract", v2, "--json")
    assert outcome.code == 0
    assert (outcome.json["from"], outcome.json["to"]) == (101, node.latest)


def test_nothing_but_the_result_is_on_stdout(on_node, v2):
    outcome = on_node("sync", "--contract", v2, "--from", "-50", "--json", "--workers", "3")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 1
    assert "fetching 50 ledgers" in outcome.err


def test_sync_from_the_first_ledgers_a_node_no_longer_has_ends_with_named_gaps(on_node, node, v2):
    node.close_ledgers(400)
    outcome = on_node("sync", "--contract", v2, "--from", "2", "--json")
    assert outcome.code == 3
    (gap,) = outcome.json["gaps"]
    assert gap["reason"] == "out-of-retention"
    assert (gap["from"], outcome.json["covered"][0][1]) == (2, node.latest)
    assert gap["to"] + 1 == outcome.json["covered"][0][0]
    listed = on_node("gaps", "--json")
    assert listed.code == 3
    assert [(g["from"], g["to"]) for g in listed.json["gaps"]] == [(gap["from"], gap["to"])]
    assert f"2..{gap['to']}" in on_node("gaps").out


def test_a_ledger_beyond_the_tip_is_refused_without_follow(on_node, node, v2):
    outcome = on_node("sync", "--contract", v2, "--from", "5", "--to", str(node.latest + 1))
    assert outcome.code == 2
    assert str(node.latest) in outcome.err
    assert "--follow" in outcome.err


def test_follow_waits_for_a_definite_last_ledger(on_node, node, v2, monkeypatch):
    monkeypatch.setattr(follow, "LONGEST_DELAY", 0.2)  # a look each close would be one every five seconds
    latest = node.latest

    def close_once_it_waits() -> None:
        reached, deadline = 0, time.monotonic() + 30
        while reached < latest and time.monotonic() < deadline:
            time.sleep(0.05)
            with suppress(sqlite3.OperationalError):  # the tables are still being made
                reached = rows("SELECT coalesce(max(last_ledger), 0) FROM windows")[0][0]
        time.sleep(0.5)
        node.close_ledgers(4)

    closing = threading.Thread(target=close_once_it_waits)
    closing.start()
    outcome = on_node("sync", "--contract", v2, "--from", "-5", "--to", str(latest + 4), "--follow", "--json")
    closing.join()
    assert outcome.code == 0, outcome.err
    assert outcome.json["to"] == node.latest == latest + 4


def test_another_network_is_refused(on_node, v2):
    outcome = on_node("sync", "--contract", v2, "--from", "-5", NETWORK="testnet")
    assert outcome.code == 2
    assert "StellarStream Sandbox" in outcome.err


def test_gaps_of_a_complete_range_are_none(synced, on_node):
    outcome = on_node("gaps")
    assert outcome.code == 0
    assert "no gaps: ledgers 10..100" in outcome.out
    outside = on_node("gaps", "--from", "5", "--to", "105", "--json")
    assert outside.code == 3
    assert [(g["from"], g["to"], g["reason"]) for g in outside.json["gaps"]] == [
        (5, 9, "not-fetched"),
        (101, 105, "not-fetched"),
    ]


def test_status_tells_watermark_tip_and_lag(synced, on_node, node):
    facts = on_node("status", "--json").json
    assert (facts["startLedger"], facts["watermark"], facts["tip"], facts["lag"]) == (
        10,
        100,
        node.latest,
        node.latest - 100,
    )
    assert facts["gaps"] == []
    assert facts["events"] == synced["events"]["new"]
    text = on_node("status").out
    assert "complete   ledgers 10 to 100" in text
    assert f"{node.latest - 100} ledgers behind" in text


def test_status_names_the_contract_that_holds_the_watermark_back(synced, on_node, node, v2):
    other = node.contracts["streams-v1"]
    on_node("sync", "--contract", other, "--from", "10", "--to", "60")
    facts = on_node("status", "--json").json
    assert (facts["watermark"], facts["heldBackBy"]) == (60, [other])


def test_status_works_while_the_source_is_down(synced, invoke, monkeypatch):
    monkeypatch.setattr(state, "TIP_TIMEOUT_SECONDS", 0.5)
    facts = invoke("status", "--json", NETWORK="sandbox", RPC_URL="http://127.0.0.1:9").json
    assert facts["tip"] is None
    assert "127.0.0.1:9" in facts["sourceTrouble"] or "did not answer" in facts["sourceTrouble"]


def test_export_gives_every_stored_event_once_in_order_with_the_promised_keys(synced, on_node):
    outcome = on_node("export", "events")
    assert outcome.code == 0, outcome.err
    events = [orjson.loads(line) for line in outcome.out.splitlines()]
    assert [e["id"] for e in events] == [id for (id,) in rows("SELECT id FROM events ORDER BY id")]
    for event in events:
        assert list(event) == [
            "id", "type", "ledger", "ledgerClosedAt", "contractId", "txHash", "transactionIndex", "operationIndex",
            "eventIndex", "topic", "value", "decoded",
        ]  # fmt: skip
        place = parse_event_id(event["id"])
        assert (event["ledger"], event["transactionIndex"], event["operationIndex"]) == place[:3]
        assert len(event["decoded"]["topics"]) == len(event["topic"])


def test_export_as_csv_holds_the_same(synced, on_node):
    lines = [orjson.loads(line) for line in on_node("export", "events").out.splitlines()]
    table = list(csv.DictReader(io.StringIO(on_node("export", "events", "--format", "csv").out)))
    assert [row["id"] for row in table] == [line["id"] for line in lines]
    assert [orjson.loads(row["topic"]) for row in table] == [line["topic"] for line in lines]
    assert [orjson.loads(row["decoded"]) for row in table] == [line["decoded"] for line in lines]


def test_export_to_a_file_is_whole_or_absent(synced, on_node, tmp_path):
    assert on_node("export", "events", "-o", "out.jsonl").code == 0
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == synced["events"]["new"]
    refused = on_node("export", "events", "-o", str(tmp_path / "absent" / "out.jsonl"))
    assert refused.code == 2
    assert not list(tmp_path.glob("**/*.part"))


def test_export_of_a_range_with_gaps_names_them(synced, on_node):
    outcome = on_node("export", "events", "--from", "90", "--to", "110")
    assert outcome.code == 3
    assert "101..110" in outcome.err
    assert outcome.out


def test_export_of_one_contract_leaves_out_the_others(synced, on_node, node, v2):
    other = node.contracts["streams-v1"]
    on_node("sync", "--contract", other, "--from", "10", "--to", "100")
    found = [
        orjson.loads(line)["contractId"] for line in on_node("export", "events", "--contract", other).out.splitlines()
    ]
    assert set(found) == {other}
    assert len(on_node("export", "events").out.splitlines()) == synced["events"]["new"] + len(found)


def test_migrate_makes_an_empty_database_ready_and_says_when_there_is_nothing_to_do(invoke):
    checked = invoke("migrate", "--check")
    assert checked.code == 2
    assert "stellarstream migrate" in checked.err
    applied = [line.split("/")[0] for line in invoke("migrate").out.splitlines()]
    assert applied[:6] == ["applied sql"] * 4 + ["applied api"] * 2  # the plugins' tables come after them
    assert "up to date" in invoke("migrate").out
    assert invoke("migrate", "--check").code == 0


def test_migrate_can_begin_a_new_epoch_after_a_restore(synced, invoke):
    before = rows("SELECT epoch, position FROM store")
    done = invoke("migrate", "--new-epoch")
    assert (done.code, done.out.splitlines()[0]) == (0, "the schema is up to date")
    ((epoch, position),) = rows("SELECT epoch, position FROM store")
    assert epoch != before[0][0]
    assert position == before[0][1]
    assert done.out.splitlines()[1] == f"new epoch {epoch}: live readers start again"
    assert invoke("migrate").out == "the schema is up to date\n"
    assert rows("SELECT epoch FROM store") == [(epoch,)]


def test_a_new_epoch_cannot_begin_while_only_checking(synced, invoke):
    before = rows("SELECT epoch FROM store")
    refused = invoke("migrate", "--check", "--new-epoch")
    assert refused.code == 2
    assert "--check changes nothing" in refused.err
    assert rows("SELECT epoch FROM store") == before


def test_a_newer_schema_is_refused_by_every_command(synced, on_node):
    connection = sqlite3.connect("stellarstream.db")
    connection.execute("INSERT INTO sql_migrations (name, applied) VALUES ('9999_from_the_future', '2030-01-01')")
    connection.commit()
    connection.close()
    for command in (
        ["status"],
        ["gaps"],
        ["migrate"],
        ["sync", "--from", "-5", "--contract", "*"],
        ["export", "events"],
    ):
        outcome = on_node(*command)
        assert outcome.code == 2, command
        assert "newer" in outcome.err or "does not know" in outcome.err


def test_plugins_shows_each_with_its_hooks(invoke):
    text = invoke("plugins").out
    assert "soroban-rpc" in text
    assert "register_sources" in text
    listed = {row["name"]: row for row in invoke("plugins", "--json").json["plugins"]}
    assert listed["sql"]["hooks"] == ["register_storages", "register_models"]
    assert listed["sandbox"]["state"] == "active"


def test_doctor_says_that_all_is_well_or_what_to_do(synced, on_node):
    outcome = on_node("doctor")
    assert outcome.code == 0, outcome.out
    assert "ledgers 2 to 121" in outcome.out
    wrong = on_node("doctor", "--json", NETWORK="testnet")
    assert wrong.code == 2
    assert not wrong.json["checks"]["source soroban-rpc"]["ok"]
    assert not wrong.json["checks"]["database"]["ok"]


def test_config_shows_each_value_with_its_origin(on_node, node):
    shown = on_node("config", "show", "--json").json
    assert shown["network"] == {"value": "sandbox", "from": "$STELLARSTREAM_NETWORK"}
    assert shown["rpc_url"]["value"] == [node.url]
    assert shown["plugins.soroban-rpc.page_limit"]["from"] == "default"
    assert on_node("config", "check").code == 0


def test_every_command_has_help_that_says_more_than_its_name(invoke):
    for command in ("sync", "gaps", "status", "export", "migrate", "plugins", "doctor", "config", "sandbox", "demo"):
        outcome = invoke(command, "--help")
        assert outcome.code == 0
        assert len(outcome.out.splitlines()) > 6


def test_an_event_of_every_kind_the_sandbox_makes_can_be_exported(on_node):
    assert on_node("sync", "--contract", "*", "--from", "2").code == 0
    outcome = on_node("export", "events")
    assert outcome.code == 0, outcome.err
    events = [orjson.loads(line) for line in outcome.out.splitlines()]
    assert {event["type"] for event in events} == {"contract", "system"}
    assert any(event["topic"] == [] for event in events)
    assert len({(event["txHash"], event["eventIndex"]) for event in events}) == len(events)
