"""Lists of several pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from pydantic import BaseModel

from nebula_client._core.calls import call
from nebula_client._core.config import Core
from nebula_client._core.effects import Emit, Items, Operation
from nebula_client._core.login import ANYBODY, Who
from nebula_client._core.requests import get
from nebula_client.errors import BadResponseError
from nebula_client.models.base import Page

T = TypeVar("T")
Query: TypeAlias = Sequence[tuple[str, str]]
Answered = TypeVar("Answered", bound=BaseModel)

LARGEST_PAGE = 200


def items(
    core: Core,
    path: str,
    query: Query,
    model: type[Page[T]],
    who: Who = ANYBODY,
) -> Items[T]:
    """Emit the items of a list, page by page; pages may be short or empty before its end."""
    cursor = dict(query).get("cursor")
    size = dict(query).get("limit", str(LARGEST_PAGE))
    seen = _Cursors(path)
    while True:
        asked = get(path, _at(query, cursor, size))
        page = yield from call(core, asked, model, who)
        for item in page.items:
            yield Emit(item)
        cursor = seen.next(page.next_cursor)
        if cursor is None:
            return


def first(core: Core, path: str, query: Query, model: type[Page[T]], limit: int) -> Operation[list[T]]:
    """Return the first items of a list, from as many pages as that takes."""
    found: list[T] = []
    cursor: str | None = None
    seen = _Cursors(path)
    while True:
        size = str(min(limit - len(found), LARGEST_PAGE))
        page = yield from call(core, get(path, _at(query, cursor, size)), model)
        found += page.items
        cursor = seen.next(page.next_cursor)
        if cursor is None or len(found) >= limit:
            return found


def parts(
    core: Core, path: str, query: Query, model: type[Answered], size: int | None = None
) -> Operation[list[Answered]]:
    """Return all pages of something that is told in pages, each with a ``next_cursor``."""
    found: list[Answered] = []
    cursor: str | None = None
    seen = _Cursors(path)
    while True:
        asked = get(path, _at(query, cursor, None if size is None else str(size)))
        found.append((yield from call(core, asked, model)))
        cursor = seen.next(getattr(found[-1], "next_cursor", None))
        if cursor is None:
            return found


class _Cursors:
    """Those of a list so far: one that comes again would have it go on for ever."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: set[str] = set()

    def next(self, cursor: str | None) -> str | None:
        """Return the next one. Raises :class:`BadResponseError` where it was there before."""
        if cursor is not None:
            if cursor in self._seen:
                raise BadResponseError(f"GET {self._path}: the list gives the same cursor again.")
            self._seen.add(cursor)
        return cursor


def _at(query: Query, cursor: str | None, size: str | None) -> list[tuple[str, str]]:
    """Return what to ask a page with; where a list begins is said once, for a cursor knows it."""
    left_out = {"cursor", "limit", *(["offset"] if cursor is not None else [])}
    pairs = [pair for pair in query if pair[0] not in left_out]
    return [*pairs, *([("limit", size)] if size else []), *([("cursor", cursor)] if cursor is not None else [])]
