"""From a request to the models of its route; what does not fit is named field by field."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from multidict import MultiMapping
from pydantic import BaseModel, ValidationError

from stellarstream_core.api.models import Nothing
from stellarstream_core.api.problems import (
    BodyTooLargeError,
    FieldError,
    InvalidBodyError,
    InvalidParameterError,
    MalformedBodyError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
)

ModelT = TypeVar("ModelT", bound=BaseModel)

BODY_SECONDS = 10.0
"""How long a body may take to arrive."""
MOST_ERRORS = 20
"""Fields named in one problem."""
MOST_VALUES = 100
"""Query parameters of one request."""
FORM = "application/x-www-form-urlencoded"

_NOTHING = Nothing()
_NUMBER = re.compile(r"-?[0-9]{1,40}", re.ASCII)
"""A number as everybody reads it: Python takes '1_0', '+5' and '5.0' too, and what stands between may not."""


class ParameterReader:
    """Reads one model from path or query, knowing which of its fields may be repeated."""

    def __init__(self, place: str, model: type[BaseModel]) -> None:
        self._place = place
        self._model = model
        self._names = {info.alias or name for name, info in model.model_fields.items()}
        self._lists = {
            info.alias or name
            for name, info in model.model_fields.items()
            if get_origin(info.annotation) in (list, tuple, Sequence)
        }

        self._numbers = {info.alias or name for name, info in model.model_fields.items() if _holds_int(info.annotation)}

    def read(self, values: Mapping[str, str] | MultiMapping[str]) -> Any:
        """Return the model. Raises :class:`InvalidParameterError`."""
        if not values and self._model is Nothing:
            return _NOTHING
        given: dict[str, Any] = {}
        if len(values) > MOST_VALUES:
            raise InvalidParameterError(
                "There are too many parameters.", errors=[FieldError(self._place, f"more than {MOST_VALUES} are given")]
            )
        for name, value in values.items():
            # U+FFFD stands where bytes were no UTF-8: what was asked for is not known
            if not is_plain(value) or not is_plain(name) or "\ufffd" in value:
                raise self._fault(name, "holds characters that are no text")
            if name in self._numbers and not _NUMBER.fullmatch(value):
                raise self._fault(name, "is no whole number in plain digits")
            if name in self._lists:
                given.setdefault(name, []).append(value)
            elif name in given:
                raise self._fault(name, "is given more than once")
            else:
                given[name] = value
        try:
            return self._model.model_validate(given, strict=False)
        except ValidationError as error:
            raise InvalidParameterError(
                "Parameters are not what the route takes.",
                errors=field_errors(error, self._place, self._names),
            ) from None

    def _fault(self, name: str, what: str) -> InvalidParameterError:
        shown = name[:64] if is_plain(name) else "?"
        return InvalidParameterError(
            "Parameters are not what the route takes.", errors=[FieldError(f"{self._place}.{shown}", what)]
        )


def _holds_int(annotation: Any) -> bool:
    return annotation is int or any(_holds_int(part) for part in get_args(annotation))


async def read_body(request: web.Request, model: type[ModelT], *, limit: int, form: bool) -> tuple[ModelT, bytes]:
    """Return the body's model and its bytes.

    Raises the problems of bodies: too large, too slow, of another type, malformed, not what is taken.
    """
    is_form = request.content_type == FORM
    if not (is_form and form) and not _is_json(request.content_type):
        also = f" or '{FORM}'" if form else ""
        raise UnsupportedMediaTypeError(
            "The body's type is not taken.", help=f"Send 'Content-Type: application/json'{also}."
        )
    raw = await read_bytes(request, limit)
    try:
        if is_form:  # a form has texts only
            return model.model_validate(_form(raw), strict=False), raw
        _check_json(raw)
        return model.model_validate_json(raw), raw
    except ValidationError as error:
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            raise MalformedBodyError("The body is nested too deeply.") from None
        names = {info.alias or name for name, info in model.model_fields.items()}
        raise InvalidBodyError(
            "The body is not what the route takes.", errors=field_errors(error, "body", names)
        ) from None


async def read_bytes(request: web.Request, limit: int) -> bytes:
    """Return the body's bytes. Raises ``BodyTooLargeError`` and ``RequestTimeoutError``."""
    too_large = BodyTooLargeError(f"The body may have {limit:,} bytes.")
    if request.content_length is not None and request.content_length > limit:
        raise too_large
    pieces = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while piece := await request.content.readany():
                pieces += piece
                if len(pieces) > limit:
                    raise too_large
    except TimeoutError:
        raise RequestTimeoutError(f"The body did not arrive within {BODY_SECONDS:.0f} seconds.") from None
    except web.RequestPayloadError:
        raise MalformedBodyError("The body cannot be read as it was sent.") from None
    return bytes(pieces)


def _check_json(raw: bytes) -> None:
    """Raise ``MalformedBodyError`` for what is no JSON by the letter: pydantic's own parser takes NaN, for one."""
    if b"\\u0000" in raw:  # no database keeps it in a text
        raise MalformedBodyError("The body holds a character that is no text (U+0000).")
    try:
        orjson.loads(raw)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise MalformedBodyError(f"The body is not JSON: {str(error).partition(': line')[0]}.") from None


def _form(raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_VALUES, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise MalformedBodyError("The body is not a form.") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found or not is_plain(value) or not is_plain(name):
            raise MalformedBodyError("The body's form repeats a field, or holds characters that are no text.")
        found[name] = value
    return found


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or (
        content_type.startswith("application/") and content_type.endswith("+json")
    )


def is_plain(text: str) -> bool:
    """Tell whether a text can be stored and sent: no U+0000, no lone surrogate."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def field_errors(error: ValidationError, place: str, names: set[str]) -> list[FieldError]:
    """Return what pydantic found, by field, with the nearest name where a field is unknown."""
    found: list[FieldError] = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:MOST_ERRORS]:
        path = ".".join([place, *(_shown(part) for part in item["loc"])])
        detail = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            near = get_close_matches(str(item["loc"][-1])[:64], names, n=1)
            detail = "there is no such field" + (f"; did you mean '{near[0]}'?" if near else "")
        found.append(FieldError(path, detail))
    return found


def _shown(part: object) -> str:
    text = str(part)[:64]
    return text if is_plain(text) else "?"
