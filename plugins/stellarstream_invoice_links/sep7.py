"""Requests to sign as an address (SEP-7): ``web+stellar:tx?xdr=…``, which a wallet on the same machine opens.

A request is signed where a key is configured; the service's domain is named in signed ones only, because a wallet
refuses a request that names a domain without its signature. stellar-sdk writes the address.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from stellarstream_core.api.auth.domain_names import checked_name
from stellarstream_core.api.auth.errors import ClientDomainMalformedError
from stellarstream_core.settings import NETWORKS
from stellarstream_invoice_links.settings import InvoiceLinkSettings

if TYPE_CHECKING:
    from stellarstream_core.settings import Settings

MOST_MESSAGE = 300
"""Characters of ``msg``, before they are encoded."""
TOML_KEY = "URI_REQUEST_SIGNING_KEY"
_PREFIX = b"\0" * 35 + b"\4" + b"stellar.sep.7 - URI Scheme"


def request_uri(
    xdr: str,
    *,
    passphrase: str,
    callback: str,
    payer: str,
    message: str,
    public_url: str,
    key: SecretStr | None,
) -> str:
    """Return the address of a request to sign an envelope (base64).

    ``callback`` is where the wallet posts it when it is signed, ``payer`` (G…) who is to sign, ``message`` (at most
    :data:`MOST_MESSAGE` characters) what the wallet shows, ``public_url`` this service's address and ``key`` the
    secret seed that signs requests. The network is named unless it is the public one, as SEP-7 says.
    """
    from stellar_sdk import TransactionEnvelope  # noqa: PLC0415 - 600 ms to import
    from stellar_sdk.sep.stellar_uri import TransactionStellarUri  # noqa: PLC0415 - 600 ms to import

    uri = TransactionStellarUri(
        TransactionEnvelope.from_xdr(xdr, passphrase),
        callback=callback,
        pubkey=payer,
        message=message,
        network_passphrase=None if passphrase == NETWORKS["pubnet"].passphrase else passphrase,
        origin_domain=origin_domain(public_url) if key is not None else None,
    ).to_uri()
    return uri if key is None else signed(uri, key)


def signed(uri: str, key: SecretStr) -> str:
    """Return a request with its signature, which is its last parameter.

    SEP-7, "Request Signing": over 35 bytes of zero, a 4, ``stellar.sep.7 - URI Scheme`` and the address without it.
    """
    from stellar_sdk import Keypair  # noqa: PLC0415 - 600 ms to import

    signature = Keypair.from_secret(key.get_secret_value()).sign(_PREFIX + uri.encode())
    return f"{uri}&signature={quote(b64encode(signature), safe='')}"


def origin_domain(public_url: str) -> str | None:
    """Return the domain that a signed request is from, None where wallets could not look for its stellar.toml.

    They do so at ``https://DOMAIN/.well-known/stellar.toml``: so with neither another scheme nor a port, and DOMAIN
    is a fully qualified name.
    """
    parts = urlsplit(public_url)
    if parts.scheme != "https" or parts.port not in {None, 443}:
        return None
    try:
        return checked_name(parts.hostname or "")
    except ClientDomainMalformedError:
        return None


def stellar_toml_entries(settings: Settings) -> Mapping[str, str]:
    """Return what stellar.toml says of the signatures: the account (G…) of the key that is configured, if one is."""
    key = settings.section(InvoiceLinkSettings).uri_signing_key
    if key is None:
        return {}
    from stellar_sdk import Keypair  # noqa: PLC0415 - 600 ms to import, only where it is set

    return {TOML_KEY: Keypair.from_secret(key.get_secret_value()).public_key}
