"""What the tests of invoice links share: contracts and people, an API over a database, links made in it."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.runtime import Runtime
from stellarstream_core.storage import Storage
from stellarstream_invoice_links import links_store
from stellarstream_invoice_links.links import link_by_id
from stellarstream_invoice_links.links_store import NewLink
from stellarstream_invoice_links.model import Link, LinkTerms, MatchedBy, Outcome
from stellarstream_invoice_links.tables import InvoiceCreation, InvoiceLink, InvoicePayment, InvoiceSubmission
from tests.api.kit import Running, Said
from tests.api.kit import runtime_of as plain_runtime_of
from tests.nebula.ledgers import COIN, FAMILIES, GEM, MIGRATED_FROM, ONE, THREE, TWO
from tests.nebula.relay_kit import ALICE, BOB, CAROL, STRANGER

__all__ = ["ALICE", "BOB", "CAROL", "COIN", "FAMILIES", "GEM", "ONE", "STRANGER", "THREE", "TWO"]

BASE = "/api/v1"
LINKS = f"{BASE}/invoice-links"
JSON = "Content-Type: application/json"
FRONTEND = "https://pay.example.com"
PUBLIC = "https://api.example.com"
OWNER, OTHER = ALICE.public_key, BOB.public_key
"""The account that makes links unless a test says otherwise, and one that has nothing to do with them."""
RECEIVER, PAYER = CAROL.public_key, STRANGER.public_key
MOST_OPEN = 200
NEBULA: dict[str, Any] = {
    "contracts": {ONE: "v1", TWO: "v2", THREE: "v2"},
    "migrated_from": MIGRATED_FROM,
    "default_contract": TWO,
}
SECTIONS: dict[str, Any] = {
    "nebula": NEBULA,
    "invoice-links": {"most_open_links": MOST_OPEN},
    "soroban-rpc": {"max_retries": 0, "retry_seconds": 0, "chain_seconds": 1},
}
"""The settings of plugins that the tests of links use."""
BODY: dict[str, Any] = {"receiver": RECEIVER, "amount": "1000", "tokenAddress": COIN, "duration": 3_600}
"""The least that a link is made of."""


def runtime_of(database_url: str, *, sections: dict[str, Any] | None = None, **flags: object) -> Runtime:
    """Return a runtime with the plugin's settings, and those of ``sections`` over them, section by section."""
    plugins = {**SECTIONS, **(sections or {})}
    defaults = {"public_url": PUBLIC, "frontend_url": FRONTEND, "plugins": plugins}
    return plain_runtime_of(database_url, **{**defaults, **flags})


# --- asking the API ---------------------------------------------------------------------------------


def key_of(storage: Storage, account: str = OWNER, *scopes: str) -> str:
    """Make an API key of an account, which is how the tests log in."""
    made = create_key(storage, account=account, scopes=scopes or ("read", "write"))
    return made.key.get_secret_value()


class LinkApi:
    """An API in a thread of its own, and what clients of links ask it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self._keys: dict[str, str] = {}

    @property
    def storage(self) -> Storage:
        return self.running.storage

    def ask(
        self, method: str, path: str, body: object = None, *, account: str | None = OWNER, headers: tuple[str, ...] = ()
    ) -> Said:
        """Ask as an account (None: as nobody). ``path`` is below ``/api/v1``; a body that is not bytes becomes JSON."""
        if account is not None:
            if account not in self._keys:
                self._keys[account] = key_of(self.storage, account)
            headers = (f"X-API-Key: {self._keys[account]}", *headers)
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.running.get(f"{BASE}{path}", *([JSON] if raw else []), *headers, method=method, body=raw)

    def make(self, *, account: str = OWNER, **changes: object) -> dict[str, Any]:
        """Make a link over HTTP and return it as its owner sees it; a change to None leaves the field out."""
        said = self.try_to_make(account=account, **changes)
        assert said.status == 201, said.body
        return said.json

    def try_to_make(self, *, account: str | None = OWNER, headers: tuple[str, ...] = (), **changes: object) -> Said:
        """Ask for a link, whatever the answer is."""
        body = {name: value for name, value in {**BODY, **changes}.items() if value is not None}
        return self.ask("POST", "/invoice-links", body, account=account, headers=headers)

    def read(self, slug: str) -> Said:
        """Read a link as everybody may."""
        return self.ask("GET", f"/invoice-links/{slug}", account=None)

    def set_status(self, ref: str, status: str, *, account: str | None = OWNER, **more: object) -> Said:
        return self.ask("PATCH", f"/invoice-links/{ref}/status", {"status": status, **more}, account=account)

    def delete(self, ref: str, *, account: str | None = OWNER) -> Said:
        return self.ask("DELETE", f"/invoice-links/{ref}", account=account)

    def own(self, query: str = "", *, account: str = OWNER) -> list[dict[str, Any]]:
        """Return the links of an account, of one page."""
        said = self.ask("GET", f"/invoice-links?limit=200&{query}", account=account)
        assert said.status == 200, said.body
        return said.json["items"]


# --- links in the database --------------------------------------------------------------------------


def terms_of(**changes: object) -> LinkTerms:
    """Return terms: those of ``BODY`` in the V2 contract, but for the changes."""
    contract = changes.get("contract", TWO)
    plain = {"receiver": RECEIVER, "token": COIN, "amount": 1_000, "duration": 3_600}
    return LinkTerms(**{**plain, "contract": contract, "family": FAMILIES[contract], **changes})


def put_link(storage: Storage, *, now: int | None = None, **changes: object) -> Link:
    """Store a link and return it. ``changes`` are fields of ``NewLink``, of ``LinkTerms`` or, at last, of the row.

    Fields of the row (``canceled_at``, ``deleted_at``, ``submitted``, ``payer``, ``slug``) are written as they are,
    past every rule.
    """
    now = int(time.time()) if now is None else now
    new = {name: changes.pop(name) for name in ("owner", "description", "pdf_url", "expires_at") if name in changes}
    terms = {name: changes.pop(name) for name in LinkTerms.__slots__ if name in changes}
    link = NewLink(**{"owner": OWNER, **new}, terms=terms_of(**terms))

    def write(database):
        made = links_store.insert(database, link, now, 10**9)
        if changes:
            InvoiceLink.update(**changes).where(InvoiceLink.id == made.id).execute(database)
        return link_by_id(database, made.id)

    return storage.write(write)


def put_payment(
    storage: Storage,
    link: Link,
    number: int = 0,
    *,
    outcome: Outcome = Outcome.COMPLETED,
    by: MatchedBy = MatchedBy.MEMO,
    ledger: int = 100,
    gross: int | None = 1_000,
    net: int | None = 995,
    payer: str = PAYER,
) -> Link:
    """Tie a made-up stream to a link past every rule, and return the link as it is then.

    ``number`` tells streams apart. What settlement itself would say of events is for its own tests.
    """
    event_id = f"{ledger << 32 | 1 << 12:019d}-{number:010d}"

    def write(database):
        creation = {
            "event_id": event_id,
            "stream": f"{link.terms.contract}-{number}",
            "contract_id": link.terms.contract,
            "family": link.terms.family,
            "tx_hash": f"{ledger:032x}{number:032x}",
            "ledger": ledger,
            "closed_at": link.created_at + 10,
            "sender": payer,
            "receiver": link.terms.receiver,
            "token": link.terms.token,
            "net": None if net is None else str(net),
            "known": "known",
            "wanted": 0,
            "tries": 0,
            "next_try": 0,
        }
        InvoiceCreation.insert(**creation).on_conflict(action="NOTHING", conflict_target=["event_id"]).execute(database)
        paid = {"matched_by": by, "outcome": outcome, "gross": None if gross is None else str(gross)}
        InvoicePayment.insert(link_id=link.id, event_id=event_id, **paid).execute(database)
        if outcome in {Outcome.COMPLETED, Outcome.OVERPAID}:
            completed = {"completed_event": event_id, "completed_at": creation["closed_at"]}
            InvoiceLink.update(**completed).where(InvoiceLink.id == link.id).execute(database)
        return link_by_id(database, link.id)

    return storage.write(write)


def put_submission(
    storage: Storage, link: Link, tx_hash: str | None = None, *, origin: str = "service", payer: str = PAYER
) -> Link:
    """Note that a transaction was submitted for a link past every rule, and return the link as it is then."""
    tx_hash = tx_hash or uuid4().hex * 2

    def write(database):
        row = {"tx_hash": tx_hash, "link_id": link.id, "origin": origin, "payer": payer}
        InvoiceSubmission.insert(**row, submitted_at=link.created_at).execute(database)
        InvoiceLink.update(submitted=tx_hash, payer=payer).where(InvoiceLink.id == link.id).execute(database)
        return link_by_id(database, link.id)

    return storage.write(write)
