"""Every way in which a link is refused, each with a code of its own."""

from __future__ import annotations

from stellarstream_core.api.problems import ApiProblem, NotFoundError


class LinkNotFoundError(NotFoundError):
    """There is no link of this slug, or none of this id among the caller's."""

    code = "link-not-found"
    title = "No such link"
    help = "Check the address: each letter counts, and capital letters differ from small ones."


class LinkExpiredError(ApiProblem):
    """The link's time is over and nobody paid it in time, as far as the chain is indexed."""

    code = "link-expired"
    title = "Link expired"
    status = 410
    help = "Ask whoever sent it for a new one. Do not pay it: a late payment does not complete it."


class LinkCancelledError(ApiProblem):
    """Whoever made the link took it back."""

    code = "link-cancelled"
    title = "Link cancelled"
    status = 410
    help = "Ask whoever sent it. Do not pay it: a payment does not complete it any more."


class LinkPaidError(ApiProblem):
    """The link is paid: its stream is on chain. Paying again would be another stream."""

    code = "link-paid"
    title = "Link paid already"
    status = 409
    help = "GET /invoice-links/{slug} names the stream."


class PaymentUnderWayError(ApiProblem):
    """Another payment of the link is under way, and this one was to be taken only without. Nothing of it was sent."""

    code = "payment-under-way"
    title = "Another payment is under way"
    status = 409
    help = "Wait until 'txHash' is applied or has failed: GET /transactions/{hash}. Without 'alone' it is taken."


class IllegalMoveError(ApiProblem):
    """The link cannot go to that state from where it is, or that state is not a client's to set."""

    code = "illegal-link-status"
    title = "Not a possible status now"
    status = 409
    help = "'legal' names what can be set now; COMPLETED comes from the chain, EXPIRED from the clock."


class NotDeletableError(ApiProblem):
    """A link that is paid, or for which a transaction was submitted, is not deleted."""

    code = "link-not-deletable"
    title = "Link cannot be deleted"
    status = 409
    help = "Cancel it first (PATCH …/status), then delete it; one that is paid stays."


class TooManyLinksError(ApiProblem):
    """The account has as many open links as one may have."""

    code = "too-many-links"
    title = "Too many open links"
    status = 429
    retry_after = 3600
    help = "Cancel some of them, or wait until some are paid or over."


class TermsMismatchError(ApiProblem):
    """The transaction is not a ``create_stream`` with this link's terms. Nothing of it was sent."""

    code = "terms-mismatch"
    title = "Not what the link asks for"
    status = 422
    help = "Sign the transaction that POST /invoice-links/{slug}/transaction returns, unchanged."


class SubmittedForAnotherError(ApiProblem):
    """The transaction was submitted for another link already: one stream pays one link."""

    code = "submitted-for-another-link"
    title = "Transaction of another link"
    status = 409
    help = "Build a transaction for this link, and submit that."
