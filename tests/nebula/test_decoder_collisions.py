"""One name in several contracts is several events; what is no stream contract's event is nobody's."""

from __future__ import annotations

from collections import Counter

import pytest
from stellar_sdk import StrKey, scval

from stellarstream_core.decoding import DecodedEvent
from tests.nebula.known_events import DECODERS, PUBLISHED, decode, made_events

ADDRESS = StrKey.encode_contract(bytes(range(32)))
OTHER = StrKey.encode_ed25519_public_key(bytes(range(32, 64)))

V1, V2, SPLITTER, FACTORY = "stellarstream-v1", "stellarstream-v2", "splitter-v3", "splitter-factory"


def meanings(topics, value) -> dict[str, DecodedEvent]:
    """Return what each family makes of the same bytes."""
    found = {family: decode(family, topics, value) for family in DECODERS}
    return {family: decoded for family, decoded in found.items() if decoded is not None}


def test_two_shapes_mean_something_in_two_families():
    """Cancelling looks alike in three contracts' histories: there only the contract's family tells them apart."""
    shared = set()
    for entry in PUBLISHED:
        for made in made_events(entry, 1):
            found = meanings(made.topics, made.value)
            assert found.pop(made.decoded.family) == made.decoded
            shared |= {
                ((made.decoded.family, made.decoded.variant), (family, decoded.variant), decoded.name)
                for family, decoded in found.items()
            }
    assert shared == {
        ((V1, "id-topic"), (SPLITTER, ""), "cancel"),
        ((SPLITTER, ""), (V1, "id-topic"), "cancel"),
        ((V1, "struct"), (V2, "struct"), "cancel"),
        ((V2, "struct"), (V1, "struct"), "cancel"),
    }


def test_the_same_bytes_have_the_meaning_of_the_family_that_is_asked():
    topics, value = (scval.to_symbol("cancel"), scval.to_uint64(3)), scval.to_address(ADDRESS)
    assert meanings(topics, value) == {
        V1: DecodedEvent(V1, "cancel", "id-topic", {"stream_id": 3, "sender": ADDRESS}),
        SPLITTER: DecodedEvent(SPLITTER, "cancel", "", {"split_id": 3, "sender": ADDRESS}),
    }


@pytest.mark.parametrize(
    ("name", "least"),
    [("cancel", 5), ("pause", 5), ("split", 2), ("transfer", 3), ("create", 3), ("claim", 3), ("grant", 2)],
)
def test_events_of_one_name_are_told_apart_by_shape(name, least):
    entries = [entry for entry in PUBLISHED if entry["event"] == name]
    assert len(entries) >= least
    identities = Counter()
    for entry in entries:
        for made in made_events(entry, 2):
            found = meanings(made.topics, made.value)[made.decoded.family]
            assert found == made.decoded
        identities[found.family, found.name, found.variant] += 1
    assert set(identities.values()) == {1}


def test_a_stream_is_archived_only_where_the_second_contract_says_so():
    (entry,) = [entry for entry in PUBLISHED if entry["event"] == "archived"]
    for made in made_events(entry, 4):
        assert set(meanings(made.topics, made.value)) == {V2}


def test_executed_is_an_operation_in_one_contract_and_a_second_topic_in_another():
    names = {
        made.decoded.name
        for entry in PUBLISHED
        for made in made_events(entry, 4)
        if scval.to_symbol("executed") in made.topics
    }
    assert names == {"executed", "splitter"}


# --- events of others -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topics", "value"),
    [
        pytest.param(("transfer", ADDRESS, OTHER, "native"), scval.to_int128(5), id="an asset contract's transfer"),
        pytest.param(
            ("transfer", ADDRESS, OTHER, "native"),
            scval.to_struct({"amount": scval.to_int128(5), "to_muxed_id": scval.to_uint64(7)}),
            id="a transfer to a muxed account",
        ),
        pytest.param(("transfer", ADDRESS, OTHER), scval.to_int128(5), id="a token contract's transfer"),
        pytest.param(("mint", ADDRESS, OTHER, "native"), scval.to_int128(5), id="a mint"),
        pytest.param(("approve", ADDRESS, OTHER, "native"), scval.to_vec([scval.to_int128(5)]), id="an allowance"),
    ],
)
def test_events_of_tokens_are_no_events_of_streams(topics, value):
    name, *parties = topics
    made = [scval.to_symbol(name)]
    made += [scval.to_string(one) if one == "native" else scval.to_address(one) for one in parties]
    assert meanings(tuple(made), value) == {}


def test_system_events_are_no_events_of_streams():
    executable = [scval.to_vec([scval.to_symbol("Wasm"), scval.to_bytes(bytes([n]) * 32)]) for n in (1, 2)]
    assert meanings((scval.to_symbol("executable_update"), *executable), scval.to_vec([])) == {}
