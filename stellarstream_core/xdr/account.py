"""An account's ledger entry: its key, and out of its XDR who may sign for it.

``LedgerEntryData`` with an ``AccountEntry`` is read to its last byte: truncation, trailing bytes, lengths over
their limit and padding that is not zero are refused, parts this release does not know need a newer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, account_id_bytes, encode

MAX_SIGNERS = 20
"""``MAX_SIGNERS`` of the protocol: what an account has beside its master key."""
MAX_WEIGHT = 255
"""The highest weight of a signer; in the XDR it has 32 bits, but no transaction sets more."""

_ACCOUNT = bytes(4)
"""``LedgerEntryType`` ACCOUNT, with which both ``LedgerKey`` and ``LedgerEntryData`` begin."""
_KEY_TYPE_ED25519 = bytes(4)
_MAX_HOME_DOMAIN = 32
_MAX_PAYLOAD = 64

_SIGNER_ED25519, _SIGNER_PRE_AUTH_TX, _SIGNER_HASH_X, _SIGNER_SIGNED_PAYLOAD = range(4)


class Thresholds(NamedTuple):
    """The weight that operations of each class need together, 0 to 255."""

    low: int
    medium: int
    high: int


@dataclass(frozen=True, slots=True)
class AccountSigners:
    """Who may sign for an account, with which weight.

    ``signers`` are the account's added keys (G…) without the master key, whose weight is ``master_weight``
    (0: it may not sign). ``others`` counts the signers that are no plain key: a transaction agreed on
    beforehand (T…), the preimage of a hash (X…), a key for one payload (P…). They authorize a
    transaction of their own and say nothing about who holds the account, so a login leaves them out.
    """

    master_weight: int
    thresholds: Thresholds
    signers: Mapping[str, int]
    others: int = 0


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """What is read of an ``AccountEntry``: ``balance`` in stroops, ``sequence`` the last sequence number used."""

    account: str
    balance: int
    sequence: int
    signers: AccountSigners


def account_ledger_key(account: str) -> bytes:
    """Return the XDR of the ``LedgerKey`` of an account (G…). Raises ``InvalidStrkeyError`` where it is none."""
    return _ACCOUNT + _KEY_TYPE_ED25519 + account_id_bytes(account)


def read_account_entry(data: bytes) -> AccountEntry:
    """Read the XDR of a ``LedgerEntryData`` that holds an account.

    Raises ``XdrError`` where it is malformed, or another kind of entry, and ``ProtocolUpgradeNeededError``
    for a signer, a key or an extension of a kind that this release does not know.
    """
    cursor = _Cursor(data)
    if cursor.take(4) != _ACCOUNT:
        raise XdrError("The ledger entry is not an account's.")
    account = cursor.account_id()
    balance, sequence = cursor.int64(), cursor.int64()
    cursor.uint32()  # numSubEntries
    if cursor.flag():
        cursor.account_id()  # inflationDest
    cursor.uint32()  # flags
    cursor.opaque(_MAX_HOME_DOMAIN)
    master, low, medium, high = cursor.take(4)
    signers, others = _signers(cursor)
    _extension(cursor)
    cursor.end()
    who = AccountSigners(master, Thresholds(low, medium, high), MappingProxyType(signers), others)
    return AccountEntry(account, balance, sequence, who)


def _signers(cursor: _Cursor) -> tuple[dict[str, int], int]:
    signers: dict[str, int] = {}
    others = 0
    for _ in range(cursor.count(MAX_SIGNERS)):
        kind = cursor.uint32()
        if kind > _SIGNER_SIGNED_PAYLOAD:
            cursor.unknown("SignerKeyType", kind)
        key = cursor.take(32)
        if kind == _SIGNER_SIGNED_PAYLOAD:
            cursor.opaque(_MAX_PAYLOAD)
        weight = cursor.uint32()
        if weight > MAX_WEIGHT:
            raise XdrError(f"A signer has the weight {weight}; the highest is {MAX_WEIGHT}.")
        if kind != _SIGNER_ED25519:
            others += 1
            continue
        signer = encode(VERSION_ACCOUNT, key)
        if signer in signers:
            raise XdrError(f"The account has the signer {signer} twice.")
        signers[signer] = weight
    return signers, others


def _extension(cursor: _Cursor) -> None:
    """Read ``AccountEntry.ext``: liabilities, in them sponsorships, in them when the sequence number was used."""
    if not cursor.extended(1):
        return
    cursor.take(16)  # liabilities: buying, selling
    if not cursor.extended(2):
        return
    cursor.take(8)  # numSponsored, numSponsoring
    for _ in range(cursor.count(MAX_SIGNERS)):
        if cursor.flag():
            cursor.account_id()  # who sponsors the signer
    if not cursor.extended(3):
        return
    cursor.extended(None)
    cursor.take(12)  # seqLedger, seqTime


class _Cursor:
    """A position in XDR bytes; every read checks what it takes."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int) -> bytes:
        begin, self._position = self._position, self._position + size
        if self._position > len(self._data):
            raise XdrError(f"The account's entry is truncated: it needs more than its {len(self._data)} bytes.")
        return self._data[begin : self._position]

    def uint32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def int64(self) -> int:
        return int.from_bytes(self.take(8), "big", signed=True)

    def flag(self) -> bool:
        number = self.uint32()
        if number > 1:
            raise XdrError(f"An optional of the account's entry must be 0 or 1, not {number}.")
        return bool(number)

    def count(self, most: int) -> int:
        number = self.uint32()
        if number > most:
            raise XdrError(f"A list of the account's entry has {number} items; the most is {most}.")
        return number

    def opaque(self, most: int) -> bytes:
        size = self.count(most)
        raw = self.take(size)
        if any(self.take(-size % 4)):
            raise XdrError("The padding of the account's entry is not zero.")
        return raw

    def account_id(self) -> str:
        if (kind := self.uint32()) != 0:
            self.unknown("PublicKeyType", kind)
        return encode(VERSION_ACCOUNT, self.take(32))

    def extended(self, known: int | None) -> bool:
        """Tell whether an extension of the version ``known`` follows; the version 0 has none."""
        version = self.uint32()
        if version and version != known:
            self.unknown("extension", version)
        return bool(version)

    def unknown(self, what: str, number: int) -> NoReturn:
        raise ProtocolUpgradeNeededError(f"The account's entry has the {what} {number}, not known to this release.")

    def end(self) -> None:
        if rest := len(self._data) - self._position:
            raise XdrError(f"The account's entry ends at byte {self._position}, but {rest} more follow.")
