"""A running sandbox network: a simulation on a clock that answers as JSON-RPC, as Horizon and as a data lake."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from aiohttp import web
from loguru import logger

from stellarstream_core.errors import StellarStreamError, UsageError
from stellarstream_sandbox import friendbot, methods
from stellarstream_sandbox.accounts import AccountSetup
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.get_events import get_events
from stellarstream_sandbox.horizon.app import PREFIX as HORIZON
from stellarstream_sandbox.horizon.app import Horizon
from stellarstream_sandbox.horizon.pages import one_transaction
from stellarstream_sandbox.horizon.rate_limit import RateLimiter
from stellarstream_sandbox.jsonrpc import Handler, json_rpc_app
from stellarstream_sandbox.lake import LakeDirectory, LakeLayout
from stellarstream_sandbox.lake_http import PREFIX as LAKE
from stellarstream_sandbox.lake_http import LakeServer
from stellarstream_sandbox.ledger.closing import ClosedLedger
from stellarstream_sandbox.ledger_entries import get_ledger_entries
from stellarstream_sandbox.send import envelope_bytes, send_transaction
from stellarstream_sandbox.simulate import Moment, simulate_transaction
from stellarstream_sandbox.simulation import Simulation
from stellarstream_sandbox.submission.incoming import Incoming, MalformedEnvelopeError, load, read_envelope
from stellarstream_sandbox.submission.mempool import Status

HEALTHY_SECONDS = 30.0
"""After how long without a ledger ``getHealth`` is an error, unless ledgers are meant to be slower."""

_HISTORY_STEP = 20
_SHUTDOWN_SECONDS = 1.0


class SandboxNetwork:
    """A sandbox network for the time of an ``async with``.

    Entering closes the history, writes the lake where one is wanted, listens and, if the config says
    ``live``, starts the clock. Leaving ends all of it. ``on_ledger`` hears of each ledger that closes
    after the history.
    """

    def __init__(self, config: SandboxConfig, on_ledger: Callable[[ClosedLedger], None] | None = None) -> None:
        self._started = time.time()
        self.simulation = Simulation(config)
        self._on_ledger = on_ledger
        self._runner: web.AppRunner | None = None
        self._clock: asyncio.Task[None] | None = None
        self._address = (config.host, config.port)
        self._watched = False
        self._ledger_closed = asyncio.Event()
        self._closing = asyncio.Event()
        layout = LakeLayout(config.lake_batch, config.lake_partition)
        self._lake = None if config.lake is None else LakeDirectory(config.lake, layout, config.passphrase)
        self._lake_server = LakeServer(self.simulation.history, layout, config.passphrase, self._lake)
        self._horizon = Horizon(
            self.simulation.history,
            config.passphrase,
            retention=config.horizon_retention,
            limiter=RateLimiter(config.horizon_rate, config.horizon_burst),
            next_ledger=lambda: self._ledger_closed,
            closing=self._closing,
        )

    # --- what it is -----------------------------------------------------------------------

    @property
    def config(self) -> SandboxConfig:
        """The config, with its genesis time settled."""
        return self.simulation.config

    @property
    def url(self) -> str:
        """Where it answers JSON-RPC."""
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def horizon_url(self) -> str:
        """Where it answers as Horizon."""
        return self.url + HORIZON

    @property
    def lake_url(self) -> str:
        """Where it is a data lake over HTTP."""
        return self.url + LAKE

    @property
    def friendbot_url(self) -> str:
        """Where an account is funded: ``?addr=G…``."""
        return self.url + friendbot.PATH

    @property
    def passphrase(self) -> str:
        """The network's passphrase."""
        return self.config.passphrase

    @property
    def contracts(self) -> dict[str, str]:
        """The contracts' C… ids by name: ``streams-v1``, ``streams-v1-older``, ``streams-v2``, tokens and others."""
        return self.simulation.contracts

    @property
    def accounts(self) -> dict[str, str]:
        """The named accounts' G… ids: ``alice`` and other users, ``issuer``, ``admin``, ``treasury``, …."""
        return self.simulation.accounts

    def secret_key(self, name: str) -> str:
        """Return the S… key of a named account, to sign with."""
        return self.simulation.secret_key(name)

    def set_account(
        self,
        account: str,
        *,
        signers: Mapping[str, int] | None = None,
        master_weight: int = 1,
        thresholds: tuple[int, int, int] = (0, 0, 0),
        balance: int | None = None,
    ) -> int:
        """Make an account (G…), or change one; return the ledger from which on it is so, which is the next one.

        ``signers`` maps G… (or T…, X…, P…) to weights and replaces those that were there, ``thresholds`` are
        low, medium and high, ``balance`` is in stroops (None: as it is; 10,000 XLM for a new account). No
        transaction tells of the change. Raises :class:`UsageError` where no account can be like that.
        """
        return self.simulation.set_account(AccountSetup(account, signers or {}, master_weight, thresholds, balance))

    def fund(self, account: str) -> str:
        """Give a G… account 10,000 each of XLM, USDC and NOVA, as friendbot does; return the transaction's hash.

        It has them from the next ledger on, which makes the account where it is not there. Raises
        ``InvalidStrkeyError`` where the text is no account.
        """
        return self.simulation.friendbot.fund(account).hash.hex()

    def submit(self, envelope: str | bytes) -> str:
        """Hand in a signed envelope (XDR, or base64 of it) for the next ledger, and return the transaction's hash.

        Raises :class:`UsageError` where ``sendTransaction`` would not say ``PENDING`` or ``DUPLICATE``.
        """
        try:
            raw = envelope_bytes(envelope) if isinstance(envelope, str) else envelope
            tx = read_envelope(raw, self.simulation.world.directory.network)
        except MalformedEnvelopeError as error:
            raise UsageError(f"This is no transaction envelope: {error}.") from None
        verdict = self.simulation.mempool.hand_in(tx)
        if verdict.status not in {Status.PENDING, Status.DUPLICATE}:
            why = "" if verdict.rejection is None else f": {verdict.rejection.code.name}"
            raise UsageError(f"The sandbox does not take the transaction: {verdict.status}{why}.")
        return tx.hash.hex()

    @property
    def oldest(self) -> int:
        """The oldest ledger that JSON-RPC has."""
        return self.simulation.history.snapshot().oldest

    @property
    def horizon_oldest(self) -> int:
        """The oldest ledger that Horizon has."""
        return self._horizon.view().oldest

    @property
    def latest(self) -> int:
        """The last closed ledger."""
        return self.simulation.history.snapshot().latest

    # --- its life -------------------------------------------------------------------------

    async def __aenter__(self) -> SandboxNetwork:
        """Close the history, write the lake, listen, start the clock.

        Raises :class:`UsageError` where the address or the lake's directory cannot be had.
        Who connects while the history is being closed is answered after it.
        """
        app = json_rpc_app(self._methods())
        self._horizon.add_routes(app)
        self._lake_server.add_routes(app)
        friendbot.add_routes(app, self.simulation.friendbot, self._tell_funding)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        listening = _listen(self.config.host, self.config.port)
        try:
            await self._runner.setup()
            for number, _ in enumerate(self._prepare()):
                if number % _HISTORY_STEP == 0:
                    await asyncio.sleep(0)  # so that it can be interrupted
            await web.SockSite(self._runner, listening).start()
        except BaseException:
            listening.close()
            await self._runner.cleanup()
            raise
        self._address = (self.config.host, listening.getsockname()[1])
        if self.config.live:
            self._clock = asyncio.create_task(self._tick())
            self._clock.add_done_callback(self._log_failure)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock, the streams and the server."""
        self._closing.set()
        if self._clock is not None:
            self._clock.cancel()
            # a clock that had stopped already was told by wait() and in the log
            await asyncio.gather(self._clock, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def wait(self) -> None:
        """Wait for as long as ledgers close; raise what stopped the clock, if anything did."""
        if self._clock is not None:
            self._watched = True
            await asyncio.shield(self._clock)

    def close_ledger(self, burst_events: int = 0) -> ClosedLedger:
        """Close the next ledger at once, with a transaction of so many events of ``airdrop`` if asked for.

        What wallets have handed in is applied in it.

        For networks that are not ``live``; the close time is the same that the clock would have given.
        """
        ledger = self.simulation.close_ledger(burst_events)
        if self._lake is not None:
            self._lake.add(self.simulation.history.archive(self.config.lake_batch))
        closed, self._ledger_closed = self._ledger_closed, asyncio.Event()
        closed.set()
        if self._on_ledger is not None:
            self._on_ledger(ledger)
        return ledger

    def close_ledgers(self, count: int) -> None:
        """Close so many ledgers at once."""
        for _ in range(count):
            self.close_ledger()

    def _prepare(self) -> Iterator[None]:
        """Close the history and write it to the lake, a ledger or an object a step."""
        if self._lake is not None:
            self._lake.check()
        for _ in self.simulation.close_history():
            yield
        if self._lake is not None:
            yield from self._lake.settle(self.simulation.history.archive())

    async def _tick(self) -> None:
        """Close each ledger when it is due, counted from the start, so that lateness does not add up.

        Ledgers that fell due while the history was being closed, or while the whole machine slept,
        close one after the other.
        """
        number = 0
        while True:
            number += 1
            due = self._started + number * self.config.close_time
            # a clock that was set back must not stop the network
            await asyncio.sleep(min(max(due - time.time(), 0.0), self.config.close_time))
            self.close_ledger()

    def _log_failure(self, clock: asyncio.Task[None]) -> None:
        if clock.cancelled() or (error := clock.exception()) is None:
            return
        if not (self._watched and isinstance(error, StellarStreamError)):  # wait() hands it to who can tell it
            logger.opt(exception=error).error("the sandbox's clock has stopped")

    # --- what it answers --------------------------------------------------------------------

    def _methods(self) -> Mapping[str, Handler]:
        return {
            "getHealth": self._get_health,
            "getNetwork": lambda params: methods.get_network(
                params, passphrase=self.passphrase, friendbot=self.friendbot_url
            ),
            "getVersionInfo": methods.get_version_info,
            "getLatestLedger": lambda params: methods.get_latest_ledger(params, self.simulation.history.snapshot()),
            "getLedgers": self._in_thread(methods.get_ledgers),
            "getTransactions": self._in_thread(methods.get_transactions),
            "getTransaction": self._get_transaction,
            "getEvents": self._in_thread(get_events),
            # not aside: the world must not move on while it is read
            "getLedgerEntries": self._get_ledger_entries,
            "simulateTransaction": self._simulate_transaction,
            "sendTransaction": self._send_transaction,
        }

    def _in_thread(self, method: Callable[..., dict[str, Any]]) -> Handler:
        """Return a handler that reads many ledgers aside, so that the clock goes on meanwhile."""

        async def handle(params: dict[str, Any]) -> dict[str, Any]:
            return await asyncio.to_thread(method, params, self.simulation.history.snapshot())

        return handle

    def _get_health(self, params: dict[str, Any]) -> dict[str, Any]:
        return methods.get_health(
            params,
            self.simulation.history.snapshot(),
            retention=self.config.retention,
            silence=self.simulation.silence,
            max_silence=max(HEALTHY_SECONDS, 3 * self.config.close_time),
        )

    def _get_transaction(self, params: dict[str, Any]) -> dict[str, Any]:
        history = self.simulation.history
        tx_hash = params.get("hash")
        ledger = history.transaction_ledger(tx_hash) if isinstance(tx_hash, str) else None
        return methods.get_transaction(params, history.snapshot(), ledger)

    def _get_ledger_entries(self, params: dict[str, Any]) -> dict[str, Any]:
        simulation = self.simulation
        return get_ledger_entries(params, self.latest, simulation.world, simulation.last_change)

    async def _simulate_transaction(self, params: dict[str, Any]) -> dict[str, Any]:
        await asyncio.to_thread(load)
        simulation = self.simulation
        history = simulation.history.snapshot()
        moment = Moment(history.latest, history.close_time(history.latest), simulation.next_ledger()[1])
        return simulate_transaction(
            params, moment, simulation.world, simulation.world.directory.network, simulation.nonces
        )

    async def _send_transaction(self, params: dict[str, Any]) -> dict[str, Any]:
        await asyncio.to_thread(load)
        simulation = self.simulation
        network = simulation.world.directory.network
        return send_transaction(params, simulation.history.snapshot(), simulation.mempool, network)

    async def _tell_funding(self, tx: Incoming) -> dict[str, Any]:
        """Return friendbot's transaction as Horizon has it once its ledger has closed.

        Where ledgers close by hand only its hash, envelope and ledger can be told.
        """
        if not self.config.live:
            envelope = b2a_base64(tx.envelope, newline=False).decode("ascii")
            return {"hash": tx.hash.hex(), "ledger": self.simulation.next_ledger()[0], "envelope_xdr": envelope}
        history, tx_hash = self.simulation.history, tx.hash.hex()
        while (ledger := history.transaction_ledger(tx_hash)) is None and not self._closing.is_set():
            closed = self._ledger_closed
            await self._either(closed, self._closing)
        return one_transaction(self.horizon_url, history.archive(), tx_hash, ledger)

    async def _either(self, *events: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise :class:`UsageError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"Port {port} on {host} is taken by another program.",
                help="Give another one with --port; --port 0 takes a free one.",
            ) from None
        raise UsageError(f"Cannot listen on {host} port {port}: {error.strerror or error}.") from None
