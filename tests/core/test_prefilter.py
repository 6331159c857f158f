"""The prefilter never drops an event, whatever the ledger and whatever is wanted."""

from functools import cache
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.xdr.ledger import ledger_events, read_ledger
from stellarstream_core.xdr.prefilter import MAX_SEARCHED, Prefilter
from stellarstream_core.xdr.strkey import contract_id_bytes
from tests.core import ledger_oracle as oracle
from tests.core.test_ledger_read import made_ledger

ABSENT = bytes(range(32))


@cache
def ledgers():
    """Return ledgers of every shape, each with the contracts that have events in it."""
    recorded = [oracle.pubnet_ledger(sequence) for sequence in oracle.PUBNET_LEDGERS]
    recorded += [meta for some in oracle.shapes().values() for meta in some if Random(len(meta)).random() < 0.01]
    recorded += [made_ledger(seed, version, meta) for seed in range(8) for version in (1, 2) for meta in (3, 4)]
    found = []
    for meta in recorded:
        ledger = read_ledger(meta)
        contracts = {event.contract_id for event in ledger_events(ledger, None)} - {None}
        found.append((meta, ledger, sorted(map(contract_id_bytes, contracts))))
    return found


@settings(deadline=None)  # the first one reads the ledgers
@given(st.data())
def test_what_holds_an_event_is_never_ruled_out(data):
    # The number is drawn, not the ledger: megabytes would be printed.
    meta, ledger, contracts = ledgers()[data.draw(st.integers(0, len(ledgers()) - 1))]
    of_others = [contract for _, _, some in ledgers() for contract in some[:5]]
    wanted = data.draw(
        st.frozensets(
            st.sampled_from([*contracts, *of_others, ABSENT]) | st.binary(min_size=32, max_size=32), max_size=80
        )
    )
    if ledger_events(ledger, wanted):
        assert Prefilter(wanted).may_hold(meta)


def test_what_holds_no_wanted_contract_is_ruled_out():
    for meta, _, contracts in ledgers():
        assert not Prefilter([ABSENT]).may_hold(meta)
        assert not Prefilter([]).may_hold(meta)
        for contract in contracts[:20]:
            assert Prefilter([ABSENT, contract]).may_hold(meta)


def test_everything_is_never_ruled_out():
    assert Prefilter(None).may_hold(b"")
    assert not Prefilter(None).searches


def test_too_many_contracts_are_not_searched_for():
    many = [Random(n).randbytes(32) for n in range(MAX_SEARCHED + 1)]
    assert Prefilter(many).may_hold(b"")
    assert not Prefilter(many).searches
    assert not Prefilter(many[1:]).may_hold(b"")
    assert not Prefilter(many[1:] * 2).may_hold(b""), "one contract twice is one search"
