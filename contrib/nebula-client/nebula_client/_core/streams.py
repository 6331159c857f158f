"""What is done with streams: made, withdrawn from, cancelled, read, listed, found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nebula_client._core.calls import call
from nebula_client._core.config import Core
from nebula_client._core.effects import Items, Operation
from nebula_client._core.login import ANYBODY, NOBODY, Who
from nebula_client._core.paging import first, items
from nebula_client._core.polling import poll
from nebula_client._core.requests import Request, get
from nebula_client._core.submitting import Done, Signing, carried_out, in_turn, kept, pending
from nebula_client._core.wire import arguments, body, moment, path, query
from nebula_client.models.base import Page
from nebula_client.models.streams import SearchResult, Stream
from nebula_client.models.transactions import Cancellation, Creation, Withdrawal
from nebula_client.params import Amount, CreateStreamParams, Moment, StreamFilter

SILENT = "v1"
"""Contracts of this version pay out and are cancelled without an event: a read of the chain tells it, seconds later."""


def create(core: Core, params: Mapping[str, Any], by: Operation[Signing]) -> Operation[Stream]:
    """Create a stream that the signer pays."""
    wanted = body(arguments(CreateStreamParams, params))
    signing = yield from by
    return (yield from _indexed(core, "/streams", wanted, Creation, signing))


def withdraw(core: Core, stream_id: str, amount: Amount | None, by: Operation[Signing]) -> Operation[Stream]:
    """Withdraw from a stream that the signer is paid by."""
    wanted = body({"stream_id": stream_id, "amount": amount})
    signing = yield from by
    return (yield from _indexed(core, "/streams/withdraw", wanted, Withdrawal, signing, silent=True))


def cancel(core: Core, stream_id: str, by: Operation[Signing]) -> Operation[Stream]:
    """Cancel a stream of the signer's."""
    wanted = body({"stream_id": stream_id})
    signing = yield from by
    return (yield from _indexed(core, "/streams/cancel", wanted, Cancellation, signing, silent=True))


def _indexed(
    core: Core,
    at: str,
    wanted: bytes,
    model: type[Creation] | type[Withdrawal] | type[Cancellation],
    signing: Signing,
    *,
    silent: bool = False,
) -> Operation[Stream]:
    # nothing is stored or sent for a transaction that is built, so it may be built again
    request = Request("POST", at, body=wanted, safe=True)

    def applied() -> Operation[Done]:
        built = yield from call(core, request, model, signing.who)
        return (yield from carried_out(core, built.transaction, signing, "/transactions", signing.who))

    done = yield from in_turn(signing, applied())
    return (yield from as_recorded(core, done, silent=silent))


def as_recorded(core: Core, done: Done, *, silent: bool = False) -> Operation[Stream]:
    """Return the stream that a transaction touched, as soon as it can be read as of the transaction's ledger.

    ``silent`` says that it may have changed without an event: then a read of the chain is waited for, too, if it comes
    in time.
    """
    return (yield from kept(done.submission, _recorded(core, done, silent=silent)))


def _recorded(core: Core, done: Done, *, silent: bool) -> Operation[Stream]:
    ledger = done.transaction.ledger or 0
    seen: Stream | None = None

    def look(core: Core) -> Operation[Stream | None]:
        nonlocal seen
        stream = yield from read_stream(core, (done.transaction.stream_ids or ["-"])[0], who=NOBODY)
        if stream.as_of_ledger < ledger:
            return None
        seen = stream
        is_unread = silent and stream.version == SILENT and (stream.state_ledger or 0) < ledger
        return None if is_unread else stream

    found, trouble = yield from poll(core, done.deadline, look)
    if (shown := found or seen) is None:
        what = f"It is in ledger {ledger}, and its stream cannot be read yet"
        raise pending(done.submission.tx_hash, what, done.submission, done.transaction) from trouble
    return shown


def read_stream(core: Core, stream_id: str, at: Moment | None = None, who: Who = ANYBODY) -> Operation[Stream]:
    """Read one stream."""
    asked = get(path("/streams", stream_id), query({"at": None if at is None else moment(at)}))
    return (yield from call(core, asked, Stream, who))


def page(core: Core, wanted: Mapping[str, Any]) -> Operation[Page[Stream]]:
    """Read a page of streams."""
    return (yield from call(core, get("/streams", query(arguments(StreamFilter, wanted))), Page[Stream]))


def of_address(core: Core, address: str, limit: int, offset: int) -> Operation[list[Stream]]:
    """Read an address's newest streams."""
    return (
        yield from first(core, "/streams", query({"address": address, "offset": offset or None}), Page[Stream], limit)
    )


def found_by(core: Core, text: str, limit: int) -> Operation[list[Stream]]:
    """Read the streams that a text finds."""
    return (yield from first(core, "/streams", query({"q": text}), Page[Stream], limit))


def every(core: Core, wanted: Mapping[str, Any]) -> Items[Stream]:
    """Emit all streams of a list."""
    return items(core, "/streams", query(arguments(StreamFilter, wanted)), Page[Stream])


def search(core: Core, text: str, limit: int | None) -> Operation[list[SearchResult]]:
    """Look a text up in everything."""
    return (yield from call(core, get("/search", query({"q": text, "limit": limit})), Page[SearchResult])).items
