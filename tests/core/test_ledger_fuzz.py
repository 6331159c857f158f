"""Random and mutated ledgers: a named error or a true answer, never a hang, a crash or silent acceptance.

A mutated ledger that is still read must fail its proof, or have the original's transactions, results and
invocations' events. What no hash covers may change unseen: fees' and classic operations' events, diagnostic
events, ledger entries, the transaction set. ``STELLARSTREAM_FUZZ_SECONDS`` makes a run of that length with new
seeds; a failure names its seed, and ``STELLARSTREAM_FUZZ_SEED`` repeats it.
"""

import os
import time
from contextlib import suppress
from functools import cache
from hashlib import sha256
from random import Random, SystemRandom

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.certificates import Doubt
from stellarstream_core.errors import ProofFailedError, StellarStreamError, XdrError
from stellarstream_core.xdr.ledger import (
    ledger_events,
    read_bare_header,
    read_batch,
    read_ledger,
    read_ledger_header,
    read_transaction,
    signed_for,
)
from stellarstream_core.xdr.prefilter import Prefilter
from stellarstream_core.xdr.proof import prove, unhashed_events
from stellarstream_core.xdr.scval import decode_scval
from stellarstream_core.xdr.strkey import contract_id_bytes
from tests.core import ledger_oracle as oracle
from tests.core.test_ledger_backfill import FARM, HOLDER, exported, farm_event, mint
from tests.core.test_ledger_read import made_ledger

SECONDS = float(os.environ.get("STELLARSTREAM_FUZZ_SECONDS", "0"))
CASES = 2_500
LONGEST = 5
"""Seconds that no single case may take, on a busy machine."""

WORDS = tuple(
    number.to_bytes(4, "big")
    for number in (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 32, 64, 100, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
)


@cache
def originals():
    """Return ledgers of every shape, each with the passphrase of its network."""
    pubnet = [oracle.small_ledger(3), oracle.small_ledger(4)]
    pubnet.append(exported([mint(FARM), mint(FARM, HOLDER), farm_event()], touched=(FARM,))[0])
    found = []
    shapes = sorted({meta for ledgers in oracle.shapes().values() for meta in ledgers}, key=lambda meta: meta[-900:])
    by_kind = {}
    for meta in shapes:
        ledger = read_ledger(meta)
        invocations = sum(len(one.invocations) for one in ledger.transactions)
        kind = ledger.version, len(ledger.transactions) > 1, invocations > 0, bool(ledger_events(ledger, None))
        by_kind.setdefault(kind, []).append(meta)
    for some in by_kind.values():
        found += [(meta, oracle.CORE_TESTS) for meta in some[:4]]
    made = [made_ledger(seed, version, meta) for seed in range(2) for version in range(3) for meta in range(5)]
    if SECONDS:
        pubnet += [oracle.pubnet_ledger(sequence) for sequence in oracle.PUBNET_LEDGERS]
        made.append(oracle.load_test_ledgers()[0])
    return found + [(meta, oracle.PUBNET) for meta in pubnet] + [(meta, "") for meta in made]


def mutated(raw, random):
    """Return bytes changed in one to four places, mostly by whole words, as most faults keep them."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        place = 4 * random.randrange(len(raw) // 4 + 1)
        other = 4 * random.randrange(len(raw) // 4 + 1)
        size = 4 * random.choice((1, 1, 2, 8, 9, 40, 400))
        match random.randrange(9):
            case 0:
                at = min(place + random.randrange(4), len(raw) - 1)
                raw = raw[:at] + bytes((raw[at] ^ 1 << random.randrange(8),)) + raw[at + 1 :]
            case 1 | 2:
                raw = raw[:place] + random.choice(WORDS) + raw[place + 4 :]
            case 3:
                raw = raw[:place] + random.randbytes(size) + raw[place + size :]
            case 4:
                raw = raw[:place] + raw[place + size :]
            case 5:
                raw = raw[:place] + raw[other : other + size] + raw[place:]
            case 6:
                raw = raw[:place] + raw[other : other + size] + raw[place + size :]
            case 7:
                donor, _ = random.choice(originals())
                start = 4 * random.randrange(len(donor) // 4)
                raw = raw[:place] + donor[start : start + size] + raw[place + size :]
            case 8:
                raw = (
                    raw[:place]
                    if random.random() < 0.3
                    else raw[:place] + raw[place + size :] + raw[place : place + size]
                )
        raw = raw or bytes(4)
    return raw


def committed(ledger):
    """Return all that a ledger's hashes commit to, except for its header."""
    return [
        (
            one.hash,
            one.result,
            [
                (op, one.return_value, one.raw[4 * one.operation_events[op][0] : 4 * one.operation_events[op][2]])
                for op, _ in one.invocations
                if op < len(one.operation_events)
            ],
        )
        for one in ledger.transactions
    ]


@cache
def committed_by():
    """Return for each original's header what it commits to."""
    ledgers = [read_ledger(meta) for meta, _ in originals()]
    return {ledger.header.xdr: committed(ledger) for ledger in ledgers}


def try_all(raw, passphrase):
    """Give bytes to everything that reads ledgers; return the ledger if they are one that proves itself."""
    for read in (read_ledger_header, read_bare_header, read_batch, lambda raw: signed_for(raw, passphrase)):
        with suppress(XdrError):
            read(raw)
    try:
        ledger = read_ledger(raw)
    except XdrError:
        return None
    events = ledger_events(ledger, None)
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert 0 <= unhashed_events(ledger, events) <= len(events)
    for event in events[:50]:
        for value in (*event.topics, event.value):
            with suppress(XdrError):
                decode_scval(value)
    for contract in {event.contract_id for event in events[:50]} - {None}:
        assert Prefilter([contract_id_bytes(contract)]).may_hold(raw)
    try:
        certificate = prove(ledger, sha256(passphrase.encode()).digest())
    except ProofFailedError:
        return None
    return ledger, certificate


def run_case(seed):
    random = Random(seed)
    original, passphrase = random.choice(originals())
    changed = mutated(original, random)
    begun = time.perf_counter()
    accepted = try_all(changed, passphrase)
    assert time.perf_counter() - begun < LONGEST, f"seed {seed} takes too long"
    if accepted is None:
        return False
    ledger, certificate = accepted
    known = committed_by().get(ledger.header.xdr)
    assert known is not None, f"seed {seed}: a header of no original is accepted"
    if certificate.doubts & {Doubt.BACKFILLED, Doubt.RECONCILED}:
        assert not certificate.proven
        assert [(tx, result) for tx, result, _ in committed(ledger)] == [(tx, result) for tx, result, _ in known]
    else:
        assert committed(ledger) == known, f"seed {seed}: another ledger is accepted"
    return changed != original


@pytest.mark.timeout(SECONDS + 120)
def test_mutated_ledgers_are_refused_fail_their_proof_or_say_the_same():
    if os.environ.get("STELLARSTREAM_FUZZ_SEED"):
        run_case(int(os.environ["STELLARSTREAM_FUZZ_SEED"]))
        return
    first = SystemRandom().randrange(2**48) if SECONDS else 0
    end = time.monotonic() + SECONDS
    cases = accepted = 0
    while cases < CASES or time.monotonic() < end:
        try:
            accepted += run_case(first + cases)
        except StellarStreamError as error:
            raise AssertionError(f"seed {first + cases}: {error!r} is not expected here") from error
        except Exception as error:
            raise AssertionError(f"seed {first + cases}: {error!r}") from error
        cases += 1
    print(f"{cases:,} mutated ledgers, {accepted:,} of them accepted for what no hash covers")
    assert 0 < accepted < cases / 2


def test_mutated_transactions_are_refused_or_read():
    transactions = read_ledger(oracle.small_ledger()).transactions
    metas = [(one.result, one.raw[4 * one.place[0] : 4 * one.place[1]]) for one in transactions]
    decoded = [
        one.tx_apply_processing.to_xdr_bytes() for one in oracle.processing(oracle.decode(oracle.small_ledger()))
    ]
    read = 0
    for seed in range(1_500):
        random = Random(seed)
        number = random.randrange(len(metas))
        result, meta = metas[number][0], decoded[number]
        if seed % 2:
            result = mutated(result, random)
        else:
            meta = mutated(meta, random)
        with suppress(XdrError):
            read_transaction(bytes(32), result, meta, 7)
            read += 1
    assert 0 < read < 1_500


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=2_000) | st.binary(max_size=500).map(lambda raw: raw + bytes(-len(raw) % 4)))
def test_random_bytes_are_no_ledger(raw):
    for read in (read_ledger, read_ledger_header, read_bare_header, read_batch):
        with pytest.raises(XdrError):
            read(raw)


@settings(deadline=None, max_examples=200)
@given(st.randoms(use_true_random=False), st.integers(0, 20))
def test_random_bytes_after_a_true_beginning_are_no_ledger(random, shift):
    meta = oracle.small_ledger()
    place = 4 * random.randrange(len(meta) // 4)
    accepted = try_all(meta[:place] + random.randbytes(4 * shift + random.randrange(400) * 4), oracle.PUBNET)
    assert accepted is None
