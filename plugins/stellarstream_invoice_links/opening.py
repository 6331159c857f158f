"""Opening the projection: which contracts' streams may pay links."""

from __future__ import annotations

from stellarstream_core.projections import Opening, ProjectionSpec
from stellarstream_invoice_links.projection import NAME, InvoiceProjection
from stellarstream_nebula.families import learn


async def open_projection(given: Opening) -> InvoiceProjection | None:
    """Return the projection of the contracts whose streams this service can create; None where there is none."""
    from stellarstream_nebula.generations import find_families  # noqa: PLC0415 - it brings the chain's code

    learn(given.plugins)
    families = await find_families(given.settings, given.storage, given.chain)
    projection = InvoiceProjection(families, given.plugins.decoders())
    return projection if projection.contracts else None


PROJECTION = ProjectionSpec(NAME, "Payments of invoice links.", open_projection)
