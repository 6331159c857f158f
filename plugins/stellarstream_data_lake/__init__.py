"""The built-in data lake plugin: the ``data-lake`` source, ledger files as Galexie exports them (SEP-54)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stellarstream_core.hookspecs import PluginSettings, hookimpl

if TYPE_CHECKING:
    from stellarstream_core.settings import Settings
    from stellarstream_core.sources import Source, SourceSpec


@hookimpl
def register_settings() -> PluginSettings:
    """Return the section ``[plugins.data-lake]``."""
    from stellarstream_data_lake.settings import SECTION, DataLakeSettings  # noqa: PLC0415 - listing plugins stays light

    return PluginSettings(SECTION, DataLakeSettings)


@hookimpl
def register_sources() -> Sequence[SourceSpec]:
    """Return the ``data-lake`` source."""
    from stellarstream_core.sources import Capabilities, SourceSpec  # noqa: PLC0415 - listing plugins stays light

    return [
        SourceSpec(
            name="data-lake",
            summary="whole ledgers from files as Galexie exports them: a directory, S3, Google Cloud Storage or HTTP",
            # a ledger is some 190 KB to fetch, where an event of getEvents is half a kilobyte
            capabilities=Capabilities(provable=True, max_contracts=None, live=True, cost=200),
            configured=lambda settings: bool(settings.lake_urls),
            open=_open,
        )
    ]


async def _open(settings: Settings) -> Source:
    from stellarstream_data_lake.stores import require  # noqa: PLC0415 - listing plugins stays light

    require("zstandard")
    from stellarstream_data_lake.source import DataLakeSource  # noqa: PLC0415 - it loads what was just asked for

    return DataLakeSource(settings)
