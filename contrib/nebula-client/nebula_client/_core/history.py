"""What happened to streams, what their money earns, and totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nebula_client._core.calls import call
from nebula_client._core.config import Core
from nebula_client._core.effects import Items, Operation
from nebula_client._core.paging import LARGEST_PAGE, items, parts
from nebula_client._core.requests import get
from nebula_client._core.wire import arguments, path, query
from nebula_client.models.base import Page
from nebula_client.models.events import ContractEvent, Stats, SyncState
from nebula_client.models.streams import StreamEvent, StreamHistory, Verdict, Verification, YieldData, YieldProjection
from nebula_client.params import EventFilter, StreamEventFilter


class HistoryPage(StreamHistory, frozen=True):
    """A page of a stream's history."""

    next_cursor: str | None


class VerificationPart(Verification, frozen=True):
    """As far as a check came in one request."""

    next_cursor: str | None


def whole(core: Core, stream_id: str) -> Operation[StreamHistory]:
    """Read a stream's whole history."""
    pages = yield from parts(core, path("/audit-log", stream_id), [], HistoryPage, LARGEST_PAGE)
    last = pages[-1]  # the newest: it was read last
    return StreamHistory.model_construct(
        stream=last.stream,
        events=[event for page in pages for event in page.events],
        yield_=last.yield_,
        chain=last.chain,
        as_of_ledger=last.as_of_ledger,
        complete=all(page.complete for page in pages),
    )


def beginning(core: Core, stream_id: str, limit: int) -> Operation[list[StreamEvent]]:
    """Read the first events of a stream."""
    found: list[StreamEvent] = []
    cursor: str | None = None
    while True:
        wanted = {"limit": min(limit - len(found), LARGEST_PAGE), "cursor": cursor}
        page = yield from call(core, get(path("/audit-log", stream_id), query(wanted)), HistoryPage)
        found += page.events
        cursor = page.next_cursor
        if cursor is None or len(found) >= limit:
            return found


def every_entry(core: Core, wanted: Mapping[str, Any]) -> Items[StreamEvent]:
    """Emit entries of the audit log."""
    return items(core, "/audit-log", query(arguments(StreamEventFilter, wanted)), Page[StreamEvent])


def verify(core: Core, stream_id: str | None) -> Operation[Verification]:
    """Have one stream's chain, or all of them, checked to the end."""
    found = yield from parts(core, "/audit-log/chain/verify", query({"stream": stream_id}), VerificationPart)
    broken = any(part.verdict != Verdict.INTACT for part in found)
    return Verification.model_construct(
        verdict=Verdict.BROKEN if broken else Verdict.INTACT,
        chains=sum(part.chains for part in found),
        links=sum(part.links for part in found),
        faults=[fault for part in found for fault in part.faults],
    )


def earned(core: Core, stream_id: str, samples: int | None) -> Operation[YieldData]:
    """Read what a stream's money has earned."""
    return (yield from call(core, get(path("/yield", stream_id), query({"samples": samples})), YieldData))


def projected(core: Core, stream_id: str, days: int) -> Operation[YieldProjection]:
    """Read what a stream's money would earn."""
    asked = get(path("/yield", stream_id, "projection"), query({"days": days}))
    return (yield from call(core, asked, YieldProjection))


def stats(core: Core) -> Operation[Stats]:
    """Read the totals."""
    return (yield from call(core, get("/stats"), Stats))


def sync(core: Core, contract: str | Sequence[str] | None) -> Operation[SyncState]:
    """Read how far the database is."""
    return (yield from call(core, get("/sync", query({"contract": contract})), SyncState))


def events(core: Core, wanted: Mapping[str, Any]) -> Operation[Page[ContractEvent]]:
    """Read a page of contract events."""
    asked = get("/events", query(arguments(EventFilter, wanted)))
    return (yield from call(core, asked, Page[ContractEvent]))


def every_event(core: Core, wanted: Mapping[str, Any]) -> Items[ContractEvent]:
    """Emit contract events."""
    return items(core, "/events", query(arguments(EventFilter, wanted)), Page[ContractEvent])


def event(core: Core, event_id: str) -> Operation[ContractEvent]:
    """Read one contract event."""
    return (yield from call(core, get(path("/events", event_id)), ContractEvent))
