"""Fixtures of the tests that pay on the page: a service whose chain is a script, and browsers with wallets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from stellarstream_core.testing.api import Served, serving
from stellarstream_invoice_links import watching
from stellarstream_nebula.transactions.service import Transactions
from tests.api.pages.browser import chromium
from tests.invoice_links.kit import runtime_of
from tests.invoice_links.page_kit import PHONE, know_tokens, pay_chain, pay_page, scene
from tests.invoice_links.pay_kit import PayChain


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="browser")
async def browser_fixture() -> AsyncIterator[object]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="api")
async def api_fixture(tmp_path_factory) -> AsyncIterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "LOOK_SECONDS", 0.1)
        async with serving(runtime_of(f"sqlite:///{tmp_path_factory.mktemp('paying') / 'paying.db'}")) as served:
            know_tokens(served.service.database.storage)
            yield served


@pytest_asyncio.fixture(loop_scope="module", name="chain")
async def chain_fixture(api) -> PayChain:
    """The chain that the service asks: made anew, with what the service keeps of it."""
    await api.service.close_parts()
    api.service.chain = made = pay_chain()
    api.service.part(Transactions)
    return made


@pytest.fixture(name="storage")
def storage_fixture(api):
    return api.service.database.storage


@pytest.fixture(name="link")
def link_fixture(storage, chain):
    return scene(storage, "open")


@pytest.fixture(name="open_page")
def open_page_fixture(browser, api):
    """Return a function that gives a watched page of the service, in a browser that may have a wallet."""
    return lambda size=PHONE, **options: pay_page(browser, api.url, size, **options)
