"""Database addresses: what to open, and what may be shown of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stellarstream_core.errors import StorageError

_SQLITE_HELP = (
    "Write sqlite:///stellarstream.db for a file here, sqlite:////var/lib/stellarstream.db for one with a full path."
)
_POSTGRESQL_HELP = (
    "Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in user name and password write '@', ':', '/', '?' and '%' "
    "as %40, %3A, %2F, %3F and %25."
)
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": "10",
    "application_name": "stellarstream",
    # whether the server's machine is still there, while it says nothing: a minute at the most, not hours
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""What libpq is told unless the address says otherwise; times are in seconds, the last in milliseconds."""
_FIXED: dict[str, Any] = {"client_encoding": "UTF8"}
"""What holds whatever address, PGCLIENTENCODING and the server say: in some encodings texts would come as bytes."""
_MEMORY = frozenset({"", ":memory:"})
_URL_PASSWORD = re.compile(r"^[a-z]+://[^/?#]*?:(?P<password>[^@/?#]*)@")


@dataclass(frozen=True, slots=True)
class SqliteAddress:
    """A SQLite database: ``path`` is absolute, or None for one that lives in memory."""

    url: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class PostgresqlAddress:
    """A PostgreSQL database: ``conninfo`` goes to libpq and is never shown; ``secrets`` are scrubbed from messages."""

    url: str
    conninfo: str
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"PostgresqlAddress({self.url!r})"

    def scrub(self, text: str) -> str:
        """Return a driver's message without any password in it."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse_sqlite(url: str) -> SqliteAddress:
    """Take ``sqlite:///PATH`` apart; raise ``StorageError`` where it is something else.

    Three slashes and a relative path, or four and an absolute one; ``sqlite://`` alone is a
    database in memory, gone with the process.
    """
    parts = urlsplit(url)
    if not url.startswith("sqlite://") or parts.netloc:
        raise StorageError("A SQLite address has no host: three slashes come before the path.", help=_SQLITE_HELP)
    if parts.query or parts.fragment:
        raise StorageError("A SQLite address takes no '?' or '#' options.", help=_SQLITE_HELP)
    name = unquote(parts.path[1:])
    if name in _MEMORY:
        return SqliteAddress("sqlite://", None)
    if "\0" in name:
        raise StorageError("A path holds no zero byte.", help=_SQLITE_HELP)
    return SqliteAddress(f"sqlite:///{parts.path[1:]}", Path(name).absolute())


def parse_postgresql(url: str) -> PostgresqlAddress:
    """Take a libpq URL apart; raise ``StorageError`` without repeating any of it where it is none.

    Everything libpq knows is honoured (several hosts, ``sslmode``, ``options`` with a
    ``search_path``). libpq's own words about a bad URL are not passed on: where a password holds
    a bare ``/`` or ``@`` they quote pieces of it.
    """
    import psycopg  # noqa: PLC0415 - an optional dependency, and slow to load
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - the same

    try:
        known = conninfo_to_dict(url)
    except psycopg.Error:
        raise StorageError("The PostgreSQL address cannot be understood.", help=_POSTGRESQL_HELP) from None
    host, port, database = (str(known.get(key) or "") for key in ("host", "port", "dbname"))
    if any(mark in part for part in (host, port, database) for mark in "@?#") or not re.fullmatch(r"[0-9,]*", port):
        raise StorageError("The PostgreSQL address cannot be understood.", help=_POSTGRESQL_HELP)
    ports = port.split(",") if port else []
    if any(int(one) > 65535 for one in ports if one):
        raise StorageError("The PostgreSQL address names a port above 65535.", help=_POSTGRESQL_HELP)
    secrets = {str(known[key]) for key in ("password", "sslpassword") if known.get(key)}
    if written := _URL_PASSWORD.match(url):
        secrets.add(written["password"])
    hosts = ",".join(f"{one}:{at}" if at else one for one, at in zip_longest(host.split(","), ports, fillvalue=""))
    conninfo = make_conninfo(**(_DEFAULTS | known | _FIXED))
    return PostgresqlAddress(
        f"postgresql://{hosts}/{database}", conninfo, tuple(sorted(secrets - {""}, key=len, reverse=True))
    )
