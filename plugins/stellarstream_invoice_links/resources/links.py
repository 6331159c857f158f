"""``/invoice-links``: making links, reading one by its slug, and what its owner may do with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stellarstream_core.api.auth.identity import Access
from stellarstream_core.api.models import Listed, ListParameters, Nothing, Parameters
from stellarstream_core.api.problems import FieldError, InvalidBodyError, InvalidCursorError
from stellarstream_core.api.routes import PRIVATE, Answer, Call, Route
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.settings import Settings
from stellarstream_invoice_links import links_store
from stellarstream_invoice_links.creating import InvoiceLinkRequest, new_link
from stellarstream_invoice_links.links import payments_of, take_turn
from stellarstream_invoice_links.links_store import Place
from stellarstream_invoice_links.model import Link, LinkStatus
from stellarstream_invoice_links.problems import (
    IllegalMoveError,
    LinkCancelledError,
    LinkExpiredError,
    LinkNotFoundError,
    NotDeletableError,
    SubmittedForAnotherError,
    TooManyLinksError,
)
from stellarstream_invoice_links.projection import NAME
from stellarstream_invoice_links.reading import open_link
from stellarstream_invoice_links.represent import InvoiceLinkModel, OwnLinkModel, link_model, own_link_model
from stellarstream_invoice_links.settings import InvoiceLinkSettings
from stellarstream_nebula.served import families_in
from stellarstream_nebula.transactions.calls import RELAYED
from stellarstream_nebula.transactions.errors import (
    ContractAmbiguousError,
    ContractNotCallableError,
    ContractNotServedError,
    InvalidTermsError,
)
from stellarstream_nebula.transactions.service import Transactions

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.api.service import ApiService

TAG = "invoice links"
LIST = "invoice-links"
LONGEST_REF = 64

Slug = Annotated[str, Field(min_length=1, max_length=LONGEST_REF, description="the link's slug")]
Ref = Annotated[str, Field(min_length=1, max_length=LONGEST_REF, description="the link's id, or its slug")]


class SlugPath(Parameters):
    """Which link, for everybody."""

    slug: Slug


class OwnSlugPath(Parameters):
    """Which of the caller's links. It has the name that the same address has for reading."""

    slug: Ref


class OwnPath(Parameters):
    """Which of the caller's links."""

    id: Ref


class LinksQuery(ListParameters):
    """What ``GET /invoice-links`` takes."""

    status: Annotated[tuple[LinkStatus, ...], Field(max_length=5, description="several may be given")] = ()


class StatusChange(Parameters):
    """What the owner sets a link to."""

    status: Annotated[LinkStatus, Field(description="CANCELED; or SIGNED, with txHash")]
    tx_hash: Annotated[
        str | None,
        Field(pattern=r"^[0-9a-fA-F]{64}$", description="the transaction that was submitted for the link elsewhere"),
    ] = None


class ListOfLinks(Listed[OwnLinkModel]):
    """A page of links."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one snapshot holds of a list."""

    items: Sequence[OwnLinkModel]
    resume: Place | None
    as_of: int
    complete: bool


async def create(call: Call[Nothing, Nothing, InvoiceLinkRequest]) -> Answer:
    """Answer ``POST /invoice-links``."""
    api, now = call.api, int(time.time())
    contract, family = (await api.part(Transactions).served()).to_create(call.body.contract_id)
    new = new_link(call.body, call.account, contract, family, now)
    most_open = api.settings.section(InvoiceLinkSettings).most_open_links

    def write(database: Database) -> Answer:
        link = links_store.insert(database, new, now, most_open)
        answer = Answer(_own(api, database, link, now), headers={"Location": f"/api/v1/invoice-links/{link.slug}"})
        call.finish_within(database, answer)
        return answer

    return await api.database.write(api.database.storage.write, write)


async def read(call: Call[SlugPath, Nothing, Nothing]) -> InvoiceLinkModel:
    """Answer ``GET /invoice-links/{slug}``."""
    api, now = call.api, time.time()
    find = partial(open_link, slug=call.path.slug, now=now)
    link = await api.database.run(api.database.storage.read, find)
    return link_model(link, api.public_url, api.settings.frontend_url, now)


async def list_own(call: Call[Nothing, LinksQuery, Nothing]) -> Answer:
    """Answer ``GET /invoice-links``."""
    api, query = call.api, call.query
    filters = f"{call.account}|{','.join(sorted(set(query.status)))}"
    after = None if query.cursor is None else _place(api.cursors.read(LIST, filters, query.cursor))
    asked = partial(_read_page, api, call.account, query, after, int(time.time()))
    page = await api.database.run(api.database.storage.read, asked)
    cursor = None
    if page.resume is not None:
        cursor = api.cursors.make(LIST, filters, f"{page.resume.created_at}|{page.resume.link_id}")
    body = ListOfLinks(items=list(page.items), next_cursor=cursor, as_of_ledger=page.as_of, complete=page.complete)
    return Answer(body, next_cursor=cursor, cache=PRIVATE)


async def set_status(call: Call[OwnPath, Nothing, StatusChange]) -> OwnLinkModel:
    """Answer ``PATCH /invoice-links/{id}/status``."""
    api, body, now = call.api, call.body, int(time.time())

    def write(database: Database) -> OwnLinkModel:
        return _own(api, database, _changed(database, call.account, call.path.id, body, now), now)

    return await api.database.write(api.database.storage.write, write)


async def delete(call: Call[OwnSlugPath, Nothing, Nothing]) -> None:
    """Answer ``DELETE /invoice-links/{id}``."""
    change = partial(links_store.delete, owner=call.account, ref=call.path.slug, now=int(time.time()))
    await call.api.database.write(call.api.database.storage.write, change)


def _changed(database: Database, owner: str, ref: str, body: StatusChange, now: int) -> Link:
    """Bring a link to a status, in the transaction that is open, and return it as it is then."""
    if body.status is not LinkStatus.SIGNED:
        if body.tx_hash is not None:
            raise _invalid("body.txHash", "belongs to SIGNED alone")
        if body.status is LinkStatus.CANCELED:
            return links_store.cancel(database, owner, ref, now)
    take_turn(database)
    link = links_store.own_link(database, owner, ref)
    links_store.require_move(link, body.status, now)
    if body.tx_hash is None:
        raise _invalid("body.txHash", "is missing: SIGNED needs the transaction that was submitted")
    from stellarstream_invoice_links.submissions import claim_transaction  # noqa: PLC0415 - it settles: much to load

    claim_transaction(database, link.id, body.tx_hash.lower(), now)
    return links_store.own_link(database, owner, ref)


def _read_page(
    api: ApiService, owner: str, query: LinksQuery, after: Place | None, now: int, database: Database
) -> Page:
    """Read a page in one snapshot."""
    found = links_store.list_links(database, owner, now, statuses=query.status, after=after, limit=query.limit)
    payments = payments_of(database, [link.id for link in found.links])
    items = [
        own_link_model(link, payments[link.id], api.public_url, api.settings.frontend_url, now) for link in found.links
    ]
    return Page(items, found.resume, *_extent(database, api.settings, found.links))


def _extent(database: Database, settings: Settings, links: Sequence[Link]) -> tuple[int, bool]:
    """Return the last ledger whose payments are in what is said of links, and whether none is missing up to it.

    0 and false while payments of one of the contracts are not looked for yet.
    """
    served = [contract for contract, family in families_in(database, settings).items() if family in RELAYED]
    contracts = sorted({*served, *(link.terms.contract for link in links)})
    reached = reached_in(database, NAME, contracts)
    if not contracts or len(reached) < len(contracts):
        return 0, False
    return min(one.ledger for one in reached.values()), all(one.complete for one in reached.values())


def _own(api: ApiService, database: Database, link: Link, now: int) -> OwnLinkModel:
    payments = payments_of(database, [link.id])[link.id]
    return own_link_model(link, payments, api.public_url, api.settings.frontend_url, now)


def _place(text: str) -> Place:
    created_at, _, link_id = text.partition("|")
    if not created_at.isdigit():  # signed by us for another release's list
        raise InvalidCursorError("The cursor is of another release.")
    return Place(int(created_at), link_id)


def _invalid(field: str, detail: str) -> InvalidBodyError:
    return InvalidBodyError("The body is not what the route takes.", errors=[FieldError(field, detail)])


ROUTES = (
    Route(
        method="POST",
        path="/invoice-links",
        handler=create,
        body=InvoiceLinkRequest,
        answer=OwnLinkModel,
        status=201,
        creates=True,
        tag=TAG,
        summary="Make an invoice link",
        description=(
            "A link that asks whoever opens it to pay by a stream with these terms, which never change. Nothing is on "
            "the chain until somebody pays."
        ),
        problems=(
            ContractNotServedError,
            ContractNotCallableError,
            ContractAmbiguousError,
            InvalidTermsError,
            TooManyLinksError,
        ),
    ),
    Route(
        method="GET",
        path="/invoice-links",
        handler=list_own,
        query=LinksQuery,
        answer=ListOfLinks,
        access=Access.ACCOUNT,
        tag=TAG,
        summary="List the caller's invoice links",
        description=(
            "Newest first. Each comes with the streams that came for it; a deleted one is listed only where some did. "
            "Under a filter a page may be short, or empty, before the list ends: go on while nextCursor is not null."
        ),
        problems=(InvalidCursorError,),
    ),
    Route(
        method="GET",
        path="/invoice-links/{slug}",
        handler=read,
        path_model=SlugPath,
        answer=InvoiceLinkModel,
        tag=TAG,
        summary="Read an invoice link",
        description=(
            "For everybody who has its slug. One that is paid is always there; one whose time is over, or that was "
            "taken back, is gone (410), and one that was deleted was never there (404)."
        ),
        problems=(LinkNotFoundError, LinkExpiredError, LinkCancelledError),
    ),
    Route(
        method="PATCH",
        path="/invoice-links/{id}/status",
        handler=set_status,
        path_model=OwnPath,
        body=StatusChange,
        answer=OwnLinkModel,
        tag=TAG,
        summary="Cancel an invoice link, or say by which transaction it is being paid",
        description=(
            "COMPLETED comes from the chain alone, and EXPIRED from the clock. A link that is CANCELED already may be "
            "set to it again. 'legal' of a refusal names what can be set now."
        ),
        problems=(LinkNotFoundError, IllegalMoveError, SubmittedForAnotherError, InvalidBodyError),
    ),
    Route(
        method="DELETE",
        path="/invoice-links/{slug}",
        handler=delete,
        path_model=OwnSlugPath,
        status=204,
        tag=TAG,
        summary="Delete an invoice link",
        description=(
            "By its id or its slug: one that is DRAFT, EXPIRED or CANCELED. Its slug is never given to another link; "
            "a stream that comes for it all the same is shown to its owner in the list."
        ),
        problems=(LinkNotFoundError, NotDeletableError),
    ),
)
"""The routes of links."""
