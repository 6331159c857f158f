"""``/sync``: how far the database is, how far behind the network, and what is missing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stellarstream_core.api.models import Nothing, Parameters
from stellarstream_core.api.resources.events import ContractId
from stellarstream_core.api.routes import NO_CACHE, Answer, Call, Route
from stellarstream_core.api.sync_model import SyncModel


class SyncQuery(Parameters):
    """What ``GET /sync`` takes."""

    contract: Annotated[
        tuple[ContractId, ...],
        Field(max_length=25, description="contracts to look at; none: the configured ones, else all that were synced"),
    ] = ()


async def sync(call: Call[Nothing, SyncQuery, Nothing]) -> Answer:
    """Answer ``GET /sync``."""
    reading = await call.api.sync.read(call.query.contract)
    return Answer(reading.body, etag=reading.etag, cache=NO_CACHE)


ROUTES = (
    Route(
        method="GET",
        path="/sync",
        handler=sync,
        query=SyncQuery,
        answer=SyncModel,
        tag="sync",
        summary="How far the database is",
        description=(
            "Watermark, tip and lag; which ledgers are covered, by which source and with what evidence; which are "
            "missing. A ledger is 'proven' where hashes were checked from its header down to each event."
        ),
    ),
)
