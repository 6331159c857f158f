"""One endpoint as a source of whole ledgers."""

from __future__ import annotations

from stellarstream_core.sources import Reason
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.event_list import BadPageError
from stellarstream_soroban_rpc.failures import (
    METHOD_NOT_FOUND,
    LaggingError,
    RetentionError,
    RpcError,
    UnsupportedError,
    WrongAnswerError,
    refined,
)
from stellarstream_soroban_rpc.ledgers_pages import MOST_A_PAGE, LedgersPage, get_ledgers_params, read_get_ledgers


class LedgersEndpoint(Endpoint):
    """A node behind an address whose ledgers are read whole. Event ids are made here, so any version will do."""

    def __init__(self, client: RpcClient, passphrase: str) -> None:
        super().__init__(client, passphrase, query_events=False)
        self.most_ledgers = MOST_A_PAGE
        """Ledgers in a page, as the node's operator allows."""

    async def _check_version(self) -> None:
        await self._read_version()

    async def _probe(self) -> None:
        """Ask for the newest ledger; refuse the endpoint for good where it has no ledgers to hand out."""
        try:
            page = await self.ledgers(self.latest, 1)
        except (LaggingError, RetentionError):
            return  # another node answers than the one that told the tip
        except UnsupportedError as error:
            if error.rpc_code != METHOD_NOT_FOUND:
                raise
            return
        entry = page.entries.get(self.latest)
        if entry is not None and not entry.meta:
            self.refuse(Reason.UNSUPPORTED, f"{self.shown} hands out ledgers without their metadataXdr.")

    async def ledgers(self, first: int, count: int) -> LedgersPage:
        """Return a checked page; raise an :class:`AttemptError` that says what to do about it."""
        try:
            answer = await self.client.call("getLedgers", get_ledgers_params(first, count))
        except RpcError as error:
            if error.rpc_code == METHOD_NOT_FOUND:
                self.refuse(Reason.UNSUPPORTED, f"{self.shown} does not offer getLedgers.")
            meaning = refined(error, first)
            if isinstance(meaning, RetentionError):
                self.note(meaning.oldest, meaning.latest)
            raise meaning from None
        try:
            page = read_get_ledgers(answer.result, first, count, answer.size)
        except BadPageError as error:
            raise WrongAnswerError(f"{self.shown} sent a page that cannot be right: {error}.") from None
        self.note(page.oldest, page.latest, page.latest_closed_at, page.oldest_closed_at)
        if not page.entries and page.latest < first:
            raise LaggingError(f"{self.shown} is behind: ledger {first} was asked for and its latest is {page.latest}.")
        return page
