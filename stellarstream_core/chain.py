"""Reading the chain's state: what a chain client must offer, and what the rest of StellarStream asks of it.

Sources read history; a chain client reads ledger entries as they are now. It answers with the ledger at
which they are true, and what it does not name does not exist. A failure is never read as "does not exist".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
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
