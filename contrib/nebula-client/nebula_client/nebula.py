"""``Nebula``: one client for a whole program, set up once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import httpx2

from nebula_client._core.config import ClientOptions
from nebula_client.client import NebulaClient
from nebula_client.errors import NotInitializedError


class _Nebula(NebulaClient):
    """The calls of :class:`NebulaClient`, after :meth:`initialize`."""

    def __init__(self) -> None:
        """Begin without a service."""

    def initialize(
        self, base_url: str, *, transport: httpx2.BaseTransport | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        """Say which service it is; once more to have another one from now on."""
        former = self.__dict__.get("_driver")
        super().__init__(base_url, transport=transport, **options)
        if former is not None:
            former.close()

    def close(self) -> None:
        """Close all connections, and forget the service."""
        if (driver := self.__dict__.pop("_driver", None)) is not None:
            driver.close()
        self.__dict__.pop("_core", None)

    if not TYPE_CHECKING:  # else every name would be one

        def __getattr__(self, name: str) -> object:
            if name in {"_core", "_driver"}:
                raise NotInitializedError('Say where the service is first: Nebula.initialize("https://…")')
            raise AttributeError(name)

    def __repr__(self) -> str:
        return super().__repr__().lstrip("_") if "_core" in self.__dict__ else "Nebula()"


Nebula = _Nebula()
"""For programs with one service: ``Nebula.initialize(base_url)``, then ``Nebula.get_stream(…)`` and all other calls."""
