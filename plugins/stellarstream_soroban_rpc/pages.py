"""Requests and pages of ``getEvents`` and ``queryEvents``, one shape for both.

A page is believed only as far as it agrees with itself and with the question: every event's id,
ledger, place, hash, contract and bytes are checked here, and what the page completes comes from
its cursor (or ``scannedLedger``) alone, never from its events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from stellarstream_core.endpoints.http import whole_number
from stellarstream_core.errors import InvalidEventError
from stellarstream_core.events import MAX_COUNTER, MAX_OP, MAX_TX_ORDER, ContractEvent, parse_event_id
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.scope import Scope
from stellarstream_soroban_rpc.event_list import BadPageError, read_events

IDS_PER_FILTER = 5
FILTERS = 5
IDS_PER_REQUEST = IDS_PER_FILTER * FILTERS
"""Contracts one getEvents request can name."""

QUERY_IDS_PER_REQUEST = 15
"""Contracts one queryEvents request can name: its budget of distinct index terms."""

QUERY_LIMIT = 1_000
"""Events in a queryEvents page, at most."""

_SCAN_STATUSES = frozenset({"HAS_MORE", "WAITING_FOR_LEDGERS", "OLDEST_REACHED", "COMPLETE"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a page is asked for: the group's events from ``first``, none after ``last``.

    ``cursor`` goes on inside ledger ``first``; its form is the method's own.
    """

    group: Scope
    first: int
    last: int
    limit: int
    cursor: str | None = None


class Page(NamedTuple):
    """A checked page.

    ``covered``: from the ask's first ledger to this one everything was delivered (``first - 1``:
    nothing yet). ``events`` are in id order and may go on into ledger ``covered + 1``; then
    ``cursor`` is where to go on inside it. Without a cursor the next ask begins at ``covered + 1``.
    ``bounded`` tells that the cursor keeps the ask's last ledger (queryEvents); one of getEvents
    does not, its next page goes on past it. ``size`` is the answer's, in bytes.
    """

    events: list[ContractEvent]
    covered: int
    cursor: str | None
    bounded: bool
    oldest: int
    latest: int
    latest_closed_at: int | None
    oldest_closed_at: int | None
    size: int


# --- requests -------------------------------------------------------------------------------


def get_events_params(ask: Ask) -> dict[str, Any]:
    """Return the params of a ``getEvents`` call.

    Every filter has contract ids and nothing else. Nodes before 27.1.1 lose events when filters
    constrain different fields (stellar-rpc #832), and topic filters scan without an index.
    """
    pagination: dict[str, Any] = {"limit": ask.limit}
    params: dict[str, Any] = {"filters": _uniform_filters(ask.group), "pagination": pagination, "xdrFormat": "base64"}
    if ask.cursor is None:
        params["startLedger"] = ask.first
        params["endLedger"] = ask.last + 1
    else:
        pagination["cursor"] = ask.cursor
    return params


def query_events_params(ask: Ask) -> dict[str, Any]:
    """Return the params of a ``queryEvents`` call; its cursor holds bounds and filters itself."""
    limit = min(ask.limit, QUERY_LIMIT)
    if ask.cursor is not None:
        return {"cursor": ask.cursor, "limit": limit, "xdrFormat": "base64"}
    params: dict[str, Any] = {
        "minLedger": ask.first,
        "maxLedger": ask.last,
        "order": "asc",
        "limit": limit,
        "xdrFormat": "base64",
    }
    if not ask.group.everything:
        params["filters"] = [{"contractId": contract} for contract in ask.group]
    return params


def _uniform_filters(group: Scope) -> list[dict[str, Any]]:
    if group.everything:
        return []
    members = group.members
    return [{"contractIds": list(members[at : at + IDS_PER_FILTER])} for at in range(0, len(members), IDS_PER_FILTER)]


# --- answers --------------------------------------------------------------------------------


def read_get_events(result: object, ask: Ask, size: int) -> Page:
    """Check a ``getEvents`` result against its ask.

    Raises :class:`BadPageError`, or :class:`OldNodeError` for a node before v23. A cursor whose
    other parts are at their greatest says that its ledger is complete, any other that the ledgers
    before its own are (methods/get_events.go).
    """
    if not isinstance(result, dict):
        raise BadPageError("its result is not an object")
    # The events first: nodes before v23 send no oldest ledger, and are to be told by their events.
    events, last_id = read_events(result.get("events"), ask.group, ask.first, ask.cursor or "")
    oldest, latest = _reach_of(result)
    cursor = result.get("cursor")
    if not isinstance(cursor, str):
        raise BadPageError("it has no cursor")
    try:
        place = parse_event_id(cursor)
    except InvalidEventError:
        raise BadPageError("its cursor is not an event id") from None
    boundary = place.tx == MAX_TX_ORDER and place.op == MAX_OP and place.counter == MAX_COUNTER
    covered = place.ledger if boundary else place.ledger - 1

    count = len(result["events"])
    if count > ask.limit or (boundary and count == ask.limit):
        raise BadPageError(f"it has {count} events and the cursor of a page that is not full")
    if last_id > cursor:
        raise BadPageError(f"its event {last_id} comes after its cursor {cursor}")
    if covered < ask.first - 1 or (ask.cursor is not None and cursor <= ask.cursor):
        raise BadPageError(f"its cursor {cursor} lies before the place that was asked for")
    if covered > latest:
        raise BadPageError(f"it covers ledger {covered} while its latest is {latest}")
    return Page(
        _up_to(events, ask.last),
        min(covered, ask.last),
        None if boundary or covered >= ask.last else cursor,
        False,
        oldest,
        latest,
        whole_number(result.get("latestLedgerCloseTime")),
        whole_number(result.get("oldestLedgerCloseTime")),
        size,
    )


def read_query_events(result: object, ask: Ask, size: int) -> Page:
    """Check a ``queryEvents`` result against its ask; raises as :func:`read_get_events` does.

    ``scannedLedger`` is the last ledger fully covered, ``first - 1`` where there is none yet.
    """
    if not isinstance(result, dict):
        raise BadPageError("its result is not an object")
    oldest, latest = _reach_of(result)
    status, covered, cursor = result.get("scanStatus"), result.get("scannedLedger"), result.get("cursor")
    if status not in _SCAN_STATUSES:
        raise BadPageError("its scanStatus is unknown")
    if type(covered) is not int:
        raise BadPageError("its scannedLedger is not a ledger")
    events, last_id = read_events(result.get("events"), ask.group, ask.first, "")
    if covered < ask.first - 1:
        raise BadPageError(f"its scannedLedger {covered} lies before the place that was asked for")
    if covered > latest:
        raise BadPageError(f"it covers ledger {covered} while its latest is {latest}")
    if status == "COMPLETE":
        if covered < ask.last:
            raise BadPageError(f"it is complete and covers {covered} of {ask.last}")
    elif not isinstance(cursor, str) or not cursor:
        raise BadPageError("it has neither a cursor nor an end")
    if last_id and int(last_id[:19]) >> 32 > max(covered + 1, ask.last):
        raise BadPageError(f"its event {last_id} lies outside the ledgers asked for")
    return Page(
        _up_to(events, ask.last),
        min(covered, ask.last),
        None if status == "COMPLETE" or covered >= ask.last else cursor,
        True,
        oldest,
        latest,
        None,
        None,
        size,
    )


def _up_to(events: list[ContractEvent], last: int) -> list[ContractEvent]:
    while events and events[-1].ledger > last:
        events.pop()
    return events


def _reach_of(result: Mapping[str, Any]) -> tuple[int, int]:
    oldest, latest = result.get("oldestLedger"), result.get("latestLedger")
    if type(oldest) is not int or type(latest) is not int or not 0 < oldest <= latest <= LAST_LEDGER:
        raise BadPageError("its oldest and latest ledger are no range")
    return oldest, latest
