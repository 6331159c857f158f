"""Whole ledgers through the command line: one history read four ways, retention bridged, tampering named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stellar_sdk import xdr

from stellarstream_core.digest import digest_events
from stellarstream_core.plugins import Plugins
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import load_settings
from stellarstream_sandbox.config import SandboxConfig
from tests.cli.conftest import Node

zstandard = pytest.importorskip("zstandard", reason="data lakes need the extra 'lake'")

SOURCES = ("soroban-rpc", "soroban-rpc-ledgers", "horizon", "data-lake")
LAST, RETAINED = 241, 100


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    running = Node(
        SandboxConfig(
            seed=9,
            ledgers=LAST - 1,
            genesis_time=1_780_000_000,
            port=0,
            live=False,
            burst_every=60,
            retention=RETAINED,
            lake=folder,
        )
    )
    running.lake = folder
    yield running
    running.stop()


@pytest.fixture
def on_network(invoke, network):
    """Return ``invoke`` with all of the sandbox's servers, unless a test names others."""

    def call(*args: str, **env: str):
        return invoke(
            *args,
            **{
                "NETWORK": "sandbox",
                "RPC_URL": network.url,
                "HORIZON_URL": f"{network.url}/horizon",
                "LAKE_URL": f"file://{network.lake}",
                **env,
            },
        )

    return call


@pytest.fixture
def stored(tmp_path) -> Callable[..., list]:
    """Return a function that reads every event of a database in the test's folder."""

    def read(name: str = "stellarstream.db") -> list:
        plugins = Plugins.load(built_in_only=True)
        url = f"sqlite:///{tmp_path / name}"
        storage = plugins.storages()["sqlite"].open(url, load_settings(environ={}), plugins.models())
        try:
            return list(storage.events(LedgerRange(FIRST_LEDGER, LAST_LEDGER), Scope.of(["*"]), limit=1_000_000))
        finally:
            storage.close()

    return read


def test_the_same_ledgers_through_every_source_give_the_same_rows(on_network, stored, network):
    first = LAST - RETAINED + 1
    rows = {}
    lakes = {"data-lake": f"file://{network.lake}", "data-lake over HTTP": f"{network.url}/lake"}
    for name in (*SOURCES, "data-lake over HTTP"):
        db = f"{name.replace(' ', '-')}.db"
        outcome = on_network(
            *("sync", "--contract", "*", "--from", str(first), "--source", name.split()[0]),
            *("--database", f"sqlite:///{db}", "--json"),
            LAKE_URL=lakes.get(name, lakes["data-lake"]),
        )
        assert outcome.code == 0, outcome.err
        assert outcome.json["sources"] == {name.split()[0]: [[first, LAST]]}
        evidence = "scanned" if name == "soroban-rpc" else "proven"
        assert outcome.json["evidence"][evidence] == [[first, LAST]]
        rows[name] = stored(db)
    assert len(rows["soroban-rpc"]) > 3_000
    for name, found in rows.items():
        assert found == rows["soroban-rpc"], name


@pytest.mark.parametrize("name", SOURCES[1:])
def test_some_contracts_through_every_whole_ledger_source_are_what_getevents_gives(on_network, stored, network, name):
    first = LAST - RETAINED + 1
    contracts = [network.contracts["streams-v2"], network.contracts["streams-v1"]]
    asked = [part for contract in contracts for part in ("--contract", contract)]
    for source in ("soroban-rpc", name):
        outcome = on_network(
            "sync", *asked, "--from", str(first), "--source", source, "--database", f"sqlite:///{source}.db"
        )
        assert outcome.code == 0, outcome.err
    assert stored(f"{name}.db") == stored("soroban-rpc.db")
    assert stored(f"{name}.db")


def test_a_range_half_outside_retention_is_completed_from_the_lake_in_one_sync(on_network, stored, network):
    contract = network.contracts["streams-v2"]
    outcome = on_network("sync", "--contract", contract, "--from", "2", "--json")
    assert outcome.code == 0, outcome.err
    edge = LAST - RETAINED + 1
    assert outcome.json["sources"] == {"data-lake": [[2, edge - 1]], "soroban-rpc": [[edge, LAST]]}
    assert outcome.json["evidence"] == {"proven": [[2, edge - 1]], "scanned": [[edge, LAST]]}
    on_network("sync", "--contract", contract, "--from", "2", "--source", "data-lake", "--database", "sqlite:///l.db")
    assert stored() == stored("l.db")


def test_everything_is_read_from_whole_ledgers_without_being_told(on_network):
    outcome = on_network("sync", "--contract", "*", "--from", "200", "--json")
    assert outcome.json["sources"] == {"data-lake": [[200, LAST]]}
    assert outcome.json["evidence"]["proven"] == [[200, LAST]]


def test_without_proof_the_rows_are_the_same_and_the_evidence_is_weaker(on_network, stored, network):
    asked = ("sync", "--contract", network.contracts["streams-v2"], "--from", "2", "--source", "data-lake", "--json")
    quick = on_network(*asked, "--no-proof", "--database", "sqlite:///quick.db")
    assert quick.json["evidence"] == {"proven": [], "scanned": [[2, LAST]]}
    on_network(*asked)
    assert stored("quick.db") == stored()


def test_what_was_scanned_is_upgraded_to_proven_without_storing_anything_twice(on_network, stored, network):
    contract = network.contracts["streams-v2"]
    on_network("sync", "--contract", contract, "--from", "-50", "--source", "soroban-rpc")
    before = stored()
    outcome = on_network("verify", "--json")
    assert (outcome.code, outcome.json["verdict"]) == (0, "proven")
    assert outcome.json["digest"] == digest_events(before)
    assert on_network("gaps", "--json").json["evidence"]["proven"] == []
    assert on_network("verify", "--repair", "--json").json["counts"]["added"] == 0
    assert on_network("gaps", "--json").json["evidence"]["proven"] == [[LAST - 49, LAST]]
    assert stored() == before


def test_sync_with_verify_proves_what_getevents_said(on_network, network):
    outcome = on_network(
        *("sync", "--contract", network.contracts["streams-v2"], "--from", "-50"),
        *("--source", "soroban-rpc", "--verify", "--json"),
    )
    assert outcome.code == 0, outcome.err
    assert outcome.json["evidence"] == {"proven": [[LAST - 49, LAST]], "scanned": []}


# --- tampering --------------------------------------------------------------------------------


@pytest.fixture
def lake(network, tmp_path) -> Path:
    """A copy of the lake that a test may spoil."""
    return Path(shutil.copytree(network.lake, tmp_path / "lake"))


def object_of(lake: Path, ledger: int) -> Path:
    (found,) = lake.rglob(f"*--{ledger}.xdr.zst")
    return found


def read_meta(lake: Path, ledger: int) -> xdr.LedgerCloseMetaBatch:
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(object_of(lake, ledger).read_bytes())
    return xdr.LedgerCloseMetaBatch.from_xdr_bytes(raw)


def write_meta(lake: Path, ledger: int, batch: xdr.LedgerCloseMetaBatch) -> None:
    object_of(lake, ledger).write_bytes(zstandard.ZstdCompressor().compress(batch.to_xdr_bytes()))


def close_meta(batch: xdr.LedgerCloseMetaBatch) -> xdr.LedgerCloseMetaV2:
    return batch.ledger_close_metas[0].v2


def invocations(meta: xdr.LedgerCloseMetaV2) -> list[xdr.TransactionMetaV4]:
    """Return the metas of successful invocations that published something."""
    metas = [one.tx_apply_processing.v4 for one in meta.tx_processing]
    return [one for one in metas if one.soroban_meta is not None and any(op.events for op in one.operations)]


def flip_an_event_byte(lake: Path, ledger: int) -> None:
    batch = read_meta(lake, ledger)
    event = invocations(close_meta(batch))[0].operations[0].events[0]
    raw = bytearray(event.to_xdr_bytes())
    raw[10] ^= 1  # inside the contract id
    invocations(close_meta(batch))[0].operations[0].events[0] = xdr.ContractEvent.from_xdr_bytes(bytes(raw))
    write_meta(lake, ledger, batch)


def drop_an_event(lake: Path, ledger: int) -> None:
    batch = read_meta(lake, ledger)
    del invocations(close_meta(batch))[0].operations[0].events[0]
    write_meta(lake, ledger, batch)


def drop_a_transaction(lake: Path, ledger: int) -> None:
    batch = read_meta(lake, ledger)
    del close_meta(batch).tx_processing[0]
    write_meta(lake, ledger, batch)


def drop_the_ledger(lake: Path, ledger: int) -> None:
    object_of(lake, ledger).unlink()


def change_the_header(lake: Path, ledger: int) -> None:
    batch = read_meta(lake, ledger)
    close_meta(batch).ledger_header.header.base_fee = xdr.Uint32(77)
    write_meta(lake, ledger, batch)


def take_a_header_of_another_chain(lake: Path, ledger: int) -> None:
    from hashlib import sha256

    batch = read_meta(lake, ledger)
    entry = close_meta(batch).ledger_header
    entry.header.base_fee = xdr.Uint32(77)
    entry.hash = xdr.Hash(sha256(entry.header.to_xdr_bytes()).digest())
    write_meta(lake, ledger, batch)


def truncate_the_object(lake: Path, ledger: int) -> None:
    path = object_of(lake, ledger)
    path.write_bytes(path.read_bytes()[:-20])


TAMPERED = 120
TAMPERINGS = [
    (flip_an_event_byte, "proof-failed", "invocation-events: ledger 120"),
    (drop_an_event, "proof-failed", "invocation-events: ledger 120"),
    (drop_a_transaction, "proof-failed", "transaction-results: ledger 120"),
    (drop_the_ledger, "missing", "120"),
    (change_the_header, "proof-failed", "header-hash: ledger 120"),
    (take_a_header_of_another_chain, "proof-failed", "chain-break"),
    (truncate_the_object, "misbehaved", "120"),
]


def tamperable(lake: Path) -> int:
    """Return a ledger near the middle that holds invocations with events."""
    return next(n for n in range(TAMPERED, LAST) if invocations(close_meta(read_meta(lake, n))))


@pytest.mark.parametrize(("tamper", "reason", "named"), TAMPERINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_tampering_with_a_lake_is_named_by_sync_and_nothing_of_it_is_stored(
    on_network, stored, lake, network, tamper, reason, named
):
    ledger = tamperable(lake)
    tamper(lake, ledger)
    quick = {"PLUGINS__DATA_LAKE__RETRY_SECONDS": "0.2"}
    outcome = on_network(
        *("sync", "--contract", "*", "--from", "100", "--to", "150", "--source", "data-lake", "--json"),
        LAKE_URL=f"file://{lake}",
        **quick,
    )
    assert outcome.code == 3, outcome.err
    gaps = outcome.json["gaps"]
    assert [gap["reason"] for gap in gaps] == [reason] * len(gaps)
    assert min(gap["from"] for gap in gaps) in {ledger - 1, ledger}
    assert any(gap["from"] <= ledger <= gap["to"] for gap in gaps)
    assert any(named.replace("120", str(ledger)) in gap["detail"] for gap in gaps)
    assert not [event for event in stored() if event.ledger == ledger]
    # another source has what this one lost
    whole = on_network("sync", "--contract", "*", "--from", "100", "--to", "150", "--source", "horizon", "--json")
    assert whole.code == 0, whole.err


@pytest.mark.parametrize(("tamper", "reason", "named"), TAMPERINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_tampering_with_a_lake_is_named_by_verify(on_network, lake, tamper, reason, named):
    ledger = tamperable(lake)
    on_network("sync", "--contract", "*", "--from", "100", "--to", "150", "--source", "horizon")
    tamper(lake, ledger)
    outcome = on_network(
        *("verify", "--from", "100", "--to", "150", "--source", "data-lake", "--json"),
        LAKE_URL=f"file://{lake}",
        PLUGINS__DATA_LAKE__RETRY_SECONDS="0.2",
    )
    body = outcome.json
    if reason == "proof-failed":
        assert (outcome.code, body["verdict"]) == (4, "different")
        assert any(named.replace("120", str(ledger)) in item["reason"] for item in body["broken"])
        assert ledger in [item["ledger"] for item in body["broken"]]
    else:
        assert (outcome.code, body["verdict"]) == (3, "incomplete")
        assert [(item["from"], item["to"], item["reason"]) for item in body["unproven"] if "detail" in item] == [
            (ledger, ledger, reason)
        ]


def test_a_tampered_database_is_found_by_verify(on_network, tmp_path, network):
    import sqlite3

    contract = network.contracts["streams-v2"]
    on_network("sync", "--contract", contract, "--from", "2", "--source", "data-lake")
    assert on_network("verify", "--json").json["verdict"] == "proven"
    with sqlite3.connect(tmp_path / "stellarstream.db") as db:
        ids = [row[0] for row in db.execute("SELECT id FROM events ORDER BY id LIMIT 3")]
        db.execute("DELETE FROM events WHERE id = ?", (ids[0],))
        db.execute("UPDATE events SET value = x'00000001' WHERE id = ?", (ids[1],))
        db.execute(
            "UPDATE events SET event_index = 4000, id = substr(id, 1, 20) || '0000004000' WHERE id = ?", (ids[2],)
        )
    outcome = on_network("verify", "--json")
    assert (outcome.code, outcome.json["verdict"]) == (4, "different")
    assert outcome.json["missing"] == sorted([ids[0], ids[2]])
    assert outcome.json["different"] == [ids[1]]
    assert outcome.json["extra"] == [ids[2][:20] + "0000004000"]


def test_verify_says_to_a_person_what_it_found(on_network, network):
    contract = network.contracts["streams-v2"]
    on_network("sync", "--contract", contract, "--from", "-20", "--source", "soroban-rpc")
    outcome = on_network("verify", "--source", "soroban-rpc")
    assert outcome.code == 0
    assert f"ledgers {LAST - 19}..{LAST}: matching" in outcome.out
    assert "not-provable" in outcome.out
    assert "digest" in outcome.out


def test_verify_of_nothing_says_what_to_do(on_network):
    outcome = on_network("verify")
    assert outcome.code == 2
    assert "sync" in outcome.err


def test_gaps_and_status_show_evidence_and_sources(on_network, network):
    contract = network.contracts["streams-v2"]
    on_network("sync", "--contract", contract, "--from", "2")
    edge = LAST - RETAINED + 1
    outcome = on_network("gaps")
    assert f"proven 2..{edge - 1} (data-lake, meta-v4-classic)" in outcome.out
    assert f"scanned {edge}..{LAST} (soroban-rpc)" in outcome.out
    outcome = on_network("status")
    assert f"{edge - 2} ledgers proven, {RETAINED} scanned" in outcome.out
