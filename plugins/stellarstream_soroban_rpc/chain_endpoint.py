"""One endpoint that is asked of the chain's present state: any version will do, and it needs no history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from stellarstream_core.chain import ChainTransaction, LedgerEntries, Sent, Simulation
from stellarstream_core.endpoints.address import printable
from stellarstream_core.errors import SourceError
from stellarstream_core.sources import Reason
from stellarstream_soroban_rpc.chain_answers import (
    envelope_params,
    read_chain_transaction,
    read_sent,
    read_simulation,
)
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.entries import ledger_entries_params, read_ledger_entries
from stellarstream_soroban_rpc.event_list import BadPageError
from stellarstream_soroban_rpc.failures import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    AttemptError,
    RpcError,
    WrongAnswerError,
)

T = TypeVar("T")

_OWN_FAULTS = (
    "could not unmarshal transaction",
    "transaction contains more than one operation",
    "transaction contains unsupported operation type",
    "to perform a simulatetransaction for",
    "cannot set authmode",
)
"""How an error without a ledger begins where the envelope is at fault (methods/simulate_transaction.go)."""


class SimulationFailedError(AttemptError):
    """The node could not simulate at all, for a reason of its own."""


class ChainEndpoint(Endpoint):
    """A node behind an address whose present state is asked for. Checked is its network and nothing else."""

    def __init__(self, client: RpcClient, passphrase: str) -> None:
        super().__init__(client, passphrase, query_events=False)
        self._network = passphrase
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
        entries = await self._checked_answer(
            "getLedgerEntries",
            ledger_entries_params(keys),
            lambda result: read_ledger_entries(result, keys),
            "One of the keys is no LedgerKey that may be asked for.",
        )
        self.latest = max(self.latest, entries.ledger)
        return entries

    async def simulate(self, envelope: bytes) -> Simulation:
        """Return what a transaction would do. Raises as :meth:`ledger_entries` does."""
        found = await self._checked_answer(
            "simulateTransaction",
            envelope_params(envelope),
            lambda result: read_simulation(result, self.client.log),
            "The transaction cannot be read by the node.",
        )
        if found.ledger == 0:
            said = printable(found.error or "")
            if said.lower().startswith(_OWN_FAULTS):
                raise SourceError(f"{self.shown} cannot simulate the transaction: {said}")
            raise SimulationFailedError(f"{self.shown} failed to simulate: {said}")
        self.latest = max(self.latest, found.ledger)
        return found

    async def send(self, envelope: bytes, tx_hash: str) -> Sent:
        """Hand in a transaction whose own hash is ``tx_hash``. Raises as :meth:`ledger_entries` does."""
        return await self._checked_answer(
            "sendTransaction",
            envelope_params(envelope),
            lambda result: read_sent(result, tx_hash),
            "The transaction cannot be read by the node.",
        )

    async def transaction(self, tx_hash: str) -> ChainTransaction:
        """Return what became of a transaction, as far as this node knows. Raises as :meth:`ledger_entries` does."""
        found = await self._checked_answer(
            "getTransaction",
            {"hash": tx_hash},
            lambda result: read_chain_transaction(result, tx_hash, self._network),
            "The hash is none.",
        )
        self.latest = max(self.latest, found.latest)
        return found

    async def _checked_answer(
        self, method: str, params: Mapping[str, Any], read: Callable[[object], T], refused: str
    ) -> T:
        """Call a method and read its answer; ``refused`` is the help where the node does not take the question."""
        try:
            answer = await self.client.call(method, params)
        except RpcError as error:
            if error.rpc_code == METHOD_NOT_FOUND:
                self.refuse(Reason.UNSUPPORTED, f"{self.shown} does not offer {method}.")
            if error.rpc_code == INVALID_PARAMS:
                raise SourceError(error.message, help=refused) from None
            raise
        try:
            return read(answer.result)
        except BadPageError as error:
            raise WrongAnswerError(f"{self.shown} answered {method} with what cannot be right: {error}.") from None
