"""Every event of the facts' catalogue, encoded by stellar_sdk, is decoded to its name and all its values."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import scval, xdr

from stellarstream_core.decoding import DecodedEvent
from stellarstream_nebula.catalogue import FAMILIES
from tests.nebula.known_events import (
    ALL,
    DECODERS,
    PUBLISHED,
    SIMPLE,
    decode,
    field_name,
    identity,
    label,
    made_events,
    nebula_event,
)

RESTRICTIONS = ("restrict", "unrest", "unrestric", "unrestrict")

UNDER_ANOTHER_ENTRY = {
    ("stellarstream-v1", "restrict", "struct"): ("restrict", None),
    **{("stellarstream-v1", name, variant): ("restrict", None) for name in RESTRICTIONS for variant in ("", "struct")},
    **{("stellarstream-v1", name, ""): ("restrict", None) for name in ("al_add", "al_rem", "al_set")},
    ("stellarstream-v2", "batch_cr", "struct"): ("batch_create", "struct"),
}
"""Shapes of ours that the facts tell of in the notes of another entry."""


def entry_of(event: str, variant: str | None, status: str) -> dict[str, Any]:
    (found,) = [one for one in PUBLISHED if (one["event"], one["variant"], one["status"]) == (event, variant, status)]
    return found


def test_the_facts_are_the_ones_this_was_written_for():
    assert len(PUBLISHED) == 111
    assert {entry["status"] for entry in ALL} == {"head", "historical", "head-silent", "head-dead-code"}


@pytest.mark.parametrize("entry", PUBLISHED, ids=label)
@pytest.mark.parametrize("seed", range(4))
def test_an_entry_is_decoded_with_all_its_values(entry, seed):
    events = list(made_events(entry, seed))
    assert events
    for made in events:
        (found,) = DECODERS[made.decoded.family]([made.event()])
        assert found == made.decoded
        # Equal is not enough: True is equal to 1, and must not be taken for it.
        assert {name: type(value) for name, value in found.fields.items()} == {
            name: type(value) for name, value in made.decoded.fields.items()
        }


@given(seed=st.integers(10, 2**60))
@settings(max_examples=10, deadline=None)
def test_entries_are_decoded_whatever_their_values_are(seed):
    dice = random.Random(seed)
    for entry in dice.sample(PUBLISHED, 30):
        for made in made_events(entry, seed):
            assert decode(made.decoded.family, made.topics, made.value) == made.decoded


def test_a_batch_is_decoded_in_its_order_with_unknown_events_between():
    dice = random.Random(1)
    entries = [entry for entry in PUBLISHED if entry["contract_dir"] == "Contract-V2"]
    made = [next(made_events(dice.choice(entries), number)) for number in range(300)]
    events = [one.event() for one in made]
    expected: list[DecodedEvent | None] = [one.decoded for one in made]
    for at in (0, 7, 100, 299):
        events[at] = events[at]._replace(topics=())
        expected[at] = None
    assert list(DECODERS["stellarstream-v2"](events)) == expected
    assert list(DECODERS["stellarstream-v2"]([])) == []


def test_no_entry_of_the_facts_is_missing_and_none_is_ours_alone():
    known = {identity(entry): entry["status"] for entry in PUBLISHED}
    ours = {
        (family.name, name, shape.variant): status
        for family in FAMILIES
        for status, shapes in (("head", family.head), ("historical", family.historical))
        for shape in shapes
        for name in shape.names
    }
    assert known.keys() <= ours.keys()
    for key in ours.keys() - known.keys():
        event, variant = UNDER_ANOTHER_ENTRY[key]
        entry = entry_of(event, variant, ours[key])
        told = f"{entry['notes']} {entry['topics'][0]['value']} {entry['data']}"
        assert key[1] in told
    assert {key: ours[key] for key in known} == known


def test_the_catalogue_has_no_shape_twice():
    for family in FAMILIES:
        keys = [(name, shape.variant, shape in family.head) for shape in family.shapes for name in shape.names]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_field_names_are_the_catalogues_of_the_facts(family):
    told = set()
    for entry in PUBLISHED:
        data = entry["data"]
        told |= {topic.get("name") for topic in entry["topics"]}
        told |= set(data.get("fields", ())) | {field_name(data.get("name", ""))}
        told |= {field_name(item["name"]) for item in data.get("items", ())}
    ours = {place.name for shape in family.shapes for place in shape.data.fields}
    assert ours - told <= {"address", "token", "enabled"}  # of the entries that the facts have in a note only


# --- what the facts tell of in notes --------------------------------------------------------


@pytest.mark.parametrize("name", RESTRICTIONS)
@pytest.mark.parametrize("restricted", [False, True])
def test_a_restriction_is_a_flag_or_a_struct_under_each_of_its_names(name, restricted):
    assert all(one in str(entry_of("restrict", None, "historical")) for one in RESTRICTIONS)
    address, text = SIMPLE["address"](random.Random(name))
    topics = (scval.to_symbol(name), address)
    expected = {"address": text, "restricted": restricted}
    assert decode("stellarstream-v1", topics, scval.to_bool(restricted)) == DecodedEvent(
        "stellarstream-v1", name, "", expected
    )
    struct = {"restricted": scval.to_bool(restricted), "timestamp": scval.to_uint64(9), "address": address}
    assert decode("stellarstream-v1", topics, scval.to_struct(struct)) == DecodedEvent(
        "stellarstream-v1", name, "struct", {**expected, "timestamp": 9}
    )


@pytest.mark.parametrize("name", ["al_add", "al_rem"])
def test_tokens_are_allowed_and_not_allowed_any_more(name):
    address, text = SIMPLE["address"](random.Random(name))
    found = decode("stellarstream-v1", (scval.to_symbol(name),), address)
    assert found == DecodedEvent("stellarstream-v1", name, "", {"token": text})


@pytest.mark.parametrize("enabled", [False, True])
def test_the_list_of_allowed_tokens_is_switched(enabled):
    found = decode("stellarstream-v1", (scval.to_symbol("al_set"),), scval.to_bool(enabled))
    assert found == DecodedEvent("stellarstream-v1", "al_set", "", {"enabled": enabled})


def test_a_batch_has_a_second_name():
    made = next(made_events(entry_of("batch_create", "struct", "historical"), 3))
    topics = (scval.to_symbol("batch_cr"), made.topics[1])
    found = decode("stellarstream-v2", topics, made.value)
    assert found == DecodedEvent("stellarstream-v2", "batch_cr", "struct", made.decoded.fields)


def test_an_event_that_says_one_thing_twice_and_differently_is_unknown():
    made = next(made_events(entry_of("claim", None, "head"), 5))
    assert decode("stellarstream-v2", made.topics, made.value) is not None
    other = scval.to_uint64(made.decoded.fields["stream_id"] ^ 1)
    assert decode("stellarstream-v2", (other, made.topics[1]), made.value) is None


def test_a_nebula_event_names_its_action_and_its_version():
    items = [scval.to_address("GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"), scval.to_uint64(4)]
    topics = (scval.to_symbol("pause"), items[0])

    def told(action: str = "pause", version: int = 2, contents: list[xdr.SCVal] = items) -> DecodedEvent | None:
        value = nebula_event(action, contents, scval.to_uint64(7), version)
        return decode("stellarstream-v2", topics, value)

    assert told() == DecodedEvent(
        "stellarstream-v2",
        "pause",
        "",
        {"admin": "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ", "now": 4, "timestamp": 7},
    )
    assert told(action="unpause") is None
    assert told(version=1) is None
    assert told(version=3) is None
    assert told(contents=items[:1]) is None
    assert told(contents=[*items, items[1]]) is None
