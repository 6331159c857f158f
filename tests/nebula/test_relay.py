"""The relay: stored before it is sent, sent again after a crash, and no last word but a ledger's or the clock's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings, strategies
from stellar_sdk import TransactionEnvelope
from stellar_sdk.xdr import InvokeHostFunctionResultCode as OperationCode
from stellar_sdk.xdr import TransactionResultCode as Code

from stellarstream_core.chain import (
    ChainTransaction,
    LedgerEntries,
    LedgerEntry,
    SendStatus,
    Sent,
    TransactionStatus,
)
from stellarstream_core.errors import SourceError, SourceUnavailableError
from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.projection.tables import EntryRow
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.storage import Storage
from stellarstream_core.xdr.scval import Arm, ErrorType, ScValue, encode_scval
from stellarstream_nebula import families
from stellarstream_nebula.model import stream_key
from stellarstream_nebula.stored import NAME
from stellarstream_nebula.tables import NebulaTransaction
from stellarstream_nebula.transactions import relay, store
from stellarstream_nebula.transactions.contracts import ServedContracts
from stellarstream_nebula.transactions.errors import (
    AccountNotFoundError,
    ChainUnavailableError,
    EnvelopeExpiredError,
    ForeignCallError,
    TooManyPendingError,
    WrongSignerError,
)
from stellarstream_nebula.transactions.fate import proven
from stellarstream_nebula.transactions.relay import LEDGERS_BEFORE, RESEND_SECONDS, TRIES, Relay
from stellarstream_nebula.transactions.results import failure
from stellarstream_nebula.transactions.store import State, Stored
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
            storage, chain, PASSPHRASE, names, now=lambda: self.time, pause=self._pause, clock=lambda: self.time
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


async def test_the_same_envelope_at_the_same_time_at_one_worker_is_handed_in_once(storage, chain, worker):
    text, one = envelope(), worker()
    chain.answers = [refused(result_xdr(Code.txINSUFFICIENT_BALANCE))]
    fates = await asyncio.gather(*(one.submit(text) for _ in range(5)))
    assert len(set(fates)) == 1
    assert len(chain.handed) == 1
    await asyncio.gather(*(one.submit(text) for _ in range(5)))
    assert len(chain.handed) == 2


async def test_another_ones_signatures_are_not_judged_in_its_place(chain, worker):
    one = worker()
    good, bad = envelope(), signed(drafted(), STRANGER)
    assert hash_of(good) == hash_of(bad)
    said = await asyncio.gather(one.submit(bad), one.submit(good), return_exceptions=True)
    assert isinstance(said[0], WrongSignerError)
    assert said[1].state is State.PENDING


async def test_those_that_wait_are_gone_through_in_order_and_a_few_at_a_time(storage, chain, worker):
    one = worker()
    chain.answers = [SourceUnavailableError("nobody answers")] * 3
    hashes = [
        (await one.submit(envelope(sequence=number, bounds=(0, NOW + end)))).hash
        for number, end in ((7, 300), (8, 100), (9, 200))
    ]
    assert await one.relay.waiting(60, 2, None) == [], "they were taken just now"
    one.time += RESEND_SECONDS
    first = await one.relay.waiting(60, 2, None)
    assert first == [(NOW + 100, hashes[1]), (NOW + 200, hashes[2])]
    assert await one.relay.waiting(60, 2, first[-1]) == [(NOW + 300, hashes[0])]
    assert await one.relay.waiting(60, 2, (NOW + 300, hashes[0])) == []
    one.time = NOW + 161
    assert await one.relay.waiting(60, 1, None) == [(NOW + 200, hashes[2])], "what is long over is left out"
    await one.look(hashes[2])
    assert await one.relay.waiting(60, 9, None) == [(NOW + 300, hashes[0])], "it was handed in"
    chain.applied(hashes[0], 103)
    await one.look(hashes[0])
    assert await one.relay.waiting(60, 9, None) == []


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
async def test_what_a_node_refuses_may_be_applied_yet_and_is_pending_with_the_reason(
    storage, chain, worker, result, code
):
    chain.answers = [refused(result)]
    fate = await worker().submit(envelope())
    assert (fate.state, fate.failure.code) == (State.PENDING, code)
    assert fate.failure.text
    assert (await worker().look(fate.hash)).failure.code == code
    assert len(chain.handed) == 1, "it is not handed in with each look"
    chain.applied(fate.hash, 103)
    done = await worker().look(fate.hash)
    assert (done.state, done.ledger, done.failure) == (State.SUCCESS, 103, None)


async def test_a_refused_one_is_handed_in_again_and_taken_when_the_reason_is_gone(chain, worker):
    one = worker()
    chain.answers = [refused(result_xdr(Code.txINSUFFICIENT_BALANCE))]
    fate = await one.submit(envelope())
    one.time += RESEND_SECONDS
    again = await one.look(fate.hash)
    assert (again.state, again.failure) == (State.PENDING, None)
    assert len(chain.handed) == 2


async def test_a_refused_one_ends_with_its_time_and_says_why_it_was_refused(chain, worker):
    one = worker()
    chain.answers = [refused(result_xdr(Code.txINSUFFICIENT_BALANCE))]
    fate = await one.submit(envelope())
    chain.closed_at = one.time = NOW + 301
    done = await one.look(fate.hash)
    assert (done.state, done.failure.code, done.ledger) == (State.FAILED, "expired", None)
    assert "txINSUFFICIENT_BALANCE" in done.failure.text


# --- sequence numbers -----------------------------------------------------------------------------


def used_up(chain: Chain, ledger: int = LATEST + 1) -> None:
    """Let the chain's account come to the number of :func:`envelope`."""
    chain.account(ALICE.public_key, sequence=8)
    chain.ledger = ledger


async def test_a_number_that_another_transaction_used_up_is_proof_that_it_failed(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    used_up(chain)
    chain.answers = [refused(BAD_SEQ)]
    one.time += RESEND_SECONDS
    done = await one.look(fate.hash)
    assert (done.state, done.failure.code, done.ledger) == (State.FAILED, "txBAD_SEQ", None)


async def test_a_number_that_is_still_to_come_is_no_proof(chain, worker):
    one = worker()
    chain.answers = [refused(BAD_SEQ)]
    fate = await one.submit(envelope(sequence=9))
    assert fate.state is State.PENDING, "the one before it may be applied yet"
    one.time += RESEND_SECONDS
    assert (await one.look(fate.hash)).failure is None


async def test_a_node_that_is_behind_the_account_proves_nothing(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    used_up(chain)
    ahead = chain.ledger_entries

    async def of_another_node(keys):
        answer = await ahead(keys)
        return LedgerEntries(answer.ledger + 1, answer.entries)

    chain.ledger_entries = of_another_node
    chain.answers = [refused(BAD_SEQ)]
    one.time += RESEND_SECONDS
    assert (await one.look(fate.hash)).state is State.PENDING
    chain.ledger += 1
    chain.applied(fate.hash, chain.ledger)
    one.time += 2
    assert (await one.look(fate.hash)).state is State.SUCCESS


async def test_a_node_without_the_ledgers_since_then_proves_nothing_by_the_number(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    used_up(chain, LATEST + 50)
    chain.oldest = LATEST + 2
    chain.answers = [refused(BAD_SEQ)]
    one.time += RESEND_SECONDS
    assert (await one.look(fate.hash)).state is State.PENDING


async def test_the_second_of_two_workers_never_calls_an_applied_transaction_failed(chain, worker):
    """Both take it at once; the first's is applied while the second hands it in, and the second's node is behind."""
    one, other = worker(), worker()
    text = envelope()
    chain.answers = [SendStatus.PENDING, refused(BAD_SEQ)]
    fates = await asyncio.gather(one.submit(text), other.submit(text))
    assert [fate.state for fate in fates] == [State.PENDING, State.PENDING]
    used_up(chain)
    chain.applied(hash_of(text), chain.ledger)
    one.time += 2
    assert {(await each.look(hash_of(text))).state for each in (one, other)} == {State.SUCCESS}


async def test_one_that_was_overtaken_before_it_came_has_failed_where_nodes_keep_a_day(chain, worker):
    chain.ledger = 100_000
    chain.account(ALICE.public_key, sequence=8)
    chain.oldest = 100_000 - LEDGERS_BEFORE + 2
    chain.answers = [refused(BAD_SEQ)] * 2
    one = worker()
    fate = await one.submit(envelope())
    assert fate.state is State.PENDING, "it may have been applied in a ledger that the node has not"
    chain.oldest -= 1
    one.time += 2
    assert (await one.look(fate.hash)).failure.code == "txBAD_SEQ"


@settings(max_examples=300, deadline=None)
@given(chance=strategies.randoms(use_true_random=True))
def test_whatever_nodes_say_nothing_is_called_failed_that_is_applied_or_may_be(chance):
    """A network that applies it in some ledger or never, and nodes that are behind it, forget, and refuse it."""
    asyncio.run(_whatever_nodes_say(chance))


LAST_FOR_IT = LATEST + 12
"""The last ledger that closes in its time."""


async def _whatever_nodes_say(chance: Random) -> None:
    applied = chance.choice([None, chance.randint(LATEST + 1, LAST_FOR_IT), LAST_FOR_IT])
    overtaken = None if applied is not None else chance.choice([None, chance.randint(LATEST + 1, LAST_FOR_IT + 8)])
    until = closed_at(LAST_FOR_IT)
    stored = Stored(
        "ab" * 32, b"", ALICE.public_key, 8, SECOND, "withdraw", State.PENDING, until, LATEST, NOW, None, None
    )
    network = Network(chance, applied, overtaken)
    for network.ledger in range(LATEST + 1, LAST_FOR_IT + 10):
        refused_with = chance.choice([None, failure("txBAD_SEQ"), failure("txINSUFFICIENT_BALANCE")])
        proof = await proven(replace(stored, failure=refused_with), network, Names())
        if proof.state is State.SUCCESS:
            assert applied is not None
            assert applied <= network.ledger
        if proof.state is State.FAILED:
            assert applied is None
            assert network.ledger >= min(overtaken or LAST_FOR_IT + 1, LAST_FOR_IT + 1), "it might be applied yet"
    network.behind, network.kept = (0,), (1,)
    assert (await proven(stored, network, Names())).state is not State.PENDING, "nodes that have everything tell"


def closed_at(ledger: int) -> int:
    return NOW + (ledger - LATEST) * 5


class Network(Chain):
    """Each answer is of another node, which is some ledgers behind, and may have lost what is old."""

    def __init__(self, chance: Random, applied: int | None, overtaken: int | None) -> None:
        super().__init__(ALICE)
        self.chance, self.applied_in = chance, applied
        self.used_in = min(applied or 999, overtaken or 999)
        self.behind, self.kept = (0, 1, 2, 3), (1, LATEST + 1, LATEST + 2, LAST_FOR_IT + 1)

    async def ledger_entries(self, keys):
        at = self.ledger - self.chance.choice(self.behind)
        self.account(ALICE.public_key, sequence=8 if at >= self.used_in else 7)
        (key,) = keys
        return LedgerEntries(at, {key: LedgerEntry(key, self.entries[key], at)})

    async def transaction(self, tx_hash):
        at = self.ledger - self.chance.choice(self.behind)
        oldest = min(self.chance.choice(self.kept), at)
        has = self.applied_in is not None and oldest <= self.applied_in <= at
        status = TransactionStatus.SUCCESS if has else TransactionStatus.NOT_FOUND
        return ChainTransaction(status, at, closed_at(at), oldest, self.applied_in if has else None)


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


async def test_what_a_node_refused_can_be_submitted_again_at_once(storage, chain, worker):
    text = envelope()
    chain.answers = [refused(result_xdr(Code.txINSUFFICIENT_BALANCE))]
    assert (await worker().submit(text)).failure.code == "txINSUFFICIENT_BALANCE"
    fate = await worker().submit(text)
    assert (fate.state, fate.failure) == (State.PENDING, None)
    assert len(chain.handed) == 2
    chain.applied(fate.hash, 104)
    assert (await worker().look(fate.hash)).state is State.SUCCESS


async def test_what_is_over_and_proven_is_not_handed_in_another_time(chain, worker):
    text = envelope()
    one = worker()
    fate = await one.submit(text)
    used_up(chain)
    chain.answers = [refused(BAD_SEQ)]
    one.time += RESEND_SECONDS
    assert (await one.look(fate.hash)).state is State.FAILED
    handed = len(chain.handed)
    assert (await one.submit(text)).failure.code == "txBAD_SEQ"
    assert len(chain.handed) == handed


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


async def test_an_account_that_never_came_to_its_number_proves_that_it_expired(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    chain.ledger, chain.oldest = LATEST + 9_000, LATEST + 5_000
    chain.closed_at = one.time = NOW + 900
    done = await one.look(fate.hash)
    assert (done.state, done.failure.code) == (State.FAILED, "expired")


async def test_what_nobody_can_tell_any_more_is_pending_and_says_so(chain, worker):
    one = worker()
    fate = await one.submit(envelope())
    used_up(chain, LATEST + 9_000)
    chain.oldest = LATEST + 5_000
    chain.closed_at = one.time = NOW + 900
    told = await one.look(fate.hash)
    assert (told.state, told.failure.code) == (State.PENDING, "undecided")
    chain.oldest = 1
    one.time += 2
    assert (await one.look(fate.hash)).state is State.FAILED, "another node can"


@pytest.mark.parametrize(
    ("function", "last", "closed", "state"),
    [
        ("cancel", 120, NOW + 301, State.FAILED),
        ("cancel", 120, NOW + 300, State.PENDING),
        ("withdraw", 120, NOW + 301, State.PENDING),
    ],
    ids=["all of its time is covered", "not yet", "a call that may publish nothing"],
)
async def test_the_index_tells_of_calls_that_would_have_published_something(
    storage, chain, worker, function, last, closed, state
):
    one = worker()
    fate = await one.submit(envelope(function=function))
    chain.down, one.time = True, NOW + 900
    assert (await one.look(fate.hash)).state is State.PENDING
    scope = Scope.of([SECOND])
    storage.want(scope, LATEST + 1)
    for first, until in ((LATEST + 1, LATEST + 5), (LATEST + 6, last)):
        one.time += 2
        assert (await one.look(fate.hash)).state is State.PENDING, "ledgers are missing"
        window = Window(LedgerRange(first, until), scope, [], "soroban-rpc", Evidence.SCANNED, closed_at=closed)
        storage.commit(replace(window, closed_at=closed if until == last else NOW + 5))
    one.time += 2
    done = await one.look(fate.hash)
    assert done.state is state
    assert state is State.PENDING or done.failure.code == "no-success"


async def test_ledgers_before_it_was_taken_are_no_proof_of_what_came_after(storage, chain, worker):
    scope = Scope.of([SECOND])
    storage.want(scope, 50)
    storage.commit(Window(LedgerRange(50, LATEST), scope, [], "soroban-rpc", Evidence.SCANNED, closed_at=NOW + 900))
    one = worker()
    fate = await one.submit(envelope(function="cancel"))
    chain.down, one.time = True, NOW + 900
    assert (await one.look(fate.hash)).state is State.PENDING


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


def journal(storage: Storage, event: ContractEvent, *keys: str) -> None:
    """Put an event into journals, as the projection does when it folds it."""
    for key in keys or (stream_key(SECOND, 3),):
        storage.write(EntryRow.insert(projection=NAME, key=key, event_id=event.id).execute)


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


async def test_streams_of_a_family_that_a_plugin_offers_are_told_too(storage, worker, monkeypatch):
    monkeypatch.setattr(families, "_known", {"rate-streams": None})
    served = ServedContracts({FOREIGN: "rate-streams"}).families
    event = claimed("ab" * 32, contract=FOREIGN)
    index(storage, event, journaled=False)
    journal(storage, event, stream_key(FOREIGN, 7))
    fate = await worker().relay.look("ab" * 32, served)
    assert (fate.state, fate.streams) == (State.SUCCESS, (stream_key(FOREIGN, 7),))


async def test_what_belongs_to_all_streams_of_a_token_names_none(storage, worker):
    event = claimed("ab" * 32)
    index(storage, event, journaled=False)
    journal(storage, event, f"{SECOND}/{FOREIGN}")
    assert (await worker().look("ab" * 32)).streams == ()


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


# --- how much is kept -----------------------------------------------------------------------------


async def test_an_account_may_have_so_many_waiting_and_another_one_more(storage, chain, worker, monkeypatch):
    monkeypatch.setattr(store, "MOST_PENDING", 3)
    one = worker()
    taken = [await one.submit(envelope(sequence=number)) for number in (7, 8, 9)]
    with pytest.raises(TooManyPendingError):
        await one.submit(envelope(sequence=10))
    assert len(chain.handed) == rows(storage) == 3
    assert (await one.submit(envelope(sequence=9))).hash == taken[2].hash, "what was taken is no more of it"
    assert (await one.submit(signed(drafted(source=BOB), BOB))).state is State.PENDING
    chain.applied(taken[0].hash, 101)
    await one.look(taken[0].hash)
    assert (await one.submit(envelope(sequence=10))).state is State.PENDING


async def test_of_what_came_into_no_ledger_an_account_has_the_newest_kept(storage, chain, worker, monkeypatch):
    monkeypatch.setattr(store, "MOST_ENDED", 2)
    one = worker()
    paid = await one.submit(envelope(sequence=20))
    chain.applied(paid.hash, 101)
    await one.look(paid.hash)
    others = []
    for number in range(7, 12):
        one.time += 1_000
        bounds = (0, int(one.time) + 300)
        others.append(await one.submit(envelope(sequence=number, bounds=bounds)))
    there = [await one.look(fate.hash) is not None for fate in others]
    assert there == [False, False, False, True, True], "one that waits, and one that has ended"
    assert (await one.look(paid.hash)).state is State.SUCCESS


async def test_nothing_is_kept_for_ever(storage, worker):
    one = worker()
    fate = await one.submit(envelope())
    one.time += store.KEPT_SECONDS + 301
    await one.submit(signed(drafted(source=BOB, bounds=(0, int(one.time) + 60)), BOB))
    assert await one.look(fate.hash) is None
    assert rows(storage) == 1


async def test_signatures_and_xdr_are_worked_on_beside_the_event_loop(chain, worker, monkeypatch):
    threads = set()

    def noting(function):
        def call(*args):
            threads.add((function.__name__, threading.current_thread() is threading.main_thread()))
            return function(*args)

        return call

    for function in (relay.parsed, relay.check_signatures, relay.failure_of):
        monkeypatch.setattr(relay, function.__name__, noting(function))
    chain.answers = [refused(BAD_SEQ)]
    await worker().submit(envelope())
    assert threads == {("parsed", False), ("check_signatures", False), ("failure_of", False)}
