"""URLs without their secrets: what may be shown in logs, errors and answers."""

from __future__ import annotations

from urllib.parse import urlsplit


def redact_url(url: str) -> str:
    """Return scheme, host, port and path; user, password, query and fragment are left out."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(unreadable URL)"
    if parts.scheme == "sqlite":
        return url.partition("?")[0]
    return f"{parts.scheme}://{host}{port}{parts.path}"


def origin_of(url: str) -> str:
    """Return scheme and host only: an RPC provider's path or query often holds an API key."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}"
    except ValueError:
        return "(unreadable URL)"
