"""Contracts' specs read from the chain: instance, then code by its hash, kept while a contract runs the same code."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from loguru import logger

from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.chain import ChainClient
from stellarstream_core.errors import SourceMisbehavedError, StellarStreamError, XdrError
from stellarstream_core.xdr.contract_entry import code_key, instance_key, read_code, read_instance
from stellarstream_core.xdr.scval import Executable, ExecutableType
from stellarstream_nebula.spec import ASSET_SPEC, ContractSpec, ContractSpecError, read_spec
from stellarstream_nebula.wasm import LARGEST_WASM

INSTANCE_SECONDS = 60.0
"""How long a contract is believed to run the code it ran: it may be upgraded."""
_MOST_CONTRACTS, _MOST_CODES = 2_000, 200


@dataclass(frozen=True, slots=True)
class Described:
    """A contract's spec, and the ledger at which it ran the code that says so."""

    spec: ContractSpec
    ledger: int


class ContractSpecs:
    """Reads and keeps specs. It may be used by many tasks at once: those that want the same wait for one answer."""

    def __init__(self, chain: ChainClient, now: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._contracts: ExpiringCache[str, Described | None] = ExpiringCache(
            _MOST_CONTRACTS, lambda found: 0.0 if found is None else INSTANCE_SECONDS, clock=now
        )
        self._codes: OrderedDict[bytes, ContractSpec] = OrderedDict()

    async def of(self, contract: str) -> Described | None:
        """Return what a contract (C…) says of itself; None where there is no such contract.

        Raises ``SourceError`` where the chain does not tell, and ``ContractSpecError``, ``WasmError`` or
        ``XdrError`` where what it tells cannot be read.
        """
        return await self._contracts.get(contract, self._read)

    async def error_name(self, contract: str, code: int) -> str | None:
        """Return what a contract calls its error, None where that cannot be found out. Raises nothing."""
        try:
            found = await self.of(contract)
        except (StellarStreamError, TimeoutError) as error:
            logger.warning("the errors of {} have no names: {}", contract, error)
            return None
        return None if found is None else found.spec.error_name(code)

    async def _read(self, contract: str) -> Described | None:
        key = instance_key(contract)
        answer = await self._chain.ledger_entries([key])
        entry = answer.entries.get(key)
        if entry is None:
            return None
        return Described(await self._spec(contract, read_instance(entry.data, contract).executable), answer.ledger)

    async def _spec(self, contract: str, executable: Executable) -> ContractSpec:
        if executable.type is ExecutableType.STELLAR_ASSET:
            return ASSET_SPEC
        if executable.type is not ExecutableType.WASM or executable.wasm_hash is None:
            raise ContractSpecError(f"{contract} runs code that stands in another contract: its spec cannot be found.")
        wanted = executable.wasm_hash
        if (kept := self._codes.get(wanted)) is not None:
            self._codes.move_to_end(wanted)
            return kept
        key = code_key(wanted)
        entry = (await self._chain.ledger_entries([key])).entries.get(key)
        if entry is None:
            raise ContractSpecError(f"The code of {contract} is not on the chain: it was archived, or lags behind.")
        try:
            named, wasm = read_code(entry.data, LARGEST_WASM)
        except XdrError as error:
            raise ContractSpecError(f"The code of {contract} cannot be read: {error.message}") from None
        if named != wanted or sha256(wasm).digest() != wanted:
            raise SourceMisbehavedError(f"{self._chain.name} sent code for {contract} that has another hash.")
        spec = read_spec(wasm)
        self._codes[wanted] = spec
        if len(self._codes) > _MOST_CODES:
            self._codes.popitem(last=False)
        return spec
