"""From an unsigned transaction to its result: signed, handed in, waited for.

Money moves here, so nothing is done twice and nothing is said that is not known: an answer that was lost is asked for
again with the same envelope, which is the same transaction, and what is not known in the end is a
:class:`TransactionPendingError` with all that is needed to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus
from typing import TypeVar

from nebula_client._core.calls import authorized, call
from nebula_client._core.config import Core
from nebula_client._core.effects import Alone, Ask, Operation
from nebula_client._core.envelope import Envelope, EnvelopeError
from nebula_client._core.login import ANYBODY, NOBODY, Who, somebody
from nebula_client._core.polling import Deadline, poll
from nebula_client._core.requests import Request, attempts, get, model_of
from nebula_client._core.session import Credential
from nebula_client._core.signatures import account_of, sign, signer_of
from nebula_client._core.wire import body, path
from nebula_client.errors import (
    ApiError,
    AuthenticationError,
    NebulaError,
    NetworkError,
    RequestTimeoutError,
    SigningError,
    TransactionFailedError,
    TransactionMismatchError,
    TransactionPendingError,
)
from nebula_client.models.events import SyncState
from nebula_client.models.transactions import Submission, Transaction, TransactionStatus, UnsignedTransaction
from nebula_client.params import OnSubmitted
from nebula_client.signing import AnySigner

T = TypeVar("T")

UNDECIDED = "undecided"
"""The service's word for: its time is over, and nobody will ever say what became of it."""
NOT_TAKEN = "too-many-pending"
NO_PROBLEM = "http-error"
"""The code of what somebody else answered, such as a proxy."""
FOLDS_STREAMS = "nebula"


@dataclass(frozen=True, slots=True)
class Signing:
    """What a call says of how it is signed."""

    signer: AnySigner
    account: str | None
    on_submitted: OnSubmitted | None

    @property
    def who(self) -> Who:
        """Who has to be logged in for it."""
        return somebody(self.signer, self.account)

    @classmethod
    def of(
        cls, core: Core, signer: AnySigner | None, account: str | None, on_submitted: OnSubmitted | None
    ) -> Operation[Signing]:
        """Find out who signs, and for whom. Raises :class:`SignerMissingError` before anything is sent."""
        session = core.session
        chosen = signer_of(signer, session.signer)
        if account is None and chosen is session.actor:
            account = session.account
        return cls(chosen, (yield from account_of(chosen, account)), on_submitted)


@dataclass(frozen=True, slots=True)
class Done:
    """A transaction that is in a ledger and indexed, how to go on with it, and until when to wait for its results."""

    transaction: Transaction
    submission: Submission
    deadline: Deadline


def in_turn(signing: Signing, operation: Operation[T]) -> Operation[T]:
    """Build and carry out while no other transaction of the account is on its way.

    Each one is built with the account's next sequence number: two at once would have the same, and with the same terms
    be one transaction.
    """
    found: T = yield Alone(operation, ("transaction", signing.account))
    return found


def carried_out(
    core: Core,
    built: UnsignedTransaction,
    signing: Signing,
    submit: str,
    who: Who,
    before: Callable[[], Operation[None]] | None = None,
    **besides: object,
) -> Operation[Done]:
    """Have a transaction signed, hand it in at the path ``submit``, and wait until it is indexed.

    ``before`` has a last look once it is signed: what it raises ends it, and nothing was handed in. ``besides`` is
    handed in with it.
    """
    _check(core, built, signing)
    signed = yield from sign(signing.signer, built.xdr, built.network_passphrase, signing.account)
    submission = Submission(built.hash, built.valid_until, signed)
    if before is not None:
        yield from before()
    on_submitted = signing.on_submitted
    if on_submitted is not None:
        yield Ask(lambda: on_submitted(submission))
    deadline = Deadline(core)  # only now: a wallet's owner may take a while
    yield from _taken(core, submission, submit, who, besides)
    said = yield from kept(submission, settled(core, built.hash, deadline, submission))
    return Done(said, submission, deadline)


def kept(submission: Submission, operation: Operation[T]) -> Operation[T]:
    """Run what follows once a transaction may be handed in: whatever ends it tells the transaction.

    What is neither proof nor a lie of the service's becomes a :class:`TransactionPendingError`.
    """
    try:
        return (yield from operation)
    except (TransactionPendingError, TransactionFailedError, TransactionMismatchError):
        raise
    except Exception as error:
        what = f"What became of it could not be found out ({type(error).__name__})"
        raise pending(submission.tx_hash, what, submission) from error
    except BaseException as error:  # the thread or task is to end
        until = submission.valid_until
        error.add_note(f"Transaction {submission.tx_hash} was signed, and may be applied until {until}.")
        raise


def _taken(core: Core, submission: Submission, submit: str, who: Who, besides: Mapping[str, object]) -> Operation[None]:
    """Hand a transaction in. A refusal is said as it is only where no attempt before it can have been taken."""
    request = Request("POST", submit, body=body({"xdr": submission.signed_xdr, **besides}), safe=True)
    failures: list[NebulaError] = []

    def send(credential: Credential | None) -> Operation[Transaction]:
        return attempts(core, request, credential, model_of(Transaction), failures)

    def handed_in() -> Operation[Transaction | ApiError]:
        try:
            return (yield from authorized(core, send, who))
        except ApiError as error:
            refused = all(_not_taken(failure) for failure in failures)
            # a login that is refused says nothing of the transaction, which is good as it is
            if not refused or not failures or error is not failures[-1] or isinstance(error, AuthenticationError):
                raise
            return error

    taken = yield from kept(submission, handed_in())
    if isinstance(taken, ApiError):
        raise taken
    if taken.tx_hash != submission.tx_hash:
        message = "The service answered for another transaction than it was given."
        raise TransactionMismatchError(message, expected=submission.tx_hash, tx_hash=taken.tx_hash)


def _not_taken(failure: NebulaError) -> bool:
    """Tell whether an attempt to hand in surely did nothing."""
    if isinstance(failure, ApiError):
        if failure.code == NOT_TAKEN:
            return True
        return failure.status < HTTPStatus.INTERNAL_SERVER_ERROR and failure.code != NO_PROBLEM
    return isinstance(failure, NetworkError | RequestTimeoutError) and not failure.maybe_sent


def _check(core: Core, built: UnsignedTransaction, signing: Signing) -> None:
    """Look at what the wallet is to sign: on the right network, of the right account, with the hash that was said."""
    pinned = core.config.network_passphrase
    if pinned is not None and built.network_passphrase != pinned:
        raise SigningError("The service built a transaction for another network than network_passphrase says.")
    try:
        envelope = Envelope.read(built.xdr)
    except EnvelopeError as error:
        message = f"What the service built is no transaction that can be checked: {error}."
        raise TransactionMismatchError(message, expected=built.hash) from error
    found = envelope.hash(built.network_passphrase)
    if found != built.hash:
        message = "The transaction that the service built has not the hash that it says."
        raise TransactionMismatchError(message, expected=built.hash, tx_hash=found)
    if signing.account is not None and envelope.source != signing.account:
        message = f"It was built for {envelope.source}, who is logged in, and the signer signs for {signing.account}."
        raise TransactionMismatchError(message, expected=built.hash, tx_hash=found)


def known(core: Core, tx_hash: str, who: Who = ANYBODY) -> Operation[Transaction]:
    """Return what is known of a transaction."""
    return (yield from call(core, get(path("/transactions", tx_hash)), Transaction, who))


def handed_in(core: Core, signed_xdr: str, who: Who) -> Operation[Transaction]:
    """Hand a signed transaction in, again if need be."""
    request = Request("POST", "/transactions", body=body({"xdr": signed_xdr}), safe=True)
    return (yield from call(core, request, Transaction, who))


def settled(
    core: Core, tx_hash: str, deadline: Deadline, submission: Submission | None = None
) -> Operation[Transaction]:
    """Wait until a transaction is in a ledger and its events are indexed; raise if it failed, or if that takes long."""
    said: Transaction | None = None

    def look(core: Core) -> Operation[Transaction | None]:
        nonlocal said
        said = yield from known(core, tx_hash, NOBODY)
        if said.status == TransactionStatus.FAILED:
            reason, detail = (said.error.code, said.error.detail) if said.error else ("unknown", "")
            raise TransactionFailedError(tx_hash, reason, detail, said.ledger)
        if said.error is not None and said.error.code == UNDECIDED:
            raise pending(tx_hash, _so_far(said), submission, said)
        if said.status == TransactionStatus.SUCCESS and (
            said.stream_ids or (yield from _touched_no_stream(core, said))
        ):
            return said
        return None

    done, trouble = yield from poll(core, deadline, look)
    if done is None:
        raise pending(tx_hash, _so_far(said), submission, said) from trouble
    return done


def _so_far(said: Transaction | None) -> str:
    if said is None:
        return "Nothing is known of it here"
    if said.status == TransactionStatus.SUCCESS:
        return f"It is in ledger {said.ledger}, which is not indexed yet"
    return f"It is in no ledger as far as is known{f' ({said.error.code})' if said.error else ''}"


def _touched_no_stream(core: Core, said: Transaction) -> Operation[bool]:
    """Tell whether a transaction's ledger is indexed, and no stream is told: then there is none to wait for."""
    sync = yield from call(core, get("/sync"), SyncState, NOBODY)
    folded = next((one.as_of_ledger for one in sync.projections if one.name == FOLDS_STREAMS), None)
    if said.ledger is None or (folded or 0) < said.ledger:
        return False
    return not (yield from known(core, said.tx_hash, NOBODY)).stream_ids


def pending(
    tx_hash: str, what: str, submission: Submission | None = None, said: Transaction | None = None
) -> TransactionPendingError:
    """Return the error for a transaction that may still be applied."""
    how, until = "", "its time is over"
    if submission is not None:
        how = "submit_transaction(error.signed_xdr), which never does it twice, and "
        until = submission.valid_until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return TransactionPendingError(
        f"Transaction {tx_hash}: {what}. It may still be applied: go on with {how}wait_for_transaction(error.tx_hash). "
        f"Do not pay again before {until}: both might be applied.",
        tx_hash=tx_hash,
        status=None if said is None else said.status,
        valid_until=None if submission is None else submission.valid_until,
        signed_xdr=None if submission is None else submission.signed_xdr,
    )


def waited(core: Core, tx_hash: str) -> Operation[Transaction]:
    """Wait for a transaction by its hash."""
    return (yield from settled(core, tx_hash, Deadline(core)))
