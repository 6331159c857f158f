"""``queryEvents`` as the documentation of the archive node (beta) describes it, over a made history."""

from __future__ import annotations

import orjson

from stellarstream_core.testing.rpc_node import NodeError

TERM_BUDGET = 15
MAX_LIMIT = 1_000
PAGE_LEDGERS = 10_000
FIELDS = {"minLedger", "maxLedger", "order", "filters", "cursor", "limit", "xdrFormat", "xdrInputFormat"}


def query_events(params, view):
    """Answer an ascending query; the cursor is opaque and holds bounds, filters and place."""
    if unknown := set(params) - FIELDS:
        raise _invalid(f"unknown field {min(unknown)}")
    limit = params.get("limit", 100)
    if not 1 <= limit <= MAX_LIMIT:
        raise _invalid(f"limit must be between 1 and {MAX_LIMIT}")
    if "cursor" in params:
        if set(params) - {"cursor", "limit", "xdrFormat"}:
            raise _invalid("cursor is mutually exclusive with minLedger, maxLedger, order, filters, xdrInputFormat")
        try:
            place = orjson.loads(bytes.fromhex(params["cursor"].removeprefix("gec1_")))
        except ValueError:
            raise NodeError(-32602, "cursor is malformed", {"reason": "cursor_malformed"}) from None
    else:
        contracts = sorted({one["contractId"] for one in params.get("filters", [])})
        if len(contracts) > TERM_BUDGET:
            data = {"reason": "invalid_params", "termsUsed": len(contracts), "termBudget": TERM_BUDGET}
            raise NodeError(-32602, "the query exceeds the term budget", data)
        low, high = params["minLedger"], params.get("maxLedger", 0)
        place = {"low": low, "high": high, "contracts": contracts, "after": "", "scanned": low - 1}
    first = place["scanned"] + 1
    if first < view.oldest:
        data = {"missingLedger": first, "oldestLedger": view.oldest, "latestLedger": view.latest}
        raise NodeError(-32602, f"ledger {first} is not held", {"reason": "ledger_out_of_range", **data})
    last = min(place["high"] or view.latest, view.latest, first + PAGE_LEDGERS - 1)
    found = []
    for event in view.events(first, last):
        if event.id > place["after"] and (not place["contracts"] or event.contract_id in place["contracts"]):
            found.append(event)
            if len(found) == limit:
                break
    full = len(found) == limit
    scanned = max((int(found[-1].id[:19]) >> 32) - 1, place["scanned"]) if full else max(last, place["scanned"])
    if scanned == place["high"]:
        status = "COMPLETE"
    else:
        status = "HAS_MORE" if full or last < view.latest else "WAITING_FOR_LEDGERS"
    answer = {
        "events": [_rendered(event) for event in found],
        "scanStatus": status,
        "scannedLedger": scanned,
        "oldestLedger": view.oldest,
        "latestLedger": view.latest,
    }
    if status != "COMPLETE":
        after = found[-1].id if full else ""
        answer["cursor"] = "gec1_" + orjson.dumps({**place, "after": after, "scanned": scanned}).hex()
    return answer


def _rendered(event):
    toid = int(event.id[:19])
    from stellarstream_core.events import format_close_time

    body = {
        "type": event.type,
        "ledger": toid >> 32,
        "ledgerClosedAt": format_close_time(event.closed_at),
        "contractId": event.contract_id,
        "id": event.id,
        "operationIndex": toid & 0xFFF,
        "transactionIndex": toid >> 12 & 0xFFFFF,
        "txHash": event.tx_hash,
        "value": event.value,
    }
    if event.topics:
        body["topic"] = list(event.topics)
    return body


def _invalid(message):
    return NodeError(-32602, message, {"reason": "invalid_params"})
