"""What a stream would be: decoded and folded, like indexed ones, from the events that its creation would publish."""

from __future__ import annotations

from collections.abc import Sequence

from stellarstream_core.chain import Simulation
from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_nebula.catalogue import FAMILIES
from stellarstream_nebula.decoders import decoder
from stellarstream_nebula.fold import BLANK, FoldEntry, advance
from stellarstream_nebula.meaning import keys_of
from stellarstream_nebula.model import StreamState
from stellarstream_nebula.transactions.calls import Call

_DECODERS = {family.name: decoder(family) for family in FAMILIES}
_NO_HASH = "0" * 64


def created_stream(simulation: Simulation, call: Call, now: int) -> StreamState | None:
    """Return the state of the stream that a simulated call creates, None where its events make none.

    Ids, ledger and hash in it are made up; what the events say of the stream is not.
    """
    events = _events(simulation, call.contract, now)
    decoded = _DECODERS[call.family](events)
    by_key: dict[str, list[FoldEntry]] = {}
    for event, meaning in zip(events, decoded, strict=True):
        if meaning is not None:
            for key in keys_of(meaning, event, {}):
                by_key.setdefault(key, []).append(FoldEntry(key, event, meaning))
    for key, entries in by_key.items():
        if "/" not in key and key.startswith(call.contract):
            state = advance(BLANK, entries, key, {}).state
            if state is not None:
                return state
    return None


def _events(simulation: Simulation, contract: str, now: int) -> Sequence[ContractEvent]:
    ledger = max(simulation.ledger, 2)
    own = [event for event in simulation.events if event.type == "contract" and event.contract == contract]
    return [
        ContractEvent(
            format_event_id(ledger, 1, 0, index), ledger, now, _NO_HASH, index, contract, "contract", e.topics, e.value
        )
        for index, e in enumerate(own)
    ]
