/** Invoice links, on the real service: made once, paid by whoever has them, changed by their owner. */
import { beforeAll, describe, expect, it as base } from "vitest";
import {
  type CreateInvoiceLinkParams,
  GoneError,
  type InvoiceLinkStatus,
  NotFoundError,
  type OwnInvoiceLink,
  PaymentUnderWayError,
  SignerMissingError,
  type Submission,
  TransactionPendingError,
  UnprocessableError,
} from "../src/index.js";
import { type Exchange, problem, way } from "./proxy.js";
import { type Account, account, clientOf, failure, patiently, terms } from "./service.js";

let payer: Account;
beforeAll(async () => {
  payer = await account();
});
/** An owner, who is paid, for each test. */
const it = base.extend<{ owner: Account }>({ owner: async ({}, use) => use(await account()) });

const wanted = (owner: Account, more: Partial<CreateInvoiceLinkParams> = {}): CreateInvoiceLinkParams => ({
  ...(terms(owner.publicKey) as CreateInvoiceLinkParams),
  ...more,
});
const make = (owner: Account, more: Partial<CreateInvoiceLinkParams> = {}): Promise<OwnInvoiceLink> =>
  clientOf(owner).createInvoiceLink(wanted(owner, more));

describe.concurrent("making", () => {
  it("gives a link with its terms, which everybody can read", async ({ owner }) => {
    const expiresAt = new Date(Date.now() + 3_600_999);
    const made = await make(owner, { amount: 6_000_000_000n, description: "Design work", expiresAt });
    expect(made).toMatchObject({
      status: "DRAFT",
      sender: owner.publicKey,
      amount: "6000000000",
      description: "Design work",
      payments: [],
    });
    expect(Date.parse(made.expiresAt ?? "")).toBe(Math.floor(expiresAt.getTime() / 1000) * 1000);
    const seen = await clientOf().getInvoiceLink(made.slug);
    expect(seen).toMatchObject({ id: made.id, amount: made.amount, payUrl: made.payUrl });
    expect(seen).not.toHaveProperty("payments");
  });

  it("is done once, also where the answer is lost", async ({ owner }) => {
    await using to = await way(({ method, before }) => (method === "POST" && before === 0 ? "lost" : undefined));
    // the login is a POST as well: it is made before
    const token = await clientOf(owner).login();
    const made = await clientOf(undefined, { token }, to.url).createInvoiceLink(wanted(owner));
    expect(to.of("POST", "/invoice-links")).toHaveLength(2);
    const { items } = await clientOf(owner).listInvoiceLinks();
    expect(items.map(({ slug }) => slug)).toEqual([made.slug]);
  });

  it("is done once for a key that is given, and refused for other terms", async ({ owner }) => {
    const client = clientOf(owner);
    const idempotencyKey = `order-${owner.publicKey}`;
    const [one, other] = [
      await client.createInvoiceLink(wanted(owner), { idempotencyKey }),
      await client.createInvoiceLink(wanted(owner), { idempotencyKey }),
    ];
    expect(other.slug).toBe(one.slug);
    const changed = client.createInvoiceLink(wanted(owner, { amount: "1" }), { idempotencyKey });
    expect(await failure(changed)).toMatchObject({ code: "idempotency-conflict" });
    expect((await client.createInvoiceLink(wanted(owner))).slug).not.toBe(one.slug);
  });

  it("says which terms are wrong", async ({ owner }) => {
    const error = await failure(make(owner, { receiver: "nobody", pdfUrl: "http://example.org" }));
    expect(error).toBeInstanceOf(UnprocessableError);
    expect(error).toMatchObject({
      errors: expect.arrayContaining([expect.objectContaining({ field: "body.receiver" })]),
    });
    expect(await failure(make(owner, { amount: 1.5 as unknown as string }))).toMatchObject({ code: "invalid-amount" });
  });
});

describe.concurrent("paying", () => {
  it("creates the stream that was asked for, and completes the link, without a login", async ({ owner }) => {
    const { slug } = await make(owner);
    await using to = await way();
    const told: Submission[] = [];
    const { link, stream } = await patiently(() => {
      told.length = 0;
      return clientOf(payer, {}, to.url).payInvoiceLink(slug, {
        allowAnother: true,
        onSubmitted: (submission) => void told.push(submission),
      });
    });
    expect(link).toMatchObject({
      slug,
      status: "COMPLETED",
      payer: payer.publicKey,
      txHash: told[0]?.txHash,
      streamId: stream.id,
    });
    expect(stream).toMatchObject({
      status: "ACTIVE",
      sender: payer.publicKey,
      receiver: owner.publicKey,
      txHash: told[0]?.txHash,
    });
    expect(to.exchanges.map(({ path }) => path).filter((path) => path.startsWith("/auth"))).toEqual([]);

    const [mine] = (await clientOf(owner).listInvoiceLinks({ status: "COMPLETED" })).items;
    expect(mine?.payments).toMatchObject([{ outcome: "completed", streamId: stream.id }]);
    expect(await failure(clientOf(payer).payInvoiceLink(slug))).toMatchObject({ code: "link-paid", status: 409 });
  });

  it("has the link's slug as memo where the contract takes one", async ({ owner }) => {
    const { slug } = await make(owner, { contractId: null });
    const somebody = await account();
    const { stream, link } = await patiently(() => clientOf(somebody).payInvoiceLink(slug, { allowAnother: true }));
    expect(stream).toMatchObject({ version: "v2", memo: slug });
    expect(link.status).toBe("COMPLETED");
  });

  it("hands the same payment in again where the answer is lost, and it is paid once", async ({ owner }) => {
    const { slug } = await make(owner);
    const isSubmission = ({ method, path }: Exchange) => method === "POST" && path.endsWith("/submit");
    await using to = await way((one) => (isSubmission(one) && one.before < 2 ? "lost" : undefined));
    const somebody = await account();
    const { link } = await patiently(() => clientOf(somebody, {}, to.url).payInvoiceLink(slug));
    expect(link.status).toBe("COMPLETED");
    const bodies = to.of("POST", `/invoice-links/${slug}/submit`).map(({ body }) => body);
    expect(bodies).toHaveLength(3);
    expect(new Set(bodies).size).toBe(1);
    expect(await clientOf().getStreams(somebody.publicKey)).toHaveLength(1);
  });

  it("does not begin where another payment is on its way, unless that is wanted", async ({ owner }) => {
    const { slug } = await make(owner);
    const txHash = "ab".repeat(32);
    await using to = await way(({ path }) =>
      path.endsWith("/transaction") ? { edited: (built) => ({ ...built, underWay: txHash }) } : undefined,
    );
    const client = clientOf(await account(), {}, to.url);
    const error = await failure(client.payInvoiceLink(slug));
    expect(error).toBeInstanceOf(PaymentUnderWayError);
    expect(error).toMatchObject({ code: "payment-under-way", slug, txHash });
    expect(to.of("POST", `/invoice-links/${slug}/submit`)).toEqual([]);
    const paid = await patiently(() => client.payInvoiceLink(slug, { allowAnother: true }));
    expect(paid.link.status).toBe("COMPLETED");
  });

  it("can be gone on with after it was interrupted", async ({ owner }) => {
    const { slug } = await make(owner);
    const somebody = await account();
    const error = (await failure(
      clientOf(somebody).payInvoiceLink(slug, { confirmTimeout: 0 }),
    )) as TransactionPendingError;
    expect(error).toBeInstanceOf(TransactionPendingError);
    const { streamIds } = await clientOf().waitForTransaction(error.txHash);
    expect((await clientOf().getStream(streamIds?.[0] ?? "")).sender).toBe(somebody.publicKey);
  });

  it("returns the stream also where the link ended meanwhile", async ({ owner }) => {
    const { slug } = await make(owner);
    const somebody = await account();
    let paid = false;
    await using to = await way(({ method, path }) => {
      if (path.endsWith("/submit")) paid = true;
      return paid && method === "GET" && path === `/invoice-links/${slug}` ? problem(410, "link-cancelled") : undefined;
    });
    const { link, stream } = await patiently(() =>
      clientOf(somebody, {}, to.url).payInvoiceLink(slug, { confirmTimeout: 8_000 }),
    );
    expect(link).toMatchObject({ slug, status: "CANCELED" });
    expect(stream.sender).toBe(somebody.publicKey);
  });

  it("tells that there is no such link, that it has ended, or that nobody says who pays", async ({ owner }) => {
    const client = clientOf(payer);
    expect(await failure(client.payInvoiceLink("nothinghere1"))).toMatchObject({
      name: "NotFoundError",
      code: "link-not-found",
    });
    const { id, slug } = await make(owner);
    expect(await failure(clientOf({ signTransaction: payer.signTransaction }).payInvoiceLink(slug))).toBeInstanceOf(
      SignerMissingError,
    );
    await clientOf(owner).updateInvoiceLinkStatus(id, "CANCELED");
    expect(await failure(client.payInvoiceLink(slug))).toBeInstanceOf(GoneError);
    expect(await failure(client.getInvoiceLink(slug))).toMatchObject({
      name: "GoneError",
      code: "link-cancelled",
      status: 410,
    });
  });
});

describe.concurrent("an owner", () => {
  it("lists links, by status and page by page", async ({ owner }) => {
    const client = clientOf(owner);
    const some = [await make(owner), await make(owner), await make(owner)].map(({ slug }) => slug);
    // those of one second are in an order of their own
    const made = (await client.listInvoiceLinks()).items.map(({ slug }) => slug);
    expect([...made].sort()).toEqual([...some].sort());
    await client.updateInvoiceLinkStatus(made[1] ?? "", "CANCELED");
    const slugs = async (filter: { status?: InvoiceLinkStatus[]; limit?: number }) => {
      const found: string[] = [];
      for await (const { slug } of client.iterateInvoiceLinks(filter)) found.push(slug);
      return found;
    };
    expect(await slugs({})).toEqual(made);
    expect(await slugs({ limit: 1 })).toEqual(made);
    expect(await slugs({ status: ["CANCELED"] })).toEqual([made[1]]);
    expect(await slugs({ status: ["CANCELED", "DRAFT"], limit: 1 })).toEqual(made);
    const page = await client.listInvoiceLinks({ limit: 2 });
    expect(page.items.map(({ slug }) => slug)).toEqual(made.slice(0, 2));
    expect((await client.listInvoiceLinks({ limit: 2, cursor: page.nextCursor ?? "" })).items).toHaveLength(1);
    expect((await clientOf(payer).listInvoiceLinks({ limit: 200 })).items.map(({ slug }) => slug)).not.toContain(
      made[0],
    );
  });

  it("cancels a link, names a transaction, and is told what is not to be", async ({ owner }) => {
    const client = clientOf(owner);
    const { id, slug } = await make(owner);
    const txHash = "ab".repeat(32);
    expect(await client.updateInvoiceLinkStatus(slug, "SIGNED", { txHash })).toMatchObject({
      status: "SIGNED",
      txHash,
    });
    // @ts-expect-error the chain alone says so
    expect(await failure(client.updateInvoiceLinkStatus(id, "COMPLETED"))).toMatchObject({
      name: "ConflictError",
      code: "illegal-link-status",
      problem: { legal: expect.arrayContaining(["CANCELED"]) },
    });
    expect(await client.updateInvoiceLinkStatus(id, "CANCELED")).toMatchObject({ status: "CANCELED", id });
    const stranger = clientOf(payer).updateInvoiceLinkStatus(id, "CANCELED");
    expect(await failure(stranger)).toBeInstanceOf(NotFoundError);
  });

  it("deletes a draft, and not what is signed", async ({ owner }) => {
    const client = clientOf(owner);
    const [draft, signed] = [await make(owner), await make(owner)];
    expect(await client.deleteInvoiceLink(draft.slug)).toBeUndefined();
    expect(await failure(client.getInvoiceLink(draft.slug))).toMatchObject({ code: "link-not-found" });
    await client.updateInvoiceLinkStatus(signed.id, "SIGNED", { txHash: "cd".repeat(32) });
    expect(await failure(client.deleteInvoiceLink(signed.id))).toMatchObject({ code: "link-not-deletable" });
    expect(await failure(client.deleteInvoiceLink(draft.id))).toBeInstanceOf(NotFoundError);
  });

  it("has to say who they are", async () => {
    const client = clientOf();
    for (const call of [
      () => client.listInvoiceLinks(),
      () => client.deleteInvoiceLink("x".repeat(12)),
      () => client.createInvoiceLink(wanted(payer)),
      () => client.updateInvoiceLinkStatus("x".repeat(12), "CANCELED"),
    ]) {
      expect(await failure(call())).toMatchObject({ name: "AuthenticationError", code: "not-authenticated" });
    }
  });
});
