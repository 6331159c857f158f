"""One Horizon server: what it is, what it has, and pages of it that are what was asked for. Checked before use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from stellarstream_core.endpoints.failures import (
    AttemptError,
    LaggingError,
    OverlongError,
    TimedOutError,
    WrongAnswerError,
)
from stellarstream_core.endpoints.http import whole_number
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.ranges import LAST_LEDGER, LedgerRange
from stellarstream_core.sources import Reason
from stellarstream_horizon.assembly import read_one
from stellarstream_horizon.client import HorizonClient, JsonObject
from stellarstream_horizon.failures import (
    WITHOUT_META,
    GoneError,
    NotFoundError,
    RequestRefusedError,
    UnprovenError,
    UnreadableError,
    WrongPageError,
)
from stellarstream_horizon.records import (
    BadRecordError,
    HashMismatchError,
    LedgerRecord,
    MetaAbsentError,
    Record,
    closed_at,
    read_ledger_record,
    sequence_of,
    token_of,
)
from stellarstream_horizon.toid import after_ledger, before, ledger_of

NEAR_TIP = 16
"""Ledgers below the latest that one of several servers behind an address may not have yet."""

PROBES = (20, 200, 200, 200)
"""Transactions looked at, page by page, until one shows that the server hands out their meta."""

SAMPLE = 20
"""Ledgers below the tip that tell how long a ledger takes and how many transactions it holds."""

SMALLEST_SLOW_PAGE = 10
"""Pages are not made smaller than this because one timed out."""

GROW_AFTER = 16
"""Full pages after which larger ones are tried again."""

Found = LedgerRecord | AttemptError
"""A ledger's record, or what is wrong with it."""


class Endpoint:
    """A server behind an address. ``oldest`` and ``latest`` are 0 until it told them.

    ``latest`` never goes back: behind a load balancer a later answer may come from a server that is
    behind. ``now_latest`` is what was said last. ``mean_transactions`` is how many a ledger usually holds.
    """

    def __init__(self, client: HorizonClient, passphrase: str, page_limit: int) -> None:
        self.client = client
        self.shown = client.shown
        self.unusable: tuple[Reason, str] | None = None
        self.passphrase: str | None = None
        self.protocol: int | None = None
        self.version = ""
        self.warning: str | None = None
        self.oldest = 0
        self.latest = 0
        self.now_latest = 0
        self.latest_closed_at: int | None = None
        self.ledger_seconds: float | None = None
        self.mean_transactions = 100.0
        self.page_limit = page_limit
        self._most_a_page = page_limit
        self._good_pages = 0
        self.failures = 0
        self.told = False
        self.cooling_until = 0.0
        self.foreign = False
        self.without_meta = False
        self.checked = False
        self._wanted_passphrase = passphrase
        self._lock = asyncio.Lock()

    # --- what it is -------------------------------------------------------------------------

    async def check(self) -> None:
        """Make sure, once, that the server is of the right network and hands out meta, and learn its range.

        Sets ``unusable`` where it is not; raises :class:`AttemptError` where it does not answer.
        """
        async with self._lock:
            if self.checked:
                return
            root = await self._root()
            passphrase = root.get("network_passphrase")
            if not isinstance(passphrase, str) or not passphrase:
                raise WrongAnswerError(f"{self.shown} does not tell its network's passphrase: is it a Horizon?")
            self.passphrase = passphrase
            self.protocol = whole_number(root.get("current_protocol_version"))
            version = root.get("horizon_version")
            self.version = version[:100] if isinstance(version, str) else ""
            if passphrase != self._wanted_passphrase:
                self.foreign = True
                self.refuse(f"{self.shown} is of another network: {passphrase!r:.100}.")
            else:
                self._note_range(root)
                await self._sample()
                await self._probe()
            self.checked = True

    def check_again(self) -> None:
        """Have the server checked before its next use: after an outage another one may answer."""
        self.checked = False

    def refuse(self, detail: str) -> None:
        """Never use the server again."""
        self.unusable = (Reason.UNSUPPORTED, detail)

    async def _root(self) -> JsonObject:
        try:
            return await self.client.get("/")
        except NotFoundError as error:
            raise WrongAnswerError(f"{error.message} There is no Horizon at this address.") from None

    async def _sample(self) -> None:
        """Learn from the latest ledgers how long one takes and what it holds."""
        raw = await self.client.records("/ledgers", {"order": "desc", "limit": min(SAMPLE, self.page_limit)})
        try:
            found = [one for one in self._ledger_records(raw) if isinstance(one, LedgerRecord)]
        except ProtocolUpgradeNeededError:
            return  # reading the ledger will say so, with its number
        if not found:
            raise WrongAnswerError(f"{self.shown} shows no ledger that can be read.")
        newest, oldest = found[0], found[-1]
        self.note_ledger(newest.sequence, newest.header.close_time)
        self.mean_transactions = sum(one.transactions for one in found) / len(found)
        span = newest.sequence - oldest.sequence
        if span > 0 and newest.header.close_time > oldest.header.close_time:
            self.ledger_seconds = (newest.header.close_time - oldest.header.close_time) / span

    async def _probe(self) -> None:
        """Refuse the server where recent transactions come without meta, or with an empty one.

        Only a successful transaction can show that its meta is whole; one without any can be seen at
        once. Where there is none at all in what is looked at, every ledger's meta is checked anyway.
        """
        cursor = ""
        for limit in PROBES:
            params = {"order": "desc", "limit": min(limit, self.page_limit), "include_failed": "true"}
            raw = await self._page("/transactions", {**params, "cursor": cursor} if cursor else params)
            for record in raw:
                try:
                    token = token_of(record)
                    if read_one(record, ledger_of(token)).succeeded:
                        return
                except MetaAbsentError as error:
                    self.without_meta = True
                    self.refuse(f"{self.shown} cannot serve events: {error}. {WITHOUT_META}")
                    return
                except ProtocolUpgradeNeededError:
                    return  # reading the ledger will say so, with its number
                except (BadRecordError, XdrError) as error:
                    raise WrongAnswerError(f"{self.shown}: {str(error).rstrip('.')}.") from None
                cursor = str(token)
            if not raw:
                return

    # --- what it has ------------------------------------------------------------------------

    async def read_range(self) -> tuple[int, int]:
        """Ask for the oldest and the latest ledger that the server has now."""
        return self._note_range(await self._root())

    def _note_range(self, root: JsonObject) -> tuple[int, int]:
        oldest, latest = (whole_number(root.get(f"history_{which}_ledger")) for which in ("elder", "latest"))
        if oldest is None or latest is None or not 0 < oldest <= latest <= LAST_LEDGER:
            raise WrongAnswerError(f"{self.shown} says that it has ledgers {oldest} to {latest}.")
        self.note_ledger(latest, closed_at(root, "history_latest_ledger_closed_at"))
        self.oldest, self.now_latest = oldest, latest
        return oldest, latest

    def note_ledger(self, sequence: int, closed: int | None) -> None:
        """Remember that the server has a ledger; ``closed`` is its close time in Unix seconds."""
        self.now_latest = max(self.now_latest, sequence)
        if sequence > self.latest or (sequence == self.latest and closed is not None):
            self.latest, self.latest_closed_at = sequence, closed

    async def ledger(self, sequence: int) -> LedgerRecord:
        """Return one ledger's record, or raise the :class:`AttemptError` that says why it cannot be had."""
        record = await self.client.get(f"/ledgers/{sequence}")
        if "sequence" not in record:
            raise UnreadableError(f"{self.shown} answered ledgers/{sequence} with something that is not a ledger.")
        (found,) = self._ledger_records([record])
        if isinstance(found, AttemptError):
            raise found
        if found.sequence != sequence:
            raise WrongAnswerError(f"{self.shown} answered with ledger {found.sequence} instead of {sequence}.")
        return found

    async def ledgers(self, wanted: LedgerRange) -> dict[int, Found]:
        """Return the record of each ledger of a range, or what is wrong with it, in order.

        An ascending query that begins before the server's history is moved to its oldest ledger
        without a word, so the first record's sequence says whether this happened.
        """
        found: dict[int, Found] = {}
        following = wanted.first
        while following <= wanted.last:
            raw = await self._page("/ledgers", _ascending(after_ledger(following - 1), wanted.last - following + 1))
            try:
                sequences = [sequence_of(record) for record in raw]
            except BadRecordError as error:
                raise WrongPageError(f"{self.shown}: {error}.") from None
            if sequences != sorted(set(sequences)) or (sequences and sequences[0] < following):
                raise WrongPageError(f"{self.shown} sent ledgers {str(sequences[:3])[1:-1]}… after {following - 1}.")
            upto = min(sequences[-1], wanted.last) if sequences else wanted.last
            for sequence in range(following, upto + 1):
                found[sequence] = NotFoundError(f"{self.shown} leaves out ledger {sequence}.")
            for sequence, one in zip(sequences, self._ledger_records(raw), strict=True):
                if sequence <= wanted.last:
                    found[sequence] = one
            following = upto + 1
        if counts := [one.transactions for one in found.values() if isinstance(one, LedgerRecord)]:
            self.mean_transactions = sum(counts) / len(counts)
        return found

    def _ledger_records(self, raw: Sequence[Record]) -> list[Found]:
        found: list[Found] = []
        for record in raw:
            try:
                found.append(read_ledger_record(record))
            except HashMismatchError as error:
                found.append(UnprovenError(f"header-hash: {error} ({self.shown})"))
            except BadRecordError as error:
                found.append(WrongAnswerError(f"{self.shown}: {error}."))
        return found

    async def transactions(self, tokens: Sequence[int], ledger: int | None = None) -> list[Record]:
        """Return the records of transactions that follow on one another, or raise an :class:`AttemptError`.

        ``tokens`` are their paging tokens, which the ledgers' counts tell in advance: whatever else
        comes back (a clamp, a hole, a repetition, another ledger's transaction) is seen at once.
        ``ledger`` asks that ledger alone for them.
        """
        path = "/transactions" if ledger is None else f"/ledgers/{ledger}/transactions"
        found: list[Record] = []
        while len(found) < len(tokens):
            expected = tokens[len(found) :]
            raw = await self._page(path, {**_ascending(before(expected[0]), len(expected)), "include_failed": "true"})
            try:
                got = [token_of(record) for record in raw]
            except BadRecordError as error:
                raise WrongPageError(f"{self.shown}: {error}.") from None
            if not got:
                raise self._lacking(expected[0])
            for token, wanted in zip(got, expected, strict=False):
                if token != wanted:
                    raise WrongPageError(
                        f"{self.shown} sent the transaction {token} of ledger {ledger_of(token)} "
                        f"where {wanted} of ledger {ledger_of(wanted)} comes."
                    )
            found += raw[: len(expected)]
        return found

    def _lacking(self, token: int) -> AttemptError:
        ledger = ledger_of(token)
        if ledger > self.latest - NEAR_TIP:
            return LaggingError(f"{self.shown} does not have the transactions of ledger {ledger} yet.")
        return WrongPageError(f"{self.shown} has fewer transactions in ledger {ledger} than it says.")

    async def _page(self, path: str, params: dict[str, Any]) -> list[JsonObject]:
        """Return a page, asking for smaller ones where those asked for are too large for the server or for us."""
        while True:
            limit = min(int(params["limit"]), self.page_limit)
            try:
                records = (await self.client.records(path, {**params, "limit": limit}))[:limit]
            except TimedOutError:
                if limit > SMALLEST_SLOW_PAGE:
                    self._shrink(max(SMALLEST_SLOW_PAGE, limit // 2))
                raise
            except (OverlongError, RequestRefusedError) as error:
                if limit == 1 or (isinstance(error, RequestRefusedError) and error.field != "limit"):
                    raise
                self._shrink(limit // 2)
            else:
                self._good_pages += limit == self.page_limit
                if self._good_pages >= GROW_AFTER:
                    self.page_limit, self._good_pages = min(2 * self.page_limit, self._most_a_page), 0
                return records

    def _shrink(self, limit: int) -> None:
        self.page_limit, self._good_pages = limit, 0

    def explained(self, ledger: int, error: AttemptError) -> AttemptError:
        """Return what a failure over a ledger means, seen with the range that the server told last.

        What is missing may have been dropped meanwhile, or may not be there yet.
        """
        if error.endpoint_fault:
            return error
        if ledger < self.oldest:
            return GoneError(f"{self.shown} keeps ledgers from {self.oldest} on.")
        if isinstance(error, NotFoundError) and ledger > min(self.now_latest, self.latest - NEAR_TIP):
            return LaggingError(f"{self.shown} does not have ledger {ledger} yet.")
        return error


def _ascending(cursor: int, limit: int) -> dict[str, Any]:
    return {"cursor": str(cursor), "order": "asc", "limit": limit}
