"""The built-in Horizon plugin: the ``horizon`` source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stellarstream_core.hookspecs import PluginSettings, hookimpl

if TYPE_CHECKING:
    from stellarstream_core.settings import Settings
    from stellarstream_core.sources import Source, SourceSpec


@hookimpl
def register_settings() -> PluginSettings:
    """Return the section ``[plugins.horizon]``."""
    from stellarstream_horizon.settings import SECTION, HorizonSettings  # noqa: PLC0415 - listing plugins stays light

    return PluginSettings(SECTION, HorizonSettings)


@hookimpl
def register_sources() -> Sequence[SourceSpec]:
    """Return the ``horizon`` source."""
    from stellarstream_core.sources import Capabilities, SourceSpec  # noqa: PLC0415 - listing plugins stays light

    return [
        SourceSpec(
            name="horizon",
            summary="transactions of Horizon servers that hand out result_meta_xdr",
            # A ledger of pubnet takes one to three requests, and servers allow one a second.
            capabilities=Capabilities(provable=True, max_contracts=None, live=True, cost=300),
            configured=lambda settings: bool(settings.horizon_urls),
            open=_open,
        )
    ]


async def _open(settings: Settings) -> Source:
    from stellarstream_horizon.source import HorizonSource  # noqa: PLC0415 - it loads an HTTP client

    return HorizonSource(settings)
