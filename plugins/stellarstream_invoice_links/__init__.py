"""Invoice links: a link that carries the terms of a stream, gets it paid, and knows from the chain when it was."""

from __future__ import annotations

from pathlib import Path

from stellarstream_core.hookspecs import ModelSet, PluginSettings, hookimpl


@hookimpl
def register_settings() -> PluginSettings:
    """Return the section ``[plugins.invoice-links]``."""
    from stellarstream_invoice_links.settings import InvoiceLinkSettings  # noqa: PLC0415 - pydantic models

    return PluginSettings("invoice-links", InvoiceLinkSettings)


@hookimpl
def register_models() -> ModelSet:
    """Return the tables of links, submissions and payments."""
    return ModelSet("invoice", Path(__file__).parent / "migrations")
