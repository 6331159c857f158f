"""The projection of streams: events to journals, journals to states, states to the rows that are read from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from stellarstream_core.projections import Change, Entry, Folded, FollowUp, Reached, Routed, Unknown
from stellarstream_nebula import audit, bulk, fold, state_codec, totals
from stellarstream_nebula.decoders import decoder_specs, describe_shape
from stellarstream_nebula.families import rules_of
from stellarstream_nebula.fold import FoldEntry
from stellarstream_nebula.meaning import (
    Cancelled,
    Created,
    MigratedIn,
    Refilled,
    Resolved,
    ToppedUp,
    Withdrawn,
    action_of,
    audit_fields,
    keys_of,
)
from stellarstream_nebula.model import StreamState
from stellarstream_nebula.stored import NAME, complete_due, read_rows, write_facts, write_many_facts, write_rows
from stellarstream_nebula.totals import Differences, Move

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.decoding import DecodedEvent, DecoderSpec
    from stellarstream_core.events import ContractEvent

__all__ = ["NAME", "NebulaProjection", "moved_by", "write_facts", "write_many_facts"]

ROWS = 1
"""The version of what is written beside the states: part of the fingerprint."""
MOST_DECODED = 20_000
"""Decoded events that are kept: each is asked for up to three times in a batch."""


@dataclass(slots=True)
class NebulaProjection:
    """Folds the events of stream contracts.

    ``families`` says which family each contract is of, ``migrated_from`` whose streams migrate into a V2
    contract, ``decoders`` has one for each family; events of a family without one are unknown.
    """

    families: Mapping[str, str]
    migrated_from: Mapping[str, str] = field(default_factory=dict)
    decoders: Mapping[str, DecoderSpec] = field(default_factory=lambda: {spec.family: spec for spec in decoder_specs()})
    name: str = NAME
    fingerprint: str = field(init=False)
    """A digest of the rules and of the settings that the result depends on."""
    _decoded: dict[str, tuple[ContractEvent, DecodedEvent | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = [f"{fold.RULES}.{state_codec.VERSION}.{ROWS}"]
        parts += [f"{contract} is {family}{rules_of(family)}" for contract, family in sorted(self.families.items())]
        parts += [f"{new} from {old}" for new, old in sorted(self.migrated_from.items())]
        self.fingerprint = sha256("\n".join(parts).encode()).hexdigest()[:32]

    @property
    def contracts(self) -> Sequence[str]:
        """The contracts whose family is known."""
        return sorted(self.families)

    # --- pure -----------------------------------------------------------------------------------

    def route(self, events: Sequence[ContractEvent]) -> Routed:
        """Say which streams, and groups of streams, each event belongs to."""
        entries: list[Entry] = []
        unknown: list[Unknown] = []
        for event, decoded in zip(events, self._decode(events), strict=True):
            if event.type != "contract":  # the host's own, such as executable_update: no contract published it
                continue
            if decoded is None:
                unknown.append(Unknown(event, describe_shape(event)))
            else:
                entries += [Entry(key, event) for key in keys_of(decoded, event, self.migrated_from)]
        return Routed(entries, unknown)

    def advance(self, key: str, state: bytes | None, entries: Sequence[Entry]) -> Folded:
        """Fold entries on to a stream's state; a group of streams has none of its own."""
        if "/" in key:
            return Folded(None)
        decoded = self._decode([entry.event for entry in entries])
        told = [
            FoldEntry(entry.key, entry.event, one)
            for entry, one in zip(entries, decoded, strict=True)
            if one is not None
        ]
        folded = fold.advance(state_codec.decode(state), told, key, self.migrated_from)
        return Folded(state_codec.encode(folded), folded.groups)

    # --- written --------------------------------------------------------------------------------

    def save(self, database: Database, entries: Sequence[Entry], changes: Sequence[Change]) -> None:
        """Write the rows of changed streams, the totals they count for, and the new entries of the audit log."""
        if not entries and not changes:
            return
        bulk.take_turn(database)
        audit.log(database, self._new_entries(entries))
        differences = Differences()
        differences.events(len({entry.event.id for entry in entries}))
        states = write_rows(database, {change.key: change.after for change in changes}, differences)
        differences.moved(self._moved(database, entries, states))
        differences.write(database)

    def reached(self, database: Database, reached: dict[str, Reached]) -> bool:
        """Seal the audit log as far as it is final, and note what the clock has completed.

        A bounded piece at a time; tell whether more is left.
        """
        if not reached:
            return False
        bulk.take_turn(database)
        bounds = {contract: found.watermark for contract, found in reached.items()}
        for new, old in self.migrated_from.items():
            # the log of a stream that migrated holds an event of the other contract
            if old in bounds and new in self.families:
                bounds[old] = min(bounds[old], bounds.get(new, 0))
        sealed = audit.seal(database, bounds)
        completed = complete_due(database, {contract: found.closed_at for contract, found in reached.items()})
        return not (sealed and completed)

    def clear(self, database: Database) -> None:
        """Remove rows and totals. Facts stay, for the chain may not tell them again; so does the audit log.

        An entry once logged is no matter of how we read it: building again finds it there, and its chain as it was.
        """
        bulk.take_turn(database)
        bulk.execute(database, "DELETE FROM nebula_streams")
        totals.clear(database)

    async def follow_up(self, context: FollowUp) -> None:
        """Read from the chain what no event tells."""
        from stellarstream_nebula.refresh import follow_up  # noqa: PLC0415 - only who follows needs the chain

        await follow_up(context, self)

    # --- within ---------------------------------------------------------------------------------

    def _decode(self, events: Sequence[ContractEvent]) -> list[DecodedEvent | None]:
        """Return what events say; None where the shape is not known, or the contract is not ours."""
        missing: dict[str, list[ContractEvent]] = defaultdict(list)
        for event in events:
            kept = self._decoded.get(event.id)
            if kept is None or kept[0] != event:
                missing[self.families.get(event.contract_id or "", "")].append(event)
        if missing and len(self._decoded) + len(events) > MOST_DECODED:
            again = [event for event in events if event.id in self._decoded]
            self._decoded.clear()
            for event in again:
                missing[self.families.get(event.contract_id or "", "")].append(event)
        for family, some in missing.items():
            spec = self.decoders.get(family)
            found = spec.decode(some) if spec is not None else [None] * len(some)
            self._decoded |= {event.id: (event, one) for event, one in zip(some, found, strict=True)}
        return [self._decoded[event.id][1] for event in events]

    def _new_entries(self, entries: Iterable[Entry]) -> list[audit.NewEntry]:
        found = list(entries)
        decoded = self._decode([entry.event for entry in found])
        return [
            audit.NewEntry(entry.key, entry.event, one.name if one is not None else "")
            for entry, one in zip(found, decoded, strict=True)
        ]

    def _moved(
        self,
        database: Database,
        entries: Sequence[Entry],
        states: Mapping[str, StreamState | None],
    ) -> list[Move]:
        """Return what the new entries moved; what waited until its stream's token is known comes with it."""
        own = [entry for entry in entries if "/" not in entry.key]
        unchanged = {entry.key for entry in own} - set(states)
        stored = {key: row.state for key, row in read_rows(database, unchanged).items()}
        moves: list[Move] = []
        waiting: list[bulk.Row] = []
        for entry, decoded in zip(own, self._decode([entry.event for entry in own]), strict=True):
            if decoded is None or (moved := moved_by(decoded, entry.event, audit.contract_of(entry.key))) is None:
                continue
            kind, amount = moved
            state = states[entry.key] if entry.key in states else stored.get(entry.key)
            if state is None or state.token is None:
                waiting.append((entry.key, entry.event.id, entry.event.closed_at, kind, str(amount)))
            elif kind != "created" or entry.event.id == state.first_event:
                moves.append(Move(state.contract_id, state.token, entry.event.closed_at, kind, amount))
        named = {key: state for key, state in states.items() if state is not None and state.token is not None}
        moves += _take_waiting(database, named)
        columns = ("key", "event_id", "closed_at", "kind", "amount")
        bulk.insert_new(database, "nebula_waiting_moves", columns, columns[:2], waiting)
        return moves


def moved_by(decoded: DecodedEvent, event: ContractEvent, contract_id: str) -> tuple[str, int] | None:
    """Return what an event moves in a stream of a contract: as what, and how much; None where nothing, or unknown."""
    action = action_of(decoded, event, contract_id)
    amount: int | None = None
    kind = "withdrawn"
    if isinstance(action, Created):
        kind, amount = "created", action.total if action.total is not None else action.gross
    elif isinstance(action, MigratedIn):
        kind, amount = "created", action.remaining
    elif isinstance(action, ToppedUp | Refilled):
        kind, amount = "topped_up", audit_fields(decoded).amount
    elif isinstance(action, Withdrawn):
        amount = action.amount
    elif isinstance(action, Cancelled | Resolved):
        amount = action.to_receiver
    return (kind, amount) if amount else None


def _take_waiting(database: Database, named: Mapping[str, StreamState]) -> list[Move]:
    """Take the moves of streams whose token is known now from where they waited."""
    rows = bulk.select_in(
        database, "SELECT key, event_id, closed_at, kind, amount FROM nebula_waiting_moves WHERE key IN", named
    )
    found = sorted({row[0] for row in rows})
    for part in bulk.pieces(found, bulk.MOST_VALUES):
        bulk.execute(database, f"DELETE FROM nebula_waiting_moves WHERE key IN ({bulk.marks(len(part))})", part)  # noqa: S608 - marks only
    return [
        Move(named[key].contract_id, named[key].token or "", closed_at, kind, int(amount))
        for key, event_id, closed_at, kind, amount in rows
        if kind != "created" or event_id == named[key].first_event
    ]
