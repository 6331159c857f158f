/** What of the page depends on where it runs; see .env.example. */
import { NebulaClient } from "@stellarstream/nebula-sdk";

/** Where the API is. */
export const SERVICE: string = import.meta.env.VITE_NEBULA_URL || "http://127.0.0.1:3000";

/** Where the simulated network is; empty on a real one. */
export const SANDBOX: string = import.meta.env.VITE_SANDBOX_URL || "";

/** The token that streams are created in. */
export const TOKEN = {
  address: import.meta.env.VITE_TOKEN || "CBXYHFR6QWVFATJ7P3XFJKBNFDIHAJTN6AAOEVK6C7FOF6OIZ6V63ZNJ",
  decimals: Number(import.meta.env.VITE_TOKEN_DECIMALS || 7),
  symbol: import.meta.env.VITE_TOKEN_SYMBOL || "USDC",
};

/** The only network to sign for; empty: whatever network the service names, which is for tests. */
const NETWORK: string = import.meta.env.VITE_NETWORK_PASSPHRASE || "";

/** One client for the whole page. */
export const nebula = new NebulaClient(SERVICE, { networkPassphrase: NETWORK || undefined });
