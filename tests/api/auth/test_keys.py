"""API keys: made, found, remembered for seconds, revoked for all workers, and never shown again."""

from __future__ import annotations

import asyncio
import hmac
import re
import threading
import time
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from stellar_sdk import Keypair

from stellarstream_core.api.auth import key_store
from stellarstream_core.api.auth.errors import (
    KeyExpiredError,
    KeyMalformedError,
    KeyRequestError,
    KeyRevokedError,
    KeyUnknownError,
    NoSuchKeyError,
)
from stellarstream_core.api.auth.key_store import (
    checked_scopes,
    create_key,
    find_key,
    list_keys,
    note_use,
    revoke_key,
    split_key,
)
from stellarstream_core.api.auth.keys import KEPT_SECONDS, ApiKeys
from stellarstream_core.errors import StorageBusyError
from stellarstream_core.storage.tables import ApiKey
from tests.api.auth.conftest import opened

ACCOUNT = Keypair.random().public_key
CONTRACT = "CDLZFC3SYJYDZT7K67VZ75HPJVIEUVNIXF47ZG2FB2RMQQVU2HHGCYSC"


class Clock:
    def __init__(self, start: float = 0.0) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def now() -> Clock:
    return Clock(time.time())


@pytest.fixture
def keys(sqlite, clock, now) -> ApiKeys:
    return ApiKeys(sqlite, now=now, clock=clock)


# --- making ----------------------------------------------------------------------------------------


def test_a_key_has_a_public_id_and_256_random_bits(storage):
    made = create_key(storage, ACCOUNT, ["read"], name="bot")
    text = made.key.get_secret_value()
    assert re.fullmatch(rf"ss_{made.info.id}_[0-9A-Za-z]{{43}}", text)
    assert 62**43 > 2**256
    assert len({create_key(storage, ACCOUNT, ["read"]).key.get_secret_value() for _ in range(20)}) == 20


def test_only_the_hash_of_the_secret_is_stored(storage):
    made = create_key(storage, ACCOUNT, ["write", "read", "read"], name="bot", expires_at=int(time.time()) + 60)
    secret = made.key.get_secret_value().rpartition("_")[2]
    (row,) = storage.read(lambda db: list(ApiKey.select().dicts().execute(db)))
    assert secret not in repr(row)
    assert row["secret_hash"] == sha256(secret.encode()).hexdigest()
    assert (row["account"], row["scopes"], row["name"]) == (ACCOUNT, "read write", "bot")
    assert row["expires_at"] - row["created_at"] == 60


def test_a_key_may_stand_for_a_contract(storage):
    assert create_key(storage, CONTRACT, ["read"]).info.account == CONTRACT


def test_keys_that_make_no_sense_are_not_made(storage):
    for wrong in (
        {"account": "GABC"},
        {"account": Keypair.random().secret},
        {"account": ""},
        {"scopes": []},
        {"scopes": ["raed"]},
        {"scopes": [f"p:a{n}" for n in range(33)]},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"name": "\x1b[2J"},
        {"expires_at": int(time.time()) - 1},
    ):
        asked = {"account": ACCOUNT, "scopes": ["read"], **wrong}
        with pytest.raises(KeyRequestError):
            create_key(storage, asked.pop("account"), asked.pop("scopes"), **asked)
    assert list_keys(storage) == []


@pytest.mark.parametrize("scope", ["read", "write", "nebula:write", "a:b", "invoice-links:read", "p2:x-1"])
def test_scopes_of_the_framework_and_of_plugins_are_taken(scope):
    assert checked_scopes([scope]) == (scope,)


@pytest.mark.parametrize(
    "scope",
    [
        "", " ", "admin", "Read", "read ", "read write", "a:", ":b", "a:b:c", "a b:c", "-a:b", "é:b", "a:b\n", "*",
        "x" * 40,
    ],
)  # fmt: skip
def test_what_is_no_scope_is_refused(scope):
    with pytest.raises(KeyRequestError):
        checked_scopes([scope])


@given(st.text(max_size=20))
def test_a_taken_scope_never_splits_into_several(scope):
    try:
        checked_scopes([scope])
    except KeyRequestError:
        return
    assert scope.split() == [scope]


# --- listing and revoking -------------------------------------------------------------------------------


def test_keys_are_listed_newest_first_without_secrets(storage, monkeypatch):
    made = []
    for n in range(3):
        monkeypatch.setattr(key_store.time, "time", lambda n=n: 1_800_000_000 + n)
        made.append(create_key(storage, ACCOUNT if n else CONTRACT, ["read"], name=str(n)))
    infos = list_keys(storage)
    assert [info.name for info in infos] == ["2", "1", "0"]
    assert [info.name for info in list_keys(storage, CONTRACT)] == ["0"]
    for each in made:
        secret = each.key.get_secret_value().rpartition("_")[2]
        assert secret not in repr(infos)
        assert sha256(secret.encode()).hexdigest() not in repr(infos)


def test_revoking_is_idempotent_and_keeps_the_first_time(storage, monkeypatch):
    made = create_key(storage, ACCOUNT, ["read"])
    monkeypatch.setattr(key_store.time, "time", lambda: 1_900_000_000)
    assert revoke_key(storage, made.info.id).revoked_at == 1_900_000_000
    monkeypatch.setattr(key_store.time, "time", lambda: 1_900_000_050)
    assert revoke_key(storage, made.info.id).revoked_at == 1_900_000_000
    assert list_keys(storage)[0].state(1_900_000_000) == "revoked"


def test_an_unknown_id_is_an_error(storage):
    made = create_key(storage, ACCOUNT, ["read"])
    for wrong in ("AAAAAAAAAAAA", "", "x", made.info.id.swapcase(), "' OR 1=1 --", made.key.get_secret_value()):
        with pytest.raises(NoSuchKeyError) as caught:
            revoke_key(storage, wrong)
        assert made.key.get_secret_value() not in f"{caught.value} {caught.value.help}"
    assert find_key(storage, made.info.id).info.revoked_at is None


# --- looking up ------------------------------------------------------------------------------------------


async def test_a_key_stands_for_its_account_and_scopes(storage):
    made = create_key(storage, ACCOUNT, ["read", "nebula:write"])
    keys = ApiKeys(storage)
    identity = await keys.lookup(made.key.get_secret_value())
    assert (identity.account, identity.kind, identity.key_id) == (ACCOUNT, "key", made.info.id)
    assert identity.scopes == {"read", "nebula:write"}
    await keys.close()


async def test_another_secret_and_another_id_are_told_apart_by_nobody(keys, sqlite):
    made = create_key(sqlite, ACCOUNT, ["read"])
    text = made.key.get_secret_value()
    other_secret = text[:-1] + ("A" if text[-1] != "A" else "B")
    other_id = f"ss_{'A' * 12}_{text.rpartition('_')[2]}"
    said = set()
    for wrong in (other_secret, other_id):
        with pytest.raises(KeyUnknownError) as caught:
            await keys.lookup(wrong)
        said.add((str(caught.value), caught.value.help))
    assert len(said) == 1


async def test_only_who_has_the_secret_learns_that_a_key_is_over(keys, sqlite, now):
    revoked = create_key(sqlite, ACCOUNT, ["read"])
    revoke_key(sqlite, revoked.info.id)
    expired = create_key(sqlite, ACCOUNT, ["read"], expires_at=int(time.time()) + 5)
    now.time += 6
    for made, error in ((revoked, KeyRevokedError), (expired, KeyExpiredError)):
        text = made.key.get_secret_value()
        with pytest.raises(error):
            await keys.lookup(text)
        with pytest.raises(KeyUnknownError):
            await keys.lookup(text[:-1] + ("A" if text[-1] != "A" else "B"))


async def test_a_remembered_key_expires_on_time(keys, sqlite, now):
    made = create_key(sqlite, ACCOUNT, ["read"], expires_at=int(now.time) + 2)
    await keys.lookup(made.key.get_secret_value())
    now.time += 2
    with pytest.raises(KeyExpiredError):
        await keys.lookup(made.key.get_secret_value())


@pytest.mark.parametrize(
    "text",
    [
        "", "ss_", "ss__", "x" * 100_000, f"ss_{'a' * 12}_{'b' * 42}", f"ss_{'a' * 12}_{'b' * 44}",
        f"SS_{'a' * 12}_{'b' * 43}", f"ss_{'a' * 11}é_{'b' * 43}", f"ss_{'a' * 12}_{'b' * 43}\n",
        f" ss_{'a' * 12}_{'b' * 43}", f"ss_{'a' * 11}'_{'b' * 43}",
    ],
    ids=lambda text: f"{text[:6]!r}*{len(text)}",
)  # fmt: skip
async def test_what_is_no_key_is_malformed_and_asks_the_database_nothing(keys, text, monkeypatch):
    monkeypatch.setattr(keys, "_found", lambda key_id: pytest.fail("the database was asked"))
    with pytest.raises(KeyMalformedError) as caught:
        await keys.lookup(text)
    assert len(text) < 12 or text.strip() not in f"{caught.value} {caught.value.help}"


async def test_a_revoked_key_is_refused_by_every_worker_within_five_seconds(database_url):
    with opened(database_url) as one, opened(database_url) as two:
        clock = Clock()
        made = create_key(one, ACCOUNT, ["read"])
        workers = [ApiKeys(storage, clock=clock) for storage in (one, two)]
        for worker in workers:
            await worker.lookup(made.key.get_secret_value())
        revoke_key(one, made.info.id)
        clock.time += KEPT_SECONDS
        assert KEPT_SECONDS < 5
        for worker in workers:
            with pytest.raises(KeyRevokedError):
                await worker.lookup(made.key.get_secret_value())
            await worker.close()


async def test_a_key_in_use_asks_the_database_once_in_a_while(sqlite, clock):
    made = create_key(sqlite, ACCOUNT, ["read"])
    text = made.key.get_secret_value()
    asked = []

    async def run(function, *args, **more):
        asked.append(function.__name__)
        return function(*args, **more)

    keys = ApiKeys(sqlite, run=run, clock=clock)
    before = []
    for _ in range(50):
        await keys.lookup(text, before_look_up=lambda: before.append(1))
    await asyncio.gather(*(keys.lookup(text) for _ in range(50)))
    assert asked.count("find_key") == 1
    assert len(before) == 1
    clock.time += KEPT_SECONDS
    await asyncio.gather(*(keys.lookup(text) for _ in range(50)))
    assert asked.count("find_key") == 2
    await keys.close()


async def test_guesses_push_out_no_key_and_each_is_counted_before_the_database_is_asked(keys, sqlite, monkeypatch):
    monkeypatch.setattr(keys._keys, "_size", 2)
    made = create_key(sqlite, ACCOUNT, ["read"])
    await keys.lookup(made.key.get_secret_value())
    counted = []
    for n in range(5):
        with pytest.raises(KeyUnknownError):
            await keys.lookup(f"ss_{n:012}_{'b' * 43}", before_look_up=lambda: counted.append(1))
    assert len(counted) == 5
    assert keys._keys.peek(made.info.id) is not None

    def over():
        raise RuntimeError("over the limit")

    monkeypatch.setattr(keys, "_found", lambda key_id: pytest.fail("the database was asked"))
    with pytest.raises(RuntimeError):
        await keys.lookup(f"ss_{'z' * 12}_{'b' * 43}", before_look_up=over)


async def test_the_secret_is_compared_in_constant_time_even_where_there_is_no_key(keys, sqlite, monkeypatch):
    compared = []
    real = hmac.compare_digest

    def compare(one, other):
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(key_store.hmac, "compare_digest", compare)
    made = create_key(sqlite, ACCOUNT, ["read"])
    await keys.lookup(made.key.get_secret_value())
    with pytest.raises(KeyUnknownError):
        await keys.lookup(f"ss_{'A' * 12}_{'b' * 43}")
    assert compared == [(64, 64), (64, 64)]


async def test_no_hash_is_the_one_that_unknown_keys_are_compared_with(keys):
    # a secret whose hash is 64 zeros would still be refused: there is no key
    stored = find_key(keys._storage, "A" * 12)
    with pytest.raises(KeyUnknownError):
        key_store.identity_of(stored, "0" * 64, 0)


# --- the time of use ------------------------------------------------------------------------------------


def test_the_time_of_use_is_written_at_most_once_an_hour(storage):
    made = create_key(storage, ACCOUNT, ["read"])
    key_id = made.info.id
    assert note_use(storage, key_id, 10_000)
    assert not note_use(storage, key_id, 13_599)
    assert note_use(storage, key_id, 13_600)
    assert find_key(storage, key_id).info.last_used_at == 13_600
    assert not note_use(storage, "AAAAAAAAAAAA", 10_000)


async def test_a_lookup_notes_the_use_behind_its_back(keys, sqlite, clock, now):
    made = create_key(sqlite, ACCOUNT, ["read"])
    text = made.key.get_secret_value()
    for _ in range(5):
        await keys.lookup(text)
    await keys.close()
    first = find_key(sqlite, made.info.id).info.last_used_at
    assert first == int(now.time)
    for seconds, noted in ((3_000, first), (601, first + 3_601)):
        now.time += seconds
        clock.time += seconds
        await keys.lookup(text)
        await keys.close()
        assert find_key(sqlite, made.info.id).info.last_used_at == noted


async def test_that_the_use_cannot_be_written_fails_no_request_and_is_not_tried_all_the_time(sqlite, clock):
    made = create_key(sqlite, ACCOUNT, ["read"])
    text, tried, lines = made.key.get_secret_value(), [], []

    async def run(function, *args, **more):
        if function is note_use:
            tried.append(more)
            raise StorageBusyError(f"busy {args}")
        return function(*args, **more)

    keys = ApiKeys(sqlite, run=run, clock=clock)
    handler = logger.add(lines.append, level="TRACE", diagnose=True)
    try:
        for _ in range(20):
            await keys.lookup(text)
            clock.time += KEPT_SECONDS
        await keys.close()
    finally:
        logger.remove(handler)
    assert len(tried) == 1
    clock.time += 60
    await keys.lookup(text)
    await keys.close()
    assert len(tried) == 2
    secret = text.rpartition("_")[2]
    assert lines
    assert not any(secret in line or sha256(secret.encode()).hexdigest() in line for line in lines)


async def test_a_slow_write_of_the_use_holds_no_request_up(sqlite):
    made = create_key(sqlite, ACCOUNT, ["read"])
    go = threading.Event()

    async def run(function, *args, **more):
        if function is note_use:
            await asyncio.to_thread(go.wait, 5)
        return function(*args, **more)

    keys = ApiKeys(sqlite, run=run)
    async with asyncio.timeout(1):
        await keys.lookup(made.key.get_secret_value())
    go.set()
    await keys.close()


# --- secrets ---------------------------------------------------------------------------------------------


async def test_a_keys_secret_is_in_no_repr(keys, sqlite):
    made = create_key(sqlite, ACCOUNT, ["read"])
    text = made.key.get_secret_value()
    secret = text.rpartition("_")[2]
    stored = find_key(sqlite, made.info.id)
    identity = await keys.lookup(text)
    for shown in (repr(made), str(made), repr(stored), str(stored), repr(keys), repr(identity), repr(keys._keys)):
        assert secret not in shown
        assert sha256(secret.encode()).hexdigest() not in shown
    assert split_key(text) == (made.info.id, sha256(secret.encode()).hexdigest())
