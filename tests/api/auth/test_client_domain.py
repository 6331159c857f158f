"""The SIGNING_KEY of a client domain, from a real server over TLS, and what is never asked."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Keypair

from stellarstream_core.api.auth.client_domain import LARGEST_FILE, ClientDomains, key_in
from stellarstream_core.api.auth.domain_names import checked_name, is_public
from stellarstream_core.api.auth.errors import (
    ClientDomainError,
    ClientDomainKeyError,
    ClientDomainMalformedError,
    ClientDomainUnavailableError,
)
from stellarstream_core.api.expiring import ExpiringCache

KEY = Keypair.random().public_key
NAME = "wallet.example.org"
TOML = f'VERSION = "2.6.0"\nSIGNING_KEY = "{KEY}"\n'


class Wallet:
    """A web server of a wallet's domain on 127.0.0.1, with a certificate for ``NAME`` of an authority of its own."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.certificate = self.authority.issue_cert(NAME)
        self.requests: list[web.Request] = []
        self.connections = 0
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.toml
        self.text = TOML

    async def toml(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.text)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)

    async def __aenter__(self) -> Wallet:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certificate.configure_cert(context)
        self.runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = self.runner.addresses[0][1]
        return self

    async def __aexit__(self, *_) -> None:
        await self.runner.cleanup()

    @property
    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        return [("127.0.0.1", self.port)]

    def domains(self, **more) -> ClientDomains:
        given = {"resolve": self.resolve, "allowed": lambda address: True, "trust": self.trust, "seconds": 2.0}
        return ClientDomains(**{**given, **more})


@pytest.fixture
async def wallet():
    async with Wallet() as wallet:
        yield wallet


async def refused(domains: ClientDomains, name: str = NAME) -> type[ClientDomainError]:
    with pytest.raises(ClientDomainError) as caught:
        await domains.signing_key(name)
    assert caught.value.status == 400
    return type(caught.value)


# --- fetching --------------------------------------------------------------------------------------


async def test_the_key_is_fetched_over_tls_from_the_well_known_place(wallet):
    assert await wallet.domains().signing_key("Wallet.Example.ORG") == (NAME, KEY)
    (request,) = wallet.requests
    assert (request.method, request.path_qs, request.host) == ("GET", "/.well-known/stellar.toml", NAME)
    assert "Cookie" not in request.headers
    assert "Authorization" not in request.headers


async def test_a_certificate_that_nobody_vouches_for_is_refused(wallet):
    assert await refused(wallet.domains(trust=ssl.create_default_context())) is ClientDomainUnavailableError
    assert not wallet.requests


async def test_a_certificate_for_another_name_is_refused(wallet):
    assert await refused(wallet.domains(), "other.example.org") is ClientDomainUnavailableError
    assert not wallet.requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(wallet, status):
    async def redirect(request):
        return web.Response(status=status, headers={"Location": f"https://{NAME}/other"})

    wallet.answer = redirect
    assert await refused(wallet.domains()) is ClientDomainUnavailableError
    assert len(wallet.requests) == 1


@pytest.mark.parametrize("status", [204, 206, 403, 404, 500])
async def test_only_a_plain_200_counts(wallet, status):
    async def answer(request):
        return web.Response(status=status, text=TOML if status != 204 else None)

    wallet.answer = answer
    assert await refused(wallet.domains()) is ClientDomainUnavailableError


async def test_at_most_100_kb_are_read(wallet):
    wallet.text = TOML + "#" * (LARGEST_FILE - len(TOML))
    assert (await wallet.domains().signing_key(NAME))[1] == KEY
    wallet.text += "#"
    assert await refused(wallet.domains()) is ClientDomainUnavailableError


async def test_an_endless_file_is_given_up(wallet):
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 100 * LARGEST_FILE:
            await response.write(b"#" * 8192)
            sent += 8192
        return response

    wallet.answer = endless
    assert await refused(wallet.domains()) is ClientDomainUnavailableError
    assert sent < 100 * LARGEST_FILE


async def test_compressed_files_are_not_unpacked(wallet):
    async def zipped(request):
        assert request.headers["Accept-Encoding"] == "identity"
        response = web.Response(text="#" * 10_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    wallet.answer = zipped
    assert await refused(wallet.domains()) is ClientDomainUnavailableError


@pytest.mark.parametrize("slow", ["headers", "body", "resolver"])
async def test_all_of_it_may_take_so_many_seconds_and_no_more(wallet, slow):
    async def answer(request):
        response = web.StreamResponse()
        if slow == "headers":
            await asyncio.sleep(5)
        await response.prepare(request)
        for _ in range(50):  # each part comes soon, the whole does not
            await response.write(b"#")
            await asyncio.sleep(0.1)
        return response

    async def resolve(name):
        if slow == "resolver":
            await asyncio.sleep(5)
        return await wallet.resolve(name)

    wallet.answer = answer
    begun = time.perf_counter()
    assert await refused(wallet.domains(seconds=0.3, resolve=resolve)) is ClientDomainUnavailableError
    assert time.perf_counter() - begun < 1.5


async def test_nothing_is_said_of_why_a_domain_is_unavailable(wallet):
    async def nowhere(name):
        raise socket.gaierror("Name or service not known")

    said = set()
    for more in ({"resolve": nowhere}, {"allowed": is_public}, {"trust": ssl.create_default_context()}):
        with pytest.raises(ClientDomainUnavailableError) as caught:
            await wallet.domains(**more).signing_key(NAME)
        assert caught.value.__cause__ is None
        said.add((str(caught.value), caught.value.help))
    assert len(said) == 1


async def test_proxies_of_the_environment_are_not_used(wallet, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await wallet.domains().signing_key(NAME))[1] == KEY


async def test_cookies_are_not_kept(wallet):
    async def cookie(request):
        return web.Response(text="nothing", headers={"Set-Cookie": "a=b"})

    wallet.answer = cookie
    domains = wallet.domains()
    await refused(domains)
    domains._cache._answers.clear()
    await refused(domains)
    assert len(wallet.requests) == 2
    assert all("Cookie" not in request.headers for request in wallet.requests)


# --- addresses --------------------------------------------------------------------------------------


async def test_one_address_that_is_not_public_is_enough_to_refuse_the_domain(wallet):
    async def mixed(name):
        return [("93.184.216.34", wallet.port), ("127.0.0.1", wallet.port)]

    assert await refused(wallet.domains(resolve=mixed, allowed=is_public)) is ClientDomainUnavailableError
    assert not wallet.requests


async def test_without_rules_for_tests_the_machine_itself_is_not_asked(wallet):
    assert await refused(wallet.domains(allowed=is_public)) is ClientDomainUnavailableError
    assert not wallet.requests


async def test_the_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(wallet):
    asked = []

    async def rebinding(name):
        asked.append(name)
        return [("127.0.0.1", wallet.port if len(asked) == 1 else 9)]

    checked = []
    domains = wallet.domains(resolve=rebinding, allowed=lambda address: checked.append(address) or True)
    assert (await domains.signing_key(NAME))[1] == KEY
    assert (asked, checked) == ([NAME], ["127.0.0.1"])


async def test_a_name_without_addresses_or_with_very_many_is_unavailable(wallet):
    for count in (0, 17):

        async def resolve(name, count=count):
            return await wallet.resolve(name) * count

        assert await refused(wallet.domains(resolve=resolve)) is ClientDomainUnavailableError
    assert not wallet.requests


async def test_the_real_resolver_asks_for_the_whole_name_and_gives_port_443(monkeypatch):
    asked = []

    def getaddrinfo(host, port, **more):
        asked.append((host, port))
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:2800:220:1::1", 443, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    checked = []
    domains = ClientDomains(allowed=lambda address: bool(checked.append(address)))
    assert await refused(domains) is ClientDomainUnavailableError
    assert asked == [(f"{NAME}.", 443)]
    assert checked == ["2606:2800:220:1::1"]


async def test_slow_lookups_hold_nobody_up_and_are_bounded(monkeypatch):
    go, begun = threading.Event(), []

    def getaddrinfo(host, port, **more):
        begun.append(host)
        go.wait(10)
        raise socket.gaierror("none")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    domains = ClientDomains(seconds=0.2)
    names = [f"w{n}.example.org" for n in range(20)]
    started = time.perf_counter()
    for _ in range(2):
        answers = await asyncio.gather(*(domains.signing_key(name) for name in names), return_exceptions=True)
        assert {type(answer) for answer in answers} == {ClientDomainUnavailableError}
        domains._cache._answers.clear()
    assert time.perf_counter() - started < 3
    assert len(begun) == 8
    go.set()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if domains._lookups._value == 8:
            break
    assert await refused(domains) is ClientDomainUnavailableError
    assert len(begun) == 9


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.7",
        "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
        "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1",
        "2001:0:4136:e378::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
        "2002:808:808::1", "3fff::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0",
        "fec0::1", "ff02::1", "5f00::1", "4000::1", "", "localhost", "8.8.8.8:443", "8.8.8", "0x8.8.8.8",
        "134744072",
    ],
)  # fmt: skip
def test_addresses_that_are_not_everybodys_are_closed(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::1"]
)
def test_public_addresses_are_open(address):
    assert is_public(address)


@given(st.ip_addresses())
def test_what_the_standard_library_holds_for_private_is_never_open(address):
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org", "example.org"),
        ("A-1.Example.ORG", "a-1.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("1.2.3.example", "1.2.3.example"),
    ],
)
def test_domain_names_are_taken_in_their_ascii_form(text, name):
    assert checked_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "org", "localhost", "foo.localhost", "db.internal", "printer.local", "127.0.0.1", "127.1", "0x7f.1",
        "127.0x1", "2130706433", "[::1]", "::1", "example.org:443", "example.org.", ".example.org", "a..org", "-a.org",
        "a-.org", "a_b.org", "http://example.org", "example.org/", "example.org/x", "u@example.org", "u:p@example.org",
        "example.org?x", "example.org#x", "example.org\\x", "exa mple.org", " example.org", "example.org\n", "a.org\0",
        "example.org%00", "１２７.０.０.１", "e\u202ex.org", "a." * 40 + "org", "x" * 64 + ".org", "ü" * 5_000 + ".org",
        "example.123", "example.1a",
    ],
)  # fmt: skip
async def test_everything_else_is_no_domain_name(text):
    async def never(name):
        pytest.fail("it was resolved")

    domains = ClientDomains(resolve=never)
    assert await refused(domains, text) is ClientDomainMalformedError


@given(st.text(max_size=80))
def test_a_checked_name_is_a_plain_one(text):
    try:
        name = checked_name(text)
    except ClientDomainMalformedError:
        return
    assert name.isascii()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert checked_name(name) == name


# --- the file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIGNING_KEY",
        "SIGNING_KEY = 5",
        'SIGNING_KEY = ""',
        f'SIGNING_KEY = "{KEY[:-1]}"',
        f'SIGNING_KEY = "{Keypair.random().secret}"',
        f'signing_key = "{KEY}"',
        f'[DOCUMENTATION]\nSIGNING_KEY = "{KEY}"',
        f'SIGNING_KEY = "{KEY}"\nSIGNING_KEY = "{KEY}"',
        f"A = '''\nSIGNING_KEY = \"{KEY}\"\n'''",
        "A = " + "[" * 50_000,
        "A = " + "{a=" * 30_000,
        "<html></html>",
    ],
    ids=lambda text: text[:15],  # none of the keys: they differ between processes
)
async def test_a_file_without_a_usable_key_is_told_as_that(wallet, text):
    wallet.text = text
    assert await refused(wallet.domains()) is ClientDomainKeyError


def test_a_key_is_found_whatever_else_is_in_the_file():
    assert (
        key_in(("\ufeff" + TOML + '[[CURRENCIES]]\ncode = "X"\nname = "a.b.c. Many. Dots. In. A. Text."').encode())
        == KEY
    )
    assert key_in(b"\xff\xfe") is None
    assert key_in(b"") is None


@pytest.mark.parametrize(
    "text",
    [
        "a." * 50_000 + "a = 1",
        '"a". ' * 20_000 + "a = 1",
        "'a'." * 25_000 + "a = 1",
        "x = {" + "a." * 49_000 + "a = 1}",
        "[" + "a." * 50_000 + "a]",
        "x = {a = '''\n''', " + "b." * 49_000 + 'b = 1, c = "\'"}',
        ".".join(['"' + "\\\\" * 10 + '"'] * 4_000) + " = 1",
        '."' + '\\"' * 50_000,
        (".aaaa" * 15 + " x") * 1_200,
        "\n".join("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p" + str(n) + " = 1" for n in range(2_700)),
        "\n".join(f"[t{n}]" for n in range(14_000)),
        "[[a]]\n" * 17_000,
        "a = [" + "1," * 50_000 + "]",
        'a = "' + "\\u0041" * 17_000 + '"',
        "a = " + "1" * 100_000,
    ],
    ids=lambda text: text[:16],
)
def test_no_file_of_100_kb_takes_long_to_read(text):
    # tomllib alone takes most of a minute for the first of these
    begun = time.perf_counter()
    key_in(text[:LARGEST_FILE].encode())
    assert time.perf_counter() - begun < 1.0


# --- remembering --------------------------------------------------------------------------------------


async def test_keys_and_failures_are_remembered_for_a_while(wallet):
    domains = wallet.domains()
    for _ in range(3):
        await domains.signing_key(NAME)
    assert len(wallet.requests) == 1
    failing = wallet.domains()
    wallet.text = ""
    for _ in range(3):
        assert await refused(failing) is ClientDomainKeyError
    assert len(wallet.requests) == 2


async def test_many_who_ask_for_one_domain_at_once_fetch_it_once(wallet):
    domains = wallet.domains()
    answers = await asyncio.gather(*(domains.signing_key(NAME) for _ in range(20)))
    assert set(answers) == {(NAME, KEY)}
    assert len(wallet.requests) == 1


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


async def test_an_answer_counts_from_when_it_was_asked_for():
    clock, asked = Clock(), []
    cache: ExpiringCache[str, int] = ExpiringCache(10, lambda answer: 3.0, clock=clock)

    async def look_up(key):
        asked.append(key)
        clock.time += 2
        return len(asked)

    assert await cache.get("a", look_up) == 1
    clock.time += 0.9
    assert await cache.get("a", look_up) == 1
    clock.time += 0.1
    assert await cache.get("a", look_up) == 2


async def test_the_least_used_answer_goes_first():
    cache: ExpiringCache[str, str] = ExpiringCache(2, lambda answer: 3.0)

    async def look_up(key):
        return key

    for key in ("a", "b", "a", "c"):
        await cache.get(key, look_up)
    assert (cache.peek("a"), cache.peek("b"), cache.peek("c")) == ("a", None, "c")


async def test_who_gives_up_takes_the_answer_from_nobody():
    cache: ExpiringCache[str, str] = ExpiringCache(2, lambda answer: 3.0)
    go = asyncio.Event()

    async def look_up(key):
        await go.wait()
        return key

    first = asyncio.create_task(cache.get("a", look_up))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.get("a", look_up))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await second == "a"


async def test_a_failed_lookup_is_everybodys_and_is_not_kept():
    cache: ExpiringCache[str, str] = ExpiringCache(2, lambda answer: 3.0)
    asked = []

    async def look_up(key):
        asked.append(key)
        await asyncio.sleep(0)
        raise OSError("down")

    answers = await asyncio.gather(cache.get("a", look_up), cache.get("a", look_up), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError]
    assert len(asked) == 1
    with pytest.raises(OSError, match="down"):
        await cache.get("a", look_up)
    assert len(asked) == 2
