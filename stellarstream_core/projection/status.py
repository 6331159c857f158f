"""How far each projection is, for ``status``, ``doctor``, ``/sync`` and ``/metrics``: read, never computed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from peewee import Database, fn

from stellarstream_core.events import format_close_time
from stellarstream_core.projection.contracts import Phase
from stellarstream_core.projection.journal import read_reach
from stellarstream_core.projection.tables import ContractRow, PendingRow, ProjectionRow, UnknownRow
from stellarstream_core.storage import Storage

NOT_CONFIGURED = "nothing is configured for it"
"""The trouble of a projection that was switched off by settings: it is not shown."""
SHOWN_SHAPES = 20
"""Unknown shapes that are named; the counts are of all."""


@dataclass(frozen=True, slots=True)
class UnknownShape:
    """Events of one contract and shape that a projection does not know."""

    contract: str
    shape: str
    count: int
    last_event_id: str

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` and ``/sync`` have it."""
        return {
            "contract": self.contract,
            "shape": self.shape,
            "count": self.count,
            "lastEventId": self.last_event_id,
        }


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """How far a projection is.

    ``behind`` is how many commits it has yet to take in, ``as_of_ledger`` the ledger that each of its contracts
    is folded up to (None: of none that is known), ``complete`` whether none of them has a gap below and all are
    taken in. ``coming`` is how many contracts are being taken in; ``as_of_ledger`` leaves them out. ``folding`` is
    how many groups' members are being folded. ``trouble`` says why it stopped; ``updated_at``
    is when it last wrote something, in Unix seconds.
    """

    name: str
    position: int
    behind: int
    as_of_ledger: int | None
    complete: bool
    rebuilding: bool
    folding: int
    coming: int
    trouble: str | None
    updated_at: int
    unknown_events: int
    shapes: tuple[UnknownShape, ...]

    @property
    def summary(self) -> str:
        """How far it is, in a few words."""
        if self.trouble is not None:
            return f"stopped: {self.trouble}"
        if self.rebuilding:
            total = self.position + self.behind
            return f"being built anew, {self.position:,} of {total:,} commits"
        if self.behind:
            return f"{self.behind:,} commit{'' if self.behind == 1 else 's'} behind"
        if self.coming:
            return f"taking in {self.coming:,} contract{'' if self.coming == 1 else 's'} that came"
        if self.folding:
            return "folding what concerns many keys"
        return "up to the last commit"

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` and ``/sync`` have it."""
        return {
            "name": self.name,
            "position": self.position,
            "behind": self.behind,
            "asOfLedger": self.as_of_ledger,
            "complete": self.complete,
            "rebuilding": self.rebuilding,
            "trouble": self.trouble,
            "updatedAt": format_close_time(self.updated_at),
            "unknown": {"events": self.unknown_events, "shapes": [shape.to_json() for shape in self.shapes]},
        }


def read_projections(storage: Storage, names: Collection[str]) -> list[ProjectionState]:
    """Return how far those of the named projections are that were ever begun, by name."""
    if not names:
        return []
    moment = storage.moment()
    return storage.read(lambda database: _read(database, names, moment.position))


def _read(database: Database, names: Collection[str], position: int) -> list[ProjectionState]:
    rows = ProjectionRow.select().where(ProjectionRow.name.in_(sorted(names))).order_by(ProjectionRow.name)
    found: list[ProjectionState] = []
    for row in rows.execute(database):
        if row.trouble == NOT_CONFIGURED:
            continue
        reached = read_reach(database, row.name).values()
        unknown = UnknownRow.select(fn.sum(UnknownRow.count)).where(UnknownRow.projection == row.name).tuples()
        ((events,),) = unknown.execute(database)
        pending = PendingRow.select().where(PendingRow.projection == row.name).count(database)
        coming = (
            ContractRow.select()
            .where(ContractRow.projection == row.name, ContractRow.phase == Phase.COMING)
            .count(database)
        )
        found.append(
            ProjectionState(
                name=row.name,
                position=row.position,
                behind=max(position - row.position, 0),
                as_of_ledger=min((at.ledger for at in reached), default=None),
                complete=bool(reached) and not coming and all(at.complete for at in reached),
                rebuilding=bool(row.clearing) or row.position < row.target,
                folding=pending,
                coming=coming,
                trouble=row.trouble,
                updated_at=row.updated_at,
                unknown_events=int(events or 0),
                shapes=tuple(_shapes(database, row.name)),
            )
        )
    return found


def _shapes(database: Database, name: str) -> list[UnknownShape]:
    rows = (
        UnknownRow.select(UnknownRow.contract_id, UnknownRow.shape, UnknownRow.count, UnknownRow.last_event_id)
        .where(UnknownRow.projection == name)
        .order_by(UnknownRow.count.desc(), UnknownRow.contract_id, UnknownRow.shape)
        .limit(SHOWN_SHAPES)
    )
    return [UnknownShape(*row) for row in rows.tuples().execute(database)]
