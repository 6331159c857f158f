"""Bases of the API's pydantic models: names in camelCase outside, unknown fields refused inside."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, Strict
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")
ItemT = TypeVar("ItemT")

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]{8,18}([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII)


def _rfc3339(value: object) -> object:
    if isinstance(value, datetime) or (isinstance(value, str) and _MOMENT.fullmatch(value)):
        return value
    raise ValueError("not a time of RFC 3339, such as 2026-01-31T12:00:00Z")


Moment = Annotated[AwareDatetime, Strict(False), BeforeValidator(_rfc3339)]
"""A time as it comes in, with its offset. pydantic by itself would also take "1" for a second after 1970."""

MOST_ITEMS = 200
DEFAULT_ITEMS = 50


class Parameters(BaseModel):
    """Base of what a route takes: path, query or body. A field nobody knows is an error.

    JSON is read strictly, as the description says: "1" and true are no numbers. Where there is only
    text, in path, query and forms, it is read for what it says.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, validate_by_name=False
    )


class Nothing(Parameters):
    """No parameters."""


def _is_none(value: object) -> bool:
    return value is None


OrAbsent = Annotated[T | None, Field(exclude_if=_is_none)]
"""A key of a :class:`Represented` that is left out where its value would be null; give the field None as its default.

``note: Annotated[OrAbsent[str], Field(description="…")] = None``
"""


class Represented(BaseModel):
    """Base of what a route answers. Every key is always there, but for those of :data:`OrAbsent`."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        json_schema_serialization_defaults_required=True,  # what has a default is always sent, too
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """Describe the keys that may be absent as what they are: not required, and never null."""
        schema = handler(core_schema)
        fields = cls.model_fields.items()
        absent = [info.serialization_alias or name for name, info in fields if info.exclude_if is _is_none]
        if absent:
            described = handler.resolve_ref_schema(schema)
            described["required"] = [name for name in described.get("required", ()) if name not in absent]
            for name in absent:
                described["properties"][name] = without_null(described["properties"][name])
        return schema


def without_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return the schema of what may be left out, without the null that stands for leaving it out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    plain = {key: value for key, value in schema.items() if key != "default" or value is not None}
    if len(kinds) == 1 and len(kinds) != len(schema.get("anyOf", ())):
        plain = kinds[0] | {key: value for key, value in plain.items() if key != "anyOf"}
    return plain


class ListParameters(Parameters):
    """What every list takes."""

    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS, description="how many items at the most")] = DEFAULT_ITEMS
    cursor: Annotated[
        str | None, Field(min_length=1, max_length=1024, description="'nextCursor' of the page before")
    ] = None


class Listed(Represented, Generic[ItemT]):
    """A page of a list."""

    items: list[ItemT]
    next_cursor: Annotated[
        str | None,
        Field(description="where the next page begins; null at the end. A page may be short, or empty, before it"),
    ]
    as_of_ledger: Annotated[
        int, Field(ge=0, description="the last ledger that the answer speaks for; up to it nothing is missing")
    ]
    complete: Annotated[
        bool,
        Field(description="false while a gap lies inside what was asked, or the answer reaches past asOfLedger"),
    ]
