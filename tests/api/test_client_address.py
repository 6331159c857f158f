"""The client's address is believed as far as trusted proxies tell it, and no further."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.api.client_address import (
    MOST_HOPS,
    UNIX,
    AddressReader,
    TrustedProxies,
    find_client,
    group_of,
    plain_address,
)

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8", "192.0.2.7", UNIX])

proxies = st.sampled_from(["10.1.2.3", "fd00::5", "192.0.2.7", "::ffff:10.0.0.1"])
clients = (st.ip_addresses(v=4) | st.ip_addresses(v=6)).map(str).filter(lambda text: not PROXIES.trusts(plain(text)))
garbage = st.text(st.characters(exclude_characters=",\r\n")).filter(lambda text: plain_address(text) is None)


def plain(text: str) -> str:
    found = plain_address(text)
    assert found is not None
    return found


# --- who is believed --------------------------------------------------------------------------------


@settings(deadline=None)
@given(clients, st.lists(clients | garbage))
def test_without_trusted_proxies_the_header_is_not_read(peer, hops):
    assert find_client(peer, [", ".join(hops)]).address == plain(peer)


@settings(deadline=None)
@given(clients, st.lists(clients | proxies | garbage))
def test_of_a_peer_that_is_no_trusted_proxy_nothing_is_believed(peer, hops):
    assert find_client(peer, [", ".join(hops)], PROXIES).address == plain(peer)


@settings(deadline=None)
@given(proxies, clients, st.lists(proxies, max_size=5), st.lists(clients | proxies | garbage, max_size=5))
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(peer, client, behind, invented):
    header = ", ".join([*invented, client, *behind])
    assert find_client(peer, [header], PROXIES).address == plain(client)


@settings(deadline=None)
@given(proxies, clients, st.lists(proxies, min_size=1, max_size=5), garbage.filter(str.strip))
def test_what_is_no_address_ends_the_chain(peer, client, behind, junk):
    header = ", ".join([client, junk, *behind])
    assert find_client(peer, [header], PROXIES).address == plain(behind[0])


@settings(deadline=None)
@given(proxies, st.lists(proxies, min_size=1, max_size=5))
def test_where_all_are_proxies_it_is_the_farthest(peer, hops):
    assert find_client(peer, [",".join(hops)], PROXIES).address == plain(hops[0])


@settings(deadline=None)
@given(proxies, st.lists(clients | proxies | garbage, min_size=1, max_size=8), st.integers(1, 7))
def test_several_headers_mean_the_same_as_one(peer, hops, cut):
    whole = [", ".join(hops)]
    parts = [part for part in (hops[:cut], hops[cut:]) if part]
    assert find_client(peer, [", ".join(part) for part in parts], PROXIES) == find_client(peer, whole, PROXIES)


@settings(deadline=None)
@given(st.none() | st.text(max_size=80), st.lists(st.text(max_size=300), max_size=3))
def test_no_peer_and_no_header_makes_it_fail(peer, headers):
    found = find_client(peer, headers, PROXIES)
    assert found.address == UNIX or ip_address(found.address)


def test_a_unix_sockets_peer_is_believed_only_where_it_is_trusted():
    assert find_client("", ["192.0.2.1"]) == (UNIX, UNIX)
    assert find_client(None, ["192.0.2.1"], TrustedProxies(["10.0.0.0/8"])) == (UNIX, UNIX)
    assert find_client("", ["192.0.2.1"], PROXIES) == ("192.0.2.1", "192.0.2.1")


def test_an_endless_chain_of_proxies_is_cut():
    header = ", ".join(["192.0.2.1", *["10.0.0.1"] * MOST_HOPS])
    assert find_client("10.0.0.1", [header], PROXIES).address == "10.0.0.1"
    header = ", ".join(["192.0.2.1", *["10.0.0.1"] * (MOST_HOPS - 1)])
    assert find_client("10.0.0.1", [header], PROXIES).address == "192.0.2.1"


# --- what is an address -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ("192.0.2", None),
        ("192.0.2.01", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:x", None),
        ("192.0.2.1:70000", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]x", None),
        ("[]", None),
        ("1" * 500, None),
    ],
)
def test_addresses_have_one_spelling_and_other_text_is_none(text, address):
    assert plain_address(text) == address


@settings(deadline=None)
@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_an_ipv6_client_is_limited_with_all_of_its_64(address, other):
    mapped = address.ipv4_mapped
    if mapped is None:
        neighbour = IPv6Address(int(address) >> 64 << 64 | other)
        if neighbour.ipv4_mapped is None:
            assert group_of(plain(str(address))) == group_of(plain(str(neighbour)))
        far = IPv6Address(int(address) ^ 1 << 64)
        assert group_of(plain(str(address))) != group_of(plain(str(far)))


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_an_ipv4_client_is_limited_alone_also_where_it_is_written_as_ipv6(address):
    assert find_client(f"::ffff:{address}").group == find_client(str(address)).group == str(address)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.org", "", "10.0.0.0/33", "Unix"])
def test_a_trusted_proxy_that_is_none_is_told(text):
    with pytest.raises(ValueError, match="is no address, network or 'unix'"):
        TrustedProxies([text])


def test_a_proxy_network_written_as_ipv6_holds_its_ipv4_addresses():
    assert TrustedProxies(["::ffff:10.0.0.0/104"]).trusts("10.200.0.1")


async def test_the_client_of_a_real_request_is_found():
    from aiohttp import ClientSession, web

    seen = []
    readers = [AddressReader(), AddressReader(["127.0.0.1"])]

    async def note(request: web.Request) -> web.Response:
        seen.append([reader.find(request).group for reader in readers])
        return web.Response()

    app = web.Application()
    app.router.add_get("/", note)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
        async with ClientSession() as session:
            headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "2001:db8:1:2:3::4")]
            async with session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/", headers=headers) as answer:
                assert answer.status == 200
        await site.stop()
    finally:
        await runner.cleanup()
    assert seen == [["127.0.0.1", "2001:db8:1:2::/64"]]
