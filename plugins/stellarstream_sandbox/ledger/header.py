"""Ledger headers: the chain of hashes that ties each ledger to all before it."""

from __future__ import annotations

from hashlib import sha256

from stellarstream_sandbox.identity import ZERO_HASH, Directory
from stellarstream_sandbox.pack import ONE, ZERO, i64, opaque, u32, u64

PROTOCOL = 28
"""The protocol version of the ledgers; what they hold is the same since 23."""

_ENVELOPE_TYPE_SCP_VALUE = u32(4)
_STELLAR_VALUE_SIGNED = ONE
_TOTAL_COINS = 10**18
_BASE_FEE = 100
_BASE_RESERVE = 5_000_000
_MAX_TX_SET_SIZE = 1000
_SKIP_1, _SKIP_2, _SKIP_3, _SKIP_4 = 50, 5_000, 50_000, 500_000


class HeaderChain:
    """The last header's hash, and what the next header takes over from it."""

    def __init__(self, directory: Directory, genesis_time: int) -> None:
        self._directory = directory
        self._validator = directory.keypair("validator")
        self._bucket_list = directory.secret("state", "genesis")
        self._skip_list = [ZERO_HASH] * 4
        self._fee_pool = 0
        self.hash = ZERO_HASH
        # Genesis, which nobody serves: ledgers are counted from it, and the first served one names its hash.
        self.append(1, genesis_time, sha256(b"").digest(), sha256(ZERO).digest(), 0)

    def append(self, sequence: int, close_time: int, tx_set_hash: bytes, tx_set_result_hash: bytes, fees: int) -> bytes:
        """Close a ledger: return its ``LedgerHeader``, whose sha256 is the chain's ``hash`` from now on.

        ``fees`` is what was burned in it, in stroops. There is no state behind the bucket list's
        hash; it only differs from ledger to ledger, as it should.
        """
        self._fee_pool += fees
        self._bucket_list = sha256(self._bucket_list + tx_set_result_hash).digest()
        self._skip(sequence)
        header = b"".join(
            (
                u32(PROTOCOL),
                self.hash,
                self._consensus_value(tx_set_hash, close_time),
                tx_set_result_hash,
                self._bucket_list,
                u32(sequence),
                i64(_TOTAL_COINS),
                i64(self._fee_pool),
                ZERO,
                u64(0),
                u32(_BASE_FEE),
                u32(_BASE_RESERVE),
                u32(_MAX_TX_SET_SIZE),
                *self._skip_list,
                ZERO,
            )
        )
        self.hash = sha256(header).digest()
        return header

    def history_entry(self, header: bytes) -> bytes:
        """Return the last header as a ``LedgerHeaderHistoryEntry``, with its hash in front."""
        return self.hash + header + ZERO

    def _consensus_value(self, tx_set_hash: bytes, close_time: int) -> bytes:
        signed = self._directory.network + _ENVELOPE_TYPE_SCP_VALUE + tx_set_hash + u64(close_time)
        node = ZERO + self._validator.public
        signature = opaque(self._validator.sign(signed))
        return tx_set_hash + u64(close_time) + ZERO + _STELLAR_VALUE_SIGNED + node + signature

    def _skip(self, sequence: int) -> None:
        """Move the skip list on, as stellar-core does every 50, 5,000, 50,000 and 500,000 ledgers."""
        skips = self._skip_list
        if sequence % _SKIP_1:
            return
        at = sequence - _SKIP_1
        if at > 0 and at % _SKIP_2 == 0:
            at -= _SKIP_2
            if at > 0 and at % _SKIP_3 == 0:
                at -= _SKIP_3
                if at > 0 and at % _SKIP_4 == 0:
                    skips[3] = skips[2]
                skips[2] = skips[1]
            skips[1] = skips[0]
        skips[0] = self._bucket_list
