"""The interfaces of the sandbox's contracts, as their code would state them."""

from __future__ import annotations

from stellarstream_sandbox.contract_spec import (
    ADDRESS,
    BOOL,
    I128,
    MUXED_ADDRESS,
    STRING,
    SYMBOL,
    U32,
    U64,
    U128,
    VOID,
    ContractSpec,
    Enumeration,
    ErrorEnum,
    Function,
    Struct,
    Type,
    Union,
    bytes_n,
    option,
    result,
    tuple_of,
    vec,
)
from stellarstream_sandbox.economy import bank, vault
from stellarstream_sandbox.economy.stream_v1 import Fault as V1Fault
from stellarstream_sandbox.economy.stream_v2 import Fault as V2Fault


def _functions(*functions: Function) -> dict[str, Function]:
    return {function.name: function for function in functions}


# --- tokens (SEP-41 and CAP-46-6) ---------------------------------------------------------------

TOKEN_FUNCTIONS = (
    Function("allowance", {"from": ADDRESS, "spender": ADDRESS}, I128),
    Function("approve", {"from": ADDRESS, "spender": ADDRESS, "amount": I128, "live_until_ledger": U32}),
    Function("balance", {"id": ADDRESS}, I128),
    Function("decimals", {}, U32),
    Function("name", {}, STRING),
    Function("symbol", {}, STRING),
    Function("transfer", {"from": ADDRESS, "to": MUXED_ADDRESS, "amount": I128}),
    Function("transfer_from", {"spender": ADDRESS, "from": ADDRESS, "to": ADDRESS, "amount": I128}),
)

TOKEN = ContractSpec(_functions(*TOKEN_FUNCTIONS), (ErrorEnum.of(bank.Fault, "TokenError"),))
"""A token of its own."""

ASSET = ContractSpec(
    _functions(
        *TOKEN_FUNCTIONS,
        Function("admin", {}, ADDRESS),
        Function("clawback", {"from": ADDRESS, "amount": I128}),
        Function("mint", {"to": ADDRESS, "amount": I128}),
    )
)
"""A classic asset's contract; it has no code, the host runs it."""

# --- the vault ----------------------------------------------------------------------------------

_VAULT_ERROR = ErrorEnum.of(vault.Fault, "VaultError")

VAULT = ContractSpec(
    _functions(
        Function("deposit", {"amount": I128}, result(I128, _VAULT_ERROR)),
        Function("withdraw", {"amount": I128}, result(I128, _VAULT_ERROR)),
        Function("get_value", {"shares": I128}, I128),
        Function("get_accrued_interest", {"amount": I128}, I128),
        Function("set_paused", {"paused": BOOL}),
    ),
    (_VAULT_ERROR,),
)

# --- the first stream contract ------------------------------------------------------------------

_V1_ERROR = ErrorEnum.of(V1Fault)
_CURVE = Enumeration("CurveType", {"Linear": 0, "Exponential": 1})
_STATE = Enumeration("StreamState", {"Active": 0, "Paused": 1, "Closed": 2})
_MILESTONE = Struct("Milestone", {"percentage": U32, "timestamp": U64})
_V1_STREAM = Struct(
    "Stream",
    {
        "arbiter": option(ADDRESS),
        "clawback_enabled": BOOL,
        "cliff_time": U64,
        "curve_type": _CURVE.type,
        "deposited_principal": I128,
        "end_time": U64,
        "interest_strategy": U32,
        "is_frozen": BOOL,
        "is_soulbound": BOOL,
        "is_usd_pegged": BOOL,
        "metadata": option(bytes_n(32)),
        "milestones": vec(_MILESTONE.type),
        "oracle_address": ADDRESS,
        "oracle_max_staleness": U64,
        "paused_time": U64,
        "price_max": I128,
        "price_min": I128,
        "receipt_owner": ADDRESS,
        "receiver": ADDRESS,
        "sender": ADDRESS,
        "start_time": U64,
        "state": _STATE.type,
        "token": ADDRESS,
        "total_amount": I128,
        "total_paused_duration": U64,
        "usd_amount": I128,
        "vault_address": option(ADDRESS),
        "withdrawn": I128,
        "withdrawn_amount": I128,
    },
)
_BY_CALLER = {"stream_id": U64, "caller": ADDRESS}

STREAMS_V1 = ContractSpec(
    _functions(
        Function(
            "create_stream",
            {
                "sender": ADDRESS,
                "receiver": ADDRESS,
                "token": ADDRESS,
                "total_amount": I128,
                "start_time": U64,
                "cliff_time": U64,
                "end_time": U64,
                "curve_type": _CURVE.type,
                "is_soulbound": BOOL,
            },
            result(U64, _V1_ERROR),
        ),
        Function("withdraw", _BY_CALLER, result(I128, _V1_ERROR)),
        Function("cancel", _BY_CALLER, result(VOID, _V1_ERROR)),
        Function("pause_stream", _BY_CALLER, result(VOID, _V1_ERROR)),
        Function("resume_stream", _BY_CALLER, result(VOID, _V1_ERROR)),
        Function("unpause_stream", _BY_CALLER, result(VOID, _V1_ERROR)),
        Function("top_up_stream", {"stream_id": U64, "sender": ADDRESS, "amount": I128}, result(VOID, _V1_ERROR)),
        Function("get_stream", {"stream_id": U64}, result(_V1_STREAM.type, _V1_ERROR)),
        Function(
            "create_proposal",
            {
                "sender": ADDRESS,
                "receiver": ADDRESS,
                "token": ADDRESS,
                "total_amount": I128,
                "start_time": U64,
                "end_time": U64,
                "required_approvals": U32,
                "deadline": U64,
            },
            result(U64, _V1_ERROR),
        ),
        Function("approve_proposal", {"proposal_id": U64, "approver": ADDRESS}, result(VOID, _V1_ERROR)),
        Function("upgrade", {"admin": ADDRESS, "new_wasm_hash": bytes_n(32)}),
    ),
    (_V1_STREAM, _MILESTONE, _CURVE, _STATE, _V1_ERROR),
)

# --- the second stream contract -----------------------------------------------------------------

_V2_ERROR = ErrorEnum.of(V2Fault)
_ARGS = Struct(
    "StreamArgs",
    {
        "affiliate": option(ADDRESS),
        "cancellation_type": U32,
        "cliff_time": U64,
        "cycle_duration": U64,
        "end_time": U64,
        "is_recurrent": BOOL,
        "memo": option(SYMBOL),
        "multiplier_bps": I128,
        "penalty_bps": U32,
        "receiver": ADDRESS,
        "sender": ADDRESS,
        "split_address": option(ADDRESS),
        "split_bps": U32,
        "start_time": U64,
        "step_duration": I128,
        "token": ADDRESS,
        "total_amount": I128,
        "vault_address": option(ADDRESS),
        "yield_enabled": BOOL,
        "yield_recipient": U32,
    },
)
_V2_FIELDS: dict[str, Type] = {
    "beneficiary": ADDRESS,
    "cliff_time": U64,
    "cycle_duration": U64,
    "end_time": U64,
    "multiplier_bps": I128,
    "receiver": ADDRESS,
    "sender": ADDRESS,
    "split_address": option(ADDRESS),
    "split_bps": U32,
    "start_time": U64,
    "step_duration": I128,
    "token": ADDRESS,
    "total_amount": I128,
    "v1_stream_id": U64,
    "vault_address": option(ADDRESS),
    "withdrawn_amount": I128,
    "yield_recipient": U32,
}
_STORED = Struct("StoredStreamV2", {**_V2_FIELDS, "packed_meta": U128})
_V2_STREAM = Struct(
    "StreamV2",
    {
        **_V2_FIELDS,
        "cancellation_type": U32,
        "cancelled": BOOL,
        "is_pending": BOOL,
        "is_recurrent": BOOL,
        "migrated_from_v1": BOOL,
        "penalty_bps": U32,
        "yield_enabled": BOOL,
    },
)
_RATE = Struct(
    "PendingRateUpdate",
    {
        "new_rate": I128,
        "original_end_time": U64,
        "original_total_amount": I128,
        "proposed_at": U64,
        "proposed_by": ADDRESS,
    },
)
_STATUS = Union("StreamStatus", ("NotFound", "Active", "Completed", "Cancelled"))
_SUMMARY = Struct("StreamBatchEntry", {"status": _STATUS.type, "stream_id": U64, "unlocked_amount": I128})
_NEBULA_EVENT = Struct(
    "NebulaEvent", {"action": SYMBOL, "data": vec(Type(b"\0\0\0\0", bytes)), "timestamp": U64, "version": U32}
)

STREAMS_V2 = ContractSpec(
    _functions(
        Function("create_stream", {"args": _ARGS.type}, result(U64, _V2_ERROR)),
        Function("create_batch_streams", {"streams": vec(_ARGS.type)}, result(vec(U64), _V2_ERROR)),
        Function(
            "migrate_stream",
            {"v1_contract": ADDRESS, "v1_stream_id": U64, "caller": ADDRESS},
            result(U64, _V2_ERROR),
        ),
        Function("withdraw", {"stream_id": U64, "beneficiary": ADDRESS}, result(I128, _V2_ERROR)),
        Function(
            "withdraw_meta",
            {
                "stream_id": U64,
                "withdrawal_amount": I128,
                "relayer_fee": I128,
                "relayer": ADDRESS,
                "beneficiary_pubkey": bytes_n(32),
                "nonce": U64,
                "deadline": U64,
                "signature": bytes_n(64),
            },
            result(I128, _V2_ERROR),
        ),
        Function("cancel", _BY_CALLER, result(VOID, _V2_ERROR)),
        Function("top_up", {"stream_id": U64, "sender": ADDRESS, "extra_amount": I128}, result(VOID, _V2_ERROR)),
        Function("transfer_beneficiary", {"stream_id": U64, "new_beneficiary": ADDRESS}, result(VOID, _V2_ERROR)),
        Function(
            "split_stream",
            {"stream_id": U64, "split_address": option(ADDRESS), "split_bps": U32},
            result(VOID, _V2_ERROR),
        ),
        Function("close_and_archive", _BY_CALLER, result(VOID, _V2_ERROR)),
        Function("propose_rate", {"stream_id": U64, "new_rate": I128}, result(_RATE.type, _V2_ERROR)),
        Function("accept_rate", {"stream_id": U64}, result(U64, _V2_ERROR)),
        Function("cancel_rate_proposal", _BY_CALLER, result(VOID, _V2_ERROR)),
        Function("get_pending_rate_update", {"stream_id": U64}, result(option(_RATE.type), _V2_ERROR)),
        Function("refill_stream", {"stream_id": U64}, result(VOID, _V2_ERROR)),
        Function("rebalance_after_clawback", {"token": ADDRESS}, result(VOID, _V2_ERROR)),
        Function("check_balance_integrity", {"token": ADDRESS}, tuple_of(I128, I128)),
        Function("get_stream", {"stream_id": U64}, option(_V2_STREAM.type)),
        Function("get_streams_batch", {"ids": vec(U64)}, result(vec(_SUMMARY.type), _V2_ERROR)),
        Function("predict_balance_at", {"stream_id": U64, "future_timestamp": U64}, result(I128, _V2_ERROR)),
        Function("get_withdrawal_nonce", {"beneficiary": ADDRESS, "stream_id": U64}, U64),
        Function("withdraw_treasury", {"token": ADDRESS}, result(I128, _V2_ERROR)),
        Function("get_pending_fees", {"recipient": ADDRESS, "token": ADDRESS}, I128),
        Function("get_treasury", {}, option(ADDRESS)),
        Function("get_fee_bps", {}, U32),
        Function("is_asset_whitelisted", {"asset": ADDRESS}, BOOL),
        Function("pause", {}, result(VOID, _V2_ERROR)),
        Function("unpause", {}, result(VOID, _V2_ERROR)),
        Function("is_paused", {}, BOOL),
    ),
    (_ARGS, _V2_STREAM, _STORED, _RATE, _STATUS, _SUMMARY, _NEBULA_EVENT, _V2_ERROR),
)

# --- the rest -----------------------------------------------------------------------------------

COUNTER = ContractSpec(_functions(Function("increment", {}, U32), Function("upgrade", {"new_wasm_hash": bytes_n(32)})))
SILENT = ContractSpec(_functions(Function("note", {"text": STRING})))
AIRDROP = ContractSpec(
    _functions(Function("distribute", {"from": ADDRESS, "token": ADDRESS, "amount": I128, "count": U32}, U32))
)
ODDITIES = ContractSpec(_functions(Function("show", {"number": U32, "visitor": ADDRESS}, U32)))
