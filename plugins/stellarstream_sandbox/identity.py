"""Who is who on the simulated network: keys, contract ids and assets, all derived from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, contract_id_text, encode
from stellarstream_sandbox.pack import ZERO, u32
from stellarstream_sandbox.scval import address

_VERSION_SEED = 18 << 3
_ENVELOPE_TYPE_CONTRACT_ID = u32(8)
_PREIMAGE_FROM_ADDRESS = u32(0)
_PREIMAGE_FROM_ASSET = u32(1)
_ASSET_NATIVE = u32(0)
_ASSET_ALPHANUM4 = u32(1)


class Keypair:
    """An account's Ed25519 keys."""

    __slots__ = ("account", "hint", "public", "secret")

    def __init__(self, seed: bytes) -> None:
        self.public, self.secret = crypto_sign_seed_keypair(seed)
        self.account = encode(VERSION_ACCOUNT, self.public)
        self.hint = self.public[-4:]

    @property
    def secret_key(self) -> str:
        """The secret as a strkey, S…."""
        return encode(_VERSION_SEED, self.secret[:32])

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature. Ed25519 needs no randomness, so it is always the same."""
        return crypto_sign(message, self.secret)[:64]


@dataclass(frozen=True, slots=True)
class Asset:
    """A classic asset: the native one (no issuer) or a code of at most four characters and its issuer's G… id."""

    code: str
    issuer: str | None = None

    @property
    def name(self) -> str:
        """The asset as SEP-11 writes it, which is also the last topic of its contract's events."""
        return "native" if self.issuer is None else f"{self.code}:{self.issuer}"

    @property
    def xdr(self) -> bytes:
        """The XDR of an ``Asset``."""
        if self.issuer is None:
            return _ASSET_NATIVE
        return _ASSET_ALPHANUM4 + self.code.encode("ascii").ljust(4, b"\0") + account_id(self.issuer)


NATIVE = Asset("XLM")


def account_id(strkey: str) -> bytes:
    """Return the XDR of an ``AccountID`` (an ``SCAddress`` of an account begins with its own arm)."""
    return address(strkey)[4:]


def network_id(passphrase: str) -> bytes:
    """Return what every signature and contract id of a network is bound to."""
    return sha256(passphrase.encode()).digest()


def asset_contract(network: bytes, asset: Asset) -> str:
    """Return the id of an asset's own contract (CAP-46-6), which only the network and the asset decide."""
    return contract_id_text(sha256(_ENVELOPE_TYPE_CONTRACT_ID + network + _PREIMAGE_FROM_ASSET + asset.xdr).digest())


def deployed_contract(network: bytes, deployer: str, salt: bytes) -> str:
    """Return the id of a contract that an account deployed with a salt of 32 bytes."""
    return contract_id_text(
        sha256(_ENVELOPE_TYPE_CONTRACT_ID + network + _PREIMAGE_FROM_ADDRESS + address(deployer) + salt).digest()
    )


class Directory:
    """Names and what they stand for, derived from a seed: the same names have the same keys."""

    def __init__(self, passphrase: str, seed: int) -> None:
        self.passphrase = passphrase
        self.network = network_id(passphrase)
        self._seed = seed
        self._keys: dict[str, Keypair] = {}
        self.deployer = self.keypair("deployer").account

    def keypair(self, name: str) -> Keypair:
        """Return the keys of a named account."""
        keys = Keypair(self.secret("account", name))
        self._keys[keys.account] = keys
        return keys

    def keys_of(self, account: str) -> Keypair:
        """Return the keys of an account by its G… id; it must have been named before."""
        return self._keys[account]

    def contract(self, name: str) -> str:
        """Return the id of a named contract that the network's deployer created."""
        return deployed_contract(self.network, self.deployer, self.secret("contract", name))

    def asset_contract(self, asset: Asset) -> str:
        """Return the id of an asset's contract on this network."""
        return asset_contract(self.network, asset)

    def secret(self, kind: str, name: str) -> bytes:
        """Return 32 bytes that only the seed, the kind and the name decide."""
        return sha256(f"stellarstream sandbox/{self._seed}/{kind}/{name}".encode()).digest()


ZERO_HASH = ZERO * 8
"""32 zero bytes: the hash before the first ledger's."""
