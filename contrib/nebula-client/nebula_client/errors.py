"""What can go wrong. Every error has a ``code`` that never changes: decide by it, the text is for people.

No error shows a token, an API key, a secret or a signed transaction, in its text or in its ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from nebula_client.models.transactions import Submission


class NebulaError(Exception):
    """Whatever goes wrong with the service, the network, the signer or what a call is given. ``code`` says what it is.

    Others are faults of the calling program, and come as they are: a ``TypeError`` for unknown and missing arguments,
    what ``on_submitted`` or ``on_position`` raises, and a ``RuntimeError`` of asyncio where an asynchronous client is
    used in a second event loop.
    """

    code: str = "nebula-error"

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled whole, as between processes."""
        return _rebuilt, (type(self), self.args, self.__dict__)


class NotInitializedError(NebulaError):
    """``Nebula`` was used before ``Nebula.initialize(base_url)``."""

    code = "not-initialized"


class ConfigurationError(NebulaError):
    """An option or an argument cannot be right, or the client is closed. Nothing was sent."""

    code = "bad-configuration"


class InvalidAmountError(NebulaError, ValueError):
    """Not an amount: whole numbers of the token's smallest unit, as text or ``int``, never as ``float``."""

    code = "invalid-amount"


class SignerMissingError(NebulaError):
    """The call has something signed, and there is no signer."""

    code = "signer-missing"


class SigningError(NebulaError):
    """The wallet refused, failed, or gave back something else than a signed transaction. ``__cause__`` is its error."""

    code = "signing-refused"


class ChallengeError(NebulaError):
    """The service gave something to sign for a login that is no challenge. It was not shown to the wallet."""

    code = "bad-challenge"


class TransactionMismatchError(NebulaError):
    """A transaction is not the one that was asked for: built for another account, or changed by the wallet.

    ``expected`` is the hash that was announced, ``tx_hash`` the one that there is, where it is known.
    """

    code = "transaction-mismatch"

    def __init__(self, message: str, *, expected: str | None = None, tx_hash: str | None = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.tx_hash = tx_hash


class TransactionFailedError(NebulaError):
    """The transaction failed, and that is proven. ``reason`` is the network's code, or the service's (``expired``).

    ``ledger`` holds it and its fee is gone; without one it was never applied, and cannot be any more.
    """

    code = "transaction-failed"

    def __init__(self, tx_hash: str, reason: str, detail: str, ledger: int | None = None) -> None:
        super().__init__(f"Transaction {tx_hash} failed: {reason}. {detail}".rstrip())
        self.tx_hash = tx_hash
        self.reason = reason
        self.detail = detail
        self.ledger = ledger


class TransactionPendingError(NebulaError):
    """Nobody knows yet what became of a transaction, or its result is not indexed: it may still be applied.

    Never build another one in its place before ``valid_until``. Go on with ``submit_transaction(signed_xdr)``, which
    is safe however often it is done, and ``wait_for_transaction(tx_hash)``. ``status`` is what was known last, None
    where nothing was; ``valid_until``, ``signed_xdr`` and ``submission`` are None where this call did not sign.
    """

    code = "transaction-pending"

    def __init__(
        self,
        message: str,
        *,
        tx_hash: str,
        status: str | None = None,
        valid_until: datetime | None = None,
        signed_xdr: str | None = None,
    ) -> None:
        super().__init__(message)
        self.tx_hash = tx_hash
        self.status = status
        self.valid_until = valid_until
        self.signed_xdr = signed_xdr

    @property
    def submission(self) -> Submission | None:
        """What to keep, as ``on_submitted`` is given it."""
        if self.valid_until is None or self.signed_xdr is None:
            return None
        return Submission(self.tx_hash, self.valid_until, self.signed_xdr)


class PaymentUnderWayError(NebulaError):
    """Somebody's payment of the link is on its way, or came first: paying as well may pay twice. Nothing was taken.

    Wait for ``tx_hash``, or say ``allow_another=True``. What ``on_submitted`` was given, if it was called, is refused:
    never hand it in later, for it would pay as well.
    """

    code = "payment-under-way"

    def __init__(self, slug: str, tx_hash: str, *, is_paid: bool = False) -> None:
        how = "was paid meanwhile" if is_paid else "has a payment on its way"
        super().__init__(f"Invoice link {slug} {how}: transaction {tx_hash}.")
        self.slug = slug
        self.tx_hash = tx_hash


class LiveResetError(NebulaError):
    """The position belongs to another history: forget what was read, read it again, and watch anew.

    ``reason`` is the service's code, such as ``other-epoch``.
    """

    code = "live-reset"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{detail} ({reason})")
        self.reason = reason
        self.detail = detail


class NetworkError(NebulaError):
    """The service was not reached, or the connection was lost. ``maybe_sent`` is false where nothing was sent."""

    code = "network-error"

    def __init__(self, message: str, *, maybe_sent: bool = True) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent


class RequestTimeoutError(NebulaError):
    """One attempt took longer than ``timeout``. ``maybe_sent`` is false where nothing was sent."""

    code = "timeout"

    def __init__(self, message: str, *, maybe_sent: bool = True) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent


class BadResponseError(NebulaError):
    """What came is not what the API promises: no JSON, or JSON of another shape."""

    code = "bad-response"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request: ``body.amount``, ``query.limit``."""

    field: str
    detail: str


class ApiError(NebulaError):
    """The service refused. ``code`` is the problem's own (RFC 9457), ``http-error`` where something else answered.

    ``errors`` names fields of bad input, ``problem`` is the whole body, ``request_id`` finds it in the service's log.
    ``retry_after`` is after how many seconds to ask again, where the service says so.
    """

    statuses: ClassVar[range] = range(400, 600)

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any],
        *,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = _text(problem, "code") or "http-error"
        self.title = _text(problem, "title")
        self.detail = _text(problem, "detail")
        self.type = _text(problem, "type")
        self.errors = _field_errors(problem.get("errors"))
        self.request_id = request_id
        self.retry_after = retry_after
        fields = "".join(f" {error.field}: {error.detail}." for error in self.errors)
        super().__init__(f"{self.detail or self.title or 'The service refused.'}{fields} ({status} {self.code})")


class BadRequestError(ApiError):
    """400: a parameter is malformed, or a challenge is no longer good."""

    statuses = range(400, 401)


class AuthenticationError(ApiError):
    """401: the call needs a login, or the token or key is not good."""

    statuses = range(401, 402)


class PermissionDeniedError(ApiError):
    """403: the key lacks the scope."""

    statuses = range(403, 404)


class NotFoundError(ApiError):
    """404: there is no such thing, or it is somebody else's."""

    statuses = range(404, 405)


class ConflictError(ApiError):
    """409: not in the state that it is in."""

    statuses = range(409, 410)


class GoneError(ApiError):
    """410: the invoice link is expired or cancelled."""

    statuses = range(410, 411)


class UnprocessableError(ApiError):
    """422: understood, and cannot be done; ``simulation-failed`` has ``problem["contractError"]``."""

    statuses = range(422, 423)


class RateLimitedError(ApiError):
    """429: too much was asked. ``retry_after`` says when to ask again."""

    statuses = range(429, 430)


class ServerError(ApiError):
    """5xx: the service cannot answer now."""

    statuses = range(500, 600)


_BY_STATUS: tuple[type[ApiError], ...] = (
    BadRequestError,
    AuthenticationError,
    PermissionDeniedError,
    NotFoundError,
    ConflictError,
    GoneError,
    UnprocessableError,
    RateLimitedError,
    ServerError,
)


def api_error(
    status: int, problem: Mapping[str, Any], *, request_id: str | None = None, retry_after: float | None = None
) -> ApiError:
    """Return the error for an answer of this status."""
    kind = next((kind for kind in _BY_STATUS if status in kind.statuses), ApiError)
    return kind(status, problem, request_id=request_id, retry_after=retry_after)


def _rebuilt(kind: type[NebulaError], args: tuple[Any, ...], state: dict[str, Any]) -> NebulaError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _text(problem: Mapping[str, Any], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""


def _field_errors(said: object) -> tuple[FieldError, ...]:
    items: Sequence[object] = said if isinstance(said, list) else ()
    return tuple(
        FieldError(str(item.get("field", "")), str(item.get("detail", ""))) for item in items if isinstance(item, dict)
    )
