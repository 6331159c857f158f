"""The endpoints of ``rpc_url`` as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from stellarstream_core.endpoints import pool
from stellarstream_core.endpoints.pool import NoneUsableError, NotHeldError, Patience
from stellarstream_core.endpoints.timing import Timing
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.ledgers_endpoint import LedgersEndpoint
from stellarstream_soroban_rpc.settings import SorobanRpcSettings

__all__ = ["LedgersPool", "NoneUsableError", "NotHeldError", "Patience", "Pool", "RpcPool"]

E = TypeVar("E", bound=Endpoint)


class RpcPool(pool.Pool[E]):
    """The configured Soroban RPC endpoints in order of preference."""

    kind: ClassVar[str] = "Soroban RPC"
    settings: SorobanRpcSettings

    def __init__(self, endpoints: Sequence[E], settings: SorobanRpcSettings, timing: Timing) -> None:
        super().__init__(endpoints, settings, timing)


Pool = RpcPool[Endpoint]
"""Endpoints whose events are read."""

LedgersPool = RpcPool[LedgersEndpoint]
"""Endpoints whose ledgers are read whole."""
