"""The pages about invoice links say what the code does: the circle runs, lists and numbers are the code's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from stellarstream_core.api.problems import ApiProblem
from stellarstream_invoice_links import (
    creating,
    invoice_pdf,
    judging,
    links,
    links_store,
    model,
    payment_terms,
    problems,
    qr,
    slugs,
)
from stellarstream_invoice_links.gauges import GAUGES
from stellarstream_invoice_links.model import DELETABLE, LEGAL, LinkStatus, MatchedBy, Outcome
from stellarstream_invoice_links.represent import InvoiceLinkModel, OwnLinkModel
from stellarstream_invoice_links.resources import all_routes
from stellarstream_invoice_links.settings import InvoiceLinkSettings
from stellarstream_nebula.transactions.errors import AlreadyAppliedError
from stellarstream_sandbox.config import SandboxConfig
from tests.api.examples import Page
from tests.api.kit import Running, runtime_of
from tests.cli.conftest import Node
from tests.nebula.test_transactions_docs import following, until_known
from tests.paths import ROOT

PAGE = Page("docs/invoice-links.md")
THREATS = Page("docs/invoice-links-threats.md")
ROUTES = all_routes()


@pytest.mark.timeout(110)
def test_the_circle_of_the_page_runs_as_it_is_shown(tmp_path):
    contract = re.search(r"STELLARSTREAM_CONTRACTS=(C\w+)", PAGE.only("sh").code)[1]
    url = f"sqlite:///{tmp_path / 'circle.db'}"
    with ExitStack() as stack:
        node = Node(SandboxConfig(ledgers=5, close_time=1.0, history_spacing=1.0, transactions=1, port=0))
        stack.callback(node.stop)
        api = Running(runtime_of(url, rpc_url=[node.url], contracts=[contract]))
        stack.callback(api.stop)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
        environment |= {
            "STELLARSTREAM_NETWORK": "sandbox",
            "STELLARSTREAM_CONTRACTS": contract,
            "STELLARSTREAM_RPC_URL": node.url,
            "STELLARSTREAM_DATABASE_URL": url,
        }
        stack.callback(lambda: print((tmp_path / "sync.log").read_text()[-4000:]))
        stack.enter_context(following(tmp_path, environment))
        until_known(api, contract)
        code = "\n".join(block.code for block in PAGE.of("python"))
        here = code.replace("http://127.0.0.1:3000", api.url).replace("http://127.0.0.1:8000", node.url)
        assert here.count(api.url) == here.count(node.url) == 1
        done = subprocess.run(
            [sys.executable, "-c", here], capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr


# --- what is named ----------------------------------------------------------------------------------


def named_in(section: str) -> set[str]:
    """Return what stands as code in the first column of the tables of a section."""
    cells = re.findall(r"^\| (`[^|]*) \|", PAGE.section(section), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def own_problems() -> dict[str, int]:
    """Return every problem of the plugin, and the one that its routes alone have, with its status."""
    kinds = [
        kind
        for module in (problems, invoice_pdf)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ApiProblem) and kind.__module__ == module.__name__
    ]
    return {kind.code: kind.status for kind in [*kinds, AlreadyAppliedError]}


def test_every_problem_is_explained_with_its_status():
    assert PAGE.codes() == own_problems()


def test_every_problem_of_the_routes_is_explained_here_or_where_the_page_leads():
    raised = {problem.code for route in ROUTES for problem in route.problems}
    explained = {code for page in (PAGE, Page("docs/transactions.md"), Page("docs/api.md")) for code in page.codes()}
    assert raised - explained == set()
    assert set(PAGE.codes()) - raised == set()


def test_every_outcome_stands_in_the_table():
    assert named_in("What a payment turns out to be") == set(Outcome)


def test_every_way_to_match_stands_in_the_table_in_the_order_of_the_rules():
    rows = re.findall(r"^\| \d \| `(\w+)` \|", PAGE.section("Which stream pays which link"), re.MULTILINE)
    by = MatchedBy
    assert rows == [by.MEMO, by.TRANSACTION, by.TRANSACTION, by.TERMS, by.TRANSACTION]


def test_every_status_stands_in_the_table_and_what_its_owner_may_do():
    rows = re.findall(r"^\| `([A-Z]+)` \|[^|]*\| ([^|]*) \|$", PAGE.section("Its life"), re.MULTILINE)
    assert [status for status, _ in rows] == list(LinkStatus)
    for status, may in rows:
        assert ("cancel" in may) == (LinkStatus.CANCELED in LEGAL[status]), status
        assert ("name" in may) == (LinkStatus.SIGNED in LEGAL[status]), status
        assert ("delete" in may) == (status in DELETABLE), status


def moves() -> Iterator[tuple[str, str, str]]:
    """Yield the moves of the diagram: from where, to where, and who makes it."""
    yield from re.findall(r"^ +(\S+) --> (\S+?)(?:: (.*))?$", PAGE.only("mermaid").code, re.MULTILINE)


def test_the_diagram_has_every_move_of_an_owner_and_no_other():
    drawn = {(before, after) for before, after, who in moves() if "the owner" in who and before != "[*]"}
    assert drawn == {(before, after) for before, others in LEGAL.items() for after in others} - {("SIGNED", "SIGNED")}
    assert ("SIGNED", "SIGNED", "another one") in set(moves())


def test_the_diagram_lets_the_chain_complete_every_link_and_the_clock_end_those_that_are_open():
    others = set(LinkStatus) - {LinkStatus.COMPLETED}
    assert {before for before, after, who in moves() if after == "COMPLETED" and "the chain" in who} == others
    assert {before for before, after, who in moves() if after == "EXPIRED" and who == "the clock"} == {
        LinkStatus.DRAFT,
        LinkStatus.SIGNED,
    }
    assert [after for before, after, _ in moves() if before == "COMPLETED"] == ["[*]"]


def test_every_field_of_a_new_link_stands_in_the_table():
    fields = {info.alias or name for name, info in creating.InvoiceLinkRequest.model_fields.items()}
    assert named_in("What a link is") == fields


def test_every_field_of_a_link_is_named():
    fields = {info.alias or name for name, info in OwnLinkModel.model_fields.items()}
    assert {name for name in fields if f"`{name}`" not in PAGE.text} == set()
    private = fields - {info.alias or name for name, info in InvoiceLinkModel.model_fields.items()}
    told = re.search(r"Only the owner is shown ((?:`\w+`(?:, | and )?)+)", PAGE.text)[1]
    assert set(re.findall(r"`(\w+)`", told)) == private


def test_every_route_is_named():
    rows = "".join(re.findall(r"^\| (`[^|]*) \|", PAGE.section("The routes"), re.MULTILINE))
    addresses = {re.sub(r"…", "GET /invoice-links/SLUG", one) for one in re.findall(r"`([^`]+)`", rows)}
    named = {re.sub(r"/(?:SLUG|ID)\b", "/{}", one) for one in addresses if one.startswith(("GET", "P", "DELETE"))}
    there = {
        f"{route.method} {re.sub(r'{[a-z]+}', '{}', route.path)}" for route in ROUTES if "static" not in route.path
    }
    assert {re.sub(r"^GET GET ", "GET ", one) for one in named} == there


def test_every_setting_is_named_with_its_default():
    fields = InvoiceLinkSettings.model_fields
    section = PAGE.section("Settings")
    assert {name for name in fields if name not in section} == set()
    told = tomllib.loads(PAGE.only("toml").code)["plugins"]["invoice-links"]
    assert told == {name: info.default for name, info in fields.items() if info.default is not None}
    variable = re.search(r"STELLARSTREAM_PLUGINS__INVOICE_LINKS__(\w+)", section)[1]
    assert variable.lower() in fields


def test_every_metric_is_named_with_its_label():
    assert named_in("Watching and exporting") == {f"stellarstream_{gauge.name}" for gauge in GAUGES}
    for gauge in GAUGES:
        (label,) = gauge.labels
        assert f"| `stellarstream_{gauge.name}` | by `{label}`" in PAGE.text
        assert f"`stellarstream_{gauge.name}`" in Page("docs/api.md").section("Watching it")


def test_the_numbers_that_are_told_are_those_of_the_code():
    settings = InvoiceLinkSettings()
    limits, text = PAGE.section("Limits"), " ".join(PAGE.text.split())
    for told in (
        f"`most_open_links`: {settings.most_open_links:,} |",
        f"the first {links.MOST_PAYMENTS} |",
        f"as `ambiguous` | {judging.MOST_CHOICES} |",
        f"`most_watchers`: {settings.most_watchers:,};",
        f"PDFs that are made, or wait, at one worker | {invoice_pdf.MOST_WAITING} |",
        f"| {links_store.LOOKED_AT:,} links |",
    ):
        assert told in limits, told
    assert judging.MOST_CHOICES == 10
    assert "ten of them at the most" in text
    assert f"{slugs.LENGTH} letters and digits with 71 random bits" in text
    assert 2**71 <= len(slugs.ALPHABET) ** slugs.LENGTH < 2**72
    assert f"up to {creating.LONGEST_DESCRIPTION:,} characters of plain text" in text
    assert f"address of up to {creating.LONGEST_URL:,} characters" in text
    assert creating.LONGEST_SECONDS == 10 * 366 * 86_400
    assert text.count("ten years") == 3
    assert model.LATEST_START_SECONDS == 3600
    assert "a start more than an hour after it was paid" in text
    assert f"may differ by {model.CLOCK_SECONDS} seconds" in text
    assert f"in the last {payment_terms.SHORTEST_SECONDS} seconds of a link none is built" in text
    assert f"is {qr.SMALLEST} to {qr.LARGEST:,} pixels a side at the most, {qr.USUAL} without it" in text


def test_every_wallet_that_the_page_knows_is_named():
    script = (ROOT / "plugins/stellarstream_invoice_links/page/static/wallets.js").read_text()
    known = set(re.findall(r'\{ name: "(\w+)"', script))
    (told,) = re.findall(r"\*\*With a wallet in the browser\*\*: (.*?), and any", PAGE.text, re.DOTALL)
    assert set(re.split(r",\s+", re.sub(r" \([^)]*\)", "", told))) == known
    limited = dict(re.findall(r"(\w+) \(([^)]*)\)", told))
    assert limited == {"LOBSTR": "public network only", "Rabet": "public network and testnet"}
    assert "only: [PUBLIC]," in script
    assert "only: [PUBLIC, TESTNET]," in script


# --- the threat model -------------------------------------------------------------------------------

_TEST = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)


def known_tests() -> set[str]:
    """Return the names of all tests."""
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in _TEST.findall(path.read_text())}


def measures() -> list[tuple[str, str, str]]:
    """Return the lines of the threat model: what somebody tries, what comes of it, what shows that."""
    tables = re.findall(
        r"^\| what somebody tries \| what comes of it \| shown by \|\n\|---.*\n((?:\|.*\n)+)",
        THREATS.text,
        re.MULTILINE,
    )
    return [tuple(line.strip("| ").split(" | ")) for table in tables for line in table.splitlines()]


def test_every_test_that_shows_a_measure_is_there():
    named = set(re.findall(r"`(test_\w+)`", THREATS.text))
    assert named - known_tests() == set()


def test_every_measure_names_the_tests_that_show_it():
    found = measures()
    assert len(found) > 40
    assert [line for line in found if len(line) != 3] == []
    assert [line for line in found if not re.fullmatch(r"(?:`test_\w+` ?)+", line[2])] == []
