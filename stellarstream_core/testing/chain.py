"""A chain client that answers from memory: for tests of whatever asks the chain for its present state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from stellarstream_core.chain import (
    ChainTransaction,
    LedgerEntries,
    LedgerEntry,
    SendStatus,
    Sent,
    Simulation,
    TransactionStatus,
)
from stellarstream_core.errors import SourceUnavailableError


class ScriptedChain:
    """A chain client whose answers are set by a test. Implements the ``ChainClient`` protocol.

    ``entries`` are ``LedgerEntryData`` by ``LedgerKey``, both XDR; ``ledger`` is what every answer names;
    ``simulation`` answers :meth:`simulate`, given the envelope; ``fate`` answers :meth:`transaction`. ``down``:
    nobody answers. ``asked`` counts calls by name, ``keys`` are those asked for, call by call, ``handed`` the
    envelopes that were sent.
    """

    name = "scripted"

    def __init__(self, ledger: int = 100) -> None:
        self.ledger = ledger
        self.closed_at = 1_700_000_000
        self.entries: dict[bytes, bytes] = {}
        self.simulation: Callable[[bytes], Simulation] | None = None
        self.fate: dict[str, ChainTransaction] = {}
        self.down = False
        self.asked: dict[str, int] = {}
        self.keys: list[list[bytes]] = []
        self.handed: list[bytes] = []

    async def ledger_entries(self, keys: Sequence[bytes]) -> LedgerEntries:
        """Return the entries that are set."""
        self._count("ledger_entries")
        self.keys.append(list(keys))
        return LedgerEntries(
            self.ledger, {key: LedgerEntry(key, self.entries[key], self.ledger) for key in keys if key in self.entries}
        )

    async def simulate(self, envelope: bytes) -> Simulation:
        """Return what ``simulation`` says; without one every call fails."""
        self._count("simulate")
        if self.simulation is None:
            return Simulation(self.ledger, error="HostError: Error(Storage, MissingValue)")
        return self.simulation(envelope)

    async def send(self, envelope: bytes) -> Sent:
        """Take any envelope. Its hash is made up: the digest of its bytes."""
        self._count("send")
        status = SendStatus.DUPLICATE if envelope in self.handed else SendStatus.PENDING
        self.handed.append(envelope)
        return Sent(sha256(envelope).hexdigest(), status, self.ledger)

    async def transaction(self, tx_hash: str) -> ChainTransaction:
        """Return the fate that is set, else that it is not known."""
        self._count("transaction")
        unknown = ChainTransaction(TransactionStatus.NOT_FOUND, self.ledger, self.closed_at, 1)
        return self.fate.get(tx_hash, unknown)

    async def close(self) -> None:
        """Do nothing."""

    def _count(self, what: str) -> None:
        self.asked[what] = self.asked.get(what, 0) + 1
        if self.down:
            raise SourceUnavailableError("Nobody answers.")
