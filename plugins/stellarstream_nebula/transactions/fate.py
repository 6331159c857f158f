"""What proves the fate of a relayed transaction. Nothing else makes it FAILED.

- A ledger has it: applied well, or failed in it.
- Its account's sequence number has come to its own, and a node that has every ledger since then, back to when the
  transaction was taken, does not have it: another one used the number up, and no number is used twice.
- A ledger closed after its time, and a node that has every ledger since it was taken does not have it.
- The same, and in such a ledger its account has not come to its number: a ledger that had it would have used that up.
"""

from __future__ import annotations

from dataclasses import dataclass

from stellarstream_core.chain import ChainClient, ChainTransaction, TransactionStatus
from stellarstream_core.xdr.account import account_ledger_key, read_account_entry
from stellarstream_nebula.transactions.refusals import ErrorNames, contract_error, described
from stellarstream_nebula.transactions.results import (
    BAD_SEQUENCE,
    EXPIRED,
    OVERTAKEN,
    UNDECIDED,
    Failure,
    failure,
    failure_of,
)
from stellarstream_nebula.transactions.store import State, Stored
from stellarstream_nebula.transactions.threads import in_thread


@dataclass(frozen=True, slots=True)
class Proof:
    """What is proven: PENDING where nothing is. ``result`` is XDR of ``TransactionResult``.

    ``why`` says why it failed, or why it will never be known whether it did.
    """

    state: State
    ledger: int | None = None
    result: bytes | None = None
    why: Failure | None = None


async def proven(stored: Stored, chain: ChainClient, names: ErrorNames) -> Proof:
    """Ask the chain for the fate of a pending transaction. Raises what the chain client raises."""
    account: _Account | None = None
    if stored.failure is not None and stored.failure.code == BAD_SEQUENCE:
        # asked before the transaction is: by then it is in a ledger that is asked for, or in none
        account = await _account(stored, chain)
    known = await chain.transaction(stored.hash)
    if known.status is not TransactionStatus.NOT_FOUND:
        return await _in_ledger(known, names)
    whole = known.oldest <= stored.accepted_ledger + 1
    if account is not None and account.sequence >= stored.sequence and whole and known.latest >= account.ledger:
        return Proof(State.FAILED, why=OVERTAKEN)
    if known.latest_closed_at <= stored.valid_until:
        return Proof(State.PENDING)
    if whole:
        return Proof(State.FAILED, why=_expired(stored))
    account = account or await _account(stored, chain)
    if account is None or account.ledger < known.latest:
        return Proof(State.PENDING)
    if account.sequence < stored.sequence:
        return Proof(State.FAILED, why=_expired(stored))
    return Proof(State.PENDING, why=failure(UNDECIDED))


def _expired(stored: Stored) -> Failure:
    said = failure(EXPIRED)
    if stored.failure is None:
        return said
    return Failure(EXPIRED, f"{said.text} A node refused it last with {stored.failure.code}: {stored.failure.text}")


@dataclass(frozen=True, slots=True)
class _Account:
    """The last sequence number that an account has used, as of a ledger."""

    ledger: int
    sequence: int


async def _account(stored: Stored, chain: ChainClient) -> _Account | None:
    """Return the sequence number of a transaction's source, None where the account does not exist."""
    key = account_ledger_key(stored.account)
    answer = await chain.ledger_entries([key])
    entry = answer.entries.get(key)
    return _Account(answer.ledger, read_account_entry(entry.data).sequence) if entry is not None else None


async def _in_ledger(known: ChainTransaction, names: ErrorNames) -> Proof:
    if known.status is TransactionStatus.SUCCESS:
        return Proof(State.SUCCESS, known.ledger, known.result)
    return Proof(State.FAILED, known.ledger, known.result, await _why(known, names))


async def _why(known: ChainTransaction, names: ErrorNames) -> Failure:
    """Return why a transaction failed in its ledger: the network's code, and the contract's error in words."""
    said = await in_thread(failure_of, known.result)
    error = contract_error(known.events)
    if error is None:
        return said
    name = await names.error_name(error.contract, error.code) if error.contract is not None else None
    return Failure(said.code, described(error, name))
