"""An endpoint's address: what of it may be shown, and how its secrets are taken out of a server's words.

Providers put keys anywhere into an address: user name, password, path, query. Of an address only
scheme, host and port are shown, and what a server says is searched for all the rest of it. A server may also
repeat what it was sent: long runs of base64, such as what a wallet signed, are never shown.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from stellarstream_core.errors import SettingsError
from stellarstream_core.redact import UNREADABLE, origin_of

_SHOWN_TEXT = 200
_READ_TEXT = 64 * 1024
_SHOWN_LOG = 16_000

_LONG = 8
"""A part of a path that long is taken for a key, whatever it looks like."""

_WHOLE_WORDS_BELOW = 4
"""A secret that short is only looked for as a word of its own, or no message would be readable."""

_ENCODED = re.compile(
    r"(?<![A-Za-z0-9])(?![0-9a-fA-F]{64}(?![A-Za-z0-9+/=]))"
    r"(?:[A-Za-z0-9+/_-]|\\/|\\u00(?:2[bBfF]|3[dD])|%2[bBfF]){60,}(?:=|%3[dD]|\\u003[dD])*"
)
"""Base64 of more than some key or hash has, as JSON and addresses write it, too. 64 hex digits are a hash."""

_SEPARATORS = re.compile(r"[/;:,=&]")
_VERSION = re.compile(r"v\d+", re.IGNORECASE)
_NOT_IN_A_HOST = re.compile(r"[\\\s\x00-\x1f\x7f]")


def shown_url(url: str, setting: str) -> str:
    """Return scheme, host and port of an http or https address: all of it that may be shown.

    Raises ``SettingsError`` naming ``setting`` where it is none, or where its host is not certain: a
    backslash is a slash to some readers of addresses and a part of the host to others.
    """
    shown = origin_of(url)
    host = re.split("[/?#]", url.partition("//")[2], maxsplit=1)[0]
    if shown == UNREADABLE or not shown.startswith(("http://", "https://")) or _NOT_IN_A_HOST.search(host):
        raise SettingsError(
            f"{setting}: this is not an http:// or https:// address.",
            help="Write each address in full, such as https://host.example/path; in user name, password, path and "
            "query '@' is written %40.",
        )
    return shown


class Address:
    """An endpoint's address. ``url`` is the whole of it, ``shown`` what may be shown."""

    def __init__(self, url: str, setting: str) -> None:
        self.url = url
        self.shown = shown_url(url, setting)
        self._secrets = _pattern(url)

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"

    def scrub(self, text: str) -> str:
        """Return a server's words fit to be shown: short, printable, and without the address they were asked at."""
        if len(text) > _READ_TEXT:
            # What is cut off may leave the beginning of a secret at the end, out of sight unless all before it shrinks.
            text = text[:_READ_TEXT]
            scrubbed = self._without_secrets(text)
            return printable(scrubbed) if len(scrubbed) > 4 * _SHOWN_TEXT else "(an overlong message)"
        return printable(self._without_secrets(text))

    def scrub_log(self, text: str) -> str:
        """Return a server's longer words, line by line: printable, at most 16,000 characters, without the address."""
        cut = len(text) > 4 * _SHOWN_LOG
        scrubbed = self._without_secrets(text[: 4 * _SHOWN_LOG])
        if cut and len(scrubbed) < 2 * _SHOWN_LOG:  # as above: the beginning of a secret may be near the end
            return "(an overlong message)"
        return "".join(c if c.isprintable() or c == "\n" else " " for c in scrubbed[:_SHOWN_LOG])

    def _without_secrets(self, text: str) -> str:
        return _ENCODED.sub("…", self._secrets.sub("…", text) if self._secrets else text)


def printable(text: str) -> str:
    """Return a text in at most 200 printable characters."""
    clean = "".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN_TEXT]).strip()
    return clean if len(clean) <= _SHOWN_TEXT else f"{clean[:_SHOWN_TEXT]}…"


def _pattern(url: str) -> re.Pattern[str] | None:
    """Return what finds every secret of an address in any letter case, encoded or not."""
    written = {form for secret in _secrets(url) for form in _forms(secret) if form}
    if not written:
        return None
    pieces = []
    for form in sorted(written, key=len, reverse=True):
        whole = len(form) < _WHOLE_WORDS_BELOW
        pieces.append(rf"(?<!\w){re.escape(form)}(?!\w)" if whole else re.escape(form))
    return re.compile("|".join(pieces), re.IGNORECASE)


def _secrets(url: str) -> Iterator[str]:
    """Yield the parts of an address that are secret as they are written in it."""
    parts = urlsplit(url)
    user, password = parts.username or "", parts.password or ""
    yield user
    yield password
    if user or password:
        yield b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode().rstrip("=")
    for part in re.split("[&;]", parts.query):
        key, separator, value = part.partition("=")
        yield value if separator else key
        if separator:
            yield from _key_like(key)
    for path in (parts.path, parts.fragment):
        for part in path.split("/"):
            yield from _key_like(part)
            for piece in _SEPARATORS.split(part):
                yield from _key_like(piece)


def _key_like(part: str) -> Iterator[str]:
    """Yield a part of a path if it may be a key rather than a word such as ``v1``, ``rpc`` or ``api``."""
    if len(part) >= _LONG:
        yield part
    elif len(part) >= _WHOLE_WORDS_BELOW and not _VERSION.fullmatch(part):
        digits = any(c.isdigit() for c in part)
        mixed = part != part.lower() and part != part.upper() and part != part.capitalize()
        if digits or mixed or "%" in part:
            yield part


def _forms(secret: str) -> set[str]:
    """Return the ways in which a server may write a part of an address; proxies encode and decode once more."""
    forms = {secret}
    for _ in range(3):
        forms |= {decode(form) for form in forms for decode in (unquote, unquote_plus)}
    for piece in {piece for form in forms for piece in _SEPARATORS.split(form)} - forms:
        forms |= set(_key_like(piece))
    for _ in range(2):
        forms |= {quote(form, safe=safe) for form in forms for safe in ("", "/")}
    return forms
