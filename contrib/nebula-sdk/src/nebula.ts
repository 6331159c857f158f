/** The calls of a client without having to pass one around: `Nebula.initialize(…)` once, then `Nebula.getStream(…)`. */
import { NebulaClient } from "./client.js";
import type { NebulaOptions } from "./core.js";
import { NotInitializedError } from "./errors.js";

/** The very methods of NebulaClient, and `initialize`. */
export interface Nebula extends Pick<NebulaClient, keyof NebulaClient> {
  /** Say where the service is, and how to work; a second time replaces the first. Returns the client that is used. */
  initialize(baseUrl: string | URL, options?: NebulaOptions): NebulaClient;
}

/** One client for a whole program. Before `initialize` its calls throw NotInitializedError. */
export const Nebula: Nebula = /* @__PURE__ */ shared();

function shared(): Nebula {
  // what a client's methods find before there is one: their own way of failing is kept, be it to throw or to reject
  let client = Object.create(NebulaClient.prototype, {
    core: {
      get() {
        throw new NotInitializedError("call Nebula.initialize(baseUrl) first");
      },
    },
  }) as NebulaClient;
  const methods = Object.getOwnPropertyNames(NebulaClient.prototype).filter((name) => name !== "constructor");
  const delegates = methods.map((name) => [
    name,
    (...given: unknown[]) => (client as unknown as Record<string, (...given: unknown[]) => unknown>)[name]?.(...given),
  ]);
  return {
    ...(Object.fromEntries(delegates) as Pick<NebulaClient, keyof NebulaClient>),
    initialize: (baseUrl, options) => (client = new NebulaClient(baseUrl, options)),
  };
}
