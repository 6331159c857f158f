"""Transactions: what is to be signed, what was handed in, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pydantic import Field, SecretStr

from nebula_client.models.base import Amount, Model, Named, Time


class TransactionStatus(Named):
    """What became of a transaction, as far as it is known."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class Failure(Model, frozen=True):
    """Why a transaction failed; of one that is PENDING: why a node refused it, though it may be applied yet."""

    code: str
    detail: str


class Transaction(Model, frozen=True):
    """What became of a transaction. ``stream_ids`` are there once its events are indexed."""

    tx_hash: str
    status: TransactionStatus
    ledger: int | None = None
    stream_ids: list[str] | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed transaction that is about to be handed in. Whoever keeps it can go on after a crash.

    The same ``signed_xdr`` is the same transaction, however often it is handed in. It is not shown by ``repr``.
    """

    tx_hash: str
    valid_until: datetime
    signed_xdr: str = field(repr=False)


class UnsignedTransaction(Model, frozen=True):
    """A transaction for the caller's wallet to sign."""

    xdr: str
    hash: str
    network_passphrase: str
    fee: str
    valid_until: Time


class StreamPreview(Model, frozen=True):
    """The stream as the contract would create it now."""

    contract_id: str
    version: str
    sender: str
    receiver: str
    token_address: str
    amount: Amount | None
    gross_amount: Amount
    fee: Amount | None
    duration: int
    start_time: Time
    cliff_time: Time
    end_time: Time
    yield_enabled: bool
    memo: str | None


class Creation(Model, frozen=True):
    """An unsigned transaction that creates a stream."""

    transaction: UnsignedTransaction
    stream: StreamPreview


class Withdrawal(Model, frozen=True):
    """An unsigned transaction that withdraws."""

    transaction: UnsignedTransaction
    amount: Amount | None


class Cancellation(Model, frozen=True):
    """An unsigned transaction that cancels."""

    transaction: UnsignedTransaction


class PaymentToSign(Model, frozen=True):
    """An unsigned transaction that pays a link."""

    transaction: UnsignedTransaction
    stream: StreamPreview
    sep7_uri: str
    under_way: str | None = None


class Challenge(Model, frozen=True):
    """A transaction to sign for a login; it is never submitted. Its keys are SEP-10's own."""

    transaction: str
    network_passphrase: str = Field(alias="network_passphrase")


class Token(Model, frozen=True):
    """What a login gives."""

    token: SecretStr
