"""A signer for servers and tests, which hold the secret key themselves."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nebula_client.errors import ConfigurationError, SigningError


class SecretKeySigner:
    """Signs with a secret key (``S…``), by ``stellar-sdk``: install ``nebula-client[stellar]``.

    The key is shown by nothing: neither ``repr`` nor an error.
    """

    def __init__(self, secret: str) -> None:
        try:
            self._sdk: Any = import_module("stellar_sdk")  # takes half a second: only who signs here waits for it
        except ImportError as error:
            raise ConfigurationError("SecretKeySigner needs stellar-sdk: install nebula-client[stellar].") from error
        try:
            self._keys = self._sdk.Keypair.from_secret(secret)
        except Exception:
            raise ConfigurationError("Not a secret key: it begins with S and has 56 characters.") from None
        self.public_key: str = self._keys.public_key
        """The account whose master key it is."""

    def sign_transaction(self, xdr: str, *, network_passphrase: str, address: str | None = None) -> str:
        """Return the transaction with a signature by the key; ``address`` may be another account that it signs for."""
        try:
            envelope = self._sdk.TransactionEnvelope.from_xdr(xdr, network_passphrase)
        except Exception as error:
            raise SigningError(f"What is to be signed is no transaction ({type(error).__name__}).") from None
        envelope.sign(self._keys)
        signed: str = envelope.to_xdr()
        return signed

    def __repr__(self) -> str:
        return f"SecretKeySigner({self.public_key!r})"

    def __reduce__(self) -> str:
        raise TypeError("a SecretKeySigner is not written down: it holds a secret key")
