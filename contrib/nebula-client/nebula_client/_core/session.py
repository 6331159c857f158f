"""Who a client acts for: a token, an API key, or what a signer logged in with. Nothing of it is ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nebula_client.signing import AnySigner


@dataclass(frozen=True, slots=True)
class Credential:
    """What proves who asks."""

    header: str
    text: str = field(repr=False)
    renewable: bool = False
    """Whether a signer logged in for it, and so can again."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The header that says it."""
        return {self.header: self.text}


def bearer(token: str, *, renewable: bool = False) -> Credential:
    """Return what a token proves it by."""
    return Credential("Authorization", f"Bearer {token}", renewable)


@dataclass(frozen=True, slots=True)
class EndedLogin:
    """How a login ended; ``number`` counts those of its account."""

    number: int
    failure: Exception | None = None


class Session:
    """What of a client changes. Each change is one assignment, or happens while the client is :class:`Alone`."""

    def __init__(self, signer: AnySigner | None) -> None:
        self.own_signer = signer
        """The client's: who signs where nobody else is named."""
        self.given: Credential | None = None
        """A token from the caller: it counts for every call."""
        self.api_key: Credential | None = None
        """It counts where there is no token."""
        self.account: str | None = None
        """Who is logged in, and acts where a call names nobody."""
        self.actor: AnySigner | None = None
        """Its signer."""
        self.logins: dict[str, Credential] = {}
        """By account."""
        self.ended: dict[str, EndedLogin] = {}
        """How the last login of each account ended."""
        self.generation = 0
        """Counts the times that everything was forgotten: a login that began before does not count afterwards."""

    @property
    def signer(self) -> AnySigner | None:
        """Who signs where a call names nobody: who is logged in, else the client's own."""
        return self.own_signer if self.actor is None else self.actor

    @signer.setter
    def signer(self, signer: AnySigner | None) -> None:
        self.own_signer = signer
        self.generation += 1
        self.account = self.actor = None

    def use_token(self, token: str | None) -> None:
        """Act by a token from elsewhere; None to act by logins again."""
        self.log_out()
        self.given = None if token is None else bearer(token)

    def use_api_key(self, key: str | None) -> None:
        """Act by an API key where there is no token; None for none."""
        self.api_key = None if key is None else Credential("X-API-Key", key)

    def logged_in(self, account: str, token: str) -> Credential:
        """Remember a login."""
        found = bearer(token, renewable=True)
        self.logins[account] = found
        return found

    def act_for(self, account: str, signer: AnySigner) -> None:
        """Have a login count where a call names nobody."""
        self.given, self.account, self.actor = None, account, signer

    def forget(self, credential: Credential) -> None:
        """Drop a login that is not good any more."""
        for account in [account for account, known in self.logins.items() if known is credential]:
            self.logins.pop(account, None)

    def log_out(self) -> None:
        """Forget the token and every login."""
        self.generation += 1
        self.given = self.account = self.actor = None
        self.logins = {}

    @property
    def current(self) -> Credential | None:
        """What there is without asking anybody."""
        login = None if self.account is None else self.logins.get(self.account)
        return self.given or login or self.api_key
