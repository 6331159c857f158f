"""What a caller notes of an envelope: stored with it or not at all, before it is sent, and once for each caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import peewee
import pytest
from stellar_sdk.xdr import TransactionResultCode as Code

from stellarstream_core.chain import LedgerEntries, Sent
from stellarstream_core.storage import Storage
from stellarstream_nebula.tables import NebulaTransaction
from stellarstream_nebula.transactions import store
from stellarstream_nebula.transactions.errors import TooManyPendingError, WrongSignerError
from stellarstream_nebula.transactions.relay import RESEND_SECONDS
from stellarstream_nebula.transactions.store import Noted, State
from tests.nebula.relay_kit import ALICE, BOB, FAMILIES, STRANGER, Chain, drafted, result_xdr, signed
from tests.nebula.test_relay import LATEST, Worker, envelope, hash_of, refused


class Note(peewee.Model):
    """What callers note here: a word, and how many envelopes were stored when they did."""

    word = peewee.TextField(primary_key=True)
    envelopes = peewee.IntegerField()

    class Meta:
        table_name = "notes_of_tests"


class RefusedError(Exception):
    """What a caller raises who wants none of it."""


@pytest.fixture
def chain() -> Chain:
    return Chain(ALICE, BOB, ledger=LATEST)


@pytest.fixture
def worker(storage, chain) -> Callable[[], Worker]:
    """Return a function that makes another worker of the same database and chain."""
    storage.write(_create)
    return lambda: Worker(storage, chain)


def _create(database: peewee.Database) -> None:
    database.execute_sql("CREATE TABLE notes_of_tests (word TEXT NOT NULL PRIMARY KEY, envelopes INTEGER NOT NULL)")


def note(word: str, error: Exception | None = None) -> Noted:
    """Return what notes a word, and then raises."""

    def noted(database: peewee.Database) -> None:
        stored = NebulaTransaction.select().count(database)
        Note.insert(word=word, envelopes=stored).execute(database)
        if error is not None:
            raise error

    return noted


def notes(storage: Storage) -> dict[str, int]:
    found = Note.select(Note.word, Note.envelopes).tuples()
    return storage.read(lambda database: dict(found.execute(database)))


def stored(storage: Storage) -> list[str]:
    found = NebulaTransaction.select(NebulaTransaction.hash).tuples()
    return storage.read(lambda database: [tx_hash for (tx_hash,) in found.execute(database)])


async def submit(one: Worker, text: str, noted: Noted | None):
    return await one.relay.submit(text, FAMILIES, noted)


# --- one at a time ----------------------------------------------------------------------------------


async def test_it_is_written_with_the_envelope_and_before_anything_is_sent(storage, chain, worker):
    one, text, seen = worker(), envelope(), []
    send = chain.send

    async def looking(raw: bytes) -> Sent:
        seen.append((stored(storage), notes(storage)))
        return await send(raw)

    chain.send = looking
    fate = await submit(one, text, note("mine"))
    assert (fate.hash, fate.state) == (hash_of(text), State.PENDING)
    assert seen == [([fate.hash], {"mine": 1})], "the envelope was there when it was noted, and both when it was sent"


@pytest.mark.parametrize("error", [RefusedError("no"), peewee.IntegrityError("taken")], ids=["own", "integrity"])
async def test_where_it_raises_nothing_is_stored_and_nothing_sent(storage, chain, worker, error):
    one, text = worker(), envelope()
    with pytest.raises(type(error)) as caught:
        await submit(one, text, note("mine", error))
    assert caught.value is error
    assert (stored(storage), notes(storage), chain.handed) == ([], {}, [])
    assert (await submit(one, text, None)).state is State.PENDING, "it was not judged: the next one may hand it in"
    assert (len(stored(storage)), len(chain.handed)) == (1, 1)


async def test_of_an_envelope_that_is_stored_already_it_is_noted_all_the_same(storage, chain, worker):
    one, text = worker(), envelope()
    await submit(one, text, None)
    await submit(one, text, note("first"))
    await submit(Worker(storage, chain), text, note("second"))
    assert notes(storage) == {"first": 1, "second": 1}
    assert (len(stored(storage)), len(chain.handed)) == (1, 1)


async def test_where_it_raises_for_a_stored_one_that_stays_and_is_not_sent_again(storage, chain, worker):
    one, text = worker(), envelope()
    chain.answers = [refused(result_xdr(Code.txINSUFFICIENT_BALANCE))]
    fate = await submit(one, text, None)
    one.time += RESEND_SECONDS
    with pytest.raises(RefusedError):
        await submit(one, text, note("mine", RefusedError("no")))
    assert (stored(storage), notes(storage), len(chain.handed)) == ([fate.hash], {}, 1)
    await submit(one, text, note("mine"))
    assert len(chain.handed) == 2, "one that a node refused is handed in again by whoever brings it"


async def test_of_one_that_is_in_a_ledger_it_is_noted_and_its_fate_told(storage, chain, worker):
    one, text = worker(), envelope()
    fate = await submit(one, text, None)
    chain.applied(fate.hash, LATEST + 3)
    assert (await one.look(fate.hash)).state is State.SUCCESS
    late = await submit(one, text, note("late"))
    assert (late.state, late.ledger) == (State.SUCCESS, LATEST + 3)
    assert (notes(storage), len(chain.handed)) == ({"late": 1}, 1)


async def test_of_one_that_is_not_taken_nothing_is_noted(storage, chain, worker, monkeypatch):
    one = worker()
    with pytest.raises(WrongSignerError):
        await submit(one, signed(drafted(), STRANGER), note("forged"))
    monkeypatch.setattr(store, "MOST_PENDING", 1)
    await submit(one, envelope(), note("first"))
    with pytest.raises(TooManyPendingError):
        await submit(one, envelope(sequence=8), note("too many"))
    assert notes(storage) == {"first": 1}


# --- at the same time -------------------------------------------------------------------------------


class Meeting(Chain):
    """A chain that answers who may sign once so many ask: what they found in the database is old by then."""

    def __init__(self, parties: int) -> None:
        super().__init__(ALICE, ledger=LATEST)
        self._barrier = asyncio.Barrier(parties)

    async def ledger_entries(self, keys) -> LedgerEntries:
        await self._barrier.wait()
        return await super().ledger_entries(keys)


async def together(*submitting):
    async with asyncio.timeout(20):
        return await asyncio.gather(*submitting, return_exceptions=True)


@pytest.mark.parametrize("apart", [False, True], ids=["one worker", "two workers"])
async def test_two_who_bring_the_same_envelope_note_each_their_own(storage, worker, apart):
    worker()
    chain = Meeting(2)
    one = Worker(storage, chain)
    other = Worker(storage, chain) if apart else one
    text = envelope()
    fates = await together(submit(one, text, note("one")), submit(other, text, note("other")))
    assert [fate.state for fate in fates] == [State.PENDING, State.PENDING]
    assert notes(storage) == {"one": 1, "other": 1}
    assert stored(storage) == [hash_of(text)]
    assert len(set(chain.handed)) == 1


async def test_the_same_note_brought_twice_is_made_twice(storage, worker):
    worker()
    made = []
    one = Worker(storage, Meeting(2))
    await together(submit(one, envelope(), made.append), submit(one, envelope(), made.append))
    assert len(made) == 2


@pytest.mark.parametrize("apart", [False, True], ids=["one worker", "two workers"])
async def test_one_whose_note_raises_fails_alone(storage, worker, apart):
    worker()
    chain = Meeting(2)
    one = Worker(storage, chain)
    other = Worker(storage, chain) if apart else one
    text = envelope()
    said = await together(submit(one, text, note("one", RefusedError("no"))), submit(other, text, note("other")))
    assert isinstance(said[0], RefusedError)
    assert said[1].state is State.PENDING
    assert notes(storage) == {"other": 1}
    assert (stored(storage), len(chain.handed)) == ([hash_of(text)], 1)


async def test_beside_one_who_notes_nothing_it_is_noted(storage, worker):
    worker()
    one, text = Worker(storage, Meeting(2)), envelope()
    fates = await together(submit(one, text, None), submit(one, text, note("mine")), submit(one, text, None))
    assert {fate.hash for fate in fates} == {hash_of(text)}
    assert notes(storage) == {"mine": 1}


async def test_whoever_gives_up_meanwhile_has_it_noted_and_sent(storage, worker):
    worker()
    chain = Meeting(2)
    one, text, sent = Worker(storage, chain), envelope(), asyncio.Event()
    send = chain.send

    async def telling(raw: bytes) -> Sent:
        sent.set()
        return await send(raw)

    chain.send = telling
    asking = asyncio.create_task(submit(one, text, note("mine")))
    while chain._barrier.n_waiting == 0:
        await asyncio.sleep(0.001)
    asking.cancel()
    async with asyncio.timeout(20):
        await chain._barrier.wait()
        await sent.wait()
    assert notes(storage) == {"mine": 1}
    assert asking.cancelled()
