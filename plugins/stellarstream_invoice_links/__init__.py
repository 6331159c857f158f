"""Invoice links: a link that carries the terms of a stream, gets it paid, and knows from the chain when it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stellarstream_core.hookspecs import ExportSpec, GaugeSpec, ModelSet, PluginSettings, hookimpl

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.api.routes import Route
    from stellarstream_core.projections import ProjectionSpec
    from stellarstream_core.settings import Settings
    from stellarstream_nebula.hookspecs import SearchQuery, SearchResult


@hookimpl
def register_settings() -> PluginSettings:
    """Return the section ``[plugins.invoice-links]``."""
    from stellarstream_invoice_links.settings import InvoiceLinkSettings  # noqa: PLC0415 - pydantic models

    return PluginSettings("invoice-links", InvoiceLinkSettings)


@hookimpl
def register_models() -> ModelSet:
    """Return the tables of links, submissions and payments."""
    return ModelSet("invoice", Path(__file__).parent / "migrations")


@hookimpl
def register_projections() -> Sequence[ProjectionSpec]:
    """Return the projection that finds links' payments."""
    from stellarstream_invoice_links.opening import PROJECTION  # noqa: PLC0415 - few commands project

    return (PROJECTION,)


@hookimpl
def register_routes() -> Sequence[Route]:
    """Return the routes of links, of paying them, of their pictures, and the pay page."""
    from stellarstream_invoice_links.resources import all_routes  # noqa: PLC0415 - it brings aiohttp

    return all_routes()


@hookimpl
def register_exports() -> Sequence[ExportSpec]:
    """Return ``stellarstream export invoice-links``."""
    from stellarstream_invoice_links.export import INVOICE_LINKS  # noqa: PLC0415 - few commands export

    return (INVOICE_LINKS,)


@hookimpl
def register_gauges() -> Sequence[GaugeSpec]:
    """Return how many links there are by status, and payments by outcome."""
    from stellarstream_invoice_links.gauges import GAUGES  # noqa: PLC0415 - only the API tells them

    return GAUGES


@hookimpl
def stellar_toml_entries(settings: Settings) -> Mapping[str, str]:
    """Return the account that signs SEP-7 requests, where one does."""
    from stellarstream_invoice_links import sep7  # noqa: PLC0415 - only the API announces it

    return sep7.stellar_toml_entries(settings)


@hookimpl
def nebula_search(database: Database, query: SearchQuery, limit: int) -> Sequence[SearchResult]:
    """Return the links of a slug, an id or a transaction."""
    from stellarstream_invoice_links.search import find_links  # noqa: PLC0415 - only searches need it

    return find_links(database, query, limit)
