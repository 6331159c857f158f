"""A link is paid on a sandbox network by a wallet that knows SEP-7 and nothing else of this service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from stellar_sdk import Keypair
from stellar_sdk.sep.stellar_uri import TransactionStellarUri

from stellarstream_sandbox.config import SandboxConfig
from tests.api.kit import Said
from tests.cli.conftest import Node
from tests.invoice_links.kit import LinkApi
from tests.invoice_links.pay_kit import build, digest, submit
from tests.nebula.relay_kit import PASSPHRASE

FORM = "Content-Type: application/x-www-form-urlencoded"
PATIENCE_SECONDS = 20.0
AMOUNT = 1_000_000_000
VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    running = Node(SandboxConfig(seed=5, ledgers=12, transactions=0, burst_every=0, port=0, live=False))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def links(link_api_of, node) -> LinkApi:
    contracts = {node.contracts["streams-v1"]: "v1", node.contracts["streams-v2"]: "v2"}
    nebula = {"contracts": contracts, "transaction_seconds": 3600}
    return link_api_of(rpc_url=[node.url], contracts=list(contracts), sections={"nebula": nebula})


@pytest.fixture
def payer(node) -> Keypair:
    return Keypair.from_secret(node.network.secret_key("alice"))


@pytest.fixture
def made(links, node) -> Callable[..., dict[str, Any]]:
    """Return a function that makes a link, which asks for a stream to bob."""

    def make(version: str, **more: object) -> dict[str, Any]:
        asked = {
            "receiver": Keypair.from_secret(node.network.secret_key("bob")).public_key,
            "contractId": node.contracts[f"streams-{version}"],
            "tokenAddress": node.contracts["token-usdc"],
            "amount": str(AMOUNT),
            "duration": 500,
        }
        return links.make(**{**asked, **more})

    return make


def called_back(links: LinkApi, uri: str, keys: Keypair) -> Said:
    """Do with a request to sign what a wallet does: sign it, and post it as a form where it says."""
    request = TransactionStellarUri.from_uri(uri, PASSPHRASE)
    assert request.pubkey == keys.public_key
    request.transaction_envelope.sign(keys)
    body = urlencode({"xdr": request.transaction_envelope.to_xdr()}).encode()
    return links.running.get(urlsplit(request.callback).path, FORM, method="POST", body=body)


def ended(links: LinkApi, node: Node, tx_hash: str) -> dict[str, Any]:
    """Let ledgers close until the fate of a transaction is known, and return it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = links.ask("GET", f"/transactions/{tx_hash}", account=None).json
        if found["status"] != "PENDING":
            return found
        assert time.monotonic() < end, found
        node.close_ledgers(1)
        time.sleep(0.2)


@VERSIONS
def test_a_wallet_pays_a_link_by_its_request_alone(links, node, payer, made, version):
    slug = made(version)["slug"]
    said = build(links.running, slug, payer.public_key)
    assert said.status == 200, said.body
    built = said.json
    assert int(built["stream"]["amount"]) + int(built["stream"]["fee"]) == AMOUNT
    assert built["stream"]["memo"] == (slug if version == "v2" else None)
    taken = called_back(links, built["sep7Uri"], payer)
    assert taken.status == 202, taken.body
    assert taken.json == {"txHash": built["transaction"]["hash"], "status": "PENDING", "linkStatus": "SIGNED"}
    assert ended(links, node, built["transaction"]["hash"])["status"] == "SUCCESS"
    # nothing is indexed here: who opens the link is still told that somebody pays it
    assert build(links.running, slug, payer.public_key).json["underWay"] == built["transaction"]["hash"]


@VERSIONS
def test_the_same_request_opened_twice_pays_once(links, node, payer, made, version):
    slug = made(version)["slug"]
    uri = build(links.running, slug, payer.public_key).json["sep7Uri"]
    first, second = called_back(links, uri, payer), called_back(links, uri, payer)
    assert (first.status, first.json) == (second.status, second.json) == (202, first.json)
    assert ended(links, node, first.json["txHash"])["status"] == "SUCCESS"


def test_what_was_built_for_one_link_does_not_pay_another(links, payer, made):
    first, second = made("v2")["slug"], made("v2")["slug"]
    request = TransactionStellarUri.from_uri(build(links.running, first, payer.public_key).json["sep7Uri"], PASSPHRASE)
    request.transaction_envelope.sign(payer)
    text = request.transaction_envelope.to_xdr()
    said = submit(links.running, second, text)
    assert (said.status, said.code) == (422, "terms-mismatch")
    assert links.ask("GET", f"/transactions/{digest(text)}", account=None).code == "transaction-not-found"


def test_a_payer_without_enough_is_told_so_before_signing(links, node, made, payer):
    said = build(links.running, made("v2", amount=str(10**20))["slug"], payer.public_key)
    assert (said.status, said.code) == (422, "simulation-failed")
    assert "does not have enough of the token" in said.json["detail"]
