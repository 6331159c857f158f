/** What the types refuse, and what they take: checked by the compiler alone (`npm run check`), never run. */
import {
  type ApiError,
  type CancelStreamParams,
  type ContractEvent,
  type CreateInvoiceLinkParams,
  type CreateStreamParams,
  fromUnits,
  type InvoiceLink,
  Nebula,
  NebulaClient,
  NebulaError,
  type OwnInvoiceLink,
  type Page,
  type Signer,
  type Stream,
  type StreamEvent,
  type StreamHistory,
  StreamStatus,
  toUnits,
  type Transaction,
  type TransactionPendingError,
  unlockedAt,
  type WithdrawParams,
  type YieldData,
  type YieldProjection,
} from "../src/index.js";
import type { components } from "../src/generated/api.js";
import { secretKeySigner } from "../src/secret-key.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <_T extends true>(): void => undefined;
type IsAny<T> = 0 extends 1 & T ? true : false;

// --- nothing is any --------------------------------------------------------------------------------------------------

type Answers = { [K in keyof NebulaClient]: Awaited<ReturnType<NebulaClient[K]>> };
type Given = { [K in keyof NebulaClient]: Parameters<NebulaClient[K]>[number] };
type AnyIn<T> = { [K in keyof T]: true extends IsAny<T[K]> | IsAny<T[K][keyof T[K]]> ? K : never }[keyof T];
holds<Equal<AnyIn<Answers>, never>>();
holds<Equal<AnyIn<Given>, never>>();

// --- both surfaces are one -------------------------------------------------------------------------------------------

holds<Equal<keyof typeof Nebula, keyof NebulaClient | "initialize">>();
holds<Equal<(typeof Nebula)["createStream"], NebulaClient["createStream"]>>();

// --- what is written by hand has the very fields of the API's --------------------------------------------------------

type Schemas = components["schemas"];
holds<Equal<keyof CreateStreamParams, keyof Schemas["NewStream"]>>();
holds<Equal<keyof WithdrawParams, keyof Schemas["Withdrawal"]>>();
holds<Equal<keyof CancelStreamParams, keyof Schemas["Cancellation"]>>();
holds<Equal<keyof CreateInvoiceLinkParams, keyof Schemas["InvoiceLinkRequest"]>>();
holds<Equal<(typeof StreamStatus)[keyof typeof StreamStatus], Stream["status"]>>();
holds<Equal<keyof Page<Stream>, keyof Schemas["ListOfStreams"]>>();

// --- what comes back -------------------------------------------------------------------------------------------------

declare const client: NebulaClient;
declare const signer: Signer;
holds<Equal<Answers["createStream"], Stream>>();
holds<Equal<Answers["getStreams"], Stream[]>>();
holds<Equal<Answers["getStreamHistory"], StreamHistory>>();
holds<Equal<Answers["getStreamEvents"], StreamEvent[]>>();
holds<Equal<Answers["getYieldData"], YieldData>>();
holds<Equal<Answers["calculateYield"], YieldProjection>>();
holds<Equal<Answers["listEvents"], Page<ContractEvent>>>();
holds<Equal<Answers["createInvoiceLink"], OwnInvoiceLink>>();
holds<Equal<Answers["getInvoiceLink"], InvoiceLink>>();
holds<Equal<Answers["waitForTransaction"], Transaction>>();
holds<Equal<Stream["amount"], string | null>>();
holds<Equal<ReturnType<typeof toUnits>, bigint>>();
holds<Equal<ReturnType<typeof fromUnits>, string>>();
holds<Equal<ReturnType<typeof unlockedAt>, bigint | null>>();

export async function takes(): Promise<void> {
  const params = { receiver: "G", tokenAddress: "C", duration: 60 };
  await client.createStream({ ...params, amount: "5" });
  await client.createStream({ ...params, amount: 5n, startTime: new Date(), cliffTime: "2026-01-01T00:00:00Z" });
  await client.createStream(
    { ...params, amount: "5", memo: undefined, startTime: null },
    { signer, timeout: undefined },
  );
  await client.listStreams({ status: "ACTIVE", contract: ["C", "D"], at: new Date() });
  await client.listStreams({ status: [StreamStatus.ACTIVE, StreamStatus.PAUSED] as const });
  await client.getStream("C-1", { at: new Date() });
  for await (const stream of client.iterateStreams({ sender: "G" })) holds<Equal<typeof stream, Stream>>();
  for await (const { event, position } of client.watchEvents({ contract: "C" }, { since: "p" })) {
    holds<Equal<[typeof event, typeof position], [ContractEvent, string]>>();
  }
  const { link, stream } = await Nebula.payInvoiceLink("slug", { signer, account: "G", allowAnother: true });
  holds<Equal<[typeof link, typeof stream], [InvoiceLink, Stream]>>();
  client.setSigner(await secretKeySigner("S"));

  // the shapes that wallets have: Freighter's API, Stellar Wallets Kit, a plain function
  const freighter = {
    getAddress: async (): Promise<{ address: string } & { error?: { code: number; message: string } }> => ({
      address: "",
    }),
    signTransaction: async (
      _xdr: string,
      _options?: { networkPassphrase?: string; address?: string },
    ): Promise<{ signedTxXdr: string; signerAddress: string } & { error?: { code: number; message: string } }> => ({
      signedTxXdr: "",
      signerAddress: "",
    }),
  };
  const kit = {
    getAddress: async (_params?: { skipRequestAccess?: boolean }): Promise<{ address: string }> => ({ address: "" }),
    signTransaction: async (
      _xdr: string,
      _options?: { networkPassphrase?: string; address?: string; path?: string; submit?: boolean },
    ): Promise<{ signedTxXdr: string; signerAddress?: string }> => ({ signedTxXdr: "" }),
  };
  for (const wallet of [freighter, kit, { signTransaction: (xdr: string) => xdr }]) client.setSigner(wallet);

  try {
    await client.getStats();
  } catch (error) {
    if (error instanceof NebulaError) holds<Equal<typeof error.code, string>>();
  }
}

export async function refuses(error: ApiError, pending: TransactionPendingError): Promise<void> {
  const params = { receiver: "G", tokenAddress: "C", duration: 60 };
  // @ts-expect-error an amount is no number: it would lose digits
  await client.createStream({ ...params, amount: 5 });
  // @ts-expect-error an amount is needed
  await client.createStream(params);
  // @ts-expect-error there is no such field
  await client.createStream({ ...params, amount: "5", recipient: "G" });
  // @ts-expect-error a time is no number
  await client.createStream({ ...params, amount: "5", startTime: 1_795_000_000 });
  // @ts-expect-error there is no such option
  await client.createStream({ ...params, amount: "5" }, { wallet: signer });
  // @ts-expect-error a signer signs
  await client.createStream({ ...params, amount: "5" }, { signer: { sign: () => "" } });
  // @ts-expect-error a signer's answer is a text, or has one
  client.setSigner({ signTransaction: () => 5 });
  // @ts-expect-error a stream is named by text
  await client.getStream(5);
  // @ts-expect-error an id is needed
  await client.withdrawFromStream({ amount: "5" });
  // @ts-expect-error there is no such status
  await client.listStreams({ status: "OPEN" });
  // @ts-expect-error there is no such filter
  await client.listStreams({ owner: "G" });
  // @ts-expect-error no more than what there is
  await client.updateInvoiceLinkStatus("id", "PAID");
  // @ts-expect-error a page's items are not to be awaited one by one
  for await (const _ of client.listStreams()) break;
  // @ts-expect-error where the service is has to be said
  new NebulaClient();
  // @ts-expect-error there is no such option
  Nebula.initialize("https://example.org", { key: "" });
  // @ts-expect-error what was signed is there or not
  pending.signedXdr.length;
  // @ts-expect-error errors are not changed
  error.code = "";
  // @ts-expect-error amounts of tokens are text
  toUnits(12.5, 7);
  // @ts-expect-error a statuses' name is no other
  StreamStatus.OPEN;
  // @ts-expect-error what the client is made of is its own
  client.core;
}
