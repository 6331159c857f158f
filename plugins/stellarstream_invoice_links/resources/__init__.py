"""The API of invoice links: one module a resource."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellarstream_core.api.routes import Route

MODULES = ("links", "paying", "pictures", "live", "page")


def all_routes() -> Sequence[Route]:
    """Return the routes of every resource."""
    return [route for name in MODULES for route in import_module(f"{__name__}.{name}").ROUTES]
