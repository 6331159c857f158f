"""StellarStream: index Soroban contract events, each exactly once, with proof that none is missing."""

from stellarstream_core.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = ["__version__", "hookimpl"]
