/** Lists of any length: page by page, or item by item. */
import { BadResponseError } from "./errors.js";
import type { Page } from "./types.js";

const LARGEST_PAGE = 200;

/** What reads one page of a list. */
export type ReadPage<P> = (limit: number, cursor: string | undefined) => Promise<P>;

/** Yield all pages of a list. A page may be short, or empty, before the end: only `nextCursor` tells. */
export async function* pages<P extends { readonly nextCursor: string | null }>(
  read: ReadPage<P>,
  limit: number,
  cursor?: string,
): AsyncGenerator<P, void, undefined> {
  for (let next: string | null | undefined = cursor; next !== null;) {
    const page: P = await read(limit, next);
    yield page;
    const { nextCursor = null } = page;
    if (nextCursor !== null && nextCursor === next) throw new BadResponseError("the same cursor again");
    next = nextCursor;
  }
}

/** Yield all items of a list; `limit` is the size of a page, and the largest there is without it. */
export async function* items<T>(
  read: ReadPage<Pick<Page<T>, "items" | "nextCursor">>,
  limit: number | undefined,
  cursor?: string,
): AsyncGenerator<T, void, undefined> {
  for await (const page of pages(read, limit ?? LARGEST_PAGE, cursor)) {
    yield* page.items;
  }
}

/** Return the first `limit` items of a list. */
export async function take<T>(read: ReadPage<Pick<Page<T>, "items" | "nextCursor">>, limit: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items(read, Math.min(limit, LARGEST_PAGE))) {
    if (taken.push(item) >= limit) break;
  }
  return taken;
}
