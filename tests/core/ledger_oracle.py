"""Ledgers as stellar_sdk decodes them, what must be read out of them, and how to change and seal them again.

Everything here works on stellar_sdk's objects; it shares nothing with the walker. The rules of ids and
hashes are written out a second time, from the same sources.
"""

import gc
import gzip
import os
import tarfile
from base64 import b64encode
from contextlib import contextmanager
from functools import cache
from hashlib import sha256

from stellar_sdk import Asset, StrKey, xdr

from stellarstream_core.events import ContractEvent, format_close_time, parse_event_id
from tests.paths import fixture

FULL = bool(os.environ.get("STELLARSTREAM_FULL_LEDGERS"))
"""Set to compare every recorded ledger with stellar_sdk, also where a part of them would do."""

PUBNET = "Public Global Stellar Network ; September 2015"
TESTNET = "Test SDF Network ; September 2015"
CORE_TESTS = "(V) (;,,;) (V)"
"""The passphrase of stellar-core's own tests."""

PUBNET_LEDGERS = (51000294, 63092988, 63092996)

_WHOLE_LEDGER = 0xFFFFF
_AFTER_TX = 0xFFF


# --- recorded ledgers -----------------------------------------------------------------------


@cache
def pubnet_ledger(sequence):
    return gzip.decompress(fixture(f"pubnet-ledgers/ledger-{sequence}.xdr.gz").read_bytes())


def expected_events(sequence):
    """Return the lines of getEvents recorded for a pubnet ledger."""
    return gzip.decompress(fixture(f"pubnet-ledgers/getEvents-expected-{sequence}.jsonl.gz").read_bytes()).splitlines()


def frames(raw):
    """Return the records of a stream: each has its length in front, with the highest bit set."""
    found = []
    place = 0
    while place < len(raw):
        head = int.from_bytes(raw[place : place + 4], "big")
        assert head >> 31
        end = place + 4 + (head & 0x7FFFFFFF)
        found.append(raw[place + 4 : end])
        place = end
    return found


@cache
def shapes():
    """Return stellar-core's own test ledgers: file name to the ledgers in it."""
    with tarfile.open(fixture("ledger-shapes/test-lcms.tar.xz")) as archive:
        members = [member for member in archive if member.isfile()]
        return {member.name: frames(archive.extractfile(member).read()) for member in members}


@cache
def load_test_ledgers():
    import zstandard

    raw = fixture("ledger-shapes/load-test-ledgers-v28.xdr.zstd").read_bytes()
    return frames(zstandard.ZstdDecompressor().decompressobj().decompress(raw))


# --- what must be read out of them ----------------------------------------------------------


@contextmanager
def no_collector():
    """Keep the cycle collector off: stellar_sdk makes so many objects that it takes half the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def decode(meta):
    with no_collector():
        return xdr.LedgerCloseMeta.from_xdr_bytes(meta)


def content(ledger):
    """Return the V0, V1 or V2 in a LedgerCloseMeta."""
    return getattr(ledger, f"v{ledger.v}")


def processing(ledger):
    return content(ledger).tx_processing


def header(ledger):
    return content(ledger).ledger_header.header


def _places(ledger):
    """Yield each event that counts: TOID transaction and operation, counter, result pair, event."""
    before = after = 0
    for order, one in enumerate(processing(ledger), 1):
        meta = one.tx_apply_processing
        operations, fees = [], []
        if meta.v == 3 and meta.v3.soroban_meta is not None:
            operations = [meta.v3.soroban_meta.events]
        elif meta.v == 4:
            operations, fees = [operation.events for operation in meta.v4.operations], meta.v4.events
        for op, events in enumerate(operations):
            for k, event in enumerate(events):
                yield order, op, k, one.result, event
        after_tx = 0
        for fee in fees:
            match fee.stage.name:
                case "TRANSACTION_EVENT_STAGE_BEFORE_ALL_TXS":
                    yield 0, 0, before, one.result, fee.event
                    before += 1
                case "TRANSACTION_EVENT_STAGE_AFTER_ALL_TXS":
                    yield _WHOLE_LEDGER, 0, after, one.result, fee.event
                    after += 1
                case "TRANSACTION_EVENT_STAGE_AFTER_TX":
                    yield order, _AFTER_TX, after_tx, one.result, fee.event
                    after_tx += 1


def events(ledger):
    """Return the ContractEvents of stellar_sdk's LedgerCloseMeta, in id order."""
    found = []
    sequence = header(ledger).ledger_seq.uint32
    closed_at = header(ledger).scp_value.close_time.time_point.uint64
    for tx, op, k, pair, event in _places(ledger):
        if event.type.name == "DIAGNOSTIC":
            continue
        field = {0: 0x2000, _WHOLE_LEDGER: 0x4000}.get(tx, op)
        contract = event.contract_id
        found.append(
            ContractEvent(
                f"{(sequence << 32) + (tx << 12) + op:019d}-{k:010d}",
                sequence,
                closed_at,
                pair.transaction_hash.hash.hex(),
                (field << 32) + k,
                None if contract is None else StrKey.encode_contract(contract.contract_id.hash),
                event.type.name.lower(),
                tuple(topic.to_xdr_bytes() for topic in event.body.v0.topics),
                event.body.v0.data.to_xdr_bytes(),
            )
        )
    return sorted(found)


def rpc_event(event):
    """Return an event as a recorded line of getEvents has it."""
    place = parse_event_id(event.id)
    return {
        "type": event.type,
        "ledger": event.ledger,
        "ledgerClosedAt": format_close_time(event.closed_at),
        "contractId": event.contract_id or "",
        "id": event.id,
        "operationIndex": place.op,
        "transactionIndex": place.tx,
        "txHash": event.tx_hash,
        "topic": [b64encode(topic).decode() for topic in event.topics],
        "value": b64encode(event.value).decode(),
    }


# --- changing them --------------------------------------------------------------------------


def operation_results(pair):
    """Return the results of a transaction's operations, also of one inside a fee bump."""
    result = pair.result.result
    if result.inner_result_pair is not None:
        result = result.inner_result_pair.result.result
    return result.results or []


def invocations(ledger):
    """Return (transaction number from 0, operation, InvokeHostFunctionResult) of each successful invocation."""
    found = []
    for number, one in enumerate(processing(ledger)):
        if one.result.result.result.code.value not in (0, 1):
            continue
        for op, result in enumerate(operation_results(one.result)):
            invoked = None if result.tr is None else result.tr.invoke_host_function_result
            if invoked is not None and invoked.success is not None:
                found.append((number, op, invoked))
    return found


def event_list(ledger, number, op=0):
    """Return the list in which the events of a transaction's operation are kept."""
    meta = processing(ledger)[number].tx_apply_processing
    return meta.v3.soroban_meta.events if meta.v == 3 else meta.v4.operations[op].events


def return_value(ledger, number):
    meta = processing(ledger)[number].tx_apply_processing
    return (meta.v3 if meta.v == 3 else meta.v4).soroban_meta.return_value


def success_hash(value, found):
    image = xdr.InvokeHostFunctionSuccessPreImage(value, list(found))
    return sha256(image.to_xdr_bytes()).digest()


def seal(ledger):
    """Make all hashes of a changed ledger fit again, from its events up to its header."""
    for number, op, invoked in invocations(ledger):
        invoked.success = xdr.Hash(success_hash(return_value(ledger, number), event_list(ledger, number, op)))
    return seal_results(ledger)


def seal_results(ledger):
    pairs = xdr.TransactionResultSet([one.result for one in processing(ledger)])
    header(ledger).tx_set_result_hash = xdr.Hash(sha256(pairs.to_xdr_bytes()).digest())
    return seal_header(ledger)


def seal_header(ledger):
    content(ledger).ledger_header.hash = xdr.Hash(sha256(header(ledger).to_xdr_bytes()).digest())
    return ledger.to_xdr_bytes()


@cache
def small_ledger(meta_version=4):
    """Return a ledger of some real transactions out of a pubnet ledger, sealed: four invocations, failed ones, others.

    With ``meta_version`` 3 it is as a node of protocol 22 would have made it.
    """
    ledger = decode(pubnet_ledger(63092996))
    whole = content(ledger)
    invoked = {number for number, _, _ in invocations(ledger)}
    failed = [
        number for number, one in enumerate(processing(ledger)) if one.result.result.result.code.name == "txFAILED"
    ]
    chosen = sorted({*invoked, *failed[:4], *range(6)})
    whole.tx_processing = [whole.tx_processing[number] for number in chosen]
    for one in whole.tx_processing:
        # Entries and the transaction set are another matter; without them stellar_sdk is quick.
        meta = one.tx_apply_processing.v4
        none = xdr.LedgerEntryChanges([])
        one.fee_processing = meta.tx_changes_before = meta.tx_changes_after = none
        for operation in meta.operations:
            operation.changes = none
        meta.diagnostic_events = []
        if meta_version == 3:
            soroban = None
            if meta.soroban_meta is not None:
                value = meta.soroban_meta.return_value or xdr.SCVal(xdr.SCValType.SCV_VOID)
                found = [event for operation in meta.operations for event in operation.events]
                soroban = xdr.SorobanTransactionMeta(meta.soroban_meta.ext, found, value, [])
            changes = [xdr.OperationMeta(none) for _ in meta.operations]
            one.tx_apply_processing = xdr.TransactionMeta(
                3, v3=xdr.TransactionMetaV3(xdr.ExtensionPoint(0), none, changes, none, soroban)
            )
    whole.tx_set = xdr.GeneralizedTransactionSet.from_xdr_bytes((1).to_bytes(4, "big") + bytes(36))
    if meta_version == 3:
        header(ledger).ledger_version = xdr.Uint32(22)
    return seal(ledger)


# --- asset contracts ------------------------------------------------------------------------


USDC_NAME = "USDC:GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"
USDC = Asset(*USDC_NAME.split(":"))


def asset_contract(asset, passphrase=PUBNET):
    return xdr.ContractID(xdr.Hash(StrKey.decode_contract(asset.contract_id(passphrase))))


def contract_event(contract, topics, data):
    body = xdr.ContractEventBody(0, xdr.ContractEventV0(topics, data))
    return xdr.ContractEvent(xdr.ExtensionPoint(0), contract, xdr.ContractEventType.CONTRACT, body)


def rewritten(event):
    """Return an asset contract's event as BACKFILL_STELLAR_ASSET_EVENTS writes it: in the form of protocol 23."""
    from stellar_sdk import scval

    topics = list(event.body.v0.topics)
    if topics[-1].str is None:
        return event
    name = scval.from_symbol(topics[0])
    issuer = scval.from_string(topics[-1]).decode().partition(":")[2]
    if name == "transfer":
        source, target = (scval.from_address(topic).address for topic in topics[1:3])
        if (source == issuer) != (target == issuer):
            topics[0] = scval.to_symbol("mint" if source == issuer else "burn")
            del topics[1 if source == issuer else 2]
    elif name in ("mint", "clawback", "set_authorized"):
        del topics[1]
    return contract_event(event.contract_id, topics, event.body.v0.data)
