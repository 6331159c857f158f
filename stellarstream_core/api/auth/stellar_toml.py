"""The text of ``/.well-known/stellar.toml`` (SEP-1): how wallets find the login and check its signatures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stellarstream_core.api.auth.site import Site

VERSION = "2.6.0"
"""Of SEP-1, whose fields these are."""

Value = str | bool | int | Sequence[str]

_BARE_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SHORT = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\"}


def stellar_toml(site: Site, passphrase: str, signing_key: str | None, more: Mapping[str, Value] | None = None) -> str:
    """Return the file. Without ``signing_key`` (G…) nobody can log in, and no login is announced.

    ``more`` are further entries of the file's top; what SEP-1 keeps in tables is not for here. Raises
    ``ValueError`` for a name that is none of SEP-1's form, or one of those written here.
    """
    entries: dict[str, Value] = {"VERSION": VERSION, "NETWORK_PASSPHRASE": passphrase}
    if signing_key is not None:
        entries |= {"SIGNING_KEY": signing_key, "WEB_AUTH_ENDPOINT": site.auth_endpoint}
    for name, value in (more or {}).items():
        if not _BARE_KEY.fullmatch(name) or name in {*entries, "SIGNING_KEY", "WEB_AUTH_ENDPOINT"}:
            raise ValueError(f"{name!r} cannot be an entry of stellar.toml")
        entries[name] = value
    return "".join(f"{name} = {_written(value)}\n" for name, value in entries.items())


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    return f"[{', '.join(map(_written, value))}]"


def _escaped(character: str) -> str:
    """Return a character as a basic string of TOML has it: control characters are not allowed as they are."""
    if character in _SHORT:
        return _SHORT[character]
    if ord(character) < 0x20 or ord(character) == 0x7F:
        return f"\\u{ord(character):04X}"
    return character
