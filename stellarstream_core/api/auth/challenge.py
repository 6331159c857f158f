"""What a posted challenge is, and where one is refused: for which reason.

stellar-sdk is the judge of a challenge (SEP-10). It tells its reasons in prose, so the class of
a refusal is found out here, after the fact: nothing passes because of what stands on this page.
"""

from __future__ import annotations

import binascii
import time
from base64 import b64decode
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from stellarstream_core.api.auth.errors import (
    AccountUnsupportedError,
    ChallengeClientDomainUnsignedError,
    ChallengeError,
    ChallengeExpiredError,
    ChallengeMalformedError,
    ChallengeNotOursError,
    ChallengeNotSignedEnoughError,
    ChallengeNotYetValidError,
    ChallengeUnknownSignersError,
    ChallengeWrongDomainError,
    ChallengeWrongNetworkError,
)
from stellarstream_core.settings import NETWORKS

if TYPE_CHECKING:
    from stellar_sdk import TransactionEnvelope
    from stellar_sdk.operation import ManageData

LONGEST_ENVELOPE = 8_192
"""Characters of base64; a challenge of ours with all the signatures there is room for has some 2,600."""
MOST_SIGNATURES = 20
"""A transaction has room for so many."""
CLOCK_SECONDS = 300
"""How far in the future a challenge may begin: stellar-sdk's allowance for clocks that differ."""

_ENVELOPE_TYPE_TX = (2).to_bytes(4, "big")
CLIENT_DOMAIN = "client_domain"
WEB_AUTH_DOMAIN = "web_auth_domain"


def parsed(envelope_xdr: str, passphrase: str) -> TransactionEnvelope:
    """Return the transaction of a text, whoever signed it for whatever network.

    Only the plain envelope (v1) is taken: a fee bump is no challenge, and a v0 envelope is another
    spelling of one. Raises ``ChallengeMalformedError``.
    """
    from stellar_sdk import TransactionEnvelope  # noqa: PLC0415 - 600 ms to import

    refusal = ChallengeMalformedError("The text is not the XDR of a transaction, in base64.")
    if len(envelope_xdr) > LONGEST_ENVELOPE:
        raise refusal
    try:
        raw = b64decode(envelope_xdr.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise refusal from None
    if raw[:4] != _ENVELOPE_TYPE_TX:
        raise refusal
    try:
        envelope = TransactionEnvelope.from_xdr(_base64(raw), passphrase)
    except Exception:  # the SDK raises whatever its parts raise at bytes that are no XDR, RecursionError too
        raise refusal from None
    if len(envelope.signatures) > MOST_SIGNATURES or not envelope.transaction.operations:
        raise refusal
    if envelope.to_xdr() != _base64(raw):  # the SDK reads over padding that is not zero
        raise refusal
    return envelope


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def client_account(envelope: TransactionEnvelope) -> str:
    """Return the account (G…) that a challenge is for.

    Raises ``AccountUnsupportedError`` where it is a muxed one or has a memo, and ``ChallengeMalformedError``
    where there is none.
    """
    from stellar_sdk import NoneMemo  # noqa: PLC0415 - 600 ms to import

    source = envelope.transaction.operations[0].source
    if source is None:
        raise ChallengeMalformedError("The challenge is for no account.")
    if source.account_muxed_id is not None:
        raise AccountUnsupportedError("The challenge is for a muxed account (M…).")
    if envelope.transaction.memo is not None and not isinstance(envelope.transaction.memo, NoneMemo):
        raise AccountUnsupportedError("The challenge has a memo.")
    return str(source.account_id)


def client_domain(envelope: TransactionEnvelope) -> tuple[str, str] | None:
    """Return the client domain that a challenge names and the key (G…) that must sign for it, or None."""
    for entry in _entries(envelope):
        if entry.data_name == CLIENT_DOMAIN and entry.source is not None and entry.data_value is not None:
            return entry.data_value.decode("ascii", "replace"), str(entry.source.account_id)
    return None


def _entries(envelope: TransactionEnvelope) -> Iterator[ManageData]:
    from stellar_sdk.operation import ManageData  # noqa: PLC0415 - 600 ms to import

    return (each for each in envelope.transaction.operations if isinstance(each, ManageData))


def require_ours(envelope: TransactionEnvelope, server: str) -> None:
    """Return where this server signed the transaction: all that is in it is our own then.

    Raises ``ChallengeNotOursError`` or ``ChallengeWrongNetworkError``.
    """
    source = envelope.transaction.source
    if source.account_id != server or source.account_muxed_id is not None:
        raise ChallengeNotOursError("The challenge is another server's.")
    if not signed_by(envelope, {server}):
        if network := _other_network(envelope, {server}):
            raise ChallengeWrongNetworkError(f"The challenge is for the network {network!r}.")
        raise ChallengeNotOursError("The challenge is not signed by this server, or was changed since.")


def why_refused(envelope: TransactionEnvelope, domain: str) -> ChallengeError:
    """Return why stellar-sdk did not take a transaction that this server signed for a challenge."""
    transaction = envelope.transaction
    bounds = transaction.preconditions.time_bounds if transaction.preconditions else None
    if bounds is not None and bounds.max_time:
        now = time.time()
        if now > bounds.max_time:
            return ChallengeExpiredError("The challenge has expired.")
        if now < bounds.min_time - CLOCK_SECONDS:
            return ChallengeNotYetValidError("The challenge's time has not begun.")
    for index, entry in enumerate(_entries(envelope)):
        if index == 0 and entry.data_name.endswith(" auth") and entry.data_name != f"{domain} auth":
            return ChallengeWrongDomainError("The challenge is for another home domain.")
        if entry.data_name == WEB_AUTH_DOMAIN and entry.data_value != domain.encode():
            return ChallengeWrongDomainError("The challenge is for another login server.")
    return ChallengeMalformedError("The transaction is no challenge as this server makes them.")


def why_not_signed(envelope: TransactionEnvelope, server: str, signers: Collection[str]) -> ChallengeError:
    """Return why stellar-sdk did not find a challenge of ours signed by those who may (G…)."""
    others = set(signers) | {server}
    domain = client_domain(envelope)
    if domain is not None:
        others.add(domain[1])
        if not signed_by(envelope, {domain[1]}):
            return ChallengeClientDomainUnsignedError("The key of the client domain has not signed the challenge.")
    if len(signed_by(envelope, others)) < len(envelope.signatures):
        if network := _other_network(envelope, others):
            return ChallengeWrongNetworkError(f"The challenge is signed for the network {network!r}.")
        return ChallengeUnknownSignersError("A signature on the challenge is nobody's who may sign for the account.")
    return ChallengeNotSignedEnoughError("The account's signers have not signed with enough weight.")


def signed_by(envelope: TransactionEnvelope, accounts: Collection[str], passphrase: str | None = None) -> set[int]:
    """Return which signatures, by index, are one of these accounts' (G…), for this or another network."""
    from stellar_sdk import Keypair, TransactionEnvelope  # noqa: PLC0415 - 600 ms to import
    from stellar_sdk.exceptions import BadSignatureError  # noqa: PLC0415 - 600 ms to import

    if passphrase is not None:
        envelope = TransactionEnvelope(envelope.transaction, passphrase, envelope.signatures)
    digest = envelope.hash()
    found = set()
    for account in accounts:
        key = Keypair.from_public_key(account)
        for index, signature in enumerate(envelope.signatures):
            if index in found or signature.signature_hint != key.signature_hint():
                continue
            try:
                key.verify(digest, signature.signature)
            except BadSignatureError:
                continue
            found.add(index)
    return found


def _other_network(envelope: TransactionEnvelope, accounts: Collection[str]) -> str | None:
    """Return the name of a known network that a signature of these accounts is for, if there is one."""
    for name, network in NETWORKS.items():
        if network.passphrase != envelope.network_passphrase and signed_by(envelope, accounts, network.passphrase):
            return name
    return None
