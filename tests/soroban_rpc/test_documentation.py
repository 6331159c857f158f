"""The page on ledger sources names a test for each trap; they must exist."""

from __future__ import annotations

import re

from tests.paths import ROOT


def test_every_test_that_the_page_names_exists():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "ledger-sources.md").read_text()))
    here = "".join(path.read_text() for path in (ROOT / "tests" / "soroban_rpc").glob("test_*.py"))
    assert len(named) > 25
    assert not {name for name in named if f"def {name}(" not in here}
