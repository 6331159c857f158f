"""A call by name and XDR arguments does what the contract does, or fails as the host would have it."""

from __future__ import annotations

import pytest
from stellar_sdk import Address as SdkAddress
from stellar_sdk import scval, xdr

from stellarstream_core.xdr.strkey import VERSION_MUXED_ACCOUNT, account_id_bytes
from stellarstream_core.xdr.strkey import encode as strkey
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Refused, Trapped, UnknownCall
from stellarstream_sandbox.economy.dispatch import call, withdraw_meta_message
from stellarstream_sandbox.economy.stream_v2 import Fault as V2Fault
from stellarstream_sandbox.economy.streams_v1 import Fault as V1Fault
from stellarstream_sandbox.economy.world import UNIT, World
from stellarstream_sandbox.identity import Directory
from stellarstream_sandbox.scval import encode
from tests.sandbox.calling import NOW, args, create, native, prepared, state, state_now, v2


@pytest.fixture
def world() -> World:
    return World(Directory("dispatch", 1))


@pytest.fixture
def alice(world) -> str:
    return world.users[0]


@pytest.fixture
def bob(world) -> str:
    return world.users[1]


@pytest.fixture
def carol(world) -> str:
    return world.users[2]


# --- arguments ------------------------------------------------------------------------------------


def test_a_wallets_arguments_create_a_stream_of_the_first_contract(world, alice, bob):
    raw = [
        scval.to_address(alice),
        scval.to_address(bob),
        scval.to_address(world.usdc.contract),
        scval.to_int128(10**9),
        scval.to_uint64(NOW),
        scval.to_uint64(NOW),
        scval.to_uint64(NOW + 100),
        scval.to_uint32(1),
        scval.to_bool(False),
    ]
    made = call(world, world.v1.contract, "create_stream", [value.to_xdr_bytes() for value in raw])
    assert made.authorisers == (alice,)
    assert not made.read_only
    outcome = made.run(NOW)
    assert outcome.value == v.U64(0)
    (pull,) = outcome.pulls
    assert (pull.contract, pull.function) == (world.usdc.contract, "transfer")
    stream = native(prepared(world, world.v1.contract, "get_stream", v.U64(0)).run(NOW).value)
    assert (stream["sender"], stream["curve_type"], stream["total_amount"]) == (alice, 1, 10**9)


def test_a_wallets_struct_creates_a_stream_of_the_second_contract(world, alice, bob):
    fields = {
        "affiliate": scval.to_void(),
        "cancellation_type": scval.to_uint32(0),
        "cliff_time": scval.to_uint64(NOW),
        "cycle_duration": scval.to_uint64(0),
        "end_time": scval.to_uint64(NOW + 100),
        "is_recurrent": scval.to_bool(False),
        "memo": scval.to_symbol("INV7"),
        "multiplier_bps": scval.to_int128(0),
        "penalty_bps": scval.to_uint32(0),
        "receiver": scval.to_address(bob),
        "sender": scval.to_address(alice),
        "split_address": scval.to_void(),
        "split_bps": scval.to_uint32(0),
        "start_time": scval.to_uint64(NOW),
        "step_duration": scval.to_int128(0),
        "token": scval.to_address(world.native.contract),
        "total_amount": scval.to_int128(400 * UNIT),
        "vault_address": scval.to_void(),
        "yield_enabled": scval.to_bool(False),
        "yield_recipient": scval.to_uint32(1),
    }
    outcome = call(world, world.v2.contract, "create_stream", [scval.to_struct(fields).to_xdr_bytes()]).run(NOW)
    assert [event.topics[1] for event in outcome.events[1:]] == [v.Symbol("create_v2"), v.Symbol("split_exec")]
    assert world.v2.open[0].total == 399 * UNIT  # the fee is a quarter of a percent
    with pytest.raises(Trapped):  # one key too few
        call(world, world.v2.contract, "create_stream", [_without(fields, "memo")])
    wrong = scval.to_struct({**fields, "penalty_bps": scval.to_uint64(0)})
    with pytest.raises(Trapped):  # one of another type
        call(world, world.v2.contract, "create_stream", [wrong.to_xdr_bytes()])


def _without(fields: dict[str, xdr.SCVal], name: str) -> bytes:
    return scval.to_struct({key: value for key, value in fields.items() if key != name}).to_xdr_bytes()


@pytest.mark.parametrize(
    ("function", "values", "error"),
    [
        ("withdraw", (v.U64(0),), "Error(WasmVm, UnexpectedSize)"),
        ("withdraw", (v.U32(0), v.Address("BOB")), "Error(WasmVm, InvalidAction)"),
        ("withdraw", (v.U64(0), v.Symbol("bob")), "Error(WasmVm, InvalidAction)"),
        ("get_streams_batch", (v.vec(v.I128(1)),), "Error(WasmVm, InvalidAction)"),
        ("create_stream", (v.vec(),), "Error(WasmVm, InvalidAction)"),
        ("self_destruct", (), "Error(WasmVm, MissingValue)"),
    ],
)
def test_what_is_no_call_of_the_contract_is_an_error_of_the_host(world, bob, function, values, error):
    values = tuple(v.Address(bob) if value == v.Address("BOB") else value for value in values)
    with pytest.raises(Trapped) as caught:
        prepared(world, world.v2.contract, function, *values)
    assert caught.value.text == error
    assert encode(caught.value.error)[:4] == b"\0\0\0\2"


def test_a_contract_that_is_not_there_is_told(world, bob):
    with pytest.raises(UnknownCall) as caught:
        prepared(world, world.directory.contract("nothing"), "balance", v.Address(bob))
    assert caught.value.text == "Error(Storage, MissingValue)"


def test_only_accounts_and_contracts_are_addresses_to_a_contract(world, alice):
    muxed = strkey(VERSION_MUXED_ACCOUNT, account_id_bytes(alice) + (7).to_bytes(8, "big"))
    with pytest.raises(Trapped):
        prepared(world, world.v2.contract, "cancel", v.U64(0), v.Address(muxed))
    with pytest.raises(Trapped):
        prepared(world, world.nova.contract, "balance", v.Address(muxed))


def test_bytes_that_are_no_value_are_refused(world):
    with pytest.raises(Trapped):
        call(world, world.v2.contract, "get_stream", [b"\0\0\0\5"])


def test_errors_have_the_published_numbers(world, alice, bob):
    create(world, args(world, alice, bob))
    for function, values, fault in (
        ("withdraw", (v.U64(9), v.Address(bob)), V2Fault.STREAM_NOT_FOUND),
        ("withdraw", (v.U64(0), v.Address(alice)), V2Fault.NOT_BENEFICIARY),
        ("withdraw", (v.U64(0), v.Address(bob)), V2Fault.NOTHING_TO_WITHDRAW),
        ("refill_stream", (v.U64(0),), V2Fault.NOT_RECURRENT),
        ("close_and_archive", (v.U64(0), v.Address(bob)), V2Fault.STREAM_NOT_FULLY_WITHDRAWN),
        ("split_stream", (v.U64(0), v.VOID, v.U32(10_000)), V2Fault.INVALID_SPLIT_BPS),
        ("top_up", (v.U64(0), v.Address(alice), v.I128(0)), V2Fault.BELOW_DUST_THRESHOLD),
        ("accept_rate", (v.U64(0),), V2Fault.NO_PENDING_UPDATE),
        ("get_streams_batch", (v.Vec((v.U64(0),) * 26),), V2Fault.BATCH_TOO_LARGE),
    ):
        with pytest.raises(Refused) as caught:
            v2(world, function, *values)
        assert caught.value.code == fault
        assert caught.value.contract == world.v2.contract
        assert caught.value.text == f"Error(Contract, #{fault.value})"


def test_a_contract_that_panics_has_no_number_of_its_own(world, alice, bob):
    terms = [v.Address(alice), v.Address(bob), v.Address(world.nova.contract), v.I128(10)]
    early = [v.U64(NOW), v.U64(NOW - 1), v.U64(NOW + 100), v.U32(0), v.Bool(False)]
    with pytest.raises(Trapped) as caught:
        prepared(world, world.v1.contract, "create_stream", *terms, *early).run(NOW)
    assert caught.value.text == "Error(WasmVm, InvalidAction)"
    times = [v.U64(NOW), v.U64(NOW), v.U64(NOW + 100), v.U32(0), v.Bool(False)]
    prepared(world, world.v1.contract, "create_stream", *terms, *times).run(NOW)
    with pytest.raises(Trapped) as caught:  # ten units in a hundred seconds are no unit a second
        prepared(world, world.v1.contract, "top_up_stream", v.U64(0), v.Address(alice), v.I128(5)).run(NOW)
    assert caught.value.text == "Error(WasmVm, InvalidAction)"


def test_a_token_that_is_short_fails_with_its_own_number(world, alice, bob):
    with pytest.raises(Refused) as caught:
        create(world, args(world, alice, bob, total=10**20))
    assert (caught.value.code, caught.value.contract) == (10, world.nova.contract)


# --- who authorises ------------------------------------------------------------------------------


def test_those_authorise_whom_the_contract_asks(world, alice, bob, carol):
    create(world, args(world, alice, bob))
    create(world, args(world, alice, bob, cancellation_type=1))
    v2(world, "transfer_beneficiary", v.U64(1), v.Address(carol))

    def of(function: str, *values: v.Value):
        return prepared(world, world.v2.contract, function, *values).authorisers

    assert of("withdraw", v.U64(1), v.Address(carol)) == (carol,)
    assert of("cancel", v.U64(0), v.Address(bob)) == (bob,)
    assert of("cancel", v.U64(1), v.Address(carol)) == (alice, bob)
    assert of("transfer_beneficiary", v.U64(1), v.Address(alice)) == (carol,)
    assert of("split_stream", v.U64(1), v.VOID, v.U32(0)) == (carol,)
    assert of("propose_rate", v.U64(0), v.I128(5)) == (alice,)
    assert of("accept_rate", v.U64(1)) == (bob,)
    assert of("cancel_rate_proposal", v.U64(1), v.Address(bob)) == ()
    assert of("refill_stream", v.U64(0)) == ()
    assert of("pause") == of("withdraw_treasury", v.Address(world.nova.contract)) == (world.admin,)
    assert of("withdraw", v.U64(99), v.Address(bob)) == (bob,)
    token = prepared(world, world.usdc.contract, "clawback", v.Address(bob), v.I128(1))
    assert token.authorisers == (world.issuer,)


def test_reading_is_told_apart(world, alice, bob):
    create(world, args(world, alice, bob))
    assert prepared(world, world.v2.contract, "get_stream", v.U64(0)).read_only
    assert prepared(world, world.v2.contract, "predict_balance_at", v.U64(0), v.U64(NOW)).read_only
    assert not prepared(world, world.v2.contract, "withdraw", v.U64(0), v.Address(bob)).read_only


# --- tokens ---------------------------------------------------------------------------------------


def test_tokens_tell_their_names_and_balances(world, alice):
    def ask(token, function, *values):
        return native(prepared(world, token.contract, function, *values).run(NOW).value)

    assert [ask(token, "symbol") for token in world.tokens] == ["native", "USDC", "NOVA"]
    assert [ask(token, "name") for token in world.tokens] == ["native", f"USDC:{world.issuer}", "NOVA"]
    assert {ask(token, "decimals") for token in world.tokens} == {7}
    assert ask(world.nova, "balance", v.Address(alice)) == 2_000_000 * UNIT
    assert ask(world.nova, "balance", v.Address(world.v2.contract)) == 0


def test_a_transfer_to_a_muxed_account_names_its_id(world, alice, bob):
    muxed = strkey(VERSION_MUXED_ACCOUNT, account_id_bytes(bob) + (7).to_bytes(8, "big"))
    values = (v.Address(alice), v.Address(muxed), v.I128(5))
    (event,) = prepared(world, world.native.contract, "transfer", *values).run(NOW).events
    assert event.topics[:3] == (v.Symbol("transfer"), v.Address(alice), v.Address(bob))
    assert native(event.data) == {"amount": 5, "to_muxed_id": 7}


def test_an_asset_reaches_no_account_that_does_not_exist(world, alice):
    nobody = SdkAddress.from_raw_account(b"\7" * 32).address
    for token, fault in ((world.native, 6), (world.usdc, 13)):
        with pytest.raises(Refused) as caught:
            prepared(world, token.contract, "transfer", v.Address(alice), v.Address(nobody), v.I128(5)).run(NOW)
        assert caught.value.code == fault
    prepared(world, world.nova.contract, "transfer", v.Address(alice), v.Address(nobody), v.I128(5)).run(NOW)


def test_a_negative_amount_is_refused(world, alice, bob):
    with pytest.raises(Refused) as caught:
        prepared(world, world.nova.contract, "transfer", v.Address(alice), v.Address(bob), v.I128(-1)).run(NOW)
    assert caught.value.code == 8


# --- worlds ---------------------------------------------------------------------------------------


def test_a_copy_changes_apart_from_its_world(world, alice, bob):
    create(world, args(world, alice, bob, total=10**9))
    before = state_now(world)
    tried = world.copy()
    v2(tried, "withdraw", v.U64(0), v.Address(bob), now=NOW + 50)
    create(tried, args(tried, alice, bob, vault=tried.vault_of(tried.nova.contract).contract, yield_enabled=True))
    prepared(tried, tried.counter.contract, "increment").run(NOW)
    tried.accounts[alice].seq_num += 1
    assert state(world) == before
    assert state(tried) != before
    assert world.accounts[alice].seq_num != tried.accounts[alice].seq_num


def test_what_a_refused_call_had_begun_is_undone(world, alice, bob):
    vault = world.vault_of(world.nova.contract).contract
    world.vaults[vault].set_paused(True)
    contracts = (world.v1, world.v2, world.bank, world.vaults[vault])
    before = state_now(world)
    with pytest.raises(Refused):  # the tokens are taken before the vault refuses them
        create(world, args(world, alice, bob, vault=vault, yield_enabled=True))
    assert state(world) == before
    assert (world.v1, world.v2, world.bank, world.vaults[vault]) == contracts
    assert all(
        one is other
        for one, other in zip(contracts, (world.v1, world.v2, world.bank, world.vaults[vault]), strict=True)
    )
    world.vaults[vault].set_paused(False)
    assert create(world, args(world, alice, bob, vault=vault, yield_enabled=True)) == 0


# --- a withdrawal that a relayer sends --------------------------------------------------------------


def test_a_signed_withdrawal_pays_the_relayer_and_holds_once(world, alice, bob, carol):
    create(world, args(world, alice, bob, total=10**9))
    keys = world.directory.keys_of(bob)
    signed = keys.sign(withdraw_meta_message(world.v2.contract, 0, 1000, 10, 0, NOW + 60))
    before = world.bank.balance(world.nova.contract, carol)
    values = (
        v.U64(0),
        v.I128(1000),
        v.I128(10),
        v.Address(carol),
        v.Bytes(keys.public),
        v.U64(0),
        v.U64(NOW + 60),
        v.Bytes(signed),
    )
    outcome = v2(world, "withdraw_meta", *values, now=NOW + 50)
    assert native(outcome.events[-1].data)["data"] == [0, bob, 990, 10, NOW + 50]
    assert world.bank.balance(world.nova.contract, carol) == before + 10
    with pytest.raises(Refused) as caught:
        v2(world, "withdraw_meta", *values, now=NOW + 50)
    assert caught.value.code == V2Fault.INVALID_NONCE
    forged = (*values[:5], v.U64(1), v.U64(NOW + 60), v.Bytes(signed))
    with pytest.raises(Trapped) as caught:
        v2(world, "withdraw_meta", *forged, now=NOW + 50)
    assert caught.value.text == "Error(Crypto, InvalidInput)"
    assert native(v2(world, "get_withdrawal_nonce", v.Address(bob), v.U64(0)).value) == 1


# --- proposals of the first contract ----------------------------------------------------------------


def test_the_last_approval_opens_the_proposed_stream(world, alice, bob, carol):
    v1 = world.v1.contract
    values = (v.Address(alice), v.Address(bob), v.Address(world.nova.contract), v.I128(1000))
    times = (v.U64(NOW), v.U64(NOW + 100), v.U32(2), v.U64(NOW + 50))
    (event,) = prepared(world, v1, "create_proposal", *values, *times).run(NOW).events
    assert event.topics == (v.Symbol("create"), v.Address(alice))
    assert "stream_id" not in native(event.data)
    first = prepared(world, v1, "approve_proposal", v.U64(0), v.Address(carol))
    assert first.authorisers == (carol,)
    first.run(NOW)
    with pytest.raises(Refused) as caught:
        prepared(world, v1, "approve_proposal", v.U64(0), v.Address(carol)).run(NOW)
    assert caught.value.code == V1Fault.ALREADY_APPROVED
    last = prepared(world, v1, "approve_proposal", v.U64(0), v.Address(bob))
    assert last.authorisers == (bob, alice)  # whose tokens are taken
    outcome = last.run(NOW)
    assert [event.topics[0].name for event in outcome.events] == ["transfer", "create", "approve"]
    assert world.v1.open[0].total == 1000
    with pytest.raises(Refused) as caught:
        prepared(world, v1, "approve_proposal", v.U64(0), v.Address(alice)).run(NOW)
    assert caught.value.code == V1Fault.PROPOSAL_ALREADY_EXECUTED
