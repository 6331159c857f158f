"""The projection: rows and totals are what the states say, whatever order events came in."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from stellarstream_core.projection.projector import Projector
from stellarstream_core.projections import Entry
from stellarstream_core.storage import Storage
from stellarstream_nebula import bulk, clearing, facts_codec, state_codec
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.meaning import keys_of
from stellarstream_nebula.model import V1, V2, Curve, Status, StreamFacts
from stellarstream_nebula.projection import NebulaProjection, moved_by
from stellarstream_nebula.stored import Reads, read_facts, read_rows, write_facts
from stellarstream_nebula.tables import NebulaStream
from stellarstream_nebula.totals import ALL_TOKENS, DAY, HOUR, MANY_DAYS
from stellarstream_nebula.view import index_of
from tests.nebula.ledgers import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    FAMILIES,
    MIGRATED_FROM,
    ONE,
    START,
    THREE,
    TWO,
    Ledgers,
    Life,
    made_projection,
    project,
    store,
    store_shuffled,
)

DECODERS = {spec.family: spec.decode for spec in decoder_specs()}
TABLES = ("streams", "totals", "completions", "parties", "counts", "hours", "waiting_moves")


def rows(storage: Storage, table: str) -> list[tuple]:
    return storage.read(lambda database: sorted(bulk.query(database, f"SELECT * FROM nebula_{table}"), key=repr))


def everything(storage: Storage) -> dict[str, list[tuple]]:
    """Return all that is read from, but for counts and parties that came down to nothing."""
    found = {table: rows(storage, table) for table in TABLES}
    for table, keys in {"totals": 3, "completions": 4, "parties": 2, "counts": 1}.items():
        found[table] = [row for row in found[table] if any(int(value) for value in row[keys:])]
    return found


def check_totals(storage: Storage) -> None:
    """Hold every total against the sum over the rows."""
    streams = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    totals: dict[tuple, list[int]] = defaultdict(lambda: [0] * 5)
    completions, parties = Counter(), Counter()
    for row in streams:
        one = totals[row["contract_id"], row["token"] or "", row["base_status"]]
        added = (1, row["amount"] or 0, row["withdrawn"] or 0, row["held"] or 0, row["held"] is None)
        for at, value in enumerate(added):
            one[at] += int(value)
        if row["base_status"] == "ACTIVE" and row["completes_at"] is not None:
            for token in (row["token"] or "", ALL_TOKENS):
                for days in (1, MANY_DAYS):
                    completions[row["contract_id"], token, days, row["completes_at"] // DAY // days] += 1
        for role in ("sender", "receiver"):
            if row[role]:
                parties[role, row[role]] += 1
    stored = {tuple(row[:3]): [int(value) for value in row[3:]] for row in rows(storage, "totals")}
    assert {key: sums for key, sums in stored.items() if any(sums)} == dict(totals)
    assert {row[:4]: row[4] for row in rows(storage, "completions") if row[4]} == completions
    assert {row[:2]: row[2] for row in rows(storage, "parties") if row[2]} == parties
    counts = dict(rows(storage, "counts"))
    for role in ("sender", "receiver"):
        assert counts.get(f"{role}s", 0) == sum(1 for of, _ in parties if of == role)


def hours(storage: Storage) -> dict[tuple, Counter]:
    """Return what moved by contract, token and hour, but for what is 0."""
    columns = "contract_id, token, hour, created, topped_up, withdrawn"
    found = storage.read(lambda database: bulk.query(database, f"SELECT {columns} FROM nebula_hours"))
    kinds = columns.split(", ")[3:]
    counts = {row[:3]: +Counter(dict(zip(kinds, map(int, row[3:]), strict=True))) for row in found}
    return {place: moved for place, moved in counts.items() if moved}


def moved(events) -> dict[tuple, Counter]:
    """Count again what moved, from the events alone: each stream's token is that of its creation."""
    tokens: dict[str, str] = {}
    found: dict[tuple, Counter] = defaultdict(Counter)
    for event in events:
        (decoded,) = DECODERS[FAMILIES[event.contract_id]]([event])
        for key in keys_of(decoded, event, MIGRATED_FROM):
            contract = key[:56]
            if "/" in key:
                continue
            if isinstance(token := decoded.fields.get("token"), str):
                tokens.setdefault(key, token)
            if decoded.name == "migrated" and contract == event.contract_id:
                tokens[key] = tokens[f"{ONE}-{decoded.fields['v1_stream_id']}"]
            if decoded.name in {"create", "create_v2"}:
                amount = decoded.fields.get("total_amount") or decoded.fields.get("stream_amount_net_of_fee")
                found[contract, tokens[key], event.closed_at // HOUR]["created"] += amount
            if (what := moved_by(decoded, event, contract)) is not None:
                found[contract, tokens[key], event.closed_at // HOUR][what[0]] += what[1]
    return found


# --- rows and totals --------------------------------------------------------------------------------


def test_a_created_stream_has_a_row_that_is_moved_on_by_its_events(storage):
    ledgers = Ledgers()
    created = ledgers.create(TWO, 0, memo="rent")
    ledgers.claim(TWO, 0, 10, 10)
    store(storage, ledgers.events, START, ledgers.ledger + 5)
    project(storage)
    (row,) = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    assert (row["key"], row["sender"], row["receiver"], row["token"]) == (f"{TWO}-0", ALICE, BOB, COIN)
    assert (row["amount"], row["withdrawn"], row["held"], row["memo"]) == ("1000", "10", "990", "rent")
    assert (row["created_event"], row["tx_hash"], row["base_status"]) == (created.id, created.tx_hash, "ACTIVE")
    assert row["completes_at"] == created.closed_at + 1_000
    check_totals(storage)


@pytest.mark.parametrize("seed", range(4))
def test_totals_are_the_sums_over_the_rows_whatever_happened_and_in_whatever_order_it_came(storage, seed):
    life = Life(seed)
    life.play(120)
    last = life.ledgers.ledger + 3
    store_shuffled(storage, life.ledgers.events, last, seed)
    project(storage, batch=random.Random(seed).choice([1, 7, 500]))
    check_totals(storage)
    expected = moved(life.ledgers.events)
    assert hours(storage) == {key: +counts for key, counts in expected.items() if +counts}
    assert dict(rows(storage, "counts"))["events"] == len(life.ledgers.events)


@pytest.mark.parametrize("seed", range(3))
def test_two_orders_of_arrival_end_in_the_same_rows(storage, second_storage, seed):
    life = Life(seed + 100)
    life.play(80)
    last = life.ledgers.ledger + 3
    store(storage, life.ledgers.events, START, last)
    project(storage)
    store_shuffled(second_storage, life.ledgers.events, last, seed)
    for _ in range(3):
        project(second_storage, batch=3)
    assert everything(storage) == everything(second_storage)
    assert rows(storage, "waiting_moves") == []


def test_totals_follow_when_events_come_one_commit_at_a_time(storage):
    life = Life(9)
    life.play(60)
    events, last = life.ledgers.events, life.ledgers.ledger
    for first in range(START, last + 1, 9):
        store(storage, events, first, min(first + 8, last), wanted_from=START)
        project(storage)
        check_totals(storage)


def test_what_moved_before_its_stream_was_known_is_counted_once_it_is(storage):
    ledgers = Ledgers()
    ledgers.create(TWO, 0)
    middle = ledgers.ledger
    ledgers.claim(TWO, 0, 10, 10)
    store(storage, ledgers.events, middle + 1, ledgers.ledger + 1, wanted_from=START)
    project(storage)
    assert rows(storage, "streams") == []
    assert [row[3:] for row in rows(storage, "waiting_moves")] == [("withdrawn", "10")]
    assert rows(storage, "hours") == []
    store(storage, ledgers.events, START, middle, wanted_from=START)
    project(storage)
    assert rows(storage, "waiting_moves") == []
    assert [row[3:] for row in rows(storage, "hours")] == [("1000", "0", "10")]


def test_events_of_unknown_shape_are_counted_and_change_nothing(storage):
    ledgers = Ledgers()
    ledgers.create(TWO, 0)
    ledgers.unknown(TWO)
    store(storage, ledgers.events, START, ledgers.ledger + 1)
    project(storage)
    found = storage.read(
        lambda database: bulk.query(database, "SELECT contract_id, shape, count FROM projection_unknown")
    )
    assert found == [(TWO, "(symbol brand_new) u64", 1)]
    assert len(rows(storage, "streams")) == 1


def test_a_contract_of_a_family_without_decoder_has_only_unknown_events():
    ledgers = Ledgers()
    event = ledgers.create(TWO, 0)
    routed = NebulaProjection({TWO: "token-streams"}).route([event])
    assert (list(routed.entries), [one.event for one in routed.unknown]) == ([], [event])


# --- rebuilding -------------------------------------------------------------------------------------


def test_building_again_gives_the_same_rows_keeps_facts_and_leaves_the_log_as_it_was(storage):
    life = Life(5)
    life.play(80)
    store(storage, life.ledgers.events, START, life.ledgers.ledger + 3)
    project(storage)
    key = next(row[0] for row in rows(storage, "streams"))
    facts = StreamFacts(ledger=START + 1, curve=Curve.EXPONENTIAL)
    storage.write(lambda database: write_facts(database, key, facts))
    before, links = everything(storage), [rows(storage, name) for name in ("links", "chains", "seals")]
    projector = Projector(made_projection(), storage)
    projector.rebuild()
    projector.step()
    assert rows(storage, "streams") == []
    assert storage.read(lambda database: read_facts(database, [key]))[key].newest == facts
    project(storage, batch=11)
    assert everything(storage) == before
    assert [rows(storage, name) for name in ("links", "chains", "seals")] == links
    assert rows(storage, "chain_revisions") == []


def test_the_fingerprint_tells_apart_what_the_result_depends_on():
    plain = made_projection().fingerprint
    assert plain == made_projection().fingerprint
    assert plain != NebulaProjection(FAMILIES, {}).fingerprint
    assert plain == NebulaProjection({TWO: V2}, MIGRATED_FROM).fingerprint, "which contracts there are stands apart"


def test_each_contract_has_a_fingerprint_of_its_own():
    projection = made_projection()
    assert projection.contracts.keys() == FAMILIES.keys()
    assert projection.contracts[TWO] == projection.contracts[THREE] != projection.contracts[ONE]
    other = NebulaProjection({**FAMILIES, TWO: V1}, MIGRATED_FROM)
    assert other.contracts[TWO] != projection.contracts[TWO]
    assert other.contracts[ONE] == projection.contracts[ONE]
    newer = {spec.family: replace(spec, version="another") for spec in decoder_specs()}
    assert made_projection(decoders=newer).contracts[TWO] != projection.contracts[TWO]
    del newer[V2]
    assert made_projection(decoders=newer).contracts.keys() == {ONE}, "what nobody reads is left alone"


def test_streams_are_removed_in_bounded_pieces_that_go_on_after_a_kill(storage, monkeypatch):
    life = Life(8)
    life.play(80)
    store(storage, life.ledgers.events, START, life.ledgers.ledger + 3)
    project(storage)
    before = everything(storage)
    monkeypatch.setattr(clearing.remove_some, "__defaults__", (7,))
    Projector(made_projection(), storage).rebuild()
    left = [len(rows(storage, "streams"))]
    while sum(len(rows(storage, table)) for table in TABLES):
        Projector(made_projection(), storage).step()  # each time a process of its own
        left.append(len(rows(storage, "streams")))
        assert left[-2] - left[-1] <= 7
    assert len(left) > 5
    project(storage, batch=11)
    assert everything(storage) == before
    check_totals(storage)


@pytest.mark.parametrize("seed", range(3))
def test_contracts_that_come_and_go_end_in_the_rows_of_a_fresh_build(storage, second_storage, seed):
    dice = random.Random(seed)
    life = Life(seed + 30)
    life.play(100)
    events, last = life.ledgers.events, life.ledgers.ledger + 3
    store(second_storage, events, START, last)
    project(second_storage)
    cuts = sorted(dice.sample(range(START + 1, last), 5))
    for first, beyond in zip([START, *cuts], [*cuts, last + 1], strict=True):
        here = [event for event in events if first <= event.ledger < beyond]
        store(storage, here, first, beyond - 1)
        some = dice.sample(sorted(FAMILIES), dice.randint(1, 3))
        projection = NebulaProjection({contract: FAMILIES[contract] for contract in some}, MIGRATED_FROM)
        projector = Projector(projection, storage, events=dice.choice([1, 5, 500]))
        for _ in range(dice.randint(1, 30)):
            projector.step()
    project(storage, batch=7)
    assert everything(storage) == everything(second_storage)
    check_totals(storage)
    assert rows(storage, "links") == rows(second_storage, "links")
    assert [row[:4] for row in rows(storage, "chains")] == [row[:4] for row in rows(second_storage, "chains")]


def test_a_stream_that_migrated_stays_so_while_the_contract_it_went_to_is_not_served(storage):
    ledgers = Ledgers()
    ledgers.create_v1(ONE, 0)
    ledgers.migrate(TWO, 0, 0, BOB, 900)
    store(storage, ledgers.events, START, ledgers.ledger)
    project(storage)
    alone = NebulaProjection({ONE: V1}, MIGRATED_FROM)
    project(storage, alone)
    before = storage.read(lambda database: read_rows(database, [f"{ONE}-0"]))[f"{ONE}-0"].state
    assert before.migrated_to == f"{TWO}-0"
    rest = [Entry(f"{ONE}-0", event) for event in ledgers.events]
    folded = alone.advance(f"{ONE}-0", None, rest)
    assert state_codec.decode(folded.state).state == before


# --- facts ------------------------------------------------------------------------------------------


@pytest.fixture
def one_v1(storage):
    """A V1 stream whose payments no event tells, folded up to ledger 120."""
    ledgers = Ledgers()
    ledgers.create_v1(ONE, 0)
    store(storage, ledgers.events, START, 120)
    project(storage)
    return f"{ONE}-0"


def test_facts_change_row_and_totals_at_once(storage, one_v1):
    (total,) = (row for row in rows(storage, "totals") if row[3])
    assert total[3:] == (1, "1000", "0", "0", 1)
    state = storage.read(lambda database: read_rows(database, [one_v1]))[one_v1].state
    facts = StreamFacts(
        ledger=115, sender=ALICE, receiver=CAROL, beneficiary=CAROL, token=COIN, total=1_000, withdrawn=400,
        start=state.start, cliff=state.start, end=state.end,
    )  # fmt: skip
    storage.write(lambda database: write_facts(database, one_v1, facts))
    (row,) = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    index = index_of(state, facts)
    assert (
        (row["receiver"], row["withdrawn"], row["held"])
        == (CAROL, "400", "600")
        == (
            index.receiver,
            str(index.withdrawn),
            str(index.held),
        )
    )
    check_totals(storage)
    storage.write(
        lambda database: write_facts(database, one_v1, replace(facts, ledger=118, closed=True, withdrawn=500))
    )
    (row,) = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    assert (row["base_status"], row["held"]) == (Status.CANCELED, "0")
    check_totals(storage)


def test_facts_are_heeded_by_every_later_fold(storage, one_v1):
    facts = StreamFacts(ledger=119, receiver=CAROL, beneficiary=CAROL, withdrawn=400, total=1_000)
    storage.write(lambda database: write_facts(database, one_v1, facts))
    later = Ledgers(ledger=130)
    later.pause(ONE, 0)
    store(storage, later.events, 121, 140, wanted_from=START)
    project(storage)
    (row,) = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    assert (row["base_status"], row["receiver"], row["withdrawn"]) == ("PAUSED", CAROL, "400")
    check_totals(storage)


def test_facts_of_a_stream_that_is_not_folded_yet_wait_for_it(storage):
    ledgers = Ledgers()
    ledgers.create_v1(ONE, 0)
    key = f"{ONE}-0"
    storage.write(lambda database: write_facts(database, key, StreamFacts(ledger=110, withdrawn=7, total=1_000)))
    assert rows(storage, "streams") == rows(storage, "totals") == []
    store(storage, ledgers.events, START, 120)
    project(storage)
    (row,) = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    assert row["withdrawn"] == "7"
    check_totals(storage)


def test_an_older_read_does_not_replace_a_newer_one(storage, one_v1):
    for ledger, withdrawn in ((118, 400), (110, 100)):
        facts = StreamFacts(ledger=ledger, withdrawn=withdrawn, total=1_000)
        storage.write(lambda database, facts=facts: write_facts(database, one_v1, facts))
    reads = storage.read(lambda database: read_facts(database, [one_v1]))[one_v1]
    assert (reads.newest.ledger, reads.earlier.ledger) == (118, 110)
    (row,) = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    assert row["withdrawn"] == "400"


def test_of_reads_one_is_kept_that_is_not_ahead_of_the_fold():
    reads = Reads()
    for ledger in (100, 105, 130, 135, 140):
        reads = reads.with_read(StreamFacts(ledger=ledger), 120)
    assert (reads.newest.ledger, reads.earlier.ledger) == (140, 105)
    assert reads.at(120).ledger == 105
    assert reads.at(140).ledger == 140
    assert reads.latest.ledger == 140


def test_a_read_that_found_nothing_does_not_take_away_what_is_known():
    reads = Reads().with_read(StreamFacts(ledger=100, curve=Curve.STEPS), 200)
    reads = reads.with_read(StreamFacts(ledger=110, missing=True), 200)
    assert reads.newest.missing
    assert reads.at(200).curve is Curve.STEPS
    assert Reads().with_read(StreamFacts(ledger=110, missing=True), 200).at(200).missing


@pytest.mark.parametrize(
    "facts",
    [
        StreamFacts(ledger=1),
        StreamFacts(ledger=9, missing=True),
        StreamFacts(ledger=9, total=2**127 - 1, withdrawn=0, curve=Curve.STEPS, step_duration=2**100, vault=TWO),
        StreamFacts(ledger=9, end=2**64 - 1, closed=True, split_bps=7, yield_enabled=True, sender=ALICE),
    ],
)
def test_facts_as_bytes_come_back_as_they_were(facts):
    assert facts_codec.decode(facts_codec.encode(facts)) == facts


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"[1]", b"[2,{}]", b'[1,{"ledger":1,"curve":"odd"}]', b"[1,{}]", b"nonsense"]
)
def test_bytes_that_are_no_facts_are_told(raw):
    with pytest.raises(facts_codec.FactsError):
        facts_codec.decode(raw)


def test_a_state_that_goes_away_takes_its_row_along(storage):
    ledgers = Ledgers()
    ledgers.create(TWO, 0)
    store(storage, ledgers.events, START, 110)
    project(storage)
    projection = made_projection()
    (raw,) = storage.read(lambda database: bulk.query(database, "SELECT state FROM nebula_streams"))
    from stellarstream_core.projections import Change

    change = Change(f"{TWO}-0", bytes(raw[0]), None)
    assert state_codec.state_of(change.before) is not None
    storage.write(lambda database: projection.save(database, [], [change]))
    assert rows(storage, "streams") == []
    check_totals(storage)
