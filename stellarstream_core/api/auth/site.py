"""The service's own address, taken apart once: what logins, tokens and stellar.toml are made out to."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from stellarstream_core.errors import SettingsError

AUTH_PATH = "/api/v1/auth"
_DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST_DOMAIN = 59
"""``DOMAIN auth`` is the name of a data entry (SEP-10), and those have at most 64 bytes."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the service is reached from outside.

    ``url`` is ``public_url`` without a slash at its end, ``origin`` its scheme and host. ``domain`` is
    the host, with the port where it is not the scheme's own: what a wallet was told to look for
    stellar.toml, so SEP-10's home domain, and its web auth domain too, since one service is both.
    """

    url: str
    origin: str
    domain: str

    @property
    def auth_endpoint(self) -> str:
        """Where challenges and tokens are to be had: stellar.toml's WEB_AUTH_ENDPOINT, and the tokens' issuer."""
        return f"{self.url}{AUTH_PATH}"


def site_of(public_url: str) -> Site:
    """Take ``public_url`` apart. Raises ``SettingsError`` where nothing could be made out to it."""
    help = "Write it as https://HOST or https://HOST/PATH."
    try:
        parts = urlsplit(public_url)
        port = parts.port
    except ValueError:
        raise SettingsError("public_url: this is not an address.", help=help) from None
    host = parts.hostname or ""
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError("public_url: this is not a plain http:// or https:// address.", help=help)
    if not host.isascii() or not host.isprintable() or any(c in host for c in ' "\\<>'):
        raise SettingsError(
            "public_url: its host has other characters than a domain name.", help="Write it in ASCII (xn--…)."
        )
    domain = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        domain = f"{domain}:{port}"
    if len(domain) > LONGEST_DOMAIN:
        raise SettingsError(
            f"public_url: its host has {len(domain)} characters; a SEP-10 home domain has at most {LONGEST_DOMAIN}.",
            help="Serve the API under a shorter name.",
        )
    origin = f"{parts.scheme}://{domain}"
    return Site(f"{origin}{parts.path.rstrip('/')}", origin, domain)
