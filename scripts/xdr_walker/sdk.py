"""Takes the schema out of the docstrings of the installed stellar-sdk, which quote the ``.x`` files."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent

from stellar_sdk import xdr
from stellar_sdk.xdr import constants

from scripts.xdr_walker.schema import Schema, parse

_DEFINITION = re.compile(r"\s*(typedef|enum\s+\w+|struct\s+\w+|union\s+(?!switch\b)\w+)\b")


def sdk_schema() -> Schema:
    """Return every type and constant that the installed stellar-sdk knows."""
    quoted = []
    for name in sorted(vars(xdr)):
        found = getattr(xdr, name)
        documented = found.__doc__ if inspect.isclass(found) else None
        _, mark, text = (documented or "").partition("XDR Source Code::")
        # Nested structs and unions have classes of their own, whose quotation has no name.
        if mark and _DEFINITION.match(text):
            quoted.append(dedent(text))
    numbers = {name: value for name, value in vars(constants).items() if name.isupper() and isinstance(value, int)}
    return parse("\n".join(quoted), numbers)
