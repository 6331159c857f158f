"""Whole ledgers in the words of a Soroban RPC node, for :mod:`stellarstream_core.testing.rpc_node`."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from typing import Any

from stellarstream_core.testing.rpc_history import RpcEvent, rendered_event
from stellarstream_core.xdr.ledger import LedgerHeader, ledger_events, read_ledger, read_ledger_header


class LedgerHistory:
    """Ledgers as ``LedgerCloseMeta`` by sequence, of which those from ``oldest`` to ``latest`` are held.

    Any of ``metas`` may be altered; ``hash`` and ``headerXdr`` of an answer stay those of the ledger as
    it was, unless it is exchanged for another one.
    """

    def __init__(self, metas: Mapping[int, bytes], oldest: int | None = None, latest: int | None = None) -> None:
        self.metas = dict(metas)
        self.oldest = min(metas) if oldest is None else oldest
        self.latest = max(metas) if latest is None else latest
        self._headers = {sequence: read_ledger_header(meta) for sequence, meta in metas.items()}
        self._events: dict[int, list[RpcEvent]] = {}

    def exchange(self, ledger: int, meta: bytes) -> None:
        """Put another ledger in the place of one, hash and header included."""
        self.metas[ledger] = meta
        self._headers[ledger] = read_ledger_header(meta)
        self._events.pop(ledger, None)

    def header(self, ledger: int) -> LedgerHeader:
        """Return a ledger's header."""
        return self._headers[ledger]

    def close_time(self, ledger: int) -> int:
        """Return a ledger's close time in Unix seconds."""
        return self._headers[ledger].close_time

    def ledger_hash(self, ledger: int) -> str:
        """Return a ledger's header hash."""
        return self._headers[ledger].hash.hex()

    def events(self, first_ledger: int, last_ledger: int) -> Iterator[RpcEvent]:
        """Yield the held events of these ledgers, both included, in id order."""
        for ledger in range(max(first_ledger, self.oldest), min(last_ledger, self.latest) + 1):
            if ledger not in self._events:
                events = ledger_events(read_ledger(self.metas[ledger]), None)
                self._events[ledger] = [rendered_event(event) for event in events]
            yield from self._events[ledger]

    def entry(self, ledger: int) -> dict[str, Any]:
        """Return a ledger as ``getLedgers`` has it."""
        header = self._headers[ledger]
        return {
            "hash": header.hash.hex(),
            "sequence": ledger,
            "ledgerCloseTime": str(header.close_time),
            "headerXdr": _base64(header.hash + header.xdr + bytes(4)),
            "metadataXdr": _base64(self.metas[ledger]),
        }


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")
