"""Who asks: an account, and what they may do in its name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Access(Enum):
    """Who may use a route."""

    PUBLIC = "public"
    """Everybody, without a word who they are."""
    ACCOUNT = "account"
    """Who has proven to act for an account, with the route's scope."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who acts for ``account`` (G…, with a key also C…).

    A ``session`` comes of a login and has every scope of its account: ``scopes`` is empty then. A
    ``key`` has its ``scopes`` and nothing else. ``key_id`` is the key's public id; ``client_domain``
    the wallet's domain that signed the login, if one did.
    """

    account: str
    kind: Literal["session", "key"]
    scopes: frozenset[str] = frozenset()
    key_id: str | None = None
    client_domain: str | None = None
