"""A stream as of a moment: its fold, what the chain said of it, and the clock, put together.

Events win over a chain read that is older than they are, a chain read over what events do not tell. What neither
tells is None. What can never change (curve, steps, penalty, vault; V1's cliff) is taken from any read; what
can (V1's payments and cancellations, which are silent) only from one that is not of the future and not stale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from stellarstream_nebula.amounts import BPS, ContractTrapError, quotient, unlocked_v1, unlocked_v2, wrap_i128, wrap_u64
from stellarstream_nebula.families import offered
from stellarstream_nebula.model import V1, V2, Curve, Status, StreamFacts, StreamIndex, StreamState, StreamView
from stellarstream_nebula.offers import unlocked_by

T = TypeVar("T")

_NOTHING = StreamFacts(ledger=0, missing=True)
"""Stands for a read that there is not."""


def usable(reads: Iterable[StreamFacts], as_of_ledger: int) -> StreamFacts | None:
    """Return the newest of several reads that is not newer than ``as_of_ledger``; None where there is none.

    A read is made at the tip, a little ahead of what is folded: whoever keeps the one before it too has
    always one to show.
    """
    known = (read for read in reads if read.ledger <= as_of_ledger)
    return max(known, key=lambda read: read.ledger, default=None)


def view(
    key: str, state: StreamState, facts: StreamFacts | None, *, as_of_ledger: int, at: int, fresh_ledgers: int
) -> StreamView:
    """Return a stream as of ``at`` (Unix seconds), with all its events up to ``as_of_ledger`` folded.

    ``facts`` is a read of any ledger, ``fresh_ledgers`` how old it may be for what V1 does in silence. For another
    moment than the ledger's close time the same formulas are evaluated on this state: nothing is undone for the past,
    nothing assumed to happen in the future.
    """
    stream = _Stream.of(state, facts, as_of_ledger)
    oldest = as_of_ledger - fresh_ledgers
    withdrawn = stream.withdrawn(oldest)
    unlocked = stream.unlocked(at, oldest)
    status = stream.base_status
    if status is Status.ACTIVE and stream.clock_end is not None and at >= stream.clock_end:
        status = Status.COMPLETED
    return StreamView(
        key=key,
        state=state,
        status=status,
        sender=stream.sender,
        receiver=stream.receiver,
        beneficiary=stream.beneficiary,
        token=stream.token,
        total=stream.total,
        start=stream.start,
        cliff=stream.cliff,
        end=stream.end,
        withdrawn=withdrawn,
        unlocked=unlocked,
        withdrawable=stream.withdrawable(unlocked, withdrawn),
        yield_enabled=None if stream.constant is None else stream.constant.yield_enabled,
        curve=stream.curve,
        completes_at=stream.completes_at,
        state_ledger=None if stream.constant is None else stream.constant.ledger,
        frozen=stream.is_frozen,
        penalty_bps=None if stream.constant is None or state.family != V2 else stream.constant.penalty_bps,
        split_address=stream.split[0],
        split_bps=stream.split[1],
    )


def index_of(state: StreamState, facts: StreamFacts | None, *, as_of_ledger: int | None = None) -> StreamIndex:
    """Return what lists and totals ask of a stream: everything of :func:`view` that no clock moves.

    ``facts`` is the newest read, however old; with ``as_of_ledger`` one of a later ledger counts as in :func:`view`.
    """
    stream = _Stream.of(state, facts, as_of_ledger)
    withdrawn = stream.withdrawn(None)
    parties = (stream.sender, stream.receiver, stream.beneficiary)
    return StreamIndex(
        base_status=stream.base_status,
        completes_at=stream.completes_at,
        parties=frozenset(party for party in parties if party is not None),
        sender=stream.sender,
        receiver=stream.receiver,
        beneficiary=stream.beneficiary,
        token=stream.token,
        total=stream.total,
        withdrawn=withdrawn,
        held=stream.held(withdrawn),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """State and read put together. ``read`` is the one that is true for the asked ledger, ``constant`` any."""

    state: StreamState
    read: StreamFacts | None
    constant: StreamFacts | None
    sender: str | None
    receiver: str | None
    beneficiary: str | None
    token: str | None
    total: int | None
    start: int | None
    cliff: int | None
    end: int | None

    @classmethod
    def of(cls, state: StreamState, facts: StreamFacts | None, as_of_ledger: int | None) -> _Stream:
        constant = None if facts is None or facts.missing else facts
        read = constant if constant is not None and (as_of_ledger is None or constant.ledger <= as_of_ledger) else None
        terms = read if read is not None and read.ledger >= state.terms_ledger else _NOTHING
        any_read = constant or _NOTHING
        receiver, beneficiary = state.receiver, state.beneficiary
        cliff = state.cliff
        if state.family == V1:
            cliff = constant.cliff if cliff is None and constant is not None else cliff
            if read is not None and read.ledger >= state.parties_ledger:  # who receives changes in silence
                receiver, beneficiary = read.receiver, read.beneficiary
            beneficiary = receiver if beneficiary is None else beneficiary
        return cls(
            state=state,
            read=read,
            constant=constant,
            sender=_first(state.sender, any_read.sender),
            receiver=_first(receiver, any_read.receiver),
            beneficiary=_first(beneficiary, (read or _NOTHING).beneficiary),
            token=_first(state.token, any_read.token),
            total=_first(terms.total, state.total),
            start=_first(terms.start, state.start),
            cliff=_first(terms.cliff, cliff),
            end=_first(terms.end, state.end),
        )

    @property
    def curve(self) -> Curve | None:
        return None if self.constant is None else self.constant.curve

    @property
    def is_v1(self) -> bool:
        return self.state.family == V1

    @property
    def is_closed(self) -> bool:
        return self.state.closed is not None or (self.read is not None and self.read.closed)

    @property
    def is_frozen(self) -> bool:
        return self.state.frozen or (self.read is not None and self.read.frozen)

    @property
    def split(self) -> tuple[str | None, int | None]:
        """Where a part of each withdrawal goes, and how much of it: no event tells it of a new stream."""
        read = self.read
        if self.state.family != V2 or (read is None and not self.state.split_ledger):
            return None, None
        if read is not None and read.ledger >= self.state.split_ledger:
            address, bps = read.split_address, read.split_bps
        else:
            address, bps = self.state.split_address, self.state.split_bps
        return address, 0 if address is None else bps

    @property
    def base_status(self) -> Status:
        """The status without the clock: how it ended, whether all is paid, whether it is paused."""
        if self.state.closed is not None:
            return self.state.closed
        if self.state.removed:
            return Status.COMPLETED
        if self.is_closed:
            return Status.CANCELED
        if self._is_paid:
            return Status.COMPLETED
        return Status.ACTIVE if self.state.paused_at is None else Status.PAUSED

    @property
    def clock_end(self) -> int | None:
        """When everything is unlocked. V1's pauses move it; V2 has none."""
        return None if self.end is None else wrap_u64(self.end + self.state.paused_before)

    @property
    def completes_at(self) -> int | None:
        return self.clock_end if self.base_status is Status.ACTIVE else None

    @property
    def _told(self) -> tuple[int | None, int]:
        """What is known to be withdrawn, and the last ledger at whose end that is sure.

        After an event V1 may do more in silence, even in the same ledger.
        """
        if self.read is not None and self.read.ledger >= self.state.touched_ledger:
            return self.read.withdrawn, self.read.ledger
        return self.state.withdrawn, self.state.touched_ledger - 1

    @property
    def _is_paid(self) -> bool:
        withdrawn, _ = self._told
        return withdrawn is not None and self.total is not None and self.total <= withdrawn

    @property
    def _is_final(self) -> bool:
        """Whether nothing can be withdrawn any more unless an event says so first."""
        return self.state.withdrawn_told or self.is_closed or self.state.removed or self._is_paid

    def withdrawn(self, oldest: int | None) -> int | None:
        """Return what was withdrawn; ``oldest`` is the first ledger that tells it of V1 (None: any read will do)."""
        if self.state.closed is not None:
            return self._settled
        withdrawn, ledger = self._told
        if self._is_final:
            return withdrawn
        if oldest is None:
            return withdrawn if self.read is not None or ledger >= self.state.created_ledger else None
        return withdrawn if ledger >= oldest else None

    def unlocked(self, at: int, oldest: int) -> int | None:
        """Return what is unlocked at a moment; of V1 only where it is known not to be cancelled since ``oldest``."""
        if self.state.closed is not None:
            return self._settled
        if self.is_closed or self.state.removed:
            return self._told[0]
        if not self._is_final and self._seen_open < oldest:
            return None
        return self._formula(at)

    def withdrawable(self, unlocked: int | None, withdrawn: int | None) -> int | None:
        """Return what a withdrawal would pay: nothing once the stream ended, and nothing while it is blocked."""
        if self.is_frozen or self.is_closed or self.state.removed or self.base_status is Status.PAUSED:
            return 0
        if unlocked is None or withdrawn is None:
            return None
        return max(0, unlocked - withdrawn)

    def held(self, withdrawn: int | None) -> int | None:
        if self.is_closed or self.state.removed:
            return 0
        if self.total is None or withdrawn is None:
            return None
        return max(0, self.total - withdrawn)

    @property
    def _seen_open(self) -> int:
        """The last ledger at whose end the stream was surely not cancelled yet; a read of the future tells it too."""
        read = 0 if self.constant is None or self.constant.closed else self.constant.ledger
        return max(read, self.state.updated_ledger - 1)

    @property
    def _settled(self) -> int | None:
        """What counted as unlocked, and as withdrawn, when the stream was cancelled or migrated.

        The event may tell it, or a read after it. V2's leaves the penalty open that a sender pays; any read tells its
        rate, and what was unlocked then follows from what the sender got back, together with the contract's formula.
        """
        if self.state.settled_unlocked is not None:
            return self.state.settled_unlocked
        if self.read is not None and self.read.closed and self.read.ledger >= self.state.touched_ledger:
            return self.read.withdrawn
        if self.is_v1 or self.state.closed_time is None:
            return None
        unlocked = self._formula(self.state.closed_time)
        if self.state.family != V2 or self.total is None or self.state.returned is None:
            return unlocked
        if self.sender is not None and self.sender != self.state.cancelled_by:
            return self.total - self.state.returned
        return self._less_penalty(self.total, self.state.returned, unlocked)

    def _less_penalty(self, total: int, returned: int, unlocked: int | None) -> int | None:
        """Return what was unlocked where the sender got ``returned`` back, less a penalty.

        Without a penalty that is all there is to know. With one several amounts round to the same return, of which the
        formula's has to be one: ``returned`` is the rest less ``rest * penalty_bps / 10,000``.
        """
        if self.constant is None:
            return unlocked
        rate = self.constant.penalty_bps
        if rate == 0:
            return total - returned
        if unlocked is None:
            return None
        rest = total - unlocked
        return unlocked if rest - quotient(wrap_i128(rest * rate), BPS) == returned else None

    def _formula(self, at: int) -> int | None:
        total, start, end = self.total, self.start, self.end
        if total is None or start is None or end is None:
            return None
        if self.is_v1:
            return self._formula_v1(total, start, end, at)
        if (family := offered(self.state.family)) is not None:
            return unlocked_by(family, self.state, at)
        if self.cliff is None or self.state.family != V2:
            return None  # of a family that this process was not told of nothing is known
        constant = self.constant
        try:
            return unlocked_v2(
                total=total,
                start=start,
                cliff=self.cliff,
                end=end,
                now=at,
                curve=self.curve,
                step_duration=0 if constant is None else constant.step_duration,
                multiplier_bps=0 if constant is None else constant.multiplier_bps,
            )
        except ContractTrapError:
            return None

    def _formula_v1(self, total: int, start: int, end: int, at: int) -> int | None:
        """Evaluate V1's formula; without cliff and curve only where they do not matter: up to start and from end."""
        paused_at, paused_before = self.state.paused_at, self.state.paused_before
        known = self.cliff is not None and self.curve is not None
        moment = at if paused_at is None else paused_at
        if not known and start < at and start < moment < end + paused_before:
            return None
        return unlocked_v1(
            total=total,
            start=start,
            cliff=start if self.cliff is None else self.cliff,
            end=end,
            now=at,
            paused_at=paused_at,
            paused_before=paused_before,
            curve=self.curve or Curve.LINEAR,
        )


def _first(*values: T | None) -> T | None:
    """Return the first value that is known."""
    return next((value for value in values if value is not None), None)
