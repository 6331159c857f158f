"""Which contract a request means: the served ones with their family, the default, and a stream's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stellarstream_core.api.problems import FieldError, InvalidBodyError
from stellarstream_nebula.model import V2
from stellarstream_nebula.served import STREAM_ID, read_id, stream_contracts
from stellarstream_nebula.transactions.calls import RELAYED
from stellarstream_nebula.transactions.errors import (
    ContractAmbiguousError,
    ContractNotCallableError,
    ContractNotServedError,
)


@dataclass(frozen=True, slots=True)
class StreamRef:
    """A stream that a request names: where it is, and how its contract is called."""

    contract: str
    family: str
    stream_id: int


class ServedContracts:
    """The contracts whose streams are served, by id, with their family (``stellarstream-v2``)."""

    def __init__(self, families: Mapping[str, str], default: str | None = None) -> None:
        """Take the family of each known contract (:func:`~stellarstream_nebula.served.families_in`) and the default.

        Those that hold no streams are left out.
        """
        self.families = {contract: families[contract] for contract in stream_contracts(families)}
        self._default = default

    def family(self, contract: str) -> str | None:
        """Return a contract's family, None where it is not served."""
        return self.families.get(contract)

    def to_create(self, asked: str | None) -> tuple[str, str]:
        """Return the contract in which a stream is to be created, and its family.

        Left out it is the default of the settings, else the only V2 contract, else the only one that can be called.
        Raises :class:`ContractNotServedError`, :class:`ContractNotCallableError` where it is of a family that a
        plugin offers, whose calls nobody here knows, and :class:`ContractAmbiguousError`.
        """
        wanted = asked or self._default
        if wanted is not None:
            return wanted, self._required(wanted)
        callable_ones = [contract for contract, family in self.families.items() if family in RELAYED]
        second = [contract for contract in callable_ones if self.families[contract] == V2]
        for choice in (second, callable_ones):
            if len(choice) == 1:
                return choice[0], self.families[choice[0]]
        if self.families and not callable_ones:
            raise ContractNotCallableError("No contract is served in which this service could create a stream.")
        raise self._ambiguous("A stream can be created in several contracts", callable_ones)

    def stream(self, text: str) -> StreamRef:
        """Return the stream of an id: ``{contractId}-{n}``, or the bare number where one contract is served.

        Raises ``InvalidBodyError`` where it is no id, and the errors of :meth:`to_create`.
        """
        try:
            if not re.fullmatch(STREAM_ID, text, re.ASCII):
                raise ValueError("it has another form")
            contract, number = read_id(text)
        except ValueError:
            raise InvalidBodyError(
                "The body is not what the route takes.",
                errors=[FieldError("body.streamId", "is neither C…-NUMBER nor a stream's number")],
            ) from None
        if contract is None:
            if len(self.families) != 1:
                raise self._ambiguous("The stream may be of several contracts", self.families)
            (contract,) = self.families
        return StreamRef(contract, self._required(contract), number)

    def _required(self, contract: str) -> str:
        family = self.families.get(contract)
        if family is None:
            known = f"There are: {', '.join(self.families)}." if self.families else "None is known yet."
            raise ContractNotServedError(f"The contract {contract:.64} is not served here.", help=known)
        if family not in RELAYED:
            raise ContractNotCallableError(f"The contract {contract} is of the family {family!r:.64}.")
        return family

    def _ambiguous(self, what: str, among: Collection[str]) -> ContractAmbiguousError | ContractNotServedError:
        if not self.families:
            return ContractNotServedError(
                "No contract with streams is known yet.",
                help="'stellarstream sync' finds out what those of 'contracts' are, where the settings do not say it.",
            )
        return ContractAmbiguousError(f"{what}: {', '.join(among)}.")
