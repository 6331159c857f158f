"""Accounts as the chain has them, in real XDR, and challenges signed with real keys."""

from __future__ import annotations

import os
import time
from base64 import b64encode

from stellar_sdk import Account, Keypair, ManageData, TransactionBuilder, TransactionEnvelope, xdr

from stellarstream_core.chain import LedgerEntries, LedgerEntry
from stellarstream_core.errors import SourceUnavailableError
from stellarstream_core.settings import NETWORKS
from stellarstream_core.xdr.account import account_ledger_key

PASSPHRASE = NETWORKS["testnet"].passphrase
PUBNET = NETWORKS["pubnet"].passphrase


class Chain:
    """A chain client: accounts that were ``put`` exist, the others do not."""

    name = "scripted"

    def __init__(self) -> None:
        self.accounts: dict[bytes, bytes] = {}
        self.down = False
        self.asked = 0

    def put(self, account: Keypair, *, master: int = 1, medium: int = 0, signers: dict[str, int] | None = None) -> None:
        self.accounts[account_ledger_key(account.public_key)] = account_data(account, master, medium, signers or {})

    async def ledger_entries(self, keys) -> LedgerEntries:
        self.asked += 1
        if self.down:
            raise SourceUnavailableError("Nobody answers.")
        found = {key: LedgerEntry(key, self.accounts[key], 5) for key in keys if key in self.accounts}
        return LedgerEntries(100, found)

    async def close(self) -> None: ...


def account_data(account: Keypair, master: int, medium: int, signers: dict[str, int]) -> bytes:
    """Return the XDR of the account's ledger entry, with a signer that is no key (hash x) of great weight."""
    listed = [
        xdr.Signer(
            xdr.SignerKey.from_xdr_bytes(bytes(4) + Keypair.from_public_key(key).raw_public_key()), xdr.Uint32(weight)
        )
        for key, weight in signers.items()
    ]
    hash_x = xdr.SignerKey.from_xdr_bytes((2).to_bytes(4, "big") + bytes(32))
    listed.append(xdr.Signer(hash_x, xdr.Uint32(255)))
    entry = xdr.AccountEntry(
        account_id=account.xdr_account_id(),
        balance=xdr.Int64(10_000_000),
        seq_num=xdr.SequenceNumber(xdr.Int64(7)),
        num_sub_entries=xdr.Uint32(len(listed)),
        inflation_dest=None,
        flags=xdr.Uint32(0),
        home_domain=xdr.String32(b""),
        thresholds=xdr.Thresholds(bytes([master, 0, medium, 255])),
        signers=listed,
        ext=xdr.AccountEntryExt(0),
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=entry).to_xdr_bytes()


def signed(challenge: str, *keys: Keypair, passphrase: str = PASSPHRASE) -> str:
    """Return a challenge with these keys' signatures added."""
    envelope = TransactionEnvelope.from_xdr(challenge, passphrase)
    for key in keys:
        envelope.signatures.append(key.sign_decorated(envelope.hash()))  # twice too, where a test says so
    return envelope.to_xdr()


def made(
    server: Keypair,
    client: str,
    *,
    home: str = "pay.example.org",
    web: str | None = "pay.example.org",
    passphrase: str = PASSPHRASE,
    begins: int = 0,
    ends: int = 900,
    sequence: int = 0,
    more=(),
    memo=None,
    nonce: bytes | None = None,
) -> str:
    """Return a challenge as some server could make it; ``begins`` and ``ends`` are seconds from now."""
    now = int(time.time())
    builder = TransactionBuilder(Account(server.public_key, sequence - 1), passphrase, 100)
    builder.add_time_bounds(now + begins, now + ends)
    builder.append_operation(ManageData(f"{home} auth", nonce or b64encode(os.urandom(48)), source=client))
    if web is not None:
        builder.append_operation(ManageData("web_auth_domain", web, source=server.public_key))
    for operation in more:
        builder.append_operation(operation)
    if memo is not None:
        builder.add_memo(memo)
    envelope = builder.build()
    envelope.sign(server)
    return envelope.to_xdr()
