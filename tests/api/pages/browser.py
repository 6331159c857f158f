"""The distribution's Chromium, and a page that is watched: what it asks for, what it complains of."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.paths import missing

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESKTOP = (1280, 900)
PHONE = (320, 640)


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """Give a browser; skip the test where there is none, under CI fail."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("the package chromium, for the tests of the pages")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        missing("playwright, for the tests of the pages")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Watched:
    """A page in a browser of its own settings. ``complaints`` must be empty in the end, but for those expected."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to write down what goes wrong."""
        own = urlsplit(self.url).netloc
        self.page.on("console", lambda m: m.type in {"error", "warning"} and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))
        self.page.on("request", lambda r: urlsplit(r.url).netloc not in {own, ""} and self.elsewhere.append(r.url))

    async def open(self, path: str = "/") -> None:
        """Go to a page of the service."""
        await self.page.goto(self.url + path)

    async def text(self, selector: str) -> str:
        """Return what an element shows."""
        return " ".join((await self.page.inner_text(selector)).split())

    async def unfold(self) -> None:
        """Open what can be opened; of many rows or operations that are alike only the first ones."""
        alike = ".event:nth-child(n + 2) details, .operation:nth-of-type(n + 2) details"
        await self.page.evaluate(
            f"document.querySelectorAll('details').forEach(one => one.open = !one.matches('{alike}'))"
        )

    async def until(self, condition: str, seconds: float = 10.0) -> None:
        """Wait until a JavaScript expression is true; the page's own policy forbids to wait inside of it."""
        async with asyncio.timeout(seconds):
            while not await self.page.evaluate(condition):
                await asyncio.sleep(0.05)

    async def sound(self, *, alike: bool = True) -> None:
        """Check what holds for every page: nothing wider than the screen, and nothing that axe finds.

        Without ``alike`` axe sees of many operations in a section only the first one: for a page of 9,000 elements
        it takes 5 seconds otherwise.
        """
        from axe_playwright_python.async_playwright import Axe

        width = await self.page.evaluate("innerWidth")
        assert await self.page.evaluate("document.documentElement.scrollWidth") <= width
        if not alike:
            others = ".operation:nth-of-type(n + 2)"
            await self.page.evaluate(f"document.querySelectorAll('{others}').forEach(one => one.remove())")
        found = await Axe().run(self.page, options={"runOnly": RULES, "resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()


@asynccontextmanager
async def watched(browser: Any, url: str, size: tuple[int, int] = DESKTOP, **options: Any) -> AsyncIterator[Watched]:
    """Give a page, not opened yet, and check at the end that it stayed here and did not complain."""
    context = await browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    try:
        found = Watched(await context.new_page(), url)
        found.watch()
        yield found
        assert found.elsewhere == []
        assert found.complaints == []
    finally:
        await context.close()
