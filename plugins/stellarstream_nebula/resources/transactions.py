"""``POST /streams`` and its like, and ``/transactions``: unsigned transactions out, signed ones in, and their fate."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from stellarstream_core.api.models import Moment, Nothing, Parameters, Represented
from stellarstream_core.api.problems import FieldError, InvalidBodyError
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import Arm, decode_scval
from stellarstream_nebula.model import V2
from stellarstream_nebula.resources.fields import ContractId, Party
from stellarstream_nebula.resources.transaction_models import (
    SECONDS,
    StreamPreview,
    TransactionModel,
    UnsignedTransaction,
    Xdr,
    stream_preview,
    transaction_model,
    unsigned_transaction,
)
from stellarstream_nebula.served import STREAM_ID
from stellarstream_nebula.transactions import calls
from stellarstream_nebula.transactions.build import Built
from stellarstream_nebula.transactions.errors import (
    BUILD_PROBLEMS,
    CHAIN_PROBLEMS,
    ENVELOPE_PROBLEMS,
    InvalidTermsError,
    NoVaultError,
    PartialWithdrawalUnsupportedError,
    TooManyPendingError,
    TransactionNotFoundError,
    UnsupportedFieldError,
)
from stellarstream_nebula.transactions.preview import created_stream
from stellarstream_nebula.transactions.service import Transactions

TAG = "transactions"
_FRACTION = re.compile(r"\.[0-9]*[1-9]", re.ASCII)


def _whole_second(value: object) -> object:
    """Refuse a fraction as it is written: pydantic cuts off what is less than a microsecond."""
    if isinstance(value, str) and _FRACTION.search(value):
        raise ValueError("contracts count whole seconds")
    return value


Second = Annotated[Moment, BeforeValidator(_whole_second)]
Amount = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,38}$", description="in the token's smallest unit")]
StreamId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=STREAM_ID,
        description="'id' of the stream, or its bare 'streamId' where one contract is served",
    ),
]


class NewStream(Parameters):
    """A stream to be created by the caller, who pays."""

    receiver: Party
    amount: Annotated[Amount, Field(description="what the sender pays, gross, in the token's smallest unit")]
    token_address: ContractId
    duration: Annotated[int, Field(ge=1, le=calls.LAST_SECOND, description="seconds from start to end")]
    start_time: Annotated[Second | None, Field(description="left out: now")] = None
    cliff_time: Annotated[Second | None, Field(description="nothing is unlocked before it; left out: the start")] = None
    yield_enabled: Annotated[bool | None, Field(description="put the money into the token's vault meanwhile")] = None
    contract_id: Annotated[ContractId | None, Field(description="left out: the service's default")] = None
    memo: Annotated[str | None, Field(max_length=256, description="1 to 32 of A-Z a-z 0-9 _")] = None


class Withdrawal(Parameters):
    """A withdrawal by the caller."""

    stream_id: StreamId
    amount: Annotated[Amount | None, Field(description="refused where the contract pays out everything")] = None


class Cancellation(Parameters):
    """A cancellation by the caller."""

    stream_id: StreamId


class SignedTransaction(Parameters):
    """A transaction as the wallet signed it."""

    xdr: Xdr


class TransactionPath(Parameters):
    """Which transaction."""

    hash: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$", description="64 hex digits")]


class CreationModel(Represented):
    """An unsigned transaction that creates a stream."""

    transaction: UnsignedTransaction
    stream: StreamPreview


class WithdrawalModel(Represented):
    """An unsigned transaction that withdraws."""

    transaction: UnsignedTransaction
    amount: Annotated[str | None, Field(description="what would be paid out now; null: not told")]


class CancellationModel(Represented):
    """An unsigned transaction that cancels."""

    transaction: UnsignedTransaction


async def create(call: Call[Nothing, Nothing, NewStream]) -> Answer:
    """Answer ``POST /streams``."""
    own, body = call.api.part(Transactions), call.body
    contract, family = (await own.served()).to_create(body.contract_id)
    start = int(time.time()) if body.start_time is None else _seconds(body.start_time)
    terms = calls.Terms(
        sender=call.account,
        receiver=body.receiver,
        token=body.token_address,
        amount=int(body.amount),
        start=start,
        cliff=start if body.cliff_time is None else _seconds(body.cliff_time),
        end=start + body.duration,
        vault=_vault(own, family, body) if body.yield_enabled else None,
        memo=body.memo,
    )
    wanted = calls.create(contract, family, terms)
    built = await own.builder.build(wanted, call.account)
    state = created_stream(built.simulation, wanted, int(time.time()))
    return Answer(
        CreationModel(
            transaction=unsigned_transaction(built, call.api.settings.passphrase),
            stream=stream_preview(wanted, terms, state),
        )
    )


def _vault(own: Transactions, family: str, body: NewStream) -> str:
    if family != V2:
        raise UnsupportedFieldError(
            "Streams of this contract earn no yield.", errors=[FieldError("body.yieldEnabled", "is not supported")]
        )
    vault = own.settings.vaults.get(body.token_address)
    if vault is None:
        raise NoVaultError(f"No vault is known for the token {body.token_address}.")
    return vault


async def withdraw(call: Call[Nothing, Nothing, Withdrawal]) -> Answer:
    """Answer ``POST /streams/withdraw``."""
    own, body = call.api.part(Transactions), call.body
    stream = (await own.served()).stream(body.stream_id)
    if body.amount is not None:
        raise PartialWithdrawalUnsupportedError(
            "The contract pays out everything that is unlocked.",
            errors=[FieldError("body.amount", "is not supported by the contract")],
        )
    wanted = calls.withdraw(stream.contract, stream.family, stream.stream_id, call.account)
    built = await own.builder.build(wanted, call.account)
    return Answer(
        WithdrawalModel(transaction=unsigned_transaction(built, call.api.settings.passphrase), amount=_paid(built))
    )


async def cancel(call: Call[Nothing, Nothing, Cancellation]) -> Answer:
    """Answer ``POST /streams/cancel``."""
    own = call.api.part(Transactions)
    stream = (await own.served()).stream(call.body.stream_id)
    wanted = calls.cancel(stream.contract, stream.family, stream.stream_id, call.account)
    built = await own.builder.build(wanted, call.account)
    return Answer(CancellationModel(transaction=unsigned_transaction(built, call.api.settings.passphrase)))


async def submit(call: Call[Nothing, Nothing, SignedTransaction]) -> Answer:
    """Answer ``POST /transactions``."""
    fate = await call.api.part(Transactions).submit(call.body.xdr)
    return Answer(transaction_model(fate), status=202, headers={"Location": f"/api/v1/transactions/{fate.hash}"})


async def read(call: Call[TransactionPath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /transactions/{hash}``."""
    fate = await call.api.part(Transactions).look(call.path.hash.lower())
    if fate is None:
        raise TransactionNotFoundError("No transaction of this hash is known here.")
    return Answer(transaction_model(fate))


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _paid(built: Built) -> str | None:
    """Return what a simulated withdrawal returned, None where it is no amount."""
    try:
        value = decode_scval(built.simulation.result)
    except XdrError:
        return None
    return str(value.value) if value.arm is Arm.I128 else None


ROUTES = (
    Route(
        method="POST",
        path="/streams",
        handler=create,
        body=NewStream,
        answer=CreationModel,
        tag=TAG,
        time_limit=SECONDS,
        summary="Build the transaction that creates a stream",
        description="Simulated and prepared for the caller's account, for the wallet to sign. Nothing is sent.",
        problems=(*BUILD_PROBLEMS, UnsupportedFieldError, InvalidTermsError, NoVaultError),
    ),
    Route(
        method="POST",
        path="/streams/withdraw",
        handler=withdraw,
        body=Withdrawal,
        answer=WithdrawalModel,
        tag=TAG,
        time_limit=SECONDS,
        summary="Build the transaction that withdraws from a stream",
        description="Everything withdrawable is paid out. Simulated and prepared, for the wallet to sign.",
        problems=(*BUILD_PROBLEMS, InvalidBodyError, PartialWithdrawalUnsupportedError),
    ),
    Route(
        method="POST",
        path="/streams/cancel",
        handler=cancel,
        body=Cancellation,
        answer=CancellationModel,
        tag=TAG,
        time_limit=SECONDS,
        summary="Build the transaction that cancels a stream",
        description="Simulated and prepared for the caller's account, for the wallet to sign. Nothing is sent.",
        problems=(*BUILD_PROBLEMS, InvalidBodyError),
    ),
    Route(
        method="POST",
        path="/transactions",
        handler=submit,
        body=SignedTransaction,
        answer=TransactionModel,
        status=202,
        tag=TAG,
        time_limit=SECONDS,
        summary="Submit a signed transaction",
        description="Only signed calls of the served contracts are relayed. The same one again gets the same answer.",
        problems=(*CHAIN_PROBLEMS, *ENVELOPE_PROBLEMS, TooManyPendingError),
        at_start=(Transactions,),
    ),
    Route(
        method="GET",
        path="/transactions/{hash}",
        handler=read,
        path_model=TransactionPath,
        answer=TransactionModel,
        tag=TAG,
        time_limit=SECONDS,
        summary="Tell what became of a transaction",
        problems=(TransactionNotFoundError,),
    ),
)
"""The routes that build and relay."""
