"""Ledgers known by their hash: what every certificate is held against, whichever source it comes from.

Sources check the chain inside what they hand over. Between windows, sources and runs it is checked
here: by the ends of the windows of this run, by the anchors that the database keeps, and by the open
ends of what was checked before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from stellarstream_core.certificates import Breach, LedgerCertificate
from stellarstream_core.storage import Anchor

ANCHOR_EVERY = 4096
"""A checked ledger whose sequence is a multiple of this is kept as an anchor: some four a day."""

MOST_REMEMBERED = 20_000
"""Window ends remembered at a time; anchors are never forgotten."""


class KnownLedgers:
    """Hashes of ledgers by sequence: stored anchors, and the ends of windows seen in this run."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self._anchors = {anchor.ledger: anchor.hash for anchor in anchors}
        self._ends: OrderedDict[int, str] = OrderedDict()
        self._refused: OrderedDict[str, None] = OrderedDict()

    def contradiction(self, certificates: Sequence[LedgerCertificate]) -> str | None:
        """Return how the certificates of consecutive ledgers contradict what is known, or None."""
        if not certificates:
            return None
        first = certificates[0]
        if first.previous_hash in self._refused:
            return self._says(first.sequence, "it follows on ledgers that were refused")
        before = self._known(first.sequence - 1)
        if before is not None and before != first.previous_hash:
            return self._says(first.sequence, f"it does not follow on the ledger {first.sequence - 1} that is known")
        for certificate in certificates:
            known = self._known(certificate.sequence)
            if known is not None and known != certificate.hash:
                return self._says(
                    certificate.sequence, f"it has the hash {certificate.hash[:16]}… and is known as {known[:16]}…"
                )
        return None

    def refuse(self, certificates: Sequence[LedgerCertificate]) -> None:
        """Remember ledgers that were refused: what follows on them is refused too."""
        if certificates:
            self._refused[certificates[-1].hash] = None
            if len(self._refused) > MOST_REMEMBERED:
                self._refused.popitem(last=False)

    def note(self, certificates: Sequence[LedgerCertificate]) -> list[Anchor]:
        """Remember the ends of a window that was committed; return the anchors worth keeping for good."""
        if not certificates:
            return []
        self._ends[certificates[0].sequence - 1] = certificates[0].previous_hash
        self._ends[certificates[-1].sequence] = certificates[-1].hash
        while len(self._ends) > MOST_REMEMBERED:
            self._ends.popitem(last=False)
        anchors = [
            Anchor(certificate.sequence, certificate.hash)
            for certificate in certificates
            if certificate.sequence % ANCHOR_EVERY == 0 and certificate.sequence not in self._anchors
        ]
        self._anchors.update({anchor.ledger: anchor.hash for anchor in anchors})
        return anchors

    def _known(self, ledger: int) -> str | None:
        return self._anchors.get(ledger) or self._ends.get(ledger)

    @staticmethod
    def _says(ledger: int, what: str) -> str:
        return f"{Breach.CHAIN.value}: ledger {ledger}: {what}"
