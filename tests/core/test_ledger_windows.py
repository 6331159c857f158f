"""Whole ledgers become windows: grouping, the chain, and what is not believed."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core import ledger_windows
from stellarstream_core.certificates import Flavour, LedgerCertificate
from stellarstream_core.ledger_windows import MAX_LEDGERS, TRUSTED_RUN, LedgerWindows, Reading
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reason, Unserved, Window
from stellarstream_core.testing.scripted import made_contract, made_event
from stellarstream_core.xdr.ledger import LedgerHeader

A = made_contract(1)


def windows(**options) -> LedgerWindows:
    return LedgerWindows(
        **{
            "source": "test",
            "scope": Scope.of([A]),
            "prove": True,
            "passphrase": "Test",
            "classic_events_required": True,
            **options,
        }
    )


def digest(chain: str, ledger: int) -> bytes:
    return sha256(f"{chain}/{ledger}".encode()).digest()


def reading(
    ledger: int,
    chain: str = "one",
    *,
    before: str | None = None,
    proven: bool = True,
    flavour: str = "",
    events: int = 0,
) -> Reading:
    header = LedgerHeader(
        ledger, 28, 1_700_000_000, digest(before or chain, ledger - 1), bytes(32), b"", digest(chain, ledger)
    )
    certificate = LedgerCertificate(
        ledger, header.hash.hex(), header.previous_hash.hex(), 28, 0, 1, 1, int(proven), 0, Flavour.UNKNOWN
    )
    made = [made_event(ledger, 1, k, A) for k in range(events)]
    return Reading(ledger, header, made, certificate, flavour)


def play(readings, made: LedgerWindows | None = None, **finish) -> list[Window | Unserved]:
    made = made or windows()
    out = [item for one in readings for item in made.add(one)]
    return out + made.finish(**finish)


def covered(items) -> RangeSet:
    return RangeSet(item.range for item in items if isinstance(item, Window))


def refused(items) -> RangeSet:
    return RangeSet(item.range for item in items if isinstance(item, Unserved))


def test_an_unbroken_chain_is_one_window_with_all_its_certificates():
    (window,) = play(reading(n, events=2) for n in range(5, 30))
    assert (window.range, window.evidence) == (LedgerRange(5, 29), Evidence.PROVEN)
    assert [c.sequence for c in window.certificates] == list(range(5, 30))
    assert len(window.events) == 50


def test_a_window_tells_when_its_last_ledger_closed():
    def timed(ledger):
        one = reading(ledger)
        return replace(one, header=replace(one.header, close_time=1_000 + ledger))

    first, last = play([*(timed(n) for n in range(1, 4)), *(timed(n) for n in range(10, 12))])
    assert [(item.range.last, item.closed_at) for item in (first, last)] == [(3, 1_003), (11, 1_011)]


def test_windows_are_handed_over_before_they_grow_large():
    items = play(reading(n) for n in range(1, 3 * MAX_LEDGERS))
    assert [item.range.size for item in items] == [MAX_LEDGERS, MAX_LEDGERS, MAX_LEDGERS - 1]
    items = play(reading(n, events=3_000) for n in range(1, 6))
    assert all(len(item.events) <= ledger_windows.MAX_EVENTS for item in items)
    assert covered(items) == RangeSet([(1, 5)])


def test_evidence_and_flavour_are_not_mixed_inside_a_window():
    items = play(
        [
            *(reading(n, flavour="meta-v3") for n in range(1, 4)),
            *(reading(n, flavour="meta-v4", proven=n != 5) for n in range(4, 8)),
        ]
    )
    assert [(i.range, i.evidence, i.flavour) for i in items] == [
        (LedgerRange(1, 3), Evidence.PROVEN, "meta-v3"),
        (LedgerRange(4, 4), Evidence.PROVEN, "meta-v4"),
        (LedgerRange(5, 5), Evidence.SCANNED, "meta-v4"),
        (LedgerRange(6, 7), Evidence.PROVEN, "meta-v4"),
    ]


def test_ledgers_that_show_no_flavour_join_their_neighbours():
    items = play(reading(n, flavour="meta-v4" if n == 3 else "") for n in range(1, 6))
    assert [(i.range, i.flavour) for i in items] == [(LedgerRange(1, 5), "meta-v4")]


def test_one_ledger_of_another_chain_is_named_and_not_handed_over():
    for forged in range(2, 60):
        for before in ("one", "two"):  # it may well name the true ledger before it
            chain = [reading(n, "two", before=before) if n == forged else reading(n) for n in range(1, 61)]
            items = play(chain)
            assert forged not in covered(items)
            assert forged in refused(items)
            assert all(i.reason is Reason.PROOF_FAILED for i in items if isinstance(i, Unserved))
            assert all(i.detail.startswith("chain-break: ledger ") for i in items if isinstance(i, Unserved))
            assert refused(items).size <= 1 + TRUSTED_RUN


@given(st.integers(2, 80), st.integers(1, TRUSTED_RUN - 1), st.integers(0, 60))
def test_a_short_run_of_another_chain_is_never_handed_over(first, length, rest):
    chain = [
        *(reading(n) for n in range(1, first)),
        *(reading(n, "two") for n in range(first, first + length)),
        *(reading(n) for n in range(first + length, first + length + rest)),
    ]
    items = play(chain)
    assert not covered(items) & RangeSet([(first, first + length - 1)])
    assert covered(items) | refused(items) == RangeSet([(1, first + length + rest - 1)])


def test_the_first_ledger_must_follow_on_the_one_before_the_range():
    made = windows()
    made.link(9, digest("one", 9))
    assert covered(play([reading(n) for n in range(10, 15)], made)) == RangeSet([(10, 14)])
    made = windows()
    made.link(9, digest("one", 9))
    items = play([reading(n, "two") for n in range(10, 15)], made)
    assert refused(items) == RangeSet([(10, 14)])


def test_the_last_ledger_must_be_named_by_the_one_after_the_range_where_that_is_known():
    chain = [reading(n) for n in range(10, 15)]
    assert covered(play(chain, next_previous=digest("one", 14))) == RangeSet([(10, 14)])
    items = play(chain, next_previous=digest("two", 14))
    assert (covered(items), refused(items)) == (RangeSet([(10, 13)]), RangeSet([(14, 14)]))


def test_missing_ledgers_keep_their_place_and_their_reason():
    made = windows()
    items = [*made.add(reading(1)), *made.missing(LedgerRange(2, 4), Reason.MISSING, "not there")]
    items += [*made.add(reading(5)), *made.finish()]
    assert [(i.range, getattr(i, "reason", None)) for i in items] == [
        (LedgerRange(1, 1), None),
        (LedgerRange(2, 4), Reason.MISSING),
        (LedgerRange(5, 5), None),
    ]


@given(st.lists(st.sampled_from(["good", "foreign", "failed", "missing"]), min_size=1, max_size=60))
def test_every_ledger_is_either_handed_over_or_given_up_and_never_both(kinds):
    made = windows()
    items: list[Window | Unserved] = []
    for n, kind in enumerate(kinds, 1):
        here = LedgerRange(n, n)
        if kind == "missing":
            items += made.missing(here, Reason.MISSING, "not there")
        elif kind == "failed":
            items += made.add(Reading(n, failure=Unserved(here, Scope.of([A]), Reason.MISBEHAVED, "bad")))
        else:
            items += made.add(reading(n, "one" if kind == "good" else "two"))
    items += made.finish()
    assert sum(item.range.size for item in items) == len(kinds)
    assert covered(items) | refused(items) == RangeSet([(1, len(kinds))])
    assert [item.range for item in items] == sorted(item.range for item in items)
