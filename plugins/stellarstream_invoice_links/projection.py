"""The projection of invoice links: from the index, which streams were created, and what they are to links.

There is no state to fold: a stream's creation is one event. What it comes to is settled in the transaction that takes
it in. Links and submissions are not of the projection's making, and it never removes any.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from stellarstream_core.projections import Change, Entry, Folded, FollowUp, Reached, Routed
from stellarstream_invoice_links import judging
from stellarstream_invoice_links.creations import (
    add_creations,
    begin_build,
    left_over,
    note_ledger,
    of_interest,
)
from stellarstream_invoice_links.judging import Creation
from stellarstream_invoice_links.links import take_turn
from stellarstream_invoice_links.settlement import is_due, remove_creations, settle_creations
from stellarstream_nebula.meaning import Created, action_of, keys_of
from stellarstream_nebula.transactions.calls import RELAYED

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.decoding import DecodedEvent, DecoderSpec
    from stellarstream_core.events import ContractEvent
    from stellarstream_invoice_links.arguments_reading import ArgumentsReader

NAME = "invoice-links"
"""The projection's name."""
ROWS = 1
"""The version of what is written of a creation: part of the fingerprint."""
REMOVED_AT_ONCE = 200
_MEMO = re.compile(r"[A-Za-z0-9_]{1,32}", re.ASCII)


@dataclass(slots=True)
class InvoiceProjection:
    """Takes in the creations of streams.

    ``families`` says which family each contract is of, ``decoders`` has one for each family. Only contracts are
    followed whose ``create_stream`` this service knows how to call. ``now`` gives Unix seconds.
    """

    families: Mapping[str, str]
    decoders: Mapping[str, DecoderSpec]
    now: Callable[[], float] = time.time
    name: str = NAME
    fingerprint: str = field(init=False)
    """A digest of the rules by which payments are made of creations."""
    contracts: Mapping[str, str] = field(init=False)
    """The contracts that are followed, each with its family and the version of what reads it."""
    _reader: ArgumentsReader | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.fingerprint = sha256(f"{judging.RULES}.{ROWS}".encode()).hexdigest()[:32]
        self.contracts = {
            contract: f"{family} {self.decoders[family].version}".rstrip()
            for contract, family in sorted(self.families.items())
            if family in RELAYED and family in self.decoders
        }

    # --- pure -----------------------------------------------------------------------------------

    def route(self, events: Sequence[ContractEvent]) -> Routed:
        """Say which events create streams; each is in the journal of its stream, the others in none.

        Shapes that are not known are the projection of streams' to count.
        """
        return Routed([Entry(creation.stream, event) for event, creation in self._creations(events)])

    def advance(self, key: str, state: bytes | None, entries: Sequence[Entry]) -> Folded:
        """Return that there is no state."""
        return Folded(None)

    # --- written --------------------------------------------------------------------------------

    def save(self, database: Database, entries: Sequence[Entry], changes: Sequence[Change]) -> None:
        """Store creations that links may be paid by, and settle them."""
        events = {entry.event.id: entry.event for entry in entries}
        creations = [creation for _, creation in self._creations(list(events.values()))]
        if not creations:
            return
        take_turn(database)
        note_ledger(database, max(one.ledger for one in creations))
        found = of_interest(database, creations)
        add_creations(database, found)
        settle_creations(database, [one.event_id for one in found], now=self.now())

    def reached(self, database: Database, reached: dict[str, Reached]) -> bool:
        """Remove what an older build took in and this one did not, and go on with what is due; tell whether more is."""
        passed = {contract: at.ledger for contract, at in reached.items()}
        if not is_due(database) and not left_over(database, passed, 1):
            return False
        take_turn(database)
        gone = left_over(database, passed, REMOVED_AT_ONCE)
        remove_creations(database, gone, now=self.now())
        return settle_creations(database, (), now=self.now()) or len(gone) == REMOVED_AT_ONCE

    def clear(self, database: Database) -> None:
        """Begin a build. Nothing is removed yet.

        Links stay paid meanwhile, or somebody would pay one again; and what was read of a transaction's call may not be
        told again.
        """
        take_turn(database)
        begin_build(database)

    async def follow_up(self, context: FollowUp) -> None:
        """Read the calls of transactions that settlement needs to know."""
        if self._reader is None:
            from stellarstream_invoice_links.arguments_reading import (  # noqa: PLC0415 - only who follows needs it
                ArgumentsReader,
            )

            self._reader = ArgumentsReader(now=self.now)
        await self._reader.round(context)

    # --- within ---------------------------------------------------------------------------------

    def _creations(self, events: Sequence[ContractEvent]) -> list[tuple[ContractEvent, Creation]]:
        """Return the events that create a stream, in their order, each with what it says."""
        of_family: dict[str, list[ContractEvent]] = defaultdict(list)
        for event in events:
            family = self.families.get(event.contract_id or "", "")
            if event.contract_id in self.contracts and event.type == "contract":
                of_family[family].append(event)
        found = [
            (event, creation)
            for family, some in of_family.items()
            for event, decoded in zip(some, self.decoders[family].decode(some), strict=True)
            if decoded is not None and (creation := creation_of(event, decoded)) is not None
        ]
        return sorted(found, key=lambda one: one[0].id)


def creation_of(event: ContractEvent, decoded: DecodedEvent) -> Creation | None:
    """Return the creation that an event tells; None where it tells none, or not who is paid in what."""
    contract = event.contract_id or ""
    action = action_of(decoded, event, contract)
    keys = keys_of(decoded, event, {})
    if not isinstance(action, Created) or action.receiver is None or action.token is None or len(keys) != 1:
        return None
    return Creation(
        event_id=event.id,
        stream=keys[0],
        contract=contract,
        family=decoded.family,
        tx_hash=event.tx_hash,
        ledger=event.ledger,
        closed_at=event.closed_at,
        sender=action.sender,
        receiver=action.receiver,
        token=action.token,
        net=action.total,
        start=action.start,
        end=action.end,
        memo=action.memo if action.memo is not None and _MEMO.fullmatch(action.memo) else None,
    )
