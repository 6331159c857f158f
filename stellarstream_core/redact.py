"""URLs without their secrets: what may be shown in logs, errors and answers.

Where a URL cannot be taken apart for certain nothing of it is shown: a password with a bare ``/``,
``?`` or ``#``, or a forgotten ``//``, moves the secret to where host or path is looked for.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

UNREADABLE = "(unreadable URL)"
"""What is shown of a URL whose parts are not certain."""


def redact_url(url: str) -> str:
    """Return scheme, host, port and path; user, password, query and fragment are left out."""
    parts = _split(url)
    if parts is None:
        return UNREADABLE
    if parts.scheme == "sqlite":
        return f"sqlite://{parts.netloc}{parts.path}"
    hosts = _hosts(parts)
    if hosts is None or (not hosts and ":" in parts.path):
        return UNREADABLE
    return f"{parts.scheme}://{hosts}{parts.path}"


def origin_of(url: str) -> str:
    """Return scheme and host only: an RPC provider's path or query often holds an API key."""
    parts = _split(url)
    hosts = _hosts(parts) if parts else None
    if parts is None or hosts is None or (not hosts and parts.scheme != "file"):
        return UNREADABLE
    return f"{parts.scheme}://{hosts}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if not parts.scheme or not url.partition(":")[2].startswith("//"):
        return None
    if parts.scheme == "sqlite":  # a file has no password, and its name may hold an '@'
        return None if "@" in parts.netloc else parts
    return None if "@" in parts.path + parts.query + parts.fragment else parts


def _hosts(parts: SplitResult) -> str | None:
    """Return ``HOST:PORT``, or several with commas as libpq takes them; None where a port is no port."""
    try:
        pieces = [urlsplit(f"//{piece}") for piece in parts.netloc.rpartition("@")[2].split(",")]
        return ",".join(_host(piece) for piece in pieces)
    except ValueError:
        return None


def _host(piece: SplitResult) -> str:
    host = piece.hostname or ""
    port = "" if piece.port is None else f":{piece.port}"
    return f"[{host}]{port}" if ":" in host else f"{host}{port}"
