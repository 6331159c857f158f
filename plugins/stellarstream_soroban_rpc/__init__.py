"""The built-in Soroban RPC plugin.

The sources ``soroban-rpc`` (events) and ``soroban-rpc-ledgers`` (whole ledgers), and the chain client
``soroban-rpc`` (ledger entries, simulation, transactions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stellarstream_core.hookspecs import PluginSettings, hookimpl

if TYPE_CHECKING:
    from stellarstream_core.chain import ChainClient, ChainClientSpec
    from stellarstream_core.settings import Settings
    from stellarstream_core.sources import Source, SourceSpec


@hookimpl
def register_settings() -> PluginSettings:
    """Return the section ``[plugins.soroban-rpc]``."""
    from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings  # noqa: PLC0415 - listing plugins stays light

    return PluginSettings(SECTION, SorobanRpcSettings)


@hookimpl
def register_sources() -> Sequence[SourceSpec]:
    """Return the sources ``soroban-rpc`` and ``soroban-rpc-ledgers``."""
    from stellarstream_core.sources import Capabilities, SourceSpec  # noqa: PLC0415 - listing plugins stays light

    return [
        SourceSpec(
            name="soroban-rpc",
            summary="getEvents (or queryEvents) of Soroban RPC nodes",
            # Above some 100 contracts (4 requests a window) whole ledgers are cheaper to read.
            capabilities=Capabilities(provable=False, max_contracts=100, live=True, cost=100),
            configured=lambda settings: bool(settings.rpc_urls),
            open=_open,
        ),
        SourceSpec(
            name="soroban-rpc-ledgers",
            summary="getLedgers of Soroban RPC nodes: whole ledgers, whose completeness is proven",
            # a ledger of pubnet is 1.4 MB in base64, where a lake has it in 190 KB
            capabilities=Capabilities(provable=True, max_contracts=None, live=True, cost=300),
            configured=lambda settings: bool(settings.rpc_urls),
            open=_open_ledgers,
        ),
    ]


@hookimpl
def register_chain_clients() -> Sequence[ChainClientSpec]:
    """Return the chain client ``soroban-rpc``."""
    from stellarstream_core.chain import ChainClientSpec  # noqa: PLC0415 - listing plugins stays light

    return [
        ChainClientSpec(
            name="soroban-rpc",
            summary="ledger entries, simulation and transactions of Soroban RPC nodes",
            configured=lambda settings: bool(settings.rpc_urls),
            open=_open_chain_client,
        )
    ]


async def _open(settings: Settings) -> Source:
    from stellarstream_soroban_rpc.source import SorobanRpcSource  # noqa: PLC0415 - it loads an HTTP client

    return SorobanRpcSource(settings)


async def _open_ledgers(settings: Settings) -> Source:
    from stellarstream_soroban_rpc.ledgers_source import SorobanRpcLedgersSource  # noqa: PLC0415 - it loads an HTTP client

    return SorobanRpcLedgersSource(settings)


async def _open_chain_client(settings: Settings) -> ChainClient:
    from stellarstream_soroban_rpc.chain_client import SorobanRpcChainClient  # noqa: PLC0415 - it loads an HTTP client

    return SorobanRpcChainClient(settings)
