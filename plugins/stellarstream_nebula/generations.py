"""Which family a contract is of: what the settings say, else what the contract says of itself, else what is remembered.

The rule by which a spec is told (:func:`family_of`) asks for the functions a family's clients call, with their
shapes. What fits no family, or several, keeps the one that is remembered, as after an upgrade that the rules do
not know; else it is of none. Either is named in a warning; the events of what is of none are left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from loguru import logger

from stellarstream_core.errors import StellarStreamError
from stellarstream_core.scope import EVERYTHING
from stellarstream_nebula.contract_specs import ContractSpecs, Described
from stellarstream_nebula.model import SPLITTER, V1, V2
from stellarstream_nebula.served import GENERATIONS
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.spec import ContractSpec
from stellarstream_nebula.tables import NebulaContract

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.chain import ChainClient
    from stellarstream_core.settings import Settings
    from stellarstream_core.storage import Storage

SETTING, SPEC = "setting", "spec"
"""Who says it (``nebula_contracts.origin``)."""
_AT_ONCE = 8
"""Contracts asked at the same time."""

_V1_PLAIN = ("Address", "Address", "Address", "i128")
"""How V1's ``create_stream`` begins: sender, receiver, token, amount."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is stored of a contract: ``ledger`` is where its spec was read, None where a setting names it."""

    family: str
    origin: str
    ledger: int | None = None


def family_named(text: str) -> str:
    """Return the family that a setting names: ``v2`` is ``stellarstream-v2``, other names stand for themselves."""
    return GENERATIONS.get(text, text)


def family_of(spec: ContractSpec) -> str | None:
    """Return the family of the contract that has this spec; None where it fits none, or more than one.

    =============== ==================================================================================
    V2              ``create_stream`` takes one struct, which has ``multiplier_bps``, and there is
                    ``top_up``, ``predict_balance_at`` or ``migrate_stream``
    V1              ``create_stream`` takes sender, receiver, token, amount and at least two more, one
                    by one, and there is ``pause_stream`` or ``top_up_stream``
    splitter-v3     no ``create_stream``; ``split_funds`` and ``execute_split``, ``split_pull``,
                    ``split_percentage`` or ``recovery_split``
    =============== ==================================================================================

    A splitter's factory offers nothing that other factories would not: only the settings can name it.
    """
    fits = [family for family, is_one in _RULES.items() if is_one(spec)]
    return fits[0] if len(fits) == 1 else None


def _is_v2(spec: ContractSpec) -> bool:
    create = spec.functions.get("create_stream")
    if create is None or len(create.inputs) != 1:
        return False
    fields = spec.structs.get(create.input_types[0], ())
    others = {"top_up", "predict_balance_at", "migrate_stream"}
    return "multiplier_bps" in fields and not others.isdisjoint(spec.functions)


def _is_v1(spec: ContractSpec) -> bool:
    create = spec.functions.get("create_stream")
    if create is None or len(create.inputs) < len(_V1_PLAIN) + 2:
        return False
    return create.input_types[: len(_V1_PLAIN)] == _V1_PLAIN and not {"pause_stream", "top_up_stream"}.isdisjoint(
        spec.functions
    )


def _is_splitter(spec: ContractSpec) -> bool:
    others = {"execute_split", "split_pull", "split_percentage", "recovery_split"}
    return (
        "split_funds" in spec.functions
        and "create_stream" not in spec.functions
        and not others.isdisjoint(spec.functions)
    )


_RULES = {V2: _is_v2, V1: _is_v1, SPLITTER: _is_splitter}


async def find_families(settings: Settings, storage: Storage, chain: ChainClient | None) -> dict[str, str]:
    """Return the family of each contract that has one, and remember it in ``nebula_contracts``.

    Asked are the contracts of the core's setting ``contracts`` that ``[plugins.nebula]`` does not name. One that
    the chain does not tell now keeps the family it had, and so does one whose new code fits none. Raises
    ``StorageError``.
    """
    section = settings.section(NebulaSettings)
    named = {contract: family_named(text) for contract, text in section.contracts.items()}
    remembered = await asyncio.to_thread(storage.read, read_contracts)
    known = {contract: Remembered(family, SETTING) for contract, family in named.items()}
    others = [contract for contract in settings.contracts if contract != EVERYTHING and contract not in named]
    if section.detect:
        known |= await _detected(others, remembered, chain)
        await _warn_of_conflicts(named, remembered, chain)
    if known != remembered:
        await asyncio.to_thread(storage.write, partial(write_contracts, contracts=known))
    return {contract: known[contract].family for contract in sorted(known)}


async def _detected(
    contracts: list[str], remembered: Mapping[str, Remembered], chain: ChainClient | None
) -> dict[str, Remembered]:
    answers = await _ask(contracts, chain)
    found: dict[str, Remembered] = {}
    for contract in contracts:
        answer, before = answers[contract], remembered.get(contract)
        if before is not None and before.origin != SPEC:
            before = None  # a setting that is not there any more says nothing
        if isinstance(answer, Described):
            family = family_of(answer.spec)
            if family is not None:
                ledger = before.ledger if before is not None and before.family == family else answer.ledger
                found[contract] = Remembered(family, SPEC, ledger)
                continue
            answer = "what it offers is of no known generation"
        if before is not None:
            found[contract] = before
            logger.warning("{}: {}; it is taken for {}, as before", contract, answer, before.family)
        else:
            _warn(contract, answer)
    return found


async def _warn_of_conflicts(
    named: Mapping[str, str], remembered: Mapping[str, Remembered], chain: ChainClient | None
) -> None:
    """Say where a contract tells another generation than its setting, once: the setting stands."""
    new = [
        contract
        for contract, family in named.items()
        if family in _RULES and remembered.get(contract) != Remembered(family, SETTING)
    ]
    if chain is None:
        return
    for contract, answer in (await _ask(new, chain)).items():
        told = family_of(answer.spec) if isinstance(answer, Described) else None
        if told is not None and told != named[contract]:
            logger.warning(
                "{} is {} by the settings ([plugins.nebula] contracts), but says of itself that it is {}",
                contract,
                named[contract],
                told,
            )


async def _ask(contracts: list[str], chain: ChainClient | None) -> dict[str, Described | str]:
    """Return what each contract says of itself, or why that is not known."""
    if chain is None:
        return dict.fromkeys(contracts, "no access to the chain is configured (rpc_url)")
    specs, free = ContractSpecs(chain), asyncio.Semaphore(_AT_ONCE)

    async def ask(contract: str) -> Described | str:
        async with free:
            try:
                return await specs.of(contract) or "the chain has no such contract"
            except StellarStreamError as error:
                return error.message

    return dict(zip(contracts, await asyncio.gather(*map(ask, contracts)), strict=True))


def _warn(contract: str, why: str) -> None:
    logger.warning(
        "{} is left out of the streams until the next start: {}. If it holds streams, name its generation: "
        '[plugins.nebula] contracts = {{ "{}" = "v2" }}',
        contract,
        why,
        contract,
    )


def read_contracts(database: Database) -> dict[str, Remembered]:
    """Return what is remembered of each contract."""
    query = NebulaContract.select(
        NebulaContract.contract_id, NebulaContract.family, NebulaContract.origin, NebulaContract.ledger
    ).tuples()
    return {
        contract: Remembered(family, origin, ledger) for contract, family, origin, ledger in query.execute(database)
    }


def write_contracts(database: Database, contracts: Mapping[str, Remembered]) -> None:
    """Remember these contracts and no others."""
    NebulaContract.delete().execute(database)
    for contract, told in contracts.items():
        NebulaContract.insert(contract_id=contract, family=told.family, origin=told.origin, ledger=told.ledger).execute(
            database
        )
