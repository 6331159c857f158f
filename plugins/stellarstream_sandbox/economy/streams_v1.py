"""StellarStream's first contract: as it is now, and as it was before 2026-03-25.

Today it publishes nothing when tokens are withdrawn or a stream is cancelled; only the token's own
events show it. The older generation publishes both. Functions take the arguments of the published
contract, in its order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from stellarstream_sandbox.economy.bank import Bank, transfer_call
from stellarstream_sandbox.economy.calls import Event, EventType, Outcome, Refused
from stellarstream_sandbox.economy.unlocking import unlocked_v1
from stellarstream_sandbox.values import I128, U64, VOID, Address, Bytes, Symbol, Value, record, vec


class Fault(IntEnum):
    """Why a call is refused. The numbers are the simulation's own; they stand in diagnostics only."""

    INVALID_TIME_RANGE = 1
    INVALID_AMOUNT = 2
    STREAM_NOT_FOUND = 3
    UNAUTHORIZED = 4
    ALREADY_CANCELLED = 5
    NOTHING_TO_WITHDRAW = 6
    STREAM_PAUSED = 7
    STREAM_NOT_PAUSED = 8
    NOT_MIGRATABLE = 9


class Curve(IntEnum):
    """How a stream unlocks over time."""

    LINEAR = 0
    EXPONENTIAL = 1


@dataclass(slots=True)
class Stream:
    """A V1 stream: amounts in the token's smallest unit, times in Unix seconds."""

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


@dataclass
class StreamsV1:
    """The contract as it is now. ``open`` holds the streams that still have something to pay."""

    contract: str
    bank: Bank
    wasm: bytes
    open: dict[int, Stream] = field(default_factory=dict)
    next_id: int = 0

    def create_stream(
        self,
        now: int,
        sender: str,
        receiver: str,
        token: str,
        total: int,
        start: int,
        cliff: int,
        end: int,
        curve: Curve,
        is_soulbound: bool,
    ) -> Outcome:
        """Take the whole amount from the sender and open a stream; return its id."""
        if start >= end or not start <= cliff <= end:
            raise Refused(Fault.INVALID_TIME_RANGE)
        if total <= 0:
            raise Refused(Fault.INVALID_AMOUNT)
        taken = self.bank.transfer(token, sender, self.contract, total)
        stream = Stream(self.next_id, sender, receiver, token, total, start, cliff, end, curve)
        self.open[stream.id] = stream
        self.next_id += 1
        events = [taken]
        if is_soulbound:
            events.append(
                self._event(Symbol("soulbound"), Symbol("locked"), data=vec(U64(stream.id), Address(receiver)))
            )
        events.append(
            self._event(
                Symbol("create"),
                Address(sender),
                data=record(
                    stream_id=U64(stream.id),
                    sender=Address(sender),
                    receiver=Address(receiver),
                    token=Address(token),
                    total_amount=I128(total),
                    start_time=U64(start),
                    end_time=U64(end),
                    timestamp=U64(now),
                ),
            )
        )
        pulls = (transfer_call(token, sender, self.contract, total),)
        return Outcome(U64(stream.id), tuple(events), pulls)

    def withdraw(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Pay out everything unlocked; return the amount. Publishes nothing of its own."""
        stream = self._stream(stream_id)
        if caller != stream.receiver:
            raise Refused(Fault.UNAUTHORIZED)
        if stream.paused_at is not None:
            raise Refused(Fault.STREAM_PAUSED)
        amount = stream.unlocked(now) - stream.withdrawn
        if amount <= 0:
            raise Refused(Fault.NOTHING_TO_WITHDRAW)
        paid = self.bank.transfer(stream.token, self.contract, stream.receiver, amount)
        stream.withdrawn += amount
        self._close_if_paid(stream)
        return Outcome(I128(amount), (paid, *self._withdrawn(now, stream, caller, amount)))

    def cancel(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Pay the receiver what is unlocked and the sender the rest. Publishes nothing of its own."""
        stream = self._stream(stream_id)
        if caller not in {stream.sender, stream.receiver}:
            raise Refused(Fault.UNAUTHORIZED)
        to_receiver, to_sender, events = self._settle(stream, now, stream.sender)
        return Outcome(VOID, (*events, *self._cancelled(now, stream, caller, to_receiver, to_sender)))

    def pause_stream(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Stop the clock. Pausing a paused stream does nothing and publishes nothing."""
        stream = self._stream(stream_id)
        if caller != stream.sender:
            raise Refused(Fault.UNAUTHORIZED)
        if stream.paused_at is not None:
            return Outcome(VOID)
        stream.paused_at = now
        return Outcome(VOID, (self._paused(now, stream, caller),))

    def resume_stream(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Let the clock go on."""
        stream = self._stream(stream_id)
        if caller != stream.sender:
            raise Refused(Fault.UNAUTHORIZED)
        if stream.paused_at is None:
            raise Refused(Fault.STREAM_NOT_PAUSED)
        paused = now - stream.paused_at
        stream.paused_before += paused
        stream.paused_at = None
        return Outcome(VOID, (self._resumed(now, stream, caller, paused),))

    def top_up_stream(self, now: int, stream_id: int, sender: str, amount: int) -> Outcome:
        """Add to a stream at its rate: the end moves, and what is unlocked per second stays."""
        stream = self._stream(stream_id)
        if sender != stream.sender:
            raise Refused(Fault.UNAUTHORIZED)
        if amount <= 0 or now >= stream.end:
            raise Refused(Fault.INVALID_AMOUNT)
        rate = stream.total // (stream.end - stream.start)
        if rate == 0:
            raise Refused(Fault.INVALID_AMOUNT)
        taken = self.bank.transfer(stream.token, sender, self.contract, amount)
        stream.total += amount
        stream.end += amount // rate
        event = self._event(
            Symbol("topup"),
            U64(stream.id),
            data=record(
                stream_id=U64(stream.id),
                sender=Address(sender),
                amount=I128(amount),
                new_total=I128(stream.total),
                new_end_time=U64(stream.end),
                timestamp=U64(now),
            ),
        )
        pulls = (transfer_call(stream.token, sender, self.contract, amount),)
        return Outcome(VOID, (taken, event), pulls)

    def upgrade(self, admin: str, wasm: bytes) -> Outcome:
        """Exchange the contract's code: a system event, then the contract's own."""
        old, self.wasm = self.wasm, wasm
        return Outcome(
            VOID,
            (
                executable_update(self.contract, old, wasm),
                self._event(Symbol("upgrade"), Address(admin), data=Bytes(wasm)),
            ),
        )

    def release(self, now: int, stream_id: int, caller: str, heir: str) -> tuple[Stream, int, tuple[Event, ...]]:
        """Cancel a stream for its migration: the receiver gets what is unlocked, ``heir`` the rest.

        The published contract pays the rest to the sender, which leaves the migrated stream without
        funds; here it goes to the contract that takes the stream over.
        """
        stream = self._stream(stream_id)
        if caller != stream.receiver:
            raise Refused(Fault.UNAUTHORIZED)
        if stream.paused_at is not None or now >= stream.end:
            raise Refused(Fault.NOT_MIGRATABLE)
        if stream.total - stream.unlocked(now) <= 0:
            raise Refused(Fault.NOT_MIGRATABLE)
        _, remaining, events = self._settle(stream, now, heir)
        return stream, remaining, events

    def _settle(self, stream: Stream, now: int, heir: str) -> tuple[int, int, tuple[Event, ...]]:
        unlocked = stream.unlocked(now)
        to_receiver, rest = unlocked - stream.withdrawn, stream.total - unlocked
        events = []
        if to_receiver > 0:
            events.append(self.bank.transfer(stream.token, self.contract, stream.receiver, to_receiver))
        if rest > 0:
            events.append(self.bank.transfer(stream.token, self.contract, heir, rest))
        stream.withdrawn = unlocked
        del self.open[stream.id]
        return to_receiver, rest, tuple(events)

    def _close_if_paid(self, stream: Stream) -> None:
        if stream.withdrawn == stream.total:
            del self.open[stream.id]

    def _stream(self, stream_id: int) -> Stream:
        stream = self.open.get(stream_id)
        if stream is None:
            raise Refused(Fault.STREAM_NOT_FOUND if stream_id >= self.next_id else Fault.ALREADY_CANCELLED)
        return stream

    def _event(self, *topics: Value, data: Value) -> Event:
        return Event(self.contract, topics, data)

    # What the two generations publish differently.

    def _withdrawn(self, _now: int, _stream: Stream, _caller: str, _amount: int) -> tuple[Event, ...]:
        return ()

    def _cancelled(
        self, _now: int, _stream: Stream, _caller: str, _to_receiver: int, _to_sender: int
    ) -> tuple[Event, ...]:
        return ()

    def _paused(self, now: int, stream: Stream, caller: str) -> Event:
        return self._event(
            Symbol("pause"),
            U64(stream.id),
            data=record(stream_id=U64(stream.id), pauser=Address(caller), timestamp=U64(now)),
        )

    def _resumed(self, now: int, stream: Stream, caller: str, paused: int) -> Event:
        return self._event(
            Symbol("resume"),
            U64(stream.id),
            data=record(
                stream_id=U64(stream.id),
                resumer=Address(caller),
                paused_duration=U64(paused),
                timestamp=U64(now),
            ),
        )


class StreamsV1Older(StreamsV1):
    """The contract as it was from 2026-02-21 to 2026-03-25: withdrawing and cancelling have events."""

    def _withdrawn(self, now: int, stream: Stream, caller: str, amount: int) -> tuple[Event, ...]:
        data = record(
            stream_id=U64(stream.id),
            claimer=Address(caller),
            amount=I128(amount),
            total_claimed=I128(stream.withdrawn),
            timestamp=U64(now),
        )
        return (self._event(Symbol("claim"), Address(stream.receiver), data=data),)

    def _cancelled(self, now: int, stream: Stream, caller: str, to_receiver: int, to_sender: int) -> tuple[Event, ...]:
        data = record(
            stream_id=U64(stream.id),
            canceller=Address(caller),
            to_receiver=I128(to_receiver),
            to_sender=I128(to_sender),
            timestamp=U64(now),
        )
        return (self._event(Symbol("cancel"), Address(caller), data=data),)

    def _paused(self, now: int, stream: Stream, caller: str) -> Event:
        data = record(stream_id=U64(stream.id), pauser=Address(caller), timestamp=U64(now))
        return self._event(Symbol("pause"), Address(caller), data=data)

    def _resumed(self, now: int, stream: Stream, caller: str, paused: int) -> Event:
        data = record(
            stream_id=U64(stream.id), unpauser=Address(caller), paused_duration=U64(paused), timestamp=U64(now)
        )
        return self._event(Symbol("unpause"), Address(caller), data=data)


def executable_update(contract: str, old: bytes, new: bytes) -> Event:
    """Return the system event of a contract that exchanges its code (CAP-46-2)."""
    return Event(
        contract,
        (Symbol("executable_update"), vec(Symbol("Wasm"), Bytes(old)), vec(Symbol("Wasm"), Bytes(new))),
        vec(),
        EventType.SYSTEM,
    )
