"""``export invoice-links``: every link of the database as its owner sees it, oldest first."""

from __future__ import annotations

import csv
import io

import orjson
import pytest
from click.testing import CliRunner

from stellarstream_core.cli.app import cli
from stellarstream_core.hookspecs import ExportQuery
from stellarstream_core.projection.journal import write_reach
from stellarstream_core.projections import Reached
from stellarstream_invoice_links import export
from stellarstream_invoice_links.model import Outcome
from stellarstream_invoice_links.projection import NAME
from stellarstream_invoice_links.tables import TABLES, InvoiceTurn
from tests.invoice_links.kit import ONE, OTHER, OWNER, TWO, LinkApi, put_link, put_payment

PAST = 1_700_000_000
WHOLE = {contract: Reached(500, PAST, True, 500) for contract in (ONE, TWO)}


@pytest.fixture
def api(links) -> LinkApi:
    """An API over a database that holds no links yet, all of whose ledgers are looked through."""

    def clear(database):
        for table in TABLES:
            if table is not InvoiceTurn:
                table.delete().execute(database)
        write_reach(database, NAME, WHOLE)

    links.storage.write(clear)
    return links


@pytest.fixture
def run(api):
    """Return a function that runs ``export invoice-links`` on the database."""

    def invoke(*arguments: str):
        runtime = api.running.service.runtime
        return CliRunner().invoke(cli, ["export", "invoice-links", *arguments], obj=runtime)

    return invoke


@pytest.fixture
def written(run, tmp_path):
    """Return a function that exports into a file and returns its text."""

    def write(*arguments: str) -> str:
        done = run(*arguments, "-o", str(tmp_path / "out"))
        assert done.exit_code == 0, done.output
        return (tmp_path / "out").read_text()

    return write


@pytest.fixture
def lines(written):
    return lambda *arguments: [orjson.loads(line) for line in written(*arguments).splitlines()]


def test_the_records_are_the_links_as_their_owners_see_them(api, lines, monkeypatch):
    made = [put_link(api.storage, now=PAST + number // 3, owner=(OWNER, OTHER)[number % 2]) for number in range(9)]
    put_payment(api.storage, made[4], 4)
    put_payment(api.storage, made[4], 5, outcome=Outcome.REPEATED)
    put_link(api.storage, now=PAST + 9, expires_at=PAST + 10, start=PAST + 20, cliff=PAST + 30)
    api.set_status(put_link(api.storage).id, "CANCELED")
    whole = lines()
    seen = {one["id"]: one for owner in (OWNER, OTHER) for one in api.own(account=owner)}
    assert {one["id"]: {key: value for key, value in one.items() if value is not None} for one in whole} == seen
    assert [tuple(one) for one in whole] == [export.COLUMNS] * 11
    created = [(one["createdAt"], one["id"]) for one in whole]
    assert created == sorted(created)
    assert [payment["outcome"] for one in whole for payment in one["payments"]] == ["completed", "repeated"]
    monkeypatch.setattr(export, "PAGE", 2)
    assert lines() == whole


def test_deleted_links_are_among_them(api, lines):
    link = put_link(api.storage)
    api.delete(link.id)
    assert api.own() == []
    (record,) = lines()
    assert (record["id"], record["deletedAt"] is not None) == (link.id, True)


def test_contracts_and_the_ledgers_of_payments_narrow_it_down(api, lines):
    first, second = put_link(api.storage, contract=ONE), put_link(api.storage, contract=TWO)
    paid = [put_payment(api.storage, put_link(api.storage), number, ledger=300 + number) for number in range(3)]
    put_payment(api.storage, second, 9, outcome=Outcome.UNDERPAID, ledger=301)

    def ids(*arguments: str) -> set[str]:
        return {one["id"] for one in lines(*arguments)}

    assert ids("--contract", ONE) == {first.id}
    assert ids("--contract", TWO) == {second.id, *(link.id for link in paid)}
    assert ids("--contract", "*") == ids() == ids("--contract", ONE) | ids("--contract", TWO)
    assert ids("--from", "301") == {paid[1].id, paid[2].id}
    assert ids("--to", "300") == {paid[0].id}
    assert ids("--from", "301", "--to", "301") == {paid[1].id}
    assert ids("--from", "301", "--contract", ONE) == set()


def test_csv_has_a_header_and_runs_in_no_spreadsheet(api, written):
    put_link(api.storage, description='=HYPERLINK("https://evil.example")\nsecond line')
    header, row = csv.reader(io.StringIO(written("--format", "csv")))
    assert tuple(header) == export.COLUMNS
    record = dict(zip(header, row, strict=True))
    assert record["description"] == '\'=HYPERLINK("https://evil.example")\nsecond line'
    assert (record["payments"], record["streamId"]) == ("[]", "")


def test_no_links_make_an_empty_file_and_nothing_is_missing(api, written):
    api.storage.write(lambda database: write_reach(database, NAME, {}))
    assert written() == ""


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ({ONE: WHOLE[ONE]}, f"payments of links may be missing: in {TWO} they are not looked for yet"),
        (
            {ONE: Reached(90, PAST, False, 70), TWO: WHOLE[TWO]},
            f"payments of links may be missing: in {ONE} they are found up to ledger 90, with gaps above 70",
        ),
    ],
)
def test_what_may_be_missing_is_told_and_what_there_is_written(api, run, tmp_path, reached, told):
    put_link(api.storage, contract=ONE)
    put_link(api.storage, contract=TWO)
    api.storage.write(lambda database: write_reach(database, NAME, reached))
    done = run("-o", str(tmp_path / "out"))
    assert done.exit_code == 3
    assert told in done.output
    assert len((tmp_path / "out").read_text().splitlines()) == 2
    asked = ExportQuery([TWO] if "looked" in told else [ONE])
    assert export.missing(api.storage, api.running.service.settings, asked) == told
    other = ExportQuery([ONE] if "looked" in told else [TWO])
    assert export.missing(api.storage, api.running.service.settings, other) is None


def test_help_says_whose_links_and_which_ledgers(run):
    told = " ".join(run("--help").output.split())
    assert "invoice links of all accounts" in told
    assert "only paid links are written" in told
