"""What a decoded event says of a stream: which streams it belongs to, what it changes, what the audit log shows.

Everything here goes by an event's family, name and fields. Events that change no stream (proposed rates, executed
requests, delegates) belong to their stream's journal all the same, where they name one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from stellarstream_nebula.families import makes_streams, offered
from stellarstream_nebula.model import V1, V2, stream_key
from stellarstream_nebula.offers import action_by, streams_by, tell_once

if TYPE_CHECKING:
    from stellarstream_core.decoding import DecodedEvent, Field
    from stellarstream_core.events import ContractEvent

# --- actions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A stream began. None where the event does not say it; ``total`` is net of fees, ``gross`` what was paid in."""

    sender: str | None = None
    receiver: str | None = None
    beneficiary: str | None = None
    token: str | None = None
    total: int | None = None
    gross: int | None = None
    start: int | None = None
    cliff: int | None = None
    end: int | None = None
    memo: str | None = None


@dataclass(frozen=True, slots=True)
class MigratedIn:
    """A V2 stream began with the rest of a V1 stream, at ``time``."""

    v1_stream_id: int
    caller: str
    remaining: int
    time: int


@dataclass(frozen=True, slots=True)
class MigratedOut:
    """A V1 stream went on as the V2 stream ``key``."""

    key: str
    time: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Tokens were paid out: ``amount`` of them, ``total`` since the stream (or its cycle) began where that is said."""

    amount: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A stream was cancelled by ``by``; ``penalty`` is None where it is not said apart."""

    by: str | None
    time: int
    to_receiver: int | None = None
    to_sender: int | None = None
    penalty: int | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """An arbiter divided what was left."""

    time: int
    to_receiver: int
    to_sender: int


@dataclass(frozen=True, slots=True)
class ClawedBack:
    """The issuer of the token took back everything that was not withdrawn."""

    time: int
    amount: int


@dataclass(frozen=True, slots=True)
class Paused:
    """The clock was stopped."""

    time: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The clock goes on; it stood for ``duration`` seconds."""

    duration: int


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """A stream has a new total and a new end."""

    total: int
    end: int


@dataclass(frozen=True, slots=True)
class RateAccepted:
    """A new rate moved the end; start and total stay."""

    end: int


@dataclass(frozen=True, slots=True)
class Refilled:
    """A new cycle began: nothing of it is withdrawn yet, the total is the same again."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Rebalanced:
    """Every stream of ``token`` that is not cancelled keeps ``factor_bps`` of what it has not paid out."""

    token: str
    factor_bps: int


@dataclass(frozen=True, slots=True)
class Archived:
    """A fully withdrawn stream was deleted from the chain. This is not the status ARCHIVED."""

    total: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class BeneficiaryChanged:
    """Somebody else may withdraw from now on."""

    beneficiary: str


@dataclass(frozen=True, slots=True)
class ReceiverChanged:
    """A V1 stream has a new receiver."""

    receiver: str


@dataclass(frozen=True, slots=True)
class SplitSet:
    """A part of each withdrawal goes to ``address``, where it is not None."""

    address: str | None
    bps: int


@dataclass(frozen=True, slots=True)
class Memo:
    """The payer's memo."""

    text: str


@dataclass(frozen=True, slots=True)
class PaidIn:
    """What was paid for the stream before fees."""

    gross: int


@dataclass(frozen=True, slots=True)
class Frozen:
    """Withdrawals are blocked; the clock goes on."""


@dataclass(frozen=True, slots=True)
class Soulbound:
    """The receiver can never change. Published before the stream's own creation."""


Action = (
    Created
    | MigratedIn
    | MigratedOut
    | Withdrawn
    | Cancelled
    | Resolved
    | ClawedBack
    | Paused
    | Resumed
    | ToppedUp
    | RateAccepted
    | Refilled
    | Rebalanced
    | Archived
    | BeneficiaryChanged
    | ReceiverChanged
    | SplitSet
    | Memo
    | PaidIn
    | Frozen
    | Soulbound
)

ACTIONS: tuple[type, ...] = get_args(Action)
"""What an event may do."""


def action_of(decoded: DecodedEvent, event: ContractEvent, contract_id: str) -> Action | None:
    """Return what an event does to a stream of ``contract_id`` that has it in its journal; None where nothing.

    The contract matters for a migration: it ends a stream of one contract and begins one of another. An event that
    does not say what its name promises does nothing, which is logged once.
    """
    if (family := offered(decoded.family)) is not None:
        return action_by(family, decoded, event, ACTIONS)
    read = _READERS.get((decoded.family, decoded.name))
    if read is None:
        return None
    try:
        action = read(_Fields(decoded.fields, event.closed_at))
    except KeyError as error:
        tell_once(decoded.family, decoded.name, error)
        return None
    if isinstance(action, MigratedIn) and event.contract_id != contract_id:
        return MigratedOut(stream_key(event.contract_id or "", _migrated_id(decoded.fields)), action.time)
    return action


# --- where an event belongs -----------------------------------------------------------------


def token_group(contract_id: str, token: str) -> str:
    """Return the group of all streams of a token in a contract: ``C…/C…``."""
    return f"{contract_id}/{token}"


def keys_of(decoded: DecodedEvent, event: ContractEvent, migrated_from: Mapping[str, str]) -> tuple[str, ...]:
    """Return the journals that an event belongs to: stream keys, or the group of a token's streams.

    ``migrated_from`` names the V1 contract whose streams migrate into each V2 contract: with it, a migration is in the
    journals of both streams. Empty for events of no stream (proposals, requests, a batch's own event at head).
    """
    contract_id = event.contract_id
    if contract_id is None or not makes_streams(decoded.family):
        return ()
    if (family := offered(decoded.family)) is not None:
        return tuple(dict.fromkeys(stream_key(contract_id, one) for one in streams_by(family, decoded)))
    fields, name = decoded.fields, decoded.name
    if decoded.family == V2:
        if name == "rebalance":
            return (token_group(contract_id, str(fields["token"])),)
        if name in _MIGRATIONS:
            keys = (stream_key(contract_id, _migrated_id(fields)),)
            origin = origin_key(contract_id, fields["v1_stream_id"], migrated_from)
            return keys if origin is None else (*keys, origin)
    many = fields.get("stream_ids")
    if isinstance(many, tuple):
        return tuple(dict.fromkeys(stream_key(contract_id, one) for one in many if isinstance(one, int)))
    stream_id = fields.get("stream_id")
    return (stream_key(contract_id, stream_id),) if isinstance(stream_id, int) else ()


def origin_key(contract_id: str, v1_stream_id: Field, migrated_from: Mapping[str, str]) -> str | None:
    """Return the key of the V1 stream that a V2 contract took over; None where its contract is not known."""
    origin = migrated_from.get(contract_id)
    if origin is None or not isinstance(v1_stream_id, int):
        return None
    return stream_key(origin, v1_stream_id)


def _migrated_id(fields: Mapping[str, Field]) -> int:
    number = fields.get("v2_stream_id")
    return number if isinstance(number, int) else _Fields(fields, 0).number("stream_id")


# --- reading --------------------------------------------------------------------------------


class _Fields:
    """A decoded event's fields by type. A shape fixes which fields there are and of which type."""

    def __init__(self, fields: Mapping[str, Field], closed_at: int) -> None:
        self._fields = fields
        self._closed_at = closed_at

    def has(self, name: str) -> bool:
        return name in self._fields

    def number(self, *names: str) -> int:
        for name in names:
            value = self._fields.get(name)
            if isinstance(value, int):
                return value
        raise KeyError(names)

    def maybe_number(self, *names: str) -> int | None:
        return next((value for name in names if isinstance(value := self._fields.get(name), int)), None)

    def text(self, *names: str) -> str:
        found = self.maybe_text(*names)
        if found is None:
            raise KeyError(names)
        return found

    def maybe_text(self, *names: str) -> str | None:
        return next((value for name in names if isinstance(value := self._fields.get(name), str)), None)

    @property
    def time(self) -> int:
        """When it happened: the contract's clock is the ledger's close time."""
        told = self.maybe_number("now", "timestamp")
        return self._closed_at if told is None else told


def _created_v1(f: _Fields) -> Action | None:
    if f.has("proposal_id"):
        return None
    return Created(
        sender=f.maybe_text("sender"),
        receiver=f.maybe_text("receiver"),
        token=f.maybe_text("token"),
        total=f.maybe_number("total_amount"),
        start=f.maybe_number("start_time"),
        end=f.maybe_number("end_time"),
    )


def _created_v2(f: _Fields) -> Action:
    receiver = f.text("receiver")
    return Created(
        sender=f.maybe_text("sender"),
        receiver=receiver,
        beneficiary=receiver,
        token=f.text("token"),
        total=f.number("stream_amount_net_of_fee", "stream_amount_net", "total_amount"),
        start=f.maybe_number("start_time"),
        cliff=f.maybe_number("cliff_time"),
        end=f.maybe_number("end_time"),
        memo=f.maybe_text("memo"),
    )


def _swapped(f: _Fields) -> Action:
    receiver = f.text("receiver")
    return Created(
        sender=f.text("sender"),
        receiver=receiver,
        beneficiary=receiver,
        token=f.text("asset_out"),
        gross=f.number("amount_out_gross"),
    )


def _migrated(f: _Fields) -> Action:
    return MigratedIn(f.number("v1_stream_id"), f.text("caller"), f.number("remaining", "migrated_amount"), f.time)


def _cancelled(f: _Fields) -> Action:
    return Cancelled(
        f.maybe_text("canceller", "caller", "sender"),
        f.time,
        f.maybe_number("to_receiver", "to_receiver_incl_penalty"),
        f.maybe_number("to_sender"),
        f.maybe_number("penalty"),
    )


def _paused(f: _Fields) -> Action | None:
    return Paused(f.time) if f.has("stream_id") else None


def _claimed(f: _Fields) -> Action:
    return Withdrawn(f.number("amount"), f.maybe_number("total_withdrawn", "total_claimed"))


def _transferred(f: _Fields) -> Action:
    receiver = f.maybe_text("new_receiver")
    return BeneficiaryChanged(f.text("to")) if receiver is None else ReceiverChanged(receiver)


_MIGRATIONS = frozenset({"migrated", "migrate"})

_READERS: dict[tuple[str, str], Callable[[_Fields], Action | None]] = {
    (V1, "create"): _created_v1,
    (V1, "soulbound"): lambda _: Soulbound(),
    (V1, "topup"): lambda f: ToppedUp(f.number("new_total"), f.number("new_end_time")),
    (V1, "pause"): _paused,
    (V1, "resume"): lambda f: Resumed(f.number("paused_duration")),
    (V1, "unpause"): lambda f: Resumed(f.number("paused_duration")),
    (V1, "withdraw"): _claimed,
    (V1, "claim"): _claimed,
    (V1, "cancel"): _cancelled,
    (V1, "transfer"): _transferred,
    (V1, "CLAWBACK"): lambda f: ClawedBack(f.time, f.number("amount_clawed")),
    (V1, "freeze"): lambda _: Frozen(),
    (V1, "resolve"): lambda f: Resolved(f.time, f.number("to_receiver"), f.number("to_sender")),
    (V2, "create_v2"): _created_v2,
    (V2, "permit"): _created_v2,
    (V2, "swap_stream"): _swapped,
    # sig_claim is left out: it says that a stream was created, but the contract stores none.
    (V2, "split_exec"): lambda f: Memo(f.text("memo")),
    (V2, "bridge_in"): lambda f: PaidIn(f.number("amount_gross")),
    (V2, "migrated"): _migrated,
    (V2, "migrate"): _migrated,
    (V2, "claim"): _claimed,
    (V2, "meta_wdrw"): lambda f: Withdrawn(f.number("to_receiver") + f.number("relayer_fee")),
    (V2, "dust"): lambda f: SplitSet(f.text("split_address"), f.number("split_bps")),
    (V2, "split"): lambda f: SplitSet(f.maybe_text("split_address"), f.number("split_bps")),
    (V2, "cancel"): _cancelled,
    (V2, "archived"): lambda f: Archived(f.number("total_amount"), f.number("withdrawn_amount")),
    (V2, "benefic"): lambda f: BeneficiaryChanged(f.text("new", "new_beneficiary")),
    (V2, "top_up"): lambda f: ToppedUp(f.number("new_total_amount"), f.number("new_end_time")),
    (V2, "rate_accept"): lambda f: RateAccepted(f.number("new_end_time")),
    (V2, "refill"): lambda f: Refilled(f.number("new_start_time"), f.number("new_end_time")),
    (V2, "rebalance"): lambda f: Rebalanced(f.text("token"), f.number("reduction_factor_bps")),
}

# --- audit log ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditFields:
    """What an entry of the audit log shows of an event beside its place in the ledger.

    ``event_type`` is the contract's own name for it. ``sender`` is who paid or acted, ``receiver`` who gets something
    by it, ``amount`` what moves or is promised, in the token's smallest unit. ``metadata`` has every decoded field
    under its own name but the stream's id: integers as decimal strings, bytes as hex, lists as lists.
    """

    event_type: str
    sender: str | None
    receiver: str | None
    amount: int | None
    metadata: dict[str, object]


def audit_fields(decoded: DecodedEvent) -> AuditFields:
    """Return what the audit log shows of an event; it never fails, whatever the family."""
    fields = _Fields(decoded.fields, 0)
    amount = fields.maybe_number(*_AMOUNTS)
    if (decoded.family, decoded.name) == (V2, "meta_wdrw"):
        amount = fields.number("to_receiver") + fields.number("relayer_fee")
    return AuditFields(
        decoded.name,
        fields.maybe_text(*_SENDERS),
        fields.maybe_text(*_RECEIVERS),
        amount,
        {name: _plain(value) for name, value in decoded.fields.items() if name != "stream_id"},
    )


def _plain(value: Field) -> object:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


_SENDERS = (
    "sender",
    "from",
    "canceller",
    "caller",
    "pauser",
    "resumer",
    "unpauser",
    "proposed_by",
    "accepted_by",
    "previous",
    "previous_beneficiary",
    "officer",
    "arbiter",
    "executor",
    "approver",
    "initiator",
    "admin",
)
"""The fields that name who paid or acted, the most telling first."""

_RECEIVERS = (
    "claimer",
    "beneficiary",
    "receiver",
    "to",
    "new_receiver",
    "new_beneficiary",
    "new",
    "issuer",
    "delegate",
    "recipient",
)
"""The fields that name who gets something, the most telling first."""

_AMOUNTS = (
    "stream_amount_net_of_fee",
    "stream_amount_net",
    "stream_amount",
    "amount_gross",
    "amount_out_gross",
    "amount",
    "extra_amount",
    "amount_clawed",
    "remaining",
    "migrated_amount",
    "split_amount",
    "total_amount",
    "total_net",
    "to_receiver_incl_penalty",
    "to_receiver",
    "total_interest",
    "distributable",
)
"""The fields that say what an event is about, the most telling first."""
