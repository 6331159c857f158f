"""Streams as they stand in the ledger are read exactly or refused; stellar_sdk writes them here."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Address, scval, xdr

from stellarstream_nebula.entries import (
    StreamEntryError,
    entry_value,
    instance_key,
    read_stored_v2,
    read_v1_instance,
    read_v2_entry,
    v2_stream_key,
)
from stellarstream_nebula.model import Curve, StreamFacts
from tests.nebula.stream_events import ALICE, BOB, CAROL, COIN, CV1, CV2, DAVE


def struct(fields: dict[str, xdr.SCVal]) -> xdr.SCVal:
    return scval.to_map({scval.to_symbol(name): fields[name] for name in sorted(fields)})


def v1_fields(**changed: xdr.SCVal) -> dict[str, xdr.SCVal]:
    return {
        "sender": scval.to_address(ALICE),
        "receiver": scval.to_address(BOB),
        "token": scval.to_address(COIN),
        "total_amount": scval.to_int128(10**20),
        "start_time": scval.to_uint64(100),
        "cliff_time": scval.to_uint64(110),
        "end_time": scval.to_uint64(200),
        "withdrawn": scval.to_int128(0),
        "withdrawn_amount": scval.to_int128(7),
        "receipt_owner": scval.to_address(CAROL),
        "paused_time": scval.to_uint64(0),
        "total_paused_duration": scval.to_uint64(30),
        "milestones": scval.to_vec([]),
        "curve_type": scval.to_uint32(0),
        "interest_strategy": scval.to_uint32(0),
        "vault_address": scval.to_void(),
        "deposited_principal": scval.to_int128(0),
        "metadata": scval.to_void(),
        "is_usd_pegged": scval.to_bool(False),
        "usd_amount": scval.to_int128(0),
        "oracle_address": scval.to_address(ALICE),
        "oracle_max_staleness": scval.to_uint64(0),
        "price_min": scval.to_int128(0),
        "price_max": scval.to_int128(0),
        "is_soulbound": scval.to_bool(False),
        "clawback_enabled": scval.to_bool(False),
        "arbiter": scval.to_void(),
        "is_frozen": scval.to_bool(False),
        "state": scval.to_uint32(0),
        **changed,
    }


def v2_fields(**changed: xdr.SCVal) -> dict[str, xdr.SCVal]:
    return {
        "sender": scval.to_address(ALICE),
        "receiver": scval.to_address(BOB),
        "beneficiary": scval.to_address(CAROL),
        "token": scval.to_address(COIN),
        "total_amount": scval.to_int128(1000),
        "start_time": scval.to_uint64(100),
        "end_time": scval.to_uint64(200),
        "cliff_time": scval.to_uint64(110),
        "withdrawn_amount": scval.to_int128(7),
        "v1_stream_id": scval.to_uint64(0),
        "step_duration": scval.to_int128(0),
        "multiplier_bps": scval.to_int128(0),
        "vault_address": scval.to_void(),
        "cycle_duration": scval.to_uint64(60),
        "yield_recipient": scval.to_uint32(2),
        "split_address": scval.to_address(DAVE),
        "split_bps": scval.to_uint32(25),
        **changed,
    }


def stored_v2(packed: int = 0, **changed: xdr.SCVal) -> bytes:
    return struct(v2_fields(packed_meta=scval.to_uint128(packed), **changed)).to_xdr_bytes()


def stored_under(name: str, number: int) -> xdr.SCVal:
    return scval.to_vec([scval.to_symbol(name), scval.to_uint64(number)])


def entry(contract: str, key: xdr.SCVal, value: xdr.SCVal) -> tuple[bytes, bytes]:
    """Return the XDR of a contract-data entry's ledger key and of its data."""
    address, durability = Address(contract).to_xdr_sc_address(), xdr.ContractDataDurability.PERSISTENT
    ledger_key = xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_DATA, contract_data=xdr.LedgerKeyContractData(address, key, durability)
    )
    data = xdr.LedgerEntryData(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.ContractDataEntry(xdr.ExtensionPoint(0), address, key, durability, value),
    )
    return ledger_key.to_xdr_bytes(), data.to_xdr_bytes()


def v1_instance(storage: dict[int, dict[str, xdr.SCVal]]) -> tuple[bytes, bytes]:
    pairs = [xdr.SCMapEntry(scval.to_symbol("ADMIN"), scval.to_address(ALICE))]
    pairs.append(xdr.SCMapEntry(scval.to_symbol("STR_CNT"), scval.to_uint64(len(storage))))
    pairs += [xdr.SCMapEntry(stored_under("STR_CNT", number), struct(fields)) for number, fields in storage.items()]
    pairs.append(xdr.SCMapEntry(stored_under("RECEIPT", 0), scval.to_void()))
    wasm = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, xdr.Hash(bytes(32)))
    instance = xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(wasm, xdr.SCMap(pairs)))
    return entry(CV1, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE), instance)


# --- keys -----------------------------------------------------------------------------------


def test_keys_are_those_of_the_sdk():
    assert instance_key(CV1) == v1_instance({})[0]
    for number in (0, 1, 2**64 - 1):
        assert v2_stream_key(CV2, number) == entry(CV2, stored_under("Stream", number), scval.to_void())[0]


# --- V1 -------------------------------------------------------------------------------------

V1_FACTS = StreamFacts(
    ledger=9,
    sender=ALICE,
    receiver=BOB,
    beneficiary=BOB,
    token=COIN,
    total=10**20,
    start=100,
    cliff=110,
    end=200,
    withdrawn=7,
)


def test_v1s_streams_are_read_out_of_the_contracts_instance():
    changed = v1_fields(
        state=scval.to_uint32(1),
        paused_time=scval.to_uint64(150),
        curve_type=scval.to_uint32(1),
        is_frozen=scval.to_bool(True),
        vault_address=scval.to_address(CV2),
        metadata=scval.to_bytes(bytes(32)),
        milestones=scval.to_vec([scval.to_void()]),
    )
    key, data = v1_instance({0: v1_fields(), 5: changed, 6: v1_fields(state=scval.to_uint32(2))})
    streams = read_v1_instance(key, data, 9)
    assert streams.unreadable == {}
    assert streams.facts[0] == V1_FACTS
    found = streams.facts[5]
    assert (found.curve, found.frozen, found.vault) == (Curve.EXPONENTIAL, True, CV2)
    assert [streams.facts[number].closed for number in (0, 5, 6)] == [False, False, True]


def test_streams_that_were_asked_for_and_are_not_there_are_missing():
    key, data = v1_instance({0: v1_fields(), 1: v1_fields()})
    streams = read_v1_instance(key, data, 9, [1, 4])
    assert streams.facts == {1: V1_FACTS, 4: StreamFacts(ledger=9, missing=True)}


def test_one_unknown_layout_spoils_no_other_stream():
    older = v1_fields(cancelled=scval.to_bool(False))
    del older["state"]
    streams = read_v1_instance(*v1_instance({0: older, 1: v1_fields()}), 9)
    assert streams.facts == {1: V1_FACTS}
    assert "cancelled" in streams.unreadable[0].message


@pytest.mark.parametrize(
    "changed",
    [
        {"state": scval.to_uint32(3)},
        {"curve_type": scval.to_uint32(2)},
        {"total_amount": scval.to_uint64(1)},
        {"sender": scval.to_void()},
        {"later": scval.to_void()},
    ],
)
def test_v1_streams_of_another_layout_are_refused(changed):
    streams = read_v1_instance(*v1_instance({0: v1_fields(**changed)}), 9)
    assert (set(streams.facts), set(streams.unreadable)) == (set(), {0})


# --- V2 -------------------------------------------------------------------------------------


def test_v2s_entry_is_read_with_its_packed_flags():
    packed = 1 | 250 << 8 | 1 << 40 | 1 << 48 | 1 << 49 | 1 << 50 | 1 << 51
    key, data = entry(CV2, stored_under("Stream", 3), xdr.SCVal.from_xdr_bytes(stored_v2(packed)))
    assert read_v2_entry(key, data, 9) == StreamFacts(
        ledger=9,
        sender=ALICE,
        receiver=BOB,
        beneficiary=CAROL,
        token=COIN,
        total=1000,
        start=100,
        cliff=110,
        end=200,
        withdrawn=7,
        closed=True,
        curve=Curve.EXPONENTIAL,
        penalty_bps=250,
        yield_enabled=True,
        split_address=DAVE,
        split_bps=25,
    )


@given(
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_each_packed_flag_has_bits_of_its_own(status, penalty, curve, has_yield, recurrent, cancellation):
    packed = status | penalty << 8 | curve << 40 | has_yield << 49 | recurrent << 50 | cancellation << 51
    for migrated in (0, 1 << 48):
        facts = read_stored_v2(stored_v2(packed | migrated), 9)
        assert facts.closed == (status == 1)
        assert (facts.penalty_bps, facts.yield_enabled) == (penalty, has_yield)
        assert facts.curve is (Curve.EXPONENTIAL if curve == 1 else Curve.LINEAR)


def test_steps_win_over_the_curve_as_they_do_in_the_contract():
    steps = {"step_duration": scval.to_int128(30), "multiplier_bps": scval.to_int128(500)}
    facts = read_stored_v2(stored_v2(1 << 40, **steps), 9)
    assert (facts.curve, facts.step_duration, facts.multiplier_bps) == (Curve.STEPS, 30, 500)


def test_v2_streams_of_another_layout_are_refused():
    for raw in (
        stored_v2(3),
        stored_v2(later=scval.to_void()),
        stored_v2(total_amount=scval.to_uint64(1)),
        struct(v2_fields()).to_xdr_bytes(),
        scval.to_void().to_xdr_bytes(),
        b"\0\0\0",
    ):
        with pytest.raises(StreamEntryError):
            read_stored_v2(raw, 9)


# --- damage ---------------------------------------------------------------------------------


def test_an_entry_of_another_key_is_refused():
    key, data = entry(CV2, stored_under("Stream", 3), xdr.SCVal.from_xdr_bytes(stored_v2()))
    other, _ = entry(CV2, stored_under("Stream", 4), scval.to_void())
    with pytest.raises(StreamEntryError):
        entry_value(other, data)
    with pytest.raises(StreamEntryError):
        entry_value(b"\0\0\0\0" + key[4:], data)
    with pytest.raises(StreamEntryError):
        read_v1_instance(key, data, 9)


def test_damaged_entries_are_refused_and_never_guessed():
    dice = random.Random(5)
    key, data = v1_instance({0: v1_fields()})
    for _ in range(1500):
        broken = bytearray(data)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        try:
            found = read_v1_instance(key, bytes(broken), 9)
        except StreamEntryError:
            continue
        assert set(found.facts).isdisjoint(found.unreadable)
    for cut in range(0, len(data), 7):
        with pytest.raises(StreamEntryError):
            read_v1_instance(key, data[:cut], 9)
