"""One endpoint that is asked for ledger entries: any version will do, and it needs no history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stellarstream_core.chain import LedgerEntries
from stellarstream_core.errors import SourceError
from stellarstream_core.sources import Reason
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.entries import ledger_entries_params, read_ledger_entries
from stellarstream_soroban_rpc.event_list import BadPageError
from stellarstream_soroban_rpc.failures import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, WrongAnswerError


class ChainEndpoint(Endpoint):
    """A node behind an address whose ledger entries are read. Checked is its network and nothing else."""

    def __init__(self, client: RpcClient, passphrase: str) -> None:
        super().__init__(client, passphrase, query_events=False)
        self._checking: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Make sure, once, that the node is of the right network; whoever asks meanwhile waits for the same answer.

        One after the other they would each wait for a node that is silent, instead of asking the next one.
        """
        if self.checked:
            return
        if self._checking is None:
            self._checking = asyncio.create_task(super().check())
            self._checking.add_done_callback(self._check_ended)
        await asyncio.shield(self._checking)

    def _check_ended(self, task: asyncio.Task[None]) -> None:
        self._checking = None
        if not task.cancelled():
            task.exception()  # seen, even where nobody waits any more

    async def _check_version(self) -> None:
        """Accept every version: entries have no ids that could be numbered otherwise."""

    async def read_range(self) -> int:
        """Ask nothing: each answer names its own ledger, and which older ones a node keeps does not matter."""
        return self.oldest

    async def ledger_entries(self, keys: Sequence[bytes]) -> LedgerEntries:
        """Return checked entries of at most 200 different keys.

        Raises an :class:`AttemptError` where another attempt may do better, and ``SourceError`` where
        the node refuses the keys, which every node would.
        """
        try:
            answer = await self.client.call("getLedgerEntries", ledger_entries_params(keys))
        except RpcError as error:
            if error.rpc_code == METHOD_NOT_FOUND:
                self.refuse(Reason.UNSUPPORTED, f"{self.shown} does not offer getLedgerEntries.")
            if error.rpc_code == INVALID_PARAMS:
                raise SourceError(
                    error.message, help="One of the keys is no LedgerKey that may be asked for."
                ) from None
            raise
        try:
            entries = read_ledger_entries(answer.result, keys)
        except BadPageError as error:
            raise WrongAnswerError(f"{self.shown} sent ledger entries that cannot be right: {error}.") from None
        self.latest = max(self.latest, entries.ledger)
        return entries
