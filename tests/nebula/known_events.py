"""Events made from the facts' catalogue with stellar_sdk alone: nothing here knows how the project decodes.

The catalogue writes types as text (``u64``, ``symbol|void``, ``i128 (one commit only)``); :func:`spellings` reads
that text, and :func:`made_events` returns an event for every alternative it allows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from stellar_sdk import StrKey, scval, xdr

from stellarstream_core.decoding import DecodedEvent
from stellarstream_core.events import ContractEvent
from stellarstream_core.testing.scripted import made_event
from stellarstream_nebula.decoders import decoder_specs
from tests.paths import facts

Drawn = tuple[xdr.SCVal, Any]
"""A value as XDR, and as it must be decoded."""

Spelling = Callable[[random.Random], Drawn]

FAMILIES = {
    "Contract-V1": "stellarstream-v1",
    "Contract-V2": "stellarstream-v2",
    "splitter-v3": "splitter-v3",
    "splitter-factory": "splitter-factory",
}

ALL = json.loads(facts("stream-contract-events.json").read_text(encoding="utf-8"))["events"]
PUBLISHED = [entry for entry in ALL if entry["status"] in {"head", "historical"}]

DECODERS = {spec.family: spec.decode for spec in decoder_specs()}

VARIANTS = {None: "", "10 items": "10-items", "9 items (no memo)": "9-items"}
"""The catalogue's variants that are not words."""

TOPICS = {
    ("vault", None): "action",
    ("claim", "struct"): "beneficiary",
    ("adm_xfer", "struct"): "new_admin",
    ("pause", "struct"): "admin",
    ("unpause", "struct"): "admin",
    ("rebalance", "struct"): "token",
}
"""What the second topic is where the catalogue gives no name, or leaves two open."""


def label(entry: dict[str, Any]) -> str:
    """Return a test id that is the same in every process."""
    return "/".join((entry["contract_dir"], entry["event"].split()[0], entry["variant"] or "-", entry["status"]))


def identity(entry: dict[str, Any]) -> tuple[str, str, str]:
    """Return family, name and variant under which an entry must be decoded."""
    variant = entry["variant"]
    return FAMILIES[entry["contract_dir"]], entry["event"], VARIANTS.get(variant, variant)


@dataclass(frozen=True)
class MadeEvent:
    """An event as XDR objects, and what it must be decoded to."""

    topics: tuple[xdr.SCVal, ...]
    value: xdr.SCVal
    decoded: DecodedEvent

    def event(self) -> ContractEvent:
        return event_of(self.topics, self.value)


def event_of(topics: tuple[xdr.SCVal, ...], value: xdr.SCVal) -> ContractEvent:
    return event_of_bytes(tuple(topic.to_xdr_bytes() for topic in topics), value.to_xdr_bytes())


def event_of_bytes(topics: tuple[bytes, ...], value: bytes) -> ContractEvent:
    return made_event(5)._replace(topics=topics, value=value)


def decode(family: str, topics: tuple[xdr.SCVal, ...], value: xdr.SCVal) -> DecodedEvent | None:
    (found,) = DECODERS[family]([event_of(topics, value)])
    return found


# --- types ----------------------------------------------------------------------------------


def _whole(low: int, high: int, encode: Callable[[int], xdr.SCVal]) -> Spelling:
    def draw(dice: random.Random) -> Drawn:
        edges = (low, high, 0, 1, high - 1)
        number = dice.choice(edges) if dice.random() < 0.4 else dice.randint(low, high)
        return encode(number), number

    return draw


def _address(dice: random.Random) -> Drawn:
    encode = dice.choice((StrKey.encode_contract, StrKey.encode_ed25519_public_key))
    text = encode(dice.randbytes(32))
    return scval.to_address(text), text


def _bytes32(dice: random.Random) -> Drawn:
    raw = dice.randbytes(32)
    return scval.to_bytes(raw), raw


def _bool(dice: random.Random) -> Drawn:
    truth = dice.random() < 0.5
    return scval.to_bool(truth), truth


def _symbol(*names: str) -> Spelling:
    def draw(dice: random.Random) -> Drawn:
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
        name = dice.choice(names) if names else "".join(dice.choices(letters, k=dice.randint(1, 32)))
        return scval.to_symbol(name), name

    return draw


def _ids(dice: random.Random) -> Drawn:
    numbers = [dice.getrandbits(64) for _ in range(dice.choice((0, 1, 3, 10)))]
    return scval.to_vec([scval.to_uint64(number) for number in numbers]), tuple(numbers)


def _case(dice: random.Random) -> Drawn:
    content, name = _symbol()(dice)
    return scval.to_vec([content]), name


def _operation(dice: random.Random) -> Drawn:
    """Return a case of the contract's ``Operation``: who governs, or the least amount of a token."""
    (one, one_text), (two, two_text) = _address(dice), _address(dice)
    amount = dice.getrandbits(100)
    return dice.choice(
        (
            (
                [scval.to_symbol("SetAdmins"), scval.to_vec([one, two]), scval.to_uint32(2)],
                ("SetAdmins", (one_text, two_text), 2),
            ),
            ([scval.to_symbol("TransferAdmin"), one], ("TransferAdmin", one_text)),
            ([scval.to_symbol("SetMinValue"), one, scval.to_int128(amount)], ("SetMinValue", one_text, amount)),
        )
    )


SIMPLE: dict[str, Spelling] = {
    "u32": _whole(0, 2**32 - 1, scval.to_uint32),
    "u64": _whole(0, 2**64 - 1, scval.to_uint64),
    "i128": _whole(-(2**127), 2**127 - 1, scval.to_int128),
    "address": _address,
    "bytes32": _bytes32,
    "bool": _bool,
    "symbol": _symbol(),
    "void": lambda _dice: (scval.to_void(), None),
    "vec[u64]": _ids,
    "vec[symbol]": _case,
}


def _enum(dice: random.Random) -> Drawn:
    items, expected = _operation(dice)
    return scval.to_vec(items), expected


def spellings(text: str | dict[str, list[str]]) -> dict[str, Spelling | None]:
    """Return what a type of the catalogue allows, by name; None stands for a key that is left out."""
    if isinstance(text, dict):
        return {"vec[symbol]": SIMPLE["vec[symbol]"]} if text == {"vec": ["symbol"]} else {}
    if text == "enum vec":
        return {"enum": _enum}
    if text.startswith("bool | map"):
        return {"bool": SIMPLE["bool"]}
    type_, _, note = text.partition(" ")
    if type_ == "symbol" and note:
        names = note.split(" (")[0].split("|")
        return {f"symbol {name}": _symbol(name) for name in names}
    allowed: dict[str, Spelling | None] = {one: SIMPLE[one] for one in type_.split("|")}
    if note in {"(one commit only)", "(absent in oldest)"}:
        allowed["absent"] = None
    elif note:
        raise AssertionError(f"the catalogue says something new of a type: {text}")
    return allowed


def field_name(text: str) -> str:
    """Return the field's name without the catalogue's explanation."""
    return text.split(" ", maxsplit=1)[0]


# --- events ---------------------------------------------------------------------------------


def places(entry: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return name and type of everything an entry's data holds."""
    data = entry["data"]
    match data["kind"]:
        case "map":
            return list(data["fields"].items())
        case "vec" | "nebula":
            return [(field_name(item["name"]), item["type"]) for item in data["items"]]
        case "scalar":
            return [(field_name(data["name"]), data["type"])] if data["name"] else []
    raise AssertionError(data)


def topic_places(entry: dict[str, Any]) -> list[tuple[str | None, dict[str, Spelling | None]]]:
    """Return name (None: a symbol that is always the same) and spellings of each topic."""
    found: list[tuple[str | None, dict[str, Spelling | None]]] = []
    for topic in entry["topics"]:
        text = topic.get("value", "")
        if topic["type"] != "symbol":
            name = TOPICS.get((entry["event"], entry["variant"]), topic["name"])
            found.append((name, {topic["type"]: SIMPLE[topic["type"]]}))
        elif "|" in text:
            found.append((TOPICS[entry["event"], entry["variant"]], {one: _symbol(one) for one in text.split("|")}))
        else:
            found.append((None, {"symbol": _symbol(text.split(" ")[0])}))
    return found


def made_events(entry: dict[str, Any], seed: int) -> Iterator[MadeEvent]:
    """Yield an event for every combination of what the entry allows."""
    family, name, variant = identity(entry)
    topics, data = topic_places(entry), places(entry)
    choices = [list(allowed.values()) for _, allowed in topics] + [list(spellings(text).values()) for _, text in data]
    for number, chosen in enumerate(product(*choices)):
        dice = random.Random(f"{seed}/{number}/{label(entry)}")
        fields: dict[str, Any] = {}
        known: dict[str, Drawn] = {}

        def draw(named: str | None, spelling: Spelling, dice=dice, fields=fields, known=known) -> xdr.SCVal:
            if named is None:
                return spelling(dice)[0]
            content, fields[named] = known.setdefault(named, spelling(dice))
            return content

        made_topics = tuple(draw(place[0], one) for place, one in zip(topics, chosen, strict=False))
        values = [
            (place[0], draw(place[0], one))
            for place, one in zip(data, chosen[len(topics) :], strict=True)
            if one is not None
        ]
        value = _data(entry, name, values, dice, fields)
        yield MadeEvent(made_topics, value, DecodedEvent(family, name, variant, fields))


def _data(
    entry: dict[str, Any],
    name: str,
    values: list[tuple[str, xdr.SCVal]],
    dice: random.Random,
    fields: dict[str, Any],
) -> xdr.SCVal:
    items = [content for _, content in values]
    match entry["data"]["kind"]:
        case "map":
            return scval.to_struct(dict(values))
        case "vec":
            return scval.to_vec(items)
        case "nebula":
            timestamp, fields["timestamp"] = SIMPLE["u64"](dice)
            return nebula_event(name, items, timestamp)
    return items[0] if items else scval.to_void()


def nebula_event(action: str, items: list[xdr.SCVal], timestamp: xdr.SCVal, version: int = 2) -> xdr.SCVal:
    return scval.to_struct(
        {
            "version": scval.to_uint32(version),
            "timestamp": timestamp,
            "action": scval.to_symbol(action),
            "data": scval.to_vec(items),
        }
    )
