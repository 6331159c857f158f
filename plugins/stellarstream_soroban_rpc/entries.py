"""``getLedgerEntries``: its request, and its answer checked against the question."""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any

from stellarstream_core.chain import LedgerEntries, LedgerEntry
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_soroban_rpc.event_list import BadPageError

MOST_KEYS = 200
"""Keys that a node takes in one request (``getLedgerEntriesMaxKeys`` of stellar-rpc); more is an error."""

_LAST_LEDGER_OF_ALL = 2**32 - 1
"""What ``liveUntilLedgerSeq`` can be at most: it may lie beyond any ledger that is counted here."""


def ledger_entries_params(keys: Sequence[bytes]) -> dict[str, Any]:
    """Return the params of a ``getLedgerEntries`` call for these keys (XDR of ``LedgerKey``).

    ``xdrFormat`` is left out: base64 is what every node sends, and older ones do not know the name.
    """
    return {"keys": [b2a_base64(key, newline=False).decode("ascii") for key in keys]}


def read_ledger_entries(result: object, keys: Sequence[bytes]) -> LedgerEntries:
    """Check a ``getLedgerEntries`` result against its keys; raise :class:`BadPageError`.

    Checked of each entry: strict base64 of whole XDR words; a key that was asked for, once; data of the
    kind that the key names; changed no later than ``latestLedger``. Of ``extXdr`` nothing is read.
    """
    if not isinstance(result, dict):
        raise BadPageError("its result is not an object")
    latest = result.get("latestLedger")
    if type(latest) is not int or not 0 < latest <= LAST_LEDGER:
        raise BadPageError("its latest ledger is none")
    listed = result.get("entries")
    if not isinstance(listed, list):
        raise BadPageError("its entries are not a list")
    asked = frozenset(keys)
    entries: dict[bytes, LedgerEntry] = {}
    for item in listed:
        if not isinstance(item, dict):
            raise BadPageError("it has an entry that is not an object")
        entry = _entry(item, latest)
        if entry.key not in asked:
            raise BadPageError("it has an entry whose key was not asked for")
        if entry.key in entries:
            raise BadPageError("it has an entry twice")
        entries[entry.key] = entry
    return LedgerEntries(latest, entries)


def _entry(item: Mapping[str, Any], latest: int) -> LedgerEntry:
    key, data = _xdr(item, "key"), _xdr(item, "xdr")
    if key[:4] != data[:4]:  # both begin with the LedgerEntryType
        raise BadPageError("it has an entry of another kind than its key")
    modified, until = item.get("lastModifiedLedgerSeq"), item.get("liveUntilLedgerSeq")
    if type(modified) is not int or not 0 <= modified <= latest:
        raise BadPageError("it has an entry that was not changed up to its latest ledger")
    if until is not None and (type(until) is not int or not 0 <= until <= _LAST_LEDGER_OF_ALL):
        raise BadPageError("it has an entry that lives until no ledger")
    return LedgerEntry(key, data, modified, until)


def _xdr(item: Mapping[str, Any], name: str) -> bytes:
    text = item.get(name)
    if not isinstance(text, str):
        raise BadPageError(f"it has an entry whose {name} is not text")
    try:
        raw = a2b_base64(text, strict_mode=True)
    except (BinasciiError, ValueError):
        raise BadPageError(f"it has an entry whose {name} is not base64") from None
    if not raw or len(raw) & 3:
        raise BadPageError(f"it has an entry whose {name} is not XDR")
    return raw
