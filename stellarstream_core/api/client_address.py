"""Who a request comes from: the client's address, also behind proxies that are trusted to tell it.

``X-Forwarded-For`` is written by anybody. What can be believed is its right end, as far as each hop to
the right of it is a trusted proxy: the client is the rightmost address that is none. Without trusted
proxies the header is not read at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

FORWARDED_FOR = "X-Forwarded-For"
UNIX = "unix"
"""The address of a peer that came through a Unix socket, and its name among trusted proxies."""

IPV6_GROUP_BITS = 64
"""One IPv6 subscriber has at least these leading bits for itself, and changes the others at will."""

MOST_HOPS = 32
"""Hops that are looked at, from the right: a longer chain of trusted proxies is a mistake."""
_LONGEST = 64

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


class Client(NamedTuple):
    """The client: its address as text, and the group that is limited together (an IPv6 client's /64)."""

    address: str
    group: str


class TrustedProxies:
    """The proxies whose word on the client is taken: addresses, networks in CIDR notation, and ``unix``."""

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        """Read them; raise ``ValueError`` with a sentence for what is none."""
        names = [name.strip() for name in proxies]
        self.unix = UNIX in names
        self._networks = tuple(_network(name) for name in names if name != UNIX)

    def __bool__(self) -> bool:
        return self.unix or bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Tell whether an address, as :func:`plain_address` returns it, is one of them."""
        if address == UNIX:
            return self.unix
        found = ip_address(address)
        return any(found in network for network in self._networks)


NO_PROXIES = TrustedProxies()


class AddressReader:
    """Finds the client of aiohttp's requests, given the setting ``trusted_proxies``."""

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        """Read the proxies; raise ``ValueError`` with a sentence for what is none."""
        self._trusted = TrustedProxies(proxies)

    def find(self, request: BaseRequest) -> Client:
        """Return the client of a request."""
        forwarded = request.headers.getall(FORWARDED_FOR, ()) if self._trusted else ()
        return find_client(request.remote, forwarded, self._trusted)


def find_client(peer: str | None, forwarded_for: Sequence[str] = (), trusted: TrustedProxies = NO_PROXIES) -> Client:
    """Return the client of a request.

    ``peer`` is the address at the other end of the connection, None or empty for a Unix socket.
    ``forwarded_for`` are the values of all ``X-Forwarded-For`` headers, in order. What is not an address
    ends the chain: nothing to the left of it was seen by a proxy that is trusted.
    """
    address = plain_address(peer) if peer else UNIX
    if address is None:  # no address: some other kind of socket
        return Client(UNIX, UNIX)
    if forwarded_for and trusted and trusted.trusts(address):
        for hop in _hops(forwarded_for):
            found = plain_address(hop)
            if found is None:
                break
            address = found
            if not trusted.trusts(address):
                break
    return Client(address, group_of(address))


@lru_cache(maxsize=4096)
def plain_address(text: str) -> str | None:
    """Return an IP address in its one spelling, None where the text is none.

    A port, brackets and a zone are left out, and an IPv4 address written as IPv6 becomes IPv4.
    """
    if len(text) > _LONGEST:
        return None
    text = text.strip()
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or not _is_port(port):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(_unmapped(address))


@lru_cache(maxsize=4096)
def group_of(address: str) -> str:
    """Return what is limited together: the address, for IPv6 its /64; other text stays as it is."""
    if ":" not in address:
        return address
    number = int(IPv6Address(address)) >> (128 - IPV6_GROUP_BITS) << (128 - IPV6_GROUP_BITS)
    return f"{IPv6Address(number)}/{IPV6_GROUP_BITS}"


def _hops(values: Sequence[str]) -> Iterable[str]:
    """Return the hops from the right, the last ``MOST_HOPS`` of them."""
    left = MOST_HOPS
    for value in reversed(values):
        for hop in reversed(value.rsplit(",", left)):
            if not left:
                return
            left -= 1
            yield hop.strip()


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit() and int(text[1:]) < 65536)


def _network(text: str) -> _Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address, network or '{UNIX}': {error}") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _unmapped(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
