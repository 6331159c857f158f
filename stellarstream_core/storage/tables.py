# ruff: noqa: D106 - Meta is where peewee reads a model's options
"""The framework's own tables that serve the API, as peewee models; every database has them.

They are bound to no database: run a query with ``query.execute(database)`` inside ``Storage.read``
or ``Storage.write``. All times are Unix seconds.
"""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, Model, TextField


class ApiKey(Model):
    """An API key; ``secret_hash`` is the SHA-256 of its secret part, ``scopes`` are separated by spaces."""

    id = TextField(primary_key=True)
    secret_hash = TextField()
    account = TextField()
    scopes = TextField()
    name = TextField()
    created_at = BigIntegerField()
    expires_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)
    last_used_at = BigIntegerField(null=True)

    class Meta:
        table_name = "api_keys"


class ApiChallenge(Model):
    """A SEP-10 challenge that was used, by its transaction's hash: no worker takes it again."""

    hash = TextField(primary_key=True)
    expires_at = BigIntegerField()

    class Meta:
        table_name = "api_challenges"


class ApiIdempotency(Model):
    """A request made with an ``Idempotency-Key``, and its answer once it is ``done``."""

    caller = TextField()
    route = TextField()
    key_hash = TextField()
    body_hash = TextField()
    state = TextField()
    status = BigIntegerField(null=True)
    headers = TextField(null=True)
    body = BlobField(null=True)
    started_at = BigIntegerField()
    expires_at = BigIntegerField()

    class Meta:
        table_name = "api_idempotency"
        primary_key = CompositeKey("caller", "route", "key_hash")


TABLES: tuple[type[Model], ...] = (ApiKey, ApiChallenge, ApiIdempotency)
"""Every table, in the order the first migration makes them."""
