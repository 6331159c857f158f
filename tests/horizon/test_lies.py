"""What a server may get wrong, by each kind of answer: tried again, asked of another server, or named; never stored."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Reason
from stellarstream_core.testing.rpc_node import Faults
from tests.horizon.history import HeldLedger, sandbox_history
from tests.horizon.kit import EVERYTHING, assert_exact, read, source
from tests.horizon.node import LIES, TROUBLES, Fault, HorizonNode

WANTED = LedgerRange(40, 70)
KINDS = ("ledgers", "ledger", "transactions", "ledger-transactions")
BAD = {Reason.MISBEHAVED, Reason.MISSING, Reason.PROOF_FAILED, Reason.UNSUPPORTED, Reason.BEYOND_TIP}


def always(*faults: Fault, kinds=KINDS) -> Faults:
    return Faults(rates=dict.fromkeys(faults, 1.0 / len(faults)), in_a_row=10**9, methods=kinds)


@pytest.mark.parametrize("fault", [*LIES, *TROUBLES])
@pytest.mark.parametrize("kind", ["ledgers", "transactions"])
async def test_one_bad_page_is_asked_for_again_and_harms_nothing(fault, kind):
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        await opened.reach()
        node.faults = Faults([fault], methods=[kind])
        result = await read(opened, WANTED)
        assert_exact(result, WANTED, EVERYTHING, history)
        assert not result.gaps
        assert node.faults.met[fault] == 1


@pytest.mark.parametrize("fault", LIES)
async def test_a_server_that_always_lies_is_left_for_another(fault):
    history, honest = sandbox_history(), sandbox_history()
    async with HorizonNode(history) as node, HorizonNode(honest) as other, source(node, other) as opened:
        await opened.reach()
        node.faults = always(fault)
        result = await read(opened, WANTED)
        assert_exact(result, WANTED, EVERYTHING, honest)
        assert not result.gaps


@pytest.mark.parametrize("fault", LIES)
async def test_a_server_that_always_lies_and_is_the_only_one_leaves_named_gaps_and_no_wrong_event(fault):
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        await opened.reach()
        node.faults = always(fault)
        result = await read(opened, WANTED)
        assert_exact(result, WANTED, EVERYTHING, history)
        assert result.reasons <= BAD
        assert node.count() < 400


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault.OTHER_HEADER, "ledger", "header of ledger"),
        (Fault.OTHER_HASH, "ledger", "header-hash"),
        (Fault.OTHER_PREVIOUS, "ledger", "follow on another ledger"),
        (Fault.OTHER_SEQUENCE, "ledger", "paging token"),
        (Fault.OTHER_COUNTS, "ledger", "not have the transactions|fewer transactions"),
        (Fault.MOVED_COUNTS, "ledger", "is said to have"),
        (Fault.NO_COUNTS, "ledger", "how many transactions"),
        (Fault.OTHER_TIME, "ledger", "closed at another time"),
        (Fault.DROPPED, "ledger-transactions", "sent the transaction"),
        (Fault.DOUBLED, "ledger-transactions", "sent the transaction"),
        (Fault.SWAPPED, "ledger-transactions", "sent the transaction"),
        (Fault.WRONG_TOKEN, "ledger-transactions", "sent the transaction"),
        (Fault.EMPTY, "ledger-transactions", "fewer transactions"),
        (Fault.OTHER_LEDGER, "ledger-transactions", "said to be of ledger"),
        (Fault.OTHER_TRANSACTION, "ledger-transactions", "transaction-results|otherwise than its result"),
        (Fault.OTHER_RESULT, "ledger-transactions", "transaction-results"),
        (Fault.OTHER_END, "ledger-transactions", "otherwise than its result"),
        (Fault.ALTERED_EVENT, "ledger-transactions", "invocation-events"),
        (Fault.NO_META, "ledger-transactions", "no result_meta_xdr"),
        (Fault.EMPTY_META, "ledger-transactions", "is empty"),
        (Fault.BAD_META, "ledger-transactions", "XDR|meta|cut off"),
        (Fault.INNER_HASH, "ledger-transactions", "inner transaction's hash"),
    ],
)
async def test_a_gap_says_what_was_wrong(fault, kind, said):
    history = sandbox_history()
    wanted = _suited(history, fault)
    async with HorizonNode(history) as node, source(node) as opened:
        await opened.reach()
        node.faults = always(fault, kinds=[kind])
        result = await read(opened, LedgerRange(wanted, wanted))
        (gap,) = result.gaps
        assert gap.reason in BAD
        assert re.search(said, gap.detail), gap.detail
        assert str(wanted) in gap.detail or "transaction" in gap.detail


def _suited(history, fault) -> int:
    """Return a ledger that has what a fault needs."""

    def suits(ledger: HeldLedger) -> bool:
        if fault is Fault.INNER_HASH:
            return any(one.inner_hash for one in ledger.transactions)
        if fault in (Fault.ALTERED_EVENT, Fault.EMPTY_META):
            return any(one.event for one in ledger.transactions)
        if fault is Fault.OTHER_TRANSACTION:
            middle = len(ledger.transactions) // 2
            return middle > 0 and middle + 1 < len(ledger.transactions)
        return len(ledger.transactions) > 2

    return next(ledger.sequence for ledger in history.ledgers.values() if ledger.sequence > 20 and suits(ledger))


@pytest.mark.parametrize("where", [50, 69])
async def test_a_header_of_another_chain_is_named_and_another_server_is_asked_first(where):
    """The forged ledger is sound in itself: its neighbours know better."""
    history, forged = sandbox_history(), sandbox_history()
    other = sandbox_history(seed=2)
    forged.ledgers = {**forged.ledgers, where: other.ledgers[where]}
    async with HorizonNode(forged) as node, HorizonNode(history) as honest:
        async with source(node, honest) as opened:
            result = await read(opened, WANTED)
            assert_exact(result, WANTED, EVERYTHING, history)
            assert not result.gaps
        async with source(node) as opened:
            result = await read(opened, WANTED)
            assert_exact(result, WANTED, EVERYTHING, history)
            assert where in [ledger for gap in result.gaps for ledger in range(gap.range.first, gap.range.last + 1)]
            assert all("chain-break" in gap.detail for gap in result.gaps)


async def test_a_last_ledger_that_only_its_successor_contradicts_is_named_too():
    """It has the right transactions and names the right predecessor; another field of its header is forged."""
    from stellar_sdk import xdr

    history, forged = sandbox_history(), sandbox_history()
    ledger = history.ledgers[WANTED.last]
    header = xdr.LedgerHeader.from_xdr_bytes(ledger.header)
    header.base_fee.uint32 += 1
    altered = {**vars(ledger), "header": header.to_xdr_bytes(), "hash": sha256(header.to_xdr_bytes()).digest()}
    forged.ledgers = {**forged.ledgers, WANTED.last: HeldLedger(**altered)}
    async with HorizonNode(forged) as node, HorizonNode(history) as honest:
        async with source(node, honest) as opened:
            assert not (await read(opened, WANTED)).gaps
        async with source(node) as opened:
            (gap,) = (await read(opened, WANTED)).gaps
            assert (gap.range, gap.reason) == (LedgerRange(WANTED.last, WANTED.last), Reason.PROOF_FAILED)


@pytest.mark.parametrize("beside", [WANTED.first - 1, WANTED.last + 1])
async def test_a_forged_ledger_beside_the_range_does_no_harm_where_another_server_knows_better(beside):
    history, forged = sandbox_history(), sandbox_history()
    other = sandbox_history(seed=2)
    forged.ledgers = {**forged.ledgers, beside: other.ledgers[beside]}
    async with HorizonNode(forged) as node, HorizonNode(history) as honest, source(node, honest) as opened:
        result = await read(opened, WANTED)
        assert_exact(result, WANTED, EVERYTHING, history)
        assert not result.gaps


async def test_a_ledger_is_never_put_together_from_two_servers():
    """Both leave out another transaction of the same ledger; their pages together would look whole."""
    one, two = sandbox_history(), sandbox_history()
    victim = next(s for s, ledger in one.ledgers.items() if s > 50 and len(ledger.transactions) > 4)
    async with HorizonNode(one) as first, HorizonNode(two) as second, source(first, second) as opened:
        await opened.reach()
        for history, left_out in ((one, 0), (two, -1)):
            ledger = history.ledgers[victim]
            members = list(ledger.transactions)
            members[left_out] = members[1]
            history.ledgers = {
                **history.ledgers,
                victim: HeldLedger(**{**vars(ledger), "transactions": tuple(members)}),
            }
        result = await read(opened, LedgerRange(victim - 3, victim + 3))
        assert_exact(result, LedgerRange(victim - 3, victim + 3), EVERYTHING, sandbox_history())
        assert result.missing.ranges == (LedgerRange(victim, victim),)
        assert result.reasons <= {Reason.PROOF_FAILED, Reason.MISBEHAVED}
