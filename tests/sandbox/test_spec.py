"""Contracts state their interface as real ones do, and take what they state."""

from __future__ import annotations

from hashlib import sha256

import pytest
from stellar_sdk import xdr
from xdrlib3 import Unpacker

from stellarstream_core.xdr.scval import decode_scval
from stellarstream_sandbox import contract_interfaces as interfaces
from stellarstream_sandbox import values as v
from stellarstream_sandbox.contract_spec import (
    ADDRESS,
    BOOL,
    I128,
    SECTION,
    SYMBOL,
    U32,
    U64,
    BadValue,
    Enumeration,
    Struct,
    Union,
    bytes_n,
    option,
    tuple_of,
    vec,
)
from stellarstream_sandbox.economy.state_entries import contract_code
from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.identity import Directory
from stellarstream_sandbox.scval import encode

CURVE = Enumeration("CurveType", {"Linear": 0, "Exponential": 1}).type
STATUS = Union("StreamStatus", ("Active", "Completed")).type
ALL = {name: spec for name, spec in vars(interfaces).items() if isinstance(spec, interfaces.ContractSpec)}


def sections(wasm: bytes) -> dict[str, bytes]:
    """Return a module's custom sections; written against the wasm specification, not against the writer."""
    assert wasm[:8] == b"\0asm\x01\0\0\0"
    found, at = {}, 8

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = wasm[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(wasm):
        assert wasm[at] == 0  # nothing but custom sections
        at += 1
        size = number()
        end = at + size
        length = number()
        name = wasm[at : at + length].decode()
        found[name] = wasm[at + length : end]
        at = end
    assert at == len(wasm)
    return found


def entries(raw: bytes) -> list[xdr.SCSpecEntry]:
    unpacker = Unpacker(raw)
    found = []
    while unpacker.get_position() < len(raw):
        found.append(xdr.SCSpecEntry.unpack(unpacker))
    return found


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_interface_is_read_back_by_stellar_sdk(name):
    spec = ALL[name]
    found = entries(sections(spec.wasm())[SECTION])
    assert b"".join(entry.to_xdr_bytes() for entry in found) == spec.xdr
    functions = {
        entry.function_v0.name.sc_symbol.decode(): [one.name.decode() for one in entry.function_v0.inputs]
        for entry in found
        if entry.function_v0 is not None
    }
    assert functions == {name: list(one.inputs) for name, one in spec.functions.items()}
    defined = {
        (entry.udt_struct_v0 or entry.udt_enum_v0 or entry.udt_union_v0 or entry.udt_error_enum_v0).name
        for entry in found
        if entry.function_v0 is None
    }
    assert used_types(found) <= defined


def used_types(found: list[xdr.SCSpecEntry]) -> set[bytes]:
    """Return the names of all types that are referred to."""
    names: set[bytes] = set()

    def visit(kind: xdr.SCSpecTypeDef) -> None:
        if kind.udt is not None:
            names.add(kind.udt.name)
        for inner in (kind.option, kind.vec):
            if inner is not None:
                visit(getattr(inner, "value_type", None) or inner.element_type)
        if kind.result is not None:
            visit(kind.result.ok_type)
            visit(kind.result.error_type)

    for entry in found:
        if entry.function_v0 is not None:
            for one in entry.function_v0.inputs:
                visit(one.type)
            for one in entry.function_v0.outputs:
                visit(one)
        if entry.udt_struct_v0 is not None:
            for one in entry.udt_struct_v0.fields:
                visit(one.type)
    return names


def test_the_errors_of_both_generations_have_their_published_numbers():
    numbers = {
        name: {
            case.name.decode(): case.value.uint32
            for entry in entries(spec.xdr)
            if entry.udt_error_enum_v0 is not None
            for case in entry.udt_error_enum_v0.cases
        }
        for name, spec in (("v1", interfaces.STREAMS_V1), ("v2", interfaces.STREAMS_V2))
    }
    assert numbers["v1"]["StreamNotFound"] == 4
    assert numbers["v1"]["StreamPaused"] == 14
    assert numbers["v1"]["StreamNotPaused"] == 27
    assert numbers["v2"]["StreamNotFound"] == 13
    assert numbers["v2"]["NothingToWithdraw"] == 17
    assert numbers["v2"]["NotBeneficiary"] == 24
    assert numbers["v2"]["ContractPaused"] == 11


def test_the_two_generations_are_told_apart_by_their_functions():
    v1, v2 = set(interfaces.STREAMS_V1.functions), set(interfaces.STREAMS_V2.functions)
    assert {"pause_stream", "top_up_stream"} <= v1 - v2
    assert {"transfer_beneficiary", "create_batch_streams", "top_up"} <= v2 - v1


def test_code_stands_under_its_hash_and_a_release_has_another():
    world = World(Directory("spec", 1))
    release = world.install(interfaces.STREAMS_V1, b"\1" * 32)
    assert release != world.v1.wasm
    for wasm_hash in (release, world.v1.wasm):
        code = contract_code(world, wasm_hash)
        assert sha256(code).digest() == wasm_hash
        assert sections(code)[SECTION] == interfaces.STREAMS_V1.xdr


CONTRACT = "CBII7WO64EMQWS5ENRNFMHRFORYHTJQRZ6RI3RNXDYDPA5H5RVYYEK6Z"


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (BOOL, v.Bool(True), True),
        (U32, v.U32(2**32 - 1), 2**32 - 1),
        (U64, v.U64(7), 7),
        (I128, v.I128(-(2**127)), -(2**127)),
        (SYMBOL, v.Symbol("a"), "a"),
        (ADDRESS, v.Address(CONTRACT), CONTRACT),
        (option(U32), v.VOID, None),
        (option(U32), v.U32(1), 1),
        (vec(U64), v.vec(v.U64(1), v.U64(2)), (1, 2)),
        (tuple_of(U64, BOOL), v.vec(v.U64(1), v.Bool(False)), (1, False)),
        (bytes_n(2), v.Bytes(b"ab"), b"ab"),
        (CURVE, v.U32(1), 1),
        (STATUS, v.vec(v.Symbol("Active")), "Active"),
    ],
)
def test_types_read_their_own_values(kind, value, wanted):
    assert kind.read(decode_scval(encode(value))) == wanted


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (BOOL, v.U32(1)),
        (U32, v.U64(1)),
        (U64, v.U32(1)),
        (U64, v.I128(1)),
        (I128, v.U128(1)),
        (SYMBOL, v.Text(b"a")),
        (ADDRESS, v.Text(CONTRACT.encode())),
        (option(U32), v.U64(1)),
        (vec(U64), v.vec(v.U32(1))),
        (vec(U64), v.U64(1)),
        (tuple_of(U64), v.vec(v.U64(1), v.U64(2))),
        (bytes_n(3), v.Bytes(b"ab")),
        (CURVE, v.U32(2)),
        (STATUS, v.vec(v.Symbol("Gone"))),
        (STATUS, v.Symbol("Active")),
    ],
)
def test_types_refuse_all_others(kind, value):
    with pytest.raises(BadValue):
        kind.read(decode_scval(encode(value)))


def test_a_struct_takes_exactly_its_keys_in_their_order():
    pair = Struct("Pair", {"a": U32, "b": U32})
    a, b, c = ((v.Symbol(name), v.U32(1)) for name in "abc")
    assert pair.type.read(decode_scval(encode(v.Map((a, b))))) == {"a": 1, "b": 1}
    for entry in ((b, a), (a,), (a, b, c), (a, c), (a, a)):
        with pytest.raises(BadValue):
            pair.type.read(decode_scval(encode(v.Map(entry))))
