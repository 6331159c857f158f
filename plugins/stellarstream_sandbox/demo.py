"""``stellarstream demo``: a sandbox network and an indexer that follows it, in one process."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click
import orjson
from stellarstream_sandbox.network import SandboxNetwork

from stellarstream_core.errors import UsageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.hookspecs import CommittedBatch
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.sources import Unserved
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.xdr.scval import scval_to_json
from stellarstream_sandbox.config import FIRST_LEDGER, SandboxConfig

CONFIG_NAME = "stellarstream.toml"
DATABASE_NAME = "demo.db"
MARK = "# Written by 'stellarstream demo'."


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where the demo keeps its settings and its database; both are made anew.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The sandbox's port. Default: a free one.")
@click.option("--close-time", type=float, default=2.0, show_default=True, help="Seconds between ledgers.")
@click.option("--seconds", type=click.FloatRange(min=0), default=None, help="End by itself after this many seconds.")
def demo(directory: Path, port: int, close_time: float, seconds: float | None) -> None:
    """Run everything on this machine: a simulated network, and an indexer that follows it.

    It closes 200 ledgers with payment streams, indexes them into SQLite, follows the new ones, and
    prints what to look at. Ctrl-C ends all of it.
    """
    config = SandboxConfig(close_time=close_time, port=port)
    asyncio.run(_run(directory, config, seconds))


async def _run(directory: Path, config: SandboxConfig, seconds: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    click.echo(
        "StellarStream demo. The network below is a simulation on this machine: no real ledger, no real money.\n"
    )
    async with SandboxNetwork(config) as network:
        contracts = {name: network.contracts[name] for name in sorted(network.contracts) if name.startswith("streams")}
        path = _prepare(directory, network.url, contracts)
        pace = f"one more every {config.close_time:g} s"
        click.echo(f"1. sandbox network   {network.url}, {network.latest} ledgers closed, {pace}")
        for name, contract in contracts.items():
            click.echo(f"   {name:<16}  {contract}")
        await _sync_and_follow(Runtime(path, built_in_only=True), stop)
    click.echo("\nEnded: indexer and sandbox network are stopped. The database stays where it is.")


def _prepare(directory: Path, url: str, contracts: Mapping[str, str]) -> Path:
    """Write the demo's settings and remove the database of an earlier demo; nothing else is touched."""
    path = directory / CONFIG_NAME
    try:
        if path.exists() and not path.read_text(encoding="utf-8").startswith(MARK):
            raise UsageError(f"{path} is not the demo's.", help="Name another folder with --directory.")
        directory.mkdir(parents=True, exist_ok=True)
        database = directory.resolve() / DATABASE_NAME
        # the simulated network begins anew with each demo, so an earlier history cannot go on
        for leftover in directory.glob(f"{DATABASE_NAME}*"):
            leftover.unlink()
        lines = [
            MARK,
            'network = "sandbox"',
            f'rpc_url = "{url}"',
            f'database_url = "sqlite:///{database}"',
            f"contracts = {orjson.dumps(list(contracts.values())).decode()}",
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{directory} cannot be written: {error.strerror or error}.", help="Name another folder with --directory."
        ) from None
    return path


async def _sync_and_follow(runtime: Runtime, stop: asyncio.Event) -> None:
    storage = runtime.open_storage(create=True)
    sources = await runtime.open_sources()
    narrator = Narrator(runtime.config or Path(CONFIG_NAME))
    try:
        request = SyncRequest(first=FIRST_LEDGER, last=None, scope=runtime.scope(), follow=True)
        run = SyncRun(request, storage, sources, runtime.settings.passphrase, narrator, [narrator])
        report = await run.execute(stop)
    finally:
        for source in sources:
            await source.close()
        storage.close()
    state = "no gaps" if not report.coverage.gaps else f"gaps: {', '.join(map(str, report.coverage.gaps))}"
    click.echo(f"\nledgers {report.coverage.wanted}: {report.counts.new:,} events, {state}")


class Narrator:
    """Tells on stdout what the indexer does: its progress, and as a sink each event."""

    name = "demo"

    def __init__(self, config: Path) -> None:
        self._config = config
        self._live = False
        self._events = 0
        self._kinds: Counter[str] = Counter()

    def publish(self, batch: CommittedBatch) -> None:
        """Count the backfill's events, print those of new ledgers."""
        self._events += len(batch.events)
        self._kinds.update(map(_kind, batch.events))
        if self._live:
            for event in batch.events:
                click.echo(f"   ledger {event.ledger}  {_kind(event):<10} {_short(event)}")

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Say what will be fetched."""
        if not self._live:
            click.echo(f"\n2. sync              ledgers {wanted} over JSON-RPC into SQLite")

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Leave the counting to the sink."""

    def unserved(self, item: Unserved) -> None:
        """Name what could not be had."""
        click.echo(f"   missing {item.range}: {item.reason.value} ({item.detail})")

    def following(self, ledger: int, delay: float) -> None:
        """Once the tip is reached, say what was done and what to look at."""
        if self._live:
            return
        self._live = True
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._kinds.most_common())
        command = f"stellarstream --config {self._config}"
        click.echo(f"   complete up to ledger {ledger}: {self._events:,} events ({kinds})")
        query = "'SELECT ledger, id FROM events LIMIT 5'"
        click.echo("\nWhat to look at, in another terminal (.venv/bin/stellarstream after 'make demo'):")
        click.echo(f"   {command} status --watch")
        click.echo(f"   {command} export events --from {max(FIRST_LEDGER, ledger - 9)} --to {ledger}")
        click.echo(f"   {command} sync                # asks for nothing that is there")
        click.echo(f"   sqlite3 {self._config.parent / DATABASE_NAME} {query}")
        click.echo("\n3. following         new events as their ledgers close; Ctrl-C ends all of it")


def _kind(event: ContractEvent) -> str:
    """Return the event's name: its first topic that is a symbol (V2 streams put the id first)."""
    decoded = [scval_to_json(topic) for topic in event.topics]
    return next((topic for topic in decoded if isinstance(topic, str) and not topic.isdigit()), "event")


def _short(event: ContractEvent) -> str:
    text = str(scval_to_json(event.value))
    return text if len(text) <= 90 else f"{text[:89]}…"
