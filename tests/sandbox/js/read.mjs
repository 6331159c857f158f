// Reads every method of a sandbox network with the official SDK and prints what it saw as one JSON object.
// usage: node read.mjs URL CONTRACT ACCOUNT
import { createHash } from "node:crypto";
import { rpc, scValToNative, StrKey, xdr } from "@stellar/stellar-sdk";

const [url, contract, account] = process.argv.slice(2);
const server = new rpc.Server(url, { allowHttp: true });
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

const health = await server.getHealth();
const network = await server.getNetwork();
const version = await server.getVersionInfo();
const latest = await server.getLatestLedger();

// ledgers: every page, the chain of hashes checked on the SDK's own objects
const ledgers = [];
let previous = null;
let start = health.oldestLedger;
while (start <= health.latestLedger) {
  const page = await server.getLedgers({ startLedger: start, pagination: { limit: 50 } });
  for (const ledger of page.ledgers) {
    const header = ledger.headerXdr.header();
    if (sha256(header.toXDR()) !== ledger.hash) throw new Error(`hash of ledger ${ledger.sequence}`);
    if (previous !== null && header.previousLedgerHash().toString("hex") !== previous) {
      throw new Error(`chain at ledger ${ledger.sequence}`);
    }
    if (ledger.metadataXdr.switch() !== 2) throw new Error(`meta of ledger ${ledger.sequence}`);
    previous = ledger.hash;
    ledgers.push(ledger.sequence);
  }
  start = ledgers.at(-1) + 1;
}

// transactions: every page by cursor, until the last ledger the first answer named
const transactions = new Map();
let page = await server.getTransactions({ startLedger: health.oldestLedger, pagination: { limit: 200 } });
const until = page.latestLedger;
while (page.transactions.length > 0) {
  for (const one of page.transactions) if (one.ledger <= until) transactions.set(one.txHash, one);
  if (page.transactions.at(-1).ledger > until || page.transactions.length < 200) break;
  page = await server.getTransactions({ pagination: { cursor: page.cursor, limit: 200 } });
}
const statuses = {};
for (const one of transactions.values()) statuses[one.status] = (statuses[one.status] ?? 0) + 1;

// one transaction each of those that differ, and one that does not exist
const looked = {};
for (const one of transactions.values()) {
  const kind = `${one.status}${one.feeBump ? " fee bump" : ""}${one.diagnosticEventsXdr?.length ? " with diagnostics" : ""}`;
  if (kind in looked) continue;
  const found = await server.getTransaction(one.txHash);
  if (found.status !== one.status || found.ledger !== one.ledger) throw new Error(`transaction ${one.txHash}`);
  found.envelopeXdr.toXDR();
  found.resultMetaXdr.toXDR();
  looked[kind] = found.txHash;
}
const unknown = await server.getTransaction("0".repeat(64));

// events: all of one contract by cursor, decoded to native values
const events = [];
const names = new Set();
let request = { startLedger: health.oldestLedger, filters: [{ type: "contract", contractIds: [contract] }], limit: 100 };
for (;;) {
  const answer = await server.getEvents(request);
  for (const event of answer.events) {
    if (event.contractId.contractId() !== contract) throw new Error(`contract of ${event.id}`);
    names.add(String(event.topic.map(scValToNative).find((topic) => typeof topic === "string")));
    scValToNative(event.value);
    events.push(event.id);
  }
  if (answer.events.length < 100) break;
  request = { cursor: answer.cursor, filters: request.filters, limit: 100 };
}

// everything, topicless events included
const all = await server.getEvents({ startLedger: health.oldestLedger, filters: [], limit: 10000 });
const topicless = all.events.filter((event) => event.topic.length === 0).length;

// an account by the SDK's own key, and as the start of a transaction
const accountId = xdr.PublicKey.publicKeyTypeEd25519(StrKey.decodeEd25519PublicKey(account));
const accountKey = xdr.LedgerKey.account(new xdr.LedgerKeyAccount({ accountId }));
const found = await server.getLedgerEntries(accountKey);
const entry = found.entries[0].val.account();

console.log(
  JSON.stringify({
    sequence: (await server.getAccount(account)).sequenceNumber(),
    balance: entry.balance().toString(),
    signers: entry.signers().map((signer) => [
      StrKey.encodeEd25519PublicKey(signer.key().ed25519()),
      signer.weight(),
    ]),
    thresholds: [...entry.thresholds()],
    entriesAt: found.latestLedger,
    health,
    passphrase: network.passphrase,
    protocol: Number(network.protocolVersion),
    version: version.version,
    latest: latest.sequence,
    ledgers: ledgers.length,
    statuses,
    looked: Object.keys(looked).sort(),
    unknown: unknown.status,
    events,
    names: [...names].sort(),
    all: all.events.length,
    topicless,
    xdr: typeof xdr.LedgerCloseMeta,
  }),
);
