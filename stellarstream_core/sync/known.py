"""Ledgers known by their hash: what every certificate is held against, whichever source it comes from.

Sources check the chain inside what they hand over. Between windows, sources and runs it is checked
here: by the ends of the windows of this run, and by the anchors that the database keeps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from stellarstream_core.certificates import Breach, LedgerCertificate
from stellarstream_core.ranges import RangeSet
from stellarstream_core.storage import Anchor

ANCHOR_EVERY = 4096
"""A checked ledger whose sequence is a multiple of this is kept as an anchor: some four a day."""

MOST_REMEMBERED = 20_000
"""Window ends remembered at a time; anchors are never forgotten."""

MOST_GAPS = 50
"""Gaps whose neighbours are kept as anchors at the end of a run."""


class KnownLedgers:
    """Hashes of ledgers by sequence: stored anchors, and the ends of windows seen in this run."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self._anchors = {anchor.ledger: anchor.hash for anchor in anchors}
        self._ends: OrderedDict[int, str] = OrderedDict()
        self._highest: Anchor | None = None

    def contradiction(self, certificates: Sequence[LedgerCertificate]) -> str | None:
        """Return how the certificates of consecutive ledgers contradict what is known, or None."""
        if not certificates:
            return None
        first = certificates[0]
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

    def note(self, certificates: Sequence[LedgerCertificate]) -> list[Anchor]:
        """Remember the ends of a window that was committed; return the anchors worth keeping for good."""
        if not certificates:
            return []
        self._ends[certificates[0].sequence - 1] = certificates[0].previous_hash
        self._ends[certificates[-1].sequence] = certificates[-1].hash
        last = certificates[-1]
        if self._highest is None or last.sequence > self._highest.ledger:
            self._highest = Anchor(last.sequence, last.hash)
        while len(self._ends) > MOST_REMEMBERED:
            self._ends.popitem(last=False)
        anchors = [
            Anchor(certificate.sequence, certificate.hash)
            for certificate in certificates
            if certificate.sequence % ANCHOR_EVERY == 0 and certificate.sequence not in self._anchors
        ]
        self._anchors.update({anchor.ledger: anchor.hash for anchor in anchors})
        return anchors

    def worth_keeping(self, gaps: RangeSet) -> list[Anchor]:
        """Return what the next run must know at the end of this one: the highest ledger, and those around gaps."""
        edges = [ledger for gap in gaps.ranges[:MOST_GAPS] for ledger in (gap.first - 1, gap.last)]
        found = {ledger: Anchor(ledger, self._ends[ledger]) for ledger in edges if ledger in self._ends}
        if self._highest is not None:
            found[self._highest.ledger] = self._highest
        return [found[ledger] for ledger in sorted(found) if ledger not in self._anchors]

    def _known(self, ledger: int) -> str | None:
        return self._anchors.get(ledger) or self._ends.get(ledger)

    @staticmethod
    def _says(ledger: int, what: str) -> str:
        return f"{Breach.CHAIN.value}: ledger {ledger}: {what}"
