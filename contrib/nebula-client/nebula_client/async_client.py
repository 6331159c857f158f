"""The client for asyncio: :class:`AsyncNebulaClient`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Self, TypeVar, Unpack

import httpx2

from nebula_client import _waiting
from nebula_client import models as m
from nebula_client import params as p
from nebula_client._base import Acting
from nebula_client._core import history, links, login, streams, submitting, watching
from nebula_client._core.config import AsyncClientOptions, Core, Limits
from nebula_client._core.effects import Items, Operation
from nebula_client._core.live import SILENCE_SECONDS
from nebula_client._core.login import somebody
from nebula_client.signing import AnySigner

T = TypeVar("T")


class AsyncNebulaClient(Acting):
    """A StellarStream service for asyncio: the calls of :class:`NebulaClient`, to be awaited. Tasks may share one.

    Close it, or use it as a context manager. A signer may be asynchronous; one that is not should not wait for long,
    since nothing else goes on meanwhile. A call that is cancelled leaves nothing open.
    """

    _driver: _waiting.Driver

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        self._core = Core.of(base_url, options)
        self._driver = _waiting.Driver(transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._driver.close()

    def with_options(self, **limits: Unpack[Limits]) -> AsyncNebulaClient:
        """Return a client with other time limits. It shares login and connections with this one."""
        other = object.__new__(AsyncNebulaClient)
        other._core, other._driver = self._core.limited(limits), self._driver
        return other

    async def _run(self, operation: Operation[T]) -> T:
        return await self._driver.run(operation)

    def _iterate(self, operation: Items[T]) -> AsyncGenerator[T, None]:
        return self._driver.iterate(operation)

    def set_signer(self, signer: AnySigner | None) -> None:
        """Have this signer sign and log in where a call names nobody; None: nobody."""
        self._core.session.signer = signer

    async def login(self, signer: AnySigner | None = None, *, account: str | None = None) -> str:
        """Log in with a signer (SEP-10), act by that from now on, and return the token."""
        return await self._run(login.login(self._core, signer, account))

    # --- streams ------------------------------------------------------------------------------

    async def create_stream(
        self,
        *,
        signer: AnySigner | None = None,
        account: str | None = None,
        on_submitted: p.OnSubmitted | None = None,
        **params: Unpack[p.CreateStreamParams],
    ) -> m.Stream:
        """Create a stream that the signer pays, and return it as the chain recorded it."""
        return await self._run(streams.create(self._core, params, self._by(signer, account, on_submitted)))

    async def withdraw_from_stream(
        self,
        stream_id: str,
        amount: p.Amount | None = None,
        *,
        signer: AnySigner | None = None,
        account: str | None = None,
        on_submitted: p.OnSubmitted | None = None,
    ) -> m.Stream:
        """Withdraw what is unlocked, and return the stream afterwards. V1 and V2 contracts take no ``amount``."""
        by = self._by(signer, account, on_submitted)
        return await self._run(streams.withdraw(self._core, stream_id, amount, by))

    async def cancel_stream(
        self,
        stream_id: str,
        *,
        signer: AnySigner | None = None,
        account: str | None = None,
        on_submitted: p.OnSubmitted | None = None,
    ) -> m.Stream:
        """Cancel a stream, and return it afterwards: what was unlocked is the receiver's, the rest goes back."""
        return await self._run(streams.cancel(self._core, stream_id, self._by(signer, account, on_submitted)))

    async def get_stream(self, stream_id: str, *, at: p.Moment | None = None) -> m.Stream:
        """Return a stream; with ``at`` its amounts and status at that moment, by the present terms."""
        return await self._run(streams.read_stream(self._core, stream_id, at))

    async def get_streams(self, address: str, limit: int = 50, offset: int = 0) -> list[m.Stream]:
        """Return the newest streams that an address sends, receives or is paid from."""
        return await self._run(streams.of_address(self._core, address, limit, offset))

    async def list_streams(self, **filter: Unpack[p.StreamFilter]) -> m.Page[m.Stream]:
        """Return a page of streams, newest first."""
        return await self._run(streams.page(self._core, filter))

    def iterate_streams(self, **filter: Unpack[p.StreamFilter]) -> AsyncGenerator[m.Stream, None]:
        """Yield all streams of a list, newest first."""
        return self._iterate(streams.every(self._core, filter))

    async def search_streams(self, query: str, limit: int = 50) -> list[m.Stream]:
        """Return the streams that a text finds: an id, a number, an address, a memo, a transaction's hash."""
        return await self._run(streams.found_by(self._core, query, limit))

    async def search(self, query: str, limit: int | None = None) -> list[m.SearchResult]:
        """Look a text up among streams, invoice links, transactions and contracts."""
        return await self._run(streams.search(self._core, query, limit))

    def watch_stream(self, stream_id: str, *, silence: float = SILENCE_SECONDS) -> AsyncGenerator[m.Stream, None]:
        """Yield a stream as it is, and again whenever something happens to it. What the clock moves is no news."""
        return self._iterate(watching.stream(self._core, stream_id, silence))

    # --- history, yield, totals -----------------------------------------------------------------

    async def get_stream_history(self, stream_id: str) -> m.StreamHistory:
        """Return a stream with everything that ever happened to it, oldest first."""
        return await self._run(history.whole(self._core, stream_id))

    async def get_stream_events(self, stream_id: str, limit: int = 50) -> list[m.StreamEvent]:
        """Return the first events of a stream, oldest first."""
        return await self._run(history.beginning(self._core, stream_id, limit))

    def iterate_stream_events(self, **filter: Unpack[p.StreamEventFilter]) -> AsyncGenerator[m.StreamEvent, None]:
        """Yield entries of the audit log, newest first unless ``order`` says otherwise."""
        return self._iterate(history.every_entry(self._core, filter))

    async def verify_history(self, stream_id: str | None = None) -> m.Verification:
        """Have the service compute the audit log's hashes again: one stream's, or all."""
        return await self._run(history.verify(self._core, stream_id))

    async def get_yield_data(self, stream_id: str, *, samples: int | None = None) -> m.YieldData:
        """Return what a stream's money has earned in its vault; :class:`NotFoundError` where it is in none."""
        return await self._run(history.earned(self._core, stream_id, samples))

    async def calculate_yield(self, stream_id: str, days: int = 30) -> m.YieldProjection:
        """Return what a stream's money would earn in so many days, at the present rate."""
        return await self._run(history.projected(self._core, stream_id, days))

    async def get_stats(self) -> m.Stats:
        """Return totals of all streams."""
        return await self._run(history.stats(self._core))

    async def get_sync(self, *, contract: str | Sequence[str] | None = None) -> m.SyncState:
        """Return how far the service's database is, of all contracts or of some."""
        return await self._run(history.sync(self._core, contract))

    # --- contract events --------------------------------------------------------------------------

    async def list_events(self, **filter: Unpack[p.EventFilter]) -> m.Page[m.ContractEvent]:
        """Return a page of contract events, oldest first unless ``order`` says otherwise."""
        return await self._run(history.events(self._core, filter))

    def iterate_events(self, **filter: Unpack[p.EventFilter]) -> AsyncGenerator[m.ContractEvent, None]:
        """Yield all contract events of a list."""
        return self._iterate(history.every_event(self._core, filter))

    async def get_event(self, event_id: str) -> m.ContractEvent:
        """Return one contract event."""
        return await self._run(history.event(self._core, event_id))

    def watch_events(
        self,
        *,
        since: str | None = None,
        on_position: p.OnPosition | None = None,
        silence: float = SILENCE_SECONDS,
        **filter: Unpack[p.LiveFilter],
    ) -> AsyncGenerator[m.LiveEvent, None]:
        """Yield contract events as they are committed, each once, over any number of connections.

        ``since`` is the last position that was dealt with; without it watching begins with the first step, now.
        """
        return self._iterate(watching.events(self._core, filter, since, on_position, silence))

    # --- invoice links ----------------------------------------------------------------------------

    async def create_invoice_link(
        self,
        *,
        idempotency_key: str | None = None,
        signer: AnySigner | None = None,
        account: str | None = None,
        **params: Unpack[p.CreateInvoiceLinkParams],
    ) -> m.OwnInvoiceLink:
        """Make a link that asks to be paid. The same key again gives the same link; without one each call makes one."""
        return await self._run(links.create(self._core, params, idempotency_key, somebody(signer, account)))

    async def get_invoice_link(self, slug: str) -> m.InvoiceLink:
        """Return a link; needs no login. :class:`GoneError` where it is expired or cancelled."""
        return await self._run(links.read_link(self._core, slug))

    async def list_invoice_links(
        self,
        *,
        signer: AnySigner | None = None,
        account: str | None = None,
        **filter: Unpack[p.InvoiceLinkFilter],
    ) -> m.Page[m.OwnInvoiceLink]:
        """Return a page of the caller's links, newest first, each with its payments."""
        return await self._run(links.page(self._core, filter, somebody(signer, account)))

    def iterate_invoice_links(
        self,
        *,
        signer: AnySigner | None = None,
        account: str | None = None,
        **filter: Unpack[p.InvoiceLinkFilter],
    ) -> AsyncGenerator[m.OwnInvoiceLink, None]:
        """Yield all of the caller's links, newest first."""
        return self._iterate(links.every(self._core, filter, somebody(signer, account)))

    async def update_invoice_link_status(
        self,
        link_id: str,
        status: p.AnyLinkStatus,
        *,
        tx_hash: str | None = None,
        signer: AnySigner | None = None,
        account: str | None = None,
    ) -> m.OwnInvoiceLink:
        """Cancel a link (``CANCELED``), or name the transaction that pays it (``SIGNED`` with ``tx_hash``)."""
        return await self._run(links.set_status(self._core, link_id, status, tx_hash, somebody(signer, account)))

    async def delete_invoice_link(
        self, link_id: str, *, signer: AnySigner | None = None, account: str | None = None
    ) -> None:
        """Delete a link by its id or slug. One that is paid, or may be, is cancelled instead."""
        await self._run(links.delete(self._core, link_id, somebody(signer, account)))

    async def pay_invoice_link(
        self,
        slug: str,
        *,
        signer: AnySigner | None = None,
        account: str | None = None,
        allow_another: bool = False,
        on_submitted: p.OnSubmitted | None = None,
    ) -> m.PaidInvoiceLink:
        """Pay a link by a stream that the signer creates; needs no login. Raises :class:`PaymentUnderWayError`."""
        by = self._by(signer, account, on_submitted)
        return await self._run(links.pay(self._core, slug, by, allow_another=allow_another))

    def watch_invoice_link(
        self, slug: str, *, silence: float = SILENCE_SECONDS
    ) -> AsyncGenerator[m.InvoiceLinkState, None]:
        """Yield where a link is, and again with each change; it ends when the link is deleted."""
        return self._iterate(watching.link(self._core, slug, silence))

    # --- transactions -----------------------------------------------------------------------------

    async def get_transaction(self, tx_hash: str) -> m.Transaction:
        """Return what is known of a transaction."""
        return await self._run(submitting.known(self._core, tx_hash))

    async def submit_transaction(
        self, signed_xdr: str, *, signer: AnySigner | None = None, account: str | None = None
    ) -> m.Transaction:
        """Hand a signed transaction in. The same one again is the same transaction: nothing is done twice."""
        return await self._run(submitting.handed_in(self._core, signed_xdr, somebody(signer, account)))

    async def wait_for_transaction(self, tx_hash: str) -> m.Transaction:
        """Wait until a transaction is in a ledger and indexed."""
        return await self._run(submitting.waited(self._core, tx_hash))
