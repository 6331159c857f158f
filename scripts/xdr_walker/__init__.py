"""Generates the ledger walker from the XDR schema; ``python -m scripts.xdr_walker --help`` says how."""
