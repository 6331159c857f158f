"""``/auth`` and ``stellar.toml``: logging in with a Stellar account (SEP-10)."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from stellarstream_core.api.auth.errors import (
    CHALLENGE_PROBLEMS,
    TOKEN_PROBLEMS,
    AccountUnsupportedError,
    ChallengeWrongDomainError,
)
from stellarstream_core.api.auth.identity import Access
from stellarstream_core.api.models import Nothing, Parameters, Represented
from stellarstream_core.api.routes import NO_STORE, Answer, Call, Route

LONGEST_ENVELOPE = 32 * 1024
"""Characters of a signed challenge: twenty signatures need some 3,000."""


class ChallengeQuery(Parameters):
    """What ``GET /auth`` takes; the names are SEP-10's."""

    model_config = ConfigDict(alias_generator=None)

    account: Annotated[str, Field(min_length=1, max_length=128, description="the account that logs in: G…")]
    memo: Annotated[str | None, Field(max_length=64, description="refused: accounts with a memo do not log in")] = None
    home_domain: Annotated[str | None, Field(max_length=255, description="this service's own domain, if given")] = None
    client_domain: Annotated[
        str | None, Field(max_length=255, description="the wallet's domain, whose SIGNING_KEY signs too")
    ] = None


class ChallengeModel(Represented):
    """A transaction to sign; it is never submitted."""

    model_config = ConfigDict(alias_generator=None)

    transaction: Annotated[str, Field(description="base64 of the envelope, signed by the service")]
    network_passphrase: str


class SignedChallenge(Parameters):
    """The challenge, signed by the account's signers."""

    transaction: Annotated[str, Field(min_length=1, max_length=LONGEST_ENVELOPE)]


class TokenModel(Represented):
    """A token for ``Authorization: Bearer``."""

    token: str


async def challenge(call: Call[Nothing, ChallengeQuery, Nothing]) -> Answer:
    """Answer ``GET /auth``."""
    api, query = call.api, call.query
    if query.memo is not None:
        raise AccountUnsupportedError("An account with a memo cannot log in.")
    if query.home_domain is not None and query.home_domain != api.site.domain:
        raise ChallengeWrongDomainError(f"This service logs in for {api.site.domain} only.")
    made = await api.challenges.build(query.account, query.client_domain)
    return Answer(
        ChallengeModel(transaction=made.transaction, network_passphrase=made.network_passphrase), cache=NO_STORE
    )


async def token(call: Call[Nothing, Nothing, SignedChallenge]) -> Answer:
    """Answer ``POST /auth``."""
    verified = await call.api.challenges.verify(call.body.transaction)
    made = call.api.tokens.issue(verified.account, client_domain=verified.client_domain)
    return Answer(TokenModel(token=made), cache=NO_STORE)


async def stellar_toml(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /.well-known/stellar.toml`` (SEP-1)."""
    return Answer(call.api.stellar_toml.encode(), cache="public, max-age=300")


ROUTES = (
    Route(
        method="GET",
        path="/auth",
        handler=challenge,
        query=ChallengeQuery,
        answer=ChallengeModel,
        any_origin=True,
        tag="authentication",
        summary="Ask for a challenge",
        description="SEP-10: sign the transaction with the account's keys and post it. It is good for 15 minutes.",
        problems=(*CHALLENGE_PROBLEMS, ChallengeWrongDomainError),
    ),
    Route(
        method="POST",
        path="/auth",
        handler=token,
        body=SignedChallenge,
        form=True,
        answer=TokenModel,
        access=Access.PUBLIC,
        any_origin=True,
        tag="authentication",
        summary="Post the signed challenge, get a token",
        problems=TOKEN_PROBLEMS,
    ),
    Route(
        method="GET",
        path="/.well-known/stellar.toml",
        base="",
        handler=stellar_toml,
        media_type="text/plain; charset=utf-8",
        any_origin=True,
        tag="authentication",
        summary="Where to log in (SEP-1)",
    ),
)
