"""simulateTransaction: a call tried without a trace, with the authorisations, entries and words of a real node."""

from __future__ import annotations

from base64 import b64encode

import pytest
from stellar_sdk import Address, Asset, Keypair, MuxedAccount, StrKey, scval, xdr
from stellar_sdk.soroban_rpc import SimulateTransactionResponse

from tests.sandbox.conftest import closed
from tests.sandbox.wallet import QUIET, Chain, stream_v1, stream_v2

USDC = 10_000 * 10**7


@pytest.fixture(scope="module")
def chain() -> Chain:
    """A chain that tests must not change."""
    return Chain()


@pytest.fixture(scope="module")
def alice(chain) -> Keypair:
    return chain.keys("alice")


def creating(chain: Chain, keys: Keypair, total: int = 50_000_000, sender: str | None = None, **how):
    """Return an unsigned V1 ``create_stream`` of USDC from ``sender`` to bob over 1,000 seconds."""
    bob, start = chain.keys("bob").public_key, chain.next_close
    args = stream_v1(sender or keys.public_key, bob, chain.contracts["token-usdc"], total, start, start + 1000)
    return chain.call(keys, "streams-v1", "create_stream", *args, **how)


def auth_of(answer) -> list[xdr.SorobanAuthorizationEntry]:
    return [xdr.SorobanAuthorizationEntry.from_xdr(one) for one in answer["results"][0]["auth"]]


def log_of(answer) -> list[xdr.DiagnosticEvent]:
    return [xdr.DiagnosticEvent.from_xdr(one) for one in answer["events"]]


# --- what works -------------------------------------------------------------------------------------


def test_the_sdk_reads_the_answer_and_every_part_of_it_is_xdr(chain, alice):
    answer = chain.simulate(creating(chain, alice))
    SimulateTransactionResponse.model_validate(answer)
    assert set(answer) == {"transactionData", "events", "minResourceFee", "results", "latestLedger"}
    assert answer["latestLedger"] == chain.latest
    data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
    assert data.to_xdr() == answer["transactionData"]
    assert str(data.resource_fee.int64) == answer["minResourceFee"]
    (result,) = answer["results"]
    assert scval.from_uint64(result["xdr"]) == chain.world.v1.next_id
    for raw, entry in zip(result["auth"], auth_of(answer), strict=True):
        assert entry.to_xdr() == raw


def test_what_the_source_has_to_authorise_needs_no_signature_of_its_own(chain, alice):
    envelope = creating(chain, alice)
    (entry,) = auth_of(chain.simulate(envelope))
    assert entry.credentials.type == xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
    root = entry.root_invocation
    called = envelope.transaction.operations[0].host_function.invoke_contract
    assert root.function.contract_fn == called
    (below,) = root.sub_invocations
    assert below.function.contract_fn.function_name.sc_symbol == b"transfer"
    assert [scval.to_native(arg) for arg in below.function.contract_fn.args][2] == 50_000_000


def test_what_another_has_to_authorise_is_left_to_be_signed_with_a_nonce(chain, alice):
    bob = chain.keys("bob").public_key
    answer = chain.simulate(creating(chain, alice, sender=bob))
    (entry,) = auth_of(answer)
    assert entry.credentials.type == xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS
    signer = entry.credentials.address
    assert scval.from_address(xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=signer.address)).address == bob
    assert (signer.signature_expiration_ledger.uint32, signer.signature.type) == (0, xdr.SCValType.SCV_VOID)
    written = xdr.SorobanTransactionData.from_xdr(answer["transactionData"]).resources.footprint.read_write
    nonces = [
        key.contract_data.key.nonce_key.nonce
        for key in written
        if key.contract_data and key.contract_data.key.nonce_key
    ]
    assert nonces == [signer.nonce]
    assert chain.simulate(creating(chain, alice, sender=bob)) == answer, "the same question has the same answer"
    (other,) = auth_of(chain.simulate(creating(chain, alice, total=7_000, sender=bob)))
    assert other.credentials.address.nonce != signer.nonce


def test_the_footprint_names_the_contracts_and_what_they_write(chain, alice):
    answer = chain.simulate(creating(chain, alice))
    footprint = xdr.SorobanTransactionData.from_xdr(answer["transactionData"]).resources.footprint
    read, written = footprint.read_only, footprint.read_write
    assert not {key.to_xdr() for key in read} & {key.to_xdr() for key in written}
    instances = {
        key.contract_data.contract.contract_id.contract_id.hash
        for key in read + written
        if key.contract_data and key.contract_data.key.type == xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE
    }
    names = ("streams-v1", "token-usdc")
    assert {StrKey.decode_contract(chain.contracts[name]) for name in names} <= instances
    assert any(key.type == xdr.LedgerEntryType.TRUSTLINE for key in written)


def test_the_events_are_those_that_the_ledger_will_have(alice):
    chain = Chain()
    envelope = chain.prepare(creating(chain, alice))
    log = log_of(chain.simulate(creating(chain, alice)))
    kinds = [event.event.type.name for event in log]
    assert kinds[0] == kinds[-1] == "DIAGNOSTIC"
    assert all(event.in_successful_contract_call for event in log)
    chain.send(envelope, alice)
    chain.close()
    found = chain.transaction(envelope.hash_hex())
    applied = xdr.TransactionMeta.from_xdr(found["resultMetaXdr"]).v4.operations[0].events
    assert [event.event for event in log[1:-1]] == applied
    assert len(applied) == 2


def test_a_simulation_leaves_no_trace(alice):
    chain, untouched = Chain(), closed(QUIET)[0]
    for total in (50_000_000, 10**30, -1):
        chain.simulate(creating(chain, alice, total))
    chain.simulate(chain.call(alice, "counter", "increment"))
    for _ in range(2):
        assert chain.close().meta == untouched.close_ledger().meta
    assert chain.world.counter.count == 0
    assert chain.balance(alice.public_key) == untouched.world.bank.balance(
        chain.contracts["token-usdc"], alice.public_key
    )


def test_a_read_is_true_at_the_ledger_it_names_and_a_change_is_tried_in_the_next(alice):
    chain = Chain()
    bob, start = chain.keys("bob"), chain.next_close
    token = chain.contracts["token-nova"]
    args = stream_v2(alice.public_key, bob.public_key, token, 10_000_000, start, start + 1000)
    stream = chain.done(alice, "streams-v2", "create_stream", args)
    held = chain.world.v2.streams.get(scval.from_uint64(stream)).total
    assert chain.simulation.history.snapshot().close_time(chain.latest) == start
    taken = chain.simulate(chain.call(bob, "streams-v2", "withdraw", stream, scval.to_address(bob.public_key)))
    assert scval.from_int128(taken["results"][0]["xdr"]) == held * 5 // 1000
    vault = chain.contracts["vault-nova"]
    value = chain.simulate(chain.call(alice, vault, "get_value", scval.to_int128(10**9)))
    expected = chain.world.vaults[vault].get_value(start, 10**9)
    assert scval.from_int128(value["results"][0]["xdr"]) == expected


def test_a_call_that_asks_nobody_has_no_authorisation(chain, alice):
    answer = chain.simulate(chain.call(alice, "counter", "increment"))
    assert answer["results"][0]["auth"] == []


def test_more_instructions_may_be_asked_for(chain, alice):
    plain = chain.simulate(creating(chain, alice))
    more = chain.simulate(creating(chain, alice), resourceConfig={"instructionLeeway": 1_000_000})
    instructions = [
        xdr.SorobanTransactionData.from_xdr(one["transactionData"]).resources.instructions.uint32
        for one in (plain, more)
    ]
    assert instructions[1] - instructions[0] == 1_000_000
    assert int(more["minResourceFee"]) > int(plain["minResourceFee"])


# --- what does not ----------------------------------------------------------------------------------


def test_a_contract_error_is_told_with_the_log_newest_first(chain, alice):
    missing = scval.to_uint64(999_999)
    answer = chain.simulate(chain.call(alice, "streams-v2", "withdraw", missing, scval.to_address(alice.public_key)))
    contract = chain.contracts["streams-v2"]
    assert answer["error"] == (
        "HostError: Error(Contract, #13)\n\nEvent log (newest first):\n"
        f"   0: [Diagnostic Event] contract:{contract}, topics:[error, Error(Contract, #13)],"
        ' data:"escalating Ok(ScErrorType::Contract) frame-exit to Err"\n'
        f"   1: [Diagnostic Event] topics:[fn_call, {contract}, withdraw], data:[999999, {alice.public_key}]\n"
    )
    assert answer["latestLedger"] == chain.latest
    assert "results" not in answer
    log = log_of(answer)
    assert not any(event.in_successful_contract_call for event in log)
    assert log[-1].event.body.v0.topics[1].error.contract_code.uint32 == 13


def test_an_error_of_the_token_names_the_token_deepest(chain, alice):
    answer = chain.simulate(creating(chain, alice, total=10**30))
    assert answer["error"].startswith("HostError: Error(Contract, #10)\n")
    raisers = [line for line in answer["error"].splitlines() if "topics:[error" in line]
    assert chain.contracts["streams-v1"] in raisers[0]
    assert chain.contracts["token-usdc"] in raisers[-1]
    assert "[Failed Diagnostic Event (not emitted)]" in raisers[-1]


def test_a_contract_that_does_not_exist_is_a_missing_value(chain, alice):
    nowhere = "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD2KM"
    error = chain.simulate(chain.call(alice, nowhere, "hello"))["error"]
    assert error.startswith("HostError: Error(Storage, MissingValue)\n\nEvent log (newest first):\n")
    assert f'["trying to get non-existing value for contract instance", {nowhere}]' in error


def test_a_function_that_does_not_exist_is_a_missing_value_of_the_machine(chain, alice):
    error = chain.simulate(chain.call(alice, "streams-v2", "hello"))["error"]
    assert error.startswith("HostError: Error(WasmVm, MissingValue)\n")
    assert "trying to invoke non-existent contract function" in error


def test_what_is_no_contract_cannot_be_called(chain, alice):
    envelope = chain.prepare(chain.call(alice, "counter", "increment"))
    called = envelope.transaction.operations[0].host_function.invoke_contract
    called.contract_address = Address(MuxedAccount(alice.public_key, 5).account_muxed).to_xdr_sc_address()
    assert chain.simulate(envelope)["error"] == "HostError: Error(Value, UnexpectedType)\n"
    answer = chain.send(envelope, alice)
    (result,) = xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result.results
    malformed = xdr.InvokeHostFunctionResultCode.INVOKE_HOST_FUNCTION_MALFORMED
    assert result.tr.invoke_host_function_result.code == malformed


def test_arguments_of_other_types_end_in_a_trap(chain, alice):
    error = chain.simulate(chain.call(alice, "streams-v1", "get_stream", scval.to_string("seven")))["error"]
    assert error.startswith("HostError: Error(WasmVm, InvalidAction)\n")


@pytest.mark.parametrize("text", ["", "?", "AAAA", b64encode(bytes(100)).decode()])
def test_what_is_no_envelope_cannot_be_unmarshalled(chain, text):
    assert chain.simulate(text) == {"error": "Could not unmarshal transaction", "latestLedger": 0}


def test_only_one_contract_call_is_simulated(chain, alice):
    builder = chain.builder(alice).append_payment_op(alice.public_key, Asset.native(), "1")
    assert chain.simulate(builder.build())["error"] == (
        "transaction contains unsupported operation type: OperationTypePayment"
    )
    builder.append_payment_op(alice.public_key, Asset.native(), "1")
    assert chain.simulate(builder.build())["error"] == "Transaction contains more than one operation"


def test_nothing_is_archived_here_and_no_code_runs(chain, alice):
    extend = chain.builder(alice).append_extend_footprint_ttl_op(1000).build()
    restore = chain.builder(alice).append_restore_footprint_op().build()
    for envelope in (extend, restore):
        assert "archives no entry" in chain.simulate(envelope)["error"]
    upload = chain.builder(alice).append_upload_contract_wasm_op(b"\0asm").build()
    assert "runs no code" in chain.simulate(upload)["error"]


@pytest.mark.parametrize("format_name", ["json", "yaml"])
def test_other_formats_are_refused_in_words(chain, alice, format_name):
    assert "xdrFormat" in chain.simulate(creating(chain, alice), xdrFormat=format_name)["error"]


# --- modes ------------------------------------------------------------------------------------------


def test_a_transaction_that_has_its_authorisations_is_held_to_them(chain, alice):
    prepared = chain.prepare(creating(chain, alice))
    answer = chain.simulate(prepared)
    assert answer["results"][0]["auth"] == []
    assert chain.simulate(prepared, authMode="enforce") == answer
    assert (
        chain.simulate(prepared, authMode="record")["error"] == "cannot set authMode to 'record' with an auth footprint"
    )


def test_enforcing_without_authorisations_is_unauthorised(chain, alice):
    error = chain.simulate(creating(chain, alice), authMode="enforce")["error"]
    assert error.startswith("HostError: Error(Auth, InvalidAction)\n")
    assert f'["Unauthorized function call for address", {alice.public_key}]' in error


def test_a_mode_that_does_not_exist_is_refused(chain, alice):
    assert chain.simulate(creating(chain, alice), authMode="maybe")["error"] == (
        "optional 'authMode' must be one of enforce,record,record_allow_nonroot when included"
    )
    extend = chain.builder(alice).append_extend_footprint_ttl_op(1000).build()
    assert chain.simulate(extend, authMode="record")["error"] == (
        "cannot set authMode with non-InvokeHostFunction operations"
    )
