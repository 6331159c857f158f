"""The walker beside stellar_sdk and recorded getEvents answers, event by event, over every recorded ledger."""

import json
from hashlib import sha256

import pytest

from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.xdr.ledger import ledger_events, read_ledger, read_ledger_header
from stellarstream_core.xdr.proof import prove
from stellarstream_core.xdr.strkey import contract_id_bytes
from tests.core import ledger_oracle as oracle

SHARDS = 4


def assert_same(meta, ledger):
    """Compare everything that is read of a ledger with what stellar_sdk has."""
    decoded = oracle.decode(meta)
    expected = oracle.header(decoded)
    assert ledger.version == decoded.v
    assert ledger.header.sequence == expected.ledger_seq.uint32
    assert ledger.header.protocol == expected.ledger_version.uint32
    assert ledger.header.close_time == expected.scp_value.close_time.time_point.uint64
    assert ledger.header.previous_hash == expected.previous_ledger_hash.hash
    assert ledger.header.result_set_hash == expected.tx_set_result_hash.hash
    assert ledger.header.hash == oracle.content(decoded).ledger_header.hash.hash
    with oracle.no_collector():
        assert ledger.header.xdr == expected.to_xdr_bytes()
        assert [
            (one.hash, one.result, one.succeeded, one.fee_charged, one.meta_version, one.operations)
            for one in ledger.transactions
        ] == [
            (
                one.result.transaction_hash.hash,
                one.result.result.to_xdr_bytes(),
                one.result.result.result.code.name in ("txSUCCESS", "txFEE_BUMP_INNER_SUCCESS"),
                one.result.result.fee_charged.int64,
                one.tx_apply_processing.v,
                len(oracle.operation_results(one.result)),
            )
            for one in oracle.processing(decoded)
        ]
        assert [
            (number, op, success) for number, one in enumerate(ledger.transactions) for op, success in one.invocations
        ] == [(number, op, invoked.success.hash) for number, op, invoked in oracle.invocations(decoded)]
        assert ledger_events(ledger, None) == oracle.events(decoded)


@pytest.mark.parametrize("sequence", oracle.PUBNET_LEDGERS)
def test_a_pubnet_ledger_is_read_as_stellar_sdk_decodes_it(sequence):
    meta = oracle.pubnet_ledger(sequence)
    assert_same(meta, read_ledger(meta))


@pytest.mark.parametrize("sequence", oracle.PUBNET_LEDGERS)
def test_a_pubnet_ledgers_events_are_those_that_get_events_returns(sequence):
    expected = [json.loads(line) for line in oracle.expected_events(sequence)]
    ledger = read_ledger(oracle.pubnet_ledger(sequence))

    assert list(map(oracle.rpc_event, ledger_events(ledger, None))) == expected

    contracts = sorted({event["contractId"] for event in expected})
    for contract in contracts:
        found = ledger_events(ledger, frozenset([contract_id_bytes(contract)]))
        assert [event.id for event in found] == [event["id"] for event in expected if event["contractId"] == contract]
    some = contracts[::2]
    found = ledger_events(ledger, frozenset(map(contract_id_bytes, some)))
    assert [event.id for event in found] == [event["id"] for event in expected if event["contractId"] in some]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_ledger_of_stellar_cores_own_tests_is_read_as_stellar_sdk_decodes_it(shard):
    seen = set()
    files = sorted(oracle.shapes().items())
    assert len(files) == 812
    for _, ledgers in files[shard::SHARDS]:
        for meta in ledgers:
            if meta in seen:
                continue  # most of them begin alike
            seen.add(meta)
            assert_same(meta, read_ledger(meta))
    assert len(seen) > 300


@pytest.mark.parametrize("shard", range(3))
def test_a_heavy_ledger_is_read_as_stellar_sdk_decodes_it(shard):
    ledgers = oracle.load_test_ledgers()
    assert len(ledgers) == 30
    for meta in ledgers[shard :: 3 if oracle.FULL else 15]:
        ledger = read_ledger(meta)
        assert len(ledger_events(ledger, None)) == 2410
        assert_same(meta, ledger)


def test_every_recorded_ledger_proves_itself():
    recorded = dict.fromkeys((meta for ledgers in oracle.shapes().values() for meta in ledgers), oracle.CORE_TESTS)
    recorded |= {oracle.pubnet_ledger(sequence): oracle.PUBNET for sequence in oracle.PUBNET_LEDGERS}
    recorded |= dict.fromkeys(oracle.load_test_ledgers())
    invocations = 0
    for meta, passphrase in recorded.items():
        network_id = None if passphrase is None else sha256(passphrase.encode()).digest()
        certificate = prove(read_ledger(meta), network_id)
        assert certificate.proven
        invocations += certificate.invocations
    assert len(recorded) > 1_900
    assert invocations > 14_000


def test_the_header_alone_is_read_as_it_is_with_the_whole_ledger():
    recorded = [meta for ledgers in oracle.shapes().values() for meta in ledgers[-1:]]
    recorded += map(oracle.pubnet_ledger, oracle.PUBNET_LEDGERS)
    for meta in recorded:
        assert read_ledger_header(meta) == read_ledger(meta).header
    assert max(read_ledger_header(meta).sequence for meta in recorded) < LAST_LEDGER
