"""Objects' names are what SEP-54 says, and a name and its ledgers say the same in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.ranges import LAST_LEDGER, LedgerRange
from stellarstream_data_lake.layout import BEFORE_THE_NEWEST, SUFFIXES, Layout, layout_of, usual_layouts
from tests.data_lake.kit import name_of

layouts = st.builds(
    Layout, st.integers(1, 300), st.sampled_from([1, 2, 8, 10, 1_000, 64_000]), st.sampled_from(SUFFIXES)
)
ledgers = st.integers(2, LAST_LEDGER)


@pytest.mark.parametrize(
    ("layout", "ledger", "key"),
    [
        (Layout(1, 64_000), 62_148_003, "FC4BC1FF--62144000-62207999/FC4BB25C--62148003.xdr.zst"),
        (Layout(1, 64_000), 2, "FFFFFFFF--0-63999/FFFFFFFD--2.xdr.zst"),
        (Layout(1, 1, ".xdr.zstd"), 53_312_000, "FCD285FF--53312000.xdr.zstd"),
        (Layout(1, 1), 999, "FFFFFC18--999.xdr.zst"),
        *(
            (Layout(2, 8), ledger, key)  # the listing in SEP-54's "Example Key Structure"
            for ledger, key in [
                (18, "FFFFFFEF--16-31/FFFFFFED--18-19.xdr.zst"),
                (17, "FFFFFFEF--16-31/FFFFFFEF--16-17.xdr.zst"),
                (14, "FFFFFFFF--0-15/FFFFFFF1--14-15.xdr.zst"),
                (8, "FFFFFFFF--0-15/FFFFFFF7--8-9.xdr.zst"),
                (2, "FFFFFFFF--0-15/FFFFFFFD--2-3.xdr.zst"),
            ]
        ),
    ],
)
def test_the_examples_of_the_standard(layout, ledger, key):
    number = layout.number(ledger)
    assert layout.key(number) == key
    assert layout.number_of(key) == number
    assert ledger in range(layout.ledgers(number).first, layout.ledgers(number).last + 1)


@given(layouts, ledgers)
def test_a_name_and_its_ledgers_say_the_same_both_ways(layout, ledger):
    number = layout.number(ledger)
    key = layout.key(number)
    assert key == name_of(ledger, layout.ledgers_per_batch, layout.batches_per_partition, layout.suffix)
    assert layout.number_of(key) == number
    assert layout.ledgers(number).holds(ledger)
    assert all(layout.number(one) == number for one in layout.ledgers(number))


@given(layouts, ledgers, ledgers)
def test_names_sort_with_the_newest_ledger_first(layout, one, other):
    a, b = layout.number(one), layout.number(other)
    assert (layout.key(a) < layout.key(b)) == (a > b)
    assert layout.key(a) > BEFORE_THE_NEWEST
    assert BEFORE_THE_NEWEST > ".config.json"


@given(layouts, ledgers)
def test_a_name_shows_its_layout(layout, ledger):
    found = layout_of(layout.key(layout.number(ledger)))
    assert found is not None
    assert found.ledgers_per_batch == layout.ledgers_per_batch
    assert found.suffix == layout.suffix
    if layout.ledgers_per_batch * layout.batches_per_partition < LAST_LEDGER:
        assert found.batches_per_partition == layout.batches_per_partition


@given(layouts)
def test_numbers_follow_each_other_without_a_hole(layout):
    first = layout.first_number
    spans = [layout.ledgers(n) for n in range(first, first + 20)]
    assert spans[0].first == 2
    assert all(a.last + 1 == b.first for a, b in zip(spans, spans[1:], strict=False))
    assert layout.span(first, first + 19) == LedgerRange(2, spans[-1].last)
    assert layout.ledgers(layout.last_number).last == LAST_LEDGER


@pytest.mark.parametrize(
    "key",
    [
        ".config.json",
        "",
        "FFFFFC18--999.xdr.zst.tmp",
        "FFFFFC18--998.xdr.zst",
        "fffffc18--999.xdr.zst",
        "FFFFFC18--999.xdr.gz",
        "FFFFFC18--0999.xdr.zst",
        "FFFFFFFF--0-63999/FFFFFC18--998.xdr.zst",
        "FFFFFFFF--0-63999/x/FFFFFC18--999.xdr.zst",
        "FFFF05FF--64000-127999/FFFFFC18--999.xdr.zst",
        "FFFFFFFF--0-63999",
        "FFFFFFFD--2-1.xdr.zst",
        "FFFFFFFF--0-9999999999.xdr.zst",
        "00000000--4294967295.xdr.zst",
        "FFFFFC18--999.xdr.zst\n",
    ],
)
def test_what_is_no_object_has_no_layout(key):
    assert layout_of(key) is None
    assert Layout(1, 64_000).number_of(key) is None
    assert Layout(1, 1).number_of(key) is None


def test_a_layout_knows_only_its_own_names():
    flat, parted = Layout(1, 1), Layout(1, 64_000)
    assert flat.number_of(parted.key(999)) is None
    assert parted.number_of(flat.key(999)) is None
    assert Layout(1, 1, ".xdr.zstd").number_of(flat.key(999)) is None


def test_settings_narrow_the_layouts_that_are_tried():
    every = list(usual_layouts(None, None, None))
    assert every[0] == Layout(1, 64_000)
    assert {one.suffix for one in every} == set(SUFFIXES)
    assert set(usual_layouts(64, None, ".xdr.zst")) == {Layout(64, 10), Layout(64, 1)}
    assert set(usual_layouts(3, 7, None)) == {Layout(3, 7), Layout(3, 7, ".xdr.zstd")}
    assert not list(usual_layouts(3, None, None))
