"""A node with all faults on, through source, engine and database: nothing lost, nothing doubled, gaps named.

What cannot be had is a named gap with exit code 3, and a later run fills it when it can be had.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from stellarstream_core.digest import digest_events
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import ExitCode
from stellarstream_core.plugins import Plugins
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.settings import load_settings
from stellarstream_core.sources import Reason
from stellarstream_core.sync.progress import Silence
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.testing.rpc_history import MadeHistory, contract_event, large_transaction, varied_history
from stellarstream_core.testing.rpc_node import TRANSIENT, Fault, Faults, RpcNode
from stellarstream_core.testing.scripted import made_contract
from stellarstream_sandbox.get_events import get_events
from stellarstream_soroban_rpc.source import SorobanRpcSource
from tests.acceptance.conftest import digest_of

NETWORK = "Faulty Network ; a test"
A, B, C, NATIVE = contracts = [made_contract(n) for n in range(4)]
FIRST, LAST = 1_000, 26_500
WHOLE = LedgerRange(FIRST, LAST)
HASTE = 100
"""How much faster the source's clock runs: the seven seconds that a throttled node asks for are waited out in 0.07."""


async def hurried(seconds: float) -> None:
    await asyncio.sleep(seconds / HASTE)


HASTY = Timing(now=lambda: time.monotonic() * HASTE, sleep=hurried)
EVENTS = [
    *varied_history(LedgerRange(FIRST, FIRST + 600), contracts, seed=1),
    *large_transaction(FIRST + 700, 3, 4_000, A),
    # then more than 10,000 ledgers, a node's scan limit, without any event
    *(contract_event(LAST - 12_000, 1, k, B) for k in range(3)),
    *varied_history(LedgerRange(LAST - 400, LAST), contracts, seed=2),
]


def history(oldest: int = 2) -> MadeHistory:
    return MadeHistory(EVENTS, oldest, LAST + 50)


def faulty(seed: int, faults=TRANSIENT, share: float = 0.2) -> Faults:
    """Meet every fault once, with a good answer in between, then each by chance."""
    script = [met for fault in faults for met in (fault, None)]
    methods = ("getEvents", "getHealth", "getNetwork", "getLatestLedger", "getLedgers")
    return Faults(script, rates={fault: share / len(faults) for fault in faults}, seed=seed, methods=methods)


async def sync(storage, *nodes: RpcNode, scope: Scope, first: int = FIRST, **own):
    options = {
        "backoff_seconds": 0.001 * HASTE,
        "max_backoff_seconds": 0.01 * HASTE,
        "retry_seconds": 180 * HASTE,
        "max_retries": 200,
        "page_limit": 250,
        **own,
    }
    settings = load_settings(
        environ={},
        flags={
            "network": "faulty",
            "network_passphrase": NETWORK,
            "rpc_url": [node.url for node in nodes],
            "plugins": {"soroban-rpc": options},
        },
    )
    plugins = Plugins.load(built_in_only=True)
    settings = settings.with_sections(plugins.settings_sections())
    source = SorobanRpcSource(settings, HASTY)
    try:
        request = SyncRequest(first, LAST, scope, workers=2)
        return await SyncRun(request, storage, [source], NETWORK, Silence()).execute(asyncio.Event())
    finally:
        await source.close()


def node(made: MadeHistory, **options) -> RpcNode:
    return RpcNode(made, get_events, passphrase=NETWORK, **options)


@pytest.mark.parametrize("scope", [Scope.of([A, B, C]), Scope.of(["*"])], ids=["some", "everything"])
async def test_with_every_passing_fault_on_nothing_is_lost_or_doubled(database, opened, scope):
    storage = opened(database("faults"))
    storage.migrate()
    made = history()
    async with node(made, faults=faulty(11)) as one, node(made, faults=faulty(12)) as other:
        report = await sync(storage, one, other, scope=scope)
        met = one.faults.met + other.faults.met
    assert report.exit_code is ExitCode.OK, report.to_json()["gaps"]
    assert set(met) == set(TRANSIENT), "a fault that was never met shows nothing"
    expected = made.expected(WHOLE, None if scope.everything else scope.members)
    assert digest_of(storage) == digest_events(expected)
    assert report.counts.new == len(expected)


async def test_a_lagging_and_backward_going_tip_only_delays(database, opened):
    storage = opened(database("lag"))
    storage.migrate()
    made = history()
    async with node(made, faults=faulty(5, (Fault.LAGGING, Fault.CURSOR_EMPTY), 0.3)) as lagging:
        report = await sync(storage, lagging, scope=Scope.of([A]))
    assert report.exit_code is ExitCode.OK
    assert digest_of(storage) == digest_events(made.expected(WHOLE, [A]))


async def test_retention_that_moves_past_the_reader_leaves_a_named_gap_that_an_archive_fills(database, opened):
    storage = opened(database("retention"))
    storage.migrate()
    scope = Scope.of([A, B, C])
    forgetful = history(oldest=FIRST + 300)
    async with node(forgetful) as public:
        # the oldest ledgers go away while they are being read
        public.trim_by = 200
        public.faults = Faults([Fault.TRIMMED])
        report = await sync(storage, public, scope=scope)
    assert report.exit_code is ExitCode.INCOMPLETE
    gaps = report.coverage.gaps
    assert {gap.reason for gap in gaps} == {Reason.OUT_OF_RETENTION}
    missing = RangeSet(gap.range for gap in gaps)
    assert missing.range_at(FIRST) is not None
    kept = [e for e in forgetful.expected(WHOLE, scope.members) if e.ledger not in missing]
    assert digest_of(storage) == digest_events(kept)
    assert storage.sync_states(scope)[A].last_ledger_sequence == FIRST - 1
    async with node(history()) as archive:
        report = await sync(storage, archive, scope=scope)
    assert report.exit_code is ExitCode.OK
    assert digest_of(storage) == digest_events(history().expected(WHOLE, scope.members))
    assert storage.sync_states(scope)[A].last_ledger_sequence == LAST


async def test_a_ledger_that_stalls_every_node_is_a_gap_of_its_own_until_it_can_be_had(database, opened):
    storage = opened(database("poison"))
    storage.migrate()
    scope = Scope.of(["*"])
    made = history()
    poisoned = FIRST + 20
    async with node(made) as stalling:
        stalling.poison = frozenset({poisoned})
        report = await sync(storage, stalling, scope=scope, max_retries=3, page_limit=1000)
        assert [(gap.range.first, gap.range.last) for gap in report.coverage.gaps] == [(poisoned, poisoned)]
        assert report.exit_code is ExitCode.INCOMPLETE
        stalling.poison = frozenset()
        report = await sync(storage, stalling, scope=scope)
    assert report.exit_code is ExitCode.OK
    assert digest_of(storage) == digest_events(made.expected(WHOLE, None))
