"""What the tests of the pay page share: links in every state, wallets that browsers hold, and a chain that waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from stellar_sdk import Keypair, TransactionEnvelope

from stellarstream_core.storage import Storage
from stellarstream_invoice_links.links import take_turn
from stellarstream_invoice_links.model import Link, Outcome
from stellarstream_invoice_links.tables import InvoiceCreation, InvoiceLink, InvoiceSubmission
from stellarstream_invoice_links.tokens import TokenFacts, keep_token
from stellarstream_nebula.tables import NebulaTransaction
from stellarstream_nebula.transactions.store import State
from tests.api.pages.browser import Watched, watched
from tests.invoice_links.kit import COIN, GEM, OTHER, RECEIVER, TWO, put_link, put_payment, put_submission
from tests.invoice_links.pay_kit import PAYER, PayChain
from tests.nebula.relay_kit import PASSPHRASE, works
from tests.nebula.test_build import created_v2

DAY = 86_400
AMOUNT = 12_500_000_000
"""1,250 of a token with seven decimals."""
NET = 12_437_500_000
HASH = "5f" * 32
SCRIPT = "<script>taken=1</script>"
IMAGE = "<img src=x onerror=taken=1>"
PHONE, NARROW, DESK = (360, 740), (320, 640), (1280, 900)
PLAIN = {"amount": AMOUNT, "duration": 30 * DAY, "owner": RECEIVER}
WORDS = "Design work in March: the new onboarding, and the icons.\nThank you!"


def pay_chain() -> PayChain:
    """Return a chain on which the payer has an account, and whose contract creates what is asked."""
    chain = PayChain(PAYER)
    chain.closed_at = int(time.time())
    chain.simulation = works([created_v2(TWO, NET)])
    return chain


def know_tokens(storage: Storage) -> None:
    """Let the service know the tests' tokens; one of them means harm."""
    for token, decimals, symbol, name in ((COIN, 7, "USDC", "US Dollar"), (GEM, 2, SCRIPT, IMAGE)):
        facts = TokenFacts(token, decimals, symbol, name, 7)
        storage.write(lambda database, facts=facts: keep_token(database, facts, 1))


# --- scenes -------------------------------------------------------------------------------------------


def scene(storage: Storage, name: str) -> Link:
    """Store a link in a state, and return it."""
    return SCENES[name](storage, int(time.time()))


def put(storage: Storage, now: int, **changes: Any) -> Link:
    return put_link(storage, now=now - 3_600, **{**PLAIN, **changes})


def _submitted(storage: Storage, link: Link, fate: State | None) -> Link:
    tx_hash = f"{abs(hash(link.id)) % 16**12:064x}"
    if fate is not None:
        store_transaction(storage, tx_hash, link, fate)
    return put_submission(storage, link, tx_hash, payer=PAYER.public_key)


def _paid(storage: Storage, link: Link, **more: Any) -> Link:
    number = abs(hash(link.id)) % 10**6
    values = {"gross": link.terms.amount, "net": link.terms.amount * 995 // 1000, "payer": PAYER.public_key, **more}
    return put_payment(storage, link, number, ledger=58_214_007, **values)


def _open(storage: Storage, now: int) -> Link:
    return put(storage, now, description=WORDS, expires_at=now + 4 * DAY + 60)


def _dated(storage: Storage, now: int) -> Link:
    start = now - 20 * DAY
    terms = {"start": start, "cliff": start + 40 * DAY, "duration": 120 * DAY}
    return put(storage, now, pdf_url="https://files.example.com/invoices/2025-03.pdf", owner=OTHER, **terms)


def _under_way(storage: Storage, now: int) -> Link:
    return _submitted(storage, _open(storage, now), State.PENDING)


def _in_ledger(storage: Storage, now: int) -> Link:
    return _submitted(storage, _open(storage, now), State.SUCCESS)


def _failed(storage: Storage, now: int) -> Link:
    return _submitted(storage, _open(storage, now), State.FAILED)


def _completed(storage: Storage, now: int) -> Link:
    link = _paid(storage, _open(storage, now))
    ran = {"start": now - 100, "end": now - 100 + link.terms.duration}
    event = link.completed.event_id
    storage.write(
        lambda database: InvoiceCreation.update(ran).where(InvoiceCreation.event_id == event).execute(database)
    )
    return link


def _overpaid(storage: Storage, now: int) -> Link:
    return _paid(storage, _open(storage, now), gross=2 * AMOUNT, net=2 * NET, outcome=Outcome.OVERPAID)


def _expired(storage: Storage, now: int) -> Link:
    return put(storage, now, description=WORDS, expires_at=now - 60)


def _cancelled(storage: Storage, now: int) -> Link:
    return put(storage, now, description=WORDS, canceled_at=now - 60)


def _hostile(storage: Storage, now: int) -> Link:
    words = f"{SCRIPT}\n{IMAGE}\n\"'><b>bold</b>{{{{7*7}}}}\nsafe\u202edrawkcab\nzero\u200bwidth"
    return put(storage, now, token=GEM, description=words, pdf_url=f"https://evil.example/{SCRIPT}?q=<img%20src=x>")


def _strange(storage: Storage, now: int) -> Link:
    return put(storage, now, token=TWO, amount=170_141_183_460_469_231_731_687_303_715_884_105_727, duration=7)


SCENES: dict[str, Callable[[Storage, int], Link]] = {
    "open": _open,
    "dated": _dated,
    "under-way": _under_way,
    "in-ledger": _in_ledger,
    "failed": _failed,
    "paid": _completed,
    "overpaid": _overpaid,
    "expired": _expired,
    "cancelled": _cancelled,
    "hostile": _hostile,
    "strange": _strange,
}
"""A link in each state that the page has; ``strange`` asks for the largest amount there is, in no token."""


def change(storage: Storage, link: Link, **values: Any) -> None:
    """Change the row of a link, as its owner and its time do."""

    def write(database) -> None:
        take_turn(database)
        InvoiceLink.update({"updated_at": int(time.time()), **values}).where(InvoiceLink.id == link.id).execute(
            database
        )

    storage.write(write)


def complete(storage: Storage, link: Link, **more: Any) -> Link:
    """Let a link be paid, as settlement would do it."""
    return _paid(storage, link, **more)


def store_transaction(storage: Storage, tx_hash: str, link: Link, fate: State) -> None:
    """Store what became of a relayed transaction."""
    now = int(time.time())
    row = {
        "hash": tx_hash,
        "envelope": b"",
        "account": PAYER.public_key,
        "sequence": 8,
        "contract_id": link.terms.contract,
        "function": "create_stream",
        "status": fate,
        "submitted_at": now,
        "valid_until": now + 300,
        "accepted_ledger": 100,
        "ledger": 101 if fate is State.SUCCESS else None,
        "error_code": "txBAD_SEQ" if fate is State.FAILED else None,
        "error_text": "Its sequence number is used up." if fate is State.FAILED else None,
        "updated_at": now,
    }
    storage.write(lambda database: NebulaTransaction.insert(row).execute(database))


# --- wallets ------------------------------------------------------------------------------------------


def signed_by(keys: Keypair, passphrase: str = PASSPHRASE) -> Callable[[str], str]:
    """Return what a wallet does with a transaction."""

    def sign(text: str) -> str:
        envelope = TransactionEnvelope.from_xdr(text, passphrase)
        envelope.sign(keys)
        return envelope.to_xdr()

    return sign


# each defines what a wallet puts on the window; ACCOUNT, NETWORK and sign() are the test's
SEP43 = """
window.stellarWallet = {
  name: "Test Wallet",
  getAddress: async () => ({ address: ACCOUNT }),
  getNetwork: async () => ({ network: "TEST", networkPassphrase: NETWORK }),
  signTransaction: async (xdr, options) => {
    asked.push(options);
    return { signedTxXdr: await sign(xdr), signerAddress: ACCOUNT };
  },
};
"""
FREIGHTER = """
window.freighter = true;
window.addEventListener("message", async ({ source, data }) => {
  if (source !== window || data?.source !== "FREIGHTER_EXTERNAL_MSG_REQUEST") return;
  const answers = {
    REQUEST_ACCESS: () => ({ publicKey: ACCOUNT }),
    REQUEST_NETWORK_DETAILS: () => ({ networkDetails: { networkPassphrase: NETWORK } }),
    SUBMIT_TRANSACTION: async () => {
      asked.push({ networkPassphrase: data.networkPassphrase, address: data.accountToSign });
      return { signedTransaction: await sign(data.transactionXdr), signerAddress: ACCOUNT };
    },
  };
  const told = await answers[data.type]();
  const answer = { source: "FREIGHTER_EXTERNAL_MSG_RESPONSE", messagedId: data.messageId, ...told };
  window.postMessage(answer, location.origin);
});
"""
LOBSTR = """
window.lobstrSignerExtension = true;
window.addEventListener("message", async ({ source, data }) => {
  if (source !== window || data?.source !== "LOBSTR_EXTERNAL_MSG_REQUEST") return;
  const told = data.type === "REQUEST_ACCESS" ? { publicKey: ACCOUNT, connectionKey: "k" }
    : { signedData: await sign(data.dataToSign), signerAddress: ACCOUNT };
  window.postMessage({ source: "LOBSTR_EXTERNAL_MSG_RESPONSE", messagedId: data.messageId, ...told }, location.origin);
});
"""
XBULL = """
window.xBullSDK = {
  connect: async (wanted) => wanted,
  getPublicKey: async () => ACCOUNT,
  signXDR: async (xdr, { network, publicKey }) => {
    asked.push({ networkPassphrase: network, address: publicKey });
    return sign(xdr);
  },
};
"""
XBULL_NEW = """
window.xBullSDK = {
  enableConnection: async () => undefined,
  getAddress: async () => ({ address: ACCOUNT }),
  signTransaction: async ({ xdr, opts }) => {
    asked.push(opts);
    return { signedTxXdr: await sign(xdr), signerAddress: ACCOUNT };
  },
};
"""
HANA = """
window.hanaWallet = { stellar: {
  getPublicKey: async () => ACCOUNT,
  signTransaction: async ({ xdr, accountToSign, networkPassphrase }) => {
    asked.push({ networkPassphrase, address: accountToSign });
    return sign(xdr);
  },
} };
"""
RABET = """
window.rabet = { connect: async () => ({ publicKey: ACCOUNT }), sign: async (xdr) => ({ xdr: await sign(xdr) }) };
"""
LEGACY = """
window.freighterApi = {
  requestAccess: async () => ACCOUNT,
  getAddress: async () => ({ address: ACCOUNT }),
  signTransaction: async (xdr, options) => { asked.push(options); return sign(xdr); },
};
"""


def wallet_script(script: str, account: str = PAYER.public_key, network: str = PASSPHRASE) -> str:
    """Return what is injected into a page that has a wallet."""
    facts = f"const ACCOUNT = {orjson.dumps(account).decode()}, NETWORK = {orjson.dumps(network).decode()};"
    return f"(() => {{ {facts} const asked = window.askedOfWallet = []; {script} }})();"


@asynccontextmanager
async def pay_page(
    browser: Any, url: str, size: tuple[int, int] = PHONE, wallet: str = "", sign: Any = None, **options
):
    """Give a watched page, not opened yet, in a browser that has a wallet."""
    async with watched(browser, url, size, **options) as seen:
        if wallet:
            await seen.page.expose_function("sign", sign or signed_by(PAYER))
            await seen.page.add_init_script(wallet_script(wallet))
        yield seen


def at(link: Link) -> str:
    """Return the path of a link's page."""
    return f"/invoice/{link.slug}"


def forgive(seen: Watched, *statuses: int) -> None:
    """Leave out what the browser itself says of answers with these statuses."""
    expected = tuple(f"status of {status}" for status in statuses)
    seen.complaints = [text for text in seen.complaints if not any(one in text for one in expected)]


def submissions(storage: Storage, link: Link) -> list[InvoiceSubmission]:
    """Return what was submitted for a link: it is written before anything is sent."""
    found = InvoiceSubmission.select().where(InvoiceSubmission.link_id == link.id)
    return storage.read(lambda database: list(found.execute(database)))


async def to_review(seen: Watched, link: Link) -> None:
    """Open a page and come to where the transaction is shown."""
    await seen.open(at(link))
    await seen.page.click(".wallet")
    await step(seen, "review")


async def trouble(seen: Watched) -> str:
    """Wait until something is said to be wrong, and return it."""
    await seen.page.wait_for_selector("#trouble:not([hidden])")
    return await seen.text("#trouble")


async def step(seen: Watched, name: str) -> None:
    """Wait for a step of paying."""
    await seen.page.wait_for_selector(f"#step-{name}:not([hidden])")


async def shown(seen: Watched, state: str) -> None:
    """Wait until the page shows a state of the link."""
    await seen.page.wait_for_selector(f'#content[data-shown="{state}"]')
