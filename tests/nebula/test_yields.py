"""Yield: integers all the way, a rate that says how it is measured, and an answer even where the chain is silent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import scval

from stellarstream_core.chain import Simulation
from stellarstream_core.errors import SourceUnavailableError
from stellarstream_core.events import format_close_time
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_core.xdr.invocation import read_call_envelope
from stellarstream_nebula.model import V1, stream_key
from stellarstream_nebula.tables import NebulaYieldSample
from stellarstream_nebula.yields import (
    KEPT_SECONDS,
    RATE_LEDGERS,
    REFERENCE,
    YEAR,
    Growth,
    Reading,
    Sample,
    VaultError,
    accrued,
    growth_in,
    growth_of,
    newest_samples,
    projected,
    rate_text,
    read_vault,
    write_samples,
)
from tests.nebula.ledgers import COIN, ONE, START, TWO, Ledgers, project, store
from tests.nebula.refresh_kit import ENABLED, OTHER_VAULT, VAULT, MadeVault, Rounds, StreamChain, address

MILLION = 10**6


def sample(ledger: int, interest: int | None, value: int | None = None, *, vault: str = VAULT, **other) -> Sample:
    return Sample(vault, ledger, other.pop("closed_at", 5 * ledger), REFERENCE, interest, value, **other)


# --- arithmetic -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("growth", "rate"),
    [
        (Growth(8, 100, YEAR), "0.08"),
        (Growth(0, 100, YEAR), "0"),
        (Growth(1, 3, YEAR), "0.333333"),
        (Growth(2, 3, YEAR), "0.666667"),
        (Growth(1, 2 * MILLION, YEAR), "0.000001"),
        (Growth(1, 3 * MILLION, YEAR), "0"),
        (Growth(-8, 100, YEAR), "-0.08"),
        (Growth(250, 100, YEAR), "2.5"),
        (Growth(REFERENCE // 1_000_000, REFERENCE, 300), "0.10512"),
        (Growth(10, 1, YEAR), "10"),
    ],
)
def test_a_rate_is_a_decimal_of_a_year_to_six_places(growth, rate):
    assert rate_text(growth) == rate


growths = st.builds(Growth, st.integers(-(10**20), 10**30), st.integers(1, 10**38), st.integers(1, 10 * YEAR))


@given(growth=growths)
def test_a_rate_is_the_exact_one_rounded(growth):
    exact = Decimal(growth.gain * YEAR) / Decimal(growth.base * growth.seconds) if growth.gain else Decimal(0)
    assert abs(Decimal(rate_text(growth)) - exact) <= Decimal("0.0000005") + abs(exact) * Decimal("1e-20")


@given(growth=growths, principal=st.integers(0, 2**127 - 1), days=st.integers(1, 3650))
def test_what_is_projected_is_the_exact_amount_rounded_down(growth, principal, days):
    amount = projected(principal, growth, days)
    exact = principal * growth.gain * days * 86_400
    unit = growth.base * growth.seconds
    assert amount * unit <= exact < (amount + 1) * unit


@given(principal=st.integers(0, 2**127 - 1), interest=st.integers(0, 2**127 - 1))
def test_accrued_interest_is_in_proportion_and_never_too_much(principal, interest):
    earned = accrued(principal, interest, REFERENCE)
    assert earned * REFERENCE <= principal * interest < (earned + 1) * REFERENCE
    assert accrued(principal, None, REFERENCE) is None


def test_growth_is_that_of_the_value_of_shares_where_it_is_told():
    first, last = sample(1, 50, 1_000), sample(11, 40, 1_080)
    assert growth_of(first, last) == Growth(80, 1_000, 50), "the interest is diluted by deposits"
    assert growth_of(sample(1, 50), last) == Growth(-10, REFERENCE + 50, 50)
    assert growth_of(sample(1, None, 1_000), sample(2, 5)) is None
    assert growth_of(sample(1, 5), sample(1, 6)) is None
    assert growth_of(sample(1, 5), sample(2, 6, closed_at=5)) is None, "no time has passed"


# --- samples ----------------------------------------------------------------------------------------


def test_samples_are_kept_and_read_newest_first(storage):
    made = [sample(n, n, 10 * n, token=COIN) for n in range(1, 6)] + [sample(9, 2**120, None, vault=OTHER_VAULT)]
    storage.write(lambda database: write_samples(database, made))
    storage.write(lambda database: write_samples(database, [sample(1, 99), *made[:2]]))
    assert storage.read(lambda database: newest_samples(database, VAULT, 3)) == [made[4], made[3], made[2]]
    assert storage.read(lambda database: newest_samples(database, OTHER_VAULT, 3)) == [made[5]]


def test_samples_that_are_too_old_go(storage):
    now = KEPT_SECONDS + 1_000
    made = [sample(1, 1, closed_at=999), sample(2, 2, closed_at=1_000), sample(3, 3, closed_at=now)]
    storage.write(lambda database: write_samples(database, made))
    assert storage.read(lambda database: newest_samples(database, VAULT, 9)) == made[:0:-1]


def test_the_rate_is_measured_over_a_week_at_most(storage):
    made = [sample(1, None, 500), sample(100, None, 1_000), sample(100 + RATE_LEDGERS, None, 1_010)]
    storage.write(lambda database: write_samples(database, made[:1]))
    assert storage.read(lambda database: growth_in(database, VAULT)) is None
    storage.write(lambda database: write_samples(database, made))
    assert storage.read(lambda database: growth_in(database, VAULT)) == Growth(10, 1_000, 5 * RATE_LEDGERS)


def test_without_samples_there_is_no_rate(storage):
    assert storage.read(lambda database: growth_in(database, VAULT)) is None


def test_amounts_are_kept_as_text(storage):
    storage.write(lambda database: write_samples(database, [sample(1, 2**126, 2**126 + 1)]))
    rows = storage.read(
        lambda database: list(
            NebulaYieldSample.select(NebulaYieldSample.interest, NebulaYieldSample.value).tuples().execute(database)
        )
    )
    assert rows == [(str(2**126), str(2**126 + 1))]


# --- asking a vault ---------------------------------------------------------------------------------


@pytest.fixture
def chain():
    return StreamChain()


async def test_a_vault_is_asked_for_both_by_simulation(chain):
    chain.vaults[VAULT] = MadeVault(12, REFERENCE + 34)
    assert await read_vault(chain, VAULT) == Reading(VAULT, 100, 12, REFERENCE + 34)
    assert sorted(chain.calls) == [(VAULT, "get_accrued_interest"), (VAULT, "get_value")]


async def test_a_vault_may_offer_one_of_them(chain):
    chain.vaults[VAULT] = MadeVault(None, 34)
    assert await read_vault(chain, VAULT) == Reading(VAULT, 100, None, 34)
    chain.vaults[VAULT] = MadeVault(12, None)
    assert await read_vault(chain, VAULT) == Reading(VAULT, 100, 12, None)
    chain.vaults[VAULT] = MadeVault(None, None)
    with pytest.raises(VaultError, match="neither"):
        await read_vault(chain, VAULT)


@pytest.mark.parametrize("wrong", [scval.to_uint64(5), scval.to_void(), scval.to_int128(-1)])
async def test_what_is_no_amount_is_not_taken_for_one(chain, wrong):
    chain.simulation = lambda _envelope: Simulation(100, data=b"d", result=wrong.to_xdr_bytes())
    with pytest.raises(VaultError):
        await read_vault(chain, VAULT)


async def test_both_answers_are_of_one_ledger_or_the_value_is_left_out(chain):
    chain.vaults[VAULT] = MadeVault(12, 34)
    answer, moves = chain.simulation, []

    def moving(envelope):
        moves.append(envelope)
        chain.ledger += len(moves) <= 2
        return answer(envelope)

    chain.simulation = moving
    assert await read_vault(chain, VAULT) == Reading(VAULT, 102, 12, 34)
    moves.clear()

    def always(envelope):
        chain.ledger += 1
        return answer(envelope)

    chain.simulation = always
    assert (await read_vault(chain, VAULT)).value is None


async def test_a_silent_chain_is_no_vault_without_interest(chain):
    chain.down = True
    with pytest.raises(SourceUnavailableError):
        await read_vault(chain, VAULT)


def test_a_function_has_a_name_that_a_contract_can_have():
    with pytest.raises(ValueError, match="no function's name"):
        read_call_envelope(VAULT, "x" * 33)


# --- over HTTP --------------------------------------------------------------------------------------

SECTION = {"contracts": {ONE: "v1", TWO: "v2"}, "facts_seconds": 1}


@pytest.fixture
def ledgers(storage) -> Ledgers:
    """Three V2 streams: one that earns, one that does not, one that was cancelled; and one of V1."""
    made = Ledgers()
    for number in range(4):
        made.create(TWO, number, amount=1_000_000)
    made.claim(TWO, 0, 400_000, 400_000)
    made.cancel(TWO, 2, 1, 2)
    made.create_v1(ONE, 0)
    store(storage, made.events, START, made.ledger)
    project(storage)
    return made


async def told(chain, storage, ledgers) -> None:
    """Read what the chain says of the streams."""
    chain.ledger = ledgers.ledger
    for number, packed, withdrawn in ((0, ENABLED, 400_000), (2, ENABLED | 1, 1)):
        amounts = {"total_amount": scval.to_int128(1_000_000), "withdrawn_amount": scval.to_int128(withdrawn)}
        chain.put_v2(TWO, number, packed, vault_address=address(VAULT), **amounts)
    chain.put_v2(TWO, 1)
    chain.put_v1(ONE, 0)
    rounds = Rounds(storage, chain)
    await rounds.round()


@pytest.fixture
def ask(served, database_url, client):
    """Return a coroutine that asks the API, with a chain client or without."""
    kept = []

    async def get(path: str, chain=None, status: int = 200) -> dict:
        if not kept:
            kept.append(await served(database_url, plugins={"nebula": SECTION}))
        kept[0].service.chain = chain
        await kept[0].service.close_parts()
        async with client.get(f"{kept[0].url}/api/v1/yield/{path}") as response:
            body = await response.json()
            assert response.status == status, body
            return body

    return get


async def test_the_yield_of_a_stream_is_what_its_vault_says_now(storage, ledgers, chain, ask):
    await told(chain, storage, ledgers)
    chain.vaults[VAULT] = MadeVault(REFERENCE // 50, 2 * REFERENCE)
    body = await ask(f"{TWO}-0", chain)
    assert body == {
        "id": f"{TWO}-0",
        "streamId": "0",
        "accruedInterest": "12000",
        "yieldRate": None,
        "lastAccrualAt": format_close_time(made_close_time(ledgers.ledger)),
        "asOfLedger": ledgers.ledger,
        "principal": "600000",
        "vault": VAULT,
        "vaultLedger": ledgers.ledger,
    }


async def test_where_the_chain_is_silent_the_newest_sample_tells(storage, ledgers, chain, ask):
    await told(chain, storage, ledgers)
    made = [
        sample(90, 5, REFERENCE, closed_at=1_000),
        sample(95, REFERENCE // 100, REFERENCE + 40_000, closed_at=1_001),
    ]
    storage.write(lambda database: write_samples(database, made))
    down = StreamChain()
    down.down = True
    for client in (None, down):
        body = await ask(f"{TWO}-0?samples=5", client)
        assert (body["accruedInterest"], body["vaultLedger"]) == ("6000", 95)
        assert body["lastAccrualAt"] == "1970-01-01T00:16:41Z"
        assert body["yieldRate"] == "1.26144"
        assert [one["ledger"] for one in body["samples"]] == [95, 90]
        assert "samples" not in await ask(f"{TWO}-0?samples=0", client), "nobody asked"
        assert body["samples"][1] == {
            "ledger": 90,
            "closedAt": "1970-01-01T00:16:40Z",
            "principal": str(REFERENCE),
            "interest": "5",
            "value": str(REFERENCE),
        }


async def test_the_history_of_a_stream_has_its_yield_and_that_of_one_without_a_vault_has_none(
    storage, ledgers, chain, served, database_url, client
):
    await told(chain, storage, ledgers)
    storage.write(lambda database: write_samples(database, [sample(95, REFERENCE // 100, closed_at=1_001)]))
    api = await served(database_url, plugins={"nebula": SECTION})

    async def get(path: str) -> dict:
        async with client.get(f"{api.url}/api/v1/{path}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    shown = (await get(f"audit-log/{TWO}-0"))["yield"]
    assert shown == await get(f"yield/{TWO}-0")
    assert (shown["id"], shown["accruedInterest"], shown["vaultLedger"]) == (f"{TWO}-0", "6000", 95)
    assert "yield" not in await get(f"audit-log/{TWO}-1")


async def test_a_yield_of_which_nothing_is_known_is_null_and_not_zero(storage, ledgers, chain, ask):
    await told(chain, storage, ledgers)
    body = await ask(f"{TWO}-0")
    assert (body["accruedInterest"], body["yieldRate"], body["lastAccrualAt"]) == (None, None, None)
    assert await ask(f"{TWO}-0/projection") == {"projected": None, "rate": None, "days": 30}


async def test_a_projection_is_made_at_the_measured_rate(storage, ledgers, chain, ask):
    await told(chain, storage, ledgers)
    made = [sample(90, 0, 1_000, closed_at=0), sample(95, 0, 1_080, closed_at=YEAR)]
    storage.write(lambda database: write_samples(database, made))
    assert await ask(f"{TWO}-0/projection?days=365") == {"projected": "48000", "rate": "0.08", "days": 365}
    assert (await ask(f"{TWO}-0/projection"))["projected"] == str(600_000 * 8 * 30 // 36_500)
    assert (await ask(f"{TWO}-2/projection"))["projected"] == "0", "nothing is left in a cancelled stream"


@pytest.mark.parametrize("stream", [f"{TWO}-1", f"{ONE}-0"])
@pytest.mark.parametrize("path", ["", "/projection"])
async def test_a_stream_without_a_vault_says_so(storage, ledgers, chain, ask, stream, path):
    await told(chain, storage, ledgers)
    rounds = Rounds(storage, chain, families={ONE: V1})
    await rounds.round()
    body = await ask(f"{stream}{path}", status=404)
    assert body["code"] == "stream-has-no-yield"
    assert "yieldEnabled" in body["detail"]


async def test_a_stream_that_was_not_read_yet_is_read_now(storage, ledgers, chain, ask):
    chain.ledger = ledgers.ledger
    chain.put_v2(TWO, 0, ENABLED, vault_address=address(VAULT))
    chain.vaults[VAULT] = MadeVault(REFERENCE // 10, None)
    assert (await ask(f"{TWO}-0", chain))["accruedInterest"] == "60000"
    assert (await ask(f"{TWO}-1", chain, status=404))["code"] == "stream-has-no-yield", "it is not on the chain"


async def test_a_stream_of_which_nobody_can_tell_is_not_said_to_have_none(storage, ledgers, ask):
    body = await ask(f"{TWO}-0", status=503)
    assert body["code"] == "yield-unknown"


async def test_a_stream_that_is_not_indexed_and_a_wrong_id_are_told_apart(storage, ledgers, ask):
    assert (await ask(f"{TWO}-99", status=404))["code"] == "stream-not-found"
    assert (await ask("nonsense", status=400))["code"] == "invalid-parameter"
    assert (await ask("5", status=400))["errors"][0]["field"] == "path.streamId", "two contracts are served"
    assert (await ask(f"{TWO}-0/projection?days=0", status=400))["errors"][0]["field"] == "query.days"
    assert (await ask(f"{TWO}-0?samples=501", status=400))["errors"][0]["field"] == "query.samples"


async def test_many_askers_ask_the_vault_once(storage, ledgers, chain, served, database_url, client):
    import asyncio

    await told(chain, storage, ledgers)
    chain.vaults[VAULT] = MadeVault(1, 1)
    chain.calls.clear()
    api = await served(database_url, plugins={"nebula": SECTION})
    api.service.chain = chain

    async def get() -> int:
        async with client.get(f"{api.url}/api/v1/yield/{TWO}-0") as response:
            return response.status

    assert set(await asyncio.gather(*(get() for _ in range(20)))) == {200}
    assert len(chain.calls) == 2


async def test_lists_of_streams_show_what_samples_tell(storage, ledgers, chain):
    from stellarstream_nebula.resources.streams import read_stream
    from stellarstream_nebula.settings import NebulaSettings

    await told(chain, storage, ledgers)
    storage.write(lambda database: write_samples(database, [sample(90, REFERENCE // 100)]))

    class Settings:
        def section(self, _model):
            return NebulaSettings(**SECTION)

    for number, interest in ((0, "6000"), (1, None), (2, "0")):
        shown = storage.read(lambda database, n=number: read_stream(Settings(), stream_key(TWO, n), None, database))
        assert shown.accrued_interest == interest
