"""The TypeScript SDK's types are those of the API as it is."""

from __future__ import annotations

import pytest

from scripts.openapi import description
from tests.sdk.node_kit import SDK, installed, run

pytestmark = pytest.mark.timeout(300)


def test_the_generated_types_are_made_of_the_routes_as_they_are(tmp_path):
    said, made = tmp_path / "openapi.json", tmp_path / "api.ts"
    said.write_bytes(description())
    installed(SDK)
    run(SDK, "npm", "run", "--silent", "generate", "--", str(said), str(made))
    assert (SDK / "src" / "generated" / "api.ts").read_bytes() == made.read_bytes(), (
        "run: python -m scripts.openapi > FILE; npm run generate -- FILE"
    )
