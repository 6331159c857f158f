"""The coverage bar draws each ledger once, as what it is, and no gap is too small to be seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.pages.coverage import LEAST_GAP, coverage_bar
from stellarstream_core.ranges import RangeSet

from .models import gap, nothing_synced, part, sync_model

KINDS = ["proven", "scanned", "gap"]


def bar_of(kinds: list[str], ahead: int = 0, first: int = 1_000):
    """Return the bar of a history whose ledgers are of these kinds, ending with one that is covered."""
    at = {kind: RangeSet((first + n, first + n) for n, one in enumerate(kinds) if one == kind) for kind in KINDS}
    last = first + len(kinds) - 1
    covered = at["proven"] | at["scanned"]
    unbroken = next((n for n, one in enumerate(kinds) if one == "gap"), len(kinds))
    return coverage_bar(
        sync_model(
            start_ledger=first,
            watermark=first + unbroken - 1,
            last_covered_ledger=last,
            tip=last + ahead,
            coverage=[part(*one, evidence=kind) for kind in ("proven", "scanned") for one in at[kind]],
            gaps=[gap(*one) for one in at["gap"]],
            complete=covered.size == len(kinds),
        )
    )


histories = st.lists(st.sampled_from(KINDS), max_size=80).map(lambda kinds: [*kinds, "proven"])


@given(histories, st.integers(0, 30))
def test_every_ledger_is_counted_once(kinds, ahead):
    bar = bar_of(kinds, ahead)
    counted = {kind.kind: kind.ledgers for kind in bar.kinds}
    assert counted == {**{kind: kinds.count(kind) for kind in KINDS}, "ahead": ahead}
    assert bar.last - bar.first + 1 == len(kinds) + ahead


@given(histories, st.integers(0, 30))
def test_boxes_lie_inside_the_bar_and_show_their_kind_where_its_ledgers_are(kinds, ahead):
    bar = bar_of(kinds, ahead)
    scale = 100 / (len(kinds) + ahead)
    for box in bar.boxes:
        assert box.x >= 0
        assert box.x + box.width <= 100.01
    for n, kind in enumerate(kinds):
        middle = (n + 0.5) * scale
        topmost = [box for box in bar.boxes if box.x <= middle <= box.x + box.width][-1]
        assert topmost.kind == kind


def test_one_missing_ledger_of_millions_is_seen():
    first, last, missing = 50_000_000, 58_000_000, 57_123_456
    bar = coverage_bar(
        sync_model(
            start_ledger=first,
            watermark=missing - 1,
            last_covered_ledger=last,
            tip=last,
            coverage=[part(first, missing - 1), part(missing + 1, last)],
            gaps=[gap(missing, missing)],
        )
    )
    (box,) = [box for box in bar.boxes if box.kind == "gap"]
    assert box.width == LEAST_GAP
    assert box.title == "missing 57,123,456"
    share = {kind.kind: kind.share for kind in bar.kinds}
    assert share["gap"] == "< 0.1 %"
    assert share["proven"] == "> 99.9 %"


def test_a_gap_at_the_very_end_is_drawn_inside_the_bar():
    bar = coverage_bar(
        sync_model(
            start_ledger=1,
            watermark=999_999,
            last_covered_ledger=1_000_000,
            tip=1_000_000,
            coverage=[part(1, 999_999)],
            gaps=[gap(1_000_000, 1_000_000)],
        )
    )
    (box,) = [box for box in bar.boxes if box.kind == "gap"]
    assert box.x + box.width <= 100


def test_many_small_gaps_are_drawn_as_one_and_counted_all():
    gaps = [gap(n, n) for n in range(500_000, 500_400, 2)]
    parts = [part(n + 1, n + 1) for n in range(500_000, 500_400, 2)]
    bar = coverage_bar(
        sync_model(
            start_ledger=1,
            watermark=499_999,
            last_covered_ledger=1_000_000,
            tip=1_000_000,
            coverage=[part(1, 499_999), *parts, part(500_401, 1_000_000)],
            gaps=[*gaps, gap(500_400, 500_400)],
        )
    )
    (box,) = [box for box in bar.boxes if box.kind == "gap"]
    assert box.title == "missing 500,000 to 500,400: 201 ledgers of it"
    assert {kind.kind: kind.ledgers for kind in bar.kinds}["gap"] == 201


def test_what_some_contracts_lack_is_missing_and_what_is_proven_for_some_only_is_scanned():
    one, two = "C" * 55 + "A", "C" * 55 + "B"
    bar = coverage_bar(
        sync_model(
            contracts=[one, two],
            start_ledger=1,
            watermark=10,
            last_covered_ledger=40,
            tip=40,
            coverage=[part(1, 10), part(11, 40, contracts=[one]), part(21, 40, "scanned", contracts=[two])],
            gaps=[gap(11, 20, contracts=[two])],
            evidence={"proven_ledgers": 10, "scanned_ledgers": 20},
        )
    )
    assert [(box.kind, box.x, box.width) for box in bar.boxes] == [
        ("scanned", 50.0, 50.0),
        ("proven", 0.0, 25.0),
        ("gap", 25.0, 25.0),
    ]


def test_the_watermark_stands_after_its_ledger_and_nowhere_before_the_first():
    assert bar_of(["proven"] * 10, ahead=10).mark == 50
    assert bar_of(["gap", "proven"]).mark is None


def test_the_text_says_what_the_bar_shows():
    assert bar_of(["proven", "scanned", "gap", "proven"], ahead=6).summary == (
        "Ledgers 1,000 to 1,009: proven 2, scanned 1, missing 1, to come 6. The watermark stands at ledger 1,001."
    )


def test_nothing_synced_has_no_bar():
    assert coverage_bar(nothing_synced()) is None


def test_a_contract_that_is_wanted_and_has_nothing_yet_has_a_bar_of_what_is_to_come():
    bar = coverage_bar(
        sync_model(start_ledger=100, watermark=99, last_covered_ledger=100, tip=199, coverage=[], gaps=[])
    )
    assert [box.kind for box in bar.boxes] == ["ahead"]
    assert bar.mark is None
