# ruff: noqa: D106 - Meta is where peewee reads a model's options
"""The projector's tables as peewee models; every database has them. ``projection`` is a projection's name.

They are bound to no database: run a query with ``query.execute(database)`` inside ``Storage.read``.
Only the projector writes them. All times are Unix seconds.
"""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, Model, TextField


class ProjectionRow(Model):
    """How far a projection is: everything up to ``position`` is taken in, and of the next commit up to ``after_event``.

    ``step`` grows with every write of any of these tables for the projection: whoever writes compares it.
    ``fingerprint`` and ``epoch`` are those it is built under. ``clearing`` is 1 while what the projection itself
    wrote in an earlier build is being removed, then 2 while journal and states are; until ``target`` is reached
    the projection is being built again. ``trouble`` says why it stopped.
    """

    name = TextField(primary_key=True)
    fingerprint = TextField()
    epoch = TextField()
    position = BigIntegerField()
    after_event = TextField()
    step = BigIntegerField()
    clearing = BigIntegerField()
    target = BigIntegerField()
    trouble = TextField(null=True)
    updated_at = BigIntegerField()

    class Meta:
        table_name = "projections"


class ContractRow(Model):
    """A contract that the projection follows or has followed; see ``stellarstream_core.projection.contracts``.

    ``fingerprint`` is what its events' result depends on. ``phase`` is ``known`` where it is taken in, ``away`` where
    it is not followed any more, ``coming`` while its stored events are being taken in: those up to ``after_event`` are.
    """

    projection = TextField()
    contract_id = TextField()
    fingerprint = TextField()
    phase = TextField()
    after_event = TextField()

    class Meta:
        table_name = "projection_contracts"
        primary_key = CompositeKey("projection", "contract_id")


class EntryRow(Model):
    """The journal: an event that belongs to a key, or to a group of keys."""

    projection = TextField()
    key = TextField()
    event_id = TextField()

    class Meta:
        table_name = "projection_entries"
        primary_key = CompositeKey("projection", "key", "event_id")


class StateRow(Model):
    """A key's state after ``last_event_id``, the greatest of the events it was folded from."""

    projection = TextField()
    key = TextField()
    last_event_id = TextField()
    state = BlobField()

    class Meta:
        table_name = "projection_states"
        primary_key = CompositeKey("projection", "key")


class MemberRow(Model):
    """A key that folds a group's events as well as its own."""

    projection = TextField()
    group_key = TextField()
    key = TextField()

    class Meta:
        table_name = "projection_members"
        primary_key = CompositeKey("projection", "group_key", "key")


class PendingRow(Model):
    """A group whose members are being folded anew: events from ``from_event_id``, members above ``after_key``.

    ``floor`` is the lowest ledger of those events that reach waits for, null where they are all of contracts whose
    reach is not told yet.
    """

    projection = TextField()
    group_key = TextField()
    from_event_id = TextField()
    after_key = TextField()
    floor = BigIntegerField(null=True)

    class Meta:
        table_name = "projection_pending"
        primary_key = CompositeKey("projection", "group_key")


class UnknownRow(Model):
    """Events of one contract and one shape that the projection does not know."""

    projection = TextField()
    contract_id = TextField()
    shape = TextField()
    count = BigIntegerField()
    first_event_id = TextField()
    last_event_id = TextField()

    class Meta:
        table_name = "projection_unknown"
        primary_key = CompositeKey("projection", "contract_id", "shape")


class ReachRow(Model):
    """How far a contract's events are folded; see ``stellarstream_core.projections.Reached``."""

    projection = TextField()
    contract_id = TextField()
    ledger = BigIntegerField()
    closed_at = BigIntegerField()
    complete = BigIntegerField()
    watermark = BigIntegerField()
    first = BigIntegerField(null=True)

    class Meta:
        table_name = "projection_reach"
        primary_key = CompositeKey("projection", "contract_id")


TABLES: tuple[type[Model], ...] = (
    ProjectionRow,
    ContractRow,
    EntryRow,
    StateRow,
    MemberRow,
    PendingRow,
    UnknownRow,
    ReachRow,
)
"""Every table, in the order the migration makes them."""
