"""Every way in which a login, a token or a key is refused, each with a stable code and its HTTP status.

Messages tell the holder of a credential what to do next, never what another one would have to look like,
and repeat nothing of what was sent.
"""

from __future__ import annotations

from stellarstream_core.api.problems import ApiProblem
from stellarstream_core.errors import UsageError


class AuthError(ApiProblem):
    """Base of all refusals."""

    status = 401


# --- deciding: the policy's two answers -------------------------------------------------------


class NotAuthenticatedError(AuthError):
    """The route needs an account, and the request brings none."""

    code = "not-authenticated"
    title = "Not authenticated"
    help = "Send 'Authorization: Bearer TOKEN' from a login (POST /api/v1/auth), or an API key as 'X-API-Key'."


class ForbiddenError(AuthError):
    """Who asks is known, and may not do this."""

    code = "forbidden"
    title = "Forbidden"
    status = 403
    help = "Use a key that has the scope, or log in with the account."


# --- credentials that a request brings: 401, and never taken for nobody ------------------------


class CredentialError(NotAuthenticatedError):
    """Base of what is wrong with a token or a key that was sent."""

    code = "bad-credential"
    title = "Credential refused"
    help = ""


class CredentialMalformedError(CredentialError):
    """The header is no credential: another scheme than Bearer, or not readable at all."""

    code = "credential-malformed"
    title = "Not a credential"
    help = "Write 'Authorization: Bearer TOKEN', or 'X-API-Key: ss_…'."


class TwoCredentialsError(CredentialError):
    """A token and a key in one request: which of them counts is not for the service to guess."""

    code = "two-credentials"
    title = "Two credentials"
    status = 400
    help = "Send either Authorization or X-API-Key, once."


class TokenMalformedError(CredentialError):
    """The token is none that this service could have made."""

    code = "token-malformed"
    title = "Not a token"
    help = "Send the token exactly as POST /api/v1/auth gave it."


class TokenForgedError(CredentialError):
    """The token's signature is not this service's: it was changed, or the service's secret was."""

    code = "token-forged"
    title = "Token not signed here"
    help = "Log in again."


class TokenExpiredError(CredentialError):
    """The session is over."""

    code = "token-expired"
    title = "Session expired"
    help = "Log in again."


class TokenNotYetValidError(CredentialError):
    """The token was made in the future, by this machine's clock."""

    code = "token-not-yet-valid"
    title = "Token from the future"
    help = "The clocks of the service's machines differ; the operator has to set them."


class TokenOtherAudienceError(CredentialError):
    """The token was made for another service, or by one."""

    code = "token-other-audience"
    title = "Token for another service"
    help = "Log in at this service."


class KeyMalformedError(CredentialError):
    """The text is no API key."""

    code = "api-key-malformed"
    title = "Not an API key"
    help = "Send the key exactly as 'stellarstream keys create' printed it: ss_ID_SECRET."


class KeyUnknownError(CredentialError):
    """There is no such key, or its secret is another one: which of both is not told."""

    code = "api-key-unknown"
    title = "API key unknown"
    help = "Ask the operator for a new key."


class KeyRevokedError(CredentialError):
    """The key was taken back."""

    code = "api-key-revoked"
    title = "API key revoked"
    help = "Ask the operator for a new key."


class KeyExpiredError(CredentialError):
    """The key's time is over."""

    code = "api-key-expired"
    title = "API key expired"
    help = "Ask the operator for a new key."


CREDENTIAL_PROBLEMS: tuple[type[CredentialError], ...] = (
    CredentialMalformedError,
    TwoCredentialsError,
    TokenMalformedError,
    TokenForgedError,
    TokenExpiredError,
    TokenNotYetValidError,
    TokenOtherAudienceError,
    KeyMalformedError,
    KeyUnknownError,
    KeyRevokedError,
    KeyExpiredError,
)
"""What a credential may lead to, on any route it is sent to."""


# --- asking for a challenge --------------------------------------------------------------------


class AccountUnsupportedError(AuthError):
    """Only accounts (G…) log in: no muxed account (M…), no contract (C…), no memo."""

    code = "account-unsupported"
    title = "Account cannot log in"
    status = 400
    help = "Give the account as G…, without a memo."


class ClientDomainError(AuthError):
    """Base of what is wrong with a client domain."""

    code = "client-domain"
    title = "Client domain refused"
    status = 400


class ClientDomainMalformedError(ClientDomainError):
    """The text is no domain name that could be asked."""

    code = "client-domain-malformed"
    title = "Not a domain name"
    help = "Give a plain domain name such as wallet.example.org: no scheme, port, path or IP address."


class ClientDomainUnavailableError(ClientDomainError):
    """The domain's stellar.toml could not be fetched.

    One message for every reason: what the service can and cannot reach is not for its callers to know.
    """

    code = "client-domain-unavailable"
    title = "Client domain unavailable"
    help = (
        "https://DOMAIN/.well-known/stellar.toml must be there on port 443 of a public address with a valid "
        "certificate, without a redirect, with at most 100 KB, within 5 seconds."
    )


class ClientDomainKeyError(ClientDomainError):
    """The domain's stellar.toml is no TOML, or has no SIGNING_KEY that could sign a challenge."""

    code = "client-domain-key"
    title = "Client domain has no signing key"
    help = 'Write SIGNING_KEY="G…" at the top of the domain\'s stellar.toml: a key of its own.'


# --- posting a challenge -----------------------------------------------------------------------


class ChallengeError(AuthError):
    """Base of what is wrong with a challenge: SEP-10 treats all of it as invalid input."""

    code = "challenge"
    title = "Challenge refused"
    status = 400


class ChallengeMalformedError(ChallengeError):
    """The text is no transaction, or no challenge as this service makes them."""

    code = "challenge-malformed"
    title = "Not a challenge"
    help = "Post the transaction of GET /api/v1/auth with signatures added and nothing else changed."


class ChallengeNotOursError(ChallengeError):
    """Another server's account, or a signature of ours that does not fit: it was changed, or made elsewhere."""

    code = "challenge-not-ours"
    title = "Challenge of another server"
    help = "Ask this service for a challenge (GET /api/v1/auth) and change nothing in it."


class ChallengeWrongNetworkError(ChallengeError):
    """The challenge, or a signature on it, is for another Stellar network."""

    code = "challenge-wrong-network"
    title = "Wrong network"
    help = "Sign with the network passphrase that came with the challenge."


class ChallengeWrongDomainError(ChallengeError):
    """The challenge is for another home domain or another login server."""

    code = "challenge-wrong-domain"
    title = "Challenge for another domain"
    help = "Ask this service for a challenge (GET /api/v1/auth)."


class ChallengeExpiredError(ChallengeError):
    """The challenge's time is over."""

    code = "challenge-expired"
    title = "Challenge expired"
    help = "Ask for a new challenge; there are 15 minutes to sign it."


class ChallengeNotYetValidError(ChallengeError):
    """The challenge's time has not begun, by this machine's clock."""

    code = "challenge-not-yet-valid"
    title = "Challenge not yet valid"
    help = "Try again in a moment."


class ChallengeNotSignedEnoughError(ChallengeError):
    """The account's signers did not sign, or not with the weight of its medium threshold."""

    code = "challenge-not-signed-enough"
    title = "Not signed enough"
    help = "Sign with signers whose weights reach the account's medium threshold; its master key may have none."


class ChallengeUnknownSignersError(ChallengeError):
    """A signature is nobody's who may sign for the account."""

    code = "challenge-unknown-signers"
    title = "Unknown signer"
    help = "Sign with the account's own signers only."


class ChallengeClientDomainUnsignedError(ChallengeError):
    """The challenge names a client domain whose key did not sign it."""

    code = "challenge-client-domain-unsigned"
    title = "Client domain did not sign"
    help = "Sign with the SIGNING_KEY of the client domain too, or ask for a challenge without one."


class ChallengeReplayedError(ChallengeError):
    """The challenge was used already: each is good for one token."""

    code = "challenge-replayed"
    title = "Challenge already used"
    help = "Ask for a new challenge."


class AuthUnavailableError(AuthError):
    """Nobody can log in now: who may sign for the account cannot be found out.

    Taking the master key's word instead would let in a key that the account has removed.
    """

    code = "auth-unavailable"
    title = "Login unavailable"
    status = 503
    help = "Tokens and API keys go on working. Try to log in again in a moment."
    retry_after = 5


CHALLENGE_PROBLEMS: tuple[type[AuthError], ...] = (
    AccountUnsupportedError,
    ClientDomainMalformedError,
    ClientDomainUnavailableError,
    ClientDomainKeyError,
    AuthUnavailableError,
)
"""What asking for a challenge may lead to."""

TOKEN_PROBLEMS: tuple[type[AuthError], ...] = (
    AccountUnsupportedError,
    ChallengeMalformedError,
    ChallengeNotOursError,
    ChallengeWrongNetworkError,
    ChallengeWrongDomainError,
    ChallengeExpiredError,
    ChallengeNotYetValidError,
    ChallengeNotSignedEnoughError,
    ChallengeUnknownSignersError,
    ChallengeClientDomainUnsignedError,
    ChallengeReplayedError,
    AuthUnavailableError,
)
"""What posting a challenge may lead to."""


# --- managing keys: the command line -----------------------------------------------------------


class KeyRequestError(UsageError):
    """A key was asked for that cannot be: a bad account, scope, name or time."""

    code = "api-key-request"
    title = "No such key can be made"


class NoSuchKeyError(UsageError):
    """There is no key with this id."""

    code = "no-such-api-key"
    title = "No such API key"
    help = "Run 'stellarstream keys list' to see the ids."
