"""Paying on the page: what is shown before it is signed, what comes twice, late or in the middle, what comes of it."""

from __future__ import annotations

import asyncio
import time

import pytest
from stellar_sdk.xdr import TransactionResultCode as Code

from stellarstream_nebula.transactions.store import State
from tests.api.pages.browser import Watched
from tests.invoice_links.kit import put_submission
from tests.invoice_links.page_kit import (
    DESK,
    SEP43,
    at,
    change,
    complete,
    forgive,
    scene,
    shown,
    signed_by,
    step,
    store_transaction,
    submissions,
    to_review,
    trouble,
)
from tests.invoice_links.pay_kit import PAYER, digest, read_back
from tests.invoice_links.paying_fixtures import (  # noqa: F401 - fixtures
    api_fixture,
    browser_fixture,
    chain_fixture,
    link_fixture,
    open_page_fixture,
    storage_fixture,
)
from tests.nebula.relay_kit import result_xdr

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- what is shown before it is signed ------------------------------------------------------------------


async def test_what_will_be_signed_is_shown_exactly(link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        told = {name: await seen.text(f'[data-fill="{name}"] >> nth=0') for name in ("pays", "fee", "streamed")}
        assert told == {"pays": "1,250 USDC", "fee": "6.25 USDC", "streamed": "1,243.75 USDC"}
        assert await seen.text('[data-fill="receiver"]') == link.terms.receiver
        assert await seen.text('[data-fill="account"]') == PAYER.public_key
        assert await seen.text('[data-fill="network"]') == "Sandbox"
        assert await seen.text('[data-fill="network-fee"]') == "at most 0.0013345 XLM"
        assert (await seen.text('[data-fill="left"]')).startswith("4:")
        assert await seen.page.evaluate("document.activeElement.id") == "review-head"
        await seen.sound()


async def test_a_transaction_that_is_not_what_the_page_shows_is_not_offered(link, open_page):
    async with open_page(wallet=SEP43) as seen:

        async def other(route):
            answer = await route.fetch()
            body = await answer.json()
            body["stream"]["receiver"] = PAYER.public_key
            await route.fulfill(response=answer, json=body)

        await seen.page.route("**/transaction", other)
        await seen.open(at(link))
        await seen.page.click(".wallet")
        assert "not what this page shows" in await trouble(seen)
        assert not await seen.page.is_visible("#sign")


async def test_a_transaction_that_is_too_old_is_prepared_again(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:

        async def short(route):
            answer = await route.fetch()
            body = await answer.json()
            body["transaction"]["validUntil"] = "2026-01-01T00:00:00Z"
            await route.fulfill(response=answer, json=body)

        await seen.page.route("**/transaction", short, times=1)
        await seen.open(at(link))
        await seen.page.click(".wallet")
        assert await trouble(seen) == "This transaction is too old to be signed now. Nothing was sent."
        assert await seen.text("#retry") == "Prepare it again"
        await seen.page.click("#retry")
        await step(seen, "review")
        assert submissions(storage, link) == []


# --- twice, late and in the middle ------------------------------------------------------------------------


async def test_clicking_twice_does_nothing_twice(storage, chain, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await seen.open(at(link))
        twice = "id => { const one = document.querySelector(id); for (let n = 0; n < 5; n += 1) one.click(); }"
        await seen.page.wait_for_selector(".wallet")
        await seen.page.evaluate(twice, ".wallet")
        await step(seen, "review")
        assert chain.asked["simulate"] == 1
        await seen.page.evaluate(twice, "#sign")
        await shown(seen, "under-way")
        assert len(await seen.page.evaluate("window.askedOfWallet")) == 1
        assert len(submissions(storage, link)) == 1


async def test_what_a_wallet_signs_after_it_was_cancelled_is_not_sent(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        slow = """() => {
          const wallet = window.stellarWallet;
          const sign = wallet.signTransaction;
          wallet.signTransaction = async (...all) => {
            await new Promise((go) => { window.answer = go; });
            window.answered = await sign(...all);
            return window.answered;
          };
        }"""
        await seen.page.evaluate(slow)
        await seen.page.click("#sign")
        await step(seen, "busy")
        assert await seen.text("#busy-word") == "Sign in Test Wallet…"
        await seen.page.click("#busy-cancel")
        await step(seen, "choose")
        await seen.page.evaluate("window.answer()")
        await seen.until("window.answered !== undefined")
        await seen.page.evaluate("new Promise((go) => setTimeout(go, 0))")
        assert await seen.page.is_visible("#step-choose")
        assert submissions(storage, link) == []


async def test_a_page_that_is_loaded_again_in_the_middle_shows_what_is_under_way(link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        await seen.page.click("#sign")
        await shown(seen, "under-way")
        await seen.page.reload()
        assert await seen.text(".state") == "Payment under way"
        tx_hash = await seen.text("#track .key code")
        assert tx_hash == await seen.page.get_attribute("#content", "data-tx")
        assert not await seen.page.is_visible(".wallet")
        await seen.sound()


async def test_a_payment_is_sent_though_the_page_is_left_meanwhile(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        async with seen.page.expect_request("**/submit"):
            await seen.page.click("#sign")
        await seen.page.goto("about:blank")
        async with asyncio.timeout(5):
            while not submissions(storage, link):
                await asyncio.sleep(0.02)
        assert len(submissions(storage, link)) == 1
        seen.elsewhere = [url for url in seen.elsewhere if not url.startswith("about:")]


async def test_somebody_else_paid_while_it_was_shown_what_will_be_signed(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        complete(storage, link)
        await shown(seen, "paid")
        assert await seen.text("#note") == (
            "Somebody else paid the link meanwhile. Nothing was sent from your account."
        )
        assert await seen.page.evaluate("document.activeElement.id") == "ask-head"
        assert submissions(storage, link) == []


async def test_it_expired_while_the_wallet_was_signing(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        await seen.page.evaluate("() => { window.stellarWallet.signTransaction = () => new Promise(() => {}); }")
        await seen.page.click("#sign")
        await step(seen, "busy")
        change(storage, link, expires_at=int(time.time()) - 1)
        await shown(seen, "expired")
        assert await seen.text("#note") == "The link expired meanwhile. Nothing was sent."
        forgive(seen, 410)


async def test_it_was_cancelled_before_the_transaction_was_built(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        # a page that does not hear of it
        await seen.page.add_init_script("window.EventSource = class { addEventListener() {} close() {} };")
        await seen.open(at(link))
        change(storage, link, canceled_at=int(time.time()))
        await seen.page.click(".wallet")
        await shown(seen, "cancelled")
        forgive(seen, 410)


async def test_a_payment_of_somebody_else_is_warned_of_where_one_is_about_to_sign(storage, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        assert not await seen.page.is_visible("#review-again")
        put_submission(storage, link, "ab" * 32)
        change(storage, link)
        await seen.page.wait_for_selector("#review-again:not([hidden])")
        assert await seen.page.is_visible("#sign")


async def test_a_payment_of_somebody_else_while_one_signs_is_told_before_anything_is_sent(storage, link, open_page):
    other = "ac" * 32

    def come_in() -> None:
        store_transaction(storage, other, link, State.PENDING)
        put_submission(storage, link, other)

    async with open_page(wallet=SEP43) as seen:
        # a page that does not hear of it
        await seen.page.add_init_script("window.EventSource = class { addEventListener() {} close() {} };")
        await to_review(seen, link)
        come_in()
        await seen.page.click("#sign")
        said = await trouble(seen)
        assert said.startswith(
            "Somebody else's payment of this link came in meanwhile. Nothing was sent from your account."
        )
        assert [row.tx_hash for row in submissions(storage, link)] == [other]
        await seen.page.click("#retry")  # now it is warned of, and paid all the same
        await seen.page.wait_for_selector("#review-again:not([hidden])")
        await seen.page.click("#sign")
        await shown(seen, "under-way")
        assert len(submissions(storage, link)) == 2
        forgive(seen, 409)


async def test_while_a_payment_is_under_way_paying_again_comes_after_a_warning(chain, storage, open_page):
    link = scene(storage, "under-way")
    async with open_page(wallet=SEP43) as seen:
        await seen.open(at(link))
        assert "there are two streams, and only the first one counts" in await seen.text("#again")
        assert not await seen.page.is_visible(".wallet")
        await seen.page.click("#again-go")
        await seen.page.click(".wallet")
        await step(seen, "review")
        assert await seen.page.is_visible("#review-again")
        complete(storage, link)
        await shown(seen, "paid")


# --- what becomes of it -------------------------------------------------------------------------------------


async def test_a_payment_that_fails_in_its_ledger_is_said_with_why_and_can_be_made_again(chain, link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        await seen.page.click("#sign")
        await shown(seen, "under-way")
        tx_hash = await seen.page.get_attribute("#content", "data-tx")
        chain.applied(tx_hash, 101, result_xdr(Code.txBAD_SEQ))
        chain.ledger = 101
        await shown(seen, "open")
        assert "The payment failed, and nothing was paid by it." in await seen.text("#note")
        assert (
            await seen.text("#failed-before") == "The last attempt failed, and nothing was paid by it. You can pay now."
        )
        await seen.page.click(".wallet")
        await step(seen, "review")


async def test_a_payment_in_a_ledger_waits_for_the_index(chain, storage, open_page):
    link = scene(storage, "in-ledger")
    async with open_page() as seen:
        await seen.open(at(link))
        await seen.until("document.getElementById('track-word').textContent === 'In ledger 101'")
        assert await seen.page.get_attribute("#track-stream", "class") == "doing"


async def test_a_transaction_that_only_the_owner_named_is_waited_for(storage, link, open_page):
    put_submission(storage, link, "cd" * 32, origin="owner")
    async with open_page() as seen:
        await seen.open(at(link))
        assert await seen.text(".state") == "Payment under way"
        complete(storage, link)
        await shown(seen, "paid")
        forgive(seen, 404)


# --- without a wallet in the browser ------------------------------------------------------------------------


async def by_hand(seen: Watched, link, account: str = PAYER.public_key) -> None:
    await seen.open(at(link))
    await seen.page.fill("#account", account)
    await seen.page.press("#account", "Enter")


async def test_a_link_is_paid_without_a_wallet_in_the_browser(storage, link, open_page):
    async with open_page(DESK, permissions=["clipboard-read", "clipboard-write"]) as seen:
        await by_hand(seen, link)
        await step(seen, "review")
        unsigned = await seen.page.input_value("#unsigned")
        assert not read_back(unsigned).signatures
        assert await seen.page.get_attribute("#unsigned", "readonly") is not None
        assert (await seen.page.get_attribute("#sep7", "href")).startswith("web+stellar:tx?xdr=")
        await seen.page.click("#unsigned-copy")
        await seen.until("document.getElementById('said').textContent === 'Copied.'")
        assert await seen.page.evaluate("navigator.clipboard.readText()") == unsigned
        await seen.sound()
        for pasted, said in (
            ("", "Nothing is pasted here yet."),
            (unsigned, "This is the transaction as it was before it was signed. Paste what your wallet gives you."),
            ("<b>no</b>", "This is no transaction. Paste all of what your wallet gives you: letters and digits."),
        ):
            await seen.page.fill("#signed", pasted)
            await seen.page.click("#signed-send")
            assert await seen.text("#signed-wrong") == said
            assert await seen.page.evaluate("document.activeElement.id") == "signed"
        assert submissions(storage, link) == []
        signed = signed_by(PAYER)(unsigned)
        await seen.page.fill("#signed", f"{signed[:60]}\n {signed[60:]}")
        await seen.page.click("#signed-send")
        await shown(seen, "under-way")
        assert await seen.page.get_attribute("#content", "data-tx") == digest(unsigned)


async def test_a_wallet_app_that_sends_it_by_itself_takes_the_page_on(storage, link, open_page):
    async with open_page() as seen:
        await by_hand(seen, link)
        await step(seen, "review")
        tx_hash = digest(await seen.page.input_value("#unsigned"))
        store_transaction(storage, tx_hash, link, State.PENDING)
        put_submission(storage, link, tx_hash)
        await shown(seen, "under-way")
        assert not await seen.page.is_visible("#note")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "An account begins with G and has 56 letters and digits. Copy it from your wallet."),
        ("GABC", "An account begins with G and has 56 letters and digits. Copy it from your wallet."),
        (PAYER.secret, "This looks like a secret key. It was not sent anywhere; never type it into a page."),
    ],
    ids=["nothing", "short", "secret"],
)
async def test_what_is_no_account_is_said_beside_the_field_and_sent_nowhere(link, open_page, typed, said):
    async with open_page() as seen:
        sent: list[str] = []
        seen.page.on("request", lambda request: sent.append(f"{request.method} {request.post_data or ''}"))
        await by_hand(seen, link, typed)
        await seen.page.wait_for_selector("#account-wrong:not([hidden])")
        assert said in await seen.text("#account-wrong")
        assert await seen.page.get_attribute("#account", "aria-invalid") == "true"
        assert await seen.page.evaluate("document.activeElement.id") == "account"
        assert not any(one.startswith("POST") for one in sent)
        if typed == PAYER.secret:
            assert await seen.page.input_value("#account") == ""
        await seen.sound()


async def test_nothing_of_a_payment_is_kept_in_the_browser(link, open_page):
    async with open_page(wallet=SEP43) as seen:
        await to_review(seen, link)
        kept = await seen.page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]")
        assert kept == ["", 0, 0]
        assert PAYER.public_key not in seen.page.url
