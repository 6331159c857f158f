"""The contracts whose streams are served, and which of them a stream's id means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peewee import Database

from stellarstream_core.api.problems import FieldError, InvalidParameterError, NotFoundError
from stellarstream_core.settings import Settings
from stellarstream_nebula.families import makes_streams
from stellarstream_nebula.model import SPLITTER, SPLITTER_FACTORY, V1, V2, parse_stream_key, stream_key
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.tables import NebulaContract

GENERATIONS: Mapping[str, str] = {
    "v1": V1,
    "v2": V2,
    "splitter-v3": SPLITTER,
    "splitter-factory": SPLITTER_FACTORY,
}
"""What the settings call a family."""

STREAM_ID = r"^(C[A-Z2-7]{55}-)?(0|[1-9][0-9]{0,19})$"
"""A stream's id: ``{contractId}-{streamId}``, or the bare number."""


class StreamNotFoundError(NotFoundError):
    """No stream of this id is indexed."""

    code = "stream-not-found"
    title = "No such stream"
    help = "It may be of a contract that is not served, or lie in ledgers that are not indexed yet."


def families_in(database: Database, settings: Settings) -> dict[str, str]:
    """Return the family of each known contract, by contract id: what the settings say, else what was found out."""
    rows = NebulaContract.select(NebulaContract.contract_id, NebulaContract.family).tuples().execute(database)
    found = {contract: family for contract, family in rows}  # noqa: C416 - rows are peewee's own
    named = settings.section(NebulaSettings).contracts
    return found | {contract: GENERATIONS.get(kind, kind) for contract, kind in named.items()}


def stream_contracts(families: Mapping[str, str]) -> list[str]:
    """Return the contracts that hold streams."""
    return sorted(contract for contract, family in families.items() if makes_streams(family))


def version_of(family: str) -> str:
    """Return what the API calls a family of streams: ``v1``, ``v2``, or a plugin's family by its own name."""
    return next((name for name, known in GENERATIONS.items() if known == family), family)


def read_id(text: str) -> tuple[str | None, int]:
    """Return the contract that a stream's id names, None for a bare number, and its number.

    Raises ``ValueError`` where it is no id.
    """
    if "-" in text:
        return parse_stream_key(text)
    _, number = parse_stream_key(f"-{text}")
    return None, number


def key_of(text: str, contracts: Sequence[str], place: str = "path.id") -> str:
    """Return the key that an id means; a bare number is enough where one contract is served.

    Raises ``InvalidParameterError`` where it is no id, or could be of several contracts.
    """
    try:
        contract, number = read_id(text)
    except ValueError:
        raise InvalidParameterError(
            "Parameters are not what the route takes.", errors=[FieldError(place, "is no stream's id")]
        ) from None
    if contract is not None:
        return stream_key(contract, number)
    if len(contracts) > 1:
        raise InvalidParameterError(
            "Streams of several contracts are served.",
            errors=[FieldError(place, "is a bare number: write C…-NUMBER")],
        )
    if not contracts:
        raise StreamNotFoundError("No contract with streams is served.")
    return stream_key(contracts[0], number)
