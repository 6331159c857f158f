"""Money is never made up: the streams' events are true to the contracts' formulas and to the tokens' transfers."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import scval, xdr

from stellarstream_core.events import parse_event_id
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.economy.bank import Bank, Token
from stellarstream_sandbox.economy.calls import Refused
from stellarstream_sandbox.economy.streams_v1 import Curve, StreamsV1
from stellarstream_sandbox.economy.streams_v2 import FEE_BPS, StreamArgs, StreamsV2
from stellarstream_sandbox.economy.unlocking import unlocked_v1, unlocked_v2
from tests.paths import facts
from tests.sandbox.calling import args, create
from tests.sandbox.conftest import GENESIS_TIME, closed

LEDGERS = 700


@pytest.fixture(scope="module")
def economy():
    return closed(SandboxConfig(seed=5, ledgers=LEDGERS, genesis_time=GENESIS_TIME, burst_every=0))


@dataclass(frozen=True)
class Decoded:
    """An event with native topics and value, decoded by stellar-sdk."""

    place: tuple[int, int]
    contract: str
    now: int
    topics: list[Any]
    value: Any


def native(base64: str) -> Any:
    value = scval.to_native(base64)
    return plain(value)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "address", value)


@pytest.fixture(scope="module")
def events(economy) -> list[Decoded]:
    simulation, ledgers = economy
    wanted = {simulation.contracts[name] for name in simulation.contracts if name.startswith(("streams", "token"))}
    found = []
    for ledger in ledgers:
        for event in ledger.events:
            event_id = parse_event_id(event.id)
            if event.contract_id in wanted and event.type == "contract" and 0 < event_id.tx < 0xFFFFF:
                topics = [native(topic) for topic in event.topics]
                place = (event_id.ledger, event_id.tx)
                found.append(Decoded(place, event.contract_id, event.closed_at, topics, native(event.value)))
    return found


def transfers(events: list[Decoded]) -> dict[tuple[int, int], list[tuple[str, str, str, int]]]:
    """Return each transaction's token movements: token, from, to, amount."""
    moved = defaultdict(list)
    for event in events:
        if event.topics[0] == "transfer" and len(event.topics) >= 3:
            amount = event.value["amount"] if isinstance(event.value, dict) else event.value
            moved[event.place].append((event.contract, event.topics[1], event.topics[2], amount))
    return moved


def of(events: list[Decoded], contract: str) -> Iterator[Decoded]:
    return (event for event in events if event.contract == contract)


def test_all_that_streams_do_happens(economy, events):
    simulation, _ = economy
    v1, older, v2 = (simulation.contracts[name] for name in ("streams-v1", "streams-v1-older", "streams-v2"))
    assert {e.topics[0] for e in of(events, v1)} >= {"create", "soulbound", "pause", "resume", "topup"}
    assert {e.topics[0] for e in of(events, older)} >= {"create", "claim", "cancel", "pause", "unpause", "topup"}
    assert any("proposal_id" in e.value for e in of(events, v1) if e.topics[0] == "create")
    assert any(e.topics[0] == "approve" for e in of(events, v1))
    actions = Counter(action_of(e) for e in of(events, v2))
    often = {"create_v2", "split_exec", "claim", "cancel", "top_up", "benefic", "migrated", "btch_crt", "fee_out"}
    rarely = {"rate_propose", "rate_accept", "rate_cancel", "refill", "rebalance", "archived", "split", "dust"}
    assert set(actions) == often | rarely | {"meta_wdrw", "pause", "unpause"}
    assert min(actions[action] for action in often) >= 3


def action_of(event: Decoded) -> str:
    return event.topics[1] if isinstance(event.topics[0], int) else event.topics[0]


def test_every_stream_event_stands_in_the_catalogue(economy):
    simulation, ledgers = economy
    catalogue = json.loads(facts("stream-contract-events.json").read_text())["events"]
    known = {"streams-v1": "Contract-V1", "streams-v1-older": "Contract-V1", "streams-v2": "Contract-V2"}
    contracts = {simulation.contracts[name]: kind for name, kind in known.items()}
    seen = Counter()
    for ledger in ledgers:
        for event in ledger.events:
            if event.contract_id not in contracts or event.type != "contract":
                continue
            topics = [decode_scval(b64decode(topic)) for topic in event.topics]
            data = decode_scval(b64decode(event.value))
            kind = contracts[event.contract_id]
            found = [one for one in catalogue if one["contract_dir"] == kind and fits(one, topics, data)]
            assert len(found) == 1, (topics, data, [one["event"] for one in found])
            seen[kind, found[0]["event"], found[0]["variant"]] += 1
    assert len(seen) > 30


def fits(entry: dict[str, Any], topics: list[ScValue], data: ScValue) -> bool:
    if entry["topics"] is None or len(entry["topics"]) != len(topics):
        return False
    for wanted, topic in zip(entry["topics"], topics, strict=True):
        if not of_type(topic, wanted["type"]) or wanted.get("value", topic.value) != topic.value:
            return False
    wanted = entry["data"]
    if wanted["kind"] == "scalar":
        return of_type(data, wanted["type"])
    if wanted["kind"] == "vec":
        return data.arm is Arm.VEC and all_of(data.value, wanted["items"])
    if data.arm is not Arm.MAP:
        return False
    fields = {key.value: item for key, item in data.value}
    if fields.keys() != wanted["fields"].keys():
        return False
    if not all(of_type(fields[name], kind) for name, kind in wanted["fields"].items()):
        return False
    return wanted["kind"] != "nebula" or all_of(fields["data"].value, wanted["items"])


def all_of(values: tuple[ScValue, ...], wanted: list[dict[str, Any]]) -> bool:
    return len(values) == len(wanted) and all(of_type(v, w["type"]) for v, w in zip(values, wanted, strict=True))


def of_type(value: ScValue, described: str) -> bool:
    """Tell whether a value is of a type of the catalogue, such as ``address|void`` or ``bytes32``."""
    names = described.split(" ", maxsplit=1)[0].split("|")
    return (value.arm.name.lower() if value.arm is not Arm.BYTES else f"bytes{len(value.value)}") in names


def test_v2_events_have_the_shape_of_the_published_contract(economy, events):
    simulation, _ = economy
    sizes = defaultdict(set)
    for event in of(events, simulation.contracts["streams-v2"]):
        if action_of(event) in PLAIN_MAPS:
            assert set(event.value) == PLAIN_MAPS[action_of(event)]
            assert event.value["timestamp"] == event.now
            continue
        assert set(event.value) == {"action", "data", "timestamp", "version"}
        assert event.value["version"] == 2
        assert event.value["timestamp"] == event.now
        action = event.value["action"]
        sizes[action].add(len(event.value["data"]))
        if action in {"btch_crt", "fee_out", "rebalance", "pause", "unpause"}:
            assert event.topics[0] == action
        else:
            assert event.topics == [event.value["data"][0], action]
    assert sizes["create_v2"] == {9, 10}  # nine in a batch
    assert {k: v for k, v in sizes.items() if k != "create_v2"} == {
        "split_exec": {6},
        "claim": {5},
        "cancel": {5},
        "top_up": {6},
        "benefic": {4},
        "migrated": {5},
        "btch_crt": {4},
        "fee_out": {4},
        "rate_propose": {7},
        "rate_accept": {6},
        "rate_cancel": {4},
        "refill": {6},
        "rebalance": {5},
        "archived": {5},
        "meta_wdrw": {5},
        "pause": {2},
        "unpause": {2},
    }


PLAIN_MAPS = {
    "split": {"beneficiary", "split_address", "split_bps", "stream_id", "timestamp"},
    "dust": {
        "dust_amount", "split_address", "split_amount", "split_bps", "stream_id", "timestamp", "to_withdraw", "token"
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def stream_args(economy) -> dict[tuple[int, int], dict[str, Any]]:
    """The arguments of every create_stream of the second contract, by the transaction's place."""
    found = {}
    for ledger in economy[1]:
        for order, transaction in enumerate(ledger.transactions, 1):
            call = invocation(transaction.envelope)
            if call is None or call.function_name.sc_symbol != b"create_stream" or len(call.args) != 1:
                continue
            found[ledger.sequence, order] = plain(scval.to_native(call.args[0]))
    return found


def invocation(raw: bytes) -> xdr.InvokeContractArgs | None:
    envelope = xdr.TransactionEnvelope.from_xdr_bytes(raw)
    tx = envelope.v1.tx if envelope.v1 else envelope.fee_bump.tx.inner_tx.v1.tx
    body = tx.operations[0].body.invoke_host_function_op
    return None if body is None else body.host_function.invoke_contract


def test_v2_pays_what_its_formula_unlocks_and_no_more(economy, events, stream_args):
    simulation, _ = economy
    contract = simulation.contracts["streams-v2"]
    moved = transfers(events)
    v1_ends = v1_stream_ends(events, simulation.contracts["streams-v1"])
    streams: dict[int, dict[str, Any]] = {}
    claims = Counter()
    for event in of(events, contract):
        action, now = action_of(event), event.now
        if action in PLAIN_MAPS:
            if action == "split":
                split = {"split": event.value["split_address"], "bps": event.value["split_bps"]}
                streams[event.value["stream_id"]] |= split
            else:
                assert event.value["dust_amount"] == event.value["to_withdraw"] * event.value["split_bps"] % 10_000
            continue
        data = event.value["data"]
        stream = streams.get(data[0], {})
        if action == "create_v2":
            number, sender, receiver, token, total, start, cliff, end, at = data[:9]
            assert at == now
            args = stream_args.get(event.place, {})
            streams[number] = {
                "sender": sender, "beneficiary": receiver, "token": token, "total": total,
                "start": start, "cliff": cliff, "end": end, "withdrawn": 0, "open": True,
                "step": args.get("step_duration", 0), "bps_a_step": args.get("multiplier_bps", 0),
                "split": args.get("split_address"), "bps": args.get("split_bps", 0),
                "cycle": args.get("cycle_duration"),
            }  # fmt: skip
        elif action == "migrated":
            number, v1_id, caller, remaining, _ = data
            ((token, _, _, _),) = [m for m in moved[event.place] if m[2] == contract]
            streams[number] = {
                "sender": None, "beneficiary": caller, "token": token, "total": remaining,
                "start": now, "cliff": now, "end": v1_ends[v1_id], "withdrawn": 0, "open": True,
                "step": 0, "bps_a_step": 0, "split": None, "bps": 0,
            }  # fmt: skip
            assert (token, simulation.contracts["streams-v1"], contract, remaining) in moved[event.place]
        elif action == "claim":
            number, beneficiary, amount, total_withdrawn, _ = data
            stream["withdrawn"] += amount
            assert amount > 0
            assert total_withdrawn == stream["withdrawn"] == unlocked(stream, now)
            assert beneficiary == stream["beneficiary"]
            part = amount * stream["bps"] // 10_000 if stream["split"] else 0
            assert (stream["token"], contract, beneficiary, amount - part) in moved[event.place]
            if part:
                assert (stream["token"], contract, stream["split"], part) in moved[event.place]
            claims["stepped" if stream["step"] else "split" if part else "plain"] += 1
        elif action == "meta_wdrw":
            number, beneficiary, to_receiver, fee, _ = data
            stream["withdrawn"] += to_receiver + fee
            assert stream["withdrawn"] <= unlocked(stream, now)
            assert (stream["token"], contract, beneficiary, to_receiver) in moved[event.place]
        elif action == "top_up":
            number, sender, extra, new_total, new_end, _ = data
            before = unlocked(stream, now)
            rest = stream["total"] - before + extra
            assert new_end == now + rest * (stream["end"] - stream["start"]) // stream["total"]
            assert new_total == stream["total"] + extra
            stream |= {"total": new_total, "end": new_end}
            assert (stream["token"], sender, contract, extra) in moved[event.place]
        elif action == "benefic":
            number, previous, new, _ = data
            assert stream["beneficiary"] == previous != new
            stream["beneficiary"] = new
        elif action == "cancel":
            number, _, to_receiver, to_sender, _ = data
            assert stream["open"]
            assert to_receiver + to_sender == stream["total"] - stream["withdrawn"]
            assert to_receiver >= unlocked(stream, now) - stream["withdrawn"]
            stream["open"] = False
            paid = sum(amount for _, source, _, amount in moved[event.place] if source == contract)
            assert paid == to_receiver + to_sender
        elif action == "rate_accept":
            assert data[3] == now + data[4] // data[2]
            stream["end"] = data[3]
        elif action == "refill":
            number, sender, amount, start, end, _ = data
            assert (amount, start, end - start) == (stream["total"], stream["end"], stream["cycle"])
            assert (stream["token"], sender, contract, amount) in moved[event.place]
            stream |= {"start": start, "end": end, "withdrawn": 0}
        elif action == "rebalance":
            token, remaining, held, factor, _ = data
            cut = [one for one in streams.values() if one["open"] and one["token"] == token]
            assert remaining == sum(one["total"] - one["withdrawn"] for one in cut)
            assert factor == held * 10_000 // remaining < 10_000
            for one in cut:
                one["total"] = one["withdrawn"] + (one["total"] - one["withdrawn"]) * factor // 10_000
        elif action == "archived":
            assert data[1] == data[2] == stream["total"] == stream["withdrawn"]
            stream["open"] = False
    assert claims["plain"] > 100
    assert claims["split"] > 3
    assert claims["stepped"] > 3
    assert any(stream["withdrawn"] == stream["total"] for stream in streams.values())
    assert len(streams) == max(streams) + 1  # the ids count from 0 without a hole


def unlocked(stream: dict[str, Any], now: int) -> int:
    return unlocked_v2(
        total=stream["total"], start=stream["start"], cliff=stream["cliff"], end=stream["end"], now=now,
        step_duration=stream["step"], multiplier_bps=stream["bps_a_step"],
    )  # fmt: skip


def v1_stream_ends(events: list[Decoded], contract: str) -> dict[int, int]:
    ends = {}
    for event in of(events, contract):
        if event.topics[0] == "create" and "stream_id" in event.value:
            ends[event.value["stream_id"]] = event.value["end_time"]
        elif event.topics[0] == "topup":
            ends[event.value["stream_id"]] = event.value["new_end_time"]
    return ends


def test_the_gross_amount_is_taken_and_the_fee_kept(economy, events):
    simulation, _ = economy
    contract = simulation.contracts["streams-v2"]
    moved = transfers(events)
    net = defaultdict(int)
    for event in of(events, contract):
        if action_of(event) == "create_v2":
            net[event.place] += event.value["data"][4]
    for place, amount in net.items():
        (gross,) = [m[3] for m in moved[place] if m[2] == contract]
        assert 0 <= gross - amount <= gross * FEE_BPS // 10_000
        assert gross > amount


def test_the_older_contract_claims_what_is_unlocked(economy, events):
    simulation, _ = economy
    contract = simulation.contracts["streams-v1-older"]
    moved = transfers(events)
    claimed: dict[int, int] = defaultdict(int)
    tokens, totals = {}, {}
    for event in of(events, contract):
        value = event.value
        if event.topics[0] == "create":
            tokens[value["stream_id"]], totals[value["stream_id"]] = value["token"], value["total_amount"]
        elif event.topics[0] == "topup":
            totals[value["stream_id"]] = value["new_total"]
        elif event.topics[0] == "claim":
            claimed[value["stream_id"]] += value["amount"]
            assert value["total_claimed"] == claimed[value["stream_id"]] <= totals[value["stream_id"]]
            assert (tokens[value["stream_id"]], contract, value["claimer"], value["amount"]) in moved[event.place]
        elif event.topics[0] == "cancel":
            number = value["stream_id"]
            assert value["to_receiver"] + value["to_sender"] == totals[number] - claimed[number]
    assert claimed


def test_v1_withdraws_and_cancels_without_an_event_of_its_own(economy):
    simulation, ledgers = economy
    v1 = simulation.contracts["streams-v1"]
    silent = 0
    for ledger in ledgers:
        for transaction in ledger.transactions:
            call = invocation(transaction.envelope)
            if call is None or not transaction.succeeded:
                continue
            if call.function_name.sc_symbol not in (b"withdraw", b"cancel"):
                continue
            if scval.from_address(xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=call.contract_address)).address != v1:
                continue
            contracts = {xdr.ContractEvent.from_xdr_bytes(raw).contract_id.to_xdr() for raw in transaction.events[0]}
            assert call.contract_address.contract_id.to_xdr() not in contracts
            assert contracts
            silent += 1
    assert silent > 20


def test_contracts_hold_exactly_what_they_owe(economy):
    simulation, _ = economy
    world = simulation.world
    for token in world.bank.tokens:
        for contract in (world.v1, world.v1_older):
            owed = sum(s.total - s.withdrawn for s in contract.open.values() if s.token == token)
            assert world.bank.balance(token, contract.contract) == owed
        owed = sum(s.total - s.withdrawn for s in world.v2.open.values() if s.token == token)
        kept = world.v2.fees.get(token, 0) + world.v2.unowed.get(token, 0)
        in_vaults = sum(v.principal.get(world.v2.contract, 0) for v in world.vaults.values() if v.token == token)
        assert world.bank.balance(token, world.v2.contract) + in_vaults == owed + kept
        assert world.v2.unowed.get(token, 0) >= 0
    assert any(vault.principal for vault in world.vaults.values())


def test_no_open_stream_has_paid_more_than_is_unlocked(economy):
    simulation, ledgers = economy
    now = ledgers[-1].close_time
    world = simulation.world
    streams = [*world.v1.open.values(), *world.v1_older.open.values(), *world.v2.open.values()]
    assert streams
    for stream in streams:
        # topping up rounds the rate down, which can put a stream a little behind what it has paid
        assert 0 <= stream.withdrawn <= stream.unlocked(now) + stream.total // 1000
        assert stream.unlocked(now) <= stream.total


def test_tokens_are_neither_made_nor_lost(economy, events):
    simulation, ledgers = economy
    world = simulation.world
    fresh, _ = closed(SandboxConfig(seed=5, ledgers=1, genesis_time=GENESIS_TIME, transactions=0, burst_every=0))
    before = fresh.world.bank
    nova, usdc, xlm = world.nova.contract, world.usdc.contract, world.native.contract
    assert world.bank.total(nova) == before.total(nova)
    minted = sum(e.value for e in of(events, usdc) if e.topics[0] == "mint")
    burned = sum(e.value for e in of(events, usdc) if e.topics[0] in {"burn", "clawback"})
    assert minted
    assert burned
    assert world.bank.total(usdc) == before.total(usdc) + minted - burned
    burned_fees = xdr.LedgerHeader.from_xdr_bytes(ledgers[-1].header).fee_pool.int64
    assert world.bank.total(xlm) == before.total(xlm) - burned_fees


def test_some_payments_carry_a_memo_in_their_event(events):
    memos = [e for e in events if isinstance(e.value, dict) and set(e.value) == {"amount", "to_muxed_id"}]
    assert memos
    assert all(event.topics[0] == "transfer" for event in memos)


def test_the_activity_leaves_the_streams_of_others_alone():
    simulation, ledgers = closed(SandboxConfig(seed=6, ledgers=10, genesis_time=GENESIS_TIME, burst_every=0))
    world, now = simulation.world, ledgers[-1].close_time
    alice, bob = world.users[:2]
    opened = [
        create(world, args(world, alice, bob, start=now, cliff=now, end=now + 300, **terms), now)
        for terms in ({}, {"is_recurrent": True, "cycle_duration": 60}, {"step_duration": 2**119})
    ]
    before = [world.v2.streams.get(number) for number in opened]
    for _ in range(80):
        simulation.close_ledger()
    assert [world.v2.streams.get(number) for number in opened] == before


def test_what_was_paused_goes_on(economy, events):
    simulation, _ = economy
    paused = [action_of(e) for e in of(events, simulation.contracts["streams-v2"]) if "pause" in str(e.topics[0])]
    assert paused == ["pause", "unpause"] * (len(paused) // 2)
    assert not any(vault.is_paused for vault in simulation.world.vaults.values())


def test_open_streams_stay_within_bounds(economy):
    world = economy[0].world
    assert max(len(world.v1.open), len(world.v1_older.open), len(world.v2.open)) < 60


# --- the formulas -----------------------------------------------------------------------------

TIMES = st.integers(0, 10**7)
AMOUNTS = st.integers(1, 10**15)


@given(AMOUNTS, st.integers(1, 10**7), st.integers(0, 10**7), TIMES, TIMES)
def test_unlocking_never_goes_back_and_ends_with_the_whole(total, duration, cliff, one, other):
    early, late = sorted((one, other))
    cliff = min(cliff, duration)

    def v2(now):
        return unlocked_v2(total=total, start=0, cliff=cliff, end=duration, now=now)

    def v1(now, *, is_exponential=False):
        return unlocked_v1(total=total, start=0, cliff=cliff, end=duration, now=now, is_exponential=is_exponential)

    assert 0 <= v2(early) <= v2(late) <= total
    assert 0 <= v1(early) <= v1(late) <= total
    assert v1(late, is_exponential=True) <= v1(late)
    assert v2(duration) == v1(duration) == v1(duration, is_exponential=True) == total
    assert v2(late) == v1(late)


def test_a_pause_stops_the_clock_and_moves_cliff_and_end():
    terms = {"total": 1000, "start": 0, "cliff": 10, "end": 100}
    assert unlocked_v1(**terms, now=50) == 500
    assert unlocked_v1(**terms, now=90, paused_at=50) == 500
    assert unlocked_v1(**terms, now=90, paused_before=40) == 500
    assert unlocked_v1(**terms, now=49, paused_before=40) == 0
    assert unlocked_v1(**terms, now=139, paused_before=40) == 990
    assert unlocked_v1(**terms, now=140, paused_before=40) == 1000


# --- the contracts ----------------------------------------------------------------------------

ALICE, BOB, MALLORY = (f"G{name}" for name in ("ALICE", "BOB", "MALLORY"))
COIN = Token("coin", "CCOIN")


@pytest.fixture
def bank() -> Bank:
    bank = Bank((COIN,))
    bank.deposit(COIN.contract, ALICE, 10_000_000)
    return bank


@pytest.fixture
def v1(bank) -> StreamsV1:
    contract = StreamsV1("CV1", bank, b"\0" * 32)
    contract.create_stream(100, ALICE, BOB, COIN.contract, 1_000_000, 100, 100, 200, Curve.LINEAR, False)
    return contract


@pytest.fixture
def v2(bank) -> StreamsV2:
    contract = StreamsV2("CV2", bank, "GTREASURY")
    contract.create_stream(100, StreamArgs(ALICE, BOB, COIN.contract, 1_000_000, 100, 100, 200, penalty_bps=1000))
    return contract


def test_only_the_receiver_withdraws(v1, v2):
    for contract in (v1, v2):
        with pytest.raises(Refused):
            contract.withdraw(150, 0, MALLORY)
        with pytest.raises(Refused):
            contract.cancel(150, 0, MALLORY)


def test_nothing_is_withdrawn_twice(v1, v2, bank):
    for contract, half in ((v1, 500_000), (v2, 498_750)):
        before = bank.balance(COIN.contract, BOB)
        contract.withdraw(150, 0, BOB)
        assert bank.balance(COIN.contract, BOB) == before + half
        with pytest.raises(Refused):
            contract.withdraw(150, 0, BOB)


def test_a_refused_call_changes_nothing(v1, bank):
    with pytest.raises(Refused):
        v1.create_stream(100, ALICE, BOB, COIN.contract, 99_000_000, 100, 100, 200, Curve.LINEAR, False)
    assert v1.next_id == 1
    assert bank.balance(COIN.contract, "CV1") == 1_000_000


def test_a_paused_stream_pays_nothing_until_it_goes_on(v1):
    v1.pause_stream(120, 0, ALICE)
    assert v1.pause_stream(130, 0, ALICE).events == ()
    with pytest.raises(Refused):
        v1.withdraw(150, 0, BOB)
    v1.resume_stream(160, 0, ALICE)
    assert v1.withdraw(180, 0, BOB).value.number == 400_000  # 20 seconds before the pause, 20 after it


def test_a_penalty_is_paid_by_the_sender_alone(v2, bank):
    v2.cancel(150, 0, ALICE)
    # half of 997,500 is unlocked, and a tenth of the other half is the penalty
    assert bank.balance(COIN.contract, BOB) == 498_750 + 49_875


def test_a_stream_migrates_with_its_rest_and_its_end(v1, v2, bank):
    v2.migrate_stream(140, v1, 0, BOB)
    stream = v2.open[1]
    assert (stream.total, stream.start, stream.end, stream.beneficiary) == (600_000, 140, 200, BOB)
    assert bank.balance(COIN.contract, BOB) == 400_000
    assert 0 not in v1.open
    with pytest.raises(Refused):
        v2.migrate_stream(150, v1, 0, BOB)


@pytest.mark.parametrize("terms", [(200, 100, 100), (100, 50, 200), (100, 250, 200)])
def test_times_out_of_order_are_refused(v1, v2, terms):
    start, cliff, end = terms
    with pytest.raises(Refused):
        v1.create_stream(100, ALICE, BOB, COIN.contract, 1, start, cliff, end, Curve.LINEAR, False)
    with pytest.raises(Refused):
        v2.create_stream(100, StreamArgs(ALICE, BOB, COIN.contract, 1, start, cliff, end))
