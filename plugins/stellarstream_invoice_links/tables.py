# ruff: noqa: D106 - Meta is where peewee reads a model's options
"""The plugin's tables as peewee models. Amounts are decimal text, times Unix seconds, ids of events those of the core.

They are bound to no database: run a query with ``query.execute(database)`` inside ``Storage.read`` or
``Storage.write``.
"""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, Model, TextField


class InvoiceTurn(Model):
    """One row. Whoever settles, or writes what settlement reads, counts here first, and so waits for the others.

    ``ledger`` is the newest one whose creations were taken in; ``build`` counts how often the projection was built.
    """

    id = BigIntegerField(primary_key=True)
    changes = BigIntegerField()
    ledger = BigIntegerField()
    build = BigIntegerField()

    class Meta:
        table_name = "invoice_turn"


class InvoiceLink(Model):
    """A link. ``terms`` is the digest of what it asks for; a deleted one keeps its row, and its slug.

    ``submitted`` and ``payer`` are of the newest submission, ``completed_event`` is the creation that completed it and
    ``completed_at`` when its ledger closed. ``after_ledger`` is what :attr:`InvoiceTurn.ledger` was when it was made:
    no creation up to there pays it. What follows from the others for an index is the database's alone: ``own``
    (its owner is who is paid), ``open_until`` (the last second in which it can be paid) and ``amount_key`` (the
    amount with leading zeros).
    """

    id = TextField(primary_key=True)
    slug = TextField()
    owner = TextField()
    contract_id = TextField()
    family = TextField()
    receiver = TextField()
    token = TextField()
    amount = TextField()
    duration = BigIntegerField()
    start = BigIntegerField(null=True)
    cliff = BigIntegerField(null=True)
    terms = TextField()
    description = TextField(null=True)
    pdf_url = TextField(null=True)
    expires_at = BigIntegerField(null=True)
    created_at = BigIntegerField()
    updated_at = BigIntegerField()
    canceled_at = BigIntegerField(null=True)
    deleted_at = BigIntegerField(null=True)
    submitted = TextField(null=True)
    payer = TextField(null=True)
    completed_event = TextField(null=True)
    completed_at = BigIntegerField(null=True)
    after_ledger = BigIntegerField(default=lambda: InvoiceTurn.select(InvoiceTurn.ledger).where(InvoiceTurn.id == 1))

    class Meta:
        table_name = "invoice_links"


class InvoiceSubmission(Model):
    """A transaction that was submitted for a link.

    ``origin`` is ``service`` where this service checked and relayed it (one link a transaction: the database refuses a
    second), and ``owner`` where the link's owner says so; ``claimed`` is 1 where the owner says so, whatever else.
    ``arguments`` are the call's, as XDR of a vector of ScVals, None where only the owner names the hash.
    """

    tx_hash = TextField()
    link_id = TextField()
    origin = TextField()
    payer = TextField(null=True)
    arguments = BlobField(null=True)
    submitted_at = BigIntegerField()
    claimed = BigIntegerField(default=0)

    class Meta:
        table_name = "invoice_submissions"
        primary_key = CompositeKey("tx_hash", "link_id")


class InvoiceCreation(Model):
    """A stream on chain that pays the receiver of a link in its token.

    ``net``, ``start`` and ``end`` are the event's. ``arguments`` are those of its transaction's call as for
    submissions; ``known`` says how far they are: ``unknown`` (not read), ``known``, ``other`` (the transaction is no
    call of ``create_stream`` on this contract) or ``unreadable`` (nobody keeps the transaction any more). ``wanted``:
    settlement needs them; ``tries`` counts the reads that failed, ``next_try`` is when to try again. ``basis`` is the
    digest of what they say but for start and cliff, ``due`` is 1 while it is to be judged, ``build`` the newest build
    of the projection that took it in.
    """

    event_id = TextField(primary_key=True)
    stream = TextField()
    contract_id = TextField()
    family = TextField()
    tx_hash = TextField()
    ledger = BigIntegerField()
    closed_at = BigIntegerField()
    sender = TextField(null=True)
    receiver = TextField()
    token = TextField()
    net = TextField(null=True)
    start = BigIntegerField(null=True)
    end = BigIntegerField(null=True)
    memo = TextField(null=True)
    known = TextField()
    arguments = BlobField(null=True)
    wanted = BigIntegerField()
    tries = BigIntegerField()
    next_try = BigIntegerField()
    basis = TextField(null=True)
    due = BigIntegerField(default=0)
    build = BigIntegerField(default=0)

    class Meta:
        table_name = "invoice_creations"


class InvoicePayment(Model):
    """A creation that is tied to a link, and what it is to it. At most one a link completes it: the database's rule."""

    link_id = TextField()
    event_id = TextField()
    matched_by = TextField()
    outcome = TextField()
    gross = TextField(null=True)

    class Meta:
        table_name = "invoice_payments"
        primary_key = CompositeKey("link_id", "event_id")


class InvoiceToken(Model):
    """What a token says of itself: how many decimals, its symbol and name, as read at ``ledger``."""

    token = TextField(primary_key=True)
    decimals = BigIntegerField()
    symbol = TextField()
    name = TextField()
    ledger = BigIntegerField()
    read_at = BigIntegerField()

    class Meta:
        table_name = "invoice_tokens"


TABLES: tuple[type[Model], ...] = (
    InvoiceTurn,
    InvoiceLink,
    InvoiceSubmission,
    InvoiceCreation,
    InvoicePayment,
    InvoiceToken,
)
"""Every table, in the order the first migration makes them."""
