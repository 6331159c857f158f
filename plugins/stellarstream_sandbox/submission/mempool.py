"""Transactions that wait for the next ledger: one of each source account, as in a node's queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.submission.admission import Rejection, judge
from stellarstream_sandbox.submission.incoming import Incoming

MAX_WAITING = 1000
"""How many transactions wait at most; a ledger takes all of them."""

_REPLACEMENT = 10
"""How many times the fee rate of the waiting transaction a fee bump must bid to take its place."""


class Status(StrEnum):
    """What a node says of a transaction that is handed in."""

    PENDING = "PENDING"
    DUPLICATE = "DUPLICATE"
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status, and with ``ERROR`` why."""

    status: Status
    rejection: Rejection | None = None


class Mempool:
    """The queue. ``next_ledger`` returns sequence and close time of the ledger that empties it."""

    def __init__(self, world: World, next_ledger: Callable[[], tuple[int, int]]) -> None:
        self._world = world
        self._next_ledger = next_ledger
        self._waiting: dict[str, Incoming] = {}
        self._own: list[Incoming] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._own)

    def hand_in(self, tx: Incoming) -> Verdict:
        """Take a transaction, or say why not; what has been taken can still become invalid by the next ledger."""
        waiting = self._waiting.get(tx.source)
        if waiting is not None and waiting.hash == tx.hash:
            return Verdict(Status.DUPLICATE)
        if waiting is not None and not _replaces(tx, waiting):
            return Verdict(Status.TRY_AGAIN_LATER)
        rejection = judge(self._world, tx, *self._next_ledger())
        if rejection is not None:
            return Verdict(Status.ERROR, rejection)
        if waiting is None and len(self) >= MAX_WAITING:
            return Verdict(Status.TRY_AGAIN_LATER)
        self._waiting[tx.source] = tx
        return Verdict(Status.PENDING)

    def add_own(self, tx: Incoming) -> None:
        """Take a transaction of the network's own, such as friendbot's, of which an account may have several."""
        self._own.append(tx)

    def own(self) -> list[Incoming]:
        """Take out the network's own transactions, in the order of arrival."""
        taken, self._own = self._own, []
        return taken

    def take(self) -> list[Incoming]:
        """Take out those of wallets, which have to be judged again, in the order of arrival."""
        taken, self._waiting = list(self._waiting.values()), {}
        return taken


def _replaces(tx: Incoming, waiting: Incoming) -> bool:
    """Tell whether a fee bump bids enough to take the place of what waits (stellar-core's ``TransactionQueue``)."""
    if tx.bump_fee is None or tx.sequence != waiting.sequence:
        return False
    old = waiting.fee if waiting.bump_fee is None else waiting.bump_fee
    old_units = len(waiting.operations) + (waiting.bump_fee is not None)
    return tx.bump_fee * old_units >= _REPLACEMENT * old * (len(tx.operations) + 1)
