"""A process that serves a made history over getEvents, every answer made once and then repeated.

``python -m tests.benchmarks.pages EVENTS LEDGERS`` prints its URL. ``GET /log`` returns the getEvents
requests it was asked since the last time, so that another client can download the very same pages.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256

import orjson
from aiohttp import web

from stellarstream_core.events import format_event_id
from stellarstream_core.xdr.strkey import contract_id_text
from stellarstream_sandbox.get_events import EventRecord, get_events
from stellarstream_sandbox.jsonrpc import JsonRpcError

PASSPHRASE = "Benchmark ; made history"
FIRST = 1_000
CONTRACT = contract_id_text(sha256(b"benchmark").digest())
CLOSED = 1_700_000_000


class MadeHistory:
    """``ledgers`` ledgers with transfers of one contract, evenly spread: 3 topics and an i128 each."""

    def __init__(self, events: int, ledgers: int) -> None:
        self.oldest = 2
        self.latest = FIRST + ledgers + 200
        self._per_ledger = events // ledgers
        self._last = FIRST + ledgers - 1
        from base64 import b64encode

        symbol = b64encode(b"\0\0\0\x0f\0\0\0\x08transfer").decode()
        self._accounts = [
            b64encode(b"\0\0\0\x12\0\0\0\0\0\0\0\0" + sha256(b"account %d" % n).digest()).decode() for n in range(256)
        ]
        self._symbol = symbol
        self._amount = [b64encode(b"\0\0\0\x0a" + (n * 977).to_bytes(16, "big")).decode() for n in range(1024)]

    def close_time(self, ledger: int) -> int:
        return CLOSED + 5 * ledger

    def events(self, first_ledger: int, last_ledger: int) -> Iterator[EventRecord]:
        for ledger in range(max(first_ledger, FIRST), min(last_ledger, self._last) + 1):
            for n in range(self._per_ledger):
                tx, k = n // 2 + 1, n % 2
                yield EventRecord(
                    format_event_id(ledger, tx, 0, k),
                    "contract",
                    CONTRACT,
                    sha256(b"%d/%d" % (ledger, tx)).hexdigest(),
                    self.close_time(ledger),
                    (self._symbol, self._accounts[(ledger + n) % 256], self._accounts[(ledger * 7 + n) % 256]),
                    self._amount[(ledger * 31 + n) % 1024],
                )


def application(history: MadeHistory) -> web.Application:
    made: dict[bytes, bytes] = {}
    log: list[dict] = []

    def result(method: str, params: dict) -> object:
        match method:
            case "getHealth":
                return {"status": "healthy", "latestLedger": history.latest, "oldestLedger": history.oldest,
                        "ledgerRetentionWindow": 120960, "latestLedgerCloseTime": str(history.close_time(history.latest)),
                        "oldestLedgerCloseTime": str(history.close_time(history.oldest))}  # fmt: skip
            case "getNetwork":
                return {"passphrase": PASSPHRASE, "protocolVersion": 23}
            case "getVersionInfo":
                return {"version": "28.0.0", "commitHash": "0", "buildTimestamp": "", "captiveCoreVersion": "",
                        "protocolVersion": 23}  # fmt: skip
            case "getLatestLedger":
                return {"id": "00" * 32, "protocolVersion": 23, "sequence": history.latest}
            case "getEvents":
                return get_events(params, history)
        raise JsonRpcError(-32601, "method not found")

    async def answer(request: web.Request) -> web.Response:
        call = orjson.loads(await request.read())
        params = call.get("params") or {}
        key = orjson.dumps([call["method"], params], option=orjson.OPT_SORT_KEYS)
        if call["method"] == "getEvents":
            log.append(params)
        if key not in made:
            try:
                made[key] = b'"result":' + orjson.dumps(result(call["method"], params))
            except JsonRpcError as error:
                made[key] = b'"error":' + orjson.dumps(error.to_json())
        body = b'{"jsonrpc":"2.0","id":' + orjson.dumps(call.get("id")) + b"," + made[key] + b"}"
        return web.Response(body=body, content_type="application/json")

    async def requests(_request: web.Request) -> web.Response:
        body = orjson.dumps(log)
        log.clear()
        return web.Response(body=body)

    app = web.Application()
    app.router.add_post("/", answer)
    app.router.add_get("/log", requests)
    return app


def main() -> None:
    import asyncio

    async def serve() -> None:
        runner = web.AppRunner(application(MadeHistory(int(sys.argv[1]), int(sys.argv[2]))), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
