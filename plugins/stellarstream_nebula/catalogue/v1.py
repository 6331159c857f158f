"""The first stream contract: symbol-first topics, structs as data.

Today's release says nothing when tokens are withdrawn, a stream is cancelled or its receiver changes; the
releases of 2026-02-20 to 2026-03-25 did.
"""

from __future__ import annotations

from stellarstream_nebula.model import V1
from stellarstream_nebula.shapes import (
    ADDRESS,
    BOOL,
    BYTES32,
    CASE,
    I128,
    U32,
    U64,
    VOID,
    Family,
    Shape,
    either,
    named,
    one_of,
    positions,
    record,
    scalar,
)

ROLE = one_of("SuperAdmin", "FinancialOperator", "Guardian")

HEAD = (
    # A proposal and a stream have the same topics; only the keys tell them apart.
    Shape(
        "create",
        named(sender=ADDRESS),
        record(
            deadline=U64,
            end_time=U64,
            proposal_id=U64,
            receiver=ADDRESS,
            required_approvals=U32,
            sender=ADDRESS,
            start_time=U64,
            timestamp=U64,
            token=ADDRESS,
            total_amount=I128,
        ),
        variant="proposal",
    ),
    Shape(
        "approve",
        named(approver=ADDRESS),
        record(approval_count=U32, approver=ADDRESS, proposal_id=U64, required_approvals=U32, timestamp=U64),
    ),
    Shape(
        "create",
        named(sender=ADDRESS),
        record(
            end_time=U64,
            receiver=ADDRESS,
            sender=ADDRESS,
            start_time=U64,
            stream_id=U64,
            timestamp=U64,
            token=ADDRESS,
            total_amount=I128,
        ),
        variant="stream",
    ),
    Shape("soulbound", named("locked"), positions(stream_id=U64, receiver=ADDRESS)),
    Shape("grant", named(target=ADDRESS), positions(role=ROLE)),
    Shape("revoke", named(target=ADDRESS), positions(role=ROLE)),
    Shape("upgrade", named(admin=ADDRESS), scalar(new_wasm_hash=BYTES32)),
    Shape(
        "topup",
        named(stream_id=U64),
        record(amount=I128, new_end_time=U64, new_total=I128, sender=ADDRESS, stream_id=U64, timestamp=U64),
    ),
    Shape("pause", named(stream_id=U64), record(pauser=ADDRESS, stream_id=U64, timestamp=U64)),
    Shape("resume", named(stream_id=U64), record(paused_duration=U64, resumer=ADDRESS, stream_id=U64, timestamp=U64)),
    Shape(
        "RequestCreated",
        named(request_id=U64),
        record(duration=U64, receiver=ADDRESS, request_id=U64, timestamp=U64, token=ADDRESS, total_amount=I128),
    ),
    Shape(
        "RequestExecuted",
        named(request_id=U64),
        record(executor=ADDRESS, request_id=U64, stream_id=U64, timestamp=U64),
    ),
)

HISTORICAL = (
    # 2026-02-20 and the day after
    Shape("create", named(sender=ADDRESS), scalar(stream_id=U64), variant="scalar"),
    Shape("withdraw", named(receiver=ADDRESS), positions(stream_id=U64, amount=I128)),
    Shape("cancel", named(stream_id=U64), scalar(sender=ADDRESS), variant="id-topic"),
    # until 2026-03-25
    Shape(
        "claim",
        named(receiver=ADDRESS),
        record(amount=I128, claimer=ADDRESS, stream_id=U64, timestamp=U64, total_claimed=I128),
    ),
    Shape(
        "cancel",
        named(caller=ADDRESS),
        record(canceller=ADDRESS, stream_id=U64, timestamp=U64, to_receiver=I128, to_sender=I128),
        variant="struct",
    ),
    Shape(
        "pause",
        named(caller=ADDRESS),
        record(pauser=ADDRESS, stream_id=U64, timestamp=U64),
        variant="address-topic",
    ),
    Shape(
        "unpause",
        named(caller=ADDRESS),
        record(paused_duration=U64, stream_id=U64, timestamp=U64, unpauser=ADDRESS),
    ),
    Shape("pause", named(pauser=ADDRESS), scalar(paused=BOOL), variant="contract-level"),
    # A token's own transfer has three topics or more.
    Shape(
        "transfer",
        named(from_=ADDRESS),
        record(from_=ADDRESS, stream_id=U64, timestamp=U64, to=ADDRESS),
        variant="receipt",
    ),
    Shape("transfer", named(stream_id=U64), scalar(new_receiver=ADDRESS), variant="receiver-1"),
    Shape("transfer", named("receiver"), positions(stream_id=U64, new_receiver=ADDRESS), variant="receiver-2"),
    # single days of February 2026
    Shape(
        "CLAWBACK",
        named("SECURITY"),
        record(
            amount_clawed=I128,
            issuer=ADDRESS,
            officer=ADDRESS,
            reason=either(BYTES32, VOID),
            stream_id=U64,
            timestamp=U64,
        ),
    ),
    Shape("freeze", named(stream_id=U64), record(arbiter=ADDRESS, stream_id=U64, timestamp=U64)),
    Shape(
        "resolve",
        named(stream_id=U64),
        record(arbiter=ADDRESS, stream_id=U64, timestamp=U64, to_receiver=I128, to_sender=I128),
    ),
    Shape("delegate", named(stream_id=U64), positions(caller=ADDRESS, delegate=ADDRESS)),
    Shape(
        "interest",
        named(stream_id=U64),
        record(to_protocol=I128, to_receiver=I128, to_sender=I128, total_interest=I128),
    ),
    Shape("mig_strm", named(admin=ADDRESS), scalar(stream_id=U64)),
    Shape("migrate", named(admin=ADDRESS), scalar(target_version=U32)),
    Shape("fl_exec", named(receiver=ADDRESS), positions(token=ADDRESS, amount=I128, fee=I128)),
    Shape("vault", named(action=one_of("approve", "revoke")), scalar(vault=ADDRESS)),
    Shape("grant", named(admin=ADDRESS), positions(account=ADDRESS, role=CASE), variant="account-role"),
    Shape(
        "restrict",
        named(address=ADDRESS),
        scalar(restricted=BOOL),
        also=("unrest", "unrestric", "unrestrict"),
    ),
    Shape(
        "restrict",
        named(address=ADDRESS),
        record(address=ADDRESS, restricted=BOOL, timestamp=U64),
        variant="struct",
        also=("unrest", "unrestric", "unrestrict"),
    ),
    Shape("al_add", named(), scalar(token=ADDRESS)),
    Shape("al_rem", named(), scalar(token=ADDRESS)),
    Shape("al_set", named(), scalar(enabled=BOOL)),
)

STREAMS_V1 = Family(V1, "Payment streams, first contract.", HEAD, HISTORICAL)
