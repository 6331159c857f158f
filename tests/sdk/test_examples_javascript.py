"""The JavaScript examples run: the Node script to its end, the React page in a real browser, against a real service."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from stellar_sdk import Keypair

from nebula_client import NebulaClient, SecretKeySigner, from_units
from tests.api.pages.browser import Watched, chromium, watched
from tests.invoice_links.page_kit import FREIGHTER, signed_by, wallet_script
from tests.sdk.demo_kit import Demo, demo
from tests.sdk.node_kit import EXAMPLES, built_sdk, installed, run

pytestmark = pytest.mark.timeout(600)

in_browser = pytest.mark.asyncio(loop_scope="module")

PAGE = EXAMPLES / "react-streams"
DESK, PHONE = (1280, 900), (360, 740)
HELD = os.environ.get("EXAMPLES_SCREENSHOTS")
"""A folder to keep pictures of the page in, to look at."""


class Handler(SimpleHTTPRequestHandler):
    """Serves a built page, at every path that is no file, as a host of single-page applications does."""

    def translate_path(self, path: str) -> str:
        found = super().translate_path(path)
        return found if Path(found).is_file() else str(Path(self.directory) / "index.html")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[ThreadingHTTPServer]:
    """A web server for the page; it listens before there is one, so that the service can be told its origin."""
    folder = tmp_path_factory.mktemp("page")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.folder, server.url = folder, f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(scope="module")
def service(host, tmp_path_factory) -> Iterator[Demo]:
    """A real service whose frontend is the page: where nothing else is said, its origin may call the API."""
    with demo(tmp_path_factory.mktemp("demo"), frontend_url=host.url) as running:
        yield running


@pytest.fixture(scope="module")
def page(host, service) -> str:
    """The address of the page, type-checked and built by Vite for this service."""
    built_sdk()
    installed(PAGE)
    env = {"VITE_NEBULA_URL": service.url, "VITE_SANDBOX_URL": service.network, "VITE_TOKEN": service.usdc}
    run(PAGE, "npx", "tsc")
    run(PAGE, "npx", "vite", "build", "--outDir", str(host.folder), "--emptyOutDir", env=env)
    return host.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[object]:
    async with chromium() as found:
        yield found


@pytest.fixture
def people(service) -> Iterator[tuple[NebulaClient, Keypair]]:
    """Somebody with money, and a client that acts for them."""
    secret = service.secret()
    with NebulaClient(service.url, signer=SecretKeySigner(secret)) as client:
        yield client, Keypair.from_secret(secret)


@asynccontextmanager
async def opened(browser, url: str, service: Demo, path: str = "/", size=DESK, **options) -> AsyncIterator[Watched]:
    """Open the page; besides itself it may ask the service and the simulated network, and nobody else."""
    async with watched(browser, url, size, **options) as seen:
        await seen.page.goto(url + path)
        yield seen
        known = {urlsplit(one).netloc for one in (service.url, service.network)}
        seen.elsewhere = [one for one in seen.elsewhere if urlsplit(one).netloc not in known]


async def fill(seen: Watched, label: str, value: str) -> None:
    await seen.page.get_by_label(label).fill(value)


async def press(seen: Watched, name: str) -> None:
    await seen.page.get_by_role("button", name=name).click()


async def demo_wallet(seen: Watched) -> str:
    """Connect the demo wallet, and return its account."""
    await press(seen, "Use a demo wallet")
    await seen.page.wait_for_selector(".who code")
    return await seen.page.get_attribute(".who code", "title")


async def create(seen: Watched, receiver: str) -> str:
    """Create a stream of 12.5 tokens over an hour, and return its id once the page shows it live."""
    await fill(seen, "To", receiver)
    await fill(seen, "Amount in USDC", "12.5")
    await fill(seen, "Over", "1")
    await seen.page.get_by_label("Unit").select_option("hours")
    await fill(seen, "Memo (optional)", "design_work")
    await press(seen, "Create the stream")
    await seen.page.wait_for_selector(".live[data-stream] dl", timeout=40_000)
    return await seen.page.get_attribute(".live", "data-stream")


async def picture(seen: Watched, name: str) -> None:
    if HELD:
        await seen.page.screenshot(path=f"{HELD}/{name}.png", full_page=True)


async def problem(seen: Watched) -> str:
    await seen.page.wait_for_selector(".problem", timeout=20_000)
    return await seen.text(".problem")


# --- the Node script --------------------------------------------------------------------------------------


def test_the_node_script_runs_to_its_end(service):
    built_sdk()
    folder = installed(EXAMPLES / "node-script")
    said = run(folder, "node", "stream.mjs", service.url, service.network, seconds=100)
    assert "Alice has logged in." in said
    assert said.count("unlocked by now:") == 3
    assert "watched: CANCELED" in said
    assert said.rstrip().endswith("cancel")


def test_the_node_script_says_how_to_call_it_and_why_it_fails():
    built_sdk()
    folder = installed(EXAMPLES / "node-script")
    with pytest.raises(AssertionError, match=r"usage: node stream\.mjs"):
        run(folder, "node", "stream.mjs")


# --- the React page ---------------------------------------------------------------------------------------


@in_browser
async def test_a_stream_is_created_listed_watched_and_cancelled_on_the_page(browser, page, service, people):
    client, receiver = people
    async with opened(browser, page, service) as seen:
        sender = await demo_wallet(seen)
        stream_id = await create(seen, receiver.public_key)
        stream = await asyncio.to_thread(client.get_stream, stream_id)
        assert (stream.sender, stream.receiver, stream.memo) == (sender, receiver.public_key, "design_work")
        listed = seen.page.locator(".streams button")
        await listed.first.wait_for()
        assert await listed.count() == 1
        assert f"{from_units(stream.amount, 7)} USDC" in await listed.first.inner_text()

        # the unlocked amount moves by itself, and is what the service computes for the same moment
        ticking = seen.page.locator(".ticking")
        first = await reading(seen)
        await seen.until(f"document.querySelector('.ticking').dataset.unlocked > {first[0]}")
        second = await reading(seen)
        assert second[0] > first[0] > 0
        for units, before, after in (first, second):
            least, most = [
                int((await asyncio.to_thread(client.get_stream, stream_id, at=at)).unlocked)
                for at in (iso(before - 1.5), iso(after + 0.5))
            ]
            assert least <= units <= most
        assert (await ticking.inner_text()).endswith(" USDC")

        # what happens elsewhere is shown without asking: the receiver withdraws
        await asyncio.to_thread(client.withdraw_from_stream, stream_id)
        await seen.until("document.querySelector('[data-withdrawn]').dataset.withdrawn !== '0'")

        await press(seen, "Cancel the stream")
        await seen.page.wait_for_selector(".live .state.canceled", timeout=40_000)
        await seen.page.wait_for_selector(".streams .state.canceled", timeout=40_000)
        assert (await asyncio.to_thread(client.get_stream, stream_id)).status == "CANCELED"


async def reading(seen: Watched) -> tuple[int, float, float]:
    """Return what is shown as unlocked, and the moments before and after it was read."""
    await seen.until("/^[1-9]/.test(document.querySelector('.ticking')?.dataset.unlocked ?? '')", 30)
    before = time.time()
    units = int(await seen.page.get_attribute(".ticking", "data-unlocked"))
    return units, before, time.time()


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@in_browser
async def test_a_link_is_paid_on_the_page_that_its_share_address_opens(browser, page, service, people):
    client, receiver = people
    terms = {"receiver": receiver.public_key, "amount": 125_000_000, "token_address": service.usdc, "duration": 3600}
    link = await asyncio.to_thread(partial(client.create_invoice_link, **terms, description="Logo, final\nThank you!"))
    assert link.share_url == f"{page}/invoice/{link.slug}"
    async with opened(browser, page, service, f"/invoice/{link.slug}") as seen:
        await seen.page.wait_for_selector(".terms")
        assert await seen.text(".terms .amount strong") == "12.5 USDC"
        assert "Logo, final" in await seen.text(".terms blockquote")
        assert "Connect a wallet" in await seen.text(".terms .quiet-text")
        payer = await demo_wallet(seen)
        await press(seen, "Pay with Demo wallet")
        await seen.page.wait_for_selector('.terms[data-status="COMPLETED"]', timeout=40_000)
        assert (await seen.text(".terms .done")).startswith("Paid.")
        await seen.page.wait_for_selector(".live[data-stream] dl")
        paid = await asyncio.to_thread(client.get_invoice_link, link.slug)
        assert (paid.status, paid.payer) == ("COMPLETED", payer)
        assert await seen.page.get_attribute(".live", "data-stream") == paid.stream_id


@in_browser
async def test_freighter_signs_what_the_page_asks_for(browser, page, service, people):
    client, receiver = people
    payer = Keypair.from_secret(service.secret())
    async with opened(browser, page, service) as seen:
        await seen.page.expose_function("sign", signed_by(payer))
        await seen.page.add_init_script(wallet_script(FREIGHTER, payer.public_key))
        await seen.page.reload()
        await press(seen, "Connect Freighter")
        await seen.page.wait_for_selector(".who code")
        stream_id = await create(seen, receiver.public_key)
        asked = await seen.page.evaluate("window.askedOfWallet")
        assert [one["address"] for one in asked] == [payer.public_key] * 2  # the login, and the stream
        assert (await asyncio.to_thread(client.get_stream, stream_id)).sender == payer.public_key


@in_browser
async def test_what_goes_wrong_is_said_in_words(browser, page, service, people):
    client, receiver = people
    payer = Keypair.from_secret(service.secret())
    link = await asyncio.to_thread(
        client.create_invoice_link, receiver=receiver.public_key, amount=1, token_address=service.usdc, duration=60
    )
    async with opened(browser, page, service) as seen:
        await press(seen, "Connect Freighter")
        assert "No wallet answers" in await problem(seen)

        refusing = FREIGHTER.replace(
            "signedTransaction: await sign(data.transactionXdr)", "apiError: { code: -4, message: 'no' }"
        )
        await seen.page.add_init_script(wallet_script(refusing, payer.public_key))
        await seen.page.reload()
        await press(seen, "Connect Freighter")
        await seen.page.wait_for_selector(".who code")
        await fill(seen, "To", receiver.public_key)
        await fill(seen, "Amount in USDC", "1")
        await press(seen, "Create the stream")
        assert await problem(seen) == "The wallet did not sign. Nothing was sent."

        await fill(seen, "Link or its code", "AAAAAAAAAAAA")
        await press(seen, "Show it")
        await seen.page.get_by_text("There is no such link").wait_for()
        await asyncio.to_thread(client.update_invoice_link_status, link.slug, "CANCELED")
        await fill(seen, "Link or its code", link.slug)
        await press(seen, "Show it")
        await seen.page.get_by_text("took it back").wait_for()

        await seen.page.route("**/api/v1/**", lambda route: route.abort())
        await press(seen, "Show it")
        await seen.page.get_by_text("cannot be reached").wait_for(timeout=20_000)
        words = ("status of 404", "status of 410", "net::ERR_FAILED")
        seen.complaints = [one for one in seen.complaints if not any(word in one for word in words)]


@in_browser
async def test_a_page_of_another_origin_may_not_read_the_service(browser, page, service):
    elsewhere = page.replace("127.0.0.1", "localhost")
    async with opened(browser, elsewhere, service, "/invoice/AAAAAAAAAAAA") as seen:
        assert "cannot be reached" in await problem(seen)
        assert any("CORS" in one for one in seen.complaints)
        seen.complaints.clear()


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_it_can_be_read_and_used_by_everybody(browser, page, service, people, size, scheme):
    client, receiver = people
    link = await asyncio.to_thread(
        client.create_invoice_link,
        receiver=receiver.public_key,
        amount=170_141_183_460_469_231_731_687_303_715_884_105_727,
        token_address=service.usdc,
        duration=86_400 * 400,
        description="A very long word: " + "x" * 200,
    )
    name = f"{size[0]}-{scheme}"
    async with opened(browser, page, service, size=size, color_scheme=scheme) as seen:
        await seen.page.wait_for_selector(".badge")
        await seen.sound()
        await picture(seen, f"start-{name}")
        await demo_wallet(seen)
        await create(seen, receiver.public_key)
        await seen.page.wait_for_selector(".streams button")
        await reading(seen)
        await fill(seen, "Link or its code", link.slug)
        await press(seen, "Show it")
        await seen.page.wait_for_selector(".terms")
        await press(seen, "Pay with Demo wallet")  # nobody has that much
        await seen.page.wait_for_selector(".terms .problem", timeout=20_000)
        await seen.sound()
        await picture(seen, f"full-{name}")
        # everything can be reached and seen by keyboard
        await seen.page.evaluate("document.activeElement.blur()")
        reached = set()
        for _ in range(40):
            await seen.page.keyboard.press("Tab")
            reached.add(
                await seen.page.evaluate("document.activeElement.textContent || document.activeElement.placeholder")
            )
        assert {"Create the stream", "Show it", "Cancel the stream", "Disconnect"} <= reached
        seen.complaints = [one for one in seen.complaints if "status of 422" not in one]
