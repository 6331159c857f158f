"""Friendbot: gives an account XLM, and the sandbox's other tokens with it, by a transaction in the next ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.xdr.strkey import account_id_bytes
from stellarstream_sandbox.accounts import NEW_BALANCE, AccountSetup
from stellarstream_sandbox.economy.world import UNIT, World
from stellarstream_sandbox.horizon.problems import Problem, bad_field
from stellarstream_sandbox.identity import NATIVE, account_id
from stellarstream_sandbox.ledger.envelopes import sign
from stellarstream_sandbox.ledger.fees import BASE_FEE
from stellarstream_sandbox.pack import ONE, ZERO, array, i64, u32
from stellarstream_sandbox.submission.incoming import Incoming, load, read_envelope
from stellarstream_sandbox.submission.mempool import Mempool

PATH = "/friendbot"
"""Where it answers; ``getNetwork`` tells wallets of it."""

TOKENS = 10_000 * UNIT
"""How much of each token besides XLM an account is given."""

_FORTUNE = 10**16
_OP_CREATE_ACCOUNT = ZERO
_OP_PAYMENT = ONE
_HEADERS = {"Access-Control-Allow-Origin": "*"}


Tell = Callable[[Incoming], Awaitable[dict[str, Any]]]
"""Returns what is to be said of a transaction that friendbot has handed in."""


class Friendbot:
    """Funds accounts of a world through its mempool. It has an account of its own from its first use on."""

    def __init__(self, world: World, mempool: Mempool, next_ledger: Callable[[], tuple[int, int]]) -> None:
        self._world = world
        self._mempool = mempool
        self._next_ledger = next_ledger
        self._keys = world.directory.keypair("friendbot")
        self._waiting: list[str] = []

    def fund(self, account: str) -> Incoming:
        """Give a G… account 10,000 each of XLM, USDC and NOVA in the next ledger; return the transaction.

        An account that is not there is made. NOVA is no classic asset and comes without a transaction.
        Raises ``InvalidStrkeyError`` where the text is no account.
        """
        account_id_bytes(account)
        sequence, _ = self._next_ledger()
        own = self._world.accounts.get(self._keys.account)
        last = own.seq_num if own is not None else sequence << 32
        tx = read_envelope(self._envelope(account, last + len(self._waiting) + 1), self._world.directory.network)
        self._waiting.append(account)
        self._mempool.add_own(tx)
        return tx

    def is_funded(self, account: str) -> bool:
        """Tell whether an account has, or is about to have, what friendbot gives."""
        if account in self._waiting:
            return True
        held = self._world.bank.balance(self._world.native.contract, account)
        return account in self._world.accounts and held >= NEW_BALANCE

    def prepare(self, sequence: int) -> None:
        """Make friendbot's own account, and give what no payment can, before the ledger that has the payments."""
        if self._waiting and self._keys.account not in self._world.accounts:
            self._world.set_account(AccountSetup(self._keys.account, balance=_FORTUNE), sequence)
        for account in self._waiting:
            self._world.bank.deposit(self._world.nova.contract, account, TOKENS)
        self._waiting.clear()

    def _envelope(self, account: str, sequence_number: int) -> bytes:
        world = self._world
        asset = world.usdc.asset
        if asset is None:
            raise ValueError("USDC is a classic asset")
        issuer = world.directory.keys_of(world.issuer)
        target = account_id(account)
        is_known = account in world.accounts or account in self._waiting
        xlm = _OP_PAYMENT + target + NATIVE.xdr if is_known else _OP_CREATE_ACCOUNT + target
        operations = [
            ZERO + xlm + i64(NEW_BALANCE),
            ONE + ZERO + issuer.public + _OP_PAYMENT + target + asset.xdr + i64(TOKENS),
        ]
        fee = u32(BASE_FEE * len(operations))
        body = ZERO + self._keys.public + fee + i64(sequence_number) + ZERO + ZERO + array(operations) + ZERO
        return sign(world.directory.network, body, (self._keys, issuer))


def add_routes(app: web.Application, friendbot: Friendbot, tell: Tell) -> None:
    """Answer ``GET`` and ``POST /friendbot?addr=G…`` (or ``addr`` in a form), as the test networks' friendbot does."""

    async def handle(request: web.Request) -> web.Response:
        try:
            addr = request.query.get("addr") or str((await request.post()).get("addr", ""))
            return _json(await _fund(friendbot, addr, tell))
        except Problem as problem:
            return _json(problem.to_json(), problem.status, "application/problem+json")

    app.router.add_get(PATH, handle)
    app.router.add_post(PATH, handle)


async def _fund(friendbot: Friendbot, addr: str, tell: Tell) -> dict[str, Any]:
    try:
        account_id_bytes(addr)
    except InvalidStrkeyError:
        raise bad_field("addr", "addr is not an account: those begin with G") from None
    await asyncio.to_thread(load)
    if friendbot.is_funded(addr):
        raise Problem("bad_request", "Bad Request", 400, "account already funded to starting balance")
    return await tell(friendbot.fund(addr))


def _json(body: dict[str, Any], status: int = 200, media_type: str = "application/json") -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type=media_type, headers=_HEADERS)
