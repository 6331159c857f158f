"""The second stream contract: ``NebulaEvent`` data, and the stream's id as the first topic.

A ``NebulaEvent`` has its fields by position only, so their number is what tells one release from the next. The
releases of 2026-03-24 to 2026-04-24 had structs and symbol-first topics (variant ``struct``).
"""

from __future__ import annotations

from stellarstream_nebula.model import V2
from stellarstream_nebula.shapes import (
    ADDRESS,
    BOOL,
    BYTES32,
    ENUM,
    I128,
    SYMBOL,
    U32,
    U64,
    VOID,
    Family,
    Shape,
    either,
    many,
    maybe,
    named,
    nebula,
    numbered,
    positions,
    record,
    scalar,
)

STREAM = numbered(stream_id=U64)
"""The topics of whatever happens to one stream."""

OF_A_STREAM = (
    # The amount is net of the protocol's fee.
    Shape(
        "create_v2",
        STREAM,
        nebula(
            stream_id=U64,
            sender=ADDRESS,
            receiver=ADDRESS,
            token=ADDRESS,
            stream_amount_net_of_fee=I128,
            start_time=U64,
            cliff_time=U64,
            end_time=U64,
            now=U64,
            memo=either(SYMBOL, VOID),
        ),
        variant="10-items",
    ),
    Shape(
        "create_v2",
        STREAM,
        nebula(
            stream_id=U64,
            sender=ADDRESS,
            receiver=ADDRESS,
            token=ADDRESS,
            stream_amount_net_of_fee=I128,
            start_time=U64,
            cliff_time=U64,
            end_time=U64,
            now=U64,
        ),
        variant="9-items",
    ),
    Shape(
        "split_exec",
        STREAM,
        nebula(stream_id=U64, sender=ADDRESS, receiver=ADDRESS, stream_amount=I128, memo=SYMBOL, now=U64),
    ),
    Shape(
        "bridge_in",
        STREAM,
        nebula(stream_id=U64, from_=ADDRESS, receiver=ADDRESS, amount_gross=I128, duration=U64, now=U64),
    ),
    Shape(
        "permit",
        STREAM,
        nebula(
            stream_id=U64,
            receiver=ADDRESS,
            token=ADDRESS,
            stream_amount_net=I128,
            cliff_time=U64,
            nonce=U64,
            now=U64,
        ),
    ),
    Shape(
        "sig_claim",
        STREAM,
        nebula(
            stream_id=U64,
            receiver=ADDRESS,
            token=ADDRESS,
            stream_amount_net=I128,
            expiration_ledger=U32,
            nonce=U64,
            now=U64,
        ),
    ),
    Shape(
        "swap_stream",
        STREAM,
        nebula(
            stream_id=U64,
            sender=ADDRESS,
            receiver=ADDRESS,
            asset_in=ADDRESS,
            asset_out=ADDRESS,
            amount_in=I128,
            amount_out_gross=I128,
            min_amount_out=I128,
            now=U64,
        ),
    ),
    Shape("migrated", STREAM, nebula(v2_stream_id=U64, v1_stream_id=U64, caller=ADDRESS, remaining=I128, now=U64)),
    Shape("claim", STREAM, nebula(stream_id=U64, beneficiary=ADDRESS, amount=I128, total_withdrawn=I128, now=U64)),
    # Ten-thousandths of the token's smallest unit, in dust_amount alone.
    Shape(
        "dust",
        STREAM,
        record(
            dust_amount=I128,
            split_address=ADDRESS,
            split_amount=I128,
            split_bps=U32,
            stream_id=U64,
            timestamp=U64,
            to_withdraw=I128,
            token=ADDRESS,
        ),
    ),
    Shape(
        "meta_wdrw",
        STREAM,
        nebula(stream_id=U64, beneficiary=ADDRESS, to_receiver=I128, relayer_fee=I128, now=U64),
    ),
    Shape(
        "cancel",
        STREAM,
        nebula(stream_id=U64, caller=ADDRESS, to_receiver_incl_penalty=I128, to_sender=I128, now=U64),
    ),
    Shape(
        "archived",
        STREAM,
        nebula(stream_id=U64, total_amount=I128, withdrawn_amount=I128, caller=ADDRESS, now=U64),
    ),
    Shape("benefic", STREAM, nebula(stream_id=U64, previous=ADDRESS, new=ADDRESS, now=U64)),
    Shape(
        "split",
        STREAM,
        record(beneficiary=ADDRESS, split_address=either(ADDRESS, VOID), split_bps=U32, stream_id=U64, timestamp=U64),
    ),
    Shape(
        "top_up",
        STREAM,
        nebula(stream_id=U64, sender=ADDRESS, extra_amount=I128, new_total_amount=I128, new_end_time=U64, now=U64),
    ),
    Shape(
        "rate_propose",
        STREAM,
        nebula(
            stream_id=U64,
            proposed_by=ADDRESS,
            current_rate=I128,
            new_rate=I128,
            new_end_time=U64,
            expires_at=U64,
            now=U64,
        ),
    ),
    Shape(
        "rate_accept",
        STREAM,
        nebula(stream_id=U64, accepted_by=ADDRESS, new_rate=I128, new_end_time=U64, remaining_balance=I128, now=U64),
    ),
    # The reason is 0 where the proposal expired and 1 where somebody took it back.
    Shape("rate_cancel", STREAM, nebula(stream_id=U64, caller=ADDRESS, reason=U32, now=U64)),
    Shape(
        "refill",
        STREAM,
        nebula(stream_id=U64, sender=ADDRESS, amount=I128, new_start_time=U64, new_end_time=U64, now=U64),
    ),
)

OF_THE_CONTRACT = (
    Shape("btch_crt", named(sender=ADDRESS), nebula(sender=ADDRESS, count=U32, total_net=I128, now=U64)),
    Shape(
        "req_init",
        named(request_id=U64),
        nebula(
            request_id=U64,
            sender=ADDRESS,
            receiver=ADDRESS,
            token=ADDRESS,
            total_amount=I128,
            threshold=U32,
            now=U64,
        ),
    ),
    Shape(
        "req_appr",
        named(request_id=U64),
        nebula(request_id=U64, approver=ADDRESS, approvals=U32, threshold=U32, now=U64),
    ),
    Shape("req_exec", named(request_id=U64), nebula(request_id=U64, stream_id=U64, now=U64)),
    Shape("adm_xfer", named(new_admin=ADDRESS), nebula(previous_admin=ADDRESS, new_admin=ADDRESS, now=U64)),
    # The whole contract: there is no pause of a single stream here.
    Shape("pause", named(admin=ADDRESS), nebula(admin=ADDRESS, now=U64)),
    Shape("unpause", named(admin=ADDRESS), nebula(admin=ADDRESS, now=U64)),
    Shape("decomm", named(admin=ADDRESS), record(admin=ADDRESS, claim_deadline=U64, timestamp=U64)),
    Shape("emergency", named(admin=ADDRESS), nebula(admin=ADDRESS, active=BOOL, now=U64)),
    Shape("mig_paus", named(admin=ADDRESS), nebula(admin=ADDRESS, now=U64)),
    Shape("mig_unps", named(admin=ADDRESS), nebula(admin=ADDRESS, now=U64)),
    # Changes every stream of the token that is not cancelled.
    Shape(
        "rebalance",
        named(token=ADDRESS),
        nebula(token=ADDRESS, total_remaining=I128, contract_balance=I128, reduction_factor_bps=I128, now=U64),
    ),
    Shape("schedule", named(), nebula(execution_time=U64)),
    Shape("executed", named(), nebula(now=U64)),
    Shape("fee_out", named(treasury=ADDRESS), nebula(treasury=ADDRESS, token=ADDRESS, amount=I128, now=U64)),
    Shape("dao_split", named(token=ADDRESS), nebula(caller=ADDRESS, token=ADDRESS, now=U64)),
    Shape(
        "ts_init",
        named(split_id=U64),
        nebula(split_id=U64, initiator=ADDRESS, token=ADDRESS, unlock_time=U64),
    ),
    Shape("ts_exec", named(split_id=U64), nebula(split_id=U64, caller=ADDRESS, now=U64)),
    Shape("dust_out", named(admin=ADDRESS), nebula(asset=ADDRESS, amount=I128, admin=ADDRESS, now=U64)),
    Shape("rec_init", named(initiator=ADDRESS), scalar(now=U64)),
    Shape("rec_exec", named(destination=ADDRESS), scalar(balance=I128)),
)

HISTORICAL = (
    Shape(
        "create_v2",
        named(sender=ADDRESS),
        record(
            cliff_time=U64,
            end_time=U64,
            receiver=ADDRESS,
            sender=ADDRESS,
            start_time=U64,
            stream_id=U64,
            timestamp=U64,
            token=ADDRESS,
            total_amount=I128,
        ),
        variant="struct",
    ),
    Shape(
        "batch_create",
        named(sender=ADDRESS),
        record(sender=ADDRESS, stream_ids=many(U64), timestamp=U64, total_amount=I128, total_streams=U32),
        variant="struct",
        also=("batch_cr",),
    ),
    # Who was paid is a topic; releases before there were beneficiaries have the receiver there.
    Shape(
        "claim",
        named(beneficiary=ADDRESS),
        record(amount=I128, receiver=ADDRESS, stream_id=U64, timestamp=U64, total_claimed=I128),
        variant="struct",
    ),
    # The penalty is there in one release only.
    Shape(
        "cancel",
        named(caller=ADDRESS),
        record(
            canceller=ADDRESS,
            penalty=maybe(I128),
            stream_id=U64,
            timestamp=U64,
            to_receiver=I128,
            to_sender=I128,
        ),
        variant="struct",
    ),
    Shape(
        "migrated",
        named(caller=ADDRESS),
        record(caller=ADDRESS, migrated_amount=I128, timestamp=U64, v1_stream_id=U64, v2_stream_id=U64),
        variant="struct",
    ),
    Shape(
        "migrate",
        named(),
        positions(v1_stream_id=U64, v2_stream_id=U64, caller=ADDRESS, remaining=I128),
        variant="tuple",
    ),
    # The oldest release has no cliff_time.
    Shape(
        "permit",
        named(receiver=ADDRESS),
        record(
            cliff_time=maybe(U64),
            nonce=U64,
            receiver=ADDRESS,
            sender_pubkey=BYTES32,
            stream_id=U64,
            timestamp=U64,
            token=ADDRESS,
            total_amount=I128,
        ),
        variant="struct",
    ),
    Shape(
        "top_up",
        named(sender=ADDRESS),
        record(
            extra_amount=I128,
            new_end_time=U64,
            new_total_amount=I128,
            sender=ADDRESS,
            stream_id=U64,
            timestamp=U64,
        ),
        variant="struct",
    ),
    Shape(
        "benefic",
        named(stream_id=U64),
        record(new_beneficiary=ADDRESS, previous_beneficiary=ADDRESS, stream_id=U64, timestamp=U64),
        variant="struct",
    ),
    Shape(
        "adm_xfer",
        named(new_admin=ADDRESS),
        record(new_admin=ADDRESS, previous_admin=ADDRESS, timestamp=U64),
        variant="struct",
    ),
    Shape("pause", named(admin=ADDRESS), record(admin=ADDRESS, timestamp=U64), variant="struct"),
    Shape("unpause", named(admin=ADDRESS), record(admin=ADDRESS, timestamp=U64), variant="struct"),
    Shape(
        "rebalance",
        named(token=ADDRESS),
        record(
            contract_balance=I128,
            reduction_factor_bps=I128,
            timestamp=U64,
            token=ADDRESS,
            total_remaining=I128,
        ),
        variant="struct",
    ),
    Shape("schedule", named(), record(execution_time=U64, op=ENUM), variant="struct"),
    Shape("executed", named(), record(op=ENUM), variant="struct"),
)

STREAMS_V2 = Family(V2, "Payment streams, second contract.", OF_A_STREAM + OF_THE_CONTRACT, HISTORICAL)
