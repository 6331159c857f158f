"""sendTransaction: what a node checks before it takes a transaction, and what it says of one that it does not take."""

from __future__ import annotations

from hashlib import sha256

import pytest
from stellar_sdk import (
    Asset,
    FeeBumpTransactionEnvelope,
    Keypair,
    MuxedAccount,
    SignerKey,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)

from stellarstream_core.errors import UsageError
from stellarstream_sandbox.accounts import AccountSetup
from stellarstream_sandbox.jsonrpc import JsonRpcError
from stellarstream_sandbox.network import SandboxNetwork
from tests.sandbox.wallet import QUIET, Chain, code_of

STRANGER = Keypair.random()
XLM = Asset.native()


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def alice(chain) -> Keypair:
    return chain.keys("alice")


@pytest.fixture
def bob(chain) -> Keypair:
    return chain.keys("bob")


def paying(chain: Chain, keys: Keypair, target: str, amount: str = "1", **how) -> TransactionEnvelope:
    return chain.builder(keys, **how).append_payment_op(target, XLM, amount).build()


def bumped(chain: Chain, payer: Keypair, inner: TransactionEnvelope, base_fee: int = 200) -> FeeBumpTransactionEnvelope:
    envelope = TransactionBuilder.build_fee_bump_transaction(payer, base_fee, inner, chain.passphrase)
    envelope.sign(payer)
    return envelope


# --- what is taken ----------------------------------------------------------------------------------


def test_a_good_transaction_is_pending_and_then_applied(chain, alice, bob):
    envelope = paying(chain, alice, bob.public_key)
    answer = chain.send(envelope, alice)
    closed_at = chain.simulation.history.snapshot().close_time(chain.latest)
    assert answer == {
        "status": "PENDING",
        "hash": envelope.hash_hex(),
        "latestLedger": chain.latest,
        "latestLedgerCloseTime": str(closed_at),
    }
    assert chain.transaction(answer["hash"])["status"] == "NOT_FOUND"
    before = chain.sequence(alice.public_key)
    ledger = chain.close()
    found = chain.transaction(answer["hash"])
    assert (found["status"], found["ledger"]) == ("SUCCESS", ledger.sequence)
    assert found["envelopeXdr"] == envelope.to_xdr(), "the very bytes that were sent, signatures and all"
    assert chain.sequence(alice.public_key) == before + 1


def test_the_same_transaction_again_is_a_duplicate_until_it_is_applied(chain, alice, bob):
    envelope = paying(chain, alice, bob.public_key)
    assert chain.send(envelope, alice)["status"] == "PENDING"
    assert chain.send(envelope)["status"] == "DUPLICATE"
    chain.close()
    assert code_of(chain.send(envelope)) == "txBAD_SEQ"
    chain.close()
    assert chain.transaction(envelope.hash_hex())["ledger"] == chain.latest - 1


def test_one_transaction_of_an_account_waits_at_a_time(chain, alice, bob):
    first = paying(chain, alice, bob.public_key)
    second = paying(chain, alice, bob.public_key, sequence=chain.sequence(alice.public_key) + 1)
    assert chain.send(first, alice)["status"] == "PENDING"
    assert chain.send(second, alice)["status"] == "TRY_AGAIN_LATER"
    chain.close()
    assert chain.send(second)["status"] == "PENDING"
    chain.close()
    assert chain.transaction(second.hash_hex())["status"] == "SUCCESS"


def test_two_of_one_account_with_one_sequence_number_are_one_too_many(chain, alice, bob):
    assert chain.send(paying(chain, alice, bob.public_key, "1"), alice)["status"] == "PENDING"
    late = paying(chain, alice, bob.public_key, "2")
    assert chain.send(late, alice)["status"] == "TRY_AGAIN_LATER"
    chain.close()
    assert code_of(chain.send(late)) == "txBAD_SEQ"


def test_accounts_do_not_wait_for_each_other(chain):
    users = [chain.keys(name) for name in ("alice", "bob", "carol", "dave")]
    hashes = [
        chain.send(paying(chain, one, other.public_key), one)["hash"]
        for one, other in zip(users, users[1:] + users[:1], strict=True)
    ]
    ledger = chain.close()
    assert [one.hash.hex() for one in ledger.transactions] == hashes
    assert all(one.succeeded for one in ledger.transactions)


# --- what is not ------------------------------------------------------------------------------------


def test_a_wrong_signer_is_bad_auth(chain, alice, bob):
    assert code_of(chain.send(paying(chain, alice, bob.public_key), STRANGER)) == "txBAD_AUTH"


def test_no_signature_at_all_is_bad_auth(chain, alice, bob):
    assert code_of(chain.send(paying(chain, alice, bob.public_key))) == "txBAD_AUTH"


def test_a_signature_for_another_network_is_bad_auth(chain, alice, bob):
    elsewhere = TransactionEnvelope(
        paying(chain, alice, bob.public_key).transaction, "Test SDF Network ; September 2015"
    )
    assert code_of(chain.send(elsewhere, alice)) == "txBAD_AUTH"


def test_a_signature_of_no_use_is_one_too_many(chain, alice, bob):
    assert code_of(chain.send(paying(chain, alice, bob.public_key), alice, STRANGER)) == "txBAD_AUTH_EXTRA"


@pytest.mark.parametrize("step", [-1, 1, 7])
def test_a_sequence_number_that_is_not_the_next_is_bad_seq(chain, alice, bob, step):
    wrong = paying(chain, alice, bob.public_key, sequence=chain.sequence(alice.public_key) + step)
    assert code_of(chain.send(wrong, alice)) == "txBAD_SEQ"


def test_what_ends_before_the_next_ledger_is_too_late(chain, alice, bob):
    assert code_of(chain.send(paying(chain, alice, bob.public_key, until=chain.next_close - 1), alice)) == "txTOO_LATE"
    assert chain.send(paying(chain, alice, bob.public_key, until=chain.next_close), alice)["status"] == "PENDING"


def test_what_begins_after_the_next_ledger_is_too_early(chain, alice, bob):
    builder = chain.builder(alice).append_payment_op(bob.public_key, XLM, "1")
    builder.add_time_bounds(chain.next_close + 1, 0)
    assert code_of(chain.send(builder.build(), alice)) == "txTOO_EARLY"


def test_ledger_bounds_hold(chain, alice, bob):
    latest = chain.latest
    for bounds, code in (((latest + 2, 0), "txTOO_EARLY"), ((0, latest + 1), "txTOO_LATE")):
        builder = chain.builder(alice).append_payment_op(bob.public_key, XLM, "1").set_ledger_bounds(*bounds)
        assert code_of(chain.send(builder.build(), alice)) == code


def test_a_low_bid_is_an_insufficient_fee(chain, alice, bob):
    answer = chain.send(paying(chain, alice, bob.public_key, fee=99), alice)
    assert code_of(answer) == "txINSUFFICIENT_FEE"
    assert xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).fee_charged.int64 == 100


def test_an_account_that_does_not_exist_has_no_transactions(chain, bob):
    assert code_of(chain.send(paying(chain, STRANGER, bob.public_key, sequence=1), STRANGER)) == "txNO_ACCOUNT"


def test_who_cannot_pay_the_fee_above_the_reserve_has_an_insufficient_balance(chain, bob):
    chain.simulation.set_account(AccountSetup(STRANGER.public_key, balance=10_000_099))
    chain.close()
    assert code_of(chain.send(paying(chain, STRANGER, bob.public_key), STRANGER)) == "txINSUFFICIENT_BALANCE"


def test_a_transaction_needs_an_operation(chain, alice):
    assert code_of(chain.send(chain.builder(alice).build(), alice)) == "txMISSING_OPERATION"


def test_operations_that_are_not_simulated_say_so(chain, alice):
    builder = chain.builder(alice).append_payment_op(alice.public_key, XLM, "1").append_manage_data_op("a", b"b")
    answer = chain.send(builder.build(), alice)
    assert code_of(answer) == "txFAILED"
    one, other = xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result.results
    assert one.code == xdr.OperationResultCode.opINNER
    assert other.code == xdr.OperationResultCode.opNOT_SUPPORTED


def test_uploading_code_is_not_supported(chain, alice):
    envelope = chain.builder(alice).append_upload_contract_wasm_op(b"\0asm").build()
    data = xdr.SorobanTransactionData.from_xdr(
        chain.simulate(chain.call(alice, "counter", "increment"))["transactionData"]
    )
    envelope.transaction.soroban_data = data
    envelope.transaction.fee += data.resource_fee.int64
    (result,) = xdr.TransactionResult.from_xdr(chain.send(envelope, alice)["errorResultXdr"]).result.results
    assert result.code == xdr.OperationResultCode.opNOT_SUPPORTED


def test_an_amount_of_nothing_is_malformed(chain, alice, bob):
    answer = chain.send(paying(chain, alice, bob.public_key, "0"), alice)
    (result,) = xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result.results
    assert result.tr.payment_result.code == xdr.PaymentResultCode.PAYMENT_MALFORMED


@pytest.mark.parametrize("text", ["", "?", "AAAA", "AAAAAgAAAAA="])
def test_what_is_no_envelope_is_an_error_of_the_request(chain, text):
    with pytest.raises(JsonRpcError) as caught:
        chain.send(text)
    assert (caught.value.code, caught.value.message) == (-32602, "invalid_xdr")


def test_bytes_behind_an_envelope_make_it_none(chain, alice, bob):
    envelope = paying(chain, alice, bob.public_key)
    envelope.sign(alice)
    from base64 import b64encode

    with pytest.raises(JsonRpcError):
        chain.send(b64encode(envelope.to_xdr_object().to_xdr_bytes() + bytes(4)).decode())


# --- contract calls ---------------------------------------------------------------------------------


def test_a_call_that_was_not_prepared_is_malformed(chain, alice):
    assert code_of(chain.send(chain.call(alice, "counter", "increment"), alice)) == "txMALFORMED"


def test_a_payment_with_resources_is_malformed(chain, alice, bob):
    envelope = paying(chain, alice, bob.public_key)
    prepared = chain.prepare(chain.call(alice, "counter", "increment"))
    envelope.transaction.soroban_data = prepared.transaction.soroban_data
    assert code_of(chain.send(envelope, alice)) == "txMALFORMED"


def test_resources_that_cost_more_than_is_bid_are_invalid(chain, alice):
    envelope = chain.prepare(chain.call(alice, "counter", "increment"))
    envelope.transaction.soroban_data.resource_fee = xdr.Int64(envelope.transaction.fee + 1)
    assert code_of(chain.send(envelope, alice)) == "txSOROBAN_INVALID"


def test_resources_that_are_not_paid_for_are_invalid(chain, alice):
    envelope = chain.prepare(chain.call(alice, "counter", "increment"))
    envelope.transaction.soroban_data.resource_fee = xdr.Int64(1)
    assert code_of(chain.send(envelope, alice)) == "txSOROBAN_INVALID"


# --- signers and thresholds -------------------------------------------------------------------------


def test_weights_must_reach_the_threshold(chain, alice, bob):
    chain.simulation.set_account(
        AccountSetup(alice.public_key, {bob.public_key: 1}, master_weight=1, thresholds=(0, 2, 2))
    )
    chain.close()
    answer = chain.send(paying(chain, alice, bob.public_key), alice)
    assert code_of(answer) == "txFAILED"
    (result,) = xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result.results
    assert result.code == xdr.OperationResultCode.opBAD_AUTH
    assert chain.send(paying(chain, alice, bob.public_key), alice, bob)["status"] == "PENDING"


def test_the_low_threshold_guards_the_whole_transaction(chain, alice, bob):
    chain.simulation.set_account(AccountSetup(alice.public_key, master_weight=1, thresholds=(2, 2, 2)))
    chain.close()
    assert code_of(chain.send(paying(chain, alice, bob.public_key), alice)) == "txBAD_AUTH"


def test_a_key_without_weight_signs_nothing(chain, alice, bob):
    chain.simulation.set_account(AccountSetup(alice.public_key, {bob.public_key: 1}, master_weight=0))
    chain.close()
    assert code_of(chain.send(paying(chain, alice, bob.public_key), alice)) == "txBAD_AUTH"
    assert chain.send(paying(chain, alice, bob.public_key), bob)["status"] == "PENDING"


def test_the_preimage_of_a_hash_signs(chain, alice, bob):
    preimage = b"open sesame"
    lock = SignerKey.sha256_hash(sha256(preimage).digest()).encoded_signer_key
    chain.simulation.set_account(AccountSetup(alice.public_key, {lock: 1}, master_weight=0))
    chain.close()
    envelope = paying(chain, alice, bob.public_key)
    envelope.sign_hashx(preimage)
    assert chain.send(envelope)["status"] == "PENDING"


def test_a_transaction_that_was_authorised_beforehand_needs_no_signature(chain, alice, bob):
    envelope = paying(chain, alice, bob.public_key)
    ticket = SignerKey.pre_auth_tx(envelope.hash()).encoded_signer_key
    chain.simulation.set_account(AccountSetup(alice.public_key, {ticket: 1}, master_weight=0))
    chain.close()
    assert chain.send(envelope)["status"] == "PENDING"


def test_an_operation_of_another_account_needs_its_signature(chain, alice, bob):
    builder = chain.builder(alice).append_payment_op(alice.public_key, XLM, "1", source=bob.public_key)
    assert code_of(chain.send(builder.build(), alice)) == "txFAILED"
    builder = chain.builder(alice).append_payment_op(alice.public_key, XLM, "1", source=bob.public_key)
    assert chain.send(builder.build(), alice, bob)["status"] == "PENDING"


def test_extra_signers_must_sign(chain, alice, bob):
    def envelope():
        builder = chain.builder(alice).append_payment_op(bob.public_key, XLM, "1")
        return builder.add_extra_signer(SignerKey.ed25519_public_key(STRANGER.public_key)).build()

    assert code_of(chain.send(envelope(), alice)) == "txBAD_AUTH"
    assert chain.send(envelope(), alice, STRANGER)["status"] == "PENDING"


def test_a_lower_bound_for_the_sequence_number_lets_it_jump(chain, alice, bob):
    now = chain.sequence(alice.public_key)
    builder = chain.builder(alice, sequence=now + 40).append_payment_op(bob.public_key, XLM, "1")
    builder.set_min_sequence_number(now)
    assert chain.send(builder.build(), alice)["status"] == "PENDING"
    chain.close()
    assert chain.sequence(alice.public_key) == now + 41


def test_an_account_must_have_been_quiet_for_as_long_as_is_asked(chain, alice, bob):
    chain.send(paying(chain, alice, bob.public_key), alice)
    chain.close()
    for name, value in (("set_min_sequence_age", 1000), ("set_min_sequence_ledger_gap", 9)):
        builder = chain.builder(alice).append_payment_op(bob.public_key, XLM, "1")
        getattr(builder, name)(value)
        assert code_of(chain.send(builder.build(), alice)) == "txBAD_MIN_SEQ_AGE_OR_GAP"


# --- fee bumps and other forms ----------------------------------------------------------------------


def test_a_fee_bump_is_paid_by_who_bumps(chain, alice, bob):
    inner = paying(chain, alice, bob.public_key, fee=0)
    inner.sign(alice)
    envelope = bumped(chain, bob, inner)
    xlm = chain.balance(alice.public_key, "token-xlm"), chain.balance(bob.public_key, "token-xlm")
    answer = chain.send(envelope)
    assert (answer["status"], answer["hash"]) == ("PENDING", envelope.hash_hex())
    chain.close()
    found = chain.transaction(answer["hash"])
    assert (found["status"], found["feeBump"]) == ("SUCCESS", True)
    result = xdr.TransactionResult.from_xdr(found["resultXdr"])
    assert result.result.inner_result_pair.transaction_hash.hash == inner.hash()
    assert chain.balance(alice.public_key, "token-xlm") == xlm[0] - 10**7
    assert chain.balance(bob.public_key, "token-xlm") == xlm[1] + 10**7 - 200


def test_what_is_wrong_inside_a_fee_bump_is_told_inside(chain, alice, bob):
    inner = paying(chain, alice, bob.public_key, sequence=5)
    inner.sign(alice)
    answer = chain.send(bumped(chain, bob, inner))
    assert code_of(answer) == "txFEE_BUMP_INNER_FAILED"
    pair = xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result.inner_result_pair
    assert pair.transaction_hash.hash == inner.hash()
    assert pair.result.result.code == xdr.TransactionResultCode.txBAD_SEQ


def test_who_bumps_must_sign_and_exist(chain, alice, bob):
    inner = paying(chain, alice, bob.public_key)
    inner.sign(alice)
    envelope = TransactionBuilder.build_fee_bump_transaction(bob, 200, inner, chain.passphrase)
    envelope.sign(STRANGER)
    assert code_of(chain.send(envelope)) == "txBAD_AUTH"
    assert code_of(chain.send(bumped(chain, STRANGER, inner))) == "txNO_ACCOUNT"


def test_a_fee_bump_of_ten_times_the_fee_takes_the_place_of_what_waits(chain, alice, bob):
    waiting = paying(chain, alice, bob.public_key, fee=100)
    chain.send(waiting, alice)
    inner = paying(chain, alice, bob.public_key, "2", fee=100)
    inner.sign(alice)
    assert chain.send(bumped(chain, bob, inner, 999))["status"] == "TRY_AGAIN_LATER"
    better = bumped(chain, bob, inner, 1000)
    assert chain.send(better)["status"] == "PENDING"
    assert [one.hash for one in chain.close().transactions] == [better.hash()]


def test_a_muxed_source_acts_for_its_account(chain, alice, bob):
    envelope = paying(chain, alice, bob.public_key)
    envelope.transaction.source = MuxedAccount(alice.public_key, 77)
    assert chain.send(envelope, alice)["status"] == "PENDING"
    chain.close()
    assert chain.transaction(envelope.hash_hex())["status"] == "SUCCESS"


def test_an_envelope_of_the_old_form_is_turned_into_the_new_one(chain, alice, bob):
    builder = TransactionBuilder(chain.builder(alice).source_account, chain.passphrase, 200, v1=False)
    envelope = builder.append_payment_op(bob.public_key, XLM, "1").add_time_bounds(0, 0).build()
    assert envelope.to_xdr_object().type == xdr.EnvelopeType.ENVELOPE_TYPE_TX_V0
    answer = chain.send(envelope, alice)
    assert (answer["status"], answer["hash"]) == ("PENDING", envelope.hash_hex())
    chain.close()
    stored = xdr.TransactionEnvelope.from_xdr(chain.transaction(envelope.hash_hex())["envelopeXdr"])
    assert stored.type == xdr.EnvelopeType.ENVELOPE_TYPE_TX


# --- in Python --------------------------------------------------------------------------------------


async def test_a_network_takes_envelopes_without_json_rpc():
    async with SandboxNetwork(QUIET) as network:
        chain = Chain(QUIET)
        chain.simulation = network.simulation
        chain.world = network.simulation.world
        alice = chain.keys("alice")
        envelope = paying(chain, alice, chain.keys("bob").public_key)
        with pytest.raises(UsageError, match="BAD_AUTH"):
            network.submit(envelope.to_xdr())
        envelope.sign(alice)
        assert network.submit(envelope.to_xdr()) == envelope.hash_hex()
        assert network.submit(envelope.to_xdr_object().to_xdr_bytes()) == envelope.hash_hex()
        with pytest.raises(UsageError, match="no transaction envelope"):
            network.submit("AAAA")
        (record,) = network.close_ledger().transactions
        assert record.hash == envelope.hash()
