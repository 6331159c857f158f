# ruff: noqa: D106 - Meta is where peewee reads a model's options
"""The tables as peewee models, for ordinary queries and for other plugins to join with.

They are bound to no database: run a query with ``query.execute(database)``. Events are written and
read by the texts in ``statements.py`` instead, past the ORM.
"""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, Model, TextField


class Store(Model):
    """One row: the database's history (epoch, position, network) and counters kept by commits."""

    id = BigIntegerField(primary_key=True)
    epoch = TextField()
    position = BigIntegerField()
    network_passphrase = TextField(null=True)
    events = BigIntegerField()
    conflicts = BigIntegerField()
    first_ledger = BigIntegerField(null=True)
    last_ledger = BigIntegerField(null=True)

    class Meta:
        table_name = "store"


class ContractSet(Model):
    """A set of contracts that windows were covered for, by the digest of its members."""

    id = BigIntegerField(primary_key=True)
    digest = TextField(unique=True)

    class Meta:
        table_name = "contract_sets"


class ContractSetMember(Model):
    """A contract id, or ``*``, in a set."""

    contract_id = TextField()
    contract_set_id = BigIntegerField()

    class Meta:
        table_name = "contract_set_members"
        primary_key = CompositeKey("contract_id", "contract_set_id")


class WindowRow(Model):
    """What one commit covered, without a gap; ``part_of`` names the first such row of the same commit."""

    id = BigIntegerField(primary_key=True)
    first_ledger = BigIntegerField()
    last_ledger = BigIntegerField()
    contract_set_id = BigIntegerField()
    evidence = TextField()
    source = TextField()
    flavour = TextField()
    part_of = BigIntegerField(null=True)
    created_at = BigIntegerField()

    class Meta:
        table_name = "windows"


class CoverageRun(Model):
    """The windows of one set and kind that touch, joined; ``window_id`` is the first of them."""

    contract_set_id = BigIntegerField()
    evidence = TextField()
    source = TextField()
    flavour = TextField()
    first_ledger = BigIntegerField()
    last_ledger = BigIntegerField()
    window_id = BigIntegerField()

    class Meta:
        table_name = "coverage"
        primary_key = CompositeKey("contract_set_id", "evidence", "source", "flavour", "first_ledger")


class Event(Model):
    """One contract event."""

    id = TextField()
    ledger = BigIntegerField()
    closed_at = BigIntegerField()
    tx_hash = TextField()
    event_index = BigIntegerField()
    contract_id = TextField(null=True)
    type = TextField()
    topic0 = BlobField(null=True)
    topic1 = BlobField(null=True)
    topic2 = BlobField(null=True)
    topic3 = BlobField(null=True)
    more_topics = BlobField(null=True)
    value = BlobField()
    window_id = BigIntegerField()

    class Meta:
        table_name = "events"
        primary_key = CompositeKey("ledger", "id")


class TransactionPlace(Model):
    """Which ledger a transaction is in, and its apply order where an event told it."""

    tx_hash = TextField(primary_key=True)
    ledger = BigIntegerField()
    tx_order = BigIntegerField(null=True)

    class Meta:
        table_name = "transactions"


class CommitRow(Model):
    """One commit: its position, the window it stored, and how many events (None: not known)."""

    position = BigIntegerField(primary_key=True)
    window_id = BigIntegerField()
    first_ledger = BigIntegerField()
    last_ledger = BigIntegerField()
    events = BigIntegerField(null=True)

    class Meta:
        table_name = "commits"


class SyncStateRow(Model):
    """First wanted ledger and watermark of a contract, or of ``*``."""

    contract_id = TextField(primary_key=True)
    start_ledger = BigIntegerField()
    last_ledger_sequence = BigIntegerField()

    class Meta:
        table_name = "sync_state"


class ConflictRow(Model):
    """An event that a source offered against what is stored; its content is all there."""

    event_id = TextField()
    digest = TextField()
    kind = TextField()
    ledger = BigIntegerField()
    closed_at = BigIntegerField()
    tx_hash = TextField()
    event_index = BigIntegerField()
    contract_id = TextField(null=True)
    type = TextField()
    topic0 = BlobField(null=True)
    topic1 = BlobField(null=True)
    topic2 = BlobField(null=True)
    topic3 = BlobField(null=True)
    more_topics = BlobField(null=True)
    value = BlobField()
    source = TextField()
    first_seen = BigIntegerField()
    last_seen = BigIntegerField()
    times_seen = BigIntegerField()

    class Meta:
        table_name = "conflicts"
        primary_key = CompositeKey("event_id", "digest")


class LinkRow(Model):
    """A ledger at an end of what was checked: checked itself, or named by the one after it (``followed``)."""

    ledger = BigIntegerField(primary_key=True)
    hash = TextField()
    checked = BigIntegerField()
    followed = BigIntegerField()

    class Meta:
        table_name = "links"


class AnchorRow(Model):
    """A ledger's header hash."""

    ledger = BigIntegerField(primary_key=True)
    hash = TextField()

    class Meta:
        table_name = "anchors"


class LedgerTimeRow(Model):
    """When a ledger closed, in Unix seconds."""

    ledger = BigIntegerField(primary_key=True)
    closed_at = BigIntegerField()

    class Meta:
        table_name = "ledger_times"


TABLES: tuple[type[Model], ...] = (
    Store,
    ContractSet,
    ContractSetMember,
    WindowRow,
    CoverageRun,
    Event,
    TransactionPlace,
    CommitRow,
    SyncStateRow,
    ConflictRow,
    AnchorRow,
)
"""Every table, in the order the first migration makes them."""
