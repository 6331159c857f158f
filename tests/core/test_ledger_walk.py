"""The generated walker and its schema: every arm of every type, against stellar_sdk and against nonsense."""

from random import Random

import pytest
from stellar_sdk import xdr

from scripts.xdr_walker.emit import Skipper
from scripts.xdr_walker.layout import Layout
from scripts.xdr_walker.module import MAX_DEPTH, MODULE, PROTOCOL, ROOTS, SCHEMA, generate, kept_schema
from scripts.xdr_walker.schema import Enum, SchemaError, Struct, Union, parse, write
from scripts.xdr_walker.sdk import sdk_schema
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.xdr import ledger_walk as walk
from tests.core.xdr_values import Values, unions

SCHEMA_KEPT = kept_schema()
UNIONS = list(unions(SCHEMA_KEPT))
COMPOUND = [name for name, found in SCHEMA_KEPT.types.items() if isinstance(found, Struct | Union)]


@pytest.fixture(scope="module")
def skip():
    """Functions that skip one value of each struct and union, made by the same generator."""
    variable = {f"skip_{name}": name for name in COMPOUND}
    made = {}
    exec(generate(SCHEMA_KEPT, variable), made)  # the generator's own output
    return {name: made[f"skip_{name}"] for name in COMPOUND}


def end_of(function, raw):
    """Return where a skipping function ends in bytes; IndexError where it needs more."""
    words = walk.words(raw)
    end = function(words, 0)
    if end > len(words):
        raise IndexError
    return 4 * end


def test_the_kept_module_is_what_the_generator_makes_of_the_kept_schema():
    assert MODULE.read_text(encoding="utf-8") == generate(SCHEMA_KEPT)
    assert (walk.PROTOCOL, walk.MAX_DEPTH) == (PROTOCOL, MAX_DEPTH)


def test_the_kept_schema_is_what_the_installed_stellar_sdk_knows():
    """Where this fails after an upgrade of stellar_sdk: ``python -m scripts.xdr_walker --from-sdk``."""
    assert SCHEMA.read_text(encoding="utf-8") == write(sdk_schema().reachable(*ROOTS))


def test_a_schema_is_the_same_after_writing_and_reading_it():
    assert parse(write(SCHEMA_KEPT)) == SCHEMA_KEPT


@pytest.mark.parametrize(
    "text",
    [
        "struct A { float x; };",
        "union A switch (int v) { default: void; };",
        "struct A { int x; }; struct A { int x; };",
        "struct A { int x }",
        "enum A { X = Y };struct B { A a; opaque z[X]; };",
        "program A {};",
        "struct A { A a; int after; };",
    ],
)
def test_a_schema_that_is_not_understood_is_refused(text):
    def understand():
        schema = parse(text)
        for found in schema.types.values():
            for _, value in getattr(found, "members", ()):
                schema.number(value)
        Skipper(Layout(schema), {}).function(next(iter(schema.types)))

    with pytest.raises(SchemaError):
        understand()


@pytest.mark.parametrize("name", COMPOUND)
def test_a_value_of_every_type_is_stepped_over_to_its_end(skip, name):
    values = Values(SCHEMA_KEPT, Random(name))
    decode = getattr(xdr, name).from_xdr_bytes
    for _ in range(8):
        raw = values.value(name)
        assert end_of(skip[name], raw + b"\xff" * 8) == len(raw)
        assert decode(raw).to_xdr_bytes() == raw


@pytest.mark.parametrize("name", [name for name, _ in UNIONS])
def test_every_arm_of_every_union_is_known(skip, name):
    outer = name.partition(".")[0]
    for arm in dict(UNIONS)[name].arms:
        for case in arm.cases:
            raw = Values(SCHEMA_KEPT, Random(case), arms={name: case}).value(outer)
            assert end_of(skip[outer], raw) == len(raw), case


@pytest.mark.parametrize("name", [name for name, _ in UNIONS if "." not in name])
def test_an_unknown_arm_asks_for_an_upgrade_and_names_the_type(skip, name):
    known = {SCHEMA_KEPT.number(case) for arm in dict(UNIONS)[name].arms for case in arm.cases}
    for number in (max(known) + 1, min(known) - 1, 0x7FFFFFFF, -0x80000000):
        raw = number.to_bytes(4, "big", signed=True) + bytes(400)
        with pytest.raises(ProtocolUpgradeNeededError, match=rf"^{name} {number} at byte 0 is not known .*protocol 28"):
            skip[name](walk.words(raw), 0)


NONSENSE = (b"\xff\xff\xff\xff", b"\0\0\0\1", b"\0\0\0\x40", b"\x80\0\0\0", b"\0\0\1\0")


def kept_by_stellar_sdk(name, raw):
    """Tell whether stellar_sdk decodes the bytes and writes the same; it lets padding and flags over 1 pass."""
    try:
        return getattr(xdr, name).from_xdr_bytes(raw).to_xdr_bytes() == raw
    except Exception:
        return False


@pytest.mark.parametrize("name", COMPOUND)
def test_a_changed_value_is_refused_exactly_where_stellar_sdk_would_not_keep_it(skip, name):
    random = Random(name)
    values = Values(SCHEMA_KEPT, random)
    for _ in range(12):
        raw = values.value(name)
        for place in random.sample(range(0, len(raw), 4), min(len(raw) // 4, 8)):
            changed = raw[:place] + random.choice(NONSENSE) + raw[place + 4 :]
            try:
                end = end_of(skip[name], changed)
            except (XdrError, IndexError):
                assert not kept_by_stellar_sdk(name, changed), (changed.hex(), place)
            else:
                assert kept_by_stellar_sdk(name, changed[:end]), (changed.hex(), place)


@pytest.mark.parametrize("name", [name for name, found in SCHEMA_KEPT.types.items() if isinstance(found, Enum)])
def test_every_enum_has_numbers(name):
    members = SCHEMA_KEPT.types[name].members
    assert len({SCHEMA_KEPT.number(value) for _, value in members}) == len(members)


def _words(*numbers):
    return b"".join(number.to_bytes(4, "big") for number in numbers)


CONTRACT = _words(1) + b"c" * 32
LEVELS = {
    "vec": ("SCVal", _words(16, 1, 1), _words(1)),
    "map key": ("SCVal", _words(17, 1, 1), _words(1), _words(1)),
    "map value": ("SCVal", _words(17, 1, 1, 1), _words(1)),
    "contract instance": ("SCVal", _words(19, 1, 1, 1, 1), _words(1)),
    "predicate": ("ClaimPredicate", _words(3, 1), _words(0)),
    "quorum set": ("SCPQuorumSet", _words(1, 0, 1), _words(1, 0, 0)),
    "invocation": (
        "SorobanAuthorizedInvocation",
        _words(0) + CONTRACT + _words(0, 0, 1),
        _words(0) + CONTRACT + bytes(12),
    ),
    "delegate": ("SorobanDelegateSignature", CONTRACT + _words(1, 1), CONTRACT + _words(1, 0)),
}
"""For each way in which values nest: the type, what opens a level, the innermost value, what closes a level."""


@pytest.mark.parametrize("way", LEVELS)
def test_values_nest_to_a_stated_depth_and_no_deeper(skip, way):
    name, opening, innermost, *closing = LEVELS[way]

    def nested(depth):
        return opening * depth + innermost + b"".join(closing) * depth

    assert kept_by_stellar_sdk(name, nested(20))
    for depth in (1, 20, walk.MAX_DEPTH):
        assert end_of(skip[name], nested(depth)) == len(nested(depth))
    for depth in (walk.MAX_DEPTH + 1, 100_000):
        with pytest.raises(XdrError, match=f"{name} nests deeper than {walk.MAX_DEPTH} levels at byte"):
            end_of(skip[name], nested(depth))


def test_the_walker_knows_the_protocol_that_pubnet_is_on():
    assert walk.PROTOCOL == 28
