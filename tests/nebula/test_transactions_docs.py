"""docs/transactions.md says what the service does: its circle runs, and its lists are the code's own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.resources.transactions import ROUTES
from stellarstream_nebula.tables import NebulaContract
from stellarstream_nebula.transactions.calls import RELAYED
from stellarstream_nebula.transactions.errors import BUILD_PROBLEMS, ENVELOPE_PROBLEMS
from stellarstream_sandbox.config import SandboxConfig
from tests import commands
from tests.api.examples import Page
from tests.api.kit import Running, runtime_of
from tests.cli.conftest import Node

PAGE = Page("docs/transactions.md")
SHARED = {"invalid-body"}
"""Codes that docs/api.md explains."""


@contextmanager
def following(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / "sync.log").open("w") as log:
        arguments = ("sync", "--from", "2", "--follow")
        started = commands.start(*arguments, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(15)


def until_known(api: Running, contract: str) -> None:
    """Wait until the sync has found out what the contract is."""

    def known(database) -> list[str]:
        return [row for (row,) in NebulaContract.select(NebulaContract.contract_id).tuples().execute(database)]

    end = time.monotonic() + 30
    while contract not in api.storage.read(known):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.timeout(110)
def test_the_circle_of_the_page_runs_as_it_is_shown(tmp_path):
    contract = re.search(r"STELLARSTREAM_CONTRACTS=(C\w+)", PAGE.only("sh").code)[1]
    url = f"sqlite:///{tmp_path / 'circle.db'}"
    with ExitStack() as stack:
        node = Node(SandboxConfig(ledgers=5, close_time=0.3, history_spacing=0.3, transactions=1, port=0))
        stack.callback(node.stop)
        # the page names no generation: it is asked of the contract
        api = Running(runtime_of(url, rpc_url=[node.url], contracts=[contract]))
        stack.callback(api.stop)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
        environment |= {
            "STELLARSTREAM_NETWORK": "sandbox",
            "STELLARSTREAM_CONTRACTS": contract,
            "STELLARSTREAM_RPC_URL": node.url,
            "STELLARSTREAM_DATABASE_URL": url,
            "STELLARSTREAM_PLUGINS__NEBULA__FACTS_SECONDS": "1",
        }
        stack.enter_context(following(tmp_path, environment))
        until_known(api, contract)
        code = "\n".join(block.code for block in PAGE.of("python"))
        here = code.replace("http://127.0.0.1:3000", api.url).replace("http://127.0.0.1:8000", node.url)
        assert here.count(api.url) == here.count(node.url) == 1
        here = here.replace("time.sleep(1)", "time.sleep(0.2)")
        done = subprocess.run(
            [sys.executable, "-c", here], capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr + (tmp_path / "sync.log").read_text()[-2000:]


def test_every_problem_is_explained_with_its_status():
    known = {problem.code: problem.status for route in ROUTES for problem in route.problems}
    assert {problem.code for problem in (*BUILD_PROBLEMS, *ENVELOPE_PROBLEMS)} <= set(known)
    assert PAGE.codes() == {code: status for code, status in known.items() if code not in SHARED}


@pytest.mark.parametrize(("name", "family"), [("V1", V1), ("V2", V2)])
def test_the_functions_that_are_relayed_are_the_ones_listed(name, family):
    listed = re.search(rf"- {name}: ((?:`\w+`\s+)+)", PAGE.text)[1]
    assert re.findall(r"`(\w+)`", listed) == sorted(RELAYED[family])
