"""``stellarstream export invoice-links``: every link of the database as its owner sees it, oldest first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from peewee import Database

from stellarstream_core.hookspecs import ExportQuery, ExportSpec
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.settings import Settings
from stellarstream_core.storage import Storage
from stellarstream_invoice_links.links import MOST_PAYMENTS, payments_of, read_links
from stellarstream_invoice_links.links_store import Place
from stellarstream_invoice_links.projection import NAME
from stellarstream_invoice_links.represent import OwnLinkModel, own_link_model
from stellarstream_invoice_links.tables import InvoiceCreation as Creation
from stellarstream_invoice_links.tables import InvoiceLink as Row

PAGE = 500

COLUMNS = tuple(info.alias or name for name, info in OwnLinkModel.model_fields.items())
"""Every key that a link may have; of those that it has not, the value is null."""


def pages(storage: Storage, settings: Settings, query: ExportQuery) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield the links that are asked for, each page read in one snapshot, all as of one moment of the clock."""
    now = time.time()
    after: Place | None = None
    while True:
        page, after = storage.read(partial(_page, settings, query, now, after))
        if not page:
            return
        yield page


def missing(storage: Storage, settings: Settings, query: ExportQuery) -> str | None:
    """Say in which contracts payments of links may not have been found yet."""

    def read(database: Database) -> list[str]:
        asked = Row.select(Row.contract_id).where(_asked(query)).distinct().order_by(Row.contract_id)
        contracts = [contract for (contract,) in asked.tuples().execute(database)]
        reached = reached_in(database, NAME, contracts)
        told = []
        for contract in contracts:
            if (at := reached.get(contract)) is None:
                told.append(f"in {contract} they are not looked for yet")
            elif not at.complete:
                told.append(f"in {contract} they are found up to ledger {at.ledger}, with gaps above {at.watermark}")
        return told

    found = storage.read(read)
    return f"payments of links may be missing: {'; '.join(found)}" if found else None


def _page(
    settings: Settings, query: ExportQuery, now: float, after: Place | None, database: Database
) -> tuple[list[dict[str, Any]], Place | None]:
    condition = _asked(query)
    if after is not None:
        same = Row.created_at == after.created_at
        condition &= (Row.created_at >= after.created_at) & (~same | (Row.id > after.link_id))
    if query.first is not None:
        condition &= Creation.ledger >= query.first
    if query.last is not None:
        condition &= Creation.ledger <= query.last
    links = read_links(database, condition, (Row.created_at, Row.id), PAGE)
    payments = payments_of(database, [link.id for link in links])
    shown = [own_link_model(link, payments[link.id], settings.public_url, settings.frontend_url, now) for link in links]
    records = [one.model_dump(mode="json", by_alias=True) for one in shown]
    rows = [{column: record.get(column) for column in COLUMNS} for record in records]
    return rows, Place(links[-1].created_at, links[-1].id) if links else after


def _asked(query: ExportQuery) -> Any:
    return Row.contract_id.in_(list(query.contracts)) if query.contracts else Row.id.is_null(False)


INVOICE_LINKS = ExportSpec(
    "invoice-links",
    "Write invoice links of all accounts, oldest first, as their owners see them: deleted ones too, each with the "
    f"first {MOST_PAYMENTS} streams that came for it. Contracts are those in which the streams are to be. With "
    "--from or --to only paid links are written: the ledgers are those of the streams that paid them.",
    COLUMNS,
    pages,
    missing,
)
