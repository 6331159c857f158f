"""The relay: stored before it is sent, sent again after a crash, and no last word but a ledger's or the clock's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from stellar_sdk import TransactionEnvelope
from stellar_sdk.xdr import InvokeHostFunctionResultCode as OperationCode
from stellar_sdk.xdr import TransactionResultCode as Code

from stellarstream_core.chain import SendStatus, Sent
from stellarstream_core.errors import SourceError, SourceUnavailableError
from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.storage import Storage
from stellarstream_core.xdr.scval import Arm, ErrorType, ScValue, encode_scval
from stellarstream_nebula.model import stream_key
from stellarstream_nebula.tables import NebulaLink, NebulaTransaction
from stellarstream_nebula.transactions.errors import (
    AccountNotFoundError,
    ChainUnavailableError,
    EnvelopeExpiredError,
    ForeignCallError,
    WrongSignerError,
)
from stellarstream_nebula.transactions.relay import RESEND_SECONDS, TRIES, Relay
from stellarstream_nebula.transactions.store import State
from tests.nebula.relay_kit import (
    ALICE,
    BOB,
    FAMILIES,
    FIRST,
    FOREIGN,
    NOW,
    PASSPHRASE,
    SECOND,
    STRANGER,
    Chain,
    Names,
    bumped,
    drafted,
    fails,
    result_xdr,
    signed,
    symbol,
)

LATEST = 100
BAD_SEQ = result_xdr(Code.txBAD_SEQ)
TRAPPED = result_xdr(Code.txFAILED, OperationCode.INVOKE_HOST_FUNCTION_TRAPPED)


class Worker:
    """A relay whose clock is set by the test."""

    def __init__(self, storage: Storage, chain: Chain | None) -> None:
        self.time = float(NOW)
        self.paused: list[float] = []
        names = Names({(SECOND, 17): "NothingToWithdraw"})
        self.relay = Relay(
            storage, chain, PASSPHRASE, names, {}, now=lambda: self.time, pause=self._pause, clock=lambda: self.time
        )

    async def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    async def submit(self, text: str):
        return await self.relay.submit(text, FAMILIES)

    async def look(self, tx_hash: str):
        return await self.relay.look(tx_hash, FAMILIES)


@pytest.fixture
def chain() -> Chain:
    return Chain(ALICE, BOB, ledger=LATEST)


@pytest.fixture
def worker(storage, chain) -> Callable[[], Worker]:
    """Return a function that makes another worker of the same database and chain."""
    return lambda: Worker(storage, chain)


def row(storage: Storage) -> NebulaTransaction:
    (found,) = storage.read(lambda database: list(NebulaTransaction.select().execute(database)))
    return found


def rows(storage: Storage) -> int:
    return storage.read(lambda database: len(list(NebulaTransaction.select().execute(database))))


def envelope(**more) -> str:
    return signed(drafted(**more), ALICE)


def hash_of(text: str) -> str:
    return TransactionEnvelope.from_xdr(text, PASSPHRASE).hash_hex()


def raw(text: str) -> bytes:
    return TransactionEnvelope.from_xdr(text, PASSPHRASE).to_xdr_object().to_xdr_bytes()


# --- handing in -----------------------------------------------------------------------------------


async def test_what_passes_is_stored_and_handed_in_as_it_was_signed(storage, chain, worker):
    text = envelope()
    fate = await worker().submit(text)
    assert (fate.hash, fate.state) == (hash_of(text), State.PENDING)
    assert chain.handed == [raw(text)]
    stored = row(storage)
    assert (stored.hash, bytes(stored.envelope), stored.account) == (fate.hash, raw(text), ALICE.public_key)
    assert (stored.contract_id, stored.function, stored.status) == (SECOND, "withdraw", "PENDING")
    assert (stored.submitted_at, stored.sent_at, stored.valid_until) == (NOW, NOW, NOW + 300)
    assert stored.accepted_ledger == LATEST


async def test_it_is_stored_before_it_is_sent(storage, chain, worker):
    seen = []
    send = chain.send

    async def looking(envelope: bytes) -> Sent:
        seen.append(row(storage).status)
        return await send(envelope)

    chain.send = looking
    await worker().submit(envelope())
    assert seen == ["PENDING"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (lambda: signed(drafted(FOREIGN), ALICE), ForeignCallError),
        (lambda: signed(drafted(), STRANGER), WrongSignerError),
        (lambda: signed(drafted(bounds=(0, NOW - 1)), ALICE), EnvelopeExpiredError),
        (lambda: signed(drafted(source=STRANGER), STRANGER), AccountNotFoundError),
    ],
    ids=["foreign", "wrong signer", "expired", "no account"],
)
async def test_what_is_refused_is_neither_stored_nor_sent(storage, chain, worker, text, problem):
    with pytest.raises(problem):
        await worker().submit(text())
    assert chain.handed == []
    assert rows(storage) == 0


async def test_without_the_chain_nobody_knows_who_may_sign_and_nothing_is_taken(storage, chain, worker):
    chain.down = True
    with pytest.raises(ChainUnavailableError):
        await worker().submit(envelope())
    with pytest.raises(ChainUnavailableError):
        await Worker(storage, None).submit(envelope())
    assert rows(storage) == 0


async def test_the_same_envelope_again_is_the_same_transaction_at_every_worker(storage, chain, worker):
    text = envelope()
    first = await worker().submit(text)
    assert await worker().submit(text) == first
    chain.applied(first.hash, 103)
    other = worker()
    assert (await other.look(first.hash)).state is State.SUCCESS
    assert (await worker().submit(text)).state is State.SUCCESS
    assert rows(storage) == 1
    assert len(chain.handed) == 1


async def test_the_same_envelope_at_the_same_time_is_stored_once(storage, chain, worker):
    text = envelope()
    fates = await asyncio.gather(*(worker().submit(text) for _ in range(6)))
    assert {fate.hash for fate in fates} == {hash_of(text)}
    assert {fate.state for fate in fates} == {State.PENDING}
    assert rows(storage) == 1


async def test_an_envelope_that_was_taken_is_answered_for_after_its_time_too(chain, worker):
    text = envelope()
    late = worker()
    first = await late.submit(text)
    late.time += 10_000
    assert (await late.submit(text)).hash == first.hash


async def test_one_that_the_node_takes_later_is_tried_again_and_otherwise_stays_pending(storage, chain, worker):
    chain.answers = [SendStatus.TRY_AGAIN_LATER, SendStatus.PENDING]
    patient = worker()
    assert (await patient.submit(envelope())).state is State.PENDING
    assert len(chain.handed) == 2
    assert len(patient.paused) == 1
    chain.answers = [SendStatus.TRY_AGAIN_LATER] * TRIES
    fate = await worker().submit(envelope(sequence=8))
    assert fate.state is State.PENDING
    assert len(chain.handed) == 2 + TRIES
    await worker().look(fate.hash)
    assert len(chain.handed) == 3 + TRIES, "whoever asks next has it handed in"


@pytest.mark.parametrize("failure", [SourceUnavailableError("nobody answers"), SourceError("refused")])
async def test_a_crash_between_store_and_send_is_healed_by_whoever_asks_next(storage, chain, worker, failure):
    text = envelope()
    chain.answers = [failure]
    fate = await worker().submit(text)
    assert fate.state is State.PENDING
    assert row(storage).sent_at is None
    assert (await worker().look(fate.hash)).state is State.PENDING
    assert chain.handed[-1] == raw(text)
    assert row(storage).sent_at == NOW
    again = len(chain.handed)
    await worker().look(fate.hash)
    assert len(chain.handed) == again, "a node has it now"


async def test_a_worker_that_dies_while_it_sends_leaves_it_to_the_others(storage, chain, worker):
    hang = asyncio.Event()
    send = chain.send

    async def hanging(envelope: bytes) -> Sent:
        hang.set()
        await asyncio.sleep(60)
        return await send(envelope)

    chain.send = hanging
    text = envelope()
    dying = asyncio.create_task(worker().submit(text))
    await hang.wait()
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    chain.send = send
    assert (await worker().look(hash_of(text))).state is State.PENDING
    assert chain.handed == [raw(text)]


async def test_one_that_nodes_forgot_is_handed_in_again_while_its_time_lasts(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    one.time += RESEND_SECONDS - 1
    await one.look(fate.hash)
    assert len(chain.handed) == 1
    one.time += 2
    await one.look(fate.hash)
    assert len(chain.handed) == 2
    one.time = NOW + 301
    await one.look(fate.hash)
    assert len(chain.handed) == 2, "its time is over"


# --- what nodes refuse ----------------------------------------------------------------------------


def refused(result: bytes) -> Sent:
    return Sent("0" * 64, SendStatus.ERROR, LATEST, result)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (BAD_SEQ, "txBAD_SEQ"),
        (result_xdr(Code.txINSUFFICIENT_BALANCE), "txINSUFFICIENT_BALANCE"),
        (result_xdr(Code.txTOO_LATE), "txTOO_LATE"),
        (result_xdr(Code.txSOROBAN_INVALID), "txSOROBAN_INVALID"),
        (b"\0\0\0\1", "unreadable-result"),
        (None, "unreadable-result"),
    ],
)
async def test_what_a_node_refuses_has_failed_with_the_networks_own_code(storage, chain, worker, result, code):
    chain.answers = [refused(result)]
    fate = await worker().submit(envelope())
    assert (fate.state, fate.failure.code) == (State.FAILED, code)
    assert fate.failure.text
    assert (await worker().look(fate.hash)).failure.code == code
    assert row(storage).ledger is None


async def test_one_that_is_in_a_ledger_already_is_no_failure_though_the_node_calls_its_sequence_number_bad(
    chain, worker
):
    text = envelope()
    chain.answers = [refused(BAD_SEQ)]
    chain.applied(hash_of(text), 102)
    fate = await worker().submit(text)
    assert (fate.state, fate.ledger, fate.failure) == (State.SUCCESS, 102, None)


async def test_where_its_fate_cannot_be_asked_for_a_refusal_is_not_believed(storage, chain, worker):
    chain.answers = [refused(BAD_SEQ)]
    transaction = chain.transaction

    async def silent(_hash: str):
        raise SourceUnavailableError("nobody answers")

    chain.transaction = silent
    fate = await worker().submit(envelope())
    assert fate.state is State.PENDING
    chain.transaction = transaction


@pytest.mark.parametrize("code", [Code.txBAD_SEQ, Code.txTOO_LATE])
async def test_a_refusal_that_may_mean_it_was_applied_is_not_believed_when_it_was_handed_in_before(chain, worker, code):
    """The node that refuses may be ahead of the one that is asked for its fate."""
    one = worker()
    chain.answers = [SourceUnavailableError("nobody answers, and took it"), refused(result_xdr(code))]
    fate = await one.submit(envelope())
    assert (await one.look(fate.hash)).state is State.PENDING
    assert len(chain.handed) == 2
    one.time += 2
    await one.look(fate.hash)
    assert len(chain.handed) == 2, "it is not handed in every second"
    chain.applied(fate.hash, 103)
    one.time += 2
    assert (await one.look(fate.hash)).state is State.SUCCESS


async def test_another_refusal_is_believed_after_a_crash_too(chain, worker):
    chain.answers = [SourceUnavailableError("nobody answers"), refused(result_xdr(Code.txINSUFFICIENT_BALANCE))]
    fate = await worker().submit(envelope())
    assert (await worker().look(fate.hash)).failure.code == "txINSUFFICIENT_BALANCE"


async def test_what_a_node_refused_can_be_submitted_again(storage, chain, worker):
    text = envelope()
    chain.answers = [refused(result_xdr(Code.txINSUFFICIENT_BALANCE))]
    assert (await worker().submit(text)).state is State.FAILED
    fate = await worker().submit(text)
    assert (fate.state, fate.failure) == (State.PENDING, None)
    assert len(chain.handed) == 2
    chain.applied(fate.hash, 104)
    assert (await worker().look(fate.hash)).state is State.SUCCESS


async def test_what_a_node_refused_and_is_too_late_now_is_still_told_by_its_fate(chain, worker):
    text = envelope()
    chain.answers = [refused(BAD_SEQ)]
    await worker().submit(text)
    late = worker()
    late.time = NOW + 400
    fate = await late.submit(text)
    assert (fate.state, fate.failure.code) == (State.FAILED, "txBAD_SEQ")


async def test_what_a_node_refused_but_reached_a_ledger_another_way_has_succeeded(chain, worker):
    text = envelope()
    chain.answers = [refused(BAD_SEQ)]
    one = worker()
    fate = await one.submit(text)
    chain.applied(fate.hash, 105)
    assert (await one.look(fate.hash)).state is State.SUCCESS


# --- what became of it ----------------------------------------------------------------------------


async def test_a_ledger_is_the_last_word(storage, chain, worker):
    fate = await worker().submit(envelope())
    chain.applied(fate.hash, 103)
    done = await worker().look(fate.hash)
    assert (done.state, done.ledger) == (State.SUCCESS, 103)
    asked = chain.asked["transaction"]
    chain.down = True
    assert await worker().look(fate.hash) == done
    assert chain.asked["transaction"] == asked, "it is stored"


async def test_a_call_that_failed_in_its_ledger_names_the_contracts_error(chain, worker):
    fate = await worker().submit(envelope())
    chain.applied(fate.hash, 103, TRAPPED, [fails(SECOND, ErrorType.CONTRACT, 17)])
    done = await worker().look(fate.hash)
    assert (done.state, done.ledger) == (State.FAILED, 103)
    assert done.failure.code == "INVOKE_HOST_FUNCTION_TRAPPED"
    assert "Nothing can be withdrawn" in done.failure.text
    assert "NothingToWithdraw (#17)" in done.failure.text
    again = await worker().submit(envelope())
    assert again.state is State.FAILED, "what a ledger says is final: it is not sent another time"
    assert len(chain.handed) == 1


async def test_a_pending_one_is_asked_for_once_a_second_however_many_ask(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    for _ in range(3):
        await asyncio.gather(*(one.look(fate.hash) for _ in range(5)))
        one.time += 0.3
    assert chain.asked["transaction"] == 1
    one.time += 0.2
    await one.look(fate.hash)
    assert chain.asked["transaction"] == 2


async def test_a_chain_that_does_not_answer_leaves_it_pending(chain, worker):
    fate = await worker().submit(envelope())
    chain.down = True
    assert (await worker().look(fate.hash)).state is State.PENDING


async def test_its_time_is_over_by_the_ledgers_clock_and_not_by_this_machines(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    one.time = NOW + 900
    chain.closed_at = NOW + 300
    assert (await one.look(fate.hash)).state is State.PENDING, "a ledger that closes now may hold it"
    one.time += 2
    chain.closed_at = NOW + 301
    done = await one.look(fate.hash)
    assert (done.state, done.failure.code, done.ledger) == (State.FAILED, "expired", None)


async def test_only_a_node_with_all_ledgers_since_then_can_say_that_it_is_in_none(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    chain.closed_at = one.time = NOW + 900
    chain.oldest = LATEST + 2
    assert (await one.look(fate.hash)).state is State.PENDING
    one.time += 2
    chain.oldest = LATEST + 1
    assert (await one.look(fate.hash)).state is State.FAILED


async def test_what_has_expired_is_not_taken_another_time(chain, worker):
    text = envelope()
    one = worker()
    fate = await one.submit(text)
    chain.closed_at = one.time = NOW + 900
    await one.look(fate.hash)
    assert (await one.submit(text)).failure.code == "expired"
    assert len(chain.handed) == 1


async def test_a_fee_bump_is_followed_by_its_outer_hash(chain, worker):
    inner = drafted()
    inner.sign(ALICE)
    bump = bumped(inner, BOB)
    fate = await worker().submit(signed(bump, BOB))
    assert fate.hash == bump.hash_hex()
    chain.applied(fate.hash, 103)
    assert (await worker().look(fate.hash)).state is State.SUCCESS


# --- the index ------------------------------------------------------------------------------------


def claimed(tx_hash: str, ledger: int = 102, contract: str = SECOND) -> ContractEvent:
    items = (
        ScValue(Arm.U64, 3),
        ScValue(Arm.ADDRESS, ALICE.public_key),
        ScValue(Arm.I128, 10),
        ScValue(Arm.I128, 10),
        ScValue(Arm.U64, NOW),
    )
    fields = {
        "action": symbol("claim"),
        "data": ScValue(Arm.VEC, items),
        "timestamp": ScValue(Arm.U64, NOW),
        "version": ScValue(Arm.U32, 2),
    }
    value = ScValue(Arm.MAP, tuple((symbol(name), item) for name, item in fields.items()))
    topics = (encode_scval(ScValue(Arm.U64, 3)), encode_scval(symbol("claim")))
    event_id = format_event_id(ledger, 1, 0, 0)
    return ContractEvent(event_id, ledger, NOW, tx_hash, 0, contract, "contract", topics, encode_scval(value))


def index(storage: Storage, event: ContractEvent, *, journaled: bool) -> None:
    scope = Scope.of([SECOND, FOREIGN])
    within = LedgerRange(event.ledger, event.ledger)
    storage.want(scope, event.ledger)
    storage.commit(Window(within, scope, [event], "soroban-rpc", Evidence.SCANNED))
    if journaled:
        journal(storage, event)


def journal(storage: Storage, event: ContractEvent) -> None:
    link = NebulaLink.insert(
        key=stream_key(SECOND, 3), event_id=event.id, contract_id=SECOND, type="claim", digest=bytes(32)
    )
    storage.write(link.execute)


async def test_its_streams_are_told_once_they_are_indexed(storage, chain, worker):
    fate = await worker().submit(envelope())
    event = claimed(fate.hash)
    index(storage, event, journaled=False)
    seen = await worker().look(fate.hash)
    assert (seen.state, seen.ledger, seen.streams) == (State.SUCCESS, 102, ())
    assert "transaction" not in chain.asked, "its events are proof enough"
    journal(storage, event)
    assert (await worker().look(fate.hash)).streams == (stream_key(SECOND, 3),)
    assert (await worker().submit(envelope())).streams == (stream_key(SECOND, 3),)


async def test_a_transaction_that_came_another_way_is_known_by_its_indexed_events(storage, worker):
    event = claimed("ab" * 32)
    index(storage, event, journaled=True)
    fate = await worker().look("ab" * 32)
    assert (fate.state, fate.ledger, fate.streams) == (State.SUCCESS, 102, (stream_key(SECOND, 3),))


async def test_events_of_other_contracts_are_no_proof_since_fees_are_charged_for_failures_too(storage, chain, worker):
    fate = await worker().submit(envelope())
    index(storage, claimed(fate.hash, contract=FOREIGN), journaled=False)
    assert (await worker().look(fate.hash)).state is State.PENDING
    index(storage, claimed("cd" * 32, ledger=103, contract=FOREIGN), journaled=False)
    assert await worker().look("cd" * 32) is None


async def test_a_hash_that_nobody_knows_is_not_there_and_the_chain_is_not_asked(chain, worker):
    assert await worker().look("00" * 32) is None
    assert chain.asked == {}


async def test_a_v1_call_that_publishes_nothing_names_the_stream_itself(chain, worker):
    fate = await worker().submit(envelope(contract=FIRST))
    assert fate.streams == ()
    chain.applied(fate.hash, 103)
    assert (await worker().look(fate.hash)).streams == (stream_key(FIRST, 3),)


async def test_no_envelope_is_in_the_log(storage, chain, worker):
    from loguru import logger

    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="TRACE")
    try:
        text = envelope()
        chain.answers = [SourceUnavailableError("nobody answers"), refused(BAD_SEQ)]
        await worker().submit(text)
        await worker().submit(text)
    finally:
        logger.remove(sink)
    assert lines
    assert not any(text[at : at + 24] in line for line in lines for at in range(0, len(text) - 24, 8))
