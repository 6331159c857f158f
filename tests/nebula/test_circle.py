"""The whole circle on a sandbox network: log in, create, sign, submit, index, read, withdraw, cancel.

stellar_sdk is the wallet, the sandbox the network, ``sync --follow`` a process of its own, and everything goes
over HTTP.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from stellar_sdk import Keypair, TransactionEnvelope, scval, xdr

from stellarstream_nebula.transactions import relay
from stellarstream_sandbox.config import SandboxConfig
from tests import commands
from tests.api.kit import Running, Said, runtime_of
from tests.cli.conftest import Node
from tests.nebula.relay_kit import PASSPHRASE

JSON = "Content-Type: application/json"
PATIENCE_SECONDS = 30.0
LEDGER_SECONDS = 0.25
AMOUNT = 1_000_000_000


class Wallet:
    """An account with a session at the service."""

    def __init__(self, api: Running, keys: Keypair) -> None:
        self.api, self.keys, self.account = api, keys, keys.public_key
        challenge = api.get(f"/api/v1/auth?account={self.account}").json["transaction"]
        said = self._post("/auth", {"transaction": self.signed(challenge)})
        assert said.status == 200, said
        self.token = said.json["token"]

    def signed(self, text: str, keys: Keypair | None = None) -> str:
        envelope = TransactionEnvelope.from_xdr(text, PASSPHRASE)
        envelope.sign(keys or self.keys)
        return envelope.to_xdr()

    def post(self, path: str, body: dict[str, Any]) -> Said:
        return self._post(path, body, f"Authorization: Bearer {self.token}")

    def built(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        said = self.post(path, body)
        assert said.status == 200, said
        return said.json

    def submitted(self, text: str) -> Said:
        return self.post("/transactions", {"xdr": text})

    def _post(self, path: str, body: dict[str, Any], *headers: str) -> Said:
        return self.api.get(f"/api/v1{path}", JSON, *headers, method="POST", body=json.dumps(body).encode())


class Deployment:
    """A network, a service on it, and a sync that follows it."""

    def __init__(self, node: Node, api: Running) -> None:
        self.node, self.api = node, api
        self.v1, self.v2 = node.contracts["streams-v1"], node.contracts["streams-v2"]
        self.usdc = node.contracts["token-usdc"]

    def wallet(self, name: str) -> Wallet:
        return Wallet(self.api, Keypair.from_secret(self.node.network.secret_key(name)))

    def get(self, path: str) -> Any:
        said = self.api.get(f"/api/v1{path}")
        assert said.status == 200, said
        return said.json

    def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Return an answer as soon as something holds of it; the network goes on meanwhile."""
        end = time.monotonic() + PATIENCE_SECONDS
        next_ledger = time.monotonic() + LEDGER_SECONDS
        while True:
            if time.monotonic() > next_ledger:
                self.node.close_ledgers(1)
                next_ledger += LEDGER_SECONDS
            said = self.api.get(f"/api/v1{path}")
            if said.status == 200 and holds(said.json):
                return said.json
            assert time.monotonic() < end, said
            time.sleep(0.03)

    def applied(self, wallet: Wallet, transaction: dict[str, Any]) -> dict[str, Any]:
        """Sign, submit, close a ledger; return what became of it once its stream is indexed."""
        said = wallet.submitted(wallet.signed(transaction["xdr"]))
        assert (said.status, said.json["status"], said.json["txHash"]) == (202, "PENDING", transaction["hash"]), said
        self.node.close_ledgers(1)
        path = f"/transactions/{transaction['hash']}"
        done = self.until(path, lambda found: "streamIds" in found or found["status"] == "FAILED")
        assert done["status"] == "SUCCESS", done
        return done


@pytest.fixture(scope="module")
def deployed(tmp_path_factory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("circle")
    quiet = SandboxConfig(seed=5, ledgers=12, transactions=0, burst_every=0, port=0, live=False)
    # a sync looks as often as ledgers close
    node = Node(replace(quiet, history_spacing=LEDGER_SECONDS, close_time=LEDGER_SECONDS))
    contracts = [node.contracts["streams-v1"], node.contracts["streams-v2"]]
    nebula = {"contracts": dict(zip(contracts, ("v1", "v2"), strict=True)), "transaction_seconds": 3600}
    nebula["vaults"] = {node.contracts["token-usdc"]: node.contracts["vault-usdc"]}
    url = f"sqlite:///{folder / 'circle.db'}"
    config = folder / "stellarstream.toml"
    config.write_text(
        f'network = "sandbox"\nrpc_url = "{node.url}"\ndatabase_url = "{url}"\ncontracts = {json.dumps(contracts)}\n'
        "[plugins.nebula]\nfacts_seconds = 1\n"
        f"[plugins.nebula.contracts]\n{contracts[0]} = 'v1'\n{contracts[1]} = 'v2'\n"
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(relay, "LOOK_SECONDS", 0.1)  # how often the chain is asked for one transaction
    api = Running(runtime_of(url, rpc_url=[node.url], contracts=contracts, plugins={"nebula": nebula}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    command = ("--config", str(config), "sync", "--from", "2", "--follow")
    with (folder / "sync.log").open("w") as log:
        following = commands.start(*command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        yield Deployment(node, api)
    finally:
        following.send_signal(signal.SIGTERM)
        following.wait(15)
        print((folder / "sync.log").read_text()[-4000:])
        api.stop()
        node.stop()
        patch.undo()


@pytest.fixture(scope="module")
def sender(deployed) -> Wallet:
    return deployed.wallet("alice")


@pytest.fixture(scope="module")
def receiver(deployed) -> Wallet:
    return deployed.wallet("bob")


def stream(deployed: Deployment, receiver: Wallet, contract: str, **more: Any) -> dict[str, Any]:
    return {
        "receiver": receiver.account,
        "amount": str(AMOUNT),
        "tokenAddress": deployed.usdc,
        "duration": 500,
        "contractId": contract,
        **more,
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_stream_goes_the_whole_circle(deployed, sender, receiver, version):
    contract = getattr(deployed, version)
    made = sender.built("/streams", stream(deployed, receiver, contract))
    preview = made["stream"]
    created = deployed.applied(sender, made["transaction"])
    (stream_id,) = created["streamIds"]
    assert stream_id.startswith(f"{contract}-")
    found = deployed.get(f"/streams/{stream_id}")
    assert (found["status"], found["version"], found["txHash"]) == ("ACTIVE", version, created["txHash"])
    for field in ("sender", "receiver", "tokenAddress", "amount", "duration", "startTime", "endTime"):
        assert found[field] == preview[field], field
    assert int(preview["amount"]) + int(preview["fee"]) == AMOUNT

    deployed.node.close_ledgers(30)
    asked = receiver.built("/streams/withdraw", {"streamId": stream_id})
    assert 0 < int(asked["amount"]) < int(preview["amount"])
    withdrawn = deployed.applied(receiver, asked["transaction"])
    assert withdrawn["streamIds"] == [stream_id]
    paid = deployed.until(f"/streams/{stream_id}", lambda found: found["withdrawn"] not in {None, "0"})
    assert int(paid["withdrawn"]) >= int(asked["amount"])

    ended = deployed.applied(sender, sender.built("/streams/cancel", {"streamId": stream_id})["transaction"])
    assert ended["streamIds"] == [stream_id]
    deployed.until(f"/streams/{stream_id}", lambda found: found["status"] == "CANCELED")
    refused = receiver.post("/streams/withdraw", {"streamId": stream_id})
    assert (refused.status, refused.code) == (422, "simulation-failed")
    assert refused.json["contractError"]["contractId"] == contract
    assert refused.json["contractError"]["name"] in {"AlreadyCancelled", "StreamNotActive", "StreamEnded"}


def test_memo_and_vault_of_a_v2_stream_reach_the_contract(deployed, sender, receiver):
    wanted = stream(deployed, receiver, deployed.v2, memo="invoice_1", yieldEnabled=True, cliffTime=in_seconds(300))
    made = sender.built("/streams", wanted)
    (stream_id,) = deployed.applied(sender, made["transaction"])["streamIds"]
    found = deployed.until(f"/streams/{stream_id}", lambda found: found["yieldEnabled"] is not None)
    assert (found["memo"], found["yieldEnabled"], found["cliffTime"]) == ("invoice_1", True, wanted["cliffTime"])
    assert (made["stream"]["memo"], made["stream"]["yieldEnabled"]) == ("invoice_1", True)
    refused = receiver.post("/streams/withdraw", {"streamId": stream_id})
    assert refused.json["contractError"]["name"] == "NothingToWithdraw"
    assert "Nothing can be withdrawn now" in refused.json["detail"]


def in_seconds(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_a_call_that_fails_in_its_ledger_says_which_rule_of_the_contract_it_broke(deployed, sender, receiver):
    created = deployed.applied(sender, sender.built("/streams", stream(deployed, receiver, deployed.v2))["transaction"])
    (stream_id,) = created["streamIds"]
    deployed.node.close_ledgers(5)
    late = receiver.built("/streams/withdraw", {"streamId": stream_id})["transaction"]
    deployed.applied(sender, sender.built("/streams/cancel", {"streamId": stream_id})["transaction"])
    assert receiver.submitted(receiver.signed(late["xdr"])).json["status"] == "PENDING"
    deployed.node.close_ledgers(1)
    done = deployed.until(f"/transactions/{late['hash']}", lambda found: found["status"] != "PENDING")
    assert (done["status"], done["error"]["code"]) == ("FAILED", "INVOKE_HOST_FUNCTION_TRAPPED")
    assert "AlreadyCancelled" in done["error"]["detail"]
    assert done["ledger"] is not None


def test_a_double_submission_is_one_transaction(deployed, sender, receiver):
    transaction = sender.built("/streams", stream(deployed, receiver, deployed.v2))["transaction"]
    text = sender.signed(transaction["xdr"])
    first, second = sender.submitted(text), sender.submitted(text)
    assert first.json == second.json
    deployed.node.close_ledgers(1)
    done = deployed.until(f"/transactions/{transaction['hash']}", lambda found: "streamIds" in found)
    third = sender.submitted(text)
    assert (third.status, third.json) == (202, done)


def test_a_transaction_that_was_overtaken_has_a_bad_sequence_number(deployed, sender, receiver):
    late = sender.built("/streams", stream(deployed, receiver, deployed.v2, amount="5000000"))["transaction"]
    deployed.applied(sender, sender.built("/streams", stream(deployed, receiver, deployed.v2))["transaction"])
    said = sender.submitted(sender.signed(late["xdr"]))
    assert (said.status, said.json["status"], said.json["error"]["code"]) == (202, "FAILED", "txBAD_SEQ")


def test_a_sender_without_enough_is_told_by_the_tokens_own_error(deployed, sender, receiver):
    said = sender.post("/streams", stream(deployed, receiver, deployed.v2, amount=str(10**20)))
    assert (said.status, said.code) == (422, "simulation-failed")
    error = said.json["contractError"]
    assert (error["contractId"], error["name"]) in {
        (deployed.usdc, "BalanceError"),
        (deployed.v2, "InsufficientBalance"),
    }
    assert "does not have enough of the token" in said.json["detail"]


def test_who_may_not_is_told_which_of_the_contracts_rules_says_so(deployed, sender, receiver):
    stranger = deployed.wallet("carol")
    created = deployed.applied(sender, sender.built("/streams", stream(deployed, receiver, deployed.v2))["transaction"])
    (stream_id,) = created["streamIds"]
    for path, name in (("/streams/withdraw", "NotBeneficiary"), ("/streams/cancel", "NotStreamOwner")):
        said = stranger.post(path, {"streamId": stream_id})
        assert (said.code, said.json["contractError"]["name"]) == ("simulation-failed", name)
    said = stranger.post("/streams/cancel", {"streamId": f"{deployed.v2}-4000000"})
    assert said.json["contractError"]["name"] == "StreamNotFound"


def changed(text: str, change: Callable[[TransactionEnvelope], None]) -> str:
    envelope = TransactionEnvelope.from_xdr(text, PASSPHRASE)
    change(envelope)
    return envelope.to_xdr()


def test_what_a_wallet_must_not_hand_in_is_refused_and_leaves_no_trace(deployed, sender, receiver):
    built = sender.built("/streams", stream(deployed, receiver, deployed.v2))["transaction"]["xdr"]

    def expired(envelope: TransactionEnvelope) -> None:
        envelope.transaction.preconditions.time_bounds.max_time = int(time.time()) - 60

    def foreign(envelope: TransactionEnvelope) -> None:
        call = envelope.transaction.operations[0].host_function.invoke_contract
        call.contract_address = scval.to_address(deployed.usdc).address
        call.function_name = xdr.SCSymbol(b"transfer")
        call.args = [scval.to_address(sender.account), scval.to_address(receiver.account), scval.to_int128(1)]
        envelope.transaction.operations[0].auth = []

    for text, code in (
        (sender.signed(built, receiver.keys), "wrong-signer"),
        (built, "envelope-unsigned"),
        (sender.signed(changed(built, expired)), "envelope-expired"),
        (sender.signed(changed(built, foreign)), "foreign-call"),
    ):
        said = sender.submitted(text)
        assert (said.status, said.code) == (422, code)
        tx_hash = TransactionEnvelope.from_xdr(text, PASSPHRASE).hash_hex()
        assert deployed.api.get(f"/api/v1/transactions/{tx_hash}").code == "transaction-not-found"


def test_an_account_that_nobody_funded_can_log_in_but_has_no_transaction(deployed, receiver):
    nobody = Wallet(deployed.api, Keypair.random())
    said = nobody.post("/streams", stream(deployed, receiver, deployed.v2))
    assert (said.status, said.code) == (422, "account-not-found")
