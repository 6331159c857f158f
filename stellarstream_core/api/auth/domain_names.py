"""Domain names that strangers give: which are taken, and to which addresses a connection may go."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address

from stellarstream_core.api.auth.errors import ClientDomainMalformedError

LONGEST_NAME = 64
"""A challenge carries the domain as the value of a data entry, which has at most 64 bytes."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+(?:[a-z]{{2,63}}|xn--[a-z0-9-]{{0,58}}[a-z0-9])")
_INTERNAL = frozenset({"localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "onion"})

_CLOSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_OPEN_6 = IPv6Network("2000::/3")
"""Global unicast. IPv4-mapped addresses, NAT64, site-local and the rest lie outside of it."""
_CLOSED_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""Within it: protocol assignments (Teredo, ORCHID), documentation, and 6to4, which leads to any IPv4 address."""


def checked_name(text: str) -> str:
    """Return a domain name in its ASCII form (``xn--…``), in small letters.

    Raises ``ClientDomainMalformedError`` for anything else: IP addresses in whatever spelling, ports,
    paths, user names, single labels, names of local networks, names too long for a challenge.
    """
    name = text.lower() if text.isascii() else _ascii_form(text)
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name) or name.rpartition(".")[2] in _INTERNAL:
        raise ClientDomainMalformedError("The client domain is no domain name that can be asked.")
    return name


def _ascii_form(text: str) -> str:
    """Return the IDNA form of a name with other letters, or nothing where it has none."""
    from yarl import URL  # noqa: PLC0415 - aiohttp's own; it encodes hosts by IDNA 2008

    if len(text) > LONGEST_NAME:
        return ""
    try:
        return URL.build(scheme="https", host=text.lower()).raw_host or ""
    except ValueError:  # UnicodeError is one
        return ""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one that anybody on the internet could connect to.

    Stricter than ``ipaddress.is_global``, whose registry depends on the release of Python, and which
    holds addresses for global that lead to private ones by translation (NAT64, 6to4).
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if ip.version == 4:
        return not any(ip in network for network in _CLOSED_4)
    return ip.scope_id is None and ip in _OPEN_6 and not any(ip in network for network in _CLOSED_6)
