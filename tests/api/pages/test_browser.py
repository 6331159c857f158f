"""The pages in a real browser: every state, phone and desk, light and dark, by keyboard, with events arriving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from time import time

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from stellarstream_core.api import sources as sources_module
from stellarstream_core.api.pages.events import event_rows
from stellarstream_core.api.pages.static import bundle
from stellarstream_core.api.server import address_of, listen
from stellarstream_core.event_json import event_to_json
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.storage import EventQuery, Storage
from stellarstream_core.testing.api import Served, serving
from stellarstream_core.testing.scripted import made_event
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork

from .browser import DESKTOP, PHONE, Watched, chromium, watched
from .kit import IMAGE, OVERRIDE, SCRIPT, hostile_events, sync

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROVING, PLAIN = "soroban-rpc-ledgers", "soroban-rpc"
NOBODY = "http://127.0.0.1:9"
TIP = 161
SCENES = ("empty", "syncing", "up to date", "with gaps", "source down", "conflict")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[object]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network() -> AsyncIterator[SandboxNetwork]:
    async with SandboxNetwork(SandboxConfig(ledgers=TIP - 1, port=0, live=False, burst_every=0)) as found:
        yield found


@dataclass
class Scene:
    """A service in some state, and the database behind it, as an indexer holds it."""

    served: Served
    storage: Storage
    runtime: Runtime
    contract: str

    @property
    def url(self) -> str:
        return self.served.url

    def commit(self, events, ledger: int, evidence: Evidence = Evidence.SCANNED) -> None:
        """Commit one ledger, as a follower does."""
        window = Window(LedgerRange(ledger, ledger), Scope.of([self.contract]), events, PLAIN, evidence)
        assert self.storage.commit(window).commit is not None

    def arrive(self, ledger: int, count: int, first: int = 0) -> list[str]:
        """Commit made events of one ledger and return their ids."""
        events = [
            made_event(ledger, k=k, contract=self.contract)._replace(closed_at=int(time()))
            for k in range(first, first + count)
        ]
        self.commit(events, ledger)
        return [event.id for event in events]


@pytest_asyncio.fixture(loop_scope="module")
async def scene(network, runtime_of, sqlite_url, monkeypatch) -> AsyncIterator[Callable[[str], object]]:
    """Return a coroutine that makes a service in one of the states of ``SCENES``."""
    contract = network.contracts["streams-v1"]
    async with AsyncExitStack() as stack:

        async def make(name: str) -> Scene:
            indexer = runtime_of(sqlite_url, rpc_url=[network.url])
            storage = stack.enter_context(_closing(indexer.open_storage(create=True)))
            for first, last, source in _ranges(name):
                await sync(indexer, storage, [contract], first, last, source)
            rpc = network.url
            if name == "source down":
                rpc = NOBODY
                monkeypatch.setattr(sources_module, "TIP_TIMEOUT_SECONDS", 0.3)
            runtime = runtime_of(sqlite_url, rpc_url=[rpc])
            served = await stack.enter_async_context(serving(runtime))
            made = Scene(served, storage, runtime, contract)
            if name == "conflict":
                (stored,) = storage.find_events(EventQuery(descending=True), 1).events
                other = stored._replace(value=b"\0\0\0\3\0\0\0\7")
                storage.commit(Window(LedgerRange(stored.ledger, stored.ledger), Scope.of([contract]), [other], PLAIN))
                assert storage.totals().conflicts == 1
            return made

        yield make


class _closing:  # noqa: N801 - a context manager, used like a function
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __enter__(self) -> Storage:
        return self._storage

    def __exit__(self, *_: object) -> None:
        self._storage.close()


def _ranges(name: str) -> list[tuple[int, int, str]]:
    return {
        "empty": [],
        "syncing": [(2, 60, PROVING)],
        "with gaps": [(2, 60, PROVING), (81, 120, PLAIN), (122, TIP, PROVING)],
    }.get(name, [(2, TIP, PROVING)])


@pytest.fixture
def open_page(browser):
    """Return a function that gives a watched page of a scene."""
    return lambda found, size=DESKTOP, **options: watched(browser, found.url, size, **options)


# --- every state ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
async def test_every_state_is_readable_on_desk_and_phone(scene, open_page, name):
    found = await scene(name)
    expected = {
        "empty": "Nothing synced yet",
        "syncing": "Catching up",
        "with gaps": "Ledgers are missing",
        "source down": "No source answers",
        "conflict": "1 conflict",
    }.get(name, "Up to date")
    for scheme, size in (("light", DESKTOP), ("dark", PHONE)):
        async with open_page(found, size, color_scheme=scheme) as seen:
            await seen.open()
            assert await seen.text(".word") == expected
            await seen.unfold()
            await seen.sound()


async def test_dark_is_dark_and_light_is_light(scene, open_page):
    found = await scene("empty")
    for scheme, expected in (("light", lambda red: red > 200), ("dark", lambda red: red < 60)):
        async with open_page(found, color_scheme=scheme) as seen:
            await seen.open()
            for selector in ("html", ".card"):
                ground = await seen.page.eval_on_selector(selector, "e => getComputedStyle(e).backgroundColor")
                assert expected(int(ground.split("(")[1].split(",")[0])), (scheme, selector, ground)


async def test_an_empty_database_says_which_command_to_run(scene, open_page):
    found = await scene("empty")
    async with open_page(found) as seen:
        await seen.open()
        assert "stellarstream sync --contract" in await seen.text("#headline")
        assert "No event is stored yet." in await seen.text("#events")


async def test_gaps_are_listed_and_told_apart_without_colour(scene, open_page):
    found = await scene("with gaps")
    async with open_page(found) as seen:
        await seen.open()
        gaps = await seen.text(".gaps")
        assert "121 1 ledger not-fetched" in gaps
        assert "61 to 80 20 ledgers not-fetched" in gaps
        fills = await seen.page.eval_on_selector_all(".bar .box", "all => all.map(e => getComputedStyle(e).fill)")
        assert len({fill for fill in fills if fill.startswith("url")}) == 2  # patterns: scanned and missing
        assert any(not fill.startswith("url") for fill in fills)  # plain: proven
        name = await seen.page.get_attribute(".bar", "aria-labelledby")
        assert await seen.page.text_content(f"#{name}") == (
            "Ledgers 2 to 161: proven 99, scanned 40, missing 21. The watermark stands at ledger 60."
        )


async def test_a_source_that_is_down_says_why(scene, open_page):
    found = await scene("source down")
    async with open_page(found) as seen:
        await seen.open()
        assert "down" in await seen.text("#sources .tag")
        assert "127.0.0.1:9" in await seen.text("#sources") or "no answer" in await seen.text("#sources")
        assert "degraded" in await seen.text("#checks")


async def test_without_a_database_the_page_shows_the_problem(scene, open_page, monkeypatch):
    found = await scene("up to date")

    def gone(*_args, **_more):
        from stellarstream_core.errors import StorageError

        raise StorageError("gone")

    for name in ("totals", "sync_states", "find_events"):
        monkeypatch.setattr(type(found.storage), name, gone)
    async with open_page(found, PHONE) as seen:
        await seen.open()
        assert await seen.text(".word") == "Database unavailable"
        assert "They cannot be read now." in await seen.text("#events")
        await seen.sound()
        # the browser itself says that the page's status is 503
        seen.complaints = [text for text in seen.complaints if "status of 503" not in text]


async def test_without_javascript_the_page_shows_how_things_are(scene, open_page):
    found = await scene("up to date")
    async with open_page(found, java_script_enabled=False) as seen:
        await seen.open()
        assert await seen.text(".word") == "Up to date"
        assert await seen.page.locator("#event-list > li").count() == 20
        assert "reload it" in await seen.text("#events")
        assert not await seen.page.is_visible("#pause")
        assert not await seen.page.is_visible(".copy >> nth=0")


# --- live -----------------------------------------------------------------------------------------


async def live(seen: Watched) -> None:
    await seen.page.wait_for_selector("#live.on", state="attached")


async def test_events_arrive_on_top_each_once(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        before = await seen.page.locator("#event-list > li").count()
        ids = found.arrive(TIP + 1, 3)
        await seen.page.wait_for_selector(f'[data-id="{ids[-1]}"]')
        shown = await seen.page.eval_on_selector_all("#event-list > li", "all => all.map(e => e.dataset.id)")
        assert shown[:3] == ids[::-1]
        assert len(shown) == len(set(shown)) == before + 3
        assert await seen.text("#live-word") == "live"


async def test_a_row_that_arrived_reads_as_the_row_of_a_new_page(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        found.commit(hostile_events(TIP + 1, found.contract, int(time())), TIP + 1)
        await seen.page.wait_for_selector("#event-list > li >> nth=23")
        html = "all => all.slice(0, 6).map(e => { e.removeAttribute('data-new'); return e.outerHTML; })"
        arrived = await seen.page.eval_on_selector_all("#event-list > li", html)
        await seen.open()
        await live(seen)
        rendered = await seen.page.eval_on_selector_all("#event-list > li", html)
        assert [_plain(one) for one in arrived] == [_plain(one) for one in rendered]


def _plain(html: str) -> str:
    return " ".join(html.replace("> <", "><").split())


async def test_hostile_text_stays_text_rendered_and_arriving(scene, open_page):
    found = await scene("up to date")
    found.commit(hostile_events(TIP + 1, found.contract, int(time())), TIP + 1)
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        found.commit(hostile_events(TIP + 2, found.contract, int(time())), TIP + 2)
        await seen.until("document.querySelectorAll('#event-list > li').length >= 25")
        text = await seen.text("#event-list")
        assert text.count(SCRIPT) >= 2
        assert text.count(IMAGE) >= 2
        assert "safe⟨U+202E⟩drawkcab" in text
        assert OVERRIDE not in await seen.page.content()
        assert await seen.page.locator("#event-list script, #event-list img, #event-list b").count() == 0
        assert await seen.page.evaluate("window.taken") is None


async def test_the_list_is_bounded_however_much_comes(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        await seen.page.click("#event-list > li >> nth=0 >> summary")
        first = await seen.page.get_attribute("#event-list > li >> nth=0", "data-id")
        for ledger in range(TIP + 1, TIP + 5):
            ids = found.arrive(ledger, 300)
            await seen.page.wait_for_selector(f'[data-id="{ids[-1]}"]')
        assert await seen.page.locator("#event-list > li").count() <= 50
        assert await seen.page.locator(f'[data-id="{first}"] details[open]').count() == 1, "what is read stays"


async def test_the_list_can_be_paused(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        await seen.page.click("#pause")
        assert await seen.page.get_attribute("#pause", "aria-pressed") == "true"
        ids = found.arrive(TIP + 1, 30)
        await seen.until("document.getElementById('pause').textContent.includes('30 new events')")
        assert await seen.page.locator(f'[data-id="{ids[-1]}"]').count() == 0
        await seen.page.click("#pause")
        await seen.page.wait_for_selector(f'[data-id="{ids[-1]}"]')
        assert await seen.text("#pause") == "Pause"


async def test_a_screen_reader_is_told_now_and_then_only(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        assert await seen.page.get_attribute("#event-list", "aria-live") is None
        said = "document.getElementById('said').textContent"
        for ledger in range(TIP + 1, TIP + 4):
            ids = found.arrive(ledger, 2)
            await seen.page.wait_for_selector(f'[data-id="{ids[-1]}"]')
        assert await seen.page.evaluate(said) == "2 new events, the last one made."


async def test_another_history_begins_the_list_anew(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        await seen.page.eval_on_selector("#event-list > li", "e => e.dataset.id = 'of the other history'")
        found.storage.begin_epoch()
        found.arrive(TIP + 1, 1)
        await seen.until("document.getElementById('said').textContent.includes('another history')")
        await seen.page.wait_for_selector("#event-list > li >> nth=19")
        assert await seen.page.locator('[data-id="of the other history"]').count() == 0


async def test_the_end_of_the_stream_is_told_and_the_list_goes_on_without_it(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.page.clock.install()
        await seen.open()
        await live(seen)
        await found.served.service.feed.close(0.5)
        await seen.page.clock.run_for(5_000)
        await seen.until("document.getElementById('live-word').textContent.includes('again')")
        assert await seen.page.locator("#live.off").count() == 1
        ids = found.arrive(TIP + 1, 2)
        async with asyncio.timeout(10):
            while await seen.page.locator(f'[data-id="{ids[-1]}"]').count() == 0:
                await seen.page.clock.run_for(5_000)
                await asyncio.sleep(0.1)
        seen.complaints = [text for text in seen.complaints if "503" not in text and "ERR_" not in text]


# --- refreshing -----------------------------------------------------------------------------------


async def test_numbers_are_renewed_without_a_reload_and_without_disturbing_the_reader(scene, open_page, network):
    found = await scene("syncing")
    async with open_page(found) as seen:
        await seen.page.clock.install()
        await seen.open()
        await seen.page.evaluate("window.same = true")
        await seen.page.click("#coverage-parts > summary")
        await seen.page.focus("#coverage-parts > summary")
        assert await seen.text("#figures dd >> nth=0") == "60 complete from 2 on"
        await sync(found.runtime, found.storage, [found.contract], 61, TIP, PROVING)
        async with asyncio.timeout(10):
            while await seen.text(".word") != "Up to date":
                await seen.page.clock.run_for(5_000)
                await asyncio.sleep(0.1)
        assert await seen.text("#figures dd >> nth=0") == "161 complete from 2 on"
        assert await seen.page.evaluate("window.same")
        assert (await seen.page.title()).startswith("Up to date")
        assert await seen.page.text_content("#state-said") == "Up to date"
        assert await seen.page.locator("#coverage-parts[open]").count() == 1
        assert await seen.page.evaluate("document.activeElement.parentElement.id") == "coverage-parts"


async def test_a_service_that_does_not_answer_is_told_until_it_does(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.page.clock.install()
        await seen.open()
        await seen.page.route("**/dashboard/state", lambda route: route.abort())
        await seen.page.clock.run_for(6_000)
        await seen.page.wait_for_selector("#trouble", state="visible")
        assert "does not answer" in await seen.text("#trouble")
        await seen.page.unroute("**/dashboard/state")
        await seen.page.clock.run_for(15_000)
        await seen.page.wait_for_selector("#trouble", state="hidden")
        seen.complaints = [text for text in seen.complaints if "ERR_FAILED" not in text]


# --- keyboard and words ---------------------------------------------------------------------------


async def test_the_keyboard_reaches_everything_in_the_order_of_the_page(scene, open_page):
    found = await scene("with gaps")
    async with open_page(found) as seen:
        await seen.open()
        await live(seen)
        described = """() => {
            const e = document.activeElement, box = e.getBoundingClientRect();
            const style = getComputedStyle(e);
            return [e === document.body, e.textContent.trim().slice(0, 40), e.closest("[id]")?.id ?? "",
                    box.width > 0 && style.outlineStyle !== "none"];
        }"""
        order = await seen.page.evaluate_handle(
            "() => [...document.querySelectorAll('a[href], button, summary, [tabindex=\"0\"]')]"
            ".filter(e => e.checkVisibility() && !e.closest('details:not([open]) > :not(summary)'))"
        )
        count = await order.evaluate("all => all.length")
        assert count > 30
        for at in range(count):
            await seen.page.keyboard.press("Tab")
            assert await order.evaluate(f"all => all[{at}] === document.activeElement"), await seen.page.evaluate(
                described
            )
            nobody, _, _, marked = await seen.page.evaluate(described)
            assert not nobody
            assert marked, await seen.page.evaluate(described)


async def test_the_skip_link_leads_past_the_navigation(scene, open_page):
    found = await scene("empty")
    async with open_page(found) as seen:
        await seen.open()
        await seen.page.keyboard.press("Tab")
        assert await seen.page.evaluate("document.activeElement.className") == "skip"
        assert (await seen.page.evaluate("document.activeElement.getBoundingClientRect().top")) >= 0
        await seen.page.keyboard.press("Enter")
        await seen.page.keyboard.press("Tab")
        assert await seen.page.evaluate("document.activeElement.closest('main') !== null")


async def test_an_event_opens_by_keyboard_and_gives_its_whole_ids(scene, open_page, browser):
    found = await scene("up to date")
    async with open_page(found, permissions=["clipboard-read", "clipboard-write"]) as seen:
        await seen.open()
        await seen.page.focus("#event-list > li >> nth=0 >> summary")
        await seen.page.keyboard.press("Enter")
        row = seen.page.locator("#event-list > li").first
        (newest,) = found.storage.find_events(EventQuery(descending=True), 1).events
        text = " ".join((await row.inner_text()).split())
        assert newest.contract_id in text
        assert newest.tx_hash in text
        await row.locator("button.copy").nth(0).click()
        assert await seen.page.evaluate("navigator.clipboard.readText()") == newest.contract_id
        async with seen.page.expect_navigation():
            await row.locator("a").click()
        assert newest.id in await seen.page.content()


async def test_nothing_moves_for_who_wants_nothing_to_move(scene, open_page):
    found = await scene("up to date")
    async with open_page(found, reduced_motion="reduce") as seen:
        await seen.open()
        await live(seen)
        ids = found.arrive(TIP + 1, 1)
        await seen.page.wait_for_selector(f'[data-id="{ids[0]}"]')
        name = await seen.page.eval_on_selector(
            f'[data-id="{ids[0]}"] summary', "e => getComputedStyle(e).animationName"
        )
        assert name == "none"


async def test_both_renderers_write_the_same(scene, open_page):
    """What Python and JavaScript make of an event's words must not differ, whatever the words are."""
    found = await scene("empty")
    stored = hostile_events(7, found.contract, 1_700_000_000)
    async with open_page(found) as seen:
        await seen.open("/docs")
        module = bundle().path("text.js")
        for event in stored:
            name, preview = await seen.page.evaluate(
                "async ([module, event]) => (await import(`/${module}`)).describe(event)",
                [module, orjson.loads(orjson.dumps(event_to_json(event)))],
            )
            (row,) = event_rows([event])
            assert (name, preview) == (row.name, row.preview)


# --- behind a proxy -------------------------------------------------------------------------------


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[str]:
    """Put a service below ``/below/`` of another server, as a proxy does; gives the address of its dashboard."""

    async def forward(request: web.Request) -> web.StreamResponse:
        target = f"{url}/{request.match_info['rest']}?{request.query_string}"
        async with client.get(target, headers={"Accept": request.headers.get("Accept", "*/*")}) as answer:
            wanted = {"Content-Type", "Content-Security-Policy", "Cache-Control"}
            headers = {name: answer.headers[name] for name in wanted if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            with suppress(ConnectionError):
                async for piece in answer.content.iter_any():
                    await response.write(piece)
            return response

    app = web.Application()
    app.router.add_get("/below/{rest:.*}", forward)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    async with aiohttp.ClientSession() as client:
        await runner.setup()
        try:
            sock = listen("127.0.0.1", 0)
            await web.SockSite(runner, sock).start()
            yield f"{address_of(sock)}/below"
        finally:
            await runner.cleanup()


async def test_below_a_path_of_a_proxy_everything_is_found(scene, browser):
    found = await scene("up to date")
    async with proxied(found.url) as url, watched(browser, url) as seen:
        await seen.open()
        await live(seen)
        ids = found.arrive(TIP + 1, 1)
        await seen.page.wait_for_selector(f'[data-id="{ids[0]}"]')
        for page in ("API", "Problems", "Dashboard"):
            await seen.page.click(f"nav >> text={page}")
            assert seen.page.url.startswith(url)
        await seen.open("/docs/problems/not-found")
        assert await seen.page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") != "0px"


# --- documentation --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/docs", "/docs/problems", "/docs/problems/invalid-parameter"])
async def test_the_documentation_is_readable_on_desk_and_phone(scene, open_page, path):
    found = await scene("empty")
    for scheme, size in (("dark", DESKTOP), ("light", PHONE)):
        async with open_page(found, size, color_scheme=scheme) as seen:
            await seen.open(path)
            await seen.unfold()
            await seen.sound(alike=False)


async def test_an_operation_can_be_tried(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open("/docs")
        operation = seen.page.locator("#get_api_v1_events")
        await operation.locator("details.try > summary").click()
        await operation.locator('input[name="limit"]').fill("2")
        await operation.locator('textarea[name="contract"]').fill(found.contract)
        await operation.locator("button[type=submit]").click()
        await operation.locator(".tried pre").wait_for()
        text = await operation.locator(".tried").inner_text()
        assert text.startswith("200 OK in")
        assert f"GET /api/v1/events?limit=2&contract={found.contract}" in text
        assert '"asOfLedger": 161' in text


async def test_a_path_parameter_is_filled_in_and_a_problem_is_shown(scene, open_page):
    found = await scene("up to date")
    async with open_page(found) as seen:
        await seen.open("/docs")
        operation = seen.page.locator("#get_api_v1_events_id")
        await operation.locator("details.try > summary").click()
        await operation.locator('input[name="id"]').fill("../../healthz/live")
        await operation.locator("button[type=submit]").click()
        await operation.locator(".tried pre").wait_for()
        text = await operation.locator(".tried").inner_text()
        assert text.startswith("400 ")
        assert "invalid-parameter" in text
        seen.complaints = [text for text in seen.complaints if "status of 400" not in text]


async def test_a_credential_goes_with_the_requests_of_the_page_and_stays_in_it(scene, open_page):
    found = await scene("empty")
    async with open_page(found) as seen:
        await seen.open("/docs")
        sent: list[dict[str, str]] = []
        seen.page.on("request", lambda request: sent.append(request.headers))
        await seen.page.fill("#credential-text", "a.token.of-nobody")
        operation = seen.page.locator("#get_api_v1_sync")
        await operation.locator("details.try > summary").click()
        await operation.locator("button[type=submit]").click()
        await operation.locator(".tried pre").wait_for()
        assert sent[-1]["authorization"] == "Bearer a.token.of-nobody"
        assert await seen.page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
        assert "a.token" not in seen.page.url
        seen.complaints = [text for text in seen.complaints if "status of 401" not in text]
