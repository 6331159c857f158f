"""What can go wrong with a projection, and whose doing it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from peewee import DatabaseError, OperationalError, PeeweeException

from stellarstream_core.plugins import FAULTS

T = TypeVar("T")


class OvertakenError(Exception):
    """Another process has moved the same projection on meanwhile: nothing was written, look again."""


class ProjectionFaultError(Exception):
    """A projection raised or broke a promise: it stops, the rest goes on. ``__cause__`` is what it raised."""


class SupersededError(ProjectionFaultError):
    """Another process builds the projection under other rules; this one must not build it back."""


def guarded(method: str, call: Callable[[], T]) -> T:
    """Return what a projection's method returns; raise :class:`ProjectionFaultError` for what it raises.

    A failure of the database (it is full, the connection is lost) passes through: it says nothing about
    the projection. A statement that the database refuses is the projection's doing.
    """
    try:
        return call()
    except ProjectionFaultError:
        raise
    except OperationalError:
        raise
    except PeeweeException as error:
        if type(error) is DatabaseError:
            raise
        raise ProjectionFaultError(_told(method, error)) from error
    except FAULTS as error:  # a projection is a plugin's: whatever it raises must not stop a sync
        raise ProjectionFaultError(_told(method, error)) from error


def _told(method: str, error: BaseException) -> str:
    said = " ".join(str(error).split())
    return f"{method}() raised {type(error).__name__}: {said}" if said else f"{method}() raised {type(error).__name__}"
