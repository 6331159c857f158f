"""The contract that splits a payment among many, and the one that deploys it. Neither makes streams."""

from __future__ import annotations

from stellarstream_nebula import model
from stellarstream_nebula.shapes import (
    ADDRESS,
    BOOL,
    BYTES32,
    I128,
    NOTHING,
    U32,
    U64,
    Family,
    Shape,
    either,
    named,
    one_of,
    positions,
    record,
    scalar,
)

HEAD = (
    Shape("splitter", named("executed", sender=ADDRESS), positions(amount=I128, timestamp=U64)),
    Shape("payment", named(recipient=ADDRESS, asset=ADDRESS), positions(amount=I128, bps=U32, timestamp=U64)),
    Shape("split", named(), scalar(distributable=I128)),
    Shape("affiliate", named(), scalar(amount=I128)),
    Shape("pullsplit", named(), scalar(distributable=I128)),
    Shape("claimed", named(recipient=ADDRESS), scalar(amount=I128)),
    Shape("masset", named(asset=ADDRESS), scalar(total_amount=I128)),
    Shape("splitstrt", named(sender=ADDRESS), scalar(recipient_count=U32)),
    Shape("paysent", named(recipient=ADDRESS), scalar(amount=I128)),
    # The contract's own name for it is release_ledger, but it holds a time.
    Shape("sched", named(split_id=U64), scalar(release_timestamp=U64)),
    Shape("cancel", named(split_id=U64), scalar(sender=ADDRESS)),
    Shape("recovery", named(), scalar(total_amount=I128)),
    Shape("aff_out", named(caller=ADDRESS), scalar(amount=I128)),
    Shape("verified", named(user=ADDRESS), scalar(status=BOOL)),
    Shape(
        "settings",
        named(proposal_id=U64),
        positions(variant=one_of("UpdateFee", "UpdateCollector"), value=either(U32, ADDRESS)),
    ),
    Shape("admprop", named(caller=ADDRESS), scalar(proposal_id=U64)),
    Shape("admapprv", named(caller=ADDRESS), scalar(proposal_id=U64)),
    Shape("setstate", named(proposal_id=U64), NOTHING),
)

HISTORICAL = (
    # 2026-04-23
    Shape("aff_pend", named(affiliate=ADDRESS), scalar(amount=I128)),
    Shape("paused", named(), scalar(paused=BOOL)),
)

SPLITTER = Family(model.SPLITTER, "Payments split among many.", HEAD, HISTORICAL)

SPLITTER_FACTORY = Family(
    model.SPLITTER_FACTORY,
    "Deploys splitters.",
    (Shape("deployed", named(creator=ADDRESS), record(child_address=ADDRESS, creator=ADDRESS, salt=BYTES32)),),
)
