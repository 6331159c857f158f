"""A stream of the second contract: what it is made of, how it is stored, and why calls on it are refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from stellarstream_sandbox.economy.unlocking import unlocked_v2
from stellarstream_sandbox.values import I128, U32, U64, U128, Address, Bool, Map, Symbol, Value, option, record


class Fault(IntEnum):
    """The contract's errors, by their published names and numbers."""

    ALREADY_INITIALIZED = 1
    NOT_STREAM_OWNER = 2
    STREAM_NOT_MIGRATABLE = 3
    NOTHING_TO_MIGRATE = 4
    INVALID_SIGNATURE = 5
    EXPIRED_DEADLINE = 6
    INVALID_NONCE = 7
    INVALID_THRESHOLD = 8
    NOT_ENOUGH_SIGNERS = 9
    BELOW_DUST_THRESHOLD = 10
    CONTRACT_PAUSED = 11
    INSUFFICIENT_BALANCE = 12
    STREAM_NOT_FOUND = 13
    INVALID_TIME_RANGE = 14
    ALREADY_CANCELLED = 15
    BATCH_TOO_LARGE = 16
    NOTHING_TO_WITHDRAW = 17
    UNAUTHORIZED_SENDER = 18
    STREAM_ALREADY_EXISTS = 19
    CONTRACT_NOT_INITIALIZED = 20
    ADMIN_LIST_NOT_SET = 21
    NOT_EXECUTION_TIME = 22
    OP_NOT_SCHEDULED = 23
    NOT_BENEFICIARY = 24
    VAULT_PAUSED = 25
    STREAM_NOT_EXPIRED = 26
    NOT_RECURRENT = 27
    NO_TREASURY = 28
    ASSET_NOT_WHITELISTED = 29
    INVALID_PENALTY = 30
    MIGRATION_PAUSED = 31
    INVALID_RELAYER_FEE = 32
    INVALID_SPLIT_BPS = 33
    ALREADY_MIGRATED = 42
    STREAM_NOT_FULLY_WITHDRAWN = 49
    NO_PENDING_UPDATE = 57
    PENDING_UPDATE_EXISTS = 58
    UPDATE_EXPIRED = 59
    INVALID_NEW_RATE = 60
    INSUFFICIENT_BALANCE_FOR_NEW_RATE = 61
    STREAM_NOT_ACTIVE = 63


@dataclass(frozen=True, slots=True)
class StreamArgs:
    """What ``create_stream`` takes: the gross amount in the token's smallest unit, times in Unix seconds.

    ``yield_recipient`` says who gets a vault's interest: 0 the sender, 2 the treasury, any other the beneficiary.
    """

    sender: str
    receiver: str
    token: str
    total: int
    start: int
    cliff: int
    end: int
    penalty_bps: int = 0
    memo: str | None = None
    step_duration: int = 0
    multiplier_bps: int = 0
    vault: str | None = None
    yield_enabled: bool = False
    yield_recipient: int = 1
    is_recurrent: bool = False
    cycle_duration: int = 0
    cancellation_type: int = 0
    split_address: str | None = None
    split_bps: int = 0
    affiliate: str | None = None

    def value(self) -> Map:
        """Return the arguments as the contract's ``StreamArgs``."""
        return record(
            affiliate=_address(self.affiliate),
            cancellation_type=U32(self.cancellation_type),
            cliff_time=U64(self.cliff),
            cycle_duration=U64(self.cycle_duration),
            end_time=U64(self.end),
            is_recurrent=Bool(self.is_recurrent),
            memo=option(None if self.memo is None else Symbol(self.memo)),
            multiplier_bps=I128(self.multiplier_bps),
            penalty_bps=U32(self.penalty_bps),
            receiver=Address(self.receiver),
            sender=Address(self.sender),
            split_address=_address(self.split_address),
            split_bps=U32(self.split_bps),
            start_time=U64(self.start),
            step_duration=I128(self.step_duration),
            token=Address(self.token),
            total_amount=I128(self.total),
            vault_address=_address(self.vault),
            yield_enabled=Bool(self.yield_enabled),
            yield_recipient=U32(self.yield_recipient),
        )

    @classmethod
    def of(cls, fields: dict[str, Any]) -> StreamArgs:
        """Return the arguments out of a ``StreamArgs`` struct that was read, by the published field names."""
        named = {_FIELDS.get(name, name): value for name, value in fields.items()}
        return cls(**named)


_FIELDS = {
    "total_amount": "total",
    "start_time": "start",
    "cliff_time": "cliff",
    "end_time": "end",
    "vault_address": "vault",
}


@dataclass(frozen=True, slots=True)
class Stream:
    """A V2 stream; ``total`` is net of the protocol's fee.

    Nothing is ever changed in place, so that a copy of the world may share it.
    """

    id: int
    sender: str
    receiver: str
    beneficiary: str
    token: str
    total: int
    start: int
    cliff: int
    end: int
    penalty_bps: int = 0
    withdrawn: int = 0
    is_cancelled: bool = False
    is_pending: bool = False
    is_migrated: bool = False
    v1_stream_id: int = 0
    step_duration: int = 0
    multiplier_bps: int = 0
    curve_type: int = 0
    vault: str | None = None
    yield_enabled: bool = False
    yield_recipient: int = 0
    is_recurrent: bool = False
    cycle_duration: int = 0
    cancellation_type: int = 0
    split_address: str | None = None
    split_bps: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has something left to pay."""
        return not self.is_cancelled and self.withdrawn < self.total

    def unlocked(self, now: int) -> int:
        """Return what is unlocked at ``now``, withdrawn or not."""
        return unlocked_v2(
            total=self.total,
            start=self.start,
            cliff=self.cliff,
            end=self.end,
            now=now,
            step_duration=self.step_duration,
            multiplier_bps=self.multiplier_bps,
            curve_type=self.curve_type,
            is_cancelled=self.is_cancelled,
        )

    def packed_meta(self) -> int:
        """Return the flags that are stored in one number.

        Bits 0-7 status (0 active, 1 cancelled, 2 pending), 8-39 penalty, 40-47 curve, 48 migrated, 49 yield
        enabled, 50 recurrent, 51-82 cancellation type.
        """
        status = 1 if self.is_cancelled else 2 if self.is_pending else 0
        return (
            status
            | self.penalty_bps << 8
            | self.curve_type << 40
            | self.is_migrated << 48
            | self.yield_enabled << 49
            | self.is_recurrent << 50
            | self.cancellation_type << 51
        )

    def stored(self) -> Map:
        """Return the stream as it stands in the ledger (``StoredStreamV2``)."""
        return record(packed_meta=U128(self.packed_meta()), **self._common())

    def shown(self) -> Map:
        """Return the stream as ``get_stream`` tells it (``StreamV2``)."""
        return record(
            cancellation_type=U32(self.cancellation_type),
            cancelled=Bool(self.is_cancelled),
            is_pending=Bool(self.is_pending),
            is_recurrent=Bool(self.is_recurrent),
            migrated_from_v1=Bool(self.is_migrated),
            penalty_bps=U32(self.penalty_bps),
            yield_enabled=Bool(self.yield_enabled),
            **self._common(),
        )

    def _common(self) -> dict[str, Value]:
        return {
            "beneficiary": Address(self.beneficiary),
            "cliff_time": U64(self.cliff),
            "cycle_duration": U64(self.cycle_duration),
            "end_time": U64(self.end),
            "multiplier_bps": I128(self.multiplier_bps),
            "receiver": Address(self.receiver),
            "sender": Address(self.sender),
            "split_address": _address(self.split_address),
            "split_bps": U32(self.split_bps),
            "start_time": U64(self.start),
            "step_duration": I128(self.step_duration),
            "token": Address(self.token),
            "total_amount": I128(self.total),
            "v1_stream_id": U64(self.v1_stream_id),
            "vault_address": _address(self.vault),
            "withdrawn_amount": I128(self.withdrawn),
            "yield_recipient": U32(self.yield_recipient),
        }


@dataclass(frozen=True, slots=True)
class RateProposal:
    """A sender's wish to pay faster or slower, in the token's smallest unit a second."""

    new_rate: int
    proposed_at: int
    proposed_by: str
    original_end: int
    original_total: int

    def value(self) -> Map:
        """Return it as the contract's ``PendingRateUpdate``."""
        return record(
            new_rate=I128(self.new_rate),
            original_end_time=U64(self.original_end),
            original_total_amount=I128(self.original_total),
            proposed_at=U64(self.proposed_at),
            proposed_by=Address(self.proposed_by),
        )


def _address(strkey: str | None) -> Value:
    return option(None if strkey is None else Address(strkey))
