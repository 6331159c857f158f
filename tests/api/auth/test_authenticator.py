"""Out of a request's headers: nobody, a session, a key, or a refusal."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr
from stellar_sdk import Keypair

from stellarstream_core.api.auth import errors
from stellarstream_core.api.auth.authenticator import Authenticator
from stellarstream_core.api.auth.identity import Identity
from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.api.auth.keys import ApiKeys
from stellarstream_core.api.auth.tokens import Tokens
from stellarstream_core.api.problems import ApiProblem
from tests.paths import ROOT

ACCOUNT = Keypair.random().public_key


class Request:
    def __init__(self, *headers: tuple[str, str]) -> None:
        self.headers = CIMultiDict(headers)


@pytest.fixture
def tokens(site) -> Tokens:
    return Tokens(SecretStr("s" * 32), site)


@pytest.fixture
def authenticator(tokens, sqlite) -> Authenticator:
    return Authenticator(tokens, ApiKeys(sqlite))


async def refused(authenticator, *headers) -> errors.AuthError:
    with pytest.raises(errors.CredentialError) as caught:
        await authenticator.identify(Request(*headers))
    return caught.value


async def test_a_request_without_credentials_is_nobodys(authenticator):
    assert await authenticator.identify(Request(("Accept", "*/*"))) is None


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_a_bearer_token_is_a_session(authenticator, tokens, scheme):
    token = tokens.issue(ACCOUNT, client_domain="wallet.example.org")
    identity = await authenticator.identify(Request(("authorization", f"{scheme}{token}")))
    assert identity == Identity(ACCOUNT, "session", client_domain="wallet.example.org")


async def test_an_api_key_is_its_accounts(authenticator, sqlite):
    made = create_key(sqlite, ACCOUNT, ["read"])
    identity = await authenticator.identify(Request(("x-api-key", made.key.get_secret_value())))
    assert identity == Identity(ACCOUNT, "key", frozenset({"read"}), made.info.id)


async def test_a_bad_credential_is_never_taken_for_nobody(authenticator, tokens):
    token = tokens.issue(ACCOUNT)
    for headers, code in (
        ([("Authorization", "")], "credential-malformed"),
        ([("Authorization", "Bearer")], "token-malformed"),
        ([("Authorization", "Bearer ")], "token-malformed"),
        ([("Authorization", token)], "credential-malformed"),
        ([("Authorization", f"Basic {token}")], "credential-malformed"),
        ([("Authorization", f"Bearer {token[:-8]}AAAAAAAA")], "token-forged"),
        ([("Authorization", f"Bearer {token} {token}")], "token-malformed"),
        ([("X-API-Key", "")], "api-key-malformed"),
        ([("X-API-Key", token)], "api-key-malformed"),
        ([("X-API-Key", f"ss_{'a' * 12}_{'b' * 43}")], "api-key-unknown"),
    ):
        error = await refused(authenticator, *headers)
        assert (error.code, error.status) == (code, 401)
        assert token not in str(error)


async def test_two_credentials_are_one_too_many_whatever_they_are(authenticator, tokens, sqlite):
    token = ("Authorization", f"Bearer {tokens.issue(ACCOUNT)}")
    key = ("X-API-Key", create_key(sqlite, ACCOUNT, ["read"]).key.get_secret_value())
    for headers in ([token, key], [token, token], [key, key], [("Authorization", ""), key]):
        error = await refused(authenticator, *headers)
        assert (error.code, error.status) == ("two-credentials", 400)


async def test_what_stands_before_a_lookup_may_refuse_it_and_is_not_asked_for_tokens(authenticator, tokens):
    def over():
        raise RuntimeError("over the limit")

    request = Request(("Authorization", f"Bearer {tokens.issue(ACCOUNT)}"))
    assert await authenticator.identify(request, before_look_up=over) is not None
    with pytest.raises(RuntimeError):
        await authenticator.identify(Request(("X-API-Key", f"ss_{'a' * 12}_{'b' * 43}")), before_look_up=over)


def test_every_code_is_in_the_documentation_with_its_status():
    text = (ROOT / "docs" / "authentication.md").read_text()
    kinds = {*errors.CREDENTIAL_PROBLEMS, *errors.CHALLENGE_PROBLEMS, *errors.TOKEN_PROBLEMS}
    for kind in {*kinds, errors.NotAuthenticatedError, errors.ForbiddenError}:
        assert f"| `{kind.code}` | {kind.status} |" in text


def test_every_refusal_has_a_code_of_its_own_a_status_a_title_and_help():
    mine = [kind for kind in vars(errors).values() if getattr(kind, "__module__", "") == errors.__name__]
    kinds = [kind for kind in mine if isinstance(kind, type) and issubclass(kind, ApiProblem)]
    bases = {errors.AuthError, errors.CredentialError, errors.ChallengeError, errors.ClientDomainError}
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert kind.status in {400, 401, 403, 404, 503}
        assert kind.__doc__
        assert kind.title != "Unexpected error" or kind is errors.AuthError
        assert kind in bases or kind.help or kind is errors.KeyRequestError
