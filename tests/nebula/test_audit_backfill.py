"""Older ledgers are filled in below the first wanted one: chains are linked anew once, bit by bit, and stay true."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from stellarstream_core.projection.projector import Projector
from stellarstream_core.storage import Storage
from stellarstream_nebula import audit, bulk, history, sealing
from stellarstream_nebula.history import WantedEntries, find_entries
from stellarstream_nebula.verification import Checked, Fault, Position, Reason, check_piece
from tests.nebula.ledgers import START, TWO, Ledgers, Life, made_projection, project, store
from tests.nebula.test_audit_chain import chains, change, check, documented, heads, rows

FIRST = 200
"""The first wanted ledger; what lies below is filled in."""
KEY = f"{TWO}-0"
WINDOWS = 30


@pytest.fixture
def ledgers(storage) -> Ledgers:
    """One with an event in each of 60 ledgers below the first wanted one, and of 40 from there on; these are stored."""
    made = Ledgers(ledger=FIRST - 2 * WINDOWS - 1)
    made.create(TWO, 0, lasts=100_000)
    for total in range(1, 2 * WINDOWS + 40):
        made.claim(TWO, 0, 1, total)
    store(storage, made.events, FIRST, made.ledger, wanted_from=FIRST)
    project(storage)
    return made


def windows() -> list[tuple[int, int]]:
    return [(first, first + 1) for first in range(FIRST - 2 * WINDOWS, FIRST, 2)]


def fill(storage: Storage, ledgers: Ledgers, spans: list[tuple[int, int]]) -> None:
    for first, last in spans:
        store(storage, ledgers.events, first, last)


def seen(storage: Storage) -> set[tuple[str, int, bytes]]:
    """Return what is published as heads now."""
    return {(key, links, head) for key, (links, head) in heads(storage).items()}


def unexplained(storage: Storage, published: set[tuple[str, int, bytes]]) -> set[tuple[str, int, bytes]]:
    """Return the heads that neither a chain nor one of its revisions had, as the documentation says to look them up."""
    entries: dict[str, list[tuple[str, bytes, int]]] = {}
    for key, event_id, digest, since in rows(
        storage, "SELECT key, event_id, digest, since FROM nebula_links WHERE since IS NOT NULL ORDER BY key, event_id"
    ):
        entries.setdefault(key, []).append((event_id, bytes(digest), since))
    ends = [(key, revision, last) for key, (_, _, last, revision) in chains(storage).items()]
    known: set[tuple[str, int, bytes]] = set()
    for key, revision, last in ends + rows(storage, "SELECT key, revision, last_event FROM nebula_chain_revisions"):
        head = audit.genesis(key)
        known.add((key, 0, head))
        own = [digest for event_id, digest, since in entries[key] if since <= revision and event_id <= last]
        for links, digest in enumerate(own, 1):
            head = audit.link(head, digest)
            known.add((key, links, head))
    return published - known


def steps(storage: Storage) -> Iterator[None]:
    """Go on step by step, each made by a process that is killed after it."""
    for _ in range(10_000):
        if Projector(made_projection(), storage).step().idle:
            return
        yield
    raise AssertionError("the projector does not come to rest")


# --- in windows -------------------------------------------------------------------------------------


def test_filling_in_window_by_window_links_a_chain_anew_once_when_the_last_gap_closes(storage, ledgers):
    before = chains(storage)[KEY]
    assert before[:2] == (40, documented(KEY, ledgers.events[60:]))
    for span in windows()[:-1]:
        fill(storage, ledgers, [span])
        project(storage)
        assert chains(storage)[KEY] == before
        assert check(storage).faults == []
    sealed = find(storage)
    assert len(sealed) == 98
    assert [one.hash is not None for one in sealed] == [False] * 58 + [True] * 40
    fill(storage, ledgers, windows()[-1:])
    project(storage)
    assert chains(storage)[KEY] == (100, documented(KEY, ledgers.events), ledgers.events[-1].id, 1)
    assert rows(
        storage, "SELECT key, revision, links, head, last_event, replaced_by_event FROM nebula_chain_revisions"
    ) == [(KEY, 0, 40, before[1], ledgers.events[-1].id, ledgers.events[0].id)]
    assert all(one.hash is not None for one in find(storage))
    assert check(storage).faults == []


def find(storage: Storage) -> list[history.Logged]:
    return list(storage.read(lambda database: find_entries(database, WantedEntries(descending=False), 200)).entries)


def test_windows_that_come_all_at_once_or_in_any_order_come_to_the_head_of_one_that_had_all(storage, ledgers):
    spans = windows()
    random.Random(3).shuffle(spans)
    published = seen(storage)
    for at in range(0, WINDOWS, 4):
        fill(storage, ledgers, spans[at : at + 4])
        for _ in steps(storage):
            published |= seen(storage)
    assert heads(storage) == {KEY: (100, documented(KEY, ledgers.events))}
    assert rows(storage, "SELECT count(*) FROM nebula_chain_revisions") == [(1,)]
    assert unexplained(storage, published) == set()
    assert check(storage).faults == []


def test_from_the_newest_window_down_each_may_be_final_so_each_head_stays_explained(storage, ledgers):
    published = seen(storage)
    for span in reversed(windows()):
        fill(storage, ledgers, [span])
        project(storage)
        published |= seen(storage)
        assert check(storage).faults == []
    assert heads(storage) == {KEY: (100, documented(KEY, ledgers.events))}
    assert unexplained(storage, published) == set()


def test_a_stretch_far_below_waits_until_no_ledger_is_missing_between(storage, ledgers):
    before = chains(storage)
    fill(storage, ledgers, windows()[:5])
    fill(storage, ledgers, windows()[20:])
    project(storage)
    assert chains(storage) == before
    later = Ledgers(ledger=ledgers.ledger)
    later.claim(TWO, 0, 1, 200)
    store(storage, later.events, later.ledger, later.ledger)
    project(storage)  # what is new is sealed all the same
    own = [*ledgers.events[60:], *later.events]
    assert chains(storage)[KEY] == (41, documented(KEY, own), later.events[0].id, 0)
    fill(storage, ledgers, windows()[5:20])
    project(storage)
    assert chains(storage)[KEY][:2] == (101, documented(KEY, [*ledgers.events, *later.events]))
    assert chains(storage)[KEY][3] == 1


# --- in pieces --------------------------------------------------------------------------------------


@pytest.fixture
def small_pieces(monkeypatch) -> list[int]:
    """Let calls do little, and return how many links each wrote."""
    written: list[int] = []
    original: Callable[..., None] = sealing._set_hashes

    def counted(database, changed):
        written.append(len(changed))
        original(database, changed)

    monkeypatch.setattr(sealing, "_set_hashes", counted)
    monkeypatch.setattr(sealing.seal, "__defaults__", (7,))
    return written


def test_a_chain_is_linked_anew_in_pieces_that_survive_a_kill_between_them(storage, ledgers, small_pieces):
    fill(storage, ledgers, windows())
    published, pieces = seen(storage), 0
    del small_pieces[:]
    for _ in steps(storage):
        pieces += 1
        published |= seen(storage)
        links, head, last, _ = chains(storage)[KEY]
        sealed = [one for one in find(storage) if one.hash is not None]
        if links:
            assert (sealed[-1].event_id, sealed[-1].hash, len(sealed)) == (last, head, links)
            own = [event for event in ledgers.events if sealed[0].event_id <= event.id <= last]
            assert head == documented(KEY, own), "a shorter chain, and as true as any other"
        for size in (1, 3, 1_000):
            assert check(storage, size=size).faults == []
    assert max(small_pieces) <= 7
    assert pieces >= 14
    assert heads(storage) == {KEY: (100, documented(KEY, ledgers.events))}
    assert rows(storage, "SELECT count(*) FROM nebula_chain_revisions") == [(1,)]
    assert rows(storage, "SELECT count(*) FROM nebula_relinks") == [(0,)]
    assert unexplained(storage, published) == set()


def test_a_piece_that_fails_in_the_middle_leaves_no_trace(storage, ledgers, small_pieces, monkeypatch):
    fill(storage, ledgers, windows())
    going = steps(storage)
    for _ in range(4):
        next(going)
    before = chains(storage)
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "_store", lambda *_: 1 / 0)
        with pytest.raises(Exception, match="reached"):
            Projector(made_projection(), storage).step()
    assert chains(storage) == before
    assert check(storage).faults == []
    project(storage)
    assert heads(storage) == {KEY: (100, documented(KEY, ledgers.events))}


def test_a_check_that_goes_on_beside_it_blames_nobody(storage, ledgers, small_pieces):
    for size in (1, 2, 5):
        checked = Checked()
        for _ in range(3):
            check_piece(storage, checked, None, size)
        if size == 1:
            fill(storage, ledgers, windows())
        for _ in steps(storage):
            check_piece(storage, checked, None, size)
            if checked.position is None:
                checked = Checked(faults=checked.faults)
        while checked.position is not None:
            check_piece(storage, checked, None, size)
        assert checked.faults == []


def test_what_is_changed_while_it_goes_on_is_found(storage, ledgers, small_pieces):
    fill(storage, ledgers, windows())
    going = steps(storage)
    while not 70 <= chains(storage)[KEY][0] < 90:
        next(going)
    links = chains(storage)[KEY][0]
    event = ledgers.events[5]
    change(storage, "UPDATE events SET value = ? WHERE id = ?", b"\0\0\0\1", event.id)
    assert {fault.event_id for fault in check(storage).faults} == {event.id}
    change(storage, "UPDATE events SET value = ? WHERE id = ?", event.value, event.id)
    change(storage, "UPDATE nebula_chains SET links = links - 1 WHERE key = ?", KEY)
    assert check(storage).faults == [Fault(KEY, None, Reason.HEAD_DIFFERS)]
    change(storage, "UPDATE nebula_chains SET links = links + 1 WHERE key = ?", KEY)
    change(storage, "DELETE FROM nebula_relinks")
    missing = [Fault(KEY, event.id, Reason.LINK_MISSING) for event in ledgers.events[links:]]
    assert check(storage).faults == missing, "what lies behind the chain's end waits for nothing"


def test_a_late_event_while_a_chain_is_linked_anew_cuts_it_again_and_every_head_stays_explained(
    storage, ledgers, small_pieces
):
    fill(storage, ledgers, windows())
    published = seen(storage)
    going = steps(storage)
    while not 50 <= chains(storage)[KEY][0] < 90:
        next(going)
        published |= seen(storage)
    late = Ledgers(ledger=ledgers.events[30].ledger, index=4)
    event = late.same().claim(TWO, 0, 1, 1)
    store(storage, [*ledgers.events, event], event.ledger, event.ledger)
    for _ in steps(storage):
        published |= seen(storage)
        assert check(storage).faults == []
    assert heads(storage) == {KEY: (101, documented(KEY, [*ledgers.events, event]))}
    assert rows(storage, "SELECT count(*) FROM nebula_chain_revisions") == [(2,)]
    assert unexplained(storage, published) == set()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_when_heads_are_those_of_a_store_that_had_it_at_once_and_all_published_ones_explained(
    storage, second_storage, monkeypatch, seed
):
    dice = random.Random(seed)
    life = Life(seed + 300)
    life.play(70)
    events, last = life.ledgers.events, life.ledgers.ledger + 2
    start = dice.randrange(START + 10, last - 10)
    monkeypatch.setattr(sealing.seal, "__defaults__", (dice.choice([2, 5, 20]),))
    monkeypatch.setattr(sealing, "CHAINS_AT_ONCE", 3)
    late = set(dice.sample(range(len(events)), 5))
    cuts = sorted(dice.sample(range(START + 1, last), 9))
    spans = list(zip([START, *cuts], [*(cut - 1 for cut in cuts), last], strict=True))
    dice.shuffle(spans)
    published: set[tuple[str, int, bytes]] = set()
    checked = Checked()

    def go_on(most: int) -> None:
        going = steps(storage)
        for _ in range(most):
            if next(going, going) is going:
                break
            published.update(seen(storage))
            check_piece(storage, checked, None, 3)
            checked.position = checked.position or Position()

    for first, end in spans:
        store(storage, [event for at, event in enumerate(events) if at not in late], first, end, wanted_from=start)
        go_on(dice.choice([0, 2, 5]))
    for first, end in spans:  # as 'verify --repair' adds what was kept back
        store(storage, events, first, end, wanted_from=start)
        go_on(dice.choice([0, 3]))
    go_on(10_000)
    monkeypatch.undo()
    store(second_storage, events, START, last)
    project(second_storage)
    assert heads(storage) == heads(second_storage)
    assert unexplained(storage, published) == set()
    assert checked.faults == []
    assert check(storage).faults == []
    assert rows(storage, "SELECT count(*) FROM nebula_links WHERE hash IS NULL") == [(0,)]


# --- tampering --------------------------------------------------------------------------------------


def test_links_that_were_taken_off_the_end_of_a_chain_are_missed(storage, ledgers):
    keep = ledgers.events[-4].id
    change(storage, "UPDATE nebula_links SET hash = NULL WHERE key = ? AND event_id > ?", KEY, keep)
    (head,) = rows(storage, "SELECT hash FROM nebula_links WHERE key = ? AND event_id = ?", KEY, keep)
    sql = "UPDATE nebula_chains SET links = links - 3, head = ?, last_event = ? WHERE key = ?"
    change(storage, sql, bytes(head[0]), keep, KEY)
    missing = [Fault(KEY, event.id, Reason.LINK_MISSING) for event in ledgers.events[-3:]]
    for size in (1, 2, 1_000):
        assert check(storage, size=size).faults == missing
    change(storage, "UPDATE nebula_links SET hash = NULL WHERE key = ?", KEY)
    change(storage, "DELETE FROM nebula_chains WHERE key = ?", KEY)
    assert len(check(storage).faults) == 40


def test_a_link_whose_hash_was_removed_is_missed(storage, ledgers):
    event = ledgers.events[70]
    change(storage, "UPDATE nebula_links SET hash = NULL WHERE key = ? AND event_id = ?", KEY, event.id)
    assert Fault(KEY, event.id, Reason.LINK_MISSING) in check(storage).faults


def test_an_entry_above_the_seal_has_no_link_yet_and_that_is_no_fault(storage, ledgers):
    later = Ledgers(ledger=ledgers.ledger + 10)
    later.claim(TWO, 0, 1, 500)
    store(storage, later.events, later.ledger, later.ledger)
    project(storage)
    assert storage.read(
        lambda database: bulk.query(database, "SELECT count(*) FROM nebula_links WHERE hash IS NULL")
    ) == [(1,)]
    for size in (1, 1_000):
        assert check(storage, size=size).faults == []
