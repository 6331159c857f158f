"""Which events a reader wants: pure, and equal for equal wishes, so that readers can share the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_core.events import ContractEvent

MOST_TOPICS = 4


@dataclass(frozen=True, slots=True)
class EventFilter:
    """An event is wanted where every part fits it, as with ``EventQuery``; an empty part fits every event.

    ``topics`` go by position: the XDR of the ScVal, or None for any; the event must have at least
    as many topics. Build with :meth:`of`, which makes equal wishes equal filters.
    """

    contracts: frozenset[str] = frozenset()
    topics: tuple[bytes | None, ...] = ()

    @classmethod
    def of(cls, contracts: Sequence[str] = (), topics: Sequence[bytes | None] = ()) -> EventFilter:
        """Build a filter. Raises ``ValueError`` for more than four topics."""
        if len(topics) > MOST_TOPICS:
            raise ValueError(f"{len(topics)} topics: an event is sought by its first {MOST_TOPICS} at most")
        return cls(frozenset(contracts), tuple(topics))

    @property
    def everything(self) -> bool:
        """Whether every event is wanted."""
        return not (self.contracts or self.topics)

    def fits(self, event: ContractEvent) -> bool:
        """Tell whether an event is wanted."""
        return bool(self.select([event]))

    def select(self, events: Sequence[ContractEvent]) -> Sequence[int]:
        """Return the indices of the wanted events, in order."""
        if self.everything:
            return range(len(events))
        found: Sequence[int] = range(len(events))
        if self.contracts:
            found = [at for at in found if events[at].contract_id in self.contracts]
        if self.topics:
            count = len(self.topics)
            found = [at for at in found if len(events[at].topics) >= count]
            for position, wanted in enumerate(self.topics):
                if wanted is not None:
                    found = [at for at in found if events[at].topics[position] == wanted]
        return found


EVERY_EVENT = EventFilter()
"""The filter that every event fits."""
