"""From what happened to the bytes of a ledger: envelopes, results, meta, headers and their hashes."""
