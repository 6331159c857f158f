"""The plugin's own settings: ``[plugins.horizon]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stellarstream_core.settings import PluginSection

SECTION = "horizon"

MOST_A_PAGE = 200
"""Records in a page of Horizon, at most."""


class HorizonSettings(PluginSection):
    """How the servers named in ``horizon_url`` are read. The defaults suit a server with Horizon's own limits."""

    page_limit: int = Field(MOST_A_PAGE, ge=1, le=MOST_A_PAGE, description="records asked for in one page")
    piece_transactions: int = Field(
        8_000, ge=1, le=100_000, description="transactions read as one piece, by their usual number in a ledger"
    )
    pieces_in_flight: int = Field(3, ge=1, le=64, description="pieces read at the same time")
    max_in_flight: int = Field(4, ge=1, le=64, description="requests under way at the same time, all servers together")
    timeout_seconds: float = Field(60.0, gt=0, le=600, description="longest wait for one answer")
    max_retries: int = Field(10, ge=0, le=1_000, description="failed attempts in a row before a piece is given up")
    retry_seconds: float = Field(
        180.0, ge=0, le=86_400, description="seconds without progress before a piece is given up"
    )
    backoff_seconds: float = Field(0.5, gt=0, le=60, description="upper bound of the first pause; it doubles each time")
    max_backoff_seconds: float = Field(20.0, gt=0, le=600, description="upper bound of any pause")
    max_response_bytes: int = Field(
        64 * 1024 * 1024, ge=64 * 1024, le=1024**3, description="largest answer read; pages shrink to fit"
    )
    stream: Literal["auto", "never"] = Field(
        "auto", description="hear of new ledgers by server-sent events while following, where a server offers them"
    )
