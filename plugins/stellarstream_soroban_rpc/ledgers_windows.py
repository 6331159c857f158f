"""A range and a scope in, windows and give-ups out: whole ledgers are read ahead, put in order and joined.

The chain is checked before ledgers are handed on: where two neighbours do not fit, both are asked for
elsewhere, since nobody can tell from them which one is wrong. What fits nowhere is left to
:class:`LedgerWindows`, which names it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from itertools import groupby

from stellarstream_core.errors import ProtocolUpgradeNeededError
from stellarstream_core.ledger_windows import LedgerWindows, Reading
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Reason, Unserved, Window
from stellarstream_core.xdr.ledger import LedgerHeader
from stellarstream_soroban_rpc.ledgers_endpoint import LedgersEndpoint
from stellarstream_soroban_rpc.ledgers_reading import Lost, Outcome, Piece, PieceReader
from stellarstream_soroban_rpc.pool import LedgersPool

HOPELESS = 3
"""So many pieces in a row of which nothing could be read tell that the rest cannot be read either."""

_SAY_NOTHING_OF_OTHERS = frozenset({Reason.MISSING, Reason.OUT_OF_RETENTION, Reason.PROOF_FAILED})
"""Reasons for which ledgers are lost that others after them may well not be lost for."""


class RangeReader:
    """Reads one range, by :meth:`run`, once. ``links`` are hashes of ledgers that were handed over before."""

    def __init__(self, pool: LedgersPool, windows: LedgerWindows, links: dict[int, bytes]) -> None:
        self._pool = pool
        self._windows = windows
        self._links = links
        self._reader = PieceReader(pool, windows)
        self._last: LedgerHeader | None = None
        self._following: bytes | None = None

    async def run(self, wanted: LedgerRange) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted``.

        Raises ``ProtocolUpgradeNeededError`` after what comes before the ledger that needs it.
        """
        spans = self._spans(wanted)
        running: deque[asyncio.Task[Piece]] = deque()
        self._pool.strikes = 0
        if (before := self._links.get(wanted.first - 1)) is not None:
            self._windows.link(wanted.first - 1, before)
        held: Piece | None = None  # for its last ledger may be the wrong one of two that do not fit
        try:
            while True:
                while len(running) < self._pool.settings.ledger_pages_in_flight and (span := next(spans, None)):
                    running.append(asyncio.create_task(self._reader.read(Piece(span))))
                piece = await running.popleft() if running else None
                if piece is not None:
                    await self._join(held, piece)
                lost = self._hopeless(piece) if piece is not None else None
                for ready in (held, piece if lost is not None else None):
                    for item in self._hand_over(ready, wanted):
                        yield item
                    if (error := _upgrade(ready, wanted)) is not None:
                        for item in self._windows.finish():
                            yield item
                        raise error
                if lost is not None and piece is not None and piece.range.last < wanted.last:
                    rest = LedgerRange(piece.range.last + 1, wanted.last)
                    for item in self._windows.missing(rest, lost.reason, lost.detail):
                        yield item
                    break
                held = piece if lost is None else None
                if piece is None:
                    break
            for item in self._finish(wanted):
                yield item
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _spans(self, wanted: LedgerRange) -> Iterator[LedgerRange]:
        """Yield the range in pieces of a page each, with a neighbour at either end where it is held.

        The neighbours are read for their headers alone: one for the hash that the first ledger names,
        one for the hash that it names of the last ledger.
        """
        first, last = wanted
        if first - 1 >= max(self._pool.oldest, 2) and first - 1 not in self._links:
            first -= 1
        if last + 1 <= self._pool.latest:
            last += 1
        while first <= last:
            end = min(last, first + self._reader.length - 1)
            yield LedgerRange(first, end)
            first = end + 1

    # --- the chain ------------------------------------------------------------------------------

    async def _join(self, before: Piece | None, piece: Piece) -> None:
        """Ask elsewhere for neighbours that do not fit, within a piece and with what comes before it."""
        for ledger in range(piece.range.first, piece.range.last + 1):
            header = _header(piece.outcomes[ledger])
            left = piece if ledger > piece.range.first else before
            previous = self._links.get(ledger - 1)
            if left is not None and (known := _header(left.outcomes.get(ledger - 1))) is not None:
                previous = known.hash
            if header is not None and previous not in (None, header.previous_hash):
                await self._repair(left, piece, ledger, previous)

    async def _repair(self, left: Piece | None, right: Piece, ledger: int, previous: bytes | None) -> None:
        """Read ``ledger``, then the one before it, from other endpoints until the two fit."""
        header = _header(right.outcomes[ledger])
        for endpoint in self._others(right.sources[ledger]):
            found = await self._reader.again(ledger, endpoint)
            if (other := _header(found)) is not None and found is not None and other.previous_hash == previous:
                right.outcomes[ledger], right.sources[ledger] = found, endpoint
                return
        if left is None or header is None or ledger - 1 not in left.sources:
            return
        before = _header(left.outcomes.get(ledger - 2))
        for endpoint in self._others(left.sources[ledger - 1]):
            found = await self._reader.again(ledger - 1, endpoint)
            if (other := _header(found)) is None or found is None or other.hash != header.previous_hash:
                continue
            if before is None or before.hash == other.previous_hash:
                left.outcomes[ledger - 1], left.sources[ledger - 1] = found, endpoint
                return

    def _others(self, source: LedgersEndpoint) -> list[LedgersEndpoint]:
        """Return whom to ask for what one endpoint sent: the others first, and itself, behind which may be several."""
        return sorted(self._pool.usable, key=lambda endpoint: endpoint is source)

    # --- handing over ---------------------------------------------------------------------------

    def _hand_over(self, piece: Piece | None, wanted: LedgerRange) -> Iterator[Window | Unserved]:
        """Put a piece's ledgers in their place and yield what is complete; stops at an unknown protocol."""
        for span, outcome in _merged(piece):
            inside = span.overlap(wanted)
            header = _header(outcome)
            if isinstance(outcome, ProtocolUpgradeNeededError):
                if inside is not None:
                    return
            elif inside is not None and isinstance(outcome, Lost):
                yield from self._windows.missing(inside, outcome.reason, outcome.detail)
            elif inside is not None and isinstance(outcome, Reading):
                yield from self._windows.add(outcome)
                self._last = header
            elif header is not None and span.last < wanted.first:
                self._windows.link(span.last, header.hash)
            elif header is not None:
                self._following = header.previous_hash

    def _hopeless(self, piece: Piece) -> Lost | None:
        """Count pieces that came to nothing; return the reason where there were too many in a row."""
        lost = piece.outcomes[piece.range.last]
        if not piece.nothing or not isinstance(lost, Lost):
            self._pool.strikes = 0
        elif lost.reason not in _SAY_NOTHING_OF_OTHERS:
            self._pool.strikes += 1
        return lost if isinstance(lost, Lost) and self._pool.strikes >= HOPELESS else None

    def _finish(self, wanted: LedgerRange) -> list[Window | Unserved]:
        """Hand over the rest, and remember the last ledger for the range that follows on it."""
        items = self._windows.finish(self._following)
        last = self._last
        if last is not None and last.sequence == wanted.last and items and isinstance(items[-1], Window):
            self._links.clear()
            self._links[wanted.last] = last.hash
        return items


def _upgrade(piece: Piece | None, wanted: LedgerRange) -> ProtocolUpgradeNeededError | None:
    for span, outcome in _merged(piece):
        if isinstance(outcome, ProtocolUpgradeNeededError) and wanted.holds(span.first):
            return outcome
    return None


def _header(outcome: Outcome | None) -> LedgerHeader | None:
    return outcome.header if isinstance(outcome, Reading) else None


def _merged(piece: Piece | None) -> Iterator[tuple[LedgerRange, Outcome]]:
    """Yield a piece's outcomes in order, neighbours lost for one reason as one."""
    if piece is None:
        return
    for outcome, group in groupby(range(piece.range.first, piece.range.last + 1), piece.outcomes.__getitem__):
        members = list(group)
        if isinstance(outcome, Lost):
            yield LedgerRange(members[0], members[-1]), outcome
        else:
            for ledger in members:
                yield LedgerRange(ledger, ledger), outcome
