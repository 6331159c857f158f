# ruff: noqa: S101 - made for tests
"""Windows to commit and what is stored afterwards: what all parts of the conformance suite begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.storage import Storage
from stellarstream_core.testing.scripted import made_contract

A, B, C = (made_contract(number) for number in (1, 2, 3))
ALL = LedgerRange(FIRST_LEDGER, LAST_LEDGER)
ANY = Scope.of([EVERYTHING])

OpenStorage = Callable[[], Storage]


def window(
    first: int,
    last: int,
    events: Sequence[ContractEvent] = (),
    scope: Sequence[str] = (A,),
    *,
    source: str = "one",
    evidence: Evidence = Evidence.SCANNED,
    flavour: str = "",
    closed_at: int | None = None,
) -> Window:
    """Return a window; the scope is contract A unless said otherwise."""
    return Window(LedgerRange(first, last), Scope.of(scope), list(events), source, evidence, flavour, (), closed_at)


def stored(storage: Storage, scope: Scope = ANY, within: LedgerRange = ALL, page: int = 1000) -> list[ContractEvent]:
    """Return every stored event of a scope, read page by page."""
    found: list[ContractEvent] = []
    while part := storage.events(within, scope, after=found[-1].id if found else "", limit=page):
        assert len(part) <= page
        found += part
    return found
