"""The routes over HTTP: what a wallet's page sends and gets, with a chain that says what it is told to."""

from __future__ import annotations

import asyncio
import json
import re
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

import orjson
import pytest
from stellar_sdk import MuxedAccount, TransactionEnvelope, scval, xdr
from stellar_sdk.xdr import TransactionResultCode as Code

from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.chain import SendStatus, Sent, Simulation
from stellarstream_core.errors import SourceUnavailableError
from stellarstream_core.runtime import Runtime
from stellarstream_core.testing.api import serving
from stellarstream_core.xdr.contract_entry import instance_key
from stellarstream_core.xdr.scval import Arm, ErrorType, ScValue, decode_scval, encode_scval
from stellarstream_nebula.model import stream_key
from stellarstream_nebula.resources.transactions import ROUTES
from stellarstream_nebula.tables import NebulaTransaction
from stellarstream_nebula.transactions import relay, service, store
from stellarstream_nebula.transactions.errors import ENVELOPE_PROBLEMS
from stellarstream_nebula.transactions.relay import LOOK_SECONDS, TRIES
from stellarstream_nebula.transactions.service import Transactions
from stellarstream_nebula.transactions.store import State
from tests.api.conftest import sqlite_url  # noqa: F401 - a fixture
from tests.api.kit import Running, Said, runtime_of
from tests.nebula.relay_kit import (
    ALICE,
    BOB,
    FIRST,
    FOREIGN,
    PASSPHRASE,
    SECOND,
    STRANGER,
    TOKEN,
    VAULT,
    Chain,
    drafted,
    fails,
    give_chain,
    result_xdr,
    signed,
    works,
)
from tests.nebula.test_build import created_v2

JSON = "Content-Type: application/json"
STREAM = {"receiver": BOB.public_key, "amount": "1000", "tokenAddress": TOKEN, "duration": 3600}


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[Running]:
    url = f"sqlite:///{tmp_path_factory.mktemp('transactions') / 'api.db'}"
    section = {"contracts": {FIRST: "v1", SECOND: "v2"}, "vaults": {TOKEN: VAULT}, "inclusion_fee": 1_000}
    plugins = {"nebula": section, "soroban-rpc": {"max_retries": 0, "retry_seconds": 0, "chain_seconds": 1}}
    running = Running(runtime_of(url, plugins=plugins))
    yield running
    running.stop()


class Later(Chain):
    """The chain of a test, whose ledgers close at the time of this machine."""

    @property
    def now(self) -> int:
        return int(time.time())


@pytest.fixture
def chain(api) -> Later:
    """The chain that the service reads: it is made anew, with what the service keeps for its own."""
    made = Later(ALICE, BOB)
    made.closed_at = made.now

    give_chain(api, made)
    return made


@pytest.fixture(scope="module")
def key(api) -> str:
    return key_of(api, "write")


def key_of(api: Running, scope: str) -> str:
    return create_key(api.storage, account=ALICE.public_key, scopes=[scope]).key.get_secret_value()


def post(api: Running, path: str, body: dict, key: str | None) -> Said:
    credentials = [] if key is None else [f"X-API-Key: {key}"]
    return api.get(f"/api/v1{path}", JSON, *credentials, method="POST", body=json.dumps(body).encode())


def look(api: Running, tx_hash: str) -> Said:
    return api.get(f"/api/v1/transactions/{tx_hash}")


def fields(said: Said) -> list[str]:
    return [error["field"] for error in said.json["errors"]]


def live(**more: object) -> TransactionEnvelope:
    return drafted(bounds=(0, int(time.time()) + 200), **more)


# --- building -------------------------------------------------------------------------------------


def test_a_stream_to_sign_comes_with_a_preview_of_what_it_would_be(api, chain, key):
    chain.simulation = works([created_v2(net=995)])
    said = post(api, "/streams", {**STREAM, "memo": "invoice_7", "startTime": "2030-01-01T00:00:00Z"}, key)
    assert said.status == 200, said
    transaction = said.json["transaction"]
    assert set(transaction) == {"xdr", "hash", "networkPassphrase", "fee", "validUntil"}
    assert (transaction["networkPassphrase"], transaction["fee"]) == (PASSPHRASE, "13345")
    envelope = TransactionEnvelope.from_xdr(transaction["xdr"], PASSPHRASE)
    assert envelope.hash_hex() == transaction["hash"]
    until = datetime.fromtimestamp(envelope.transaction.preconditions.time_bounds.max_time, UTC)
    assert transaction["validUntil"] == until.strftime("%Y-%m-%dT%H:%M:%SZ")
    call = envelope.transaction.operations[0].host_function.invoke_contract
    assert scval.to_native(call.args[0])["memo"] == "invoice_7"
    assert said.json["stream"] == {
        "contractId": SECOND,
        "version": "v2",
        "sender": ALICE.public_key,
        "receiver": BOB.public_key,
        "tokenAddress": TOKEN,
        "amount": "995",
        "grossAmount": "1000",
        "fee": "5",
        "duration": 3600,
        "startTime": "2030-01-01T00:00:00Z",
        "cliffTime": "2030-01-01T00:00:00Z",
        "endTime": "2030-01-01T01:00:00Z",
        "yieldEnabled": False,
        "memo": "invoice_7",
    }
    assert said.header("Cache-Control") == "no-store"


def arguments_of(said: Said) -> list[ScValue]:
    assert said.status == 200, said
    envelope = TransactionEnvelope.from_xdr(said.json["transaction"]["xdr"], PASSPHRASE)
    call = envelope.transaction.operations[0].host_function.invoke_contract
    return [decode_scval(argument.to_xdr_bytes()) for argument in call.args]


def test_a_stream_begins_now_where_nothing_else_is_said(api, chain, key):
    chain.simulation = works()
    before = int(time.time())
    arguments = arguments_of(post(api, "/streams", {**STREAM, "contractId": FIRST}, key))
    start, cliff, end = (argument.value for argument in arguments[4:7])
    assert before <= start <= time.time()
    assert (cliff, end) == (start, start + 3600)


def test_a_withdrawal_says_what_would_be_paid_out(api, chain, key):
    chain.simulation = works(result=encode_scval(ScValue(Arm.I128, 2**80)))
    said = post(api, "/streams/withdraw", {"streamId": stream_key(FIRST, 4)}, key)
    assert [argument.value for argument in arguments_of(said)] == [4, ALICE.public_key]
    assert said.json["amount"] == str(2**80)


def test_a_cancellation_is_built_for_the_caller(api, chain, key):
    chain.simulation = works()
    said = post(api, "/streams/cancel", {"streamId": stream_key(SECOND, 0)}, key)
    assert [argument.value for argument in arguments_of(said)] == [0, ALICE.public_key]
    assert list(said.json) == ["transaction"]


def test_yield_is_earned_in_the_vault_of_the_token(api, chain, key):
    chain.simulation = works()
    (arguments,) = arguments_of(post(api, "/streams", {**STREAM, "yieldEnabled": True}, key))
    said = {name.value: value.value for name, value in arguments.value}
    assert (said["vault_address"], said["yield_enabled"]) == (VAULT, True)


MUXED = MuxedAccount(BOB.public_key, 7).account_muxed

REFUSED_BODIES = {
    "a receiver that is none": ({"receiver": "G123"}, "invalid-body", "body.receiver"),
    "a muxed receiver": ({"receiver": MUXED}, "invalid-body", "body.receiver"),
    "an account for a token": ({"tokenAddress": BOB.public_key}, "invalid-body", "body.tokenAddress"),
    "an amount of nothing": ({"amount": "0"}, "invalid-body", "body.amount"),
    "a broken amount": ({"amount": "1.5"}, "invalid-body", "body.amount"),
    "an amount as a number": ({"amount": 1000}, "invalid-body", "body.amount"),
    "an amount beyond i128": ({"amount": str(2**127)}, "invalid-terms", "body.amount"),
    "no time at all": ({"duration": 0}, "invalid-body", "body.duration"),
    "more time than there is": ({"duration": 2**64}, "invalid-body", "body.duration"),
    "a duration beyond V2's clock": ({"duration": 20_000_000_000}, "invalid-terms", "body.duration"),
    "half a second": ({"startTime": "2030-01-01T00:00:00.5Z"}, "invalid-body", "body.startTime"),
    "a ten-millionth of a second": ({"startTime": "2030-01-01T00:00:00.0000001Z"}, "invalid-body", "body.startTime"),
    "a cliff of nanoseconds": ({"cliffTime": "2030-01-01T00:00:00.000000001Z"}, "invalid-body", "body.cliffTime"),
    "a start as a number": ({"startTime": 1_900_000_000}, "invalid-body", "body.startTime"),
    "a cliff after the end": ({"cliffTime": "2090-01-01T00:00:00Z"}, "invalid-terms", "body.cliffTime"),
    "a memo that is no symbol": ({"memo": "for you"}, "unsupported-field", "body.memo"),
    "a memo on V1": ({"contractId": FIRST, "memo": "x"}, "unsupported-field", "body.memo"),
    "yield on V1": ({"contractId": FIRST, "yieldEnabled": True}, "unsupported-field", "body.yieldEnabled"),
    "a field that nobody knows": ({"curve": "linear"}, "invalid-body", "body.curve"),
}


@pytest.mark.parametrize(("more", "code", "field"), REFUSED_BODIES.values(), ids=list(REFUSED_BODIES))
def test_what_cannot_be_a_stream_is_refused_with_its_field(api, chain, key, more, code, field):
    said = post(api, "/streams", {**STREAM, **more}, key)
    assert (said.status, said.code) == (422, code), said
    assert field in fields(said)
    assert chain.asked == {}


def test_yield_that_is_not_asked_for_is_no_field_that_v1_lacks(api, chain, key):
    chain.simulation = works()
    assert post(api, "/streams", {**STREAM, "contractId": FIRST, "yieldEnabled": False}, key).status == 200


def test_a_token_without_a_vault_earns_no_yield(api, chain, key):
    assert post(api, "/streams", {**STREAM, "tokenAddress": FOREIGN, "yieldEnabled": True}, key).code == "no-vault"


def test_part_of_what_is_unlocked_cannot_be_withdrawn(api, chain, key):
    for contract in (FIRST, SECOND):
        said = post(api, "/streams/withdraw", {"streamId": stream_key(contract, 1), "amount": "5"}, key)
        assert (said.status, said.code) == (422, "partial-withdrawal-unsupported")
        assert fields(said) == ["body.amount"]


@pytest.mark.parametrize("path", ["/streams/withdraw", "/streams/cancel"])
def test_a_stream_is_named_by_its_id(api, chain, key, path):
    assert post(api, path, {"streamId": "7"}, key).code == "contract-ambiguous"
    assert post(api, path, {"streamId": stream_key(FOREIGN, 7)}, key).code == "contract-not-served"
    for wrong in ("seven", "-1", "C-1", f"{FOREIGN}-", f"{FOREIGN}-07", "1\n", str(2**64)):
        said = post(api, path, {"streamId": wrong}, key)
        assert (said.status, said.code, fields(said)) == (422, "invalid-body", ["body.streamId"]), wrong


def asset_instance(contract: str) -> bytes:
    """Return the ``LedgerEntryData`` of the instance of an asset's contract."""
    executable = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET)
    entry = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=scval.to_address(contract).address,
        key=xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        durability=xdr.ContractDataDurability.PERSISTENT,
        val=xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(executable, None)),
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=entry).to_xdr_bytes()


def test_the_contracts_own_error_is_named_by_what_the_chain_says_of_the_contract(api, chain, key):
    chain.entries[instance_key(TOKEN)] = asset_instance(TOKEN)
    events = (fails(TOKEN, ErrorType.CONTRACT, 10), fails(SECOND, ErrorType.CONTRACT, 10))
    chain.simulation = lambda _: Simulation(100, error="HostError: Error(Contract, #10)", events=events)
    said = post(api, "/streams", STREAM, key)
    assert (said.status, said.code) == (422, "simulation-failed")
    assert said.json["contractError"] == {"contractId": TOKEN, "code": 10, "name": "BalanceError"}
    assert "does not have enough of the token" in said.json["detail"]


def test_an_account_that_is_not_on_the_network_is_told_what_to_do(api, chain, key):
    chain.entries.clear()
    said = post(api, "/streams", STREAM, key)
    assert (said.status, said.code) == (422, "account-not-found")
    assert "Fund the account" in said.json["detail"]


def test_a_second_may_be_written_with_zeros(api, chain, key):
    chain.simulation = works()
    said = post(api, "/streams", {**STREAM, "startTime": "2030-01-01T00:00:00.000000000Z"}, key)
    assert said.json["stream"]["startTime"] == "2030-01-01T00:00:00Z"


def test_an_account_without_a_sequence_number_left_gets_no_transaction(api, chain, key):
    chain.simulation = works()
    chain.account(ALICE.public_key, sequence=2**63 - 1)
    said = post(api, "/streams", STREAM, key)
    assert (said.status, said.code) == (422, "sequence-used-up")
    chain.account(ALICE.public_key, sequence=2**63 - 2)
    envelope = TransactionEnvelope.from_xdr(post(api, "/streams", STREAM, key).json["transaction"]["xdr"], PASSPHRASE)
    assert envelope.transaction.sequence == 2**63 - 1


def test_without_the_network_nothing_is_built_and_clients_are_told_when_to_come_back(api, chain, key):
    chain.down = True
    said = post(api, "/streams/cancel", {"streamId": stream_key(SECOND, 0)}, key)
    assert (said.status, said.code) == (503, "chain-unavailable")
    assert said.header("Retry-After") == "5"

    async def unconnected() -> None:
        await api.service.close_parts()
        api.service.chain = None

    api.run(unconnected())
    for path, body in (
        ("/streams", STREAM),
        ("/streams/cancel", {"streamId": stream_key(SECOND, 0)}),
        ("/transactions", {"xdr": signed(live(), ALICE)}),
    ):
        assert post(api, path, body, key).code == "chain-unavailable"


# --- relaying -------------------------------------------------------------------------------------


def test_a_signed_transaction_is_taken_and_followed_to_its_ledger(api, chain, key):
    text = signed(live(sequence=20), ALICE)
    said = post(api, "/transactions", {"xdr": text}, key)
    tx_hash = TransactionEnvelope.from_xdr(text, PASSPHRASE).hash_hex()
    assert said.status == 202
    assert said.json == {"txHash": tx_hash, "status": "PENDING"}
    assert said.header("Location") == f"/api/v1/transactions/{tx_hash}"
    assert look(api, tx_hash.upper()).json["status"] == "PENDING"
    chain.applied(tx_hash, 103)
    chain.skipped += LOOK_SECONDS
    found = look(api, tx_hash)
    assert found.json == {"txHash": tx_hash, "status": "SUCCESS", "ledger": 103}
    again = post(api, "/transactions", {"xdr": text}, key)
    assert (again.status, again.json) == (202, found.json)
    etag = found.header("ETag")
    assert api.get(f"/api/v1/transactions/{tx_hash}", f"If-None-Match: {etag}").status == 304


def test_what_was_taken_is_followed_though_nobody_asks_for_it(api, chain, key):
    chain.answers = [SendStatus.TRY_AGAIN_LATER] * TRIES
    said = post(api, "/transactions", {"xdr": signed(live(sequence=22), ALICE)}, key)
    assert said.json["status"] == "PENDING"
    chain.applied(said.json["txHash"], 104)
    stored = NebulaTransaction.select(NebulaTransaction.status, NebulaTransaction.ledger).where(
        NebulaTransaction.hash == said.json["txHash"]
    )
    until = time.monotonic() + 10
    while time.monotonic() < until:
        (found,) = api.storage.read(lambda database: list(stored.tuples().execute(database)))
        if found != ("PENDING", None):
            break
        time.sleep(0.1)
    assert found == ("SUCCESS", 104)


def test_what_a_plugin_notes_of_an_envelope_is_stored_with_it_and_it_is_followed(api, chain, monkeypatch):
    monkeypatch.setattr(service, "FOLLOW_SECONDS", (0.01, 0.01))
    shared, noted, envelope = api.service.part(Transactions), [], live()
    text = signed(envelope, ALICE)

    def refuse(_database) -> None:
        raise KeyError("the plugin's own")

    with pytest.raises(KeyError, match="the plugin's own"):
        api.run(shared.submit(text, refuse))
    assert look(api, envelope.hash_hex()).status == 404
    fate = api.run(shared.submit(text, lambda database: noted.append(store.find(database, envelope.hash_hex()).hash)))
    assert noted == [fate.hash] == [envelope.hash_hex()]
    chain.applied(fate.hash, chain.ledger)
    deadline = time.monotonic() + 10
    while look(api, fate.hash).json["status"] != "SUCCESS":
        assert time.monotonic() < deadline
    assert len(chain.handed) == 1


async def test_what_a_worker_left_behind_is_handed_in_by_the_next_one_though_nobody_asks(sqlite_url, monkeypatch):  # noqa: F811
    """The first is stopped while no node answers; the second takes no request of these routes at all."""
    monkeypatch.setattr(service, "SWEEP_SECONDS", 0.05)
    node = Later(ALICE)
    node.closed_at = node.now

    async def access(_runtime: Runtime) -> Later:
        return node

    monkeypatch.setattr("stellarstream_core.api.service._chain", access)
    monkeypatch.setattr(Later, "close", nothing, raising=False)
    monkeypatch.setattr(relay, "RESEND_SECONDS", 1.0)
    node.answers = [SourceUnavailableError("nobody answers")]
    text = signed(live(), ALICE)
    runtime = runtime_of(sqlite_url, plugins={"nebula": {"contracts": {SECOND: "v2"}}})
    async with serving(runtime) as served:
        assert Transactions in served.service._parts, "made at the start"
        taken = await served.service.part(Transactions).submit(text)
        node.down = True
    assert (taken.state, node.handed.pop()) == (State.PENDING, raw_of(text))
    async with serving(runtime_of(sqlite_url, plugins={"nebula": {"contracts": {SECOND: "v2"}}})) as served:
        asked = node.asked["send"]
        await until(lambda: node.asked["send"] > asked)
        assert node.handed == []
        node.down = False
        await until(lambda: node.handed)
        assert node.handed[0] == raw_of(text)
        node.applied(taken.hash, 104)
        find = partial(store.find, tx_hash=taken.hash)
        await until(lambda: served.service.database.storage.read(find).ledger == 104)


async def nothing(_self: object) -> None:
    pass


def raw_of(text: str) -> bytes:
    return b64decode(text)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not true():
            await asyncio.sleep(0.05)


def test_what_the_node_refuses_is_told_at_once_and_may_be_applied_all_the_same(api, chain, key):
    chain.answers = [Sent("0" * 64, SendStatus.ERROR, 100, result_xdr(Code.txINSUFFICIENT_BALANCE))]
    said = post(api, "/transactions", {"xdr": signed(live(sequence=21), ALICE)}, key)
    assert (said.status, said.json["status"]) == (202, "PENDING")
    assert said.json["error"]["code"] == "txINSUFFICIENT_BALANCE"
    assert look(api, said.json["txHash"]).json == said.json
    chain.applied(said.json["txHash"], 105)
    chain.skipped += LOOK_SECONDS
    assert look(api, said.json["txHash"]).json == {"txHash": said.json["txHash"], "status": "SUCCESS", "ledger": 105}


def test_one_that_another_transaction_overtook_has_failed(api, chain, key):
    chain.account(ALICE.public_key, sequence=40)
    chain.answers = [Sent("0" * 64, SendStatus.ERROR, 100, result_xdr(Code.txBAD_SEQ))]
    said = post(api, "/transactions", {"xdr": signed(live(sequence=23), ALICE)}, key)
    assert (said.status, said.json["status"], said.json["error"]["code"]) == (202, "FAILED", "txBAD_SEQ")
    assert set(said.json) == {"txHash", "status", "error"}
    assert look(api, said.json["txHash"]).json["error"] == said.json["error"]


def test_an_account_with_too_many_that_wait_is_told_so(api, chain, key, monkeypatch):
    monkeypatch.setattr(store, "MOST_PENDING", 0)
    said = post(api, "/transactions", {"xdr": signed(live(source=BOB, sequence=24), BOB)}, key)
    assert (said.status, said.code, said.header("Retry-After")) == (429, "too-many-pending", "5")
    assert chain.handed == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (lambda: signed(live(), STRANGER), "wrong-signer"),
        (lambda: signed(live()), "envelope-unsigned"),
        (lambda: signed(live(contract=FOREIGN), ALICE), "foreign-call"),
        (lambda: signed(drafted(bounds=(0, int(time.time()) - 5)), ALICE), "envelope-expired"),
        (lambda: "AAAA", "envelope-invalid"),
    ],
    ids=["wrong signer", "unsigned", "foreign", "expired", "no envelope"],
)
def test_refusals_are_problems_with_their_own_codes(api, chain, key, text, code):
    said = post(api, "/transactions", {"xdr": text()}, key)
    assert (said.status, said.code) == (422, code)
    assert chain.handed == []


def test_an_envelope_that_is_too_long_is_refused_by_its_field(api, chain, key):
    said = post(api, "/transactions", {"xdr": "A" * 50_000}, key)
    assert (said.status, said.code, fields(said)) == (422, "invalid-body", ["body.xdr"])


def test_a_hash_that_is_not_known_or_none_at_all(api, chain):
    said = look(api, "0" * 64)
    assert (said.status, said.code) == (404, "transaction-not-found")
    assert look(api, "xyz").code == "invalid-parameter"


# --- who may, and what is documented --------------------------------------------------------------


@pytest.mark.parametrize("path", ["/streams", "/streams/withdraw", "/streams/cancel", "/transactions"])
def test_building_and_relaying_take_an_account_with_the_scope_to_write(api, chain, path):
    assert post(api, path, {}, None).status == 401
    said = post(api, path, {}, key_of(api, "read"))
    assert (said.status, said.code) == (403, "forbidden")


def test_every_problem_is_documented_where_it_can_be_met_and_has_its_page(api):
    described = orjson.loads(api.service.openapi)["paths"]
    for route in ROUTES:
        said = described[route.full_path][route.method.lower()]["responses"]
        for problem in route.problems:
            assert f"[{problem.code}]" in said[str(problem.status)]["description"]
            page = api.get(f"/docs/problems/{problem.code}")
            assert page.status == 200
            assert problem.title in re.sub("&#39;|&#x27;", "'", page.body.decode())
    assert len({problem.code for problem in ENVELOPE_PROBLEMS}) == len(ENVELOPE_PROBLEMS)
