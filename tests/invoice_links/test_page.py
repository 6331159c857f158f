"""The pay page as it is served and as a browser shows it: every state, phone and desk, light and dark, by keyboard."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from stellarstream_core.api.pages.render import HEADERS
from stellarstream_core.api.pages.static import bundle_of
from stellarstream_core.errors import StorageError
from stellarstream_core.testing.api import Served, serving
from stellarstream_invoice_links import page, watching
from stellarstream_invoice_links.resources import page as resource
from tests.api.pages.browser import chromium
from tests.invoice_links.kit import runtime_of
from tests.invoice_links.page_kit import (
    DESK,
    FREIGHTER,
    IMAGE,
    NARROW,
    PHONE,
    SCENES,
    SCRIPT,
    SEP43,
    at,
    change,
    complete,
    forgive,
    know_tokens,
    pay_page,
    put,
    scene,
    shown,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = {
    "open": "Awaiting payment",
    "dated": "Awaiting payment",
    "under-way": "Payment under way",
    "in-ledger": "Payment under way",
    "failed": "Awaiting payment",
    "paid": "Paid",
    "overpaid": "Paid",
    "expired": "Expired",
    "cancelled": "Cancelled",
    "hostile": "Awaiting payment",
    "strange": "Awaiting payment",
}
GONE = {"expired", "cancelled"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[object]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory) -> AsyncIterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "TOKEN_SECONDS", 0.2)
        patch.setattr(watching, "LOOK_SECONDS", 0.1)
        async with serving(runtime_of(f"sqlite:///{tmp_path_factory.mktemp('page') / 'page.db'}")) as served:
            know_tokens(served.service.database.storage)
            yield served


@pytest.fixture
def storage(api):
    return api.service.database.storage


@pytest.fixture
def open_page(browser, api):
    """Return a function that gives a watched page of the service, in a browser that may have a wallet."""
    return lambda size=PHONE, **options: pay_page(browser, api.url, size, **options)


@pytest_asyncio.fixture(loop_scope="module")
async def get(api):
    """Return a coroutine that gets a page, as text with its status and headers."""
    async with aiohttp.ClientSession() as session:

        async def fetch(path: str) -> tuple[int, str, dict[str, str]]:
            async with session.get(api.url + path) as answer:
                return answer.status, await answer.text(), dict(answer.headers)

        yield fetch


# --- as it is served ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
async def test_each_state_has_its_status_and_is_a_page_under_the_strict_policy(storage, get, name):
    status, html, headers = await get(at(scene(storage, name)))
    assert status == (410 if name in GONE else 200)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
    for header, value in HEADERS.items():
        assert headers[header] == value
    assert WORDS[name] in html
    # nothing inline, nothing from elsewhere
    assert re.findall(r"<script(?![^>]* src=)", html) == []
    assert re.findall(r"<[^>]*\s(?:style|on[a-z]+)\s*=", html.replace(SCRIPT, "").replace(IMAGE, "")) == []
    assert "<style" not in html
    assert re.findall(r'(?:src|srcset|action)="(?!\.\./)', html) == []


async def test_unknown_links_are_a_page_too(storage, get):
    deleted = put(storage, int(time.time()), deleted_at=5)
    for path in ("/invoice/nobodyKnows1", at(deleted), "/invoice/..%2Fx", f"/invoice/{'a' * 200}", "/invoice/%3Cb%3E"):
        status, html, headers = await get(path)
        assert (status, headers["Cache-Control"]) == (404, "no-store"), path
        assert "There is no payment link at this address" in html
        assert HEADERS.items() <= headers.items()
        assert "<b>" not in html


async def test_a_paid_link_is_there_though_it_was_deleted(storage, get):
    link = complete(storage, put(storage, int(time.time()), deleted_at=5))
    status, html, _ = await get(at(link))
    assert (status, "It is paid" in html) == (200, True)


async def test_terms_are_told_in_words(storage, get):
    link = scene(storage, "dated")
    _, html, _ = await get(at(link))
    for text in (link.terms.receiver, link.owner, link.terms.token, link.terms.contract, "1,250 USDC", "120 days"):
        assert text in html
    assert "about <b class" in html
    assert "10.4167 USDC a day" in html
    assert "Not the receiver. Pay only if you know why." in html
    assert 'href="https://files.example.com/invoices/2025-03.pdf" rel="noopener noreferrer nofollow"' in html
    assert "Document at <b>files.example.com</b>" in html


async def test_a_token_that_cannot_be_asked_leaves_the_amount_in_its_smallest_unit(storage, get):
    _, html, _ = await get(at(scene(storage, "strange")))
    assert "170,141,183,460,469,231,731,687,303,715,884,105,727" in html
    assert "The token could not be asked how many decimals it has." in html


async def test_without_its_database_the_page_says_so(storage, get, monkeypatch):
    def gone(*_args):
        raise StorageError("secret.example is gone")

    monkeypatch.setattr(type(storage), "read", gone)
    status, html, headers = await get("/invoice/nobodyKnows1")
    assert status == 503
    assert "This page cannot be shown now" in html
    assert "secret.example" not in html
    assert HEADERS.items() <= headers.items()


async def test_files_are_served_for_ever_under_their_digest_and_others_are_not_there(get):
    files = bundle_of(page.__name__)
    assert {"pay.css", "pay.js", "wallets.js"} <= set(files.files)
    for name in files.files:
        status, _, headers = await get(f"/invoice/{files.path(name)}")
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    status, _, headers = await get("/invoice/static/abc/pay.css")
    assert (status, headers["Cache-Control"]) == (200, "no-cache")
    assert (await get(f"/invoice/static/{files.digest}/nothing.css"))[0] == 404


# --- in a browser ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_state_is_readable_on_a_phone(storage, open_page, scheme):
    names = list(SCENES)[::2] if scheme == "light" else ["open", *list(SCENES)[1::2]]
    async with open_page(color_scheme=scheme) as seen:
        for name in names:
            await seen.open(at(scene(storage, name)))
            assert await seen.text(".state") == WORDS[name]
            await seen.unfold()
            await seen.sound()
        forgive(seen, 410)


async def test_states_are_readable_on_a_desk(storage, open_page):
    async with open_page(DESK, wallet=SEP43) as seen:
        for name in ("open", "under-way", "paid"):
            await seen.open(at(scene(storage, name)))
            await seen.unfold()
            await seen.sound()


async def test_the_narrowest_phone_scrolls_down_only(storage, open_page):
    async with open_page(NARROW) as seen:
        for name in ("dated", "hostile", "paid"):
            await seen.open(at(scene(storage, name)))
            await seen.unfold()
            assert await seen.page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


async def test_an_unknown_link_is_readable(open_page):
    async with open_page(color_scheme="dark") as seen:
        await seen.open("/invoice/nobodyKnows1")
        assert await seen.text("h1") == "There is no payment link at this address"
        await seen.sound()
        forgive(seen, 404)


async def test_dark_is_dark_and_light_is_light(storage, open_page):
    link = scene(storage, "open")
    for scheme, expected in (("light", lambda red: red > 200), ("dark", lambda red: red < 60)):
        async with open_page(color_scheme=scheme) as seen:
            await seen.open(at(link))
            for selector in ("html", ".card"):
                ground = await seen.page.eval_on_selector(selector, "e => getComputedStyle(e).backgroundColor")
                assert expected(int(ground.split("(")[1].split(",")[0])), (scheme, selector, ground)


async def test_the_first_screen_of_a_phone_holds_the_amount_and_the_button(storage, open_page):
    async with open_page(wallet=FREIGHTER) as seen:
        await seen.open(at(scene(storage, "open")))
        button = await seen.page.locator(".wallet").bounding_box()
        assert button["y"] + button["height"] <= PHONE[1]
        assert button["height"] >= 44


async def test_text_of_strangers_stays_text(storage, open_page):
    async with open_page() as seen:
        await seen.open(at(scene(storage, "hostile")))
        text = await seen.text("main")
        for words in (SCRIPT, IMAGE, "\"'><b>bold</b>{{7*7}}", "safe⟨U+202E⟩drawkcab"):
            assert words in text
        assert "Document at evil.example" in text
        assert await seen.page.locator("blockquote script, blockquote img, blockquote b, .amount script").count() == 0
        assert await seen.page.evaluate("window.taken") is None
        assert SCRIPT in await seen.page.title()


async def test_without_javascript_everything_can_be_read(storage, open_page):
    link = scene(storage, "open")
    async with open_page(java_script_enabled=False) as seen:
        await seen.open(at(link))
        assert await seen.text(".state") == "Awaiting payment"
        assert await seen.text("h1") == "Payment request 1,250 USDC"
        assert f"POST your account to api/v1/invoice-links/{link.slug}/transaction" in await seen.text("#pay")
        for selector in ("img.qr", "svg.plot", ".terms", "noscript"):
            assert await seen.page.is_visible(selector), selector
        for selector in ("#payer", ".copy >> nth=0"):
            assert not await seen.page.is_visible(selector), selector
        box = await seen.page.locator("img.qr").bounding_box()
        assert box["width"] >= 120
    async with open_page(java_script_enabled=False) as seen:
        await seen.open(at(scene(storage, "under-way")))
        assert "Reload the page to see how it goes." in await seen.text("#track")


async def test_the_qr_code_is_a_picture_of_this_pages_address(storage, api, open_page):
    link = scene(storage, "open")
    async with open_page(DESK) as seen:
        await seen.open(at(link))
        address = await seen.page.eval_on_selector("img.qr", "one => one.complete && one.naturalWidth > 0 && one.src")
        assert address == f"{api.url}/api/v1/invoice-links/{link.slug}/qr.svg"


async def test_the_keyboard_comes_to_everything_in_the_order_of_the_page(storage, open_page):
    link = put(storage, int(time.time()), pdf_url="https://files.example.com/a.pdf")
    async with open_page(wallet=FREIGHTER + SEP43, permissions=["clipboard-write"]) as seen:
        await seen.open(at(link))
        await seen.page.wait_for_selector(".wallet >> nth=1")
        stops = []
        for _ in range(9):
            await seen.page.keyboard.press("Tab")
            stops.append(await seen.page.evaluate("document.activeElement.textContent.replace(/\\s+/g, ' ').trim()"))
            outline = await seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid" or stops[-1] == "Skip to content"
        assert stops == [
            "Skip to content",
            "Document at files.example.com (opens in a new tab)",
            "FPay with Freighter",
            "TPay with Test Wallet",
            "Pay without a browser wallet",
            "Copy the receiver’s address",
            "Copy the token’s address",
            "Copy the contract’s address",
            "Download as PDF",
        ]


async def test_an_address_is_copied(storage, open_page):
    link = scene(storage, "open")
    async with open_page(permissions=["clipboard-read", "clipboard-write"]) as seen:
        await seen.open(at(link))
        await seen.page.click(f'.copy[data-copy="{link.terms.receiver}"]')
        await seen.until("document.getElementById('said').textContent === 'Copied.'")
        assert await seen.page.evaluate("navigator.clipboard.readText()") == link.terms.receiver


async def test_times_are_those_of_the_readers_clock(storage, open_page):
    link = put(storage, 1_780_000_000, start=1_767_225_600)  # 1 January 2026, 00:00 UTC
    async with open_page(timezone_id="America/New_York") as seen:
        await seen.open(at(link))
        selector = '.terms time[data-moment="1767225600"]'
        assert await seen.text(selector) == "31 December 2025, 19:00 GMT-5"
        assert await seen.page.get_attribute(selector, "title") == "1 January 2026, 00:00 UTC"


# --- live -------------------------------------------------------------------------------------------------


async def test_an_open_page_becomes_the_paid_one_when_the_link_is_paid(storage, open_page):
    link = scene(storage, "open")
    async with open_page() as seen:
        await seen.open(at(link))
        await seen.page.evaluate("window.here = true")
        complete(storage, link)
        await shown(seen, "paid")
        assert await seen.text("#receipt-head") == "It is paid"
        assert await seen.page.evaluate("window.here"), "it was not loaded again"
        assert await seen.page.title() == "Paid: 1,250 USDC"
        assert await seen.text("#said") == "It is paid."
        await seen.sound()


async def test_an_open_page_becomes_the_expired_one_when_its_time_is_over(storage, open_page):
    link = scene(storage, "open")
    async with open_page() as seen:
        await seen.open(at(link))
        assert await seen.text(".state") == "Awaiting payment"
        change(storage, link, expires_at=int(time.time()))
        await shown(seen, "expired")
        assert await seen.page.locator("#pay").count() == 0
        forgive(seen, 410)


async def test_an_expired_page_becomes_the_paid_one_when_an_earlier_payment_is_indexed(storage, open_page):
    link = scene(storage, "expired")
    async with open_page() as seen:
        await seen.open(at(link))
        complete(storage, link)
        await shown(seen, "paid")
        forgive(seen, 410)


async def test_a_page_of_a_link_that_is_deleted_says_so(storage, open_page):
    link = scene(storage, "open")
    async with open_page() as seen:
        await seen.open(at(link))
        change(storage, link, deleted_at=int(time.time()))
        await seen.until("document.querySelector('h1').textContent.includes('no payment link')")
        forgive(seen, 404)
