"""Which contracts are indexed: a set of contract ids, or everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stellarstream_core.errors import UsageError
from stellarstream_core.xdr.strkey import contract_id_bytes

EVERYTHING = "*"
"""The member that stands for every contract, and for events without one."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Contract ids (C… strkeys) in order, or just ``*``. Build with :meth:`of`."""

    members: tuple[str, ...]

    @classmethod
    def of(cls, members: Iterable[str]) -> Scope:
        """Check, sort and deduplicate; raise ``InvalidStrkeyError`` or ``UsageError`` for bad members."""
        wanted = {m.strip() for m in members}
        if not wanted:
            raise UsageError("No contract was named.", help="Give --contract C… (or '*' for everything).")
        if EVERYTHING in wanted:
            return cls((EVERYTHING,))
        for contract in wanted:
            contract_id_bytes(contract)
        return cls(tuple(sorted(wanted)))

    @property
    def everything(self) -> bool:
        """Whether the scope is every contract."""
        return self.members == (EVERYTHING,)

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __str__(self) -> str:
        if self.everything:
            return "every contract"
        return self.members[0] if len(self.members) == 1 else f"{len(self.members)} contracts"

    def holds(self, contract_id: str | None) -> bool:
        """Tell whether an event of this contract (None: without one) is wanted."""
        return self.everything or contract_id in self.members

    def groups(self, size: int) -> Iterator[Scope]:
        """Yield the scope in consecutive pieces of at most ``size`` contracts."""
        for at in range(0, len(self.members), size):
            yield Scope(self.members[at : at + size])
