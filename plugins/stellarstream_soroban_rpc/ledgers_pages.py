"""Requests and pages of ``getLedgers``: which ledgers an answer holds, each checked against itself.

Nothing of an answer is taken on trust. The node reads its database without an order and without
looking for holes, so every ledger is placed by its own sequence; ``hash`` and ``headerXdr`` have to
be those of the ``LedgerCloseMeta``, which the proof then starts from.
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from stellarstream_core.endpoints.http import whole_number
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.xdr.ledger import read_ledger_header
from stellarstream_soroban_rpc.event_list import BadPageError

MOST_A_PAGE = 200
"""Ledgers in a page of stellar-rpc, at most; operators and full-history nodes allow fewer."""

_HEX_DIGITS = frozenset("0123456789abcdef")
_EMPTY_EXTENSION = bytes(4)


class BadLedgerError(Exception):
    """A ledger of a page contradicts itself; the message says how."""


class NoMetaError(BadLedgerError):
    """A ledger came without its ``metadataXdr``."""


class LedgerEntry(NamedTuple):
    """One ledger as a page has it, unchecked: ``meta`` and ``header`` in base64, ``header`` None where it is absent."""

    sequence: int
    hash: object
    header: object
    meta: object


class LedgersPage(NamedTuple):
    """A checked page: the ledgers that it holds, by sequence; not every one that was asked for need be among them.

    Times are Unix seconds, ``size`` is the answer's, in bytes.
    """

    entries: Mapping[int, LedgerEntry]
    oldest: int
    latest: int
    latest_closed_at: int | None
    oldest_closed_at: int | None
    size: int


def get_ledgers_params(first: int, count: int) -> dict[str, Any]:
    """Return the params of a ``getLedgers`` call for ``count`` ledgers from ``first`` on.

    Pages are always asked for by ledger: the cursor is nothing but the last ledger of a page, and at
    the tip the node refuses the one it gave. There is no end: the page goes up to the tip.
    """
    return {"startLedger": first, "pagination": {"limit": count}, "xdrFormat": "base64"}


def read_get_ledgers(result: object, first: int, count: int, size: int) -> LedgersPage:
    """Check a ``getLedgers`` result against its question; raise :class:`BadPageError`."""
    if not isinstance(result, dict):
        raise BadPageError("its result is not an object")
    oldest, latest = result.get("oldestLedger"), result.get("latestLedger")
    if type(oldest) is not int or type(latest) is not int or not 0 < oldest <= latest <= LAST_LEDGER:
        raise BadPageError("its oldest and latest ledger are no range")
    ledgers = result.get("ledgers")
    if not isinstance(ledgers, list):
        raise BadPageError("its ledgers are not a list")
    if len(ledgers) > count:
        raise BadPageError(f"it has {len(ledgers)} ledgers where {count} were asked for")
    entries: dict[int, LedgerEntry] = {}
    for item in ledgers:
        sequence = item.get("sequence") if isinstance(item, dict) else None
        if type(sequence) is not int:
            raise BadPageError("it has a ledger without a sequence")
        if not first <= sequence < first + count or sequence > latest:
            raise BadPageError(f"it has ledger {sequence}, which was not asked for or comes after its latest {latest}")
        if sequence in entries:
            raise BadPageError(f"it has ledger {sequence} twice")
        entries[sequence] = LedgerEntry(sequence, item.get("hash"), item.get("headerXdr"), item.get("metadataXdr"))
    return LedgersPage(
        entries,
        oldest,
        latest,
        whole_number(result.get("latestLedgerCloseTime")),
        whole_number(result.get("oldestLedgerCloseTime")),
        size,
    )


def meta_of(entry: LedgerEntry) -> bytes:
    """Return an entry's ``LedgerCloseMeta``; raise :class:`BadLedgerError` where it is not what the rest of it says.

    ``ProtocolUpgradeNeededError`` is raised where it is of a kind not known. ``headerXdr`` is a
    ``LedgerHeaderHistoryEntry``: hash, header, and an extension of which only the empty one is
    defined. What the meta itself claims is left to its reader.
    """
    if entry.meta is None or entry.meta == "":
        raise NoMetaError(f"ledger {entry.sequence} comes without its metadataXdr")
    meta = _decoded(entry.meta, "metadataXdr", entry.sequence)
    try:
        header = read_ledger_header(meta)
    except ProtocolUpgradeNeededError:
        raise
    except XdrError as error:
        raise BadLedgerError(f"the metadataXdr of ledger {entry.sequence} cannot be read: {error.message}") from None
    found = entry.hash
    if not isinstance(found, str) or len(found) != 64 or not _HEX_DIGITS.issuperset(found):
        raise BadLedgerError(f"the hash of ledger {entry.sequence} is none")
    if bytes.fromhex(found) != header.hash:
        raise BadLedgerError(f"the hash of ledger {entry.sequence} is not the one in its metadataXdr")
    if entry.header is not None and (
        _decoded(entry.header, "headerXdr", entry.sequence) != header.hash + header.xdr + _EMPTY_EXTENSION
    ):
        raise BadLedgerError(f"the headerXdr of ledger {entry.sequence} is not the one in its metadataXdr")
    return meta


def _decoded(text: object, name: str, ledger: int) -> bytes:
    if not isinstance(text, str):
        raise BadLedgerError(f"the {name} of ledger {ledger} is not text")
    try:
        return a2b_base64(text, strict_mode=True)
    except (BinasciiError, ValueError):
        raise BadLedgerError(f"the {name} of ledger {ledger} is not base64") from None
