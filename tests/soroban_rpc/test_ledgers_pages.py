"""What is believed of an answer to getLedgers, and what is not."""

from __future__ import annotations

from base64 import b64decode, b64encode

import orjson
import pytest

from stellarstream_soroban_rpc.event_list import BadPageError
from stellarstream_soroban_rpc.ledgers_pages import (
    BadLedgerError,
    LedgerEntry,
    NoMetaError,
    get_ledgers_params,
    meta_of,
    read_get_ledgers,
)
from tests.paths import fixture
from tests.soroban_rpc.ledgers_kit import history, simulation


def result(first: int, count: int, **changes):
    held = history()
    ledgers = [held.entry(ledger) for ledger in range(first, first + count)]
    return {"ledgers": ledgers, "oldestLedger": 2, "latestLedger": 121, "cursor": str(first + count - 1), **changes}


def entry(ledger: int, **changes) -> LedgerEntry:
    made = {**history().entry(ledger), **changes}
    return LedgerEntry(made["sequence"], made.get("hash"), made.get("headerXdr"), made.get("metadataXdr"))


def test_a_page_is_asked_for_by_ledger_and_never_by_cursor():
    assert get_ledgers_params(7, 5) == {"startLedger": 7, "pagination": {"limit": 5}, "xdrFormat": "base64"}


def test_ledgers_are_placed_by_their_own_sequence_whatever_their_order():
    answer = result(10, 5)
    answer["ledgers"].reverse()
    page = read_get_ledgers(answer, 10, 5, 99)
    assert (sorted(page.entries), page.oldest, page.latest, page.size) == (list(range(10, 15)), 2, 121, 99)
    assert [meta_of(page.entries[ledger]) for ledger in range(10, 15)] == [simulation()[1][n] for n in range(10, 15)]


def test_a_hole_is_no_fault_of_the_page():
    answer = result(10, 5)
    del answer["ledgers"][2]
    assert sorted(read_get_ledgers(answer, 10, 5, 99).entries) == [10, 11, 13, 14]
    assert not read_get_ledgers(result(10, 0), 10, 5, 99).entries


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer["ledgers"].append(answer["ledgers"][0]),
        lambda answer: answer["ledgers"].__setitem__(1, dict(answer["ledgers"][0])),
        lambda answer: answer["ledgers"][0].update(sequence=9),
        lambda answer: answer["ledgers"][0].update(sequence=15),
        lambda answer: answer["ledgers"][0].update(sequence="10"),
        lambda answer: answer["ledgers"][0].pop("sequence"),
        lambda answer: answer.update(ledgers=None),
        lambda answer: answer.update(ledgers=[[]]),
        lambda answer: answer.update(latestLedger=12),
        lambda answer: answer.update(latestLedger=2**31),
        lambda answer: answer.update(oldestLedger=0),
        lambda answer: answer.update(oldestLedger="2"),
    ],
)
def test_a_page_that_contradicts_itself_or_the_question_is_refused(spoil):
    answer = result(10, 5)
    spoil(answer)
    with pytest.raises(BadPageError):
        read_get_ledgers(answer, 10, 5, 99)


def test_a_result_that_is_no_object_is_refused():
    with pytest.raises(BadPageError):
        read_get_ledgers([], 10, 5, 99)


@pytest.mark.parametrize("meta", [None, ""])
def test_a_ledger_without_its_meta_is_told_from_a_wrong_one(meta):
    with pytest.raises(NoMetaError, match="ledger 10 comes without its metadataXdr"):
        meta_of(entry(10, metadataXdr=meta))


@pytest.mark.parametrize(
    "changes",
    [
        {"metadataXdr": "AAAA"},
        {"metadataXdr": "AAA"},
        {"metadataXdr": 7},
        {"metadataXdr": history().entry(11)["metadataXdr"]},
        {"hash": history().entry(11)["hash"]},
        {"hash": "X" * 64},
        {"hash": None},
        {"headerXdr": history().entry(11)["headerXdr"]},
        {"headerXdr": b64encode(b64decode(history().entry(10)["headerXdr"])[32:-4]).decode()},
        {"headerXdr": "?"},
        {"headerXdr": ""},
    ],
)
def test_a_ledger_whose_parts_do_not_agree_is_refused(changes):
    with pytest.raises(BadLedgerError):
        meta_of(entry(10, **changes))


def test_a_ledger_without_a_header_beside_its_meta_is_taken():
    assert meta_of(entry(10, headerXdr=None)) == simulation()[1][10]


def test_a_recorded_page_of_pubnet_is_read_though_its_metas_were_left_out():
    recorded = orjson.loads(fixture("rpc/rpc-corpus-ledgers.json").read_bytes())["records"]
    first = recorded[0]["sequence"]
    answer = {"ledgers": recorded, "oldestLedger": first, "latestLedger": first + 500}
    page = read_get_ledgers(answer, first, 50, 99)
    assert len(page.entries) == 50
    with pytest.raises(NoMetaError):
        meta_of(page.entries[first])
