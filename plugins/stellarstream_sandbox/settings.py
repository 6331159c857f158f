"""The section ``[plugins.sandbox]`` of the settings."""

from __future__ import annotations

from pydantic import Field

from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.settings import PluginSection
from stellarstream_sandbox.config import ARCHIVE, MAX_BURST

_DEFAULT_RETENTION = 17_280
_DEFAULT_TRANSACTIONS = 6


class SandboxSection(PluginSection):
    """How ``stellarstream sandbox`` fills its ledgers, and how it serves them."""

    retention: int = Field(_DEFAULT_RETENTION, ge=1, le=LAST_LEDGER, description="how many ledgers JSON-RPC has")
    horizon_retention: int | None = Field(
        None, ge=1, le=LAST_LEDGER, description=f"how many ledgers Horizon has (none: the last {ARCHIVE:,})"
    )
    horizon_rate: int = Field(3_600_000, ge=0, le=2**31, description="Horizon's requests an hour (0: no limit)")
    horizon_burst: int = Field(10_000, ge=0, le=2**31, description="Horizon's requests at once, above that rate")
    lake_batch: int = Field(1, ge=1, le=10_000, description="ledgers in an object of the data lake")
    lake_partition: int = Field(64_000, ge=1, le=1_000_000, description="objects in a partition of the data lake")
    transactions: int = Field(_DEFAULT_TRANSACTIONS, ge=0, le=200, description="transactions a ledger has on average")
    burst_every: int = Field(250, ge=0, description="every so many ledgers one has a large transaction (0: never)")
    burst_events: int = Field(1200, ge=1, le=MAX_BURST, description="how many events the large transaction has")
    history_spacing: float = Field(5.0, ge=0.01, description="seconds between the ledgers closed before the start")
