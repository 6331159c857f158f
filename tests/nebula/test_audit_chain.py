"""The audit log's chains: the same for the same events, explained where they change, and nothing tampered passes."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from hashlib import sha256

import pytest

from stellarstream_core.events import format_close_time
from stellarstream_core.projection.projector import Projector
from stellarstream_core.storage import Storage
from stellarstream_nebula import audit, bulk, sealing
from stellarstream_nebula.verification import Checked, Fault, Reason, check_piece
from tests.nebula.ledgers import (
    BOB,
    COIN,
    FAMILIES,
    ONE,
    START,
    TWO,
    Ledgers,
    Life,
    made_projection,
    project,
    store,
    store_shuffled,
)

KEY = f"{TWO}-0"


def rows(storage: Storage, sql: str, *values: object) -> list[tuple]:
    return storage.read(lambda database: bulk.query(database, sql, values))


def change(storage: Storage, sql: str, *values: object) -> None:
    storage.write(lambda database: bulk.execute(database, sql, values))


def chains(storage: Storage) -> dict[str, tuple]:
    found = rows(storage, "SELECT key, links, head, last_event, revision FROM nebula_chains")
    return {key: (links, bytes(head), last, revision) for key, links, head, last, revision in found}


def heads(storage: Storage) -> dict[str, tuple[int, bytes]]:
    return {key: (links, head) for key, (links, head, _, _) in chains(storage).items()}


def check(storage: Storage, only: str | None = None, size: int = 1_000) -> Checked:
    checked = Checked()
    for _ in range(10_000):
        check_piece(storage, checked, only, size)
        if checked.position is None:
            return checked
    raise AssertionError("the check does not end")


def documented(key: str, events) -> bytes:
    """Compute a head as ``docs/audit-log.md`` says it, with nothing of ours."""
    head = sha256(b"stellarstream audit chain v1\n" + key.encode()).digest()
    for event in sorted(events, key=lambda event: event.id):
        record = {
            "id": event.id,
            "contractId": event.contract_id,
            "txHash": event.tx_hash,
            "eventIndex": event.event_index,
            "ledger": event.ledger,
            "closedAt": format_close_time(event.closed_at),
            "type": event.type,
            "topics": [b64encode(topic).decode() for topic in event.topics],
            "value": b64encode(event.value).decode(),
        }
        canonical = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
        head = sha256(head + sha256(canonical).digest()).digest()
    return head


@pytest.fixture
def ledgers(storage) -> Ledgers:
    """A stream with four events, and another with one, all sealed."""
    made = Ledgers()
    made.create(TWO, 0)
    made.claim(TWO, 0, 1, 1)
    made.create(TWO, 1)
    made.claim(TWO, 0, 1, 2)
    made.claim(TWO, 0, 1, 3)
    store(storage, made.events, START, made.ledger + 2)
    project(storage)
    return made


# --- what a head is ---------------------------------------------------------------------------------


def test_a_head_is_what_the_documentation_computes(storage, ledgers):
    own = [event for event in ledgers.events if event is not ledgers.events[2]]
    other = f"{TWO}-1"
    assert heads(storage) == {KEY: (4, documented(KEY, own)), other: (1, documented(other, ledgers.events[2:3]))}


@pytest.mark.parametrize("seed", range(3))
def test_two_stores_that_got_the_same_events_in_different_orders_have_equal_heads(storage, second_storage, seed):
    life = Life(seed + 40)
    life.play(90)
    last = life.ledgers.ledger + 2
    store(storage, life.ledgers.events, START, last)
    project(storage, batch=7)
    store_shuffled(second_storage, life.ledgers.events, last, seed)
    project(second_storage)
    assert heads(storage) == heads(second_storage)
    assert rows(storage, "SELECT * FROM nebula_links ORDER BY key, event_id") == rows(
        second_storage, "SELECT * FROM nebula_links ORDER BY key, event_id"
    )
    assert rows(second_storage, "SELECT count(*) FROM nebula_chain_revisions") == [(0,)]  # the order needed no repair
    assert check(second_storage).faults == []


def test_sealing_in_small_pieces_comes_to_the_same_heads(storage, second_storage, monkeypatch):
    life = Life(71)
    life.play(60)
    for one, piece in ((storage, sealing.PIECE), (second_storage, 3)):
        monkeypatch.setattr(sealing.seal, "__defaults__", (piece,))
        store(one, life.ledgers.events, START, life.ledgers.ledger + 2)
        project(one)
    assert heads(storage) == heads(second_storage)
    assert rows(second_storage, "SELECT count(*) FROM nebula_links WHERE hash IS NULL") == [(0,)]


# --- the seal ---------------------------------------------------------------------------------------


def test_entries_above_the_watermark_are_not_sealed_until_the_gap_is_filled(storage, ledgers):
    before = heads(storage)
    later = Ledgers(ledger=150)
    later.claim(TWO, 0, 1, 5)
    store(storage, later.events, 140, 160, wanted_from=START)
    project(storage)
    assert heads(storage) == before
    assert rows(storage, "SELECT event_id FROM nebula_links WHERE hash IS NULL") == [(later.events[0].id,)]
    between = Ledgers(ledger=130)
    between.claim(TWO, 0, 1, 4)
    store(storage, between.events, ledgers.ledger + 3, 139, wanted_from=START)
    project(storage)
    links, head = heads(storage)[KEY]
    own = [event for event in ledgers.events if event is not ledgers.events[2]]
    assert (links, head) == (6, documented(KEY, [*own, *between.events, *later.events]))
    assert rows(storage, "SELECT count(*) FROM nebula_chain_revisions") == [(0,)]


def test_the_log_of_a_stream_that_migrates_waits_for_both_contracts(storage):
    ledgers = Ledgers()
    ledgers.create_v1(ONE, 0)
    ledgers.pause(ONE, 0)
    ledgers.migrate(TWO, 0, 0, BOB, 1_000)
    ledgers.skip(2).pause(ONE, 0)
    store(storage, ledgers.events, START, 110, [ONE])
    project(storage)
    assert heads(storage) == {}  # an event of the other contract may still come in between
    store(storage, ledgers.events, START, 110, [TWO])
    project(storage)
    assert heads(storage)[f"{ONE}-0"] == (4, documented(f"{ONE}-0", ledgers.events))
    assert heads(storage)[f"{TWO}-0"] == (1, documented(f"{TWO}-0", ledgers.events[2:3]))
    assert rows(storage, "SELECT count(*) FROM nebula_chain_revisions") == [(0,)]


def test_a_late_event_links_its_stream_anew_from_its_place_on_and_the_old_head_stays_explained(storage, ledgers):
    before = chains(storage)
    late = Ledgers(ledger=ledgers.events[1].ledger, index=4)
    event = late.same().claim(TWO, 0, 1, 1)
    window = [one for one in ledgers.events if one.ledger == event.ledger] + [event]
    store(storage, window, event.ledger, event.ledger, wanted_from=START)  # as 'verify --repair' adds it
    project(storage)
    after = chains(storage)
    own = [one for one in ledgers.events if one is not ledgers.events[2]]
    assert after[KEY][:2] == (5, documented(KEY, [*own, event]))
    assert after[KEY][3] == 1
    assert after[f"{TWO}-1"] == before[f"{TWO}-1"]
    (revision,) = rows(storage, "SELECT key, revision, links, head, replaced_by_event FROM nebula_chain_revisions")
    assert (revision[0], revision[1], revision[2], bytes(revision[3]), revision[4]) == (
        KEY, 0, 4, before[KEY][1], event.id,
    )  # fmt: skip
    checked = check(storage)
    assert (checked.faults, checked.links) == ([], 6)


def test_a_late_event_behind_a_chain_goes_on_with_it_and_replaces_no_head(storage, ledgers):
    late = Ledgers(ledger=ledgers.ledger + 1)
    late.claim(TWO, 1, 1, 1)
    store(storage, late.events, ledgers.ledger + 2, ledgers.ledger + 2, wanted_from=START)
    assert rows(storage, "SELECT count(*) FROM nebula_seals WHERE contract_id = ?", TWO) == [(1,)]
    project(storage)
    assert heads(storage)[f"{TWO}-1"][0] == 2
    assert rows(storage, "SELECT count(*) FROM nebula_chain_revisions") == [(0,)]
    assert check(storage).faults == []


def test_several_late_events_of_several_streams_come_to_the_head_of_a_store_that_had_them_at_once(
    storage, second_storage
):
    life = Life(88)
    life.play(80)
    dice = random.Random(1)
    late = set(dice.sample(range(len(life.ledgers.events)), 9))
    events, last = life.ledgers.events, life.ledgers.ledger + 2
    store(storage, [event for at, event in enumerate(events) if at not in late], START, last)
    project(storage)
    published = heads(storage)
    store(storage, events, START, last, wanted_from=START)
    project(storage)
    store(second_storage, events, START, last)
    project(second_storage)
    assert heads(storage) == heads(second_storage)
    revisions = rows(storage, "SELECT key, links, head FROM nebula_chain_revisions")
    replaced = {(key, links, bytes(head)) for key, links, head in revisions}
    now = {(key, bytes(head)) for key, head in rows(storage, "SELECT key, hash FROM nebula_links")}
    for key, (links, head) in published.items():
        still_there = (key, head) in now
        assert still_there != ((key, links, head) in replaced), key  # each head is still in its chain, or explained
    assert check(storage).faults == []


def test_building_the_projection_again_leaves_chains_as_they_were(storage, ledgers):
    before = chains(storage)
    Projector(made_projection(), storage).rebuild()
    assert chains(storage) == before
    assert check(storage).faults == []
    project(storage)
    assert chains(storage) == before


# --- tampering --------------------------------------------------------------------------------------


def test_what_was_not_touched_is_intact_in_pieces_of_every_size(storage, ledgers):
    for size in (1, 2, 3, 1_000):
        checked = check(storage, size=size)
        assert (checked.faults, checked.chains, checked.links) == ([], 2, 5), size
        one = check(storage, KEY, size)
        assert (one.faults, one.chains, one.links) == ([], 1, 4), size
    assert check(storage, f"{TWO}-9").links == 0


@pytest.mark.parametrize("column", ["value", "topic0", "tx_hash", "event_index", "closed_at", "type", "contract_id"])
def test_a_stored_event_that_was_changed_is_found(storage, ledgers, column):
    event = ledgers.events[3]
    new = {"value": b"\0\0\0\1", "topic0": b"\0\0\0\1", "tx_hash": "00" * 32, "event_index": 9, "closed_at": 7,
           "type": "system", "contract_id": ONE}[column]  # fmt: skip
    change(storage, f"UPDATE events SET {column} = ? WHERE id = ?", new, event.id)
    for size in (1, 1_000):
        assert check(storage, size=size).faults == [
            Fault(KEY, event.id, Reason.EVENT_DIFFERS),
            Fault(KEY, event.id, Reason.LINK_DIFFERS),
        ]


def test_a_stored_event_that_was_removed_is_found(storage, ledgers):
    event = ledgers.events[3]
    change(storage, "DELETE FROM events WHERE id = ?", event.id)
    assert Fault(KEY, event.id, Reason.EVENT_MISSING) in check(storage).faults


def test_a_changed_event_whose_digest_was_changed_along_is_found(storage, ledgers):
    event = ledgers.events[3]
    forged = event._replace(value=b"\0\0\0\1")
    change(storage, "UPDATE events SET value = ? WHERE id = ?", forged.value, event.id)
    change(storage, "UPDATE nebula_links SET digest = ? WHERE event_id = ?", audit.digest(forged), event.id)
    assert check(storage).faults == [Fault(KEY, event.id, Reason.LINK_DIFFERS)]
    (before,) = rows(storage, "SELECT hash FROM nebula_links WHERE key = ? AND event_id = ?", KEY, ledgers.events[1].id)
    head = audit.link(bytes(before[0]), audit.digest(forged))
    change(storage, "UPDATE nebula_links SET hash = ? WHERE event_id = ?", head, event.id)
    assert check(storage).faults == [Fault(KEY, ledgers.events[4].id, Reason.LINK_DIFFERS)]


def test_a_link_that_was_changed_is_found(storage, ledgers):
    change(storage, "UPDATE nebula_links SET hash = ? WHERE event_id = ?", b"\1" * 32, ledgers.events[1].id)
    assert check(storage).faults == [
        Fault(KEY, ledgers.events[1].id, Reason.LINK_DIFFERS),
        Fault(KEY, ledgers.events[3].id, Reason.LINK_DIFFERS),
    ]


@pytest.mark.parametrize("at", [0, 1, 4])
def test_a_link_that_was_removed_is_found(storage, ledgers, at):
    event = ledgers.events[at]
    change(storage, "DELETE FROM nebula_links WHERE event_id = ? AND key = ?", event.id, KEY)
    for size in (1, 2, 1_000):
        faults = check(storage, size=size).faults
        assert Fault(KEY, event.id, Reason.LINK_MISSING) in faults
        assert len(faults) > 1
    change(storage, "DELETE FROM projection_entries WHERE event_id = ? AND key = ?", event.id, KEY)
    assert check(storage).faults  # without it in the journal, too: by the next link, or by the head


def test_links_whose_places_were_swapped_are_found(storage, ledgers):
    first, second = ledgers.events[1].id, ledgers.events[3].id
    found = rows(storage, "SELECT event_id, digest, hash FROM nebula_links WHERE key = ?", KEY)
    places = {event_id: values for event_id, *values in found}
    sql = "UPDATE nebula_links SET digest = ?, hash = ? WHERE key = ? AND event_id = ?"
    for at, other in ((first, second), (second, first)):
        change(storage, sql, *places[other], KEY, at)
    faults = check(storage).faults
    assert {fault.event_id for fault in faults} >= {first, second}


def test_a_stream_whose_whole_chain_was_removed_is_found(storage, ledgers):
    change(storage, "DELETE FROM nebula_links WHERE key = ?", KEY)
    assert Fault(KEY, None, Reason.HEAD_DIFFERS) in check(storage).faults
    assert Fault(KEY, None, Reason.HEAD_DIFFERS) in check(storage, KEY).faults
    change(storage, "DELETE FROM nebula_chains WHERE key = ?", KEY)
    assert {fault.reason for fault in check(storage).faults} == {Reason.LINK_MISSING}


@pytest.mark.parametrize("tampering", ["links = links + 1", "head = ''", "links = 0"])
def test_an_end_that_was_changed_is_found(storage, ledgers, tampering):
    sql = tampering.replace("''", "?")
    values = (b"\7" * 32,) if "?" in sql else ()
    change(storage, f"UPDATE nebula_chains SET {sql} WHERE key = ?", *values, KEY)
    for size in (1, 1_000):
        assert check(storage, size=size).faults == [Fault(KEY, None, Reason.HEAD_DIFFERS)]
    assert check(storage, f"{TWO}-1").faults == []


def test_a_chain_that_is_linked_anew_while_it_is_checked_is_no_fault(storage, ledgers):
    checked = Checked()
    check_piece(storage, checked, None, 3)
    assert checked.position.key == KEY
    late = Ledgers(ledger=ledgers.events[1].ledger, index=4)
    event = late.same().claim(TWO, 0, 1, 1)
    window = [one for one in ledgers.events if one.ledger == event.ledger] + [event]
    store(storage, window, event.ledger, event.ledger, wanted_from=START)
    project(storage)
    while checked.position is not None:
        check_piece(storage, checked, None, 3)
    assert checked.faults == []


def test_events_of_all_streams_of_a_token_have_a_chain_of_their_own(storage):
    ledgers = Ledgers()
    ledgers.create(TWO, 0)
    ledgers.rebalance(TWO, COIN, 5_000)
    store(storage, ledgers.events, START, 110, FAMILIES)
    project(storage)
    group = f"{TWO}/{COIN}"
    assert heads(storage)[group] == (1, documented(group, ledgers.events[1:]))
    assert heads(storage)[KEY] == (1, documented(KEY, ledgers.events[:1]))
