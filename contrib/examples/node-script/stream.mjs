// The life of a payment stream: create it, watch it, withdraw from it, read its history, cancel it.
//
//   node stream.mjs SERVICE NETWORK
//
// SERVICE is where the API is (http://127.0.0.1:3000), NETWORK where the simulated network of `stellarstream demo` is: its
// output names both. Two accounts are made up there, so nothing has to be prepared, and nothing is real.

import { Keypair } from "@stellar/stellar-sdk";
import { fromUnits, NebulaClient, NebulaError, toUnits, unlockedAt } from "@stellarstream/nebula-sdk";
import { secretKeySigner } from "@stellarstream/nebula-sdk/secret-key";

const [service, network] = process.argv.slice(2);
if (!service || !network) {
  console.error("usage: node stream.mjs SERVICE NETWORK   (two addresses that 'stellarstream demo' prints)");
  process.exit(2);
}

const USDC = "CBXYHFR6QWVFATJ7P3XFJKBNFDIHAJTN6AAOEVK6C7FOF6OIZ6V63ZNJ"; // the token's contract on the simulated network
const inUsdc = (units) => (units === null ? "unknown" : `${fromUnits(units, 7)} USDC`);

/** Make an account up, with money, and return a client that acts for it. */
async function person(name) {
  const pair = Keypair.random();
  const funded = await fetch(`${network}/friendbot?addr=${pair.publicKey()}`);
  if (!funded.ok) throw new Error(`the simulated network did not fund ${name}: status ${funded.status}`);
  console.log(`${name.padEnd(8)} ${pair.publicKey()}`);
  return {
    address: pair.publicKey(),
    nebula: new NebulaClient(service, { signer: await secretKeySigner(pair.secret()) }),
  };
}

/** Print what happens to a stream, until it is cancelled. */
async function narrate(nebula, id) {
  for await (const stream of nebula.watchStream(id)) {
    console.log(
      `  watched: ${stream.status}, ${stream.curve ?? "curve not read yet"}, withdrawn ${inUsdc(stream.withdrawn)}`,
    );
    if (stream.status === "CANCELED") break;
  }
}

async function main() {
  const alice = await person("Alice");
  const bob = await person("Bob");

  // Logging in is one signature, and costs nothing. Calls that need it would do it by themselves.
  await alice.nebula.login();
  console.log("\nAlice has logged in.");

  let stream = await alice.nebula.createStream(
    { receiver: bob.address, amount: toUnits("600", 7), tokenAddress: USDC, duration: 600, memo: "example" },
    // called before anything is handed in: whoever keeps this can go on after a crash, and pays once
    { onSubmitted: ({ txHash }) => console.log(`Signed: transaction ${txHash}`) },
  );
  console.log(`Stream ${stream.id}: ${inUsdc(stream.amount)} to Bob over ten minutes`);
  const watching = narrate(alice.nebula, stream.id);

  // how it unlocks is known, so nobody has to be asked for it
  while ((stream = await bob.nebula.getStream(stream.id)).curve === null) await seconds(0.5);
  for (let n = 0; n < 3; n += 1) {
    console.log(`  unlocked by now: ${inUsdc(unlockedAt(stream))}`);
    await seconds(1);
  }

  stream = await bob.nebula.withdrawFromStream({ streamId: stream.id });
  console.log(`Bob withdrew, so far ${inUsdc(stream.withdrawn)}`);

  stream = await alice.nebula.cancelStream({ streamId: stream.id });
  console.log(`Alice cancelled it: ${stream.status}. What was unlocked is Bob's, the rest is hers again.`);
  await watching;

  const { events } = await alice.nebula.getStreamHistory(stream.id);
  console.log("\nWhat happened, by the audit log:");
  for (const event of events) console.log(`  ledger ${event.ledger}  ${event.eventType}`);
}

const seconds = (count) => new Promise((resolve) => setTimeout(resolve, count * 1000));

try {
  await main();
} catch (error) {
  // every error of the SDK has a code that never changes; messages hold no secrets
  console.error(error instanceof NebulaError ? `${error.name} [${error.code}]: ${error.message}` : error);
  process.exitCode = 1;
}
