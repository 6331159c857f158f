"""A stream's state from its events: the fold, its status machine included.

Pure, and step by step: folding two parts one after the other gives what folding the whole gives. What comes
before a stream's creation, or without one, makes no state; only two things are remembered until then: that it
is soulbound (published just before the creation) and what is known of the V1 stream it migrated from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from stellarstream_nebula.amounts import rebalanced, wrap_i128, wrap_u64
from stellarstream_nebula.meaning import (
    Archived,
    BeneficiaryChanged,
    Cancelled,
    ClawedBack,
    Created,
    Frozen,
    Memo,
    MigratedIn,
    MigratedOut,
    PaidIn,
    Paused,
    RateAccepted,
    Rebalanced,
    ReceiverChanged,
    Refilled,
    Resolved,
    Resumed,
    Soulbound,
    SplitSet,
    ToppedUp,
    Withdrawn,
    action_of,
    origin_key,
    token_group,
)
from stellarstream_nebula.model import V1, V2, Status, StreamState, parse_stream_key

if TYPE_CHECKING:
    from stellarstream_core.decoding import DecodedEvent
    from stellarstream_core.events import ContractEvent

Changes = dict[str, Any]
"""Fields of :class:`StreamState` that an event gives new values."""

RULES = 2
"""The version of these rules and of :mod:`~stellarstream_nebula.meaning`: part of a projection's fingerprint."""


class FoldEntry(NamedTuple):
    """An event in the journal of ``key``: the stream's own, a token's group, or the V1 stream it came from."""

    key: str
    event: ContractEvent
    decoded: DecodedEvent


@dataclass(frozen=True, slots=True)
class Origin:
    """What a V2 stream takes over from the V1 stream it migrated from."""

    sender: str | None = None
    token: str | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Fold:
    """How far a stream is folded: its state, or before its creation what has to be remembered."""

    state: StreamState | None = None
    soulbound: bool = False
    origin: Origin | None = None

    @property
    def groups(self) -> frozenset[str]:
        """The groups whose events belong to this stream too: its token's, and the V1 stream it came from."""
        state = self.state
        if state is None or state.family != V2:
            return frozenset()
        token = () if state.token is None else (token_group(state.contract_id, state.token),)
        return frozenset(token if state.migrated_from is None else (*token, state.migrated_from))


BLANK = Fold()
"""A fold of no events."""


def advance(fold: Fold, entries: Sequence[FoldEntry], key: str, migrated_from: Mapping[str, str]) -> Fold:
    """Fold ``entries``, in id order, on to a stream's fold.

    ``key`` is the stream's; entries under other keys are its groups'. ``migrated_from`` names the V1 contract of each
    V2 contract. ``advance(advance(f, a), b) == advance(f, a + b)`` wherever all of ``a`` come before all of ``b``.
    """
    contract_id, stream_id = parse_stream_key(key)
    for entry in entries:
        if entry.key == key:
            fold = _own(fold, entry, contract_id, stream_id, migrated_from)
        elif "/" in entry.key:
            fold = _of_token(fold, entry)
        else:
            fold = _of_origin(fold, entry)
    return fold


def _own(fold: Fold, entry: FoldEntry, contract_id: str, stream_id: int, migrated_from: Mapping[str, str]) -> Fold:
    event, state = entry.event, fold.state
    action = action_of(entry.decoded, event, contract_id)
    if state is not None:
        change = _CHANGES.get(type(action))
        return Fold(_seen(state, {} if change is None else change(state, action, event), event))
    if isinstance(action, Soulbound):
        return replace(fold, soulbound=True)
    if isinstance(action, MigratedIn):
        origin = fold.origin or Origin()
        began = Created(
            sender=origin.sender,
            receiver=action.caller,
            beneficiary=action.caller,
            token=origin.token,
            total=action.remaining,
            start=action.time,
            cliff=action.time,
            end=origin.end,
        )
        came_from = origin_key(contract_id, action.v1_stream_id, migrated_from)
        return Fold(replace(_created(entry, began, contract_id, stream_id), opened_with=None, migrated_from=came_from))
    if isinstance(action, Created):
        return Fold(replace(_created(entry, action, contract_id, stream_id), soulbound=fold.soulbound))
    return fold


def _of_token(fold: Fold, entry: FoldEntry) -> Fold:
    state, event = fold.state, entry.event
    action = action_of(entry.decoded, event, event.contract_id or "")
    if state is None or not isinstance(action, Rebalanced):
        return fold
    if state.token != action.token or state.closed is not None or state.removed or state.total is None:
        return fold
    total = rebalanced(state.total, state.withdrawn, action.factor_bps)
    return Fold(_seen(state, {"total": total, "terms_ledger": event.ledger}, event))


def _of_origin(fold: Fold, entry: FoldEntry) -> Fold:
    if fold.state is not None:
        return fold
    action = action_of(entry.decoded, entry.event, entry.event.contract_id or "")
    if isinstance(action, Created):
        return replace(fold, origin=Origin(action.sender, action.token, action.end))
    if isinstance(action, ToppedUp) and fold.origin is not None:
        return replace(fold, origin=replace(fold.origin, end=action.end))
    return fold


def _created(entry: FoldEntry, action: Created, contract_id: str, stream_id: int) -> StreamState:
    event = entry.event
    return StreamState(
        contract_id=contract_id,
        stream_id=stream_id,
        family=entry.decoded.family,
        first_event=event.id,
        tx_hash=event.tx_hash,
        created_at=event.closed_at,
        created_ledger=event.ledger,
        updated_ledger=event.ledger,
        updated_at=event.closed_at,
        last_event=event.id,
        opened_with=action.gross if action.total is None else action.total,
        sender=action.sender,
        receiver=action.receiver,
        beneficiary=action.beneficiary,
        token=action.token,
        total=action.total,
        gross=action.gross,
        start=action.start,
        cliff=action.cliff,
        end=action.end,
        memo=action.memo,
        withdrawn_told=entry.decoded.family != V1,
        touched_ledger=event.ledger,
        terms_ledger=event.ledger,
        parties_ledger=event.ledger,
    )


def _seen(state: StreamState, changes: Changes, event: ContractEvent) -> StreamState:
    """Return the state after an event and what it changes."""
    return replace(state, **changes, last_event=event.id, updated_ledger=event.ledger, updated_at=event.closed_at)


# --- what each action changes ---------------------------------------------------------------


def _filled(state: StreamState, action: Created, event: ContractEvent) -> Changes:
    """Take from a second event about the creation only what the first did not say."""
    told = {name: getattr(action, name) for name in _CREATION}
    changes: Changes = {
        name: value for name, value in told.items() if value is not None and getattr(state, name) is None
    }
    if changes.keys() & {"receiver", "beneficiary"}:
        changes["parties_ledger"] = event.ledger
    if changes.keys() & {"total", "start", "cliff", "end"}:
        changes["terms_ledger"] = event.ledger
    return changes


def _withdrawn(state: StreamState, action: Withdrawn, event: ContractEvent) -> Changes:
    total = wrap_i128(state.withdrawn + action.amount) if action.total is None else action.total
    return {"withdrawn": total, "touched_ledger": event.ledger}


def _cancelled(state: StreamState, action: Cancelled, event: ContractEvent) -> Changes:
    told = {"cancelled_by": action.by, "returned": action.to_sender}
    return {**told, **_settled(_unlocked_when_cancelled(state, action), action.time, event)}


def _unlocked_when_cancelled(state: StreamState, action: Cancelled) -> int | None:
    """Return what had been unlocked: the total less what went back, less the penalty that the sender paid.

    V2 does not say the penalty. It is known to be none where somebody else than the sender cancelled.
    """
    if state.total is None or action.to_sender is None:
        return None
    if action.penalty is not None:
        return state.total - action.to_sender - action.penalty
    if state.family == V2 and (state.sender is None or state.sender == action.by):
        return None
    return state.total - action.to_sender


def _resolved(state: StreamState, action: Resolved, event: ContractEvent) -> Changes:
    return _settled(None if state.total is None else state.total - action.to_sender, action.time, event)


def _clawed_back(state: StreamState, action: ClawedBack, event: ContractEvent) -> Changes:
    return _settled(None if state.total is None else state.total - action.amount, action.time, event)


def _settled(unlocked: int | None, time: int, event: ContractEvent) -> Changes:
    changes: Changes = {
        "closed": Status.CANCELED,
        "closed_time": time,
        "settled_unlocked": unlocked,
        "touched_ledger": event.ledger,
    }
    if unlocked is None:
        return changes
    unlocked = wrap_i128(unlocked)
    return {**changes, "settled_unlocked": unlocked, "withdrawn": unlocked}


def _migrated_out(_state: StreamState, action: MigratedOut, event: ContractEvent) -> Changes:
    """End a V1 stream; what its own cancellation said of the amounts, if it did, stays."""
    return {
        "closed": Status.ARCHIVED,
        "closed_time": action.time,
        "migrated_to": action.key,
        "touched_ledger": event.ledger,
    }


def _paused(state: StreamState, action: Paused, _event: ContractEvent) -> Changes:
    return {} if state.paused_at is not None else {"paused_at": action.time}


def _resumed(state: StreamState, action: Resumed, _event: ContractEvent) -> Changes:
    return {"paused_at": None, "paused_before": wrap_u64(state.paused_before + action.duration)}


def _topped_up(_state: StreamState, action: ToppedUp, event: ContractEvent) -> Changes:
    return {"total": action.total, "end": action.end, "terms_ledger": event.ledger}


def _rate_accepted(_state: StreamState, action: RateAccepted, event: ContractEvent) -> Changes:
    return {"end": action.end, "terms_ledger": event.ledger}


def _refilled(_state: StreamState, action: Refilled, event: ContractEvent) -> Changes:
    ledgers = {"touched_ledger": event.ledger, "terms_ledger": event.ledger}
    return {"start": action.start, "end": action.end, "withdrawn": 0, **ledgers}


def _archived(state: StreamState, action: Archived, event: ContractEvent) -> Changes:
    """Note that the entry is gone; one that was cancelled first stays cancelled, and now tells what was unlocked."""
    return {
        "total": action.total,
        "withdrawn": action.withdrawn,
        "settled_unlocked": None if state.closed is None else action.withdrawn,
        "removed": True,
        "touched_ledger": event.ledger,
        "terms_ledger": event.ledger,
    }


def _split(_state: StreamState, action: SplitSet, event: ContractEvent) -> Changes:
    return {"split_address": action.address, "split_bps": action.bps, "split_ledger": event.ledger}


_CREATION = ("sender", "receiver", "beneficiary", "token", "total", "gross", "start", "cliff", "end", "memo")

_CHANGES: dict[type, Callable[[StreamState, Any, ContractEvent], Changes]] = {
    Created: _filled,
    Withdrawn: _withdrawn,
    Cancelled: _cancelled,
    Resolved: _resolved,
    ClawedBack: _clawed_back,
    MigratedOut: _migrated_out,
    Paused: _paused,
    Resumed: _resumed,
    ToppedUp: _topped_up,
    RateAccepted: _rate_accepted,
    Refilled: _refilled,
    Archived: _archived,
    SplitSet: _split,
    BeneficiaryChanged: lambda _state, action, event: {
        "beneficiary": action.beneficiary,
        "parties_ledger": event.ledger,
    },
    ReceiverChanged: lambda _state, action, event: {"receiver": action.receiver, "parties_ledger": event.ledger},
    Memo: lambda _state, action, _event: {"memo": action.text},
    PaidIn: lambda _state, action, _event: {"gross": action.gross},
    Frozen: lambda _state, _action, _event: {"frozen": True},
    Soulbound: lambda _state, _action, _event: {"soulbound": True},
}
"""What an action changes of a stream that is there."""
