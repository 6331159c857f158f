"""What happens now and then: steps, vaults, splits, refills, other rates, proposals, clawbacks, pauses.

All of it is drawn apart from the other activity, so that what else a ledger does is decided without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from stellarstream_sandbox.dice import Dice
from stellarstream_sandbox.economy.calls import Invocation, Outcome
from stellarstream_sandbox.economy.dispatch import call, withdraw_meta_message
from stellarstream_sandbox.economy.ours import Ours, Run
from stellarstream_sandbox.economy.streams_v1 import Proposal
from stellarstream_sandbox.economy.streams_v2 import Stream, StreamArgs
from stellarstream_sandbox.economy.world import UNIT, World
from stellarstream_sandbox.scval import encode
from stellarstream_sandbox.values import I128, U32, U64, Address, Bool, Bytes, Value, option

OFTEN = 0.6
"""How many ledgers have one of the rarer calls."""
CLAWBACK_EVERY = 211
"""Every so many ledgers the issuer claws a little back from the second contract, and it is rebalanced."""
PAUSE_EVERY = 173
"""Every so many ledgers the second contract is paused for one ledger."""
VAULT_CLOSED = (60, 64)
"""Of every hundred ledgers those between which the vaults give nothing back, so that withdrawals stay pending."""
MOST_OPEN = 48

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Rarity:
    """A call as it is signed, and what it does when its turn comes."""

    source: str
    invocation: Invocation
    run: Run
    authorised: bool = True


class Rarities:
    """Draws the rarer calls of each ledger."""

    def __init__(self, world: World, seed: int, ours: Ours) -> None:
        self.world = world
        self._seed = seed
        self._ours = ours
        self._has_paused = False
        self._closed_vault: str | None = None
        self._choices: dict[Callable[[Dice, int], Rarity | None], float] = {
            self._stepped: 3,
            self._with_vault: 3,
            self._recurrent: 2,
            self._mutual: 0.7,
            self._with_split: 1.5,
            self._split: 2,
            self._refill: 4,
            self._propose_rate: 2,
            self._answer_rate: 4,
            self._archive: 2,
            self._withdraw_meta: 1.5,
            self._propose: 1.5,
            self._approve: 4,
        }

    def calls(self, sequence: int, now: int) -> list[Rarity]:
        """Return a ledger's rarer calls."""
        dice = Dice(f"{self._seed}/{sequence}/rare")
        calls = self._scheduled(sequence, dice)
        if dice.chance(OFTEN):
            for _ in range(4):
                one = dice.weighted(self._choices)(dice, now)
                if one is not None:
                    return [*calls, one]
        return calls

    # --- what comes at its time ---------------------------------------------------------------

    def _scheduled(self, sequence: int, dice: Dice) -> list[Rarity]:
        world = self.world
        admin, v2, usdc = world.admin, world.v2.contract, world.usdc.contract
        calls = []
        if self._has_paused:
            calls.append(self._call(admin, v2, "unpause"))
            self._has_paused = False
        elif sequence % PAUSE_EVERY == 0:
            calls.append(self._call(admin, v2, "pause"))
            self._has_paused = True
        is_closed_now = VAULT_CLOSED[0] <= sequence % 100 < VAULT_CLOSED[1]
        if self._closed_vault is None and is_closed_now:
            self._closed_vault = list(world.vaults)[sequence // 100 % len(world.vaults)]
            calls.append(self._call(admin, self._closed_vault, "set_paused", Bool(True)))
        elif self._closed_vault is not None and not is_closed_now:
            calls.append(self._call(admin, self._closed_vault, "set_paused", Bool(False)))
            self._closed_vault = None
        remaining = world.v2.remaining(usdc)
        if sequence % CLAWBACK_EVERY == 0 and remaining > 1000:
            # What was kept back must not be taken for the streams', and what is owed to nobody does not hurt them.
            calls.append(self._call(admin, v2, "withdraw_treasury", Address(usdc)))
            amount = world.v2.unowed.get(usdc, 0) + remaining // dice.between(20, 100)
            calls.append(self._call(world.issuer, usdc, "clawback", Address(v2), I128(amount)))
            calls.append(self._call(admin, v2, "rebalance_after_clawback", Address(usdc)))
        return calls

    # --- new streams ----------------------------------------------------------------------------

    def _stepped(self, dice: Dice, now: int) -> Rarity | None:
        """Open a stream whose steps divide its duration: others unlock more than they have."""
        step = dice.pick((60, 300, 3600))
        multiplier = dice.pick((500, 1000, 2500, -200))
        args = replace(self._args(dice, now, step * dice.between(2, 12)), step_duration=step, multiplier_bps=multiplier)
        return self._create(args)

    def _with_vault(self, dice: Dice, now: int) -> Rarity | None:
        """Open a stream whose tokens lie in a vault; none in USDC, because rebalancing takes those for lost."""
        vault = dice.pick([one for one in self.world.vaults.values() if one.token != self.world.usdc.contract])
        args = self._args(dice, now, dice.pick((600, 3600, _DAY)), vault.token)
        recipient = dice.pick((0, 1, 1, 2))
        return self._create(replace(args, vault=vault.contract, yield_enabled=True, yield_recipient=recipient))

    def _recurrent(self, dice: Dice, now: int) -> Rarity | None:
        cycle = dice.pick((120, 300, 600))
        args = self._args(dice, now, cycle)
        return self._create(replace(args, is_recurrent=True, cycle_duration=cycle))

    def _mutual(self, dice: Dice, now: int) -> Rarity | None:
        return self._create(replace(self._args(dice, now, dice.pick((600, 3600))), cancellation_type=1))

    def _with_split(self, dice: Dice, now: int) -> Rarity | None:
        args = self._args(dice, now, dice.pick((300, 900, 3600)))
        return self._create(replace(args, split_address=self._someone(dice), split_bps=dice.between(1, 5000)))

    def _create(self, args: StreamArgs) -> Rarity | None:
        v2 = self.world.v2
        if len(self._ours.v2(v2)) >= MOST_OPEN:
            return None
        made = self._call(args.sender, v2.contract, "create_stream", args.value())
        return replace(made, run=self._ours.opening(v2, made.run))

    # --- streams that are there -----------------------------------------------------------------

    def _split(self, dice: Dice, _now: int) -> Rarity | None:
        stream = self._one(dice, lambda _stream: True)
        if stream is None:
            return None
        ends = stream.split_bps > 0 and dice.chance(0.5)
        split = (option(None), U32(0)) if ends else (Address(self._someone(dice)), U32(dice.between(1, 9999)))
        return self._call(stream.beneficiary, self.world.v2.contract, "split_stream", U64(stream.id), *split)

    def _refill(self, dice: Dice, now: int) -> Rarity | None:
        """Refill a stream whose cycle has ended, or let the contract take what the next refill needs.

        Mostly one that has paid everything, because what it has not paid is lost.
        """
        v2 = self.world.v2
        due = [
            stream
            for stream in (*self._ours.v2(v2), *self._ours.lately_ended(v2))
            if stream.is_recurrent and not stream.is_cancelled and now >= stream.end
            if stream.withdrawn == stream.total or dice.chance(0.05)
        ]
        if not due:
            return None
        stream = dice.pick(due)
        allowed = self.world.bank.allowance(stream.token, stream.sender, v2.contract)
        if allowed < stream.total and dice.chance(0.7):
            args = (Address(stream.sender), Address(v2.contract), I128(stream.total * 3), U32(2**31))
            return self._call(stream.sender, stream.token, "approve", *args)
        made = self._call(self._someone(dice), v2.contract, "refill_stream", U64(stream.id))
        return replace(made, authorised=False)

    def _propose_rate(self, dice: Dice, now: int) -> Rarity | None:
        rates = self.world.v2.rates
        stream = self._one(
            dice, lambda one: one.id not in rates and one.step_duration == 0 and one.start < now < one.end - 30
        )
        if stream is None:
            return None
        rate = stream.total // (stream.end - stream.start) * dice.pick((80, 90, 110, 150)) // 100
        if rate <= 0:
            return None
        return self._call(stream.sender, self.world.v2.contract, "propose_rate", U64(stream.id), I128(rate))

    def _answer_rate(self, dice: Dice, now: int) -> Rarity | None:
        """Accept or drop a proposal; one that would put a stream behind what it has paid is dropped."""
        v2 = self.world.v2
        stream = self._one(dice, lambda one: one.id in v2.rates)
        if stream is None:
            return None
        if dice.chance(0.3) or stream.withdrawn > 0 or now < stream.cliff:
            args = (U64(stream.id), Address(dice.pick((stream.sender, stream.receiver))))
            made = self._call(self._someone(dice), v2.contract, "cancel_rate_proposal", *args)
            return replace(made, authorised=False)
        return self._call(stream.receiver, v2.contract, "accept_rate", U64(stream.id))

    def _archive(self, dice: Dice, _now: int) -> Rarity | None:
        v2 = self.world.v2
        paid = [
            stream
            for stream in self._ours.lately_ended(v2)
            if stream.withdrawn == stream.total and not stream.is_recurrent and not stream.is_cancelled
        ]
        if not paid:
            return None
        stream = dice.pick(paid)
        caller = dice.pick((stream.sender, stream.beneficiary))
        return self._call(caller, v2.contract, "close_and_archive", U64(stream.id), Address(caller))

    def _withdraw_meta(self, dice: Dice, now: int) -> Rarity | None:
        """Withdraw for somebody who signed it off the chain."""
        v2 = self.world.v2
        stream = self._one(dice, lambda one: one.unlocked(now) - one.withdrawn > 1000 and one.vault is None)
        if stream is None:
            return None
        relayer = self._someone(dice)
        amount = (stream.unlocked(now) - stream.withdrawn) // dice.between(1, 3)
        fee, deadline = amount // 200, now + 300
        nonce = v2.nonces.get((stream.beneficiary, stream.id), 0)
        keys = self.world.directory.keys_of(stream.beneficiary)
        signature = keys.sign(withdraw_meta_message(v2.contract, stream.id, amount, fee, nonce, deadline))
        made = self._call(
            relayer,
            v2.contract,
            "withdraw_meta",
            U64(stream.id),
            I128(amount),
            I128(fee),
            Address(relayer),
            Bytes(keys.public),
            U64(nonce),
            U64(deadline),
            Bytes(signature),
        )
        return replace(made, authorised=False)

    # --- proposals of the first contract --------------------------------------------------------

    def _propose(self, dice: Dice, now: int) -> Rarity | None:
        v1 = self.world.v1
        if len(self._ours.v1(v1)) >= MOST_OPEN:
            return None
        sender, receiver = dice.pick(self.world.users), self._someone(dice)
        duration = dice.pick((600, 3600, _DAY))
        args = (
            Address(sender),
            Address(receiver),
            Address(dice.pick(self.world.tokens).contract),
            I128(duration * dice.between(10, UNIT // 10)),
            U64(now),
            U64(now + duration),
            U32(dice.between(1, 3)),
            U64(now + 600),
        )
        return self._call(sender, v1.contract, "create_proposal", *args)

    def _approve(self, dice: Dice, now: int) -> Rarity | None:
        """Approve a proposal. Its sender comes last, because only then its authorisation covers the tokens."""
        v1, users = self.world.v1, self.world.users
        waiting = [
            (number, one)
            for number, one in list(v1.proposals.items())[-20:]
            if not one.is_executed and now <= one.deadline and one.sender in users and one.receiver in users
        ]
        if not waiting:
            return None
        number, proposal = dice.pick(waiting)
        approver = self._approver(dice, proposal)
        made = self._call(approver, v1.contract, "approve_proposal", U64(number), Address(approver))
        return replace(made, run=self._ours.opening(v1, made.run))

    def _approver(self, dice: Dice, proposal: Proposal) -> str:
        if len(proposal.approvers) + 1 >= proposal.required:
            return proposal.sender
        others = [one for one in self.world.users if one != proposal.sender and one not in proposal.approvers]
        return dice.pick(others)

    # --- pieces ---------------------------------------------------------------------------------

    def _call(self, source: str, contract: str, function: str, *args: Value) -> Rarity:
        world = self.world
        raw = [encode(arg) for arg in args]

        def run(now: int) -> Outcome:
            return call(world, contract, function, raw).run(now)

        return Rarity(source, Invocation(contract, function, args), run)

    def _one(self, dice: Dice, fits: Callable[[Stream], bool]) -> Stream | None:
        streams = [stream for stream in self._ours.v2(self.world.v2) if fits(stream)]
        return dice.pick(streams) if streams else None

    def _someone(self, dice: Dice) -> str:
        return dice.pick(self.world.users)

    def _args(self, dice: Dice, now: int, duration: int, token: str | None = None) -> StreamArgs:
        users = self.world.users
        first = dice.below(len(users))
        sender, receiver = users[first], users[(first + dice.between(1, len(users) - 1)) % len(users)]
        kind = dice.pick(self.world.tokens).contract if token is None else token
        most = min(self.world.bank.balance(kind, sender) // 40, 5000 * UNIT)
        return StreamArgs(sender, receiver, kind, dice.between(10_000, max(most, 10_000)), now, now, now + duration)
