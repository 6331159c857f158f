"""Between Python's arguments and the API's: names, amounts, times, paths, and JSON back into models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from nebula_client.errors import BadResponseError, ConfigurationError, InvalidAmountError

M = TypeVar("M", bound=BaseModel)

_UNITS = re.compile(r"[1-9][0-9]*", re.ASCII)
_MOST_FAULTS = 3


def arguments(shape: type[Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return keyword arguments that a ``TypedDict`` describes; raise ``TypeError`` as Python does for others."""
    required: frozenset[str] = shape.__required_keys__
    known = required | shape.__optional_keys__
    if unknown := sorted(given.keys() - known):
        raise TypeError(f"unknown argument: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := sorted(name for name in required if given.get(name) is None):
        raise TypeError(f"missing argument: {', '.join(missing)}")
    return given


def body(values: Mapping[str, Any]) -> bytes:
    """Return a JSON object: what is None is left out, amounts become text and times RFC 3339."""
    given = {to_camel(name): _scalar(name, _plain(name, value)) for name, value in values.items() if value is not None}
    return json.dumps(given).encode()


def query(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return parameters: a list repeats its name, what is None is left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        several = value if isinstance(value, list | tuple | set | frozenset) else [value]
        pairs += [(to_camel(name), str(_plain(name, one))) for one in several if one is not None]
    return pairs


def path(*parts: str) -> str:
    """Return a path: every other part is the caller's, and cannot change what comes before."""
    return "/".join(part if at % 2 == 0 else _segment(part) for at, part in enumerate(parts))


def _segment(text: object) -> str:
    if not isinstance(text, str) or text in {"", ".", ".."}:
        raise ConfigurationError(f"Not an id: {text!r}.")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:  # half a character
        raise ConfigurationError(f"Not an id: {text!a}.") from None


def _plain(name: str, value: Any) -> Any:
    if name == "amount":
        return units(value)
    if isinstance(value, datetime) or name.endswith("_time") or name in {"at", "expires_at"}:
        return moment(value)
    return value


def _scalar(name: str, value: object) -> object:
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, timedelta):
        raise ConfigurationError(f"Not a {name}: give whole seconds, such as {int(value.total_seconds())}.")
    raise ConfigurationError(f"Not a {name}: text or a number is needed, not {type(value).__name__}.")


def units(amount: object) -> str:
    """Return an amount as the API takes it. Raises :class:`InvalidAmountError`."""
    if isinstance(amount, int) and not isinstance(amount, bool) and amount > 0:
        return str(amount)
    if isinstance(amount, str) and _UNITS.fullmatch(amount):
        return amount
    raise InvalidAmountError(
        f"Not an amount: {str(amount)[:60]!r} ({type(amount).__name__}). Give a whole number of the token's smallest "
        'unit, more than 0, as text or int: to_units("12.5", 7) makes one out of whole tokens.'
    )


def moment(when: object) -> str:
    """Return a time as the API takes it; one without its time zone is refused."""
    if isinstance(when, str):
        return when
    if isinstance(when, datetime) and when.utcoffset() is not None:
        # contracts know no fractions of a second
        return when.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    raise ConfigurationError(
        "Not a moment: give RFC 3339 text, or a datetime with its time zone, such as datetime.now(UTC)."
    )


def read(model: type[M], data: bytes | str, what: str) -> M:
    """Return JSON as a model. Raises :class:`BadResponseError`, which shows no value: there may be tokens."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        said = error.errors(include_url=False, include_context=False, include_input=False)
    if said[0]["type"] == "json_invalid":
        raise NotJsonError(f"{what}: the answer is no JSON, or was cut off.")
    places = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in said[:_MOST_FAULTS])
    raise BadResponseError(f"{what}: the answer is not what the API promises. {'; '.join(places)}.")


class NotJsonError(BadResponseError):
    """It may have been cut off on its way, so that asking again can help."""


def json_object(data: bytes | str) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else. Raises :class:`BadResponseError` for endless nesting."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    except RecursionError:
        raise BadResponseError("The answer is nested too deeply.") from None
    return found if isinstance(found, dict) else {}
