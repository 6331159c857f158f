"""simulateTransaction through the chain client: checked to its last byte, its failures told apart."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import scval, xdr

from stellarstream_core.chain import DiagnosticEvent, Simulation
from stellarstream_core.errors import SourceError, SourceMisbehavedError, SourceUnavailableError
from stellarstream_core.testing.rpc_node import Fault, NodeError
from stellarstream_soroban_rpc.chain_answers import envelope_params, read_simulation
from stellarstream_soroban_rpc.event_list import BadPageError
from tests.soroban_rpc.chain_kit import (
    DEAD,
    LATEST,
    SECRET,
    A,
    authorization,
    chain,
    chain_node,
    contract_event,
    diagnostic,
    envelope,
    raw,
    simulated,
    text,
    transaction_data,
)

CALL = raw(envelope(signed=False))
FAILED = "HostError: Error(Contract, #13)\n\nEvent log (newest first):\n   0: [Diagnostic Event] topics:[error]"


def simulating(answer=None, **options):
    made = chain_node(**options)
    made.simulate = lambda _params, _view: simulated() if answer is None else answer
    return made


async def test_a_simulation_comes_with_all_that_a_transaction_needs():
    async with simulating() as made, chain(made) as opened:
        found = await opened.simulate(CALL)
    assert found == Simulation(
        LATEST,
        data=transaction_data().to_xdr_bytes(),
        min_resource_fee=58_181,
        auth=(authorization().to_xdr_bytes(),),
        result=scval.to_int128(900).to_xdr_bytes(),
        events=(
            DiagnosticEvent(
                A,
                "contract",
                (scval.to_uint64(1).to_xdr_bytes(), scval.to_symbol("claim").to_xdr_bytes()),
                scval.to_vec([scval.to_int128(5)]).to_xdr_bytes(),
                True,
            ),
        ),
    )
    assert made.calls[-1] == ("simulateTransaction", envelope_params(CALL))


async def test_a_call_that_fails_is_an_answer_with_the_nodes_words_and_the_diagnostics():
    failure = {
        "error": FAILED,
        "events": [text(diagnostic(contract_event("error"), successful=False))],
        "latestLedger": LATEST,
    }
    async with simulating(failure) as made, chain(made) as opened:
        found = await opened.simulate(CALL)
    assert (found.ledger, found.error, found.data) == (LATEST, FAILED, b"")
    assert [event.successful for event in found.events] == [False]
    assert made.count("simulateTransaction") == 1, "a contract's failure is not tried again"


async def test_archived_entries_come_with_what_restores_them():
    preamble = {"transactionData": text(transaction_data(77)), "minResourceFee": "5"}
    async with simulating(simulated(restorePreamble=preamble)) as made, chain(made) as opened:
        assert (await opened.simulate(CALL)).restore == transaction_data(77).to_xdr_bytes()


@pytest.mark.parametrize("preamble", [None, {}, {"transactionData": "", "minResourceFee": "0"}])
async def test_nothing_to_restore_is_told_in_several_ways(preamble):
    async with simulating(simulated(restorePreamble=preamble)) as made, chain(made) as opened:
        assert (await opened.simulate(CALL)).restore is None


def test_a_restoration_has_no_result_and_older_nodes_leave_fields_out():
    answer = simulated()
    del answer["results"], answer["events"], answer["stateChanges"], answer["minResourceFee"]
    found = read_simulation(answer, str)
    assert (found.result, found.auth, found.events, found.min_resource_fee) == (b"", (), (), 0)
    without_auth = read_simulation(simulated(results=[{"xdr": text(scval.to_void()), "auth": None}]), str)
    assert without_auth.auth == ()


# --- failures of the node ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["could not get latest ledger: sqlite: database is locked", "Get http://localhost:11626: refused"]
)
async def test_an_error_without_a_ledger_is_the_nodes_and_another_one_is_asked(said):
    async with simulating({"error": said, "latestLedger": 0}) as ill, simulating() as made, chain(ill, made) as opened:
        assert (await opened.simulate(CALL)).error is None
    async with simulating({"error": said}) as ill, chain(ill, max_retries=1) as opened:
        with pytest.raises(SourceError, match="failed to simulate"):
            await opened.simulate(CALL)


async def test_an_envelope_that_cannot_be_simulated_is_refused_at_once():
    said = {"error": "Transaction contains more than one operation"}
    async with simulating(said) as made, simulating() as other, chain(made, other) as opened:
        with pytest.raises(SourceError, match="more than one operation"):
            await opened.simulate(CALL)
        assert (made.count("simulateTransaction"), other.count("simulateTransaction")) == (1, 0)


async def test_a_failure_that_may_be_the_nodes_own_is_doubted_while_another_can_be_asked():
    doubtful = {"error": "missing meta for latest ledger (1000)", "latestLedger": LATEST}
    async with simulating(doubtful) as ill, simulating() as made, chain(ill, made) as opened:
        assert (await opened.simulate(CALL)).result
    async with simulating(doubtful) as ill, chain(ill) as opened:
        assert (await opened.simulate(CALL)).error == doubtful["error"]
        assert ill.count("simulateTransaction") == 1
    async with simulating(doubtful) as ill, chain(ill, DEAD) as opened:
        assert (await opened.simulate(CALL)).error == doubtful["error"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.BUSY,
        Fault.THROTTLED,
        Fault.RESET,
        Fault.TRUNCATED,
        Fault.TIMEOUT,
        Fault.GARBAGE,
        Fault.NOT_AN_ANSWER,
        Fault.WRONG_ID,
        Fault.WRONG_SHAPE,
        Fault.INTERNAL,
        Fault.PANICKED,
        Fault.QUEUE_FULL,
    ],
)
async def test_after_a_fault_the_same_is_asked_again(fault):
    async with simulating(faults=[fault]) as made, chain(made) as opened:
        assert (await opened.simulate(CALL)).result
        assert made.faults.met[fault] == 1


async def test_an_answer_too_large_to_read_is_another_endpoints_to_give():
    async with (
        simulating(faults=[Fault.HUGE] * 9) as huge,
        simulating() as made,
        chain(huge, made, max_response_bytes=100_000) as opened,
    ):
        assert (await opened.simulate(CALL)).result


async def test_a_silent_endpoint_leaves_time_for_the_next():
    async with (
        simulating(faults=[Fault.SLOW] * 9) as slow,
        simulating() as made,
        chain(slow, made, real_time=True, chain_seconds=1.5) as opened,
    ):
        began = time.monotonic()
        assert (await opened.simulate(CALL)).result
        assert time.monotonic() - began < 1.4


async def test_an_endpoint_that_offers_no_simulation_still_gives_entries():
    async with chain_node() as lacking, simulating() as made:
        lacking.ledger_entries = lambda _params, view: {"entries": [], "latestLedger": view.latest}
        async with chain(lacking, made) as opened:
            assert (await opened.simulate(CALL)).result
            assert (await opened.ledger_entries([bytes(40)])).ledger == LATEST
            assert lacking.count("getLedgerEntries") == 1
        async with chain(lacking) as opened:
            with pytest.raises(SourceUnavailableError, match="does not offer simulateTransaction"):
                await opened.simulate(CALL)


async def test_no_secret_of_an_address_is_told():
    async with simulating() as made, chain(f"{made.url}/{SECRET}?key={SECRET}", max_retries=0) as opened:
        made.simulate = lambda *_: {"error": f"HostError: see {made.url}/{SECRET}", "latestLedger": LATEST}
        assert SECRET not in (await opened.simulate(CALL)).error
        made.simulate = lambda *_: {"error": "HostError " + SECRET * 9_000, "latestLedger": LATEST}
        assert SECRET not in (await opened.simulate(CALL)).error

        def refuse(_params, _view):
            raise NodeError(-32603, f"no route to /{SECRET}")

        made.simulate = refuse
        with pytest.raises(SourceError) as caught:
            await opened.simulate(CALL)
        assert SECRET not in str(caught.value)


async def test_the_nodes_words_are_cut():
    async with (
        simulating({"error": "HostError: " + "words " * 40_000, "latestLedger": LATEST}) as made,
        chain(made) as opened,
    ):
        assert len((await opened.simulate(CALL)).error) == 16_000


# --- answers that cannot be right -------------------------------------------------------------------

WRONG = {
    "no object": ["nothing"],
    "no ledger": simulated(latestLedger=0),
    "ledger no number": simulated(latestLedger="latest"),
    "ledger beyond all": simulated(latestLedger=2**32),
    "ledger a truth": simulated(latestLedger=True),
    "error no text": {"error": {"code": 1}, "latestLedger": LATEST},
    "no data": simulated(transactionData=""),
    "data not base64": simulated(transactionData="AAAA!AAA"),
    "data cut off": simulated(transactionData=text(transaction_data().to_xdr_bytes()[:-4])),
    "data with more behind": simulated(transactionData=text(transaction_data().to_xdr_bytes() + bytes(4))),
    "fee negative": simulated(minResourceFee="-5"),
    "fee no number": simulated(minResourceFee="many"),
    "fee a fraction": simulated(minResourceFee=5.5),
    "fee beyond 64 bits": simulated(minResourceFee=str(2**63)),
    "two results": simulated(results=simulated()["results"] * 2),
    "results no list": simulated(results={"xdr": "AAAAAQ=="}),
    "result no ScVal": simulated(results=[{"xdr": "AAAAAQAAAAE=", "auth": []}]),
    "auth no list": simulated(results=[{"xdr": text(scval.to_void()), "auth": "none"}]),
    "auth cut off": simulated(
        results=[{"xdr": text(scval.to_void()), "auth": [text(authorization().to_xdr_bytes()[:-4])]}]
    ),
    "events no list": simulated(events={}),
    "event no diagnostic event": simulated(events=["AAAAAQ=="]),
    "event cut off": simulated(events=[text(diagnostic().to_xdr_bytes()[:-4])]),
    "preamble no object": simulated(restorePreamble=[1]),
    "preamble cut off": simulated(restorePreamble={"transactionData": "AAAAAA=="}),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
async def test_an_answer_that_cannot_be_right_is_refused_and_another_endpoint_is_asked(answer):
    async with simulating(answer) as liar, simulating() as honest:
        async with chain(liar, max_retries=1) as opened:
            with pytest.raises(SourceMisbehavedError):
                await opened.simulate(CALL)
        async with chain(liar, honest) as opened:
            assert (await opened.simulate(CALL)).result


def test_an_event_of_a_newer_protocol_is_left_out_for_it_only_explains():
    newer = bytearray(diagnostic().to_xdr_bytes())
    newer[7] = 9  # the event's extension
    found = read_simulation(simulated(events=[text(bytes(newer)), text(diagnostic())]), str)
    assert len(found.events) == 1


def test_every_type_of_event_is_read_with_and_without_a_contract():
    kinds = (xdr.ContractEventType.SYSTEM, xdr.ContractEventType.CONTRACT, xdr.ContractEventType.DIAGNOSTIC)
    listed = [text(diagnostic(contract_event(kind=kind, contract=None))) for kind in kinds]
    found = read_simulation(simulated(events=listed), str).events
    assert [(event.type, event.contract) for event in found] == [
        ("system", None),
        ("contract", None),
        ("diagnostic", None),
    ]


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**65) | st.text(max_size=9) | st.sampled_from(["AAAAAA==", "AAAA"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from([*simulated(), "error", "restorePreamble", "xdr", "auth"]), below, max_size=6)
    ),
    max_leaves=12,
)


@given(answer=junk | st.fixed_dictionaries({}, optional=dict.fromkeys([*simulated(), "error"], junk)))
def test_any_json_is_an_answer_or_a_refusal(answer):
    try:
        found = read_simulation(answer, str)
    except BadPageError:
        return
    assert found.error is not None or found.ledger > 0
