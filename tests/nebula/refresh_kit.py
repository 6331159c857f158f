"""A chain with stream contracts' entries and a vault, and rounds of reading it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from stellar_sdk import scval, xdr

from stellarstream_core.chain import Simulation
from stellarstream_core.projections import FollowUp
from stellarstream_core.storage import Storage
from stellarstream_core.testing.chain import ScriptedChain
from stellarstream_core.testing.scripted import made_contract
from stellarstream_nebula.entries import instance_key, v2_stream_key
from stellarstream_nebula.model import V2
from stellarstream_nebula.refresh import Refresher
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.stored import StreamRow, read_rows
from stellarstream_nebula.yields import REFERENCE
from tests.nebula import spec_kit
from tests.nebula.ledgers import TWO
from tests.nebula.test_entries import stored_v2, struct, v1_fields

VAULT, OTHER_VAULT = made_contract(81), made_contract(82)
ENABLED = 1 << 49
"""``yield_enabled`` in a V2 stream's packed fields."""


def address(text: str) -> xdr.SCVal:
    return scval.to_address(text)


@dataclass
class MadeVault:
    """A vault whose answers are set: None is a call that traps."""

    interest: int | None = 0
    value: int | None = REFERENCE


@dataclass
class StreamChain(ScriptedChain):
    """A chain that has streams and vaults; ``vaults`` are by contract id."""

    vaults: dict[str, MadeVault] = field(default_factory=dict)
    v1: dict[str, dict[int, dict[str, xdr.SCVal]]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(ledger=100)
        self.simulation = self._call

    def put_v2(self, contract: str, stream: int, packed: int = 0, **fields: xdr.SCVal) -> None:
        """Store a V2 stream as the contract does."""
        data = xdr.SCVal.from_xdr_bytes(stored_v2(packed, **fields))
        key = scval.to_vec([scval.to_symbol("Stream"), scval.to_uint64(stream)])
        self.entries[v2_stream_key(contract, stream)] = spec_kit.contract_data(contract, key, data)

    def put_v1(self, contract: str, stream: int, **fields: xdr.SCVal) -> None:
        """Store a V1 stream in its contract's instance."""
        streams = self.v1.setdefault(contract, {})
        streams[stream] = v1_fields(**fields)
        pairs = [
            xdr.SCMapEntry(scval.to_vec([scval.to_symbol("STR_CNT"), scval.to_uint64(number)]), struct(one))
            for number, one in sorted(streams.items())
        ]
        self.entries[instance_key(contract)] = spec_kit.instance_data(
            contract, spec_kit.runs(b"code"), xdr.SCMap(pairs)
        )

    def _call(self, envelope: bytes) -> Simulation:
        operation = xdr.TransactionEnvelope.from_xdr_bytes(envelope).v1.tx.operations[0]
        call = operation.body.invoke_host_function_op.host_function.invoke_contract
        contract = scval.from_address(xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=call.contract_address)).address
        name = call.function_name.sc_symbol.decode()
        self.calls.append((contract, name))
        assert [scval.from_int128(one) for one in call.args] == [REFERENCE]
        vault = self.vaults.get(contract)
        known = {} if vault is None else {"get_accrued_interest": vault.interest, "get_value": vault.value}
        answer = known.get(name)
        if answer is None:
            return Simulation(self.ledger, error="HostError: Error(WasmVm, MissingValue)")
        return Simulation(self.ledger, data=b"data", result=scval.to_int128(answer).to_xdr_bytes())


@dataclass
class Rounds:
    """Rounds of one refresher; the clock moves by ``seconds`` in each."""

    storage: Storage
    chain: ScriptedChain | None
    settings: NebulaSettings = field(default_factory=NebulaSettings)
    families: Mapping[str, str] = field(default_factory=lambda: {TWO: V2})
    time: float = 1_000.0

    def __post_init__(self) -> None:
        self.refresher = Refresher(self.families, self.settings, now=lambda: self.time)

    async def round(self, seconds: float = 5.0) -> None:
        self.time += seconds
        await self.refresher.round(FollowUp(self.storage, None, self.chain, asyncio.to_thread))

    def row(self, key: str) -> StreamRow:
        return self.storage.read(lambda database: read_rows(database, [key]))[key]

    def facts(self, key: str):
        return self.row(key).reads.newest
