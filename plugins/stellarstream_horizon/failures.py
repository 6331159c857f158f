"""What can go wrong with one attempt at a Horizon server, beyond what can at any endpoint."""

from __future__ import annotations

from stellarstream_core.endpoints.failures import AttemptError, WrongAnswerError
from stellarstream_core.sources import Reason, Unserved

WITHOUT_META = (
    "Use a Horizon that keeps transaction meta (SKIP_TXMETA=false), or read the ledgers elsewhere: from a data lake "
    "('lake_url') or from a Soroban RPC node ('rpc_url')."
)
"""What to do about a server without ``result_meta_xdr``."""


class NotFoundError(AttemptError):
    """HTTP 404, or a ledger that is left out of a page: the server has others around it, but not this one."""

    reason = Reason.MISSING
    endpoint_fault = False


class GoneError(AttemptError):
    """HTTP 410, or a range that begins later than it did: the server does not keep the ledger any more."""

    reason = Reason.OUT_OF_RETENTION
    endpoint_fault = False


class RequestRefusedError(AttemptError):
    """HTTP 400: the server takes the request for a wrong one; ``field`` is the parameter it objects to."""

    reason = Reason.UNSUPPORTED
    endpoint_fault = False

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class WithoutMetaError(AttemptError):
    """A transaction comes without the meta that would hold its events."""

    reason = Reason.UNSUPPORTED
    endpoint_fault = False
    help = WITHOUT_META


class UnreadableError(WrongAnswerError):
    """The answer is no JSON, or not of the shape that was asked for: more likely a mishap than a lie."""


class WrongPageError(WrongAnswerError):
    """A page does not have what was asked for; others of its ledgers may be had by asking for each by itself."""


class UnprovenError(WrongAnswerError):
    """A ledger's hashes do not hold."""

    reason = Reason.PROOF_FAILED


class UnsuitedError(AttemptError):
    """The server's ledgers are sound, but were made in a way that does not serve the scope."""

    reason = Reason.UNSUPPORTED
    endpoint_fault = False


def failure_of(shown: str, refusal: Unserved) -> AttemptError:
    """Return the failure that a ledger's reading ended in, as one of the server it came from."""
    kinds = {Reason.PROOF_FAILED: UnprovenError, Reason.UNSUPPORTED: UnsuitedError}
    detail = refusal.detail if refusal.reason is Reason.PROOF_FAILED else f"{shown}: {refusal.detail}"
    return kinds.get(refusal.reason, WrongAnswerError)(detail)
