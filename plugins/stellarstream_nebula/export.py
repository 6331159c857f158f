"""``stellarstream export streams``: every stream as the API shows it, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from peewee import Database

from stellarstream_core.hookspecs import ExportQuery, ExportSpec
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.settings import Settings
from stellarstream_core.storage import Storage
from stellarstream_nebula import bulk
from stellarstream_nebula.audit import end_of
from stellarstream_nebula.families import learn
from stellarstream_nebula.queries import Place, prepare
from stellarstream_nebula.represent import StreamModel
from stellarstream_nebula.resources.streams import show
from stellarstream_nebula.served import families_in, stream_contracts
from stellarstream_nebula.stored import NAME, read_rows
from stellarstream_nebula.totals import newest_journaled

PAGE = 500

_BEGINNING = Place("", "")
_NO_END = "~"
COLUMNS = tuple(info.alias or name for name, info in StreamModel.model_fields.items())


def pages(storage: Storage, settings: Settings, query: ExportQuery) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield streams that were created in the asked ledgers, each page read in one snapshot."""
    if query.plugins is not None:
        learn(query.plugins)
    after = _BEGINNING
    while True:
        page, after = storage.read(partial(_page, settings, query, after))
        if not page:
            return
        yield page


def missing(storage: Storage, settings: Settings, query: ExportQuery) -> str | None:
    """Say which contracts' streams may be missing, or not be up to date, in part."""
    if query.plugins is not None:
        learn(query.plugins)

    def read(database: Database) -> list[str]:
        contracts = list(query.contracts) or stream_contracts(families_in(database, settings))
        reached, newest = reached_in(database, NAME, contracts), newest_journaled(database, contracts)
        told = []
        for contract in contracts:
            if (at := reached.get(contract)) is None:
                told.append(f"{contract} is not folded yet")
            elif not at.complete:
                told.append(f"{contract} is folded up to ledger {at.ledger}, but has gaps above ledger {at.watermark}")
            elif newest.get(contract, 0) > at.ledger:
                told.append(f"{contract} is folded up to ledger {at.ledger}, and in part above it")
        return told

    found = storage.read(read)
    return f"streams may be missing, or out of date: {'; '.join(found)}" if found else None


def _page(
    settings: Settings, query: ExportQuery, after: Place, database: Database
) -> tuple[list[dict[str, Any]], Place]:
    first = "" if query.first is None else end_of(query.first - 1)
    end = _NO_END if query.last is None else end_of(query.last)
    contracts = f"AND contract_id IN ({bulk.marks(len(query.contracts))})" if query.contracts else ""
    prepare(database)
    places = bulk.query(
        database,
        f"""
        SELECT created_event, key FROM nebula_streams
        WHERE (created_event, key) > (?, ?) AND created_event >= ? AND created_event < ? {contracts}
        ORDER BY created_event, key LIMIT {PAGE:d}
        """,  # noqa: S608 - marks and a number only
        [*after, first, end, *query.contracts],
    )
    if not places:
        return [], after
    rows = read_rows(database, keys := [key for _, key in places])
    reached = reached_in(database, NAME, sorted({row.state.contract_id for row in rows.values()}))
    shown = show(database, settings, [rows[key] for key in keys if key in rows], reached, None)
    return [one.model_dump(mode="json", by_alias=True) for one in shown], Place(*places[-1])


STREAMS = ExportSpec(
    "streams",
    "Write payment streams, oldest first, as the API shows them: amounts in the token's smallest unit. Ledgers are "
    "those in which streams were created.",
    COLUMNS,
    pages,
    missing,
)
