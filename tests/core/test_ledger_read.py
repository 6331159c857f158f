"""Reading ledgers: what every shape of one gives, and that bytes which are none are refused by name."""

import time
from random import Random

import pytest
from stellar_sdk import xdr

from scripts.xdr_walker.module import kept_schema
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.events import parse_event_id
from stellarstream_core.xdr import ledger_walk as walk
from stellarstream_core.xdr.ledger import (
    ledger_events,
    read_bare_header,
    read_batch,
    read_ledger,
    read_ledger_header,
    read_transaction,
)
from tests.core import ledger_oracle as oracle
from tests.core.xdr_values import Values

SCHEMA = kept_schema()
SEQUENCE = 54_321
EMPTY_SET = (1).to_bytes(4, "big") + bytes(36)

SMALL = {
    "LedgerHeader.ledgerSeq": SEQUENCE.to_bytes(4, "big"),
    "StellarValue.closeTime": (1_750_000_000).to_bytes(8, "big"),
    "LedgerEntryChanges": bytes(4),
    "LedgerCloseMetaV0.txSet": bytes(36),
    "LedgerCloseMetaV1.txSet": EMPTY_SET,
    "LedgerCloseMetaV2.txSet": EMPTY_SET,
}


def made_ledger(seed, version, meta):
    """Return a random LedgerCloseMeta of a version whose transactions have meta of a version."""
    arms = {"LedgerCloseMeta": str(version), "TransactionMeta": str(meta)}
    return Values(SCHEMA, Random(seed), fixed=SMALL, arms=arms).value("LedgerCloseMeta")


@pytest.mark.parametrize("meta_version", range(5))
@pytest.mark.parametrize("version", range(3))
def test_random_ledgers_of_every_version_are_read_as_stellar_sdk_decodes_them(version, meta_version):
    places = set()
    for seed in range(60):
        meta = made_ledger(seed, version, meta_version)
        ledger = read_ledger(meta)
        decoded = oracle.decode(meta)
        found = ledger_events(ledger, None)

        assert (ledger.version, ledger.header.sequence) == (version, SEQUENCE)
        assert found == oracle.events(decoded)
        assert [event.id for event in found] == sorted({event.id for event in found})
        assert [(one.hash, one.result) for one in ledger.transactions] == [
            (one.result.transaction_hash.hash, one.result.result.to_xdr_bytes()) for one in oracle.processing(decoded)
        ]
        assert [one.return_value for one in ledger.transactions] == [
            _return_value(one.tx_apply_processing) for one in oracle.processing(decoded)
        ]
        for event in found:
            place = parse_event_id(event.id)
            kind = {0: "before", 0xFFFFF: "after"}.get(place.tx, "after-tx" if place.op == 0xFFF else "operation")
            places.add((kind, event.type, event.contract_id is None))

    if meta_version < 3:
        assert not places
    else:
        kinds = ("operation",) if meta_version == 3 else ("operation", "before", "after", "after-tx")
        assert places >= {
            (kind, type_, bare) for kind in kinds for type_ in ("contract", "system") for bare in (True, False)
        }


def _return_value(meta):
    if meta.v < 3:
        return None
    soroban = (meta.v3 if meta.v == 3 else meta.v4).soroban_meta
    return None if soroban is None or soroban.return_value is None else soroban.return_value.to_xdr_bytes()


def test_a_diagnostic_event_among_an_operations_events_keeps_its_number_but_is_not_returned():
    decoded = oracle.decode(oracle.pubnet_ledger(63092996))
    number, op, _ = next(one for one in oracle.invocations(decoded) if len(oracle.event_list(decoded, *one[:2])) > 2)
    oracle.event_list(decoded, number, op)[1].type = xdr.ContractEventType.DIAGNOSTIC
    found = ledger_events(read_ledger(decoded.to_xdr_bytes()), None)

    here = [parse_event_id(event.id).counter for event in found if parse_event_id(event.id).tx == number + 1]
    assert here[:3] == [0, 2, 3]


def test_diagnostic_events_are_never_indexed():
    """A failed transaction's diagnostic events hold contract events that never happened."""
    decoded = oracle.decode(oracle.pubnet_ledger(63092996))
    event = oracle.event_list(decoded, oracle.invocations(decoded)[0][0])[0]
    before = oracle.events(decoded)
    for one in oracle.processing(decoded):
        one.tx_apply_processing.v4.diagnostic_events = [xdr.DiagnosticEvent(True, event)]

    assert ledger_events(read_ledger(decoded.to_xdr_bytes()), None) == before


def test_one_transaction_alone_is_read_as_it_is_inside_its_ledger():
    ledger = read_ledger(oracle.pubnet_ledger(63092996))
    decoded = oracle.decode(oracle.pubnet_ledger(63092996))
    alone = [
        read_transaction(
            one.result.transaction_hash.hash,
            one.result.result.to_xdr_bytes(),
            one.tx_apply_processing.to_xdr_bytes(),
            63092996,
        )
        for one in oracle.processing(decoded)
    ]
    header = read_bare_header(ledger.header.xdr)

    assert header == ledger.header
    assert ledger_events(type(ledger)(header, None, alone), None) == ledger_events(ledger, None)
    for one, same in zip(alone, ledger.transactions, strict=True):
        for name in ("hash", "result", "succeeded", "fee_charged", "meta_version", "invocations", "return_value"):
            assert getattr(one, name) == getattr(same, name)


def test_a_bare_header_keeps_the_hash_that_is_claimed_for_it():
    header = read_ledger(oracle.pubnet_ledger(63092996)).header
    assert read_bare_header(header.xdr, bytes(32)).hash == bytes(32)
    assert read_bare_header(header.xdr).hash == header.hash


# --- refusals -------------------------------------------------------------------------------


def small_ledger():
    """Return a real ledger of a few kilobytes with an invocation that succeeded."""
    candidates = (meta for ledgers in oracle.shapes().values() for meta in ledgers if 2_000 < len(meta) < 12_000)
    return next(meta for meta in candidates if any(one.invocations for one in read_ledger(meta).transactions))


def test_a_ledger_cut_off_anywhere_is_refused():
    meta = small_ledger()
    sequence = read_ledger(meta).header.sequence
    for size in range(0, len(meta), 4):
        with pytest.raises(XdrError, match=f"(A ledger|Ledger {sequence}).* is cut off"):
            read_ledger(meta[:size])
    for size in (1, 2, 3, len(meta) - 1):
        with pytest.raises(XdrError, match="comes in fours"):
            read_ledger(meta[:size])


def test_bytes_after_a_ledger_are_refused():
    meta = small_ledger()
    for more in (bytes(4), meta):
        with pytest.raises(XdrError, match=rf"^Ledger \d+: It ends at byte {len(meta)}, but {len(more)} more follow"):
            read_ledger(meta + more)


def test_an_unknown_version_of_a_ledger_asks_for_an_upgrade():
    meta = (3).to_bytes(4, "big") + oracle.pubnet_ledger(63092996)[4:]
    for read in (read_ledger, read_ledger_header):
        with pytest.raises(ProtocolUpgradeNeededError, match=r"^A ledger: LedgerCloseMeta 3 at byte 0 is not known"):
            read(meta)


def test_an_unknown_version_of_a_transactions_meta_asks_for_an_upgrade_and_names_the_ledger():
    meta = oracle.pubnet_ledger(63092996)
    decoded = oracle.decode(meta)
    part = oracle.processing(decoded)[7].tx_apply_processing.to_xdr_bytes()
    place = meta.index(part)
    changed = meta[:place] + (5).to_bytes(4, "big") + meta[place + 4 :]

    with pytest.raises(ProtocolUpgradeNeededError, match=f"^Ledger 63092996: TransactionMeta 5 at byte {place} is"):
        read_ledger(changed)
    with pytest.raises(ProtocolUpgradeNeededError, match=r"^Ledger 63092996, transaction 00.*: TransactionMeta 5 at"):
        read_transaction(
            bytes(32),
            oracle.processing(decoded)[7].result.result.to_xdr_bytes(),
            (5).to_bytes(4, "big") + part[4:],
            63092996,
        )


def test_a_protocol_that_is_not_known_yet_is_no_error_by_itself():
    decoded = oracle.decode(small_ledger())
    oracle.header(decoded).ledger_version = xdr.Uint32(walk.PROTOCOL + 10)
    assert read_ledger(oracle.seal_header(decoded)).header.protocol == walk.PROTOCOL + 10


def test_a_sequence_or_close_time_that_cannot_be_is_refused():
    decoded = oracle.decode(small_ledger())
    header = oracle.header(decoded)
    good = header.ledger_seq
    for sequence in (0, 2**31, 2**32 - 1):
        header.ledger_seq = xdr.Uint32(sequence)
        with pytest.raises(XdrError, match="is no ledger sequence"):
            read_ledger(decoded.to_xdr_bytes())
    header.ledger_seq = good
    header.scp_value.close_time = xdr.TimePoint(xdr.Uint64(2**63))
    with pytest.raises(XdrError, match="closes after the year 9999"):
        read_ledger(decoded.to_xdr_bytes())


def test_absurd_lengths_and_counts_are_refused_at_once():
    """Every word of a ledger is tried as a length or count of billions; most are one, or make one of a neighbour."""
    meta = small_ledger()
    begun = time.perf_counter()
    refused = 0
    for place in range(0, len(meta), 4):
        for absurd in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\1\0\0"):
            try:
                read_ledger(meta[:place] + absurd + meta[place + 4 :])
            except XdrError:
                refused += 1
    assert refused > len(meta) / 20
    assert time.perf_counter() - begun < 20


def _vecs(depth):
    """Return the XDR of an SCVal with so many vecs inside each other around a void."""
    return (b"".join(n.to_bytes(4, "big") for n in (16, 1, 1))) * depth + (1).to_bytes(4, "big")


def test_a_deep_value_is_read_inside_a_whole_ledger_where_stellar_sdk_gives_up():
    event = oracle.contract_event(None, [], xdr.SCVal.from_xdr_bytes(_vecs(1)))
    decoded = oracle.decode(small_ledger())
    number = oracle.invocations(decoded)[0][0]
    oracle.event_list(decoded, number)[:] = [event]
    meta = decoded.to_xdr_bytes()
    shallow, deep = (_vecs(depth) for depth in (1, walk.MAX_DEPTH))

    found = ledger_events(
        read_ledger(meta.replace(event.to_xdr_bytes(), event.to_xdr_bytes()[: -len(shallow)] + deep)), None
    )
    assert deep in [one.value for one in found]


# --- batches --------------------------------------------------------------------------------


def batch(first, last, metas):
    return b"".join((*(number.to_bytes(4, "big") for number in (first, last, len(metas))), *metas))


def test_a_batch_is_taken_apart_into_its_ledgers():
    metas = [meta for ledgers in list(oracle.shapes().values())[:4] for meta in ledgers[:3]]
    for some in (metas[:1], metas[:2], metas):
        assert read_batch(batch(10, 9 + len(some), some)) == (10, 9 + len(some), some)


def test_a_batch_that_is_cut_off_goes_on_or_contradicts_itself_is_refused():
    metas = [meta for ledgers in oracle.shapes().values() for meta in ledgers[:1]][:3]
    raw = batch(10, 12, metas)
    for bad in (
        raw[:8],
        raw[:-4],
        b"",
        raw + bytes(4),
        batch(10, 13, metas),
        batch(13, 12, metas),
        batch(0, 2**32 - 1, []),
        batch(1, 0, []),
    ):
        with pytest.raises(XdrError, match=r"^A batch of ledgers"):
            read_batch(bad)
    with pytest.raises(XdrError, match="It has 0 ledgers"):
        read_batch(batch(10, 10, []))
