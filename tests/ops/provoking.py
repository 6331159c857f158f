"""A plugin whose routes make a worker misbehave."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from stellarstream_core import hookimpl
from stellarstream_core.api.models import Nothing, Parameters, Represented
from stellarstream_core.api.routes import Call, Route

KEPT: list[bytes] = []


class Megabytes(Parameters):
    mb: Annotated[int, Field(ge=0, le=1000)] = 0


class Kept(Represented):
    pid: int


async def keep(call: Call[Nothing, Megabytes, Nothing]) -> Kept:
    """Keep so much memory for good."""
    KEPT.append(os.urandom(1_000_000) * call.query.mb)
    return Kept(pid=os.getpid())


ROUTES = (
    Route(
        method="GET", path="/keep", handler=keep, query=Megabytes, answer=Kept, tag="provoking", summary="Keep memory"
    ),
)


@hookimpl
def register_routes() -> tuple[Route, ...]:
    return ROUTES


def install(folder) -> str:
    """Make a distribution that offers this plugin; return the folder it is installed in."""
    info = folder / "site" / "provoking-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: provoking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[stellarstream]\nprovoking = {__name__}\n")
    return str(info.parent)
