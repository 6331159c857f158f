/// <reference types="vite/client" />

interface ImportMetaEnv {
  readonly VITE_NEBULA_URL?: string;
  readonly VITE_NETWORK_PASSPHRASE?: string;
  readonly VITE_SANDBOX_URL?: string;
  readonly VITE_TOKEN?: string;
  readonly VITE_TOKEN_DECIMALS?: string;
  readonly VITE_TOKEN_SYMBOL?: string;
}
