"""Everything there is on a sandbox network before and after each ledger: accounts, tokens, contracts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_sandbox import contract_interfaces as interfaces
from stellarstream_sandbox.accounts import NEW_BALANCE, AccountSetup, signer_key
from stellarstream_sandbox.contract_spec import ContractSpec
from stellarstream_sandbox.economy.bank import Bank, Token
from stellarstream_sandbox.economy.bystanders import Airdrop, Counter, Oddities, Silent
from stellarstream_sandbox.economy.streams_v1 import StreamsV1, StreamsV1Older
from stellarstream_sandbox.economy.streams_v2 import StreamsV2
from stellarstream_sandbox.economy.vault import Vault
from stellarstream_sandbox.identity import NATIVE, Asset, Directory

USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")

UNIT = 10**7
"""One whole token: all of them have seven decimals."""

GENESIS_LEDGER = 1

VAULT_RESERVE = 1_000_000 * UNIT
"""What each vault has at the start to pay interest with."""

Contract = StreamsV1 | StreamsV2 | Vault | Token | Counter | Silent | Airdrop | Oddities


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
        self.bank = Bank(self.tokens, self.accounts)
        for account in self.accounts:
            self.bank.deposit(self.native.contract, account, 100_000_000 * UNIT)
        for user in self.users:
            self.bank.deposit(self.usdc.contract, user, 2_000_000 * UNIT)
            self.bank.deposit(self.nova.contract, user, 2_000_000 * UNIT)

        self._code: dict[bytes, tuple[ContractSpec, bytes]] = {}
        wasm = self.install(interfaces.STREAMS_V1)
        self.vaults = {
            vault.contract: vault
            for vault in (
                Vault(directory.contract(f"vault-{token.name.lower()}"), token.contract, self.bank, self.admin)
                for token in self.tokens
            )
        }
        for vault in self.vaults.values():
            self.bank.deposit(vault.token, vault.contract, VAULT_RESERVE)
        self.v1 = StreamsV1(directory.contract("streams-v1"), self.bank, wasm)
        self.v1_older = StreamsV1Older(directory.contract("streams-v1-older"), self.bank, wasm)
        self.v2 = StreamsV2(
            directory.contract("streams-v2"), self.bank, self.treasury, admin=self.admin, vaults=self.vaults
        )
        self.counter = Counter(directory.contract("counter"), self.install(interfaces.COUNTER))
        self.silent = Silent(directory.contract("silent"))
        self.airdrop = Airdrop(directory.contract("airdrop"), self.bank)
        self.oddities = Oddities(directory.contract("oddities"))
        self._index()
        for contract in self._contracts.values():
            self.wasm_of(contract)

    def copy(self) -> World:
        """Return the same world, to be changed apart from this one: for a call that is only tried.

        Streams are shared, because nothing changes them in place; the rest is small.
        """
        return self._copy({account: copy.copy(entry) for account, entry in self.accounts.items()})

    def snapshot(self) -> World:
        """Return what :meth:`restore` takes: a copy that shares the classic accounts with this world."""
        return self._copy(self.accounts)

    def _copy(self, accounts: dict[str, Account]) -> World:
        other = copy.copy(self)
        other.accounts = accounts
        other.bank = self.bank.copy(accounts)
        other._code = self._code.copy()
        other.vaults = {contract: vault.copy(other.bank) for contract, vault in self.vaults.items()}
        other.v1, other.v1_older = self.v1.copy(other.bank), self.v1_older.copy(other.bank)
        other.v2 = self.v2.copy(other.bank, other.vaults)
        other.counter = copy.copy(self.counter)
        other.airdrop = Airdrop(self.airdrop.contract, other.bank)
        other._index()
        return other

    def restore(self, saved: World) -> None:
        """Become what a snapshot is, as far as contracts can change it; it must not be used afterwards.

        The contracts stay the objects they are, so whoever holds one sees it as it was. ``accounts`` stay: a
        call changes balances, not sequence numbers and signers.
        """
        self.bank.restore(saved.bank)
        self._code = saved._code
        for contract, vault in self.vaults.items():
            vars(vault).update(vars(saved.vaults[contract]), bank=self.bank)
        vars(self.v1).update(vars(saved.v1), bank=self.bank)
        vars(self.v1_older).update(vars(saved.v1_older), bank=self.bank)
        vars(self.v2).update(vars(saved.v2), bank=self.bank, vaults=self.vaults)
        vars(self.counter).update(vars(saved.counter))

    def _index(self) -> None:
        """Note which contract has which id."""
        contracts: tuple[Contract, ...] = (
            self.v1,
            self.v1_older,
            self.v2,
            *self.tokens,
            *self.vaults.values(),
            self.counter,
            self.airdrop,
            self.oddities,
            self.silent,
        )
        self._contracts = {one.contract: one for one in contracts}

    def contract(self, contract: str) -> Contract | None:
        """Return a contract by its C… id."""
        return self._contracts.get(contract)

    def vault_of(self, token: str) -> Vault:
        """Return the vault that takes a token, by the token's C… id."""
        return next(vault for vault in self.vaults.values() if vault.token == token)

    def install(self, spec: ContractSpec, release: bytes = b"") -> bytes:
        """Put a contract's code on the network; return its hash. ``release`` makes other code of the same interface."""
        wasm_hash = spec.wasm_hash(release)
        self._code[wasm_hash] = (spec, release)
        return wasm_hash

    def code(self, wasm_hash: bytes) -> bytes | None:
        """Return the wasm module with a hash."""
        found = self._code.get(wasm_hash)
        return None if found is None else found[0].wasm(found[1])

    def wasm_of(self, contract: Contract) -> bytes | None:
        """Return the hash of the code that a contract runs; None where the host itself is it."""
        if isinstance(contract, StreamsV1 | Counter):
            return contract.wasm
        if isinstance(contract, Token) and contract.asset is not None:
            return None
        return self.install(spec_of(contract))

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
            **{
                f"vault-{token.name.lower()}": contract
                for token, contract in zip(self.tokens, self.vaults, strict=True)
            },
            "counter": self.counter.contract,
            "airdrop": self.airdrop.contract,
            "oddities": self.oddities.contract,
            "silent": self.silent.contract,
        }


_SPECS: dict[type, ContractSpec] = {
    StreamsV1: interfaces.STREAMS_V1,
    StreamsV1Older: interfaces.STREAMS_V1,
    StreamsV2: interfaces.STREAMS_V2,
    Vault: interfaces.VAULT,
    Counter: interfaces.COUNTER,
    Silent: interfaces.SILENT,
    Airdrop: interfaces.AIRDROP,
    Oddities: interfaces.ODDITIES,
}


def spec_of(contract: Contract) -> ContractSpec:
    """Return a contract's interface."""
    if isinstance(contract, Token):
        return interfaces.TOKEN if contract.asset is None else interfaces.ASSET
    return _SPECS[type(contract)]
