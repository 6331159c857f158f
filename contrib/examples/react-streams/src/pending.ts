/** What was signed and is not known to be settled: kept across a reload, so that nothing is paid twice or forgotten. */
import { type Submission, TransactionFailedError } from "@stellarstream/nebula-sdk";
import { useSyncExternalStore } from "react";
import { nebula } from "./settings";

const KEY = "nebula-pending";
/** What this page waits for by itself just now. */
const waiting = new Set<string>();
const listeners = new Set<() => void>();

/** As text, which is the same for as long as nothing changes. */
const stored = (): string => localStorage.getItem(KEY) ?? "[]";

const left = (): string =>
  JSON.stringify((JSON.parse(stored()) as Submission[]).filter(({ txHash }) => !waiting.has(txHash)));

function write(change: (before: Submission[]) => Submission[]): void {
  localStorage.setItem(KEY, JSON.stringify(change(JSON.parse(stored()) as Submission[])));
  for (const tell of listeners) tell();
}

/** Keep a submission, before it is handed in. */
export function keep(submission: Submission): void {
  waiting.add(submission.txHash);
  write((before) => [...before, submission]);
}

/** Nobody waits for it any more: it is offered to go on with. */
export function leave(txHash: string): void {
  waiting.delete(txHash);
  write((before) => before);
}

/** Forget a submission whose fate is known. */
export function forget(txHash: string): void {
  write((before) => before.filter((one) => one.txHash !== txHash));
}

/** Hand a kept transaction in again, which never carries it out twice, and wait for its end. */
export async function goOn({ txHash, signedXdr }: Submission): Promise<void> {
  try {
    // where its time is over, or it is in a ledger already, waiting tells
    await nebula.submitTransaction(signedXdr).catch(() => undefined);
    await nebula.waitForTransaction(txHash);
  } catch (error) {
    if (error instanceof TransactionFailedError) forget(txHash);
    throw error;
  }
  forget(txHash);
}

/** Return what is kept and nobody waits for. */
export function usePending(): Submission[] {
  const text = useSyncExternalStore((tell) => {
    listeners.add(tell);
    return () => listeners.delete(tell);
  }, left);
  return JSON.parse(text) as Submission[];
}
