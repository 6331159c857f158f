"""Requests with an ``Idempotency-Key`` run once: what comes again gets the answer that was stored.

A key belongs to a caller and a route for a day. ``begin`` claims it in the database, so it holds for all
workers on all machines; ``finish`` stores the answer, ``abandon`` gives the key back where there is none.

**What a handler must do.** It writes its effect and the answer in one transaction, with
``finish_within``: then the effect happens once whatever fails. A worker that is killed leaves a claim
without an effect; after ``LEASE_SECONDS`` the next request takes it over. Should the first one be alive
after all, only slow, or go on in a database thread after its request was given up, then its claim is
gone and ``finish_within`` raises, which undoes its effect too. A handler that uses ``finish`` after its
own transaction may run twice if its worker is killed in between; that is right only for effects that
can be repeated.

An answer above ``MOST_BODY_BYTES`` is not stored: the request does not run again, and who repeats it is
told so. Keys are stored hashed; answers are stored as they are, so one that holds a secret must not
come from a route that takes keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_hex
from typing import Any

from loguru import logger
from peewee import EXCLUDED, Database, Tuple

from stellarstream_core.api.problems import ApiProblem
from stellarstream_core.storage import Storage
from stellarstream_core.storage.tables import ApiIdempotency as Row

HEADER = "Idempotency-Key"
KEPT_SECONDS = 24 * 3600
"""How long a key means the same request."""
LEASE_SECONDS = 60
"""How long a claim without an answer is respected; a route that takes keys answers sooner, or is cancelled."""
MOST_BODY_BYTES = 256 * 1024
KEPT_HEADERS = frozenset({"content-type", "content-language", "etag", "link", "location"})
"""The headers that belong to an answer; the others belong to one sending of it."""
SWEEP_ROWS = 500
"""How many expired keys are removed in one transaction: others want to write too."""

RUNNING, DONE = "running", "done"
_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
_LONGEST_RETRY = 5


class InvalidIdempotencyKeyError(ApiProblem):
    """The header is empty, too long, or holds something else than visible ASCII."""

    code = "invalid-idempotency-key"
    title = "Invalid Idempotency-Key"
    status = 400
    help = "Use 1 to 255 visible ASCII characters, best a new UUID for each request."


class IdempotencyConflictError(ApiProblem):
    """The key was used for another request."""

    code = "idempotency-conflict"
    title = "Idempotency-Key used before"
    status = 422
    help = "Repeat a request with the very same body, or use a new key for a new request."


class StillRunningError(ApiProblem):
    """The first request with this key has not been answered yet."""

    code = "idempotency-running"
    title = "Request still running"
    status = 409
    help = "Send the same request again after as many seconds as Retry-After says."

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AnswerNotKeptError(ApiProblem):
    """The request was carried out before, but its answer was too large to be stored."""

    code = "idempotency-answer-not-kept"
    title = "Answer not kept"
    status = 409
    help = "The request was carried out: read what it made instead of repeating it."


class ClaimLostError(ApiProblem):
    """The request took so long, or was given up, that its key went to another one; nothing of it was kept."""

    code = "idempotency-claim-lost"
    title = "Request was overtaken"
    status = 409
    help = "Send the same request again with the same key."


IDEMPOTENCY_PROBLEMS: tuple[type[ApiProblem], ...] = (
    InvalidIdempotencyKeyError,
    IdempotencyConflictError,
    StillRunningError,
    AnswerNotKeptError,
    ClaimLostError,
)
"""What a route that takes keys may answer because of them."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A claim: this request, and no other with its key, is to be carried out."""

    caller: str
    route: str
    key_hash: str
    body_hash: str
    token: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that the request got when it was carried out."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def check_key(key: str) -> str:
    """Return the key as it is; raise :class:`InvalidIdempotencyKeyError` where it is none."""
    if not _KEY.fullmatch(key):
        raise InvalidIdempotencyKeyError(f"{HEADER} is no key.")
    return key


def hash_request(body: bytes, *context: str) -> str:
    """Return what two requests must have in common to be the same: the body, and path or query where they matter."""
    digest = sha256()
    for part in (body, *(text.encode() for text in context)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


class Idempotency:
    """The keys in a storage. All methods are synchronous; times are Unix seconds."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def begin(self, caller: str, route: str, key: str, body_hash: str, now: int) -> Begun | Replay:
        """Claim a key for a request, or return the answer that it had.

        ``caller`` and ``route`` name who asks and what for. Raises
        :class:`InvalidIdempotencyKeyError`, :class:`IdempotencyConflictError`,
        :class:`StillRunningError`, :class:`AnswerNotKeptError` and ``StorageError``.
        """
        key_hash = sha256(check_key(key).encode()).hexdigest()
        claim = Begun(caller, route, key_hash, body_hash, token_hex(16))
        # repeated requests are answered without waiting for a turn to write
        if (replay := self._storage.read(lambda database: _judge(_stored(database, claim), claim, now))) is not None:
            return replay
        return self._storage.write(lambda database: _claim(database, claim, now))

    def finish(
        self, begun: Begun, status: int, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes, now: int
    ) -> bool:
        """Store the answer in a transaction of its own; return whether the claim still stood.

        See the module for when that is right.
        """
        try:
            self._storage.write(lambda database: finish_within(database, begun, status, headers, body, now))
        except ClaimLostError:
            logger.warning("a request to {} was answered after its Idempotency-Key went to another", begun.route)
            return False
        return True

    def abandon(self, begun: Begun) -> None:
        """Give the key back: the request failed or was cancelled, and may be sent again. Safe to call twice."""
        self._storage.write(lambda database: Row.delete().where(_mine(begun)).execute(database))

    def sweep(self, now: int, limit: int = SWEEP_ROWS, *, wait_seconds: float = 5.0) -> int:
        """Remove expired keys, at most ``limit``, and return how many. Raises ``StorageError``."""
        expired = (
            Row.select(Row.caller, Row.route, Row.key_hash)
            .where(Row.expires_at <= now)
            .order_by(Row.expires_at)
            .limit(limit)
        )
        which = Tuple(Row.caller, Row.route, Row.key_hash).in_(expired)
        # asked once more: a key may have been claimed anew since the rows were chosen
        query = Row.delete().where(which & (Row.expires_at <= now))
        return self._storage.write(lambda database: int(query.execute(database)), wait_seconds=wait_seconds)


def finish_within(
    database: Database,
    begun: Begun,
    status: int,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    now: int,
) -> None:
    """Store the answer in the transaction that also writes the request's effect (``Storage.write``).

    Raises :class:`ClaimLostError`, which must undo that transaction.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    kept = [[name, value] for name, value in pairs if name.lower() in KEPT_HEADERS]
    changed = (
        Row.update(
            state=DONE,
            status=status,
            headers=json.dumps(kept),
            body=body if len(body) <= MOST_BODY_BYTES else None,
            expires_at=now + KEPT_SECONDS,
        )
        .where(_mine(begun))
        .execute(database)
    )
    if not changed:
        raise ClaimLostError("Another request has the key now.")


def _claim(database: Database, claim: Begun, now: int) -> Begun | Replay:
    """Write the claim where the key is new, expired or left behind; else judge what is there."""
    left_behind = (Row.state == RUNNING) & (Row.body_hash == claim.body_hash) & ~_is_running(now)
    insert = (
        Row.insert(
            caller=claim.caller,
            route=claim.route,
            key_hash=claim.key_hash,
            body_hash=claim.body_hash,
            state=RUNNING,
            status=None,
            headers=claim.token,  # the column is free until there is an answer, and says meanwhile whose turn it is
            body=None,
            started_at=now,
            expires_at=now + KEPT_SECONDS,
        )
        .on_conflict(
            conflict_target=[Row.caller, Row.route, Row.key_hash],
            update={
                field: getattr(EXCLUDED, field.column_name)
                for field in (
                    Row.body_hash,
                    Row.state,
                    Row.status,
                    Row.headers,
                    Row.body,
                    Row.started_at,
                    Row.expires_at,
                )
            },
            where=(Row.expires_at <= now) | left_behind,
        )
        .returning(Row.headers)
    )
    for _ in range(3):
        if list(insert.tuples().execute(database)):
            return claim
        if (replay := _judge(_stored(database, claim), claim, now)) is not None:
            return replay
        # it was given back between the two statements
    raise StillRunningError("Other requests with the same key come and go.", 1)


def _judge(row: Any, claim: Begun, now: int) -> Replay | None:
    """Return the stored answer, None where the key may be claimed; raise where it may not."""
    if row is None:
        return None
    body_hash, state, status, headers, body, started_at, expires_at = row
    if expires_at <= now:
        return None
    if body_hash != claim.body_hash:
        raise IdempotencyConflictError("This key was used for another request.")
    if state == DONE:
        if body is None:
            raise AnswerNotKeptError("The request was carried out; its answer was too large to be kept.")
        return Replay(int(status), tuple((name, value) for name, value in json.loads(headers)), bytes(body))
    if not now - LEASE_SECONDS < started_at <= now + LEASE_SECONDS:
        return None
    left = started_at + LEASE_SECONDS - now
    raise StillRunningError("The first request with this key is still running.", max(1, min(left, _LONGEST_RETRY)))


def _stored(database: Database, claim: Begun) -> Any:
    columns = (Row.body_hash, Row.state, Row.status, Row.headers, Row.body, Row.started_at, Row.expires_at)
    found = Row.select(*columns).where(_named(claim)).tuples().execute(database)
    return next(iter(found), None)


def _named(claim: Begun) -> Any:
    return (Row.caller == claim.caller) & (Row.route == claim.route) & (Row.key_hash == claim.key_hash)


def _mine(claim: Begun) -> Any:
    return _named(claim) & (Row.state == RUNNING) & (Row.headers == claim.token)


def _is_running(now: int) -> Any:
    """Return the condition that a claim is respected; one from the future is left over from another clock."""
    return (Row.started_at > now - LEASE_SECONDS) & (Row.started_at <= now + LEASE_SECONDS)
