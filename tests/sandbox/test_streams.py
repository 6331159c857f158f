"""The stream contracts unlock, pay and refuse as the published ones do, traps included."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Refused, Trapped
from stellarstream_sandbox.economy.keys import stream_value
from stellarstream_sandbox.economy.shelf import Shelf
from stellarstream_sandbox.economy.state_entries import contract_data
from stellarstream_sandbox.economy.stream_v2 import Fault, Stream
from stellarstream_sandbox.economy.streams_v1 import Curve
from stellarstream_sandbox.economy.streams_v2 import RATE_PROPOSAL_SECONDS
from stellarstream_sandbox.economy.unlocking import flow, unlocked_v1, unlocked_v2
from stellarstream_sandbox.economy.vault import RATE_BPS
from stellarstream_sandbox.economy.world import UNIT, World
from stellarstream_sandbox.identity import Directory
from stellarstream_sandbox.scval import encode
from tests.sandbox.calling import NOW, args, create, native, prepared, state, state_now, v2

YEAR = 365 * 86_400
DAY = 86_400


# --- amounts: what the facts about the published contracts say --------------------------------------


def unlocked(total: int, duration: int, elapsed: int, **more: int) -> int:
    return unlocked_v2(total=total, start=NOW, cliff=NOW, end=NOW + duration, now=NOW + elapsed, **more)


def test_a_large_stream_over_a_year_unlocks_nothing_from_some_point_on():
    total = 60_000_000 * UNIT
    assert unlocked(total, YEAR, YEAR // 2) == total // 2
    assert unlocked(total, YEAR, YEAR * 85 // 100) == total * 85 // 100
    assert unlocked(total, YEAR, YEAR * 95 // 100) == 0
    assert unlocked(total, YEAR, YEAR - 1) == 0
    assert unlocked(total, YEAR, YEAR) == total


def test_a_larger_one_over_a_month_unlocks_too_little():
    total, month = 10**9 * UNIT, 30 * DAY
    assert unlocked(total, month, month * 99 // 100) == 769_824_000 * UNIT
    assert unlocked(total, month, month) == total


@given(st.integers(1, 10**16), st.integers(1, 10**9), st.integers(0, 10**9))
def test_the_linear_share_is_exact_where_nothing_runs_over(total, duration, elapsed):
    elapsed = min(elapsed, duration)
    if total * elapsed * 10**16 < 2**127:
        assert unlocked(total, duration, elapsed) == total * elapsed // duration
    assert 0 <= unlocked(total, duration, elapsed) <= total


@given(st.integers(1, 2**120), st.integers(1, 2**60), st.integers(1, 2**60))
def test_the_linear_share_is_never_more_than_linear(total, duration, elapsed):
    assert flow(total, duration, elapsed) <= total
    if elapsed < duration and (total // duration) * elapsed < 2**127:
        assert 0 <= flow(total, duration, elapsed) <= total * elapsed // duration


def test_the_two_generations_cut_their_curves_off_at_different_places():
    total, duration, elapsed = 10**12, 3, 1
    exact = unlocked_v1(total=total, start=0, cliff=0, end=duration, now=elapsed, is_exponential=True)
    assert exact == total // 9
    ratio = 10**7 // 3
    assert unlocked(total, duration, elapsed, curve_type=1) == total * (ratio * ratio // 10**7) // 10**7 < exact


def test_a_curve_that_runs_over_is_linear():
    total, duration = 2**100, 2**20
    terms = {"total": total, "start": 0, "cliff": 0, "end": duration, "now": duration // 2}
    assert total * (duration // 2) ** 2 > 2**127
    assert unlocked_v1(**terms, is_exponential=True) == unlocked_v1(**terms) == total // 2
    small = {**terms, "total": 2**80}
    assert unlocked_v1(**small, is_exponential=True) == 2**78


def test_each_step_pays_more_than_the_one_before():
    steps = [unlocked(10**9, 400, 100 * number, step_duration=100, multiplier_bps=1000) for number in range(5)]
    paid = [late - early for early, late in zip(steps, steps[1:], strict=False)]
    assert paid == sorted(paid)
    assert steps[0] == 0
    assert steps[-1] == 10**9
    quarter = 10**9 * 1000 // 4641  # 1 of 1 + 1.1 + 1.21 + 1.331
    assert abs(paid[0] - quarter) <= 2
    middle = unlocked(10**9, 400, 150, step_duration=100, multiplier_bps=1000)
    assert abs(middle - (steps[1] + paid[1] // 2)) <= 2


@given(st.integers(1, 10**15), st.integers(1, 1000), st.integers(1, 20), st.integers(1, 3000), st.data())
def test_steps_that_divide_the_time_never_unlock_more_than_there_is(total, step, count, multiplier, data):
    duration = step * count
    early, late = sorted(data.draw(st.tuples(st.integers(0, duration), st.integers(0, duration))))
    more = {"step_duration": step, "multiplier_bps": multiplier}
    assert 0 <= unlocked(total, duration, early, **more) <= unlocked(total, duration, late, **more) <= total


def test_steps_that_do_not_divide_the_time_unlock_more_than_there_is():
    assert unlocked(10**9, 10, 9, step_duration=4, multiplier_bps=1000) > 10**9


@pytest.mark.parametrize("multiplier", [0, -1000, -10_000])
def test_without_growth_steps_are_linear(multiplier):
    assert unlocked(1000, 100, 37, step_duration=10, multiplier_bps=multiplier) == 370


def test_a_multiplier_without_steps_counts_for_nothing():
    assert unlocked(1000, 100, 37, multiplier_bps=5000) == 370


def test_a_step_too_long_for_its_integer_ends_in_a_panic():
    world = World(Directory("streams", 1))
    alice, bob = world.users[:2]
    number = create(world, args(world, alice, bob, step_duration=2**119))  # times 10**9 it is 0 in 128 bits
    with pytest.raises(Trapped) as caught:
        v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 50)
    assert caught.value.text == "Error(WasmVm, InvalidAction)"


@pytest.mark.parametrize("seconds", [2**63, 2**64 - 1])
def test_times_beyond_the_clock_wrap(seconds):
    stream = unlocked_v2(total=100, start=NOW, cliff=NOW, end=seconds, now=NOW + 1)
    assert 0 <= stream <= 100


def test_a_cancelled_stream_counts_as_unlocked():
    assert unlocked(1000, 100, 10, is_cancelled=True) == 1000
    assert unlocked(1000, 100, 0, is_cancelled=True) == 0


# --- the second contract ----------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World(Directory("streams", 1))


@pytest.fixture
def alice(world) -> str:
    return world.users[0]


@pytest.fixture
def bob(world) -> str:
    return world.users[1]


@pytest.fixture
def carol(world) -> str:
    return world.users[2]


def held(world: World, holder: str, token: str | None = None) -> int:
    return world.bank.balance(token or world.nova.contract, holder)


def named(outcome, action: str):
    """The data of the one event with this name."""
    (event,) = [event for event in outcome.events if v.Symbol(action) in event.topics]
    return native(event.data)


def test_a_split_sends_a_part_of_each_withdrawal_and_tells_the_dust(world, alice, bob, carol):
    number = create(world, args(world, alice, bob, split_address=carol, split_bps=3333))
    bobs, carols = held(world, bob), held(world, carol)
    outcome = v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 1)
    amount = outcome.value.number
    assert amount == 9975
    assert held(world, carol) == carols + amount * 3333 // 10_000
    assert held(world, bob) == bobs + amount - amount * 3333 // 10_000
    assert named(outcome, "dust")["dust_amount"] == amount * 3333 % 10_000
    assert named(outcome, "claim")["data"][2] == amount
    assert [event.topics[-1].name for event in outcome.events[:3] if isinstance(event.topics[-1], v.Symbol)] == ["dust"]
    v2(world, "split_stream", v.U64(number), v.VOID, v.U32(0), now=NOW + 2)
    carols = held(world, carol)
    v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 3)
    assert held(world, carol) == carols


def test_whoever_the_stream_names_gets_the_vaults_interest(world, alice, bob):
    vault = world.vault_of(world.nova.contract)
    for recipient, receiver in ((0, alice), (1, bob), (2, world.treasury), (7, bob)):
        terms = {"vault": vault.contract, "yield_enabled": True, "yield_recipient": recipient}
        number = create(world, args(world, alice, bob, total=10**12, end=NOW + DAY, **terms))
        net = world.v2.streams.get(number).total
        assert vault.principal[world.v2.contract] == net
        outcome = v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + DAY)
        interest = next(event for event in outcome.events if v.Address(receiver) in event.topics)
        earned = net * RATE_BPS * DAY // (10_000 * YEAR)
        assert abs(interest.data.number - earned) <= 1
        assert outcome.value.number == net
        assert vault.principal[world.v2.contract] == 0
        assert held(world, world.v2.contract) == world.v2.fees[world.nova.contract]


def test_a_vault_that_refuses_leaves_the_withdrawal_pending(world, alice, bob):
    vault = world.vault_of(world.nova.contract).contract
    number = create(world, args(world, alice, bob, vault=vault, yield_enabled=True))
    prepared(world, vault, "set_paused", v.Bool(True)).run(NOW)
    outcome = v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 50)
    assert (outcome.value.number, outcome.events) == (0, ())
    assert native(v2(world, "get_stream", v.U64(number)).value)["is_pending"]
    with pytest.raises(Refused) as caught:
        v2(world, "cancel", v.U64(number), v.Address(bob), now=NOW + 50)
    assert caught.value.code == Fault.VAULT_PAUSED
    prepared(world, vault, "set_paused", v.Bool(False)).run(NOW)
    assert v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 50).value.number > 0
    assert not native(v2(world, "get_stream", v.U64(number)).value)["is_pending"]


def test_a_vaults_value_grows_with_time(world, alice, bob):
    vault = world.vault_of(world.nova.contract)
    create(world, args(world, alice, bob, total=10**12, vault=vault.contract, yield_enabled=True))

    def ask(function: str, number: int, now: int) -> int:
        return prepared(world, vault.contract, function, v.I128(number)).run(now).value.number

    values = [ask("get_value", 10**9, NOW + DAY * days) for days in range(4)]
    assert values == sorted(set(values))
    assert values[0] == 10**9
    assert ask("get_accrued_interest", 10**9, NOW) == 0
    assert ask("get_accrued_interest", 10**9, NOW + YEAR) == pytest.approx(10**9 * RATE_BPS / 10_000, abs=2)
    with pytest.raises(Trapped):
        prepared(world, vault.contract, "withdraw", v.I128(1)).run(NOW)


def test_a_vault_that_is_no_contract_ends_in_a_trap(world, alice, bob):
    before = state_now(world)
    with pytest.raises(Trapped):
        create(world, args(world, alice, bob, vault=world.directory.contract("none"), yield_enabled=True))
    assert state(world) == before


def test_a_recurrent_stream_begins_again_and_forgets_what_it_had_not_paid(world, alice, bob):
    number = create(world, args(world, alice, bob, is_recurrent=True, cycle_duration=60))
    with pytest.raises(Refused) as caught:
        v2(world, "refill_stream", v.U64(number), now=NOW + 99)
    assert caught.value.code == Fault.STREAM_NOT_EXPIRED
    total = world.v2.open[number].total
    allowance = (v.Address(alice), v.Address(world.v2.contract), v.I128(total), v.U32(2**31))
    prepared(world, world.nova.contract, "approve", *allowance).run(NOW)
    v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 50)
    outcome = v2(world, "refill_stream", v.U64(number), now=NOW + 130)
    assert named(outcome, "refill")["data"] == [number, alice, total, NOW + 100, NOW + 160, NOW + 130]
    stream = world.v2.open[number]
    assert (stream.start, stream.end, stream.withdrawn) == (NOW + 100, NOW + 160, 0)
    assert stream.unlocked(NOW + 130) == total // 2
    assert world.v2.unowed[world.nova.contract] == total - total // 2
    silent = v2(world, "refill_stream", v.U64(number), now=NOW + 200)  # nothing more is allowed
    assert silent.events == ()
    assert not native(v2(world, "get_stream", v.U64(number)).value)["is_recurrent"]


def test_another_rate_moves_the_end_once_the_receiver_accepts(world, alice, bob):
    number = create(world, args(world, alice, bob, total=1_000_000))
    total = world.v2.open[number].total
    outcome = v2(world, "propose_rate", v.U64(number), v.I128(total // 50), now=NOW + 50)
    data = named(outcome, "rate_propose")["data"]
    assert data == [number, alice, total // 100, total // 50, NOW + 75, NOW + 50 + RATE_PROPOSAL_SECONDS, NOW + 50]
    assert native(outcome.value)["original_end_time"] == NOW + 100
    assert world.v2.open[number].end == NOW + 100
    with pytest.raises(Refused) as caught:
        v2(world, "propose_rate", v.U64(number), v.I128(1), now=NOW + 51)
    assert caught.value.code == Fault.PENDING_UPDATE_EXISTS
    assert native(v2(world, "get_pending_rate_update", v.U64(number), now=NOW + 51).value)["new_rate"] == total // 50
    accepted = v2(world, "accept_rate", v.U64(number), now=NOW + 50)
    assert accepted.value == v.U64(NOW + 75) == v.U64(world.v2.open[number].end)
    assert native(v2(world, "get_pending_rate_update", v.U64(number), now=NOW + 51).value) is None


def test_a_proposal_ends_by_hand_or_by_time(world, alice, bob, carol):
    number = create(world, args(world, alice, bob, end=NOW + 30 * DAY, total=10**12))
    for at, reason in ((NOW + 10, 1), (NOW + 10 + RATE_PROPOSAL_SECONDS + 1, 0)):
        v2(world, "propose_rate", v.U64(number), v.I128(10**6), now=NOW + 10)
        with pytest.raises(Refused) as caught:
            v2(world, "cancel_rate_proposal", v.U64(number), v.Address(carol), now=at)
        assert caught.value.code == Fault.UNAUTHORIZED_SENDER
        if reason == 0:
            with pytest.raises(Refused) as caught:
                v2(world, "accept_rate", v.U64(number), now=at)
            assert caught.value.code == Fault.UPDATE_EXPIRED
        outcome = v2(world, "cancel_rate_proposal", v.U64(number), v.Address(bob), now=at)
        assert named(outcome, "rate_cancel")["data"] == [number, bob, reason, at]


def test_a_clawback_is_shared_by_all_streams_of_the_token(world, alice, bob):
    usdc = world.usdc.contract
    first = create(world, args(world, alice, bob, token=usdc))
    second = create(world, args(world, bob, alice, token=usdc))
    other = create(world, args(world, alice, bob))
    v2(world, "withdraw", v.U64(first), v.Address(bob), now=NOW + 50)
    v2(world, "withdraw_treasury", v.Address(usdc))
    assert v2(world, "rebalance_after_clawback", v.Address(usdc)).events == ()  # nothing is missing
    before = held(world, world.v2.contract, usdc)
    prepared(world, usdc, "clawback", v.Address(world.v2.contract), v.I128(before // 4)).run(NOW)
    totals = {number: world.v2.open[number] for number in (first, second, other)}
    outcome = v2(world, "rebalance_after_clawback", v.Address(usdc), now=NOW + 60)
    token, remaining, left, factor, _ = named(outcome, "rebalance")["data"]
    assert (token, remaining, left) == (usdc, before, held(world, world.v2.contract, usdc))
    for number in (first, second):
        old, new = totals[number], world.v2.open[number]
        assert new.total == old.withdrawn + (old.total - old.withdrawn) * factor // 10_000
    assert world.v2.open[other] == totals[other]
    owed = sum(world.v2.open[number].total - world.v2.open[number].withdrawn for number in (first, second))
    assert held(world, world.v2.contract, usdc) == owed + world.v2.unowed[usdc]


def test_while_paused_the_contract_refuses(world, alice, bob):
    number = create(world, args(world, alice, bob))
    (event,) = v2(world, "pause").events
    assert event.topics == (v.Symbol("pause"), v.Address(world.admin))
    for function, values in (
        ("withdraw", (v.U64(number), v.Address(bob))),
        ("cancel", (v.U64(number), v.Address(bob))),
        ("top_up", (v.U64(number), v.Address(alice), v.I128(1))),
        ("create_stream", (args(world, alice, bob).value(),)),
    ):
        with pytest.raises(Refused) as caught:
            v2(world, function, *values, now=NOW + 50)
        assert caught.value.code == Fault.CONTRACT_PAUSED
    v2(world, "unpause")
    assert v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 50).value.number > 0


def test_a_stream_that_both_must_end_pays_by_the_same_rules(world, alice, bob, carol):
    number = create(world, args(world, alice, bob, cancellation_type=1, penalty_bps=1000))
    made = prepared(world, world.v2.contract, "cancel", v.U64(number), v.Address(carol))
    assert made.authorisers == (alice, bob)
    outcome = made.run(NOW + 50)
    total = world.v2.streams.get(number).total
    assert named(outcome, "cancel")["data"] == [number, carol, total // 2, total - total // 2, NOW + 50]
    with pytest.raises(Refused) as caught:
        made.run(NOW + 51)
    assert caught.value.code == Fault.ALREADY_CANCELLED


def test_a_batch_is_taken_whole_in_the_first_streams_token(world, alice, bob):
    batch = [args(world, alice, bob), args(world, alice, bob, token=world.usdc.contract, total=500)]
    outcome = v2(world, "create_batch_streams", v.vec(*(one.value() for one in batch)))
    assert outcome.value == v.vec(v.U64(0), v.U64(1))
    assert outcome.events[0].contract == world.nova.contract
    assert outcome.events[0].data == v.I128(1_000_500)
    assert held(world, world.v2.contract, world.usdc.contract) == 0
    with pytest.raises(Refused) as caught:
        v2(world, "create_batch_streams", v.vec(batch[0].value(), args(world, bob, alice).value()))
    assert caught.value.code == Fault.UNAUTHORIZED_SENDER
    with pytest.raises(Refused) as caught:
        v2(world, "create_batch_streams", v.vec())
    assert caught.value.code == Fault.INVALID_TIME_RANGE


def test_batches_are_summed_up(world, alice, bob):
    number = create(world, args(world, alice, bob))
    cancelled = create(world, args(world, alice, bob))
    v2(world, "cancel", v.U64(cancelled), v.Address(bob), now=NOW + 10)
    asked = v.vec(v.U64(number), v.U64(cancelled), v.U64(77))
    running, over, missing = native(v2(world, "get_streams_batch", asked, now=NOW + 50).value)
    assert running == {"status": ["Active"], "stream_id": number, "unlocked_amount": 498_750}
    assert over["status"] == ["Cancelled"]
    assert missing == {"status": ["NotFound"], "stream_id": 77, "unlocked_amount": 0}
    assert native(v2(world, "predict_balance_at", v.U64(number), v.U64(NOW + 25)).value) == 249_375
    assert native(v2(world, "get_streams_batch", asked, now=NOW + 100).value)[0]["status"] == ["Completed"]


def test_a_token_off_the_list_is_refused(world, alice, bob):
    with pytest.raises(Refused) as caught:
        create(world, args(world, alice, bob, token=world.counter.contract))
    assert caught.value.code == Fault.ASSET_NOT_WHITELISTED


def test_migrating_twice_is_refused(world, alice, bob):
    for contract in (world.v1, world.v1_older):
        contract.create_stream(NOW, alice, bob, world.nova.contract, 10**6, NOW, NOW, NOW + 100, Curve.LINEAR, False)
    values = (v.Address(world.v1.contract), v.U64(0), v.Address(bob))
    outcome = v2(world, "migrate_stream", *values, now=NOW + 40)
    assert named(outcome, "migrated")["data"] == [0, 0, bob, 600_000, NOW + 40]
    stream = native(v2(world, "get_stream", v.U64(0)).value)
    assert (stream["migrated_from_v1"], stream["v1_stream_id"]) == (True, 0)
    for again, fault in (
        (values, Fault.STREAM_NOT_MIGRATABLE),
        ((v.Address(world.v1_older.contract), v.U64(0), v.Address(alice)), Fault.NOT_STREAM_OWNER),
        ((v.Address(world.nova.contract), v.U64(0), v.Address(bob)), Fault.NOT_STREAM_OWNER),
    ):
        with pytest.raises(Refused) as caught:
            v2(world, "migrate_stream", *again, now=NOW + 50)
        assert caught.value.code == fault


# --- what is kept -----------------------------------------------------------------------------------


def test_an_ended_stream_stays_readable(world, alice, bob):
    paid = create(world, args(world, alice, bob))
    v2(world, "withdraw", v.U64(paid), v.Address(bob), now=NOW + 100)
    assert paid not in world.v2.open
    assert native(v2(world, "get_stream", v.U64(paid)).value)["withdrawn_amount"] == 997_500
    with pytest.raises(Refused) as caught:
        v2(world, "withdraw", v.U64(paid), v.Address(bob), now=NOW + 101)
    assert caught.value.code == Fault.NOTHING_TO_WITHDRAW
    v2(world, "top_up", v.U64(paid), v.Address(alice), v.I128(997_500), now=NOW + 101)
    assert world.v2.open[paid].end == NOW + 201  # topping up brings it back


def test_a_shelf_forgets_the_oldest_of_what_has_ended():
    shelf: Shelf[Stream] = Shelf(3)
    for number in range(6):
        shelf.put(Stream(number, "A", "B", "B", "T", 10, 0, 0, 1, withdrawn=10 if number < 5 else 0))
    assert [stream.id for stream in shelf] == [2, 3, 4, 5]
    assert shelf.get(0) is None
    other = shelf.copy()
    other.remove(5)
    assert (shelf.get(5) is not None, other.get(5)) == (True, None)


# --- any history ------------------------------------------------------------------------------------


class Histories(RuleBasedStateMachine):
    """Any calls in any order: no token appears or vanishes, and a refused call changes nothing."""

    @initialize()
    def begin(self) -> None:
        self.world = World(Directory("histories", 1))
        self.now = NOW
        self.totals = {token: self.world.bank.total(token) for token in self.world.bank.tokens}

    def do(self, contract: str, function: str, *values: v.Value) -> None:
        before = state_now(self.world)
        try:
            prepared(self.world, contract, function, *values).run(self.now)
        except Refused:
            assert state(self.world) == before

    def user(self, number: int) -> str:
        return self.world.users[number % 3]

    @rule(seconds=st.integers(0, 120))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(
        who=st.integers(0, 2), token=st.integers(0, 2), total=st.integers(0, 10**12), length=st.integers(-1, 300),
        cliff=st.integers(0, 60), steps=st.sampled_from([0, 0, 30]), bps=st.integers(-500, 2000),
        has_vault=st.booleans(), recurrent=st.booleans(), penalty=st.integers(0, 11_000),
        kind=st.integers(0, 1), split=st.integers(0, 12_000),
    )  # fmt: skip
    def create(self, who, token, total, length, cliff, steps, bps, has_vault, recurrent, penalty, kind, split) -> None:
        contract = self.world.tokens[token].contract
        vault = self.world.vault_of(contract).contract if has_vault else None
        terms = args(
            self.world, self.user(who), self.user(who + 1),
            token=contract, total=total, start=self.now, cliff=self.now + cliff, end=self.now + length,
            step_duration=steps, multiplier_bps=bps, vault=vault, yield_enabled=has_vault, is_recurrent=recurrent,
            cycle_duration=60, penalty_bps=penalty, cancellation_type=kind,
            split_address=self.user(who + 2) if split else None, split_bps=split,
        )  # fmt: skip
        self.do(self.world.v2.contract, "create_stream", terms.value())

    @rule(
        function=st.sampled_from(["withdraw", "cancel", "close_and_archive", "cancel_rate_proposal"]),
        number=st.integers(0, 6), who=st.integers(0, 2),
    )  # fmt: skip
    def by_caller(self, function, number, who) -> None:
        self.do(self.world.v2.contract, function, v.U64(number), v.Address(self.user(who)))

    @rule(number=st.integers(0, 6), who=st.integers(0, 2), extra=st.integers(-1, 10**12))
    def top_up(self, number, who, extra) -> None:
        self.do(self.world.v2.contract, "top_up", v.U64(number), v.Address(self.user(who)), v.I128(extra))

    @rule(number=st.integers(0, 6), rate=st.integers(-1, 10**9), accept=st.booleans())
    def rate(self, number, rate, accept) -> None:
        self.do(self.world.v2.contract, "propose_rate", v.U64(number), v.I128(rate))
        if accept:
            self.do(self.world.v2.contract, "accept_rate", v.U64(number))

    @rule(number=st.integers(0, 6), who=st.integers(0, 2), amount=st.integers(0, 10**13), token=st.integers(0, 2))
    def refill(self, number, who, amount, token) -> None:
        sides = (v.Address(self.user(who)), v.Address(self.world.v2.contract))
        self.do(self.world.tokens[token].contract, "approve", *sides, v.I128(amount), v.U32(1))
        self.do(self.world.v2.contract, "refill_stream", v.U64(number))

    @rule(number=st.integers(0, 6), who=st.integers(0, 2))
    def hand_on(self, number, who) -> None:
        self.do(self.world.v2.contract, "transfer_beneficiary", v.U64(number), v.Address(self.user(who)))

    @rule(token=st.integers(0, 2), closed=st.booleans())
    def run_the_contract(self, token, closed) -> None:
        contract = self.world.tokens[token].contract
        self.do(self.world.vault_of(contract).contract, "set_paused", v.Bool(closed))
        self.do(self.world.v2.contract, "withdraw_treasury", v.Address(contract))
        self.do(self.world.v2.contract, "rebalance_after_clawback", v.Address(contract))

    @rule(who=st.integers(0, 2), total=st.integers(0, 10**12), length=st.integers(0, 300), curve=st.integers(0, 1))
    def create_v1(self, who, total, length, curve) -> None:
        sides = (v.Address(self.user(who)), v.Address(self.user(who + 1)), v.Address(self.world.nova.contract))
        times = (v.U64(self.now), v.U64(self.now), v.U64(self.now + length))
        terms = (v.I128(total), *times, v.U32(curve), v.Bool(False))
        self.do(self.world.v1.contract, "create_stream", *sides, *terms)

    @rule(
        function=st.sampled_from(["withdraw", "cancel", "pause_stream", "resume_stream"]),
        number=st.integers(0, 4), who=st.integers(0, 2),
    )  # fmt: skip
    def by_caller_v1(self, function, number, who) -> None:
        self.do(self.world.v1.contract, function, v.U64(number), v.Address(self.user(who)))

    @rule(number=st.integers(0, 4), who=st.integers(0, 2))
    def migrate(self, number, who) -> None:
        values = (v.Address(self.world.v1.contract), v.U64(number), v.Address(self.user(who)))
        self.do(self.world.v2.contract, "migrate_stream", *values)

    @invariant()
    def no_token_appears_or_vanishes(self) -> None:
        bank = self.world.bank
        assert {token: bank.total(token) for token in bank.tokens} == self.totals
        assert min(bank.balances.values()) >= 0

    @invariant()
    def no_stream_unlocks_more_than_it_has(self) -> None:
        for stream in self.world.v2.streams:
            assert stream.is_open == (stream.id in self.world.v2.open)
            if stream.step_duration == 0:
                assert 0 <= stream.unlocked(self.now) <= stream.total
        for stream in self.world.v1.streams:
            assert 0 <= stream.unlocked(self.now) <= stream.total
            assert stream.withdrawn <= stream.total

    def teardown(self) -> None:
        for stream in self.world.v2.streams:
            raw = contract_data(self.world, self.world.v2.contract, encode(stream_value(stream.id)), 1)
            assert native(raw)["withdrawn_amount"] == stream.withdrawn


Histories.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestHistories = Histories.TestCase
