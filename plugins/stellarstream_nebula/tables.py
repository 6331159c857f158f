# ruff: noqa: D106 - Meta is where peewee reads a model's options
"""The plugin's tables as peewee models, for ordinary queries and for other plugins to join with.

They are bound to no database: run a query with ``query.execute(database)`` inside ``Storage.read`` or
``Storage.write``. Amounts are decimal text (i128 fits no column that every dialect has, and SQL must not
sum them), times Unix seconds, event ids those of ``stellarstream_core.events``.
"""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, Model, TextField


class NebulaTurn(Model):
    """One row. Whoever changes streams, totals or links counts here first, and so waits for the others."""

    id = BigIntegerField(primary_key=True)
    changes = BigIntegerField()

    class Meta:
        table_name = "nebula_turn"


class NebulaContract(Model):
    """A served contract and its family; ``origin`` says who named it: ``setting`` or ``spec``, read at ``ledger``."""

    contract_id = TextField(primary_key=True)
    family = TextField()
    origin = TextField()
    ledger = BigIntegerField(null=True)

    class Meta:
        table_name = "nebula_contracts"


class NebulaStream(Model):
    """A stream: its folded state, and the columns it is found by, which heed the facts read from the chain too.

    ``base_status`` is what the clock has no part in: ACTIVE is COMPLETED once ``completes_at`` has come. What is listed
    by status is found by ``shown_status``, in which the clock's part is written a little later.
    ``amount``, ``withdrawn`` and ``held`` are what the totals count, null where nothing tells.
    """

    key = TextField(primary_key=True)
    contract_id = TextField()
    stream_id = TextField()
    family = TextField()
    sender = TextField(null=True)
    receiver = TextField(null=True)
    beneficiary = TextField(null=True)
    token = TextField(null=True)
    memo = TextField(null=True)
    base_status = TextField()
    shown_status = TextField()
    completes_at = BigIntegerField(null=True)
    amount = TextField(null=True)
    withdrawn = TextField(null=True)
    held = TextField(null=True)
    created_event = TextField()
    created_ledger = BigIntegerField()
    created_at = BigIntegerField()
    updated_ledger = BigIntegerField()
    tx_hash = TextField()
    state = BlobField()

    class Meta:
        table_name = "nebula_streams"


class NebulaFacts(Model):
    """What the chain said of a stream: its newest read, and an earlier one that is not ahead of the fold.

    It outlives a rebuild: what was deleted on chain cannot be read again.
    """

    key = TextField(primary_key=True)
    ledger = BigIntegerField()
    facts = BlobField()
    earlier_ledger = BigIntegerField(null=True)
    earlier = BlobField(null=True)

    class Meta:
        table_name = "nebula_facts"


class NebulaLink(Model):
    """An entry of a key's audit log; see ``stellarstream_nebula.audit``.

    ``hash`` is null until it is sealed, and means nothing behind the end of its chain. ``contract_id`` is that of the
    key, ``type`` the event's name, ``digest`` the SHA-256 of its record, ``since`` the revision of the chain in which
    it was linked for the first time.
    """

    key = TextField()
    event_id = TextField()
    contract_id = TextField()
    type = TextField()
    digest = BlobField()
    hash = BlobField(null=True)
    since = BigIntegerField(null=True)

    class Meta:
        table_name = "nebula_links"
        primary_key = CompositeKey("key", "event_id")


class NebulaChain(Model):
    """The end of a key's chain: how many links are sealed, the last one's hash and event, and how often it was cut."""

    key = TextField(primary_key=True)
    links = BigIntegerField()
    head = BlobField()
    last_event = TextField()
    revision = BigIntegerField()

    class Meta:
        table_name = "nebula_chains"


class NebulaChainRevision(Model):
    """An end that a chain had, until ``replaced_by_event`` came to belong before it."""

    key = TextField()
    revision = BigIntegerField()
    links = BigIntegerField()
    head = BlobField()
    last_event = TextField()
    replaced_by_event = TextField()
    replaced_at = BigIntegerField()

    class Meta:
        table_name = "nebula_chain_revisions"
        primary_key = CompositeKey("key", "revision")


class NebulaSeal(Model):
    """What is sealed of a contract's entries: from ``first_event`` on, up to and including (``event_id``, ``key``).

    Of older entries that are being taken in, those behind (``walk_event``, ``walk_key``) and before ``walk_end`` were
    not looked at yet; all three are empty where none are.
    """

    contract_id = TextField(primary_key=True)
    first_event = TextField()
    event_id = TextField()
    key = TextField()
    walk_event = TextField()
    walk_key = TextField()
    walk_end = TextField()

    class Meta:
        table_name = "nebula_seals"


class NebulaRelink(Model):
    """A key whose chain was cut, and is being linked on from there."""

    key = TextField(primary_key=True)

    class Meta:
        table_name = "nebula_relinks"


class NebulaTotal(Model):
    """Sums over the streams of a contract, token (empty where unknown) and base status.

    ``held`` is what the contract still owes; it leaves out the ``untold`` streams, of which that is not known.
    """

    contract_id = TextField()
    token = TextField()
    base_status = TextField()
    streams = BigIntegerField()
    amount = TextField()
    withdrawn = TextField()
    held = TextField()
    untold = BigIntegerField()

    class Meta:
        table_name = "nebula_totals"
        primary_key = CompositeKey("contract_id", "token", "base_status")


class NebulaCompletion(Model):
    """How many ACTIVE streams the clock completes in a span of ``days`` (Unix seconds / 86,400 / days).

    The token ``*`` stands for all of them, known or not. Spans are single days and longer ones, so that the sum up to a
    day takes few rows.
    """

    contract_id = TextField()
    token = TextField()
    days = BigIntegerField()
    span = BigIntegerField()
    streams = BigIntegerField()

    class Meta:
        table_name = "nebula_completions"
        primary_key = CompositeKey("contract_id", "token", "days", "span")


class NebulaParty(Model):
    """How many streams an address sends or receives (``role``)."""

    role = TextField()
    address = TextField()
    streams = BigIntegerField()

    class Meta:
        table_name = "nebula_parties"
        primary_key = CompositeKey("role", "address")


class NebulaCount(Model):
    """Counters by name: ``senders`` and ``receivers`` that have a stream, ``events`` in journals."""

    name = TextField(primary_key=True)
    value = BigIntegerField()

    class Meta:
        table_name = "nebula_counts"


class NebulaWaitingMove(Model):
    """What moved in a stream whose token is not known yet, so that it counts for none; see ``nebula_hours``."""

    key = TextField()
    event_id = TextField()
    closed_at = BigIntegerField()
    kind = TextField()
    amount = TextField()

    class Meta:
        table_name = "nebula_waiting_moves"
        primary_key = CompositeKey("key", "event_id")


class NebulaHour(Model):
    """What moved in an ``hour`` (Unix seconds / 3,600), by token."""

    contract_id = TextField()
    hour = BigIntegerField()
    token = TextField()
    created = TextField()
    topped_up = TextField()
    withdrawn = TextField()

    class Meta:
        table_name = "nebula_hours"
        primary_key = CompositeKey("contract_id", "hour", "token")


class NebulaTransaction(Model):
    """A signed envelope that was taken for relay, and what became of it.

    ``sequence`` is the number of the account that it uses up. ``accepted_ledger`` is the chain's newest when it was
    taken: it cannot stand in that or an earlier one. ``sent_at`` is when it was last handed in, null while it never
    was. ``status`` is PENDING, SUCCESS or FAILED; the error of one that is PENDING is why a node refused it.
    """

    hash = TextField(primary_key=True)
    envelope = BlobField()
    account = TextField()
    sequence = BigIntegerField()
    contract_id = TextField()
    function = TextField()
    status = TextField()
    submitted_at = BigIntegerField()
    valid_until = BigIntegerField()
    accepted_ledger = BigIntegerField()
    sent_at = BigIntegerField(null=True)
    ledger = BigIntegerField(null=True)
    result = BlobField(null=True)
    error_code = TextField(null=True)
    error_text = TextField(null=True)
    updated_at = BigIntegerField()

    class Meta:
        table_name = "nebula_transactions"


class NebulaYieldSample(Model):
    """What a vault said at ``ledger``: ``interest`` accrued on ``principal``, and what so many shares are worth.

    Either is null where the vault does not tell it.
    """

    vault = TextField()
    ledger = BigIntegerField()
    token = TextField(null=True)
    closed_at = BigIntegerField()
    principal = TextField()
    interest = TextField(null=True)
    value = TextField(null=True)

    class Meta:
        table_name = "nebula_yield_samples"
        primary_key = CompositeKey("vault", "ledger")


TABLES: tuple[type[Model], ...] = (
    NebulaTurn,
    NebulaContract,
    NebulaStream,
    NebulaFacts,
    NebulaLink,
    NebulaChain,
    NebulaChainRevision,
    NebulaSeal,
    NebulaRelink,
    NebulaTotal,
    NebulaCompletion,
    NebulaParty,
    NebulaCount,
    NebulaWaitingMove,
    NebulaHour,
    NebulaTransaction,
    NebulaYieldSample,
)
"""Every table, in the order the first migration makes them."""
