"""``/invoice-links/{slug}/live``: what becomes of one link, over Server-Sent Events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from aiohttp import web
from multidict import CIMultiDict
from pydantic import Field

from stellarstream_core.api.live.owners import TooManyReadersOfClientError
from stellarstream_core.api.live.stream import MEDIA_TYPE, stream
from stellarstream_core.api.models import Nothing, Parameters
from stellarstream_core.api.pipeline import CLIENT, add_common_headers
from stellarstream_core.api.problems import TooManyReadersError
from stellarstream_core.api.routes import Call, Route
from stellarstream_invoice_links.problems import LinkNotFoundError
from stellarstream_invoice_links.seen import is_slug
from stellarstream_invoice_links.watching import Watching

if TYPE_CHECKING:
    from stellarstream_core.api.live.subscription import Subscription

TAG = "invoice links"


class LivePath(Parameters):
    """Which link."""

    slug: Annotated[str, Field(min_length=1, max_length=64, description="the link's slug; capitals matter")]


async def live(call: Call[LivePath, Nothing, Nothing]) -> web.StreamResponse:
    """Answer ``GET /invoice-links/{slug}/live``."""
    api, request = call.api, call.request
    if not is_slug(call.path.slug):
        raise LinkNotFoundError("There is no invoice link at this address.")
    watching = api.part(Watching)
    owners = [f"client {request[CLIENT].group}"]
    if call.identity is not None:
        owners.append(f"account {call.identity.account}")
    with watching.watch(call.path.slug, owners) as watcher:
        await watching.begin(watcher)
        headers: CIMultiDict[str] = CIMultiDict()
        add_common_headers(api, request, call.route, headers)
        api.metrics.reader_opened()
        try:
            # a watcher has what is asked of a subscription there: frames, hurry and cutting off
            return await stream(request, api.feed, cast("Subscription", watcher), headers)
        finally:
            api.metrics.reader_closed()


ROUTES = (
    Route(
        method="GET",
        path="/invoice-links/{slug}/live",
        handler=live,
        path_model=LivePath,
        media_type=MEDIA_TYPE,
        time_limit=None,
        tag=TAG,
        summary="Follow what becomes of an invoice link",
        description=(
            "Server-Sent Events. 'event: status' comes at once with the present state, then with each change of it: "
            "data is {status, txHash, streamId, updatedAt}, without what is not there. A link that is over or "
            "cancelled is followed as well: a payment from before may be indexed later. 'event: gone' says that the "
            "link was deleted, 'event: bye' that this worker ends: connect again. A comment comes at least every 15 "
            "seconds."
        ),
        problems=(LinkNotFoundError, TooManyReadersError, TooManyReadersOfClientError),
    ),
)
