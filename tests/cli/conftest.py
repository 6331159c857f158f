"""Calling the command line as a user does, in this process for speed."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import orjson
import pytest

from stellarstream_core.cli.app import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return orjson.loads(self.out.splitlines()[-1])


@pytest.fixture
def invoke(monkeypatch, capfd, tmp_path):
    """Return a function that runs ``stellarstream ARGS`` in an empty folder with only the given variables."""
    monkeypatch.chdir(tmp_path)
    import os

    for name in [name for name in os.environ if name.startswith("STELLARSTREAM_")]:
        monkeypatch.delenv(name)

    def call(*args: str, **env: str) -> Outcome:
        for name, value in env.items():
            monkeypatch.setenv(f"STELLARSTREAM_{name}", value)
        monkeypatch.setattr(sys, "argv", ["stellarstream", *args])
        capfd.readouterr()
        with pytest.raises(SystemExit) as done:
            run()
        out, err = capfd.readouterr()
        return Outcome(int(done.value.code or 0), out, err)

    return call
