/**
 * A real service for all tests: `stellarstream demo`, which is a simulated network, its index and the API.
 *
 * NEBULA_TEST_URL and NEBULA_TEST_NETWORK name one that runs already; STELLARSTREAM names the command.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** Where the service is. */
    service: string;
    /** Where the simulated network is. */
    network: string;
  }
}

export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { NEBULA_TEST_URL: service, NEBULA_TEST_NETWORK: network } = process.env;
  if (service && network) {
    project.provide("service", service);
    project.provide("network", network);
    return undefined;
  }
  const directory = await mkdtemp(join(tmpdir(), "nebula-sdk-"));
  const command = process.env["STELLARSTREAM"] ?? resolve(import.meta.dirname, "../../../.venv/bin/stellarstream");
  const demo = spawn(
    command,
    ["demo", "--directory", directory, "--port", "0", "--api-port", "0", "--close-time", "1"],
    // all tests come from one address
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, STELLARSTREAM_RATE_LIMIT: "off" } },
  );
  const gone = once(demo, "exit");
  let complaints = "";
  demo.stderr.on("data", (text: Buffer) => (complaints = `${complaints}${text}`.slice(-2_000)));
  const end = async (): Promise<void> => {
    demo.kill("SIGINT");
    await gone;
    await rm(directory, { recursive: true, force: true });
  };
  const found: { service?: string | undefined; network?: string | undefined } = {};
  for await (const line of createInterface(demo.stdout)) {
    found.network ??= /sandbox network +(http:\S+?),/.exec(line)?.[1];
    found.service ??= /API and dashboard +(http:\S+)/.exec(line)?.[1];
    if (line.includes("4. following")) break;
  }
  if (!found.service || !found.network) {
    await end();
    throw new Error(`the demo did not start: ${complaints}`);
  }
  demo.stdout.resume();
  project.provide("service", found.service);
  project.provide("network", found.network);
  return end;
}
