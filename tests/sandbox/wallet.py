"""A wallet on a sandbox without a socket: stellar_sdk builds, signs and reads; the sandbox answers."""

from __future__ import annotations

from typing import Any

from stellar_sdk import Account, Keypair, SorobanServer, TransactionBuilder, TransactionEnvelope, scval, xdr
from stellar_sdk.soroban_rpc import SimulateTransactionResponse

from stellarstream_core.xdr.ledger import Ledger, read_ledger
from stellarstream_core.xdr.proof import prove
from stellarstream_sandbox import methods
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.ledger.closing import ClosedLedger
from stellarstream_sandbox.send import send_transaction
from stellarstream_sandbox.simulate import Moment, simulate_transaction
from stellarstream_sandbox.simulation import Simulation
from tests.sandbox.conftest import GENESIS_TIME, closed

QUIET = SandboxConfig(ledgers=3, genesis_time=GENESIS_TIME, transactions=0, burst_every=0, port=0, live=False)
"""Nobody but wallets does anything."""


class Chain:
    """A simulation as a wallet sees it."""

    def __init__(self, config: SandboxConfig = QUIET) -> None:
        self.simulation: Simulation = closed(config)[0]
        self.passphrase = config.passphrase
        self.contracts = self.simulation.contracts
        self.world = self.simulation.world

    @property
    def network(self) -> bytes:
        return self.world.directory.network

    @property
    def next_close(self) -> int:
        return self.simulation.next_ledger()[1]

    @property
    def latest(self) -> int:
        return self.simulation.history.snapshot().latest

    def close(self) -> ClosedLedger:
        """Close a ledger; it must hold for stellar_sdk and for StellarStream's own proof."""
        ledger = self.simulation.close_ledger()
        assert xdr.LedgerCloseMeta.from_xdr_bytes(ledger.meta).to_xdr_bytes() == ledger.meta
        prove(read_ledger(ledger.meta), self.network)
        return ledger

    def read(self, ledger: ClosedLedger) -> Ledger:
        return read_ledger(ledger.meta)

    def funded(self) -> Keypair:
        """Return the keys of a new account that friendbot has funded."""
        keys = Keypair.random()
        self.simulation.friendbot.fund(keys.public_key)
        self.close()
        return keys

    def keys(self, name: str) -> Keypair:
        return Keypair.from_secret(self.simulation.secret_key(name))

    def sequence(self, account: str) -> int:
        return self.world.accounts[account].seq_num

    def balance(self, account: str, token: str = "token-usdc") -> int:
        return self.world.bank.balance(self.contracts[token], account)

    def builder(self, keys: Keypair, *, fee: int = 200, until: int | None = None, sequence: int | None = None):
        account = Account(keys.public_key, self.sequence(keys.public_key) if sequence is None else sequence)
        builder = TransactionBuilder(account, self.passphrase, base_fee=fee)
        return builder.add_time_bounds(0, self.next_close + 300 if until is None else until)

    def call(self, keys: Keypair, contract: str, function: str, *args: xdr.SCVal, **how: Any) -> TransactionEnvelope:
        """Return an unsigned call, not prepared yet."""
        builder = self.builder(keys, **how)
        contract = self.contracts.get(contract, contract)
        return builder.append_invoke_contract_function_op(contract, function, list(args)).build()

    def simulate(self, envelope: TransactionEnvelope | str, **more: Any) -> dict[str, Any]:
        text = envelope if isinstance(envelope, str) else envelope.to_xdr()
        snapshot = self.simulation.history.snapshot()
        moment = Moment(snapshot.latest, snapshot.close_time(snapshot.latest), self.next_close)
        params = {"transaction": text, **more}
        return simulate_transaction(params, moment, self.world, self.network, self.simulation.nonces)

    def prepare(self, envelope: TransactionEnvelope) -> TransactionEnvelope:
        """Simulate, and put what came of it into the transaction, as the SDK does it."""
        answer = self.simulate(envelope)
        assert "error" not in answer, answer["error"]
        server = SorobanServer("http://never.asked")
        return server.prepare_transaction(envelope, SimulateTransactionResponse.model_validate(answer))

    def send(self, envelope: TransactionEnvelope | str, *signers: Keypair) -> dict[str, Any]:
        """Sign and hand in."""
        for keys in signers:
            envelope.sign(keys)
        text = envelope if isinstance(envelope, str) else envelope.to_xdr()
        snapshot = self.simulation.history.snapshot()
        return send_transaction({"transaction": text}, snapshot, self.simulation.mempool, self.network)

    def transaction(self, tx_hash: str) -> dict[str, Any]:
        """Return what ``getTransaction`` answers."""
        history = self.simulation.history
        return methods.get_transaction({"hash": tx_hash}, history.snapshot(), history.transaction_ledger(tx_hash))

    def result(self, tx_hash: str) -> xdr.TransactionResultResult:
        return xdr.TransactionResult.from_xdr(self.transaction(tx_hash)["resultXdr"]).result

    def done(self, keys: Keypair, contract: str, function: str, *args: xdr.SCVal) -> xdr.SCVal:
        """Prepare, sign, send and apply a call that must work; return its value."""
        sent = self.send(self.prepare(self.call(keys, contract, function, *args)), keys)
        assert sent["status"] == "PENDING", sent
        self.close()
        found = self.transaction(sent["hash"])
        assert found["status"] == "SUCCESS", found
        return xdr.TransactionMeta.from_xdr(found["resultMetaXdr"]).v4.soroban_meta.return_value


def code_of(answer: dict[str, Any]) -> str:
    """Return the name of the result code of a transaction that was not taken."""
    assert answer["status"] == "ERROR", answer
    return xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result.code.name


def stream_v1(sender: str, receiver: str, token: str, total: int, start: int, end: int) -> list[xdr.SCVal]:
    """Return the arguments of V1's ``create_stream``."""
    return [
        scval.to_address(sender),
        scval.to_address(receiver),
        scval.to_address(token),
        scval.to_int128(total),
        scval.to_uint64(start),
        scval.to_uint64(start),
        scval.to_uint64(end),
        scval.to_uint32(0),
        scval.to_bool(False),
    ]


def stream_v2(sender: str, receiver: str, token: str, total: int, start: int, end: int, **more: xdr.SCVal) -> xdr.SCVal:
    """Return the arguments of V2's ``create_stream``."""
    fields = {
        "affiliate": scval.to_void(),
        "cancellation_type": scval.to_uint32(0),
        "cliff_time": scval.to_uint64(start),
        "cycle_duration": scval.to_uint64(0),
        "end_time": scval.to_uint64(end),
        "is_recurrent": scval.to_bool(False),
        "memo": scval.to_void(),
        "multiplier_bps": scval.to_int128(0),
        "penalty_bps": scval.to_uint32(0),
        "receiver": scval.to_address(receiver),
        "sender": scval.to_address(sender),
        "split_address": scval.to_void(),
        "split_bps": scval.to_uint32(0),
        "start_time": scval.to_uint64(start),
        "step_duration": scval.to_int128(0),
        "token": scval.to_address(token),
        "total_amount": scval.to_int128(total),
        "vault_address": scval.to_void(),
        "yield_enabled": scval.to_bool(False),
        "yield_recipient": scval.to_uint32(0),
        **more,
    }
    return scval.to_struct(fields)
