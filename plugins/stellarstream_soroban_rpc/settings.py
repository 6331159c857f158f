"""The plugin's own settings: ``[plugins.soroban-rpc]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from stellarstream_core.settings import PluginSection

SECTION = "soroban-rpc"

MIN_MARGIN = 64
"""A node trims one ledger per close; no answer takes as long as 64 closes."""


class SorobanRpcSettings(PluginSection):
    """How the endpoints named in ``rpc_url`` are read. The defaults suit public endpoints."""

    page_limit: int = Field(4_000, ge=1, le=10_000, description="events asked for in one page")
    page_ledgers: int = Field(
        5, ge=1, le=200, description="whole ledgers asked for in one page, to begin with; more where they are small"
    )
    ledger_pages_in_flight: int = Field(4, ge=1, le=64, description="pages of whole ledgers read at the same time")
    window: int = Field(2_000, ge=1, le=100_000, description="ledgers in a window, to begin with")
    max_window: int = Field(10_000, ge=1, le=100_000, description="ledgers in a window, at most")
    window_events: int = Field(8_000, ge=1, le=100_000, description="events after which a window is cut")
    windows_in_flight: int = Field(4, ge=1, le=64, description="windows read at the same time")
    max_in_flight: int = Field(
        4, ge=1, le=64, description="requests under way at the same time, all endpoints together"
    )
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="longest wait for one answer")
    max_retries: int = Field(10, ge=0, le=1_000, description="failed attempts in a row before a window is given up")
    retry_seconds: float = Field(
        180.0, ge=0, le=86_400, description="seconds without progress before a window is given up"
    )
    backoff_seconds: float = Field(0.5, gt=0, le=60, description="upper bound of the first pause; it doubles each time")
    max_backoff_seconds: float = Field(20.0, gt=0, le=600, description="upper bound of any pause")
    max_ledger_events: int = Field(
        1_000_000, ge=10_000, le=2**31, description="events of one ledger after which the node is not believed"
    )
    margin: int = Field(
        MIN_MARGIN,
        ge=MIN_MARGIN,
        le=100_000,
        description="ledgers above the node's oldest that are taken only after reading the oldest again",
    )
    max_response_bytes: int = Field(
        16 * 1024 * 1024, ge=64 * 1024, le=1024**3, description="largest answer read; pages shrink to fit"
    )
    chain_seconds: float = Field(
        10.0,
        gt=0,
        le=600,
        description="longest wait for what the chain is asked for now, such as an account's signers; retries included",
    )
    chain_in_flight: int = Field(
        32,
        ge=1,
        le=1_024,
        description="requests about its present state under way at the same time, in one process",
    )
    query_events: Literal["auto", "never"] = Field(
        "auto", description="use queryEvents (full-history nodes, beta) where an endpoint offers it"
    )

    @model_validator(mode="after")
    def _window_fits(self) -> SorobanRpcSettings:
        if self.window > self.max_window:
            raise ValueError("window must not exceed max_window")
        return self
