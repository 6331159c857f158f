"""Folded streams are what the contracts themselves hold, through random histories and at random times."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.xdr.scval import Arm, ScValue, encode_scval
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, contract_id_text, encode
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.entries import V1_STREAM, instance_key, read_stored_v2, read_v1_instance
from stellarstream_nebula.fold import BLANK, FoldEntry, advance
from stellarstream_nebula.meaning import keys_of
from stellarstream_nebula.model import V1, V2, Status, StreamFacts, stream_key
from stellarstream_nebula.state_codec import decode
from stellarstream_nebula.state_codec import encode as encode_state
from stellarstream_nebula.view import index_of, view
from stellarstream_sandbox import scval, values
from stellarstream_sandbox.economy.bank import Bank, Token
from stellarstream_sandbox.economy.calls import EventType, Outcome, Refused
from stellarstream_sandbox.economy.streams_v1 import Curve as V1Curve
from stellarstream_sandbox.economy.streams_v1 import StreamsV1, StreamsV1Older
from stellarstream_sandbox.economy.streams_v2 import StreamArgs, StreamsV2
from stellarstream_sandbox.economy.vault import Vault

DECODERS = {spec.family: spec.decode for spec in decoder_specs()}
PEOPLE = tuple(encode(VERSION_ACCOUNT, bytes([n]) * 32) for n in range(31, 35))
ADMIN = encode(VERSION_ACCOUNT, bytes([40]) * 32)
TOKENS = tuple(Token(name, contract_id_text(bytes([n]) * 32)) for n, name in enumerate(("ONE", "TWO"), start=50))
HEAD, OLDER, V2_OF_HEAD, V2_OF_OLDER, VAULT = (contract_id_text(bytes([n]) * 32) for n in range(60, 65))
MIGRATED_FROM = {V2_OF_HEAD: HEAD, V2_OF_OLDER: OLDER}
FAMILIES = {HEAD: V1, OLDER: V1, V2_OF_HEAD: V2, V2_OF_OLDER: V2}
PUBLIC_KEY, SECRET_KEY = crypto_sign_seed_keypair(bytes(32))
T0 = 1_700_000_000
YEAR = 365 * 86_400
MOST_STREAMS = 8
"""Streams of one history: few, so that much happens to each."""

DEEP = bool(os.environ.get("STELLARSTREAM_DEEP"))
"""Whether to go through thousands of histories instead of some hundred."""

people = st.sampled_from(PEOPLE)
tokens = st.sampled_from([token.contract for token in TOKENS])
spans = st.sampled_from([60, 100, 86_400, 30 * 86_400, YEAR])
shares = st.fractions(0, 1)
amounts = st.one_of(st.integers(1, 10_000), st.integers(10**9, 10**17))
firsts = st.sampled_from([HEAD, OLDER])
seconds = st.sampled_from([V2_OF_HEAD, V2_OF_OLDER])


class Quiet(StreamsV1):
    """The contract at head: a receiver who hands a stream on says nothing either."""

    def transfer_receiver(self, _now, number, caller, receiver):
        stream = self.get_stream(number)
        if caller != stream.receiver or stream.is_closed or stream.is_soulbound:
            raise self._refused(3)
        self.streams.put(replace(stream, receiver=receiver))
        return Outcome(values.VOID, self.handed_on(stream, receiver))

    def handed_on(self, _stream, _receiver):
        return ()


@dataclass
class Disputed(StreamsV1Older, Quiet):
    """The releases of February 2026 in one: transfers, an arbiter's freezing and resolving, an issuer's clawback."""

    frozen: set[int] = field(default_factory=set)

    def handed_on(self, stream, receiver):
        if stream.id % 2:
            return (self._event(values.Symbol("transfer"), values.U64(stream.id), data=values.Address(receiver)),)
        data = values.vec(values.U64(stream.id), values.Address(receiver))
        return (self._event(values.Symbol("transfer"), values.Symbol("receiver"), data=data),)

    def withdraw(self, now, stream_id, caller):
        if stream_id in self.frozen:
            raise self._refused(15)
        return super().withdraw(now, stream_id, caller)

    def freeze(self, now, stream_id, arbiter):
        stream = self.open_stream(stream_id)
        self.frozen.add(stream_id)
        data = values.record(
            arbiter=values.Address(arbiter), stream_id=values.U64(stream.id), timestamp=values.U64(now)
        )
        return Outcome(values.VOID, (self._event(values.Symbol("freeze"), values.U64(stream.id), data=data),))

    def resolve(self, now, stream_id, arbiter, share):
        stream = self.open_stream(stream_id)
        left = stream.total - stream.withdrawn
        to_receiver = int(left * share)
        self.streams.put(replace(stream, withdrawn=stream.withdrawn + to_receiver, is_closed=True))
        data = values.record(
            arbiter=values.Address(arbiter),
            stream_id=values.U64(stream.id),
            timestamp=values.U64(now),
            to_receiver=values.I128(to_receiver),
            to_sender=values.I128(left - to_receiver),
        )
        return Outcome(values.VOID, (self._event(values.Symbol("resolve"), values.U64(stream.id), data=data),))

    def claw_back(self, now, stream_id, officer):
        stream = self.open_stream(stream_id)
        self.streams.put(replace(stream, is_closed=True))
        data = values.record(
            amount_clawed=values.I128(stream.total - stream.withdrawn),
            issuer=values.Address(ADMIN),
            officer=values.Address(officer),
            reason=values.VOID,
            stream_id=values.U64(stream.id),
            timestamp=values.U64(now),
        )
        return Outcome(values.VOID, (self._event(values.Symbol("CLAWBACK"), values.Symbol("SECURITY"), data=data),))

    def open_stream(self, stream_id):
        stream = self.get_stream(stream_id)
        if stream.is_closed:
            raise self._refused(6)
        return stream


class Streams(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.bank = Bank(TOKENS)
        for token in TOKENS:
            for person in PEOPLE:
                self.bank.deposit(token.contract, person, 10**24)
            self.bank.deposit(token.contract, VAULT, 10**20)
        self.vault = Vault(VAULT, TOKENS[0].contract, self.bank, ADMIN)
        vaults = {VAULT: self.vault}
        self.contracts = {
            HEAD: Quiet(HEAD, self.bank, bytes(32)),
            OLDER: Disputed(OLDER, self.bank, bytes(32)),
            V2_OF_HEAD: StreamsV2(V2_OF_HEAD, self.bank, ADMIN, admin=ADMIN, vaults=vaults),
            V2_OF_OLDER: StreamsV2(V2_OF_OLDER, self.bank, ADMIN, admin=ADMIN, vaults=vaults),
        }
        self.now, self.ledger, self.tx, self.is_read = T0, 1000, 0, False
        self.journal: list[FoldEntry] = []
        self.folded: dict[str, tuple[bytes | None, int, frozenset[str]]] = {}
        self.reads: dict[str, list[StreamFacts]] = {}
        self.migrated_to: dict[str, str] = {}
        self.archived: dict[str, Status] = {}
        self.receivers: dict[str, set[str]] = {}

    # --- doing ------------------------------------------------------------------------------

    def call(self, function, *args):
        """Call a contract's function in a transaction of its own; a call that is refused leaves nothing."""
        if self.is_read:
            self.close_ledger(5)
        self.tx += 1
        try:
            outcome = function(self.now, *args)
        except (Refused, ZeroDivisionError):  # a division by zero is a panic of the contract
            return None
        for index, event in enumerate(outcome.events):
            if event.contract in FAMILIES and event.type is EventType.CONTRACT:
                self.record(index, event)
        return outcome

    def record(self, index, event) -> None:
        raw = ContractEvent(
            id=format_event_id(self.ledger, self.tx, 0, index),
            ledger=self.ledger,
            closed_at=self.now,
            tx_hash=f"{self.ledger:032x}{self.tx:032x}",
            event_index=index,
            contract_id=event.contract,
            type="contract",
            topics=tuple(scval.encode(topic) for topic in event.topics),
            value=scval.encode(event.data),
        )
        family = FAMILIES[event.contract]
        (decoded,) = DECODERS[family]([raw])
        assert decoded is not None, event
        self.journal += [FoldEntry(key, raw, decoded) for key in keys_of(decoded, raw, MIGRATED_FROM)]

    def close_ledger(self, after: int) -> None:
        self.now, self.ledger, self.tx, self.is_read = self.now + after, self.ledger + 1, 0, False

    def some_stream(self, data, contract: str) -> int | None:
        """Choose a stream of a contract, and let a part of its time pass."""
        streams = self.contracts[contract]
        if not streams.next_id:
            return None
        number = data.draw(st.integers(0, streams.next_id - 1))
        stream, part = streams.streams.get(number), data.draw(st.sampled_from([0, 0, 0.1, 0.5, 1.1]))
        if stream is not None and part:
            self.close_ledger(1 + int(part * min(stream.end - stream.start, YEAR)))
        return number

    def has_room(self) -> bool:
        return sum(streams.next_id for streams in self.contracts.values()) < MOST_STREAMS

    @rule(share=shares, span=spans)
    def time_passes(self, share, span):
        self.close_ledger(1 + int(span * share))

    @precondition(has_room)
    @rule(contract=firsts, sender=people, receiver=people, token=tokens, total=amounts, span=spans, data=st.data())
    def create_v1(self, contract, sender, receiver, token, total, span, data):
        start = self.now + data.draw(st.sampled_from([-50, 0, 0, 30]))
        cliff = start + int(span * data.draw(st.sampled_from([0, 0, 0.25, 1])))
        curve, soulbound = data.draw(st.sampled_from(list(V1Curve))), data.draw(st.booleans())
        create = self.contracts[contract].create_stream
        self.call(create, sender, receiver, token, total, start, cliff, start + span, curve, soulbound)

    def draw_args(self, data) -> StreamArgs:
        span = data.draw(spans)
        start = self.now + data.draw(st.sampled_from([-50, 0, 0, 30]))
        vault = None if self.vault.is_paused else data.draw(st.sampled_from([None, None, VAULT]))
        return StreamArgs(
            sender=data.draw(people),
            receiver=data.draw(people),
            token=TOKENS[0].contract if vault else data.draw(tokens),
            total=data.draw(amounts),
            start=start,
            cliff=start + int(span * data.draw(st.sampled_from([0, 0, 0.25, 1]))),
            end=start + span,
            penalty_bps=data.draw(st.sampled_from([0, 0, 1000, 10_000])),
            memo=data.draw(st.sampled_from([None, "inv_1"])),
            step_duration=data.draw(st.sampled_from([0, 0, 0, span // 4, 7])),
            multiplier_bps=data.draw(st.sampled_from([0, 500, 10_000])),
            vault=vault,
            yield_enabled=vault is not None,
            is_recurrent=data.draw(st.booleans()),
            cycle_duration=span,
            cancellation_type=data.draw(st.sampled_from([0, 0, 1])),
            split_address=data.draw(st.sampled_from([None, PEOPLE[3]])),
            split_bps=data.draw(st.sampled_from([0, 333])),
        )

    @precondition(has_room)
    @rule(contract=firsts, sender=people, receiver=people, token=tokens, total=amounts, span=spans)
    def propose_v1(self, contract, sender, receiver, token, total, span):
        """Propose a stream and let it be executed at once: its creation comes before the approval's event."""
        streams, end = self.contracts[contract], self.now + span
        made = self.call(streams.create_proposal, sender, receiver, token, total, self.now, end, 1, end)
        if made is not None:
            self.call(streams.approve_proposal, made.value.number, sender)

    @precondition(has_room)
    @rule(contract=seconds, data=st.data())
    def create_v2(self, contract, data):
        args = self.draw_args(data)
        self.call(self.contracts[contract].create_stream, args)

    @precondition(has_room)
    @rule(contract=seconds, sender=people, data=st.data())
    def create_batch(self, contract, sender, data):
        batch = [self.draw_args(data) for _ in range(data.draw(st.integers(1, 2)))]
        fields = StreamArgs.__dataclass_fields__
        same = [StreamArgs(**{**{name: getattr(one, name) for name in fields}, "sender": sender}) for one in batch]
        self.call(self.contracts[contract].create_batch_streams, same)

    @rule(contract=st.sampled_from([*FAMILIES]), is_closed=st.booleans(), data=st.data())
    def withdraw(self, contract, is_closed, data):
        number = self.some_stream(data, contract)
        stream = None if number is None else self.contracts[contract].streams.get(number)
        if stream is not None:
            self.call(self.contracts[contract].withdraw, number, getattr(stream, "beneficiary", stream.receiver))
            if is_closed and FAMILIES[contract] == V2:
                self.archive(contract, number)

    def archive(self, contract, number):
        streams = self.contracts[contract]
        stream = streams.streams.get(number)
        if self.call(streams.close_and_archive, number, stream.sender) is not None:
            self.archived[stream_key(contract, number)] = Status.CANCELED if stream.is_cancelled else Status.COMPLETED

    @rule(contract=st.sampled_from([*FAMILIES]), is_sender=st.booleans(), data=st.data())
    def cancel(self, contract, is_sender, data):
        number = self.some_stream(data, contract)
        stream = None if number is None else self.contracts[contract].streams.get(number)
        if stream is not None:
            payee = getattr(stream, "beneficiary", stream.receiver)
            self.call(self.contracts[contract].cancel, number, stream.sender if is_sender else payee)

    @rule(contract=firsts, is_resumed=st.booleans(), data=st.data())
    def pause_or_resume(self, contract, is_resumed, data):
        number = self.some_stream(data, contract)
        if number is not None:
            streams = self.contracts[contract]
            function = streams.resume_stream if is_resumed else streams.pause_stream
            self.call(function, number, streams.streams.get(number).sender)

    @rule(contract=firsts, receiver=people, data=st.data())
    def hand_on_v1(self, contract, receiver, data):
        number = self.some_stream(data, contract)
        if number is not None:
            stream = self.contracts[contract].streams.get(number)
            self.receivers.setdefault(stream_key(contract, number), set()).add(stream.receiver)
            self.call(self.contracts[contract].transfer_receiver, number, stream.receiver, receiver)

    @rule(what=st.sampled_from(["freeze", "resolve", "claw_back"]), share=shares, data=st.data())
    def dispute(self, what, share, data):
        number = self.some_stream(data, OLDER)
        if number is not None:
            terms = (share,) if what == "resolve" else ()
            self.call(getattr(self.contracts[OLDER], what), number, ADMIN, *terms)

    @rule(contract=st.sampled_from([*FAMILIES]), extra=amounts, data=st.data())
    def top_up(self, contract, extra, data):
        number = self.some_stream(data, contract)
        stream = None if number is None else self.contracts[contract].streams.get(number)
        if stream is not None:
            streams = self.contracts[contract]
            function = streams.top_up_stream if FAMILIES[contract] == V1 else streams.top_up
            self.call(function, number, stream.sender, extra)

    @rule(contract=seconds, data=st.data())
    def migrate(self, contract, data):
        origin = MIGRATED_FROM[contract]
        number = self.some_stream(data, origin)
        if number is not None:
            stream = self.contracts[origin].streams.get(number)
            found = self.call(self.contracts[contract].migrate_stream, self.contracts[origin], number, stream.receiver)
            if found is not None:
                self.migrated_to[stream_key(origin, number)] = stream_key(contract, found.value.number)

    @rule(
        contract=seconds,
        what=st.sampled_from(["beneficiary", "split", "archive", "rate", "meta", "meta", "no rate"]),
        data=st.data(),
    )
    def change_v2(self, contract, what, data):
        number = self.some_stream(data, contract)
        streams = self.contracts[contract]
        stream = None if number is None else streams.streams.get(number)
        if stream is None:
            return
        if what == "beneficiary":
            self.call(streams.transfer_beneficiary, number, data.draw(people))
        elif what == "split":
            self.call(
                streams.split_stream,
                number,
                data.draw(st.sampled_from([None, *PEOPLE])),
                data.draw(st.integers(0, 500)),
            )
        elif what == "archive":
            self.archive(contract, number)
        elif what == "rate":
            self.call(streams.propose_rate, number, data.draw(st.integers(1, 10**6)))
            self.call(streams.accept_rate, number)
        elif what == "no rate":
            self.call(streams.propose_rate, number, data.draw(st.integers(1, 10**6)))
            self.call(streams.cancel_rate_proposal, number, stream.receiver)
        else:
            left = max(1, stream.unlocked(self.now) - stream.withdrawn)
            amount = data.draw(st.integers(1, left))
            signed = crypto_sign(b"message", SECRET_KEY)[:64], b"message"
            nonce = streams.nonces.get((stream.beneficiary, number), 0)
            terms = (amount, amount // 3, PEOPLE[0], PUBLIC_KEY, nonce, self.now, signed)
            self.call(streams.withdraw_meta, number, *terms)

    @rule(contract=seconds, is_allowed=st.booleans(), data=st.data())
    def refill(self, contract, is_allowed, data):
        """Wait for the end of a recurrent stream, and have it filled again."""
        recurrent = [stream for stream in self.contracts[contract].streams if stream.is_recurrent]
        if recurrent:
            stream = data.draw(st.sampled_from(recurrent))
            self.close_ledger(max(1, min(stream.end - self.now, 2 * YEAR)))
            self.bank.approve(stream.token, stream.sender, contract, 10**30 if is_allowed else 0, 10**6)
            self.call(self.contracts[contract].refill_stream, stream.id)

    @rule(contract=seconds, token=tokens, share=shares)
    def claw_back_and_rebalance(self, contract, token, share):
        held = self.bank.balance(token, contract)
        if held:
            self.bank.transfer(token, contract, PEOPLE[0], int(held * share))
            self.call(self.contracts[contract].rebalance_after_clawback, token)

    @rule(is_paused=st.booleans())
    def pause_the_vault(self, is_paused):
        self.vault.set_paused(is_paused)

    # --- reading ----------------------------------------------------------------------------

    @rule()
    def read_the_chain(self):
        """Keep what every stream's entry holds at the end of this ledger."""
        for contract, streams in self.contracts.items():
            for stream in streams.streams:
                self.reads.setdefault(stream_key(contract, stream.id), []).append(self.facts(contract, stream))
        self.is_read = True

    def facts(self, contract, stream) -> StreamFacts:
        """Return what is read of a stream's entry, as it stands now."""
        if FAMILIES[contract] == V2:
            return read_stored_v2(scval.encode(stream.stored()), self.ledger)
        facts = read_v1_instance(*instance_of(contract, stream), self.ledger).facts[stream.id]
        return replace(facts, frozen=stream.id in getattr(self.contracts[contract], "frozen", ()))

    def entries_of(self, key: str, groups: frozenset[str]) -> list[FoldEntry]:
        return [entry for entry in self.journal if entry.key == key or entry.key in groups]

    def fold(self, key: str):
        """Fold what is new of a stream on to the bytes of before, and from the beginning where a group came in."""
        raw, done, groups = self.folded.get(key, (None, 0, frozenset()))
        entries = self.entries_of(key, groups)
        fold = advance(decode(raw), entries[done:], key, MIGRATED_FROM)
        while not fold.groups <= groups:
            groups |= fold.groups
            entries = self.entries_of(key, groups)
            fold = advance(BLANK, entries, key, MIGRATED_FROM)
        self.folded[key] = (encode_state(fold), len(entries), groups)
        assert advance(BLANK, entries, key, MIGRATED_FROM) == fold
        return fold

    def teardown(self):
        self.compare(share=0.5)

    @rule(share=st.fractions(-1, 2))
    def compare(self, share):
        for contract, streams in self.contracts.items():
            for stream in streams.streams:
                key = stream_key(contract, stream.id)
                at = self.now + int((stream.end - stream.start) * share)
                state = self.fold(key).state
                assert state is not None, key
                fresh = self.facts(contract, stream)
                for moment in (self.now, max(0, at)):
                    self.compare_fresh(key, stream, state, fresh, moment)
                    self.compare_known(key, stream, state, None, moment)
                    for old in self.reads.get(key, [])[-2:]:
                        self.compare_known(key, stream, state, old, moment)
        for key, status in self.archived.items():
            state = self.fold(key).state
            shown = view(key, state, None, as_of_ledger=self.ledger, at=self.now, fresh_ledgers=0)
            assert (shown.status, shown.withdrawable) == (status, 0)
            assert shown.withdrawn == shown.unlocked == shown.total

    def expected(self, key, stream, at: int) -> dict[str, object]:
        """Return what a view must show of a stream at a moment, from the contract's own state."""
        v1 = not hasattr(stream, "beneficiary")
        closed = stream.is_closed if v1 else stream.is_cancelled
        end = stream.end + (stream.paused_before if v1 else 0)
        unlocked = stream.withdrawn if closed else stream.unlocked(at)
        frozen = v1 and stream.id in getattr(self.contracts[key[:56]], "frozen", ())
        blocked = closed or frozen or (v1 and stream.paused_at is not None and stream.withdrawn < stream.total)
        status = Status.ACTIVE
        if closed:
            status = Status.ARCHIVED if key in self.migrated_to else Status.CANCELED
        elif stream.withdrawn >= stream.total:
            status = Status.COMPLETED
        elif v1 and stream.paused_at is not None:
            status = Status.PAUSED
        elif at >= end:
            status = Status.COMPLETED
        return {
            "status": status,
            "sender": stream.sender,
            "receiver": stream.receiver,
            "beneficiary": stream.receiver if v1 else stream.beneficiary,
            "token": stream.token,
            "total": stream.total,
            "start": stream.start,
            "cliff": stream.cliff,
            "end": stream.end,
            "withdrawn": stream.withdrawn,
            "unlocked": unlocked,
            "withdrawable": 0 if blocked else max(0, unlocked - stream.withdrawn),
            "frozen": frozen,
            "penalty_bps": None if v1 else stream.penalty_bps,
            "split_address": None if v1 else stream.split_address,
            "split_bps": None if v1 else stream.split_bps if stream.split_address else 0,
        }

    def compare_fresh(self, key, stream, state, facts, at) -> None:
        """With a read of this very ledger everything is known, and the contract's own."""
        shown = view(key, state, facts, as_of_ledger=self.ledger, at=at, fresh_ledgers=0)
        expected = self.expected(key, stream, at)
        different = {
            name: (getattr(shown, name), value) for name, value in expected.items() if getattr(shown, name) != value
        }
        assert not different, (different, state, facts, at)
        assert state.soulbound == getattr(stream, "is_soulbound", False)
        assert state.migrated_to == self.migrated_to.get(key)
        index = index_of(state, facts)
        done = index.base_status is Status.ACTIVE and index.completes_at is not None and at >= index.completes_at
        assert (Status.COMPLETED if done else index.base_status) is shown.status
        closed = shown.status in {Status.CANCELED, Status.ARCHIVED}
        assert index.held == (0 if closed else max(0, stream.total - stream.withdrawn))
        assert index.parties == {shown.sender, shown.receiver, shown.beneficiary}

    def compare_known(self, key, stream, state, facts, at) -> None:
        """With an old read, or none, less may be known, but nothing is wrong."""
        shown = view(key, state, facts, as_of_ledger=self.ledger, at=at, fresh_ledgers=0)
        expected = self.expected(key, stream, at)
        if state.contract_id == HEAD:
            self.compare_silent(key, stream, shown, expected)
        for name, value in expected.items():
            found = getattr(shown, name)
            assert found is None or found == value, (name, found, value, state, facts)
        if state.family == V2:
            assert shown.withdrawn is not None or shown.status is Status.CANCELED
            if facts is not None:
                assert None not in {shown.withdrawn, shown.unlocked, shown.withdrawable, shown.cliff, shown.curve}

    def compare_silent(self, key, stream, shown, expected) -> None:
        """Check, and take out of what is expected, what only a fresh read tells of V1: who gets it, paid, cancelled.

        A status may be behind, but no stream is shown as ended that is not.
        """
        status = expected.pop("status")
        behind = set()
        if stream.is_closed and status is Status.CANCELED:
            behind = {Status.ACTIVE, Status.PAUSED, Status.COMPLETED}
        elif stream.withdrawn >= stream.total and not stream.is_closed:
            behind = {Status.ACTIVE, Status.PAUSED}
        assert shown.status in {status, *behind}
        ever = {stream.receiver, *self.receivers.get(key, ())}
        assert {shown.receiver, shown.beneficiary} <= ever
        assert expected.pop("receiver") == expected.pop("beneficiary") == stream.receiver
        if shown.withdrawable == 0:
            del expected["withdrawable"]


def instance_of(contract, stream) -> tuple[bytes, bytes]:
    """Return key and data of a V1 contract's ledger entry that holds this stream alone."""
    key = instance_key(contract)
    name = encode_scval(ScValue(Arm.VEC, (ScValue(Arm.SYMBOL, V1_STREAM), ScValue(Arm.U64, stream.id))))
    executable, one = bytes(4 + 32), (1).to_bytes(4, "big")
    value = (19).to_bytes(4, "big") + executable + one + one + name + scval.encode(stream.shown())
    return key, key[:4] + bytes(4) + key[4:] + value


Streams.TestCase.settings = settings(
    max_examples=3_000 if DEEP else 60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestStreams = pytest.mark.timeout(3_600 if DEEP else 280)(Streams.TestCase)
