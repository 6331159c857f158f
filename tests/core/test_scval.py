"""Decoding is lossless: stellar_sdk's bytes give the right values, and the values give the bytes back."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import scval as sdk_scval

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import (
    Arm,
    ContractInstance,
    ErrorCode,
    ErrorType,
    Executable,
    ExecutableType,
    ScError,
    ScValue,
    decode_native,
    decode_scval,
    decode_topics,
    encode_scval,
)
from tests.core import scval_oracle as oracle

CONTRACT = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"


@pytest.mark.parametrize("arm", Arm, ids=lambda arm: arm.name)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_arm_decodes_as_stellar_sdk_made_it_and_encodes_to_the_same_bytes(arm, data):
    made = data.draw(oracle.scval_of[arm])
    raw = made.to_xdr_bytes()
    value = decode_scval(raw)
    assert value == oracle.typed(made)
    assert type(value.arm) is Arm
    assert value.arm is arm
    assert encode_scval(value) == raw
    assert decode_native(raw) == oracle.native(made)


@settings(max_examples=200, deadline=None)
@given(made=oracle.any_scval)
def test_nested_values_decode_as_stellar_sdk_made_them_and_encode_to_the_same_bytes(made):
    raw = made.to_xdr_bytes()
    assert decode_scval(raw) == oracle.typed(made)
    assert encode_scval(decode_scval(raw)) == raw
    assert decode_native(raw) == oracle.native(made)
    hash(decode_scval(raw))


@settings(max_examples=200, deadline=None)
@given(one=oracle.any_scval, other=oracle.any_scval)
def test_values_are_equal_exactly_where_their_bytes_are(one, other):
    a, b = one.to_xdr_bytes(), other.to_xdr_bytes()
    assert (decode_scval(a) == decode_scval(b)) == (a == b)


@pytest.mark.parametrize("arm", oracle.RANGES, ids=lambda arm: arm.name)
def test_integer_extremes_survive(arm):
    for number in (*oracle.RANGES[arm], 0):
        made = oracle.integer(arm, number)
        assert decode_scval(made.to_xdr_bytes()) == (arm, number)
        assert encode_scval(ScValue(arm, number)) == made.to_xdr_bytes()


@pytest.mark.parametrize("arm", oracle.RANGES, ids=lambda arm: arm.name)
def test_integers_out_of_range_are_not_encoded(arm):
    low, high = oracle.RANGES[arm]
    for number in (low - 1, high + 1, True, 1.0, "1", None):
        with pytest.raises(XdrError):
            encode_scval(ScValue(arm, number))


def test_natives_agree_with_what_stellar_sdk_calls_native():
    made = sdk_scval.to_vec(
        [
            sdk_scval.to_bool(True),
            sdk_scval.to_void(),
            sdk_scval.to_uint32(7),
            sdk_scval.to_int64(-7),
            sdk_scval.to_timepoint(1_700_000_000),
            sdk_scval.to_duration(60),
            sdk_scval.to_uint128(2**128 - 1),
            sdk_scval.to_int256(-(2**255)),
            sdk_scval.to_bytes(b"\x00\xff"),
            sdk_scval.to_string("Zürich"),
            sdk_scval.to_string(b"\xff"),
            sdk_scval.to_symbol("transfer"),
            sdk_scval.to_vec([]),
        ]
    )
    assert decode_native(made.to_xdr_bytes()) == sdk_scval.to_native(made)


def test_natives_of_maps_keep_every_pair_whatever_the_keys():
    pairs = [
        (oracle.integer(Arm.U32, 1), oracle.symbol(b"u32")),
        (oracle.boolean(True), oracle.symbol(b"bool")),
        (oracle.integer(Arm.U64, 1), oracle.symbol(b"u64")),
        (oracle.vec([oracle.void()]), oracle.symbol(b"vec")),
        (oracle.symbol(b"a"), oracle.symbol(b"first")),
        (oracle.symbol(b"a"), oracle.symbol(b"second")),
    ]
    raw = oracle.mapping(pairs).to_xdr_bytes()
    assert decode_native(raw) == [
        (1, "u32"),
        (True, "bool"),
        (1, "u64"),
        ([None], "vec"),
        ("a", "first"),
        ("a", "second"),
    ]
    typed_keys = [key for key, _ in decode_scval(raw).value]
    assert len(set(typed_keys)) == 5  # only the repeated symbol is the same key twice


def test_natives_keep_apart_what_python_has_no_word_for():
    void, vec, mapping, key = (
        decode_native(made.to_xdr_bytes())
        for made in (oracle.void(), oracle.vec(None), oracle.mapping(None), oracle.ledger_key_contract_instance())
    )
    assert void is None
    assert vec == ScValue(Arm.VEC, None)
    assert mapping == ScValue(Arm.MAP, None)
    assert key == ScValue(Arm.LEDGER_KEY_CONTRACT_INSTANCE, None)
    assert decode_native(oracle.error(0, 7).to_xdr_bytes()) == ScError(ErrorType.CONTRACT, 7)


def test_text_may_be_given_to_the_encoder_as_bytes():
    for arm in (Arm.STRING, Arm.SYMBOL, Arm.EXECUTABLE_TAG):
        assert encode_scval(ScValue(arm, b"a")) == encode_scval(ScValue(arm, "a"))


def test_topics_decode_in_their_order():
    topics = [ScValue(Arm.SYMBOL, "transfer"), ScValue(Arm.ADDRESS, CONTRACT), ScValue(Arm.U32, 1)]
    assert decode_topics(map(encode_scval, topics)) == tuple(topics)
    assert decode_topics(()) == ()


WASM = Executable(ExecutableType.WASM, wasm_hash=bytes(32))


@pytest.mark.parametrize(
    "value",
    [
        ScValue(Arm.BOOL, 1),
        ScValue(Arm.BOOL, None),
        ScValue(Arm.VOID, False),
        ScValue(Arm.ERROR, ("contract", 1)),
        ScValue(Arm.ERROR, ScError(ErrorType.CONTRACT, 2**32)),
        ScValue(Arm.ERROR, ScError(ErrorType.STORAGE, 10)),
        ScValue(Arm.ERROR, ScError(ErrorType.STORAGE, [])),
        ScValue(Arm.ERROR, ScError(1, ErrorCode.ARITH_DOMAIN)),
        ScValue(Arm.BYTES, "00"),
        ScValue(Arm.STRING, None),
        ScValue(Arm.STRING, "\ud800"),
        ScValue(Arm.SYMBOL, "s" * 33),
        ScValue(Arm.ADDRESS, "GABC"),
        ScValue(Arm.ADDRESS, None),
        ScValue(Arm.VEC, "abc"),
        ScValue(Arm.VEC, (1,)),
        ScValue(Arm.VEC, ((Arm.U32, 1),)),
        ScValue(Arm.MAP, ((ScValue(Arm.U32, 1),),)),
        ScValue(Arm.MAP, (1,)),
        ScValue(Arm.CONTRACT_INSTANCE, None),
        ScValue(Arm.CONTRACT_INSTANCE, ContractInstance(Executable(ExecutableType.WASM), None)),
        ScValue(Arm.CONTRACT_INSTANCE, ContractInstance(Executable(ExecutableType.WASM, b"short"), None)),
        ScValue(Arm.CONTRACT_INSTANCE, ContractInstance(Executable(ExecutableType.EXTERNAL_REF), None)),
        ScValue(Arm.CONTRACT_INSTANCE, ContractInstance(WASM._replace(tag="t"), None)),
        ScValue(Arm.CONTRACT_INSTANCE, ContractInstance(WASM, 5)),
        ScValue(Arm.LEDGER_KEY_CONTRACT_INSTANCE, 0),
        ScValue(3, 1),
        (Arm.U32, 1),
        None,
    ],
    ids=repr,
)
def test_values_that_do_not_fit_their_arm_are_refused_by_the_encoder(value):
    with pytest.raises(XdrError):
        encode_scval(value)


def test_constants_are_those_of_the_schema():
    from stellar_sdk import xdr

    for ours, theirs, prefix in (
        (Arm, xdr.SCValType, "SCV_"),
        (ErrorType, xdr.SCErrorType, "SCE_"),
        (ErrorCode, xdr.SCErrorCode, "SCEC_"),
        (ExecutableType, xdr.ContractExecutableType, "CONTRACT_EXECUTABLE_"),
    ):
        assert {prefix + member.name: member.value for member in ours} == {m.name: m.value for m in theirs}


def test_decoding_does_not_use_the_interpreters_stack():
    deepest = ScValue(Arm.VOID, None)
    for _ in range(240):
        deepest = ScValue(Arm.VEC, (deepest,))
    limit = sys.getrecursionlimit()
    frames = len(_frames())
    try:
        sys.setrecursionlimit(frames + 40)
        raw = encode_scval(deepest)
        value = decode_scval(raw)
        again = encode_scval(value)
    finally:
        sys.setrecursionlimit(limit)
    assert again == raw


def _frames():
    frame, found = sys._getframe(), []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found
