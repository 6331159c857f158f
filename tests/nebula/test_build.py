"""Building: the contracts' own arguments in their order, exactly what the simulation found, and every way it fails."""

from __future__ import annotations

import pytest
from stellar_sdk import TransactionEnvelope, scval, xdr

from stellarstream_core.api.problems import ApiProblem
from stellarstream_core.chain import DiagnosticEvent
from stellarstream_core.xdr.scval import Arm, ErrorCode, ErrorType, ScValue, decode_scval, encode_scval
from stellarstream_nebula import families
from stellarstream_nebula.model import SPLITTER, V1, V2
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.transactions import calls
from stellarstream_nebula.transactions.build import Builder, Built
from stellarstream_nebula.transactions.contracts import ServedContracts
from stellarstream_nebula.transactions.errors import (
    AccountNotFoundError,
    ChainUnavailableError,
    ContractAmbiguousError,
    ContractNotCallableError,
    ContractNotServedError,
    InvalidTermsError,
    OtherSignersNeededError,
    RestoreNeededError,
    SimulationFailedError,
    UnsupportedFieldError,
)
from stellarstream_nebula.transactions.preview import created_stream
from stellarstream_nebula.transactions.refusals import contract_error, host_error
from tests.nebula.relay_kit import (
    ALICE,
    BOB,
    FIRST,
    FOREIGN,
    NOW,
    PASSPHRASE,
    SECOND,
    TOKEN,
    VAULT,
    Chain,
    Names,
    by_address,
    diagnostic,
    drafted,
    fails,
    operation_of,
    own_auth,
    soroban_data,
    symbol,
    works,
)

TERMS = calls.Terms(
    sender=ALICE.public_key,
    receiver=BOB.public_key,
    token=TOKEN,
    amount=2**100,
    start=NOW + 10,
    cliff=NOW + 20,
    end=NOW + 1_010,
)


def builder(chain: Chain, names: Names | None = None, **settings: object) -> Builder:
    return Builder(chain, PASSPHRASE, NebulaSettings(**settings), names or Names(), now=lambda: NOW + 0.7)


def changed(**more: object) -> calls.Terms:
    values = {name: getattr(TERMS, name) for name in TERMS.__dataclass_fields__}
    return calls.Terms(**{**values, **more})


def argument(raw: bytes) -> xdr.SCVal:
    return xdr.SCVal.from_xdr_bytes(raw)


# --- arguments ------------------------------------------------------------------------------------


def test_a_v1_stream_is_created_with_nine_arguments_in_the_contracts_order():
    call = calls.create(FIRST, V1, TERMS)
    assert call.function == "create_stream"
    assert [argument(raw) for raw in call.arguments] == [
        scval.to_address(ALICE.public_key),
        scval.to_address(BOB.public_key),
        scval.to_address(TOKEN),
        scval.to_int128(2**100),
        scval.to_uint64(NOW + 10),
        scval.to_uint64(NOW + 20),
        scval.to_uint64(NOW + 1_010),
        scval.to_uint32(0),
        scval.to_bool(False),
    ]


def test_a_v2_stream_is_created_with_one_struct_whose_fields_are_in_order():
    (raw,) = calls.create(SECOND, V2, changed(memo="inv_1", vault=VAULT)).arguments
    expected = {
        "affiliate": scval.to_void(),
        "cancellation_type": scval.to_uint32(0),
        "cliff_time": scval.to_uint64(NOW + 20),
        "cycle_duration": scval.to_uint64(0),
        "end_time": scval.to_uint64(NOW + 1_010),
        "is_recurrent": scval.to_bool(False),
        "memo": scval.to_symbol("inv_1"),
        "multiplier_bps": scval.to_int128(0),
        "penalty_bps": scval.to_uint32(0),
        "receiver": scval.to_address(BOB.public_key),
        "sender": scval.to_address(ALICE.public_key),
        "split_address": scval.to_void(),
        "split_bps": scval.to_uint32(0),
        "start_time": scval.to_uint64(NOW + 10),
        "step_duration": scval.to_int128(0),
        "token": scval.to_address(TOKEN),
        "total_amount": scval.to_int128(2**100),
        "vault_address": scval.to_address(VAULT),
        "yield_enabled": scval.to_bool(True),
        "yield_recipient": scval.to_uint32(1),
    }
    assert len(expected) == 20
    assert argument(raw) == scval.to_struct(expected)


def test_without_memo_and_vault_their_places_are_void():
    (raw,) = calls.create(SECOND, V2, TERMS).arguments
    fields = {key.value: value for key, value in decode_scval(raw).value}
    assert fields["memo"] == fields["vault_address"] == ScValue(Arm.VOID, None)
    assert fields["yield_enabled"] == ScValue(Arm.BOOL, False)


@pytest.mark.parametrize("family", [V1, V2])
@pytest.mark.parametrize("make", [calls.withdraw, calls.cancel])
def test_withdraw_and_cancel_take_the_stream_and_the_caller(family, make):
    call = make(FIRST, family, 2**64 - 1, ALICE.public_key)
    assert call.function == make.__name__
    assert [argument(raw) for raw in call.arguments] == [
        scval.to_uint64(2**64 - 1),
        scval.to_address(ALICE.public_key),
    ]


@pytest.mark.parametrize(
    ("family", "more", "problem", "field"),
    [
        (V1, {"memo": "x"}, UnsupportedFieldError, "body.memo"),
        (V1, {"vault": VAULT}, UnsupportedFieldError, "body.yieldEnabled"),
        (V2, {"memo": "no spaces"}, UnsupportedFieldError, "body.memo"),
        (V2, {"memo": "x" * 33}, UnsupportedFieldError, "body.memo"),
        (V2, {"memo": ""}, UnsupportedFieldError, "body.memo"),
        (V2, {"memo": "ümlaut"}, UnsupportedFieldError, "body.memo"),
        (V2, {"amount": 2**127}, InvalidTermsError, "body.amount"),
        (V1, {"amount": 0}, InvalidTermsError, "body.amount"),
        (V1, {"start": -1}, InvalidTermsError, "body.startTime"),
        (V1, {"cliff": NOW}, InvalidTermsError, "body.cliffTime"),
        (V1, {"cliff": NOW + 1_011}, InvalidTermsError, "body.cliffTime"),
        (V1, {"end": 253_402_300_800}, InvalidTermsError, "body.duration"),
        (V2, {"end": 18_446_744_074}, InvalidTermsError, "body.duration"),
    ],
)
def test_terms_that_a_contract_cannot_take_are_named_by_their_field(family, more, problem, field):
    with pytest.raises(problem) as caught:
        calls.create(FIRST, family, changed(**more))
    assert [error.field for error in caught.value.errors] == [field]


# --- which contract -------------------------------------------------------------------------------


def test_the_contract_left_out_is_the_default_else_the_only_v2_else_the_only_one():
    both = {FIRST: V1, SECOND: V2}
    assert ServedContracts(both, FIRST).to_create(None) == (FIRST, V1)
    assert ServedContracts(both).to_create(None) == (SECOND, V2)
    assert ServedContracts({FIRST: V1}).to_create(None) == (FIRST, V1)
    assert ServedContracts(both).to_create(FIRST) == (FIRST, V1)
    assert ServedContracts({SECOND: V2, FOREIGN: SPLITTER}).to_create(None) == (SECOND, V2)
    with pytest.raises(ContractAmbiguousError, match=f"(?s){FIRST}.*{FOREIGN}|{FOREIGN}.*{FIRST}"):
        ServedContracts({FIRST: V1, FOREIGN: V1}).to_create(None)
    for missing in (ServedContracts({}), ServedContracts({FIRST: SPLITTER})):
        with pytest.raises(ContractNotServedError):
            missing.to_create(None)
    for foreign in (ServedContracts(both), ServedContracts({**both, FOREIGN: SPLITTER})):
        with pytest.raises(ContractNotServedError):
            foreign.to_create(FOREIGN)


def test_contracts_of_a_family_that_a_plugin_offers_are_read_and_not_called(monkeypatch):
    monkeypatch.setattr(families, "_known", {"rate-streams": None})
    served = ServedContracts({FIRST: V1, FOREIGN: "rate-streams"})
    assert served.families == {FIRST: V1, FOREIGN: "rate-streams"}
    assert served.to_create(None) == (FIRST, V1)
    foreign = ServedContracts({FOREIGN: "rate-streams"})
    for asking in (
        lambda: served.to_create(FOREIGN),
        lambda: served.stream(f"{FOREIGN}-1"),
        lambda: foreign.to_create(None),
        lambda: foreign.stream("1"),
        lambda: ServedContracts({FIRST: V1, FOREIGN: "rate-streams"}, FOREIGN).to_create(None),
    ):
        with pytest.raises(ContractNotCallableError) as caught:
            asking()
        assert (caught.value.code, caught.value.status) == ("contract-not-callable", 422)
    with pytest.raises(ContractAmbiguousError):
        served.stream("1")
    with pytest.raises(ValueError, match="rate-streams"):
        calls.create(FOREIGN, "rate-streams", TERMS)


def test_a_stream_is_named_by_its_id_or_by_its_number_where_one_contract_is_served():
    both, one = ServedContracts({FIRST: V1, SECOND: V2}), ServedContracts({FIRST: V1})
    assert both.stream(f"{SECOND}-0").stream_id == 0
    assert both.stream(f"{SECOND}-18446744073709551615").contract == SECOND
    assert (one.stream("17").contract, one.stream("17").stream_id) == (FIRST, 17)
    with pytest.raises(ContractAmbiguousError):
        both.stream("17")
    with pytest.raises(ContractNotServedError):
        both.stream(f"{FOREIGN}-1")
    for bad in ("", "-", "x", "1.5", "-1", "+1", "01", f"{FIRST}-01", f"{FIRST}-", "18446744073709551616", "١"):
        with pytest.raises(ApiProblem) as caught:
            one.stream(bad)
        assert caught.value.code in {"invalid-body", "contract-not-served"}, bad


# --- the transaction ------------------------------------------------------------------------------


async def test_what_is_built_is_what_was_simulated_with_the_accounts_next_sequence_number():
    chain = Chain(ALICE)
    seen = []

    def simulate(envelope: bytes):
        seen.append(envelope)
        return works()(envelope)

    chain.simulation = simulate
    call = calls.withdraw(SECOND, V2, 3, ALICE.public_key)
    built = await builder(chain, inclusion_fee=700, transaction_seconds=60).build(call, ALICE.public_key)
    assert isinstance(built, Built)
    envelope = TransactionEnvelope.from_xdr(built.xdr, PASSPHRASE)
    transaction = envelope.transaction
    assert envelope.signatures == []
    assert built.hash == envelope.hash_hex()
    assert transaction.source.account_id == ALICE.public_key
    assert transaction.sequence == 8
    assert transaction.preconditions.time_bounds.min_time == 0
    assert transaction.preconditions.time_bounds.max_time == built.valid_until == NOW + 60
    assert built.fee == transaction.fee == 700 + 12_345
    assert transaction.soroban_data.to_xdr_bytes() == soroban_data()
    (operation,) = transaction.operations
    assert [entry.to_xdr_bytes() for entry in operation.auth] == [own_auth(seen[0])]
    simulated = operation_of(seen[0])
    assert simulated.host_function == operation.host_function
    arguments = operation.host_function.invoke_contract.args
    assert arguments == [scval.to_uint64(3), scval.to_address(ALICE.public_key)]


@pytest.mark.parametrize(
    ("until", "ends"), [(None, NOW + 60), (NOW + 61, NOW + 60), (NOW + 59, NOW + 59), (NOW + 6, NOW + 6)]
)
async def test_a_transaction_is_valid_no_longer_than_its_caller_wants(until, ends):
    chain = Chain(ALICE)
    chain.simulation = works()
    call = calls.withdraw(SECOND, V2, 3, ALICE.public_key)
    built = await builder(chain, transaction_seconds=60).build(call, ALICE.public_key, until)
    bounds = TransactionEnvelope.from_xdr(built.xdr, PASSPHRASE).transaction.preconditions.time_bounds
    assert (bounds.min_time, bounds.max_time, built.valid_until) == (0, ends, ends)


@pytest.mark.parametrize("until", [NOW + 5, NOW, NOW - 1, 0])
async def test_what_nobody_could_hand_in_in_time_is_not_built(until):
    chain = Chain(ALICE)
    with pytest.raises(ValueError, match="too late") as caught:
        await builder(chain).build(calls.withdraw(SECOND, V2, 3, ALICE.public_key), ALICE.public_key, until)
    assert not isinstance(caught.value, ApiProblem)
    assert chain.asked == {}, "nothing was asked for it"


async def test_a_node_that_asks_more_than_its_data_says_is_paid_what_it_asks():
    chain = Chain(ALICE)
    chain.simulation = works(min_resource_fee=20_000)
    built = await builder(chain).build(calls.cancel(SECOND, V2, 1, ALICE.public_key), ALICE.public_key)
    transaction = TransactionEnvelope.from_xdr(built.xdr, PASSPHRASE).transaction
    assert transaction.soroban_data.resource_fee.int64 == 20_000
    assert transaction.fee == built.fee == 21_000


async def test_an_account_that_is_not_there_and_a_contract_as_account_are_refused_before_anything_is_simulated():
    chain = Chain()
    for account in (ALICE.public_key, FOREIGN):
        with pytest.raises(AccountNotFoundError):
            await builder(chain).build(calls.cancel(SECOND, V2, 1, ALICE.public_key), account)
    assert "simulate" not in chain.asked


async def test_a_chain_that_does_not_answer_is_said_to_be_unavailable():
    chain = Chain(ALICE)
    chain.down = True
    with pytest.raises(ChainUnavailableError) as caught:
        await builder(chain).build(calls.cancel(SECOND, V2, 1, ALICE.public_key), ALICE.public_key)
    assert (caught.value.status, caught.value.retry_after) == (503, 5)


async def test_archived_entries_are_told_apart_from_a_call_that_fails():
    chain = Chain(ALICE)
    chain.simulation = works(restore=soroban_data())
    with pytest.raises(RestoreNeededError):
        await builder(chain).build(calls.withdraw(SECOND, V2, 1, ALICE.public_key), ALICE.public_key)


async def test_a_call_that_others_have_to_authorize_is_not_built_and_they_are_named():
    chain = Chain(ALICE)
    draft = drafted(function="cancel").to_xdr_object().to_xdr_bytes()
    other = own_auth(draft, by_address(BOB, signed=False))
    chain.simulation = lambda envelope: works(auth=(own_auth(envelope), _for(envelope, other)))(envelope)
    with pytest.raises(OtherSignersNeededError, match=BOB.public_key):
        await builder(chain).build(calls.cancel(SECOND, V2, 3, ALICE.public_key), ALICE.public_key)


def _for(envelope: bytes, entry: bytes) -> bytes:
    """Return an authorization for an envelope's own call with the credentials of another."""
    return own_auth(envelope, xdr.SorobanAuthorizationEntry.from_xdr_bytes(entry).credentials)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"data": b"\0\0\0\1"},
        {"auth": (b"\0\0\0\0",)},
        {"auth": (own_auth(drafted(FOREIGN).to_xdr_object().to_xdr_bytes()),)},
        {"min_resource_fee": 2**32},
    ],
    ids=["data", "auth", "another call's auth", "fee"],
)
async def test_a_nodes_answer_that_does_not_fit_the_call_builds_nothing(spoiled):
    chain = Chain(ALICE)
    chain.simulation = works(**spoiled)
    with pytest.raises(ChainUnavailableError):
        await builder(chain).build(calls.withdraw(SECOND, V2, 3, ALICE.public_key), ALICE.public_key)


# --- previews -------------------------------------------------------------------------------------


def published(contract: str, topics: list[ScValue], value: ScValue) -> DiagnosticEvent:
    return DiagnosticEvent(contract, "contract", tuple(map(encode_scval, topics)), encode_scval(value), True)


def created_v2(contract: str = SECOND, net: int = 995) -> DiagnosticEvent:
    items = (
        ScValue(Arm.U64, 7),
        ScValue(Arm.ADDRESS, ALICE.public_key),
        ScValue(Arm.ADDRESS, BOB.public_key),
        ScValue(Arm.ADDRESS, TOKEN),
        ScValue(Arm.I128, net),
        *(ScValue(Arm.U64, moment) for moment in (NOW, NOW, NOW + 100, NOW)),
        ScValue(Arm.VOID, None),
    )
    fields = {
        "action": symbol("create_v2"),
        "data": ScValue(Arm.VEC, items),
        "timestamp": ScValue(Arm.U64, NOW),
        "version": ScValue(Arm.U32, 2),
    }
    data = ScValue(Arm.MAP, tuple((symbol(name), value) for name, value in fields.items()))
    return published(contract, [ScValue(Arm.U64, 7), symbol("create_v2")], data)


async def test_the_preview_is_what_the_contract_itself_says_in_its_events():
    chain = Chain(ALICE)
    transfer = published(TOKEN, [symbol("transfer")], ScValue(Arm.I128, 1_000))
    noise = diagnostic(SECOND, symbol("fn_call"), symbol("create_stream"))
    chain.simulation = works([noise, transfer, created_v2(FOREIGN, 1), created_v2()])
    call = calls.create(SECOND, V2, changed(amount=1_000))
    built = await builder(chain).build(call, ALICE.public_key)
    state = created_stream(built.simulation, call, NOW)
    assert (state.total, state.sender, state.receiver, state.token) == (995, ALICE.public_key, BOB.public_key, TOKEN)


async def test_without_such_an_event_there_is_no_preview():
    chain = Chain(ALICE)
    chain.simulation = works([created_v2(FOREIGN)])
    call = calls.create(SECOND, V2, TERMS)
    built = await builder(chain).build(call, ALICE.public_key)
    assert created_stream(built.simulation, call, NOW) is None


# --- refusals -------------------------------------------------------------------------------------

CONTRACT = ErrorType.CONTRACT
CALL = diagnostic(None, symbol("fn_call"), symbol("create_stream"))
INNER_CALL = diagnostic(SECOND, symbol("fn_call"), symbol("transfer"))
RETURNED = diagnostic(TOKEN, symbol("fn_return"), symbol("transfer"))
METRICS = diagnostic(None, symbol("core_metrics"), symbol("read_entry"))


@pytest.mark.parametrize(
    ("events", "contract", "code"),
    [
        ([CALL, fails(SECOND, CONTRACT, 17)], SECOND, 17),
        ([CALL, INNER_CALL, fails(TOKEN, CONTRACT, 10), fails(SECOND, CONTRACT, 10)], TOKEN, 10),
        ([CALL, INNER_CALL, fails(TOKEN, CONTRACT, 10), fails(SECOND, CONTRACT, 10), METRICS], TOKEN, 10),
        ([CALL, INNER_CALL, fails(TOKEN, CONTRACT, 10), fails(SECOND, CONTRACT, 12)], SECOND, 12),
        ([CALL, INNER_CALL, fails(TOKEN, CONTRACT, 10), INNER_CALL, RETURNED, fails(SECOND, CONTRACT, 10)], SECOND, 10),
        ([CALL, fails(None, CONTRACT, 4)], None, 4),
    ],
    ids=[
        "its own",
        "the token's",
        "with metrics behind",
        "caught and answered by its own",
        "caught before",
        "nobody's",
    ],
)
def test_the_contract_whose_error_it_is_is_where_the_error_arose_that_ended_the_call(events, contract, code):
    found = contract_error(events)
    assert (found.contract, found.code) == (contract, code)


def test_an_error_of_the_host_is_no_contracts():
    events = [CALL, fails(SECOND, ErrorType.AUTH, ErrorCode.INVALID_ACTION)]
    assert contract_error(events, "HostError: Error(Contract, #3)") is None
    assert host_error(events) == ("Auth", "InvalidAction")
    assert host_error([], "HostError: Error(WasmVm, MissingValue)\n") == ("WasmVm", "MissingValue")
    assert host_error([], "something else") is None


LOG = f"""HostError: Error(Contract, #10)

Event log (newest first):
   0: [Diagnostic Event] contract:{SECOND}, topics:[error, Error(Contract, #10)], data:"escalating error to VM trap"
   1: [Failed Diagnostic Event (not emitted)] contract:{SECOND}, topics:[error, Error(Contract, #10)], data:["call"]
   2: [Diagnostic Event] contract:{TOKEN}, topics:[error, Error(Contract, #10)], data:["balance is not sufficient"]
   3: [Diagnostic Event] contract:{SECOND}, topics:[fn_call, {TOKEN}, transfer], data:[1]
   4: [Diagnostic Event] contract:{FOREIGN}, topics:[error, Error(Contract, #10)], data:["caught before"]
"""


def test_without_events_the_log_in_the_nodes_text_tells_the_same():
    assert contract_error([], LOG).contract == TOKEN
    assert contract_error([], "HostError: Error(Contract, #8)").code == 8
    assert contract_error([], "HostError: Error(Contract, #8)").contract is None
    assert contract_error([], "out of gas") is None


async def refused(events, text="HostError: …", names=None) -> SimulationFailedError:
    from stellarstream_core.chain import Simulation

    chain = Chain(ALICE)
    chain.simulation = lambda _: Simulation(100, error=text, events=tuple(events))
    with pytest.raises(SimulationFailedError) as caught:
        await builder(chain, names).build(calls.withdraw(SECOND, V2, 1, ALICE.public_key), ALICE.public_key)
    return caught.value


@pytest.mark.parametrize(
    ("contract", "code", "name", "sentence"),
    [
        (TOKEN, 10, "BalanceError", "does not have enough"),
        (SECOND, 12, "InsufficientBalance", "does not have enough"),
        (SECOND, 17, "NothingToWithdraw", "Nothing can be withdrawn"),
        (SECOND, 24, "NotBeneficiary", "Only the stream's beneficiary"),
        (SECOND, 13, "StreamNotFound", "no such stream"),
        (SECOND, 15, "AlreadyCancelled", "cancelled already"),
        (SECOND, 11, "ContractPaused", "paused"),
    ],
)
async def test_a_contracts_error_comes_with_its_name_and_a_sentence(contract, code, name, sentence):
    problem = await refused([CALL, fails(contract, CONTRACT, code)], names=Names({(contract, code): name}))
    assert (problem.status, problem.code) == (422, "simulation-failed")
    assert problem.members == {"contractError": {"contractId": contract, "code": code, "name": name}}
    assert sentence in problem.message
    assert name in problem.message
    assert contract in problem.message


async def test_an_error_without_a_known_name_is_told_by_its_number():
    problem = await refused([CALL, fails(SECOND, CONTRACT, 99)])
    assert problem.members["contractError"] == {"contractId": SECOND, "code": 99, "name": None}
    assert "#99" in problem.message


async def test_what_the_host_refuses_has_no_contract_error_and_nothing_of_the_nodes_text():
    problem = await refused([], text="HostError: Error(Auth, InvalidAction)\nsecret http://user:pass@node/")
    assert problem.members == {}
    assert "authorization is missing" in problem.message
    assert "secret" not in problem.message
