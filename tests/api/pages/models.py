"""Made models: what the API would know, without an API."""

from __future__ import annotations

from typing import Any

from stellarstream_core.api.cluster import ClusterView, ProcessView, WatcherView
from stellarstream_core.api.pages.dashboard import Facts
from stellarstream_core.api.resources.health import Check, Readiness
from stellarstream_core.api.sync_model import (
    CoverageModel,
    EvidenceModel,
    GapModel,
    SourceModel,
    SyncModel,
)
from stellarstream_core.ops.health_state import Alert
from stellarstream_core.plugins import Plugin
from stellarstream_core.ranges import RangeSet

NOW = 1_800_000_000.0


def part(first: int, last: int, evidence: str = "proven", contracts: list[str] | None = None) -> CoverageModel:
    return CoverageModel(
        from_=first, to=last, evidence=evidence, source="soroban-rpc", flavour=None, contracts=contracts
    )


def gap(first: int, last: int, reason: str = "not-fetched", contracts: list[str] | None = None) -> GapModel:
    return GapModel(from_=first, to=last, reason=reason, contracts=contracts)


def source(state: str = "up", name: str = "soroban-rpc", trouble: str | None = None) -> SourceModel:
    up = state == "up"
    return SourceModel(
        name=name,
        summary="a source",
        state=state,
        oldest=1 if up else None,
        latest=1_000 if up else None,
        covered_ledgers=100,
        trouble=trouble,
    )


def sync_model(**changes: Any) -> SyncModel:
    """Return a database that is complete and at the tip, with changes."""
    parts = changes.get("coverage", [part(100, 1_000)])
    whole = RangeSet((one.from_, one.to) for one in parts)
    proven = RangeSet((one.from_, one.to) for one in parts if one.evidence == "proven")
    found: dict[str, Any] = {
        "network": "testnet",
        "contracts": ["C" * 56],
        "start_ledger": 100,
        "watermark": 1_000,
        "held_back_by": [],
        "last_covered_ledger": max((one.to for one in parts), default=None),
        "tip": 1_000,
        "tip_closed_at": "2027-01-15T08:00:00Z",
        "lag": 0,
        "lag_seconds": 0.0,
        "as_of_ledger": 1_000,
        "complete": True,
        "coverage": parts,
        "gaps": [],
        "more_ranges": 0,
        "evidence": EvidenceModel(proven_ledgers=proven.size, scanned_ledgers=(whole - proven).size),
        "sources": [source()],
        "events": 12_345,
        "conflicts": 0,
        "position": 42,
    }
    return SyncModel(**{**found, **changes})


def nothing_synced() -> SyncModel:
    return sync_model(
        contracts=[],
        start_ledger=None,
        watermark=None,
        last_covered_ledger=None,
        lag=None,
        lag_seconds=None,
        coverage=[],
        as_of_ledger=0,
        complete=False,
        events=0,
        position=0,
    )


def facts(**changes: Any) -> Facts:
    """Return the facts of a service that is well, with changes."""
    ready = Readiness(status="ready", checks=[Check(name="database", ok=True, detail="fine", required=False)])
    found: dict[str, Any] = {
        "network": "testnet",
        "database": "SQLite",
        "contracts": [],
        "plugins": [Plugin("sql", "stellarstream", "0.1.0")],
        "now": NOW,
        "sync": sync_model(),
        "readiness": ready,
    }
    return Facts(**{**found, **changes})


MB = 1_000_000
CLUSTER = ClusterView(
    (
        WatcherView(
            "api",
            "active",
            3,
            (
                ProcessView(101, "ready", 61_200, 213 * MB, 12.4, 0.6),
                ProcessView(102, "ready", 41, 512 * MB, 96.0, 17.0),
                ProcessView(103, "starting", 2.0, None, None, 0.2),
            ),
            restarts=4,
            memory_limit=500 * MB,
        ),
        WatcherView(
            "indexer",
            "active",
            1,
            (ProcessView(104, "ready", 200_000, 120 * MB, 3.0, 0.4, 6.0, 1_000, 1_000, 1_000),),
            0,
            memory_limit=300 * MB,
        ),
        WatcherView("other-that-nobody-runs", "stopped", 1),
        WatcherView("worker", "active", 1, (ProcessView(105, None, 300.0, 40 * MB, 0.0),)),
    ),
    (
        Alert(NOW - 60, "crash-loop", "indexer", "indexer crashes again and again: the next start is in 16 s"),
        Alert(NOW - 90, "stuck", "api", "<script>taken=1</script>", 99),
        *(Alert(NOW - 100 - n, "memory", "api", f"api process {n} has 512 MB of memory", n) for n in range(5)),
    ),
    {"memory": 7, "crash-loop": 1, "stuck": 1, "cpu": 0},
)
"""Processes in every state, one over its limit, one that hangs; more alerts than are shown at once."""
NO_INDEXER = ClusterView(
    (
        WatcherView("api", "active", 1, (ProcessView(101, "ready", 61_200, 213 * MB, 12.4, 0.6),), 0),
        WatcherView("indexer", "active", 0, backoff=16.0, restarts=9),
    ),
    monitor="last looked 400 s ago",
)
