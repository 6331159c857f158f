"""Bytes to facts: decoders for Stellar XDR, written for speed and strictness."""
