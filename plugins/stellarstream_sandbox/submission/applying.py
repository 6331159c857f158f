"""Applying wallets' transactions in a ledger: payments, new accounts, trust lines and contract calls.

A transaction works as a whole or not at all. It has been judged before (:mod:`admission`), so what fails here
fails by the state of the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.bank import Token
from stellarstream_sandbox.economy.calls import Event, Refused
from stellarstream_sandbox.economy.keys import instance_key
from stellarstream_sandbox.economy.world import Account, World
from stellarstream_sandbox.ledger.changes import AccountChanges
from stellarstream_sandbox.ledger.entries import created
from stellarstream_sandbox.ledger.envelopes import Transaction
from stellarstream_sandbox.ledger.fees import BASE_RESERVE, RENT, non_refundable_fee, refundable_fee
from stellarstream_sandbox.ledger.outcomes import Applied, SorobanFees, success_hash
from stellarstream_sandbox.pack import i32, u32
from stellarstream_sandbox.scval import EncodedEvent, encode, encode_event
from stellarstream_sandbox.submission.admission import (
    OP_INNER,
    available,
    inclusion_fee,
    resource_fee,
)
from stellarstream_sandbox.submission.authorisation import Checker, Nonces
from stellarstream_sandbox.submission.diagnostics import Failure, called, failing, host_error
from stellarstream_sandbox.submission.incoming import ChangeTrust, CreateAccount, Incoming, Invoke, Operation, Pay
from stellarstream_sandbox.submission.invoking import attempt, outside_footprint, perform

_CREATE_UNDERFUNDED, _CREATE_LOW_RESERVE, _CREATE_EXISTS = -2, -3, -4
_PAY_UNDERFUNDED, _PAY_SRC_NO_TRUST, _PAY_NO_DESTINATION = -2, -3, -5
_TRUST_NO_ISSUER = -2
_INVOKE_TRAPPED, _INVOKE_INSUFFICIENT_REFUNDABLE_FEE = -2, -5


class _OperationFailedError(Exception):
    """An operation did not work; the code is its own."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


def transaction_of(tx: Incoming) -> Transaction:
    """Return what a ledger needs to know of a transaction besides its outcome."""
    return Transaction(
        tx.payer,
        tx.envelope,
        tx.hash,
        tx.inner_hash,
        inclusion_fee(tx),
        resource_fee(tx),
        len(tx.operations),
        tx.is_soroban,
    )


class WalletTransactions:
    """Applies transactions on a world, one after the other; knows which nonces were used."""

    def __init__(self, world: World, changes: AccountChanges) -> None:
        self._world = world
        self._changes = changes
        self.nonces: Nonces = set()

    def apply(self, sequence: int, close_time: int, tx: Incoming, applied: Applied) -> None:
        """Carry the operations out and write what came of them into ``applied``; fee and sequence number are done."""
        operation = tx.operations[0]
        if isinstance(operation, Invoke):
            self._invoke(sequence, close_time, tx, operation, applied)
        else:
            self._classic(sequence, close_time, tx, applied)

    # --- contract calls -----------------------------------------------------------------------

    def _invoke(self, sequence: int, close_time: int, tx: Incoming, operation: Invoke, applied: Applied) -> None:
        call, data = operation.call, tx.soroban
        if call is None or data is None:
            raise ValueError("a call that was never judged")
        non_refundable = non_refundable_fee(len(call.args))
        applied.soroban_fees = SorobanFees(non_refundable, 0, 0)
        applied.outcomes = [False]
        checker = Checker(self._world, operation.auth, operation.source, sequence, self.nonces)
        is_declared = instance_key(call.contract) in data.footprint
        result = attempt(self._world, call, close_time, checker) if is_declared else outside_footprint(call)
        if isinstance(result, Failure):
            applied.results = [_result(operation, _INVOKE_TRAPPED)]
            applied.diagnostics = [event.failed_xdr for event in result.log]
            return
        events = [encode_event(event) for event in result.outcome.events]
        refundable = refundable_fee(sum(len(event.xdr) for event in events))
        if non_refundable + refundable > data.resource_fee:
            error = host_error("Budget", "ExceededLimit")
            log = called(call), failing(None, error, "refundable resource fee is not sufficient")
            applied.results = [_result(operation, _INVOKE_INSUFFICIENT_REFUNDABLE_FEE)]
            applied.diagnostics = [event.failed_xdr for event in log]
            return
        before = self._changes.balances()
        outcome = perform(self._world, call, close_time)
        self.nonces |= checker.used
        applied.outcomes = [True]
        applied.operation_changes = [self._changes.since(sequence, before)]
        applied.events = [events]
        applied.value = encode(outcome.value)
        applied.soroban_fees = SorobanFees(non_refundable, refundable, RENT)
        applied.results = [_result(operation, 0) + success_hash(applied.value, events)]

    # --- classic operations -------------------------------------------------------------------

    def _classic(self, sequence: int, close_time: int, tx: Incoming, applied: Applied) -> None:
        """Carry out each operation; where one fails the later ones are tried all the same, and then all is undone."""
        modified = {account.id: account.modified for account in self._world.accounts.values()}
        undo: list[Callable[[], object]] = []
        results: list[bytes] = []
        outcomes: list[bool] = []
        events: list[list[EncodedEvent]] = []
        changes: list[list[bytes]] = []
        for operation in tx.operations:
            before = self._changes.balances()
            made: list[bytes] = []
            try:
                event = self._carry_out(sequence, close_time, tx, operation, made, undo)
            except _OperationFailedError as failed:
                outcomes.append(False)
                results.append(_result(operation, failed.code))
                continue
            except Refused:
                outcomes.append(False)
                results.append(_result(operation, _PAY_UNDERFUNDED))
                continue
            outcomes.append(True)
            results.append(_result(operation, 0))
            events.append([] if event is None else [encode_event(event)])
            known = before + self._changes.balances()[len(before) :]  # a new account has no state before
            changes.append([*made, *self._changes.since(sequence, known)])
        applied.outcomes, applied.results = outcomes, results
        if all(outcomes):
            applied.events, applied.operation_changes = events, changes
            return
        for step in reversed(undo):
            step()
        for account_id, ledger in modified.items():
            self._world.accounts[account_id].modified = ledger

    def _carry_out(
        self,
        sequence: int,
        close_time: int,
        tx: Incoming,
        operation: Operation,
        made: list[bytes],
        undo: list[Callable[[], object]],
    ) -> Event | None:
        """Carry out one operation and return its event; raise where it does not work."""
        if isinstance(operation, CreateAccount):
            return self._create(sequence, close_time, tx, operation, made, undo)
        if isinstance(operation, Pay):
            token = self._token(operation.asset)
            if token is None:
                raise _OperationFailedError(_PAY_SRC_NO_TRUST)
            if operation.target not in self._world.accounts:
                raise _OperationFailedError(_PAY_NO_DESTINATION)
            if token is self._world.native and self._short(operation.source, operation.amount):
                raise _OperationFailedError(_PAY_UNDERFUNDED)
            event = self._move(token, operation.source, operation.target, operation.amount, undo)
            memo = tx.memo if operation.target_id is None else v.U64(operation.target_id)
            return _with_memo(event, operation.amount, memo)
        if isinstance(operation, ChangeTrust):
            # every account can hold the sandbox's one asset, so there is nothing to change
            if operation.issuer not in self._world.accounts:
                raise _OperationFailedError(_TRUST_NO_ISSUER)
            return None
        raise ValueError(f"an operation of type {operation.type} that was never judged")

    def _create(
        self,
        sequence: int,
        close_time: int,
        tx: Incoming,
        operation: CreateAccount,
        made: list[bytes],
        undo: list[Callable[[], object]],
    ) -> Event:
        accounts = self._world.accounts
        if operation.target in accounts:
            raise _OperationFailedError(_CREATE_EXISTS)
        if operation.balance < 2 * BASE_RESERVE:
            raise _OperationFailedError(_CREATE_LOW_RESERVE)
        if self._short(operation.source, operation.balance):
            raise _OperationFailedError(_CREATE_UNDERFUNDED)
        account = Account(operation.target, sequence << 32, sequence, close_time, sequence)
        accounts[operation.target] = account
        undo.append(lambda: accounts.pop(operation.target))
        event = self._move(self._world.native, operation.source, operation.target, operation.balance, undo)
        made.append(created(self._changes.entry(account)))
        return _with_memo(event, operation.balance, tx.memo)

    def _move(self, token: Token, source: str, target: str, amount: int, undo: list[Callable[[], object]]) -> Event:
        bank = self._world.bank
        event = bank.transfer(token.contract, source, target, amount)
        undo.append(lambda: bank.transfer(token.contract, target, source, amount))
        return event

    def _short(self, source: str, amount: int) -> bool:
        return available(self._world, self._world.accounts[source]) < amount

    def _token(self, asset: bytes) -> Token | None:
        return next(
            (token for token in self._world.tokens if token.asset is not None and token.asset.xdr == asset), None
        )


def _result(operation: Operation, code: int) -> bytes:
    return OP_INNER + u32(operation.type) + i32(code)


def _with_memo(event: Event, amount: int, memo: v.Value | None) -> Event:
    """Return the event with what tells the receiver whose payment it is, where there is something (CAP-67)."""
    if memo is None:
        return event
    return replace(event, data=v.record(amount=v.I128(amount), to_muxed_id=memo))
