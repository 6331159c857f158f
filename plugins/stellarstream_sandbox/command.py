"""``stellarstream sandbox``: run a simulated network until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import click

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.events import format_close_time, parse_close_time
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_sandbox.config import FIRST_LEDGER, MAX_CLOSE_TIME, MAX_HISTORY, MIN_CLOSE_TIME, SandboxConfig
from stellarstream_sandbox.ledger.closing import ClosedLedger
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_sandbox.settings import SandboxSection

NOTICE = "StellarStream sandbox: a simulation on this machine. Not a Stellar network: no real ledger, no real money."

_LONG_HISTORY = 2000


def _time(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """Return Unix seconds from Unix seconds, or from RFC 3339 text with a time zone."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return parse_close_time(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither Unix seconds nor a time like 2026-01-01T00:00:00Z.") from None


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another network.")
@click.option(
    "--ledgers",
    type=click.IntRange(1, MAX_HISTORY),
    default=200,
    show_default=True,
    help="How many are closed before it starts.",
)
@click.option(
    "--close-time",
    type=click.FloatRange(MIN_CLOSE_TIME, MAX_CLOSE_TIME),
    default=5.0,
    show_default=True,
    help="Seconds between ledgers; fractions are fine.",
)
@click.option(
    "--genesis-time",
    metavar="TIME",
    callback=_time,
    help="Close time of the first ledger; with it, two runs are the same byte for byte. Default: history ends now.",
)
@click.option(
    "--retention",
    type=click.IntRange(1, LAST_LEDGER),
    default=None,
    help="How many ledgers JSON-RPC has; Horizon and the lake have the older ones too.  [default: 17280]",
)
@click.option(
    "--lake",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    default=None,
    help="Write a data lake of all ledgers into this directory, and each new one as it closes.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print a line for each ledger.")
@click.pass_context
def sandbox(
    ctx: click.Context,
    port: int,
    host: str,
    seed: int,
    ledgers: int,
    close_time: float,
    genesis_time: int | None,
    retention: int | None,
    lake: Path | None,
    verbose: bool,
) -> None:
    """Run a simulated network on this machine, until Ctrl-C.

    It closes ledgers on a clock and serves one history three ways: JSON-RPC as a Soroban RPC node
    has it, Horizon, and a data lake. In its ledgers are payment streams, token transfers, fees and
    unrelated contracts, always the same for the same seed.
    """
    section = runtime_of(ctx).settings.section(SandboxSection)
    config = SandboxConfig(
        seed=seed,
        ledgers=ledgers,
        close_time=close_time,
        genesis_time=genesis_time,
        history_spacing=section.history_spacing,
        transactions=section.transactions,
        burst_every=section.burst_every,
        burst_events=section.burst_events,
        retention=retention or section.retention,
        horizon_retention=section.horizon_retention,
        horizon_rate=section.horizon_rate,
        horizon_burst=section.horizon_burst,
        lake=lake,
        lake_batch=section.lake_batch,
        lake_partition=section.lake_partition,
        host=host,
        port=port,
    )
    asyncio.run(_run(config, verbose))


async def _run(config: SandboxConfig, verbose: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    click.echo(NOTICE)
    if config.ledgers >= _LONG_HISTORY:
        click.echo(f"Closing {config.ledgers:,} ledgers first …")
    stopping = asyncio.create_task(stop.wait())
    running = asyncio.create_task(_serve(config, verbose))
    try:
        await asyncio.wait({stopping, running}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    finally:
        stopping.cancel()
    rest = "" if config.lake is None else " but for the lake"
    click.echo(f"The sandbox has ended; its ledgers are gone with it{rest}.")


async def _serve(config: SandboxConfig, verbose: bool) -> None:
    async with SandboxNetwork(config, _print_ledger if verbose else None) as network:
        _introduce(network)
        await network.wait()


def _introduce(network: SandboxNetwork) -> None:
    contracts = network.contracts
    width = max(map(len, contracts))
    config = network.config
    click.echo(f"\nJSON-RPC    {network.url}")
    click.echo(f"Horizon     {network.horizon_url}")
    click.echo(f"data lake   {network.lake_url}")
    click.echo(f"friendbot   {network.friendbot_url}?addr=G…")
    if config.lake is not None:
        click.echo(f"            {config.lake.resolve().as_uri()}")
    click.echo(f"passphrase  {network.passphrase}")
    click.echo(f"ledgers     {network.oldest} to {network.latest}, then one every {config.close_time:g} s")
    if network.horizon_oldest < network.oldest:
        click.echo(f"            from {network.horizon_oldest} on at Horizon, from {FIRST_LEDGER} on in the lake")
    click.echo(f"seed        {config.seed}, genesis time {config.genesis_time}\n")
    for name, contract in contracts.items():
        click.echo(f"{name:<{width}}  {contract}")
    click.echo("\nIn another terminal:")
    click.echo(f"  export STELLARSTREAM_NETWORK=sandbox STELLARSTREAM_RPC_URL={network.url}")
    click.echo(f"  export STELLARSTREAM_HORIZON_URL={network.horizon_url} STELLARSTREAM_LAKE_URL={network.lake_url}")
    click.echo(f"  stellarstream sync --from {FIRST_LEDGER} --follow --contract {contracts['streams-v2']}")
    click.echo("\nCtrl-C ends it.")


def _print_ledger(ledger: ClosedLedger) -> None:
    click.echo(
        f"ledger {ledger.sequence}  {format_close_time(ledger.close_time)}  {len(ledger.transactions)} transactions"
        f"  {len(ledger.events)} events  {ledger.hash.hex()[:16]}"
    )
