"""Decoded events by hand, in a journal that gives them ledgers and ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stellarstream_core.decoding import DecodedEvent
from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, contract_id_text, encode
from stellarstream_nebula.fold import BLANK, Fold, FoldEntry, advance
from stellarstream_nebula.meaning import keys_of
from stellarstream_nebula.model import V1, V2, StreamState

CV1, CV2 = (contract_id_text(bytes([n]) * 32) for n in (1, 2))
COIN, OTHER_COIN = (contract_id_text(bytes([n]) * 32) for n in (8, 9))
ALICE, BOB, CAROL, DAVE = (encode(VERSION_ACCOUNT, bytes([n]) * 32) for n in (21, 22, 23, 24))
MIGRATED_FROM = {CV2: CV1}
FAMILIES = {CV1: V1, CV2: V2}
T0 = 1_000_000


@dataclass
class Journal:
    """Events of several streams in ledger order; each call of :meth:`add` is a ledger, unless ``same_ledger``."""

    migrated_from: dict[str, str] = field(default_factory=lambda: dict(MIGRATED_FROM))
    entries: list[FoldEntry] = field(default_factory=list)
    ledger: int = 100
    time: int = T0
    index: int = 0

    def add(
        self, contract: str, name: str, variant: str = "", *, same_ledger: bool = False, **fields: Any
    ) -> list[FoldEntry]:
        """Append an event, five seconds after the one before; return its journal entries."""
        if same_ledger:
            self.index += 1
        else:
            self.ledger, self.time, self.index = self.ledger + 1, self.time + 5, 0
        event = ContractEvent(
            id=format_event_id(self.ledger, 1, 0, self.index),
            ledger=self.ledger,
            closed_at=self.time,
            tx_hash=f"{self.ledger:064x}",
            event_index=self.index,
            contract_id=contract,
            type="contract",
            topics=(),
            value=b"",
        )
        named = {name.rstrip("_"): value for name, value in fields.items()}
        decoded = DecodedEvent(FAMILIES[contract], name, variant, named)
        found = [FoldEntry(key, event, decoded) for key in keys_of(decoded, event, self.migrated_from)]
        self.entries += found
        return found

    def of(self, key: str, groups: frozenset[str] = frozenset()) -> list[FoldEntry]:
        """Return the entries of a stream and of groups, in id order."""
        return [entry for entry in self.entries if entry.key == key or entry.key in groups]

    def fold(self, key: str) -> Fold:
        """Return a stream's fold, folded again for each group that it names."""
        groups: frozenset[str] = frozenset()
        while True:
            fold = advance(BLANK, self.of(key, groups), key, self.migrated_from)
            if fold.groups <= groups:
                return fold
            groups |= fold.groups

    def state(self, key: str) -> StreamState:
        """Return a stream's state; it has to be there."""
        state = self.fold(key).state
        assert state is not None
        return state

    def create_v1(self, stream_id: int = 0, **changed: Any) -> None:
        """Append V1's creation of 1,000 over 100 seconds from the next ledger on."""
        fields = {
            "stream_id": stream_id,
            "sender": ALICE,
            "receiver": BOB,
            "token": COIN,
            "total_amount": 1000,
            "start_time": self.time + 5,
            "end_time": self.time + 105,
        }
        self.add(CV1, "create", "stream", **{**fields, "timestamp": self.time + 5, **changed})

    def create_v2(self, stream_id: int = 0, **changed: Any) -> None:
        """Append V2's creation of 1,000 over 100 seconds from the next ledger on."""
        fields = {
            "stream_id": stream_id,
            "sender": ALICE,
            "receiver": BOB,
            "token": COIN,
            "stream_amount_net_of_fee": 1000,
            "start_time": self.time + 5,
            "cliff_time": self.time + 5,
            "end_time": self.time + 105,
            "now": self.time + 5,
            "memo": None,
        }
        self.add(CV2, "create_v2", "10-items", **{**fields, **changed})
