/** How things are written for people. */
import {
  ApiError,
  fromUnits,
  NetworkError,
  RequestTimeoutError,
  SigningError,
  TransactionPendingError,
} from "@stellarstream/nebula-sdk";
import { SERVICE, TOKEN } from "./settings";

/** Return the beginning and the end of an address or hash. */
export function short(text: string): string {
  return text.length > 12 ? `${text.slice(0, 4)}…${text.slice(-4)}` : text;
}

/** Return an amount with its symbol; of a token that this page does not know in its smallest unit. */
export function amount(units: string | bigint, token: string | null, places?: number): string {
  if (token !== TOKEN.address) return `${grouped(String(units))} units`;
  const [whole = "0", fraction = ""] = fromUnits(units, TOKEN.decimals).split(".");
  const shown = places === undefined ? fraction : fraction.padEnd(places, "0").slice(0, places);
  return `${grouped(whole)}${shown && `.${shown}`} ${TOKEN.symbol}`;
}

/** Group digits by three. As text: a number would lose digits. */
function grouped(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

export function duration(seconds: number): string {
  const units: [string, number][] = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
    ["second", 1],
  ];
  const parts = units.flatMap(([name, size]) => {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    return count > 0 ? [`${count} ${name}${count === 1 ? "" : "s"}`] : [];
  });
  return parts.slice(0, 2).join(" ") || "0 seconds";
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const time = (at: string): string => clock.format(new Date(at));

/** Say what went wrong, and what can be done. Errors of the SDK have a class and a code to decide by. */
export function explain(error: unknown): string {
  if (error instanceof SigningError) return "The wallet did not sign. Nothing was sent.";
  if (error instanceof NetworkError) return `The service at ${SERVICE} cannot be reached. Check that it is running.`;
  if (error instanceof RequestTimeoutError) return `The service at ${SERVICE} does not answer. Try again in a moment.`;
  if (error instanceof TransactionPendingError) {
    return `The network has not taken the transaction ${short(error.txHash)} yet. It still may: go on with it below before you pay anything anew.`;
  }
  if (error instanceof ApiError)
    return [error.detail || error.title, ...error.errors.map((one) => one.detail)].join(" ");
  return error instanceof Error ? error.message : String(error);
}
