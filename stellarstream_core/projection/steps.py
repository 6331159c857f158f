"""What the steps of a projector are made of: what one begins with, what it writes, and what it says it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stellarstream_core.events import ContractEvent
from stellarstream_core.projection import contracts
from stellarstream_core.projection.contracts import Contracts, Phase
from stellarstream_core.projection.folding import Fold
from stellarstream_core.projection.journal import Cursor, Pending
from stellarstream_core.projections import Entry, Reached, Routed, Unknown
from stellarstream_core.storage import Moment


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did. ``behind`` is how many commits are left, ``events`` how many of its contracts were taken in.

    ``idle``: there was nothing to do. ``commits`` is how many were taken in wholly.
    """

    position: int
    behind: int
    commits: int = 0
    events: int = 0
    entries: int = 0
    idle: bool = False
    rebuilding: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to take in, in id order, and where the cursor stands after them."""

    events: Sequence[ContractEvent]
    position: int
    after_event: str


class Rules(NamedTuple):
    """What a projection is built under: its own word, and its contracts with theirs."""

    fingerprint: str
    contracts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a step begins with: how far the projection and its contracts are, and the store."""

    cursor: Cursor
    contracts: Contracts
    moment: Moment

    @property
    def behind(self) -> int:
        """How many commits are to be taken in."""
        return max(self.moment.position - self.cursor.position, 0)

    @property
    def known(self) -> list[str]:
        """The contracts that are taken in: those whose reach is told."""
        return contracts.in_phase(self.contracts, Phase.KNOWN)

    @property
    def coming(self) -> list[str]:
        """The contracts that are being taken in."""
        return contracts.in_phase(self.contracts, Phase.COMING)


@dataclass(slots=True)
class Writing:
    """All that one step writes."""

    cursor: Mapping[str, object]
    entries: Sequence[Entry] = ()
    folds: Sequence[Fold] = ()
    unknown: Sequence[Unknown] = ()
    pending: Sequence[Pending] = ()
    moved: tuple[str, str | None] | None = None
    taken: Contracts = field(default_factory=dict)
    reached: Mapping[str, Reached] | None = None
    seconds: float = field(default=0.0, init=False)


def must_begin(sight: Sight, rules: Rules) -> bool:
    """Tell whether what is stored is of other rules, of another history, or not where the store is."""
    cursor, moment = sight.cursor, sight.moment
    return (
        cursor.fingerprint != rules.fingerprint
        or any(of != rules.contracts.get(contract, of) for contract, (of, *_) in sight.contracts.items())
        or cursor.epoch != moment.epoch
        or cursor.position > moment.position
        or (cursor.position == moment.position and bool(cursor.after_event))
    )


def in_order(routed: Routed) -> list[Entry]:
    """Return the entries by event, then key, each once."""
    return [entry for _, entry in sorted({(entry.event.id, entry.key): entry for entry in routed.entries}.items())]
