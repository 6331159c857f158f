"""QR codes of addresses: SVG and PNG, the same bytes each time. Black on white, whatever is around them."""

from __future__ import annotations

from io import BytesIO

import segno

QUIET = 4
"""Modules of white around a code: what its standard asks for."""
SMALLEST, LARGEST, USUAL = 128, 2_048, 512
"""Pixels of a PNG's side."""


def qr_svg(text: str) -> bytes:
    """Return a code as SVG without a size of its own: paths and a title, no script, no style."""
    code = _code(text)
    out = BytesIO()
    code.save(
        out,
        kind="svg",
        border=QUIET,
        dark="#000",
        light="#fff",
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        omitsize=True,
        nl=False,
        title=text,
    )
    return out.getvalue()


def qr_png(text: str, size: int = USUAL) -> bytes:
    """Return a code as PNG, a square of at most ``size`` pixels a side.

    Its modules are a whole number of pixels each, at least one: it is the largest such that fits.
    """
    code = _code(text)
    modules = code.symbol_size(border=QUIET)[0]
    out = BytesIO()
    code.save(out, kind="png", border=QUIET, scale=max(1, size // modules), dark="#000", light="#fff")
    return out.getvalue()


def _code(text: str) -> segno.QRCode:
    return segno.make(text, error="m", boost_error=False, micro=False)
