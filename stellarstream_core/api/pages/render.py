"""Rendering: templates of this package, everything escaped, a missing variable an error."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from stellarstream_core import __version__
from stellarstream_core.api.pages import text
from stellarstream_core.api.pages.static import bundle

HTML = "text/html; charset=utf-8"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
}
"""What goes with every page: nothing from elsewhere, no inline script or style, no frame around it."""


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
    made.filters.update(
        visible=text.visible,
        short=text.short,
        clip=text.clip,
        compact=text.compact,
        pretty=text.pretty,
        number=text.number,
        duration=text.duration,
        clock=text.clock,
        moment=text.moment,
        moment_of=text.moment_of,
    )
    made.globals.update(plural=text.plural, ledgers=text.ledgers, version=__version__, static=bundle().path)
    return made


def render(template: str, /, *, depth: int = 0, **context: Any) -> bytes:
    """Return a page. ``depth`` is how many folders below the service's root its address lies.

    Links are relative, so that the pages also work behind a proxy that puts the service below a path.
    """
    root = "../" * depth or "./"
    return environment().get_template(template).render(root=root, **context).encode()
