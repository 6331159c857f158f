"""Values and events are written as stellar-sdk writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Address, StrKey, scval, xdr

from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Event, EventType
from stellarstream_sandbox.scval import encode, encode_event

KEY = bytes(range(32))
ACCOUNT = StrKey.encode_ed25519_public_key(KEY)
CONTRACT = StrKey.encode_contract(KEY)

LEAVES = st.one_of(
    st.just((v.VOID, scval.to_void())),
    st.booleans().map(lambda x: (v.Bool(x), scval.to_bool(x))),
    st.integers(0, 2**32 - 1).map(lambda x: (v.U32(x), scval.to_uint32(x))),
    st.integers(-(2**31), 2**31 - 1).map(lambda x: (v.I32(x), scval.to_int32(x))),
    st.integers(0, 2**64 - 1).map(lambda x: (v.U64(x), scval.to_uint64(x))),
    st.integers(-(2**63), 2**63 - 1).map(lambda x: (v.I64(x), scval.to_int64(x))),
    st.integers(0, 2**64 - 1).map(lambda x: (v.Timepoint(x), scval.to_timepoint(x))),
    st.integers(0, 2**64 - 1).map(lambda x: (v.Duration(x), scval.to_duration(x))),
    st.integers(0, 2**128 - 1).map(lambda x: (v.U128(x), scval.to_uint128(x))),
    st.integers(-(2**127), 2**127 - 1).map(lambda x: (v.I128(x), scval.to_int128(x))),
    st.integers(0, 2**256 - 1).map(lambda x: (v.U256(x), scval.to_uint256(x))),
    st.integers(-(2**255), 2**255 - 1).map(lambda x: (v.I256(x), scval.to_int256(x))),
    st.binary(max_size=40).map(lambda x: (v.Bytes(x), scval.to_bytes(x))),
    st.binary(max_size=40).map(lambda x: (v.Text(x), scval.to_string(x))),
    st.text("abcXYZ019_", max_size=32).map(lambda x: (v.Symbol(x), scval.to_symbol(x))),
    st.sampled_from([ACCOUNT, CONTRACT]).map(lambda x: (v.Address(x), scval.to_address(x))),
    st.integers(0, 2**32 - 1).map(
        lambda x: (
            v.ContractError(x),
            xdr.SCVal(
                xdr.SCValType.SCV_ERROR,
                error=xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(x)),
            ),
        )
    ),
)


def _vec(pairs):
    return v.Vec(tuple(ours for ours, _ in pairs)), scval.to_vec([theirs for _, theirs in pairs])


def _map(entries):
    ours = v.Map(tuple((key[0], value[0]) for key, value in entries))
    theirs = xdr.SCMap([xdr.SCMapEntry(key[1], value[1]) for key, value in entries])
    return ours, xdr.SCVal(xdr.SCValType.SCV_MAP, map=theirs)


VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(_vec), st.lists(st.tuples(inner, inner), max_size=3).map(_map)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_values_are_written_as_the_sdk_writes_them(pair):
    ours, theirs = pair
    assert encode(ours) == theirs.to_xdr_bytes()


@pytest.mark.parametrize(
    "strkey",
    [
        ACCOUNT,
        CONTRACT,
        StrKey.encode_med25519_public_key(KEY + (7).to_bytes(8, "big")),
        StrKey.encode_claimable_balance(b"\0" + KEY),
        StrKey.encode_liquidity_pool(KEY),
    ],
    ids=lambda strkey: strkey[0],
)
def test_every_kind_of_address_is_written(strkey):
    written = xdr.SCVal.from_xdr_bytes(encode(v.Address(strkey)))
    assert Address.from_xdr_sc_address(written.address).address == strkey


def test_values_of_another_arm_are_not_equal():
    assert v.U32(1) != v.U64(1)
    assert v.Text(b"a") != v.Bytes(b"a")


def test_a_struct_is_a_map_with_its_fields_in_order():
    written = v.record(b=v.U32(2), a=v.U32(1), c_d=v.U32(3))
    assert [key.name for key, _ in written.entries] == ["a", "b", "c_d"]


@pytest.mark.parametrize("kind", list(EventType))
def test_an_event_is_written_with_its_parts(kind):
    event = Event(CONTRACT, (v.Symbol("transfer"), v.Address(ACCOUNT)), v.I128(-5), kind)
    encoded = encode_event(event)
    read = xdr.ContractEvent.from_xdr_bytes(encoded.xdr)
    assert StrKey.encode_contract(read.contract_id.contract_id.hash) == CONTRACT
    assert read.type.name == kind.name
    assert tuple(topic.to_xdr() for topic in read.body.v0.topics) == encoded.topics
    assert read.body.v0.data.to_xdr() == encoded.value
