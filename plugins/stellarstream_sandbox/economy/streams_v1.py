"""StellarStream's first contract: as it is now, and as it was before 2026-03-25.

Today it publishes nothing when tokens are withdrawn or a stream is cancelled; only the token's own
events show it. The older generation publishes both. Functions take the arguments of the published
contract, in its order, and refuse in the published order of checks with the published numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from stellarstream_sandbox.economy.bank import Bank, transfer_call
from stellarstream_sandbox.economy.calls import Event, EventType, Invocation, Outcome, Refused, panicked
from stellarstream_sandbox.economy.shelf import Shelf
from stellarstream_sandbox.economy.stream_v1 import Curve, Fault, Proposal, Stream
from stellarstream_sandbox.economy.unlocking import i128, quotient, u64
from stellarstream_sandbox.values import I128, U32, U64, VOID, Address, Bytes, Symbol, Value, record, vec

__all__ = ["KEPT_CLOSED", "Curve", "Fault", "NotMigratable", "Proposal", "Stream", "StreamsV1", "StreamsV1Older"]

KEPT_CLOSED = 2_000
"""How many ended streams it remembers. On a network all stand in one entry, and fewer than that fit in."""


class NotMigratable(Exception):  # noqa: N818 - an answer to the second contract, which has a number for it
    """The stream cannot be taken over; ``is_foreign`` where the caller is not who receives it."""

    def __init__(self, *, is_foreign: bool = False, is_empty: bool = False) -> None:
        super().__init__("this stream cannot be migrated")
        self.is_foreign = is_foreign
        self.is_empty = is_empty


@dataclass
class StreamsV1:
    """The contract as it is now. ``open`` holds the streams that still have something to pay."""

    contract: str
    bank: Bank
    wasm: bytes
    streams: Shelf[Stream] = field(default_factory=lambda: Shelf(KEPT_CLOSED))
    next_id: int = 0
    proposals: dict[int, Proposal] = field(default_factory=dict)

    @property
    def open(self) -> dict[int, Stream]:
        """The streams that still have something to pay."""
        return self.streams.open

    def copy(self, bank: Bank) -> Self:
        """Return the same contract on another bank, to be changed apart from this one."""
        return replace(self, bank=bank, streams=self.streams.copy(), proposals=dict(self.proposals))

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
        if start >= end:
            raise self._refused(Fault.INVALID_TIME_RANGE)
        if total <= 0:
            raise self._refused(Fault.INVALID_AMOUNT)
        if not start <= cliff <= end:
            raise panicked("the cliff lies outside the stream")
        stream, taken = self._open(sender, receiver, token, total, start, cliff, end, curve, is_soulbound)
        events = [taken]
        if is_soulbound:
            events.append(
                self._event(Symbol("soulbound"), Symbol("locked"), data=vec(U64(stream.id), Address(receiver)))
            )
        events.append(self._created(now, stream))
        pulls = (transfer_call(token, sender, self.contract, total),)
        return Outcome(U64(stream.id), tuple(events), pulls)

    def create_proposal(
        self,
        now: int,
        sender: str,
        receiver: str,
        token: str,
        total: int,
        start: int,
        end: int,
        required: int,
        deadline: int,
    ) -> Outcome:
        """Propose a stream; return the proposal's id. Nothing is taken yet.

        Its event has the same topics as that of a stream.
        """
        if start >= end:
            raise self._refused(Fault.INVALID_TIME_RANGE)
        if total <= 0:
            raise self._refused(Fault.INVALID_AMOUNT)
        if required == 0:
            raise self._refused(Fault.INVALID_APPROVAL_THRESHOLD)
        if deadline <= now:
            raise self._refused(Fault.PROPOSAL_EXPIRED)
        proposal_id = len(self.proposals)
        self.proposals[proposal_id] = Proposal(sender, receiver, token, total, start, end, required, deadline)
        event = self._event(
            Symbol("create"),
            Address(sender),
            data=record(
                deadline=U64(deadline),
                end_time=U64(end),
                proposal_id=U64(proposal_id),
                receiver=Address(receiver),
                required_approvals=U32(required),
                sender=Address(sender),
                start_time=U64(start),
                timestamp=U64(now),
                token=Address(token),
                total_amount=I128(total),
            ),
        )
        return Outcome(U64(proposal_id), (event,))

    def approve_proposal(self, now: int, proposal_id: int, approver: str) -> Outcome:
        """Approve; with the last approval the stream is opened, its ``create`` before the ``approve``."""
        proposal = self.proposals.get(proposal_id)
        if proposal is None:
            raise self._refused(Fault.PROPOSAL_NOT_FOUND)
        if proposal.is_executed:
            raise self._refused(Fault.PROPOSAL_ALREADY_EXECUTED)
        if now > proposal.deadline:
            raise self._refused(Fault.PROPOSAL_EXPIRED)
        if approver in proposal.approvers:
            raise self._refused(Fault.ALREADY_APPROVED)
        executes = proposal.executes_with(approver)
        events: list[Event] = []
        pulls: tuple[Invocation, ...] = ()
        if executes:
            terms = (proposal.total, proposal.start, proposal.start, proposal.end)
            stream, taken = self._open(
                proposal.sender, proposal.receiver, proposal.token, *terms, Curve.LINEAR, is_soulbound=False
            )
            events += [taken, self._created(now, stream)]
            pulls = (transfer_call(proposal.token, proposal.sender, self.contract, proposal.total),)
        approvers = (*proposal.approvers, approver)
        self.proposals[proposal_id] = replace(proposal, approvers=approvers, is_executed=executes)
        data = record(
            approval_count=U32(len(approvers)),
            approver=Address(approver),
            proposal_id=U64(proposal_id),
            required_approvals=U32(proposal.required),
            timestamp=U64(now),
        )
        events.append(self._event(Symbol("approve"), Address(approver), data=data))
        return Outcome(VOID, tuple(events), pulls)

    def get_stream(self, stream_id: int) -> Stream:
        """Return a stream, ended or not."""
        stream = self.streams.get(stream_id)
        if stream is None:
            raise self._refused(Fault.STREAM_NOT_FOUND)
        return stream

    def withdraw(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Pay out everything unlocked; return the amount. Publishes nothing of its own."""
        stream = self.get_stream(stream_id)
        if caller != stream.receiver:
            raise self._refused(Fault.UNAUTHORIZED)
        if stream.is_closed:
            raise self._refused(Fault.ALREADY_CANCELLED)
        if stream.paused_at is not None:
            raise self._refused(Fault.STREAM_PAUSED)
        amount = i128(stream.unlocked(now) - stream.withdrawn)
        if amount <= 0:
            raise self._refused(Fault.INSUFFICIENT_BALANCE)
        paid = self.bank.transfer(stream.token, self.contract, stream.receiver, amount)
        stream = self.streams.put(replace(stream, withdrawn=stream.withdrawn + amount))
        return Outcome(I128(amount), (paid, *self._withdrawn(now, stream, caller, amount)))

    def cancel(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Pay the receiver what is unlocked and the sender the rest. Publishes nothing of its own."""
        stream = self.get_stream(stream_id)
        if caller not in {stream.sender, stream.receiver}:
            raise self._refused(Fault.UNAUTHORIZED)
        if stream.is_closed:
            raise self._refused(Fault.ALREADY_CANCELLED)
        to_receiver, to_sender, events = self._settle(stream, now, stream.sender)
        return Outcome(VOID, (*events, *self._cancelled(now, stream, caller, to_receiver, to_sender)))

    def pause_stream(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Stop the clock. Pausing a paused stream does nothing and publishes nothing."""
        stream = self._senders(stream_id, caller)
        if stream.paused_at is not None:
            return Outcome(VOID)
        self.streams.put(replace(stream, paused_at=now))
        return Outcome(VOID, (self._paused(now, stream, caller),))

    def resume_stream(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Let the clock go on."""
        stream = self._senders(stream_id, caller)
        if stream.paused_at is None:
            raise self._refused(Fault.STREAM_NOT_PAUSED)
        paused = u64(now - stream.paused_at)
        self.streams.put(replace(stream, paused_before=u64(stream.paused_before + paused), paused_at=None))
        return Outcome(VOID, (self._resumed(now, stream, caller, paused),))

    def top_up_stream(self, now: int, stream_id: int, sender: str, amount: int) -> Outcome:
        """Add to a stream at its rate: the end moves, and what is unlocked per second stays.

        A stream of less than one unit a second has the rate 0, by which the contract divides.
        """
        if amount <= 0:
            raise self._refused(Fault.INVALID_AMOUNT)
        stream = self._senders(stream_id, sender)
        if now >= stream.end:
            raise self._refused(Fault.INVALID_AMOUNT)
        rate = stream.total // (stream.end - stream.start)
        self.bank.check(stream.token, sender, amount)
        if rate == 0:
            raise panicked("attempt to divide by zero")
        taken = self.bank.transfer(stream.token, sender, self.contract, amount)
        stream = self.streams.put(
            replace(stream, total=i128(stream.total + amount), end=u64(stream.end + quotient(amount, rate)))
        )
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
        stream = self.streams.get(stream_id)
        if stream is None or caller != stream.receiver:
            raise NotMigratable(is_foreign=True)
        if stream.is_closed or stream.paused_at is not None or now >= stream.end:
            raise NotMigratable
        if stream.total - stream.unlocked(now) <= 0:
            raise NotMigratable(is_empty=True)
        _, remaining, events = self._settle(stream, now, heir)
        return stream, remaining, events

    def _settle(self, stream: Stream, now: int, heir: str) -> tuple[int, int, tuple[Event, ...]]:
        """Close a stream: what is unlocked goes to the receiver, the rest to ``heir``.

        As in the published contract a stream that has paid more than is unlocked (topping up can do that) gives
        the heir the whole rest all the same.
        """
        unlocked = stream.unlocked(now)
        to_receiver, rest = unlocked - stream.withdrawn, stream.total - unlocked
        self.bank.check(stream.token, self.contract, max(to_receiver, 0) + max(rest, 0))
        events = []
        if to_receiver > 0:
            events.append(self.bank.transfer(stream.token, self.contract, stream.receiver, to_receiver))
        if rest > 0:
            events.append(self.bank.transfer(stream.token, self.contract, heir, rest))
        self.streams.put(replace(stream, withdrawn=unlocked, is_closed=True))
        return to_receiver, rest, tuple(events)

    def _open(
        self,
        sender: str,
        receiver: str,
        token: str,
        total: int,
        start: int,
        cliff: int,
        end: int,
        curve: Curve,
        is_soulbound: bool,
    ) -> tuple[Stream, Event]:
        """Take a stream's amount and store it; return it and the token's event."""
        taken = self.bank.transfer(token, sender, self.contract, total)
        stream = Stream(
            self.next_id,
            sender,
            receiver,
            token,
            total,
            start,
            cliff,
            end,
            curve,
            is_soulbound=is_soulbound,
            deposited=total,
        )
        self.next_id += 1
        return self.streams.put(stream), taken

    def _created(self, now: int, stream: Stream) -> Event:
        return self._event(
            Symbol("create"),
            Address(stream.sender),
            data=record(
                stream_id=U64(stream.id),
                sender=Address(stream.sender),
                receiver=Address(stream.receiver),
                token=Address(stream.token),
                total_amount=I128(stream.total),
                start_time=U64(stream.start),
                end_time=U64(stream.end),
                timestamp=U64(now),
            ),
        )

    def _senders(self, stream_id: int, caller: str) -> Stream:
        """Return a stream that only its sender may change, and only until it is closed."""
        stream = self.get_stream(stream_id)
        if caller != stream.sender:
            raise self._refused(Fault.UNAUTHORIZED)
        if stream.is_closed:
            raise self._refused(Fault.ALREADY_CANCELLED)
        return stream

    def _refused(self, fault: Fault) -> Refused:
        return Refused(fault, contract=self.contract)

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
