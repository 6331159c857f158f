"""The SIGNING_KEY of a wallet's domain, out of its stellar.toml (SEP-1), for SEP-10's ``client_domain``.

A stranger names the host, so everything about the request is narrow: https on port 443 of public
addresses only, no redirect, no proxy, no cookie, 100 KB and 5 seconds in all. The name is resolved once,
every address is checked, and the connection goes to a checked address: what the name resolves to
a moment later does not matter. Why a fetch failed goes to the log; the caller learns that it failed.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from loguru import logger

from stellarstream_core import __version__
from stellarstream_core.api.auth.domain_names import checked_name, is_public
from stellarstream_core.api.auth.errors import (
    ClientDomainError,
    ClientDomainKeyError,
    ClientDomainUnavailableError,
)
from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.xdr.strkey import account_id_bytes

PATH = "/.well-known/stellar.toml"
PORT = 443
LARGEST_FILE = 100 * 1024
SECONDS = 5.0
KEPT_SECONDS = 300.0
"""How long a key is taken from memory; a domain that changes it waits that long."""
FAILURE_KEPT_SECONDS = 30.0

_KEPT_DOMAINS = 512
_AT_ONCE = 8
"""Fetches at a time; others wait, within their 5 seconds."""
_MOST_ADDRESSES = 16

_DEEP_KEY = re.compile(
    r"""(?:\.[ \t]*+(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+){16}""",
)
"""A dotted key of 17 parts or more. ``tomllib`` takes quadratic time for them: most of a minute for 100 KB."""

Resolve = Callable[[str], Awaitable[Sequence[tuple[str, int]]]]
"""Returns a name's addresses, each with the port to connect to. Raises ``OSError`` where it has none."""


class _RefusedError(Exception):
    """Why a domain was refused; for the log."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is kept of a domain: its key, or the error it led to."""

    key: str | None = None
    error: ClientDomainError | None = None


class ClientDomains:
    """Looks signing keys up, and remembers them for a while, failures too. For one event loop.

    ``resolve``, ``allowed`` (the rule for addresses) and ``trust`` (certificates) are there for tests.
    """

    def __init__(
        self,
        *,
        resolve: Resolve | None = None,
        allowed: Callable[[str], bool] = is_public,
        trust: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._lookups = threading.BoundedSemaphore(_AT_ONCE)
        self._resolve = resolve or self._resolved
        self._allowed = allowed
        self._trust = trust
        self._seconds = seconds
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._cache: ExpiringCache[str, _Answer] = ExpiringCache(
            _KEPT_DOMAINS, lambda answer: KEPT_SECONDS if answer.key else FAILURE_KEPT_SECONDS
        )

    async def signing_key(self, domain: str) -> tuple[str, str]:
        """Return the domain in its ASCII form, and its SIGNING_KEY (G…).

        Raises ``ClientDomainMalformedError``, ``ClientDomainUnavailableError`` or ``ClientDomainKeyError``.
        """
        name = checked_name(domain)
        answer = await self._cache.get(name, self._asked)
        if answer.key is None:
            raise answer.error or ClientDomainUnavailableError("The client domain's stellar.toml cannot be fetched.")
        return name, answer.key

    async def _asked(self, name: str) -> _Answer:
        try:
            async with asyncio.timeout(self._seconds):
                async with self._gate:
                    raw = await self._fetched(name)
                    key = await asyncio.to_thread(key_in, raw)
        except (_RefusedError, OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
            logger.info("stellar.toml of client domain {} refused: {}: {}", name, type(error).__name__, error)
            return _Answer(error=ClientDomainUnavailableError("The client domain's stellar.toml cannot be fetched."))
        if key is None:
            return _Answer(error=ClientDomainKeyError("The client domain's stellar.toml has no usable SIGNING_KEY."))
        return _Answer(key)

    async def _fetched(self, name: str) -> bytes:
        addresses = list(await self._resolve(name))[: _MOST_ADDRESSES + 1]
        if not addresses or len(addresses) > _MOST_ADDRESSES:
            raise _RefusedError(f"{len(addresses)} addresses")
        for address, _ in addresses:
            if not self._allowed(address):
                raise _RefusedError("not all of its addresses are public")
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(name, addresses),
            use_dns_cache=False,
            ssl=await self._trusted(),
            force_close=True,
            limit=1,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers={"User-Agent": f"stellarstream/{__version__}", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=self._seconds),
            ) as session,
            session.get(f"https://{name}{PATH}", allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise _RefusedError(f"status {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _RefusedError("compressed")
            return await _at_most(response.content, LARGEST_FILE)

    async def _trusted(self) -> ssl.SSLContext:
        """Return the machine's certificates, read when they are first needed: it takes 20 ms, and few ever do."""
        if self._trust is None:
            self._trust = await asyncio.to_thread(ssl.create_default_context)
        return self._trust

    async def _resolved(self, name: str) -> Sequence[tuple[str, int]]:
        """Ask the machine's resolver, in a thread that nobody waits for: it may take half a minute to give up."""
        if not self._lookups.acquire(blocking=False):
            raise _RefusedError("too many slow lookups")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[tuple[str, int]]] = loop.create_future()

        def settle(found: Sequence[tuple[str, int]] | Exception) -> None:
            if answer.done():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def ask() -> None:
            found: Sequence[tuple[str, int]] | Exception
            try:
                found = _addresses(name)
            except (OSError, ValueError) as error:
                found = error
            finally:
                self._lookups.release()
            with suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=ask, name="client-domain", daemon=True).start()
        return await answer


def _addresses(name: str) -> list[tuple[str, int]]:
    # A dot at the end: the name itself, never one of this machine's search domains.
    found = socket.getaddrinfo(f"{name}.", PORT, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [(str(address[0]), PORT) for *_, address in found]


class _Pinned(AbstractResolver):
    """Answers for one name with addresses that were checked, and for no other."""

    def __init__(self, name: str, addresses: Sequence[tuple[str, int]]) -> None:
        self._name = name
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the checked addresses; ``port`` is theirs."""
        if host != self._name:
            raise OSError("another host was asked for")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=at,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, at in self._addresses
        ]

    async def close(self) -> None:
        """Hold nothing."""


async def _at_most(content: aiohttp.StreamReader, limit: int) -> bytes:
    parts = bytearray()
    async for part in content.iter_any():
        parts += part
        if len(parts) > limit:
            raise _RefusedError(f"more than {limit} bytes")
    return bytes(parts)


def key_in(raw: bytes) -> str | None:
    """Return the SIGNING_KEY (G…) of a stellar.toml, or None where it is no TOML or has none."""
    try:
        text = raw.decode("utf-8-sig")
        if _DEEP_KEY.search(text):
            return None
        key = tomllib.loads(text).get("SIGNING_KEY")
        account_id_bytes(key if isinstance(key, str) else "")
    except (ValueError, RecursionError, InvalidStrkeyError):  # not UTF-8, not TOML, nested without end
        return None
    return str(key)
