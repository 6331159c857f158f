"""Accounts made to order: who may sign for them, with which weights and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from stellarstream_core.errors import InvalidStrkeyError, UsageError
from stellarstream_core.xdr.account import MAX_SIGNERS, MAX_WEIGHT
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, account_id_bytes, decode, encode
from stellarstream_sandbox.pack import u32

MAX_BALANCE = 2**63 - 1
NEW_BALANCE = 10_000 * 10**7
"""Stroops that an account has where nothing else is said: what friendbot gives on test networks."""

_SIGNER_KINDS = {VERSION_ACCOUNT: 0, 19 << 3: 1, 23 << 3: 2, 15 << 3: 3}
"""``SignerKeyType`` by the version byte of G…, T… (pre-authorized transaction), X… (hash) and P… (signed payload).

A strkey's payload is the XDR that follows the type in all four (SEP-23).
"""
_SIGNED_PAYLOAD = 3


@dataclass(frozen=True, slots=True)
class AccountSetup:
    """How an account is to be.

    ``signers`` maps G… (or T…, X…, P…) to a weight from 1 to 255, without the account itself, whose
    weight is ``master_weight``. ``thresholds`` are low, medium and high. ``balance`` is in stroops; None
    leaves it as it is, 10,000 XLM for an account that is new.
    """

    account: str
    signers: Mapping[str, int] = field(default_factory=dict)
    master_weight: int = 1
    thresholds: tuple[int, int, int] = (0, 0, 0)
    balance: int | None = None

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` where no account of a network can be like that."""
        account_id_bytes(self.account)
        object.__setattr__(self, "signers", MappingProxyType(dict(self.signers)))
        if len(self.signers) > MAX_SIGNERS:
            raise UsageError(f"An account has at most {MAX_SIGNERS} signers, not {len(self.signers)}.")
        if self.account in self.signers:
            raise UsageError("An account is no signer of its own: its weight is master_weight.")
        for signer, weight in self.signers.items():
            signer_key(signer)
            _within(f"the weight of {signer}", weight, 1, MAX_WEIGHT)
        _within("master_weight", self.master_weight, 0, MAX_WEIGHT)
        if len(self.thresholds) != 3:
            raise UsageError("thresholds are three: low, medium, high.")
        for threshold in self.thresholds:
            _within("a threshold", threshold, 0, MAX_WEIGHT)
        if self.balance is not None:
            _within("balance", self.balance, 0, MAX_BALANCE)


def signer_key(strkey: str) -> bytes:
    """Return the XDR of the ``SignerKey`` that a G…, T…, X… or P… strkey is; raise ``InvalidStrkeyError`` otherwise."""
    version, payload = decode(strkey)
    kind = _SIGNER_KINDS.get(version)
    if kind is None or not (_is_signed_payload(payload) if kind == _SIGNED_PAYLOAD else len(payload) == 32):
        raise InvalidStrkeyError(f"{strkey!r:.80} cannot sign for an account: signers begin with G, T, X or P.")
    return u32(kind) + payload


def signer_text(key: bytes) -> str:
    """Return the strkey of a ``SignerKey``; the reverse of :func:`signer_key`."""
    kind = int.from_bytes(key[:4], "big")
    version = next(version for version, number in _SIGNER_KINDS.items() if number == kind)
    return encode(version, key[4:])


def _is_signed_payload(raw: bytes) -> bool:
    size = int.from_bytes(raw[32:36], "big")
    return 0 < size <= 64 and len(raw) == 36 + (size + 3 & -4) and not any(raw[36 + size :])


def _within(name: str, value: int, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise UsageError(f"{name} is {value!r}, but must be a whole number from {low} to {high}.")
