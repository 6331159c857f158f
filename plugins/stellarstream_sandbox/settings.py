"""The section ``[plugins.sandbox]`` of the settings."""

from __future__ import annotations

from pydantic import Field

from stellarstream_core.settings import PluginSection
from stellarstream_sandbox.config import MAX_BURST

_DEFAULT_RETENTION = 17_280
_DEFAULT_TRANSACTIONS = 6


class SandboxSection(PluginSection):
    """How ``stellarstream sandbox`` fills its ledgers, and how many it keeps."""

    retention: int = Field(_DEFAULT_RETENTION, ge=1, description="how many ledgers are kept; older ones are dropped")
    transactions: int = Field(_DEFAULT_TRANSACTIONS, ge=0, le=200, description="transactions a ledger has on average")
    burst_every: int = Field(250, ge=0, description="every so many ledgers one has a large transaction (0: never)")
    burst_events: int = Field(1200, ge=1, le=MAX_BURST, description="how many events the large transaction has")
    history_spacing: float = Field(5.0, ge=0.01, description="seconds between the ledgers closed before the start")
