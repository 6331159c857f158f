"""API keys: made and taken back by the operator, kept as hashes, good for one account and some scopes.

A key is ``ss_ID_SECRET``: a public id of 12 base62 characters, by which it is found and talked about,
and a secret of 43, which are 256 random bits. Of the secret only its SHA-256 is stored. A slow, salted
hash protects passwords, which people choose and attackers guess; 2^256 random secrets cannot be
guessed at any speed, so a fast hash gives nothing away and keeps a request cheap.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import choice
from string import ascii_letters, digits
from typing import Literal

from peewee import Database, Model, fn
from pydantic import SecretStr

from stellarstream_core.api.auth.errors import (
    KeyExpiredError,
    KeyMalformedError,
    KeyRequestError,
    KeyRevokedError,
    KeyUnknownError,
    NoSuchKeyError,
)
from stellarstream_core.api.auth.identity import Identity
from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.storage import Storage
from stellarstream_core.storage.tables import ApiKey
from stellarstream_core.xdr.strkey import account_id_bytes, contract_id_bytes

PREFIX = "ss"
ID_LENGTH = 12
SECRET_LENGTH = 43
"""43 base62 characters are 256.03 bits."""

READ = "read"
WRITE = "write"
LONGEST_NAME = 100
MOST_SCOPES = 32

USE_NOTED_SECONDS = 3_600
"""How often the time of a key's last use is written at most."""

_BASE62 = digits + ascii_letters
_KEY = re.compile(rf"{PREFIX}_([0-9A-Za-z]{{{ID_LENGTH}}})_([0-9A-Za-z]{{{SECRET_LENGTH}}})")
_SCOPE = re.compile(rf"{READ}|{WRITE}|[a-z][a-z0-9-]{{0,30}}:[a-z][a-z0-9-]{{0,30}}")
_NO_HASH = "0" * 64

State = Literal["active", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """All that is known of a key but its secret. Times are Unix seconds."""

    id: str
    account: str
    scopes: tuple[str, ...]
    name: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    def state(self, now: float) -> State:
        """Say whether the key is good; one that was revoked stays so."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: ``key`` is the whole of it, to be handed over now and never again."""

    info: KeyInfo
    key: SecretStr


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is stored, or that there is none."""

    info: KeyInfo | None
    secret_hash: str = field(default=_NO_HASH, repr=False)


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return scopes in order, each once.

    ``read`` and ``write`` are the framework's; a plugin's are ``NAME:ACTION``, so that a mistyped word is
    no scope of nobody. Raises ``KeyRequestError``.
    """
    found = tuple(sorted(set(scopes)))
    if not found or len(found) > MOST_SCOPES:
        raise KeyRequestError(f"A key has 1 to {MOST_SCOPES} scopes, not {len(found)}.")
    for scope in found:
        if not _SCOPE.fullmatch(scope):
            raise KeyRequestError(
                f"{scope!r:.80} is not a scope.",
                help="Scopes are 'read', 'write' and those of plugins, 'NAME:ACTION' in small letters.",
            )
    return found


def create_key(
    storage: Storage,
    account: str,
    scopes: Iterable[str],
    *,
    name: str = "",
    expires_at: int | None = None,
    now: int | None = None,
) -> NewKey:
    """Make a key for an account (G… or C…). Raises ``KeyRequestError`` where it makes no sense.

    ``now`` is when it is made (Unix seconds; None: the present moment).
    """
    now = int(time.time()) if now is None else now
    _check_account(account)
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise KeyRequestError(f"A key's name is at most {LONGEST_NAME} printable characters.")
    if expires_at is not None and expires_at <= now:
        raise KeyRequestError("A key cannot expire before it is made.")
    info = KeyInfo(_random(ID_LENGTH), account, checked_scopes(scopes), name, now, expires_at)
    secret = _random(SECRET_LENGTH)

    def insert(database: Database) -> None:
        ApiKey.insert(
            id=info.id,
            secret_hash=_hashed(secret),
            account=account,
            scopes=" ".join(info.scopes),
            name=name,
            created_at=now,
            expires_at=expires_at,
        ).execute(database)

    storage.write(insert)
    return NewKey(info, SecretStr(f"{PREFIX}_{info.id}_{secret}"))


def list_keys(storage: Storage, account: str | None = None) -> Sequence[KeyInfo]:
    """Return every key, or those of an account, newest first; the revoked and expired too."""

    def query(database: Database) -> list[KeyInfo]:
        found = ApiKey.select().order_by(ApiKey.created_at.desc(), ApiKey.id)
        if account is not None:
            found = found.where(ApiKey.account == account)
        return [_info(row) for row in found.execute(database)]

    return storage.read(query)


def revoke_key(storage: Storage, key_id: str) -> KeyInfo:
    """Take a key back, and return it; one that was revoked keeps its time. Raises ``NoSuchKeyError``.

    Every worker refuses it within five seconds.
    """
    now = int(time.time())

    def change(database: Database) -> KeyInfo | None:
        (ApiKey.update(revoked_at=fn.COALESCE(ApiKey.revoked_at, now)).where(ApiKey.id == key_id).execute(database))
        return _find(database, key_id).info

    if not re.fullmatch(rf"[0-9A-Za-z]{{{ID_LENGTH}}}", key_id):
        help = "Give the 12 characters between 'ss_' and the secret." if _KEY.fullmatch(key_id) else None
        raise NoSuchKeyError("This is not the id of a key.", help=help)
    info = storage.write(change)
    if info is None:
        raise NoSuchKeyError(f"There is no key with the id {key_id}.")
    return info


def find_key(storage: Storage, key_id: str) -> StoredKey:
    """Return a key by its id, as it is stored."""
    return storage.read(lambda database: _find(database, key_id))


def note_use(storage: Storage, key_id: str, now: int, *, wait_seconds: float = 5.0) -> bool:
    """Write when a key was used, unless that was done within the hour; return whether it was written."""

    def change(database: Database) -> bool:
        old = ApiKey.last_used_at.is_null() | (ApiKey.last_used_at <= now - USE_NOTED_SECONDS)
        return bool(ApiKey.update(last_used_at=now).where((ApiKey.id == key_id) & old).execute(database))

    return storage.write(change, wait_seconds=wait_seconds)


def split_key(text: str) -> tuple[str, str]:
    """Return the id and the hash of the secret of a key's text. Raises ``KeyMalformedError``, which shows nothing."""
    parts = _KEY.fullmatch(text)
    if parts is None:
        raise KeyMalformedError("The text is no API key.")
    return parts[1], _hashed(parts[2])


def identity_of(stored: StoredKey, secret_hash: str, now: float) -> Identity:
    """Return whom a key stands for, if the secret is its own.

    The comparison takes the same time whatever the secret, and is made where there is no such key too.
    Raises ``KeyUnknownError``, and only to who has the secret ``KeyRevokedError`` or ``KeyExpiredError``.
    """
    same = hmac.compare_digest(stored.secret_hash, secret_hash)
    info = stored.info
    if info is None or not same:
        raise KeyUnknownError("The API key is not known.")
    state = info.state(now)
    if state == "revoked":
        raise KeyRevokedError("The API key was revoked.")
    if state == "expired":
        raise KeyExpiredError("The API key has expired.")
    return Identity(info.account, "key", frozenset(info.scopes), info.id)


def _find(database: Database, key_id: str) -> StoredKey:
    for row in ApiKey.select().where(ApiKey.id == key_id).execute(database):
        return StoredKey(_info(row), row.secret_hash)
    return StoredKey(None)


def _info(row: Model) -> KeyInfo:
    found: ApiKey = row  # type: ignore[assignment]  # peewee's rows are untyped
    return KeyInfo(
        found.id,
        found.account,
        tuple(found.scopes.split()),
        found.name,
        found.created_at,
        found.expires_at,
        found.revoked_at,
        found.last_used_at,
    )


def _check_account(account: str) -> None:
    try:
        account_id_bytes(account)
    except InvalidStrkeyError:
        try:
            contract_id_bytes(account)
        except InvalidStrkeyError:
            raise KeyRequestError(f"{account!r:.80} is not an account (G… or C…).") from None


def _random(length: int) -> str:
    return "".join(choice(_BASE62) for _ in range(length))


def _hashed(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
