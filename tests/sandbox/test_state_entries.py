"""What stands in the ledger of contracts is what they say of themselves, in the published shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import xdr

from stellarstream_core.xdr.scval import decode_scval
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Refused
from stellarstream_sandbox.economy.keys import instance_key, stream_value
from stellarstream_sandbox.economy.state_entries import contract_code, contract_data
from stellarstream_sandbox.economy.stream_v2 import Stream
from stellarstream_sandbox.economy.streams_v1 import Curve
from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.identity import Directory
from stellarstream_sandbox.ledger_keys import EntryType, entry_type
from stellarstream_sandbox.scval import encode
from tests.sandbox.calling import NOW, args, create, native, plain, prepared, v2

V1_FIELDS = {
    "sender", "receiver", "token", "total_amount", "start_time", "cliff_time", "end_time", "withdrawn",
    "withdrawn_amount", "receipt_owner", "paused_time", "total_paused_duration", "milestones", "curve_type",
    "interest_strategy", "vault_address", "deposited_principal", "metadata", "is_usd_pegged", "usd_amount",
    "oracle_address", "oracle_max_staleness", "price_min", "price_max", "is_soulbound", "clawback_enabled", "arbiter",
    "is_frozen", "state",
}  # fmt: skip
STORED_FIELDS = {
    "sender", "receiver", "beneficiary", "token", "total_amount", "start_time", "end_time", "cliff_time",
    "withdrawn_amount", "packed_meta", "v1_stream_id", "step_duration", "multiplier_bps", "vault_address",
    "cycle_duration", "yield_recipient", "split_address", "split_bps",
}  # fmt: skip
SHOWN_FIELDS = STORED_FIELDS - {"packed_meta"} | {
    "cancelled", "migrated_from_v1", "yield_enabled", "is_pending", "is_recurrent", "cancellation_type", "penalty_bps",
}  # fmt: skip


@pytest.fixture
def world() -> World:
    return World(Directory("entries", 1))


@pytest.fixture
def alice(world) -> str:
    return world.users[0]


@pytest.fixture
def bob(world) -> str:
    return world.users[1]


def data(world: World, contract: str, key: v.Value, durability: int = 1) -> bytes | None:
    return contract_data(world, contract, encode(key), durability)


def instance(world: World, contract: str) -> xdr.SCContractInstance:
    raw = data(world, contract, v.InstanceKey())
    assert raw is not None
    return xdr.SCVal.from_xdr_bytes(raw).instance


def storage(world: World, contract: str) -> dict[str, xdr.SCVal]:
    found = instance(world, contract).storage
    return {str(plain(native(entry.key.to_xdr_bytes()))): entry.val for entry in found.sc_map}


def test_the_first_contract_keeps_its_streams_in_its_own_entry(world, alice, bob):
    for curve in Curve:
        world.v1.create_stream(
            NOW, alice, bob, world.nova.contract, 1000, NOW, NOW + 10, NOW + 100, curve, curve is Curve.LINEAR
        )
    world.v1.pause_stream(NOW + 20, 1, alice)
    world.v1.withdraw(NOW + 50, 0, bob)
    entries = storage(world, world.v1.contract)
    assert native(entries["STR_CNT"].to_xdr_bytes()) == 2
    first, second = (native(entries[f"['STR_CNT', {number}]"].to_xdr_bytes()) for number in (0, 1))
    assert set(first) == V1_FIELDS
    assert (first["withdrawn_amount"], first["withdrawn"], first["state"], first["is_soulbound"]) == (500, 0, 0, True)
    assert (second["state"], second["paused_time"], second["curve_type"]) == (1, NOW + 20, 1)
    world.v1.cancel(NOW + 60, 0, alice)
    assert native(storage(world, world.v1.contract)["['STR_CNT', 0]"].to_xdr_bytes())["state"] == 2
    shown = prepared(world, world.v1.contract, "get_stream", v.U64(0)).run(NOW).value
    assert native(shown) == native(storage(world, world.v1.contract)["['STR_CNT', 0]"].to_xdr_bytes())


def test_the_second_contract_keeps_each_stream_in_an_entry(world, alice, bob):
    vault = world.vault_of(world.nova.contract).contract
    terms = args(world, alice, bob, penalty_bps=250, vault=vault, yield_enabled=True, is_recurrent=True)
    number = create(world, terms)
    stored = native(data(world, world.v2.contract, stream_value(number)))
    assert set(stored) == STORED_FIELDS
    assert stored["packed_meta"] == 250 << 8 | 1 << 49 | 1 << 50
    assert stored["vault_address"] == vault
    assert stored["split_address"] is None
    shown = native(v2(world, "get_stream", v.U64(number)).value)
    assert set(shown) == SHOWN_FIELDS
    assert {name: shown[name] for name in SHOWN_FIELDS & STORED_FIELDS} == {
        name: stored[name] for name in SHOWN_FIELDS & STORED_FIELDS
    }
    v2(world, "cancel", v.U64(number), v.Address(bob), now=NOW + 30)
    assert native(data(world, world.v2.contract, stream_value(number)))["packed_meta"] & 0xFF == 1


def test_an_archived_stream_has_no_entry(world, alice, bob):
    number = create(world, args(world, alice, bob))
    v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 100)
    assert data(world, world.v2.contract, stream_value(number)) is not None
    v2(world, "close_and_archive", v.U64(number), v.Address(alice), now=NOW + 101)
    assert data(world, world.v2.contract, stream_value(number)) is None
    assert native(v2(world, "get_stream", v.U64(number)).value) is None
    with pytest.raises(Refused):
        v2(world, "withdraw", v.U64(number), v.Address(bob), now=NOW + 102)


@given(
    st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 1),
)  # fmt: skip
def test_packed_flags_come_apart_again(cancelled, pending, migrated, yields, recurrent, penalty, cancellation, curve):
    stream = Stream(
        0, "A", "B", "B", "T", 1, 0, 0, 1,
        penalty_bps=penalty, is_cancelled=cancelled, is_pending=pending, is_migrated=migrated, curve_type=curve,
        yield_enabled=yields, is_recurrent=recurrent, cancellation_type=cancellation,
    )  # fmt: skip
    packed = stream.packed_meta()
    assert packed & 0xFF == (1 if cancelled else 2 if pending else 0)
    assert packed >> 8 & 0xFFFFFFFF == penalty
    assert packed >> 40 & 0xFF == curve
    assert (packed >> 48 & 1, packed >> 49 & 1, packed >> 50 & 1) == (migrated, yields, recurrent)
    assert packed >> 51 == cancellation


def test_tokens_have_the_entries_of_their_kind(world, alice, bob):
    create(world, args(world, alice, bob, token=world.usdc.contract))
    create(world, args(world, alice, bob))
    usdc, native_token, nova = (token.contract for token in (world.usdc, world.native, world.nova))
    assert instance(world, usdc).executable.type == xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET
    assert native(storage(world, usdc)["METADATA"].to_xdr_bytes()) == {
        "decimal": 7,
        "name": f"USDC:{world.issuer}",
        "symbol": "USDC",
    }
    assert native(storage(world, native_token)["METADATA"].to_xdr_bytes())["name"] == "native"
    of_contract = v.vec(v.Symbol("Balance"), v.Address(world.v2.contract))
    assert native(data(world, usdc, of_contract)) == {"amount": 1_000_000, "authorized": True, "clawback": True}
    assert native(data(world, nova, of_contract)) == 1_000_000
    assert data(world, usdc, v.vec(v.Symbol("Balance"), v.Address(alice))) is None  # a trust line has it
    assert native(data(world, nova, v.vec(v.Symbol("Balance"), v.Address(bob)))) == 2_000_000 * 10**7


def test_an_allowance_is_there_until_it_is_used_up(world, alice, bob):
    values = (v.Address(alice), v.Address(world.v2.contract), v.I128(9), v.U32(2**31))
    prepared(world, world.nova.contract, "approve", *values).run(NOW)
    sides = v.Map(
        ((v.Symbol("from"), v.Address(alice)), (v.Symbol("spender"), v.Address(world.v2.contract)))
    )  # fmt: skip
    key = v.vec(v.Symbol("Allowance"), sides)
    assert native(data(world, world.nova.contract, key, 0))["amount"] == 9
    assert data(world, world.nova.contract, key, 1) is None
    world.bank.transfer_from(world.nova.contract, world.v2.contract, alice, bob, 9)
    assert data(world, world.nova.contract, key, 0) is None


@pytest.mark.parametrize(
    "key",
    [
        v.Symbol("nothing"),
        v.VOID,
        v.vec(),
        v.vec(v.U64(1), v.U64(0)),
        v.vec(v.Symbol("Stream")),
        v.vec(v.Symbol("Stream"), v.U64(77)),
        v.vec(v.Symbol("Stream"), v.U32(0)),
        v.vec(v.Symbol("Balance"), v.Bool(True)),
        v.vec(v.Symbol("Allowance"), v.Map(())),
    ],
)
def test_what_is_not_kept_is_not_there(world, alice, bob, key):
    create(world, args(world, alice, bob))
    for contract in world.contracts.values():
        assert data(world, contract, key) is None
        assert data(world, contract, key, 0) is None
    assert contract_data(world, world.directory.contract("nothing"), encode(v.InstanceKey()), 1) is None
    assert contract_data(world, world.v2.contract, b"\0\0\0\5", 1) is None


def test_instance_storage_stands_in_the_order_of_its_keys(world, alice, bob):
    for _ in range(3):
        world.v1.create_stream(NOW, alice, bob, world.nova.contract, 1000, NOW, NOW, NOW + 100, Curve.LINEAR, False)
    for contract in world.contracts.values():
        entries = decode_scval(data(world, contract, v.InstanceKey())).value.storage
        keys = [_order(key) for key, _ in entries or ()]
        assert keys == sorted(keys)


def _order(key):
    inner = [_order(item) for item in key.value] if isinstance(key.value, tuple) else key.value
    return int(key.arm), inner


def test_every_contracts_code_is_there_under_its_hash(world):
    for name, contract in world.contracts.items():
        executable = instance(world, contract).executable
        if name in {"token-xlm", "token-usdc"}:
            assert executable.wasm_hash is None
            continue
        assert contract_code(world, executable.wasm_hash.hash) is not None
    assert contract_code(world, b"\0" * 32) is None


# --- footprints -----------------------------------------------------------------------------------


def parsed(keys: list[bytes]) -> list[xdr.LedgerKey]:
    assert len(set(keys)) == len(keys)
    assert all(entry_type(key) is not None for key in keys)
    return [xdr.LedgerKey.from_xdr_bytes(key) for key in keys]


def test_a_withdrawal_writes_the_stream_and_both_balances(world, alice, bob):
    number = create(world, args(world, alice, bob, token=world.usdc.contract))
    made = prepared(world, world.v2.contract, "withdraw", v.U64(number), v.Address(bob))
    before = world.copy()
    found = made.footprint(NOW + 50)
    assert world.v2.open == before.v2.open  # trying it changed nothing
    written = parsed(found.read_write)
    kinds = sorted(key.type.name for key in written)
    assert kinds == ["CONTRACT_DATA", "CONTRACT_DATA", "TRUSTLINE"]
    read = parsed(found.read_only)
    assert {key.type.name for key in read} == {"CONTRACT_DATA", "CONTRACT_CODE"}
    assert instance_key(world.v2.contract) in found.read_only
    assert instance_key(world.usdc.contract) in found.read_only
    assert not set(found.read_only) & set(found.read_write)


def test_native_balances_are_the_accounts_own(world, alice, bob):
    terms = args(world, alice, bob, token=world.native.contract)
    made = prepared(world, world.v2.contract, "create_stream", terms.value())
    found = made.footprint(NOW)
    assert EntryType.ACCOUNT in {entry_type(key) for key in found.read_write}
    assert instance_key(world.v2.contract) in found.read_write  # the next id stands there


def test_reading_writes_nothing(world, alice, bob):
    number = create(world, args(world, alice, bob))
    found = prepared(world, world.v2.contract, "get_stream", v.U64(number)).footprint(NOW)
    assert found.read_write == []
    assert len(found.read_only) == 3  # the stream, the contract and its code


def test_a_stream_of_the_first_contract_is_written_with_the_whole_contract(world, alice, bob):
    world.v1.create_stream(NOW, alice, bob, world.nova.contract, 1000, NOW, NOW, NOW + 100, Curve.LINEAR, False)
    found = prepared(world, world.v1.contract, "withdraw", v.U64(0), v.Address(bob)).footprint(NOW + 50)
    assert instance_key(world.v1.contract) in found.read_write
    assert len(found.read_write) == 3  # and two balances


def test_what_fails_writes_nothing(world, bob):
    found = prepared(world, world.v2.contract, "withdraw", v.U64(5), v.Address(bob)).footprint(NOW)
    assert found.read_write == []
    assert instance_key(world.v2.contract) in found.read_only
