"""One endpoint: what it is, what it has, and pages of it. Used only after it was checked."""

from __future__ import annotations

import asyncio
from binascii import Error as BinasciiError
from binascii import a2b_base64
from hashlib import sha256
from typing import Any

from stellarstream_core.endpoints.http import whole_number
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.event_list import BadPageError, OldNodeError
from stellarstream_soroban_rpc.failures import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    CursorRefusedError,
    RetentionError,
    RpcError,
    UnsupportedError,
    WrongAnswerError,
    ledger_range_in,
    refined,
)
from stellarstream_soroban_rpc.pages import (
    QUERY_IDS_PER_REQUEST,
    Ask,
    Page,
    get_events_params,
    query_events_params,
    read_get_events,
    read_query_events,
)
from stellarstream_soroban_rpc.versions import judge_version

_NO_SUCH_LEDGER = 2**31 - 1
"""Asked for to be told the range: no node has it, and the refusal names what the node has."""

CLOSE_TIMES_KEPT = 64
"""Newest ledgers whose close time is remembered: a window may end a little behind the latest one."""

_HEX_DIGITS = frozenset("0123456789abcdef")


class Endpoint:
    """A node behind an address. ``oldest`` and ``latest`` are 0 until it told them.

    ``latest`` never goes back: behind a load balancer a later answer may come from a node that is
    behind. ``oldest`` is what was said last, for it does move back when a node is filled up.
    """

    def __init__(self, client: RpcClient, passphrase: str, *, query_events: bool) -> None:
        self.client = client
        self.shown = client.shown
        self.unusable: tuple[Reason, str] | None = None
        self.passphrase: str | None = None
        self.protocol: int | None = None
        self.version: str | None = None
        self.warning: str | None = None
        self.oldest = 0
        self.latest = 0
        self.latest_closed_at: int | None = None
        self.ledger_seconds: float | None = None
        self.close_times: dict[int, int] = {}
        """When ledgers closed that were the latest when the node told it, in Unix seconds."""
        self.most_events = 10_000
        self.offers_query: bool | None = None if query_events else False
        self.failures = 0
        self.told = False
        """Whether the log says that it does not answer."""
        self.cooling_until = 0.0
        self.foreign = False
        self.checked = False
        self._wanted_passphrase = passphrase
        self._lock = asyncio.Lock()

    async def check(self) -> None:
        """Make sure, once, that the node is of the right network and version, and learn its range.

        Sets ``unusable`` where it is not; raises :class:`AttemptError` where it does not answer.
        """
        async with self._lock:
            if self.checked:
                return
            network = await self._object("getNetwork")
            passphrase = network.get("passphrase")
            if not isinstance(passphrase, str) or not passphrase:
                raise WrongAnswerError(f"{self.shown} does not tell its network's passphrase.")
            self.passphrase = passphrase
            self.protocol = whole_number(network.get("protocolVersion"))
            if passphrase != self._wanted_passphrase:
                self.foreign = True
                self.refuse(Reason.UNSUPPORTED, f"{self.shown} is of another network: {passphrase!r:.100}.")
            else:
                await self._check_version()
            if self.unusable is None:
                await self.read_range()
                await self._probe()
            self.checked = True

    def check_again(self) -> None:
        """Have the node checked before its next use: after an outage another one may answer."""
        self.checked = False

    def refuse(self, reason: Reason, detail: str) -> None:
        """Never use the endpoint again."""
        self.unusable = (reason, detail)

    async def _probe(self) -> None:
        """Make sure that the node has what is needed of it; here anything will do."""

    async def _read_version(self) -> None:
        try:
            self.version = str((await self._object("getVersionInfo")).get("version") or "")
        except RpcError as error:
            if error.rpc_code != METHOD_NOT_FOUND:
                raise
            self.version = None

    async def _check_version(self) -> None:
        await self._read_version()
        verdict = judge_version(self.shown, self.version)
        self.warning = verdict.warning
        if verdict.refusal:
            self.refuse(Reason.UNSUPPORTED, verdict.refusal)

    async def read_range(self) -> int:
        """Ask what the node has now and return its oldest ledger.

        getHealth is an error while the last close is older than 30 seconds, which says nothing
        about the ledgers the node has; then the refusal of an impossible ledger tells them.
        """
        try:
            health = await self._object("getHealth")
        except RpcError as error:
            return await self._range_from_refusal(error)
        oldest, latest = health.get("oldestLedger"), health.get("latestLedger")
        if type(oldest) is not int or type(latest) is not int or not 0 < oldest <= latest <= LAST_LEDGER:
            raise WrongAnswerError(f"{self.shown} says that it has ledgers {oldest!r:.20} to {latest!r:.20}.")
        self.note(
            oldest,
            latest,
            whole_number(health.get("latestLedgerCloseTime")),
            whole_number(health.get("oldestLedgerCloseTime")),
        )
        return oldest

    async def _range_from_refusal(self, health_error: RpcError) -> int:
        try:
            await self.client.call("getEvents", {"startLedger": _NO_SUCH_LEDGER, "filters": []})
        except RpcError as error:
            found = ledger_range_in(error.text)
            if found is None or not 0 < found[0] <= found[1] <= LAST_LEDGER:
                raise health_error from None
            self.note(*found)
            return found[0]
        raise WrongAnswerError(f"{self.shown} takes ledger {_NO_SUCH_LEDGER} for one that it has.")

    def note(self, oldest: int, latest: int, closed_at: int | None = None, oldest_closed_at: int | None = None) -> None:
        """Remember what an answer said of the node's range; times are Unix seconds."""
        self.oldest = oldest
        if closed_at is not None:
            self.close_times.setdefault(latest, closed_at)
            if len(self.close_times) > CLOSE_TIMES_KEPT:
                del self.close_times[min(self.close_times)]
        if latest > self.latest or (latest == self.latest and closed_at is not None):
            self.latest, self.latest_closed_at = latest, closed_at
        if closed_at is not None and oldest_closed_at is not None and latest > oldest and closed_at > oldest_closed_at:
            self.ledger_seconds = (closed_at - oldest_closed_at) / (latest - oldest)

    async def offers_query_events(self) -> bool:
        """Tell whether the node has queryEvents, by asking once for its newest ledger.

        Raises :class:`AttemptError` where that cannot be told now.
        """
        if self.offers_query is None:
            try:
                latest = Ask(Scope.of("*"), self.latest, self.latest, 1)
                await self.client.call("queryEvents", query_events_params(latest))
            except RpcError as error:
                if error.rpc_code not in {METHOD_NOT_FOUND, INVALID_PARAMS}:
                    raise
                self.offers_query = False
            else:
                self.offers_query = True
        return self.offers_query

    async def page(self, ask: Ask) -> Page:
        """Return a checked page; raise an :class:`AttemptError` that says what to do about it."""
        query = bool(self.offers_query) and (ask.group.everything or len(ask.group) <= QUERY_IDS_PER_REQUEST)
        method, params = ("queryEvents", query_events_params(ask)) if query else ("getEvents", get_events_params(ask))
        try:
            answer = await self.client.call(method, params)
        except RpcError as error:
            meaning = refined(error, ask.first)
            if query and isinstance(meaning, UnsupportedError):
                # A beta method may change: go on with getEvents, which knows nothing of its cursors.
                self.offers_query = False
                raise CursorRefusedError(error.shown, error.rpc_code, error.text) from None
            if isinstance(meaning, RetentionError):
                self.note(meaning.oldest, meaning.latest)
            raise meaning from None
        try:
            page = (read_query_events if query else read_get_events)(answer.result, ask, answer.size)
        except OldNodeError:
            detail = f"{self.shown} numbers events as stellar-rpc before v23 did; its ids cannot be used."
            self.refuse(Reason.UNSUPPORTED, detail)
            raise WrongAnswerError(detail) from None
        except BadPageError as error:
            raise WrongAnswerError(f"{self.shown} sent a page that cannot be right: {error}.") from None
        self.note(page.oldest, page.latest, page.latest_closed_at, page.oldest_closed_at)
        return page

    async def ledger_hash(self, sequence: int) -> str | None:
        """Return a ledger's header hash, None where the node has no such ledger or method.

        Raises :class:`WrongAnswerError` for another ledger than the one asked for, or for a hash
        that is not its header's: the node reads ledgers without a check of its own.
        """
        params = {"startLedger": sequence, "pagination": {"limit": 1}, "xdrFormat": "base64"}
        try:
            answer = await self.client.call("getLedgers", params)
        except RpcError as error:
            if "must be between" in error.text or ledger_range_in(error.text) or error.rpc_code == METHOD_NOT_FOUND:
                return None
            raise
        result = answer.result
        ledgers = result.get("ledgers") if isinstance(result, dict) else None
        if not isinstance(ledgers, list):
            raise WrongAnswerError(f"{self.shown} answered getLedgers without ledgers.")
        if not ledgers:
            return None
        ledger = ledgers[0]
        if not isinstance(ledger, dict) or ledger.get("sequence") != sequence:
            raise WrongAnswerError(f"{self.shown} answered with another ledger than {sequence}.")
        found = ledger.get("hash")
        if not isinstance(found, str) or len(found) != 64 or not _HEX_DIGITS.issuperset(found):
            raise WrongAnswerError(f"{self.shown} gives ledger {sequence} a hash that is none.")
        if not _fits(found, ledger.get("headerXdr")):
            raise WrongAnswerError(f"{self.shown} gives ledger {sequence} a hash that is not its header's.")
        return found

    async def _object(self, method: str) -> dict[str, Any]:
        # No params at all: the node refuses even empty ones for methods that take none.
        result = (await self.client.call(method)).result
        if not isinstance(result, dict):
            raise WrongAnswerError(f"{self.shown} answered {method} with something that is not an object.")
        return result


def _fits(found: str, header: object) -> bool:
    """Tell whether a hash is that of the header, where the answer has one that can be checked.

    ``headerXdr`` is a LedgerHeaderHistoryEntry: hash, header, and an extension of which only the
    empty one (four zero bytes) is defined.
    """
    if not isinstance(header, str):
        return True
    try:
        raw = a2b_base64(header, strict_mode=True)
    except (BinasciiError, ValueError):
        return False
    if raw[-4:] != bytes(4):
        return True
    return raw[:32].hex() == found and sha256(raw[32:-4]).hexdigest() == found
