"""What is not exactly a known shape is unknown, and no bytes make a decoder fail."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stellar_sdk import StrKey, scval, xdr

from stellarstream_core.xdr.scval import decode_scval, encode_scval
from tests.nebula.known_events import (
    DECODERS,
    PUBLISHED,
    MadeEvent,
    decode,
    event_of_bytes,
    identity,
    label,
    made_events,
    nebula_event,
    places,
    spellings,
)

Mutation = tuple[str, tuple[xdr.SCVal, ...], xdr.SCVal]

CONTRACT = StrKey.encode_contract(bytes(32))

OTHER_TYPES: dict[str, xdr.SCVal] = {
    "bool": scval.to_bool(True),
    "void": scval.to_void(),
    "u32": scval.to_uint32(1),
    "i32": scval.to_int32(1),
    "u64": scval.to_uint64(1),
    "i64": scval.to_int64(1),
    "timepoint": scval.to_timepoint(1),
    "duration": scval.to_duration(1),
    "u128": scval.to_uint128(1),
    "i128": scval.to_int128(1),
    "u256": scval.to_uint256(1),
    "i256": scval.to_int256(1),
    "bytes": scval.to_bytes(b"31 bytes are not a hash, nor 33."[:31]),
    "bytes32": scval.to_bytes(bytes(32)),
    "string": scval.to_string("x"),
    "symbol": scval.to_symbol("unexpected"),
    "address": scval.to_address(CONTRACT),
    "vec": scval.to_vec([scval.to_uint32(1)]),
    "vec[u64]": scval.to_vec([scval.to_uint64(1)]),
    "vec[symbol]": scval.to_vec([scval.to_symbol("unexpected")]),
    "map": scval.to_struct({"a": scval.to_uint64(1)}),
}

ALLOWED_BESIDES = {"enum": {"vec[symbol]"}}
"""Types of the palette that another type takes in."""

BECOMES = {
    ("stellarstream-v1", "pause", "", "topic 1 as address"): "address-topic",
    ("stellarstream-v2", "create_v2", "10-items", "item 9 left out"): "9-items",
    ("stellarstream-v2", "create_v2", "9-items", "symbol added"): "10-items",
    ("stellarstream-v2", "create_v2", "9-items", "void added"): "10-items",
    ("stellarstream-v2", "cancel", "struct", "key penalty left out"): "struct",
    ("stellarstream-v2", "permit", "struct", "key cliff_time left out"): "struct",
}
"""The changes that make another known event of one: what the releases of the contract differ by."""


def _vec(items: list[xdr.SCVal]) -> xdr.SCVal:
    return scval.to_vec(items)


def _map(entries: list[tuple[xdr.SCVal, xdr.SCVal]]) -> xdr.SCVal:
    """Return a map in this order, which the SDK would sort."""
    return xdr.SCVal(
        xdr.SCValType.SCV_MAP, map=xdr.SCMap([xdr.SCMapEntry(key=key, val=value) for key, value in entries])
    )


def not_of(allowed: set[str]) -> Iterator[tuple[str, xdr.SCVal]]:
    taken = set(allowed)
    for name in allowed:
        taken |= ALLOWED_BESIDES.get(name, set())
    return ((name, value) for name, value in OTHER_TYPES.items() if name not in taken)


def allowed_types(entry) -> dict[str, set[str]]:
    """Return which types of the palette each field may have; a symbol of a list is none of them."""
    return {name: set(spellings(text)) for name, text in places(entry)}


def item_changes(items: list[xdr.SCVal], allowed: list[set[str]]) -> Iterator[tuple[str, list[xdr.SCVal]]]:
    for at in range(len(items)):
        yield f"item {at} left out", items[:at] + items[at + 1 :]
        for name, other in not_of(allowed[at]):
            yield f"item {at} as {name}", [*items[:at], other, *items[at + 1 :]]
        if at and items[at].type != items[at - 1].type:
            yield f"items {at - 1} and {at} exchanged", [*items[: at - 1], items[at], items[at - 1], *items[at + 1 :]]
    for name, other in OTHER_TYPES.items():
        yield f"{name} added", [*items, other]
        yield f"{name} put first", [other, *items]


def map_changes(
    entries: list[tuple[xdr.SCVal, xdr.SCVal]], allowed: dict[str, set[str]]
) -> Iterator[tuple[str, xdr.SCVal]]:
    for at, (key, value) in enumerate(entries):
        name = scval.from_symbol(key)
        before, after = entries[:at], entries[at + 1 :]
        yield f"key {name} left out", _map(before + after)
        yield f"key {name} renamed", _map([*before, (scval.to_symbol(f"{name}x"), value), *after])
        yield f"key {name} as a string", _map([*before, (scval.to_string(name), value), *after])
        yield f"key {name} twice", _map([*before, (key, value), (key, value), *after])
        if after:
            yield f"key {name} out of order", _map([*before, after[0], (key, value), *after[1:]])
        for other, content in not_of(allowed.get(name, set())):
            yield f"key {name} as {other}", _map([*before, (key, content), *after])
    yield "a key before", _map([(scval.to_symbol("Aa"), scval.to_void()), *entries])
    yield "a key behind", _map([*entries, (scval.to_symbol("zz"), scval.to_void())])
    yield "values without keys", _vec([value for _, value in entries])


def data_changes(entry, made: MadeEvent) -> Iterator[tuple[str, xdr.SCVal]]:
    value, allowed = made.value, allowed_types(entry)
    match entry["data"]["kind"]:
        case "map":
            yield from map_changes([(one.key, one.val) for one in value.map.sc_map], allowed)
        case "vec":
            for name, items in item_changes(list(value.vec.sc_vec), list(allowed.values())):
                yield name, _vec(items)
        case "nebula":
            lists = {name for name in OTHER_TYPES if name.startswith("vec")}  # their items are changed one by one
            struct = {"action": {"symbol"}, "data": lists, "timestamp": {"u64"}, "version": {"u32"}}
            contents = [(one.key, one.val) for one in value.map.sc_map]
            yield from map_changes(contents, struct)
            items, timestamp = list(contents[1][1].vec.sc_vec), contents[2][1]
            for name, changed in item_changes(items, list(allowed.values())):
                yield name, nebula_event(made.decoded.name, changed, timestamp)
            yield "another action", nebula_event("another", items, timestamp)
            yield "version 1", nebula_event(made.decoded.name, items, timestamp, 1)
            yield "version 3", nebula_event(made.decoded.name, items, timestamp, 3)
            yield "the items alone", _vec(items)
        case "scalar":
            types = allowed[next(iter(allowed))] if allowed else {"void"}
            for name, other in not_of(types):
                yield name, other
            yield "in a list", _vec([value])
            yield "in a struct", scval.to_struct({"value": value})
    if value.type != xdr.SCValType.SCV_VOID:
        yield "nothing", scval.to_void()


def topic_changes(made: MadeEvent) -> Iterator[tuple[str, tuple[xdr.SCVal, ...]]]:
    topics = made.topics
    yield "no topics", ()
    for at, topic in enumerate(topics):
        yield f"topic {at} left out", topics[:at] + topics[at + 1 :]
        yield f"topic {at} twice", (*topics[:at], topic, *topics[at:])
        for name, other in OTHER_TYPES.items():
            if other.type != topic.type or name == "symbol":
                yield f"topic {at} as {name}", (*topics[:at], other, *topics[at + 1 :])
    if len(topics) > 1:
        yield "topics exchanged", (topics[1], topics[0], *topics[2:])
    yield "a topic more", (*topics, scval.to_symbol("more"))


def mutations(entry, made: MadeEvent) -> Iterator[Mutation]:
    for name, value in data_changes(entry, made):
        yield name, made.topics, value
    for name, topics in topic_changes(made):
        yield name, topics, made.value


@pytest.mark.parametrize("entry", PUBLISHED, ids=label)
def test_an_event_that_differs_in_one_thing_is_unknown(entry):
    count = 0
    for made in made_events(entry, 1):
        family = made.decoded.family
        assert decode(family, made.topics, made.value) == made.decoded
        for change, topics, value in mutations(entry, made):
            count += 1
            found = decode(family, topics, value)
            expected = BECOMES.get((*identity(entry), change))
            assert (None if found is None else found.variant) == expected, (change, found)
    assert count > 20


@pytest.mark.parametrize("entry", PUBLISHED, ids=label)
def test_an_event_that_is_cut_off_or_goes_on_is_unknown(entry):
    made = next(made_events(entry, 2))
    decode_batch = DECODERS[made.decoded.family]
    topics, value = made.event().topics, made.event().value
    changed = [event_of_bytes(topics, value[:size]) for size in range(len(value))]
    changed += [event_of_bytes(topics, value + more) for more in (b"\0", b"\0\0\0\0", value)]
    for at, topic in enumerate(topics):
        for other in (*(topic[:size] for size in range(len(topic))), topic + b"\0\0\0\0"):
            changed.append(event_of_bytes((*topics[:at], other, *topics[at + 1 :]), value))
    assert set(decode_batch(changed)) == {None}


def test_a_symbol_that_the_network_does_not_allow_is_unknown():
    entry = next(one for one in PUBLISHED if one["event"] == "split_exec")
    made = next(made_events(entry, 1))
    assert decode("stellarstream-v2", made.topics, made.value) is not None
    value = copy.deepcopy(made.value)
    symbol = value.map.sc_map[1].val.vec.sc_vec[4].sym
    symbol.sc_symbol = b"a_unique_text_of_32_characters__"
    for text in (b"a b", b"a\0\0\0", b"caf\xc3\xa9", b"\xff", b"a" * 33):
        padded = len(text).to_bytes(4, "big") + text + bytes(-len(text) % 4)
        changed = value.to_xdr_bytes().replace(b"\0\0\0\x20" + symbol.sc_symbol, padded)
        topics = made.event().topics
        assert DECODERS["stellarstream-v2"]([event_of_bytes(topics, changed)]) == [None], text


@pytest.mark.parametrize("kind", ["muxed account", "claimable balance", "liquidity pool"])
def test_an_address_that_no_contract_argument_can_be_is_unknown(kind):
    raw = {
        "muxed account": xdr.SCAddress(
            xdr.SCAddressType.SC_ADDRESS_TYPE_MUXED_ACCOUNT,
            muxed_account=xdr.MuxedEd25519Account(xdr.Uint64(1), xdr.Uint256(bytes(32))),
        ),
        "claimable balance": xdr.SCAddress(
            xdr.SCAddressType.SC_ADDRESS_TYPE_CLAIMABLE_BALANCE,
            claimable_balance_id=xdr.ClaimableBalanceID(
                xdr.ClaimableBalanceIDType.CLAIMABLE_BALANCE_ID_TYPE_V0, v0=xdr.Hash(bytes(32))
            ),
        ),
        "liquidity pool": xdr.SCAddress(
            xdr.SCAddressType.SC_ADDRESS_TYPE_LIQUIDITY_POOL, liquidity_pool_id=xdr.PoolID(xdr.Hash(bytes(32)))
        ),
    }[kind]
    topics = (scval.to_symbol("vault"), scval.to_symbol("approve"))
    assert decode("stellarstream-v1", topics, scval.to_address(CONTRACT)) is not None
    assert decode("stellarstream-v1", topics, xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=raw)) is None


# --- any bytes ------------------------------------------------------------------------------


def decode_all(topics: tuple[bytes, ...], value: bytes) -> None:
    """Decode in every family; what is decoded must be ScVals that the strict decoder reads, and nothing else."""
    for family, decode_batch in DECODERS.items():
        (found,) = decode_batch([event_of_bytes(topics, value)])
        if found is not None:
            assert found.family == family
            for raw in (*topics, value):
                assert encode_scval(decode_scval(raw)) == raw


ANY = st.binary(max_size=80)
NAMES = st.sampled_from(sorted({entry["event"] for entry in PUBLISHED}))
NAME_TOPICS = NAMES.map(lambda name: scval.to_symbol(name).to_xdr_bytes())
WORDS = st.lists(
    st.sampled_from([n.to_bytes(4, "big") for n in (*range(24), 32, 255, 2**31, 2**32 - 1)]), max_size=24
).map(b"".join)


@given(st.lists(st.one_of(ANY, NAME_TOPICS, WORDS), max_size=5), st.one_of(ANY, WORDS))
@settings(max_examples=400, deadline=None)
@example([], b"")
@example([b""], b"")
@example([b"", b"", b""], b"\0\0\0\x10\0\0\0\1\xff\xff\xff\xff")
def test_no_bytes_make_a_decoder_fail(topics, value):
    decode_all(tuple(topics), value)


@given(seed=st.integers(0, 2**40))
@settings(max_examples=150, deadline=None)
def test_damaged_events_are_decoded_only_where_they_are_still_scvals(seed):
    dice = random.Random(seed)
    made = dice.choice(list(made_events(dice.choice(PUBLISHED), seed)))
    parts = [*(topic.to_xdr_bytes() for topic in made.topics), made.value.to_xdr_bytes()]
    for _ in range(20):
        damaged = list(parts)
        at = dice.randrange(len(damaged))
        raw = bytearray(damaged[at])
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(raw))
            match dice.randrange(4):
                case 0:
                    raw[place] ^= 1 << dice.randrange(8)
                case 1:
                    raw[place] = dice.choice((0, 1, 2, 16, 17, 255))
                case 2:
                    raw[place:place] = dice.randbytes(4)
                case 3 if len(raw) > 4:
                    del raw[place : place + 4]
        damaged[at] = bytes(raw)
        decode_all(tuple(damaged[:-1]), damaged[-1])
