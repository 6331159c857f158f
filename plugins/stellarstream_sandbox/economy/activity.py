"""Who does what in a ledger: choices drawn from the seed, on the state as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from stellarstream_sandbox.contract_interfaces import COUNTER, STREAMS_V1
from stellarstream_sandbox.dice import Dice
from stellarstream_sandbox.economy.bank import Token
from stellarstream_sandbox.economy.calls import Event, Invocation, Outcome, Refused
from stellarstream_sandbox.economy.ours import Ours
from stellarstream_sandbox.economy.rarities import MOST_OPEN, Rarities
from stellarstream_sandbox.economy.streams_v1 import Curve, StreamsV1
from stellarstream_sandbox.economy.streams_v1 import Stream as StreamV1
from stellarstream_sandbox.economy.streams_v2 import MAX_BATCH, StreamArgs
from stellarstream_sandbox.economy.streams_v2 import Stream as StreamV2
from stellarstream_sandbox.economy.world import UNIT, World
from stellarstream_sandbox.values import I128, U32, U64, VOID, Address, Bool, Bytes, Symbol, Text, Value, Vec

MAX_OPEN = MOST_OPEN
"""How many streams a contract has open at most, so that a sandbox can run for weeks."""

_DURATIONS = (60, 120, 180, 300, 300, 300, 600, 600, 900, 900, 1200, 1800, 1800, 3600, 3600, 7200, 86_400, 30 * 86_400)
_MEMOS = (b"rent", b"invoice 2026-07", b"thanks!", "café".encode())
_FEE_BUMPS = 0.1
"""How many transactions have someone else pay their fee."""
_STRANGERS = 0.06
"""How many withdrawals are tried by someone whom the stream does not pay."""
QUIET_EVERY = 41
"""Every so many ledgers nobody does anything."""
PAYROLL_EVERY = 33
"""Every so many ledgers somebody pays several others in one transaction; every other time the money runs out."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A classic payment. ``sponsor`` pays the fee with a fee-bump transaction around it.

    ``also`` are further targets and amounts of the same token, each an operation of its own.
    """

    source: str
    target: str
    token: Token
    amount: int
    memo: bytes | None = None
    sponsor: str | None = None
    also: tuple[tuple[str, int], ...] = ()

    @property
    def transfers(self) -> tuple[tuple[str, int], ...]:
        """Target and amount of each operation."""
        return ((self.target, self.amount), *self.also)

    @property
    def operations(self) -> int:
        """How many operations the transaction has."""
        return 1 + len(self.also)


@dataclass(frozen=True, slots=True)
class Call:
    """A contract call: the invocation as it is signed, and what it does when its turn comes.

    ``authorised`` tells whether the contract asks for the source's authorisation.
    """

    source: str
    invocation: Invocation
    run: Callable[[int], Outcome]
    authorised: bool = True
    sponsor: str | None = None

    @property
    def operations(self) -> int:
        """How many operations the transaction has: a contract call is always alone."""
        return 1


Intent = Payment | Call


class Activity:
    """Draws the transactions of each ledger."""

    def __init__(self, world: World, seed: int, transactions: int, burst_every: int, burst_events: int) -> None:
        self.world = world
        self._seed = seed
        self._transactions = transactions
        self._burst_every = burst_every
        self._burst_events = burst_events
        self._ours = Ours()
        self._rarities = Rarities(world, seed, self._ours)
        self._classic: dict[Callable[[Dice], Payment], float] = {
            self._native_payment: 10,
            self._asset_payment: 8,
            self._issuance: 2,
            self._overdraft: 2,
        }
        self._soroban: dict[Callable[[Dice, int], Call | None], float] = {
            self._v2_withdraw: 12,
            self._v2_create: 9,
            self._v2_top_up: 3,
            self._v2_cancel: 1.5,
            self._v2_batch: 1.5,
            self._v2_beneficiary: 1.5,
            self._v2_fees: 0.5,
            self._migrate: 2,
            self._v1_withdraw: 9,
            self._v1_create: 7,
            self._v1_pause: 2,
            self._v1_resume: 3,
            self._v1_top_up: 2.5,
            self._v1_cancel: 1.5,
            self._token_transfer: 5,
            self._count: 4,
            self._count_and_fail: 1.5,
            self._show_oddity: 2,
            self._note: 1,
            self._upgrade: 0.3,
        }

    def intents(self, sequence: int, now: int) -> list[Intent]:
        """Return a ledger's transactions in apply order: classic ones first, as the protocol has it."""
        bursts = self._burst_every and sequence % self._burst_every == 0
        if sequence % QUIET_EVERY == 0 and not bursts:
            return []
        dice = Dice(f"{self._seed}/{sequence}")
        classic: list[Intent] = []
        soroban: list[Intent] = []
        count = dice.between(1, 2 * self._transactions - 1) if self._transactions else 0
        for _ in range(count):
            if dice.chance(0.35):
                classic.append(self._sponsored(dice, dice.weighted(self._classic)(dice)))
            else:
                soroban.append(self._sponsored(dice, self._some_call(dice, now)))
        if self._transactions:
            if sequence % PAYROLL_EVERY == 0:
                classic.append(self._payroll(sequence))
            rare = self._rarities.calls(sequence, now)
            soroban += [Call(one.source, one.invocation, one.run, one.authorised) for one in rare]
        if bursts:
            soroban.append(self.burst(dice, self._burst_events))
        return classic + soroban

    def _some_call(self, dice: Dice, now: int) -> Call:
        for _ in range(4):
            call = dice.weighted(self._soroban)(dice, now)
            if call is not None:
                return call
        return self._count(dice, now)

    def burst(self, dice: Dice, events: int) -> Call:
        """Return one transaction with this many events of the airdrop contract."""
        airdrop, token = self.world.airdrop, self.world.nova.contract
        source, amount = dice.pick(self.world.users), dice.between(1, 100)
        args = (Address(source), Address(token), I128(amount), U32(events))
        return Call(
            source,
            Invocation(airdrop.contract, "distribute", args),
            lambda _now: airdrop.distribute(source, token, amount, events),
        )

    def _sponsored(self, dice: Dice, intent: Intent) -> Intent:
        if not dice.chance(_FEE_BUMPS):
            return intent
        if isinstance(intent, Payment):
            return replace(intent, sponsor=self.world.sponsor)
        return Call(intent.source, intent.invocation, intent.run, intent.authorised, self.world.sponsor)

    # --- classic payments -----------------------------------------------------------------

    def _native_payment(self, dice: Dice) -> Payment:
        source, target = self._two(dice)
        memo = dice.pick(_MEMOS) if dice.chance(0.2) else None
        return Payment(source, target, self.world.native, dice.between(1, 500 * UNIT), memo)

    def _asset_payment(self, dice: Dice) -> Payment:
        source, target = self._two(dice)
        if dice.chance(0.1):
            target = self.world.issuer
        return Payment(source, target, self.world.usdc, self._some(dice, self.world.usdc, source))

    def _issuance(self, dice: Dice) -> Payment:
        amount = dice.between(1, 2000) * UNIT
        return Payment(self.world.issuer, dice.pick(self.world.users), self.world.usdc, amount)

    def _overdraft(self, dice: Dice) -> Payment:
        source, target = self._two(dice)
        return Payment(source, target, self.world.usdc, self.world.bank.balance(self.world.usdc.contract, source) * 9)

    def _payroll(self, sequence: int) -> Payment:
        dice = Dice(f"{self._seed}/{sequence}/payroll")  # the ledger's other choices stay what they are without it
        employer, _ = self._two(dice)
        token = dice.pick((self.world.native, self.world.usdc))
        wages = [(user, dice.between(1, 900 * UNIT)) for user in self.world.users if user != employer]
        if sequence // PAYROLL_EVERY % 2 == 0:
            last, _ = wages.pop()
            wages.append((last, self.world.bank.balance(token.contract, employer)))
        (target, amount), *rest = wages
        return Payment(employer, target, token, amount, also=tuple(rest))

    # --- the second contract --------------------------------------------------------------

    def _v2_create(self, dice: Dice, now: int) -> Call | None:
        v2 = self.world.v2
        if len(self._ours.v2(v2)) >= MAX_OPEN:
            return None
        sender, receiver = self._two(dice)
        memo = f"INV{dice.between(1, 99999):05d}" if dice.chance(0.3) else None
        penalty = dice.pick((0, 0, 0, 250, 1000))
        args = self._stream_args(dice, now, sender, receiver, dice.pick(self.world.tokens), penalty, memo)
        run = self._ours.opening(v2, lambda at: v2.create_stream(at, args))
        return self._call(sender, v2.contract, "create_stream", (args.value(),), run)

    def _v2_batch(self, dice: Dice, now: int) -> Call | None:
        v2 = self.world.v2
        if len(self._ours.v2(v2)) >= MAX_OPEN:
            return None
        count = dice.between(2, MAX_BATCH)
        sender, _ = self._two(dice)
        token = dice.pick(self.world.tokens)
        others = [user for user in self.world.users if user != sender]
        batch = [self._stream_args(dice, now, sender, dice.pick(others), token) for _ in range(count)]
        args = (Vec(tuple(one.value() for one in batch)),)
        run = self._ours.opening(v2, lambda at: v2.create_batch_streams(at, batch))
        return self._call(sender, v2.contract, "create_batch_streams", args, run)

    def _v2_withdraw(self, dice: Dice, now: int) -> Call | None:
        v2 = self.world.v2
        stream = self._v2_stream(dice, lambda s: s.unlocked(now) > s.withdrawn)
        if stream is None:
            return None
        caller = dice.pick(self.world.users) if dice.chance(_STRANGERS) else stream.beneficiary
        args = (U64(stream.id), Address(caller))
        return self._call(caller, v2.contract, "withdraw", args, lambda at: v2.withdraw(at, stream.id, caller))

    def _v2_cancel(self, dice: Dice, now: int) -> Call | None:
        v2 = self.world.v2
        # One that both must agree to needs two signatures; one that has paid too much takes from the others.
        stream = self._v2_stream(dice, lambda s: s.cancellation_type == 0 and s.unlocked(now) >= s.withdrawn)
        if stream is None:
            return None
        caller = dice.pick((stream.sender, stream.sender, stream.beneficiary))
        args = (U64(stream.id), Address(caller))
        return self._call(caller, v2.contract, "cancel", args, lambda at: v2.cancel(at, stream.id, caller))

    def _v2_top_up(self, dice: Dice, now: int) -> Call | None:
        v2 = self.world.v2
        # Topping up before the start or after the end rewrites what was unlocked, a vault does not get it, and
        # steps that do not divide the time unlock more than there is.
        stream = self._v2_stream(dice, lambda s: s.start <= now < s.end and s.vault is None and s.step_duration == 0)
        if stream is None:
            return None
        extra = max(stream.total // dice.between(2, 10), 1)
        args = (U64(stream.id), Address(stream.sender), I128(extra))
        return self._call(
            stream.sender, v2.contract, "top_up", args, lambda at: v2.top_up(at, stream.id, stream.sender, extra)
        )

    def _v2_beneficiary(self, dice: Dice, _now: int) -> Call | None:
        v2 = self.world.v2
        stream = self._v2_stream(dice)
        if stream is None:
            return None
        heir = dice.pick([user for user in self.world.users if user != stream.beneficiary])
        args = (U64(stream.id), Address(heir))
        return self._call(
            stream.beneficiary,
            v2.contract,
            "transfer_beneficiary",
            args,
            lambda at: v2.transfer_beneficiary(at, stream.id, heir),
        )

    def _v2_fees(self, dice: Dice, _now: int) -> Call | None:
        v2 = self.world.v2
        token = dice.pick(self.world.tokens).contract
        if not v2.fees.get(token):
            return None
        args = (Address(token),)
        return self._call(
            self.world.admin, v2.contract, "withdraw_treasury", args, lambda at: v2.withdraw_treasury(at, token)
        )

    def _migrate(self, dice: Dice, now: int) -> Call | None:
        v1, v2 = self.world.v1, self.world.v2
        stream = self._v1_stream(
            dice,
            v1,
            lambda s: (
                s.paused_at is None
                and s.curve is Curve.LINEAR
                and s.cliff + s.paused_before <= now < s.end
                and s.unlocked(now) >= s.withdrawn
            ),
        )
        if stream is None or len(self._ours.v2(v2)) >= MAX_OPEN:
            return None
        args = (Address(v1.contract), U64(stream.id), Address(stream.receiver))
        return self._call(
            stream.receiver,
            v2.contract,
            "migrate_stream",
            args,
            self._ours.opening(v2, lambda at: v2.migrate_stream(at, v1, stream.id, stream.receiver)),
        )

    # --- the first contract, both generations ---------------------------------------------

    def _v1_create(self, dice: Dice, now: int) -> Call | None:
        v1 = self._v1(dice)
        if len(self._ours.v1(v1)) >= MAX_OPEN:
            return None
        sender, receiver = self._two(dice)
        token = dice.pick(self.world.tokens)
        start, cliff, end = self._times(dice, now)
        total = max(self._some(dice, token, sender), end - start)
        curve = Curve.EXPONENTIAL if dice.chance(0.2) else Curve.LINEAR
        is_soulbound = dice.chance(0.1)
        args = (
            Address(sender),
            Address(receiver),
            Address(token.contract),
            I128(total),
            U64(start),
            U64(cliff),
            U64(end),
            U32(curve),
            Bool(is_soulbound),
        )
        return self._call(
            sender,
            v1.contract,
            "create_stream",
            args,
            self._ours.opening(
                v1,
                lambda at: v1.create_stream(
                    at, sender, receiver, token.contract, total, start, cliff, end, curve, is_soulbound
                ),
            ),
        )

    def _v1_withdraw(self, dice: Dice, now: int) -> Call | None:
        v1 = self._v1(dice)
        stream = self._v1_stream(dice, v1, lambda s: s.paused_at is None and s.unlocked(now) > s.withdrawn)
        if stream is None:
            return None
        caller = dice.pick(self.world.users) if dice.chance(_STRANGERS) else stream.receiver
        args = (U64(stream.id), Address(caller))
        return self._call(caller, v1.contract, "withdraw", args, lambda at: v1.withdraw(at, stream.id, caller))

    def _v1_cancel(self, dice: Dice, now: int) -> Call | None:
        v1 = self._v1(dice)
        stream = self._v1_stream(dice, v1, lambda s: s.unlocked(now) >= s.withdrawn)
        if stream is None:
            return None
        caller = dice.pick((stream.sender, stream.sender, stream.receiver))
        args = (U64(stream.id), Address(caller))
        return self._call(caller, v1.contract, "cancel", args, lambda at: v1.cancel(at, stream.id, caller))

    def _v1_pause(self, dice: Dice, now: int) -> Call | None:
        v1 = self._v1(dice)
        stream = self._v1_stream(dice, v1, lambda s: s.paused_at is None and s.start < now < s.end)
        if stream is None:
            return None
        args = (U64(stream.id), Address(stream.sender))
        return self._call(
            stream.sender, v1.contract, "pause_stream", args, lambda at: v1.pause_stream(at, stream.id, stream.sender)
        )

    def _v1_resume(self, dice: Dice, _now: int) -> Call | None:
        v1 = self._v1(dice)
        stream = self._v1_stream(dice, v1, lambda s: s.paused_at is not None)
        if stream is None:
            return None
        args = (U64(stream.id), Address(stream.sender))
        return self._call(
            stream.sender,
            v1.contract,
            "resume_stream",
            args,
            lambda at: v1.resume_stream(at, stream.id, stream.sender),
        )

    def _v1_top_up(self, dice: Dice, now: int) -> Call | None:
        v1 = self._v1(dice)
        stream = self._v1_stream(dice, v1, lambda s: now < s.end)
        if stream is None:
            return None
        amount = max(stream.total // dice.between(2, 10), 1)
        args = (U64(stream.id), Address(stream.sender), I128(amount))
        return self._call(
            stream.sender,
            v1.contract,
            "top_up_stream",
            args,
            lambda at: v1.top_up_stream(at, stream.id, stream.sender, amount),
        )

    # --- everything else ------------------------------------------------------------------

    def _token_transfer(self, dice: Dice, _now: int) -> Call:
        source, target = self._two(dice)
        token = dice.pick((self.world.nova, self.world.nova, self.world.usdc, self.world.native))
        amount = self._some(dice, token, source)
        args = (Address(source), Address(target), I128(amount))
        return self._call(
            source,
            token.contract,
            "transfer",
            args,
            lambda _at: Outcome(VOID, (self.world.bank.transfer(token.contract, source, target, amount),)),
        )

    def _count(self, dice: Dice, _now: int) -> Call:
        counter = self.world.counter
        invocation = Invocation(counter.contract, "increment", ())
        return Call(dice.pick(self.world.users), invocation, lambda _at: counter.increment(), authorised=False)

    def _count_and_fail(self, dice: Dice, _now: int) -> Call:
        counter = self.world.counter
        invocation = Invocation(counter.contract, "increment_checked", (U32(0),))

        def run(_now: int) -> Outcome:
            raise Refused(1, (Event(counter.contract, (Symbol("COUNTER"), Symbol("increment")), U32(1)),))

        return Call(dice.pick(self.world.users), invocation, run, authorised=False)

    def _show_oddity(self, dice: Dice, _now: int) -> Call:
        oddities, visitor = self.world.oddities, dice.pick(self.world.users)
        number = dice.below(1000)
        account = self.world.directory.keys_of(visitor).public
        invocation = Invocation(oddities.contract, "show", (U32(number), Address(visitor)))
        return Call(visitor, invocation, lambda _at: oddities.show(number, account, visitor), authorised=False)

    def _note(self, dice: Dice, _now: int) -> Call:
        silent, text = self.world.silent, dice.pick(_MEMOS)
        invocation = Invocation(silent.contract, "note", (Text(text),))
        return Call(dice.pick(self.world.users), invocation, lambda _at: silent.note(text), authorised=False)

    def _upgrade(self, dice: Dice, _now: int) -> Call:
        release, admin = dice.raw(32), self.world.admin
        if dice.chance(0.5):
            v1 = self.world.v1
            wasm = self.world.install(STREAMS_V1, release)
            args: tuple[Value, ...] = (Address(admin), Bytes(wasm))
            return self._call(admin, v1.contract, "upgrade", args, lambda _at: v1.upgrade(admin, wasm))
        counter, wasm = self.world.counter, self.world.install(COUNTER, release)
        return self._call(admin, counter.contract, "upgrade", (Bytes(wasm),), lambda _at: counter.upgrade(wasm))

    # --- choices --------------------------------------------------------------------------

    def _call(
        self, source: str, contract: str, function: str, args: tuple[Value, ...], run: Callable[[int], Outcome]
    ) -> Call:
        return Call(source, Invocation(contract, function, args), run)

    def _two(self, dice: Dice) -> tuple[str, str]:
        users = self.world.users
        first = dice.below(len(users))
        return users[first], users[(first + dice.between(1, len(users) - 1)) % len(users)]

    def _some(self, dice: Dice, token: Token, holder: str) -> int:
        """Return an amount that the holder can spare: up to a fortieth of what it has, at most 5,000 tokens."""
        most = min(self.world.bank.balance(token.contract, holder) // 40, 5000 * UNIT)
        return dice.between(1, max(most, 1))

    def _times(self, dice: Dice, now: int) -> tuple[int, int, int]:
        duration = dice.pick(_DURATIONS)
        start = now + (0 if dice.chance(0.7) else dice.between(1, 60))
        cliff = start + (duration // 4 if dice.chance(0.25) else 0)
        return start, cliff, start + duration

    def _stream_args(
        self,
        dice: Dice,
        now: int,
        sender: str,
        receiver: str,
        token: Token,
        penalty_bps: int = 0,
        memo: str | None = None,
    ) -> StreamArgs:
        start, cliff, end = self._times(dice, now)
        total = max(self._some(dice, token, sender), 10_000)
        return StreamArgs(sender, receiver, token.contract, total, start, cliff, end, penalty_bps, memo)

    def _v1(self, dice: Dice) -> StreamsV1:
        return self.world.v1_older if dice.chance(0.25) else self.world.v1

    def _v1_stream(
        self, dice: Dice, contract: StreamsV1, fits: Callable[[StreamV1], bool] = lambda _stream: True
    ) -> StreamV1 | None:
        streams = [stream for stream in self._ours.v1(contract) if fits(stream)]
        return dice.pick(streams) if streams else None

    def _v2_stream(self, dice: Dice, fits: Callable[[StreamV2], bool] = lambda _stream: True) -> StreamV2 | None:
        streams = [stream for stream in self._ours.v2(self.world.v2) if fits(stream)]
        return dice.pick(streams) if streams else None
