"""StellarStream's second contract, whole: what ``streams_v2_core`` has, and the rarer functions.

Functions take the arguments of the published contract, in its order, and refuse in the published order of
checks with the published numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from stellarstream_core.xdr.scval import ErrorCode, ErrorType
from stellarstream_sandbox.economy.calls import Event, Outcome, Refused, Trapped
from stellarstream_sandbox.economy.stream_v2 import Fault, RateProposal, Stream, StreamArgs
from stellarstream_sandbox.economy.streams_v2_core import FEE_BPS, KEPT_CLOSED, MAX_BATCH, StreamsV2Core
from stellarstream_sandbox.economy.unlocking import i128, quotient, u64
from stellarstream_sandbox.values import I128, U32, U64, VOID, Address, Symbol, Value, Vec, option, record, vec

__all__ = [
    "FEE_BPS",
    "KEPT_CLOSED",
    "MAX_BATCH",
    "RATE_PROPOSAL_SECONDS",
    "Fault",
    "RateProposal",
    "Stream",
    "StreamArgs",
    "StreamsV2",
]

RATE_PROPOSAL_SECONDS = 7 * 86_400
"""How long a proposed rate may be accepted."""

MAX_ASKED = 25
"""The most streams that ``get_streams_batch`` tells of."""

_BPS = 10_000


@dataclass
class StreamsV2(StreamsV2Core):
    """The contract."""

    # --- reading --------------------------------------------------------------------------

    def get_stream(self, _now: int, stream_id: int) -> Outcome:
        """Return a stream, cancelled or not; void where there is none."""
        stream = self.streams.get(stream_id)
        return Outcome(option(None if stream is None else stream.shown()))

    def get_streams_batch(self, now: int, ids: Sequence[int]) -> Outcome:
        """Return of each stream what may be withdrawn and its status; a cancelled one still counts as unlocked."""
        if len(ids) > MAX_ASKED:
            raise self.refused(Fault.BATCH_TOO_LARGE)
        return Outcome(Vec(tuple(self._summary(now, stream_id) for stream_id in ids)))

    def predict_balance_at(self, _now: int, stream_id: int, at: int) -> Outcome:
        """Return what a stream will have unlocked at a moment, if nothing happens until then."""
        return Outcome(I128(self.stream(stream_id).unlocked(at)))

    def check_balance_integrity(self, _now: int, token: str) -> Outcome:
        """Return what the contract holds of a token, and what its streams have not paid yet."""
        return Outcome(vec(I128(self.bank.balance(token, self.contract)), I128(self.remaining(token))))

    # --- the beneficiary's choices ----------------------------------------------------------

    def split_stream(self, now: int, stream_id: int, split_address: str | None, split_bps: int) -> Outcome:
        """Have a part of all later withdrawals go to another address; None and 0 end that."""
        self.require_not_paused()
        if split_bps >= _BPS:
            raise self.refused(Fault.INVALID_SPLIT_BPS)
        stream = self.stream(stream_id)
        if stream.is_cancelled:
            raise self.refused(Fault.ALREADY_CANCELLED)
        self.streams.put(replace(stream, split_address=split_address, split_bps=split_bps))
        data = record(
            beneficiary=Address(stream.beneficiary),
            split_address=option(None if split_address is None else Address(split_address)),
            split_bps=U32(split_bps),
            stream_id=U64(stream.id),
            timestamp=U64(now),
        )
        return Outcome(VOID, (Event(self.contract, (U64(stream.id), Symbol("split")), data),))

    def close_and_archive(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Delete the entry of a stream that has paid everything."""
        self.require_not_paused()
        stream = self.stream(stream_id)
        if caller not in {stream.sender, stream.beneficiary}:
            raise self.refused(Fault.NOT_STREAM_OWNER)
        if stream.withdrawn != stream.total:
            raise self.refused(Fault.STREAM_NOT_FULLY_WITHDRAWN)
        self.streams.remove(stream.id)
        items = (U64(stream.id), I128(stream.total), I128(stream.withdrawn), Address(caller), U64(now))
        return Outcome(VOID, (self.stream_event(now, stream.id, "archived", *items),))

    def withdraw_meta(
        self,
        now: int,
        stream_id: int,
        amount: int,
        relayer_fee: int,
        relayer: str,
        public_key: bytes,
        nonce: int,
        deadline: int,
        signed: tuple[bytes, bytes],
    ) -> Outcome:
        """Pay out an amount for which the beneficiary signed a message; the relayer gets a fee out of it.

        ``signed`` is the signature and the message's sha256 over which it must be. As published, the key need
        not be the beneficiary's.
        """
        self.require_not_paused()
        if now > deadline:
            raise self.refused(Fault.EXPIRED_DEADLINE)
        if not 0 <= relayer_fee < amount:
            raise self.refused(Fault.INVALID_RELAYER_FEE)
        stream = self.stream(stream_id)
        if stream.is_cancelled:
            raise self.refused(Fault.ALREADY_CANCELLED)
        if nonce != self.nonces.get((stream.beneficiary, stream.id), 0):
            raise self.refused(Fault.INVALID_NONCE)
        if amount <= 0 or amount > i128(stream.unlocked(now) - stream.withdrawn):
            raise self.refused(Fault.NOTHING_TO_WITHDRAW)
        _verify(public_key, *signed)
        self.nonces[stream.beneficiary, stream.id] = nonce + 1
        events: list[Event] = []
        if stream.yield_enabled and stream.vault is not None:
            paid = self.from_vault(now, stream.vault, amount)
            if paid is None:
                self.streams.put(replace(stream, is_pending=True))
                return Outcome(I128(0))
            events.append(paid)
            self.set_aside(stream.token, self.vaults[stream.vault].get_accrued_interest(now, amount))
        self.bank.check(stream.token, self.contract, amount)
        events.append(self.bank.transfer(stream.token, self.contract, stream.beneficiary, amount - relayer_fee))
        if relayer_fee > 0:
            events.append(self.bank.transfer(stream.token, self.contract, relayer, relayer_fee))
        self.streams.put(replace(stream, withdrawn=stream.withdrawn + amount, is_pending=False))
        items = (
            U64(stream.id),
            Address(stream.beneficiary),
            I128(amount - relayer_fee),
            I128(relayer_fee),
            U64(now),
        )
        return Outcome(I128(amount), (*events, self.stream_event(now, stream.id, "meta_wdrw", *items)))

    def get_withdrawal_nonce(self, _now: int, beneficiary: str, stream_id: int) -> Outcome:
        """Return the number that the next signed withdrawal must have."""
        return Outcome(U64(self.nonces.get((beneficiary, stream_id), 0)))

    # --- another rate -----------------------------------------------------------------------

    def propose_rate(self, now: int, stream_id: int, new_rate: int) -> Outcome:
        """Offer to pay the rest at another rate; nothing changes before the receiver accepts."""
        self.require_not_paused()
        stream = self.stream(stream_id)
        if stream.is_cancelled or stream.withdrawn >= stream.total:
            raise self.refused(Fault.STREAM_NOT_ACTIVE)
        duration = u64(stream.end - stream.start)
        current_rate = quotient(stream.total, duration) if duration > 0 else 0
        if new_rate <= 0 or new_rate == current_rate:
            raise self.refused(Fault.INVALID_NEW_RATE)
        new_end = _later(now, _rest_for_rate(stream, now) // new_rate)
        if new_end <= now:
            raise self.refused(Fault.INSUFFICIENT_BALANCE_FOR_NEW_RATE)
        pending = self.rates.get(stream.id)
        if pending is not None and not _is_expired(pending, now):
            raise self.refused(Fault.PENDING_UPDATE_EXISTS)
        proposal = RateProposal(new_rate, now, stream.sender, stream.end, stream.total)
        self.rates[stream.id] = proposal
        items = (
            U64(stream.id),
            Address(stream.sender),
            I128(current_rate),
            I128(new_rate),
            U64(new_end),
            U64(_later(now, RATE_PROPOSAL_SECONDS)),
            U64(now),
        )
        return Outcome(proposal.value(), (self.stream_event(now, stream.id, "rate_propose", *items),))

    def accept_rate(self, now: int, stream_id: int) -> Outcome:
        """Move the end to where the rest runs out at the proposed rate; return the new end.

        Start and total stay, so what is unlocked jumps.
        """
        self.require_not_paused()
        stream = self.stream(stream_id)
        if stream.is_cancelled:
            raise self.refused(Fault.STREAM_NOT_ACTIVE)
        proposal = self.rates.get(stream.id)
        if proposal is None:
            raise self.refused(Fault.NO_PENDING_UPDATE)
        if _is_expired(proposal, now):
            raise self.refused(Fault.UPDATE_EXPIRED)
        rest = _rest_for_rate(stream, now)
        new_end = _later(now, rest // proposal.new_rate)
        self.streams.put(replace(stream, end=new_end))
        del self.rates[stream.id]
        items = (
            U64(stream.id),
            Address(stream.receiver),
            I128(proposal.new_rate),
            U64(new_end),
            I128(rest),
            U64(now),
        )
        return Outcome(U64(new_end), (self.stream_event(now, stream.id, "rate_accept", *items),))

    def cancel_rate_proposal(self, now: int, stream_id: int, caller: str) -> Outcome:
        """Withdraw a proposal; nobody has to authorise it, it only has to name the sender or the receiver."""
        stream = self.stream(stream_id)
        if caller not in {stream.sender, stream.receiver}:
            raise self.refused(Fault.UNAUTHORIZED_SENDER)
        proposal = self.rates.pop(stream.id, None)
        if proposal is None:
            raise self.refused(Fault.NO_PENDING_UPDATE)
        reason = 0 if _is_expired(proposal, now) else 1
        items = (U64(stream.id), Address(caller), U32(reason), U64(now))
        return Outcome(VOID, (self.stream_event(now, stream.id, "rate_cancel", *items),))

    def get_pending_rate_update(self, now: int, stream_id: int) -> Outcome:
        """Return a stream's proposal, void where there is none that may be accepted."""
        proposal = self.rates.get(self.stream(stream_id).id)
        is_over = proposal is None or _is_expired(proposal, now)
        return Outcome(option(None if is_over or proposal is None else proposal.value()))

    # --- another cycle, other totals, the contract itself --------------------------------------

    def refill_stream(self, now: int, stream_id: int) -> Outcome:
        """Begin the next cycle of a recurrent stream with money that its sender allowed the contract to take.

        Where it may not take it the stream stops being recurrent, without an event. What the old cycle had not
        paid is lost to the beneficiary. Anybody may call it.
        """
        self.require_not_paused()
        stream = self.stream(stream_id)
        if not stream.is_recurrent:
            raise self.refused(Fault.NOT_RECURRENT)
        if stream.is_cancelled:
            raise self.refused(Fault.ALREADY_CANCELLED)
        if now < stream.end:
            raise self.refused(Fault.STREAM_NOT_EXPIRED)
        try:
            taken = self.bank.transfer_from(stream.token, self.contract, stream.sender, self.contract, stream.total)
        except Refused:
            self.streams.put(replace(stream, is_recurrent=False))
            return Outcome(VOID)
        self.set_aside(stream.token, stream.total - stream.withdrawn)
        old_end, new_end = stream.end, u64(stream.end + stream.cycle_duration)
        self.streams.put(replace(stream, start=old_end, end=new_end, withdrawn=0))
        items = (
            U64(stream.id),
            Address(stream.sender),
            I128(stream.total),
            U64(old_end),
            U64(new_end),
            U64(now),
        )
        return Outcome(VOID, (taken, self.stream_event(now, stream.id, "refill", *items)))

    def rebalance_after_clawback(self, now: int, token: str) -> Outcome:
        """Cut what all streams of a token have left to what the contract still holds. The admin authorises it.

        As published it compares with all that the contract holds, fees included, and takes what lies in vaults
        for lost.
        """
        held, remaining = self.bank.balance(token, self.contract), self.remaining(token)
        if held >= remaining or remaining == 0:
            return Outcome(VOID)
        factor = quotient(i128(held * _BPS), remaining)
        for stream in list(self.streams):
            if not stream.is_cancelled and stream.token == token:
                left = quotient(i128((stream.total - stream.withdrawn) * factor), _BPS)
                self.streams.put(replace(stream, total=stream.withdrawn + left))
        in_vaults = sum(vault.principal.get(self.contract, 0) for vault in self.vaults.values() if vault.token == token)
        self.unowed[token] = held + in_vaults - self.remaining(token) - self.fees.get(token, 0)
        items = (Address(token), I128(remaining), I128(held), I128(factor), U64(now))
        topics = (Symbol("rebalance"), Address(token))
        return Outcome(VOID, (self.event(topics, now, "rebalance", items),))

    def pause(self, now: int) -> Outcome:
        """Refuse almost everything until ``unpause``. The admin authorises it."""
        self.is_paused = True
        return self._about_admin(now, "pause")

    def unpause(self, now: int) -> Outcome:
        """Work again. The admin authorises it."""
        self.is_paused = False
        return self._about_admin(now, "unpause")

    def _about_admin(self, now: int, action: str) -> Outcome:
        topics = (Symbol(action), Address(self.admin))
        return Outcome(VOID, (self.event(topics, now, action, (Address(self.admin), U64(now))),))

    def remaining(self, token: str) -> int:
        """Return what all streams of a token that are not cancelled have not paid yet."""
        return sum(
            stream.total - stream.withdrawn
            for stream in self.streams
            if stream.token == token and not stream.is_cancelled
        )

    def _summary(self, now: int, stream_id: int) -> Value:
        stream = self.streams.get(stream_id)
        available, status = 0, "NotFound"
        if stream is not None:
            available = i128(stream.unlocked(now) - stream.withdrawn)
            status = "Cancelled" if stream.is_cancelled else "Completed" if now >= stream.end else "Active"
        return record(status=vec(Symbol(status)), stream_id=U64(stream_id), unlocked_amount=I128(available))


def _verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raise the host's error where an Ed25519 signature does not hold."""
    try:
        crypto_sign_open(signature + message, public_key)
    except CryptoError:
        raise Trapped(ErrorType.CRYPTO, ErrorCode.INVALID_INPUT, "failed ED25519 verification") from None


def _is_expired(proposal: RateProposal, now: int) -> bool:
    return now > proposal.proposed_at + RATE_PROPOSAL_SECONDS


def _later(now: int, seconds: int) -> int:
    """Return a moment so many seconds on, at most the last one there is."""
    return min(now + u64(seconds), 2**64 - 1)


def _rest_for_rate(stream: Stream, now: int) -> int:
    """Return what the contract takes for a stream's rest when it is asked for another rate.

    The published formula: it leaves the time before the cliff out, and takes off twice what was withdrawn.
    """
    if max(now, stream.start) >= stream.end:
        return stream.total - stream.withdrawn
    before_cliff = max(stream.cliff - stream.start, 0)
    elapsed = max(now, stream.start) - stream.start - before_cliff
    duration = stream.end - stream.start - before_cliff
    if duration <= 0 or elapsed <= 0:
        return stream.total - stream.withdrawn
    unlocked = quotient(i128(stream.total * elapsed), duration)
    return max(stream.total - unlocked - stream.withdrawn, 0)
