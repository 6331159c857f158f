"""The projection of streams: events to journals, journals to states, states to the rows that are read from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from stellarstream_core.projections import Change, Entry, Folded, FollowUp, Reached, Routed, Unknown
from stellarstream_core.ranges import FIRST_LEDGER
from stellarstream_nebula import audit, bulk, fold, sealing, state_codec
from stellarstream_nebula.clearing import remove_some
from stellarstream_nebula.decoders import decoder_specs, describe_shape
from stellarstream_nebula.families import offered, rules_of
from stellarstream_nebula.fold import FoldEntry
from stellarstream_nebula.meaning import (
    Cancelled,
    Refilled,
    Resolved,
    ToppedUp,
    Withdrawn,
    action_of,
    audit_fields,
    keys_of,
)
from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.offers import decoded_by
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.stored import NAME, Written, complete_due, write_facts, write_many_facts, write_rows
from stellarstream_nebula.totals import Differences, Move

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.decoding import DecodedEvent, DecoderSpec
    from stellarstream_core.events import ContractEvent
    from stellarstream_nebula.refresh import Refresher

__all__ = ["NAME", "NebulaProjection", "moved_by", "write_facts", "write_many_facts"]

ROWS = 2
"""The version of what is written beside the states: part of the fingerprint."""
MOST_DECODED = 20_000
"""Decoded events that are kept: each is asked for up to three times in a batch."""


@dataclass(slots=True)
class NebulaProjection:
    """Folds the events of stream contracts.

    ``families`` says which family each contract is of, ``migrated_from`` whose streams migrate into a V2
    contract, ``decoders`` has one for each family; contracts of a family without one are left alone.
    """

    families: Mapping[str, str]
    migrated_from: Mapping[str, str] = field(default_factory=dict)
    decoders: Mapping[str, DecoderSpec] = field(default_factory=lambda: {spec.family: spec for spec in decoder_specs()})
    name: str = NAME
    fingerprint: str = field(init=False)
    """A digest of the rules and of the settings that the result depends on."""
    contracts: Mapping[str, str] = field(init=False)
    """The contracts whose events can be read, each with its family and the versions of what reads it."""
    _read_as: Mapping[str, str] = field(init=False)
    _decoded: dict[str, tuple[ContractEvent, DecodedEvent | None]] = field(init=False, default_factory=dict)
    _refresher: Refresher | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        parts = [f"{fold.RULES}.{state_codec.VERSION}.{ROWS}"]
        parts += [f"{new} from {old}" for new, old in sorted(self.migrated_from.items())]
        self.fingerprint = sha256("\n".join(parts).encode()).hexdigest()[:32]
        self.contracts = {
            contract: f"{family}{rules_of(family)} {self.decoders[family].version}".rstrip()
            for contract, family in sorted(self.families.items())
            if family in self.decoders
        }
        # a stream's journal holds events of the contract it migrated to or from, whether that is still served or not
        self._read_as = {
            **dict.fromkeys(self.migrated_from.values(), V1),
            **dict.fromkeys(self.migrated_from, V2),
            **self.families,
        }

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
        return Routed(entries, unknown, {entry.key for entry in entries if "/" in entry.key})

    def advance(self, key: str, state: bytes | None, entries: Sequence[Entry]) -> Folded:
        """Fold entries on to a stream's state."""
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
        sealing.log(database, self._new_entries(entries))
        differences = Differences()
        differences.events(len({entry.event.id for entry in entries}))
        for entry in entries:
            differences.folded(audit.contract_of(entry.key), entry.event.ledger)
        written = write_rows(database, {change.key: change.after for change in changes}, differences)
        differences.moved(self._moved(database, entries, written))
        differences.write(database)

    def reached(self, database: Database, reached: dict[str, Reached]) -> bool:
        """Seal the audit log as far as it is final, and note what the clock has completed.

        A bounded piece at a time; tell whether more is left.
        """
        if not reached:
            return False
        bulk.take_turn(database)
        final = {
            contract: sealing.Final(found.first if found.first is not None else FIRST_LEDGER, found.watermark)
            for contract, found in reached.items()
        }
        for new, old in self.migrated_from.items():
            # the log of a stream that migrated holds an event of the other contract
            if old in final and new in self.families:
                last = final[new].last if new in final else 0
                final[old] = final[old]._replace(last=min(final[old].last, last))
        sealed = sealing.seal(database, final)
        completed = complete_due(database, {contract: found.closed_at for contract, found in reached.items()})
        return not (sealed and completed)

    def clear(self, database: Database) -> bool:
        """Remove rows and totals, a bounded piece; tell whether more is left.

        Facts stay, for the chain may not tell them again; so does the audit log. An entry once logged is no matter
        of how we read it: building again finds it there, and its chain as it was.
        """
        bulk.take_turn(database)
        return remove_some(database)

    async def follow_up(self, context: FollowUp) -> None:
        """Read from the chain what no event tells."""
        if self._refresher is None:
            from stellarstream_nebula.refresh import Refresher  # noqa: PLC0415 - only who follows needs the chain

            self._refresher = Refresher(self.families, context.settings.section(NebulaSettings))
        await self._refresher.round(context)

    # --- within ---------------------------------------------------------------------------------

    def _decode(self, events: Sequence[ContractEvent]) -> list[DecodedEvent | None]:
        """Return what events say; None where the shape is not known, or the contract is not ours."""
        missing: dict[str, list[ContractEvent]] = defaultdict(list)
        for event in events:
            kept = self._decoded.get(event.id)
            if kept is None or kept[0] != event:
                missing[self._read_as.get(event.contract_id or "", "")].append(event)
        if missing and len(self._decoded) + len(events) > MOST_DECODED:
            again = [event for event in events if event.id in self._decoded]
            self._decoded.clear()
            for event in again:
                missing[self._read_as.get(event.contract_id or "", "")].append(event)
        for family, some in missing.items():
            spec = self.decoders.get(family)
            found: Sequence[DecodedEvent | None] = [None] * len(some)
            if spec is not None:
                found = spec.decode(some) if offered(family) is None else decoded_by(spec, some)
            self._decoded |= {event.id: (event, one) for event, one in zip(some, found, strict=True)}
        return [self._decoded[event.id][1] for event in events]

    def _new_entries(self, entries: Iterable[Entry]) -> list[sealing.NewEntry]:
        found = list(entries)
        decoded = self._decode([entry.event for entry in found])
        return [
            sealing.NewEntry(entry.key, entry.event, one.name if one is not None else "")
            for entry, one in zip(found, decoded, strict=True)
        ]

    def _moved(self, database: Database, entries: Sequence[Entry], written: Mapping[str, Written | None]) -> list[Move]:
        """Return what the new entries moved in streams that were there; what has no token yet waits for it."""
        own = [entry for entry in entries if "/" not in entry.key]
        tokens = {key: None if one is None else one.token for key, one in written.items()}
        unchanged = {entry.key for entry in own} - set(tokens)
        tokens |= dict(bulk.select_in(database, "SELECT key, token FROM nebula_streams WHERE key IN", unchanged))
        moves: list[Move] = []
        waiting: list[bulk.Row] = []
        for entry, decoded in zip(own, self._decode([entry.event for entry in own]), strict=True):
            contract_id = audit.contract_of(entry.key)
            if decoded is None or (moved := moved_by(decoded, entry.event, contract_id)) is None:
                continue
            kind, amount = moved
            if (token := tokens.get(entry.key)) is None:
                waiting.append((entry.key, entry.event.id, entry.event.closed_at, kind, str(amount)))
            else:
                moves.append(Move(contract_id, token, entry.event.closed_at, kind, amount))
        columns = ("key", "event_id", "closed_at", "kind", "amount")
        bulk.insert_new(database, "nebula_waiting_moves", columns, columns[:2], waiting)
        return moves


def moved_by(decoded: DecodedEvent, event: ContractEvent, contract_id: str) -> tuple[str, int] | None:
    """Return what an event moves in a stream of a contract: as what, and how much; None where nothing, or unknown.

    What is put into a new stream is not among it: that follows from the stream's row (``stored.write_rows``).
    """
    action = action_of(decoded, event, contract_id)
    amount: int | None = None
    kind = "withdrawn"
    if isinstance(action, ToppedUp | Refilled):
        kind, amount = "topped_up", audit_fields(decoded).amount
    elif isinstance(action, Withdrawn):
        amount = action.amount
    elif isinstance(action, Cancelled | Resolved):
        amount = action.to_receiver
    return (kind, amount) if amount is not None and amount > 0 else None
