"""Which requests bring the transactions of some ledgers with the fewest round trips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stellarstream_horizon.records import LedgerRecord
from stellarstream_horizon.toid import transaction_token


class Span(NamedTuple):
    """Transactions that one request asks for, by their paging tokens; of one ledger only where ``ledger`` is set."""

    tokens: Sequence[int]
    ledger: int | None


def plan_requests(ledgers: Sequence[LedgerRecord], page_limit: int, *, apart: bool) -> list[Span]:
    """Return the requests for all transactions of ledgers that follow on one another, in order.

    The ledgers' counts say which transactions there are, so that pages may be asked for side by
    side. Pages that run over ledgers' ends need fewer requests where ledgers do not fill pages;
    where they need as many, or ``apart`` is set, each ledger is asked for by itself, so that what
    is wrong with one harms no other.
    """
    by_ledger = [Span(page, one.sequence) for one in ledgers for page in _pages(_tokens(one), page_limit)]
    if apart:
        return by_ledger
    every = [token for one in ledgers for token in _tokens(one)]
    by_page = [Span(page, None) for page in _pages(every, page_limit)]
    return by_page if len(by_page) < len(by_ledger) else by_ledger


def _tokens(ledger: LedgerRecord) -> list[int]:
    return [transaction_token(ledger.sequence, order) for order in range(1, ledger.transactions + 1)]


def _pages(tokens: list[int], size: int) -> list[list[int]]:
    return [tokens[at : at + size] for at in range(0, len(tokens), size)]
