"""``stellarstream demo``: a sandbox network, an indexer that follows it, and the API, in one process."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from secrets import token_bytes, token_urlsafe
from typing import Any, TypeVar
from urllib.parse import quote

import click
import orjson

from stellarstream_core.api.server import address_of, listen
from stellarstream_core.api.serving import serve
from stellarstream_core.errors import LeadershipError, SettingsError, StorageError, SyncInterruptedError, UsageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.hookspecs import CommittedBatch
from stellarstream_core.projection.opening import open_projectors
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import ENV_CONFIG, ENV_PREFIX, NETWORKS
from stellarstream_core.sources import Unserved
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.xdr.scval import scval_to_json
from stellarstream_core.xdr.strkey import encode
from stellarstream_sandbox.config import FIRST_LEDGER, SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork

T = TypeVar("T")

CONFIG_NAME = "stellarstream.toml"
DATABASE_NAME = "demo.db"
DATABASE_FILES = tuple(f"{DATABASE_NAME}{ending}" for ending in ("", "-wal", "-shm", ".lock"))
"""The files of a SQLite database: itself, its log, the log's index, and the follower's lock."""
MARK = "# Written by 'stellarstream demo'."
SOURCE = "soroban-rpc"
HOST = "127.0.0.1"
API_PORT = 3000
YIELD_SECONDS = 5
"""Between samples of the vaults: who tries the demo does not wait for long until a rate is measured."""
VERSION_SEED = 18 << 3
"""The version byte of a secret key (SEP-23): ``S…``."""
EXAMPLE_QUERY = "'SELECT ledger, id FROM events LIMIT 5'"
MASKING = tuple(
    f"{ENV_PREFIX}{key}" for key in ("DATABASE_URL", "NETWORK", "NETWORK_PASSPHRASE", "RPC_URL", "CONTRACTS")
)
"""Variables that would lead a command elsewhere than the demo's settings do."""


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where the demo keeps its settings and its database; both are made anew.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The sandbox's port. Default: a free one.")
@click.option(
    "--api-port", type=click.IntRange(0, 65535), default=None, help="The API's port. Default: 3000, or a free one."
)
@click.option("--close-time", type=float, default=2.0, show_default=True, help="Seconds between ledgers.")
@click.option("--seconds", type=click.FloatRange(min=0), default=None, help="End by itself after this many seconds.")
def demo(directory: Path, port: int, api_port: int | None, close_time: float, seconds: float | None) -> None:
    """Run everything on this machine: a simulated network, an indexer that follows it, API and dashboard.

    It closes 200 ledgers with payment streams, indexes them into SQLite, follows the new ones, serves
    what is stored, and prints what to look at. Ctrl-C ends all of it.
    """
    # the history at the same pace, since the indexer looks as often as it saw ledgers close
    config = SandboxConfig(close_time=close_time, history_spacing=close_time, port=port)
    asyncio.run(_run(directory, config, api_port, seconds))


async def _run(directory: Path, config: SandboxConfig, api_port: int | None, seconds: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    click.echo("StellarStream demo. The network below is a simulation on this machine:")
    click.echo("no real ledger, no real money.\n")
    async with AsyncExitStack() as stack:
        network = await _unless(stop, stack.enter_async_context(SandboxNetwork(config)))
        if network is not None:
            await _index(directory, network, api_port, stop)
    click.echo("\nEnded: network, indexer and API are stopped. The database stays where it is.")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what ``work`` returns, or None where ``stop`` came first; then the work was cancelled."""
    running, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()  # does nothing where it is done
    await asyncio.wait((running,))
    return None if running.cancelled() else running.result()


async def _index(directory: Path, network: SandboxNetwork, api_port: int | None, stop: asyncio.Event) -> None:
    contracts = {name: network.contracts[name] for name in sorted(network.contracts) if name.startswith("streams")}
    runtime = _prepare(directory, network.url, contracts, _nebula(network.contracts))
    pace = f"one more every {network.config.close_time:g} s"
    click.echo(f"1. sandbox network   {network.url}, ledgers {network.oldest} to {network.latest},")
    click.echo(f"                     {pace}")
    for name, contract in contracts.items():
        click.echo(f"   {name:<16}  {contract}")
    with _listening(api_port) as sock:
        url = address_of(sock)
        async with _serving(runtime.with_flags({"public_url": url}), sock):
            click.echo(f"\n2. API and dashboard {url}")
            await _sync_and_follow(runtime, directory, url, stop)


def _listening(port: int | None) -> socket.socket:
    """Return the API's socket: on the port that was asked for, else on the usual one or a free one."""
    if port is not None:
        return listen(HOST, port)
    try:
        return listen(HOST, API_PORT)
    except UsageError:
        return listen(HOST, 0)


@asynccontextmanager
async def _serving(runtime: Runtime, sock: socket.socket) -> AsyncIterator[None]:
    """Answer requests for the time of the block; raise what keeps the API from starting."""
    over, started = asyncio.Event(), asyncio.Event()
    service = asyncio.create_task(serve(runtime, sock, over, shared=False, started=started.set))
    starting = asyncio.create_task(started.wait())
    await asyncio.wait((service, starting), return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    try:
        if service.done():
            service.result()
        yield
    finally:
        over.set()
        await service


def _nebula(contracts: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of the streams plugin for the network's contracts, tables last."""
    return {
        "yield_seconds": YIELD_SECONDS,
        "migrated_from": {contracts["streams-v2"]: contracts["streams-v1"]},
        "vaults": {
            contracts[f"token-{token}"]: vault
            for name, vault in sorted(contracts.items())
            if (token := name.removeprefix("vault-")) != name
        },
    }


def _prepare(directory: Path, url: str, contracts: Mapping[str, str], nebula: Mapping[str, Any]) -> Runtime:
    """Write the demo's settings and remove the database of an earlier demo; nothing else is touched.

    The settings are also handed over as flags: variables of the environment must not lead the demo
    to another network or into another database.
    """
    path = directory / CONFIG_NAME
    try:
        flags: dict[str, object] = {
            "network": "sandbox",
            "rpc_url": [url],
            "database_url": f"sqlite:///{quote(str(directory.resolve() / DATABASE_NAME))}",
            "contracts": list(contracts.values()),
        }
        over = {
            **flags,
            "plugins": {"nebula": nebula},
            "network_passphrase": NETWORKS["sandbox"].passphrase,
            # for this demo alone: logins end with it
            "secret_key": token_urlsafe(48),
            "signing_key": encode(VERSION_SEED, token_bytes(32)),
        }
        leftovers = [file for name in DATABASE_FILES if os.path.lexists(file := directory / name)]
        if _is_ours(path):
            _refuse_a_running_demo(Runtime(path, built_in_only=True, flags=over), directory)
        elif leftovers:
            raise UsageError(f"{leftovers[0]} is not the demo's.", help="Name another folder with --directory.")
        directory.mkdir(parents=True, exist_ok=True)
        # the simulated network begins anew with each demo, so an earlier history cannot go on
        for name in DATABASE_FILES:
            (directory / name).unlink(missing_ok=True)
        # a JSON string without escaped surrogates, as orjson writes it, is a TOML string
        lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in flags.items()]
        path.write_text("\n".join([MARK, *lines, *_toml(nebula)]) + "\n", encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = error.strerror or error if isinstance(error, OSError) else "its name is not UTF-8"
        raise UsageError(
            f"The demo cannot write into {os.fsencode(directory).decode(errors='replace')}: {why}.",
            help="Name another folder with --directory.",
        ) from None
    return Runtime(path, built_in_only=True, flags=over)


def _toml(nebula: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the streams plugin's settings; tables come last."""
    yield "[plugins.nebula]"
    for key, value in nebula.items():
        if isinstance(value, Mapping):
            yield f"[plugins.nebula.{key}]"
            yield from (f'{contract} = "{other}"' for contract, other in value.items())
        else:
            yield f"{key} = {value}"


def _is_ours(path: Path) -> bool:
    """Tell whether an earlier demo wrote the settings; raise ``UsageError`` where somebody else did."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return False
    if not text.startswith(MARK.encode()):
        raise UsageError(f"{path} is not the demo's.", help="Name another folder with --directory.")
    return True


def _refuse_a_running_demo(runtime: Runtime, directory: Path) -> None:
    """Raise ``UsageError`` where another demo follows into this folder's database: it is in use."""
    if not (directory / DATABASE_NAME).exists():
        return
    try:
        storage = runtime.connect_storage()
        try:
            with storage.follow_lock():
                return
        finally:
            storage.close()
    except LeadershipError:
        raise UsageError(
            f"Another demo is running in {directory}.", help="End it, or name another folder with --directory."
        ) from None
    except (SettingsError, StorageError):
        return  # unreadable: both are made anew


async def _sync_and_follow(runtime: Runtime, directory: Path, url: str, stop: asyncio.Event) -> None:
    storage = runtime.open_storage(create=True)
    narrator = Narrator(directory, url, stop)
    sources = []
    try:
        sources = await runtime.open_sources([SOURCE])
        request = SyncRequest(first=FIRST_LEDGER, last=None, scope=runtime.scope(), follow=True)
        async with open_projectors(runtime, storage) as projectors:
            run = SyncRun(
                request, storage, sources, runtime.settings.passphrase, narrator, [narrator], projectors=projectors
            )
            report = await run.execute(stop)
    except SyncInterruptedError:
        return  # so early that there is nothing to tell
    finally:
        for source in sources:
            await source.close()
        storage.close()
    narrator.check()
    state = "no gaps" if not report.coverage.gaps else f"gaps: {', '.join(map(str, report.coverage.gaps))}"
    click.echo(f"\nledgers {report.coverage.wanted}: {report.counts.new:,} events, {state}")


class Narrator:
    """Tells on stdout what the indexer does: its progress, and as a sink each event."""

    name = "demo"

    def __init__(self, directory: Path, url: str, stop: asyncio.Event) -> None:
        self._directory = directory
        self._url = url
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._gone: BrokenPipeError | None = None
        self._live = False
        self._events = 0
        self._kinds: Counter[str] = Counter()

    def check(self) -> None:
        """Raise ``BrokenPipeError`` where nobody reads any more: that is why the demo has ended."""
        if self._gone is not None:
            raise self._gone

    def publish(self, batch: CommittedBatch) -> None:
        """Count the backfill's events, print those of new ledgers."""
        self._events += len(batch.events)
        self._kinds.update(map(_kind, batch.events))
        if self._live:
            for event in batch.events:
                self._say(_line(event))

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Say what will be fetched."""
        if not self._live:
            self._say(f"\n3. sync              ledgers {wanted} over JSON-RPC into SQLite")

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Leave the counting to the sink."""

    def unserved(self, item: Unserved, next_source: str | None = None) -> None:
        """Name what could not be had."""
        self._say(f"   missing {item.range}: {item.reason.value} ({item.detail})")

    def projecting(self, name: str, done: int, total: int) -> None:
        """Leave it: what is followed is folded as it comes."""

    def following(self, ledger: int, delay: float) -> None:
        """Once the tip is reached, say what was done and what to look at."""
        if self._live:
            return
        self._live = True
        self._say(f"   complete up to ledger {ledger}: {self._events:,} events")
        # a number stays with its name: textwrap does not break at a no-break space
        kinds = ", ".join(f"{count}\xa0{kind}" for kind, count in self._kinds.most_common())
        for line in textwrap.wrap(kinds, _columns() - 4):
            self._say(f"   {line}".replace("\xa0", " "))
        self._say("\nWhat to look at in a browser:")
        self._say(f"   {self._url}/      how far the index is, events as they come")
        self._say(f"   {self._url}/docs  the API, to read and to try")
        self._say("\nWhat to look at in another terminal, in this folder:")
        for line in self._commands(ledger):
            self._say(f"   {line}")
        self._say("\n4. following         new events as their ledgers close; Ctrl-C ends all of it")

    def _commands(self, ledger: int) -> Iterator[str]:
        activate = Path(sys.prefix) / "bin" / "activate"
        if shutil.which("stellarstream") is None and activate.exists():
            yield f". {shlex.quote(min(str(activate), os.path.relpath(activate), key=len))}"
        if masking := [name for name in MASKING if name in os.environ]:
            yield f"unset {' '.join(masking)}"
        yield f"export {ENV_CONFIG}={shlex.quote(str(self._directory / CONFIG_NAME))}"
        yield f"curl -N {self._url}/api/v1/events/live"
        yield "stellarstream status --watch"
        yield f"stellarstream export events --from {max(FIRST_LEDGER, ledger - 9)} --to {ledger}"
        yield f"curl '{self._url}/api/v1/streams?status=ACTIVE&limit=3'"
        yield "stellarstream export streams --format csv -o streams.csv"
        yield "stellarstream sync        # asks for nothing that is there"
        database = shlex.quote(str(self._directory / DATABASE_NAME))
        yield f"sqlite3 {database} {EXAMPLE_QUERY}"

    def _say(self, line: str) -> None:
        """Print a line. Called from the thread that commits, too; what is raised there reaches nobody."""
        if self._gone is not None:
            return
        try:
            click.echo(line)
        except BrokenPipeError as error:
            self._gone = error
            self._loop.call_soon_threadsafe(self._stop.set)


def _kind(event: ContractEvent) -> str:
    """Return the event's name: its first topic that is a symbol (V2 streams put the id first)."""
    decoded = [scval_to_json(topic) for topic in event.topics]
    return next((topic for topic in decoded if isinstance(topic, str) and not topic.isdigit()), "event")


def _line(event: ContractEvent) -> str:
    """Return a live event as one line of the terminal, its value cut where it does not fit."""
    line = f"   ledger {event.ledger}  {_kind(event):<10} {orjson.dumps(scval_to_json(event.value)).decode()}"
    columns = _columns() - 1
    return line if len(line) <= columns else f"{line[: columns - 1]}…"


def _columns() -> int:
    return max(shutil.get_terminal_size().columns, 40)
