"""``/audit-log/chain/verify``: the audit log's chains, computed again from the stored events."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import Field

from stellarstream_core.api.models import Nothing, Parameters, Represented
from stellarstream_core.api.problems import InvalidCursorError
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.settings import Settings
from stellarstream_core.storage import Storage
from stellarstream_nebula.resources.audit import TAG
from stellarstream_nebula.served import STREAM_ID, StreamNotFoundError, families_in, key_of, stream_contracts
from stellarstream_nebula.verification import START, Checked, Position, Reason, check_piece

LIST = "audit-log/verify"
MOST_FAULTS = 100
SECONDS = 1.0
"""A check goes on for so long before it answers how far it came."""


class VerifyQuery(Parameters):
    """What checking the chains takes."""

    stream: Annotated[str | None, Field(pattern=STREAM_ID, description="check one stream's chain, and no others")] = (
        None
    )
    cursor: Annotated[
        str | None, Field(min_length=1, max_length=1024, description="'nextCursor' of the answer before")
    ] = None


class FaultModel(Represented):
    """Where a chain is broken."""

    chain: Annotated[str, Field(description="the stream's id, or contract/token")]
    event_id: Annotated[str | None, Field(description="null: the chain's end")]
    reason: Reason


class VerificationModel(Represented):
    """What a check found, as far as it came."""

    verdict: Annotated[
        Literal["intact", "broken"], Field(description="of what this answer speaks of, not of the pages before")
    ]
    chains: Annotated[int, Field(ge=0, description="chains that were checked to their end")]
    links: Annotated[int, Field(ge=0, description="entries that were checked")]
    faults: list[FaultModel]
    next_cursor: Annotated[str | None, Field(description="where to go on; null: everything was checked")]


async def verify(call: Call[Nothing, VerifyQuery, Nothing]) -> Answer:
    """Answer ``GET /audit-log/chain/verify``."""
    api, query = call.api, call.query
    fingerprint = query.stream or ""
    start = START if query.cursor is None else _position(api.cursors.read(LIST, fingerprint, query.cursor))
    checked = await api.database.run(_verify, api.database.storage, api.settings, query.stream, start)
    at = checked.position
    cursor = None if at is None else api.cursors.make(LIST, fingerprint, "|".join(map(str, at)))
    body = VerificationModel(
        verdict="broken" if checked.faults else "intact",
        chains=checked.chains,
        links=checked.links,
        faults=[FaultModel(chain=key, event_id=event, reason=reason) for key, event, reason in checked.faults],
        next_cursor=cursor,
    )
    return Answer(body, next_cursor=cursor)


def _verify(storage: Storage, settings: Settings, stream: str | None, start: Position) -> Checked:
    only = None
    if stream is not None:
        served = storage.read(lambda database: stream_contracts(families_in(database, settings)))
        only = key_of(stream, served, "query.stream")
    checked = Checked(position=start)
    until = time.monotonic() + SECONDS
    while checked.position is not None and len(checked.faults) < MOST_FAULTS:
        check_piece(storage, checked, only)
        if time.monotonic() >= until:
            break
    if only is not None and not checked.links and checked.position is None and start == START and not checked.faults:
        raise StreamNotFoundError("No stream of this id is indexed.")
    return checked


def _position(text: str) -> Position:
    parts = text.split("|")
    if len(parts) != 6 or not (parts[3].isdigit() and parts[4].isdigit()):
        raise InvalidCursorError("The cursor is of another release.")
    return Position(parts[0], parts[1], parts[2], int(parts[3]), int(parts[4]), parts[5])


ROUTES = (
    Route(
        method="GET",
        path="/audit-log/chain/verify",
        handler=verify,
        query=VerifyQuery,
        answer=VerificationModel,
        tag=TAG,
        summary="Check the chains against the stored events",
        description=(
            "Computes every link again from the stored events, for about a second, and says how far it came: go on "
            "with nextCursor until it is null."
        ),
        problems=(StreamNotFoundError, InvalidCursorError),
    ),
)
