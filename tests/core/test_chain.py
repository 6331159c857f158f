"""Signers of an account through any chain client."""

import pytest

from stellarstream_core.chain import LedgerEntries, LedgerEntry, account_signers
from stellarstream_core.errors import (
    InvalidStrkeyError,
    ProtocolUpgradeNeededError,
    SourceMisbehavedError,
    SourceUnavailableError,
)
from stellarstream_core.xdr.account import AccountSigners, Thresholds, account_ledger_key
from tests.core.test_account_entry import GABC, as_data, plain_entry, signer, with_signers

OTHER = "GBMMZMK2DC4FFP4CAI6KCVNCQ7WLO5A7DQU7EC7WGHRDQBZB763X4OQI"


class Client:
    """A chain client that knows one entry, or fails."""

    name = "made"

    def __init__(self, key=None, data=b"", error=None):
        self.entries = {} if key is None else {key: LedgerEntry(key, data, 1)}
        self.error = error
        self.asked = []

    async def ledger_entries(self, keys):
        self.asked.append(list(keys))
        if self.error:
            raise self.error
        return LedgerEntries(9, {key: entry for key, entry in self.entries.items() if key in keys})

    async def close(self):
        pass


KEY = account_ledger_key(GABC)


async def test_the_signers_of_an_account_are_read_from_its_entry():
    client = Client(KEY, with_signers(signer(0, KEY[8:], 7)))
    assert await account_signers(client, GABC) == AccountSigners(1, Thresholds(2, 3, 4), {GABC: 7})
    assert client.asked == [[KEY]]


async def test_an_account_that_does_not_exist_has_no_signers():
    assert await account_signers(Client(KEY, as_data(plain_entry())), OTHER) is None


async def test_a_failure_is_never_an_account_that_does_not_exist():
    with pytest.raises(SourceUnavailableError):
        await account_signers(Client(error=SourceUnavailableError("Nobody answers.")), GABC)


async def test_another_account_in_place_of_the_one_asked_for_is_refused():
    with pytest.raises(SourceMisbehavedError, match=f"asked for {OTHER}.*sent the account {GABC}"):
        await account_signers(Client(account_ledger_key(OTHER), as_data(plain_entry())), OTHER)


async def test_an_entry_that_cannot_be_read_is_the_clients_fault():
    with pytest.raises(SourceMisbehavedError, match="made sent an account that cannot be read"):
        await account_signers(Client(KEY, b"\0" * 7), GABC)
    with pytest.raises(ProtocolUpgradeNeededError):
        await account_signers(Client(KEY, with_signers(signer(9, KEY[8:], 1))), GABC)


async def test_nothing_is_asked_for_what_is_no_account():
    client = Client()
    with pytest.raises(InvalidStrkeyError):
        await account_signers(client, GABC[:-1])
    assert client.asked == []
