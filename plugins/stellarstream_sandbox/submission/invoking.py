"""Making a contract call: on a copy of the world first, so that a call that fails leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_core.xdr.scval import ErrorType
from stellarstream_sandbox import scval
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Outcome, Refused, Trapped, UnknownCall
from stellarstream_sandbox.economy.dispatch import call as dispatch
from stellarstream_sandbox.economy.footprint import Footprint
from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.submission.authorisation import (
    Checker,
    Demand,
    Unauthorised,
    lower_demands,
    root_demands,
)
from stellarstream_sandbox.submission.diagnostics import (
    Failure,
    Noted,
    called,
    failing,
    host_error,
    published,
    returned,
    vec,
)
from stellarstream_sandbox.submission.incoming import Invocation

_TOKEN_WORDS = {
    6: "account entry is missing",
    8: "negative amount is not allowed",
    9: "not enough allowance to spend",
    10: "resulting balance is not within the allowed range",
    11: "balance is deauthorized",
    13: "trustline entry is missing for account",
}
"""What an asset contract says with its error numbers (CAP-46-6)."""


@dataclass(frozen=True, slots=True)
class Success:
    """A call that worked: what it returned and published, whom it asked for what, and which entries it touched."""

    outcome: Outcome
    demands: tuple[Demand, ...]
    footprint: Footprint
    log: tuple[Noted, ...]

    @property
    def value(self) -> bytes:
        """The XDR of the returned ``SCVal``."""
        return scval.encode(self.outcome.value)


def attempt(
    world: World, call: Invocation, now: int, checker: Checker | None = None, reads_at: int | None = None
) -> Success | Failure:
    """Make the call in a copy of the world at ``now`` (Unix seconds); the world stays what it is.

    A call that changes nothing is made at ``reads_at``, where that is given. Without a checker every
    authorisation is taken as given.
    """
    begun = called(call)
    try:
        prepared = dispatch(world.copy(), call.contract, call.function, call.args)
    except Refused as refused:
        return _failed(call, [begun], refused)
    demands = root_demands(call, prepared.authorisers)
    if checker is not None and (fault := checker.check(demands)) is not None:
        return _unauthorised(call, [begun], fault)
    moment = now if reads_at is None or not prepared.read_only else reads_at
    touched = prepared.footprint(moment)
    try:
        outcome = prepared.run(moment)
    except Refused as refused:
        return _failed(call, [begun], refused)
    lower = list(lower_demands(call, prepared.authorisers, outcome.pulls))
    if checker is not None and (fault := checker.check(lower)) is not None:
        return _unauthorised(call, [begun], fault)
    log = (begun, *(published(event) for event in outcome.events), returned(call, scval.encode(outcome.value)))
    return Success(outcome, (*demands, *lower), touched, log)


def nonroot(call: Invocation, success: Success) -> Failure | None:
    """Return the failure of a recording that would need an authorisation not tied to the called contract."""
    roots = {demand.address for demand in success.demands if demand.is_root}
    loose = next((demand for demand in success.demands if demand.address not in roots), None)
    if loose is None:
        return None
    message = (
        "[recording authorization only] encountered authorization not tied to the root contract invocation for an"
        " address. Use `require_auth()` in the top invocation or enable non-root authorization."
    )
    who = scval.encode(v.Address(loose.address))
    return _unauthorised(call, [called(call)], Unauthorised(loose, message, (who,)))


def perform(world: World, call: Invocation, now: int) -> Outcome:
    """Make a call for good that :func:`attempt` has found to work in this very world."""
    return dispatch(world, call.contract, call.function, call.args).run(now)


def outside_footprint(call: Invocation) -> Failure:
    """Return the failure of a call whose transaction does not declare the contract among its entries."""
    error = host_error("Storage", "ExceededLimit")
    message = "trying to access contract instance key outside of the footprint"
    where = scval.encode(v.Address(call.contract))
    return Failure(error, (called(call), failing(None, error, message, where)))


def _failed(call: Invocation, log: list[Noted], refused: Refused) -> Failure:
    """Return the failure with the log that a node would have, the deepest call first."""
    error = scval.encode(refused.error)
    log += [published(event, failed=True) for event in refused.attempted]
    function = scval.encode(v.Symbol(call.function))
    if isinstance(refused, UnknownCall):
        if refused.kind is ErrorType.STORAGE:
            where = scval.encode(v.Address(refused.contract or call.contract))
            message = "trying to get non-existing value for contract instance"
            return Failure(error, (*log, failing(None, error, message, where)))
        message = "trying to invoke non-existent contract function"
        return Failure(error, (*log, failing(call.contract, error, message, function)))
    deepest = refused.contract or call.contract
    is_deeper = deepest != call.contract
    if isinstance(refused, Trapped):
        reason = scval.encode(v.Text(refused.reason.encode()))
        log.append(Noted(deepest, (scval.encode(v.Symbol("log")),), reason, failed=is_deeper))
        message = "VM call trapped: UnreachableCodeReached"
        log.append(failing(deepest, error, message, function, failed=is_deeper))
    elif is_deeper:
        words = _TOKEN_WORDS.get(refused.code, "failing with contract error")
        log.append(failing(deepest, error, words, scval.encode(v.U32(refused.code)), failed=True))
    else:
        log.append(failing(deepest, error, "escalating Ok(ScErrorType::Contract) frame-exit to Err"))
    if is_deeper:
        log += _escalated(call.contract, error, deepest)
    return Failure(error, tuple(log))


def _unauthorised(call: Invocation, log: list[Noted], fault: Unauthorised) -> Failure:
    error = host_error("Auth", "InvalidAction")
    asking = fault.demand.call
    if fault.demand.is_root:
        log.append(failing(call.contract, error, fault.why, *fault.about))
        message = "escalating error to VM trap from failed host function call: require_auth"
        return Failure(error, (*log, failing(call.contract, error, message)))
    log.append(called(asking, call.contract, failed=True))
    log.append(failing(asking.contract, error, fault.why, *fault.about, failed=True))
    log += _escalated(call.contract, error, asking.contract, asking)
    return Failure(error, tuple(log))


def _escalated(caller: str, error: bytes, callee: str, below: Invocation | None = None) -> Sequence[Noted]:
    """Return how the failure of a call below shows in the contract that made it."""
    if below is None:
        about: tuple[bytes, ...] = (scval.encode(v.Address(callee)),)
    else:
        about = (scval.encode(v.Symbol(below.function)), vec(*below.args))
    message = "escalating error to VM trap from failed host function call: call"
    return failing(caller, error, "contract call failed", *about), failing(caller, error, message)
