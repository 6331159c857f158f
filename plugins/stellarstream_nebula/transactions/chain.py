"""Asking the chain on behalf of a request: its failures as problems, and what an account's entry says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from loguru import logger

from stellarstream_core.chain import ChainClient
from stellarstream_core.errors import SourceError, SourceMisbehavedError, XdrError
from stellarstream_core.xdr.account import AccountEntry, account_ledger_key, read_account_entry
from stellarstream_nebula.transactions.errors import AccountNotFoundError, ChainUnavailableError

T = TypeVar("T")

CHAIN_SECONDS = 15.0
"""How long one question may take; a chain client gives up before that by itself."""


def require_chain(chain: ChainClient | None) -> ChainClient:
    """Return the chain client; raise :class:`ChainUnavailableError` where none is configured."""
    if chain is None:
        raise ChainUnavailableError(
            "This service is not connected to the network.", help="The operator has to set rpc_url."
        )
    return chain


async def asked(question: Awaitable[T], what: str) -> T:
    """Return what the chain answers; raise :class:`ChainUnavailableError` where it does not.

    ``what`` ends the sentence for the log: "cannot simulate a call". The client is told nothing of the node.
    """
    try:
        async with asyncio.timeout(CHAIN_SECONDS):
            return await question
    except (SourceError, XdrError, TimeoutError) as error:
        logger.warning("{}: {}", what, str(error) or type(error).__name__)
        raise ChainUnavailableError("The network cannot be asked now.") from error


async def account_entry(chain: ChainClient, account: str) -> tuple[int, AccountEntry]:
    """Return an account's entry (G…), and the ledger at which it is true.

    Raises :class:`AccountNotFoundError` and :class:`ChainUnavailableError`.
    """
    ledger, entries = await account_entries(chain, [account])
    return ledger, entries[account]


async def account_entries(chain: ChainClient, accounts: list[str]) -> tuple[int, dict[str, AccountEntry]]:
    """Return the entries of accounts (G…) that must all exist, and the ledger at which they are true."""

    async def read() -> tuple[int, dict[str, AccountEntry]]:
        keys = {account: account_ledger_key(account) for account in accounts}
        answer = await chain.ledger_entries(list(keys.values()))
        found = {}
        for account, key in keys.items():
            if (entry := answer.entries.get(key)) is None:
                raise AccountNotFoundError(f"The account {account} is not on the network.")
            found[account] = read_account_entry(entry.data)
            if found[account].account != account:
                raise SourceMisbehavedError(f"{chain.name} was asked for an account and sent another one.")
        return answer.ledger, found

    return await asked(read(), "an account cannot be read")
