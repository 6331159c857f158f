"""Lakes to read in tests: made of the sandbox's ledgers and of recorded ones, whole or with something wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import orjson
import zstandard
from aiohttp import web

from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Unserved, Window
from stellarstream_data_lake.settings import SECTION, DataLakeSettings
from stellarstream_data_lake.source import DataLakeSource
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.ledger.closing import ClosedLedger
from stellarstream_sandbox.simulation import Simulation

CONFIG = SandboxConfig(ledgers=320, genesis_time=1_800_000_000, burst_every=50, burst_events=40, port=0, live=False)
TOP = 0xFFFFFFFF


@dataclass(frozen=True)
class Made:
    """A history: ledger 2 and the following, as ``LedgerCloseMeta``, and what is in them."""

    passphrase: str
    ledgers: dict[int, ClosedLedger]
    contracts: dict[str, str]

    @property
    def metas(self) -> dict[int, bytes]:
        return {sequence: ledger.meta for sequence, ledger in self.ledgers.items()}

    @property
    def latest(self) -> int:
        return max(self.ledgers)

    def hash(self, ledger: int) -> str:
        return self.ledgers[ledger].hash.hex()

    def ids(self, first: int, last: int, scope: Scope) -> list[str]:
        """Return the ids of the events of these ledgers and this scope, in order."""
        return [
            event.id
            for ledger in range(first, last + 1)
            for event in self.ledgers[ledger].events
            if scope.holds(event.contract_id or None)
        ]


def made_history(config: SandboxConfig = CONFIG) -> Made:
    simulation = Simulation(config)
    return Made(
        config.passphrase, {one.sequence: one for one in simulation.close_history()}, dict(simulation.contracts)
    )


# --- a lake's files -----------------------------------------------------------------------------


def batch_xdr(first: int, last: int, metas: Iterable[bytes]) -> bytes:
    metas = list(metas)
    heads = (first, last, len(metas))
    return b"".join([*(n.to_bytes(4, "big") for n in heads), *metas])


def packed(raw: bytes, level: int = 3) -> bytes:
    """Compress as Go's writer does: a stream with a checksum, so that no frame says how large its content is."""
    compressor = zstandard.ZstdCompressor(level=level, write_content_size=False, write_checksum=True)
    stream = compressor.compressobj()
    return stream.compress(raw) + stream.flush()


def name_of(ledger: int, per_batch: int = 1, batches: int = 64_000, suffix: str = ".xdr.zst") -> str:
    """Return the name of a ledger's object as SEP-54 words it."""
    start = ledger - ledger % per_batch
    name = f"{TOP - start:08X}--{start}" + (f"-{start + per_batch - 1}" if per_batch > 1 else "") + suffix
    if batches == 1:
        return name
    size = per_batch * batches
    low = ledger - ledger % size
    return f"{TOP - low:08X}--{low}-{low + size - 1}/{name}"


def objects(
    metas: dict[int, bytes], per_batch: int = 1, batches: int = 64_000, suffix: str = ".xdr.zst"
) -> dict[str, bytes]:
    """Return the objects, by name, that hold whole batches of these ledgers."""
    made: dict[str, bytes] = {}
    for ledger in sorted(metas):
        start = ledger - ledger % per_batch
        ledgers = range(max(start, 2), start + per_batch)
        name = name_of(ledger, per_batch, batches, suffix)
        if name not in made and all(one in metas for one in ledgers):
            made[name] = packed(batch_xdr(ledgers[0], ledgers[-1], [metas[one] for one in ledgers]))
    return made


def manifest(passphrase: str | None, per_batch: int = 1, batches: int = 64_000, **more: object) -> bytes:
    body = {"networkPassphrase": passphrase, "version": "1.0", "compression": "zstd",
            "ledgersPerBatch": per_batch, "batchesPerPartition": batches, **more}  # fmt: skip
    return orjson.dumps({key: value for key, value in body.items() if value is not None})


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return root


# --- a source on them ---------------------------------------------------------------------------


@dataclass
class Clock:
    """A timing that never waits in earnest: a pause moves the clock and lets others run."""

    at: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)

    def timing(self) -> Timing:
        return Timing(now=lambda: self.at, wall=lambda: self.at, sleep=self.sleep, random=lambda: 1.0)


def settings_for(urls: str | list[str], passphrase: str, own: dict | None = None, **core: object) -> Settings:
    settings = Settings.model_validate(
        {"network": "made", "network_passphrase": passphrase, "lake_url": urls, "plugins": {SECTION: own or {}}, **core}
    )
    from stellarstream_core.hookspecs import PluginSettings

    return settings.with_sections([PluginSettings(SECTION, DataLakeSettings)])


@asynccontextmanager
async def source_on(
    urls: str | list[str], passphrase: str, own: dict | None = None, timing: Timing | None = None, **core: object
) -> AsyncIterator[DataLakeSource]:
    source = DataLakeSource(settings_for(urls, passphrase, own, **core), timing or Clock().timing())
    try:
        yield source
    finally:
        await source.close()


async def collect(source: DataLakeSource, first: int, last: int, scope: Scope) -> list[Window | Unserved]:
    async with aclosing(source.windows(LedgerRange(first, last), scope)) as items:
        found = [item async for item in items]
    check_partition(found, first, last)
    return found


def check_partition(items: list[Window | Unserved], first: int, last: int) -> None:
    """Windows and give-ups are exactly the range: no ledger is left out, none comes twice."""
    ranges = sorted(item.range for item in items)
    assert sum(one.size for one in ranges) == last - first + 1
    assert RangeSet(ranges) == RangeSet([(first, last)])


def windows_of(items: list[Window | Unserved]) -> list[Window]:
    return sorted((item for item in items if isinstance(item, Window)), key=lambda item: item.range)


def gaps_of(items: list[Window | Unserved]) -> list[Unserved]:
    return sorted((item for item in items if isinstance(item, Unserved)), key=lambda item: item.range)


def events_of(items: list[Window | Unserved]) -> list[ContractEvent]:
    return [event for window in windows_of(items) for event in window.events]


# --- a lake on a web server ---------------------------------------------------------------------

Trap = Callable[[web.Request, str], "web.StreamResponse | None"]


class WebLake:
    """Serves ``files`` under ``/lake``, by GET and HEAD; ``trap`` may answer first, as it pleases."""

    def __init__(self, files: dict[str, bytes], **options: bool) -> None:
        self.files = files
        self.trap: Callable | None = None
        self.head = options.get("head", True)
        self.chunked = options.get("chunked", False)
        self.log: list[tuple[str, str]] = []
        self.under_way = self.most_under_way = self.abandoned = 0
        self.delay = 0.0
        self.headers: dict[str, str] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        key = unquote(request.path.removeprefix("/lake/"))
        self.log.append((request.method, key))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.trap is not None and (answer := await self.trap(request, key)) is not None:
                return answer
            if request.method == "HEAD" and not self.head:
                return web.Response(status=405)
            if not request.path.startswith("/lake/") or key not in self.files:
                return web.Response(status=404)
            if self.chunked and request.method == "GET":
                answer = web.StreamResponse(headers=self.headers)
                answer.enable_chunked_encoding()
                await answer.prepare(request)
                await answer.write(self.files[key])
                await answer.write_eof()
                return answer
            return web.Response(body=self.files[key], headers=self.headers)
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        finally:
            self.under_way -= 1

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[WebLake]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/lake"
            yield self
        finally:
            await runner.cleanup()
