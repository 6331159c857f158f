"""A byte search that rules out ledgers without a wanted contract, before they are walked.

An event's contract id stands in the XDR as its 32 bytes, so a ledger in which they do not occur has no
event of that contract. They may occur for other reasons (a balance, an argument): then it is walked.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_SEARCHED = 48
"""Contracts searched for; about so many searches take as long as walking the ledger (tests/benchmarks)."""


class Prefilter:
    """Looks for contract ids (32 raw bytes each) in a ledger; ``None`` stands for every contract."""

    def __init__(self, contracts: Iterable[bytes] | None) -> None:
        self._contracts = None if contracts is None else tuple(dict.fromkeys(contracts))
        self.searches = self._contracts is not None and len(self._contracts) <= MAX_SEARCHED
        """Whether it can rule out anything; if not, every answer is True at once."""

    def may_hold(self, meta: bytes) -> bool:
        """Tell whether a ``LedgerCloseMeta`` may hold an event of one of the contracts; False is certain.

        It is certain of ledgers that can be read: bytes that are no ledger are not looked into.
        """
        if self._contracts is None or not self.searches:
            return True
        return any(contract in meta for contract in self._contracts)
