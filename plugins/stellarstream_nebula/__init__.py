"""Nebula: payment streams from StellarStream contracts, and transactions back to them."""

from __future__ import annotations

from stellarstream_core.hookspecs import PluginSettings, hookimpl


@hookimpl
def register_settings() -> PluginSettings:
    """Return the section ``[plugins.nebula]``."""
    from stellarstream_nebula.settings import NebulaSettings  # noqa: PLC0415 - pydantic models are loaded when asked

    return PluginSettings("nebula", NebulaSettings)
