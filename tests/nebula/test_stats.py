"""``/stats``: the totals are those of the streams as they are shown, and dollars are there only by a plugin's price."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from importlib.metadata import entry_points
from types import ModuleType

import pytest

from stellarstream_core import hookimpl
from stellarstream_core.plugins import Plugins
from stellarstream_core.projections import Reached
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_nebula.hookspecs import TokenPrice
from stellarstream_nebula.model import StreamFacts
from stellarstream_nebula.prices import prices_of, worth
from stellarstream_nebula.statistics import read_statistics
from stellarstream_nebula.stored import write_many_facts
from stellarstream_nebula.totals import DAY
from tests.api.kit import Running
from tests.core.test_plugins import Point
from tests.nebula.ledgers import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    FAMILIES,
    GEM,
    ONE,
    START,
    THREE,
    TWO,
    Ledgers,
    Life,
    project,
    store,
    store_shuffled,
)

BASE = "/api/v1"
STATUSES = ["ACTIVE", "PAUSED", "COMPLETED", "CANCELED", "ARCHIVED"]


def streams_of(api: Running) -> list[dict]:
    found, cursor = [], ""
    while True:
        page = api.get(f"{BASE}/streams?limit=200{cursor}").json
        found += page["items"]
        if page["nextCursor"] is None:
            return found
        cursor = f"&cursor={page['nextCursor']}"


def counts(streams: list[dict]) -> dict[str, int]:
    found = Counter(stream["status"] for stream in streams)
    return {"total": len(streams), **{status: found[status] for status in STATUSES}}


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", [1, 2])
def test_totals_are_those_of_the_streams_as_they_are_shown(store_of, standing, dialect, seed):
    storage = store_of(dialect)
    life = Life(seed)
    life.play(150)
    last = life.ledgers.ledger + 61  # so long after its creation nothing is known of a V1 stream without a read
    store_shuffled(storage, life.ledgers.events, last, seed)
    project(storage)
    api = standing(storage)
    keys = [stream["id"] for stream in streams_of(api) if stream["contractId"] == ONE]
    facts = {key: StreamFacts(ledger=last, withdrawn=1, total=10, end=2**40) for key in keys[:2]}
    storage.write(lambda database: write_many_facts(database, facts))
    streams, body = streams_of(api), api.get(f"{BASE}/stats").json
    assert body["streams"] == counts(streams)
    assert sum(body["streams"][status] > 0 for status in STATUSES) >= 4
    by_token = defaultdict(list)
    for stream in streams:
        by_token[stream["tokenAddress"]].append(stream)
    assert {token["tokenAddress"]: token["streams"] for token in body["tokens"]} == {
        token: counts(of) for token, of in by_token.items()
    }
    for token in body["tokens"]:
        of = by_token[token["tokenAddress"]]
        assert token["amount"] == str(sum(int(stream["amount"] or 0) for stream in of))
        open_ones = [stream for stream in of if stream["status"] not in {"CANCELED", "ARCHIVED"}]
        told = [stream for stream in open_ones if stream["withdrawn"] is not None]
        assert token["lockedUnknown"] == len(open_ones) - len(told)
        assert token["locked"] == str(sum(max(0, int(one["amount"]) - int(one["withdrawn"])) for one in told))
    assert any(token["lockedUnknown"] for token in body["tokens"])
    assert body["senders"] == len({stream["sender"] for stream in streams} - {None})
    assert body["receivers"] == len({stream["receiver"] for stream in streams} - {None})
    assert body["events"] == len(life.ledgers.events)
    assert body["ledgers"] == {"first": START, "last": last, "covered": last - START + 1}
    assert (body["asOfLedger"], body["complete"]) == (last, True)


LEDGERS = Ledgers()
LEDGERS.create(TWO, 0, ALICE, BOB, COIN, 1_000)
LEDGERS.skip(9 * 720)  # nine hours
LEDGERS.create(TWO, 1, ALICE, CAROL, COIN, 20_000_000)
LEDGERS.top_up(TWO, 1, 5, 20_000_005, 2_000_000_000)
LEDGERS.claim(TWO, 1, 7, 7, CAROL)
LEDGERS.create(THREE, 0, CAROL, BOB, GEM, 3)
LEDGERS.cancel(TWO, 0, 600, 400)
LEDGERS.skip(20 * 720)
LAST = LEDGERS.ledger


@pytest.fixture(scope="module")
def storage(store_of):
    made = store_of("sqlite")
    store(made, LEDGERS.events, START, LAST)
    project(made)
    return made


def test_what_moved_in_a_day_is_told_by_token_from_a_whole_hour_on(storage, standing):
    body = standing(storage).get(f"{BASE}/stats").json
    coin, gem = ({token["tokenAddress"]: token for token in body["tokens"]}[token] for token in (COIN, GEM))
    since = (made_close_time(LAST) // 3600 - 24) * 3600
    assert coin["volume24h"].pop("since").endswith(":00:00Z")
    assert LEDGERS.events[0].closed_at < since < LEDGERS.events[1].closed_at
    # the first creation is older than a day; the cancellation paid 600 to its receiver
    assert coin["volume24h"] == {"created": "20000000", "toppedUp": "5", "withdrawn": "607"}
    assert (gem["volume24h"]["created"], gem["usd"], coin["usd"]) == ("3", None, None)


def test_nothing_indexed_is_nothing_counted(store_of, standing):
    body = standing(store_of("sqlite")).get(f"{BASE}/stats").json
    assert body["streams"] == {"total": 0, **dict.fromkeys(STATUSES, 0)}
    assert (body["tokens"], body["senders"], body["asOf"], body["asOfLedger"], body["complete"]) == (
        [],
        0,
        None,
        0,
        False,
    )
    assert body["ledgers"] == {"first": 0, "last": 0, "covered": 0}


def test_a_contract_that_lags_behind_makes_the_answer_that_of_its_ledger(store_of, standing):
    storage = store_of("sqlite")
    store(storage, LEDGERS.events, START, LAST, [TWO, ONE])
    store(storage, LEDGERS.events, START, START + 2, [THREE])
    project(storage)
    body = standing(storage).get(f"{BASE}/stats").json
    assert (body["asOfLedger"], body["complete"]) == (START + 2, True)
    assert set(FAMILIES) == {ONE, TWO, THREE}


# --- prices -----------------------------------------------------------------------------------------


def plugin_of(function, monkeypatch) -> Point:
    import sys

    module = ModuleType("made_prices")
    module.nebula_prices = hookimpl(function)
    monkeypatch.setitem(sys.modules, "made_prices", module)
    return Point("prices", "made_prices")


@pytest.fixture
def priced(storage, standing, monkeypatch):
    """Return a function that serves with a plugin whose prices come of a function."""
    api = standing(storage)
    before = api.service.runtime.plugins

    def serve(function) -> Running:
        points = [*entry_points(group="stellarstream"), plugin_of(function, monkeypatch)]
        api.service.runtime.plugins = Plugins.load(found=points)
        return api

    yield serve
    api.service.runtime.plugins = before


def test_hook_nebula_prices_turns_amounts_into_dollars(priced):
    asked = []

    def nebula_prices(settings, tokens):
        asked.append((settings.network, tokens))
        return [TokenPrice(COIN, Decimal("0.1234567"), 7, 1_700_000_000, "a market")]

    body = priced(nebula_prices).get(f"{BASE}/stats").json
    assert asked == [("sandbox", [COIN, GEM])]
    coin = next(token for token in body["tokens"] if token["tokenAddress"] == COIN)
    assert coin["locked"] == str(20_000_005 - 7)
    assert coin["usd"] == {
        "price": "0.1234567", "decimals": 7, "asOf": "2023-11-14T22:13:20Z", "source": "a market", "locked": "0.25",
        "created": "0.25", "toppedUp": "0.00", "withdrawn": "0.00",
    }  # fmt: skip
    assert next(token for token in body["tokens"] if token["tokenAddress"] == GEM)["usd"] is None


@pytest.mark.parametrize(
    "answer",
    [
        "a price",
        [1],
        [TokenPrice(COIN, 0.5, 7, 0, "x")],
        [TokenPrice(COIN, Decimal("NaN"), 7, 0, "x")],
        [TokenPrice(COIN, Decimal(-1), 7, 0, "x")],
        [TokenPrice(COIN, Decimal(1), -7, 0, "x")],
    ],
)
def test_a_plugin_whose_prices_are_none_is_taken_out_and_the_totals_are_told(priced, answer):
    api = priced(lambda settings, tokens: answer)
    body = api.get(f"{BASE}/stats").json
    assert [token["usd"] for token in body["tokens"]] == [None, None]
    assert [plugin.name for plugin in api.service.runtime.plugins.broken] == ["prices"]


def test_a_plugin_that_raises_is_taken_out_and_the_totals_are_told(priced):
    def nebula_prices(settings, tokens):
        raise RuntimeError("no market")

    api = priced(nebula_prices)
    assert api.get(f"{BASE}/stats").status == 200
    assert [plugin.name for plugin in api.service.runtime.plugins.broken] == ["prices"]


def test_a_price_of_a_token_that_was_not_asked_for_is_left_out(monkeypatch):
    point = plugin_of(lambda settings, tokens: [TokenPrice(GEM, Decimal(1), 7, 0, "x")], monkeypatch)
    plugins = Plugins.load(found=[*entry_points(group="stellarstream"), point])
    assert prices_of(plugins, None, [COIN]) == {}
    assert set(prices_of(plugins, None, [GEM, COIN])) == {GEM}
    assert prices_of(plugins, None, []) == {}


@pytest.mark.parametrize(
    ("amount", "usd", "decimals", "expected"),
    [
        (2**127 - 1, "1", 0, "170141183460469231731687303715884105727.00"),
        (2**127 - 1, "1", 7, "17014118346046923173168730371588.41"),
        (1, "0.004", 0, "0.00"),
        (15, "0.001", 0, "0.02"),
        (-(10**7), "2.5", 7, "-2.50"),
    ],
)
def test_what_an_amount_is_worth_is_exact_to_the_cent(amount, usd, decimals, expected):
    assert str(worth(amount, TokenPrice(COIN, Decimal(usd), decimals, 0, "x"))) == expected


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_completions_up_to_any_day_are_those_of_a_plain_count(store_of, dialect):
    storage = store_of(dialect)
    ends = [0, 1, 63, 64, 65, 127, 128, 700, 704, 705, 5_000]  # days, around the longer spans that are summed up
    made = Ledgers()
    for number, day in enumerate(ends):
        made.create(TWO, number, ALICE, BOB, COIN if number % 2 else GEM, 10, start=day * DAY, lasts=30)
    store(storage, made.events, START, made.ledger)
    project(storage)
    for day in sorted({near for end in ends for near in (end - 1, end, end + 1) if near >= 0}):
        now = day * DAY + 29
        found = storage.read(
            lambda database, now=now: read_statistics(database, [TWO], {TWO: Reached(1, now, True, 1)})
        )
        done = [number for number, end in enumerate(ends) if end * DAY + 30 <= now]
        assert found.statuses["COMPLETED"] == len(done), day
        by_token = {one.token: one.statuses["COMPLETED"] for one in found.tokens}
        assert by_token == {COIN: sum(n % 2 for n in done), GEM: sum(1 - n % 2 for n in done)}, day
