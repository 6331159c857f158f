"""A sandbox network without a socket or a clock: a world, the chain of its ledgers, and their history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loguru import logger

from stellarstream_core.errors import UsageError
from stellarstream_sandbox.accounts import AccountSetup
from stellarstream_sandbox.config import ARCHIVE, FIRST_LEDGER, SandboxConfig
from stellarstream_sandbox.dice import Dice
from stellarstream_sandbox.economy.activity import Activity
from stellarstream_sandbox.economy.world import GENESIS_LEDGER, World
from stellarstream_sandbox.friendbot import Friendbot
from stellarstream_sandbox.history import History
from stellarstream_sandbox.identity import Directory
from stellarstream_sandbox.ledger.closing import ClosedLedger, LedgerCloser
from stellarstream_sandbox.ledger.header import HeaderChain
from stellarstream_sandbox.submission.admission import judge
from stellarstream_sandbox.submission.authorisation import Nonces
from stellarstream_sandbox.submission.incoming import Incoming
from stellarstream_sandbox.submission.mempool import Mempool


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
        self.mempool = Mempool(self.world, self.next_ledger)
        self.friendbot = Friendbot(self.world, self.mempool, self.next_ledger)
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

    def next_ledger(self) -> tuple[int, int]:
        """Return sequence and close time of the ledger that closes next."""
        return self._next, self.config.close_time_of(self._next)

    @property
    def nonces(self) -> Nonces:
        """The nonces that signed authorisations have used."""
        return self._closer.wallets.nonces

    def last_change(self, contract: str) -> int:
        """Return the last ledger in which a contract was called or published an event."""
        return self._closer.touched.get(contract, GENESIS_LEDGER)

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
        self.friendbot.prepare(sequence)
        incoming = self._incoming(sequence, now)
        # an account of the network's own that a wallet speaks for has no sequence number left in this ledger
        spoken_for = {tx.source for tx in incoming}
        intents = [one for one in self._activity.intents(sequence, now) if one.source not in spoken_for]
        if burst_events:
            intents.append(self._activity.burst(Dice(f"{self.config.seed}/{sequence}/burst"), burst_events))
        ledger = self._closer.close(sequence, now, intents, incoming)
        self.history.append(ledger)
        self._next += 1
        self._closed_at = self._monotonic()
        return ledger

    def _incoming(self, sequence: int, now: int) -> list[Incoming]:
        """Return the wallets' transactions for this ledger; what has become invalid since it came is dropped."""
        valid = list(self.mempool.own())
        for tx in self.mempool.take():
            rejection = judge(self.world, tx, sequence, now)
            if rejection is None:
                valid.append(tx)
            else:
                logger.info("transaction {} is dropped: {}", tx.hash.hex(), rejection.code.name)
        return valid

    def close_history(self) -> Iterator[ClosedLedger]:
        """Close the ledgers that are there at the start, one a step."""
        while self._next <= self.config.history_end:
            yield self.close_ledger()
