"""The page on projections: its example runs, and it names every table and column."""

from __future__ import annotations

import asyncio
import re

from stellarstream_core.plugins import Plugins
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projection.reading import entries_of_key, reached_in, states_in
from stellarstream_core.projection.status import read_projections
from stellarstream_core.projection.tables import TABLES
from stellarstream_core.projections import Opening
from stellarstream_core.settings import load_settings
from stellarstream_core.testing.scripted import made_event
from stellarstream_core.xdr.scval import scval_to_json
from stellarstream_core.xdr.strkey import contract_id_bytes
from tests.paths import ROOT
from tests.projection.conftest import commit, run
from tests.projection.toy import CONTRACT

PAGE = (ROOT / "docs" / "projections.md").read_text()


def test_the_example_of_the_page_counts_transfers_by_sender(storage):
    plugin, reader = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {"states_in": states_in, "reached_in": reached_in, "entries_of_key": entries_of_key}
    exec(plugin, names)
    (spec,) = names["register_projections"]()
    settings = load_settings(environ={"STELLARSTREAM_CONTRACTS": CONTRACT})
    plugins = Plugins.load()
    assert asyncio.run(spec.open(Opening(load_settings(environ={}), storage, None, plugins))) is None
    projection = asyncio.run(spec.open(Opening(settings, storage, None, plugins)))
    topics = b"\x00\x00\x00\x0f\x00\x00\x00\x08transfer", bytes([0, 0, 0, 18, 0, 0, 0, 1]) + contract_id_bytes(CONTRACT)
    sent = [made_event(ledger, 1, 0, CONTRACT)._replace(topics=topics) for ledger in (10, 11, 12)]
    commit(storage, *sent, made_event(13, 1, 0, CONTRACT))
    run(Projector(projection, storage))
    names |= {"key": f"{CONTRACT}-{scval_to_json(topics[1])}", "contract": CONTRACT}
    exec(reader, names)
    state, reached, ids = storage.read(names["read"])
    assert (state, reached.ledger, ids) == (b"3", 13, [event.id for event in reversed(sent)])
    (found,) = read_projections(storage, [spec.name])
    assert [(shape.shape, shape.count) for shape in found.shapes] == [("1 topics", 1)]


def test_the_page_names_every_table_and_its_columns():
    for model in TABLES:
        assert re.search(rf"^### .*\b{model._meta.table_name}\b", PAGE, re.MULTILINE)
        for column in model._meta.columns:
            assert f"`{column}`" in PAGE, f"{model._meta.table_name}.{column}"


def test_the_tables_are_those_of_the_migration(storage):
    storage.read(lambda database: [list(model.select().execute(database)) for model in TABLES])
    found = storage.read(
        lambda database: {
            model._meta.table_name: [column.name for column in database.get_columns(model._meta.table_name)]
            for model in TABLES
        }
    )
    assert found == {model._meta.table_name: list(model._meta.columns) for model in TABLES}
