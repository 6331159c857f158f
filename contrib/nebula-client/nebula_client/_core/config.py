"""How a client is set up: its options, checked once."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict
from urllib.parse import urlencode, urlsplit

from nebula_client._core.session import Session
from nebula_client._version import __version__
from nebula_client.errors import ConfigurationError
from nebula_client.signing import AnySigner, Signer

API = "/api/v1"
OWN_HEADERS = frozenset({"authorization", "x-api-key", "idempotency-key", "content-type", "content-length", "host"})
"""Headers that nobody else may set."""

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")


class Limits(TypedDict, total=False):
    """What :meth:`with_options` changes."""

    timeout: float
    """Seconds for one attempt of a request: 30."""
    confirm_timeout: float
    """Seconds to wait until a transaction is in a ledger and indexed: 120."""
    max_retries: int
    """How often a request is sent again, where that is safe: 3."""


class CommonOptions(Limits, total=False):
    """What both clients can be told."""

    api_key: str | None
    """An API key of the service, for programs. It counts where there is no token."""
    token: str | None
    """The token of a login that was made elsewhere."""
    auto_login: bool
    """Log in with the signer where a call needs it: true."""
    network_passphrase: str | None
    """Sign for this network only."""
    headers: Mapping[str, str] | None
    """Sent with every request."""


class ClientOptions(CommonOptions, total=False):
    """What a client can be told; all of it may be left out."""

    signer: Signer | None
    """Who signs, where a call does not say otherwise."""


class AsyncClientOptions(CommonOptions, total=False):
    """The same, with a signer that may wait."""

    signer: AnySigner | None
    """Who signs, where a call does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time and chance come from."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Config:
    """Checked options."""

    base: str
    """Where the API is: ``…/api/v1``."""
    timeout: float = 30.0
    confirm_timeout: float = 120.0
    max_retries: int = 3
    auto_login: bool = True
    network_passphrase: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise :class:`ConfigurationError` for what cannot be."""
        for name in ("timeout", "confirm_timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigurationError(f"{name} is a number of seconds, more than 0.")
        if isinstance(self.max_retries, bool) or not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise ConfigurationError("max_retries is a whole number, 0 or more.")
        for name, value in self.headers.items():
            if name.lower() in OWN_HEADERS:
                raise ConfigurationError(f"The header {name} is the client's own: see token=, api_key= and the calls.")
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ConfigurationError(f"Not a header: {name!r}.")

    @property
    def shown(self) -> str:
        """Where the service is, as ``repr`` shows it."""
        return self.base.removesuffix(API)

    def url(self, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
        """Return the address of a path of the API."""
        try:
            return f"{self.base}{path}{'?' if query else ''}{urlencode(query)}"
        except UnicodeEncodeError:
            raise ConfigurationError("An argument has half a character (a lone surrogate).") from None


@dataclass(frozen=True, slots=True)
class Core:
    """What operations work with."""

    config: Config
    session: Session
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def of(cls, base_url: str, options: ClientOptions | AsyncClientOptions) -> Core:
        """Return the core of a client. Raises :class:`ConfigurationError`."""
        given: dict[str, Any] = dict(options)
        unknown = given.keys() - ClientOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
        signer, api_key, token = (given.pop(name, None) for name in ("signer", "api_key", "token"))
        given["headers"] = {"User-Agent": f"nebula-client/{__version__}", **(given.get("headers") or {})}
        config = Config(base=base_of(base_url), **given)
        session = Session(signer)
        if api_key is not None:
            session.use_api_key(visible(api_key, "api_key"))
        if token is not None:
            session.use_token(visible(token, "token"))
        return cls(config, session)

    def limited(self, limits: Limits) -> Core:
        """Return the same with other limits."""
        return replace(self, config=replace(self.config, **limits))


def visible(text: object, name: str) -> str:
    """Return a token or key that can stand in a header; what is none is refused without being shown."""
    if not isinstance(text, str) or not _CREDENTIAL.fullmatch(text):
        raise ConfigurationError(f"{name} is not one: plain characters without spaces are wanted.")
    return text


def base_of(base_url: object) -> str:
    """Return where the API is, for an address with or without ``/api/v1``."""
    if not isinstance(base_url, str):
        raise ConfigurationError("base_url is the service's address, such as https://streams.example.org")
    try:
        parts = urlsplit(base_url.strip())
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port  # raises where it is no number
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError("base_url is no address: give one like https://streams.example.org")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("base_url has no user, no query and no fragment: credentials go into their options.")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith(API) else path + API}"
