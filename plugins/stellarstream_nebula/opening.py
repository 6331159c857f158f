"""Opening the projection: which contracts are of which family is found out before anything is folded."""

from __future__ import annotations

from loguru import logger

from stellarstream_core.projections import Opening, ProjectionSpec
from stellarstream_nebula.families import learn
from stellarstream_nebula.projection import NebulaProjection
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.stored import NAME


async def open_projection(given: Opening) -> NebulaProjection | None:
    """Return the projection of the contracts that hold streams; None where there is none.

    A contract whose family nobody reads now (its plugin is missing) is left alone, with all that is known of it.
    """
    from stellarstream_nebula.generations import find_families  # noqa: PLC0415 - it brings the chain's code

    learn(given.plugins)
    section = given.settings.section(NebulaSettings)
    families = await find_families(given.settings, given.storage, given.chain)
    if not families:
        return None
    projection = NebulaProjection(families, section.migrated_from, given.plugins.decoders())
    for contract in sorted(families.keys() - projection.contracts.keys()):
        logger.warning(
            "{} is of the family {}, which no plugin reads: its events are left alone until one does",
            contract,
            families[contract],
        )
    return projection


PROJECTION = ProjectionSpec(NAME, "Payment streams, their history and totals.", open_projection)
