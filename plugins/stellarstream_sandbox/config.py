"""How a sandbox network is to be: everything that decides its ledgers, and how it is served."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from stellarstream_core.errors import UsageError
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.settings import NETWORKS
from stellarstream_sandbox.accounts import AccountSetup

FIRST_LEDGER = 2
"""The first ledger a network can serve: like everywhere, ledger 1 is genesis and has no meta."""

MAX_HISTORY = 200_000
"""The most ledgers a sandbox closes before it starts; they take some milliseconds each."""

MIN_CLOSE_TIME = 0.01
MAX_CLOSE_TIME = 3600.0
"""Seconds between ledgers."""

MAX_BURST = 20_000
"""The most events that one transaction publishes."""

ARCHIVE = 200_000
"""How many of the last ledgers are kept for Horizon and the lake: some 6 KB each."""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """The settings of one sandbox network.

    ``seed``, ``passphrase``, ``genesis_time``, ``history_spacing``, ``ledgers``, ``close_time``,
    ``transactions``, ``accounts`` and the two of the burst decide every byte of every ledger. The rest decides
    only what is kept and where it is served.

    ``ledgers`` are closed already when the network starts, ``history_spacing`` seconds apart; the
    later ones follow every ``close_time`` seconds, which may be a fraction. ``genesis_time`` is the
    first ledger's close time in Unix seconds; None lets the history end at the moment of the start.
    ``transactions`` is how many a ledger holds on average. Every ``burst_every``-th ledger has one
    transaction with ``burst_events`` events of one contract (0: never). ``accounts`` are there, or are as
    told, before the first ledger.

    ``retention`` is how many of the last ledgers JSON-RPC has, ``horizon_retention`` how many Horizon
    has (None: all that are kept, which are the last ``ARCHIVE``). Horizon lets ``horizon_rate``
    requests an hour through for an address (0: any number), and ``horizon_burst`` more at once.
    ``lake`` is a directory that becomes a data lake, ``lake_batch`` and ``lake_partition`` are how
    many ledgers an object and how many objects a partition has, there and over HTTP.

    With ``live`` off, ledgers close only when asked to.
    """

    seed: int = 1
    ledgers: int = 200
    close_time: float = 5.0
    genesis_time: int | None = None
    history_spacing: float = 5.0
    transactions: int = 6
    burst_every: int = 250
    burst_events: int = 1200
    accounts: tuple[AccountSetup, ...] = ()
    retention: int = 17_280
    horizon_retention: int | None = None
    horizon_rate: int = 3_600_000
    horizon_burst: int = 10_000
    lake: Path | None = None
    lake_batch: int = 1
    lake_partition: int = 64_000
    passphrase: str = NETWORKS["sandbox"].passphrase
    host: str = "127.0.0.1"
    port: int = 8000
    live: bool = True

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` where a number cannot be what it is meant to be."""
        _within("ledgers", self.ledgers, 1, MAX_HISTORY)
        _within("close_time", self.close_time, MIN_CLOSE_TIME, MAX_CLOSE_TIME)
        _within("history_spacing", self.history_spacing, 0.01, 86_400)
        _within("transactions", self.transactions, 0, 200)
        _within("burst_every", self.burst_every, 0, LAST_LEDGER)
        _within("burst_events", self.burst_events, 1, MAX_BURST)
        _within("retention", self.retention, 1, LAST_LEDGER)
        if self.horizon_retention is not None:
            _within("horizon_retention", self.horizon_retention, 1, LAST_LEDGER)
        _within("horizon_rate", self.horizon_rate, 0, 2**31)
        _within("horizon_burst", self.horizon_burst, 0, 2**31)
        _within("lake_batch", self.lake_batch, 1, 10_000)
        _within("lake_partition", self.lake_partition, 1, 1_000_000)
        _within("port", self.port, 0, 65_535)
        if self.genesis_time is not None:
            _within("genesis_time", self.genesis_time, 1, 2**40)

    @property
    def history_end(self) -> int:
        """The last ledger that is closed when the network starts."""
        return FIRST_LEDGER + self.ledgers - 1

    def started_at(self, now: float) -> SandboxConfig:
        """Return the config with its genesis time settled: the given one, or so that history ends at ``now``."""
        if self.genesis_time is not None:
            return self
        span = (self.ledgers - 1) * self.history_spacing
        return replace(self, genesis_time=math.floor(now - span))

    def close_time_of(self, sequence: int) -> int:
        """Return a ledger's close time in Unix seconds: a function of its sequence and nothing else.

        Where ledgers are less than a second apart, several share a close time, which a real network
        never has; times that run ahead of the clock would be the worse lie.
        """
        if self.genesis_time is None:
            raise ValueError("the genesis time is not settled yet")
        history = min(sequence, self.history_end) - FIRST_LEDGER
        live = max(sequence - self.history_end, 0)
        return self.genesis_time + math.floor(history * self.history_spacing + live * self.close_time + 1e-9)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also False for NaN
        raise UsageError(f"{name} is {value}, but must be from {low} to {high}.")
