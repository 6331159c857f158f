"""The wallets that browsers hold: each is asked as it wants to be, and whatever it does ends in a sentence."""

from __future__ import annotations

import pytest
from stellar_sdk import Keypair

from tests.invoice_links.page_kit import (
    FREIGHTER,
    HANA,
    LEGACY,
    LOBSTR,
    RABET,
    SEP43,
    XBULL,
    XBULL_NEW,
    at,
    complete,
    forgive,
    shown,
    signed_by,
    step,
    submissions,
    to_review,
    trouble,
)
from tests.invoice_links.pay_kit import PAYER
from tests.invoice_links.paying_fixtures import (  # noqa: F401 - fixtures
    api_fixture,
    browser_fixture,
    chain_fixture,
    link_fixture,
    open_page_fixture,
    storage_fixture,
)
from tests.nebula.relay_kit import PASSPHRASE, PUBNET

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- the wallets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wallet", "name"),
    [
        (SEP43, "Test Wallet"),
        (FREIGHTER, "Freighter"),
        (LEGACY, "Freighter"),
        (XBULL, "xBull"),
        (XBULL_NEW, "xBull"),
        (HANA, "Hana"),
    ],
    ids=["sep43", "freighter", "freighter-api", "xbull", "xbull-new", "hana"],
)
async def test_a_link_is_paid_with_a_wallet(storage, link, open_page, wallet, name):
    async with open_page(wallet=wallet) as seen:
        await seen.open(at(link))
        assert await seen.text(".wallet .what") == f"Pay with {name}"
        await seen.page.click(".wallet")
        await step(seen, "review")
        assert await seen.text("#sign") == f"Sign with {name}"
        await seen.page.click("#sign")
        await shown(seen, "under-way")
        (kept,) = submissions(storage, link)
        assert (kept.origin, kept.payer) == ("service", PAYER.public_key)
        (asked,) = await seen.page.evaluate("window.askedOfWallet")
        assert (asked["networkPassphrase"], asked["address"]) == (PASSPHRASE, PAYER.public_key)
        complete(storage, link)
        await shown(seen, "paid")


@pytest.mark.parametrize(("wallet", "name"), [(LOBSTR, "LOBSTR"), (RABET, "Rabet")], ids=["lobstr", "rabet"])
async def test_a_wallet_of_other_networks_is_not_asked(chain, link, open_page, wallet, name):
    async with open_page(wallet=wallet) as seen:
        await seen.open(at(link))
        await seen.page.click(".wallet")
        assert await trouble(seen) == f"{name} is set to another network. Switch it to Sandbox, then try again."
        assert "simulate" not in chain.asked


async def test_every_wallet_that_is_there_is_offered_also_one_that_comes_late(link, open_page):
    async with open_page(wallet=FREIGHTER + XBULL) as seen:
        await seen.open(at(link))
        await seen.page.evaluate("() => { setTimeout(() => { window.hanaWallet = { stellar: {} }; }, 200); }")
        await seen.page.wait_for_selector(".wallet >> nth=2")
        names = await seen.page.locator(".wallet .what").all_inner_texts()
        assert names == ["Pay with Freighter", "Pay with xBull", "Pay with Hana"]


async def test_what_is_no_wallet_is_not_offered(link, open_page):
    # Freighter's browser on a phone says there who it is, and nothing else
    harmless = "window.stellar = { provider: 'freighter', platform: 'mobile' }; window.rabet = null;"
    async with open_page(wallet=harmless) as seen:
        await seen.open(at(link))
        assert "No wallet was found in this browser." in await seen.text("#no-wallet")
        assert await seen.page.locator(".wallet").count() == 0
        assert await seen.page.is_visible("#account")


# --- what goes wrong --------------------------------------------------------------------------------------


DECLINED = "You declined in Test Wallet. Nothing was sent; you can pay whenever you like."
UNSIGNED = {
    "async () => ({ error: { code: -4, message: 'x' } })": DECLINED,
    "async () => { throw new Error('User declined access') }": DECLINED,
    "async () => { throw 'The ledger is not connected.' }": "Test Wallet did not do it. It says: “The ledger is not "
    "connected.” Nothing was sent. Look into the wallet, then try again.",
    "async () => ({})": "Test Wallet did not do it. It says: “It gave no signed transaction.” Nothing was sent. Look "
    "into the wallet, then try again.",
}
"""What a wallet does where it does not sign, and what is said."""
NO_ACCOUNT = "Test Wallet gave no account. Unlock it, choose the account that pays, then try again."
UNCONNECTED = {
    "getAddress = async () => ({ address: '' })": NO_ACCOUNT,
    "getAddress = async () => ({ address: 'CAAA' })": NO_ACCOUNT,
    "getAddress = async () => ({ code: -4, message: 'Rejected by the user.' })": DECLINED,
    f"getNetwork = async () => ({{ networkPassphrase: '{PUBNET}' }})": (
        "Test Wallet is set to another network. Switch it to Sandbox, then try again."
    ),
}


async def test_a_wallet_that_does_not_sign_is_said_in_a_sentence_and_can_be_tried_again(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await seen.open(at(link))
        for does, said in UNSIGNED.items():
            await seen.page.click(".wallet")
            await step(seen, "review")
            await seen.page.evaluate(f"() => {{ window.stellarWallet.signTransaction = {does}; }}")
            await seen.page.click("#sign")
            assert await trouble(seen) == said
            assert await seen.page.evaluate("document.activeElement.dataset.wallet") == "Test Wallet"
        assert submissions(storage, link) == []
        await seen.sound()


async def test_a_wallet_that_does_not_connect_is_said_in_a_sentence(chain, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await seen.open(at(link))
        before = "() => { window.kept = { ...window.stellarWallet }; }"
        await seen.page.evaluate(before)
        for does, said in UNCONNECTED.items():
            broken = f"() => {{ Object.assign(window.stellarWallet, window.kept); window.stellarWallet.{does}; }}"
            await seen.page.evaluate(broken)
            await seen.page.click(".wallet")
            assert await trouble(seen) == said
        assert "simulate" not in chain.asked


async def test_an_account_that_is_not_on_the_network_is_said_with_what_to_do(link, open_page):
    nobody = Keypair.random()
    async with open_page(wallet=SEP43.replace("ACCOUNT", repr(nobody.public_key))) as seen:
        await seen.open(at(link))
        await seen.page.click(".wallet")
        said = await trouble(seen)
        assert f"The account {nobody.public_key} is not on the network." in said
        assert "Fund the account" in said
        forgive(seen, 422)


async def test_a_transaction_signed_by_another_account_is_not_sent(storage, link, open_page):
    async with open_page(wallet=SEP43, sign=signed_by(Keypair.random())) as seen:
        await to_review(seen, link)
        await seen.page.click("#sign")
        assert "It was signed with another account than the one that pays." in await trouble(seen)
        assert submissions(storage, link) == []
        forgive(seen, 422)


async def test_a_service_that_is_away_is_asked_again_with_what_is_signed_already(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        await seen.page.route("**/submit", lambda route: route.abort(), times=1)
        await seen.page.click("#sign")
        said = await trouble(seen)
        assert "The service does not answer." in said
        assert "to send it again does no harm, it pays once" in said
        assert await seen.text("#retry") == "Send it again"
        await seen.page.click("#retry")
        await shown(seen, "under-way")
        assert len(await seen.page.evaluate("window.askedOfWallet")) == 1
        assert len(submissions(storage, link)) == 1
        seen.complaints = [text for text in seen.complaints if "ERR_FAILED" not in text]
