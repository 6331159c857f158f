"""The whole circle in a browser: a link made over HTTP, its page, a wallet, and paid because the chain says so.

The network is the sandbox, ``sync --follow`` a process of its own, and nothing is scripted but the wallet's answers.
"""

from __future__ import annotations

import asyncio

import pytest
from stellar_sdk import Keypair

from tests.api.pages.browser import chromium
from tests.invoice_links.page_kit import PHONE, SEP43, pay_page, shown, signed_by, step
from tests.nebula.test_circle import deployed  # noqa: F401 - a fixture

AMOUNT = 12_500_000_000


@pytest.fixture
def network(deployed):  # noqa: F811 - the fixture
    return deployed


async def test_a_link_is_paid_on_its_page_and_completed_by_the_chain(network):
    payee, payer = network.wallet("bob"), Keypair.from_secret(network.node.network.secret_key("alice"))
    asked = {
        "receiver": payee.account,
        "amount": str(AMOUNT),
        "tokenAddress": network.usdc,
        "duration": 2_592_000,
        "contractId": network.v2,
        "description": "Design work",
    }
    said = await asyncio.to_thread(payee.post, "/invoice-links", asked)
    assert said.status == 201, said.body
    slug = said.json["slug"]
    wallet = SEP43.replace("ACCOUNT", repr(payer.public_key))
    async with (
        chromium() as browser,
        pay_page(browser, network.api.url, PHONE, wallet=wallet, sign=signed_by(payer)) as seen,
    ):
        await seen.open(f"/invoice/{slug}")
        assert await seen.text("h1") == "Payment request 1,250 USDC"
        await seen.page.click(".wallet")
        await step(seen, "review")
        assert await seen.text('[data-fill="pays"]') == "1,250 USDC"
        streamed = await seen.text('[data-fill="streamed"]')
        await seen.page.click("#sign")
        await shown(seen, "under-way")
        tx_hash = await seen.page.get_attribute("#content", "data-tx")
        path = f"/invoice-links/{slug}"
        await asyncio.to_thread(network.node.close_ledgers, 1)
        paid = await asyncio.to_thread(network.until, path, lambda link: link["status"] == "COMPLETED")
        await shown(seen, "paid")
        receipt = await seen.text(".receipt")
        assert (paid["txHash"], paid["payer"]) == (tx_hash, payer.public_key)
        for told in (paid["streamId"], tx_hash, payer.public_key, "Paid 1,250 USDC", f"Streamed {streamed}"):
            assert told in receipt
        stream = await asyncio.to_thread(network.get, f"/streams/{paid['streamId']}")
        assert (stream["receiver"], stream["memo"], stream["status"]) == (payee.account, slug, "ACTIVE")
