"""What the totals say: streams by status, amounts by token, what moved in a day. Nothing is counted through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from peewee import Database

from stellarstream_core.projections import Reached
from stellarstream_nebula import bulk
from stellarstream_nebula.model import Status
from stellarstream_nebula.totals import ALL_TOKENS, DAY, EVENTS, HOUR, MANY_DAYS, RECEIVERS, SENDERS, Sums

HOURS = 24
MOST_TOKENS = 200
"""Tokens that are told one by one: whoever can make a token can make many."""


@dataclass(slots=True)
class Moved:
    """What moved in the last day: amounts in the token's smallest unit."""

    created: int = 0
    topped_up: int = 0
    withdrawn: int = 0


@dataclass(slots=True)
class TokenTotals:
    """The totals of one token; ``None`` stands for the streams whose token is not known."""

    token: str | None
    statuses: Counter[Status] = field(default_factory=Counter)
    sums: Sums = field(default_factory=Sums)
    moved: Moved = field(default_factory=Moved)


@dataclass(frozen=True, slots=True)
class Statistics:
    """All totals of some contracts. ``since`` (Unix seconds) is from when on ``moved`` counts, None with no clock."""

    statuses: Mapping[Status, int]
    tokens: Sequence[TokenTotals]
    tokens_known: int
    senders: int
    receivers: int
    events: int
    since: int | None


def read_statistics(database: Database, contracts: Sequence[str], reached: Mapping[str, Reached]) -> Statistics:
    """Return the totals of contracts, each as of its own last folded ledger. The transaction must be one snapshot."""
    statuses: Counter[Status] = Counter()
    for base, streams in _by_contract(database, "base_status, sum(streams)", "totals", contracts, "base_status"):
        statuses[Status(base)] += int(streams)
    ranked = _by_contract(
        database, "token, sum(streams)", "totals", contracts, "token ORDER BY sum(streams) DESC, token"
    )
    ranked = [row for row in ranked if row[1]]
    tokens = {row[0]: TokenTotals(row[0] or None) for row in ranked[:MOST_TOKENS]}
    for token, base, *sums in _of_tokens(database, contracts, list(tokens)):
        added = Sums.read(sums)
        tokens[token].sums.add(added)
        tokens[token].statuses[Status(base)] += added.streams
    for contract in contracts:
        if (at := reached.get(contract)) is None:
            continue
        for token, done in _completed_by_clock(database, contract, list(tokens), at.closed_at).items():
            _complete(statuses if token == ALL_TOKENS else tokens[token].statuses, done)
    since = _add_moved(database, contracts, reached, tokens)
    counts: dict[str, int] = dict(bulk.query(database, "SELECT name, value FROM nebula_counts"))
    return Statistics(
        {status: statuses[status] for status in Status},
        list(tokens.values()),
        len(ranked),
        counts.get(SENDERS, 0),
        counts.get(RECEIVERS, 0),
        counts.get(EVENTS, 0),
        since,
    )


def _by_contract(database: Database, columns: str, table: str, contracts: Sequence[str], group: str) -> list[bulk.Row]:
    if not contracts:
        return []
    sql = f"""
        SELECT {columns} FROM nebula_{table} WHERE contract_id IN ({bulk.marks(len(contracts))}) GROUP BY {group}
    """  # noqa: S608 - names and marks only
    return bulk.query(database, sql, list(contracts))


def _of_tokens(database: Database, contracts: Sequence[str], tokens: Sequence[str]) -> list[bulk.Row]:
    if not contracts or not tokens:
        return []
    sql = f"""
        SELECT token, base_status, streams, amount, withdrawn, held, untold FROM nebula_totals
        WHERE contract_id IN ({bulk.marks(len(contracts))}) AND token IN ({bulk.marks(len(tokens))})
    """  # noqa: S608 - marks only
    return bulk.query(database, sql, [*contracts, *tokens])


def _completed_by_clock(database: Database, contract: str, tokens: Sequence[str], now: int) -> Counter[str]:
    """Return how many ACTIVE streams the clock has completed, of some tokens and of :data:`ALL_TOKENS`.

    They are counted by long spans, by the days of the last of these, and today's by index.
    """
    today = now // DAY
    span = today // MANY_DAYS
    asked = [*tokens, ALL_TOKENS]
    found: Counter[str] = Counter()
    sql = f"""
        SELECT token, sum(streams) FROM nebula_completions
        WHERE contract_id = ? AND token IN ({bulk.marks(len(asked))}) AND days = ? AND span >= ? AND span < ?
        GROUP BY token
    """  # noqa: S608 - marks only
    for days, first, end in ((MANY_DAYS, 0, span), (1, span * MANY_DAYS, today)):
        for token, streams in bulk.query(database, sql, (contract, *asked, days, first, end)):
            found[token] += int(streams)
    hours = """
        SELECT token, count(*) FROM nebula_streams
        WHERE base_status = 'ACTIVE' AND completes_at >= ? AND completes_at <= ? AND contract_id = ? GROUP BY token
    """
    known = set(tokens)
    for token, streams in bulk.query(database, hours, (today * DAY, now, contract)):
        found[ALL_TOKENS] += int(streams)
        if (token or "") in known:
            found[token or ""] += int(streams)
    return found


def _complete(statuses: Counter[Status], streams: int) -> None:
    statuses[Status.ACTIVE] -= streams
    statuses[Status.COMPLETED] += streams


def _add_moved(
    database: Database,
    contracts: Sequence[str],
    reached: Mapping[str, Reached],
    tokens: Mapping[str, TokenTotals],
) -> int | None:
    """Add what moved in the last hours, counted from the newest contract's; return from when on."""
    times = [reached[contract].closed_at for contract in contracts if contract in reached]
    if not times:
        return None
    first = max(times) // HOUR - HOURS
    if not tokens:
        return first * HOUR
    sql = f"""
        SELECT token, created, topped_up, withdrawn FROM nebula_hours
        WHERE contract_id IN ({bulk.marks(len(contracts))}) AND hour >= ? AND token IN ({bulk.marks(len(tokens))})
    """  # noqa: S608 - marks only
    for token, created, topped_up, withdrawn in bulk.query(database, sql, [*contracts, first, *tokens]):
        moved = tokens[token].moved
        moved.created += int(created)
        moved.topped_up += int(topped_up)
        moved.withdrawn += int(withdrawn)
    return first * HOUR
