"""Nothing that somebody with a key sends to build or relay leads to a 5xx, nor to an answer that is not described."""

from __future__ import annotations

import pytest

from stellarstream_nebula.resources.transactions import TAG
from tests.api.test_schemathesis import attack
from tests.nebula.relay_kit import works
from tests.nebula.test_transactions import api, chain, key  # noqa: F401 - fixtures


@pytest.mark.timeout(110)
def test_who_may_write_gets_what_is_described(api, chain, key, tmp_path):  # noqa: F811 - the fixtures
    chain.simulation = works()
    options = ("--header", f"X-API-Key: {key}", "--generation-with-security-parameters", "false", "--include-tag", TAG)
    report = attack(api, tmp_path, *options, "--phases", "coverage,fuzzing", examples=20)
    assert report["operations"]["tested"] == 5
    assert report["test_cases"]["generated"] > 200
