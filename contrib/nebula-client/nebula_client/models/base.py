"""What all models share: names, tolerance for what is new, and enumerations that a newer service may extend."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

Amount: TypeAlias = str
"""In the token's smallest unit, as decimal text."""
Time: TypeAlias = datetime
"""In UTC."""
JsonObject: TypeAlias = dict[str, Any]

T = TypeVar("T")


class Model(BaseModel, frozen=True):
    """An answer: attributes in snake_case, camelCase on the wire. Fields that are new are in ``model_extra``."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="allow")


class Named(StrEnum):
    """Names that the service gives. One that this version does not know is a member all the same, equal to its text."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown


class Page(Model, Generic[T], frozen=True):
    """A page of a list.

    ``complete`` is false where something may be missing from what it shows or asks for; ``as_of_ledger`` is the last
    ledger it speaks for. It may be short, or empty, before the list ends: go on while ``next_cursor`` is not None.
    """

    items: list[T]
    next_cursor: str | None
    as_of_ledger: int
    complete: bool
