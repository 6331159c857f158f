"""A stream of the first contract: what it is made of, how it is stored, and why calls on it are refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from stellarstream_sandbox.economy.unlocking import unlocked_v1
from stellarstream_sandbox.values import I128, U32, U64, VOID, Address, Bool, Map, record, vec


class Fault(IntEnum):
    """The contract's errors, by their published names and numbers."""

    ALREADY_INITIALIZED = 1
    INVALID_TIME_RANGE = 2
    INVALID_AMOUNT = 3
    STREAM_NOT_FOUND = 4
    UNAUTHORIZED = 5
    ALREADY_CANCELLED = 6
    INSUFFICIENT_BALANCE = 7
    PROPOSAL_NOT_FOUND = 8
    PROPOSAL_EXPIRED = 9
    ALREADY_APPROVED = 10
    PROPOSAL_ALREADY_EXECUTED = 11
    INVALID_APPROVAL_THRESHOLD = 12
    NOT_RECEIPT_OWNER = 13
    STREAM_PAUSED = 14
    STREAM_NOT_ACTIVE = 15
    STREAM_IS_SOULBOUND = 23
    ADDRESS_RESTRICTED = 24
    STREAM_ENDED = 25
    BATCH_SIZE_EXCEEDED = 26
    STREAM_NOT_PAUSED = 27
    NOT_RECEIVER = 28
    INSUFFICIENT_WITHDRAWABLE = 29
    NOT_SENDER = 30
    INVALID_CLIFF_TIME = 45
    VAULT_ERROR = 49


class Curve(IntEnum):
    """How a stream unlocks over time."""

    LINEAR = 0
    EXPONENTIAL = 1


@dataclass(frozen=True, slots=True)
class Stream:
    """A V1 stream: amounts in the token's smallest unit, times in Unix seconds.

    Nothing is ever changed in place, so that a copy of the world may share it.
    """

    id: int
    sender: str
    receiver: str
    token: str
    total: int
    start: int
    cliff: int
    end: int
    curve: Curve
    withdrawn: int = 0
    paused_at: int | None = None
    paused_before: int = 0
    is_soulbound: bool = False
    is_closed: bool = False
    deposited: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has something left to pay."""
        return not self.is_closed and self.withdrawn < self.total

    def unlocked(self, now: int) -> int:
        """Return what is unlocked at ``now``, withdrawn or not."""
        return unlocked_v1(
            total=self.total,
            start=self.start,
            cliff=self.cliff,
            end=self.end,
            now=now,
            paused_at=self.paused_at,
            paused_before=self.paused_before,
            is_exponential=self.curve is Curve.EXPONENTIAL,
        )

    def shown(self) -> Map:
        """Return the stream as it stands in the ledger and as ``get_stream`` tells it (``Stream``).

        Much of it the contract stores and never uses.
        """
        state = 2 if self.is_closed else 1 if self.paused_at is not None else 0
        return record(
            arbiter=VOID,
            clawback_enabled=Bool(False),
            cliff_time=U64(self.cliff),
            curve_type=U32(self.curve),
            deposited_principal=I128(self.deposited),
            end_time=U64(self.end),
            interest_strategy=U32(0),
            is_frozen=Bool(False),
            is_soulbound=Bool(self.is_soulbound),
            is_usd_pegged=Bool(False),
            metadata=VOID,
            milestones=vec(),
            oracle_address=Address(self.sender),
            oracle_max_staleness=U64(0),
            paused_time=U64(self.paused_at or 0),
            price_max=I128(0),
            price_min=I128(0),
            receipt_owner=Address(self.receiver),
            receiver=Address(self.receiver),
            sender=Address(self.sender),
            start_time=U64(self.start),
            state=U32(state),
            token=Address(self.token),
            total_amount=I128(self.total),
            total_paused_duration=U64(self.paused_before),
            usd_amount=I128(0),
            vault_address=VOID,
            withdrawn=I128(0),
            withdrawn_amount=I128(self.withdrawn),
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """A stream that is opened once enough have approved of it."""

    sender: str
    receiver: str
    token: str
    total: int
    start: int
    end: int
    required: int
    deadline: int
    approvers: tuple[str, ...] = ()
    is_executed: bool = False

    def executes_with(self, approver: str) -> bool:
        """Tell whether this approval is the one that takes the sender's tokens."""
        return not self.is_executed and approver not in self.approvers and len(self.approvers) + 1 >= self.required
