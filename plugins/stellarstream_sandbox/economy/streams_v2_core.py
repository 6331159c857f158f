"""The second contract's main functions: opening streams, paying from them, cancelling and topping up.

Every change of a stream publishes a ``NebulaEvent``: topics are ``(stream id, action)``, the data a map of
action, version 2, time and a positional list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from stellarstream_core.xdr.scval import ErrorCode, ErrorType
from stellarstream_sandbox.economy.bank import Bank, transfer_call
from stellarstream_sandbox.economy.calls import Event, Invocation, Outcome, Refused, UnknownCall
from stellarstream_sandbox.economy.shelf import Shelf
from stellarstream_sandbox.economy.stream_v2 import Fault, RateProposal, Stream, StreamArgs
from stellarstream_sandbox.economy.streams_v1 import NotMigratable, StreamsV1
from stellarstream_sandbox.economy.unlocking import i128, quotient, u64
from stellarstream_sandbox.economy.vault import Vault
from stellarstream_sandbox.values import I128, U32, U64, VOID, Address, Symbol, Value, Vec, option, record, vec

FEE_BPS = 25
"""The protocol's fee in hundredths of a percent, kept back when a stream is created."""

MAX_BATCH = 10
"""The most streams that one call creates."""

KEPT_CLOSED = 10_000
"""How many ended streams it remembers; on a network their entries stay until they are archived."""

_BPS = 10_000


@dataclass
class StreamsV2Core:
    """The contract's state and its main functions.

    ``open`` holds the streams that still have something to pay, ``fees`` what it kept back. ``unowed`` is what
    it holds of a token and owes to nobody: interest of cancelled streams, cents of a rebalancing, what a
    refilled stream had not paid of its old cycle. Nothing on chain tells that number.
    """

    contract: str
    bank: Bank
    treasury: str
    streams: Shelf[Stream] = field(default_factory=lambda: Shelf(KEPT_CLOSED))
    fees: dict[str, int] = field(default_factory=dict)
    next_id: int = 0
    admin: str = ""
    vaults: dict[str, Vault] = field(default_factory=dict)
    is_paused: bool = False
    rates: dict[int, RateProposal] = field(default_factory=dict)
    migrated: set[int] = field(default_factory=set)
    nonces: dict[tuple[str, int], int] = field(default_factory=dict)
    unowed: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> dict[int, Stream]:
        """The streams that still have something to pay."""
        return self.streams.open

    def copy(self, bank: Bank, vaults: dict[str, Vault]) -> Self:
        """Return the same contract on another bank and its vaults, to be changed apart from this one."""
        return replace(
            self,
            bank=bank,
            vaults=vaults,
            streams=self.streams.copy(),
            fees=dict(self.fees),
            rates=dict(self.rates),
            migrated=set(self.migrated),
            nonces=dict(self.nonces),
            unowed=dict(self.unowed),
        )

    # --- opening --------------------------------------------------------------------------

    def create_stream(self, now: int, args: StreamArgs) -> Outcome:
        """Take the gross amount from the sender and open a stream with the net one; return its id."""
        self.require_not_paused()
        self._check(args)
        if args.penalty_bps > _BPS:
            raise self.refused(Fault.INVALID_PENALTY)
        self._check_amount(args)
        events = [self.bank.transfer(args.token, args.sender, self.contract, args.total)]
        vault = self._vault(args.vault) if args.yield_enabled and args.vault is not None else None
        stream = self._new(args, vault, yield_enabled=args.yield_enabled)
        if vault is not None:
            events.append(vault.deposit(now, self.contract, stream.total)[1])
        memo = option(None if args.memo is None else Symbol(args.memo))
        events.append(self._created(now, stream, memo))
        if args.memo is not None:
            items = (
                U64(stream.id),
                Address(stream.sender),
                Address(stream.receiver),
                I128(stream.total),
                memo,
                U64(now),
            )
            events.append(self.stream_event(now, stream.id, "split_exec", *items))
        pulls = (transfer_call(args.token, args.sender, self.contract, args.total),)
        return Outcome(U64(stream.id), tuple(events), pulls)

    def create_batch_streams(self, now: int, batch: Sequence[StreamArgs]) -> Outcome:
        """Take the sum of the amounts once and open all the streams; return their ids.

        All have one sender, and all is taken in the first one's token. The events are one transfer, a
        ``create_v2`` of nine items each, and ``btch_crt``, which has no ids. Vaults are passed over.
        """
        self.require_not_paused()
        if len(batch) > MAX_BATCH:
            raise self.refused(Fault.BATCH_TOO_LARGE)
        if not batch:
            raise self.refused(Fault.INVALID_TIME_RANGE)
        sender, token = batch[0].sender, batch[0].token
        for args in batch:
            if args.sender != sender:
                raise self.refused(Fault.UNAUTHORIZED_SENDER)
            self._check(args)
            self._check_amount(args)
        gross = sum(args.total for args in batch)
        if gross != i128(gross):
            raise self.refused(Fault.INVALID_TIME_RANGE)
        events = [self.bank.transfer(token, sender, self.contract, gross)]
        streams = [self._new(args, None) for args in batch]
        events.extend(self._created(now, stream) for stream in streams)
        net = sum(stream.total for stream in streams)
        items = (Address(sender), U32(len(streams)), I128(net), U64(now))
        events.append(self.event((Symbol("btch_crt"), Address(sender)), now, "btch_crt", items))
        ids = Vec(tuple(U64(stream.id) for stream in streams))
        return Outcome(ids, tuple(events), (transfer_call(token, sender, self.contract, gross),))

    def migrate_stream(self, now: int, v1: StreamsV1 | None, v1_stream_id: int, caller: str) -> Outcome:
        """Take a V1 stream over: its rest runs on here from now to its old end; return the new id.

        ``v1`` None stands for an address that is no such contract.
        """
        self.require_not_paused()
        if v1_stream_id in self.migrated:
            raise self.refused(Fault.ALREADY_MIGRATED)
        if v1 is None:
            raise self.refused(Fault.NOT_STREAM_OWNER)
        try:
            old, remaining, events = v1.release(now, v1_stream_id, caller, self.contract)
        except NotMigratable as reason:
            fault = Fault.NOTHING_TO_MIGRATE if reason.is_empty else Fault.STREAM_NOT_MIGRATABLE
            raise self.refused(Fault.NOT_STREAM_OWNER if reason.is_foreign else fault) from None
        stream = self.streams.put(
            Stream(
                self.next_id,
                old.sender,
                caller,
                caller,
                old.token,
                remaining,
                start=now,
                cliff=now,
                end=old.end,
                is_migrated=True,
                v1_stream_id=v1_stream_id,
            )
        )
        self.next_id += 1
        items = (U64(stream.id), U64(v1_stream_id), Address(caller), I128(remaining), U64(now))
        migrated = self.stream_event(now, stream.id, "migrated", *items)
        pulls = (Invocation(v1.contract, "cancel", (U64(v1_stream_id), Address(caller))),)
        return Outcome(U64(stream.id), (*events, migrated), pulls)

    # --- paying ---------------------------------------------------------------------------

    def withdraw(self, now: int, stream_id: int, beneficiary: str) -> Outcome:
        """Pay out everything unlocked; return the amount.

        The split address gets its part out of it. Where the vault does not give the money back, the stream is
        marked as pending, nothing is published, and the amount is 0.
        """
        self.require_not_paused()
        stream = self.stream(stream_id)
        if beneficiary != stream.beneficiary:
            raise self.refused(Fault.NOT_BENEFICIARY)
        if stream.is_cancelled:
            raise self.refused(Fault.ALREADY_CANCELLED)
        amount = i128(stream.unlocked(now) - stream.withdrawn)
        if amount <= 0:
            raise self.refused(Fault.NOTHING_TO_WITHDRAW)
        events: list[Event] = []
        if stream.vault is not None:
            paid = self.from_vault(now, stream.vault, amount)
            if paid is None:
                self.streams.put(replace(stream, is_pending=True))
                return Outcome(I128(0))
            events += [paid, *self._interest(now, stream, amount)]
        self.bank.check(stream.token, self.contract, amount)
        events += self._split(now, stream, amount)
        stream = self.streams.put(replace(stream, withdrawn=stream.withdrawn + amount, is_pending=False))
        items = (U64(stream.id), Address(beneficiary), I128(amount), I128(stream.withdrawn), U64(now))
        return Outcome(I128(amount), (*events, self.stream_event(now, stream.id, "claim", *items)))

    def cancel(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Pay the beneficiary what is unlocked and the sender the rest, less the penalty a sender pays.

        Where both have to agree, ``caller`` may be anyone: sender and receiver authorise it.
        """
        self.require_not_paused()
        stream = self.stream(stream_id)
        if stream.is_cancelled:
            raise self.refused(Fault.ALREADY_CANCELLED)
        if stream.cancellation_type != 1 and caller not in {stream.sender, stream.beneficiary}:
            raise self.refused(Fault.NOT_STREAM_OWNER)
        unlocked = stream.unlocked(now)
        rest = stream.total - unlocked
        penalty = quotient(i128(rest * stream.penalty_bps), _BPS) if caller == stream.sender else 0
        to_receiver, to_sender = unlocked - stream.withdrawn + penalty, rest - penalty
        events = []
        if stream.yield_enabled and stream.vault is not None:
            paid = self.from_vault(now, stream.vault, to_receiver + to_sender)
            if paid is None:
                raise self.refused(Fault.VAULT_PAUSED)
            events.append(paid)
            self.set_aside(stream.token, self._vault(stream.vault).get_accrued_interest(now, to_receiver + to_sender))
        self.bank.check(stream.token, self.contract, max(to_receiver, 0) + max(to_sender, 0))
        if to_receiver > 0:
            events.append(self.bank.transfer(stream.token, self.contract, stream.beneficiary, to_receiver))
        if to_sender > 0:
            events.append(self.bank.transfer(stream.token, self.contract, stream.sender, to_sender))
        self.streams.put(replace(stream, withdrawn=unlocked, is_cancelled=True))
        items = (U64(stream.id), Address(caller), I128(to_receiver), I128(to_sender), U64(now))
        events.append(self.stream_event(now, stream.id, "cancel", *items))
        return Outcome(VOID, tuple(events))

    def top_up(self, now: int, stream_id: int, sender: str, extra: int) -> Outcome:
        """Add to a stream: what is not unlocked yet and the extra amount run on from now at the old rate."""
        self.require_not_paused()
        if extra <= 0:
            raise self.refused(Fault.BELOW_DUST_THRESHOLD)
        stream = self.stream(stream_id)
        if sender != stream.sender:
            raise self.refused(Fault.NOT_STREAM_OWNER)
        if stream.is_cancelled:
            raise self.refused(Fault.ALREADY_CANCELLED)
        remaining = i128(stream.total - stream.unlocked(now) + extra)
        self.bank.check(stream.token, sender, extra)
        seconds = quotient(i128(remaining * u64(stream.end - stream.start)), stream.total)
        taken = self.bank.transfer(stream.token, sender, self.contract, extra)
        stream = self.streams.put(replace(stream, total=i128(stream.total + extra), end=u64(now + seconds)))
        items = (
            U64(stream.id),
            Address(sender),
            I128(extra),
            I128(stream.total),
            U64(stream.end),
            U64(now),
        )
        pulls = (transfer_call(stream.token, sender, self.contract, extra),)
        return Outcome(VOID, (taken, self.stream_event(now, stream.id, "top_up", *items)), pulls)

    def transfer_beneficiary(self, now: int, stream_id: int, new_beneficiary: str) -> Outcome:
        """Hand the claim to another address, even of a cancelled stream. The receiver stays the same."""
        self.require_not_paused()
        stream = self.stream(stream_id)
        self.streams.put(replace(stream, beneficiary=new_beneficiary))
        items = (U64(stream.id), Address(stream.beneficiary), Address(new_beneficiary), U64(now))
        return Outcome(VOID, (self.stream_event(now, stream.id, "benefic", *items),))

    def withdraw_treasury(self, now: int, token: str) -> Outcome:
        """Pay the fees of a token to the treasury; return the amount. The admin authorises it."""
        amount = self.fees.get(token, 0)
        if amount <= 0:
            raise self.refused(Fault.NOTHING_TO_WITHDRAW)
        paid = self.bank.transfer(token, self.contract, self.treasury, amount)
        self.fees[token] = 0
        items = (Address(self.treasury), Address(token), I128(amount), U64(now))
        topics = (Symbol("fee_out"), Address(self.treasury))
        return Outcome(I128(amount), (paid, self.event(topics, now, "fee_out", items)))

    # --- what the functions share ---------------------------------------------------------

    def stream(self, stream_id: int) -> Stream:
        """Return a stream; raise :class:`Refused` where there is none, or it was archived."""
        stream = self.streams.get(stream_id)
        if stream is None:
            raise self.refused(Fault.STREAM_NOT_FOUND)
        return stream

    def refused(self, fault: Fault) -> Refused:
        """Return the error by which this contract turns a call down."""
        return Refused(fault, contract=self.contract)

    def require_not_paused(self) -> None:
        """Raise :class:`Refused` while the contract is paused."""
        if self.is_paused:
            raise self.refused(Fault.CONTRACT_PAUSED)

    def from_vault(self, now: int, vault: str, amount: int) -> Event | None:
        """Take principal out of a vault; return the token's event, None where the vault refuses."""
        try:
            return self._vault(vault).withdraw(now, self.contract, amount)
        except Refused:
            return None

    def set_aside(self, token: str, amount: int) -> None:
        """Note what the contract holds from now on without owing it."""
        self.unowed[token] = self.unowed.get(token, 0) + amount

    def stream_event(self, now: int, stream_id: int, action: str, *items: Value) -> Event:
        """Return a stream's ``NebulaEvent``."""
        return self.event((U64(stream_id), Symbol(action)), now, action, items)

    def event(self, topics: tuple[Value, ...], now: int, action: str, items: tuple[Value, ...]) -> Event:
        """Return a ``NebulaEvent`` under other topics."""
        data = record(action=Symbol(action), data=vec(*items), timestamp=U64(now), version=U32(2))
        return Event(self.contract, topics, data)

    def _vault(self, contract: str) -> Vault:
        vault = self.vaults.get(contract)
        if vault is None:
            raise UnknownCall(ErrorType.STORAGE, ErrorCode.MISSING_VALUE, "no such contract", contract=contract)
        return vault

    def _interest(self, now: int, stream: Stream, amount: int) -> list[Event]:
        interest = self._vault(stream.vault or "").get_accrued_interest(now, amount)
        if interest <= 0:
            return []
        recipient = {0: stream.sender, 2: self.treasury}.get(stream.yield_recipient, stream.beneficiary)
        return [self.bank.transfer(stream.token, self.contract, recipient, interest)]

    def _split(self, now: int, stream: Stream, amount: int) -> list[Event]:
        """Pay the split address its part and the beneficiary the rest; return the events."""
        events = []
        rest = amount
        if stream.split_bps > 0 and stream.split_address is not None:
            numerator = i128(amount * stream.split_bps)
            part = quotient(numerator, _BPS)
            dust = numerator - part * _BPS
            rest = amount - part
            if part > 0:
                events.append(self.bank.transfer(stream.token, self.contract, stream.split_address, part))
            if dust > 0:
                data = record(
                    dust_amount=I128(dust),
                    split_address=Address(stream.split_address),
                    split_amount=I128(part),
                    split_bps=U32(stream.split_bps),
                    stream_id=U64(stream.id),
                    timestamp=U64(now),
                    to_withdraw=I128(amount),
                    token=Address(stream.token),
                )
                events.append(Event(self.contract, (U64(stream.id), Symbol("dust")), data))
        events.append(self.bank.transfer(stream.token, self.contract, stream.beneficiary, rest))
        return events

    def _check(self, args: StreamArgs) -> None:
        if args.token not in self.bank.tokens:
            raise self.refused(Fault.ASSET_NOT_WHITELISTED)
        if args.start >= args.end or not args.start <= args.cliff <= args.end:
            raise self.refused(Fault.INVALID_TIME_RANGE)

    def _check_amount(self, args: StreamArgs) -> None:
        if args.total <= 0:
            raise self.refused(Fault.BELOW_DUST_THRESHOLD)

    def _new(self, args: StreamArgs, vault: Vault | None, *, yield_enabled: bool = False) -> Stream:
        fee = quotient(i128(args.total * FEE_BPS), _BPS)
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
            step_duration=args.step_duration,
            multiplier_bps=args.multiplier_bps,
            vault=None if vault is None else vault.contract,
            yield_enabled=yield_enabled,
            yield_recipient=args.yield_recipient,
            is_recurrent=args.is_recurrent,
            cycle_duration=args.cycle_duration,
            cancellation_type=args.cancellation_type,
            split_address=args.split_address,
            split_bps=args.split_bps,
        )
        self.next_id += 1
        return self.streams.put(stream)

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
        return self.stream_event(now, stream.id, "create_v2", *items)
