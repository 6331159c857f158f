"""``stellarstream keys``: what is printed where, and what never is."""

from __future__ import annotations

import re
import time
from hashlib import sha256
from pathlib import Path

import pytest
from stellar_sdk import Keypair

ACCOUNT = Keypair.random().public_key
CONTRACT = "CDLZFC3SYJYDZT7K67VZ75HPJVIEUVNIXF47ZG2FB2RMQQVU2HHGCYSC"


@pytest.fixture
def create(invoke):
    def call(*args: str):
        outcome = invoke("keys", "create", "--account", ACCOUNT, *args)
        assert outcome.code == 0, outcome.err
        return outcome

    return call


def test_a_new_key_is_the_only_thing_on_stdout(create):
    outcome = create("--name", "price bot")
    assert re.fullmatch(r"ss_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}\n", outcome.out)
    assert "only time the key is shown" in outcome.err
    assert "price bot" in outcome.err
    assert outcome.out.strip() not in outcome.err


def test_a_new_key_as_json(create):
    outcome = create("--scope", "write", "--scope", "read", "--expires-in", "30", "--json")
    made = outcome.json
    assert made["key"].startswith(f"ss_{made['id']}_")
    assert (made["account"], made["scopes"], made["state"]) == (ACCOUNT, ["read", "write"], "active")
    assert (made["revokedAt"], made["lastUsedAt"]) == (None, None)
    days = time.mktime(time.strptime(made["expiresAt"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(
        time.strptime(made["createdAt"], "%Y-%m-%dT%H:%M:%SZ")
    )
    assert days == 30 * 86_400
    assert "only time" in outcome.err


def test_a_key_reads_unless_told_otherwise(create):
    assert create("--json").json["scopes"] == ["read"]


def test_a_key_for_a_contract(invoke):
    assert invoke("keys", "create", "--account", CONTRACT, "--json").json["account"] == CONTRACT


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--account", "GABC"], "not an account"),
        (["--account", ACCOUNT, "--scope", "raed"], "not a scope"),
        (["--account", ACCOUNT, "--scope", "read write"], "not a scope"),
        (["--account", ACCOUNT, "--expires-in", "0"], "expires-in"),
        (["--account", ACCOUNT, "--expires-in", "x"], "expires-in"),
        (["--account", ACCOUNT, "--name", "x" * 101], "name"),
        ([], "--account"),
    ],
)
def test_what_makes_no_key_is_a_usage_error(invoke, args, said):
    outcome = invoke("keys", "create", *args)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.out == ""


def test_the_list_shows_no_secret(create, invoke):
    text = create("--name", "bot").out.strip()
    secret = text.rpartition("_")[2]
    plain, as_json = invoke("keys", "list"), invoke("keys", "list", "--json")
    for outcome in (plain, as_json):
        assert outcome.code == 0
        for hidden in (secret, sha256(secret.encode()).hexdigest()):
            assert hidden not in outcome.out + outcome.err
    assert text.split("_")[1] in plain.out
    assert "active" in plain.out
    assert "never used" in plain.out
    (listed,) = as_json.json["keys"]
    assert (listed["id"], listed["name"], "key" in listed) == (text.split("_")[1], "bot", False)


def test_the_list_of_one_account(create, invoke):
    create()
    invoke("keys", "create", "--account", CONTRACT)
    assert [key["account"] for key in invoke("keys", "list", "--account", CONTRACT, "--json").json["keys"]] == [
        CONTRACT
    ]
    assert len(invoke("keys", "list", "--json").json["keys"]) == 2


def test_an_empty_list_prints_nothing_on_stdout(create, invoke):
    create()
    outcome = invoke("keys", "list", "--account", CONTRACT)
    assert (outcome.code, outcome.out) == (0, "")
    assert "no keys" in outcome.err


def test_revoking_is_idempotent_and_an_unknown_id_an_error(create, invoke):
    key_id = create("--json").json["id"]
    first, second = invoke("keys", "revoke", key_id), invoke("keys", "revoke", key_id)
    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert f"revoked {key_id}" in first.out
    assert invoke("keys", "revoke", key_id, "--json").json["state"] == "revoked"
    assert invoke("keys", "list", "--json").json["keys"][0]["state"] == "revoked"
    unknown = invoke("keys", "revoke", "AAAAAAAAAAAA")
    assert unknown.code == 2
    assert "keys list" in unknown.err


def test_a_whole_key_given_for_an_id_is_not_repeated(create, invoke):
    text = create().out.strip()
    outcome = invoke("keys", "revoke", text)
    assert outcome.code == 2
    assert text.rpartition("_")[2] not in outcome.out + outcome.err
    assert "12 characters" in outcome.err


def test_no_file_holds_the_secret(create, tmp_path):
    secret = create().out.strip().rpartition("_")[2].encode()
    files = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert files
    assert not any(secret in path.read_bytes() for path in files)


def test_keys_of_another_database(invoke, tmp_path):
    other = f"sqlite:///{tmp_path / 'other.db'}"
    key_id = invoke("keys", "create", "--account", ACCOUNT, "--database", other, "--json").json["id"]
    assert [key["id"] for key in invoke("keys", "list", "--database", other, "--json").json["keys"]] == [key_id]
    assert invoke("keys", "list").code == 2


def test_the_help_has_examples(invoke):
    assert "stellarstream keys revoke" in invoke("keys", "--help").out
    assert "--expires-in 30" in invoke("keys", "create", "--help").out
