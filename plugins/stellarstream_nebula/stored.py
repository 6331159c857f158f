"""Rows of streams: written together with what they count for, and read back with what the chain said.

Everything here takes a peewee database inside ``Storage.read`` or ``Storage.write``; whoever writes has taken
its turn (``bulk.take_turn``) or is told that the function does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peewee import Database

from stellarstream_core.projection.reading import reached_in
from stellarstream_nebula import bulk, facts_codec, state_codec
from stellarstream_nebula.model import StreamFacts, StreamIndex, StreamState
from stellarstream_nebula.totals import COUNTED_COLUMNS, Counted, Differences, Move
from stellarstream_nebula.view import index_of, usable

NAME = "nebula"
"""The projection's name."""

_LATEST = 2**63 - 1
"""The latest time that a column holds; a contract's may be twice as far, which is as good as never."""

_COLUMNS = (
    "key",
    *COUNTED_COLUMNS,
    "shown_status",
    "stream_id",
    "family",
    "beneficiary",
    "memo",
    "created_event",
    "created_ledger",
    "created_at",
    "updated_ledger",
    "tx_hash",
    "state",
)


@dataclass(frozen=True, slots=True)
class Reads:
    """What the chain said of a stream: the newest read, and an earlier one that is not ahead of the fold."""

    newest: StreamFacts | None = None
    earlier: StreamFacts | None = None

    def at(self, as_of_ledger: int) -> StreamFacts | None:
        """Return the read to show a stream with as of a ledger.

        That is the newest that is not of the future; where all are, the newest still tells what never changes. A
        read that found nothing is passed over while another one is known.
        """
        known = [read for read in (self.newest, self.earlier) if read is not None and not read.missing]
        return usable(known, as_of_ledger) or (known[0] if known else self.newest)

    @property
    def latest(self) -> StreamFacts | None:
        """The newest read that found the stream, however far ahead."""
        return self.at(_LATEST)

    def with_read(self, read: StreamFacts, as_of_ledger: int) -> Reads:
        """Return what is kept once a read comes in: the newest, and of the others the one that can be shown now."""
        reads = sorted(
            (one for one in (self.newest, self.earlier, read) if one is not None), key=lambda one: one.ledger
        )
        newest = reads.pop()
        shown = [one for one in reads if one.ledger < newest.ledger and not one.missing]
        return Reads(newest, usable(shown, as_of_ledger) or (shown[-1] if shown else None))


NO_READS = Reads()


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stored stream: its state, and what the chain said of it."""

    key: str
    state: StreamState
    reads: Reads


class Written(NamedTuple):
    """A row that was written: the stream's state, and its token as far as events or a read of the chain tell it."""

    state: StreamState
    token: str | None


def read_rows(database: Database, keys: Iterable[str]) -> dict[str, StreamRow]:
    """Return the stored streams of some keys."""
    sql = """
        SELECT s.key, s.state, f.facts, f.earlier
        FROM nebula_streams AS s LEFT JOIN nebula_facts AS f ON f.key = s.key WHERE s.key IN
    """
    found: dict[str, StreamRow] = {}
    for key, raw, newest, earlier in bulk.select_in(database, sql, keys):
        state = state_codec.state_of(bytes(raw))
        if state is not None:
            found[key] = StreamRow(key, state, _reads(newest, earlier))
    return found


def read_facts(database: Database, keys: Iterable[str]) -> dict[str, Reads]:
    """Return what the chain said of some keys, folded or not."""
    sql = "SELECT key, facts, earlier FROM nebula_facts WHERE key IN"
    return {row[0]: _reads(row[1], row[2]) for row in bulk.select_in(database, sql, keys)}


def write_rows(
    database: Database, raws: Mapping[str, bytes | None], differences: Differences
) -> dict[str, Written | None]:
    """Write the rows of streams by their states' bytes, or remove those that have no state; return what is written.

    What that changes in the totals is noted in ``differences``: what rows count for, what was put into new streams, and
    what had moved in streams whose token is known only now.
    """
    states = {key: state_codec.state_of(raw) for key, raw in raws.items()}
    if not states:
        return {}
    keys = sorted(states)
    columns = ", ".join((*COUNTED_COLUMNS, "created_event"))
    found = bulk.select_in(database, f"SELECT key, {columns} FROM nebula_streams WHERE key IN", keys)  # noqa: S608 - names only
    before = {row[0]: (Counted(*row[1:-1]), row[-1]) for row in found}
    reads = read_facts(database, keys)
    rows: list[bulk.Row] = []
    written: dict[str, Written | None] = dict.fromkeys(keys)
    began: list[str] = []
    for key in keys:
        counted, created = before.get(key, (None, None))
        if counted is not None:
            differences.remove(counted)
        state = states[key]
        if state is not None:
            row = _row(key, state, raws[key], reads.get(key, NO_READS))
            now = Counted(*row[1 : 1 + len(COUNTED_COLUMNS)])
            differences.add(now)
            rows.append(row)
            written[key] = Written(state, now.token)
            if counted is not None and (created, counted.token) == (state.first_event, now.token):
                continue
        began.append(key)
    _move_beginnings(database, began, {key: one[0] for key, one in before.items()}, written, differences)
    bulk.upsert(database, "nebula_streams", _COLUMNS, ("key",), rows)
    gone = [key for key in keys if states[key] is None and key in before]
    for part in bulk.pieces(gone, bulk.MOST_VALUES):
        bulk.execute(database, f"DELETE FROM nebula_streams WHERE key IN ({bulk.marks(len(part))})", part)  # noqa: S608 - marks only
    return written


def _move_beginnings(
    database: Database,
    keys: Sequence[str],
    before: Mapping[str, Counted],
    written: Mapping[str, Written | None],
    differences: Differences,
) -> None:
    """Note what was put into streams that have begun, or have another beginning or token than their stored row says.

    It is a matter of the row, not of an event's arrival: what the stored row counted for is taken out again. What else
    moved is counted by events; where the token was not known they have waited for it.
    """
    had = [key for key in keys if key in before and before[key].token is not None]
    sql = "SELECT key, state FROM nebula_streams WHERE key IN"
    for key, raw in bulk.select_in(database, sql, had):
        if (state := state_codec.state_of(bytes(raw))) is not None:
            differences.moved(_put_in(state, before[key].token, -1))
    named: dict[str, Written] = {}
    for key in keys:
        one = written[key]
        if one is not None and one.token is not None:
            differences.moved(_put_in(one.state, one.token))
            if key not in had:
                named[key] = one
    differences.moved(_take_waiting(database, named))


def _put_in(state: StreamState, token: str | None, sign: int = 1) -> list[Move]:
    if token is None or state.opened_with is None or state.opened_with <= 0:
        return []
    return [Move(state.contract_id, token, state.created_at, "created", sign * state.opened_with)]


def _take_waiting(database: Database, named: Mapping[str, Written]) -> list[Move]:
    """Take the moves of streams whose token is known now from where they waited."""
    sql = "SELECT key, closed_at, kind, amount FROM nebula_waiting_moves WHERE key IN"
    rows = bulk.select_in(database, sql, named)
    found = sorted({row[0] for row in rows})
    for part in bulk.pieces(found, bulk.MOST_VALUES):
        bulk.execute(database, f"DELETE FROM nebula_waiting_moves WHERE key IN ({bulk.marks(len(part))})", part)  # noqa: S608 - marks only
    return [
        Move(named[key].state.contract_id, named[key].token or "", closed_at, kind, int(amount))
        for key, closed_at, kind, amount in rows
    ]


def write_facts(database: Database, key: str, facts: StreamFacts) -> None:
    """Keep what the chain said of a stream; see :func:`write_many_facts`."""
    write_many_facts(database, {key: facts})


def write_many_facts(database: Database, facts: Mapping[str, StreamFacts]) -> None:
    """Keep what the chain said of streams; rows and totals heed it at once. It takes its turn.

    A read that is older than the one kept does not replace it. A stream that is not folded yet has its facts waiting.
    """
    if not facts:
        return
    bulk.take_turn(database)
    stored = read_facts(database, facts)
    reached = reached_in(database, NAME, sorted({key.partition("-")[0] for key in facts}))
    rows: list[bulk.Row] = []
    for key, read in sorted(facts.items()):
        at = reached.get(key.partition("-")[0])
        kept = stored.get(key, NO_READS).with_read(read, at.ledger if at is not None else 0)
        rows.append((key, *_facts_columns(kept)))
    columns = ("key", "ledger", "facts", "earlier_ledger", "earlier")
    bulk.upsert(database, "nebula_facts", columns, ("key",), rows)
    differences = Differences()
    states = bulk.select_in(database, "SELECT key, state FROM nebula_streams WHERE key IN", facts)
    write_rows(database, {key: bytes(raw) for key, raw in states}, differences)
    differences.write(database)


def complete_due(database: Database, moments: Mapping[str, int], most: int = 1_000) -> bool:
    """Show as COMPLETED what the clock has completed, of each contract by its moment (Unix seconds); it has its turn.

    A bounded number of streams at a time; tell whether nothing is left.
    """
    done = True
    for contract, now in sorted(moments.items()):
        rows = bulk.query(
            database,
            """
            SELECT key FROM nebula_streams
            WHERE shown_status = 'ACTIVE' AND contract_id = ? AND completes_at <= ? ORDER BY completes_at LIMIT ?
            """,
            (contract, now, most),
        )
        if rows:
            sql = f"UPDATE nebula_streams SET shown_status = 'COMPLETED' WHERE key IN ({bulk.marks(len(rows))})"  # noqa: S608 - marks only
            bulk.execute(database, sql, [row[0] for row in rows])
        done = done and len(rows) < most
    return done


def _facts_columns(reads: Reads) -> Sequence[object]:
    columns: list[object] = []
    for read in (reads.newest, reads.earlier):
        columns += (None, None) if read is None else (read.ledger, facts_codec.encode(read))
    return columns


def _reads(newest: bytes | None, earlier: bytes | None) -> Reads:
    return Reads(
        None if newest is None else facts_codec.decode(bytes(newest)),
        None if earlier is None else facts_codec.decode(bytes(earlier)),
    )


def _row(key: str, state: StreamState, raw: bytes | None, reads: Reads) -> bulk.Row:
    index: StreamIndex = index_of(state, reads.latest)
    completes_at = index.completes_at
    return (
        key,
        state.contract_id,
        index.token,
        str(index.base_status),
        None if completes_at is None or completes_at > _LATEST else completes_at,
        _text(index.total),
        _text(index.withdrawn),
        _text(index.held),
        index.sender,
        index.receiver,
        str(index.base_status),
        str(state.stream_id),
        state.family,
        index.beneficiary,
        state.memo,
        state.first_event,
        state.created_ledger,
        state.created_at,
        state.updated_ledger,
        state.tx_hash,
        raw,
    )


def _text(amount: int | None) -> str | None:
    return None if amount is None else str(amount)
