"""Rows, coverage and anchors as pure functions."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.errors import InvalidEventError
from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.sources import Evidence
from stellarstream_core.testing.scripted import made_event
from stellarstream_core.testing.storage_conformance import ANY, A, window
from stellarstream_sql.anchors import MOST, RECENT, to_drop
from stellarstream_sql.batch import ConflictKind, compare, prepare
from stellarstream_sql.coverage import covered_for_all, join, merge
from stellarstream_sql.rows import pack_topics, to_event, to_row, unpack_topics
from stellarstream_sql.statements import EVENT_COLUMNS
from stellarstream_sql.storage import open_sqlite

topics = st.lists(st.binary(max_size=40), max_size=9).map(tuple)


@given(topics, st.binary(max_size=50), st.none() | st.just("C" * 56))
def test_an_event_and_its_row_are_the_same(topics, value, contract):
    event = ContractEvent(format_event_id(5, 1, 0, 0), 5, 99, "ab" * 32, 0, contract, "contract", topics, value)
    row = to_row(event)
    assert len(row) == len(EVENT_COLUMNS)
    assert to_event(row) == event


@given(topics)
def test_packed_topics_are_split_where_they_were_joined(topics):
    assert unpack_topics(pack_topics(topics)) == topics


@given(st.integers(0, 3 * MOST), st.integers(1, 50))
def test_thinning_keeps_the_newest_and_the_oldest_anchor(count, step):
    ledgers = [1 + step * n for n in reversed(range(count))]
    dropped = to_drop(ledgers)
    kept = [ledger for ledger in ledgers if ledger not in set(dropped)]
    assert kept[:RECENT] == ledgers[:RECENT]
    assert kept[-1:] == ledgers[-1:]
    assert bool(dropped) == (count > MOST)
    assert len(kept) < MOST or not dropped or count > 2 * MOST - RECENT


kinds = st.tuples(st.sampled_from(list(Evidence)), st.sampled_from(["rpc", "lake"]), st.sampled_from(["", "v4"]))
spans = st.tuples(st.integers(1, 40), st.integers(0, 15)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(spans, kinds), max_size=12), spans)
def test_merged_coverage_names_the_strongest_evidence_of_each_ledger(windows, asked):
    within = LedgerRange(*asked)
    rows = [
        (*span, number, *kind)
        for number, (span, kind) in enumerate(windows)
        if span[0] <= within.last and span[1] >= within.first
    ]
    found = merge(rows, within)
    for ledger in range(1, 60):
        holding = [row for row in rows if row[0] <= ledger <= row[1] and within.holds(ledger)]
        told = [part for part in found if part.range.holds(ledger)]
        assert len(told) == bool(holding)
        if holding:
            best = min(holding, key=lambda row: (row[3] != Evidence.PROVEN, row[2]))
            assert (told[0].evidence, told[0].source, told[0].flavour) == best[3:]
    for one, two in zip(found, found[1:], strict=False):
        touching = one.range.last + 1 == two.range.first
        same = (one.evidence, one.source, one.flavour) == (two.evidence, two.source, two.flavour)
        assert one.range.last < two.range.first
        assert not (touching and same)


@given(st.lists(spans, max_size=25))
@settings(deadline=None)
def test_runs_are_the_windows_joined(windows):
    with closing(open_sqlite("sqlite://")) as storage:
        storage.migrate()
        backend = storage._backend
        with backend.write() as transaction:
            transaction.run("INSERT INTO contract_sets (id, digest) VALUES (7, 'x')")
            for number, span in enumerate(windows, 1):
                transaction.run("INSERT INTO windows VALUES (?, ?, ?, 7, 'scanned', 's', '', NULL, 0)", (number, *span))
                join(transaction, (7, "scanned", "s", ""), LedgerRange(*span), number)
            runs = transaction.all("SELECT first_ledger, last_ledger FROM coverage ORDER BY first_ledger")
    assert [LedgerRange(*run) for run in runs] == list(RangeSet(windows))


def test_covered_for_all_needs_each_contract_with_that_evidence():
    sets = {1: frozenset("ab"), 2: frozenset("b"), 3: frozenset("*")}
    rows = [(1, 10, 19, "scanned"), (2, 15, 29, "proven"), (3, 40, 44, "proven")]

    def found(members: str, evidence: Evidence) -> list:
        return covered_for_all(members, sets, rows, evidence).to_json()

    assert found("a", Evidence.SCANNED) == [[10, 19], [40, 44]]
    assert found("b", Evidence.SCANNED) == [[10, 29], [40, 44]]
    assert found("ab", Evidence.SCANNED) == [[10, 19], [40, 44]]
    assert found("ab", Evidence.PROVEN) == [[40, 44]]
    assert found("*", Evidence.SCANNED) == [[40, 44]]
    assert covered_for_all("c", sets, rows[:2], Evidence.SCANNED) == RangeSet()


def test_a_transactions_place_is_told_by_its_own_events_only():
    call = made_event(12, 7, 0, A)
    fee = made_event(12, 0, 3)._replace(tx_hash=call.tx_hash)
    batch = prepare(window(12, 12, [fee, call], ANY.members))
    assert batch.transactions[call.tx_hash] == (call.tx_hash, 12, 7)
    assert batch.disputed == []
    alone = prepare(window(12, 12, [fee], ANY.members))
    assert alone.transactions[call.tx_hash] == (call.tx_hash, 12, None)


def test_each_event_of_a_misplaced_transaction_is_disputed():
    first = made_event(12, 1, 0, A)
    wrong = [made_event(14, 1, k, A)._replace(tx_hash=first.tx_hash) for k in (0, 1)]
    right = made_event(14, 2, 0, A)
    batch = prepare(window(12, 14, [first, *wrong, right]))
    assert batch.disputed == [(event, ConflictKind.TRANSACTION) for event in wrong]


def test_an_event_stored_between_two_look_ups_is_no_conflict():
    event = made_event(12, 1, 0, A)
    batch = prepare(window(12, 12, [event]))
    found = compare(batch, lambda rows: [], lambda rows: rows, lambda hashes: [])
    assert (found.outrun, found.disputed) == (True, [])


@pytest.mark.parametrize(
    "bad",
    ["-0000000", " 000000000", "0_00000000", "٠٠٠٠٠٠٠٠٠٠", "4294967296", "000000000", "00000000000"],
)
def test_a_counter_that_only_looks_like_a_number_is_refused(bad):
    good = made_event(12, 1, 0, A)
    twisted = made_event(12, 1, 1, A)._replace(id=good.id[:20] + bad)
    with pytest.raises(InvalidEventError):
        prepare(window(12, 12, [twisted]))
    with pytest.raises(InvalidEventError):
        prepare(window(12, 12, sorted([good, twisted])))
