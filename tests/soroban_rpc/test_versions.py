"""Which versions of a node are read, refused, or warned of."""

from __future__ import annotations

import pytest

from stellarstream_soroban_rpc.versions import judge_version


@pytest.mark.parametrize("version", ["22.1.5", "v22.1.5", "20.0.0-rc4", "0.9.4", "21.5.1-abcdef"])
def test_a_node_before_23_is_refused_because_of_its_ids(version):
    verdict = judge_version("https://host", version)
    assert "Before v23" in verdict.refusal
    assert version in verdict.refusal


@pytest.mark.parametrize("version", ["23.0.0", "v23.0.0-rc.1", "26.0.1", "27.1.0"])
def test_a_node_with_the_filter_bug_is_read_and_warned_of_precisely(version):
    verdict = judge_version("https://host", version)
    assert verdict.refusal is None
    assert "nothing is lost here" in verdict.warning


@pytest.mark.parametrize("version", ["27.1.1", "28.0.0", "v28.0.0-b3a1f", "30.1.0"])
def test_a_current_node_is_read_without_a_word(version):
    assert judge_version("https://host", version) == (None, None)


@pytest.mark.parametrize("version", [None, "", "dev", "(devel)", "0.0.0", "main-abc"])
def test_a_node_of_unknown_version_is_read_with_a_warning(version):
    verdict = judge_version("https://host", version)
    assert verdict.refusal is None
    assert "cannot be checked" in verdict.warning
