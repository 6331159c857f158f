"""Proofs: real ledgers hold, and whatever is changed in them is caught and named."""

import json
from base64 import b64decode
from hashlib import sha256

import pytest
from stellar_sdk import Keypair, scval, xdr

from stellarstream_core.certificates import Breach, Doubt, Flavour
from stellarstream_core.errors import ProofFailedError
from stellarstream_core.xdr.ledger import (
    Ledger,
    LedgerHeader,
    ledger_events,
    read_bare_header,
    read_ledger,
    read_transaction,
)
from stellarstream_core.xdr.ledger_walk import PROTOCOL
from stellarstream_core.xdr.proof import RECONCILED, prove, unhashed_events
from tests.core import ledger_oracle as oracle
from tests.paths import fixture

SOROBAN = 63092996
NETWORK = sha256(oracle.PUBNET.encode()).digest()


def small(meta_version=4):
    """Return a few real transactions of a pubnet ledger, sealed, as stellar_sdk's objects."""
    return oracle.decode(oracle.small_ledger(meta_version))


def breach(ledger, network_id=None):
    """Return the error that proving raises."""
    meta = ledger if isinstance(ledger, bytes) else ledger.to_xdr_bytes()
    with pytest.raises(ProofFailedError) as raised:
        prove(read_ledger(meta), network_id)
    assert f"ledger {raised.value.ledger}" in str(raised.value)
    return raised.value


def invoked(ledger, at_least=1):
    """Return number and hash of a transaction with so many events under a hash."""
    for number, op, _ in oracle.invocations(ledger):
        if len(oracle.event_list(ledger, number, op)) >= at_least:
            return number, oracle.processing(ledger)[number].result.transaction_hash.hash.hex()
    raise AssertionError("no such invocation")


# --- what holds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequence", "transactions", "invocations", "unhashed", "flavour"),
    [
        (51000294, 541, 1, 968, Flavour.BACKFILLED),
        (63092988, 228, 0, 565, Flavour.V4_CLASSIC),
        (63092996, 250, 4, 676, Flavour.V4_CLASSIC),
    ],
)
def test_a_pubnet_ledger_proves_itself(sequence, transactions, invocations, unhashed, flavour):
    ledger = read_ledger(oracle.pubnet_ledger(sequence))
    certificate = prove(ledger, NETWORK)

    assert certificate == prove(ledger)
    header = oracle.content(oracle.decode(oracle.pubnet_ledger(sequence))).ledger_header
    assert certificate.sequence == sequence
    assert certificate.hash == header.hash.hash.hex()
    assert certificate.previous_hash == header.header.previous_ledger_hash.hash.hex()
    assert certificate.close_time == header.header.scp_value.close_time.time_point.uint64
    assert (certificate.transactions, certificate.invocations) == (transactions, invocations)
    assert certificate.proven_invocations == invocations
    assert certificate.unhashed_events == unhashed
    assert certificate.flavour is flavour
    assert certificate.doubts == frozenset()
    assert certificate.proven
    assert unhashed_events(ledger, ledger_events(ledger, None)) == unhashed


@pytest.mark.parametrize("meta_version", [3, 4])
def test_a_small_ledger_holds_so_that_the_tests_below_break_only_what_they_say(meta_version):
    certificate = prove(read_ledger(oracle.small_ledger(meta_version)))
    assert (certificate.invocations, certificate.proven_invocations) == (4, 4)
    assert certificate.flavour is (Flavour.V3 if meta_version == 3 else Flavour.V4_CLASSIC)
    assert certificate.doubts == frozenset()


def test_a_ledger_put_together_from_single_transactions_proves_itself():
    whole = small()
    header = oracle.content(whole).ledger_header
    transactions = [
        read_transaction(
            one.result.transaction_hash.hash,
            one.result.result.to_xdr_bytes(),
            one.tx_apply_processing.to_xdr_bytes(),
            SOROBAN,
        )
        for one in oracle.processing(whole)
    ]
    ledger = Ledger(read_bare_header(header.header.to_xdr_bytes(), header.hash.hash), None, transactions)
    assert prove(ledger) == prove(read_ledger(oracle.small_ledger()))


def test_recorded_transactions_have_the_events_that_their_results_commit_to():
    """Answers of getTransactions, without the ledger around them: its part of the proof is made up here."""
    examples = json.loads(fixture("rpc/openrpc-examples-Transactions.json").read_text())
    records = {one["txHash"]: one for one in _transactions(examples)}
    transactions = [
        read_transaction(bytes.fromhex(tx_hash), b64decode(one["resultXdr"]), b64decode(one["resultMetaXdr"]), 1)
        for tx_hash, one in records.items()
    ]
    pairs = b"".join(one.hash + one.result for one in transactions)
    results = sha256(len(transactions).to_bytes(4, "big") + pairs).digest()
    header = LedgerHeader(1, 23, 0, bytes(32), results, b"", sha256(b"").digest())
    certificate = prove(Ledger(header, None, transactions))

    assert certificate.invocations == certificate.proven_invocations == 4


def _transactions(found):
    if isinstance(found, dict):
        if {"txHash", "resultXdr", "resultMetaXdr"} <= found.keys():
            yield found
        found = list(found.values())
    if isinstance(found, list):
        for below in found:
            yield from _transactions(below)


def test_the_results_of_fee_bumps_are_looked_into():
    ledger = small()
    number, _ = invoked(ledger)
    pair = oracle.processing(ledger)[number].result
    if pair.result.result.inner_result_pair is None:
        code = xdr.TransactionResultCode.txSUCCESS
        inner = xdr.InnerTransactionResult(
            xdr.Int64(0),
            xdr.InnerTransactionResultResult(code, pair.result.result.results),
            xdr.InnerTransactionResultExt(0),
        )
        pair.result.result = xdr.TransactionResultResult(
            xdr.TransactionResultCode.txFEE_BUMP_INNER_SUCCESS,
            inner_result_pair=xdr.InnerTransactionResultPair(xdr.Hash(bytes(32)), inner),
        )
    assert prove(read_ledger(oracle.seal(ledger))).proven_invocations == 4
    oracle.event_list(ledger, number).pop()
    assert breach(ledger).breach is Breach.EVENTS


# --- what is caught -------------------------------------------------------------------------


@pytest.mark.parametrize("meta_version", [3, 4])
def test_any_changed_byte_of_an_invocations_event_is_caught(meta_version):
    ledger = small(meta_version)
    number, tx_hash = invoked(ledger)
    event = oracle.event_list(ledger, number)[0].to_xdr_bytes()
    meta = ledger.to_xdr_bytes()
    place = meta.index(event)
    walked = 0
    for offset in range(len(event)):
        changed = meta[: place + offset] + bytes((meta[place + offset] ^ 1,)) + meta[place + offset + 1 :]
        try:
            ledger = read_ledger(changed)
        except Exception:
            continue
        walked += 1
        with pytest.raises(ProofFailedError, match=f"transaction {tx_hash}") as raised:
            prove(ledger)
        assert raised.value.breach is Breach.EVENTS
    assert walked > len(event) // 2


@pytest.mark.parametrize("meta_version", [3, 4])
def test_a_dropped_added_or_moved_event_is_caught(meta_version):
    def drop_first(events):
        del events[0]

    def drop_last(events):
        del events[-1]

    def double(events):
        events.append(events[-1])

    def drop_all(events):
        events.clear()

    for change in (drop_first, drop_last, double, drop_all, list.reverse):
        ledger = small(meta_version)
        number, tx_hash = invoked(ledger, 2)
        change(oracle.event_list(ledger, number))
        error = breach(ledger)
        assert error.breach is Breach.EVENTS
        assert tx_hash in str(error)


def test_events_given_to_a_transaction_or_an_operation_that_cannot_have_any_are_caught():
    ledger = small()
    number, _ = invoked(ledger)
    event = oracle.event_list(ledger, number)[0]
    failed = next(
        number
        for number, one in enumerate(oracle.processing(ledger))
        if one.result.result.result.code is xdr.TransactionResultCode.txFAILED
    )
    oracle.processing(ledger)[failed].tx_apply_processing.v4.operations = [
        xdr.OperationMetaV2(xdr.ExtensionPoint(0), xdr.LedgerEntryChanges([]), [event])
    ]
    error = breach(ledger)
    assert error.breach is Breach.EVENTS
    assert oracle.processing(ledger)[failed].result.transaction_hash.hash.hex() in str(error)

    ledger = small()
    operations = oracle.processing(ledger)[number].tx_apply_processing.v4.operations
    operations.append(xdr.OperationMetaV2(xdr.ExtensionPoint(0), xdr.LedgerEntryChanges([]), [event]))
    assert breach(ledger).breach is Breach.EVENTS


def test_a_changed_return_value_is_caught():
    ledger = small()
    number, tx_hash = invoked(ledger)
    oracle.processing(ledger)[number].tx_apply_processing.v4.soroban_meta.return_value = scval.to_uint32(7)
    error = breach(ledger)
    assert error.breach is Breach.EVENTS
    assert tx_hash in str(error)


@pytest.mark.parametrize("part", ["soroban meta", "return value", "operations"])
def test_an_invocation_without_its_meta_is_caught(part):
    ledger = small()
    number, tx_hash = invoked(ledger)
    meta = oracle.processing(ledger)[number].tx_apply_processing.v4
    if part == "soroban meta":
        meta.soroban_meta = None
    elif part == "return value":
        meta.soroban_meta.return_value = None
    else:
        meta.operations = []
    error = breach(ledger)
    assert error.breach is Breach.META
    assert tx_hash in str(error)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_empty_meta_of_a_server_that_skips_it_is_caught(version):
    """Horizon with SKIP_TXMETA at ingestion keeps an empty meta."""
    ledger = small()
    _, tx_hash = invoked(ledger)
    none = xdr.LedgerEntryChanges([])
    point = xdr.ExtensionPoint(0)
    empty = {
        2: lambda: xdr.TransactionMeta(2, v2=xdr.TransactionMetaV2(none, [], none)),
        3: lambda: xdr.TransactionMeta(3, v3=xdr.TransactionMetaV3(point, none, [], none, None)),
        4: lambda: xdr.TransactionMeta(4, v4=xdr.TransactionMetaV4(point, none, [], none, None, [], [])),
    }[version]
    for one in oracle.processing(ledger):
        one.tx_apply_processing = empty()
    error = breach(ledger)
    assert error.breach is Breach.META
    assert tx_hash in str(error)


def test_a_transaction_that_is_dropped_doubled_or_moved_is_caught():
    def drop(processing):
        del processing[3]

    def drop_last(processing):
        processing.pop()

    def double(processing):
        processing.insert(5, processing[5])

    def swap(processing):
        processing[1], processing[2] = processing[2], processing[1]

    for change in (drop, drop_last, double, swap, list.clear, list.reverse):
        ledger = small()
        change(oracle.processing(ledger))
        error = breach(ledger)
        assert error.breach is Breach.RESULTS
        assert error.ledger == SOROBAN


@pytest.mark.parametrize("sequence", oracle.PUBNET_LEDGERS)
def test_a_transaction_dropped_from_a_whole_pubnet_ledger_is_caught(sequence):
    ledger = read_ledger(oracle.pubnet_ledger(sequence))
    for number in (0, 57, len(ledger.transactions) - 1):
        rest = [*ledger.transactions[:number], *ledger.transactions[number + 1 :]]
        with pytest.raises(ProofFailedError, match=f"ledger {sequence}: the results of its {len(rest)}") as raised:
            prove(Ledger(ledger.header, ledger.version, rest))
        assert raised.value.breach is Breach.RESULTS


def test_a_changed_result_is_caught():
    for change in ("fee", "hash", "code"):
        ledger = small()
        pair = oracle.processing(ledger)[4].result
        if change == "fee":
            pair.result.fee_charged = xdr.Int64(pair.result.fee_charged.int64 + 1)
        elif change == "hash":
            pair.transaction_hash = xdr.Hash(bytes(32))
        else:
            pair.result.result = xdr.TransactionResultResult(xdr.TransactionResultCode.txBAD_SEQ)
        assert breach(ledger).breach is Breach.RESULTS


def test_an_events_hash_made_to_fit_is_caught_one_link_further_up():
    """Whoever changes an event has to change the result, then the header, and then its hash is another one."""
    ledger = small()
    original = oracle.content(ledger).ledger_header.hash.hash
    number, op, result = oracle.invocations(ledger)[0]
    oracle.event_list(ledger, number, op).append(oracle.contract_event(None, [], scval.to_void()))
    assert breach(ledger).breach is Breach.EVENTS
    result.success = xdr.Hash(
        oracle.success_hash(oracle.return_value(ledger, number), oracle.event_list(ledger, number, op))
    )
    assert breach(ledger).breach is Breach.RESULTS
    oracle.seal_results(ledger)
    oracle.content(ledger).ledger_header.hash = xdr.Hash(original)
    assert breach(ledger).breach is Breach.HEADER
    assert prove(read_ledger(oracle.seal_header(ledger))).hash != original.hex()


def test_any_changed_byte_of_the_header_is_caught():
    meta = oracle.small_ledger()
    header = read_ledger(meta).header
    place = meta.index(header.xdr)
    for offset in range(0, len(header.xdr), 3):
        changed = bytearray(meta)
        changed[place + offset] ^= 0x10
        try:
            ledger = read_ledger(bytes(changed))
        except Exception:
            continue
        with pytest.raises(ProofFailedError) as raised:
            prove(ledger)
        assert raised.value.breach is Breach.HEADER


def strangers_event():
    contract = xdr.ContractID(xdr.Hash(b"stranger" * 4))
    topics = [scval.to_symbol("created"), scval.to_string(oracle.USDC_NAME)]
    return oracle.contract_event(contract, topics, scval.to_int128(1_000_000))


def slip_in(ledger, place):
    """Put an event of some contract where no hash covers it; return the transaction's hash."""
    invocations = {(number, op) for number, op, _ in oracle.invocations(ledger)}
    for number, one in enumerate(oracle.processing(ledger)):
        meta = one.tx_apply_processing.v4
        if place == "fee":
            meta.events.append(xdr.TransactionEvent(xdr.TransactionEventStage(1), strangers_event()))
        elif meta.operations and (number, 0) not in invocations:
            meta.operations[0].events.append(strangers_event())
        else:
            continue
        return one.result.transaction_hash.hash.hex()
    raise AssertionError("no such transaction")


@pytest.mark.parametrize("place", ["fee", "operation"])
def test_an_event_of_another_contract_cannot_hide_where_no_hash_covers_events(place):
    ledger = small()
    tx_hash = slip_in(ledger, place)
    error = breach(ledger, NETWORK)
    assert error.breach is Breach.EVENTS
    assert f"transaction {tx_hash}: it has an event outside of invocations" in str(error)

    unknown_network = prove(read_ledger(ledger.to_xdr_bytes()))
    assert unknown_network.unhashed_events == prove(read_ledger(oracle.small_ledger())).unhashed_events + 1


def test_what_a_newer_protocol_may_have_outside_of_invocations_is_only_counted():
    ledger = small()
    slip_in(ledger, "operation")
    oracle.header(ledger).ledger_version = xdr.Uint32(PROTOCOL + 1)
    certificate = prove(read_ledger(oracle.seal(ledger)), NETWORK)
    assert certificate.unhashed_events == prove(read_ledger(oracle.small_ledger())).unhashed_events + 1


# --- flavours -------------------------------------------------------------------------------


def without_classic_events(ledger):
    """Return what a node without EMIT_CLASSIC_EVENTS has of the same ledger."""
    invocations = {(number, op) for number, op, _ in oracle.invocations(ledger)}
    for number, one in enumerate(oracle.processing(ledger)):
        one.tx_apply_processing.v4.events = []
        for op, operation in enumerate(one.tx_apply_processing.v4.operations):
            if (number, op) not in invocations:
                operation.events = []
    return ledger.to_xdr_bytes()


def test_a_ledger_made_without_classic_events_holds_and_says_so():
    ledger = read_ledger(without_classic_events(small()))
    certificate = prove(ledger)
    assert certificate.flavour is Flavour.V4
    assert certificate.doubts == {Doubt.CLASSIC_EVENTS_OFF}
    assert certificate.proven
    assert certificate.unhashed_events == unhashed_events(ledger, ledger_events(ledger, None)) == 0
    whole = read_ledger(oracle.small_ledger())
    assert set(ledger_events(ledger, None)) < set(ledger_events(whole, None))


def test_one_missing_fee_event_is_enough_to_doubt_classic_events():
    ledger = small()
    oracle.processing(ledger)[2].tx_apply_processing.v4.events = []
    assert Doubt.CLASSIC_EVENTS_OFF in prove(read_ledger(ledger.to_xdr_bytes())).doubts


def test_a_transaction_that_paid_nothing_needs_no_fee_event():
    ledger = small()
    one = oracle.processing(ledger)[2]
    one.tx_apply_processing.v4.events = []
    one.result.result.fee_charged = xdr.Int64(0)
    assert prove(read_ledger(oracle.seal(ledger))).flavour is Flavour.V4_CLASSIC


def test_the_flavours_of_stellar_cores_own_ledgers():
    found = set()
    for ledgers in oracle.shapes().values():
        for meta in ledgers[-1:]:
            ledger = read_ledger(meta)
            flavour = prove(ledger).flavour
            versions = {one.meta_version for one in ledger.transactions}
            assert (flavour is Flavour.V3) == (versions == {3})
            assert (flavour is Flavour.V2) == bool(versions and versions <= {0, 1, 2})
            if not versions:
                assert flavour is Flavour.UNKNOWN
            found.add(flavour)
    assert found >= {Flavour.UNKNOWN, Flavour.V3, Flavour.V4, Flavour.V4_CLASSIC}


# --- reconciled ledgers ---------------------------------------------------------------------


def reconciled(sequence, extra):
    """Return a sealed ledger to which events were put in front of an invocation's afterwards."""
    ledger = small()
    oracle.header(ledger).ledger_seq = xdr.Uint32(sequence)
    oracle.seal(ledger)
    number, tx_hash = invoked(ledger, 2)
    oracle.event_list(ledger, number)[:0] = extra
    return ledger.to_xdr_bytes(), tx_hash


def reconciling(name):
    contract = oracle.asset_contract(oracle.USDC)
    holder = scval.to_address(Keypair.random().public_key)
    topics = [scval.to_symbol(name), holder, scval.to_string(str(oracle.USDC_NAME))]
    return oracle.contract_event(contract, topics, scval.to_int128(5))


@pytest.mark.parametrize("sequence", [RECONCILED[0], RECONCILED[-1]])
@pytest.mark.parametrize("extra", [1, 3])
def test_reconciling_events_in_front_are_doubted_and_not_proven(sequence, extra):
    meta, _ = reconciled(sequence, [reconciling("mint"), reconciling("burn"), reconciling("mint")][:extra])
    certificate = prove(read_ledger(meta), NETWORK)
    assert certificate.doubts == {Doubt.RECONCILED}
    assert certificate.proven_invocations == certificate.invocations - 1
    assert not certificate.proven


@pytest.mark.parametrize("sequence", [RECONCILED[0] - 1, RECONCILED[-1] + 1])
def test_reconciling_events_in_any_other_ledger_are_caught(sequence):
    meta, tx_hash = reconciled(sequence, [reconciling("mint")])
    error = breach(meta)
    assert error.breach is Breach.EVENTS
    assert tx_hash in str(error)


def test_other_events_in_front_are_caught_in_reconciled_ledgers_too():
    meta, _ = reconciled(RECONCILED[0], [reconciling("transfer")])
    assert breach(meta).breach is Breach.EVENTS
    meta, _ = reconciled(RECONCILED[0], [reconciling("mint"), reconciling("transfer")])
    assert breach(meta).breach is Breach.EVENTS
