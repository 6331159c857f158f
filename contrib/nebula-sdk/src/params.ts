/** What callers give, as the API takes it: amounts and times as text, and refused here where they cannot be right. */
import { ConfigurationError, InvalidAmountError } from "./errors.js";
import type { Amount, Time } from "./types.js";

/** Return an amount as decimal text. A number is refused: it may have lost digits already. */
export function amountText(amount: Amount): string {
  const text = typeof amount === "bigint" ? String(amount) : amount;
  if (typeof text !== "string" || !/^[1-9]\d*$/.test(text)) {
    throw new InvalidAmountError(
      "an amount is digits as text or a bigint, more than 0",
    );
  }
  return text;
}

/** Return a time as RFC 3339, in whole seconds: the contracts know no fractions, so a Date's are cut off. */
export function timeText(time: Time): string {
  if (typeof time === "string") return time;
  if (!(time instanceof Date) || Number.isNaN(+time)) {
    throw new ConfigurationError("a time is RFC 3339, or a Date");
  }
  return `${time.toISOString().slice(0, -5)}Z`;
}

/** Return the body of a request that has these parameters; what is undefined or null is left out. */
export function bodyOf(params: object): Record<string, unknown> {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(
    given.map(([name, value]: [string, unknown]) => {
      if (name === "amount") return [name, amountText(value as Amount)];
      return [name, value instanceof Date ? timeText(value) : value];
    }),
  );
}

/** Throw unless a text may be sent as a header: the platform's own error would show it, and it may be a secret. */
export function checkHeader(what: string, text: unknown): void {
  if (typeof text !== "string" || !PRINTABLE.test(text)) throw new ConfigurationError(`${what}: ASCII text, in a line`);
}

/** What a header may have. */
export const PRINTABLE = /^[ -~]*$/;

/** Whether something has the fields of an example, each of the same kind. */
export function isLike(value: unknown, like: unknown): boolean {
  if (typeof like !== "object") return typeof value === typeof like;
  return (
    typeof value === "object" &&
    value !== null &&
    Array.isArray(value) === Array.isArray(like) &&
    Object.entries(like as object).every(([name, one]) => isLike((value as Record<string, unknown>)[name], one))
  );
}
