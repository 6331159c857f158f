"""Scenes for the pages: a sandbox network, databases in every state, and text that means harm."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Unserved
from stellarstream_core.storage import Storage
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.testing.scripted import made_event
from stellarstream_core.xdr.scval_types import Arm, ScValue
from stellarstream_core.xdr.scval_write import encode_scval

SCRIPT = "<script>taken=1</script>"
OVERRIDE = "safe\u202edrawkcab"
IMAGE = "<img src=x onerror=taken=1>"
HOSTILE = (SCRIPT, IMAGE, OVERRIDE, "\"'><b>bold</b>{{7*7}}", "zero\u200bwidth\x00nul")
"""Each fits a symbol: 32 bytes."""


class Silent:
    """A progress that nobody hears of."""

    def planned(self, wanted: LedgerRange, ledgers: int) -> None: ...

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None: ...

    def unserved(self, item: Unserved, next_source: str | None = None) -> None: ...

    def following(self, ledger: int, delay: float) -> None: ...

    def projecting(self, name: str, done: int, total: int) -> None: ...


async def sync(
    runtime: Runtime, storage: Storage, contracts: Sequence[str], first: int, last: int | None, source: str
) -> None:
    """Index a range as ``stellarstream sync`` does; the source decides about the evidence."""
    sources = await runtime.open_sources([source])
    try:
        request = SyncRequest(first=first, last=last, scope=Scope.of(contracts))
        run = SyncRun(request, storage, sources, runtime.settings.passphrase, Silent())
        await run.execute(asyncio.Event())
    finally:
        for opened in sources:
            await opened.close()


def hostile_events(ledger: int, contract: str, closed_at: int) -> list[ContractEvent]:
    """Return events whose names, topics and values try to be more than text."""
    found = []
    for k, text in enumerate(HOSTILE):
        symbol = encode_scval(ScValue(Arm.SYMBOL, text.encode()))
        string = encode_scval(ScValue(Arm.STRING, text.encode()))
        event = made_event(ledger, k=k, contract=contract)
        found.append(event._replace(topics=(symbol, string), value=string, closed_at=closed_at))
    return found
