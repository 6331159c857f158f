"""A sandbox network without a socket or a clock: a world, the chain of its ledgers, and their history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from stellarstream_core.errors import UsageError
from stellarstream_sandbox.accounts import AccountSetup
from stellarstream_sandbox.config import ARCHIVE, FIRST_LEDGER, SandboxConfig
from stellarstream_sandbox.dice import Dice
from stellarstream_sandbox.economy.activity import Activity
from stellarstream_sandbox.economy.world import GENESIS_LEDGER, World
from stellarstream_sandbox.history import History
from stellarstream_sandbox.identity import Directory
from stellarstream_sandbox.ledger.closing import ClosedLedger, LedgerCloser
from stellarstream_sandbox.ledger.header import HeaderChain


class Simulation:
    """Closes ledgers when told to. The same config with a genesis time gives the same bytes, always."""

    def __init__(self, config: SandboxConfig, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.config = config.started_at(time.time())
        self.world = World(Directory(config.passphrase, config.seed))
        self.history = History(config.retention, ARCHIVE)
        self._monotonic = monotonic
        self._closed_at = monotonic()
        genesis_time = self.config.close_time_of(FIRST_LEDGER) - 1
        self._closer = LedgerCloser(self.world, HeaderChain(self.world.directory, genesis_time))
        self._activity = Activity(self.world, config.seed, config.transactions, config.burst_every, config.burst_events)
        self._next = GENESIS_LEDGER + 1
        self._setups: list[AccountSetup] = []
        for setup in config.accounts:
            self.world.set_account(setup, GENESIS_LEDGER)

    @property
    def contracts(self) -> dict[str, str]:
        """The contracts' C… ids by name."""
        return self.world.contracts

    @property
    def accounts(self) -> dict[str, str]:
        """The accounts' G… ids by name; those that were set up have none."""
        return dict(self.world.names)

    def secret_key(self, name: str) -> str:
        """Return the S… key of a named account, to sign with."""
        if name not in self.world.names:
            raise UsageError(f"The sandbox has no account called {name!r}.")
        return self.world.directory.keypair(name).secret_key

    def set_account(self, setup: AccountSetup) -> int:
        """Make or change an account; return the ledger from which on it is so, which is the next one."""
        self._setups.append(setup)
        return self._next

    @property
    def silence(self) -> float:
        """How many seconds ago the last ledger closed, by the clock on the wall and not by its close time."""
        return self._monotonic() - self._closed_at

    def close_ledger(self, burst_events: int = 0) -> ClosedLedger:
        """Close the next ledger; ``burst_events`` adds a transaction with so many events of ``airdrop``."""
        sequence = self._next
        now = self.config.close_time_of(sequence)
        for setup in self._setups:
            self.world.set_account(setup, sequence)
        self._setups.clear()
        intents = self._activity.intents(sequence, now)
        if burst_events:
            intents.append(self._activity.burst(Dice(f"{self.config.seed}/{sequence}/burst"), burst_events))
        ledger = self._closer.close(sequence, now, intents)
        self.history.append(ledger)
        self._next += 1
        self._closed_at = self._monotonic()
        return ledger

    def close_history(self) -> Iterator[ClosedLedger]:
        """Close the ledgers that are there at the start, one a step."""
        while self._next <= self.config.history_end:
            yield self.close_ledger()
