/** What components share: live data, the clock, and things that are done when a button is pressed. */
import { type Stream, type Submission, TransactionPendingError, unlockedAt } from "@stellarstream/nebula-sdk";
import { useCallback, useEffect, useRef, useState } from "react";
import { forget, keep, leave } from "./pending";
import { nebula } from "./settings";

/** Return a stream, kept up to date for as long as it is shown, and what went wrong. */
export function useStream(id: string): { stream: Stream | null; error: unknown } {
  const [seen, setSeen] = useState<{ stream: Stream | null; error: unknown }>({ stream: null, error: null });
  useEffect(() => {
    const leaving = new AbortController();
    setSeen({ stream: null, error: null });
    (async () => {
      for await (const stream of nebula.watchStream(id, { signal: leaving.signal })) setSeen({ stream, error: null });
    })().catch((error: unknown) => {
      if (!leaving.signal.aborted) setSeen((before) => ({ ...before, error }));
    });
    return () => leaving.abort(); // closes the connection
  }, [id]);
  return seen;
}

/** Return what a stream has unlocked by now: it moves each second, without asking anybody. */
export function useUnlocked(stream: Stream): bigint | null {
  const now = useSeconds();
  // where it cannot be computed here (paused, in steps, not known yet), the service's own figure stands
  return unlockedAt(stream, new Date(now)) ?? (stream.unlocked === null ? null : BigInt(stream.unlocked));
}

/** Return the present second. Contracts count whole seconds, so there is nothing to see in between. */
export function useSeconds(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setTimeout(() => setNow(Date.now()), 1_000 - (now % 1_000) + 5);
    return () => clearTimeout(timer);
  }, [now]);
  return now;
}

export interface Action {
  /** What is being waited for; null while nothing is. */
  readonly busy: string | null;
  readonly error: unknown;
  /** Run something once, however often it is asked for; `say` tells what is being waited for. */
  run(task: (say: (what: string) => void) => Promise<void>, first: string): Promise<void>;
}

/**
 * Keep what is signed until its fate is known: what the calls take as `onSubmitted`, around which they run.
 *
 * What fails for certain is forgotten as well; what is pending, or was left, is not.
 */
export async function kept<T>(
  say: (what: string) => void,
  call: (onSubmitted: (submission: Submission) => void) => Promise<T>,
): Promise<T> {
  let txHash: string | undefined;
  const done = (): void => void (txHash !== undefined && forget(txHash));
  try {
    const result = await call((submission) => {
      keep(submission);
      txHash = submission.txHash;
      say("Signed and sent. Waiting for the ledger…");
    });
    done();
    return result;
  } catch (error) {
    if (!(error instanceof TransactionPendingError) && (error as Error).name !== "AbortError") done();
    else if (txHash !== undefined) leave(txHash);
    throw error;
  }
}

/** Return what runs tasks one at a time, and says how far they are. */
export function useAction(): Action {
  const [state, setState] = useState<{ busy: string | null; error: unknown }>({ busy: null, error: null });
  const running = useRef(false);
  const run = useCallback<Action["run"]>(async (task, first) => {
    if (running.current) return;
    running.current = true;
    setState({ busy: first, error: null });
    try {
      await task((busy) => setState({ busy, error: null }));
      setState({ busy: null, error: null });
    } catch (error) {
      setState({ busy: null, error });
    } finally {
      running.current = false;
    }
  }, []);
  return { ...state, run };
}
