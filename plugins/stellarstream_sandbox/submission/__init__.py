"""Transactions that wallets hand in: read, judged, kept until the next ledger, and applied in it."""
