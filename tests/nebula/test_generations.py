"""Which family a contract is of: the settings first, then its own word, then what is remembered; never a guess."""

from __future__ import annotations

import pytest
from loguru import logger

from stellarstream_core.testing.chain import ScriptedChain
from stellarstream_core.testing.scripted import made_contract
from stellarstream_nebula.generations import (
    SETTING,
    SPEC,
    Remembered,
    family_named,
    family_of,
    find_families,
    read_contracts,
)
from stellarstream_nebula.model import SPLITTER, SPLITTER_FACTORY, V1, V2
from stellarstream_nebula.spec import read_spec
from stellarstream_sandbox import contract_interfaces as interfaces
from tests.nebula import spec_kit as kit

A, B, C, D = (made_contract(number) for number in (71, 72, 73, 74))


@pytest.fixture
def told():
    """What is logged as a warning."""
    lines: list[str] = []
    number = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    yield lines
    logger.remove(number)


@pytest.fixture
def chain() -> ScriptedChain:
    made = ScriptedChain(ledger=500)
    for contract, code in ((A, kit.V1_WASM), (B, kit.V2_WASM), (C, kit.SPLITTER_WASM)):
        kit.put(made, contract, code)
    return made


@pytest.fixture
def settings_of(runtime_of, sqlite_url):
    def make(scope=(), **section):
        return runtime_of(sqlite_url, contracts=list(scope), plugins={"nebula": section}).settings

    return make


def stored(storage):
    return storage.read(read_contracts)


# --- the rule ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "family"),
    [(kit.V1_WASM, V1), (kit.V2_WASM, V2), (kit.SPLITTER_WASM, SPLITTER)],
    ids=["v1", "v2", "splitter"],
)
def test_each_generation_is_told_by_its_spec(code, family):
    assert family_of(read_spec(code)) == family


NEAR = {
    "nothing": kit.wasm(),
    "v2 without its struct": kit.wasm(
        kit.function("create_stream", {"args": "StreamArgs"}), kit.function("top_up", {})
    ),
    "v2 whose struct is another": kit.wasm(
        kit.struct("StreamArgs", ["sender"]),
        kit.function("create_stream", {"args": "StreamArgs"}),
        kit.function("top_up", {}),
    ),
    "v2 with nothing but creation": kit.wasm(
        kit.struct("StreamArgs", kit.V2_FIELDS), kit.function("create_stream", {"args": "StreamArgs"})
    ),
    "v1 of other parameters": kit.wasm(
        kit.function("create_stream", dict.fromkeys(kit.V1_INPUTS, "u64")), kit.function("pause_stream", {})
    ),
    "v1 with nothing but creation": kit.wasm(kit.function("create_stream", kit.V1_INPUTS)),
    "a factory": kit.wasm(kit.function("deploy", {"salt": "Val"})),
    "split_funds alone": kit.wasm(kit.function("split_funds", {})),
    "streams of another protocol": kit.wasm(
        kit.function("create_stream", {"payer": "Address", "payee": "Address"}), kit.function("withdraw", {})
    ),
}


@pytest.mark.parametrize("code", NEAR.values(), ids=NEAR.keys())
def test_what_only_looks_like_one_is_of_no_family(code):
    assert family_of(read_spec(code)) is None


@pytest.mark.parametrize(
    ("interface", "family"),
    [(interfaces.STREAMS_V1, V1), (interfaces.STREAMS_V2, V2), (interfaces.VAULT, None), (interfaces.TOKEN, None)],
    ids=["v1", "v2", "vault", "token"],
)
def test_the_sandbox_contracts_are_told_by_their_own_specs(interface, family):
    assert family_of(read_spec(interface.wasm())) == family


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("v1", V1),
        ("v2", V2),
        ("splitter-v3", SPLITTER),
        ("splitter-factory", SPLITTER_FACTORY),
        ("acme-1", "acme-1"),
        (V2, V2),
    ],
)
def test_a_setting_names_a_generation_or_a_family(text, family):
    assert family_named(text) == family


# --- finding them out -------------------------------------------------------------------------------


async def test_settings_name_some_and_the_others_are_asked(storage, settings_of, chain):
    settings = settings_of([A, B, C], contracts={D: "acme-1", A: "v1"})
    assert await find_families(settings, storage, chain) == {A: V1, B: V2, C: SPLITTER, D: "acme-1"}
    assert stored(storage) == {
        A: Remembered(V1, SETTING),
        B: Remembered(V2, SPEC, 500),
        C: Remembered(SPLITTER, SPEC, 500),
        D: Remembered("acme-1", SETTING),
    }


async def test_a_silent_chain_leaves_what_is_remembered(storage, settings_of, chain, told):
    settings = settings_of([A, B])
    await find_families(settings, storage, chain)
    chain.down = True
    assert await find_families(settings, storage, chain) == {A: V1, B: V2}
    assert await find_families(settings, storage, None) == {A: V1, B: V2}
    assert stored(storage)[A] == Remembered(V1, SPEC, 500)
    assert any("as before" in line for line in told)


async def test_without_a_chain_an_unknown_contract_is_named_with_what_to_set(storage, settings_of, told):
    assert await find_families(settings_of([A]), storage, None) == {}
    (line,) = told
    assert A in line
    assert "[plugins.nebula] contracts" in line
    assert '"v2"' in line


async def test_a_contract_of_no_generation_is_left_out_and_named(storage, settings_of, chain, told):
    kit.put(chain, D, NEAR["a factory"])
    assert await find_families(settings_of([B, D]), storage, chain) == {B: V2}
    assert [D in line and "no known generation" in line for line in told] == [True]


async def test_a_contract_whose_new_code_fits_no_generation_keeps_the_one_it_had(storage, settings_of, chain, told):
    settings = settings_of([A])
    await find_families(settings, storage, chain)
    chain.ledger = 900
    kit.put(chain, A, NEAR["v1 with nothing but creation"])
    assert await find_families(settings, storage, chain) == {A: V1}
    assert stored(storage)[A] == Remembered(V1, SPEC, 500)
    assert ["no known generation" in line and "as before" in line for line in told] == [True]


async def test_hostile_code_is_left_out_and_stops_nobody(storage, settings_of, chain, told):
    kit.put(chain, D, b"\0asm\1\0\0\0\0\xff\xff\xff\xff\x0f")
    assert await find_families(settings_of([B, D]), storage, chain) == {B: V2}
    assert [D in line for line in told] == [True]


async def test_the_setting_stands_against_the_contracts_own_word_and_that_is_told_once(
    storage, settings_of, chain, told
):
    settings = settings_of([A], contracts={A: "v2"})
    for _ in range(2):
        assert await find_families(settings, storage, chain) == {A: V2}
    (line,) = told
    assert A in line
    assert "by the settings" in line


async def test_a_contract_that_became_another_is_told_anew(storage, settings_of, chain):
    settings = settings_of([A])
    await find_families(settings, storage, chain)
    chain.ledger = 900
    kit.put(chain, A, kit.V2_WASM)
    assert await find_families(settings, storage, chain) == {A: V2}
    assert stored(storage)[A] == Remembered(V2, SPEC, 900)


async def test_a_contract_that_is_not_configured_any_more_is_forgotten(storage, settings_of, chain):
    await find_families(settings_of([A, B]), storage, chain)
    await find_families(settings_of([B]), storage, chain)
    assert set(stored(storage)) == {B}


async def test_nobody_is_asked_where_detection_is_off(storage, settings_of, chain):
    assert await find_families(settings_of([A, "*"], detect=False, contracts={B: "v2"}), storage, chain) == {B: V2}
    assert chain.asked == {}


async def test_everything_as_scope_is_not_a_contract_to_ask(storage, settings_of, chain):
    assert await find_families(settings_of(["*"]), storage, chain) == {}
    assert chain.asked == {}
