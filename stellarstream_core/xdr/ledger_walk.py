"""Steps over the XDR of a ledger; generated from the schema: ``python -m scripts.xdr_walker`` writes it again.

``scripts/xdr_walker/ledger.x`` is the schema, ``scripts/xdr_walker/plan.py`` says what is kept. For a newer
protocol install a stellar-sdk that knows it, run ``python -m scripts.xdr_walker --from-sdk`` and set
``PROTOCOL`` in ``scripts/xdr_walker/module.py``.

All functions take the XDR as words (:func:`words`) and a position in words. What is past the end raises
IndexError; every other fault raises :class:`XdrError`. Depth is counted, not recursed.
"""
# Generated: style is the generator's business.
# fmt: off
# ruff: noqa

from __future__ import annotations

import sys
from array import array
from typing import TypeAlias

from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError

PROTOCOL = 28
"""The protocol version of the schema."""

MAX_DEPTH = 1500
"""How many values of a recursive type may lie inside each other; deeper is an XdrError.

It is the depth to which go-xdr decodes, counted there for every struct and array, and several times what
soroban-env-host (500) and the host's own values (100) allow.
"""

Words: TypeAlias = "array[int]"

_WORD = next(code for code in "IL" if array(code).itemsize == 4)
"""The type code of an unsigned 32-bit number, which C leaves open."""

_PADDING = (0, 0xFFFFFF, 0xFFFF, 0xFF)


def words(raw: bytes) -> Words:
    """Return XDR as an array of unsigned 32-bit numbers."""
    if len(raw) & 3:
        raise XdrError(f"{len(raw)} bytes are no XDR: it comes in fours.")
    found = array(_WORD, raw)
    if sys.byteorder == "little":
        found.byteswap()
    return found


def _unknown(name: str, w: Words, p: int) -> XdrError:
    number = (w[p] ^ 0x80000000) - 0x80000000
    return ProtocolUpgradeNeededError(
        f"{name} {number} at byte {4 * p} is not known to this release, which knows protocol {PROTOCOL}."
    )


def _unknown_of(w: Words, *places: tuple[str, int]) -> XdrError:
    name, p = next(place for place in places if w[place[1]])
    return _unknown(name, w, p)


def _bad_flag(w: Words, p: int) -> XdrError:
    return XdrError(f"The flag at byte {4 * p} must be 0 or 1, not {w[p]}.")


def _bad_padding(p: int) -> XdrError:
    return XdrError(f"The padding before byte {4 * p} is not zero.")


def _too_many(n: int, most: int, p: int) -> XdrError:
    return XdrError(f"The length at byte {4 * p} is {n}; {most} is the most.")


def _too_deep(name: str, p: int) -> XdrError:
    return XdrError(f"{name} nests deeper than {MAX_DEPTH} levels at byte {4 * p}.")


LedgerHeader: TypeAlias = "tuple[int, int, int, int, int, int, int]"
LedgerHeaderHistoryEntry: TypeAlias = "tuple[int, LedgerHeader]"
TransactionResultResult: TypeAlias = "tuple[int, list[int | None] | None]"
TransactionResult: TypeAlias = "tuple[int, int, TransactionResultResult, int]"
TransactionResultPair: TypeAlias = "tuple[int, TransactionResult]"
ContractEvent: TypeAlias = "tuple[int, int, int, list[int], int, int]"
SorobanTransactionMeta: TypeAlias = "tuple[int, list[ContractEvent], int, int]"
OperationMetaV2: TypeAlias = "tuple[int, list[ContractEvent], int]"
SorobanTransactionMetaV2: TypeAlias = "tuple[int, int]"
TransactionEvent: TypeAlias = "tuple[int, ContractEvent]"
TransactionMetaV4: TypeAlias = "tuple[list[OperationMetaV2], SorobanTransactionMetaV2 | None, list[TransactionEvent]]"
TransactionMeta: TypeAlias = "tuple[int, SorobanTransactionMeta | TransactionMetaV4 | None]"
TransactionResultMeta: TypeAlias = "tuple[int, TransactionResultPair, TransactionMeta, int]"
LedgerCloseMetaV0: TypeAlias = "tuple[LedgerHeaderHistoryEntry, list[TransactionResultMeta]]"
LedgerCloseMetaV1: TypeAlias = "tuple[LedgerHeaderHistoryEntry, list[TransactionResultMeta]]"
TransactionResultMetaV1: TypeAlias = "tuple[int, TransactionResultPair, TransactionMeta, int]"
LedgerCloseMetaV2: TypeAlias = "tuple[LedgerHeaderHistoryEntry, list[TransactionResultMetaV1]]"
LedgerCloseMeta: TypeAlias = "tuple[int, LedgerCloseMetaV0 | LedgerCloseMetaV1 | LedgerCloseMetaV2]"
LedgerCloseMetaV0_2: TypeAlias = "tuple[LedgerHeaderHistoryEntry, int]"
LedgerCloseMetaV1_2: TypeAlias = "tuple[LedgerHeaderHistoryEntry, int]"
LedgerCloseMetaV2_2: TypeAlias = "tuple[LedgerHeaderHistoryEntry, int]"
LedgerCloseMeta_2: TypeAlias = "tuple[int, LedgerCloseMetaV0_2 | LedgerCloseMetaV1_2 | LedgerCloseMetaV2_2]"


def read_ledger(w: Words, p: int) -> tuple[LedgerCloseMeta, int]:
    t = w[p]
    v2 = t
    v1: LedgerCloseMetaV0 | LedgerCloseMetaV1 | LedgerCloseMetaV2
    if t == 0:
        v3, p = _read_ledger_close_meta_v0(w, p + 1)
        v1 = v3
    elif t == 1:
        v4, p = _read_ledger_close_meta_v1(w, p + 1)
        v1 = v4
    elif t == 2:
        v5, p = _read_ledger_close_meta_v2(w, p + 1)
        v1 = v5
    else:
        raise _unknown("LedgerCloseMeta", w, p)
    return (v2, v1), p


def _read_ledger_close_meta_v0(w: Words, p: int) -> tuple[LedgerCloseMetaV0, int]:
    v1, p = _read_ledger_header_history_entry(w, p)
    p = _skip_transaction_set(w, p)
    n = w[p]
    p += 1
    v2: list[TransactionResultMeta] = []
    for _ in range(n):
        v3, p = _read_transaction_result_meta(w, p)
        v2.append(v3)
    n = w[p]
    p += 1
    for _ in range(n):
        try:
            n = _WORDS_LEDGER_UPGRADE[w[p]]
        except KeyError:
            raise _unknown("LedgerUpgrade", w, p) from None
        p += n
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        if t == 0:
            n = w[p + 1]
            p += 2
            for _ in range(n):
                p = _skip_scp_quorum_set(w, p)
            p = _skip_ledger_scp_messages(w, p)
        else:
            raise _unknown("SCPHistoryEntry", w, p)
    return (v1, v2), p


def _read_ledger_header_history_entry(w: Words, p: int) -> tuple[LedgerHeaderHistoryEntry, int]:
    v1 = p
    v2, p = _read_ledger_header(w, p + 8)
    if w[p]:
        raise _unknown("LedgerHeaderHistoryEntry.ext", w, p)
    p += 1
    return (v1, v2), p


def _read_ledger_header(w: Words, p: int) -> tuple[LedgerHeader, int]:
    v1 = p
    v2 = w[p]
    v3 = p + 1
    v4 = w[p + 17] << 32 | w[p + 18]
    n = w[p + 19]
    if n > 6:
        raise _too_many(n, 6, p + 19)
    p += 20
    for _ in range(n):
        n = w[p]
        if n > 128:
            raise _too_many(n, 128, p)
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    p = _skip_stellar_value_ext(w, p)
    v5 = p
    v6 = w[p + 16]
    t = w[p + 59]
    if t == 0:
        p += 60
    elif t == 1:
        if w[p + 61]:
            raise _unknown("LedgerHeaderExtensionV1.ext", w, p + 61)
        p += 62
    else:
        raise _unknown("LedgerHeader.ext", w, p + 59)
    return (v1, v2, v3, v4, v5, v6, p), p


def _skip_stellar_value_ext(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        n = w[p + 10]
        if n > 64:
            raise _too_many(n, 64, p + 10)
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p += 11 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    elif t == 2:
        n = w[p + 27]
        if n > 64:
            raise _too_many(n, 64, p + 27)
        if w[p + 18]:
            raise _unknown("PublicKey", w, p + 18)
        p += 28 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    else:
        raise _unknown("StellarValue.ext", w, p)
    return p


def _skip_memo(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        n = w[p + 1]
        if n > 28:
            raise _too_many(n, 28, p + 1)
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    elif t == 2:
        p += 3
    elif t <= 4:
        p += 9
    else:
        raise _unknown("Memo", w, p)
    return p


def _skip_create_account_op(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 11
    return p


def _skip_payment_op(w: Words, p: int) -> int:
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p) from None
    p += n
    p = _skip_asset(w, p)
    p += 2
    return p


def _skip_asset(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 2]:
            raise _unknown("PublicKey", w, p + 2)
        p += 11
    elif t == 2:
        if w[p + 4]:
            raise _unknown("PublicKey", w, p + 4)
        p += 13
    else:
        raise _unknown("Asset", w, p)
    return p


def _skip_path_payment_strict_receive_op(w: Words, p: int) -> int:
    p = _skip_asset(w, p)
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p + 2]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p + 2) from None
    p += 2 + n
    p = _skip_asset(w, p)
    n = w[p + 2]
    if n > 5:
        raise _too_many(n, 5, p + 2)
    p += 3
    for _ in range(n):
        p = _skip_asset(w, p)
    return p


def _skip_manage_sell_offer_op(w: Words, p: int) -> int:
    p = _skip_asset(w, p)
    p = _skip_asset(w, p)
    p += 6
    return p


def _skip_create_passive_sell_offer_op(w: Words, p: int) -> int:
    p = _skip_asset(w, p)
    p = _skip_asset(w, p)
    p += 4
    return p


def _skip_set_options_op(w: Words, p: int) -> int:
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        if w[p]:
            raise _unknown("PublicKey", w, p)
        p += 9
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        n = w[p]
        if n > 32:
            raise _too_many(n, 32, p)
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        p = _skip_signer_key(w, p)
        p += 1
    return p


def _skip_signer_key(w: Words, p: int) -> int:
    t = w[p]
    if t == 3:
        n = w[p + 9]
        if n > 64:
            raise _too_many(n, 64, p + 9)
        p += 10 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    elif t <= 2:
        p += 9
    else:
        raise _unknown("SignerKey", w, p)
    return p


def _skip_change_trust_op(w: Words, p: int) -> int:
    p = _skip_change_trust_asset(w, p)
    p += 2
    return p


def _skip_change_trust_asset(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 2]:
            raise _unknown("PublicKey", w, p + 2)
        p += 11
    elif t == 2:
        if w[p + 4]:
            raise _unknown("PublicKey", w, p + 4)
        p += 13
    elif t == 3:
        t = w[p + 1]
        if t == 0:
            p = _skip_asset(w, p + 2)
            p = _skip_asset(w, p)
            p += 1
        else:
            raise _unknown("LiquidityPoolParameters", w, p + 1)
    else:
        raise _unknown("ChangeTrustAsset", w, p)
    return p


def _skip_allow_trust_op(w: Words, p: int) -> int:
    try:
        n = _WORDS_ASSET_CODE[w[p + 9]]
    except KeyError:
        raise _unknown("AssetCode", w, p + 9) from None
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 9 + n
    p += 1
    return p


def _skip_muxed_account(w: Words, p: int) -> int:
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p) from None
    p += n
    return p


def _skip_manage_data_op(w: Words, p: int) -> int:
    n = w[p]
    if n > 64:
        raise _too_many(n, 64, p)
    p += 1 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        n = w[p]
        if n > 64:
            raise _too_many(n, 64, p)
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _skip_manage_buy_offer_op(w: Words, p: int) -> int:
    p = _skip_asset(w, p)
    p = _skip_asset(w, p)
    p += 6
    return p


def _skip_path_payment_strict_send_op(w: Words, p: int) -> int:
    p = _skip_asset(w, p)
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p + 2]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p + 2) from None
    p += 2 + n
    p = _skip_asset(w, p)
    n = w[p + 2]
    if n > 5:
        raise _too_many(n, 5, p + 2)
    p += 3
    for _ in range(n):
        p = _skip_asset(w, p)
    return p


def _skip_create_claimable_balance_op(w: Words, p: int) -> int:
    p = _skip_asset(w, p)
    n = w[p + 2]
    if n > 10:
        raise _too_many(n, 10, p + 2)
    p += 3
    for _ in range(n):
        t = w[p]
        if t == 0:
            if w[p + 1]:
                raise _unknown("PublicKey", w, p + 1)
            p = _skip_claim_predicate(w, p + 10)
        else:
            raise _unknown("Claimant", w, p)
    return p


def _skip_claim_predicate(w: Words, p: int) -> int:
    t = w[p]
    try:
        n = _WORDS_CLAIM_PREDICATE[t]
    except KeyError:
        raise _unknown("ClaimPredicate", w, p) from None
    if n:
        return p + n
    left = 1
    above: list[int] = []
    while True:
        while left:
            left -= 1
            t = w[p]
            try:
                n = _WORDS_CLAIM_PREDICATE[t]
            except KeyError:
                raise _unknown("ClaimPredicate", w, p) from None
            if n:
                p += n
            else:
                if t == 3:
                    t = w[p + 1]
                    if t > 1:
                        raise _bad_flag(w, p + 1)
                    p += 2
                    if t:
                        above.append(left)
                        if len(above) > MAX_DEPTH:
                            raise _too_deep("ClaimPredicate", p)
                        left = 1
                elif t in (1, 2):
                    n = w[p + 1]
                    if n > 2:
                        raise _too_many(n, 2, p + 1)
                    p += 2
                    if n:
                        above.append(left)
                        if len(above) > MAX_DEPTH:
                            raise _too_deep("ClaimPredicate", p)
                        left = n
                else:
                    raise _unknown("ClaimPredicate", w, p)
        if not above:
            return p
        left = above.pop()


def _skip_claim_claimable_balance_op(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("ClaimableBalanceID", w, p)
    p += 9
    return p


def _skip_begin_sponsoring_future_reserves_op(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 9
    return p


def _skip_revoke_sponsorship_op(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        t = w[p + 1]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p + 1) from None
        if n:
            p += 1 + n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 2)
    elif t == 1:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p = _skip_signer_key(w, p + 10)
    else:
        raise _unknown("RevokeSponsorshipOp", w, p)
    return p


def _skip_ledger_key_account(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 9
    return p


def _skip_ledger_key_trust_line(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p = _skip_trust_line_asset(w, p + 9)
    return p


def _skip_trust_line_asset(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 2]:
            raise _unknown("PublicKey", w, p + 2)
        p += 11
    elif t == 2:
        if w[p + 4]:
            raise _unknown("PublicKey", w, p + 4)
        p += 13
    elif t == 3:
        p += 9
    else:
        raise _unknown("TrustLineAsset", w, p)
    return p


def _skip_ledger_key_offer(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 11
    return p


def _skip_ledger_key_data(w: Words, p: int) -> int:
    n = w[p + 9]
    if n > 64:
        raise _too_many(n, 64, p + 9)
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 10 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    return p


def _skip_ledger_key_claimable_balance(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("ClaimableBalanceID", w, p)
    p += 9
    return p


def _skip_ledger_key_contract_data(w: Words, p: int) -> int:
    t = w[p]
    if t in (1, 4):
        p += 9
    elif t == 0:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p += 10
    elif t == 2:
        p += 11
    elif t == 3:
        if w[p + 1]:
            raise _unknown("ClaimableBalanceID", w, p + 1)
        p += 10
    else:
        raise _unknown("SCAddress", w, p)
    p = _skip_sc_val(w, p)
    if w[p] > 1:
        raise _unknown("ContractDataDurability", w, p)
    p += 1
    return p


def _skip_sc_val(w: Words, p: int) -> int:
    t = w[p]
    try:
        n = _WORDS_SC_VAL[t]
    except KeyError:
        raise _unknown("SCVal", w, p) from None
    if n:
        return p + n
    if t == 15:
        n = w[p + 1]
        if n > 32:
            raise _too_many(n, 32, p + 1)
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
        return p
    if t == 18:
        t = w[p + 1]
        if t in (1, 4):
            p += 10
        elif t == 0:
            if w[p + 2]:
                raise _unknown("PublicKey", w, p + 2)
            p += 11
        elif t == 2:
            p += 12
        elif t == 3:
            if w[p + 2]:
                raise _unknown("ClaimableBalanceID", w, p + 2)
            p += 11
        else:
            raise _unknown("SCAddress", w, p + 1)
        return p
    if t == 13:
        n = w[p + 1]
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
        return p
    left = 1
    above: list[int] = []
    while True:
        while left:
            left -= 1
            t = w[p]
            try:
                n = _WORDS_SC_VAL[t]
            except KeyError:
                raise _unknown("SCVal", w, p) from None
            if n:
                p += n
            else:
                if t == 15:
                    n = w[p + 1]
                    if n > 32:
                        raise _too_many(n, 32, p + 1)
                    p += 2 + (n + 3 >> 2)
                    if n & 3 and w[p - 1] & _PADDING[n & 3]:
                        raise _bad_padding(p)
                elif t == 18:
                    t = w[p + 1]
                    if t in (1, 4):
                        p += 10
                    elif t == 0:
                        if w[p + 2]:
                            raise _unknown("PublicKey", w, p + 2)
                        p += 11
                    elif t == 2:
                        p += 12
                    elif t == 3:
                        if w[p + 2]:
                            raise _unknown("ClaimableBalanceID", w, p + 2)
                        p += 11
                    else:
                        raise _unknown("SCAddress", w, p + 1)
                elif t == 17:
                    t = w[p + 1]
                    if t > 1:
                        raise _bad_flag(w, p + 1)
                    p += 2
                    if t:
                        n = w[p]
                        p += 1
                        if n:
                            above.append(left)
                            if len(above) > MAX_DEPTH:
                                raise _too_deep("SCVal", p)
                            left = 2 * n
                elif t == 16:
                    t = w[p + 1]
                    if t > 1:
                        raise _bad_flag(w, p + 1)
                    p += 2
                    if t:
                        n = w[p]
                        p += 1
                        if n:
                            above.append(left)
                            if len(above) > MAX_DEPTH:
                                raise _too_deep("SCVal", p)
                            left = n
                elif t == 13:
                    n = w[p + 1]
                    p += 2 + (n + 3 >> 2)
                    if n & 3 and w[p - 1] & _PADDING[n & 3]:
                        raise _bad_padding(p)
                elif t == 0:
                    if w[p + 1] > 1:
                        raise _bad_flag(w, p + 1)
                    p += 2
                elif t == 2:
                    t = w[p + 1]
                    if t == 0:
                        p += 3
                    elif t <= 9:
                        if w[p + 2] > 9:
                            raise _unknown("SCErrorCode", w, p + 2)
                        p += 3
                    else:
                        raise _unknown("SCError", w, p + 1)
                elif t == 19:
                    t = w[p + 1]
                    if t == 0:
                        p += 10
                    elif t == 1:
                        p += 2
                    elif t == 2:
                        p = _skip_contract_executable_external_ref(w, p + 2)
                    else:
                        raise _unknown("ContractExecutable", w, p + 1)
                    t = w[p]
                    if t > 1:
                        raise _bad_flag(w, p)
                    p += 1
                    if t:
                        n = w[p]
                        p += 1
                        if n:
                            above.append(left)
                            if len(above) > MAX_DEPTH:
                                raise _too_deep("SCVal", p)
                            left = 2 * n
                elif t in (14, 22):
                    n = w[p + 1]
                    p += 2 + (n + 3 >> 2)
                    if n & 3 and w[p - 1] & _PADDING[n & 3]:
                        raise _bad_padding(p)
                else:
                    raise _unknown("SCVal", w, p)
        if not above:
            return p
        left = above.pop()


def _skip_contract_executable_external_ref(w: Words, p: int) -> int:
    t = w[p]
    if t in (1, 4):
        p += 9
    elif t == 0:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p += 10
    elif t == 2:
        p += 11
    elif t == 3:
        if w[p + 1]:
            raise _unknown("ClaimableBalanceID", w, p + 1)
        p += 10
    else:
        raise _unknown("SCAddress", w, p)
    n = w[p]
    p += 1 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    return p


def _skip_ledger_key_config_setting(w: Words, p: int) -> int:
    if w[p] > 20:
        raise _unknown("ConfigSettingID", w, p)
    p += 1
    return p


def _skip_clawback_op(w: Words, p: int) -> int:
    p = _skip_asset(w, p)
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p) from None
    p += n
    p += 2
    return p


def _skip_clawback_claimable_balance_op(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("ClaimableBalanceID", w, p)
    p += 9
    return p


def _skip_set_trust_line_flags_op(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p = _skip_asset(w, p + 9)
    p += 2
    return p


def _skip_invoke_host_function_op(w: Words, p: int) -> int:
    p = _skip_host_function(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_soroban_credentials(w, p)
        p = _skip_soroban_authorized_invocation(w, p)
    return p


def _skip_invoke_contract_args(w: Words, p: int) -> int:
    t = w[p]
    if t in (1, 4):
        p += 9
    elif t == 0:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p += 10
    elif t == 2:
        p += 11
    elif t == 3:
        if w[p + 1]:
            raise _unknown("ClaimableBalanceID", w, p + 1)
        p += 10
    else:
        raise _unknown("SCAddress", w, p)
    n = w[p]
    if n > 32:
        raise _too_many(n, 32, p)
    p += 1 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_sc_val(w, p)
    return p


def _skip_contract_id_preimage_from_address(w: Words, p: int) -> int:
    t = w[p]
    if t in (1, 4):
        p += 9
    elif t == 0:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p += 10
    elif t == 2:
        p += 11
    elif t == 3:
        if w[p + 1]:
            raise _unknown("ClaimableBalanceID", w, p + 1)
        p += 10
    else:
        raise _unknown("SCAddress", w, p)
    p += 8
    return p


def _skip_create_contract_args(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p = _skip_contract_id_preimage_from_address(w, p + 1)
    elif t == 1:
        p = _skip_asset(w, p + 1)
    else:
        raise _unknown("ContractIDPreimage", w, p)
    t = w[p]
    if t == 0:
        p += 9
    elif t == 1:
        p += 1
    elif t == 2:
        p = _skip_contract_executable_external_ref(w, p + 1)
    else:
        raise _unknown("ContractExecutable", w, p)
    return p


def _skip_create_contract_args_v2(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p = _skip_contract_id_preimage_from_address(w, p + 1)
    elif t == 1:
        p = _skip_asset(w, p + 1)
    else:
        raise _unknown("ContractIDPreimage", w, p)
    t = w[p]
    if t == 0:
        p += 9
    elif t == 1:
        p += 1
    elif t == 2:
        p = _skip_contract_executable_external_ref(w, p + 1)
    else:
        raise _unknown("ContractExecutable", w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_sc_val(w, p)
    return p


def _skip_host_function(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p = _skip_invoke_contract_args(w, p + 1)
    elif t == 1:
        p = _skip_create_contract_args(w, p + 1)
    elif t == 2:
        n = w[p + 1]
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    elif t == 3:
        p = _skip_create_contract_args_v2(w, p + 1)
    else:
        raise _unknown("HostFunction", w, p)
    return p


def _skip_soroban_address_credentials(w: Words, p: int) -> int:
    t = w[p]
    if t in (1, 4):
        p += 9
    elif t == 0:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p += 10
    elif t == 2:
        p += 11
    elif t == 3:
        if w[p + 1]:
            raise _unknown("ClaimableBalanceID", w, p + 1)
        p += 10
    else:
        raise _unknown("SCAddress", w, p)
    p = _skip_sc_val(w, p + 3)
    return p


def _skip_soroban_delegate_signature(w: Words, p: int) -> int:
    left = 1
    above: list[int] = []
    while True:
        while left:
            left -= 1
            t = w[p]
            if t in (1, 4):
                p += 9
            elif t == 0:
                if w[p + 1]:
                    raise _unknown("PublicKey", w, p + 1)
                p += 10
            elif t == 2:
                p += 11
            elif t == 3:
                if w[p + 1]:
                    raise _unknown("ClaimableBalanceID", w, p + 1)
                p += 10
            else:
                raise _unknown("SCAddress", w, p)
            p = _skip_sc_val(w, p)
            n = w[p]
            p += 1
            if n:
                above.append(left)
                if len(above) > MAX_DEPTH:
                    raise _too_deep("SorobanDelegateSignature", p)
                left = n
        if not above:
            return p
        left = above.pop()


def _skip_soroban_credentials(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 3:
        p = _skip_soroban_address_credentials(w, p + 1)
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_soroban_delegate_signature(w, p)
    elif t <= 2:
        p = _skip_soroban_address_credentials(w, p + 1)
    else:
        raise _unknown("SorobanCredentials", w, p)
    return p


def _skip_soroban_authorized_invocation(w: Words, p: int) -> int:
    left = 1
    above: list[int] = []
    while True:
        while left:
            left -= 1
            t = w[p]
            if t == 0:
                p = _skip_invoke_contract_args(w, p + 1)
            elif t == 1:
                p = _skip_create_contract_args(w, p + 1)
            elif t == 2:
                p = _skip_create_contract_args_v2(w, p + 1)
            else:
                raise _unknown("SorobanAuthorizedFunction", w, p)
            n = w[p]
            p += 1
            if n:
                above.append(left)
                if len(above) > MAX_DEPTH:
                    raise _too_deep("SorobanAuthorizedInvocation", p)
                left = n
        if not above:
            return p
        left = above.pop()


def _skip_extend_footprint_ttl_op(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 2
    return p


def _skip_restore_footprint_op(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 1
    return p


def _skip_operation(w: Words, p: int) -> int:
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        try:
            n = _WORDS_MUXED_ACCOUNT[w[p]]
        except KeyError:
            raise _unknown("MuxedAccount", w, p) from None
        p += n
    t = w[p]
    try:
        n = _WORDS_OPERATION_BODY[t]
    except KeyError:
        raise _unknown("Operation.body", w, p) from None
    if n:
        p += n
    else:
        p = _ARMS_OPERATION_BODY[t](w, p + 1)
    return p


def _skip_transaction_v0_envelope(w: Words, p: int) -> int:
    t = w[p + 11]
    if t > 1:
        raise _bad_flag(w, p + 11)
    p += 12 + 4 * t
    p = _skip_memo(w, p)
    n = w[p]
    if n > 100:
        raise _too_many(n, 100, p)
    p += 1
    for _ in range(n):
        p = _skip_operation(w, p)
    n = w[p + 1]
    if n > 20:
        raise _too_many(n, 20, p + 1)
    if w[p]:
        raise _unknown("TransactionV0.ext", w, p)
    p += 2
    for _ in range(n):
        n = w[p + 1]
        if n > 64:
            raise _too_many(n, 64, p + 1)
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _skip_preconditions_v2(w: Words, p: int) -> int:
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + 4 * t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + 2 * t
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + 2 * t
    n = w[p + 3]
    if n > 2:
        raise _too_many(n, 2, p + 3)
    p += 4
    for _ in range(n):
        p = _skip_signer_key(w, p)
    return p


def _skip_ledger_footprint(w: Words, p: int) -> int:
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p) from None
        if n:
            p += n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p) from None
        if n:
            p += n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 1)
    return p


def _skip_transaction_ext(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        t = w[p + 1]
        if t == 0:
            p += 2
        elif t == 1:
            n = w[p + 2]
            p += 3 + n
        else:
            raise _unknown("SorobanTransactionData.ext", w, p + 1)
        p = _skip_ledger_footprint(w, p)
        p += 5
    else:
        raise _unknown("Transaction.ext", w, p)
    return p


def _skip_transaction(w: Words, p: int) -> int:
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p) from None
    p += n
    t = w[p + 3]
    if t == 0:
        p += 4
    elif t == 1:
        p += 8
    elif t == 2:
        p = _skip_preconditions_v2(w, p + 4)
    else:
        raise _unknown("Preconditions", w, p + 3)
    p = _skip_memo(w, p)
    n = w[p]
    if n > 100:
        raise _too_many(n, 100, p)
    p += 1
    for _ in range(n):
        p = _skip_operation(w, p)
    p = _skip_transaction_ext(w, p)
    return p


def _skip_transaction_v1_envelope(w: Words, p: int) -> int:
    p = _skip_transaction(w, p)
    n = w[p]
    if n > 20:
        raise _too_many(n, 20, p)
    p += 1
    for _ in range(n):
        n = w[p + 1]
        if n > 64:
            raise _too_many(n, 64, p + 1)
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _skip_fee_bump_transaction_envelope(w: Words, p: int) -> int:
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p) from None
    p += n
    t = w[p + 2]
    if t == 2:
        p = _skip_transaction_v1_envelope(w, p + 3)
    else:
        raise _unknown("FeeBumpTransaction.innerTx", w, p + 2)
    n = w[p + 1]
    if n > 20:
        raise _too_many(n, 20, p + 1)
    if w[p]:
        raise _unknown("FeeBumpTransaction.ext", w, p)
    p += 2
    for _ in range(n):
        n = w[p + 1]
        if n > 64:
            raise _too_many(n, 64, p + 1)
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _skip_transaction_set(w: Words, p: int) -> int:
    n = w[p + 8]
    p += 9
    for _ in range(n):
        t = w[p]
        if t == 0:
            p = _skip_transaction_v0_envelope(w, p + 1)
        elif t == 2:
            p = _skip_transaction_v1_envelope(w, p + 1)
        elif t == 5:
            p = _skip_fee_bump_transaction_envelope(w, p + 1)
        else:
            raise _unknown("TransactionEnvelope", w, p)
    return p


def _read_transaction_result_meta(w: Words, p: int) -> tuple[TransactionResultMeta, int]:
    v1 = p
    v2, p = _read_transaction_result_pair(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    v3, p = _read_transaction_meta(w, p)
    return (v1, v2, v3, p), p


def _read_transaction_result_pair(w: Words, p: int) -> tuple[TransactionResultPair, int]:
    v1 = p
    v2, p = _read_transaction_result(w, p + 8)
    return (v1, v2), p


def _read_transaction_result(w: Words, p: int) -> tuple[TransactionResult, int]:
    v1 = p
    v2 = ((w[p] ^ 0x80000000) - 0x80000000) << 32 | w[p + 1]
    v3, p = _read_transaction_result_result(w, p + 2)
    if w[p]:
        raise _unknown("TransactionResult.ext", w, p)
    v4 = p + 1
    p += 1
    return (v1, v2, v3, v4), p


def _read_transaction_result_result(w: Words, p: int) -> tuple[TransactionResultResult, int]:
    t = w[p]
    v2 = t
    v1: list[int | None] | None = None
    if t in (1, 4294967283):
        t = w[p + 11]
        p += 11
        v3: list[int | None] | None = None
        if t in (0, 4294967295):
            n = w[p + 1]
            p += 2
            v4: list[int | None] = []
            for _ in range(n):
                t = w[p]
                v5: int | None = None
                if t == 0:
                    t = w[p + 1]
                    p += 1
                    v6: int | None = None
                    if t == 24:
                        t = w[p + 1]
                        p += 1
                        v7: int | None = None
                        if t == 0:
                            v7 = p + 1
                            p += 9
                        else:
                            try:
                                n = _WORDS_INVOKE_HOST_FUNCTION_RESULT[w[p]]
                            except KeyError:
                                raise _unknown("InvokeHostFunctionResult", w, p) from None
                            p += n
                        v6 = v7
                    else:
                        try:
                            skip = _ARMS_OPERATION_RESULT_TR[w[p]]
                        except KeyError:
                            raise _unknown("OperationResult.tr", w, p) from None
                        p = skip(w, p + 1)
                    v5 = v6
                else:
                    t = w[p]
                    if t == 0:
                        try:
                            skip = _ARMS_OPERATION_RESULT_TR[w[p + 1]]
                        except KeyError:
                            raise _unknown("OperationResult.tr", w, p + 1) from None
                        p = skip(w, p + 2)
                    elif t in (4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
                        p += 1
                    else:
                        raise _unknown("OperationResult", w, p)
                v4.append(v5)
            v3 = v4
        else:
            p = _skip_inner_transaction_result_result(w, p)
        v1 = v3
        if w[p]:
            raise _unknown("InnerTransactionResult.ext", w, p)
        p += 1
    elif t in (0, 4294967295):
        n = w[p + 1]
        p += 2
        v8: list[int | None] = []
        for _ in range(n):
            t = w[p]
            v9: int | None = None
            if t == 0:
                t = w[p + 1]
                p += 1
                v10: int | None = None
                if t == 24:
                    t = w[p + 1]
                    p += 1
                    v11: int | None = None
                    if t == 0:
                        v11 = p + 1
                        p += 9
                    else:
                        try:
                            n = _WORDS_INVOKE_HOST_FUNCTION_RESULT[w[p]]
                        except KeyError:
                            raise _unknown("InvokeHostFunctionResult", w, p) from None
                        p += n
                    v10 = v11
                else:
                    try:
                        skip = _ARMS_OPERATION_RESULT_TR[w[p]]
                    except KeyError:
                        raise _unknown("OperationResult.tr", w, p) from None
                    p = skip(w, p + 1)
                v9 = v10
            else:
                t = w[p]
                if t == 0:
                    try:
                        skip = _ARMS_OPERATION_RESULT_TR[w[p + 1]]
                    except KeyError:
                        raise _unknown("OperationResult.tr", w, p + 1) from None
                    p = skip(w, p + 2)
                elif t in (4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
                    p += 1
                else:
                    raise _unknown("OperationResult", w, p)
            v8.append(v9)
        v1 = v8
    else:
        p = _skip_transaction_result_result(w, p)
    return (v2, v1), p


def _skip_create_account_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_CREATE_ACCOUNT_RESULT[w[p]]
    except KeyError:
        raise _unknown("CreateAccountResult", w, p) from None
    p += n
    return p


def _skip_payment_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_PAYMENT_RESULT[w[p]]
    except KeyError:
        raise _unknown("PaymentResult", w, p) from None
    p += n
    return p


def _skip_path_payment_strict_receive_result(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            p = _skip_claim_atom(w, p)
        if w[p]:
            raise _unknown("PublicKey", w, p)
        p = _skip_asset(w, p + 9)
        p += 2
    elif t == 4294967287:
        p = _skip_asset(w, p + 1)
    elif t in (4294967284, 4294967285, 4294967286, 4294967288, 4294967289, 4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
        p += 1
    else:
        raise _unknown("PathPaymentStrictReceiveResult", w, p)
    return p


def _skip_claim_atom(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p = _skip_asset(w, p + 11)
        p = _skip_asset(w, p + 2)
        p += 2
    elif t == 1:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p = _skip_asset(w, p + 12)
        p = _skip_asset(w, p + 2)
        p += 2
    elif t == 2:
        p = _skip_asset(w, p + 9)
        p = _skip_asset(w, p + 2)
        p += 2
    else:
        raise _unknown("ClaimAtom", w, p)
    return p


def _skip_manage_sell_offer_result(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            p = _skip_claim_atom(w, p)
        p = _skip_manage_offer_success_result_offer(w, p)
    elif t in (4294967284, 4294967285, 4294967286, 4294967287, 4294967288, 4294967289, 4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
        p += 1
    else:
        raise _unknown("ManageSellOfferResult", w, p)
    return p


def _skip_manage_offer_success_result_offer(w: Words, p: int) -> int:
    t = w[p]
    if t == 2:
        p += 1
    elif t <= 1:
        if w[p + 1]:
            raise _unknown("PublicKey", w, p + 1)
        p = _skip_asset(w, p + 12)
        p = _skip_asset(w, p)
        if w[p + 5]:
            raise _unknown("OfferEntry.ext", w, p + 5)
        p += 6
    else:
        raise _unknown("ManageOfferSuccessResult.offer", w, p)
    return p


def _skip_set_options_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_SET_OPTIONS_RESULT[w[p]]
    except KeyError:
        raise _unknown("SetOptionsResult", w, p) from None
    p += n
    return p


def _skip_change_trust_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_CHANGE_TRUST_RESULT[w[p]]
    except KeyError:
        raise _unknown("ChangeTrustResult", w, p) from None
    p += n
    return p


def _skip_allow_trust_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_ALLOW_TRUST_RESULT[w[p]]
    except KeyError:
        raise _unknown("AllowTrustResult", w, p) from None
    p += n
    return p


def _skip_account_merge_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_ACCOUNT_MERGE_RESULT[w[p]]
    except KeyError:
        raise _unknown("AccountMergeResult", w, p) from None
    p += n
    return p


def _skip_inflation_result(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            if w[p]:
                raise _unknown("PublicKey", w, p)
            p += 11
    elif t == 4294967295:
        p += 1
    else:
        raise _unknown("InflationResult", w, p)
    return p


def _skip_manage_data_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_MANAGE_DATA_RESULT[w[p]]
    except KeyError:
        raise _unknown("ManageDataResult", w, p) from None
    p += n
    return p


def _skip_bump_sequence_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_BUMP_SEQUENCE_RESULT[w[p]]
    except KeyError:
        raise _unknown("BumpSequenceResult", w, p) from None
    p += n
    return p


def _skip_manage_buy_offer_result(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            p = _skip_claim_atom(w, p)
        p = _skip_manage_offer_success_result_offer(w, p)
    elif t in (4294967284, 4294967285, 4294967286, 4294967287, 4294967288, 4294967289, 4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
        p += 1
    else:
        raise _unknown("ManageBuyOfferResult", w, p)
    return p


def _skip_path_payment_strict_send_result(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            p = _skip_claim_atom(w, p)
        if w[p]:
            raise _unknown("PublicKey", w, p)
        p = _skip_asset(w, p + 9)
        p += 2
    elif t == 4294967287:
        p = _skip_asset(w, p + 1)
    elif t in (4294967284, 4294967285, 4294967286, 4294967288, 4294967289, 4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
        p += 1
    else:
        raise _unknown("PathPaymentStrictSendResult", w, p)
    return p


def _skip_create_claimable_balance_result(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        if w[p + 1]:
            raise _unknown("ClaimableBalanceID", w, p + 1)
        p += 10
    elif t in (4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
        p += 1
    else:
        raise _unknown("CreateClaimableBalanceResult", w, p)
    return p


def _skip_claim_claimable_balance_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_CLAIM_CLAIMABLE_BALANCE_RESULT[w[p]]
    except KeyError:
        raise _unknown("ClaimClaimableBalanceResult", w, p) from None
    p += n
    return p


def _skip_begin_sponsoring_future_reserves_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_BEGIN_SPONSORING_FUTURE_RESERVES_RESULT[w[p]]
    except KeyError:
        raise _unknown("BeginSponsoringFutureReservesResult", w, p) from None
    p += n
    return p


def _skip_end_sponsoring_future_reserves_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_END_SPONSORING_FUTURE_RESERVES_RESULT[w[p]]
    except KeyError:
        raise _unknown("EndSponsoringFutureReservesResult", w, p) from None
    p += n
    return p


def _skip_revoke_sponsorship_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_REVOKE_SPONSORSHIP_RESULT[w[p]]
    except KeyError:
        raise _unknown("RevokeSponsorshipResult", w, p) from None
    p += n
    return p


def _skip_clawback_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_CLAWBACK_RESULT[w[p]]
    except KeyError:
        raise _unknown("ClawbackResult", w, p) from None
    p += n
    return p


def _skip_clawback_claimable_balance_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_CLAWBACK_CLAIMABLE_BALANCE_RESULT[w[p]]
    except KeyError:
        raise _unknown("ClawbackClaimableBalanceResult", w, p) from None
    p += n
    return p


def _skip_set_trust_line_flags_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_SET_TRUST_LINE_FLAGS_RESULT[w[p]]
    except KeyError:
        raise _unknown("SetTrustLineFlagsResult", w, p) from None
    p += n
    return p


def _skip_liquidity_pool_deposit_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_LIQUIDITY_POOL_DEPOSIT_RESULT[w[p]]
    except KeyError:
        raise _unknown("LiquidityPoolDepositResult", w, p) from None
    p += n
    return p


def _skip_liquidity_pool_withdraw_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_LIQUIDITY_POOL_WITHDRAW_RESULT[w[p]]
    except KeyError:
        raise _unknown("LiquidityPoolWithdrawResult", w, p) from None
    p += n
    return p


def _skip_invoke_host_function_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_INVOKE_HOST_FUNCTION_RESULT[w[p]]
    except KeyError:
        raise _unknown("InvokeHostFunctionResult", w, p) from None
    p += n
    return p


def _skip_extend_footprint_ttl_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_EXTEND_FOOTPRINT_TTL_RESULT[w[p]]
    except KeyError:
        raise _unknown("ExtendFootprintTTLResult", w, p) from None
    p += n
    return p


def _skip_restore_footprint_result(w: Words, p: int) -> int:
    try:
        n = _WORDS_RESTORE_FOOTPRINT_RESULT[w[p]]
    except KeyError:
        raise _unknown("RestoreFootprintResult", w, p) from None
    p += n
    return p


def _skip_inner_transaction_result_result(w: Words, p: int) -> int:
    t = w[p]
    if t in (0, 4294967295):
        n = w[p + 1]
        p += 2
        for _ in range(n):
            t = w[p]
            if t == 0:
                try:
                    skip = _ARMS_OPERATION_RESULT_TR[w[p + 1]]
                except KeyError:
                    raise _unknown("OperationResult.tr", w, p + 1) from None
                p = skip(w, p + 2)
            elif t in (4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
                p += 1
            else:
                raise _unknown("OperationResult", w, p)
    elif t in (4294967278, 4294967279, 4294967280, 4294967281, 4294967282, 4294967284, 4294967285, 4294967286, 4294967287, 4294967288, 4294967289, 4294967290, 4294967291, 4294967292, 4294967293, 4294967294):
        p += 1
    else:
        raise _unknown("InnerTransactionResult.result", w, p)
    return p


def _skip_transaction_result_result(w: Words, p: int) -> int:
    t = w[p]
    if t in (1, 4294967283):
        p = _skip_inner_transaction_result_result(w, p + 11)
        if w[p]:
            raise _unknown("InnerTransactionResult.ext", w, p)
        p += 1
    elif t in (0, 4294967295):
        n = w[p + 1]
        p += 2
        for _ in range(n):
            t = w[p]
            if t == 0:
                try:
                    skip = _ARMS_OPERATION_RESULT_TR[w[p + 1]]
                except KeyError:
                    raise _unknown("OperationResult.tr", w, p + 1) from None
                p = skip(w, p + 2)
            elif t in (4294967290, 4294967291, 4294967292, 4294967293, 4294967294, 4294967295):
                p += 1
            else:
                raise _unknown("OperationResult", w, p)
    elif t in (4294967278, 4294967279, 4294967280, 4294967281, 4294967282, 4294967284, 4294967285, 4294967286, 4294967287, 4294967288, 4294967289, 4294967290, 4294967291, 4294967292, 4294967293, 4294967294):
        p += 1
    else:
        raise _unknown("TransactionResult.result", w, p)
    return p


def _skip_account_entry(w: Words, p: int) -> int:
    t = w[p + 14]
    if t > 1:
        raise _bad_flag(w, p + 14)
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 15
    if t:
        if w[p]:
            raise _unknown("PublicKey", w, p)
        p += 9
    n = w[p + 1]
    if n > 32:
        raise _too_many(n, 32, p + 1)
    p += 2 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    n = w[p + 1]
    if n > 20:
        raise _too_many(n, 20, p + 1)
    p += 2
    for _ in range(n):
        p = _skip_signer_key(w, p)
        p += 1
    p = _skip_account_entry_ext(w, p)
    return p


def _skip_account_entry_extension_v2(w: Words, p: int) -> int:
    n = w[p + 2]
    if n > 20:
        raise _too_many(n, 20, p + 2)
    p += 3
    for _ in range(n):
        t = w[p]
        if t > 1:
            raise _bad_flag(w, p)
        p += 1
        if t:
            if w[p]:
                raise _unknown("PublicKey", w, p)
            p += 9
    t = w[p]
    if t == 0:
        p += 1
    elif t == 3:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 5
    else:
        raise _unknown("AccountEntryExtensionV2.ext", w, p)
    return p


def _skip_account_entry_ext(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        t = w[p + 5]
        if t == 0:
            p += 6
        elif t == 2:
            p = _skip_account_entry_extension_v2(w, p + 6)
        else:
            raise _unknown("AccountEntryExtensionV1.ext", w, p + 5)
    else:
        raise _unknown("AccountEntry.ext", w, p)
    return p


def _skip_trust_line_entry(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p = _skip_trust_line_asset(w, p + 9)
    p = _skip_trust_line_entry_ext(w, p + 5)
    return p


def _skip_trust_line_entry_ext(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        t = w[p + 5]
        if t == 0:
            p += 6
        elif t == 2:
            if w[p + 7]:
                raise _unknown("TrustLineEntryExtensionV2.ext", w, p + 7)
            p += 8
        else:
            raise _unknown("TrustLineEntry.ext.v1.ext", w, p + 5)
    else:
        raise _unknown("TrustLineEntry.ext", w, p)
    return p


def _skip_offer_entry(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p = _skip_asset(w, p + 11)
    p = _skip_asset(w, p)
    if w[p + 5]:
        raise _unknown("OfferEntry.ext", w, p + 5)
    p += 6
    return p


def _skip_data_entry(w: Words, p: int) -> int:
    n = w[p + 9]
    if n > 64:
        raise _too_many(n, 64, p + 9)
    if w[p]:
        raise _unknown("PublicKey", w, p)
    p += 10 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    n = w[p]
    if n > 64:
        raise _too_many(n, 64, p)
    p += 1 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    if w[p]:
        raise _unknown("DataEntry.ext", w, p)
    p += 1
    return p


def _skip_claimable_balance_entry(w: Words, p: int) -> int:
    n = w[p + 9]
    if n > 10:
        raise _too_many(n, 10, p + 9)
    if w[p]:
        raise _unknown("ClaimableBalanceID", w, p)
    p += 10
    for _ in range(n):
        t = w[p]
        if t == 0:
            if w[p + 1]:
                raise _unknown("PublicKey", w, p + 1)
            p = _skip_claim_predicate(w, p + 10)
        else:
            raise _unknown("Claimant", w, p)
    p = _skip_asset(w, p)
    t = w[p + 2]
    if t == 0:
        p += 3
    elif t == 1:
        if w[p + 3]:
            raise _unknown("ClaimableBalanceEntryExtensionV1.ext", w, p + 3)
        p += 5
    else:
        raise _unknown("ClaimableBalanceEntry.ext", w, p + 2)
    return p


def _skip_liquidity_pool_entry(w: Words, p: int) -> int:
    t = w[p + 8]
    if t == 0:
        p = _skip_asset(w, p + 9)
        p = _skip_asset(w, p)
        p += 9
    else:
        raise _unknown("LiquidityPoolEntry.body", w, p + 8)
    return p


def _skip_contract_data_entry(w: Words, p: int) -> int:
    t = w[p + 1]
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    if t in (1, 4):
        p += 10
    elif t == 0:
        if w[p + 2]:
            raise _unknown("PublicKey", w, p + 2)
        p += 11
    elif t == 2:
        p += 12
    elif t == 3:
        if w[p + 2]:
            raise _unknown("ClaimableBalanceID", w, p + 2)
        p += 11
    else:
        raise _unknown("SCAddress", w, p + 1)
    p = _skip_sc_val(w, p)
    if w[p] > 1:
        raise _unknown("ContractDataDurability", w, p)
    p = _skip_sc_val(w, p + 1)
    return p


def _skip_contract_code_entry(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1] or w[p + 2]:
            raise _unknown_of(w, ("ExtensionPoint", p + 1), ("ExtensionPoint", p + 2))
        p += 13
    else:
        raise _unknown("ContractCodeEntry.ext", w, p)
    n = w[p + 8]
    p += 9 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    return p


def _skip_config_setting_entry(w: Words, p: int) -> int:
    t = w[p]
    try:
        n = _WORDS_CONFIG_SETTING_ENTRY[t]
    except KeyError:
        raise _unknown("ConfigSettingEntry", w, p) from None
    if n:
        p += n
    else:
        p = _ARMS_CONFIG_SETTING_ENTRY[t](w, p + 1)
    return p


def _skip_config_setting_entry_arm_0(w: Words, p: int) -> int:
    n = w[p]
    if n > 1024:
        raise _too_many(n, 1024, p)
    p += 1
    for _ in range(n):
        if w[p]:
            raise _unknown("ExtensionPoint", w, p)
        p += 5
    return p


def _skip_config_setting_entry_arm_1(w: Words, p: int) -> int:
    n = w[p]
    p += 1 + 2 * n
    return p


def _skip_eviction_iterator(w: Words, p: int) -> int:
    if w[p + 1] > 1:
        raise _bad_flag(w, p + 1)
    p += 4
    return p


def _skip_frozen_ledger_keys(w: Words, p: int) -> int:
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p]
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _skip_frozen_ledger_keys_delta(w: Words, p: int) -> int:
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p]
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p]
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _skip_freeze_bypass_txs(w: Words, p: int) -> int:
    n = w[p]
    p += 1 + 8 * n
    return p


def _skip_freeze_bypass_txs_delta(w: Words, p: int) -> int:
    n = w[p]
    p += 1 + 8 * n
    n = w[p]
    p += 1 + 8 * n
    return p


def _skip_ledger_entry_ext(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        t = w[p + 1]
        if t > 1:
            raise _bad_flag(w, p + 1)
        p += 2
        if t:
            if w[p]:
                raise _unknown("PublicKey", w, p)
            p += 9
        if w[p]:
            raise _unknown("LedgerEntryExtensionV1.ext", w, p)
        p += 1
    else:
        raise _unknown("LedgerEntry.ext", w, p)
    return p


def _skip_ledger_entry_change(w: Words, p: int) -> int:
    t = w[p]
    if t == 2:
        t = w[p + 1]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p + 1) from None
        if n:
            p += 1 + n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 2)
    elif t <= 4:
        t = w[p + 2]
        try:
            n = _WORDS_LEDGER_ENTRY_DATA[t]
        except KeyError:
            raise _unknown("LedgerEntry.data", w, p + 2) from None
        if n:
            p += 2 + n
        else:
            p = _ARMS_LEDGER_ENTRY_DATA[t](w, p + 3)
        p = _skip_ledger_entry_ext(w, p)
    else:
        raise _unknown("LedgerEntryChange", w, p)
    return p


def _read_transaction_meta(w: Words, p: int) -> tuple[TransactionMeta, int]:
    t = w[p]
    v2 = t
    v1: SorobanTransactionMeta | TransactionMetaV4 | None = None
    if t == 3:
        n = w[p + 2]
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 3
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        n = w[p]
        p += 1
        for _ in range(n):
            n = w[p]
            p += 1
            for _ in range(n):
                p = _skip_ledger_entry_change(w, p)
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        t = w[p]
        if t > 1:
            raise _bad_flag(w, p)
        p += 1
        v3: SorobanTransactionMeta | None = None
        if t:
            v4, p = _read_soroban_transaction_meta(w, p)
            v3 = v4
        v1 = v3
    elif t == 4:
        v5, p = _read_transaction_meta_v4(w, p + 1)
        v1 = v5
    else:
        p = _skip_transaction_meta(w, p)
    return (v2, v1), p


def _read_soroban_transaction_meta(w: Words, p: int) -> tuple[SorobanTransactionMeta, int]:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 8
    else:
        raise _unknown("SorobanTransactionMetaExt", w, p)
    v1 = p
    n = w[p]
    p += 1
    v2: list[ContractEvent] = []
    for _ in range(n):
        v3, p = _read_contract_event(w, p)
        v2.append(v3)
    v4 = p
    p = _skip_sc_val(w, p)
    v5 = p
    n = w[p]
    p += 1
    for _ in range(n):
        if w[p] > 1:
            raise _bad_flag(w, p)
        p = _skip_contract_event(w, p + 1)
    return (v1, v2, v4, v5), p


def _read_contract_event(w: Words, p: int) -> tuple[ContractEvent, int]:
    v1 = p
    t = w[p + 1]
    if t > 1:
        raise _bad_flag(w, p + 1)
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 2
    v2 = 0
    if t:
        v2 = p
        p += 8
    v3 = w[p]
    if w[p] > 2:
        raise _unknown("ContractEventType", w, p)
    n = w[p + 2]
    if w[p + 1]:
        raise _unknown("ContractEvent.body", w, p + 1)
    p += 3
    v4: list[int] = []
    for _ in range(n):
        v4.append(p)
        p = _skip_sc_val(w, p)
    v5 = p
    p = _skip_sc_val(w, p)
    return (v1, v2, v3, v4, v5, p), p


def _skip_contract_event(w: Words, p: int) -> int:
    t = w[p + 1]
    if t > 1:
        raise _bad_flag(w, p + 1)
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 2 + 8 * t
    if w[p] > 2:
        raise _unknown("ContractEventType", w, p)
    t = w[p + 1]
    if t == 0:
        n = w[p + 2]
        p += 3
        for _ in range(n):
            p = _skip_sc_val(w, p)
        p = _skip_sc_val(w, p)
    else:
        raise _unknown("ContractEvent.body", w, p + 1)
    return p


def _read_transaction_meta_v4(w: Words, p: int) -> tuple[TransactionMetaV4, int]:
    n = w[p + 1]
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 2
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    v1: list[OperationMetaV2] = []
    for _ in range(n):
        v2, p = _read_operation_meta_v2(w, p)
        v1.append(v2)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    v3: SorobanTransactionMetaV2 | None = None
    if t:
        v4, p = _read_soroban_transaction_meta_v2(w, p)
        v3 = v4
    n = w[p]
    p += 1
    v5: list[TransactionEvent] = []
    for _ in range(n):
        v6, p = _read_transaction_event(w, p)
        v5.append(v6)
    n = w[p]
    p += 1
    for _ in range(n):
        if w[p] > 1:
            raise _bad_flag(w, p)
        p = _skip_contract_event(w, p + 1)
    return (v1, v3, v5), p


def _read_operation_meta_v2(w: Words, p: int) -> tuple[OperationMetaV2, int]:
    n = w[p + 1]
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 2
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    v1 = p
    n = w[p]
    p += 1
    v2: list[ContractEvent] = []
    for _ in range(n):
        v3, p = _read_contract_event(w, p)
        v2.append(v3)
    return (v1, v2, p), p


def _read_soroban_transaction_meta_v2(w: Words, p: int) -> tuple[SorobanTransactionMetaV2, int]:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 8
    else:
        raise _unknown("SorobanTransactionMetaExt", w, p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    v1 = 0
    if t:
        v1 = p
        p = _skip_sc_val(w, p)
    return (v1, p), p


def _read_transaction_event(w: Words, p: int) -> tuple[TransactionEvent, int]:
    v1 = w[p]
    if w[p] > 2:
        raise _unknown("TransactionEventStage", w, p)
    v2, p = _read_contract_event(w, p + 1)
    return (v1, v2), p


def _skip_transaction_meta_v2(w: Words, p: int) -> int:
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    return p


def _skip_soroban_transaction_meta(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 8
    else:
        raise _unknown("SorobanTransactionMetaExt", w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_contract_event(w, p)
    p = _skip_sc_val(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        if w[p] > 1:
            raise _bad_flag(w, p)
        p = _skip_contract_event(w, p + 1)
    return p


def _skip_transaction_meta_v3(w: Words, p: int) -> int:
    n = w[p + 1]
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 2
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        p = _skip_soroban_transaction_meta(w, p)
    return p


def _skip_soroban_transaction_meta_v2(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 8
    else:
        raise _unknown("SorobanTransactionMetaExt", w, p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        p = _skip_sc_val(w, p)
    return p


def _skip_transaction_meta_v4(w: Words, p: int) -> int:
    n = w[p + 1]
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p += 2
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p + 1]
        if w[p]:
            raise _unknown("ExtensionPoint", w, p)
        p += 2
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_contract_event(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        p = _skip_soroban_transaction_meta_v2(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        if w[p] > 2:
            raise _unknown("TransactionEventStage", w, p)
        p = _skip_contract_event(w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        if w[p] > 1:
            raise _bad_flag(w, p)
        p = _skip_contract_event(w, p + 1)
    return p


def _skip_transaction_meta(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            n = w[p]
            p += 1
            for _ in range(n):
                p = _skip_ledger_entry_change(w, p)
    elif t == 1:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        n = w[p]
        p += 1
        for _ in range(n):
            n = w[p]
            p += 1
            for _ in range(n):
                p = _skip_ledger_entry_change(w, p)
    elif t == 2:
        p = _skip_transaction_meta_v2(w, p + 1)
    elif t == 3:
        p = _skip_transaction_meta_v3(w, p + 1)
    elif t == 4:
        p = _skip_transaction_meta_v4(w, p + 1)
    else:
        raise _unknown("TransactionMeta", w, p)
    return p


def _skip_scp_quorum_set(w: Words, p: int) -> int:
    left = 1
    above: list[int] = []
    while True:
        while left:
            left -= 1
            n = w[p + 1]
            p += 2
            for _ in range(n):
                if w[p]:
                    raise _unknown("PublicKey", w, p)
                p += 9
            n = w[p]
            p += 1
            if n:
                above.append(left)
                if len(above) > MAX_DEPTH:
                    raise _too_deep("SCPQuorumSet", p)
                left = n
        if not above:
            return p
        left = above.pop()


def _skip_scp_statement_pledges_prepare(w: Words, p: int) -> int:
    n = w[p + 9]
    p += 10 + (n + 3 >> 2)
    if n & 3 and w[p - 1] & _PADDING[n & 3]:
        raise _bad_padding(p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        n = w[p + 1]
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1
    if t:
        n = w[p + 1]
        p += 2 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    p += 2
    return p


def _skip_scp_nomination(w: Words, p: int) -> int:
    n = w[p + 8]
    p += 9
    for _ in range(n):
        n = w[p]
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p]
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _skip_scp_statement_pledges(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p = _skip_scp_statement_pledges_prepare(w, p + 1)
    elif t == 1:
        n = w[p + 2]
        p += 3 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
        p += 11
    elif t == 2:
        n = w[p + 2]
        p += 3 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
        p += 9
    elif t == 3:
        p = _skip_scp_nomination(w, p + 1)
    else:
        raise _unknown("SCPStatement.pledges", w, p)
    return p


def _skip_ledger_scp_messages(w: Words, p: int) -> int:
    n = w[p + 1]
    p += 2
    for _ in range(n):
        if w[p]:
            raise _unknown("PublicKey", w, p)
        p = _skip_scp_statement_pledges(w, p + 11)
        n = w[p]
        if n > 64:
            raise _too_many(n, 64, p)
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    return p


def _read_ledger_close_meta_v1(w: Words, p: int) -> tuple[LedgerCloseMetaV1, int]:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 4
    else:
        raise _unknown("LedgerCloseMetaExt", w, p)
    v1, p = _read_ledger_header_history_entry(w, p)
    t = w[p]
    if t == 1:
        n = w[p + 9]
        p += 10
        for _ in range(n):
            p = _skip_transaction_phase(w, p)
    else:
        raise _unknown("GeneralizedTransactionSet", w, p)
    n = w[p]
    p += 1
    v2: list[TransactionResultMeta] = []
    for _ in range(n):
        v3, p = _read_transaction_result_meta(w, p)
        v2.append(v3)
    n = w[p]
    p += 1
    for _ in range(n):
        try:
            n = _WORDS_LEDGER_UPGRADE[w[p]]
        except KeyError:
            raise _unknown("LedgerUpgrade", w, p) from None
        p += n
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        if t == 0:
            n = w[p + 1]
            p += 2
            for _ in range(n):
                p = _skip_scp_quorum_set(w, p)
            p = _skip_ledger_scp_messages(w, p)
        else:
            raise _unknown("SCPHistoryEntry", w, p)
    n = w[p + 2]
    p += 3
    for _ in range(n):
        t = w[p]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p) from None
        if n:
            p += n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p + 1]
        try:
            n = _WORDS_LEDGER_ENTRY_DATA[t]
        except KeyError:
            raise _unknown("LedgerEntry.data", w, p + 1) from None
        if n:
            p += 1 + n
        else:
            p = _ARMS_LEDGER_ENTRY_DATA[t](w, p + 2)
        p = _skip_ledger_entry_ext(w, p)
    return (v1, v2), p


def _skip_tx_set_component_txs_maybe_discounted_fee(w: Words, p: int) -> int:
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + 2 * t
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        if t == 0:
            p = _skip_transaction_v0_envelope(w, p + 1)
        elif t == 2:
            p = _skip_transaction_v1_envelope(w, p + 1)
        elif t == 5:
            p = _skip_fee_bump_transaction_envelope(w, p + 1)
        else:
            raise _unknown("TransactionEnvelope", w, p)
    return p


def _skip_parallel_txs_component(w: Words, p: int) -> int:
    t = w[p]
    if t > 1:
        raise _bad_flag(w, p)
    p += 1 + 2 * t
    n = w[p]
    p += 1
    for _ in range(n):
        n = w[p]
        p += 1
        for _ in range(n):
            n = w[p]
            p += 1
            for _ in range(n):
                t = w[p]
                if t == 0:
                    p = _skip_transaction_v0_envelope(w, p + 1)
                elif t == 2:
                    p = _skip_transaction_v1_envelope(w, p + 1)
                elif t == 5:
                    p = _skip_fee_bump_transaction_envelope(w, p + 1)
                else:
                    raise _unknown("TransactionEnvelope", w, p)
    return p


def _skip_transaction_phase(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        n = w[p + 1]
        p += 2
        for _ in range(n):
            t = w[p]
            if t == 0:
                p = _skip_tx_set_component_txs_maybe_discounted_fee(w, p + 1)
            else:
                raise _unknown("TxSetComponent", w, p)
    elif t == 1:
        p = _skip_parallel_txs_component(w, p + 1)
    else:
        raise _unknown("TransactionPhase", w, p)
    return p


def _read_ledger_close_meta_v2(w: Words, p: int) -> tuple[LedgerCloseMetaV2, int]:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 4
    else:
        raise _unknown("LedgerCloseMetaExt", w, p)
    v1, p = _read_ledger_header_history_entry(w, p)
    t = w[p]
    if t == 1:
        n = w[p + 9]
        p += 10
        for _ in range(n):
            p = _skip_transaction_phase(w, p)
    else:
        raise _unknown("GeneralizedTransactionSet", w, p)
    n = w[p]
    p += 1
    v2: list[TransactionResultMetaV1] = []
    for _ in range(n):
        v3, p = _read_transaction_result_meta_v1(w, p)
        v2.append(v3)
    n = w[p]
    p += 1
    for _ in range(n):
        try:
            n = _WORDS_LEDGER_UPGRADE[w[p]]
        except KeyError:
            raise _unknown("LedgerUpgrade", w, p) from None
        p += n
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        if t == 0:
            n = w[p + 1]
            p += 2
            for _ in range(n):
                p = _skip_scp_quorum_set(w, p)
            p = _skip_ledger_scp_messages(w, p)
        else:
            raise _unknown("SCPHistoryEntry", w, p)
    n = w[p + 2]
    p += 3
    for _ in range(n):
        t = w[p]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p) from None
        if n:
            p += n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 1)
    return (v1, v2), p


def _read_transaction_result_meta_v1(w: Words, p: int) -> tuple[TransactionResultMetaV1, int]:
    v1 = p
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    v2, p = _read_transaction_result_pair(w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    v3, p = _read_transaction_meta(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    return (v1, v2, v3, p), p


def read_front(w: Words, p: int) -> tuple[LedgerCloseMeta_2, int]:
    t = w[p]
    v2 = t
    v1: LedgerCloseMetaV0_2 | LedgerCloseMetaV1_2 | LedgerCloseMetaV2_2
    if t == 0:
        v3, p = _read_ledger_close_meta_v0_2(w, p + 1)
        v1 = v3
    elif t == 1:
        v4, p = _read_ledger_close_meta_v1_2(w, p + 1)
        v1 = v4
    elif t == 2:
        v5, p = _read_ledger_close_meta_v2_2(w, p + 1)
        v1 = v5
    else:
        raise _unknown("LedgerCloseMeta", w, p)
    return (v2, v1), p


def _read_ledger_close_meta_v0_2(w: Words, p: int) -> tuple[LedgerCloseMetaV0_2, int]:
    v1, p = _read_ledger_header_history_entry(w, p)
    v2 = p
    return (v1, v2), p


def _read_ledger_close_meta_v1_2(w: Words, p: int) -> tuple[LedgerCloseMetaV1_2, int]:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 4
    else:
        raise _unknown("LedgerCloseMetaExt", w, p)
    v1, p = _read_ledger_header_history_entry(w, p)
    v2 = p
    return (v1, v2), p


def _read_ledger_close_meta_v2_2(w: Words, p: int) -> tuple[LedgerCloseMetaV2_2, int]:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 4
    else:
        raise _unknown("LedgerCloseMetaExt", w, p)
    v1, p = _read_ledger_header_history_entry(w, p)
    v2 = p
    return (v1, v2), p


def read_header(w: Words, p: int) -> tuple[LedgerHeader, int]:
    v1 = p
    v2 = w[p]
    v3 = p + 1
    v4 = w[p + 17] << 32 | w[p + 18]
    n = w[p + 19]
    if n > 6:
        raise _too_many(n, 6, p + 19)
    p += 20
    for _ in range(n):
        n = w[p]
        if n > 128:
            raise _too_many(n, 128, p)
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    p = _skip_stellar_value_ext(w, p)
    v5 = p
    v6 = w[p + 16]
    t = w[p + 59]
    if t == 0:
        p += 60
    elif t == 1:
        if w[p + 61]:
            raise _unknown("LedgerHeaderExtensionV1.ext", w, p + 61)
        p += 62
    else:
        raise _unknown("LedgerHeader.ext", w, p + 59)
    return (v1, v2, v3, v4, v5, v6, p), p


def read_result(w: Words, p: int) -> tuple[TransactionResult, int]:
    v1 = p
    v2 = ((w[p] ^ 0x80000000) - 0x80000000) << 32 | w[p + 1]
    v3, p = _read_transaction_result_result(w, p + 2)
    if w[p]:
        raise _unknown("TransactionResult.ext", w, p)
    v4 = p + 1
    p += 1
    return (v1, v2, v3, v4), p


def read_meta(w: Words, p: int) -> tuple[TransactionMeta, int]:
    t = w[p]
    v2 = t
    v1: SorobanTransactionMeta | TransactionMetaV4 | None = None
    if t == 3:
        n = w[p + 2]
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 3
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        n = w[p]
        p += 1
        for _ in range(n):
            n = w[p]
            p += 1
            for _ in range(n):
                p = _skip_ledger_entry_change(w, p)
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        t = w[p]
        if t > 1:
            raise _bad_flag(w, p)
        p += 1
        v3: SorobanTransactionMeta | None = None
        if t:
            v4, p = _read_soroban_transaction_meta(w, p)
            v3 = v4
        v1 = v3
    elif t == 4:
        v5, p = _read_transaction_meta_v4(w, p + 1)
        v1 = v5
    else:
        p = _skip_transaction_meta(w, p)
    return (v2, v1), p


def read_envelopes_v0(w: Words, p: int) -> tuple[list[int], int]:
    places: list[int] = []
    n = w[p + 8]
    p += 9
    for _ in range(n):
        places.append(p)
        t = w[p]
        if t == 0:
            p = _skip_transaction_v0_envelope(w, p + 1)
        elif t == 2:
            p = _skip_transaction_v1_envelope(w, p + 1)
        elif t == 5:
            p = _skip_fee_bump_transaction_envelope(w, p + 1)
        else:
            raise _unknown("TransactionEnvelope", w, p)
    return places, p


def read_envelopes_v1(w: Words, p: int) -> tuple[list[int], int]:
    places: list[int] = []
    t = w[p]
    if t == 1:
        n = w[p + 9]
        p += 10
        for _ in range(n):
            t = w[p]
            if t == 0:
                n = w[p + 1]
                p += 2
                for _ in range(n):
                    t = w[p]
                    if t == 0:
                        t = w[p + 1]
                        if t > 1:
                            raise _bad_flag(w, p + 1)
                        p += 2 + 2 * t
                        n = w[p]
                        p += 1
                        for _ in range(n):
                            places.append(p)
                            t = w[p]
                            if t == 0:
                                p = _skip_transaction_v0_envelope(w, p + 1)
                            elif t == 2:
                                p = _skip_transaction_v1_envelope(w, p + 1)
                            elif t == 5:
                                p = _skip_fee_bump_transaction_envelope(w, p + 1)
                            else:
                                raise _unknown("TransactionEnvelope", w, p)
                    else:
                        raise _unknown("TxSetComponent", w, p)
            elif t == 1:
                t = w[p + 1]
                if t > 1:
                    raise _bad_flag(w, p + 1)
                p += 2 + 2 * t
                n = w[p]
                p += 1
                for _ in range(n):
                    n = w[p]
                    p += 1
                    for _ in range(n):
                        n = w[p]
                        p += 1
                        for _ in range(n):
                            places.append(p)
                            t = w[p]
                            if t == 0:
                                p = _skip_transaction_v0_envelope(w, p + 1)
                            elif t == 2:
                                p = _skip_transaction_v1_envelope(w, p + 1)
                            elif t == 5:
                                p = _skip_fee_bump_transaction_envelope(w, p + 1)
                            else:
                                raise _unknown("TransactionEnvelope", w, p)
            else:
                raise _unknown("TransactionPhase", w, p)
    else:
        raise _unknown("GeneralizedTransactionSet", w, p)
    return places, p


def _skip_ledger_close_meta(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p = _skip_ledger_close_meta_v0(w, p + 1)
    elif t == 1:
        p = _skip_ledger_close_meta_v1(w, p + 1)
    elif t == 2:
        p = _skip_ledger_close_meta_v2(w, p + 1)
    else:
        raise _unknown("LedgerCloseMeta", w, p)
    return p


def _skip_stellar_value(w: Words, p: int) -> int:
    n = w[p + 10]
    if n > 6:
        raise _too_many(n, 6, p + 10)
    p += 11
    for _ in range(n):
        n = w[p]
        if n > 128:
            raise _too_many(n, 128, p)
        p += 1 + (n + 3 >> 2)
        if n & 3 and w[p - 1] & _PADDING[n & 3]:
            raise _bad_padding(p)
    p = _skip_stellar_value_ext(w, p)
    return p


def _skip_ledger_close_meta_v0(w: Words, p: int) -> int:
    p = _skip_stellar_value(w, p + 17)
    t = w[p + 59]
    if t == 0:
        p += 60
    elif t == 1:
        if w[p + 61]:
            raise _unknown("LedgerHeaderExtensionV1.ext", w, p + 61)
        p += 62
    else:
        raise _unknown("LedgerHeader.ext", w, p + 59)
    if w[p]:
        raise _unknown("LedgerHeaderHistoryEntry.ext", w, p)
    p = _skip_transaction_set(w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_transaction_result_result(w, p + 10)
        n = w[p + 1]
        if w[p]:
            raise _unknown("TransactionResult.ext", w, p)
        p += 2
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        p = _skip_transaction_meta(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        try:
            n = _WORDS_LEDGER_UPGRADE[w[p]]
        except KeyError:
            raise _unknown("LedgerUpgrade", w, p) from None
        p += n
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        if t == 0:
            n = w[p + 1]
            p += 2
            for _ in range(n):
                p = _skip_scp_quorum_set(w, p)
            p = _skip_ledger_scp_messages(w, p)
        else:
            raise _unknown("SCPHistoryEntry", w, p)
    return p


def _skip_ledger_close_meta_v1(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 4
    else:
        raise _unknown("LedgerCloseMetaExt", w, p)
    p = _skip_stellar_value(w, p + 17)
    t = w[p + 59]
    if t == 0:
        p += 60
    elif t == 1:
        if w[p + 61]:
            raise _unknown("LedgerHeaderExtensionV1.ext", w, p + 61)
        p += 62
    else:
        raise _unknown("LedgerHeader.ext", w, p + 59)
    t = w[p + 1]
    if w[p]:
        raise _unknown("LedgerHeaderHistoryEntry.ext", w, p)
    if t == 1:
        n = w[p + 10]
        p += 11
        for _ in range(n):
            p = _skip_transaction_phase(w, p)
    else:
        raise _unknown("GeneralizedTransactionSet", w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_transaction_result_result(w, p + 10)
        n = w[p + 1]
        if w[p]:
            raise _unknown("TransactionResult.ext", w, p)
        p += 2
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
        p = _skip_transaction_meta(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        try:
            n = _WORDS_LEDGER_UPGRADE[w[p]]
        except KeyError:
            raise _unknown("LedgerUpgrade", w, p) from None
        p += n
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        if t == 0:
            n = w[p + 1]
            p += 2
            for _ in range(n):
                p = _skip_scp_quorum_set(w, p)
            p = _skip_ledger_scp_messages(w, p)
        else:
            raise _unknown("SCPHistoryEntry", w, p)
    n = w[p + 2]
    p += 3
    for _ in range(n):
        t = w[p]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p) from None
        if n:
            p += n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p + 1]
        try:
            n = _WORDS_LEDGER_ENTRY_DATA[t]
        except KeyError:
            raise _unknown("LedgerEntry.data", w, p + 1) from None
        if n:
            p += 1 + n
        else:
            p = _ARMS_LEDGER_ENTRY_DATA[t](w, p + 2)
        p = _skip_ledger_entry_ext(w, p)
    return p


def _skip_transaction_result_meta_v1(w: Words, p: int) -> int:
    if w[p]:
        raise _unknown("ExtensionPoint", w, p)
    p = _skip_transaction_result_result(w, p + 11)
    n = w[p + 1]
    if w[p]:
        raise _unknown("TransactionResult.ext", w, p)
    p += 2
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    p = _skip_transaction_meta(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_ledger_entry_change(w, p)
    return p


def _skip_ledger_close_meta_v2(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        if w[p + 1]:
            raise _unknown("ExtensionPoint", w, p + 1)
        p += 4
    else:
        raise _unknown("LedgerCloseMetaExt", w, p)
    p = _skip_stellar_value(w, p + 17)
    t = w[p + 59]
    if t == 0:
        p += 60
    elif t == 1:
        if w[p + 61]:
            raise _unknown("LedgerHeaderExtensionV1.ext", w, p + 61)
        p += 62
    else:
        raise _unknown("LedgerHeader.ext", w, p + 59)
    t = w[p + 1]
    if w[p]:
        raise _unknown("LedgerHeaderHistoryEntry.ext", w, p)
    if t == 1:
        n = w[p + 10]
        p += 11
        for _ in range(n):
            p = _skip_transaction_phase(w, p)
    else:
        raise _unknown("GeneralizedTransactionSet", w, p + 1)
    n = w[p]
    p += 1
    for _ in range(n):
        p = _skip_transaction_result_meta_v1(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        try:
            n = _WORDS_LEDGER_UPGRADE[w[p]]
        except KeyError:
            raise _unknown("LedgerUpgrade", w, p) from None
        p += n
        n = w[p]
        p += 1
        for _ in range(n):
            p = _skip_ledger_entry_change(w, p)
    n = w[p]
    p += 1
    for _ in range(n):
        t = w[p]
        if t == 0:
            n = w[p + 1]
            p += 2
            for _ in range(n):
                p = _skip_scp_quorum_set(w, p)
            p = _skip_ledger_scp_messages(w, p)
        else:
            raise _unknown("SCPHistoryEntry", w, p)
    n = w[p + 2]
    p += 3
    for _ in range(n):
        t = w[p]
        try:
            n = _WORDS_LEDGER_KEY[t]
        except KeyError:
            raise _unknown("LedgerKey", w, p) from None
        if n:
            p += n
        else:
            p = _ARMS_LEDGER_KEY[t](w, p + 1)
    return p


def _skip_transaction_v0(w: Words, p: int) -> int:
    t = w[p + 11]
    if t > 1:
        raise _bad_flag(w, p + 11)
    p += 12 + 4 * t
    p = _skip_memo(w, p)
    n = w[p]
    if n > 100:
        raise _too_many(n, 100, p)
    p += 1
    for _ in range(n):
        p = _skip_operation(w, p)
    if w[p]:
        raise _unknown("TransactionV0.ext", w, p)
    p += 1
    return p


def _skip_fee_bump_transaction(w: Words, p: int) -> int:
    try:
        n = _WORDS_MUXED_ACCOUNT[w[p]]
    except KeyError:
        raise _unknown("MuxedAccount", w, p) from None
    p += n
    t = w[p + 2]
    if t == 2:
        p = _skip_transaction_v1_envelope(w, p + 3)
    else:
        raise _unknown("FeeBumpTransaction.innerTx", w, p + 2)
    if w[p]:
        raise _unknown("FeeBumpTransaction.ext", w, p)
    p += 1
    return p


def _skip_diagnostic_event(w: Words, p: int) -> int:
    if w[p] > 1:
        raise _bad_flag(w, p)
    p = _skip_contract_event(w, p + 1)
    return p


def _skip_soroban_transaction_data(w: Words, p: int) -> int:
    t = w[p]
    if t == 0:
        p += 1
    elif t == 1:
        n = w[p + 1]
        p += 2 + n
    else:
        raise _unknown("SorobanTransactionData.ext", w, p)
    p = _skip_ledger_footprint(w, p)
    p += 5
    return p


def _skip_soroban_authorization_entry(w: Words, p: int) -> int:
    p = _skip_soroban_credentials(w, p)
    p = _skip_soroban_authorized_invocation(w, p)
    return p


skip_ledger = _skip_ledger_close_meta
skip_scval = _skip_sc_val
skip_contract_event = _skip_contract_event
skip_transaction_v0 = _skip_transaction_v0
skip_transaction_v1 = _skip_transaction
skip_fee_bump = _skip_fee_bump_transaction
skip_diagnostic_event = _skip_diagnostic_event
skip_soroban_data = _skip_soroban_transaction_data
skip_soroban_auth = _skip_soroban_authorization_entry

_WORDS_MUXED_ACCOUNT = {0: 9, 256: 11}
_WORDS_ASSET_CODE = {1: 2, 2: 4}
_WORDS_CLAIM_PREDICATE = {0: 1, 1: 0, 2: 0, 3: 0, 4: 3, 5: 3}
_WORDS_SC_VAL = {0: 0, 1: 1, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 3, 8: 3, 9: 5, 10: 5, 11: 9, 12: 9, 13: 0, 14: 0, 15: 0, 16: 0, 17: 0, 18: 0, 19: 0, 20: 1, 21: 3, 22: 0}
_ARMS_LEDGER_KEY = {0: _skip_ledger_key_account, 1: _skip_ledger_key_trust_line, 2: _skip_ledger_key_offer, 3: _skip_ledger_key_data, 4: _skip_ledger_key_claimable_balance, 6: _skip_ledger_key_contract_data, 8: _skip_ledger_key_config_setting}
_WORDS_LEDGER_KEY = {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 9, 6: 0, 7: 9, 8: 0, 9: 9}
_ARMS_OPERATION_BODY = {0: _skip_create_account_op, 1: _skip_payment_op, 2: _skip_path_payment_strict_receive_op, 3: _skip_manage_sell_offer_op, 4: _skip_create_passive_sell_offer_op, 5: _skip_set_options_op, 6: _skip_change_trust_op, 7: _skip_allow_trust_op, 8: _skip_muxed_account, 10: _skip_manage_data_op, 12: _skip_manage_buy_offer_op, 13: _skip_path_payment_strict_send_op, 14: _skip_create_claimable_balance_op, 15: _skip_claim_claimable_balance_op, 16: _skip_begin_sponsoring_future_reserves_op, 18: _skip_revoke_sponsorship_op, 19: _skip_clawback_op, 20: _skip_clawback_claimable_balance_op, 21: _skip_set_trust_line_flags_op, 24: _skip_invoke_host_function_op, 25: _skip_extend_footprint_ttl_op, 26: _skip_restore_footprint_op}
_WORDS_OPERATION_BODY = {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 1, 10: 0, 11: 3, 12: 0, 13: 0, 14: 0, 15: 0, 16: 0, 17: 1, 18: 0, 19: 0, 20: 0, 21: 0, 22: 17, 23: 15, 24: 0, 25: 0, 26: 0}
_WORDS_INVOKE_HOST_FUNCTION_RESULT = {0: 9, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_CREATE_ACCOUNT_RESULT = {0: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_PAYMENT_RESULT = {0: 1, 4294967287: 1, 4294967288: 1, 4294967289: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_SET_OPTIONS_RESULT = {0: 1, 4294967286: 1, 4294967287: 1, 4294967288: 1, 4294967289: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_CHANGE_TRUST_RESULT = {0: 1, 4294967288: 1, 4294967289: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_ALLOW_TRUST_RESULT = {0: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_ACCOUNT_MERGE_RESULT = {0: 3, 4294967289: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_MANAGE_DATA_RESULT = {0: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_BUMP_SEQUENCE_RESULT = {0: 1, 4294967295: 1}
_WORDS_CLAIM_CLAIMABLE_BALANCE_RESULT = {0: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_BEGIN_SPONSORING_FUTURE_RESERVES_RESULT = {0: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_END_SPONSORING_FUTURE_RESERVES_RESULT = {0: 1, 4294967295: 1}
_WORDS_REVOKE_SPONSORSHIP_RESULT = {0: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_CLAWBACK_RESULT = {0: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_CLAWBACK_CLAIMABLE_BALANCE_RESULT = {0: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_SET_TRUST_LINE_FLAGS_RESULT = {0: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_LIQUIDITY_POOL_DEPOSIT_RESULT = {0: 1, 4294967288: 1, 4294967289: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_LIQUIDITY_POOL_WITHDRAW_RESULT = {0: 1, 4294967290: 1, 4294967291: 1, 4294967292: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_EXTEND_FOOTPRINT_TTL_RESULT = {0: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_WORDS_RESTORE_FOOTPRINT_RESULT = {0: 1, 4294967293: 1, 4294967294: 1, 4294967295: 1}
_ARMS_OPERATION_RESULT_TR = {0: _skip_create_account_result, 1: _skip_payment_result, 2: _skip_path_payment_strict_receive_result, 3: _skip_manage_sell_offer_result, 4: _skip_manage_sell_offer_result, 5: _skip_set_options_result, 6: _skip_change_trust_result, 7: _skip_allow_trust_result, 8: _skip_account_merge_result, 9: _skip_inflation_result, 10: _skip_manage_data_result, 11: _skip_bump_sequence_result, 12: _skip_manage_buy_offer_result, 13: _skip_path_payment_strict_send_result, 14: _skip_create_claimable_balance_result, 15: _skip_claim_claimable_balance_result, 16: _skip_begin_sponsoring_future_reserves_result, 17: _skip_end_sponsoring_future_reserves_result, 18: _skip_revoke_sponsorship_result, 19: _skip_clawback_result, 20: _skip_clawback_claimable_balance_result, 21: _skip_set_trust_line_flags_result, 22: _skip_liquidity_pool_deposit_result, 23: _skip_liquidity_pool_withdraw_result, 24: _skip_invoke_host_function_result, 25: _skip_extend_footprint_ttl_result, 26: _skip_restore_footprint_result}
_ARMS_CONFIG_SETTING_ENTRY = {6: _skip_config_setting_entry_arm_0, 7: _skip_config_setting_entry_arm_0, 12: _skip_config_setting_entry_arm_1, 13: _skip_eviction_iterator, 17: _skip_frozen_ledger_keys, 18: _skip_frozen_ledger_keys_delta, 19: _skip_freeze_bypass_txs, 20: _skip_freeze_bypass_txs_delta}
_WORDS_CONFIG_SETTING_ENTRY = {0: 2, 1: 8, 2: 22, 3: 3, 4: 4, 5: 5, 6: 0, 7: 0, 8: 2, 9: 2, 10: 13, 11: 2, 12: 0, 13: 0, 14: 2, 15: 4, 16: 6, 17: 0, 18: 0, 19: 0, 20: 0}
_ARMS_LEDGER_ENTRY_DATA = {0: _skip_account_entry, 1: _skip_trust_line_entry, 2: _skip_offer_entry, 3: _skip_data_entry, 4: _skip_claimable_balance_entry, 5: _skip_liquidity_pool_entry, 6: _skip_contract_data_entry, 7: _skip_contract_code_entry, 8: _skip_config_setting_entry}
_WORDS_LEDGER_ENTRY_DATA = {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 10}
_WORDS_LEDGER_UPGRADE = {1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 17, 7: 2}
