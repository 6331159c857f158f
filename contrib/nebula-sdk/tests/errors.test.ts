/** Errors: a class to catch by and a code to decide by, alike for all of them. */
import { inspect } from "node:util";
import { expect, it } from "vitest";
import * as sdk from "../src/index.js";

/** Names and codes are promised: a change here breaks somebody's program. */
const CODES = {
  NotInitializedError: "not-initialized",
  ConfigurationError: "bad-configuration",
  InvalidAmountError: "invalid-amount",
  SignerMissingError: "signer-missing",
  NetworkError: "network-error",
  RequestTimeoutError: "timeout",
  NebulaAbortError: "aborted",
  BadResponseError: "bad-response",
  SigningError: "signing-refused",
  ChallengeError: "bad-challenge",
  TransactionMismatchError: "transaction-mismatch",
  TransactionFailedError: "transaction-failed",
  TransactionPendingError: "transaction-pending",
  PaymentUnderWayError: "payment-under-way",
  LiveResetError: "live-reset",
} as const;
const BY_STATUS = [
  "BadRequestError",
  "AuthenticationError",
  "PermissionDeniedError",
  "NotFoundError",
  "ConflictError",
  "GoneError",
  "UnprocessableError",
  "RateLimitedError",
  "ServerError",
] as const;

it.each(Object.entries(CODES))("%s has the code %s", (name, code) => {
  const kind = sdk[name as keyof typeof CODES] as new (...given: unknown[]) => sdk.NebulaError;
  const error = name === "TransactionFailedError" ? new kind({ txHash: "ab", status: "FAILED" }) : new kind("x");
  expect(error).toBeInstanceOf(sdk.NebulaError);
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ code, name: name === "NebulaAbortError" ? "AbortError" : name });
});

it.each(BY_STATUS)("%s is an ApiError, and shows itself", (name) => {
  const problem = { type: "t", title: "T", status: 499, detail: "d", code: "some-code" };
  const error = new sdk[name]("GET /x", 499, problem, "r", null);
  expect(error).toBeInstanceOf(sdk.ApiError);
  expect(error).toMatchObject({ name, code: "some-code", message: "GET /x: d [499 some-code]" });
  expect(inspect(error)).toContain(`${name}: GET /x`);
});

it("there is no other error", () => {
  const classes = Object.entries(sdk).filter(
    ([, one]) => typeof one === "function" && one.prototype instanceof sdk.NebulaError,
  );
  expect(classes.map(([name]) => name).sort()).toEqual([...Object.keys(CODES), ...BY_STATUS, "ApiError"].sort());
});

it("an abort is one by the name that the platform gives it", () => {
  const reason = new DOMException("This operation was aborted", "AbortError");
  expect(new sdk.NebulaAbortError(reason)).toMatchObject({ name: reason.name, cause: reason });
});
