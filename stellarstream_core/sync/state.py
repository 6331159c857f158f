"""How far the database is and how far behind: what ``status``, ``/sync`` and the dashboard show."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from stellarstream_core.errors import StellarStreamError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Reach, Source
from stellarstream_core.storage import Storage
from stellarstream_core.sync.report import read_coverage, stored_bounds
from stellarstream_core.sync.run import known_states

SHORTEST_TIP_SECONDS = 2.0
DEFAULT_TIP_SECONDS = 5.0
"""How often the tip is asked for: as often as ledgers close, or this where nobody tells."""
TIP_TIMEOUT_SECONDS = 5.0
SHOWN_CONFLICTS = 10


@dataclass(frozen=True, slots=True)
class Tip:
    """What a source last said: ``reach`` and its name, or else the ``trouble`` there was, as a sentence."""

    reach: Reach | None = None
    source: str | None = None
    trouble: str | None = None

    @property
    def seconds(self) -> float:
        """How long it need not be asked again."""
        told = self.reach.ledger_seconds if self.reach else None
        return max(told, SHORTEST_TIP_SECONDS) if told else DEFAULT_TIP_SECONDS


@dataclass(slots=True)
class TipReader:
    """Asks for the tip, each source opened once and then kept until ``close``."""

    found: Runtime
    _open: dict[str, Source] = field(default_factory=dict)

    async def read(self) -> Tip:
        """Return the tip of the first source that answers in time; raise nothing."""
        trouble = None
        try:
            for spec in self.found.source_specs():
                try:
                    if spec.name not in self._open:
                        self._open[spec.name] = await self.found.open_source(spec)
                    async with asyncio.timeout(TIP_TIMEOUT_SECONDS):
                        return Tip(await self._open[spec.name].reach(), spec.name)
                except StellarStreamError as error:
                    trouble = f"{spec.name}: {error.message}"
                except TimeoutError:
                    trouble = f"{spec.name} did not answer within {TIP_TIMEOUT_SECONDS:.0f} s"
        except StellarStreamError as error:
            trouble = error.message
        return Tip(trouble=trouble)

    async def close(self) -> None:
        """Close every source."""
        while self._open:
            await self._open.popitem()[1].close()


async def tip_now(found: Runtime) -> Tip:
    """Return the tip of the first source that answers in time; raise nothing."""
    reader = TipReader(found)
    try:
        return await reader.read()
    finally:
        await reader.close()


def read_status(found: Runtime, storage: Storage, scope: Scope, tip: Tip) -> dict[str, Any]:
    """Return what ``status --json`` prints."""
    earliest = stored_bounds(storage, scope)
    bounds, marks = read_marks(storage, scope, earliest)
    totals = storage.totals()
    coverage = read_coverage(storage, LedgerRange(earliest.first, bounds.last), scope)
    watermark = min(marks.values())
    ahead = max(marks.values())
    reach = tip.reach
    return {
        "network": found.settings.network,
        "database": storage.url,
        "contracts": len(scope) if not scope.everything else None,
        "startLedger": bounds.first,
        "watermark": watermark,
        "heldBackBy": sorted(c for c, mark in marks.items() if mark == watermark) if ahead > watermark else [],
        "lastCoveredLedger": bounds.last,
        "tip": reach.latest if reach else None,
        "tipClosedAt": reach.latest_closed_at if reach else None,
        "lag": max(reach.latest - watermark, 0) if reach else None,
        "source": tip.source,
        "sourceTrouble": tip.trouble,
        "gaps": [gap.to_json() for gap in coverage.gaps],
        "evidence": {
            "provenLedgers": coverage.proven.size,
            "scannedLedgers": coverage.scanned.size,
            "sources": {name: ranges.size for name, ranges in sorted(coverage.sources.items())},
        },
        "events": totals.events,
        "conflicts": totals.conflicts,
        "conflictList": [
            {
                "id": c.event_id,
                "ledger": c.ledger,
                "contract": c.contract_id,
                "source": c.source,
                "timesSeen": c.times_seen,
            }
            for c in (storage.conflicts(limit=SHOWN_CONFLICTS) if totals.conflicts else ())
        ],
        "position": totals.position,
        "brokenPlugins": [plugin.name for plugin in found.plugins.broken],
    }


def read_marks(storage: Storage, scope: Scope, bounds: LedgerRange) -> tuple[LedgerRange, dict[str, int]]:
    """Return first wanted and last covered ledger, and each contract's watermark.

    A contract that was never asked for by itself is as far as everything is; where that was not
    asked for either, as far as what is stored goes on from the first ledger.
    """
    states = known_states(storage.sync_states([*scope, EVERYTHING]), scope)
    first = min((state.start_ledger for state in states.values()), default=bounds.first)
    bounds = LedgerRange(first, max(bounds.last, first))
    marks = {
        contract: states[contract].last_ledger_sequence
        if contract in states
        else storage.coverage(contract, bounds).unbroken_from(first)
        for contract in scope
    }
    return bounds, marks
