"""Transactions to the contracts: built for an account to sign, checked when they come back, handed in and followed.

Nothing here ever holds a user's secret: what is built is unsigned, and what is relayed was signed elsewhere.
"""
