"""What plugins add to stellar.toml and to /metrics, as it is served; and that who breaks a promise hurts nobody."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from decimal import Decimal
from importlib.metadata import entry_points
from types import ModuleType

import peewee
import pytest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from stellar_sdk import Keypair

from stellarstream_core import hookimpl
from stellarstream_core.api import metrics_gauges
from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.api.metrics import Metrics
from stellarstream_core.api.routes import Route
from stellarstream_core.errors import StorageError
from stellarstream_core.hookspecs import GaugeSpec
from stellarstream_core.plugins import Plugins
from stellarstream_core.storage.tables import ApiKey
from stellarstream_core.testing.api import Served, serving
from tests.api.kit import ACCOUNT
from tests.api.test_metrics import FACTS, filled, samples  # noqa: F401 - a fixture among them
from tests.core.test_plugins import Point
from tests.paths import ROOT

NOW = 1_780_000_000.0


@pytest.fixture
async def serve(runtime_of, monkeypatch, database_url):
    """Return a coroutine that serves a database with plugins: each is a name and its hooks."""
    async with AsyncExitStack() as stack:

        async def start(**plugins: dict[str, Callable]) -> Served:
            points = list(entry_points(group="stellarstream"))
            for name, hooks in plugins.items():
                module = ModuleType(f"made_{name}")
                for hook, function in hooks.items():
                    setattr(module, hook, hookimpl(function))
                monkeypatch.setitem(sys.modules, module.__name__, module)
                points.append(Point(name, module.__name__))
            source = {"max_retries": 0, "retry_seconds": 0, "chain_seconds": 1}  # it is not there
            runtime = runtime_of(database_url, plugins={"soroban-rpc": source})
            runtime.plugins = Plugins.load(found=points)
            api = await stack.enter_async_context(serving(runtime))
            api.service.gauges._now = lambda: NOW
            return api

        yield start


def broken(api: Served) -> list[str]:
    return [plugin.name for plugin in api.service.runtime.plugins.broken]


# --- stellar.toml -----------------------------------------------------------------------------------


async def toml_of(client, api: Served) -> dict[str, object]:
    async with client.get(f"{api.url}/.well-known/stellar.toml", headers={"Origin": "https://x.example"}) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        return tomllib.loads(await answer.text())


def explode(*_args: object) -> None:
    raise RuntimeError("boom")


def leave(*_args: object) -> None:
    sys.exit(3)


@pytest.fixture
def database_url(sqlite_url, request) -> str:
    """SQLite, where a test does not ask for both."""
    dialect = getattr(request, "param", "sqlite")
    return sqlite_url if dialect == "sqlite" else request.getfixturevalue("postgres_url")


async def test_hook_stellar_toml_entries_adds_what_wallets_read(client, serve):
    def entries(settings) -> dict[str, str]:
        return {"URI_REQUEST_SIGNING_KEY": "GABC", "ORG_MOTTO": f'say "{settings.network}"\n'}

    api = await serve(shop={"stellar_toml_entries": entries}, quiet={"stellar_toml_entries": lambda: {}})
    toml = await toml_of(client, api)
    assert (toml["URI_REQUEST_SIGNING_KEY"], toml["ORG_MOTTO"]) == ("GABC", 'say "sandbox"\n')
    assert {"VERSION", "NETWORK_PASSPHRASE", "SIGNING_KEY", "WEB_AUTH_ENDPOINT"} < set(toml)
    assert broken(api) == []


@pytest.mark.parametrize(
    "entries",
    [
        explode,
        leave,
        lambda settings: None,
        lambda settings: [("KEY", "x")],
        lambda settings: {"FINE": "x", "SIGNING_KEY": "GEVIL"},
        lambda settings: {"FINE": "x", "not a name": "x"},
        lambda settings: {"FINE": "x", "KEY": 3},
        lambda settings: {"FINE": "x", "KEY": "\ud800"},
    ],
    ids=["raises", "leaves", "nothing", "no mapping", "the framework's", "no name", "no text", "no character"],
)
async def test_a_plugin_with_wrong_entries_is_taken_out_and_wallets_still_find_the_login(client, serve, entries):
    async def handler(call) -> None: ...

    route = Route(method="GET", path="/shop", handler=handler, summary="Shop")
    api = await serve(
        bad={"stellar_toml_entries": entries, "register_routes": lambda: [route]},
        good={"stellar_toml_entries": lambda: {"GOOD": "x"}},
    )
    toml = await toml_of(client, api)
    assert set(toml) == {"VERSION", "NETWORK_PASSPHRASE", "SIGNING_KEY", "WEB_AUTH_ENDPOINT", "GOOD"}
    assert toml["SIGNING_KEY"] != "GEVIL"
    assert broken(api) == ["bad"]
    async with client.get(f"{api.url}/api/v1/shop") as answer:
        assert answer.status == 404, "everything it offered is gone"


# --- gauges -----------------------------------------------------------------------------------------

both = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
ALICE, BOB = ACCOUNT, Keypair.from_raw_ed25519_seed(b"\7" * 32).public_key
KEYS = "stellarstream_shop_keys"


def gauge(name: str, read: Callable, *labels: str) -> GaugeSpec:
    return GaugeSpec(name, f"What {name} counts.", labels, read)


def offering(*gauges: GaugeSpec) -> dict[str, Callable]:
    return {"register_gauges": lambda: list(gauges)}


def keys_by_account(database: peewee.Database, _now: float) -> Iterator[tuple[tuple[str], int]]:
    """Yield how many API keys each account has."""
    counted = ApiKey.select(ApiKey.account, peewee.fn.COUNT(ApiKey.id)).group_by(ApiKey.account)
    for account, number in counted.tuples().execute(database):
        yield (account,), number


def keys(database: peewee.Database, _now: float) -> list[tuple[tuple[()], int]]:
    return [((), ApiKey.select().count(database))]


def clock(_database: peewee.Database, now: float) -> list[tuple[tuple[()], float]]:
    return [((), now)]


async def scraped(client, api: Served) -> dict[tuple, float]:
    async with client.get(f"{api.url}/metrics") as answer:
        assert answer.status == 200, await answer.text()
        return samples(await answer.text())


@both
async def test_hook_register_gauges_tells_what_the_database_holds_at_each_scrape(client, serve):
    api = await serve(
        shop=offering(gauge("shop_keys", keys_by_account, "account"), gauge("shop_clock", clock)),
        quiet=offering(),
    )
    storage = api.service.database.storage
    assert (KEYS, ("account", ALICE)) not in await scraped(client, api)
    for account in (ALICE, BOB, BOB):
        create_key(storage, account, ["read"])
    found = await scraped(client, api)
    assert (found[KEYS, ("account", ALICE)], found[KEYS, ("account", BOB)]) == (1, 2)
    assert found["stellarstream_shop_clock",] == NOW
    create_key(storage, ALICE, ["read"])
    assert (await scraped(client, api))[KEYS, ("account", ALICE)] == 2
    assert broken(api) == []


class NoteRow(peewee.Model):
    id = peewee.TextField(primary_key=True)
    account = peewee.TextField()

    class Meta:
        table_name = "notes"


async def test_the_example_of_the_guide_works(client, serve):
    text = (ROOT / "docs" / "plugins.md").read_text()
    (code,) = re.findall(r"## `register_gauges\(\).*?```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {"NoteRow": NoteRow}
    exec(code, names)
    api = await serve(notes={"register_gauges": names["register_gauges"]})

    def write(database: peewee.Database) -> None:
        database.execute_sql("CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL)")
        NoteRow.insert_many([{"id": number, "account": ALICE} for number in "abc"]).execute(database)

    api.service.database.storage.write(write)
    assert (await scraped(client, api))["stellarstream_notes_stored", ("account", ALICE)] == 3


@pytest.mark.parametrize("shared", [False, True])
def test_gauges_are_told_beside_the_counts_of_one_worker_or_of_several(tmp_path, shared):
    with closing(Metrics.open(tmp_path / "metrics" if shared else None)) as metrics:
        assert metrics.shared is shared
        metrics.events_pushed(3)
        told = GaugeMetricFamily("stellarstream_shop_keys", "Keys.", value=2.0)
        found = samples(metrics.render(gauges=[told])[0])
    assert (found[KEYS,], found["stellarstream_live_events_pushed_total",]) == (2, 3)
    assert metrics.own_names == Metrics.open(None).own_names


async def test_gauges_are_told_to_whoever_asks_for_open_metrics_too(client, serve):
    api = await serve(
        shop=offering(
            gauge("shop_a", lambda *_: [(('"\\\n', "ü"), Decimal("0.5"))], "text", "other"), gauge("shop_b", keys)
        )
    )
    headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with client.get(f"{api.url}/metrics", headers=headers) as answer:
        told = {family.name: family for family in parse_open_metrics(await answer.text())}
    (sample,) = told["stellarstream_shop_a"].samples
    assert (sample.labels, sample.value) == ({"text": '"\\\n', "other": "ü"}, 0.5)
    assert told["stellarstream_shop_a"].type == "gauge"
    assert told["stellarstream_shop_a"].documentation == "What shop_a counts."
    assert told["stellarstream_shop_b"].samples[0].value == 0


async def test_a_gauge_without_numbers_is_named_all_the_same(client, serve):
    api = await serve(shop=offering(gauge("shop_keys", lambda *_: iter(()), "account")))
    async with client.get(f"{api.url}/metrics") as answer:
        assert f"# TYPE {KEYS} gauge" in await answer.text()


@both
async def test_all_gauges_of_a_scrape_are_of_one_moment(client, serve):
    def keys_and_one_more(database: peewee.Database, now: float) -> list:
        told = keys(database, now)
        create_key(api.service.database.storage, ALICE, ["read"])
        return told

    api = await serve(a=offering(gauge("shop_keys", keys_and_one_more)), b=offering(gauge("toy_keys", keys)))
    for number in (0, 1):
        found = await scraped(client, api)
        assert (found[KEYS,], found["stellarstream_toy_keys",]) == (number, number)


def half_way(database: peewee.Database, now: float) -> Iterator[tuple]:
    yield from keys_by_account(database, now)
    raise LookupError


def wrong_sql(database: peewee.Database, _now: float) -> list[tuple]:
    return [((), number) for (number,) in database.execute_sql("SELECT count(*) FROM no_such_table").fetchall()]


def wrong_sql_and_on(database: peewee.Database, now: float) -> list[tuple]:
    with suppress(peewee.PeeweeException):
        wrong_sql(database, now)
    return keys(database, now)


FAULTS = {
    "raises": explode,
    "leaves": leave,
    "raises half way": half_way,
    "wrong SQL": wrong_sql,
    "writes": lambda database, _now: database.execute_sql("DELETE FROM api_keys"),
    "nothing": lambda *_: None,
    "a number": lambda *_: 3,
    "no pairs": lambda *_: [3],
    "labels no tuple": lambda *_: [(["x"], 3)],
    "labels no text": lambda *_: [((3,), 3)],
    "labels missing": lambda *_: [((), 3)],
    "labels too many": lambda *_: [(("x", "y"), 3)],
    "labels twice": lambda *_: [(("x",), 3), (("x",), 4)],
    "half a character": lambda *_: [(("\ud800",), 3)],
    "no number": lambda *_: [(("x",), "3")],
    "yes or no": lambda *_: [(("x",), True)],
    "too large a number": lambda *_: [(("x",), 10**400)],
    "too many": lambda *_: (((str(number),), number) for number in range(metrics_gauges.MOST_SAMPLES + 1)),
}


@both
async def test_plugins_whose_gauges_fail_are_taken_out_and_the_others_are_told(client, serve):
    names = {f"bad{number}": wrong for number, wrong in enumerate(FAULTS.values())}
    bad = {
        name: offering(gauge(f"{name}_fine", keys), gauge(f"{name}_wrong", wrong, "label"))
        for name, wrong in names.items()
    }
    api = await serve(**bad, good=offering(gauge("shop_keys", keys)))
    create_key(api.service.database.storage, ALICE, ["read"])
    for _ in range(2):
        found = await scraped(client, api)
        assert found[KEYS,] == 1
        assert found["stellarstream_database_up",] == 1
        assert found["stellarstream_plugins_broken",] == len(bad)
        for what, name in zip(FAULTS, names, strict=True):
            assert found.get(("stellarstream_plugin_errors_total", ("plugin", name))) == 1, what
        assert not [name for name, *_ in found if name.startswith("stellarstream_bad")]
    assert sorted(broken(api)) == sorted(bad)
    assert create_key(api.service.database.storage, ALICE, ["read"]), "nothing was spoilt"


async def test_as_many_numbers_as_a_gauge_may_have_are_told(client, serve):
    most = metrics_gauges.MOST_SAMPLES
    api = await serve(shop=offering(gauge("shop_keys", lambda *_: [((str(n),), n) for n in range(most)], "n")))
    assert len([name for name, *_ in await scraped(client, api) if name == KEYS]) == most


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_gauge_that_hides_that_its_statement_failed_is_a_fault_too(client, serve):
    api = await serve(bad=offering(gauge("bad_wrong", wrong_sql_and_on)), good=offering(gauge("shop_keys", keys)))
    assert (await scraped(client, api))[KEYS,] == 0
    assert broken(api) == ["bad"]


def interrupted(database: peewee.Database, _now: float) -> list[tuple]:
    """Let the database end a statement by itself, as it does with one that takes too long."""
    if isinstance(database, peewee.SqliteDatabase):
        connection = database.connection()
        connection.set_progress_handler(lambda: 1, 1)
        try:
            database.execute_sql("SELECT count(*) FROM api_keys").fetchall()
        finally:
            connection.set_progress_handler(None, 1)
    database.execute_sql("SET LOCAL statement_timeout = '20ms'")
    database.execute_sql("SELECT pg_sleep(60)")
    raise AssertionError("it was to be interrupted")


@both
async def test_what_the_database_refuses_at_this_moment_is_nobodys_fault(client, serve):
    slow = True

    def now_and_then(database: peewee.Database, now: float) -> list[tuple]:
        return interrupted(database, now) if slow else keys(database, now)

    api = await serve(slow=offering(gauge("slow_keys", now_and_then)), good=offering(gauge("shop_keys", keys)))
    found = await scraped(client, api)
    assert found[KEYS,] == 0
    assert ("stellarstream_slow_keys",) not in found
    slow = False
    assert (await scraped(client, api))["stellarstream_slow_keys",] == 0
    assert broken(api) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
async def test_a_connection_that_is_lost_meanwhile_is_nobodys_fault(client, serve, for_good):
    cut = 0

    def cutting(database: peewee.Database, now: float) -> list[tuple]:
        nonlocal cut
        if cut == 0 or for_good:
            cut += 1
            database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return keys(database, now)

    api = await serve(a=offering(gauge("cut_keys", cutting)), b=offering(gauge("shop_keys", keys)))
    found = await scraped(client, api)
    assert found["stellarstream_database_up",] == 1
    told = {name for name, *_ in found} & {KEYS, "stellarstream_cut_keys"}
    assert told == (set() if for_good else {KEYS, "stellarstream_cut_keys"})
    assert broken(api) == []
    assert cut == (2 if for_good else 1)


async def test_without_the_database_no_plugin_is_asked(client, serve, monkeypatch):
    asked = []
    api = await serve(shop=offering(gauge("shop_keys", lambda *_: asked.append(1) or [])))

    def gone(*_args: object) -> None:
        raise StorageError("connection to db.internal refused")

    storage = api.service.database.storage
    for name in ("read", "totals"):
        monkeypatch.setattr(type(storage), name, gone)
    assert (await scraped(client, api))["stellarstream_database_up",] == 0
    assert (asked, broken(api)) == ([], [])


async def test_a_gauge_that_takes_too_long_is_left_out_and_read_by_one_at_a_time(client, serve, monkeypatch):
    monkeypatch.setattr(metrics_gauges, "READING_SECONDS", 0.05)
    begun, go_on = [], threading.Event()

    def slow(database: peewee.Database, now: float) -> list[tuple]:
        begun.append(now)
        assert go_on.wait(30)
        return keys(database, now)

    api = await serve(shop=offering(gauge("shop_keys", slow)))
    try:
        for found in await asyncio.gather(*(scraped(client, api) for _ in range(4))):
            assert (KEYS,) not in found
            assert found["stellarstream_database_up",] == 1
        assert len(begun) == 1
    finally:
        go_on.set()
    monkeypatch.setattr(metrics_gauges, "READING_SECONDS", 20)
    assert (await scraped(client, api))[KEYS,] == 0
    assert broken(api) == []


def test_every_name_that_is_told_is_known_as_the_frameworks_own(filled):  # noqa: F811 - the fixture
    told = {name for name, *_ in samples(filled.render(facts=FACTS)[0])}
    assert told <= filled.own_names
    assert {
        "stellarstream_gaps",
        "stellarstream_http_requests",
        "stellarstream_http_request_seconds",
    } < filled.own_names


@pytest.mark.parametrize(
    "name", ["gaps", "http_requests", "live_readers", "projection_up", "source_up", "events_stored"]
)
async def test_a_plugin_with_a_metric_of_the_frameworks_offers_nothing(client, serve, name):
    async def handler(call) -> None: ...

    route = Route(method="GET", path="/shop", handler=handler, summary="Shop")
    api = await serve(
        bad={**offering(gauge("bad_fine", keys), gauge(name, keys)), "register_routes": lambda: [route]},
        good=offering(gauge("shop_keys", keys)),
    )
    assert broken(api) == ["bad"]
    found = await scraped(client, api)
    assert found[KEYS,] == 0
    assert found["stellarstream_plugins_broken",] == 1
    async with client.get(f"{api.url}/api/v1/shop") as answer:
        assert answer.status == 404


async def test_a_plugin_that_breaks_while_it_serves_takes_its_gauges_along(client, serve):
    api = await serve(shop=offering(gauge("shop_keys", keys)), good=offering(gauge("toy_keys", keys)))
    assert (KEYS,) in await scraped(client, api)
    api.service.runtime.plugins.blame("register_gauges", "shop_keys", RuntimeError("elsewhere"))
    found = await scraped(client, api)
    assert (KEYS,) not in found
    assert ("stellarstream_toy_keys",) in found
