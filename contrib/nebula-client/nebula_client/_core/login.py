"""Logging in (SEP-10): a challenge is checked, signed and exchanged for a token. Concurrent calls share a login."""

from __future__ import annotations

from dataclasses import dataclass

from nebula_client._core.config import Core
from nebula_client._core.effects import Alone, Operation
from nebula_client._core.envelope import Envelope, EnvelopeError
from nebula_client._core.requests import Request, attempts, get, model_of
from nebula_client._core.session import Credential, EndedLogin, bearer
from nebula_client._core.signatures import account_of, sign, signer_of
from nebula_client._core.wire import body, query
from nebula_client.errors import ChallengeError, ConfigurationError, NebulaError, SigningError
from nebula_client.models.transactions import Challenge, Token
from nebula_client.signing import AnySigner

_NEVER_STARTED = EndedLogin(0)


@dataclass(frozen=True, slots=True)
class Who:
    """By whom a call is made: ``signer`` and ``account`` are those that it names itself."""

    needs_login: bool = False
    anonymous: bool = False
    signer: AnySigner | None = None
    account: str | None = None


ANYBODY = Who()
"""A call that needs no login; it goes by whatever is at hand."""
NOBODY = Who(anonymous=True)
"""A call without a credential: the service refuses one that has run out even where none is needed."""


def somebody(signer: AnySigner | None = None, account: str | None = None) -> Who:
    """Return who makes a call that needs a login."""
    return Who(needs_login=True, signer=signer, account=account)


def login(core: Core, signer: AnySigner | None, account: str | None) -> Operation[str]:
    """Log in, and act by that from now on; return the token."""
    chosen = signer_of(signer, core.session.signer)
    who = yield from _whose(chosen, account)
    generation = core.session.generation
    found = yield from _log_in(core, chosen, who, anew=True)
    if core.session.generation == generation:
        core.session.act_for(who, chosen)
    return found.text.removeprefix("Bearer ")


def credential_for(core: Core, who: Who) -> Operation[Credential | None]:
    """Return what proves who asks, getting it first where that is needed; None where nothing is at hand."""
    session = core.session
    if who.anonymous:
        return None
    if session.given is not None or not who.needs_login:
        return session.current
    signer, account = who.signer or session.signer, who.account
    if account is None and who.signer is None:
        account = session.account
    if account is None and signer is not None and (session.logins or session.api_key is None):
        account = yield from account_of(signer, None)
    if account is not None and (found := session.logins.get(account)):
        return found
    if session.api_key is not None or signer is None or not core.config.auto_login:
        return session.api_key  # without any the service says that a login is needed
    account = yield from _whose(signer, account)
    generation = session.generation
    found = yield from _log_in(core, signer, account, anew=False)
    if session.generation != generation:
        return found
    if session.account is None and (session.own_signer is None or session.own_signer is signer):
        session.act_for(account, signer)
    return found


def _whose(signer: AnySigner, account: str | None) -> Operation[str]:
    who = yield from account_of(signer, account)
    if who is None:
        raise ConfigurationError(
            "The signer does not say whose it is: give it public_key or get_address(), or pass account=."
        )
    return who


def _log_in(core: Core, signer: AnySigner, account: str, *, anew: bool) -> Operation[Credential]:
    session = core.session
    before = session.ended.get(account, _NEVER_STARTED)

    def alone() -> Operation[Credential]:
        last = session.ended.get(account, _NEVER_STARTED)
        found = session.logins.get(account)
        if last is not before and last.failure is not None:
            raise last.failure  # the login that this one waited for
        if found is not None and (last is not before or not anew):
            return found
        generation = session.generation
        try:
            token = yield from _exchanged(core, signer, account)
        except NebulaError as error:
            session.ended[account] = EndedLogin(last.number + 1, error)
            raise
        session.ended[account] = EndedLogin(last.number + 1)
        if session.generation != generation:  # logged out while the wallet was asked: nothing is remembered
            return bearer(token, renewable=True)
        return session.logged_in(account, token)

    found: Credential = yield Alone(alone(), ("login", account))
    return found


def _exchanged(core: Core, signer: AnySigner, account: str) -> Operation[str]:
    asked = get("/auth", query({"account": account}))
    challenge = yield from attempts(core, asked, None, model_of(Challenge))
    pinned = core.config.network_passphrase
    if pinned is not None and challenge.network_passphrase != pinned:
        raise SigningError("The service gave a challenge of another network than network_passphrase says.")
    check_challenge(challenge.transaction, account)
    signed = yield from sign(signer, challenge.transaction, challenge.network_passphrase, account)
    # a challenge is good for one token: after a lost answer another one is needed
    sent = Request("POST", "/auth", body=body({"transaction": signed}))
    answer = yield from attempts(core, sent, None, model_of(Token))
    return answer.token.get_secret_value()


def check_challenge(transaction: str, account: str) -> None:
    """Raise :class:`ChallengeError` for a transaction that a network might execute.

    SEP-10, "Challenge": its sequence number is 0, which no account ever has next, and its source is the service's
    account. So nothing that a service puts into it can move what the account owns.
    """
    try:
        envelope = Envelope.read(transaction)
    except EnvelopeError as error:
        raise ChallengeError(f"What the service gave to sign for a login is no challenge: {error}.") from error
    if envelope.sequence != 0:
        raise ChallengeError("What the service gave to sign for a login could be executed: its sequence is not 0.")
    if envelope.source == account:
        raise ChallengeError("What the service gave to sign for a login is a transaction of the account itself.")
    if not envelope.is_signed():
        raise ChallengeError("What the service gave to sign for a login is not signed by the service.")
