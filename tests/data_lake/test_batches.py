"""An object's bytes are its ledgers, or a named error; never more memory than allowed."""

from __future__ import annotations

import resource
import struct

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.ranges import LedgerRange
from stellarstream_data_lake.batches import decompress, read_header, read_object
from stellarstream_data_lake.failures import DamagedError
from tests.data_lake.kit import batch_xdr, packed
from tests.paths import fixture

MOST = 128 * 1024 * 1024
SKIPPABLE = struct.pack("<II", 0x184D2A50, 5) + b"words"


@pytest.fixture(scope="module")
def recorded() -> bytes:
    """A real object of testnet: ledger 998."""
    return fixture("lake-testnet/FFFFFC19--998.xdr.zst").read_bytes()


def test_a_recorded_object_of_testnet(recorded):
    size, metas = read_object(recorded, LedgerRange(998, 998), MOST)
    header = read_header(metas[0], 998)
    assert (size, len(metas), header.protocol) == (9704, 1, 20)
    assert header.hash.hex() == "b68a8d08090959716e7438da407d412b156e5b8700adecdc993a60d63f030289"


def test_frames_without_a_size_are_what_go_writes():
    assert zstandard.get_frame_parameters(packed(b"x" * 10_000)).content_size == zstandard.CONTENTSIZE_UNKNOWN
    assert decompress(packed(b"x" * 10_000), MOST) == b"x" * 10_000


@given(
    st.lists(st.tuples(st.binary(max_size=3_000), st.booleans(), st.booleans()), min_size=1, max_size=5),
    st.integers(0, 40),
)
def test_any_frames_one_after_the_other_are_one_content(parts, repeated):
    frames = [
        zstandard.ZstdCompressor(write_content_size=sized, write_checksum=summed).compress(part * (repeated + 1))
        for part, sized, summed in parts
    ]
    content = b"".join(part * (repeated + 1) for part, _, _ in parts)
    assert decompress(b"".join(frames), MOST) == content
    assert decompress(SKIPPABLE.join([b"", *frames, b""]), MOST) == content


def test_a_cut_object_is_named_wherever_it_is_cut(recorded):
    for length in range(len(recorded)):
        with pytest.raises(DamagedError, match="empty" if not length else "cut short"):
            read_object(recorded[:length], LedgerRange(998, 998), MOST)


def test_a_second_frame_that_is_cut_is_named(recorded):
    for length in (1, 4, 100, len(recorded) - 1):
        with pytest.raises(DamagedError, match="cut short"):
            decompress(recorded + recorded[:length], MOST)


def test_garbage_after_the_frame_is_named(recorded):
    with pytest.raises(DamagedError, match="not zstd"):
        decompress(recorded + b"\0\0\0\0\0\0\0\0", MOST)


def test_a_flipped_bit_never_changes_what_is_read(recorded):
    good = read_object(recorded, LedgerRange(998, 998), MOST)
    noticed = 0
    for at in range(len(recorded)):
        changed = bytearray(recorded)
        changed[at] ^= 0x40
        try:
            assert read_object(bytes(changed), LedgerRange(998, 998), MOST) == good
        except DamagedError:
            noticed += 1
    assert noticed > len(recorded) - 10


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_are_a_named_error(raw):
    for data in (raw, packed(raw)):
        with pytest.raises(DamagedError):
            read_object(data, LedgerRange(5, 5), MOST)


@pytest.mark.parametrize("sized", [True, False])
def test_a_decompression_bomb_is_a_named_error_and_takes_no_memory(sized):
    zeros = bytes(1024 * 1024)
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=sized)
    stream = compressor.compressobj(size=1_000 * len(zeros)) if sized else compressor.compressobj()
    bomb = b"".join(stream.compress(zeros) for _ in range(1_000)) + stream.flush()
    assert len(bomb) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedError, match="more than 16777216 bytes"):
        decompress(bomb, 16 * 1024 * 1024)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_frame_that_lies_about_its_size_takes_no_memory():
    lying = b"\x28\xb5\x2f\xfd\xe0" + (1 << 50).to_bytes(8, "little") + b"\x01\x00\x00"
    with pytest.raises(DamagedError):
        decompress(lying, MOST)


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (lambda a, b: batch_xdr(998, 998, [a]), "says that it holds ledgers 998 to 998"),
        (lambda a, b: batch_xdr(997, 999, [a, b]), "said to be of the ledgers 997 to 999"),
        (lambda a, b: batch_xdr(998, 997, [a, b]), "said to be of the ledgers 998 to 997"),
        (lambda a, b: batch_xdr(997, 998, [a]), "has 1 ledgers"),
        (lambda a, b: batch_xdr(997, 998, []), "has 0 ledgers"),
        (lambda a, b: batch_xdr(997, 998, [a, b]) + b"\0\0\0\0", "not a LedgerCloseMetaBatch"),
        (lambda a, b: batch_xdr(997, 998, [a, b])[:-4], "not a LedgerCloseMetaBatch"),
        (
            lambda a, b: (997).to_bytes(4, "big") + (998).to_bytes(4, "big") + b"\xff\xff\xff\xff",
            "not a LedgerCloseMetaBatch",
        ),
        (lambda a, b: b"", "not a LedgerCloseMetaBatch"),
    ],
)
def test_an_object_with_other_ledgers_than_its_name_says_is_named(made, batch, said):
    a, b = made.metas[97], made.metas[98]
    with pytest.raises(DamagedError, match=said):
        read_object(packed(batch(a, b)), LedgerRange(997, 998), MOST)


def test_another_ledger_in_the_place_of_one_is_named(made):
    _, metas = read_object(packed(batch_xdr(997, 997, [made.metas[98]])), LedgerRange(997, 997), MOST)
    with pytest.raises(DamagedError, match="ledger 98 stands in it where 997 should be"):
        read_header(metas[0], 997)


def test_the_first_object_holds_ledger_2_and_the_following(made):
    metas = [made.metas[n] for n in range(2, 8)]
    _, found = read_object(packed(batch_xdr(2, 7, metas)), LedgerRange(2, 7), MOST)
    assert found == metas
