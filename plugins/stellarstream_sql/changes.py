"""A write transaction for tables that are not this package's: begun by the dialect, ended here.

What the caller's function raises must reach the caller as it was, whatever undoing it brings up; and
``peewee.IntegrityError`` must, even where it comes up only when the transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from peewee import Database, PeeweeException

T = TypeVar("T")


def run_change(database: Database, transaction: Any, apply: Callable[[Database], T]) -> T:
    """Call ``apply`` in a peewee transaction that was entered already; commit, or undo what was done."""
    try:
        result = apply(database)
    except BaseException as error:
        with suppress(PeeweeException):  # the connection may be lost; SQLite undoes by itself when the disk is full
            transaction.__exit__(type(error), error, error.__traceback__)
        raise
    try:
        transaction.__exit__(None, None, None)
    except PeeweeException as error:
        if isinstance(error.__context__, PeeweeException):  # undoing failed too; why committing failed says more
            raise error.__context__ from None
        raise
    return result
