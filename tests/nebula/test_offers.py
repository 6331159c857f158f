"""What a plugin's stream family raises or returns stops no fold: an event of which it says nonsense has no effect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from loguru import logger

from stellarstream_core.decoding import DecodedEvent, DecoderSpec
from stellarstream_core.testing.scripted import made_contract, made_event
from stellarstream_nebula import families, offers, state_codec
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.families import StreamFamily
from stellarstream_nebula.fold import BLANK, FoldEntry, advance
from stellarstream_nebula.meaning import (
    BeneficiaryChanged,
    Cancelled,
    Created,
    Memo,
    MigratedOut,
    Refilled,
    Resumed,
    SplitSet,
    ToppedUp,
    Withdrawn,
    action_of,
    audit_fields,
    keys_of,
)
from stellarstream_nebula.model import V2, Status, stream_key
from stellarstream_nebula.projection import NebulaProjection
from stellarstream_nebula.stored import read_rows
from stellarstream_nebula.view import index_of, view
from tests.nebula.ledgers import START, TWO, Ledgers, project, store, symbol, u64
from tests.nebula.stream_events import ALICE, BOB, COIN

FAMILY = "odd-streams"
CONTRACT = made_contract(77)
KEY = stream_key(CONTRACT, 7)
CREATED = Created(sender=ALICE, receiver=BOB, token=COIN, total=1_000, start=10, end=110)


class Odd(Withdrawn):
    """An action of the plugin's own making."""


def raising(*_):
    raise RuntimeError("out of order")


def exiting(*_):
    raise SystemExit(3)


@pytest.fixture
def offer(monkeypatch):
    """Return a function that makes a plugin offer the family, with functions of its own."""
    monkeypatch.setattr(families, "_known", {})
    monkeypatch.setattr(offers, "_told", set())

    def make(**changed) -> StreamFamily:
        told = {"stream_ids": lambda _: (7,), "action": lambda *_: CREATED, "unlocked": lambda *_: 400}
        families._known[FAMILY] = StreamFamily(family=FAMILY, rules=1, **{**told, **changed})
        return families._known[FAMILY]

    return make


@pytest.fixture
def told():
    """What is logged as a warning."""
    lines: list[str] = []
    number = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    yield lines
    logger.remove(number)


def decoded(*, name: str = "happened", **fields) -> DecodedEvent:
    return DecodedEvent(FAMILY, name, "", fields)


def entries(count: int, start: int = 1) -> list[FoldEntry]:
    return [FoldEntry(KEY, made_event(ledger, contract=CONTRACT), decoded()) for ledger in range(start, start + count)]


@pytest.mark.parametrize(
    "action",
    [
        Withdrawn(2**127),
        Withdrawn(-(2**127) - 1),
        Withdrawn(10, 2**200),
        Withdrawn(1.5),
        Withdrawn(True),
        Withdrawn("7"),
        Odd(7),
        ToppedUp(1, 2**64),
        ToppedUp(1, -1),
        ToppedUp(None, 5),
        Refilled(2**70, 2**71),
        Resumed(2**64),
        Cancelled("nobody", 5),
        Cancelled(ALICE, 2**64),
        BeneficiaryChanged(COIN[:-1]),
        BeneficiaryChanged(None),
        BeneficiaryChanged(17),
        Memo("x" * 300),
        Memo("nul \0"),
        Memo("half \ud800"),
        Memo(b"bytes"),
        SplitSet(BOB, 2**32),
        MigratedOut("nowhere-1", 5),
        MigratedOut(f"{CONTRACT}-{2**64}", 5),
        Created(token=1),
        "withdrawn",
        7,
        Withdrawn,
    ],
    ids=repr,
)
def test_an_action_that_cannot_be_is_none_and_told_once(offer, told, action):
    offer()
    fold = advance(BLANK, entries(1), KEY, {})
    offer(action=lambda *_: action)
    after = advance(fold, entries(3, 2), KEY, {})
    assert after.state == replace(
        fold.state, last_event=after.state.last_event, updated_ledger=4, updated_at=after.state.updated_at
    )
    assert state_codec.decode(state_codec.encode(after)) == after
    assert len(told) == 1
    assert FAMILY in told[0]


@pytest.mark.parametrize("function", [raising, exiting], ids=["raises", "exits"])
def test_functions_that_raise_have_said_nothing(offer, told, function):
    family = offer(action=function, stream_ids=function, unlocked=function)
    assert action_of(decoded(), made_event(7, contract=CONTRACT), CONTRACT) is None
    assert keys_of(decoded(), made_event(7, contract=CONTRACT), {}) == ()
    assert offers.unlocked_by(family, None, 5) is None
    assert len(told) == 3
    keys_of(decoded(), made_event(8, contract=CONTRACT), {})
    assert len(told) == 3


def test_ctrl_c_is_no_fault_of_a_plugins(offer):
    def interrupted(*_):
        raise KeyboardInterrupt

    offer(action=interrupted)
    with pytest.raises(KeyboardInterrupt):
        action_of(decoded(), made_event(7, contract=CONTRACT), CONTRACT)


@pytest.mark.parametrize("numbers", [None, 7, ("7",), (-1,), (2**64,), (True,), (1.0,), range(10**9)], ids=repr)
def test_an_event_of_streams_that_cannot_be_is_of_none(offer, told, numbers):
    offer(stream_ids=lambda _: numbers)
    assert keys_of(decoded(), made_event(7, contract=CONTRACT), {}) == ()
    assert len(told) == 1


def test_an_event_is_in_each_journal_once(offer):
    offer(stream_ids=lambda _: iter([7, 0, 7]))
    assert keys_of(decoded(), made_event(7, contract=CONTRACT), {}) == (KEY, stream_key(CONTRACT, 0))


@pytest.mark.parametrize(
    "unlocked", [2**127, -(2**127) - 1, 1.5, "400", True, raising], ids=lambda one: getattr(one, "__name__", repr(one))
)
def test_an_unlocked_amount_that_cannot_be_is_not_known(offer, unlocked):
    offer()
    state = advance(BLANK, entries(1), KEY, {}).state
    shown = view(KEY, state, None, as_of_ledger=9, at=50, fresh_ledgers=60)
    assert (shown.unlocked, shown.status) == (400, Status.ACTIVE)
    offer(unlocked=unlocked if callable(unlocked) else lambda *_: unlocked)
    shown = view(KEY, state, None, as_of_ledger=9, at=50, fresh_ledgers=60)
    assert (shown.unlocked, shown.withdrawable) == (None, None)
    assert index_of(state, None).held == 1_000


def test_another_familys_event_of_a_name_of_ours_has_its_own_fields_in_the_audit_log(offer):
    offer()
    assert audit_fields(decoded(name="meta_wdrw", amount=5)).amount == 5


def test_an_event_of_ours_that_lacks_what_its_name_promises_does_nothing(told, offer):
    bare = DecodedEvent(V2, "claim", "", {"stream_id": 7})
    assert action_of(bare, made_event(7, contract=CONTRACT), CONTRACT) is None
    assert action_of(bare, made_event(8, contract=CONTRACT), CONTRACT) is None
    assert len(told) == 1


# --- all of it ------------------------------------------------------------------------------


def good(events):
    return [decoded(amount=5) for _ in events]


@pytest.mark.parametrize(
    "decode",
    [
        raising,
        lambda events: None,
        lambda events: good(events)[1:],
        lambda events: [*good(events), None],
        lambda events: ["no event" for _ in events],
        lambda events: [decoded(amount=2**256) for _ in events],
        lambda events: [decoded(amount=1.5) for _ in events],
        lambda events: [decoded(texts=("half \ud800",)) for _ in events],
        lambda events: [decoded(name=7) for _ in events],
        lambda events: [DecodedEvent(V2, "rebalance", "", {}) for _ in events],
    ],
    ids=range(10),
)
def test_a_decoder_that_breaks_its_promise_knows_no_event(told, offer, decode):
    offer()
    events = [made_event(ledger, contract=CONTRACT) for ledger in (7, 8, 9)]
    spec = DecoderSpec(FAMILY, "Odd.", decode)
    assert offers.decoded_by(spec, events) == [None, None, None]
    assert len(told) == 1


def test_a_decoder_that_fails_for_one_event_knows_the_others(offer):
    def picky(events):
        if any(event.ledger == 8 for event in events):
            raise RuntimeError("not this one")
        return good(events)

    events = [made_event(ledger, contract=CONTRACT) for ledger in (7, 8, 9)]
    found = offers.decoded_by(DecoderSpec(FAMILY, "Odd.", picky), events)
    assert [one is None for one in found] == [False, True, False]


def test_streams_of_other_contracts_go_on_while_a_plugins_family_fails(storage, offer, told):
    ledgers = Ledgers()
    ledgers.create(TWO, 0)
    created = [ledgers.publish(CONTRACT, (symbol("happened"),), u64(7)) for _ in range(3)]
    ledgers.claim(TWO, 0, 5, 5)
    store(storage, ledgers.events, START, ledgers.ledger + 1, [TWO, CONTRACT])

    def action(_, event):
        return CREATED if event.id == created[0].id else Withdrawn(2**200)

    offer(action=action)
    decoders = {**{spec.family: spec for spec in decoder_specs()}, FAMILY: DecoderSpec(FAMILY, "Odd.", good)}
    project(storage, NebulaProjection({TWO: V2, CONTRACT: FAMILY}, {}, decoders=decoders))
    rows = storage.read(lambda database: read_rows(database, [KEY, f"{TWO}-0"]))
    assert (rows[KEY].state.total, rows[KEY].state.withdrawn, rows[f"{TWO}-0"].state.withdrawn) == (1_000, 0, 5)
    assert rows[KEY].state.last_event == created[2].id
    assert len(told) == 1
