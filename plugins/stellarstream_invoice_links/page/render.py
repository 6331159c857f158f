"""Rendering: the pay page's templates, everything escaped, a missing variable an error."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from stellarstream_core import __version__
from stellarstream_core.api.pages import render as core
from stellarstream_core.api.pages import text
from stellarstream_core.api.pages.static import bundle, bundle_of

HTML = core.HTML
HEADERS = {**core.HEADERS, "X-Robots-Tag": "noindex, nofollow"}
"""What goes with every page: that of the framework's own ones; and a search engine has no business with invoices."""
ROOT = "../"
"""From ``/invoice/{slug}`` to the service's root. Links are relative: the service may stand below a path."""


@cache
def environment() -> Environment:
    """Return the templates' environment."""
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(visible=text.visible, short=text.short)
    made.globals.update(
        root=ROOT,
        version=__version__,
        static=lambda name: f"{ROOT}invoice/{bundle_of(__package__).path(name)}",
        icon=f"{ROOT}{bundle().path('icon.svg')}",
    )
    return made


def render(template: str, /, **context: Any) -> bytes:
    """Return a page."""
    return environment().get_template(template).render(**context).encode()
