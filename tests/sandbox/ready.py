"""Networks with copies of a history that was closed before: closing a hundred ledgers takes 0.3 s, a copy 10 ms."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from copy import deepcopy
from unittest import mock

from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.ledger.closing import ClosedLedger
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_sandbox.simulation import Simulation


def ready(config: SandboxConfig, on_ledger: Callable[[ClosedLedger], None] | None = None) -> SandboxNetwork:
    """Return a network of a config, to be entered; where its history is always the same, it is closed only once."""
    if config.genesis_time is None or config.lake is not None:  # a lake is written while the history is closed
        return SandboxNetwork(config, on_ledger)
    simulation = grown(config)
    with mock.patch("stellarstream_sandbox.network.Simulation", return_value=simulation):
        return SandboxNetwork(config, on_ledger)


def grown(config: SandboxConfig) -> Simulation:
    """Return a simulation of one's own whose history is closed."""
    simulation = deepcopy(_closed(config))
    simulation._closed_at = time.monotonic()
    return simulation


@functools.lru_cache(maxsize=8)
def _closed(config: SandboxConfig) -> Simulation:
    simulation = Simulation(config)
    for _ in simulation.close_history():
        pass
    return simulation
