"""Bytes that are not exactly one ScVal are refused with a named error, in every view alike."""

import json
import time
import tracemalloc
from struct import pack

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stellar_sdk import xdr

from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.xdr.scval import (
    MAX_NESTING,
    Arm,
    ContractInstance,
    Executable,
    ExecutableType,
    ScValue,
    decode_native,
    decode_scval,
    encode_scval,
    scval_to_json,
)
from tests.core import scval_oracle as oracle

VIEWS = (decode_scval, decode_native, scval_to_json)
CONTRACT = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"


def words(*numbers):
    return b"".join(pack(">i", number) for number in numbers)


def refusal(raw):
    """Return the error class that every view refuses ``raw`` with, in the same words; None where all accept it."""
    found = set()
    for view in VIEWS:
        try:
            view(raw)
            found.add((None, None))
        except XdrError as error:
            found.add((type(error), str(error)))
    assert len(found) == 1, found
    return found.pop()[0]


def stellar_sdk_accepts(raw):
    """Tell whether stellar_sdk reads ``raw`` and writes the same bytes again (it ignores padding and flags)."""
    try:
        return xdr.SCVal.from_xdr_bytes(raw).to_xdr_bytes() == raw
    except Exception:
        return False


@pytest.mark.parametrize("arm", Arm, ids=lambda arm: arm.name)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_truncation_is_refused_as_one(arm, data):
    raw = data.draw(oracle.scval_of[arm]).to_xdr_bytes()
    for end in range(len(raw)):
        with pytest.raises(XdrError, match="truncated") as caught:
            decode_scval(raw[:end])
        assert caught.type is XdrError
        assert refusal(raw[:end]) is XdrError


@pytest.mark.parametrize("arm", Arm, ids=lambda arm: arm.name)
@settings(max_examples=8, deadline=None)
@given(data=st.data(), tail=st.binary(min_size=1, max_size=12))
def test_trailing_bytes_are_refused(arm, data, tail):
    raw = data.draw(oracle.scval_of[arm]).to_xdr_bytes()
    with pytest.raises(XdrError, match="more follow"):
        decode_scval(raw + tail)
    assert refusal(raw + tail) is XdrError


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_refused_by_name_or_are_another_value(data):
    raw = bytearray(data.draw(oracle.any_scval).to_xdr_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255) | st.sampled_from([0, 1, 16, 17, 19, 23, 127, 128]))
    changed = bytes(raw)
    accepted = refusal(changed) is None
    assert accepted == stellar_sdk_accepts(changed)
    if accepted:
        assert encode_scval(decode_scval(changed)) == changed


@settings(max_examples=400, deadline=None)
@given(raw=st.lists(st.integers(0, 24).map(words) | st.binary(min_size=4, max_size=4), max_size=12).map(b"".join))
@example(raw=b"")
@example(raw=words(16, 1, 2**31 - 1))
def test_random_bytes_are_refused_by_name_or_are_a_value(raw):
    accepted = refusal(raw) is None
    assert accepted == stellar_sdk_accepts(raw)
    if accepted:
        assert encode_scval(decode_scval(raw)) == raw


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=60))
def test_bytes_of_any_length_are_refused_by_name_or_are_a_value(raw):
    refusal(raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (words(0, 2), "bool"),
        (words(0, -1), "bool"),
        (words(0, 0x01000000), "bool"),
        (words(13, 1) + b"a\0\0\1", "padding"),
        (words(14, 2) + b"aa\1\0", "padding"),
        (words(15, 3) + b"aaa\xff", "padding"),
        (words(22, 1) + b"a\0\1\0", "padding"),
        (words(15, 33) + b"s" * 36, "33 bytes"),
        (words(15, -1), "4294967295 bytes"),
        (words(13, 5) + b"aaaa", "truncated"),
        (words(13, -1) + b"aaaa", "truncated"),
        (words(14, 2**31 - 1) + b"aaaa", "truncated"),
        (words(16, 1, -1), "truncated"),
        (words(16, 1, 3) + words(1, 1), "truncated"),
        (words(17, 1, -1), "truncated"),
        (words(17, 1, 1) + words(1), "truncated"),
        (words(16, 2, 0), "optional"),
        (words(17, -1, 0), "optional"),
        (words(19, 1, 2, 0), "optional"),
        (words(16, 0, 0), "more follow"),
        (words(1, 0), "more follow"),
        (words(5, 0), "truncated"),
        (b"", "truncated"),
        (b"\0\0\0", "truncated"),
    ],
)
def test_malformed_bytes_are_named(raw, message):
    with pytest.raises(XdrError, match=message) as caught:
        decode_scval(raw)
    assert caught.type is XdrError
    assert refusal(raw) is XdrError


@pytest.mark.parametrize(
    ("raw", "type_and_number"),
    [
        (words(23), "SCValType 23 at byte 0"),
        (words(-1), "SCValType -1 at byte 0"),
        (words(16, 1, 2, 1, 99), "SCValType 99 at byte 16"),
        (words(2, 10, 0), "SCErrorType 10 at byte 4"),
        (words(2, 1, 10), "SCErrorCode 10 at byte 8"),
        (words(18, 5) + bytes(32), "SCAddressType 5 at byte 4"),
        (words(18, 0, 1) + bytes(32), "PublicKeyType 1 at byte 8"),
        (words(18, 3, 1) + bytes(32), "ClaimableBalanceIDType 1 at byte 8"),
        (words(19, 3, 0), "ContractExecutableType 3 at byte 4"),
        (words(19, 2, 7), "SCAddressType 7 at byte 8"),
    ],
)
def test_an_arm_of_a_newer_protocol_is_named_with_its_number(raw, type_and_number):
    with pytest.raises(ProtocolUpgradeNeededError, match=type_and_number):
        decode_scval(raw)
    assert refusal(raw) is ProtocolUpgradeNeededError


@pytest.mark.parametrize(
    "raw",
    [
        words(13, -1) + b"a" * 100,
        words(16, 1, -1) + words(1) * 25,
        words(17, 1, 2**31 - 1) + words(1) * 25,
        words(19, 1, 1, -1) + words(1) * 25,
        words(16, 1, 1) * 30 + words(16, 1, -1),
    ],
)
def test_a_claimed_length_costs_neither_memory_nor_time(raw):
    refusal(raw)
    tracemalloc.start()
    started = time.perf_counter()
    try:
        refusal(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert time.perf_counter() - started < 1


# --- nesting --------------------------------------------------------------------------------


def in_vecs(value, levels):
    for _ in range(levels):
        value = ScValue(Arm.VEC, (value,))
    return value


def in_maps(value, levels):
    for _ in range(levels):
        value = ScValue(Arm.MAP, ((ScValue(Arm.U32, 0), value),))
    return value


def in_instances(value, levels):
    executable = Executable(ExecutableType.EXTERNAL_REF, owner=CONTRACT, tag=b"\xff")
    for _ in range(levels):
        value = ScValue(Arm.CONTRACT_INSTANCE, ContractInstance(executable, ((ScValue(Arm.U32, 0), value),)))
    return value


DEEPEST = [(in_vecs, MAX_NESTING), (in_maps, MAX_NESTING // 2), (in_instances, MAX_NESTING // 4)]
HEADS = {in_vecs: words(16, 1, 1), in_maps: words(17, 1, 1, 3, 0), in_instances: words(19, 1, 1, 1, 3, 0)}


@pytest.mark.parametrize(("nest", "levels"), DEEPEST, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize(
    "leaf", [ScValue(Arm.VOID, None), ScValue(Arm.EXECUTABLE_TAG, b"\xff")], ids=["void", "executable_tag"]
)
def test_what_decodes_at_the_deepest_can_be_printed_as_an_event(nest, levels, leaf):
    value = nest(leaf, levels)
    raw = encode_scval(value)
    assert encode_scval(decode_scval(raw)) == raw
    assert decode_native(raw) is not None
    event = {"items": [{"decoded": {"topics": [scval_to_json(raw)], "value": scval_to_json(raw)}}]}
    assert orjson.loads(orjson.dumps(event)) == event
    assert json.loads(json.dumps(event)) == event


@pytest.mark.parametrize(("nest", "levels"), DEEPEST, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("times", [1, 2, 1000])
def test_deeper_nesting_is_refused_by_name(nest, levels, times):
    raw = HEADS[nest] * (levels * times + 1) + words(1)
    with pytest.raises(XdrError, match="nests deeper than 240"):
        decode_scval(raw)
    assert refusal(raw) is XdrError
    with pytest.raises(XdrError, match="nests deeper than 240"):
        encode_scval(nest(ScValue(Arm.VOID, None), levels + 1))


def test_empty_containers_count_as_a_level():
    empty = ScValue(Arm.VEC, ())
    assert decode_scval(encode_scval(in_vecs(empty, MAX_NESTING - 1)))
    assert refusal(HEADS[in_vecs] * MAX_NESTING + words(16, 1, 0)) is XdrError
    with pytest.raises(XdrError):
        encode_scval(in_vecs(empty, MAX_NESTING))


def test_what_the_networks_host_can_make_is_accepted():
    # soroban-env-host: DEFAULT_HOST_DEPTH_LIMIT = 100
    for nest in (in_vecs, in_maps):
        raw = encode_scval(nest(ScValue(Arm.VOID, None), 100))
        assert stellar_sdk_accepts(raw)
        assert refusal(raw) is None


def test_wide_values_are_no_deep_values():
    raw = encode_scval(ScValue(Arm.VEC, (in_vecs(ScValue(Arm.U32, 5), 3),) * 1000))
    assert scval_to_json(raw) == [[[[5]]]] * 1000
