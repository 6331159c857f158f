"""Wallets' transactions in a ledger: what they do, what their failure looks like, and that the ledger proves them."""

from __future__ import annotations

import pytest
from stellar_sdk import Asset, Keypair, MuxedAccount, TransactionBuilder, TransactionEnvelope, scval, xdr
from stellar_sdk.auth import authorize_entry

from stellarstream_core.xdr.ledger import ledger_events, read_ledger
from stellarstream_sandbox.accounts import AccountSetup
from stellarstream_sandbox.config import SandboxConfig
from tests.sandbox.conftest import GENESIS_TIME, closed
from tests.sandbox.wallet import Chain, stream_v1, stream_v2

XLM = Asset.native()
UNIT = 10**7
INVOKE = xdr.InvokeHostFunctionResultCode


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def alice(chain) -> Keypair:
    return chain.keys("alice")


@pytest.fixture
def bob(chain) -> Keypair:
    return chain.keys("bob")


def usdc(chain: Chain) -> Asset:
    return Asset("USDC", chain.simulation.accounts["issuer"])


def transferring(chain: Chain, source: Keypair, owner: str, target: str, amount: int) -> TransactionEnvelope:
    """Return a prepared call of USDC's ``transfer``, made by ``source`` for ``owner``."""
    args = [scval.to_address(owner), scval.to_address(target), scval.to_int128(amount)]
    return chain.prepare(chain.call(source, "token-usdc", "transfer", *args))


def applied(chain: Chain, envelope: TransactionEnvelope, *signers: Keypair) -> dict:
    """Hand in, close a ledger and return ``getTransaction``'s answer."""
    answer = chain.send(envelope, *signers)
    assert answer["status"] == "PENDING", answer
    chain.close()
    return chain.transaction(answer["hash"])


def invoke_code(found: dict) -> xdr.InvokeHostFunctionResultCode:
    (result,) = xdr.TransactionResult.from_xdr(found["resultXdr"]).result.results
    return result.tr.invoke_host_function_result.code


def reasons(found: dict) -> list[object]:
    """Return what the error events of a failed transaction say, oldest first."""
    events = [xdr.DiagnosticEvent.from_xdr(one) for one in found["diagnosticEventsXdr"]]
    assert not any(event.in_successful_contract_call for event in events)
    bodies = [event.event.body.v0 for event in events]
    return [scval.to_native(body.data) for body in bodies if body.topics[0] == scval.to_symbol("error")]


# --- contract calls ---------------------------------------------------------------------------------


def test_a_stream_is_made_paid_from_and_cancelled(chain, alice, bob):
    start = chain.next_close
    token = chain.contracts["token-usdc"]
    before = chain.balance(alice.public_key), chain.balance(bob.public_key)
    args = stream_v2(alice.public_key, bob.public_key, token, 1_000 * UNIT, start, start + 100)
    stream = chain.done(alice, "streams-v2", "create_stream", args)
    held = chain.world.v2.streams.get(scval.from_uint64(stream)).total
    paid = chain.done(bob, "streams-v2", "withdraw", stream, scval.to_address(bob.public_key))
    assert scval.from_int128(paid) == chain.balance(bob.public_key) - before[1] == held * 5 // 100
    chain.done(alice, "streams-v2", "cancel", stream, scval.to_address(alice.public_key))
    fee = 1_000 * UNIT - held
    assert chain.balance(alice.public_key) + chain.balance(bob.public_key) == sum(before) - fee


def test_events_are_numbered_and_proven_like_all_others(chain, alice, bob):
    start = chain.next_close
    args = stream_v1(alice.public_key, bob.public_key, chain.contracts["token-usdc"], UNIT * 100, start, start + 100)
    envelope = chain.prepare(chain.call(alice, "streams-v1", "create_stream", *args))
    chain.send(envelope, alice)
    ledger = chain.close()
    ours = ledger_events(read_ledger(ledger.meta), None)
    assert [str(event.id) for event in ours] == [event.id for event in ledger.events]
    assert {event.tx_hash for event in ours} == {envelope.hash_hex()}
    contracts = [event.contract_id for event in ours]
    native, v1, token = (chain.contracts[name] for name in ("token-xlm", "streams-v1", "token-usdc"))
    assert contracts == [native, token, v1, native]


def test_a_refused_call_fails_with_its_reason_and_costs_its_fee(chain, alice, bob):
    start = chain.next_close
    token = chain.contracts["token-nova"]
    args = stream_v2(alice.public_key, bob.public_key, token, 1_000 * UNIT, start, start + 100)
    stream = chain.done(alice, "streams-v2", "create_stream", args)
    withdrawing = [stream, scval.to_address(bob.public_key)]
    early = chain.prepare(chain.call(bob, "streams-v2", "withdraw", *withdrawing))
    chain.done(alice, "streams-v2", "cancel", stream, scval.to_address(alice.public_key))
    balance = chain.balance(bob.public_key, "token-xlm")
    found = applied(chain, early, bob)
    assert found["status"] == "FAILED"
    assert invoke_code(found) == INVOKE.INVOKE_HOST_FUNCTION_TRAPPED
    assert reasons(found) == ["escalating Ok(ScErrorType::Contract) frame-exit to Err"]
    charged = xdr.TransactionResult.from_xdr(found["resultXdr"]).fee_charged.int64
    assert balance - charged == chain.balance(bob.public_key, "token-xlm")
    assert charged < early.transaction.fee, "what was meant for events comes back"


def test_money_that_is_gone_when_its_turn_comes_fails_in_the_token(chain, alice, bob):
    everything = chain.balance(alice.public_key)
    start = chain.next_close
    args = stream_v1(alice.public_key, bob.public_key, chain.contracts["token-usdc"], everything, start, start + 100)
    envelope = chain.prepare(chain.call(alice, "streams-v1", "create_stream", *args))
    taken = chain.prepare(
        chain.call(
            bob,
            "token-usdc",
            "transfer",
            *(scval.to_address(one.public_key) for one in (alice, bob)),
            scval.to_int128(1),
        )
    )
    (entry,) = taken.transaction.operations[0].auth
    signed = authorize_entry(entry, alice, chain.latest + 100, chain.passphrase)
    taken.transaction.operations[0].auth = [signed]
    chain.send(taken, bob)
    chain.send(envelope, alice)
    chain.close()
    assert chain.transaction(taken.hash_hex())["status"] == "SUCCESS"
    found = chain.transaction(envelope.hash_hex())
    assert invoke_code(found) == INVOKE.INVOKE_HOST_FUNCTION_TRAPPED
    assert chain.balance(alice.public_key) == everything - 1
    assert len(reasons(found)) == 3


def test_a_contract_outside_the_footprint_is_out_of_reach(chain, alice):
    envelope = chain.prepare(chain.call(alice, "counter", "increment"))
    resources = envelope.transaction.soroban_data.resources
    resources.footprint = xdr.LedgerFootprint([], [])
    found = applied(chain, envelope, alice)
    assert invoke_code(found) == INVOKE.INVOKE_HOST_FUNCTION_TRAPPED
    assert "outside of the footprint" in str(reasons(found))
    assert chain.world.counter.count == 0


def test_events_that_are_not_paid_for_do_not_happen(chain, alice):
    envelope = chain.prepare(chain.call(alice, "counter", "increment"))
    envelope.transaction.soroban_data.resource_fee = xdr.Int64(25_001)
    found = applied(chain, envelope, alice)
    assert invoke_code(found) == INVOKE.INVOKE_HOST_FUNCTION_INSUFFICIENT_REFUNDABLE_FEE
    assert chain.world.counter.count == 0


def test_what_a_call_does_not_use_of_its_fee_comes_back(chain, alice):
    before = chain.balance(alice.public_key, "token-xlm")
    envelope = chain.prepare(chain.call(alice, "counter", "increment"))
    envelope.transaction.soroban_data.resource_fee = xdr.Int64(500_000)
    envelope.transaction.fee += 500_000
    found = applied(chain, envelope, alice)
    charged = xdr.TransactionResult.from_xdr(found["resultXdr"]).fee_charged.int64
    assert charged < 100_000
    assert chain.balance(alice.public_key, "token-xlm") == before - charged
    events = [xdr.TransactionEvent.from_xdr(one) for one in found["events"]["transactionEventsXdr"]]
    amounts = [scval.from_int128(one.event.body.v0.data) for one in events]
    assert sum(amounts) == charged
    assert len(amounts) == 2


def test_somebody_else_may_pay_for_a_call_and_gets_the_rest_back(chain, alice, bob):
    inner = chain.prepare(chain.call(alice, "counter", "increment"))
    inner.sign(alice)
    envelope = TransactionBuilder.build_fee_bump_transaction(bob, 50_000, inner, chain.passphrase)
    before = chain.balance(alice.public_key, "token-xlm"), chain.balance(bob.public_key, "token-xlm")
    found = applied(chain, envelope, bob)
    assert (found["status"], found["feeBump"]) == ("SUCCESS", True)
    result = xdr.TransactionResult.from_xdr(found["resultXdr"])
    assert result.result.inner_result_pair.transaction_hash.hash == inner.hash()
    assert chain.balance(alice.public_key, "token-xlm") == before[0]
    assert chain.balance(bob.public_key, "token-xlm") == before[1] - result.fee_charged.int64
    assert chain.world.counter.count == 1


def test_a_function_that_does_not_exist_traps_in_the_ledger_too(chain, alice):
    envelope = chain.prepare(chain.call(alice, "counter", "increment"))
    call = envelope.transaction.operations[0].host_function.invoke_contract
    call.function_name = xdr.SCSymbol(b"decrement")
    found = applied(chain, envelope, alice)
    assert invoke_code(found) == INVOKE.INVOKE_HOST_FUNCTION_TRAPPED
    assert "trying to invoke non-existent contract function" in str(reasons(found))


# --- authorisation ----------------------------------------------------------------------------------


def signed_by(chain: Chain, envelope: TransactionEnvelope, keys: Keypair, until: int | None = None):
    """Put a signature under the one authorisation that is asked for, and return the transaction."""
    operation = envelope.transaction.operations[0]
    (entry,) = operation.auth
    until = chain.latest + 10 if until is None else until
    operation.auth = [authorize_entry(entry, keys, until, chain.passphrase)]
    return envelope


def test_who_signed_an_authorisation_need_not_send_it(chain, alice, bob):
    before = chain.balance(bob.public_key)
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    assert applied(chain, signed_by(chain, envelope, bob), alice)["status"] == "SUCCESS"
    assert chain.balance(bob.public_key) == before - 7


def test_an_authorisation_bound_to_its_address_is_good_too(chain, alice, bob):
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    (entry,) = envelope.transaction.operations[0].auth
    kind = xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS_V2
    entry.credentials = xdr.SorobanCredentials(kind, address_v2=entry.credentials.address)
    assert applied(chain, signed_by(chain, envelope, bob), alice)["status"] == "SUCCESS"


def unauthorised(chain: Chain, found: dict, *words: str) -> None:
    assert found["status"] == "FAILED"
    assert invoke_code(found) == INVOKE.INVOKE_HOST_FUNCTION_TRAPPED
    text = str(reasons(found))
    assert all(word in text for word in words), text


def test_an_authorisation_that_nobody_signed_is_none(chain, alice, bob):
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    (entry,) = envelope.transaction.operations[0].auth
    entry.credentials.address.signature_expiration_ledger = xdr.Uint32(chain.latest + 10)
    unauthorised(chain, applied(chain, envelope, alice), "failed account authentication")


def test_the_wrong_key_authorises_nothing(chain, alice, bob):
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    unauthorised(chain, applied(chain, signed_by(chain, envelope, alice), alice), "failed account authentication")


def test_an_authorisation_for_another_network_is_none(chain, alice, bob):
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    (entry,) = envelope.transaction.operations[0].auth
    signed = authorize_entry(entry, bob, chain.latest + 10, "Test SDF Network ; September 2015")
    envelope.transaction.operations[0].auth = [signed]
    unauthorised(chain, applied(chain, envelope, alice), "failed account authentication")


def test_an_authorisation_ends_with_its_ledger(chain, alice, bob):
    for until, status in ((chain.latest + 1, "SUCCESS"), (chain.latest + 1, "FAILED")):
        envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
        found = applied(chain, signed_by(chain, envelope, bob, until), alice)
        assert found["status"] == status
    unauthorised(chain, found, "signature has expired")


def test_an_authorisation_is_good_once(chain, alice, bob):
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    signed = signed_by(chain, envelope, bob).transaction.operations[0].auth
    assert applied(chain, envelope, alice)["status"] == "SUCCESS"
    again = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    again.transaction.operations[0].auth = signed
    unauthorised(chain, applied(chain, again, alice), "nonce already exists for address")


def test_a_failed_call_leaves_the_nonce_unused(chain, alice, bob):
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    signed = signed_by(chain, envelope, bob).transaction.operations[0].auth
    envelope.transaction.soroban_data.resource_fee = xdr.Int64(26_300)
    assert applied(chain, envelope, alice)["status"] == "FAILED"
    again = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    again.transaction.operations[0].auth = signed
    assert applied(chain, again, alice)["status"] == "SUCCESS"


def test_an_authorisation_is_for_these_arguments(chain, alice, bob):
    one = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    other = transferring(chain, alice, bob.public_key, alice.public_key, 8)
    other.transaction.operations[0].auth = signed_by(chain, one, bob).transaction.operations[0].auth
    unauthorised(chain, applied(chain, other, alice), "Unauthorized function call for address", bob.public_key)


def test_what_a_contract_takes_below_must_be_authorised_too(chain, alice, bob):
    start = chain.next_close
    args = stream_v1(alice.public_key, bob.public_key, chain.contracts["token-usdc"], UNIT * 100, start, start + 100)
    envelope = chain.prepare(chain.call(alice, "streams-v1", "create_stream", *args))
    (entry,) = envelope.transaction.operations[0].auth
    below = entry.root_invocation.sub_invocations
    entry.root_invocation.sub_invocations = []
    found = applied(chain, envelope, alice)
    unauthorised(chain, found, "Unauthorized function call for address", "contract call failed")
    # as a tree of its own it is as good as below the first
    envelope = chain.prepare(chain.call(alice, "streams-v1", "create_stream", *args))
    (entry,) = envelope.transaction.operations[0].auth
    entry.root_invocation.sub_invocations = []
    apart = xdr.SorobanAuthorizationEntry(entry.credentials, below[0])
    envelope.transaction.operations[0].auth = [entry, apart]
    assert applied(chain, envelope, alice)["status"] == "SUCCESS"


def test_an_account_of_several_authorises_with_enough_of_them(chain, alice, bob):
    carol = chain.keys("carol")
    setup = AccountSetup(bob.public_key, {carol.public_key: 1}, master_weight=1, thresholds=(1, 2, 2))
    chain.simulation.set_account(setup)
    chain.close()
    envelope = transferring(chain, alice, bob.public_key, alice.public_key, 7)
    unauthorised(chain, applied(chain, signed_by(chain, envelope, bob), alice), "failed account authentication")
    envelope = signed_by(chain, transferring(chain, alice, bob.public_key, alice.public_key, 7), bob)
    (entry,) = envelope.transaction.operations[0].auth
    with_carol = authorize_entry(entry, carol, chain.latest + 10, chain.passphrase)
    both = entry.credentials.address.signature.vec.sc_vec + with_carol.credentials.address.signature.vec.sc_vec
    both.sort(key=lambda one: one.to_xdr_bytes())
    entry.credentials.address.signature = scval.to_vec(both)
    assert applied(chain, envelope, alice)["status"] == "SUCCESS"


# --- payments and accounts --------------------------------------------------------------------------


def test_payments_move_both_assets_and_tell_whose_they_are(chain, alice, bob):
    target = MuxedAccount(bob.public_key, 2**64 - 1)
    builder = chain.builder(alice).append_payment_op(target, usdc(chain), "12.5").add_text_memo("rent")
    builder.append_payment_op(bob.public_key, XLM, "3")
    before = chain.balance(bob.public_key), chain.balance(bob.public_key, "token-xlm")
    found = applied(chain, builder.build(), alice)
    assert found["status"] == "SUCCESS"
    assert chain.balance(bob.public_key) == before[0] + 12 * UNIT + UNIT // 2
    assert chain.balance(bob.public_key, "token-xlm") == before[1] + 3 * UNIT
    operations = xdr.TransactionMeta.from_xdr(found["resultMetaXdr"]).v4.operations
    data = [scval.to_native(one.events[0].body.v0.data) for one in operations]
    assert data == [
        {"amount": 12 * UNIT + UNIT // 2, "to_muxed_id": 2**64 - 1},
        {"amount": 3 * UNIT, "to_muxed_id": "rent"},
    ]


def test_an_account_is_made_and_can_act_at_once(chain, alice):
    new = Keypair.random()
    builder = chain.builder(alice).append_create_account_op(new.public_key, "5")
    builder.append_change_trust_op(usdc(chain), source=new.public_key)
    builder.append_payment_op(new.public_key, usdc(chain), "2")
    envelope = builder.build()
    answer = chain.send(envelope, alice, new)
    assert answer["status"] == "ERROR", "operations of an account that is not there yet are refused"
    builder = chain.builder(alice).append_create_account_op(new.public_key, "5")
    builder.append_payment_op(new.public_key, usdc(chain), "2")
    found = applied(chain, builder.build(), alice)
    assert found["status"] == "SUCCESS"
    made = xdr.TransactionMeta.from_xdr(found["resultMetaXdr"]).v4.operations[0].changes.ledger_entry_changes
    entry = next(change.created for change in made if change.created is not None)
    assert entry.data.account.balance.int64 == 5 * UNIT
    assert entry.data.account.seq_num.sequence_number.int64 == chain.latest << 32 == chain.sequence(new.public_key)
    trust = chain.builder(new).append_change_trust_op(usdc(chain)).append_payment_op(alice.public_key, XLM, "1")
    assert applied(chain, trust.build(), new)["status"] == "SUCCESS"


def operation_codes(found: dict) -> list[str]:
    """Return the name of each operation's own result code."""
    names = []
    for one in xdr.TransactionResult.from_xdr(found["resultXdr"]).result.results:
        tr = one.tr
        result = tr.create_account_result or tr.payment_result or tr.change_trust_result
        names.append(result.code.name)
    return names


def test_one_operation_that_fails_undoes_the_others(chain, alice, bob):
    new = Keypair.random().public_key
    builder = chain.builder(alice).append_create_account_op(new, "5").append_payment_op(new, usdc(chain), "2")
    builder.append_payment_op(bob.public_key, usdc(chain), "99999999")
    before = chain.balance(alice.public_key), chain.balance(alice.public_key, "token-xlm")
    found = applied(chain, builder.build(), alice)
    assert found["status"] == "FAILED"
    assert operation_codes(found) == ["CREATE_ACCOUNT_SUCCESS", "PAYMENT_SUCCESS", "PAYMENT_UNDERFUNDED"]
    assert new not in chain.world.accounts
    assert chain.balance(new) == chain.balance(new, "token-xlm") == 0
    charged = xdr.TransactionResult.from_xdr(found["resultXdr"]).fee_charged.int64
    assert (chain.balance(alice.public_key), chain.balance(alice.public_key, "token-xlm")) == (
        before[0],
        before[1] - charged,
    )


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (lambda b, chain, me: b.append_create_account_op(chain.simulation.accounts["bob"], "5"), "ALREADY_EXIST"),
        (lambda b, chain, me: b.append_create_account_op(Keypair.random().public_key, "0.5"), "LOW_RESERVE"),
        (lambda b, chain, me: b.append_create_account_op(Keypair.random().public_key, "9999"), "UNDERFUNDED"),
        (lambda b, chain, me: b.append_payment_op(Keypair.random().public_key, XLM, "1"), "NO_DESTINATION"),
        (lambda b, chain, me: b.append_payment_op(chain.simulation.accounts["bob"], XLM, "9999.1"), "UNDERFUNDED"),
        (lambda b, chain, me: b.append_payment_op(me, Asset("EURC", me), "1"), "SRC_NO_TRUST"),
        (lambda b, chain, me: b.append_change_trust_op(Asset("EURC", Keypair.random().public_key)), "NO_ISSUER"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_operations_fail_with_their_own_codes(chain, operation, code):
    keys = chain.funded()
    builder = chain.builder(keys)
    operation(builder, chain, keys.public_key)
    found = applied(chain, builder.build(), keys)
    (name,) = operation_codes(found)
    assert name.endswith(code)


# --- beside the network's own -----------------------------------------------------------------------


def test_the_networks_own_transactions_of_an_account_give_way_to_its_wallets():
    busy = SandboxConfig(ledgers=10, genesis_time=GENESIS_TIME, transactions=40, burst_every=0)
    chain = Chain(busy)
    alice, bob = chain.keys("alice"), chain.keys("bob")
    for number in range(5):
        before = chain.sequence(alice.public_key)
        builder = chain.builder(alice).append_payment_op(bob.public_key, XLM, str(number + 1))
        found = applied(chain, builder.build(), alice)
        assert found["status"] == "SUCCESS"
        assert chain.sequence(alice.public_key) == before + 1
        assert len(chain.simulation.history.snapshot().ledger(chain.latest).transactions()) > 10


def test_what_has_become_invalid_by_its_ledger_is_dropped(chain, alice, bob):
    first = chain.builder(alice).append_payment_op(bob.public_key, XLM, "1").build()
    chain.send(first, alice)
    chain.simulation.set_account(AccountSetup(alice.public_key, {bob.public_key: 1}, master_weight=0))
    assert chain.close().transactions == []
    assert chain.transaction(first.hash_hex())["status"] == "NOT_FOUND"


def test_without_submissions_nothing_changes():
    asked = Chain(SandboxConfig(ledgers=5, genesis_time=GENESIS_TIME))
    untouched, _ = closed(SandboxConfig(ledgers=5, genesis_time=GENESIS_TIME))
    alice = asked.keys("alice")
    asked.send(asked.builder(alice, sequence=1).append_payment_op(alice.public_key, XLM, "1").build(), alice)
    assert [asked.close().meta for _ in range(5)] == [untouched.close_ledger().meta for _ in range(5)]


def test_the_order_of_arrival_is_the_order_of_the_ledger(chain):
    users = [chain.keys(name) for name in ("dave", "alice", "carol")]
    for keys in users:
        chain.send(chain.prepare(chain.call(keys, "counter", "increment")), keys)
    payer = chain.keys("bob")
    payment = chain.builder(payer).append_payment_op(users[0].public_key, XLM, "1").build()
    chain.send(payment, payer)
    order = [one.envelope[8:40] for one in chain.close().transactions]
    assert order == [keys.raw_public_key() for keys in (payer, *users)], "classic ones first"
