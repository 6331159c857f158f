"""Why ledgers are missing: the newest reason for each ledger, whatever the order and overlap of notes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Unserved
from stellarstream_core.sync.reasons import Reasons

A, B = Scope(("A",)), Scope(("B",))
RANGES = st.tuples(st.integers(1, 30), st.integers(1, 30)).map(lambda p: LedgerRange(min(p), max(p)))
NOTES = st.lists(st.tuples(RANGES, st.sampled_from(Reason)), max_size=12)
WHOLE = LedgerRange(1, 30)


def told(reasons: Reasons, scope: Scope) -> dict[int, Reason]:
    found: dict[int, Reason] = {}
    for item in reasons.explain(WHOLE, scope):
        for ledger in range(item.range.first, item.range.last + 1):
            assert ledger not in found, "a ledger is explained twice"
            found[ledger] = item.reason
    return found


@given(NOTES)
def test_each_ledger_has_the_newest_reason(notes):
    reasons, plain = Reasons(), {}
    for within, reason in notes:
        ledgers = range(within.first, within.last + 1)
        reasons.note(Unserved(within, A, reason, ""))
        plain |= dict.fromkeys(ledgers, reason)
    assert told(reasons, A) == plain
    assert told(reasons, B) == {}
    for reason in Reason:
        assert {x for r in reasons.ledgers([reason]) for x in range(r.first, r.last + 1)} == {
            ledger for ledger, why in plain.items() if why is reason
        }


def test_ledger_after_ledger_of_one_reason_stays_one_entry():
    reasons = Reasons()
    for ledger in range(1, 100_001):
        reasons.note(Unserved(LedgerRange(ledger, ledger), A, Reason.UNSUPPORTED, f"at {ledger}"))
    (item,) = reasons.explain(LedgerRange(1, 100_000), A)
    assert (item.range, item.detail) == (LedgerRange(1, 100_000), "at 100000")


def test_what_is_supposed_does_not_replace_what_is_known():
    reasons = Reasons()
    reasons.note(Unserved(LedgerRange(5, 9), A, Reason.UNAVAILABLE, ""))
    reasons.suppose(Unserved(LedgerRange(1, 20), A, Reason.INTERRUPTED, ""))
    assert told(reasons, A)[7] is Reason.UNAVAILABLE
    assert told(reasons, A)[4] is told(reasons, A)[10] is Reason.INTERRUPTED
