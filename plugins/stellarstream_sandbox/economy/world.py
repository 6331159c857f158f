"""Everything there is on a sandbox network before and after each ledger: accounts, tokens, contracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_sandbox.accounts import NEW_BALANCE, AccountSetup, signer_key
from stellarstream_sandbox.economy.bank import Bank, Token
from stellarstream_sandbox.economy.bystanders import Airdrop, Counter, Oddities, Silent
from stellarstream_sandbox.economy.streams_v1 import StreamsV1, StreamsV1Older
from stellarstream_sandbox.economy.streams_v2 import StreamsV2
from stellarstream_sandbox.identity import NATIVE, Asset, Directory

USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")

UNIT = 10**7
"""One whole token: all of them have seven decimals."""

GENESIS_LEDGER = 1


@dataclass(slots=True, eq=False)
class Account:
    """A classic account: its last sequence number, what the ledger notes about that, and who may sign for it.

    Balances are the bank's: the native asset's contract and the account entry say the same number.
    ``thresholds`` are the weights of the master key and of low, medium and high operations, a byte each;
    ``signers`` are ``SignerKey`` XDR and weight in the order of the keys.
    """

    id: str
    seq_num: int = GENESIS_LEDGER << 32
    seq_ledger: int = GENESIS_LEDGER
    seq_time: int = 0
    modified: int = GENESIS_LEDGER
    thresholds: bytes = b"\1\0\0\0"
    signers: Sequence[tuple[bytes, int]] = ()


class World:
    """The state of the network. Only what happens in ledgers changes it."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        named = {name: directory.keypair(name).account for name in (*USERS, "issuer", "admin", "treasury", "sponsor")}
        self.names = {**named, "deployer": directory.deployer}
        self.users = tuple(named[name] for name in USERS)
        self.issuer, self.admin = named["issuer"], named["admin"]
        self.treasury, self.sponsor = named["treasury"], named["sponsor"]
        self.accounts = {account: Account(account) for account in self.names.values()}
        usdc = Asset("USDC", self.issuer)
        self.native = Token("XLM", directory.asset_contract(NATIVE), NATIVE)
        self.usdc = Token("USDC", directory.asset_contract(usdc), usdc)
        self.nova = Token("NOVA", directory.contract("nova-token"))
        self.tokens = (self.native, self.usdc, self.nova)
        self.bank = Bank(self.tokens)
        for account in self.accounts:
            self.bank.deposit(self.native.contract, account, 100_000_000 * UNIT)
        for user in self.users:
            self.bank.deposit(self.usdc.contract, user, 2_000_000 * UNIT)
            self.bank.deposit(self.nova.contract, user, 2_000_000 * UNIT)

        wasm = directory.secret("wasm", "streams-v1")
        self.v1 = StreamsV1(directory.contract("streams-v1"), self.bank, wasm)
        self.v1_older = StreamsV1Older(directory.contract("streams-v1-older"), self.bank, wasm)
        self.v2 = StreamsV2(directory.contract("streams-v2"), self.bank, self.treasury)
        self.counter = Counter(directory.contract("counter"), directory.secret("wasm", "counter"))
        self.silent = Silent(directory.contract("silent"))
        self.airdrop = Airdrop(directory.contract("airdrop"), self.bank)
        self.oddities = Oddities(directory.contract("oddities"))

    def set_account(self, setup: AccountSetup, ledger: int) -> None:
        """Make or change an account between two ledgers, as of ``ledger``; no transaction tells of it."""
        new = setup.account not in self.accounts
        account = self.accounts.setdefault(setup.account, Account(setup.account, ledger << 32, ledger))
        account.modified = ledger
        account.thresholds = bytes((setup.master_weight, *setup.thresholds))
        account.signers = sorted((signer_key(signer), weight) for signer, weight in setup.signers.items())
        wanted = NEW_BALANCE if new and setup.balance is None else setup.balance
        if wanted is not None:
            held = self.bank.balance(self.native.contract, setup.account)
            self.bank.deposit(self.native.contract, setup.account, wanted - held)

    @property
    def contracts(self) -> dict[str, str]:
        """The contracts' ids by name: streams first, then tokens, then the unrelated ones."""
        return {
            "streams-v1": self.v1.contract,
            "streams-v1-older": self.v1_older.contract,
            "streams-v2": self.v2.contract,
            **{f"token-{token.name.lower()}": token.contract for token in self.tokens},
            "counter": self.counter.contract,
            "airdrop": self.airdrop.contract,
            "oddities": self.oddities.contract,
            "silent": self.silent.contract,
        }
