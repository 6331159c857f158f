"""What the tests of paying share: a chain that waits, what pays a link, and what wallets and pages send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from stellar_sdk import Keypair, TransactionEnvelope, xdr

from stellarstream_core.chain import LedgerEntries, Sent
from stellarstream_invoice_links.links import link_by_id, take_turn
from stellarstream_invoice_links.model import Link
from stellarstream_invoice_links.payment_terms import creation, stream_terms
from stellarstream_invoice_links.tables import InvoiceLink, InvoiceSubmission
from stellarstream_nebula.tables import NebulaTransaction
from stellarstream_nebula.transactions import calls
from tests.api.kit import Running, Said
from tests.invoice_links.kit import JSON, LINKS, ONE, TWO, put_link
from tests.nebula.relay_kit import BOB, PASSPHRASE, STRANGER, Chain, authorization, drafted, give_chain, signed, works

CONTRACT_OF = {"v1": ONE, "v2": TWO}
PAYER = STRANGER


class PayChain(Chain):
    """The chain of a test. ``before_read`` and ``before_send`` are called where the service reads and sends."""

    before_read: Callable[[], None] = staticmethod(lambda: None)
    before_send: Callable[[], None] = staticmethod(lambda: None)

    async def ledger_entries(self, keys: Sequence[bytes]) -> LedgerEntries:
        await asyncio.to_thread(self.before_read)
        return await super().ledger_entries(keys)

    async def send(self, envelope: bytes) -> Sent:
        await asyncio.to_thread(self.before_send)
        return await super().send(envelope)


# --- links ----------------------------------------------------------------------------------------


def link_of(api: Running, version: str = "v2", expires_in: int | None = None, **more: Any) -> Link:
    """Store a link, as if it had been made an hour ago."""
    now = int(time.time())
    expires_at = None if expires_in is None else now + expires_in
    values = {"contract": CONTRACT_OF[version], "expires_at": expires_at, **more}
    return put_link(api.storage, now=now - 3_600, **values)


def change(api: Running, link: Link, **values: Any) -> Link:
    """Change the row of a link: its time goes by, its owner cancels or deletes it."""

    def write(database):
        take_turn(database)
        InvoiceLink.update(**values).where(InvoiceLink.id == link.id).execute(database)
        return link_by_id(database, link.id)

    return api.storage.write(write)


# --- what wallets and pages send ------------------------------------------------------------------


def fresh_chain(api: Running) -> PayChain:
    """Return a chain that a running service reads from now on, with what the service keeps for its own made anew."""
    made = PayChain(PAYER, BOB)
    made.closed_at = int(time.time())
    made.simulation = works()
    give_chain(api, made)
    return made


def post(api: Running, slug: str, what: str, body: dict[str, Any]) -> Said:
    return api.get(f"{LINKS}/{slug}/{what}", JSON, method="POST", body=json.dumps(body).encode())


def build(api: Running, slug: str, account: str = PAYER.public_key) -> Said:
    return post(api, slug, "transaction", {"account": account})


def submit(api: Running, slug: str, text: str) -> Said:
    return post(api, slug, "submit", {"xdr": text})


def status_of(api: Running, link: Link) -> str:
    return api.get(f"{LINKS}/{link.slug}").json["status"]


def call_of(link: Link, payer: Keypair = PAYER, **more: Any) -> calls.Call:
    """Return the call that pays a link now, with some of its terms changed."""
    return creation(link, replace(stream_terms(link, payer.public_key, int(time.time())), **more))


_sequences = count(1_000)


def envelope_of(call: calls.Call, payer: Keypair = PAYER, **more: Any) -> TransactionEnvelope:
    """Return the envelope of a call as a wallet has it before it signs: no two are the same."""
    values = {"bounds": (0, int(time.time()) + 200), "sequence": next(_sequences), **more}
    arguments = [xdr.SCVal.from_xdr_bytes(argument) for argument in call.arguments]
    made = drafted(call.contract, call.function, source=payer, arguments=arguments, **values)
    operation = made.transaction.operations[0]
    own = authorization(operation.host_function.invoke_contract)
    operation.auth = [xdr.SorobanAuthorizationEntry.from_xdr_bytes(own)]
    return made


def paid(link: Link, payer: Keypair = PAYER, **more: Any) -> str:
    """Return a signed transaction that pays a link, with some of its terms changed."""
    return signed(envelope_of(call_of(link, payer, **more), payer), payer)


def read_back(text: str) -> TransactionEnvelope:
    return TransactionEnvelope.from_xdr(text, PASSPHRASE)


def digest(text: str) -> str:
    return read_back(text).hash_hex()


def arguments_in(text: str) -> list[bytes]:
    """Return the arguments of an envelope's call."""
    call = read_back(text).transaction.operations[0].host_function.invoke_contract
    return [argument.to_xdr_bytes() for argument in call.args]


def bounds_of(text: str) -> tuple[int, int]:
    found = read_back(text).transaction.preconditions.time_bounds
    return found.min_time, found.max_time


# --- what is stored -------------------------------------------------------------------------------


def submissions(api: Running, link: Link) -> list[InvoiceSubmission]:
    found = InvoiceSubmission.select().where(InvoiceSubmission.link_id == link.id)
    return api.storage.read(lambda database: list(found.execute(database)))


def is_accepted(api: Running, tx_hash: str) -> bool:
    """Tell whether an envelope is stored, to be sent."""
    found = NebulaTransaction.select().where(NebulaTransaction.hash == tx_hash)
    return api.storage.read(lambda database: bool(list(found.execute(database))))
