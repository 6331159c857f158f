"""Requests to sign: SEP-7's own example, and every field of ours read back by stellar-sdk and checked as wallets do."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from pydantic import SecretStr
from stellar_sdk import Keypair
from stellar_sdk.exceptions import BadSignatureError
from stellar_sdk.sep.stellar_uri import TransactionStellarUri

from stellarstream_core.errors import SettingsError
from stellarstream_core.hookspecs import PluginSettings
from stellarstream_core.settings import Settings, load_settings
from stellarstream_invoice_links.sep7 import origin_domain, request_uri, signed, stellar_toml_entries
from stellarstream_invoice_links.settings import InvoiceLinkSettings
from tests.nebula.relay_kit import ALICE, PASSPHRASE, PUBNET, drafted

# SEP-7, "Request Signing", its example
EXAMPLE_SEED = "SBPOVRVKTTV7W3IOX2FJPSMPCJ5L2WU2YKTP3HCLYPXNI5MDIGREVNYC"
EXAMPLE = (
    "web+stellar:pay?destination=GCALNQQBXAPZ2WIRSDDBMSTAKCUH5SG6U76YBFLQLIXJTF7FE5AX7AOO&amount=120.1234567"
    "&memo=skdjfasf&msg=pay%20me%20with%20lumens&origin_domain=someDomain.com"
)
EXAMPLE_SIGNED = (
    f"{EXAMPLE}&signature=JTlGMGzxUv90P2SWxUY9xo%2BLlbXaDloend6gkpyylY8X4bUNf6%2F9mFTMJs7JKqSDPRtejlK1kQvrsJfRZSJeAQ"
    "%3D%3D"
)

KEY = Keypair.from_raw_ed25519_seed(bytes(range(32)))
SLUG = "aB3dE5gH7jK9"
MESSAGE = f"Invoice {SLUG}: a payment stream to {ALICE.public_key}"
CALLBACK = f"https://pay.example.org/api/v1/invoice-links/{SLUG}/submit"


def uri(key: Keypair | None = KEY, passphrase: str = PASSPHRASE, **more: Any) -> str:
    values = {
        "callback": CALLBACK,
        "payer": ALICE.public_key,
        "message": MESSAGE,
        "public_url": "https://pay.example.org",
        **more,
    }
    xdr = drafted(passphrase=passphrase).to_xdr()
    return request_uri(xdr, passphrase=passphrase, key=None if key is None else SecretStr(key.secret), **values)


def verified(text: str, key: Keypair) -> None:
    """Check a signature as SEP-7 has wallets do it."""
    request, mark, signature = text.rpartition("&signature=")
    assert mark
    payload = bytes(35) + bytes([4]) + b"stellar.sep.7 - URI Scheme" + request.encode()
    key.verify(payload, b64decode(unquote(signature), validate=True))


def test_the_example_of_sep_7_is_signed_as_it_says():
    assert signed(EXAMPLE, SecretStr(EXAMPLE_SEED)) == EXAMPLE_SIGNED
    verified(EXAMPLE_SIGNED, Keypair.from_secret(EXAMPLE_SEED))


def test_every_field_is_read_back_and_the_signature_is_good():
    text = uri()
    read = TransactionStellarUri.from_uri(text, None)
    assert read.transaction_envelope.to_xdr() == drafted().to_xdr()
    assert (read.callback, read.pubkey, read.msg) == (CALLBACK, ALICE.public_key, MESSAGE)
    assert (read.network_passphrase, read.origin_domain) == (PASSPHRASE, "pay.example.org")
    assert not read.replace
    assert text.startswith("web+stellar:tx?xdr=")
    assert f"&callback=url%3Ahttps%3A%2F%2Fpay.example.org%2Fapi%2Fv1%2Finvoice-links%2F{SLUG}%2Fsubmit&" in text
    assert "+" not in text.partition(":")[2]  # some wallets take it for a space, others do not
    assert read.to_uri() == text  # so stellar-sdk's own payload is that of the text
    KEY.verify(read._signature_payload, b64decode(read.signature))
    verified(text, KEY)
    with pytest.raises(BadSignatureError):
        verified(text.replace(SLUG, SLUG.swapcase()), KEY)
    with pytest.raises(BadSignatureError):
        verified(text, ALICE)


def test_without_a_key_there_is_neither_signature_nor_domain():
    names = [name for name, _ in parse_qsl(uri(None).partition("?")[2], strict_parsing=True)]
    assert names == ["xdr", "callback", "pubkey", "msg", "network_passphrase"]


def test_the_signature_is_the_last_parameter():
    assert [name for name, _ in parse_qsl(uri().partition("?")[2])][-2:] == ["origin_domain", "signature"]


def test_the_network_is_named_unless_it_is_the_public_one():
    public = uri(passphrase=PUBNET)
    assert "network_passphrase" not in public
    assert TransactionStellarUri.from_uri(public, PUBNET).transaction_envelope.to_xdr() == drafted().to_xdr()
    assert TransactionStellarUri.from_uri(uri(passphrase="another one"), None).network_passphrase == "another one"


def test_a_message_may_have_300_characters_and_no_more():
    assert TransactionStellarUri.from_uri(uri(message="é" * 300), None).msg == "é" * 300
    with pytest.raises(ValueError, match="300"):
        uri(message="x" * 301)


DOMAINS = {
    "https://pay.example.org": "pay.example.org",
    "https://Pay.Example.org/streams": "pay.example.org",
    "https://pay.example.org:443": "pay.example.org",
    "https://xn--bcher-kva.example": "xn--bcher-kva.example",
    "https://pay.example.org:8443": None,  # wallets ask at the scheme's own port
    "http://pay.example.org": None,  # and by https
    "http://localhost:3000": None,
    "https://localhost": None,
    "https://127.0.0.1": None,
    "https://[::1]": None,
    "https://pay": None,
    "https://pay.local": None,
}


@pytest.mark.parametrize(("address", "domain"), DOMAINS.items(), ids=list(DOMAINS))
def test_only_a_domain_that_wallets_can_ask_is_named(address, domain):
    assert origin_domain(address) == domain
    text = uri(public_url=address)
    assert TransactionStellarUri.from_uri(text, None).origin_domain == domain
    verified(text, KEY)


def settings(**section: object) -> Settings:
    plain = load_settings(flags={"plugins": {"invoice-links": section}}, environ={})
    return plain.with_sections([PluginSettings("invoice-links", InvoiceLinkSettings)])


def test_stellar_toml_names_the_account_of_the_key_and_never_the_key():
    told = stellar_toml_entries(settings(uri_signing_key=KEY.secret))
    assert told == {"URI_REQUEST_SIGNING_KEY": KEY.public_key}
    assert stellar_toml_entries(settings()) == {}


def test_a_seed_that_is_none_is_refused_without_being_repeated():
    wrong = KEY.secret[:-1] + ("A" if KEY.secret[-1] != "A" else "B")
    with pytest.raises(SettingsError) as caught:
        settings(uri_signing_key=wrong)
    assert "uri_signing_key" in str(caught.value)
    assert wrong[:8] not in f"{caught.value} {caught.value.help}"
    assert KEY.secret not in repr(InvoiceLinkSettings(uri_signing_key=KEY.secret))
