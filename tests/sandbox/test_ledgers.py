"""The ledgers are real: stellar-sdk reads them, every hash in them fits, every signature holds."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import pytest
from stellar_sdk import Asset, FeeBumpTransactionEnvelope, Keypair, StrKey, TransactionEnvelope, xdr

from stellarstream_core.events import EventId, parse_event_id
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.get_events import EventRecord
from stellarstream_sandbox.identity import ZERO_HASH
from tests.sandbox.conftest import CONFIG, GENESIS_TIME, closed

SUCCESS = xdr.TransactionResultCode.txSUCCESS
BUMPED = (xdr.TransactionResultCode.txFEE_BUMP_INNER_SUCCESS, xdr.TransactionResultCode.txFEE_BUMP_INNER_FAILED)


def envelopes(ledger: xdr.LedgerCloseMetaV2) -> list[xdr.TransactionEnvelope]:
    classic, soroban = ledger.tx_set.v1_tx_set.phases
    found = [tx for component in classic.v0_components for tx in component.txs_maybe_discounted_fee.txs]
    for stage in soroban.parallel_txs_component.execution_stages:
        for cluster in stage.parallel_tx_execution_stage:
            found += cluster.dependent_tx_cluster
    return found


def operation_results(result: xdr.TransactionResult) -> list[xdr.OperationResult]:
    if result.result.code in BUMPED:
        return result.result.inner_result_pair.result.result.results
    return result.result.results


def test_the_sdk_writes_back_the_same_bytes(ledgers):
    for ledger in ledgers:
        assert xdr.LedgerCloseMeta.from_xdr_bytes(ledger.meta).to_xdr_bytes() == ledger.meta


def test_headers_are_a_chain_of_hashes(ledgers, parsed):
    previous = None
    for ledger, meta in zip(ledgers, parsed, strict=True):
        entry = meta.ledger_header
        assert sha256(entry.header.to_xdr_bytes()).digest() == entry.hash.hash == ledger.hash
        assert entry.header.to_xdr_bytes() == ledger.header
        assert entry.header.ledger_seq.uint32 == ledger.sequence
        assert entry.header.previous_ledger_hash.hash != ZERO_HASH
        if previous is not None:
            assert entry.header.previous_ledger_hash.hash == previous
        previous = entry.hash.hash


def test_the_header_holds_the_hash_of_the_results(parsed):
    for meta in parsed:
        results = xdr.TransactionResultSet([one.result for one in meta.tx_processing])
        assert sha256(results.to_xdr_bytes()).digest() == meta.ledger_header.header.tx_set_result_hash.hash


def test_consensus_holds_the_hash_of_the_transaction_set_and_a_signature(parsed, simulation):
    for meta in parsed:
        value = meta.ledger_header.header.scp_value
        assert sha256(meta.tx_set.to_xdr_bytes()).digest() == value.tx_set_hash.hash
        assert meta.tx_set.v1_tx_set.previous_ledger_hash == meta.ledger_header.header.previous_ledger_hash
        signature = value.ext.lc_value_signature
        node = Keypair.from_raw_ed25519_public_key(signature.node_id.node_id.ed25519.uint256)
        network = sha256(simulation.config.passphrase.encode()).digest()
        kind = xdr.EnvelopeType.ENVELOPE_TYPE_SCPVALUE.to_xdr_bytes()
        signed = network + kind + value.tx_set_hash.hash + value.close_time.to_xdr_bytes()
        node.verify(signed, signature.signature.signature)


def test_transactions_stand_in_the_set_by_their_hash(parsed):
    for meta in parsed:
        for phase in meta.tx_set.v1_tx_set.phases:
            if phase.v == 0:
                groups = [component.txs_maybe_discounted_fee.txs for component in phase.v0_components]
            else:
                stages = phase.parallel_txs_component.execution_stages
                groups = [c.dependent_tx_cluster for s in stages for c in s.parallel_tx_execution_stage]
            for group in groups:
                hashes = [sha256(tx.to_xdr_bytes()).digest() for tx in group]
                assert hashes == sorted(hashes)


def test_successful_calls_hold_the_hash_of_their_value_and_events(parsed):
    checked = 0
    for meta in parsed:
        for one in meta.tx_processing:
            applied = one.tx_apply_processing.v4
            for operation in operation_results(one.result.result):
                result = operation.tr.invoke_host_function_result
                if result is None or result.success is None:
                    continue
                events = applied.operations[0].events
                image = xdr.InvokeHostFunctionSuccessPreImage(applied.soroban_meta.return_value, events)
                assert sha256(image.to_xdr_bytes()).digest() == result.success.hash
                checked += 1
    assert checked > 300


def test_transaction_hashes_and_signatures_are_those_of_the_network(parsed, simulation):
    passphrase = simulation.config.passphrase
    bumped = 0
    for meta in parsed[:60]:
        wanted = {one.result.transaction_hash.hash for one in meta.tx_processing}
        found = set()
        for raw in envelopes(meta):
            bump = raw.type == xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP
            kind = FeeBumpTransactionEnvelope if bump else TransactionEnvelope
            envelope = kind.from_xdr(raw.to_xdr(), passphrase)
            found.add(envelope.hash())
            layers = [envelope]
            if bump:
                bumped += 1
                layers.append(envelope.transaction.inner_transaction_envelope)
            for layer in layers:
                source = layer.transaction.fee_source if layer is envelope and bump else layer.transaction.source
                keys = Keypair.from_public_key(source.account_id)
                assert layer.signatures[0].signature_hint == keys.signature_hint()
                keys.verify(layer.hash(), layer.signatures[0].signature)
        assert found == wanted
    assert bumped > 5


def test_fee_bumps_are_known_by_their_outer_hash(parsed):
    found = 0
    for meta in parsed:
        for one in meta.tx_processing:
            result = one.result.result.result
            if result.code in BUMPED:
                assert result.inner_result_pair.transaction_hash != one.result.transaction_hash
                found += 1
    assert found > 20


def test_every_transaction_has_a_fee_event_and_failed_ones_no_others(parsed):
    outcomes = Counter()
    for meta in parsed:
        for one in meta.tx_processing:
            applied = one.tx_apply_processing.v4
            stages = [event.stage.name.removeprefix("TRANSACTION_EVENT_STAGE_") for event in applied.events]
            assert stages in (["BEFORE_ALL_TXS"], ["BEFORE_ALL_TXS", "AFTER_ALL_TXS"])
            succeeded = one.result.result.result.code in (SUCCESS, BUMPED[0])
            outcomes[succeeded, applied.soroban_meta is not None] += 1
            assert len(applied.operations) == (len(operation_results(one.result.result)) if succeeded else 0)
            if not succeeded and applied.soroban_meta is not None:
                assert applied.soroban_meta.return_value is None
                assert len(applied.diagnostic_events) >= 2
                assert not any(event.in_successful_contract_call for event in applied.diagnostic_events)
    assert all(outcomes[succeeded, soroban] > 3 for succeeded in (True, False) for soroban in (True, False))


def test_failed_calls_have_contract_events_among_their_diagnostics(parsed):
    kinds = Counter(
        event.event.type.name
        for meta in parsed
        for one in meta.tx_processing
        for event in one.tx_apply_processing.v4.diagnostic_events
    )
    assert kinds["CONTRACT"] > 0
    assert kinds["DIAGNOSTIC"] > kinds["CONTRACT"]


def test_fees_add_up(parsed):
    pool = 0
    for meta in parsed:
        for one in meta.tx_processing:
            amounts = [
                event.event.body.v0.data.i128.hi.int64 << 64 | event.event.body.v0.data.i128.lo.uint64
                for event in one.tx_apply_processing.v4.events
            ]
            assert sum(amounts) == one.result.result.fee_charged.int64
            assert amounts[0] > 0
            assert all(amount < 0 for amount in amounts[1:])
            pool += one.result.result.fee_charged.int64
        assert meta.ledger_header.header.fee_pool.int64 == pool


def test_each_change_of_an_account_begins_where_the_one_before_ended(parsed):
    entries: dict[bytes, xdr.LedgerEntry] = {}
    for meta in parsed:
        changes = [change for one in meta.tx_processing for change in one.fee_processing.ledger_entry_changes]
        for one in meta.tx_processing:
            changes += one.tx_apply_processing.v4.tx_changes_before.ledger_entry_changes
            for operation in one.tx_apply_processing.v4.operations:
                changes += operation.changes.ledger_entry_changes
        for one in meta.tx_processing:
            changes += one.post_tx_apply_fee_processing.ledger_entry_changes
        for change in changes:
            entry = change.state or change.updated
            account = entry.data.account.account_id.account_id.ed25519.uint256
            if change.state is None:
                entries[account] = entry
            else:
                assert entry == entries.setdefault(account, entry)


def expected_events(meta: xdr.LedgerCloseMetaV2) -> list[EventRecord]:
    """Take a ledger's events out of its meta by the rules of stellar-rpc since v23, with the SDK alone."""
    header = meta.ledger_header.header
    sequence, closed_at = header.ledger_seq.uint32, header.scp_value.close_time.time_point.uint64
    stages: dict[str, list] = {"BEFORE_ALL_TXS": [], "AFTER_ALL_TXS": []}
    operations = []
    for order, one in enumerate(meta.tx_processing, 1):
        tx_hash = one.result.transaction_hash.hash.hex()
        for event in one.tx_apply_processing.v4.events:
            stages[event.stage.name.removeprefix("TRANSACTION_EVENT_STAGE_")].append((tx_hash, event.event))
        for index, operation in enumerate(one.tx_apply_processing.v4.operations):
            for counter, event in enumerate(operation.events):
                operations.append((EventId(sequence, order, index, counter), tx_hash, event))
    rows = [
        *((EventId(sequence, 0, 0, k), *pair) for k, pair in enumerate(stages["BEFORE_ALL_TXS"])),
        *operations,
        *((EventId(sequence, 0xFFFFF, 0, k), *pair) for k, pair in enumerate(stages["AFTER_ALL_TXS"])),
    ]
    return [
        EventRecord(
            str(event_id),
            event.type.name.lower(),
            StrKey.encode_contract(event.contract_id.contract_id.hash),
            tx_hash,
            closed_at,
            tuple(topic.to_xdr() for topic in event.body.v0.topics),
            event.body.v0.data.to_xdr(),
        )
        for event_id, tx_hash, event in rows
    ]


def test_events_are_exactly_those_of_the_meta_with_the_ids_of_stellar_rpc(ledgers, parsed):
    for ledger, meta in zip(ledgers, parsed, strict=True):
        assert list(ledger.events) == expected_events(meta)


def test_ids_grow_through_the_whole_history(ledgers):
    ids = [event.id for ledger in ledgers for event in ledger.events]
    assert ids == sorted(set(ids))
    for ledger in ledgers:
        assert all(parse_event_id(event.id).ledger == ledger.sequence for event in ledger.events)


def test_classic_transactions_come_first(parsed):
    for meta in parsed:
        soroban = [one.tx_apply_processing.v4.soroban_meta is not None for one in meta.tx_processing]
        assert soroban == sorted(soroban)


def test_there_is_something_of_everything(ledgers, contract_names):
    names = Counter(contract_names(event.contract_id) for ledger in ledgers for event in ledger.events)
    assert set(names) == set(CONFIG_NAMES)
    system = [event for ledger in ledgers for event in ledger.events if event.type == "system"]
    assert system
    topicless = {contract_names(e.contract_id) for ledger in ledgers for e in ledger.events if not e.topics}
    assert topicless == {"silent"}


CONFIG_NAMES = (
    "streams-v1",
    "streams-v1-older",
    "streams-v2",
    "token-xlm",
    "token-usdc",
    "token-nova",
    "counter",
    "airdrop",
    "oddities",
    "silent",
)


def test_contract_ids_are_derived_as_the_network_derives_them(simulation):
    passphrase = simulation.config.passphrase
    contracts = simulation.contracts
    assert contracts["token-xlm"] == Asset.native().contract_id(passphrase)
    assert contracts["token-usdc"] == Asset("USDC", simulation.world.issuer).contract_id(passphrase)
    assert len(set(contracts.values())) == len(contracts)


def test_asset_events_name_the_asset_last(ledgers, simulation):
    usdc = xdr.SCVal(xdr.SCValType.SCV_STRING, str=xdr.SCString(f"USDC:{simulation.world.issuer}".encode())).to_xdr()
    found = [e for ledger in ledgers for e in ledger.events if e.contract_id == simulation.contracts["token-usdc"]]
    assert found
    assert all(event.topics[-1] == usdc for event in found)


@pytest.mark.parametrize("events", [1, 4000])
def test_a_transaction_can_be_asked_for_any_number_of_events(events):
    simulation, _ = closed(SandboxConfig(ledgers=1, genesis_time=GENESIS_TIME, transactions=0, live=False))
    ledger = simulation.close_ledger(burst_events=events)
    meta = xdr.LedgerCloseMeta.from_xdr_bytes(ledger.meta).v2
    assert list(ledger.events) == expected_events(meta)
    assert sum(event.contract_id == simulation.contracts["airdrop"] for event in ledger.events) == events
    assert len(meta.tx_processing) == 1


def test_bursts_come_when_the_config_says(ledgers):
    most = [
        ledger.sequence for ledger in ledgers if any(len(tx.events[0]) > 30 for tx in ledger.transactions if tx.events)
    ]
    assert most == [50, 100, 150]
    assert CONFIG.burst_every == 50


def test_some_transactions_have_several_operations_and_one_that_fails_undoes_the_others(parsed, ledgers):
    several = []
    for meta in parsed:
        for one in meta.tx_processing:
            results = [result.tr.payment_result for result in operation_results(one.result.result)]
            if len(results) > 1:
                outcomes = [result.code is xdr.PaymentResultCode.PAYMENT_SUCCESS for result in results]
                applied = one.tx_apply_processing.v4
                assert [len(operation.events) for operation in applied.operations] == [1] * sum(outcomes) * all(
                    outcomes
                )
                several.append((meta.ledger_header.header.ledger_seq.uint32, outcomes))
    assert several == [
        (33, [True] * 7),
        (66, [True] * 6 + [False]),
        (99, [True] * 7),
        (132, [True] * 6 + [False]),
    ]
    places = [parse_event_id(event.id) for ledger in ledgers if ledger.sequence == 33 for event in ledger.events]
    assert {place.op for place in places} == set(range(7))


def test_there_are_ledgers_without_a_transaction(parsed):
    quiet = [meta.ledger_header.header.ledger_seq.uint32 for meta in parsed if not meta.tx_processing]
    assert quiet == [41, 82, 123]


def test_a_ledger_may_be_empty():
    _, ledgers = closed(SandboxConfig(ledgers=3, genesis_time=GENESIS_TIME, transactions=0, burst_every=0))
    for ledger in ledgers:
        assert not ledger.events
        assert xdr.LedgerCloseMeta.from_xdr_bytes(ledger.meta).v2.tx_processing == []
