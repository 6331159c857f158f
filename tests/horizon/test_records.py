"""Records as real servers send them, and records that no server should send."""

from __future__ import annotations

import copy
from base64 import b64decode, b64encode
from contextlib import suppress
from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.ledger import read_bare_header
from stellarstream_horizon.assembly import read_one
from stellarstream_horizon.records import (
    BadRecordError,
    HashMismatchError,
    MetaAbsentError,
    meta_is_empty,
    read_ledger_record,
    token_of,
)
from stellarstream_horizon.toid import ledger_of
from tests.horizon.history import sandbox_history
from tests.horizon.node import HorizonNode, emptied
from tests.paths import fixture


def recorded(name: str) -> list[dict]:
    body = orjson.loads(fixture(f"horizon/{name}").read_bytes())
    return body["records"] if "records" in body else body["_embedded"]["records"]


# --- recorded -------------------------------------------------------------------------------


def test_the_recorded_headers_of_the_public_horizon_are_a_chain():
    records = recorded("horizon-corpus-ledgers.json")
    headers = [read_bare_header(b64decode(one["header_xdr"])) for one in records]
    assert [header.sequence for header in headers] == [one["sequence"] for one in records]
    assert len(headers) == 50
    for later, earlier in zip(headers, headers[1:], strict=False):
        assert later.previous_hash == sha256(earlier.xdr).digest()


def test_no_recorded_transaction_of_the_public_horizon_can_be_read_for_want_of_meta():
    records = recorded("horizon-corpus-transactions.json")
    assert records
    for one in records:
        with pytest.raises(MetaAbsentError, match="no result_meta_xdr"):
            read_one({**one, "successful": True}, 1)


def test_recorded_transactions_with_meta_of_version_3_are_read():
    records = recorded("pages-transactions-with-meta.json")
    assert len(records) == 3
    for one in records:
        token = token_of(one)
        transaction = read_one(one, ledger_of(token))
        assert ledger_of(token) == 52476803
        assert transaction.hash.hex() == one["hash"]
        assert (transaction.meta_version, transaction.succeeded) == (3, True)
        assert transaction.fee_charged == int(one["fee_charged"])
        assert transaction.operations == one["operation_count"]


def test_the_empty_meta_that_skip_txmeta_leaves_is_told_from_every_real_one():
    for one in recorded("pages-transactions-with-meta.json"):
        meta = b64decode(one["result_meta_xdr"])
        assert not meta_is_empty(meta)
        assert meta_is_empty(emptied(meta))
        with pytest.raises(MetaAbsentError, match="is empty"):
            read_one({**one, "result_meta_xdr": b64encode(emptied(meta)).decode()}, 52476803)
    for ledger in sandbox_history().ledgers.values():
        for transaction in ledger.transactions:
            assert not transaction.succeeded or not meta_is_empty(transaction.meta)


@pytest.mark.parametrize("version", range(5))
def test_an_empty_meta_of_every_version_is_told(version):
    from stellar_sdk import xdr

    empty = {
        0: xdr.TransactionMeta(0, operations=[]),
        1: xdr.TransactionMeta(1, v1=xdr.TransactionMetaV1(xdr.LedgerEntryChanges([]), [])),
        2: xdr.TransactionMeta(
            2, v2=xdr.TransactionMetaV2(*[xdr.LedgerEntryChanges([]), [], xdr.LedgerEntryChanges([])])
        ),
        3: xdr.TransactionMeta(
            3,
            v3=xdr.TransactionMetaV3(
                xdr.ExtensionPoint(0), xdr.LedgerEntryChanges([]), [], xdr.LedgerEntryChanges([]), None
            ),
        ),
        4: xdr.TransactionMeta(
            4,
            v4=xdr.TransactionMetaV4(
                xdr.ExtensionPoint(0), xdr.LedgerEntryChanges([]), [], xdr.LedgerEntryChanges([]), None, [], []
            ),
        ),
    }[version]
    assert meta_is_empty(empty.to_xdr_bytes())


# --- made -----------------------------------------------------------------------------------


def ledger_record() -> dict:
    history = sandbox_history()
    return HorizonNode(history)._ledger_record(history.ledgers[100])


def transaction_record() -> dict:
    history = sandbox_history()
    ledger = next(one for one in history.ledgers.values() if any(t.inner_hash for t in one.transactions))
    order, held = next((o, t) for o, t in enumerate(ledger.transactions, 1) if t.inner_hash)
    return HorizonNode(history)._transaction_record(ledger, ledger.sequence << 32 | order << 12, held)


def test_a_ledgers_record_is_read():
    held = sandbox_history().ledgers[100]
    found = read_ledger_record(ledger_record())
    assert (found.sequence, found.transactions, found.succeeded) == (100, len(held.transactions), held.succeeded)
    assert found.header.hash == held.hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sequence": None}, "no sequence"),
        ({"sequence": "1" * 5_000}, "no sequence"),
        ({"sequence": 2**40}, "no sequence"),
        ({"sequence": True}, "no sequence"),
        ({"paging_token": "429496729601"}, "paging token"),
        ({"sequence": 101, "paging_token": str(101 << 32)}, "header of ledger 100"),
        ({"hash": "AB" * 32}, "hash is not a hash"),
        ({"hash": "ab"}, "hash is not a hash"),
        ({"prev_hash": "ab" * 32}, "follow on another"),
        ({"header_xdr": "AAAA"}, "not XDR"),
        ({"header_xdr": "AAAAAA=="}, "cannot be read"),
        ({"header_xdr": None}, "not XDR"),
        ({"closed_at": "1999-01-01T00:00:00Z"}, "another time"),
        ({"successful_transaction_count": "9" * 5_000}, "how many transactions"),
        ({"failed_transaction_count": -1}, "how many transactions"),
        ({"failed_transaction_count": 1.5}, "how many transactions"),
    ],
)
def test_a_ledgers_record_that_contradicts_itself_is_refused(change, said):
    with pytest.raises(BadRecordError, match=said):
        read_ledger_record({**ledger_record(), **change})


def test_a_header_that_has_another_hash_is_a_proof_that_failed():
    with pytest.raises(HashMismatchError, match="ledger 100"):
        read_ledger_record({**ledger_record(), "hash": "ab" * 32})


@pytest.mark.parametrize("text", ["soon", "9" * 9_000, "0000-01-01T00:00:00Z", "", 7, None])
def test_a_time_that_cannot_be_read_is_left_out_of_account(text):
    assert read_ledger_record({**ledger_record(), "closed_at": text}).sequence == 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hash": "x"}, "not a hash"),
        ({"fee_bump_transaction": {"hash": "ab" * 32}}, "inner transaction's hash"),
        ({"successful": "yes"}, "whether it succeeded"),
        ({"result_xdr": "%%%%"}, "result_xdr"),
        ({"result_meta_xdr": "AAA"}, "result_meta_xdr"),
        ({"result_meta_xdr": 7}, "result_meta_xdr"),
    ],
)
def test_a_transactions_record_that_contradicts_itself_is_refused(change, said):
    record = transaction_record()
    assert read_one(record, 1).hash.hex() == record["hash"]
    with pytest.raises(BadRecordError, match=said):
        read_one({**record, **change}, 1)


def test_a_fee_bump_is_known_by_its_outer_hash():
    record = transaction_record()
    inner = record["inner_transaction"]["hash"]
    with pytest.raises(BadRecordError, match="inner transaction's hash"):
        read_one({**record, "hash": inner}, 1)


@pytest.mark.parametrize(
    "change", [{"paging_token": None}, {"paging_token": "1" * 5_000}, {"ledger": 1}, {"ledger": None}]
)
def test_a_token_belongs_to_its_ledger(change):
    with pytest.raises(BadRecordError):
        token_of({**transaction_record(), **change})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
def test_whatever_stands_in_a_record_it_is_read_or_refused(data):
    for record, read in ((ledger_record(), read_ledger_record), (transaction_record(), lambda r: read_one(r, 1))):
        changed = copy.deepcopy(record)
        for key in data.draw(st.sets(st.sampled_from(sorted(record)), max_size=3)):
            changed[key] = data.draw(json)
        with suppress(BadRecordError, MetaAbsentError, XdrError):
            read(changed)
