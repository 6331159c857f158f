"""Nebula: payment streams from StellarStream contracts, and transactions back to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from stellarstream_core.hookspecs import ExportSpec, ModelSet, PluginSettings, hookimpl

if TYPE_CHECKING:
    from stellarstream_core.api.routes import Route
    from stellarstream_core.decoding import DecoderSpec
    from stellarstream_core.projections import ProjectionSpec


@hookimpl
def register_settings() -> PluginSettings:
    """Return the section ``[plugins.nebula]``."""
    from stellarstream_nebula.settings import NebulaSettings  # noqa: PLC0415 - pydantic models are loaded when asked

    return PluginSettings("nebula", NebulaSettings)


@hookimpl
def register_models() -> ModelSet:
    """Return the tables of streams."""
    return ModelSet("nebula", Path(__file__).parent / "migrations")


@hookimpl
def register_decoders() -> Sequence[DecoderSpec]:
    """Return the decoders of the StellarStream contracts."""
    from stellarstream_nebula.decoders import decoder_specs  # noqa: PLC0415 - few commands decode

    return decoder_specs()


@hookimpl
def register_projections() -> Sequence[ProjectionSpec]:
    """Return the projection of streams."""
    from stellarstream_nebula.opening import PROJECTION  # noqa: PLC0415 - few commands project

    return (PROJECTION,)


@hookimpl
def register_hookspecs() -> ModuleType:
    """Return the hooks by which other plugins add prices, and results of searches."""
    from stellarstream_nebula import hookspecs  # noqa: PLC0415 - loaded when asked

    return hookspecs


@hookimpl
def register_routes() -> Sequence[Route]:
    """Return the routes of streams, audit log, statistics and search."""
    from stellarstream_nebula.resources import all_routes  # noqa: PLC0415 - it brings aiohttp, which few commands need

    return all_routes()


@hookimpl
def register_exports() -> Sequence[ExportSpec]:
    """Return ``stellarstream export streams``."""
    from stellarstream_nebula.export import STREAMS  # noqa: PLC0415 - few commands export

    return (STREAMS,)
