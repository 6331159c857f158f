"""Asking sources what they are and have: a source is a plugin, so whatever it raises becomes a failure of its own."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from loguru import logger

from stellarstream_core.errors import SourceMisbehavedError, StellarStreamError
from stellarstream_core.sources import Reach, Source, SourceIdentity

T = TypeVar("T")


async def reach_of(source: Source) -> Reach:
    """Return a source's reach; raises only ``StellarStreamError`` subclasses."""
    return await _asked(source, source.reach(), "reach()")


async def identity_of(source: Source) -> SourceIdentity:
    """Return what a source says of itself; raises only ``StellarStreamError`` subclasses."""
    return await _asked(source, source.identity(), "identity()")


async def _asked(source: Source, answer: Awaitable[T], what: str) -> T:
    try:
        return await answer
    except StellarStreamError:
        raise
    except Exception as error:
        logger.opt(exception=error).error("source {} failed in {}", source.name, what)
        raise SourceMisbehavedError(f"{source.name} raised {type(error).__name__} in {what}.") from error
