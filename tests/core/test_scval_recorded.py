"""Every ScVal of the recorded ledger data decodes as stellar_sdk has it and encodes to the same bytes."""

import gzip
import json
from base64 import b64decode
from collections import Counter

import pytest
from stellar_sdk import xdr

from stellarstream_core.xdr.scval import Arm, decode_native, decode_scval, encode_scval, scval_to_json
from tests.core import scval_oracle as oracle
from tests.paths import fixture


def check(raws):
    """Compare every view of every ScVal with stellar_sdk's reading; return how often each arm stands outermost."""
    arms = Counter()
    for raw in set(raws):
        theirs = xdr.SCVal.from_xdr_bytes(raw)
        value = decode_scval(raw)
        assert value == oracle.typed(theirs)
        assert encode_scval(value) == raw
        assert decode_native(raw) == oracle.native(theirs)
        assert scval_to_json(raw) == oracle.json_of(theirs)
        arms[value.arm] += 1
    return arms


def of_event(event):
    """Yield the ScVals of an event as an RPC answers it; one without topics has no ``topic``."""
    for text in [*event.get("topic", ()), event["value"]]:
        yield b64decode(text, validate=True)


def inside(found):
    """Yield the XDR of every ScVal anywhere inside an object of stellar_sdk, nested ones too."""
    pending = [found]
    while pending:
        item = pending.pop()
        if isinstance(item, xdr.SCVal):
            yield item.to_xdr_bytes()
        if isinstance(item, list):
            pending.extend(item)
        elif type(item).__module__.startswith("stellar_sdk.xdr") and hasattr(item, "__dict__"):
            pending.extend(value for value in vars(item).values() if value is not None)


@pytest.mark.parametrize("sequence", [51000294, 63092988, 63092996])
def test_the_events_of_pubnet_ledgers(sequence):
    with gzip.open(fixture(f"pubnet-ledgers/getEvents-expected-{sequence}.jsonl.gz"), "rt") as lines:
        arms = check(raw for line in lines for raw in of_event(json.loads(line)))
    assert arms[Arm.ADDRESS] > 100
    assert arms[Arm.I128] > 100


def test_a_whole_pubnet_ledger_with_its_keys_instances_and_errors():
    raw = gzip.decompress(fixture("pubnet-ledgers/ledger-63092996.xdr.gz").read_bytes())
    arms = check(inside(xdr.LedgerCloseMeta.from_xdr_bytes(raw)))
    for arm in (Arm.CONTRACT_INSTANCE, Arm.LEDGER_KEY_CONTRACT_INSTANCE, Arm.ERROR, Arm.MAP, Arm.VEC, Arm.U128):
        assert arms[arm]


@pytest.mark.parametrize("name", ["events_response_p22", "events_response_p23", "responses-sorobanrpc-get_events"])
def test_recorded_answers_of_get_events(name):
    answer = json.loads(fixture(f"rpc/{name}.json").read_text())
    assert check(raw for event in answer["result"]["events"] for raw in of_event(event))


XDR_FIELDS = {
    "envelopeXdr": xdr.TransactionEnvelope,
    "resultMetaXdr": xdr.TransactionMeta,
    "diagnosticEventsXdr": xdr.DiagnosticEvent,
    "transactionEventsXdr": xdr.TransactionEvent,
    "contractEventsXdr": xdr.ContractEvent,
}


def in_answer(answer):
    """Yield the ScVals inside every XDR field of a recorded answer, wherever it stands."""
    if isinstance(answer, list):
        for item in answer:
            yield from in_answer(item)
    elif isinstance(answer, dict):
        for key, item in answer.items():
            if key in XDR_FIELDS:
                for text in texts(item):
                    yield from inside(XDR_FIELDS[key].from_xdr(text))
            else:
                yield from in_answer(item)


def texts(item):
    return [item] if isinstance(item, str) else [text for inner in item for text in texts(inner)]


@pytest.mark.parametrize("name", ["rpc-corpus-transactions", "openrpc-examples-Transactions"])
def test_recorded_transactions(name):
    assert sum(check(in_answer(json.loads(fixture(f"rpc/{name}.json").read_text()))).values()) > 50


def test_single_events_of_protocols():
    names = sorted(fixture("events").glob("*.json"))
    assert len(names) > 30
    for name in names:
        found = json.loads(name.read_text())
        for event in found.get("events", [found]):
            assert check(b64decode(text, validate=True) for text in [*event["topics"], event["value"]])
