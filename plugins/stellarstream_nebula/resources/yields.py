"""``/yield/{streamId}``: what a stream's vault has earned for it, at what rate, and what that makes in some days."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from loguru import logger
from pydantic import Field

from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.api.models import Nothing, Parameters, Represented
from stellarstream_core.api.problems import ApiProblem, NotFoundError
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.errors import StellarStreamError
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.settings import Settings
from stellarstream_nebula.backlog import vault_of
from stellarstream_nebula.entries import read_v2_entry, v2_stream_key
from stellarstream_nebula.interest import Earned
from stellarstream_nebula.model import V2, StreamFacts, StreamState, StreamView
from stellarstream_nebula.represent import Amount, Moment, amount, view_of
from stellarstream_nebula.resources.yield_model import YieldModel, yield_model
from stellarstream_nebula.served import STREAM_ID, StreamNotFoundError, families_in, key_of, stream_contracts
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.stored import NAME, read_rows
from stellarstream_nebula.yields import (
    MOST_SAMPLES,
    Growth,
    Reading,
    Sample,
    accrued,
    growth_in,
    newest_samples,
    principal_of,
    projected,
    rate_text,
    read_vault,
)

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.api.service import ApiService

TAG = "yield"
LONGEST_DAYS = 3_650
LIVE_SECONDS = 5.0
"""How long a vault's word is passed on before it is asked again: about a ledger."""
PATIENCE_SECONDS = 3.0
"""How long a request waits for the chain; the newest sample stands in for it."""
_MOST_KEPT = 1_000


class StreamHasNoYieldError(NotFoundError):
    """The stream's money lies in no vault."""

    code = "stream-has-no-yield"
    title = "Stream has no yield"
    help = "Only streams that were created with yieldEnabled earn something; 'yieldEnabled' of the stream tells."


class YieldUnknownError(ApiProblem):
    """Whether the stream has a vault is not known yet: the chain has to be asked, and does not answer now."""

    code = "yield-unknown"
    title = "Yield not known yet"
    status = 503
    retry_after = 5
    help = "Try again after as many seconds as Retry-After says."


class YieldPath(Parameters):
    """Which stream."""

    stream_id: Annotated[
        str, Field(pattern=STREAM_ID, description="the stream's id, or its bare number where one contract is served")
    ]


class YieldQuery(Parameters):
    """What reading a yield takes."""

    samples: Annotated[int, Field(ge=0, le=MOST_SAMPLES, description="how many samples to show, newest first")] = 0


class ProjectionQuery(Parameters):
    """What projecting a yield takes."""

    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS, description="days from now")] = 30


class YieldProjectionModel(Represented):
    """What a stream's vault would earn."""

    projected: Annotated[
        Amount | None, Field(description="on what is not withdrawn yet, if nothing is withdrawn; null: rate unknown")
    ]
    rate: Annotated[str | None, Field(description="as yieldRate of the stream's yield")]
    days: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds of a stream's yield. ``facts`` is the newest read that found the stream."""

    state: StreamState
    shown: StreamView
    moment: Moment
    facts: StreamFacts | None
    missing: bool


class YieldReads:
    """What the chain is asked for at this worker: ``call.api.part(YieldReads)``. Failures are kept as briefly."""

    def __init__(self, api: ApiService) -> None:
        self._chain = api.chain
        self._vaults: ExpiringCache[str, tuple[Reading | None]] = ExpiringCache(_MOST_KEPT, lambda _: LIVE_SECONDS)
        self._facts: ExpiringCache[tuple[str, int], tuple[StreamFacts | None]] = ExpiringCache(
            _MOST_KEPT, lambda _: LIVE_SECONDS
        )

    async def vault(self, vault: str) -> Reading | None:
        """Return what a vault says now, None where that cannot be had soon."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await self._vaults.get(vault, self._read_vault))[0]
        except TimeoutError:
            return None

    async def facts(self, contract: str, stream_id: int) -> StreamFacts | None:
        """Return what the chain says of a V2 stream now, None where that cannot be had soon."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await self._facts.get((contract, stream_id), self._read_facts))[0]
        except TimeoutError:
            return None

    async def _read_vault(self, vault: str) -> tuple[Reading | None]:
        if self._chain is None:
            return (None,)
        try:
            return (await read_vault(self._chain, vault),)
        except StellarStreamError as error:
            logger.warning("the vault {} cannot be read: {}", vault, error)
            return (None,)

    async def _read_facts(self, stream: tuple[str, int]) -> tuple[StreamFacts | None]:
        if self._chain is None:
            return (None,)
        key = v2_stream_key(*stream)
        try:
            answer = await self._chain.ledger_entries([key])
            entry = answer.entries.get(key)
            if entry is None:
                return (StreamFacts(ledger=answer.ledger, missing=True),)
            return (read_v2_entry(key, entry.data, answer.ledger),)
        except StellarStreamError as error:
            logger.warning("stream {} of {} cannot be read: {}", stream[1], stream[0], error)
            return (None,)


async def stream_yield(call: Call[YieldPath, YieldQuery, Nothing]) -> Answer:
    """Answer ``GET /yield/{streamId}``."""
    api = call.api
    stored, vault = await _yielding(api, call.path.stream_id)
    reading = await api.part(YieldReads).vault(vault)
    samples, growth = await _history(api, vault, max(1, call.query.samples))
    interest, reference, ledger, closed = None, 1, None, None
    if reading is not None:
        # its ledger may be ahead of what is stored: the newest close time up to it is known
        known = await api.database.run(api.database.storage.close_time, reading.ledger)
        interest, reference, ledger = reading.interest, reading.principal, reading.ledger
        closed = known.closed_at if known is not None else None
    elif samples:
        newest = samples[0]
        interest, reference, ledger, closed = newest.interest, newest.principal, newest.ledger, newest.closed_at
    principal = principal_of(stored.shown)
    earned = None if principal is None or stored.state.family != V2 else accrued(principal, interest, reference)
    return Answer(
        yield_model(
            stored.shown,
            stored.moment,
            Earned(vault, earned, principal, ledger, closed),
            growth,
            samples[: call.query.samples] if call.query.samples else None,
        )
    )


async def projection(call: Call[YieldPath, ProjectionQuery, Nothing]) -> Answer:
    """Answer ``GET /yield/{streamId}/projection``."""
    stored, vault = await _yielding(call.api, call.path.stream_id)
    _, growth = await _history(call.api, vault, 1)
    principal, days = principal_of(stored.shown), call.query.days
    earned = None if principal is None or growth is None else projected(principal, growth, days)
    rate = None if growth is None else rate_text(growth)
    return Answer(YieldProjectionModel(projected=amount(earned), rate=rate, days=days))


async def _yielding(api: ApiService, text: str) -> tuple[Stored, str]:
    """Return a stream that has a yield, and its vault. Raises the problems of the routes."""
    stored = await api.database.run(api.database.storage.read, partial(read_stored, api.settings, text))
    if stored is None:
        raise StreamNotFoundError("No stream of this id is indexed.")
    facts = stored.facts
    if facts is None and not stored.missing:
        if stored.state.family == V2:
            facts = await api.part(YieldReads).facts(stored.state.contract_id, stored.state.stream_id)
        if facts is None:
            raise YieldUnknownError("What the chain says of this stream was not read yet.")
    vault = vault_of(stored.state.family, facts)
    if vault is None:
        raise StreamHasNoYieldError("The money of this stream earns nothing.")
    return stored, vault


def read_stored(settings: Settings, text: str, database: Database) -> Stored | None:
    """Read a stream in one snapshot; None where there is none. Raises as :func:`key_of` does."""
    key = key_of(text, stream_contracts(families_in(database, settings)), "path.streamId")
    row = read_rows(database, [key]).get(key)
    if row is None:
        return None
    contract = row.state.contract_id
    moment = Moment.of(reached_in(database, NAME, [contract]).get(contract), None, row.state)
    shown = view_of(row, moment, settings.section(NebulaSettings).facts_fresh_ledgers)
    latest = row.reads.latest
    missing = latest is not None and latest.missing
    return Stored(row.state, shown, moment, None if missing else latest, missing)


async def _history(api: ApiService, vault: str, limit: int) -> tuple[Sequence[Sample], Growth | None]:
    def read(database: Database) -> tuple[Sequence[Sample], Growth | None]:
        return newest_samples(database, vault, limit), growth_in(database, vault)

    return await api.database.run(api.database.storage.read, read)


_PROBLEMS = (StreamNotFoundError, StreamHasNoYieldError, YieldUnknownError)

ROUTES = (
    Route(
        method="GET",
        path="/yield/{streamId}",
        handler=stream_yield,
        path_model=YieldPath,
        query=YieldQuery,
        answer=YieldModel,
        tag=TAG,
        summary="What a stream's vault has earned for it",
        description=(
            "The vault is asked by simulation, at most every few seconds; where the chain does not answer, the newest "
            "sample tells. The rate is measured between samples of up to a week. Amounts round down."
        ),
        problems=_PROBLEMS,
    ),
    Route(
        method="GET",
        path="/yield/{streamId}/projection",
        handler=projection,
        path_model=YieldPath,
        query=ProjectionQuery,
        answer=YieldProjectionModel,
        tag=TAG,
        summary="What a stream's vault would earn in some days",
        description="At the measured rate, without compounding, if nothing is withdrawn meanwhile.",
        problems=_PROBLEMS,
    ),
)
