"""Whose signatures stand under a transaction, and whether their weights suffice (stellar-core's SignatureChecker)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from stellarstream_sandbox.economy.world import Account
from stellarstream_sandbox.identity import account_id
from stellarstream_sandbox.submission.incoming import Signature

_ED25519, _PRE_AUTH_TX, _HASH_X, _SIGNED_PAYLOAD = range(4)
"""``SignerKeyType``: the first four bytes of a ``SignerKey``."""

MASTER, LOW, MEDIUM, HIGH = range(4)
"""Which byte of an account's thresholds is which."""


def verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature holds."""
    if len(signature) != 64:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def signers_of(account: Account) -> list[tuple[bytes, int]]:
    """Return who may sign for an account: ``SignerKey`` XDR and weight, the account's own key first."""
    weight = account.thresholds[MASTER]
    master = [(account_id(account.id), weight)] if weight else []
    return [*master, *account.signers]


class SignatureCheck:
    """The signatures over one hash; remembers which of them were of use."""

    def __init__(self, signed: bytes, signatures: Sequence[Signature]) -> None:
        self._signed = signed
        self._signatures = signatures
        self._used = [False] * len(signatures)

    @property
    def all_used(self) -> bool:
        """Whether each signature was somebody's that was asked for."""
        return all(self._used)

    def allows(self, signers: Sequence[tuple[bytes, int]], needed: int) -> bool:
        """Tell whether the signatures of these signers reach the weight; even a weight of 0 needs one of them."""
        weight = 0
        left = []
        for key, worth in signers:
            if int.from_bytes(key[:4], "big") == _PRE_AUTH_TX:
                if key[4:] == self._signed:
                    weight += worth
                    if weight >= needed:
                        return True
            else:
                left.append((key, worth))
        for at, signature in enumerate(self._signatures):
            for signer in left:
                if self._is_of(signature, signer[0]):
                    self._used[at] = True
                    weight += signer[1]
                    if weight >= needed:
                        return True
                    left.remove(signer)
                    break
        return False

    def _is_of(self, signature: Signature, key: bytes) -> bool:
        kind = int.from_bytes(key[:4], "big")
        body = key[4:36]
        if kind == _HASH_X:
            return signature.hint == body[-4:] and sha256(signature.raw).digest() == body
        if kind == _SIGNED_PAYLOAD:
            payload = key[40 : 40 + int.from_bytes(key[36:40], "big")]
            # the payload's last four bytes, with zeros behind it where it is shorter
            tail = payload[-4:].ljust(4, b"\0")
            hint = bytes(one ^ other for one, other in zip(body[-4:], tail, strict=True))
            return signature.hint == hint and verifies(body, payload, signature.raw)
        return signature.hint == body[-4:] and verifies(body, self._signed, signature.raw)
