"""The pages on ledger sources name a test for each trap; they must exist."""

from __future__ import annotations

import re

import pytest

from tests.paths import ROOT


@pytest.mark.parametrize(
    ("page", "tests"),
    [("ledger-sources", "soroban_rpc"), ("data-lake", "data_lake"), ("horizon", "horizon")],
)
def test_every_test_that_a_page_names_exists(page, tests):
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / f"{page}.md").read_text()))
    here = "".join(path.read_text() for path in (ROOT / "tests" / tests).glob("test_*.py"))
    assert len(named) > 15
    assert not {name for name in named if f"def {name}(" not in here}
