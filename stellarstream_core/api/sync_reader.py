"""Reads how far the database is, once for all that ask: ``/sync``, the dashboard and ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from stellarstream_core.api.database import Database
from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.api.live.positions import Position
from stellarstream_core.api.moments import Moments
from stellarstream_core.api.sources import SourceState, SourceWatch
from stellarstream_core.api.sync_model import SyncModel, sync_model
from stellarstream_core.projection.status import read_projections
from stellarstream_core.ranges import RangeSet
from stellarstream_core.runtime import Runtime
from stellarstream_core.sources import Reach
from stellarstream_core.storage import Moment
from stellarstream_core.sync.retention import Margin, margin
from stellarstream_core.sync.state import State, read_state

KEPT_SECONDS = 1.0
"""How long a reading counts while nothing is committed: a contract that becomes wanted commits nothing."""
KEPT_READINGS = 32


@dataclass(frozen=True, slots=True)
class SyncReading:
    """One reading: as a model, and as it is sent. ``gaps`` counts also those that the model leaves out.

    ``margin`` tells how close what is yet to be fetched is to being out of every source's retention.
    """

    model: SyncModel
    body: bytes
    etag: str
    gaps: int
    margin: Margin | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """What a reading depends on: the contracts asked for, the store's moment, and what others say."""

    contracts: tuple[str, ...]
    moment: Moment
    now: Position | None
    sources: tuple[SourceState, ...]
    reach: Reach | None


class SyncReader:
    """Reads, and makes the answer, in a thread: it takes milliseconds where the coverage is in many pieces.

    Who asks the same at the same moment of the store shares a reading. ``now`` is where a live stream
    would begin.
    """

    def __init__(
        self,
        database: Database,
        runtime: Runtime,
        sources: SourceWatch,
        moments: Moments,
        now: Callable[[], Position | None],
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._sources = sources
        self._moments = moments
        self._now = now
        self._kept: ExpiringCache[_Question, SyncReading] = ExpiringCache(KEPT_READINGS, lambda _: KEPT_SECONDS)

    async def read(self, contracts: Iterable[str] = ()) -> SyncReading:
        """Return how far these contracts are, without any the configured ones, else all that were ever synced.

        Raises what the database raises.
        """
        asked = tuple(sorted(set(contracts)))
        states = await self._sources.look()
        moment = await self._moments.now()
        # taken before the reading: what is committed meanwhile arrives over the stream again, rather than never
        question = _Question(asked, moment, self._now(), states, self._sources.tip.reach)
        return await self._kept.get(question, self._look_up)

    async def _look_up(self, question: _Question) -> SyncReading:
        return await self._database.run(self._read, question)

    def _read(self, question: _Question) -> SyncReading:
        storage = self._database.storage
        totals = storage.totals()
        scope = self._runtime.scope_if_any(question.contracts, storage)
        state = read_state(storage, scope) if scope else None
        model = sync_model(
            network=self._runtime.settings.network,
            scope=scope,
            state=state,
            totals=totals,
            sources=question.sources,
            reach=question.reach,
            live_position=None if question.now is None else str(question.now),
            projections=read_projections(storage, self._runtime.plugins.projections()),
        )
        body = orjson.dumps(model.model_dump(mode="json", by_alias=True))
        etag = blake2b(body, digest_size=12).hexdigest()
        gaps = len(state.coverage.gaps) if state else 0
        return SyncReading(model, body, etag, gaps, retention_margin(state, question.sources) if state else None)


def retention_margin(state: State, sources: Iterable[SourceState]) -> Margin | None:
    """Return the margin of all gaps and of every ledger after the last covered one, the next to close included."""
    reaches = {source.name: source.reach for source in sources if source.reach is not None}
    after = state.last + 1
    newest = max((reach.latest for reach in reaches.values()), default=after)
    return margin(RangeSet([*(gap.range for gap in state.coverage.gaps), (after, max(after, newest))]), reaches)
