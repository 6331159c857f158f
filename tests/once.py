"""What every start does alike and with the same result, done once for all tests of a process.

None of it is what a test is about: where one is, it brings its own routes, certificates or distributions, and those
are described, trusted and read as ever.
"""

from __future__ import annotations

import functools
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import Distribution
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def starts_share() -> Iterator[None]:
    """Read the metadata of installed distributions once; describe the API's routes and load certificates once."""
    with pytest.MonkeyPatch.context() as patch:
        _read_distributions_once(patch)
        if "stellarstream_core.api.app" in sys.modules:  # a test at hand serves something
            _describe_routes_once(patch)
            _load_certificates_once(patch)
        yield


def _read_distributions_once(patch: pytest.MonkeyPatch) -> None:
    parse = Distribution.metadata.fget
    parsed: dict[str, Any] = {}

    def metadata(self: Distribution) -> Any:
        text = self.read_text("METADATA") or self.read_text("PKG-INFO")
        if not text:
            return parse(self)
        if text not in parsed:
            parsed[text] = parse(self)
        return parsed[text]

    patch.setattr(Distribution, "metadata", property(metadata))


def _describe_routes_once(patch: pytest.MonkeyPatch) -> None:
    """A description follows from what routes say of themselves, their handlers aside."""
    from stellarstream_core.api import app, service
    from stellarstream_core.api.auth.site import Site
    from stellarstream_core.api.routes import Route

    names = [one.name for one in fields(Route) if one.name not in {"handler", "at_start"}]
    try_it, describe = app._try, service._described
    tried: set[Any] = set()
    described: dict[Any, bytes] = {}

    def said(route: Route) -> Any:
        return tuple(_hashable(getattr(route, name)) for name in names)

    def try_once(route: Route) -> None:
        if (key := said(route)) not in tried:
            try_it(route)
            tried.add(key)

    def describe_once(routes: Sequence[Route], site: Site) -> bytes:
        key = (site, *map(said, routes))
        if key not in described:
            described[key] = describe(routes, site)
        return described[key]

    patch.setattr(app, "_try", try_once)
    patch.setattr(service, "_described", describe_once)


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(value.items())
    return tuple(value) if isinstance(value, list) else value


def _load_certificates_once(patch: pytest.MonkeyPatch) -> None:
    from stellarstream_core.api.auth.client_domain import ClientDomains

    make = ClientDomains.__init__
    trusted = functools.cache(ssl.create_default_context)

    def init(self: ClientDomains, **options: Any) -> None:
        make(self, **{**options, "trust": options.get("trust") or trusted()})

    patch.setattr(ClientDomains, "__init__", init)
