"""sendTransaction and getTransaction through the chain client: what may have been taken is never said to be lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import FeeBumpTransaction, FeeBumpTransactionEnvelope, Keypair, MuxedAccount, TransactionBuilder

from stellarstream_core.chain import ChainTransaction, SendStatus, Sent, TransactionStatus
from stellarstream_core.errors import SourceError, SourceMisbehavedError, SourceUnavailableError, XdrError
from stellarstream_core.testing.rpc_node import Fault, NodeError
from stellarstream_core.testing.rpc_transactions import MadeSubmissions, result_xdr
from stellarstream_soroban_rpc.chain_answers import read_chain_transaction, read_sent
from stellarstream_soroban_rpc.chain_client import unknown_in_all
from stellarstream_soroban_rpc.event_list import BadPageError
from tests.soroban_rpc.chain_kit import (
    DEAD,
    LATEST,
    PASSPHRASE,
    SECRET,
    A,
    Clock,
    chain,
    chain_node,
    contract_event,
    diagnostic,
    envelope,
    raw,
    relay_node,
    text,
)

SIGNED = envelope()
ENVELOPE, HASH = raw(SIGNED), SIGNED.hash_hex()
OTHER = envelope(8)
BAD_SEQ, BAD_AUTH, TOO_LATE = result_xdr(-5), result_xdr(-6), result_xdr(-3)

# --- handing in -------------------------------------------------------------------------------------


async def test_a_transaction_that_is_taken_is_pending_under_its_own_hash():
    async with relay_node() as made, chain(made) as opened:
        assert await opened.send(ENVELOPE) == Sent(HASH, SendStatus.PENDING, LATEST)
        assert made.submissions.waiting == {HASH: ENVELOPE}


async def test_handed_in_before_by_somebody_is_a_duplicate():
    async with relay_node() as made, chain(made) as opened:
        await opened.send(ENVELOPE)
        assert (await opened.send(ENVELOPE)).status is SendStatus.DUPLICATE


@pytest.mark.parametrize("code", [-3, -5, -6, -9, -11])
async def test_a_refusal_comes_with_its_result(code):
    async with relay_node() as made, chain(made) as opened:
        made.submissions.refusal = result_xdr(code)
        sent = await opened.send(ENVELOPE)
        assert (sent.status, sent.result) == (SendStatus.ERROR, result_xdr(code))
        assert made.count("sendTransaction") == 1, "what is refused is not tried again"


async def test_a_node_that_takes_none_now_says_so():
    async with relay_node() as made, chain(made) as opened:
        made.submissions.busy = True
        assert (await opened.send(ENVELOPE)).status is SendStatus.TRY_AGAIN_LATER


async def test_what_is_no_envelope_is_sent_nowhere():
    async with relay_node() as made, chain(made) as opened:
        with pytest.raises(XdrError):
            await opened.send(b"\0\0\0\2nonsense")
        assert made.calls == []


async def test_an_envelope_that_a_node_cannot_read_is_refused_at_once():
    async with relay_node() as made, chain(made) as opened:

        def refuse(_params, _view):
            raise NodeError(-32602, "invalid_xdr")

        made.send = refuse
        with pytest.raises(SourceError, match="invalid_xdr") as caught:
            await opened.send(ENVELOPE)
        assert not isinstance(caught.value, SourceUnavailableError)
        assert made.count("sendTransaction") == 1


# --- a try that ended without an answer ---------------------------------------------------------------


async def test_taken_but_the_answer_was_lost_is_pending_and_not_a_duplicate():
    async with relay_node(faults=[Fault.LOST]) as made, chain(made) as opened:
        assert (await opened.send(ENVELOPE)).status is SendStatus.PENDING
        assert made.submissions.waiting == {HASH: ENVELOPE}
        assert made.count("sendTransaction") == 2


async def test_taken_by_one_and_asked_again_at_another_of_the_same_network_is_pending():
    shared = MadeSubmissions(PASSPHRASE)
    async with (
        relay_node(shared, faults=[Fault.LOST] * 9) as first,
        relay_node(shared) as second,
        chain(first, second) as opened,
    ):
        assert (await opened.send(ENVELOPE)).status is SendStatus.PENDING
        assert shared.waiting == {HASH: ENVELOPE}


async def test_applied_before_it_is_handed_in_again_is_pending_though_its_sequence_number_is_used():
    shared = MadeSubmissions(PASSPHRASE)

    def send_and_apply(params, view):
        answer = shared.send(params, view)
        shared.apply(HASH, LATEST)
        return answer

    async with (
        relay_node(shared, faults=[Fault.LOST]) as first,
        relay_node(shared) as second,
        chain(first, second) as opened,
    ):
        first.send = send_and_apply
        sent = await opened.send(ENVELOPE)
        assert (sent.status, sent.result) == (SendStatus.PENDING, BAD_SEQ)
        assert (await opened.transaction(sent.hash)).status is TransactionStatus.SUCCESS


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.TIMEOUT, Fault.BUSY, Fault.GARBAGE, Fault.INTERNAL])
@pytest.mark.parametrize(
    ("refusal", "status"), [(BAD_SEQ, SendStatus.PENDING), (TOO_LATE, SendStatus.PENDING), (BAD_AUTH, SendStatus.ERROR)]
)
async def test_after_a_failed_try_only_what_was_never_valid_is_an_error(fault, refusal, status):
    async with relay_node(faults=[fault]) as made, chain(made) as opened:
        made.submissions.refusal = refusal
        sent = await opened.send(ENVELOPE)
        assert (sent.status, sent.result) == (status, refusal)


async def test_try_again_later_after_a_failed_try_is_pending():
    async with relay_node(faults=[Fault.LOST]) as made, chain(made) as opened:
        made.submissions.busy = True
        assert (await opened.send(ENVELOPE)).status is SendStatus.PENDING


async def test_an_address_where_nobody_listens_leaves_no_doubt():
    async with relay_node() as made, chain(DEAD, made) as opened:
        made.submissions.refusal = BAD_SEQ
        assert (await opened.send(ENVELOPE)).status is SendStatus.ERROR
    async with chain(DEAD) as opened:
        with pytest.raises(SourceUnavailableError) as caught:
            await opened.send(ENVELOPE)
        assert "may have been taken" not in str(caught.value)


async def test_a_node_that_does_not_offer_it_leaves_no_doubt():
    async with chain_node() as lacking, relay_node() as made:
        made.submissions.refusal = BAD_SEQ
        async with chain(lacking, made) as opened:
            assert (await opened.send(ENVELOPE)).status is SendStatus.ERROR
        async with chain(lacking) as opened:
            with pytest.raises(SourceUnavailableError, match="does not offer sendTransaction") as caught:
                await opened.send(ENVELOPE)
            assert "may have been taken" not in str(caught.value)


async def test_when_every_try_fails_it_is_told_that_it_may_have_been_taken():
    clock = Clock()
    began = clock.time
    async with relay_node(faults=[Fault.LOST] * 99) as made, chain(made, clock=clock) as opened:
        with pytest.raises(SourceUnavailableError, match="may have been taken all the same"):
            await opened.send(ENVELOPE)
    assert clock.time - began <= 10
    assert made.submissions.waiting == {HASH: ENVELOPE}


async def test_a_refusal_of_the_form_after_a_lost_answer_does_not_say_that_it_was_not_taken():
    async with relay_node(faults=[Fault.LOST]) as made, chain_node() as old:

        def refuse(_params, _view):
            raise NodeError(-32602, "invalid_xdr")

        old.send = refuse
        async with chain(made, old) as opened:
            with pytest.raises(SourceUnavailableError, match="may have been taken"):
                await opened.send(ENVELOPE)


async def test_a_silent_node_may_have_taken_it():
    async with (
        relay_node(faults=[Fault.SLOW] * 9) as slow,
        chain(slow, real_time=True, chain_seconds=0.6) as opened,
    ):
        began = time.monotonic()
        with pytest.raises(SourceUnavailableError, match="may have been taken"):
            await opened.send(ENVELOPE)
        assert time.monotonic() - began < 1.5


async def test_a_node_that_names_another_hash_is_not_believed():
    async with relay_node() as liar, relay_node() as honest, chain(liar, honest) as opened:
        liar.send = lambda _params, view: {"hash": OTHER.hash_hex(), "status": "ERROR", "latestLedger": view.latest}
        assert (await opened.send(ENVELOPE)).status is SendStatus.PENDING
    async with relay_node() as foreign, chain(foreign, max_retries=0) as opened:
        foreign.submissions.passphrase = "Another network"  # it hashes for a network that is not ours
        with pytest.raises(SourceUnavailableError, match=r"hash is not the transaction's.*may have been taken"):
            await opened.send(ENVELOPE)


async def test_no_secret_of_an_address_is_told():
    async with relay_node() as made, chain(f"{made.url}/{SECRET}?key={SECRET}", max_retries=0) as opened:

        def refuse(_params, _view):
            raise NodeError(-32603, f"no route to /{SECRET}")

        made.send = made.transaction = refuse
        for asking in (opened.send(ENVELOPE), opened.transaction(HASH)):
            with pytest.raises(SourceError) as caught:
                await asking
            assert SECRET not in str(caught.value)


def sent(**other) -> dict:
    return {"hash": HASH, "status": "PENDING", "latestLedger": LATEST, "latestLedgerCloseTime": "1700000000", **other}


@pytest.mark.parametrize(
    "answer",
    [
        sent(hash=HASH.upper()),
        sent(hash=None),
        sent(status="FINE"),
        sent(status=None),
        sent(latestLedger=-1),
        sent(errorResultXdr="AAAA"),
        sent(errorResultXdr=text(BAD_SEQ[:-4])),
        sent(diagnosticEventsXdr=["AAAA"]),
        sent(diagnosticEventsXdr="AAAA"),
        [],
        None,
    ],
)
def test_a_sent_answer_that_cannot_be_right_is_refused(answer):
    with pytest.raises(BadPageError):
        read_sent(answer, HASH)


def test_an_error_may_come_without_result_or_ledger():
    assert read_sent(sent(status="ERROR", latestLedger=0, errorResultXdr=""), HASH) == Sent(HASH, SendStatus.ERROR, 0)
    newer = BAD_SEQ[:8] + (-99).to_bytes(4, "big", signed=True) + bytes(4)
    assert read_sent(sent(status="ERROR", errorResultXdr=text(newer)), HASH).result is None


# --- what became of it --------------------------------------------------------------------------------


async def applied(opened, made, **told):
    await opened.send(ENVELOPE)
    made.submissions.apply(HASH, LATEST - 1, **told)
    return await opened.transaction(HASH)


@pytest.mark.parametrize("version", [22, 23, 28])
@pytest.mark.parametrize("succeeded", [True, False])
async def test_a_transactions_fate_is_told_in_the_shapes_of_every_version(version, succeeded):
    shared = MadeSubmissions(PASSPHRASE, version)
    async with relay_node(shared) as made, chain(made) as opened:
        assert (await opened.transaction(HASH)).status is TransactionStatus.NOT_FOUND
        found = await applied(
            opened,
            made,
            succeeded=succeeded,
            diagnostics=[diagnostic(contract_event("error", 3), successful=False).to_xdr_bytes()],
            contract_events=[[contract_event("claim", 9).to_xdr_bytes()]],
        )
    closed_at = made.history.close_time(LATEST)
    wanted = TransactionStatus.SUCCESS if succeeded else TransactionStatus.FAILED
    assert (found.status, found.latest, found.latest_closed_at, found.oldest) == (wanted, LATEST, closed_at, 1)
    assert (found.ledger, found.result) == (LATEST - 1, result_xdr(0 if succeeded else -1))
    assert found.envelope == ENVELOPE, "the very bytes that were handed in"
    named = [(event.contract, event.topics[1][8:13], event.successful) for event in found.events]
    assert named == [(A, b"error", False), *([(A, b"claim", True)] if version >= 23 else [])]


@pytest.mark.parametrize("missing", [..., "", None])
async def test_an_envelope_that_the_node_does_not_tell_is_none(missing):
    async with relay_node() as made, chain(made) as opened:
        assert (await opened.transaction(HASH)).envelope is None, "of one that is not known"
        answer = made.transaction

        def without(params, view):
            found = {**answer(params, view), "envelopeXdr": missing}
            return {name: value for name, value in found.items() if value is not ...}

        made.transaction = without
        found = await applied(opened, made)
    assert (found.status, found.envelope) == (TransactionStatus.SUCCESS, None)


async def test_a_contract_event_among_the_diagnostics_is_told_once():
    claim = contract_event("claim", 9)
    async with relay_node() as made, chain(made) as opened:
        found = await applied(
            opened,
            made,
            diagnostics=[diagnostic(claim).to_xdr_bytes(), diagnostic(contract_event("core")).to_xdr_bytes()],
            contract_events=[[claim.to_xdr_bytes()], []],
        )
    assert [event.topics[1][8:12] for event in found.events] == [b"clai", b"core"]


async def test_times_may_be_text_or_numbers_and_a_hash_in_capitals_is_the_same():
    async with relay_node() as made, chain(made) as opened:
        answer = made.transaction

        def in_numbers(params, view):
            found = answer(params, view)
            return {**found, "latestLedgerCloseTime": int(found["latestLedgerCloseTime"])}

        made.transaction = in_numbers
        assert (await applied(opened, made)).latest_closed_at == made.history.close_time(LATEST)
        assert (await opened.transaction(HASH.upper())).status is TransactionStatus.SUCCESS


async def test_one_that_does_not_know_it_is_not_the_last_word():
    shared = MadeSubmissions(PASSPHRASE)
    async with (
        relay_node(shared, latest=LATEST - 2) as behind,
        relay_node(shared) as ahead,
        relay_node(shared, oldest=LATEST) as young,
        chain(behind, DEAD, young, ahead) as opened,
    ):
        found = await applied(opened, behind)
        assert (found.status, found.ledger) == (TransactionStatus.SUCCESS, LATEST - 1)


async def test_a_silent_other_does_not_keep_the_answer():
    async with (
        relay_node() as made,
        relay_node(faults=[Fault.SLOW] * 9) as slow,
        chain(made, slow, real_time=True, chain_seconds=3) as opened,
    ):
        began = time.monotonic()
        for _ in range(3):
            assert (await opened.transaction(HASH)).status is TransactionStatus.NOT_FOUND
        assert time.monotonic() - began < 2


def unknown(oldest, latest):
    return ChainTransaction(TransactionStatus.NOT_FOUND, latest, 10 * latest, oldest)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([unknown(5, 10)], unknown(5, 10)),
        ([unknown(5, 10), unknown(8, 12)], unknown(5, 12)),
        ([unknown(5, 10), unknown(11, 12)], unknown(5, 12)),
        ([unknown(5, 10), unknown(12, 13)], unknown(12, 13)),
        ([unknown(1, 4), unknown(9, 13), unknown(5, 8)], unknown(1, 13)),
    ],
)
def test_that_nobody_knows_it_is_said_of_ledgers_without_a_gap(answers, told):
    assert unknown_in_all(answers) == told


# --- answers that cannot be right -------------------------------------------------------------------


def told(**other) -> dict:
    answer = {
        "status": "SUCCESS",
        "latestLedger": LATEST,
        "latestLedgerCloseTime": "1700000000",
        "oldestLedger": 1,
        "oldestLedgerCloseTime": "1600000000",
        "ledger": 900,
        "txHash": HASH,
        "feeBump": False,
        "envelopeXdr": text(ENVELOPE),
        "resultXdr": text(result_xdr(0)),
        "resultMetaXdr": "whatever",
        "events": {"contractEventsXdr": [[text(contract_event())]]},
        **other,
    }
    return {name: value for name, value in answer.items() if value is not ...}


def read(answer):
    return read_chain_transaction(answer, HASH, PASSPHRASE)


def test_the_answer_that_the_wrong_ones_are_made_of_is_right():
    assert read(told()).ledger == 900
    assert read(told(envelopeXdr=..., txHash=..., feeBump=..., events=...)).ledger == 900, "as older nodes have it"


WRONG = {
    "another hash": told(txHash=OTHER.hash_hex()),
    "another envelope": told(envelopeXdr=text(raw(OTHER))),
    "another envelope said to be a fee bump": told(feeBump=True, txHash=OTHER.hash_hex(), envelopeXdr=text(raw(OTHER))),
    "an envelope cut off": told(envelopeXdr=text(ENVELOPE[:40])),
    "success with a failure's result": told(resultXdr=text(result_xdr(-1))),
    "failure with a success's result": told(status="FAILED"),
    "no result": told(resultXdr=""),
    "a result cut off": told(resultXdr=text(result_xdr(0)[:-4])),
    "status none": told(status="PENDING"),
    "no ledger": told(ledger=0),
    "a ledger still to come": told(ledger=LATEST + 1),
    "no latest ledger": told(latestLedger=...),
    "no oldest ledger": told(oldestLedger=...),
    "oldest after latest": told(oldestLedger=LATEST + 1),
    "no close time": told(latestLedgerCloseTime=...),
    "a close time that is no number": told(latestLedgerCloseTime="now"),
    "events no list": told(events={"contractEventsXdr": "none"}),
    "an event cut off": told(diagnosticEventsXdr=[text(diagnostic().to_xdr_bytes()[:-4])]),
    "no object": None,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_an_answer_that_cannot_be_right_is_refused_and_another_endpoint_is_asked(wrong):
    async with chain_node() as liar, chain_node() as honest:
        liar.transaction, honest.transaction = (lambda *_: wrong), (lambda *_: told())
        async with chain(liar, max_retries=1) as opened:
            with pytest.raises(SourceMisbehavedError):
                await opened.transaction(HASH)
        async with chain(liar, honest) as opened:
            assert (await opened.transaction(HASH)).ledger == 900


def test_an_envelope_that_has_this_hash_in_another_network_is_refused():
    with pytest.raises(BadPageError, match="of another transaction"):
        read_chain_transaction(told(), HASH, "Another Network")


@pytest.mark.parametrize("muxed", [False, True])
def test_a_fee_bump_is_known_under_its_own_hash_and_that_of_what_it_carries(muxed):
    payer = Keypair.from_raw_ed25519_seed(b"\1" * 32)
    bumped = TransactionBuilder.build_fee_bump_transaction(payer, 2_000, SIGNED, PASSPHRASE)
    if muxed:
        source = MuxedAccount(payer.public_key, 77)
        bumped = FeeBumpTransactionEnvelope(FeeBumpTransaction(source, bumped.transaction.fee, SIGNED), PASSPHRASE)
    bumped.sign(payer)
    answer = told(feeBump=True, txHash=bumped.hash_hex(), envelopeXdr=text(raw(bumped)), resultXdr=text(result_xdr(0)))
    for tx_hash in (HASH, bumped.hash_hex()):
        found = read_chain_transaction(answer, tx_hash, PASSPHRASE)
        assert (found.ledger, found.envelope) == (900, raw(bumped))
    with pytest.raises(BadPageError):
        read_chain_transaction(answer, OTHER.hash_hex(), PASSPHRASE)


def test_an_envelope_of_a_newer_protocol_is_not_handed_on_and_the_fate_is_told():
    one_call = b"".join(
        number.to_bytes(4, "big") for number in (1, 0, 24)
    )  # operations, no source, INVOKE_HOST_FUNCTION
    assert ENVELOPE.count(one_call) == 1
    newer = ENVELOPE.replace(one_call, one_call[:-1] + b"\x63")
    found = read(told(envelopeXdr=text(newer)))
    assert (found.status, found.envelope) == (TransactionStatus.SUCCESS, None)


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**65) | st.text(max_size=9) | st.sampled_from(["AAAAAA==", "SUCCESS"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from([*told()]), below, max_size=9),
    max_leaves=12,
)


@given(
    answer=junk | st.fixed_dictionaries({}, optional=dict.fromkeys(told(), junk)),
    spoilt=st.dictionaries(st.sampled_from([*told()]), junk, max_size=2),
)
def test_any_json_is_an_answer_or_a_refusal(answer, spoilt):
    for one in (answer, told(**spoilt)):
        try:
            found = read(one)
        except BadPageError:
            continue
        assert 0 <= found.oldest <= found.latest
