"""The Python example runs to its end against a real service, and tells what it is to tell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.paths import ROOT

SCRIPT = ROOT / "contrib" / "examples" / "python-script" / "streams.py"


@pytest.mark.timeout(110)
def test_the_script_runs(deployed, tmp_path):
    environment = {**os.environ, "NEBULA_SERVICE": deployed.url, "NEBULA_NETWORK": deployed.node.url}
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    for told in ("Alice has logged in.", "unlocked by now: ", "Bob withdrew", "Paid by stream", "AlreadyCancelled"):
        assert told in done.stdout
    assert "The log is intact." in done.stdout
    assert deployed.usdc in SCRIPT.read_text()


def test_its_cells_are_those_that_are_promised():
    titles = [line[4:].strip() for line in SCRIPT.read_text().splitlines() if line.startswith("# %%")]
    for word in ("Log in", "Create", "Watch", "withdraws again", "link", "happened"):
        assert any(word in title for title in titles), word
