"""StellarStream's second contract: every change of a stream publishes a ``NebulaEvent``.

Topics are ``(stream id, action)``, the data a map of action, version 2, time and a positional
list. Functions take the arguments of the published contract, in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from stellarstream_sandbox.economy.bank import Bank, transfer_call
from stellarstream_sandbox.economy.calls import Event, Invocation, Outcome, Refused
from stellarstream_sandbox.economy.streams_v1 import StreamsV1
from stellarstream_sandbox.economy.unlocking import unlocked_v2
from stellarstream_sandbox.values import (
    I128,
    U32,
    U64,
    VOID,
    Address,
    Bool,
    Map,
    Symbol,
    Value,
    Vec,
    option,
    record,
    vec,
)

FEE_BPS = 25
"""The protocol's fee in hundredths of a percent, kept back when a stream is created."""

MAX_BATCH = 10
"""The most streams that one call creates."""


class Fault(IntEnum):
    """Why a call is refused. The numbers are the simulation's own; they stand in diagnostics only."""

    INVALID_TIME_RANGE = 1
    INVALID_AMOUNT = 2
    STREAM_NOT_FOUND = 3
    NOT_STREAM_OWNER = 4
    NOT_BENEFICIARY = 5
    ALREADY_CANCELLED = 6
    NOTHING_TO_WITHDRAW = 7
    ALREADY_MIGRATED = 8
    NOT_MIGRATABLE = 9
    BATCH_TOO_LARGE = 10
    NO_FEES = 11


@dataclass(frozen=True, slots=True)
class StreamArgs:
    """What ``create_stream`` takes: the gross amount in the token's smallest unit, times in Unix seconds."""

    sender: str
    receiver: str
    token: str
    total: int
    start: int
    cliff: int
    end: int
    penalty_bps: int = 0
    memo: str | None = None

    def value(self) -> Map:
        """Return the arguments as the contract's ``StreamArgs``."""
        return record(
            affiliate=VOID,
            cancellation_type=U32(0),
            cliff_time=U64(self.cliff),
            cycle_duration=U64(0),
            end_time=U64(self.end),
            is_recurrent=Bool(False),
            memo=option(None if self.memo is None else Symbol(self.memo)),
            multiplier_bps=I128(0),
            penalty_bps=U32(self.penalty_bps),
            receiver=Address(self.receiver),
            sender=Address(self.sender),
            split_address=VOID,
            split_bps=U32(0),
            start_time=U64(self.start),
            step_duration=I128(0),
            token=Address(self.token),
            total_amount=I128(self.total),
            vault_address=VOID,
            yield_enabled=Bool(False),
            yield_recipient=U32(1),
        )


@dataclass(slots=True)
class Stream:
    """A V2 stream; ``total`` is net of the protocol's fee."""

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

    def unlocked(self, now: int) -> int:
        """Return what is unlocked at ``now``, withdrawn or not."""
        return unlocked_v2(total=self.total, start=self.start, cliff=self.cliff, end=self.end, now=now)


@dataclass
class StreamsV2:
    """The contract. ``open`` holds the streams that still have something to pay, ``fees`` what it kept back."""

    contract: str
    bank: Bank
    treasury: str
    open: dict[int, Stream] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    next_id: int = 0

    def create_stream(self, now: int, args: StreamArgs) -> Outcome:
        """Take the gross amount from the sender, keep the fee, open a stream over the rest; return its id."""
        _check(args)
        taken = self.bank.transfer(args.token, args.sender, self.contract, args.total)
        stream = self._open(args)
        memo = option(None if args.memo is None else Symbol(args.memo))
        events = [taken, self._created(now, stream, memo)]
        if args.memo is not None:
            items = (
                U64(stream.id),
                Address(stream.sender),
                Address(stream.receiver),
                I128(stream.total),
                memo,
                U64(now),
            )
            events.append(self._stream_event(now, stream.id, "split_exec", *items))
        pulls = (transfer_call(args.token, args.sender, self.contract, args.total),)
        return Outcome(U64(stream.id), tuple(events), pulls)

    def create_batch_streams(self, now: int, batch: Sequence[StreamArgs]) -> Outcome:
        """Take the sum of the amounts once and open all the streams; return their ids.

        All have one sender. The events are one transfer, a ``create_v2`` of nine items each, and
        ``btch_crt``, which has no ids.
        """
        if not 1 <= len(batch) <= MAX_BATCH:
            raise Refused(Fault.BATCH_TOO_LARGE)
        for args in batch:
            _check(args)
        sender, token = batch[0].sender, batch[0].token
        gross = sum(args.total for args in batch)
        events = [self.bank.transfer(token, sender, self.contract, gross)]
        streams = [self._open(args) for args in batch]
        events.extend(self._created(now, stream) for stream in streams)
        net = sum(stream.total for stream in streams)
        items = (Address(sender), U32(len(streams)), I128(net), U64(now))
        events.append(self._event((Symbol("btch_crt"), Address(sender)), now, "btch_crt", items))
        ids = Vec(tuple(U64(stream.id) for stream in streams))
        return Outcome(ids, tuple(events), (transfer_call(token, sender, self.contract, gross),))

    def withdraw(self, now: int, stream_id: int, beneficiary: str) -> Outcome:
        """Pay out everything unlocked; return the amount."""
        stream = self._stream(stream_id)
        if beneficiary != stream.beneficiary:
            raise Refused(Fault.NOT_BENEFICIARY)
        amount = stream.unlocked(now) - stream.withdrawn
        if amount <= 0:
            raise Refused(Fault.NOTHING_TO_WITHDRAW)
        paid = self.bank.transfer(stream.token, self.contract, beneficiary, amount)
        stream.withdrawn += amount
        if stream.withdrawn == stream.total:
            del self.open[stream.id]
        items = (U64(stream.id), Address(beneficiary), I128(amount), I128(stream.withdrawn), U64(now))
        return Outcome(I128(amount), (paid, self._stream_event(now, stream.id, "claim", *items)))

    def cancel(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Pay the beneficiary what is unlocked and the sender the rest, less the penalty a sender pays."""
        stream = self._stream(stream_id)
        if caller not in {stream.sender, stream.beneficiary}:
            raise Refused(Fault.NOT_STREAM_OWNER)
        unlocked = stream.unlocked(now)
        rest = stream.total - unlocked
        penalty = rest * stream.penalty_bps // 10_000 if caller == stream.sender else 0
        to_receiver, to_sender = unlocked - stream.withdrawn + penalty, rest - penalty
        events = []
        if to_receiver > 0:
            events.append(self.bank.transfer(stream.token, self.contract, stream.beneficiary, to_receiver))
        if to_sender > 0:
            events.append(self.bank.transfer(stream.token, self.contract, stream.sender, to_sender))
        del self.open[stream.id]
        items = (U64(stream.id), Address(caller), I128(to_receiver), I128(to_sender), U64(now))
        events.append(self._stream_event(now, stream.id, "cancel", *items))
        return Outcome(VOID, tuple(events))

    def top_up(self, now: int, stream_id: int, sender: str, extra: int) -> Outcome:
        """Add to a stream: what is not unlocked yet and the extra amount run on from now at the old rate."""
        stream = self._stream(stream_id)
        if sender != stream.sender:
            raise Refused(Fault.NOT_STREAM_OWNER)
        if extra <= 0:
            raise Refused(Fault.INVALID_AMOUNT)
        taken = self.bank.transfer(stream.token, sender, self.contract, extra)
        remaining = stream.total - stream.unlocked(now) + extra
        stream.end = now + remaining * (stream.end - stream.start) // stream.total
        stream.total += extra
        items = (
            U64(stream.id),
            Address(sender),
            I128(extra),
            I128(stream.total),
            U64(stream.end),
            U64(now),
        )
        pulls = (transfer_call(stream.token, sender, self.contract, extra),)
        return Outcome(VOID, (taken, self._stream_event(now, stream.id, "top_up", *items)), pulls)

    def transfer_beneficiary(self, now: int, stream_id: int, new_beneficiary: str) -> Outcome:
        """Hand the claim to another address. The receiver stays the same."""
        stream = self._stream(stream_id)
        previous, stream.beneficiary = stream.beneficiary, new_beneficiary
        items = (U64(stream.id), Address(previous), Address(new_beneficiary), U64(now))
        return Outcome(VOID, (self._stream_event(now, stream.id, "benefic", *items),))

    def migrate_stream(self, now: int, v1: StreamsV1, v1_stream_id: int, caller: str) -> Outcome:
        """Take a V1 stream over: its rest runs on here from now to its old end; return the new id."""
        old, remaining, events = v1.release(now, v1_stream_id, caller, self.contract)
        stream = Stream(
            self.next_id, old.sender, caller, caller, old.token, remaining, start=now, cliff=now, end=old.end
        )
        self.open[stream.id] = stream
        self.next_id += 1
        items = (U64(stream.id), U64(v1_stream_id), Address(caller), I128(remaining), U64(now))
        migrated = self._stream_event(now, stream.id, "migrated", *items)
        pulls = (Invocation(v1.contract, "cancel", (U64(v1_stream_id), Address(caller))),)
        return Outcome(U64(stream.id), (*events, migrated), pulls)

    def withdraw_treasury(self, now: int, token: str) -> Outcome:
        """Pay the fees of a token to the treasury; return the amount."""
        amount = self.fees.get(token, 0)
        if amount <= 0:
            raise Refused(Fault.NO_FEES)
        paid = self.bank.transfer(token, self.contract, self.treasury, amount)
        self.fees[token] = 0
        items = (Address(self.treasury), Address(token), I128(amount), U64(now))
        topics = (Symbol("fee_out"), Address(self.treasury))
        return Outcome(I128(amount), (paid, self._event(topics, now, "fee_out", items)))

    def _open(self, args: StreamArgs) -> Stream:
        fee = args.total * FEE_BPS // 10_000
        self.fees[args.token] = self.fees.get(args.token, 0) + fee
        stream = Stream(
            self.next_id,
            args.sender,
            args.receiver,
            args.receiver,
            args.token,
            args.total - fee,
            args.start,
            args.cliff,
            args.end,
            args.penalty_bps,
        )
        self.open[stream.id] = stream
        self.next_id += 1
        return stream

    def _stream(self, stream_id: int) -> Stream:
        stream = self.open.get(stream_id)
        if stream is None:
            raise Refused(Fault.STREAM_NOT_FOUND if stream_id >= self.next_id else Fault.ALREADY_CANCELLED)
        return stream

    def _created(self, now: int, stream: Stream, *memo: Value) -> Event:
        items = (
            U64(stream.id),
            Address(stream.sender),
            Address(stream.receiver),
            Address(stream.token),
            I128(stream.total),
            U64(stream.start),
            U64(stream.cliff),
            U64(stream.end),
            U64(now),
            *memo,
        )
        return self._stream_event(now, stream.id, "create_v2", *items)

    def _stream_event(self, now: int, stream_id: int, action: str, *items: Value) -> Event:
        return self._event((U64(stream_id), Symbol(action)), now, action, items)

    def _event(self, topics: tuple[Value, ...], now: int, action: str, items: tuple[Value, ...]) -> Event:
        data = record(action=Symbol(action), data=vec(*items), timestamp=U64(now), version=U32(2))
        return Event(self.contract, topics, data)


def _check(args: StreamArgs) -> None:
    if args.start >= args.end or not args.start <= args.cliff <= args.end:
        raise Refused(Fault.INVALID_TIME_RANGE)
    if args.total <= 0:
        raise Refused(Fault.INVALID_AMOUNT)
