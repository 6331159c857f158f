/** A way to the real service on which requests and answers go wrong: for faults that it does not have by itself. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { SERVICE } from "./service.js";

/** A request on its way. */
export interface Exchange {
  readonly method: string;
  /** Behind `/api/v1`, with its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** How many requests of the same method and path, without query, came before. */
  readonly before: number;
}

/** What becomes of it: answered here; or by the service, and the answer is lost or changed. Nothing: by the service. */
export type Fate =
  ((response: ServerResponse) => void) | "lost" | { edited: (body: object) => object } | undefined | void;

export interface Way extends AsyncDisposable {
  readonly url: string;
  readonly exchanges: readonly Exchange[];
  /** Of these, those of a method and a path. */
  of(method: string, path: string): Exchange[];
  /** Resolves when a request has come. */
  arrived(method: string, path: string): Promise<Exchange>;
}

export async function way(fate: (exchange: Exchange) => Fate = () => undefined): Promise<Way> {
  const exchanges: Exchange[] = [];
  const waiting: { method: string; path: string; tell: (exchange: Exchange) => void }[] = [];
  const fits = (exchange: Exchange, method: string, path: string): boolean =>
    exchange.method === method && exchange.path.split("?")[0] === path;

  const server = createServer((request, response) => {
    void (async () => {
      const { method = "", url = "", headers } = request;
      const body = (await request.toArray()).join("");
      const path = url.replace("/api/v1", "");
      const before = exchanges.filter((one) => fits(one, method, path.split("?")[0] ?? "")).length;
      const exchange = { method, path, headers, body, before };
      exchanges.push(exchange);
      for (const one of waiting.filter(({ method, path }) => fits(exchange, method, path))) one.tell(exchange);
      const becomes = fate(exchange);
      if (typeof becomes === "function") return becomes(response);
      const { host: _, connection: __, "content-length": ___, ...sent } = headers as Record<string, string>;
      const got = await fetch(`${SERVICE}${url}`, { method, headers: sent, ...(body && { body }) });
      const { status } = got;
      if (becomes === "lost") {
        await got.arrayBuffer();
        return void response.destroy();
      }
      if (becomes) return answer(status, becomes.edited((await got.json()) as object))(response);
      response.writeHead(
        status,
        Object.fromEntries(
          [...got.headers].filter(([name]) => !/^(content|transfer)-encoding$|^connection$/.test(name)),
        ),
      );
      if (got.body) Readable.fromWeb(got.body as import("node:stream/web").ReadableStream).pipe(response);
      else response.end();
    })().catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exchanges,
    of: (method, path) => exchanges.filter((one) => fits(one, method, path)),
    arrived: (method, path) => new Promise((tell) => waiting.push({ method, path, tell })),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Answer with JSON, or with a text that is none. */
export function answer(status: number, body: unknown, headers: Record<string, string> = {}) {
  return (response: ServerResponse): void => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
}

/** Answer with a problem. */
export function problem(status: number, code: string, headers: Record<string, string> = {}, more: object = {}) {
  return answer(
    status,
    { type: `https://example.org/${code}`, title: code, status, detail: `it is ${code}`, code, ...more },
    { "content-type": "application/problem+json", ...headers },
  );
}

/** Say nothing at all. */
export const silence = (): void => undefined;
/** Break the connection before a word was said. */
export const broken = (response: ServerResponse): void => void response.destroy();
/** Break off in the middle of the answer. */
export const cut = (response: ServerResponse): void => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
  response.write('{"half":', () => response.destroy());
};
