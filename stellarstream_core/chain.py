"""Access to the chain as it is now: what a chain client must offer, and what the rest of StellarStream asks of it.

Sources read history; a chain client reads ledger entries, tries calls without a trace (simulation), hands in
signed transactions and tells what became of them. It answers with the ledger at which an answer is true, and
what it does not name does not exist. A failure is never read as "does not exist".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from stellarstream_core.errors import ProtocolUpgradeNeededError, SourceMisbehavedError, XdrError
from stellarstream_core.xdr.account import AccountSigners, account_ledger_key, read_account_entry

if TYPE_CHECKING:
    from stellarstream_core.settings import Settings


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One ledger entry. ``key`` is the XDR of its ``LedgerKey``, ``data`` that of its ``LedgerEntryData``.

    ``last_modified`` is the ledger that changed it last. ``live_until`` is the last ledger of its life,
    0 where it is archived already, and None for entries that have no end (accounts among them).
    """

    key: bytes
    data: bytes
    last_modified: int
    live_until: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerEntries:
    """The entries that exist, by key. ``ledger`` is the ledger at which they are true.

    Where one question took several requests it is the oldest ledger of them: no entry is older.
    """

    ledger: int
    entries: Mapping[bytes, LedgerEntry]


@dataclass(frozen=True, slots=True)
class DiagnosticEvent:
    """An event of a simulation or of a transaction's diagnostics.

    ``contract`` is a C… id or None, ``type`` is ``contract``, ``system`` or ``diagnostic``; topics and value are
    XDR of ScVals. ``successful``: the call that published it did not fail.
    """

    contract: str | None
    type: str
    topics: tuple[bytes, ...]
    value: bytes
    successful: bool


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do, true at ``ledger``.

    ``error`` is the node's text where it would fail, the host's log below it, for the log and not for users
    (``HostError: Error(Contract, #13)…``); the rest is there where it would not. ``data`` is the XDR of
    ``SorobanTransactionData`` (footprint, resources, resource fee), ``min_resource_fee`` in stroops, ``auth`` XDR of
    ``SorobanAuthorizationEntry`` each, ``result`` the XDR of the returned ScVal. ``restore`` is the
    ``SorobanTransactionData`` that must be restored first where archived entries are in the way. ``events`` are those
    the call would publish and the diagnostics around them.
    """

    ledger: int
    error: str | None = None
    data: bytes = b""
    min_resource_fee: int = 0
    auth: tuple[bytes, ...] = ()
    result: bytes = b""
    restore: bytes | None = None
    events: tuple[DiagnosticEvent, ...] = ()


class SendStatus(StrEnum):
    """What a node says of a transaction that was handed in (stellar-rpc ``sendTransaction``)."""

    PENDING = "PENDING"
    """It is in the node's queue now."""
    DUPLICATE = "DUPLICATE"
    """It was handed in before."""
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    """The node takes none now, or has one of this account already."""
    ERROR = "ERROR"
    """It can never be applied; ``result`` says why."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to a transaction handed in: ``hash`` has 64 hex digits, ``result`` is XDR of ``TransactionResult``."""

    hash: str
    status: SendStatus
    ledger: int
    result: bytes | None = None
    events: tuple[DiagnosticEvent, ...] = ()


class TransactionStatus(StrEnum):
    """What became of a transaction (stellar-rpc ``getTransaction``)."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    NOT_FOUND = "NOT_FOUND"
    """Not in the ledgers the node keeps: not applied yet, never applied, or too old."""


@dataclass(frozen=True, slots=True)
class ChainTransaction:
    """A transaction's fate. The node knows the ledgers ``oldest`` to ``latest``; ``latest_closed_at`` is Unix seconds.

    ``ledger`` and ``result`` (XDR of ``TransactionResult``) are there where it was applied; ``events`` are its
    diagnostics, as far as the node keeps them. ``envelope`` is XDR of its ``TransactionEnvelope``, None where the node
    does not tell it or this release cannot check it: the transaction that was asked for, or the fee bump that carried
    it. The hash says nothing of the signatures in it.
    """

    status: TransactionStatus
    latest: int
    latest_closed_at: int
    oldest: int
    ledger: int | None = None
    result: bytes | None = None
    events: tuple[DiagnosticEvent, ...] = ()
    envelope: bytes | None = None


class ChainClient(Protocol):
    """An open connection to the chain's present state. It may be used by many tasks at once."""

    name: str

    async def ledger_entries(self, keys: Sequence[bytes]) -> LedgerEntries:
        """Return the entries of these keys (XDR of ``LedgerKey``; at least one); keys that do not exist are left out.

        Answers or fails within some ten seconds, retries included. Raises ``SourceError``:
        ``SourceUnavailableError`` where nobody answers, ``SourceMisbehavedError`` where what is
        answered cannot be right.
        """
        ...

    async def simulate(self, envelope: bytes) -> Simulation:
        """Return what a transaction (XDR of ``TransactionEnvelope``; signatures do not matter) would do.

        A call that would fail is an answer (``error``), not an exception. Bounds and errors as for
        :meth:`ledger_entries`.
        """
        ...

    async def send(self, envelope: bytes) -> Sent:
        """Hand in a signed transaction. Handing in the same again is safe: the chain applies it at most once.

        ``PENDING`` after a try that failed means no more than that it may have been taken: ``result`` may then say
        why another node refused it, and its fate is what :meth:`transaction` tells. ``ERROR`` and
        ``TRY_AGAIN_LATER`` say for certain that it was not taken. Raises ``SourceUnavailableError`` where
        nobody answered: it may have been taken all the same. Another ``SourceError`` says that it was not, and
        ``XdrError`` that the bytes are no envelope.
        """
        ...

    async def transaction(self, tx_hash: str) -> ChainTransaction:
        """Return what became of a transaction, by its hash (64 hex digits).

        ``NOT_FOUND`` is said of the ledgers ``oldest`` to ``latest`` and of no others. Bounds and errors as for
        :meth:`ledger_entries`.
        """
        ...

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class ChainClientSpec:
    """A chain client that a plugin offers.

    ``configured`` tells whether the settings name an address for it; ``open`` connects nothing yet,
    it only builds the client.
    """

    name: str
    summary: str
    configured: Callable[[Settings], bool]
    open: Callable[[Settings], Awaitable[ChainClient]]


async def account_signers(client: ChainClient, account: str) -> AccountSigners | None:
    """Return who may sign for an account (G…) now; None where the account does not exist.

    Raises ``InvalidStrkeyError`` where ``account`` is no account id, ``SourceError`` as the client does,
    ``SourceMisbehavedError`` where the entry is malformed or another account's, and
    ``ProtocolUpgradeNeededError`` where it has a part that this release does not know.
    """
    key = account_ledger_key(account)
    found = (await client.ledger_entries([key])).entries.get(key)
    if found is None:
        return None
    try:
        entry = read_account_entry(found.data)
    except ProtocolUpgradeNeededError:
        raise
    except XdrError as error:
        raise SourceMisbehavedError(f"{client.name} sent an account that cannot be read: {error.message}") from None
    if entry.account != account:
        raise SourceMisbehavedError(f"{client.name} was asked for {account} and sent the account {entry.account}.")
    return entry.signers
