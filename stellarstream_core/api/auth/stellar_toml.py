"""The text of ``/.well-known/stellar.toml`` (SEP-1): how wallets find the login and check its signatures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stellarstream_core.api.auth.site import Site

VERSION = "2.6.0"
"""Of SEP-1, whose fields these are."""

Value = str | bool | int | Sequence[str]

LONGEST_ENTRY = 1_000
"""Characters of a plugin's value: wallets read a file of at most 100 KB."""

_BARE_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_OWN = frozenset({"VERSION", "NETWORK_PASSPHRASE", "SIGNING_KEY", "WEB_AUTH_ENDPOINT"})
_TABLES = frozenset({"DOCUMENTATION", "CURRENCIES", "PRINCIPALS", "VALIDATORS"})
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
        if not _is_free(name):
            raise ValueError(f"{name!r} cannot be an entry of stellar.toml")
        entries[name] = value
    return "".join(f"{name} = {_written(value)}\n" for name, value in entries.items())


def entry_fault(name: object, value: object) -> str | None:
    """Say what keeps a name and a text from being an entry that a plugin adds; None where nothing does."""
    if not isinstance(name, str) or not _is_free(name):
        return f"the name {name!r:.100}, which cannot be an entry's"
    if not isinstance(value, str):
        return f"{type(value).__name__} as {name}, where text is due"
    if len(value) > LONGEST_ENTRY:
        return f"{len(value)} characters as {name}; an entry has at most {LONGEST_ENTRY}"
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: no file can hold it
        return f"a text as {name} that cannot be written"
    return None


def _is_free(name: str) -> bool:
    return _BARE_KEY.fullmatch(name) is not None and name not in _OWN and name not in _TABLES


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
