"""A range and a scope in, windows and give-ups out: pieces are read side by side and put in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from stellarstream_core.errors import ProtocolUpgradeNeededError
from stellarstream_core.ledger_windows import LedgerWindows, Reading
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Reason, Unserved, Window
from stellarstream_horizon.pool import Pool
from stellarstream_horizon.reading import Lost, Piece, PieceReader

HOPELESS = 3
"""So many pieces in a row of which nothing could be read tell that the rest cannot be read either."""

_SAY_NOTHING_OF_OTHERS = frozenset({Reason.MISSING, Reason.OUT_OF_RETENTION, Reason.BEYOND_TIP})
"""Reasons for which ledgers are lost that others after them may well not be lost for."""

NEIGHBOURS = 2
"""Ledgers around a piece whose headers are read along with it, in the same page."""


class RangeReader:
    """Reads one range, by :meth:`run`, once. ``links`` are hashes of ledgers that were handed over before."""

    def __init__(self, pool: Pool, windows: LedgerWindows, links: dict[int, bytes]) -> None:
        self._pool = pool
        self._windows = windows
        self._links = links
        self._reader = PieceReader(pool, windows)

    async def run(self, wanted: LedgerRange) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted``.

        Raises ``ProtocolUpgradeNeededError`` after what comes before the ledger that needs it.
        """
        pieces = self._pieces(wanted)
        running: deque[asyncio.Task[Piece]] = deque()
        self._pool.strikes = 0
        piece: Piece | None = None
        try:
            while True:
                while len(running) < self._pool.settings.pieces_in_flight and (span := next(pieces, None)) is not None:
                    running.append(asyncio.create_task(self._reader.read(Piece(span))))
                if not running:
                    break
                piece = await running.popleft()
                self._link(piece, wanted)
                items, error = self._hand_over(piece)
                for item in items:
                    yield item
                if error is not None:
                    raise error
                if (lost := self._hopeless(piece)) is not None and piece.range.last < wanted.last:
                    rest = LedgerRange(piece.range.last + 1, wanted.last)
                    for item in self._windows.missing(rest, lost.reason, lost.detail):
                        yield item
                    break
            for item in self._finish(piece, wanted):
                yield item
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _pieces(self, wanted: LedgerRange) -> Iterator[LedgerRange]:
        """Yield the range in pieces, as large as fits what ledgers usually hold when a piece's turn comes."""
        first = wanted.first
        while first <= wanted.last:
            known = [endpoint for endpoint in self._pool.usable if endpoint.checked]
            usual = known[0].mean_transactions if known else 100.0
            fitting = int(self._pool.settings.piece_transactions / max(usual, 1.0))
            size = max(1, min(fitting, self._pool.settings.page_limit - NEIGHBOURS))
            last = min(wanted.last, first + size - 1)
            yield LedgerRange(first, last)
            first = last + 1

    def _link(self, piece: Piece, wanted: LedgerRange) -> None:
        """Join the range to the ledger before it, where its hash is known."""
        if piece.range.first != wanted.first:
            return
        before = self._links.get(wanted.first - 1, piece.before)
        if before is not None:
            self._windows.link(wanted.first - 1, before)

    def _hand_over(self, piece: Piece) -> tuple[list[Window | Unserved], ProtocolUpgradeNeededError | None]:
        """Put a piece's ledgers in their place; return what is complete, and the error that ends it all."""
        items: list[Window | Unserved] = []
        for span, outcome in _merged(piece):
            if isinstance(outcome, ProtocolUpgradeNeededError):
                return [*items, *self._windows.finish()], outcome
            if isinstance(outcome, Lost):
                items += self._windows.missing(span, outcome.reason, outcome.detail)
            else:
                items += self._windows.add(outcome)
        return items, None

    def _hopeless(self, piece: Piece) -> Lost | None:
        """Count pieces that came to nothing; return the reason where there were too many in a row."""
        lost = piece.outcomes[piece.range.last]
        nothing = not any(isinstance(outcome, Reading) for outcome in piece.outcomes.values())
        if not nothing or not isinstance(lost, Lost):
            self._pool.strikes = 0
        elif lost.reason not in _SAY_NOTHING_OF_OTHERS:
            self._pool.strikes += 1
        return lost if isinstance(lost, Lost) and self._pool.strikes >= HOPELESS else None

    def _finish(self, piece: Piece | None, wanted: LedgerRange) -> list[Window | Unserved]:
        """Hand over the rest, and remember the last ledger for the range that follows on it."""
        at_end = piece is not None and piece.range.last == wanted.last
        items = self._windows.finish(piece.after if piece is not None and at_end else None)
        last = piece.outcomes.get(wanted.last) if piece is not None else None
        if isinstance(last, Reading) and last.header is not None and items and isinstance(items[-1], Window):
            self._links.clear()
            self._links[wanted.last] = last.header.hash
        return items


def _merged(piece: Piece) -> Iterator[tuple[LedgerRange, Reading | Lost | ProtocolUpgradeNeededError]]:
    """Yield a piece's outcomes in order, neighbours lost for one reason as one."""
    held: tuple[LedgerRange, Lost] | None = None
    for ledger in range(piece.range.first, piece.range.last + 1):
        outcome = piece.outcomes[ledger]
        if isinstance(outcome, Lost):
            if held is not None and held[1].reason is outcome.reason:
                held = LedgerRange(held[0].first, ledger), held[1]
                continue
            if held is not None:
                yield held
            held = LedgerRange(ledger, ledger), outcome
            continue
        if held is not None:
            yield held
            held = None
        yield LedgerRange(ledger, ledger), outcome
    if held is not None:
        yield held
