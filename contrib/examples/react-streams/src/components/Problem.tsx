import { explain } from "../format";

/** Say what went wrong, aloud too. The place is always there, so that screen readers hear what comes into it. */
export function Problem({ error }: { error: unknown }) {
  return <div role="alert">{error !== null && error !== undefined && <p className="problem">{explain(error)}</p>}</div>;
}
