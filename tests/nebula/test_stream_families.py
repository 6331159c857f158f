"""Another contract family by a plugin: the documentation's example as it stands there, over HTTP."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint

import pytest

from stellarstream_core.plugins import Plugins
from stellarstream_core.projection.projector import Projector
from stellarstream_core.testing.scripted import made_contract
from stellarstream_nebula import families
from stellarstream_nebula.families import StreamFamily, learn
from stellarstream_nebula.model import V2
from stellarstream_nebula.projection import NebulaProjection
from stellarstream_nebula.stored import read_rows
from tests.nebula.ledgers import (
    ALICE,
    BOB,
    COIN,
    START,
    TWO,
    Ledgers,
    address,
    i128,
    project,
    store,
    struct,
    symbol,
    u64,
)
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "stream-families.md").read_text()
CONTRACT = made_contract(77)
FAMILY = "rate-streams"
SETTINGS = {"nebula": {"contracts": {CONTRACT: FAMILY}, "detect": False}}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Return the example's entry point; what the process learned of it is forgotten afterwards."""
    (code,) = re.findall(r"```python\n# rate_streams\.py\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "rate_streams.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(families, "_known", {})
    monkeypatch.setattr(families, "_owners", {})
    yield EntryPoint("rate-streams", "rate_streams", "stellarstream")
    sys.modules.pop("rate_streams", None)


@pytest.fixture
def plugins(plugin, monkeypatch) -> Plugins:
    """Every installed plugin, and the example."""
    from stellarstream_core import plugins as module

    installed = module.entry_points
    monkeypatch.setattr(module, "entry_points", lambda **asked: [*installed(**asked), plugin])
    return Plugins.load()


class RateLedgers(Ledgers):
    """Events as the example's contract publishes them."""

    def event(self, name: str, stream: int, /, **fields):
        return self.publish(CONTRACT, (symbol(name), u64(stream)), struct(stream_id=u64(stream), **fields))

    def began(self, stream: int, deposit: int, rate: int):
        return self.event(
            "stream_created",
            stream,
            sender=address(ALICE),
            recipient=address(BOB),
            token_address=address(COIN),
            rate_per_second=i128(rate),
            deposited_amount=i128(deposit),
            start_time=u64(self.next_time()),
        )


def project_with(plugins: Plugins, storage) -> Projector:
    learn(plugins)
    projector = Projector(NebulaProjection({CONTRACT: FAMILY}, decoders=plugins.decoders()), storage)
    while not projector.step().idle:
        pass
    return projector


async def test_streams_of_another_protocol_are_served_like_our_own(plugins, storage, database_url, served, client):
    ledgers = RateLedgers()
    began = ledgers.began(7, deposit=1_000, rate=3)
    start = began.closed_at
    ledgers.event("tokens_withdrawn", 7, recipient=address(BOB), amount=i128(9), timestamp=u64(ledgers.next_time()))
    ledgers.event(
        "stream_topped_up",
        7,
        sender=address(ALICE),
        amount=i128(200),
        new_deposited_amount=i128(1_200),
        new_end_time=u64(start + 400),
    )
    ledgers.event("tokens_withdrawn", 7, recipient=address(BOB), amount=i128(6), timestamp=u64(ledgers.next_time()))
    ledgers.began(8, deposit=500, rate=1)
    ledgers.event(
        "stream_cancelled",
        8,
        sender=address(ALICE),
        recipient=address(BOB),
        amount_withdrawn=i128(0),
        refunded_amount=i128(480),
    )
    ledgers.event("stream_renamed", 7, name=symbol("rent"))
    store(storage, ledgers.events, START, ledgers.ledger + 1, [CONTRACT])
    project_with(plugins, storage)

    url = (await served(database_url, plugins=SETTINGS)).url
    async with client.get(f"{url}/api/v1/streams/{CONTRACT}-7") as answer:
        stream = await answer.json()
        assert answer.status == 200, stream
    assert (stream["version"], stream["sender"], stream["receiver"], stream["tokenAddress"]) == (
        FAMILY,
        ALICE,
        BOB,
        COIN,
    )
    assert (stream["amount"], stream["withdrawn"], stream["duration"]) == ("1200", "15", 400)
    seconds = ledgers.events[-1].closed_at - start
    assert stream["status"] == "ACTIVE"
    assert int(stream["unlocked"]) >= 1_200 * seconds // 400
    async with client.get(f"{url}/api/v1/streams?status=CANCELED") as answer:
        (cancelled,) = (await answer.json())["items"]
    assert (cancelled["streamId"], cancelled["withdrawn"]) == ("8", "20")
    async with client.get(f"{url}/api/v1/audit-log/{CONTRACT}-7") as answer:
        history = await answer.json()
    assert sorted(entry["eventType"] for entry in history["events"]) == [
        "stream_created",
        "stream_topped_up",
        "tokens_withdrawn",
        "tokens_withdrawn",
    ]
    async with client.get(f"{url}/api/v1/sync") as answer:
        (projection,) = (await answer.json())["projections"]
    assert [shape["shape"] for shape in projection["unknown"]["shapes"]] == [
        "(symbol stream_renamed, u64) map{symbol, u64}"
    ]


async def test_a_plugin_that_is_missing_at_one_start_wipes_nothing(plugins, storage, monkeypatch):
    ledgers = RateLedgers()
    ledgers.began(7, deposit=1_000, rate=3)
    store(storage, ledgers.events, START, ledgers.ledger + 1, [CONTRACT])
    project_with(plugins, storage)
    keys = storage.read(lambda database: read_rows(database, [f"{CONTRACT}-7", f"{CONTRACT}-8"]).keys())
    assert keys == {f"{CONTRACT}-7"}
    without = NebulaProjection({CONTRACT: FAMILY, TWO: V2}, decoders={V2: plugins.decoders()[V2]})
    assert without.contracts.keys() == {TWO}
    ledgers.skip(2).began(8, deposit=500, rate=1)
    store(storage, ledgers.events, ledgers.ledger, ledgers.ledger, [CONTRACT])
    project(storage, without)
    assert storage.read(lambda database: read_rows(database, keys).keys()) == keys
    monkeypatch.setattr(NebulaProjection, "clear", lambda *_: pytest.fail("nothing is built again"))
    project_with(plugins, storage)
    keys = storage.read(lambda database: read_rows(database, [f"{CONTRACT}-7", f"{CONTRACT}-8"]).keys())
    assert keys == {f"{CONTRACT}-7", f"{CONTRACT}-8"}


def contracts_of(plugins: Plugins):
    return NebulaProjection({CONTRACT: FAMILY}, decoders=plugins.decoders()).contracts


def test_new_rules_are_a_new_fingerprint_of_the_familys_contracts(plugins):
    learn(plugins)
    before = contracts_of(plugins)
    old = families.offered(FAMILY)
    families._known[FAMILY] = StreamFamily(
        family=FAMILY, rules=2, stream_ids=old.stream_ids, action=old.action, unlocked=old.unlocked
    )
    assert contracts_of(plugins) != before


def test_asking_again_changes_nothing(plugins):
    learn(plugins)
    before = contracts_of(plugins)
    learn(plugins)
    assert not plugins.broken
    assert contracts_of(plugins) == before


@pytest.mark.parametrize(
    "code",
    [
        "def nebula_families(): return 7",
        "def nebula_families(): return ['rate-streams']",
        "def nebula_families(): raise SystemExit(3)",
        "def nebula_families():\n    from stellarstream_nebula.families import StreamFamily as F\n"
        "    return [F(family='stellarstream-v2', rules=1, stream_ids=len, action=max, unlocked=max)]",
    ],
    ids=["no-list", "no-family", "raises", "takes-ours"],
)
def test_a_plugin_that_breaks_the_promise_is_taken_out(tmp_path, monkeypatch, code):
    from stellarstream_core import plugins as module

    (tmp_path / "bad_families.py").write_text(f"from stellarstream_core import hookimpl\n\n@hookimpl\n{code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed = module.entry_points
    point = EntryPoint("bad", "bad_families", "stellarstream")
    monkeypatch.setattr(module, "entry_points", lambda **asked: [*installed(**asked), point])
    found = Plugins.load()
    learn(found)
    assert [plugin.name for plugin in found.broken] == ["bad"]
    sys.modules.pop("bad_families", None)
