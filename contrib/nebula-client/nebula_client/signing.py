"""What signs: the shape of a signer, for wallets, hardware and services that keep keys."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

Signed: TypeAlias = str | Mapping[str, object]
"""The signed transaction's XDR in base64, or what wallets' interfaces answer: ``{"signedTxXdr": …}``."""


@runtime_checkable
class Signer(Protocol):
    """Signs transactions of an account.

    Whose they are is told by an attribute ``public_key``, or a method ``get_address()`` that returns it; without either
    pass ``account=`` to the calls.
    """

    def sign_transaction(self, xdr: str, *, network_passphrase: str, address: str | None = None) -> Signed:
        """Return a transaction's XDR with the signature of ``address`` for this network added; raise to refuse."""


@runtime_checkable
class AsyncSigner(Protocol):
    """The same for :class:`AsyncNebulaClient`, where it may wait. ``get_address()`` may be asynchronous, too."""

    def sign_transaction(self, xdr: str, *, network_passphrase: str, address: str | None = None) -> Awaitable[Signed]:
        """Return a transaction's XDR with the signature of ``address`` for this network added; raise to refuse."""


AnySigner: TypeAlias = Signer | AsyncSigner
