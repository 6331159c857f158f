"""What is done with invoice links: made, read, listed, changed, deleted, paid."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from nebula_client._core.calls import answered, call
from nebula_client._core.config import Core, visible
from nebula_client._core.effects import Items, Operation
from nebula_client._core.login import ANYBODY, NOBODY, Who
from nebula_client._core.paging import items
from nebula_client._core.polling import poll
from nebula_client._core.requests import Request, get, nothing
from nebula_client._core.streams import as_recorded
from nebula_client._core.submitting import Done, Signing, carried_out, in_turn, kept
from nebula_client._core.wire import arguments, body, path, query
from nebula_client.errors import ConfigurationError, ConflictError, GoneError, NebulaError, PaymentUnderWayError
from nebula_client.models.base import Page
from nebula_client.models.links import InvoiceLink, InvoiceLinkStatus, OwnInvoiceLink, PaidInvoiceLink
from nebula_client.models.transactions import PaymentToSign
from nebula_client.params import CreateInvoiceLinkParams, InvoiceLinkFilter

LINKS = "/invoice-links"


def create(core: Core, params: Mapping[str, Any], idempotency_key: str | None, who: Who) -> Operation[OwnInvoiceLink]:
    """Make a link; the key lets it be asked for again without a second one being made."""
    key = str(uuid4()) if idempotency_key is None else visible(idempotency_key, "idempotency_key")
    wanted = body(arguments(CreateInvoiceLinkParams, params))
    request = Request("POST", LINKS, body=wanted, headers={"Idempotency-Key": key}, safe=True)
    return (yield from call(core, request, OwnInvoiceLink, who))


def read_link(core: Core, slug: str, who: Who = ANYBODY) -> Operation[InvoiceLink]:
    """Read a link."""
    return (yield from call(core, get(path(LINKS, slug)), InvoiceLink, who))


def page(core: Core, wanted: Mapping[str, Any], who: Who) -> Operation[Page[OwnInvoiceLink]]:
    """Read a page of the caller's links."""
    request = get(LINKS, query(arguments(InvoiceLinkFilter, wanted)))
    return (yield from call(core, request, Page[OwnInvoiceLink], who))


def every(core: Core, wanted: Mapping[str, Any], who: Who) -> Items[OwnInvoiceLink]:
    """Emit the caller's links."""
    asked = query(arguments(InvoiceLinkFilter, wanted))
    return items(core, LINKS, asked, Page[OwnInvoiceLink], who)


def set_status(core: Core, link: str, status: str, tx_hash: str | None, who: Who) -> Operation[OwnInvoiceLink]:
    """Cancel a link, or name the transaction that pays it."""
    wanted = body({"status": str(status), "tx_hash": tx_hash})
    return (yield from call(core, Request("PATCH", path(LINKS, link, "status"), body=wanted), OwnInvoiceLink, who))


def delete(core: Core, link: str, who: Who) -> Operation[None]:
    """Delete a link."""
    request = Request("DELETE", path(LINKS, link))
    yield from answered(core, request, nothing, who)


def pay(core: Core, slug: str, by: Operation[Signing], *, allow_another: bool) -> Operation[PaidInvoiceLink]:
    """Pay a link: one stream, created by the signer."""
    signing = yield from by
    if signing.account is None:
        raise ConfigurationError("Who pays? Pass account=, or give the signer public_key or get_address().")
    link = yield from read_link(core, slug)
    # nothing is stored or sent for a transaction that is built, so it may be built again
    request = Request("POST", path(LINKS, slug, "transaction"), body=body({"account": signing.account}), safe=True)

    def still_open() -> Operation[None]:
        """Look again once it is signed: that may have taken long, and somebody else may have paid meanwhile."""
        found = yield from read_link(core, slug, NOBODY)
        is_paid = found.status == InvoiceLinkStatus.COMPLETED
        # what it named before it was built is none that is under way: building says so
        is_under_way = found.status == InvoiceLinkStatus.SIGNED and found.tx_hash not in {None, link.tx_hash}
        if is_paid or is_under_way:
            raise PaymentUnderWayError(slug, found.tx_hash or "unknown", is_paid=is_paid)

    def applied() -> Operation[Done]:
        built = yield from call(core, request, PaymentToSign)
        if built.under_way is not None and not allow_another:
            raise PaymentUnderWayError(slug, built.under_way)
        submit = path(LINKS, slug, "submit")
        if allow_another:
            return (yield from carried_out(core, built.transaction, signing, submit, NOBODY))
        try:
            return (yield from carried_out(core, built.transaction, signing, submit, NOBODY, still_open, alone=True))
        except ConflictError as error:
            if error.code != PaymentUnderWayError.code:
                raise
            # somebody else's came between the last look and this one: the service took nothing of it
            other = error.problem.get("txHash")
            raise PaymentUnderWayError(slug, other if isinstance(other, str) else "unknown") from error

    done = yield from in_turn(signing, applied())
    stream = yield from as_recorded(core, done)

    def look(core: Core) -> Operation[InvoiceLink | None]:
        """Links and streams are indexed side by side; one that ended meanwhile is shown again once it is paid."""
        nonlocal link
        try:
            link = yield from read_link(core, slug, NOBODY)
        except GoneError as error:
            ended = InvoiceLinkStatus.EXPIRED if error.code == "link-expired" else InvoiceLinkStatus.CANCELED
            link = link.model_copy(update={"status": ended})
        return link if link.status == InvoiceLinkStatus.COMPLETED else None

    with suppress(NebulaError):  # the stream is there in the end, whatever the link says
        yield from kept(done.submission, poll(core, done.deadline, look))
    return PaidInvoiceLink(link=link, stream=stream)
