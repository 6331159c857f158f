"""A manifest is believed only where it makes sense."""

from __future__ import annotations

from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_data_lake.manifest import BadManifestError, Manifest, read_manifest
from tests.data_lake.kit import manifest
from tests.paths import fixture


def test_a_recorded_manifest():
    raw = fixture("lake-testnet/.config.json").read_bytes()
    assert read_manifest(raw) == Manifest("Test SDF Network ; September 2015", "1.0", 1, 64_000)


def test_passphrase_version_and_compression_may_be_left_out():
    assert read_manifest(b'{"ledgersPerBatch": 2, "batchesPerPartition": 8}') == Manifest(None, None, 2, 8)


@pytest.mark.parametrize("key", ["ledgersPerBatch", "batchesPerPartition"])
@pytest.mark.parametrize("value", [0, -1, "1", 1.0, 1.5, True, None, 10**9, 2**64, [], {}, "1" * 10_000])
def test_absurd_numbers_are_named(key, value):
    body = manifest("Test").replace(b'"version"', b'"left_out"')
    changed = orjson.loads(body)
    changed[key] = value if value != 2**64 else 18446744073709551615
    with pytest.raises(BadManifestError, match=key) as raised:
        read_manifest(orjson.dumps(changed))
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (manifest("Test", compression="gzip"), "compression is 'gzip'"),
        (manifest("Test", compression=3), "compression is 3"),
        (manifest("Test", networkPassphrase=["x"]), "networkPassphrase"),
        (manifest("Test", version=1), "version is 1"),
    ],
)
def test_what_cannot_be_understood_is_named(raw, said):
    with pytest.raises(BadManifestError, match=said):
        read_manifest(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_a_named_error(raw):
    with suppress(BadManifestError):
        assert isinstance(read_manifest(raw), Manifest)
