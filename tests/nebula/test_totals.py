"""Totals are the sums over streams and what moved is what events say, after every history, in every order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest

from stellarstream_core.events import ContractEvent
from stellarstream_core.storage import Storage
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.meaning import keys_of
from stellarstream_nebula.model import StreamFacts, stream_key
from stellarstream_nebula.projection import NebulaProjection
from stellarstream_nebula.stored import write_facts
from stellarstream_nebula.totals import HOUR, newest_journaled
from tests.nebula.ledgers import (
    ALICE,
    BOB,
    COIN,
    FAMILIES,
    GEM,
    MIGRATED_FROM,
    ONE,
    START,
    TWO,
    Ledgers,
    Life,
    address,
    i128,
    project,
    store,
    symbol,
    u64,
    vec,
)
from tests.nebula.test_projection import check_totals, everything, hours, rows

DECODERS = {spec.family: spec.decode for spec in decoder_specs()}
FIRST_QUIET = 1_000
"""The first number of V1 streams that are created in the oldest way."""


@dataclass
class Odd(Life):
    """A life with streams whose token only the chain tells, and with streams that are created twice.

    ``tokens`` are those of all streams, as the chain would tell them.
    """

    tokens: dict[str, str] = field(default_factory=dict)
    quiet: int = 0

    def _act(self) -> None:
        act = self.dice.choice(["quiet", "pays", "again", "", "", ""])
        second = [known for known in self.open.values() if known["contract"] != ONE]
        if act == "quiet":
            self._oldest("create", u64(FIRST_QUIET + self.quiet), ALICE)
            self.tokens[stream_key(ONE, FIRST_QUIET + self.quiet)] = self.dice.choice([COIN, GEM])
            self.quiet += 1
        elif act == "pays" and self.quiet:
            number = FIRST_QUIET + self.dice.randrange(self.quiet)
            self._oldest("withdraw", vec(u64(number), i128(self.dice.randint(1, 10**19))), BOB)
        elif act == "again" and second:
            known = self.dice.choice(second)
            token = self.tokens[stream_key(known["contract"], known["stream"])]
            self.ledgers.create(known["contract"], known["stream"], ALICE, BOB, token, self.dice.randint(1, 10**18))
        else:
            before = set(self.open)
            super()._act()
            for key in set(self.open) - before:
                self.tokens[key] = self._token_of(key)

    def _oldest(self, name: str, value, who: str) -> None:
        self.ledgers.publish(ONE, (symbol(name), address(who)), value)

    def _token_of(self, key: str) -> str:
        event = self.ledgers.events[-1]
        (decoded,) = DECODERS[FAMILIES[event.contract_id]]([event])
        told = decoded.fields.get("token")
        return told if isinstance(told, str) else self.tokens[stream_key(ONE, decoded.fields["v1_stream_id"])]


def expected(events: list[ContractEvent], tokens: dict[str, str], settings) -> dict[tuple, Counter]:
    """Count what moved from the events alone, in streams whose token is in ``tokens``."""
    found: dict[tuple, Counter] = defaultdict(Counter)
    began: set[str] = set()
    for event in sorted(events, key=lambda event: event.id):
        (decoded,) = DECODERS[FAMILIES[event.contract_id]]([event])
        says, name = decoded.fields, decoded.name
        for key in keys_of(decoded, event, settings):
            if "/" in key or key not in tokens:
                continue
            moved = found[key[:56], tokens[key], event.closed_at // HOUR]
            if name in {"create", "create_v2", "migrated"} and key[:56] == event.contract_id and key not in began:
                began.add(key)
                moved["created"] += says.get("total_amount") or says.get("stream_amount_net_of_fee") or 0
            elif name in {"claim", "withdraw"}:
                moved["withdrawn"] += says["amount"]
            elif name == "cancel":
                moved["withdrawn"] += says["to_receiver_incl_penalty"]
            elif name == "top_up":
                moved["topped_up"] += says["extra_amount"]
    return {place: +counts for place, counts in found.items() if +counts}


def tell(storage: Storage, key: str, token: str, ledger: int) -> None:
    storage.write(lambda database: write_facts(database, key, StreamFacts(ledger=ledger, token=token)))


@pytest.mark.parametrize("settings", [MIGRATED_FROM, {}], ids=["told", "not-told"])
@pytest.mark.parametrize("seed", range(4))
def test_after_every_history_in_every_order_totals_are_the_sums_and_what_moved_is_what_events_say(
    storage, seed, settings
):
    dice = random.Random(seed)
    life = Odd(seed)
    life.play(110)
    events, last = life.ledgers.events, life.ledgers.ledger + 3
    tellable = dice.sample(sorted(life.tokens), len(life.tokens) * 2 // 3)
    parts = [tellable[at::4] for at in range(4)]
    spans = [(first, min(first + 39, last)) for first in range(START, last + 1, 40)]
    dice.shuffle(spans)
    for at, (first, end) in enumerate(spans):
        for key in parts[at] if at < len(parts) else ():  # before its stream is folded, or after
            tell(storage, key, life.tokens[key], end)
        store(storage, events, first, end, wanted_from=START)
        project(storage, NebulaProjection(FAMILIES, settings), batch=dice.choice([1, 7, 500]))
        check_totals(storage)
    for part in parts[len(spans) :]:
        for key in part:
            tell(storage, key, life.tokens[key], last)
    check_totals(storage)
    known = {row[0]: row[3] for row in stream_rows(storage) if row[3] is not None}
    assert known.items() <= life.tokens.items()
    assert set(tellable) <= known.keys()
    assert hours(storage) == expected(events, known, settings)
    assert {row[0] for row in rows(storage, "waiting_moves")}.isdisjoint(known)


def stream_rows(storage: Storage) -> list[tuple]:
    from stellarstream_nebula.tables import NebulaStream as Stream

    columns = (Stream.key, Stream.contract_id, Stream.updated_ledger, Stream.token)
    return storage.read(lambda database: list(Stream.select(*columns).tuples().execute(database)))


@pytest.mark.parametrize("is_late", [False, True], ids=["in-order", "the-first-comes-late"])
def test_of_two_creations_the_first_counts_whichever_came_first(storage, is_late):
    ledgers = Ledgers()
    first = ledgers.create(TWO, 0, amount=70)
    ledgers.skip(2_000)
    ledgers.create(TWO, 0, amount=900)
    ledgers.claim(TWO, 0, 5, 5)
    spans = [(START, first.ledger), (first.ledger + 1, ledgers.ledger + 1)]
    for span in reversed(spans) if is_late else spans:
        store(storage, ledgers.events, *span, wanted_from=START)
        project(storage)
        check_totals(storage)
    assert sorted(map(str, hours(storage).values())) == ["Counter({'created': 70})", "Counter({'withdrawn': 5})"]
    assert sum(int(row[4]) for row in rows(storage, "totals")) == 70


def test_what_goes_on_as_another_stream_is_not_put_in_again(storage):
    ledgers = Ledgers()
    ledgers.create_v1(ONE, 0, amount=1_000)
    ledgers.migrate(TWO, 0, 0, BOB, 600)
    store(storage, ledgers.events, START, ledgers.ledger + 1)
    project(storage)
    assert [(place[0], dict(moved)) for place, moved in hours(storage).items()] == [(ONE, {"created": 1_000})]


def test_what_waited_for_a_token_moves_once_the_chain_tells_it(storage):
    ledgers = Ledgers()
    ledgers.migrate(TWO, 0, 0, BOB, 600)
    ledgers.claim(TWO, 0, 40, 40)
    store(storage, ledgers.events, START, ledgers.ledger + 1, [TWO])
    project(storage, NebulaProjection(FAMILIES, {}))
    assert hours(storage) == {}
    for _ in range(2):
        tell(storage, f"{TWO}-0", GEM, ledgers.ledger)
        assert list(hours(storage).values()) == [{"withdrawn": 40}]
        assert rows(storage, "waiting_moves") == []
    before = everything(storage)
    ledgers.claim(TWO, 0, 2, 42)
    store(storage, ledgers.events, ledgers.ledger, ledgers.ledger + 1, [TWO], wanted_from=START)
    project(storage, NebulaProjection(FAMILIES, {}))
    assert sum(counts["withdrawn"] for counts in hours(storage).values()) == 42
    assert before != everything(storage)


def test_the_newest_journaled_ledger_of_a_contract_is_that_of_its_streams_events(storage):
    life = Life(3)
    life.play(60)
    store(storage, life.ledgers.events, START, life.ledgers.ledger + 3)
    project(storage, batch=7)
    newest: dict[str, int] = {}
    for event in life.ledgers.events:
        (decoded,) = DECODERS[FAMILIES[event.contract_id]]([event])
        for key in keys_of(decoded, event, MIGRATED_FROM):
            newest[key[:56]] = max(event.ledger, newest.get(key[:56], 0))
    assert storage.read(lambda database: newest_journaled(database, FAMILIES)) == newest
    for _, contract, updated, _ in stream_rows(storage):
        assert updated <= newest[contract]
