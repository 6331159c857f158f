"""Telling a ledger's network from the hashes under which its transactions are signed."""

import pytest
from stellar_sdk import xdr

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.ledger import read_ledger, signed_for
from tests.core import ledger_oracle as oracle


@pytest.mark.parametrize("sequence", oracle.PUBNET_LEDGERS)
def test_pubnet_ledgers_are_signed_for_pubnet_and_for_no_other_network(sequence):
    meta = oracle.pubnet_ledger(sequence)
    assert signed_for(meta, oracle.PUBNET) is True
    assert signed_for(meta, oracle.TESTNET) is False
    assert signed_for(meta, "") is False


def test_every_kind_of_transaction_set_tells_the_network():
    versions = set()
    for meta in {meta for ledgers in oracle.shapes().values() for meta in ledgers}:
        ledger = read_ledger(meta)
        assert signed_for(meta, oracle.CORE_TESTS) is (True if ledger.transactions else None)
        assert signed_for(meta, oracle.PUBNET) is (False if ledger.transactions else None)
        versions.add((ledger.version, bool(ledger.transactions)))
    assert versions == {(version, there) for version in range(3) for there in (True, False)}


def envelopes(ledger):
    """Yield the lists of envelopes in a generalized transaction set."""
    for phase in oracle.content(ledger).tx_set.v1_tx_set.phases:
        for component in phase.v0_components or []:
            yield component.txs_maybe_discounted_fee.txs
        if phase.parallel_txs_component is not None:
            for stage in phase.parallel_txs_component.execution_stages:
                for cluster in stage.parallel_tx_execution_stage:
                    yield cluster.dependent_tx_cluster


def old_envelope(envelope):
    """Return a transaction's envelope in the form from before protocol 13, which is signed as the newer one is."""
    tx = envelope.v1.tx
    bounds = tx.cond.time_bounds
    old = xdr.TransactionV0(
        tx.source_account.ed25519, tx.fee, tx.seq_num, bounds, tx.memo, tx.operations, xdr.TransactionV0Ext(0)
    )
    return xdr.TransactionEnvelope(
        xdr.EnvelopeType.ENVELOPE_TYPE_TX_V0, v0=xdr.TransactionV0Envelope(old, envelope.v1.signatures)
    )


def test_old_envelopes_and_fee_bumps_tell_the_network_too():
    ledger = oracle.decode(oracle.pubnet_ledger(63092996))
    found = [envelope for some in envelopes(ledger) for envelope in some]
    bumps = [envelope for envelope in found if envelope.fee_bump is not None]
    plain = [
        envelope
        for envelope in found
        if envelope.v1 is not None
        and envelope.v1.tx.source_account.ed25519 is not None
        and envelope.v1.tx.cond.type.value < 2
        and envelope.v1.tx.ext.v == 0
    ]
    assert bumps
    assert plain
    lists = list(envelopes(ledger))
    for chosen in (bumps, [old_envelope(one) for one in plain]):
        for some in lists:
            some[:] = []
        lists[0][:] = chosen
        meta = ledger.to_xdr_bytes()
        assert signed_for(meta, oracle.PUBNET) is True
        assert signed_for(meta, oracle.TESTNET) is False


def test_a_set_with_a_transaction_of_which_the_ledger_knows_nothing_is_another_networks():
    ledger = oracle.decode(oracle.pubnet_ledger(63092988))
    next(some for some in envelopes(ledger) if some)[0].v1.tx.fee = xdr.Uint32(1)
    assert signed_for(ledger.to_xdr_bytes(), oracle.PUBNET) is False


def test_bytes_that_are_no_ledger_tell_nothing():
    meta = oracle.pubnet_ledger(63092988)
    for bad in (b"", meta[:2000], meta[:-2]):
        with pytest.raises(XdrError):
            signed_for(bad, oracle.PUBNET)
