"""A contract's spec out of its wasm: whole, bounded, and never guessed; the code is a stranger's."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import xdr

from stellarstream_core.errors import SourceMisbehavedError, SourceUnavailableError, XdrError
from stellarstream_core.testing.chain import ScriptedChain
from stellarstream_core.testing.scripted import made_contract
from stellarstream_core.xdr.contract_entry import (
    Durability,
    code_key,
    contract_data_key,
    instance_key,
    read_code,
    read_contract_data,
)
from stellarstream_nebula.contract_specs import INSTANCE_SECONDS, ContractSpecs
from stellarstream_nebula.spec import ASSET_SPEC, ContractSpec, ContractSpecError, parse_spec, read_spec
from stellarstream_nebula.wasm import LARGEST_WASM, WasmError, custom_sections
from tests.nebula import spec_kit as kit

CONTRACT, OTHER = made_contract(61), made_contract(62)


def test_a_spec_tells_functions_structs_and_errors():
    spec = read_spec(kit.V1_WASM)
    assert set(spec.functions) == {"create_stream", "withdraw", "pause_stream", "top_up_stream"}
    create = spec.functions["create_stream"]
    assert create.input_names == tuple(kit.V1_INPUTS)
    assert create.input_types == tuple(kit.V1_INPUTS.values())
    assert (create.outputs, spec.functions["pause_stream"].outputs) == (("u64",), ())
    assert spec.errors == {"Error": {4: "StreamNotFound", 14: "StreamPaused"}}
    assert read_spec(kit.V2_WASM).structs == {"StreamArgs": kit.V2_FIELDS}


def test_every_type_has_the_name_it_has_in_rust():
    address, number = kit.kind("Address"), kit.kind("u32")
    kinds = xdr.SCSpecType
    made = {
        "Option<Address>": kit.option(address),
        "Vec<Option<u32>>": xdr.SCSpecTypeDef(kinds.SC_SPEC_TYPE_VEC, vec=xdr.SCSpecTypeVec(kit.option(number))),
        "Map<Address, u32>": xdr.SCSpecTypeDef(kinds.SC_SPEC_TYPE_MAP, map=xdr.SCSpecTypeMap(address, number)),
        "Result<u32, Error>": xdr.SCSpecTypeDef(
            kinds.SC_SPEC_TYPE_RESULT, result=xdr.SCSpecTypeResult(number, xdr.SCSpecTypeDef(kinds.SC_SPEC_TYPE_ERROR))
        ),
        "(Address, u32)": xdr.SCSpecTypeDef(kinds.SC_SPEC_TYPE_TUPLE, tuple=xdr.SCSpecTypeTuple([address, number])),
        "BytesN<32>": xdr.SCSpecTypeDef(kinds.SC_SPEC_TYPE_BYTES_N, bytes_n=xdr.SCSpecTypeBytesN(xdr.Uint32(32))),
        "Own": kit.kind("Own"),
    }
    inputs = {f"a{number}": one for number, one in enumerate(made.values())}
    spec = read_spec(kit.wasm(kit.function("f", inputs)))
    assert spec.functions["f"].input_types == tuple(made)


def test_every_plain_type_of_the_protocol_is_known():
    compound = {"OPTION", "RESULT", "VEC", "MAP", "TUPLE", "BYTES_N", "UDT"}
    for one in xdr.SCSpecType:
        if one.name.removeprefix("SC_SPEC_TYPE_") in compound:
            continue
        spec = read_spec(kit.wasm(kit.function("f", {"a": xdr.SCSpecTypeDef(one)})))
        assert len(spec.functions["f"].inputs) == 1, one.name


def test_every_kind_of_entry_is_passed_and_what_follows_is_read():
    before = [kit.union("Choice"), kit.event("told"), kit.enum("Curve", {"A": 0}), kit.struct("S", ["x"])]
    spec = read_spec(kit.wasm(*before, kit.function("last", {})))
    assert (set(spec.functions), spec.structs) == ({"last"}, {"S": ("x",)})
    assert len(before) + 2 == len(xdr.SCSpecEntryKind), "a newer protocol has entries that this test does not make"


def test_an_error_has_the_name_that_the_contract_gives_it():
    spec = read_spec(kit.V2_WASM)
    assert (spec.error_name(13), spec.error_name(14)) == ("StreamNotFound", None)
    two = read_spec(kit.wasm(kit.errors("A", {"One": 1, "Same": 2}), kit.errors("B", {"Other": 1, "Same": 2})))
    assert (two.error_name(1), two.error_name(2)) == (None, "Same"), "of two meanings none is told"


def test_an_asset_contract_has_the_names_of_the_host():
    assert ASSET_SPEC.error_name(10) == "BalanceError"
    assert ASSET_SPEC.error_name(13) == "TrustlineMissingError"
    assert ASSET_SPEC.error_name(99) is None


def test_code_without_a_spec_has_an_empty_one():
    assert read_spec(b"\0asm\1\0\0\0" + kit.section(1, b"\1\x60\0\0")) == ContractSpec()


def test_a_spec_in_two_sections_is_one():
    more = kit.custom("contractspecv0", kit.function("g", {}).to_xdr_bytes())
    other = kit.custom("contractmetav0", b"anything")
    assert set(read_spec(kit.wasm(kit.function("f", {}), before=other, after=other + more)).functions) == {"f", "g"}


# --- hostile code -----------------------------------------------------------------------------------

HEAD = b"\0asm\1\0\0\0"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (b"", "not a wasm"),
        (b"\0asm\2\0\0\0", "not a wasm"),
        (b"MZ" + bytes(100), "not a wasm"),
        (HEAD + b"\x0e\0", "kind 14"),
        (HEAD + b"\0\5abc", "cut off"),
        (HEAD + b"\0\x80", "number of the wasm is cut off"),
        (HEAD + b"\0\xff\xff\xff\xff\xff\1", "32 bits"),
        (HEAD + b"\0\x80\x80\x80\x80\x10", "32 bits"),
        (HEAD + b"\0\xff\xff\xff\xff\x0f", "cut off"),
        (HEAD + b"\0\1\5", "beyond the section"),
        (HEAD + b"\0\3\x80\x80\x80", "number of the wasm is cut off"),
        (HEAD + b"\1\0" * 2_000, "more than 1000 sections"),
        (HEAD + bytes(LARGEST_WASM), "are read at the most"),
    ],
)
def test_code_that_is_no_wasm_is_a_clear_error(code, says):
    with pytest.raises(WasmError, match=says):
        list(custom_sections(code, "contractspecv0"))


def deep(levels: int) -> xdr.SCSpecTypeDef:
    made = kit.kind("u32")
    for _ in range(levels):
        made = kit.option(made)
    return made


FUNCTION = kit.function("f", {"a": "u32"}).to_xdr_bytes()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\0\0\0\6", "cut off"),
        (b"\0\0\0\6" + bytes(40), "kind 6"),
        (FUNCTION[:-4], "cut off"),
        (FUNCTION + b"\0\0", "cut off"),
        (b"\0\0\0\0\xff\xff\xff\xff", "most is 1024"),
        (b"\0\0\0\1" + bytes(12) + b"\xff\xff\xff\xff", "items"),
        (kit.struct("S", ["x"]).to_xdr_bytes()[:-4] + (77).to_bytes(4, "big"), "type of the kind 77"),
        (kit.function("f", {"a": deep(70)}).to_xdr_bytes(), "64 deep"),
        (b"\0\0\0\0" + b"\0\0\0\1" + b"xyyy", "padding"),
        (kit.enum("E", {"a": 1}).to_xdr_bytes() * 5_001, "5000 entries"),
    ],
)
def test_a_spec_that_cannot_be_right_is_a_clear_error(raw, says):
    with pytest.raises(ContractSpecError, match=says):
        parse_spec(raw)


def test_types_are_followed_as_deep_as_anybody_writes_them():
    spec = parse_spec(kit.function("f", {"a": deep(60)}).to_xdr_bytes())
    assert spec.functions["f"].input_types[0].count("Option") == 60


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_a_spec_or_a_clear_error(raw):
    for one in (raw, FUNCTION + raw, FUNCTION[: len(raw)] + raw):
        try:
            parse_spec(one)
        except ContractSpecError:
            continue


@given(code=st.binary(max_size=200))
def test_any_bytes_are_sections_or_a_clear_error(code):
    for one in (code, HEAD + code, kit.V1_WASM[: len(code) * 4] + code):
        try:
            list(custom_sections(one, "contractspecv0"))
        except WasmError:
            continue


# --- out of the chain -------------------------------------------------------------------------------


def chain_with(code: bytes = kit.V2_WASM, **how) -> ScriptedChain:
    made = ScriptedChain(ledger=77)
    kit.put(made, CONTRACT, code, **how)
    return made


@pytest.mark.parametrize("costs", [False, True])
async def test_a_contracts_spec_is_read_through_its_instance(costs):
    found = await ContractSpecs(chain_with(costs=costs)).of(CONTRACT)
    assert (found.ledger, found.spec.error_name(17)) == (77, "NothingToWithdraw")


async def test_a_contract_that_is_not_there_has_no_spec():
    assert await ContractSpecs(chain_with()).of(OTHER) is None


async def test_an_asset_contract_is_known_without_code():
    chain = ScriptedChain()
    chain.entries[instance_key(CONTRACT)] = kit.instance_data(CONTRACT, kit.ASSET)
    found = await ContractSpecs(chain).of(CONTRACT)
    assert found.spec is ASSET_SPEC
    assert chain.asked == {"ledger_entries": 1}


async def test_code_is_read_once_for_all_contracts_that_run_it():
    chain = chain_with()
    kit.put(chain, OTHER, kit.V2_WASM)
    specs = ContractSpecs(chain)
    await asyncio.gather(*(specs.of(CONTRACT) for _ in range(9)))
    assert chain.asked["ledger_entries"] == 2
    await specs.of(OTHER)
    await specs.of(OTHER)
    assert chain.asked["ledger_entries"] == 3, "its instance alone"


async def test_an_upgrade_is_noticed_after_a_while():
    clock = [0.0]
    chain = chain_with(kit.V1_WASM)
    specs = ContractSpecs(chain, now=lambda: clock[0])
    assert "pause_stream" in (await specs.of(CONTRACT)).spec.functions
    kit.put(chain, CONTRACT, kit.V2_WASM)
    assert "pause_stream" in (await specs.of(CONTRACT)).spec.functions
    clock[0] += INSTANCE_SECONDS
    assert "top_up" in (await specs.of(CONTRACT)).spec.functions


async def test_code_of_another_hash_is_not_believed():
    chain = ScriptedChain()
    kit.put(chain, CONTRACT, kit.V2_WASM)
    (key,) = (key for key in chain.entries if key != instance_key(CONTRACT))
    chain.entries[key] = kit.code_data(kit.V1_WASM, named=key[4:])
    with pytest.raises(SourceMisbehavedError, match="another hash"):
        await ContractSpecs(chain).of(CONTRACT)


async def test_another_contracts_instance_is_not_believed():
    chain = chain_with()
    chain.entries[instance_key(OTHER)] = chain.entries[instance_key(CONTRACT)]
    with pytest.raises(XdrError, match="not the instance"):
        await ContractSpecs(chain).of(OTHER)


async def test_code_that_is_gone_is_an_error_and_no_empty_spec():
    chain = chain_with()
    (key,) = (key for key in chain.entries if key != instance_key(CONTRACT))
    del chain.entries[key]
    with pytest.raises(ContractSpecError, match="not on the chain"):
        await ContractSpecs(chain).of(CONTRACT)


async def test_a_chain_that_is_down_is_an_error_and_is_asked_again():
    chain = chain_with()
    chain.down = True
    specs = ContractSpecs(chain)
    with pytest.raises(SourceUnavailableError):
        await specs.of(CONTRACT)
    chain.down = False
    assert (await specs.of(CONTRACT)).spec.functions


@pytest.mark.parametrize(
    "broken", [b"no wasm", HEAD + b"\0\5abc", kit.wasm() + kit.custom("contractspecv0", b"\0\0\0\7")]
)
async def test_an_errors_name_is_unknown_rather_than_an_error(broken):
    specs = ContractSpecs(chain_with(broken))
    assert await specs.error_name(CONTRACT, 13) is None
    assert await ContractSpecs(chain_with()).error_name(CONTRACT, 13) == "StreamNotFound"
    assert await ContractSpecs(chain_with()).error_name(OTHER, 13) is None
    down = chain_with()
    down.down = True
    assert await ContractSpecs(down).error_name(CONTRACT, 13) is None


# --- the entries ------------------------------------------------------------------------------------


def test_keys_are_those_that_stellar_sdk_makes():
    address = kit.Address(CONTRACT).to_xdr_sc_address()
    name = xdr.SCVal(xdr.SCValType.SCV_SYMBOL, sym=xdr.SCSymbol(b"Stream"))
    for durability in Durability:
        data = xdr.LedgerKeyContractData(address, name, xdr.ContractDataDurability(int(durability)))
        wanted = xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr_bytes()
        assert contract_data_key(CONTRACT, name.to_xdr_bytes(), durability) == wanted
    code = xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_CODE, contract_code=xdr.LedgerKeyContractCode(xdr.Hash(b"\7" * 32))
    )
    assert code_key(b"\7" * 32) == code.to_xdr_bytes()


@pytest.mark.parametrize("costs", [False, True])
def test_code_is_read_to_its_last_byte(costs):
    code = os.urandom(1_001)
    data = kit.code_data(code, costs=costs)
    named, read = read_code(data, 2_000)
    assert (len(named), read) == (32, code)
    for wrong in (
        data[:-4],
        data + bytes(4),
        data[:-1] + b"\1",
        b"\0\0\0\6" + data[4:],
        data[:4] + b"\0\0\0\2" + data[8:],
    ):
        with pytest.raises(XdrError):
            read_code(wrong, 2_000)
    with pytest.raises(XdrError, match="1000 are read at the most"):
        read_code(data, 1_000)


def test_contract_data_is_read_to_its_last_byte():
    value = xdr.SCVal(xdr.SCValType.SCV_U32, u32=xdr.Uint32(9))
    data = kit.contract_data(CONTRACT, value, value)
    entry = read_contract_data(data)
    assert (entry.contract, entry.key, entry.value) == (CONTRACT, value.to_xdr_bytes(), value.to_xdr_bytes())
    for size in range(0, len(data), 4):
        with pytest.raises(XdrError):
            read_contract_data(data[:size])
    with pytest.raises(XdrError):
        read_contract_data(data + bytes(4))
