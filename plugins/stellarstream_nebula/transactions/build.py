"""Unsigned transactions: a call, simulated for an account and put together so that its wallet only has to sign.

stellar-sdk makes the envelope; what the simulation found (footprint, resources, fee, authorizations) goes in
as it is, so that the hash given out is that of what will be signed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger

from stellarstream_core.chain import ChainClient, Simulation
from stellarstream_core.errors import InvalidStrkeyError, SourceMisbehavedError
from stellarstream_core.xdr.strkey import account_id_bytes
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.transactions.calls import Call
from stellarstream_nebula.transactions.chain import account_entry, asked
from stellarstream_nebula.transactions.errors import (
    AccountNotFoundError,
    ChainUnavailableError,
    OtherSignersNeededError,
    RestoreNeededError,
    SequenceUsedUpError,
)
from stellarstream_nebula.transactions.refusals import ErrorNames, refusal
from stellarstream_nebula.transactions.threads import in_thread

if TYPE_CHECKING:
    from stellar_sdk import TransactionEnvelope, xdr

LAST_SEQUENCE = 2**63 - 1
SHORTEST_SECONDS = 5
"""How long a transaction must still be valid when it is built: ledgers close every five seconds."""
MOST_FEE = 2**32 - 1
"""Stroops: a transaction's fee has 32 bits."""


@dataclass(frozen=True, slots=True)
class Built:
    """An unsigned transaction and what the simulation said.

    ``xdr`` is base64 of the envelope, ``hash`` 64 hex digits, ``fee`` the most it costs in stroops,
    ``valid_until`` Unix seconds: the close time of the last ledger that may hold it.
    """

    xdr: str
    hash: str
    fee: int
    valid_until: int
    simulation: Simulation


class Builder:
    """Builds transactions of one deployment. ``names`` name a contract's errors, ``now`` gives Unix seconds."""

    def __init__(
        self,
        chain: ChainClient,
        passphrase: str,
        settings: NebulaSettings,
        names: ErrorNames,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._chain = chain
        self._passphrase = passphrase
        self._settings = settings
        self._names = names
        self._now = now

    async def build(self, call: Call, account: str, until: int | None = None) -> Built:
        """Return the transaction of a call by an account (G…). It is valid no longer than ``until`` (Unix seconds).

        Raises ``ValueError`` where that is within :data:`SHORTEST_SECONDS` or over, ``SimulationFailedError``,
        ``AccountNotFoundError``, ``RestoreNeededError``, ``SequenceUsedUpError``, ``OtherSignersNeededError`` and
        ``ChainUnavailableError``.
        """
        if until is not None and until <= (now := self._now()) + SHORTEST_SECONDS:
            raise ValueError(f"at {now:.0f} it is too late for a transaction that is valid until {until}")
        try:
            account_id_bytes(account)
        except InvalidStrkeyError:  # a key of the API may be a contract's
            raise AccountNotFoundError(
                "Only an account (G…) can be the source of a transaction.", help="Log in with an account."
            ) from None
        _, entry = await account_entry(self._chain, account)
        if entry.sequence >= LAST_SEQUENCE:
            raise SequenceUsedUpError(f"The account {account} has used its last sequence number.")
        valid_until = int(self._now()) + self._settings.transaction_seconds
        if until is not None:
            valid_until = min(valid_until, until)
        envelope = await in_thread(self._draft, call, account, entry.sequence, valid_until)
        simulation = await asked(self._chain.simulate(_bytes(envelope)), "a call cannot be simulated")
        if simulation.error is not None:
            raise await refusal(simulation, self._names)
        if simulation.restore is not None:
            raise RestoreNeededError("Entries that the call needs are archived.")
        try:
            await in_thread(_assemble, envelope, simulation, self._settings.inclusion_fee)
        except SourceMisbehavedError as error:
            logger.warning("{}'s simulation cannot be used: {}", self._chain.name, error)
            raise ChainUnavailableError("The network's answer cannot be used.") from error
        return Built(envelope.to_xdr(), envelope.hash_hex(), envelope.transaction.fee, valid_until, simulation)

    def _draft(self, call: Call, account: str, sequence: int, valid_until: int) -> TransactionEnvelope:
        from stellar_sdk import Account, TransactionBuilder, xdr  # noqa: PLC0415 - 600 ms to import

        builder = TransactionBuilder(
            Account(account, sequence), self._passphrase, base_fee=self._settings.inclusion_fee, v1=True
        )
        builder.add_time_bounds(0, valid_until)
        arguments = [xdr.SCVal.from_xdr_bytes(argument) for argument in call.arguments]
        builder.append_invoke_contract_function_op(call.contract, call.function, arguments)
        return builder.build()


def _bytes(envelope: TransactionEnvelope) -> bytes:
    return envelope.to_xdr_object().to_xdr_bytes()


def _assemble(envelope: TransactionEnvelope, simulation: Simulation, inclusion_fee: int) -> None:
    """Put what the simulation found into the transaction.

    The network takes ``fee - resource fee`` as what is bid for inclusion. Raises
    :class:`OtherSignersNeededError`, and ``SourceMisbehavedError`` where the node's answer does not fit the call.
    """
    from stellar_sdk import xdr  # noqa: PLC0415 - 600 ms to import
    from stellar_sdk.operation import InvokeHostFunction  # noqa: PLC0415 - 600 ms to import

    transaction = envelope.transaction
    operation = transaction.operations[0]
    if not isinstance(operation, InvokeHostFunction):
        raise TypeError("the transaction was built as a contract call")
    try:
        data = xdr.SorobanTransactionData.from_xdr_bytes(simulation.data)
        auth = [xdr.SorobanAuthorizationEntry.from_xdr_bytes(raw) for raw in simulation.auth]
    except Exception:  # the SDK raises whatever its parts raise at bytes that are no XDR
        raise SourceMisbehavedError("it is not XDR") from None
    data.resource_fee.int64 = max(data.resource_fee.int64, simulation.min_resource_fee)
    fee = inclusion_fee + data.resource_fee.int64
    if not inclusion_fee <= fee <= MOST_FEE:
        raise SourceMisbehavedError(f"its resource fee is {data.resource_fee.int64} stroops")
    own = operation.host_function.invoke_contract
    others = []
    for entry in auth:
        root = entry.root_invocation.function
        if root.contract_fn != own:
            raise SourceMisbehavedError("it authorizes another call")
        if entry.credentials.type != xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT:
            others.append(_whose(entry))
    if others:
        raise OtherSignersNeededError(f"The call needs the authorization of {', '.join(others)} too.")
    transaction.fee = fee
    transaction.soroban_data = data
    operation.auth = auth


def _whose(entry: xdr.SorobanAuthorizationEntry) -> str:
    from stellar_sdk import Address  # noqa: PLC0415 - 600 ms to import

    credentials = entry.credentials
    found = credentials.address or credentials.address_v2
    if found is None and credentials.address_with_delegates is not None:
        found = credentials.address_with_delegates.address_credentials
    return Address.from_xdr_sc_address(found.address).address if found is not None else "others"
